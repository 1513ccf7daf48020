"""Rules about weights.

False-alarm rates are those that ``benchmarks/false_alarms.py`` measures: 314 trained kernels of 12
published or example networks, 407 of 103 small ones that learned in seconds, 310 fresh ones of four and 432
of 108 small. Where a docstring gives none, the rule states a fact and cannot be wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reportgen.findings.facts import NO_WEIGHTS, Hit, NotJudged, Rule, all_are, channels_of
from reportgen.report.findings import Where
from reportgen.wording import plural, share_text

if TYPE_CHECKING:
    from reportgen.findings.facts import Facts, Judgement
    from reportgen.report.content.weights import Variable
    from reportgen.report.findings import Severity

FLOAT16_MAX = 65_504.0
_WEIGHTY = {"kernel", "embeddings", "gamma"}
LEAST_EACH = 8
LEAST_COMPARED = 4
LEAST_OF_A_KIND = 4


def _at(variable: Variable, channels: tuple[int, ...] = (), count: int = 0) -> Where:
    return channels_of(variable.layer, channels, max(count, len(channels)), variable.path)


def non_finite(facts: Facts) -> Judgement:
    """Find NaN and infinity; a fact."""
    if facts.weights is None:
        return NO_WEIGHTS
    return [
        Hit(f"{v.nan:,} NaN and {v.inf:,} infinite of {plural(v.count, 'value')}", _at(v))
        for v in facts.weights.variables
        if v.nan or v.inf
    ]


def all_zero(facts: Facts) -> Judgement:
    """Find kernels, embeddings and scales that are all zero; a fact.

    Where the layer starts them at zero, as detectors do their heads, they were not trained: a warning, of four
    or more that are all the network starts so one for all.
    """
    if facts.weights is None:
        return NO_WEIGHTS
    weighty = [v for v in facts.weights.variables if v.role in _WEIGHTY and v.count]
    zero = [v for v in weighty if v.zeros == v.count]
    hits = [Hit(all_are("zero", v.count), _at(v)) for v in zero if v.initializer != "zeros"]
    started = [v for v in weighty if v.initializer == "zeros"]
    same = [v for v in started if v.zeros == v.count]
    if len(same) == len(started) >= LEAST_OF_A_KIND:
        text = f"all {len(same)} kernels and scales that their layers start at zero are still zero"
        return [*hits, Hit(text, severity="warning")]
    return hits + [
        Hit(f"{all_are('zero', v.count)}, as the layer starts them", _at(v), "warning")
        for v in same
    ]


def beyond_dtype(facts: Facts) -> Judgement:
    """Find values that float16 cannot hold in layers that compute in it; a fact."""
    if facts.weights is None:
        return NO_WEIGHTS
    half = [v for v in facts.weights.variables if v.compute_dtype == "float16"]
    if not half:
        return NotJudged("no layer computes in float16")
    return [
        Hit(f"values from {v.min:.6g} to {v.max:.6g}", _at(v))
        for v in half
        if v.min is not None and v.max is not None and max(-v.min, v.max) > FLOAT16_MAX
    ]


def batch_norm_untouched(facts: Facts) -> Judgement:
    """Find BatchNormalization whose moving statistics are exactly as created; a fact.

    Where all of four or more are, the network never saw data: one finding.
    """
    if facts.weights is None:
        return NO_WEIGHTS
    norms = facts.weights.batch_norms
    if not norms:
        return NotJudged("there is no BatchNormalization")
    untouched = [n for n in norms if n.fresh_statistics]
    if len(untouched) == len(norms) >= LEAST_OF_A_KIND:
        whole = all(n.fresh_scale for n in norms)
        return [Hit(f"all {plural(len(norms), 'layer')}: {_as_created(scale=whole)}")]
    return [Hit(_as_created(scale=n.fresh_scale), Where(layer=n.layer)) for n in untouched]


def _as_created(*, scale: bool) -> str:
    rest = ", γ and β as created too: never trained" if scale else ": never saw data"
    return f"moving mean 0 and variance 1 exactly{rest}"


def moving_variance(facts: Facts) -> Judgement:
    """Find moving variances that are negative (error) or zero; facts.

    Zero in a tenth of the channels or more is a warning, below that information: published networks
    have single dead channels.
    """
    if facts.weights is None:
        return NO_WEIGHTS
    if not facts.weights.batch_norms:
        return NotJudged("there is no BatchNormalization")
    hits = []
    for n in facts.weights.batch_norms:
        if n.negative_variance:
            text = f"{n.negative_variance} of {plural(n.channels, 'channel')} below zero"
            hits.append(Hit(text, Where(layer=n.layer), "error"))
        if n.zero_variance:
            text = f"{n.zero_variance} of {plural(n.channels, 'channel')} exactly zero"
            many = n.zero_variance >= facts.thresholds["moving-variance"] * n.channels
            hits.append(Hit(text, Where(layer=n.layer), "warning" if many else "info"))
    return hits


def constant_kernel(facts: Facts) -> Judgement:
    """Find kernels whose values are all equal and not zero; a fact."""
    if facts.weights is None:
        return NO_WEIGHTS
    return [
        Hit(f"all {plural(v.count, 'value')} are {v.min:.6g}", _at(v))
        for v in facts.weights.variables
        if v.role in {"kernel", "embeddings"}
        and v.count > 1
        and v.min is not None
        and v.min == v.max != 0
        and not (v.nan or v.inf)
    ]


def zero_filters(facts: Facts) -> Judgement:
    """Find filters that are all zero in kernels that are not; a fact.

    A warning from a tenth of the filters on, below that information.
    """
    if facts.weights is None:
        return NO_WEIGHTS
    limit = facts.thresholds["zero-filters"]
    return [
        Hit(
            f"{v.health.zero} of {plural(v.health.filters, 'filter')}",
            _at(v, v.health.zero_filters, v.health.zero),
            "warning" if v.health.zero >= limit * v.health.filters else "info",
        )
        for v in facts.weights.variables
        if v.health and v.zeros < v.count and v.health.zero
    ]


def near_zero_filters(facts: Facts) -> Judgement:
    """Report filters of a thousandth of the median norm; there is no accepted threshold."""
    if facts.weights is None:
        return NO_WEIGHTS
    limit = facts.thresholds["near-zero-filters"]
    return [
        Hit(f"{v.health.near_zero} of {plural(v.health.filters, 'filter')}", _at(v))
        for v in facts.weights.variables
        if v.health and v.health.near_zero > limit * v.health.filters
    ]


def duplicate_filters(facts: Facts) -> Judgement:
    """Find filters that point the same way as another (|cos| > 0.999).

    A warning from a tenth of the layer on, below that information; depthwise kernels and filters of
    less than 8 values always information, because few numbers are alike by chance. None of 245 trained
    and 274 fresh kernels has a single pair.
    """
    if facts.weights is None:
        return NO_WEIGHTS
    limit = facts.thresholds["duplicate-filters"]
    hits = []
    for v in facts.weights.variables:
        if v.health is None or not v.health.duplicates:
            continue
        # Columns of two rows are alike by chance: one pair in 35, of three one in 1,000.
        if v.health.each < (LEAST_EACH if v.role == "embeddings" else LEAST_COMPARED):
            continue
        share = v.health.duplicates / v.health.filters
        plain = "Depthwise" in v.layer_class or v.health.each < LEAST_EACH
        said = share_text(v.health.duplicates, v.health.filters)
        text = f"{v.health.duplicates} of {plural(v.health.filters, 'filter')} ({said})"
        level: Severity = "info" if plain or share < limit else "warning"
        hits.append(Hit(text, _at(v, v.health.duplicate_filters, v.health.duplicates), level))
    return hits


def head_rank(facts: Facts) -> Judgement:
    """Find a last Dense kernel of effective rank 1.

    The participation ratio of singular values; the nine trained heads of three or more outputs have
    6.2 or more, fresh ones 500 of 1,000.
    """
    if facts.weights is None:
        return NO_WEIGHTS
    heads = [
        v
        for v in facts.weights.variables
        if v.layer_class == "Dense" and v.role == "kernel" and v.health and v.health.spectrum
    ]
    if not heads or heads[-1].shape[-1] < 3:
        return NotJudged("there is no Dense head with three or more outputs")
    head = heads[-1]
    spectrum = head.health.spectrum if head.health else None
    limit = facts.thresholds["head-rank"]
    if spectrum is None or spectrum.effective_rank >= limit:
        return []
    small = min(spectrum.rows, spectrum.columns)
    return [Hit(f"effective rank {spectrum.effective_rank:.2f} of {small}", _at(head))]


def int8_friendliness(facts: Facts) -> Judgement:
    """Report kernels that per-tensor int8 quantisation would hurt; information only."""
    if facts.weights is None:
        return NO_WEIGHTS
    limit = facts.thresholds["int8-friendliness"]
    return [
        Hit(
            f"{v.health.sqnr:.1f} dB; the widest filter has {v.health.range_ratio or 0:.1f} times the "
            "median range",
            _at(v),
        )
        for v in facts.weights.variables
        if v.health and v.health.sqnr is not None and v.health.sqnr < limit
    ]


RULES = (
    Rule(
        "non-finite-weights", "Weights are NaN or infinite", "error", non_finite,
        "no NaN or infinite value",
        "One such value spreads to every output that depends on it.",
        "Go back to the last checkpoint before it; lower the learning rate or clip gradients.",
        "IEEE 754",
    ),
    Rule(
        "all-zero-variable", "A kernel is all zero", "error", all_zero,
        "a kernel has values other than zero",
        "The layer passes nothing on but its bias.",
        "Check that the weights were loaded, and that the layer gets a gradient.",
        "by definition",
    ),
    Rule(
        "beyond-dtype", "Weights exceed what float16 can hold", "error", beyond_dtype,
        "|value| at most 65,504 where the layer computes in float16",
        "They become infinite in the forward pass.",
        "Lower the weights (decay, clipping) or compute in bfloat16.",
        "IEEE 754 binary16",
    ),
    Rule(
        "batch-norm-untouched", "BatchNormalization never saw data", "error", batch_norm_untouched,
        "moving mean and variance differ from 0 and 1",
        "At inference it normalises with statistics that it never measured.",
        "Train with training=True, or load the moving statistics too.",
        "Ioffe and Szegedy (2015)",
    ),
    Rule(
        "moving-variance", "A moving variance is zero or negative", "warning", moving_variance,
        "every moving variance above zero; a warning from {limit:.0%} of the channels on",
        "Zero: the channel is constant, and division magnifies whatever comes. Negative: NaN.",
        "Look at what feeds the channel; a negative variance means a broken file.",
        "Ioffe and Szegedy (2015)",
    ),
    Rule(
        "constant-kernel", "All values of a kernel are equal", "error", constant_kernel,
        "a kernel has at least two different values",
        "All its filters compute the same.",
        "Use a random initializer, and check that the weights were loaded.",
        "by definition",
    ),
    Rule(
        "zero-filters", "Filters are all zero", "warning", zero_filters,
        "no filter is all zero; a warning from {limit:.0%} of the layer on",
        "They cost time and memory and tell nothing apart.",
        "Prune them, or look for dying units and too strong weight decay.",
        "Li et al. (2017), Pruning Filters for Efficient ConvNets",
    ),
    Rule(
        "near-zero-filters", "Filters are nearly zero", "info", near_zero_filters,
        "at most {limit:.0%} of the filters below a thousandth of the median norm",
        "They hardly contribute; weight decay is a common cause.",
        "Candidates for pruning.",
        "no accepted threshold",
    ),
    Rule(
        "duplicate-filters", "Filters are copies of each other", "warning", duplicate_filters,
        "less than {limit:.0%} of the filters with |cos| > 0.999 to an earlier one",
        "Copies add no information: symmetry was never broken, or a layer was widened by copying.",
        "Check the initialisation, and what wrote the file.",
        "RoyChowdhury et al. (2017), Reducing duplicate filters; no pair in 245 trained kernels",
    ),
    Rule(
        "head-rank", "The head has collapsed to rank one", "warning", head_rank,
        "effective rank of the last Dense kernel at least {limit:g}",
        "All classes are told apart along one direction only.",
        "Look at the loss and the labels; train the head again.",
        "participation ratio; Roy and Vetterli (2007)",
    ),
    Rule(
        "int8-friendliness", "Per-tensor int8 would lose accuracy", "info", int8_friendliness,
        "signal to noise ratio of symmetric per-tensor int8 at least {limit:g} dB",
        "Matters only where the model will be quantised.",
        "Quantise per channel, or equalise ranges across layers.",
        "Nagel et al. (2019), Data-Free Quantization",
    ),
)  # fmt: skip
"""All rules about weights."""
