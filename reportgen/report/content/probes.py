"""What the network says about the probe images."""

from __future__ import annotations

import msgspec

from reportgen.report.leaves import Figure, ProbeLabel


class Score(msgspec.Struct, frozen=True):
    """A class and its probability in [0, 1]."""

    index: int
    name: str
    probability: float | None


class ClassificationResult(msgspec.Struct, frozen=True, tag="classification"):
    """One of many classes.

    Attributes:
        top: the most probable classes, best first, at most five.
        entropy: of the probabilities, in bits.
        classes: how many there are; the entropy is at most log2 of it.
        correct: whether the best class is the true label; None without a label that the classes
            know.
        label_probability: of the true label's class.
        softmaxed: whether the output was logits and the softmax is ours.
        non_finite: how many outputs are NaN or infinite.
        total: sum of the outputs as the network gives them; 1 for probabilities.
        logit_gap: largest minus second largest value in front of the softmax.
        logits_sum_to_one: whether what goes into the softmax is a distribution already.
    """

    output: str
    top: tuple[Score, ...]
    entropy: float | None
    classes: int
    correct: bool | None
    label_probability: float | None
    softmaxed: bool
    non_finite: int = 0
    total: float | None = None
    logit_gap: float | None = None
    logits_sum_to_one: bool = False


class BinaryResult(msgspec.Struct, frozen=True, tag="binary"):
    """One sigmoid unit: two classes.

    Attributes:
        probability: of the second (positive) class.
        threshold: from which the positive class is decided.
        decision: the decided class; its probability is that of the decision.
    """

    output: str
    probability: float | None
    threshold: float
    decision: Score | None
    entropy: float | None
    correct: bool | None
    squashed: bool
    non_finite: int = 0


class MultilabelResult(msgspec.Struct, frozen=True, tag="multilabel"):
    """n independent sigmoid units.

    Attributes:
        given: labels at or above the threshold, most probable first.
        top: the most probable labels, at most five.
        entropy: mean over the units, in bits.
    """

    output: str
    threshold: float
    given: tuple[Score, ...]
    top: tuple[Score, ...]
    labels: int
    entropy: float | None
    correct: bool | None
    squashed: bool
    non_finite: int = 0


class RegressionResult(msgspec.Struct, frozen=True, tag="regression"):
    """A number or a vector of numbers.

    Attributes:
        values: the first ones, at most 16.
        size: how many there are.
        target: the true value, where the label is a number and the output is one.
    """

    output: str
    values: tuple[float | None, ...]
    size: int
    names: tuple[str, ...] = ()
    target: float | None = None
    non_finite: int = 0


class MaskClass(msgspec.Struct, frozen=True):
    """A class of a mask.

    Attributes:
        share: of the pixels decided for it, in [0, 1].
        colour: slot of the legend's palette, None for the background, which stays unpainted.
    """

    index: int
    name: str
    share: float
    colour: int | None


class SegmentationResult(msgspec.Struct, frozen=True, tag="segmentation"):
    """A mask.

    Attributes:
        overlay: the mask over the image.
        mask: the mask alone.
        legend: the classes in it, largest first.
        threshold: for one sigmoid channel.
    """

    output: str
    overlay: Figure
    mask: Figure
    legend: tuple[MaskClass, ...]
    threshold: float | None
    mean_confidence: float | None
    non_finite: int = 0


class ImageResult(msgspec.Struct, frozen=True, tag="image"):
    """An image made from an image.

    Attributes:
        figure: the output.
        rmse: root mean squared difference from the input in the network's units, where shapes
            agree.
        correlation: Pearson's, with the input.
    """

    output: str
    figure: Figure
    low: float
    high: float
    rmse: float | None
    correlation: float | None
    non_finite: int = 0


class TensorResult(msgspec.Struct, frozen=True, tag="tensor"):
    """An output of unknown meaning, as numbers over its finite values."""

    output: str
    shape: tuple[int, ...]
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    values: tuple[float | None, ...]
    non_finite: int = 0


OutputResult = (
    ClassificationResult
    | BinaryResult
    | MultilabelResult
    | RegressionResult
    | SegmentationResult
    | ImageResult
    | TensorResult
)


