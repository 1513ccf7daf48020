"""One of several classes, or one of two: accuracy, calibration, confusions, mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.drawing.figures import square_figure
from reportgen.numerics import finite_number, probabilities_of, six_digits, softmax, wilson
from reportgen.observe import Examples
from reportgen.report.content.evaluation import Bin, Classified, ClassRow, Confused, ThresholdRow
from reportgen.sections.evaluation import metrics
from reportgen.sections.evaluation.folds import Notable, OutputFold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.drawing.assets import AssetStore

EXAMPLES = 8
"""Mistakes, and hits, that are shown."""
WHOLE_MATRIX = 20
"""Most classes whose confusion matrix is shown whole."""
WORST_PAIRS = 20
THRESHOLDS = tuple(k / 20 for k in range(1, 20))


class DecisionFold(OutputFold):
    """Keeps what was decided, how sure, and what is true."""

    def update(self, outputs: NDArray[Any], labels: Sequence[Any], places: NDArray[Any]) -> None:
        """Take in one block.

        Raises:
            DataError: a label that names no class.
        """
        about = self.about
        pairs = zip(labels, places.tolist(), strict=True)
        truth = np.array([about.class_of(label, place) for label, place in pairs], np.int64)
        broken: Any = ~np.isfinite(outputs).all(axis=1)
        p = self._probabilities(np.where(broken[:, None], 0, outputs))
        binary = about.task.kind == "binary"
        predicted = (p[:, 1] >= about.threshold).astype(np.int64) if binary else p.argmax(axis=1)
        # An answer that is no number is wrong, whatever it would have been.
        predicted = np.where(broken, (truth + 1) % max(about.classes.count, 2), predicted)
        rows = np.arange(len(p))
        of_truth = p[rows, truth]
        rank = np.where(broken, p.shape[1], (p > of_truth[:, None]).sum(axis=1))
        p = np.where(broken[:, None], np.nan, p)
        self.keep(place=places, truth=truth, predicted=predicted, given=p[rows, predicted])
        self.keep(of_truth=p[rows, truth], rank=rank)
        if binary:
            self.keep(positive=p[:, 1])

    def _probabilities(self, outputs: NDArray[Any]) -> NDArray[Any]:
        scale = self.about.task.scale
        if self.about.task.kind == "classification":
            return softmax(outputs) if scale == "logits" else outputs
        one = probabilities_of(outputs[:, :1], scale)
        return np.concatenate([1 - one, one], axis=1)

    def mistakes(self) -> list[Notable]:
        """Return the wrong decisions, the surest first."""
        return self._standing(~self.right, -self.column("given"))

    def wrong_places(self) -> frozenset[int]:
        """Return the places of all wrong decisions."""
        return frozenset(self.column("place")[~self.right].tolist())

    def hesitant(self) -> list[Notable]:
        """Return the right decisions, the least sure first."""
        return self._standing(self.right, self.column("given"))

    @property
    def right(self) -> NDArray[Any]:
        """Whether each image was decided right, in the order of the places."""
        right: NDArray[Any] = self.column("truth") == self.column("predicted")
        return right

    def _standing(self, among: NDArray[Any], key: NDArray[Any]) -> list[Notable]:
        rows = np.flatnonzero(among)
        rows = rows[np.argsort(key[rows], kind="stable")[:EXAMPLES]]
        names = self.about.classes.name
        return [
            Notable(
                int(self.column("place")[row]), names(int(self.column("truth")[row])),
                names(int(self.column("predicted")[row])), float(self.column("given")[row]),
            )
            for row in rows
        ]  # fmt: skip

    def examples(self, count: int) -> Examples | None:
        """Choose images that were decided wrong and right; see ``choose``."""
        if not self.images:
            return None
        return Examples(tuple(self.choose(count)), self.wrong_places(), self.images)

    def choose(self, most: int) -> list[int]:
        """Return places of images that were decided wrong and right, both over the classes.

        Half are wrong, the surest mistakes of each class in turn, as far as there are any; the others right,
        the median in confidence of each class in turn, those without a mistake among the chosen first.
        """
        truth, right = self.column("truth"), self.right
        wrong = _in_turn(truth, ~right, -self.column("given"), most // 2, ())
        taken = truth[wrong].tolist()
        middle = _from_the_middle(truth, right, self.column("given"))
        hits = _in_turn(truth, right, middle, most - len(wrong), taken)
        more = _in_turn(truth, ~right, -self.column("given"), most - len(hits), ())
        chosen = more if len(hits) < most - len(wrong) else wrong
        return sorted(int(place) for place in self.column("place")[[*chosen, *hits]])


def _from_the_middle(truth: NDArray[Any], among: NDArray[Any], given: NDArray[Any]) -> NDArray[Any]:
    """Return how far each image's rank in confidence is from its class's median."""
    distance = np.full(len(truth), np.inf)
    for index in np.unique(truth[among]):
        rows = np.flatnonzero(among & (truth == index))
        order = np.argsort(given[rows], kind="stable")
        distance[rows[order]] = np.abs(np.arange(len(rows)) - (len(rows) - 1) // 2)
    return distance


def _in_turn(
    truth: NDArray[Any], among: NDArray[Any], key: NDArray[Any], most: int, last: Sequence[int]
) -> list[int]:
    """Take the least key of each class in turn; classes in ``last`` come last in a turn."""
    queues = []
    for index in np.unique(truth[among]).tolist():
        rows = np.flatnonzero(among & (truth == index))
        queues.append((index in last, rows[np.argsort(key[rows], kind="stable")].tolist()))
    queues.sort(key=lambda queue: queue[0])
    lengths = [len(rows) for _, rows in queues]
    in_turn = [
        rows[turn]
        for turn in range(max(lengths, default=0))
        for _, rows in queues
        if turn < len(rows)
    ]
    return in_turn[: max(most, 0)]


def classified(fold: DecisionFold, store: AssetStore) -> Classified:
    """Return the metrics; mistakes and hits are added by who has their pictures."""
    truth, predicted = fold.column("truth"), fold.column("predicted")
    given, of_truth = fold.column("given"), fold.column("of_truth")
    count, classes = len(truth), max(fold.about.classes.count, 2)
    told = np.isfinite(given)  # what the network answers in numbers; the rest counts as wrong
    matrix = metrics.confusion(truth[told], predicted[told], classes)
    support = np.bincount(truth, minlength=classes)
    right = truth == predicted
    hits = int(right.sum())
    enough = int(told.sum()) >= metrics.FEWEST_FOR_CALIBRATION
    calibrated = metrics.calibration(given[told], right[told]) if enough else None
    binary = fold.about.task.kind == "binary"
    relabelled, renaming = _renaming(matrix)
    return Classified(
        correct=hits,
        accuracy=finite_number(hits / count),
        interval=(
            finite_number(wilson(hits, count)[0]),
            finite_number(wilson(hits, count)[1]),
        ),
        majority=finite_number(float(support.max()) / count),
        chance=finite_number(1 / classes),
        top5=six_digits(float((fold.column("rank") < 5).mean())) if classes > 5 else None,
        log_loss=six_digits(metrics.log_loss(of_truth[told])) if told.any() else None,
        calibration_error=six_digits(calibrated.error) if calibrated else None,
        bins=_bins(calibrated) if calibrated else (),
        confidences=tuple(int(n) for n in np.histogram(given[told], bins=20, range=(0, 1))[0]),
        classes=_class_rows(fold, matrix, support),
        matrix=tuple(tuple(int(n) for n in row) for row in matrix)
        if classes <= WHOLE_MATRIX
        else (),
        confused=_worst_pairs(matrix),
        mistakes=(),
        hesitant=(),
        threshold=fold.about.threshold if binary else None,
        reliability=_reliability(store, calibrated) if calibrated else None,
        relabelled=relabelled,
        renaming=renaming,
        **(_of_two(store, truth[told], fold.column("positive")[told]) if binary else {}),
    )


def _bins(found: metrics.Calibration) -> tuple[Bin, ...]:
    counts = found.counts[found.counts > 0]
    rows = zip(counts, found.confidence, found.accuracy, strict=True)
    return tuple(Bin(int(n), finite_number(c), finite_number(a)) for n, c, a in rows)


def _class_rows(
    fold: DecisionFold, matrix: NDArray[Any], support: NDArray[Any]
) -> tuple[ClassRow, ...]:
    found = metrics.per_class(matrix, support)
    return tuple(
        ClassRow(
            index=index,
            name=fold.about.classes.name(index),
            support=int(found.support[index]),
            predicted=int(found.predicted[index]),
            precision=six_digits(found.precision[index]),
            recall=six_digits(found.recall[index]),
            f1=six_digits(found.f1[index]),
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
        Confused(t, p, int(wrong[t, p]), finite_number(wrong[t, p] / support[t]))
        for t, p in pairs
        if wrong[t, p]
    )


def _renaming(matrix: NDArray[Any]) -> tuple[float | None, tuple[tuple[int, int], ...]]:
    """Return the accuracy if the classes were called otherwise, and how, where that is one-to-one.

    Each by what it is mostly taken for; where two are mostly taken for the same, all so many places further
    as most images are.
    """
    named = matrix.argmax(axis=1)
    there = matrix.sum(axis=1) > 0
    if len(set(named[there].tolist())) < int(there.sum()):
        truth, predicted = np.nonzero(matrix)
        places = (predicted - truth) % len(matrix)
        shift = int(np.bincount(places, matrix[truth, predicted], len(matrix)).argmax())
        named = (np.arange(len(matrix)) + shift) % len(matrix)
    moved = [(int(t), int(named[t])) for t in np.flatnonzero(there) if named[t] != t]
    if not moved:
        return None, ()
    total = float(matrix[np.arange(len(matrix)), named][there].sum()) / float(matrix.sum())
    return six_digits(total), tuple(moved)


def _of_two(store: AssetStore, truth: NDArray[Any], score: NDArray[Any]) -> dict[str, Any]:
    """Return what two classes have beside: curves over all thresholds, and what each threshold costs."""
    thresholds = tuple(_threshold_row(truth, score, one) for one in THRESHOLDS)
    if len(set(truth.tolist())) < 2:
        return {"thresholds": thresholds}
    roc, recall = metrics.roc(truth, score), metrics.precision_recall(truth, score)
    best = metrics.best_f1(truth, score)
    return {
        "thresholds": thresholds,
        "best": _threshold_row(truth, score, best),
        "most_right": _threshold_row(truth, score, metrics.most_right(truth, score)),
        "ranked": metrics.ranks(roc.area, int(truth.sum()), int((truth == 0).sum())),
        "roc_auc": six_digits(roc.area),
        "average_precision": six_digits(recall.area),
        "roc": square_figure(
            store, [(*metrics.thinned(roc), "")], ("false positive rate", "true positive rate"),
            f"ROC curve, area {roc.area:.3f}.", diagonal=True,
        ),
        "precision_recall": square_figure(
            store, [(*metrics.thinned(recall), "")], ("recall", "precision"),
            f"Precision over recall, average precision {recall.area:.3f}.",
        ),
    }  # fmt: skip


def _threshold_row(truth: NDArray[Any], score: NDArray[Any], threshold: float) -> ThresholdRow:
    said = (score >= threshold).astype(np.int64)
    matrix = metrics.confusion(truth, said, 2)
    found = metrics.per_class(matrix)
    return ThresholdRow(
        threshold=finite_number(threshold),
        hits=int(matrix[1, 1]),
        false_alarms=int(matrix[0, 1]),
        missed=int(matrix[1, 0]),
        precision=six_digits(found.precision[1]),
        recall=six_digits(found.recall[1]),
        f1=six_digits(found.f1[1]),
    )


def _reliability(store: AssetStore, found: metrics.Calibration) -> Any:
    alt = f"Accuracy over confidence in {len(found.confidence)} bins; calibration error {found.error:.3f}."
    points = [(found.confidence, found.accuracy, "")]
    return square_figure(store, points, ("confidence", "accuracy"), alt, diagonal=True, marked=True)
