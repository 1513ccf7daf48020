"""Rules about how good the network is on a whole data set."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from reportgen.findings.facts import Hit, NotJudged, Rule, head_of
from reportgen.report.content.evaluation import Classified, Labelled, MaskRow, Regressed, Segmented
from reportgen.report.findings import Where
from reportgen.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from reportgen.findings.facts import Facts, Judgement
    from reportgen.network.samples import Sample
    from reportgen.report.content.evaluation import ClassRow
    from reportgen.report.findings import Severity

LEAST_IMAGES = 10
"""Images of a class below which its recall is an anecdote."""
MANY_IMAGES = 200


def _each(
    facts: Facts, judge: Callable[[Any], list[Hit]], *kinds: type, at_head: bool = False
) -> Judgement:
    """Judge every output of a kind; of several outputs each hit names its own, at its layer on demand."""
    content = facts.evaluation
    if content is None:
        return NotJudged("no data set was evaluated")
    named = [(content.output, content.result)]
    named += [(other.output, other.result) for other in content.others]
    fitting = [(output, result) for output, result in named if isinstance(result, kinds)]
    if not fitting:
        words = " or ".join(_WORDS[kind] for kind in kinds)
        return NotJudged(f"no output is {words}")
    hits = []
    for output, result in fitting:
        start = f"{output}: " if len(named) > 1 else ""
        where = head_of(facts, output) if at_head else Where()
        hits += [hit._replace(observed=start + hit.observed, where=where) for hit in judge(result)]
    return hits


_WORDS: dict[Any, str] = {
    Classified: "a classification",
    Labelled: "a set of labels",
    Regressed: "a number",
    Segmented: "a mask",
}


def _images(facts: Facts) -> int:
    return facts.evaluation.images if facts.evaluation else 0


def accuracy_at_chance(facts: Facts) -> Judgement:
    """Report an accuracy whose confidence interval does not lie above what needs no network."""

    def judge(result: Classified) -> list[Hit]:
        if not _at_chance(result) or result.ranked:
            return []
        low, high = result.interval
        return [
            Hit(
                f"accuracy {result.accuracy:.3f} (95 % interval {low:.3f} to {high:.3f}) on "
                f"{facts.sample.counted(_images(facts))}; always saying the largest class reaches "
                f"{result.majority:.3f}"
            )
        ]

    return _each(facts, judge, Classified)


def _at_chance(result: Classified) -> bool:
    several = len([row for row in result.classes if row.support]) > 1
    return several and result.interval[0] <= max(result.majority, result.chance)


def threshold_misplaced(facts: Facts) -> Judgement:
    """Report answers whose order is right and whose threshold is not.

    The probabilities order the images better than chance does (area under ROC, Mann and Whitney), and another
    threshold has more right decisions than the upper end of the accuracy's 95 % interval; an error where the
    accuracy itself is no better than guessing. Of labels: most are so ordered, and together the decisions are
    no better than a constant answer.
    """

    def judge(result: Classified | Labelled) -> list[Hit]:
        if isinstance(result, Labelled):
            return _labels_out_of_place(result)
        other = result.most_right
        if not result.ranked or other is None:
            return []
        right = other.hits + result.classes[0].support - other.false_alarms
        count = sum(row.support for row in result.classes)
        if right / count <= result.interval[1]:
            return []
        text = (
            f"accuracy {result.accuracy:.3f} at the threshold {result.threshold:.3g}; the ranking has an area "
            f"under ROC of {result.roc_auc:.3f}, and at {other.threshold:.3g} {right:,} of "
            f"{facts.sample.counted(count)} are correct"
        )
        return [Hit(text, severity="error" if _at_chance(result) else "warning")]

    content = facts.evaluation
    results = [content.result, *(other.result for other in content.others)] if content else []
    if content and all(getattr(result, "threshold", None) is None for result in results):
        return NotJudged("no output decides by a threshold")
    return _each(facts, judge, Classified, Labelled)


def _labels_out_of_place(result: Labelled) -> list[Hit]:
    if not _constant_is_as_good(result) or 2 * result.ranked <= len(result.labels):
        return []
    return [
        Hit(
            f"{result.accuracy:.3f} of all decisions right at the threshold {result.threshold:.3g}, and "
            f"{result.ranked} of {plural(len(result.labels), 'label')} are ranked better than chance",
            severity="error",
        )
    ]


def _constant_is_as_good(result: Labelled | Segmented) -> bool:
    return result.majority not in {None, 1} and result.accuracy <= (result.majority or 0)


def below_baseline(facts: Facts) -> Judgement:
    """Report numbers, labels and masks that a constant answer gets as well."""

    def judge(result: Regressed | Labelled | Segmented) -> list[Hit]:
        on = facts.sample.counted(_images(facts))
        if isinstance(result, Regressed):
            if result.baseline_mae == 0 or result.mae < result.baseline_mae:
                return []
            constant = f"always the median has {result.baseline_mae:.4g}"
            return [Hit(f"mean absolute error {result.mae:.4g} on {on}; {constant}")]
        if not _constant_is_as_good(result):
            return []
        if isinstance(result, Labelled) and _labels_out_of_place(result):
            return []
        what = "decisions" if isinstance(result, Labelled) else "pixels"
        constant = f"the most frequent answer has {result.majority:.3f}"
        return [Hit(f"{result.accuracy:.3f} of all {what} right on {on}; {constant}")]

    return _each(facts, judge, Regressed, Labelled, Segmented)


def never_predicted(facts: Facts) -> Judgement:
    """Report classes that the network never says although they are there."""
    return _classes(facts, lambda row: row.predicted == 0)


def zero_recall(facts: Facts) -> Judgement:
    """Report classes that the network says, and never where they are."""
    return _classes(facts, lambda row: row.predicted > 0 and _found(row) == 0)


def _found(row: ClassRow | MaskRow) -> float | None:
    return row.iou if isinstance(row, MaskRow) else row.recall


def _classes(facts: Facts, hit: Callable[[ClassRow | MaskRow], bool]) -> Judgement:
    def judge(result: Classified | Labelled | Segmented) -> list[Hit]:
        rows = result.labels if isinstance(result, Labelled) else result.classes
        there = [
            row
            for row in rows
            if (row.pixels if isinstance(row, MaskRow) else row.support) >= LEAST_IMAGES
        ]
        found = [row for row in there if hit(row)]
        if not found:
            return []
        return [Hit(f"{len(found)} of {len(rows)} classes: {_listed(found, facts.sample)}")]

    return _each(facts, judge, Classified, Labelled, Segmented)


def _listed(rows: list[ClassRow | MaskRow], sample: Sample) -> str:
    names = ", ".join(f"{row.name} ({_much(row, sample)})" for row in rows[:5])
    return names + (", …" if len(rows) > 5 else "")


def _much(row: ClassRow | MaskRow, sample: Sample) -> str:
    return plural(row.pixels, "pixel") if isinstance(row, MaskRow) else sample.counted(row.support)


def relabelled(facts: Facts) -> Judgement:
    """Report labels that fit far better under other names: rolled by one, or two classes swapped.

    Every class is mostly taken for one class, no two for the same, and under these names the accuracy is at
    least 0.5 and higher than as labelled by half of the renamed classes' share.
    """

    def judge(result: Classified) -> list[Hit]:
        better = result.relabelled
        if better is None or better < 0.5 or _images(facts) < 50:
            return []
        share = len(result.renaming) / max(1, len([r for r in result.classes if r.support]))
        if better - result.accuracy < share / 2:
            return []
        names = {row.index: row.name for row in result.classes}
        pairs = ", ".join(f"{names[t]} is called {names[p]}" for t, p in result.renaming[:4])
        return [
            Hit(f"{pairs}: accuracy {result.accuracy:.3f} as labelled, {better:.3f} so renamed")
        ]

    return _each(facts, judge, Classified, at_head=True)


def miscalibrated(facts: Facts) -> Judgement:
    """Report probabilities that do not say how often the network is right."""

    def judge(result: Classified) -> list[Hit]:
        error = result.calibration_error
        if error is None or error <= facts.thresholds["miscalibrated"]:
            return []
        mean = sum(b.count * b.confidence for b in result.bins) / sum(b.count for b in result.bins)
        side = "too sure" if mean > result.accuracy else "not sure enough"
        return [
            Hit(
                f"expected calibration error {error:.3f} on {facts.sample.counted(_images(facts))}: {side}, "
                f"mean confidence {mean:.3f} at an accuracy of {result.accuracy:.3f}"
            )
        ]

    judged = _each(facts, judge, Classified)
    if isinstance(judged, list) and _images(facts) < MANY_IMAGES:
        return NotJudged(f"fewer than 200 {facts.sample.many}")
    return judged


def too_good(facts: Facts) -> Judgement:
    """Report a perfect score on many images: training data among them, or labels that leak."""

    def judge(result: Classified) -> list[Hit]:
        if result.accuracy < 1 or _images(facts) < MANY_IMAGES:
            return []
        return [Hit(f"every one of {facts.sample.counted(_images(facts))} is right")]

    return _each(facts, judge, Classified)


def imbalance(facts: Facts) -> Judgement:
    """Report a data set in which one class is far larger than another."""

    def judge(result: Classified) -> list[Hit]:
        there = [row for row in result.classes if row.support]
        if len(there) < 2:
            return (
                [Hit(f"all {facts.sample.many} are of one class, {there[0].name}")] if there else []
            )
        large = max(there, key=lambda row: row.support)
        small = min(there, key=lambda row: row.support)
        if large.support <= facts.thresholds["imbalance"] * small.support:
            return []
        return [
            Hit(
                f"{large.name} has {facts.sample.counted(large.support)}, {small.name} {small.support:,}"
            )
        ]

    return _each(facts, judge, Classified)


def orientation_matters(facts: Facts) -> Judgement:
    """Report images whose EXIF orientation decides whether they are right.

    A warning where chance explains the difference in one of twenty data sets at most: the exact test of
    McNemar on the images that are right one way only; otherwise information.
    """
    if facts.evaluation is None:
        return NotJudged("no data set was evaluated")
    turned = facts.evaluation.turned
    if turned is None:
        return NotJudged("no image has an EXIF orientation, or the output is no decision")
    if turned.correct == turned.correct_turned:
        return []
    now, other = ("as stored", "turned as their EXIF orientation says")
    if turned.orientation == "keras":
        now, other = other, now
    text = (
        f"of {plural(turned.images, 'image')} with an EXIF orientation {turned.correct} are correct {now} and "
        f"{turned.correct_turned} {other}"
    )
    severity: Severity = "warning" if _mcnemar(turned.gained, turned.lost) <= 0.05 else "info"
    return [Hit(text, severity=severity)]


def _mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided exact p value: how often a fair coin is as one-sided."""
    count = gained + lost
    tail = sum(math.comb(count, k) for k in range(min(gained, lost) + 1))
    return min(1.0, tail / 2.0 ** (count - 1))