class ReceivedInput(msgspec.Struct, frozen=True):
    """What one input of the network was fed.

    Attributes:
        input: name.
        figure: as a picture, where it is one.
        shape: without the batch dimension.
        low: least value fed.
        high: largest value fed.
        window: the values shown black and white, where the range is not 0..255.
        zeros: whether it was filled with zeros for want of data.
        bands: the channels that are shown, where there are more than four or the user chose; of more than four
            each from its 1st to its 99th percentile.
        lines: of a series, (steps, channels): the channels that are drawn.
    """

    input: str
    figure: Figure | None
    shape: tuple[int, ...]
    low: float | None
    high: float | None
    window: tuple[float, float] | None
    zeros: bool = False
    non_finite: int = 0
    bands: tuple[int, ...] = ()
    lines: tuple[int, ...] = ()


class OtherReading(msgspec.Struct, frozen=True):
    """What the first output decides where the image is read in another way.

    Attributes:
        reading: ``crop`` or ``stretch``: how another aspect ratio is fitted; ``exif`` or ``keras``: whether an
            EXIF orientation turns it.
        decision: another class than that of the reading that the report is about.
    """

    reading: str
    decision: Score


class ProbeResult(msgspec.Struct, frozen=True):
    """One probe, as given, as received and as judged.

    Attributes:
        index: its position among the probes.
        name: file name, or a number.
        size: width and height as given; None for what is no image.
        kind: what was read, as in ``JPEG, RGB``.
        notes: what was done to read it (rotation, first frame, dropped transparency …).
        otherwise: readings of the image that are decided for another class.
    """

    index: int
    name: str
    size: tuple[int, int] | None
    kind: str
    label: ProbeLabel | None
    given: Figure | None
    received: tuple[ReceivedInput, ...]
    outputs: tuple[OutputResult, ...]
    notes: tuple[str, ...] = ()
    otherwise: tuple[OtherReading, ...] = ()


class Candidate(msgspec.Struct, frozen=True):
    """A preprocessing that ``auto`` considered.

    Attributes:
        mode: its name.
        distance: mean over channels of |difference of means| / pooled std + |ln ratio of stds|.
    """

    mode: str
    distance: float


class Preprocessing(msgspec.Struct, frozen=True):
    """What was done to the pixels before they were fed.

    Attributes:
        mode: ``none``, ``unit``, ``symmetric``, ``caffe``, ``torch``, ``module:function`` or ``own
            units``.
        formula: in words.
        chosen: ``given``, ``default``, ``auto`` or ``undecided``.
        because: the reason in words.
        layer: the BatchNormalization that the candidates were held against.
        candidates: nearest first.
    """

    mode: str
    formula: str
    chosen: str
    because: str
    layer: str | None = None
    candidates: tuple[Candidate, ...] = ()


class NormalizationMatch(msgspec.Struct, frozen=True):
    """How what is fed fits what the first BatchNormalization learned.

    Attributes:
        distance: as ``Candidate.distance``.
        swapped: the same with the channels in reverse order; None without three channels.
    """

    layer: str
    distance: float
    swapped: float | None


class Control(msgspec.Struct, frozen=True):
    """What the first output says to an artificial input; run only where all probes get one class.

    Attributes:
        kind: ``black``, ``white``, ``noise``, ``ramp`` or ``halves``, over the range of what was fed.
        index: the decided class.
        logit_gap: as ``ClassificationResult.logit_gap``.
    """

    kind: str
    index: int
    logit_gap: float | None


class ProbesContent(msgspec.Struct, frozen=True, tag="probes"):
    """The probes and how they were prepared.

    Attributes:
        total: how many were offered; ``probes`` is an even sample of them, or was chosen.
        chosen: whether they were chosen of a data set, some decided right and some wrong.
        resize: how images were fitted, in words; None where none had to be.
        controls: artificial inputs, where all probes get one class.
        normalization: None without a BatchNormalization that has learned statistics.
        labelled: how many have a label that the classes know.
        correct: how many of those were right, for the first output.
        interval: 95 % confidence interval of that share (Wilson 1927), as an estimate for images like these;
            None without labels, or where they were chosen.
        different: how many inputs differ by more than a thousandth of their range, counted up to 4.
        mean_probability: of the decided class over the probes, where there are classes.
    """

    probes: tuple[ProbeResult, ...]
    total: int
    preprocessing: Preprocessing
    resize: str | None
    normalization: NormalizationMatch | None = None
    controls: tuple[Control, ...] = ()
    labelled: int = 0
    correct: int = 0
    interval: tuple[float, float] | None = None
    chosen: bool = False
    different: int | None = None
