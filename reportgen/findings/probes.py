"""Rules about what goes in and what comes out."""

from __future__ import annotations

from collections import Counter
from math import comb
from statistics import median, pstdev
from typing import TYPE_CHECKING

from reportgen.findings.facts import NO_PROBES, Hit, NotJudged, Rule, head_of
from reportgen.findings.scales import scale_out_of_line
from reportgen.report.content.probes import ClassificationResult
from reportgen.report.findings import Where
from reportgen.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.findings.facts import Facts, Judgement
    from reportgen.report.content.probes import ProbeResult

LEAST_PROBES = 4
LEAST_LABELLED = 5
LEAST_RENAMED = 10
LEAST_CONFIRMED = 5
ROLLED_BY_CHANCE = 5e-4


def _classified(facts: Facts) -> list[tuple[ProbeResult, ClassificationResult]]:
    return [
        (probe, output)
        for probe in (facts.probes.probes if facts.probes else ())
        for output in probe.outputs[:1]
        if isinstance(output, ClassificationResult) and output.top
    ]


NO_CLASSES = NotJudged("the first output is no classification, or it is not finite")


def input_range(facts: Facts) -> Judgement:
    """Hold what is fed against the statistics of the first BatchNormalization.

    Right preprocessing has a distance of 0.15 to 0.45 on other images than the training's (six networks),
    factors of 127 or 255 have 3.5 or more.
    """
    if facts.probes is None:
        return NO_PROBES
    match = facts.probes.normalization
    if match is None:
        return NotJudged("there is no BatchNormalization with learned statistics")
    if match.distance <= facts.thresholds["input-range"]:
        return []
    return [Hit(f"distance {match.distance:.2f}", Where(layer=match.layer))]


def channel_order(facts: Facts) -> Judgement:
    """Report images that fit better with their channels reversed; colours of few images prove little."""
    if facts.probes is None:
        return NO_PROBES
    match = facts.probes.normalization
    if match is None or match.swapped is None:
        return NotJudged("no three channels, or no BatchNormalization to hold them against")
    if match.swapped >= facts.thresholds["channel-order"] * match.distance:
        return []
    text = f"distance {match.distance:.2f} as fed, {match.swapped:.2f} with the channels reversed"
    return [Hit(text, Where(layer=match.layer))]


def class_names(facts: Facts) -> Judgement:
    """Hold the number of class names against the outputs (a wrong number stops the build)."""
    if facts.overview is None or not any(
        t.kind in {"classification", "multilabel", "binary"} for t in facts.overview.tasks
    ):
        return NotJudged("the model does not classify")
    if not facts.overview.classes:
        return NotJudged("no class names were given")
    return []


def confidently_wrong(facts: Facts) -> Judgement:
    """Report labelled probes that are wrong at high probability; the images decide, so information."""
    if facts.probes and facts.probes.chosen:
        return NotJudged("the probes were chosen for their mistakes, which Evaluation lists")
    pairs = [(p, o) for p, o in _classified(facts) if o.correct is not None]
    if not pairs:
        return NotJudged("no labelled classification probes")
    limit = facts.thresholds["confidently-wrong"]
    return [
        Hit(f"{o.top[0].name} at {o.top[0].probability:.1%}", Where(probe=p.index))
        for p, o in pairs
        if not o.correct and (o.top[0].probability or 0) >= limit
    ]


