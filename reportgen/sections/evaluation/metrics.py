"""How good predictions are: metrics of whole data sets; NumPy only, each after its textbook definition."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_FOR_CALIBRATION = 200
"""Images below which a calibration error is mostly noise."""
BINS = 15
"""Bins of equal width for the calibration error (Guo et al. 2017)."""


def confusion(truth: NDArray[Any], predicted: NDArray[Any], classes: int) -> NDArray[Any]:
    """Count pairs: rows are true classes, columns predicted ones."""
    flat = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes)


class PerClass(NamedTuple):
    """Precision, recall and F1 of every class; NaN where nothing was predicted or nothing is there."""

    precision: NDArray[Any]
    recall: NDArray[Any]
    f1: NDArray[Any]
    support: NDArray[Any]
    predicted: NDArray[Any]


def per_class(matrix: NDArray[Any], support: NDArray[Any] | None = None) -> PerClass:
    """Return the metrics of every class of a confusion matrix.

    Args:
        matrix: rows are true classes.
        support: images of each class, where some have no prediction; else the rows' sums.
    """
    right = np.diag(matrix).astype(np.float64)
    support = matrix.sum(axis=1) if support is None else support
    predicted = matrix.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / predicted, right / support
        f1 = 2 * right / (support + predicted)
    return PerClass(precision, recall, f1, support, predicted)


class Calibration(NamedTuple):
    """Confidence against accuracy in bins of equal width, the empty ones left out.

    Attributes:
        error: expected calibration error: mean over the images of |accuracy - confidence| of their bin.
    """

    counts: NDArray[Any]
    confidence: NDArray[Any]
    accuracy: NDArray[Any]
    error: float


def calibration(confidence: NDArray[Any], right: NDArray[Any], bins: int = BINS) -> Calibration:
    """Return the reliability diagram and the expected calibration error (Naeini et al. 2015)."""
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    some = counts > 0
    mean = np.bincount(place, weights=confidence, minlength=bins)[some] / counts[some]
    hits = np.bincount(place, weights=right.astype(float), minlength=bins)[some] / counts[some]
    error = float((counts[some] * np.abs(hits - mean)).sum() / counts.sum())
    return Calibration(counts, mean, hits, error)


def log_loss(truth_probability: NDArray[Any]) -> float:
    """Return the mean negative logarithm of the probability of the truth, at least 1e-15 each."""
    return float(-np.log(np.clip(truth_probability, 1e-15, 1)).mean())


class Curve(NamedTuple):
    """A curve over all thresholds, ``x`` ascending, and the area under it."""

    x: NDArray[Any]
    y: NDArray[Any]
    area: float


def roc(truth: NDArray[Any], score: NDArray[Any]) -> Curve:
    """Return true positive over false positive rate, ties together; the area by trapezoids (AUC)."""
    positives, hits, alarms = _cumulated(truth, score)
    y = np.concatenate([[0], hits / max(positives, 1)])
    x = np.concatenate([[0], alarms / max(len(truth) - positives, 1)])
    return Curve(x, y, float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)))


def precision_recall(truth: NDArray[Any], score: NDArray[Any]) -> Curve:
    """Return precision over recall; the area is the average precision: a sum of steps, no trapezoids."""
    positives, hits, alarms = _cumulated(truth, score)
    recall, precision = hits / max(positives, 1), hits / (hits + alarms)
    steps = np.diff(np.concatenate([[0], recall]))
    return Curve(recall, precision, float((steps * precision).sum()))


def best_f1(truth: NDArray[Any], score: NDArray[Any]) -> float:
    """Return the threshold at which F1 is largest; of several the highest."""
    positives, hits, alarms = _cumulated(truth, score)
    thresholds = np.unique(score)[::-1]
    return float(thresholds[int(np.argmax(2 * hits / (positives + hits + alarms)))])


def most_right(truth: NDArray[Any], score: NDArray[Any]) -> float:
    """Return the threshold with most right decisions, between two scores; of several the highest."""
    _, hits, alarms = _cumulated(truth, score)
    scores = np.unique(score)[::-1]
    place = int(np.argmax(hits - alarms))
    below = scores[place + 1] if place + 1 < len(scores) else 0.0
    return float((scores[place] + below) / 2)


def ranks(area: float, positives: int, negatives: int, z: float = 1.959964) -> bool:
    """Return whether an area under ROC lies above what no ranking reaches in 97.5 % of all data sets.

    Without a ranking it has mean 1/2 and variance (m + n + 1) / (12 m n) (Mann and Whitney 1947).
    """
    if not positives or not negatives:
        return False
    deviation = math.sqrt((positives + negatives + 1) / (12 * positives * negatives))
    return area > 0.5 + z * deviation


def _cumulated(truth: NDArray[Any], score: NDArray[Any]) -> tuple[int, NDArray[Any], NDArray[Any]]:
    """Return how many positives there are, and true and false positives at every distinct threshold."""
    order = np.argsort(-score, kind="stable")
    ordered, sign = score[order], truth[order].astype(np.int64)
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(sign)[last].astype(np.float64)
    return int(sign.sum()), hits, (last + 1) - hits


class Errors(NamedTuple):
    """How far predictions are off; ``r2`` is NaN for a constant truth."""

    mae: float
    rmse: float
    median: float
    r2: float
    baseline_mae: float


def errors(truth: NDArray[Any], predicted: NDArray[Any]) -> Errors:
    """Return the errors of a regression; the baseline always says the median of the truth."""
    difference = predicted.astype(np.float64) - truth
    spread = float(((truth - truth.mean()) ** 2).sum())
    return Errors(
        mae=float(np.abs(difference).mean()),
        rmse=float(np.sqrt((difference**2).mean())),
        median=float(np.median(np.abs(difference))),
        r2=1 - float((difference**2).sum()) / spread if spread > 0 else math.nan,
        baseline_mae=float(np.abs(truth - np.median(truth)).mean()),
    )


def thinned(curve: Curve, most: int = 200) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return at most so many points of a curve, both ends kept."""
    if len(curve.x) <= most:
        return curve.x, curve.y
    kept = np.unique(np.linspace(0, len(curve.x) - 1, most).round().astype(int))
    return curve.x[kept], curve.y[kept]
