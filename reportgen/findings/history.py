"""Rules about the training: over- and underfitting, divergence, plateaus; from the logged curves alone."""

from __future__ import annotations

import math
from itertools import compress, pairwise
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from reportgen.findings.facts import Hit, NotJudged, Rule
from reportgen.wording import percent_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.findings.facts import Facts, Judgement
    from reportgen.report.content.history import Curve, HistoryContent

NO_HISTORY = NotJudged("no training history was given")
FEWEST = 4
"""Epochs below which a trend is a guess."""
_ACCURACIES = (
    "accuracy",
    "acc",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "binary_accuracy",
)


class Loss(NamedTuple):
    """The loss where it is finite: epochs and values side by side.

    Attributes:
        epochs: as logged.
        validation: empty without validation data.
    """

    epochs: tuple[int, ...]
    train: tuple[float, ...]
    validation: tuple[float, ...]


def _loss(facts: Facts) -> Loss | NotJudged:
    """Return the loss over the epochs in which all of it is finite."""
    history = facts.history
    if history is None:
        return NO_HISTORY
    curve = next((c for c in history.curves if c.name == history.loss), None)
    if curve is None or not (curve.train or curve.validation):
        return NotJudged("the history holds no loss")
    columns = [column for column in (curve.train, curve.validation) if _some(column)]
    finite = [None not in values for values in zip(*columns, strict=True)]
    epochs = tuple(compress(history.epochs, finite))
    if not epochs:
        return NotJudged("no epoch has a finite loss")
    table = [tuple(v for v in compress(column, finite) if v is not None) for column in columns]
    train = table[0] if _some(curve.train) else ()
    validation = table[-1] if _some(curve.validation) else ()
    return Loss(epochs, train, validation)