def constant_output(facts: Facts) -> Judgement:
    """Find a head that decides the same whatever it sees.

    Four probes or more and five artificial inputs (black, white, noise, ramp, halves) all get one
    class, the probes at 90 % or more in the median, and the least logit gap is five times the gaps'
    standard deviation; or all outputs are equal to six digits. Of 30,000 draws of 4, 8 or 16 test
    images of one class through five trained networks none is called constant.
    """
    outputs = [o for _, o in _classified(facts)]
    if len(outputs) < LEAST_PROBES or facts.probes is None:
        return NotJudged("fewer than four classification probes")
    if facts.probes.different is not None and facts.probes.different < LEAST_PROBES:
        return NotJudged("fewer than four different probes")
    if len({o.top[0].index for o in outputs}) > 1:
        return []
    name = outputs[0].top[0].name
    answers = {(o.entropy, tuple(s.probability for s in o.top), o.logit_gap) for o in outputs}
    if len(answers) == 1:
        return [Hit(f"the same output for {plural(len(outputs), 'probe')}: {name}", head_of(facts))]
    controls = facts.probes.controls
    if not controls or any(c.index != outputs[0].top[0].index for c in controls):
        return []
    all_gaps = [*(o.logit_gap for o in outputs), *(c.logit_gap for c in controls)]
    gaps = [gap for gap in all_gaps if gap is not None]
    sure = median(o.top[0].probability or 0 for o in outputs)
    if len(gaps) < len(outputs) or sure < 0.9 or min(gaps) <= 5 * pstdev(gaps):
        return []
    text = (
        f"{name} for {plural(len(outputs), 'probe')} and {plural(len(controls), 'artificial input')}, "
        f"logit gap {min(gaps):.3g} to {max(gaps):.3g}"
    )
    return [Hit(text, head_of(facts))]


def over_confident_head(facts: Facts) -> Judgement:
    """Find logits so far apart that the probabilities say nothing.

    Median gap between the two largest logits over 50 (odds of e⁵⁰); ten trained networks have 0.7 to 11.4.
    """
    pairs = _classified(facts)
    gaps = [o.logit_gap for _, o in pairs if o.logit_gap is not None]
    if not gaps:
        return NO_CLASSES
    limit = facts.thresholds["over-confident-head"]
    if median(gaps) <= limit:
        return []
    for rule, name in (
        (constant_output, "a constant output"),
        (scale_out_of_line, "a kernel's scale"),
    ):
        if isinstance(found := rule(facts), list) and found:
            return NotJudged(f"explained by {name}")
    return [
        Hit(f"median logit gap {median(gaps):.3g} on {plural(len(gaps), 'probe')}", head_of(facts))
    ]


def rolled_labels(facts: Facts) -> Judgement:
    """Find labels that each map to one other class: classes in another order.

    At most a fifth of them right, and either ten labelled probes or more of three labels or more, nine in
    ten explained by one class a label, five of them beyond the first of each, no two labels the same; or so
    many labels whose probes mostly lie the same number of classes further that chance would do it once in
    2,000 times: five of ten classes, all of them rolled. One of 135,000 draws of 5 to 64 probes of 3, 10 or
    1,000 classes with wrong answers (any, of few classes, of one) is called so.
    """
    pairs = [
        (p.label.index, o.top[0].index)
        for p, o in _classified(facts)
        if p.label is not None and p.label.index is not None
    ]
    if len(pairs) < LEAST_LABELLED:
        return NotJudged("fewer than five labelled probes")
    if sum(a == b for a, b in pairs) > 0.2 * len(pairs):
        return []
    classes = max(o.classes for _, o in _classified(facts))
    text = _in_another_order(pairs) or _rolled(pairs, classes)
    return [Hit(text, head_of(facts))] if text else []


def _in_another_order(pairs: Sequence[tuple[int, int]]) -> str:
    """Say which class each label is taken for, where that is one-to-one and explains nine in ten."""
    if len(pairs) < LEAST_RENAMED:
        return ""
    best = {label: counts.most_common(1)[0] for label, counts in _by_label(pairs).items()}
    explained = sum(count for _, count in best.values())
    targets = [target for target, _ in best.values()]
    confirmed = explained - len(best)  # of one probe a label, any answers are a mapping
    if len(best) < 3 or explained < 0.9 * len(pairs) or confirmed < LEAST_CONFIRMED:
        return ""
    if len(set(targets)) < len(targets):
        return ""
    names = ", ".join(f"{label} → {target}" for label, (target, _) in sorted(best.items())[:5])
    return f"{explained} of {len(pairs)} labelled probes follow {names}"


def _by_label(pairs: Sequence[tuple[int, int]]) -> dict[int, Counter[int]]:
    found: dict[int, Counter[int]] = {}
    for label, predicted in pairs:
        found.setdefault(label, Counter())[predicted] += 1
    return found


