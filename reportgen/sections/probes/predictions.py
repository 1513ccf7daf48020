"""One probe's output, read as what it is: a class, a mask, a number, a picture."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.drawing.pictures import (
    lossless,
    mask_picture,
    overlay,
    percentile_window,
    photograph,
    to_bytes,
)
from reportgen.numerics import (
    entropy_bits,
    finite_number,
    pearson,
    probabilities_of,
    resize_bilinear,
    six_digits,
    softmax,
)
from reportgen.report.content.probes import (
    BinaryResult,
    ClassificationResult,
    ImageResult,
    MaskClass,
    MultilabelResult,
    RegressionResult,
    Score,
    SegmentationResult,
    TensorResult,
)
from reportgen.wording import percent_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reportgen.context import Context
    from reportgen.inputs.classes import ClassNames, Label
    from reportgen.network.tasks import Task
    from reportgen.report.content.probes import (
        OutputResult,
    )

TOP = 5
FIRST_VALUES = 16


def read_output(
    task: Task,
    values: NDArray[Any],
    *,
    classes: ClassNames,
    label: Label | None,
    context: Context,
    image: NDArray[Any] | None,
    source: NDArray[Any] | None,
    logits: NDArray[Any] | None = None,
) -> OutputResult:
    """Return the result of one output for one probe.

    Args:
        task: what the output is taken for.
        values: the output without the batch dimension.
        classes: of the output.
        label: the true one.
        context: for the threshold and the pictures.
        image: (H, W, 1 or 3) uint8, what the network received, to lay a mask over.
        logits: what goes into the softmax of the output, where it ends in one.
        source: the received values, to hold a reconstruction against.
    """
    threshold = context.settings.threshold
    if task.kind == "classification":
        return _classification(task, values, classes, label, logits)
    if task.kind == "binary":
        return _binary(task, values, classes, label, threshold)
    if task.kind == "multilabel":
        return _multilabel(task, values, classes, label, threshold)
    if task.kind == "regression":
        return _regression(task, values, classes, label)
    if task.kind == "segmentation":
        return _segmentation(task, values, classes, context, image)
    if task.kind == "image":
        return _image(task, values, context, source)
    return _tensor(task, values)


def _broken(values: NDArray[Any]) -> int:
    return int(np.count_nonzero(~np.isfinite(values)))


def _classification(
    task: Task,
    values: NDArray[Any],
    classes: ClassNames,
    label: Label | None,
    logits: NDArray[Any] | None,
) -> ClassificationResult:
    softmaxed = task.scale == "logits"
    if broken := _broken(values):
        return ClassificationResult(
            task.output, (), None, values.size, None, None, softmaxed, non_finite=broken
        )
    p = softmax(values) if softmaxed else values.astype(np.float64)
    order = np.argsort(-p, kind="stable")
    top = tuple(Score(int(i), classes.name(int(i)), six_digits(p[i])) for i in order[:TOP])
    index = classes.index(label)
    return ClassificationResult(
        output=task.output,
        top=top,
        entropy=six_digits(entropy_bits(p / p.sum())) if p.sum() > 0 else None,
        classes=values.size,
        correct=bool(order[0] == index) if index is not None else None,
        label_probability=six_digits(p[index]) if index is not None else None,
        softmaxed=softmaxed,
        total=six_digits(float(values.sum(dtype=np.float64))),
        logit_gap=_gap(values if softmaxed else logits),
        logits_sum_to_one=logits is not None and _is_distribution(logits),
    )


def _gap(logits: NDArray[Any] | None) -> float | None:
    """Return how far the largest logit stands above the second largest."""
    if logits is None or logits.size < 2 or _broken(logits):
        return None
    second, first = np.partition(logits.reshape(-1).astype(np.float64), -2)[-2:]
    return six_digits(float(first - second))


def _is_distribution(values: NDArray[Any]) -> bool:
    total = float(values.sum(dtype=np.float64))
    return values.size > 1 and bool((values >= 0).all()) and abs(total - 1) < 1e-3


def _binary(
    task: Task,
    values: NDArray[Any],
    classes: ClassNames,
    label: Label | None,
    threshold: float,
) -> BinaryResult:
    squashed = task.scale == "logits"
    if broken := _broken(values):
        return BinaryResult(task.output, None, threshold, None, None, None, squashed, broken)
    p = float(probabilities_of(values, task.scale)[0])
    decided = int(p >= threshold)
    index = classes.index(label)
    return BinaryResult(
        output=task.output,
        probability=six_digits(p),
        threshold=threshold,
        decision=Score(decided, classes.name(decided), six_digits(p if decided else 1 - p)),
        entropy=six_digits(entropy_bits(np.array([p, 1 - p]))),
        correct=decided == index if index is not None else None,
        squashed=squashed,
    )


def _multilabel(
    task: Task,
    values: NDArray[Any],
    classes: ClassNames,
    label: Label | None,
    threshold: float,
) -> MultilabelResult:
    squashed = task.scale == "logits"
    if broken := _broken(values):
        return MultilabelResult(
            task.output, threshold, (), (), values.size, None, None, squashed, broken
        )
    p = probabilities_of(values, task.scale)
    order = [int(i) for i in np.argsort(-p, kind="stable")]
    scores = [Score(i, classes.name(i), six_digits(p[i])) for i in order]
    decided = {i for i in order if p[i] >= threshold}
    truth = classes.indices(label) if label is not None else None
    return MultilabelResult(
        output=task.output,
        threshold=threshold,
        given=tuple(score for score in scores if score.index in decided),
        top=tuple(scores[:TOP]),
        labels=values.size,
        entropy=six_digits(float(np.mean([entropy_bits(np.array([q, 1 - q])) for q in p]))),
        correct=decided == truth if truth is not None else None,
        squashed=squashed,
    )


def _regression(
    task: Task, values: NDArray[Any], classes: ClassNames, label: Label | None
) -> RegressionResult:
    target = None
    if isinstance(label, str | int | float) and values.size == 1:
        with contextlib.suppress(ValueError):
            target = six_digits(float(label))
    return RegressionResult(
        output=task.output,
        values=tuple(six_digits(v) for v in values.reshape(-1)[:FIRST_VALUES]),
        size=int(values.size),
        names=classes.names[:FIRST_VALUES],
        target=target,
        non_finite=_broken(values),
    )


def _segmentation(
    task: Task,
    values: NDArray[Any],
    classes: ClassNames,
    context: Context,
    image: NDArray[Any] | None,
) -> SegmentationResult:
    threshold = context.settings.threshold
    single = values.shape[2] == 1
    clean = np.nan_to_num(values.astype(np.float64))
    if single:
        p = probabilities_of(clean[..., 0], task.scale)
        decided = (p >= threshold).astype(np.int64)
        confidence = np.maximum(p, 1 - p)
    else:
        p = softmax(clean) if task.scale == "logits" else clean
        decided = p.argmax(axis=-1)
        confidence = p.max(axis=-1)
    legend = _legend(decided, classes)
    slots = {entry.index: entry.colour for entry in legend if entry.colour is not None}
    below = np.full((*decided.shape, 1), 96, np.uint8)
    if image is not None:
        sized = resize_bilinear(image, *decided.shape)
        below = np.rint(np.clip(sized, 0, 255)).astype(np.uint8)
    said = ", ".join(f"{entry.name} {percent_text(entry.share)}" for entry in legend[:4])
    return SegmentationResult(
        output=task.output,
        overlay=photograph(
            context.tools.images, overlay(below, decided, slots), f"Mask over the image: {said}."
        ),
        mask=lossless(context.tools.images, mask_picture(decided, slots), f"Mask alone: {said}."),
        legend=legend,
        threshold=threshold if single else None,
        mean_confidence=six_digits(float(confidence.mean())),
        non_finite=_broken(values),
    )


def _legend(decided: NDArray[Any], classes: ClassNames) -> tuple[MaskClass, ...]:
    """List the classes in a mask, largest first; the background is unpainted."""
    found, counts = np.unique(decided, return_counts=True)
    order = sorted(zip(found, counts, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return tuple(
        MaskClass(
            int(index),
            classes.name(int(index)),
            finite_number(count / decided.size),
            classes.slot(int(index)),
        )
        for index, count in order
    )


def _image(
    task: Task, values: NDArray[Any], context: Context, source: NDArray[Any] | None
) -> ImageResult:
    window = percentile_window(values)
    same = source is not None and source.shape == values.shape
    whole = not _broken(values)
    rmse, correlation = None, None
    if same and whole and source is not None:
        difference = values.astype(np.float64) - source.astype(np.float64)
        rmse = six_digits(float(np.sqrt(np.mean(difference**2))))
        correlation = six_digits(pearson(values, source))
    shape = " by ".join(str(n) for n in values.shape[:2])
    alt = f"The network's picture, {shape} pixels, values {window.low:.4g} to {window.high:.4g}."
    return ImageResult(
        output=task.output,
        figure=lossless(context.tools.images, to_bytes(values, window), alt),
        low=finite_number(window.low),
        high=finite_number(window.high),
        rmse=rmse,
        correlation=correlation,
        non_finite=_broken(values),
    )


def _tensor(task: Task, values: NDArray[Any]) -> TensorResult:
    known = values[np.isfinite(values)].astype(np.float64)
    has = known.size > 0
    return TensorResult(
        output=task.output,
        shape=tuple(values.shape),
        min=six_digits(known.min()) if has else None,
        max=six_digits(known.max()) if has else None,
        mean=six_digits(known.mean()) if has else None,
        std=six_digits(known.std()) if has else None,
        values=tuple(six_digits(v) for v in values.reshape(-1)[:FIRST_VALUES]),
        non_finite=_broken(values),
    )
