"""Rules about how good the network is on a whole data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reportgen.content.evaluation import Classified
from reportgen.findings.facts import Hit, NotJudged, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from reportgen.content.evaluation import ClassRow
    from reportgen.findings.facts import Facts, Judgement

ENOUGH = 10
"""Images of a class below which its recall is an anecdote."""
MANY = 200


def _classified(facts: Facts) -> Classified | NotJudged:
    if facts.evaluation is None:
        return NotJudged("no data set was evaluated")
    result = facts.evaluation.result
    return (
        result if isinstance(result, Classified) else NotJudged("the output is no classification")
    )


def accuracy_at_chance(facts: Facts) -> Judgement:
    """Report an accuracy whose confidence interval does not lie above what needs no network."""
    result = _classified(facts)
    if isinstance(result, NotJudged):
        return result
    alone = max(result.majority, result.chance)
    if result.interval[0] > alone or len([row for row in result.classes if row.support]) < 2:
        return []
    low, high = result.interval
    return [
        Hit(
            f"accuracy {result.accuracy:.3f} (95 % interval {low:.3f} to {high:.3f}); always saying the "
            f"largest class reaches {result.majority:.3f}"
        )
    ]


def never_predicted(facts: Facts) -> Judgement:
    """Report classes that the network never says although they are there."""
    return _classes(facts, lambda row: row.predicted == 0)


def zero_recall(facts: Facts) -> Judgement:
    """Report classes that the network says, and never where they are."""
    return _classes(facts, lambda row: row.predicted > 0 and row.recall == 0)


def _classes(facts: Facts, hit: Callable[[ClassRow], bool]) -> Judgement:
    result = _classified(facts)
    if isinstance(result, NotJudged):
        return result
    found = [row for row in result.classes if row.support >= ENOUGH and hit(row)]
    if not found:
        return []
    return [Hit(f"{len(found)} of {len(result.classes)} classes: {_listed(found)}")]


def _listed(rows: list[ClassRow]) -> str:
    names = ", ".join(f"{row.name} ({row.support:,} images)" for row in rows[:5])
    return names + (", …" if len(rows) > 5 else "")


def relabelled(facts: Facts) -> Judgement:
    """Report labels that fit far better under other names: rolled by one, or two classes swapped.

    Every class is mostly taken for one class, no two for the same, and under these names the accuracy is at
    least 0.5 and higher than as labelled by half of the renamed classes' share.
    """
    result = _classified(facts)
    if isinstance(result, NotJudged):
        return result
    better = result.relabelled
    if better is None or better < 0.5 or (facts.evaluation and facts.evaluation.images < 50):
        return []
    share = len(result.renaming) / max(1, len([r for r in result.classes if r.support]))
    if better - result.accuracy < share / 2:
        return []
    names = {row.index: row.name for row in result.classes}
    pairs = ", ".join(f"{names[t]} is called {names[p]}" for t, p in result.renaming[:4])
    return [Hit(f"{pairs}: accuracy {result.accuracy:.3f} as labelled, {better:.3f} so renamed")]


def miscalibrated(facts: Facts) -> Judgement:
    """Report probabilities that do not say how often the network is right."""
    result = _classified(facts)
    if isinstance(result, NotJudged):
        return result
    if result.calibration_error is None:
        return NotJudged("fewer than 200 images")
    if result.calibration_error <= facts.thresholds["miscalibrated"]:
        return []
    mean = sum(b.count * b.confidence for b in result.bins) / sum(b.count for b in result.bins)
    side = "too sure" if mean > result.accuracy else "not sure enough"
    return [
        Hit(
            f"expected calibration error {result.calibration_error:.3f}: {side}, mean confidence {mean:.3f} at "
            f"an accuracy of {result.accuracy:.3f}"
        )
    ]


def too_good(facts: Facts) -> Judgement:
    """Report a perfect score on many images: training data among them, or labels that leak."""
    result = _classified(facts)
    if isinstance(result, NotJudged):
        return result
    if result.accuracy < 1 or facts.evaluation is None or facts.evaluation.images < MANY:
        return []
    return [Hit(f"every one of {facts.evaluation.images:,} images is right")]


def imbalance(facts: Facts) -> Judgement:
    """Report a data set in which one class is far larger than another."""
    result = _classified(facts)
    if isinstance(result, NotJudged):
        return result
    there = [row for row in result.classes if row.support]
    if len(there) < 2:
        return [Hit(f"all images are of one class, {there[0].name}")] if there else []
    large = max(there, key=lambda row: row.support)
    small = min(there, key=lambda row: row.support)
    if large.support <= facts.thresholds["imbalance"] * small.support:
        return []
    return [Hit(f"{large.name} has {large.support:,} images, {small.name} {small.support:,}")]


RULES = (
    Rule(
        "accuracy-at-chance", "No better than guessing", "error", accuracy_at_chance,
        "the accuracy's 95 % interval lies above chance and above the largest class",
        "The network adds nothing to always saying the same.",
        "Check the preprocessing and the order of the classes first, then the training.",
        "Wilson (1927)",
    ),
    Rule(
        "never-predicted", "Classes that are never said", "warning", never_predicted,
        "every class with ten images or more is said at least once",
        "The network does not know the class.",
        "Look at its images and labels; weigh or sample the class in training.",
        "by definition",
    ),
    Rule(
        "zero-recall", "Classes that are never found", "warning", zero_recall,
        "every class with ten images or more is found at least once",
        "The class is said, but only where it is not: perhaps two names are swapped.",
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
        "expected calibration error at most {limit:g} on 200 images or more",
        "Its confidence does not say how often it is right.",
        "Scale the temperature on held-out data.",
        "Guo et al. (2017), On Calibration of Modern Neural Networks",
    ),
    Rule(
        "too-good", "A perfect score", "info", too_good,
        "at least one mistake on 200 images or more",
        "Rare on honest data: training images may be among them.",
        "Check that the data set was not trained on.",
        "no accepted threshold",
    ),
    Rule(
        "imbalance", "The classes are of very different size", "info", imbalance,
        "the largest class has at most {limit:g} times the images of the smallest",
        "The accuracy is that of the large classes.",
        "Read recall and F1 of every class.",
        "no accepted threshold",
    ),
)  # fmt: skip
"""All rules about a data set."""
