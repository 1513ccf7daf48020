"""How good the network is on a whole data set: metrics, calibration, and the images that it gets wrong."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen import metrics
from reportgen.content.evaluation import (
    Bin,
    Classified,
    ClassRow,
    Confused,
    EvaluationContent,
    Example,
    Labelled,
    Regressed,
)
from reportgen.content.leaves import Notice
from reportgen.errors import DataError, NotApplicable
from reportgen.figures import points_figure, square_figure
from reportgen.labels import resolve
from reportgen.numerics import sigmoid, six, softmax
from reportgen.observe import Collected, SectionMaker
from reportgen.pictures import exact, to_bytes, window_of
from reportgen.tasks import class_count
from reportgen.wording import number_text, percent_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reportgen.content.overview import Task
    from reportgen.dataset import DataSet
    from reportgen.network import Batch, OutputFacts
    from reportgen.observe import Context

EXAMPLES = 8
WHOLE_MATRIX = 20
"""Most classes whose confusion matrix is shown whole."""
WORST_PAIRS = 20
MOST_POINTS = 500
KINDS = ("classification", "binary", "multilabel", "regression")


class Seen(NamedTuple):
    """What is kept of an image that stands out."""

    place: int
    truth: int
    predicted: int
    value: float
    pixels: NDArray[Any] | None


class EvaluationObserver:
    """Folds outputs and labels: a few numbers an image, and the images that stand out."""

    def __init__(self, context: Context, data: DataSet, task: Task, facts: OutputFacts) -> None:
        self._context, self._data = context, data
        self._task = task
        self._classes = class_count(task, facts)
        self._names = context.classes if len(context.classes) == self._classes else ()
        self._columns: list[tuple[NDArray[Any], ...]] = []
        self._mistakes: list[tuple[float, int, Seen]] = []
        self._hesitant: list[tuple[float, int, Seen]] = []
        self.images = 0
        self.non_finite = 0

    def update(self, batch: Batch) -> None:
        """Take in one block.

        Raises:
            DataError: a label that the network does not know.
        """
        outputs = batch.outputs[self._task.output].astype(np.float64)
        self.images += len(outputs)
        broken: Any = ~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)
        self.non_finite += int(broken.sum())
        labels = self._data.labels[batch.first : batch.first + len(outputs)]
        if self._task.kind == "multilabel":
            self._columns.append((self._sets(labels, batch.first), self._probabilities(outputs)))
        elif self._task.kind == "regression":
            self._regression(outputs, labels, batch)
        else:
            self._classification(outputs, labels, batch, broken)

    def show(self, batch: Batch) -> None:
        """Leave the probes to others."""

    def _probabilities(self, outputs: NDArray[Any]) -> NDArray[Any]:
        if self._task.kind == "classification":
            return softmax(outputs) if self._task.scale == "logits" else outputs
        return sigmoid(outputs) if self._task.scale == "logits" else outputs

    def _classification(
        self, outputs: NDArray[Any], labels: list[Any], batch: Batch, broken: NDArray[Any]
    ) -> None:
        truth = np.array(
            [self._class(label, batch.first + k) for k, label in enumerate(labels)], np.int64
        )
        p = self._probabilities(np.where(np.isfinite(outputs), outputs, 0))
        if self._task.kind == "binary":
            p = np.concatenate([1 - p[:, :1], p[:, :1]], axis=1)
            predicted = (p[:, 1] >= self._context.settings.threshold).astype(np.int64)
        else:
            predicted = p.argmax(axis=1)
        rows = np.arange(len(p))
        predicted = np.where(broken, (truth + 1) % max(self._classes, 2), predicted)
        given, of_truth = p[rows, predicted], p[rows, truth]
        rank = (p > of_truth[:, None]).sum(axis=1)
        self._columns.append((truth, predicted, given, of_truth, rank, p[:, -1]))
        for row in rows:
            right = predicted[row] == truth[row]
            kept, key = (self._hesitant, -given[row]) if right else (self._mistakes, given[row])
            self._keep(
                kept,
                float(key),
                batch,
                int(row),
                (int(truth[row]), int(predicted[row]), float(given[row])),
            )

    def _regression(self, outputs: NDArray[Any], labels: list[Any], batch: Batch) -> None:
        truth = np.array([self._number(label, batch.first + k) for k, label in enumerate(labels)])
        values = outputs.reshape(len(outputs), -1)[:, 0]
        self._columns.append((truth, values))
        for row, error in enumerate(np.abs(values - truth)):
            if np.isfinite(error):
                self._keep(self._mistakes, float(error), batch, row, (0, 0, float(values[row])))

    def _keep(
        self,
        heap: list[tuple[float, int, Seen]],
        key: float,
        batch: Batch,
        row: int,
        seen: tuple[int, int, float],
    ) -> None:
        """Keep an image among the ``EXAMPLES`` of the largest keys; of equal ones the first."""
        index = batch.first + row
        if len(heap) == EXAMPLES and (key, -index) <= heap[0][:2]:
            return
        pixels = batch.inputs[self._data.image][row]
        kept = pixels.copy() if pixels.ndim in {2, 3} else None
        entry = (key, -index, Seen(index, *seen, kept))
        (heapq.heappush if len(heap) < EXAMPLES else heapq.heapreplace)(heap, entry)

    def _class(self, label: Any, index: int) -> int:
        found = resolve(label, self._names, self._classes) if label is not None else None
        if found is None or found.index is None:
            known = f"such as {self._names[0]!r}, or " if self._names else ""
            raise DataError(
                f"--data: the label {label!r} of {self._data.names[index]} names no class of the output "
                f"{self._task.output!r}, whose classes are {known}0 to {self._classes - 1}. --classes gives "
                "names."
            )
        return found.index

    def _sets(self, labels: list[Any], first: int) -> NDArray[Any]:
        """Read ``a|b`` or ``0|3`` as rows of 0 and 1."""
        rows = np.zeros((len(labels), self._classes), bool)
        for row, label in enumerate(labels):
            for part in filter(None, str("" if label is None else label).split("|")):
                rows[row, self._class(part, first + row)] = True
        return rows

    def _number(self, label: Any, index: int) -> float:
        try:
            return float(label)
        except (TypeError, ValueError):
            raise DataError(
                f"--data: the label {label!r} of {self._data.names[index]} is no number, which the output "
                f"{self._task.output!r} is."
            ) from None

    def result(self) -> EvaluationObserver:
        """Return the fold itself."""
        return self

    @property
    def columns(self) -> list[NDArray[Any]]:
        """What was kept of every image, column by column."""
        return [np.concatenate(column) for column in zip(*self._columns, strict=True)]

    def examples(self, *, hesitant: bool = False) -> list[Seen]:
        """Return the images that stand out, the most striking first."""
        heap = self._hesitant if hesitant else self._mistakes
        return [seen for _, _, seen in sorted(heap, key=lambda entry: entry[:2], reverse=True)]

    def name(self, index: int) -> str:
        """Return the name of a class."""
        if self._task.kind == "binary" and not self._names:
            return ("negative", "positive")[index]
        return self._names[index] if index < len(self._names) else f"class {index}"

    @property
    def class_total(self) -> int:
        """How many classes there are."""
        return self._classes


def observe(context: Context) -> EvaluationObserver:
    """Return the observer of the data set.

    Raises:
        NotApplicable: there is none, or no metric for this kind of output.
    """
    if context.data is None:
        raise NotApplicable(
            "No data set was given: --data PATH says how good the network is, on a folder of class folders, "
            "a CSV of file,label or an .npz with x and y."
        )
    task = context.tasks[0]
    facts = context.network.facts.outputs[0]
    if task.kind == "regression" and int(facts.shape[-1] or 0) != 1:
        raise NotApplicable("Vectors of numbers are not evaluated yet, only single numbers.")
    if task.kind not in KINDS:
        raise NotApplicable(f"Outputs of the kind {task.kind} are not evaluated yet.")
    return EvaluationObserver(context, context.data, task, facts)


def collect(context: Context, seen: EvaluationObserver) -> Collected:
    """Return the metrics of the data set."""
    data, task = context.data, context.tasks[0]
    if data is None or not seen.images:
        raise NotApplicable("No image of the data set was evaluated.")
    result: Classified | Labelled | Regressed
    if task.kind == "multilabel":
        result = _labelled(context, seen)
    elif task.kind == "regression":
        result = _regressed(context, seen)
    else:
        result = _classified(context, seen)
    content = EvaluationContent(
        output=task.output,
        images=seen.images,
        total=seen.images + data.broken_count,
        broken_count=data.broken_count,
        broken=tuple(data.broken),
        non_finite=seen.non_finite,
        result=result,
    )
    return Collected(content, sentence(content), tuple(_notices(context, content)))


def _six(value: float) -> float:
    return six(value) or 0.0


def _classified(context: Context, seen: EvaluationObserver) -> Classified:
    truth, predicted, given, of_truth, rank, last = seen.columns
    count, classes = len(truth), max(seen.class_total, 2)
    matrix = metrics.confusion(truth, predicted, classes)
    right = truth == predicted
    hits = int(right.sum())
    support = matrix.sum(axis=1)
    calibrated = (
        metrics.calibration(given, right) if count >= metrics.FEWEST_FOR_CALIBRATION else None
    )
    some = calibrated.counts > 0 if calibrated else np.zeros(0, bool)
    binary = context.tasks[0].kind == "binary"
    curves = (
        _binary_curves(context, truth, last) if binary and len(set(truth.tolist())) == 2 else {}
    )
    relabelled, renaming = _renaming(matrix)
    return Classified(
        correct=hits,
        accuracy=_six(hits / count),
        interval=(_six(metrics.wilson(hits, count)[0]), _six(metrics.wilson(hits, count)[1])),
        majority=_six(float(support.max()) / count),
        chance=_six(1 / classes),
        top5=six(float((rank < 5).mean())) if classes > 5 else None,
        log_loss=six(metrics.log_loss(of_truth)),
        calibration_error=six(calibrated.error) if calibrated else None,
        bins=tuple(
            Bin(int(n), _six(c), _six(a))
            for n, c, a in zip(
                calibrated.counts[some], calibrated.confidence, calibrated.accuracy, strict=True
            )
        )
        if calibrated
        else (),
        confidences=tuple(int(n) for n in np.histogram(given, bins=20, range=(0, 1))[0]),
        classes=_class_rows(seen, matrix),
        matrix=tuple(tuple(int(n) for n in row) for row in matrix)
        if classes <= WHOLE_MATRIX
        else (),
        confused=_worst_pairs(matrix),
        mistakes=_examples(context, seen, seen.examples()),
        hesitant=_examples(context, seen, seen.examples(hesitant=True)),
        threshold=context.settings.threshold if binary else None,
        reliability=_reliability(context, calibrated) if calibrated else None,
        relabelled=relabelled,
        renaming=renaming,
        **curves,
    )


def _class_rows(seen: EvaluationObserver, matrix: NDArray[Any]) -> tuple[ClassRow, ...]:
    found = metrics.per_class(matrix)
    return tuple(
        ClassRow(
            index=index,
            name=seen.name(index),
            support=int(found.support[index]),
            predicted=int(found.predicted[index]),
            precision=six(found.precision[index]),
            recall=six(found.recall[index]),
            f1=six(found.f1[index]),
        )
        for index in range(len(matrix))
    )


def _worst_pairs(matrix: NDArray[Any]) -> tuple[Confused, ...]:
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    support = np.maximum(matrix.sum(axis=1), 1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:WORST_PAIRS]
    pairs = [(int(k) // len(matrix), int(k) % len(matrix)) for k in order]
    return tuple(
        Confused(t, p, int(wrong[t, p]), _six(wrong[t, p] / support[t]))
        for t, p in pairs
        if wrong[t, p]
    )


def _renaming(matrix: NDArray[Any]) -> tuple[float | None, tuple[tuple[int, int], ...]]:
    """Return the accuracy if every class were called what it is mostly taken for, where that is one-to-one."""
    named = matrix.argmax(axis=1)
    there = matrix.sum(axis=1) > 0
    taken = named[there]
    moved = [(int(t), int(named[t])) for t in np.flatnonzero(there) if named[t] != t]
    if not moved or len(set(taken.tolist())) < len(taken):
        return None, ()
    total = float(matrix[np.arange(len(matrix)), named][there].sum()) / float(matrix.sum())
    return six(total), tuple(moved)


def _binary_curves(context: Context, truth: NDArray[Any], score: NDArray[Any]) -> dict[str, Any]:
    roc, recall = metrics.roc(truth, score), metrics.precision_recall(truth, score)
    return {
        "roc_auc": six(roc.area),
        "average_precision": six(recall.area),
        "roc": square_figure(
            context.store, [(*metrics.thinned(roc), "")], ("false positive rate", "true positive rate"),
            f"ROC curve, area {roc.area:.3f}.", diagonal=True,
        ),
        "precision_recall": square_figure(
            context.store, [(*metrics.thinned(recall), "")], ("recall", "precision"),
            f"Precision over recall, average precision {recall.area:.3f}.",
        ),
    }  # fmt: skip


def _reliability(context: Context, found: metrics.Calibration) -> Any:
    alt = f"Accuracy over confidence in {len(found.confidence)} bins; calibration error {found.error:.3f}."
    points = [(found.confidence, found.accuracy, "")]
    return square_figure(
        context.store, points, ("confidence", "accuracy"), alt, diagonal=True, marked=True
    )


def _labelled(context: Context, seen: EvaluationObserver) -> Labelled:
    truth, p = seen.columns
    threshold = context.settings.threshold
    decided = p >= threshold
    rows = []
    for index in range(truth.shape[1]):
        matrix = metrics.confusion(truth[:, index].astype(int), decided[:, index].astype(int), 2)
        found = metrics.per_class(matrix)
        both = 0 < int(truth[:, index].sum()) < len(truth)
        area = metrics.precision_recall(truth[:, index], p[:, index]).area if both else math.nan
        rows.append(
            ClassRow(
                index, seen.name(index), int(found.support[1]), int(found.predicted[1]),
                six(found.precision[1]), six(found.recall[1]), six(found.f1[1]), six(area),
            )
        )  # fmt: skip
    return Labelled(
        exact=_six(float((decided == truth).all(axis=1).mean())),
        accuracy=_six(float((decided == truth).mean())),
        threshold=threshold,
        labels=tuple(rows),
    )


def _regressed(context: Context, seen: EvaluationObserver) -> Regressed:
    truth, values = seen.columns
    finite = np.isfinite(values)
    if not finite.any():
        raise NotApplicable("The network answers NaN or infinity to every image of the data set.")
    found = metrics.errors(truth[finite], values[finite])
    difference = values[finite] - truth[finite]
    low, high = float(difference.min()), float(difference.max())
    kept = np.unique(np.linspace(0, finite.sum() - 1, MOST_POINTS).round().astype(int))
    alt = f"Predicted over true values of {len(kept)} images; mean absolute error {found.mae:.4g}."
    figure = points_figure(
        context.store, truth[finite][kept], values[finite][kept], ("true", "predicted"), alt
    )
    return Regressed(
        mae=_six(found.mae),
        rmse=_six(found.rmse),
        median_error=_six(found.median),
        r2=six(found.r2),
        baseline_mae=_six(found.baseline_mae),
        low=_six(low),
        high=_six(high),
        counts=tuple(int(n) for n in np.histogram(difference, bins=20)[0]),
        figure=figure,
        worst=_examples(context, seen, seen.examples(), truth=truth),
    )


def _examples(
    context: Context,
    seen: EvaluationObserver,
    found: list[Seen],
    truth: NDArray[Any] | None = None,
) -> tuple[Example, ...]:
    examples = []
    for one in found:
        name = f"image {one.place + 1}"
        if context.data is not None and not context.settings.hide_names:
            name = context.data.names[one.place]
        real = number_text(float(truth[one.place])) if truth is not None else seen.name(one.truth)
        said = number_text(one.value) if truth is not None else seen.name(one.predicted)
        figure = None
        if one.pixels is not None and min(one.pixels.shape[:2]) >= 4:
            image = to_bytes(one.pixels, window_of(one.pixels))
            image = image if image.ndim == 3 else image[..., None]
            image = image[..., :1] if image.shape[2] < 3 else image[..., :3]
            figure = exact(context.store, image, f"{name}: {real}, taken for {said}.")
        probability = None if truth is not None else six(one.value)
        examples.append(Example(one.place, name, real, said, probability, figure))
    return tuple(examples)


def sentence(content: EvaluationContent) -> str:
    """Say how good the network is, against what needs no network."""
    result, on = content.result, f"{content.images:,} images"
    if isinstance(result, Regressed):
        return (
            f"On {on} the mean absolute error is {number_text(result.mae)}; always saying the median of the "
            f"truth has {number_text(result.baseline_mae)}."
        )
    if isinstance(result, Labelled):
        exact_share, accuracy = percent_text(result.exact), percent_text(result.accuracy)
        return f"On {on} all labels are right for {exact_share}, {accuracy} of all decisions."
    low, high = (percent_text(value) for value in result.interval)
    return (
        f"{percent_text(result.accuracy)} of {on} are right (95 % interval {low} to {high}); always saying the "
        f"largest class reaches {percent_text(result.majority)}, chance {percent_text(result.chance)}."
    )


def _notices(context: Context, content: EvaluationContent) -> list[Notice]:
    notices = []
    if content.broken_count:
        first = "; ".join(content.broken[:3])
        text = f"{content.broken_count} of {content.total} images could not be read and are left out: {first}."
        notices.append(Notice("warning", text))
    if content.non_finite:
        text = f"The network answers NaN or infinity to {content.non_finite} images, which count as wrong."
        notices.append(Notice("warning", text))
    others = len(context.tasks) - 1
    if others:
        text = f"The output {content.output} is evaluated; the labels say nothing of the other {others}."
        notices.append(Notice("info", text))
    return notices


SECTION = SectionMaker("evaluation", "Evaluation", collect, observe)
