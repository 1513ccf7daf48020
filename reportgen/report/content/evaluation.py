"""How good the network is on a whole data set, and where it is wrong."""

from __future__ import annotations

import msgspec

from reportgen.report.leaves import Figure


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
    """An image that stands out: a confident mistake, a hesitant hit, a large error.

    Attributes:
        index: of the image in the data set; of several files of many images the file's number times 2 to the
            power of 32, plus the number in it.
        probability: of the decided class.
        score: how good it is, where that is no probability: the mean intersection over union of a mask, the
            mean absolute error of numbers.
        figure: the image; of a mask the image, the true mask and the decided one side by side.
        relevance: what the decision rests on, over the image.
    """

    index: int
    name: str
    truth: str
    predicted: str
    probability: float | None
    figure: Figure | None
    score: float | None = None
    relevance: Figure | None = None


class ThresholdRow(msgspec.Struct, frozen=True):
    """What a threshold costs: images that are rightly said to be positive, wrongly, and missed."""

    threshold: float
    hits: int
    false_alarms: int
    missed: int
    precision: float | None
    recall: float | None
    f1: float | None


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
        thresholds: of two classes, every twentieth.
        best: the threshold with the largest F1 on these images.
        most_right: the threshold with most right decisions on these images.
        ranked: of two classes, whether the probabilities order the images better than chance does.
        explained_by: the method of the examples' relevance; empty without it.
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
    thresholds: tuple[ThresholdRow, ...] = ()
    best: ThresholdRow | None = None
    most_right: ThresholdRow | None = None
    ranked: bool = False
    explained_by: str = ""


class Labelled(msgspec.Struct, frozen=True, tag="multilabel"):
    """Labels that are decided each for itself.

    Attributes:
        exact: share of images with every label right.
        accuracy: share of all decisions that are right.
        majority: what always saying the more frequent answer of every label reaches of it.
        ranked: labels whose probabilities order the images better than chance does.
    """

    exact: float
    accuracy: float
    threshold: float
    labels: tuple[ClassRow, ...]
    majority: float | None = None
    ranked: int = 0


class ValueRow(msgspec.Struct, frozen=True):
    """One of several numbers."""

    index: int
    mae: float
    rmse: float
    r2: float | None
    baseline_mae: float


class Regressed(msgspec.Struct, frozen=True, tag="regression"):
    """Numbers, one or several an image; errors are over all of them.

    Attributes:
        r2: None for a constant truth; the mean of several numbers'.
        baseline_mae: mean absolute error of always saying the median of the truth.
        counts: images by error, twenty equal bins between ``low`` and ``high``.
        worst: images with the largest errors.
        values: each of several numbers; empty for one.
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
    values: tuple[ValueRow, ...] = ()


class MaskRow(msgspec.Struct, frozen=True):
    """One class of a mask.

    Attributes:
        pixels: that are of it.
        predicted: pixels that were said to be.
        iou: intersection over union (Jaccard), over all images together; None where neither has it.
        dice: twice the intersection over the sum of both (F1), likewise.
        colour: slot of its colour in the pictures; None where it stays unpainted.
    """

    index: int
    name: str
    pixels: int
    predicted: int
    iou: float | None
    dice: float | None
    colour: int | None = None


class Segmented(msgspec.Struct, frozen=True, tag="segmentation"):
    """A class for every pixel.

    Attributes:
        accuracy: share of pixels that are right.
        majority: share of the largest class: what always saying it reaches.
        mean_iou: over the classes that are there or were said; None where no pixel has a class.
        ignored: pixels that the masks say nothing of.
        resized: masks that were brought to the output's size, taking the nearest pixel.
        threshold: of one channel.
        counts: images by mean intersection over union, twenty equal bins from 0 to 1.
        worst: images with the least mean intersection over union.
    """

    accuracy: float
    majority: float
    mean_iou: float | None
    mean_dice: float | None
    classes: tuple[MaskRow, ...]
    ignored: int
    resized: int
    threshold: float | None
    counts: tuple[int, ...]
    worst: tuple[Example, ...]


class OutputEvaluation(msgspec.Struct, frozen=True):
    """A further output on the same images; as in ``EvaluationContent``."""

    output: str
    non_finite: int
    result: Classified | Labelled | Regressed | Segmented
    unlabelled: int = 0


class Turned(msgspec.Struct, frozen=True):
    """Images with an EXIF orientation, decided as they were read and the other way up.

    Attributes:
        images: that were decided both ways, at most 256.
        orientation: the other reading, ``exif`` or ``keras``.
        correct: of them as they were read.
        correct_turned: of them the other way up.
        gained: wrong as they were read and right the other way up.
        lost: right as they were read and wrong the other way up.
    """

    images: int
    orientation: str
    correct: int
    correct_turned: int
    gained: int
    lost: int


class EvaluationContent(msgspec.Struct, frozen=True, tag="evaluation"):
    """The network on a whole data set.

    Attributes:
        output: that was evaluated.
        images: that were evaluated.
        total: that were offered.
        broken: names and reasons of images that could not be read, at most 50.
        non_finite: images whose output is NaN or infinite; they count as wrong.
        unlabelled: images without a label for the first output; they are left out.
        others: the further outputs that have labels.
        turned: of the first output, where it is a decision and images have an EXIF orientation.
    """

    output: str
    images: int
    total: int
    broken_count: int
    broken: tuple[str, ...]
    non_finite: int
    result: Classified | Labelled | Regressed | Segmented
    others: tuple[OutputEvaluation, ...] = ()
    turned: Turned | None = None
    unlabelled: int = 0
