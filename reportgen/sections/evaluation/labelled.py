"""Labels that are decided each for itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.numerics import finite_number, probabilities_of, six_digits
from reportgen.report.content.evaluation import ClassRow, Labelled
from reportgen.sections.evaluation import metrics
from reportgen.sections.evaluation.folds import OutputFold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class LabelFold(OutputFold):
    """Keeps the probability of every label, and which are true."""

    def has_label(self, label: Any) -> bool:
        """Take an empty text for an image without any of the labels."""
        return isinstance(label, str) or super().has_label(label)

    def update(self, outputs: NDArray[Any], labels: Sequence[Any], places: NDArray[Any]) -> None:
        """Take in one block.

        Raises:
            DataError: a label that names no class.
        """
        known = np.where(np.isfinite(outputs), outputs, 0)
        p = probabilities_of(known, self.about.task.scale)
        truth = np.zeros(p.shape, bool)
        for row, (label, place) in enumerate(zip(labels, places.tolist(), strict=True)):
            truth[row, sorted(self.about.classes_in(label, place))] = True
        broken: Any = ~np.isfinite(outputs).all(axis=1)
        # An answer that is no number is wrong in every label.
        p = np.where(broken[:, None], np.where(truth, 0.0, 1.0), p)
        self.keep(place=places, truth=truth, p=p.astype(np.float64))


def labelled(fold: LabelFold) -> Labelled:
    """Return the metrics of every label."""
    truth, p, threshold = fold.column("truth"), fold.column("p"), fold.about.threshold
    decided = p >= threshold
    rows, ranked = [], 0
    for index in range(truth.shape[1]):
        matrix = metrics.confusion(truth[:, index].astype(int), decided[:, index].astype(int), 2)
        found = metrics.per_class(matrix)
        there = int(truth[:, index].sum())
        both = 0 < there < len(truth)
        area = metrics.precision_recall(truth[:, index], p[:, index]).area if both else math.nan
        roc = metrics.roc(truth[:, index], p[:, index]).area if both else math.nan
        ranked += metrics.ranks(roc, there, len(truth) - there)
        rows.append(
            ClassRow(
                index, fold.about.classes.name(index), int(found.support[1]), int(found.predicted[1]),
                six_digits(found.precision[1]), six_digits(found.recall[1]), six_digits(found.f1[1]),
                six_digits(area),
            )
        )  # fmt: skip
    shares = truth.mean(axis=0)
    return Labelled(
        exact=finite_number(float((decided == truth).all(axis=1).mean())),
        accuracy=finite_number(float((decided == truth).mean())),
        threshold=threshold,
        labels=tuple(rows),
        majority=finite_number(float(np.maximum(shares, 1 - shares).mean())),
        ranked=ranked,
    )