def _rolled(pairs: Sequence[tuple[int, int]], classes: int) -> str:
    """Say by how many places the classes are rolled, where chance does not explain it.

    Labels count, not probes: a network that always says the same agrees with one label only.
    """
    labels = _by_label(pairs)
    shifts = Counter((predicted - label) % classes for label, predicted in pairs)
    shift, agree = shifts.most_common(1)[0]
    follow = sum(
        2 * counts[(label + shift) % classes] > counts.total() for label, counts in labels.items()
    )
    if shift == 0 or 2 * agree <= len(pairs):
        return ""
    chance = classes * sum(
        comb(len(labels), k) * (classes - 1) ** (len(labels) - k) / classes ** len(labels)
        for k in range(follow, len(labels) + 1)
    )
    if chance > ROLLED_BY_CHANCE:
        return ""
    places = min(shift, shift - classes, key=abs)
    return (
        f"{agree} of {len(pairs)} labelled probes and most of {follow} of {len(labels)} labels are "
        f"predicted as the class {places:+d} places on"
    )


def softmax_twice(facts: Facts) -> Judgement:
    """Find probabilities that do not sum to 1, and a softmax over what is a distribution already."""
    pairs = _classified(facts)
    if not pairs:
        return NO_CLASSES
    outputs = [o for _, o in pairs]
    if all(o.logits_sum_to_one for o in outputs):
        return [Hit("what goes into the softmax sums to 1 and is not negative", head_of(facts))]
    off = [
        o.total
        for o in outputs
        if not o.softmaxed and o.total is not None and abs(o.total - 1) > 1e-2
    ]
    if off:
        return [Hit(f"outputs sum to {min(off):.4g} to {max(off):.4g}", head_of(facts))]
    return []


RULES = (
    Rule(
        "input-range", "Inputs are not in the range that the network learned", "warning", input_range,
        "distance to the first BatchNormalization's statistics at most {limit:g}",
        "With wrong preprocessing every prediction of the probes is meaningless.",
        "Give --preprocess as in training.",
        "Ioffe and Szegedy (2015); bound measured",
    ),
    Rule(
        "channel-order", "The channels may be in reverse order", "info", channel_order,
        "reversed channels fit no better than {limit:g} times as well",
        "OpenCV reads BGR, Keras RGB.",
        "Check how the training read its images.",
        "no accepted threshold",
    ),
    Rule(
        "class-names", "Class names do not fit the outputs", "error", class_names,
        "as many class names as outputs",
        "Names would stand at the wrong classes.",
        "Give --classes with one name an output.",
        "by definition",
    ),
    Rule(
        "confidently-wrong", "Wrong at high probability", "info", confidently_wrong,
        "no wrong probe at {limit:.0%} or more",
        "The worst kind of mistake, and sometimes a wrong label.",
        "Look at the {image} and its label.",
        "Northcutt et al. (2021), Pervasive Label Errors",
    ),
    Rule(
        "constant-output", "The output is the same whatever the input", "error", constant_output,
        "the decision depends on the {image}",
        "The head has collapsed.",
        "Look at the head's bias and at class imbalance; train it again.",
        "by definition",
    ),
    Rule(
        "over-confident-head", "The head is overconfident", "warning", over_confident_head,
        "median gap between the two largest logits at most {limit:g}",
        "Probabilities of 1.000 everywhere say nothing about certainty.",
        "Calibrate the temperature; look at the head's scale.",
        "Guo et al. (2017), On Calibration",
    ),
    Rule(
        "rolled-labels", "Labels and classes are in different orders", "warning", rolled_labels,
        "no consistent mapping of labels to other classes on ten labelled probes or more; on five or more no "
        "common distance between labels and classes",
        "The network may be right and its class names wrong.",
        "Compare the order of the class names with the training's (folders: alphabetical).",
        "by definition",
    ),
    Rule(
        "softmax-twice", "Outputs are no proper probabilities", "warning", softmax_twice,
        "outputs sum to 1, and the softmax does not run over probabilities",
        "A softmax over probabilities flattens them: no class gets above 0.24 of ten.",
        "Remove one softmax, or train with from_logits=True.",
        "by definition",
    ),
)  # fmt: skip
"""All rules about inputs and outputs."""