RULES = (
    Rule(
        "accuracy-at-chance", "No better than guessing", "error", accuracy_at_chance,
        "the accuracy's 95 % interval lies above chance and above the largest class",
        "The network adds nothing to always saying the same.",
        "Check the preprocessing and the order of the classes first, then the training.",
        "Wilson (1927)",
    ),
    Rule(
        "threshold-out-of-place", "The ranking is right, the threshold is not", "warning", threshold_misplaced,
        "no other threshold has more right decisions than the accuracy's 95 % interval allows",
        "The network tells the classes apart, and decides at the wrong place.",
        "Choose the threshold on held-out data, and give it by --threshold.",
        "Mann and Whitney (1947); Wilson (1927)",
    ),
    Rule(
        "orientation-matters", "The EXIF orientation decides what is correct", "warning", orientation_matters,
        "as many images with an EXIF orientation are correct as stored and turned",
        "Keras's loaders read images as they are stored; the training or the use may turn them.",
        "Give --orientation as in training, and read images alike in use.",
        "McNemar (1947), exact; Keras's load_img",
    ),
    Rule(
        "below-baseline", "No better than a constant answer", "error", below_baseline,
        "smaller errors than always the median, more right decisions or pixels than the most frequent answer",
        "The network adds nothing to always saying the same.",
        "Check the preprocessing and the units of the labels first, then the training.",
        "by definition",
    ),
    Rule(
        "never-predicted", "Classes that are never predicted", "warning", never_predicted,
        "every class with ten {images} or pixels or more is predicted at least once",
        "The network does not know the class.",
        "Look at its {images} and labels; weigh or sample the class in training.",
        "by definition",
    ),
    Rule(
        "zero-recall", "Classes that are never found", "warning", zero_recall,
        "every class with ten {images} or pixels or more is found at least once",
        "The class is predicted, but only for other classes' {images}: perhaps two names are swapped.",
        "Compare the order of the class names with the training's.",
        "by definition",
    ),
    Rule(
        "labels-renamed", "The labels fit better under other names", "error", relabelled,
        "no one-to-one renaming of the classes raises the accuracy by far",
        "The network may be right and the order of its class names wrong.",
        "Compare the order of the class names with the training's (folders: alphabetical).",
        "by definition",
    ),
    Rule(
        "miscalibrated", "Probabilities are not calibrated", "warning", miscalibrated,
        "expected calibration error at most {limit:g} on 200 {images} or more",
        "Its confidence does not say how often it is right.",
        "Scale the temperature on held-out data.",
        "Guo et al. (2017), On Calibration of Modern Neural Networks",
    ),
    Rule(
        "too-good", "A perfect score", "info", too_good,
        "at least one mistake on 200 {images} or more",
        "Rare on honest data: training {images} may be among them.",
        "Check that the data set was not trained on.",
        "no accepted threshold",
    ),
    Rule(
        "imbalance", "The classes are of very different size", "info", imbalance,
        "the largest class has at most {limit:g} times the {images} of the smallest",
        "The accuracy is that of the large classes.",
        "Read recall and F1 of every class.",
        "no accepted threshold",
    ),
)  # fmt: skip
"""All rules about a data set."""
