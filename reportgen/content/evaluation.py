"""How good the network is on a whole data set, and where it is wrong."""

from __future__ import annotations

import msgspec

from reportgen.content.leaves import Figure


class ClassRow(msgspec.Struct, frozen=True):
    """One class or label.

    Attributes:
        support: images that are of it.
        predicted: images that were said to be.
        precision: None where nothing was predicted.
        recall: None where nothing is there.
        average_precision: of labels that are decided each for itself; None for classes.
    """

    index: int
    name: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None = None


class Confused(msgspec.Struct, frozen=True):
    """How often a class was taken for another; ``share`` of the true class's images."""

    truth: int
    predicted: int
    count: int
    share: float


class Bin(msgspec.Struct, frozen=True):
    """A bin of the reliability diagram: images, mean confidence and accuracy."""

    count: int
    confidence: float
    accuracy: float


class Example(msgspec.Struct, frozen=True):
    """An image that stands out: a confident mistake or a hesitant hit."""

    index: int
    name: str
    truth: str
    predicted: str
    probability: float | None
    figure: Figure | None


class Classified(msgspec.Struct, frozen=True, tag="classification"):
    """One of several classes; a binary head counts as two.

    Attributes:
        interval: 95 % confidence interval of the accuracy (Wilson).
        majority: share of the largest class: what always saying it reaches.
        chance: one over the number of classes.
        top5: share with the truth among the five most probable; None for five classes or fewer.
        calibration_error: expected calibration error over 15 bins; None under 200 images.
        confidences: images by probability of the decided class, twenty equal bins from 0 to 1.
        matrix: rows are true classes; empty for more than 20 classes.
        confused: the most frequent confusions.
        roc_auc: of two classes.
        average_precision: of two classes.
        relabelled: accuracy under the best one-to-one renaming of the classes, where it is better by far.
        renaming: pairs of a class and the class that it would have to be called.
    """

    correct: int
    accuracy: float
    interval: tuple[float, float]
    majority: float
    chance: float
    top5: float | None
    log_loss: float | None
    calibration_error: float | None
    bins: tuple[Bin, ...]
    confidences: tuple[int, ...]
    classes: tuple[ClassRow, ...]
    matrix: tuple[tuple[int, ...], ...]
    confused: tuple[Confused, ...]
    mistakes: tuple[Example, ...]
    hesitant: tuple[Example, ...]
    roc_auc: float | None = None
    average_precision: float | None = None
    threshold: float | None = None
    reliability: Figure | None = None
    roc: Figure | None = None
    precision_recall: Figure | None = None
    relabelled: float | None = None
    renaming: tuple[tuple[int, int], ...] = ()


class Labelled(msgspec.Struct, frozen=True, tag="multilabel"):
    """Labels that are decided each for itself.

    Attributes:
        exact: share of images with every label right.
        accuracy: share of all decisions that are right.
    """

    exact: float
    accuracy: float
    threshold: float
    labels: tuple[ClassRow, ...]


class Regressed(msgspec.Struct, frozen=True, tag="regression"):
    """Numbers.

    Attributes:
        r2: None for a constant truth.
        baseline_mae: mean absolute error of always saying the median of the truth.
        counts: images by error, twenty equal bins between ``low`` and ``high``.
        worst: images with the largest errors.
    """

    mae: float
    rmse: float
    median_error: float
    r2: float | None
    baseline_mae: float
    low: float
    high: float
    counts: tuple[int, ...]
    figure: Figure | None
    worst: tuple[Example, ...]


class EvaluationContent(msgspec.Struct, frozen=True, tag="evaluation"):
    """The network on a whole data set.

    Attributes:
        output: that was evaluated.
        images: that were evaluated.
        total: that were offered.
        broken: names and reasons of images that could not be read, at most 50.
        non_finite: images whose output is NaN or infinite; they count as wrong.
    """

    output: str
    images: int
    total: int
    broken_count: int
    broken: tuple[str, ...]
    non_finite: int
    result: Classified | Labelled | Regressed
