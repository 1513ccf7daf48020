"""Rules about how large weights are: beside each other, beside their layer's kernel, beside theory.

False-alarm rates are those that ``benchmarks/false_alarms.py`` measures; see ``findings.weights``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reportgen.findings.facts import NO_WEIGHTS, Hit, NotJudged, Rule
from reportgen.findings.initialisation import as_declared
from reportgen.report.findings import Where
from reportgen.wording import percent_text, plural

if TYPE_CHECKING:
    from reportgen.findings.facts import Facts, Judgement
    from reportgen.report.content.weights import Variable, WeightsContent

LEAST_VALUES = 1_000
LEAST_FOR_ONE = 64
LEAST_OF_A_KIND = 4
EXPECTED_GAIN = math.sqrt(2)
"""Gain that keeps the scale of signals through ReLUs (He et al., 2015); LeCun's is 1, Glorot's between."""


def _at(variable: Variable) -> Where:
    return Where(layer=variable.layer, variable=variable.path)


def _top(variable: Variable) -> float:
    return max(abs(end) for end in (variable.min, variable.max, 0) if end is not None)


def dominant_weight(facts: Facts) -> Judgement:
    """Find kernels in which one value holds half of the sum of squares.

    Of kernels under 1,000 values the share has to be as large as it makes the value √1000 = 32 times
    the root mean square of the others; under 64 values nothing is said. The largest share among 229
    trained kernels of 1,000 values or more is 0.14, among 294 fresh ones 0.004; the largest value among
    85 published and 269 small trained kernels under 1,000 values 12 times the others.
    """
    if facts.weights is None:
        return NO_WEIGHTS
    limit = facts.thresholds["dominant-weight"]
    odds = limit / (1 - limit) if limit < 1 else math.inf
    hits = []
    for v in facts.weights.variables:
        share = v.health.dominance if v.health else None
        if not share or v.count < LEAST_FOR_ONE:
            continue
        needed = odds * max(1.0, LEAST_VALUES / (v.count - 1))
        if share == 1 or share / (1 - share) > needed:
            hits.append(
                Hit(f"one of {plural(v.count, 'value')} holds {percent_text(share)}", _at(v))
            )
    return hits


def gain_of(variable: Variable) -> float | None:
    """Return what a kernel does to the scale of what it reads; None for zero or unmeasured kernels.

    The root mean square times √(values of a filter).
    """
    if variable.role != "kernel" or not variable.health or not variable.l2:
        return None
    return variable.l2 / math.sqrt(variable.count) * math.sqrt(variable.health.each)


def _gain_of_others(variable: Variable) -> float | None:
    gain, share = gain_of(variable), (variable.health.dominance or 0) if variable.health else 0
    return gain * math.sqrt(1 - share) if gain and share < 1 else gain


def regression_heads(facts: Facts) -> set[str]:
    """Return the layers whose outputs are numbers or pictures: their scale is that of the targets."""
    if facts.overview is None:
        return set()
    decided = {
        task.output
        for task in facts.overview.tasks
        if task.kind in {"classification", "binary", "multilabel", "segmentation"}
    }
    return {output.layer or "" for output in facts.overview.outputs if output.name not in decided}


def scale_out_of_line(facts: Facts) -> Judgement:
    """Find kernels whose gain is a hundred times off the median of their kind, or off √2.

    A kind is the layer's class, where there are four or more: the widest ratio of 292 trained kernels is
    21, of 306 fresh ones 10. √2 is He's expectation: the gains of 314 published trained kernels lie between
    0.137 and 29.4, of 407 small ones between 0.483 and 2.46, of 310 fresh ones between 0.045 and 7.1, none
    out of line; the head of a regression is left out of this.
    A kernel's largest value is left out of its gain: ``dominant-weight`` is the rule for that. A kernel that is
    as its layer declares to start has the scale that was asked for: ``kernel-at-initialisation`` names it. Of
    kernels under 64 values nothing is said: a 1×1 convolution of two channels has four.
    """
    if facts.weights is None:
        return NO_WEIGHTS
    limit = facts.thresholds["scale-out-of-line"]
    free, fresh = regression_heads(facts), as_declared(facts)
    kinds: dict[str, list[float]] = {}
    gains = [(v, gain) for v in facts.weights.variables if (gain := _gain_of_others(v))]
    if not gains:
        return NotJudged("there is no kernel")
    for v, gain in gains:
        kinds.setdefault(_kind(v), []).append(gain)
    hits = []
    for v, gain in gains:
        if v.path in fresh or v.count < LEAST_FOR_ONE:
            continue
        kind = sorted(kinds[_kind(v)])
        middle = kind[len(kind) // 2]
        if len(kind) >= LEAST_OF_A_KIND and not 1 / limit <= gain / middle <= limit:
            text = f"gain {gain:.3g}, {gain / middle:.3g} times the median of its kind"
        elif v.layer not in free and not 1 / limit <= gain / EXPECTED_GAIN <= limit:
            text = f"gain {gain:.3g}, {gain / EXPECTED_GAIN:.3g} times the expected √2"
        else:
            continue
        hits.append(Hit(text, _at(v)))
    return hits


def _kind(variable: Variable) -> str:
    return f"{variable.layer_class}/{variable.name}"


def bias_ratios(content: WeightsContent) -> list[tuple[Variable, float, str]]:
    """Return every bias and shift with how often it holds what it is added to, and what that is.

    The largest |bias| over the largest gain of its layer's kernels, the largest |β| over the root mean
    square of γ.
    """
    gains: dict[str, float] = {}
    for v in content.variables:
        if gain := gain_of(v):
            gains[v.layer] = max(gain, gains.get(v.layer, 0.0))
    scales = {
        v.layer: v.l2 / math.sqrt(v.count) for v in content.variables if v.role == "gamma" and v.l2
    }
    found = []
    for v in content.variables:
        top = _top(v)
        if v.role == "bias" and v.layer in gains:
            found.append((v, top / gains[v.layer], "the gain of its kernel"))
        if v.role == "beta" and v.layer in scales:
            found.append((v, top / scales[v.layer], "γ"))
    return found


def bias_out_of_line(facts: Facts) -> Judgement:
    """Find biases and shifts that drown whatever their layer computes: ``bias_ratios`` over a hundred.

    The largest of 187 published trained biases is 26, of 319 in small networks 0.61, of 133 trained β 6.3.
    Where the kernel's own scale is out of line, or it is as its layer declares to start, or
    ``units-cannot-fire`` names the layer nothing more is said; the head of a regression is left out.
    """
    if facts.weights is None:
        return NO_WEIGHTS
    limit = facts.thresholds["bias-out-of-line"]
    measured = bias_ratios(facts.weights)
    if not measured:
        return NotJudged("there is no bias beside a kernel, and no shift")
    scales = scale_out_of_line(facts)
    named = {hit.where.layer for hit in scales} if isinstance(scales, list) else set()
    named |= {v.layer for v in facts.weights.variables if v.path in as_declared(facts)}
    named |= {n.layer for n in facts.weights.batch_norms if n.before_relu and n.dead}
    named |= regression_heads(facts)
    return [
        Hit(f"up to {_top(v):.4g}, {ratio:.3g} times {what}", _at(v))
        for v, ratio, what in measured
        if ratio > limit and v.layer not in named
    ]


def rounded_kernel(facts: Facts) -> Judgement:
    """Find floating-point kernels of 100 values or more that all stand on one even grid of few levels.

    ``KernelHealth.levels`` tries grids of up to 257 levels for the whole kernel and of 8 and 4 bits for each
    filter. None of 314 published and 407 small trained kernels and of 742 fresh ones stands on one.
    """
    if facts.weights is None:
        return NO_WEIGHTS
    return [
        Hit(f"{plural(v.count, 'value')} on a grid of {v.health.levels} levels", _at(v))
        for v in facts.weights.variables
        if v.health and v.health.levels
    ]


RULES = (
    Rule(
        "dominant-weight", "One weight dominates its kernel", "warning", dominant_weight,
        "no single value holds more than {limit:.0%} of a kernel's sum of squares; under 1,000 values 32 "
        "times the others' root mean square",
        "The layer reads one input and little else: usually a damaged value.",
        "Compare with another checkpoint.",
        "largest share in 229 trained kernels: 14 %",
    ),
    Rule(
        "scale-out-of-line", "A kernel's scale is out of line", "warning", scale_out_of_line,
        "gain within {limit:g} times the median of layers of its class, and of √2",
        "It blows signals up or lets them vanish.",
        "Compare with another checkpoint; look for a unit error or exploding gradients.",
        "He et al. (2015); widest ratio of 292 trained kernels: 21",
    ),
    Rule(
        "bias-out-of-line", "A bias outweighs what its layer computes", "warning", bias_out_of_line,
        "|bias| at most {limit:g} times the gain of its kernel, |β| at most {limit:g} times γ",
        "The unit answers the same to every input: never at all, or always.",
        "Compare with another checkpoint; look for a damaged value or exploding gradients.",
        "largest of 187 trained biases: 26",
    ),
    Rule(
        "rounded-kernel", "A kernel was rounded to few levels", "warning", rounded_kernel,
        "floating-point values do not all stand on an even grid of 255 or 15 levels",
        "The kernel went through int8 or int4 and lost its small differences.",
        "Compare the accuracy with that of the unrounded weights; quantise from these, not twice.",
        "Jacob et al. (2018), Quantization and Training",
    ),
)  # fmt: skip
"""All rules about scales."""