def _some(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _both(facts: Facts) -> Loss | NotJudged:
    """Return the loss where it has training and validation over enough epochs."""
    loss = _loss(facts)
    if isinstance(loss, NotJudged):
        return loss
    if not loss.validation or not loss.train:
        return NotJudged("the history has no validation loss")
    if len(loss.epochs) < FEWEST:
        return NotJudged(f"{len(loss.epochs)} epochs with both losses are too few to see a trend")
    if diverged := _diverged(facts):
        return NotJudged(f"explained by divergence: {diverged}")
    return loss


def _number(value: float) -> str:
    return f"{value:.4g}"


def _end(values: Sequence[float]) -> float:
    """Return the median of the last tenth, three epochs at most: one noisy epoch is no trend."""
    return median(values[-_last(values) :])


def _last(values: Sequence[float]) -> int:
    return min(3, max(1, len(values) // 10))


def _in_the_end(values: Sequence[float]) -> str:
    """Say what the values come to, and where that is not the last epoch's, which the page shows too, why."""
    epochs, end, last = _last(values), _number(_end(values)), _number(values[-1])
    if epochs == 1:
        return f"in the last epoch ({last})"
    return f"at the end ({end}, the median of the last {epochs} epochs; {last} in the last one)"


def _share_of(facts: Facts, kept: int) -> int:
    """Return how many logged epochs so many of those that are kept stand for."""
    history = facts.history
    return kept if history is None else round(kept * history.total / max(len(history.epochs), 1))


# -- overfitting -----------------------------------------------------------------------------------


def overfitting(facts: Facts) -> Judgement:
    """Report a validation loss that rises from its best epoch while the training loss falls on.

    The rise counts as a part of the best loss, or of a twentieth of what was learned where that is more
    (losses near zero). No false alarm on six healthy logs; a log with 2 % noise passes.
    """
    loss = _both(facts)
    if isinstance(loss, NotJudged):
        return loss
    limit = facts.thresholds["overfitting"]
    best = min(range(len(loss.epochs)), key=lambda k: loss.validation[k])
    low, end = loss.validation[best], _end(loss.validation)
    scale = max(abs(low), 0.05 * abs(loss.validation[0] - low))
    rise = (end - low) / scale if scale else 0.0
    falls = _end(loss.train) < loss.train[best] - 0.03 * abs(loss.train[best])
    if rise <= limit or not falls:
        return []
    too_long = loss.epochs[-1] - loss.epochs[best]
    text = (
        f"validation loss is lowest in epoch {loss.epochs[best]} ({_number(low)}) and "
        f"{percent_text(rise)} higher {_in_the_end(loss.validation)}, while the training "
        f"loss falls from {_number(loss.train[best])} to {_number(_end(loss.train))}: "
        f"{too_long} epochs too long"
    )
    return [Hit(text + _gaps(facts))]


def _last_pair(curve: Curve) -> tuple[float, float] | None:
    """Return training and validation of the last epoch that logged both."""
    pairs = zip(reversed(curve.train), reversed(curve.validation), strict=True)
    both = ((t, v) for t, v in pairs if t is not None and v is not None)
    return next(both, None) if curve.train and curve.validation else None


def _gaps(facts: Facts) -> str:
    """Return the gaps of metrics at the end, in words."""
    parts = [
        f"{curve.name} {_number(pair[0])} in training, {_number(pair[1])} in validation"
        for curve in (facts.history.curves if facts.history else ())
        if curve.name != (facts.history.loss if facts.history else None)
        and (pair := _last_pair(curve)) is not None
    ]
    return "; " + ", ".join(parts[:2]) if parts else ""


def generalisation_gap(facts: Facts) -> Judgement:
    """Report a validation accuracy far below that of training at the end.

    Regularisation in training only (dropout, augmentation) lowers the training side, so a gap is never
    smaller than shown.
    """
    history = facts.history
    if history is None:
        return NO_HISTORY
    pairs = [(c.name, *pair) for c in _accuracies(history) if (pair := _last_pair(c)) is not None]
    if not pairs:
        return NotJudged("no accuracy was logged for training and validation")
    limit = facts.thresholds["generalisation-gap"]
    return [
        Hit(
            f"{name} {train:.3f} in training, {held_out:.3f} in validation: {train - held_out:.3f} apart"
        )
        for name, train, held_out in pairs
        if train - held_out > limit
    ]


def _accuracies(history: HistoryContent) -> list[Curve]:
    return [c for c in history.curves if c.name.lower() in _ACCURACIES and c.train]


# -- underfitting ----------------------------------------------------------------------------------


def underfitting(facts: Facts) -> Judgement:
    """Report a training that ended at chance, or while it still learned.

    Still learning: the last quarter of the epochs brought at least the limit of all that was learned,
    validation included, training is no better than validation by more than a tenth, and the accuracy, where
    it is known, leaves more than a fifth of the way from chance to 1.
    """
    history = facts.history
    if history is None:
        return NO_HISTORY
    if diverged := _diverged(facts):
        return NotJudged(f"explained by divergence: {diverged}")
    if len(history.epochs) < FEWEST:
        return NotJudged(f"{len(history.epochs)} epochs are too few to see a trend")
    classes = _classes(facts)
    reached = [c.train[-1] for c in _accuracies(history) if c.train[-1] is not None]
    chance = 1 / classes if classes else 0.0
    way = (reached[0] - chance) / (1 - chance) if reached and reached[0] is not None else None
    if classes and way is not None and way < 0.1:
        text = f"training accuracy {reached[0]:.3f}, chance is {chance:.3f}"
        return [Hit(text)]
    loss = _loss(facts)
    if isinstance(loss, NotJudged):
        return loss
    if len(loss.epochs) < FEWEST or not loss.train:
        return NotJudged(f"{len(loss.epochs)} epochs are too few to see a trend")
    return _still_learning(facts, loss, way)


def _still_learning(facts: Facts, loss: Loss, way: float | None) -> Judgement:
    limit = facts.thresholds["underfitting"]
    quarter = max(1, len(loss.epochs) // 4)
    learned, late = loss.train[0] - loss.train[-1], loss.train[-1 - quarter] - loss.train[-1]
    share = late / learned if learned > 0 else 0.0
    if share < limit or (way is not None and way > 0.8):
        return []
    if loss.validation:
        held_out = loss.validation[-1 - quarter] - loss.validation[-1]
        gap = loss.validation[-1] - loss.train[-1]
        if held_out <= 0 or gap > 0.1 * abs(loss.train[-1]):
            return []
    late_epochs, all_epochs = _share_of(facts, quarter), _share_of(facts, len(loss.epochs))
    text = (
        f"the last {late_epochs} of {all_epochs} epochs still brought {percent_text(share)} of all that the "
        f"loss fell (to {_number(loss.train[-1])})"
    )
    text += (
        f", validation falls along; training reached {percent_text(way)} of the way from chance"
        if way
        else ""
    )
    return [Hit(text)]


def _classes(facts: Facts) -> int | None:
    """Return how many classes the first classifying output has."""
    if facts.overview is None:
        return None
    for task, output in zip(facts.overview.tasks, facts.overview.outputs, strict=False):
        if task.kind == "classification":
            return int(output.shape[-1] or 0) or None
        if task.kind == "binary":
            return 2
    return None


# -- what went wrong -------------------------------------------------------------------------------


def divergence(facts: Facts) -> Judgement:
    """Report a loss that is NaN or infinite at the end, above guessing, or above where it began."""
    if facts.history is None:
        return NO_HISTORY
    problem = _diverged(facts)
    if problem:
        return [Hit(problem)]
    loss = _loss(facts)
    if isinstance(loss, NotJudged):
        return loss
    history = facts.history
    curve = next(c for c in history.curves if c.name == history.loss)
    broken = [
        epoch
        for epoch, *values in zip(
            history.epochs,
            *filter(None, (curve.train, () if curve.skipped else curve.validation)),
            strict=True,
        )
        if any(v is None for v in values)
    ]
    if not broken:
        return []
    shown = ", ".join(map(str, broken[:5])) + (", …" if len(broken) > 5 else "")
    text = f"the loss was NaN, infinite or not logged in epoch {shown} and recovered"
    return [Hit(text, severity="info")]


def _diverged(facts: Facts) -> str:
    """Return why a training counts as diverged, an empty text where it does not."""
    history = facts.history
    if history is None:
        return ""
    curve = next((c for c in history.curves if c.name == history.loss), None)
    if curve is None:
        return ""
    if curve.train and curve.train[-1] is None and curve.non_finite:
        return f"the training loss of the last epoch ({history.epochs[-1]}) is NaN or infinite"
    train = [v for v in curve.train if v is not None]
    if len(train) < 2:
        return ""
    classes = _classes(facts)
    end, first = _end(train), train[0]
    names = [o.loss or "" for o in facts.overview.outputs] if facts.overview else []
    entropies = not any(names) or any("crossentropy" in name for name in names)
    if classes and entropies and end > 1.5 * math.log(classes):
        return (
            f"the training loss ends at {_number(end)}; guessing among {classes} classes costs "
            f"{_number(math.log(classes))}"
        )
    if end > first + 0.05 * abs(first) and end > min(train) + 0.5 * abs(min(train)):
        return f"the training loss ends at {_number(end)}, above the {_number(first)} of its first epoch"
    return ""


def plateau(facts: Facts) -> Judgement:
    """Report a second half that brought nothing."""
    loss = _both(facts)
    if isinstance(loss, NotJudged):
        return loss
    if len(loss.epochs) < 8:
        return NotJudged("fewer than 8 epochs")
    if overfitting(facts):
        return NotJudged("explained by overfitting")
    half = len(loss.epochs) // 2
    best, early = min(loss.validation), min(loss.validation[:half])
    learned = loss.validation[0] - best
    limit = facts.thresholds["plateau"]
    if learned <= 0 or early - best > limit * learned:
        return []
    text = (
        f"the best validation loss of the second half is {_number(min(loss.validation[half:]))}, of the first "
        f"{_number(early)}: the last {_share_of(facts, len(loss.epochs) - half)} epochs brought nothing"
    )
    return [Hit(text)]


def noisy_validation(facts: Facts) -> Judgement:
    """Report a validation loss that jumps from epoch to epoch."""
    loss = _both(facts)
    if isinstance(loss, NotJudged):
        return loss
    if len(loss.epochs) < 6:
        return NotJudged("fewer than 6 epochs")
    if facts.history is not None and facts.history.logged:
        return NotJudged("of so long a training only some epochs are kept")
    late = loss.validation[len(loss.validation) // 2 :]
    steps = [b - a for a, b in pairwise(late)]
    turns = sum(x * y < 0 for x, y in pairwise(steps))
    level = abs(median(late))
    jump = median(abs(step) for step in steps) / level if level else 0.0
    limit = facts.thresholds["noisy-validation"]
    if jump <= limit or turns < (len(steps) - 1) / 2:
        return []
    return [
        Hit(
            f"in the second half it changes by {percent_text(jump)} from epoch to epoch in the median, "
            "up and down"
        )
    ]


def no_validation(facts: Facts) -> Judgement:
    """Report a training without validation data."""
    if facts.history is None:
        return NO_HISTORY
    if any(_some(curve.validation) for curve in facts.history.curves):
        return []
    return [Hit("no curve has validation values, so overfitting cannot be judged")]


RULES = (
    Rule(
        "divergence", "The training diverged", "error", divergence,
        "a finite loss at the end, below guessing and below where it began",
        "The weights are no result of learning.",
        "Lower the learning rate, clip gradients, check the labels and the input's scale.",
        "by definition",
    ),
    Rule(
        "overfitting", "The training overfits", "warning", overfitting,
        "validation loss at the end at most {limit:.0%} above its best while the training loss falls",
        "From the best epoch on the network learned the training set by heart.",
        "Stop early and restore the best weights; more data, augmentation, regularisation.",
        "Prechelt (1998), Early Stopping, but when?",
    ),
    Rule(
        "generalisation-gap", "Far better in training than in validation", "warning", generalisation_gap,
        "accuracies at most {limit:g} apart at the end",
        "What was learned does not carry over to new data.",
        "More data, augmentation, regularisation; check that both sets come from one source.",
        "Goodfellow et al. (2016), Deep Learning, 5.2",
    ),
    Rule(
        "underfitting", "The training underfits", "warning", underfitting,
        "training accuracy above chance, and the last quarter of the epochs brings under {limit:.0%} of all",
        "The network is too small, was trained too briefly or with too low a learning rate.",
        "Train longer, enlarge the network, raise the learning rate.",
        "Goodfellow et al. (2016), Deep Learning, 5.2; limit measured on the example logs",
    ),
    Rule(
        "plateau", "The second half of the training brought nothing", "info", plateau,
        "the second half improves the best validation loss by over {limit:.0%} of all that was learned",
        "Epochs are spent without a gain.",
        "Stop early, or lower the learning rate where the loss stalls.",
        "no accepted threshold",
    ),
    Rule(
        "noisy-validation", "The validation loss is noisy", "info", noisy_validation,
        "changes at most {limit:.0%} from epoch to epoch",
        "The best epoch is partly luck.",
        "A larger validation set, a lower learning rate, or averaged weights.",
        "no accepted threshold",
    ),
    Rule(
        "no-validation", "There is no validation data", "warning", no_validation,
        "validation values in the history",
        "Training curves alone cannot show overfitting.",
        "Pass validation_data to fit.",
        "by definition",
    ),
)  # fmt: skip
"""All rules about the training."""
