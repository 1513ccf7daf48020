"""Rules about what the layers answer to the images; few images judge little, and they say so."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from reportgen.findings.facts import (
    NO_ACTIVATIONS,
    NO_WEIGHTS,
    Hit,
    NotJudged,
    Rule,
    channels_of,
    head_of,
)
from reportgen.report.findings import Where
from reportgen.wording import plural

if TYPE_CHECKING:
    from reportgen.findings.facts import (
        Facts,
        Judgement,
    )
    from reportgen.report.content.activations import ActivationsContent, CallRow
    from reportgen.report.findings import Severity

ENOUGH_IMAGES = 64
_STEEPEST = {"sigmoid": 0.25, "hard_sigmoid": 0.25, "tanh": 1.0}


def units_cannot_fire(facts: Facts) -> Judgement:
    """Find units that no image can make fire: certain on any number of images.

    β + 3|γ| < 0 in a BatchNormalization that only ReLUs read, or a largest pre-activation below zero
    by six standard deviations of its layer. A warning from a tenth of the layer on (published
    networks have single ones), below that information. By the first part 2 of 46 affected layers of
    the 12 trained networks are warned of, and none of four fresh networks.
    """
    if facts.weights is None:
        return NO_WEIGHTS
    limit = facts.thresholds["units-cannot-fire"]
    hits, seen = [], set()
    for n in facts.weights.batch_norms:
        if n.before_relu and n.dead:
            seen.add(n.layer)
            text = f"{n.dead} of {plural(n.channels, 'channel')} with β + 3|γ| < 0"
            level: Severity = "warning" if n.dead >= limit * n.channels else "info"
            hits.append(Hit(text, channels_of(n.layer, n.dead_channels, n.dead), level))
    for row in facts.activations.calls if facts.activations else ():
        if row.below and row.layer not in seen:
            text = (
                f"{row.below} of {plural(row.channels, 'channel')} stay 6 standard deviations below zero on "
                f"{facts.sample.counted(facts.activations.images if facts.activations else 0)}"
            )
            level = "warning" if row.below >= limit * row.channels else "info"
            hits.append(Hit(text, channels_of(row.layer, row.below_channels, row.below), level))
    return hits


def silent_units(facts: Facts) -> Judgement:
    """Report units that are zero on every image.

    Information with their number; a warning only where more than half of a layer is silent on 64
    images or more. A healthy network has 16 of 64 silent units in a Dense layer on 8 images.
    """
    content = facts.activations
    if content is None:
        return NO_ACTIVATIONS
    limit = facts.thresholds["silent-units"]
    hits = []
    for row in _rectifiers(facts, content):
        if not row.silent:
            continue
        share = row.silent / row.channels
        many = share > limit and content.images >= ENOUGH_IMAGES
        text = f"{row.silent} of {plural(row.channels, 'channel')} on {facts.sample.counted(content.images)}"
        text += _dead_beside(facts, row)
        hits.append(Hit(text, Where(layer=row.layer), "warning" if many else "info"))
    return hits


def _dead_beside(facts: Facts, row: CallRow) -> str:
    """Say how many channels the BatchNormalization that a layer reads makes zero for every image."""
    rows = facts.architecture.layers if facts.architecture else ()
    read = {source for one in rows if one.path == row.layer for source in one.sources} | {row.layer}
    norms = facts.weights.batch_norms if facts.weights else ()
    dead = next((n for n in norms if n.layer in read and n.before_relu and n.dead), None)
    if dead is None:
        return ""
    return f"; {dead.dead} are dead: the weights of {dead.layer} keep them at zero for every image"


def _rectifiers(facts: Facts, content: ActivationsContent) -> list[CallRow]:
    """Return the calls whose own activation makes zeros; what only hands them on is left out."""
    if facts.architecture is None:
        return [row for row in content.calls if row.class_name in {"ReLU", "Activation"}]
    makes = {row.path for row in facts.architecture.layers if row.activation in {"relu", "relu6"}}
    return [row for row in content.calls if row.layer in makes]


def saturated_units(facts: Facts) -> Judgement:
    """Find sigmoid and tanh layers on their flat ends, the outputs left out.

    The mean slope, s(1 - s) or 1 - t², from mean and mean square; under a hundredth of the steepest.
    No false-alarm rate: none of the networks at hand has inner sigmoids or tanh outside of its gates.
    """
    content = facts.activations
    if content is None:
        return NO_ACTIVATIONS
    if facts.architecture is None:
        return NotJudged("the section Architecture is missing")
    kinds = {row.path: row.activation for row in facts.architecture.layers}
    outputs = {output.layer for output in facts.overview.outputs} if facts.overview else set()
    limit = facts.thresholds["saturated-units"]
    hits, judged = [], False
    for row in content.calls:
        kind = kinds.get(row.layer)
        if kind not in _STEEPEST or row.id in outputs or row.mean is None or row.std is None:
            continue
        judged = True
        square = row.std**2 + row.mean**2
        slope = 1 - square if kind == "tanh" else row.mean - square
        share = max(slope, 0.0) / _STEEPEST[kind]
        if share < limit:
            hits.append(Hit(f"mean slope {share:.2%} of the steepest", Where(layer=row.layer)))
    return hits if judged else NotJudged("no inner layer has a sigmoid or tanh")


def non_finite_activations(facts: Facts) -> Judgement:
    """Name the first call with NaN, or with infinity that nothing behind it is made for.

    A fact, explained where weights are not finite.
    """
    content = facts.activations
    broken = next((row for row in content.calls if row.broken), None) if content else None
    if broken is None:
        outputs = _broken_outputs(facts)
        return NO_ACTIVATIONS if content is None and not outputs else outputs
    if facts.weights is not None:
        bad = next((v for v in facts.weights.variables if v.nan or v.inf), None)
        if bad is not None:
            return NotJudged(f"explained by {bad.path}, which is not finite; first in {broken.id}")
    text = f"{plural(broken.non_finite, 'value')} of {broken.values:,}, first in the forward order"
    return [Hit(text, Where(layer=broken.layer))]


def _broken_outputs(facts: Facts) -> list[Hit]:
    """Find answers that are not finite though no call is: computed between layers, or not measured."""
    probes = facts.probes.probes if facts.probes else ()
    broken = [p for p in probes if any(getattr(o, "non_finite", 0) for o in p.outputs)]
    said = f"the answer to {len(broken)} of {plural(len(probes), 'probe')}"
    return [Hit(said, head_of(facts))] if broken else []


def activation_growth(facts: Facts) -> Judgement:
    """Report activations whose spread grows or vanishes over the depth; information only."""
    content = facts.activations
    if content is None:
        return NO_ACTIVATIONS
    spread = [row.std for row in content.calls if row.std]
    if len(spread) < 9:
        return NotJudged("fewer than nine calls")
    third = len(spread) // 3
    ratio = median(spread[-third:]) / median(spread[:third])
    limit = facts.thresholds["activation-growth"]
    if 1 / limit <= ratio <= limit:
        return []
    return [Hit(f"the last third spreads {ratio:.3g} times as wide as the first")]


RULES = (
    Rule(
        "units-cannot-fire", "Units are dead", "warning", units_cannot_fire,
        "less than {limit:.0%} of a layer's channels with β + 3|γ| < 0, or 6σ below zero, before a ReLU",
        "They are zero for every {image}: capacity that is paid for and not used.",
        "Lower the learning rate, or use a leaky activation; prune what is dead.",
        "Lu et al. (2020), Dying ReLU and Initialization",
    ),
    Rule(
        "silent-units", "Units were inactive on all {images}", "info", silent_units,
        "a warning above {limit:.0%} of a layer on 64 {images} or more",
        "Other {images} may activate them, unlike dead units; inactive on many {images} they are unused "
        "capacity.",
        "Show more {images} (--data, or --max-probes 64) before acting on it.",
        "Amazon SageMaker Debugger, rule DeadRelu",
    ),
    Rule(
        "saturated-units", "A sigmoid or tanh is saturated", "warning", saturated_units,
        "mean slope at least {limit:.0%} of the steepest",
        "No gradient passes.",
        "Scale its inputs, or normalise before it.",
        "Glorot and Bengio (2010)",
    ),
    Rule(
        "non-finite-activations", "Activations are NaN or infinite", "error", non_finite_activations,
        "no NaN or infinite activation",
        "Everything behind it is lost.",
        "Look at the first layer named; under float16 suspect overflow.",
        "IEEE 754",
    ),
    Rule(
        "activation-growth", "Activations grow or vanish with depth", "info", activation_growth,
        "spread of the last third within {limit:g} times that of the first",
        "Signals that grow or vanish make training hard.",
        "Normalise, or look at initialisation and residual scales.",
        "He et al. (2015); no accepted threshold",
    ),
)  # fmt: skip
"""All rules about activations."""
