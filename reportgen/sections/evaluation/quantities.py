"""Numbers, one or several an image: how far they are off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.drawing.figures import points_figure
from reportgen.errors import NotApplicable
from reportgen.numerics import finite_number, six_digits
from reportgen.report.content.evaluation import Regressed, ValueRow
from reportgen.sections.evaluation import metrics
from reportgen.sections.evaluation.decisions import EXAMPLES
from reportgen.sections.evaluation.folds import Notable, OutputFold
from reportgen.wording import number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.drawing.assets import AssetStore
    from reportgen.network.samples import Sample

MOST_POINTS = 500
MOST = float(np.finfo(np.float32).max)
"""Magnitude of a label: no network says more, and squares of more overflow."""


class QuantityFold(OutputFold):
    """Keeps the true and the predicted numbers."""

    def update(self, outputs: NDArray[Any], labels: Sequence[Any], places: NDArray[Any]) -> None:
        """Take in one block.

        Raises:
            DataError: a label that is no finite number, or not as many as the output has.
        """
        values = outputs.reshape(len(outputs), -1)
        pairs = zip(labels, places.tolist(), strict=True)
        truth = np.array([self._numbers(label, place, values.shape[1]) for label, place in pairs])
        self.keep(place=places, truth=truth, values=values)

    def _numbers(self, label: Any, place: int, size: int) -> list[float]:
        given: Any = label
        if isinstance(label, dict):
            given = list(label.values())
        elif isinstance(label, str):
            given = label.split("|")
        try:
            numbers = [float(one) for one in np.asarray(given).reshape(-1)]
        except (TypeError, ValueError):
            raise self.about.wrong(label, place, "is no number, as is") from None
        if not all(abs(number) <= MOST for number in numbers):
            raise self.about.wrong(label, place, f"is no number up to ±{MOST:g}, as is")
        if len(numbers) != size:
            what = f"has {len(numbers)} numbers; {size} has"
            raise self.about.wrong(label, place, what)
        return numbers

    def worst(self) -> list[Notable]:
        """Return the images with the largest mean absolute errors."""
        truth, values = self.column("truth"), self.column("values")
        size = np.abs(values - truth).mean(axis=1)
        order = np.argsort(-np.where(np.isfinite(size), size, -np.inf), kind="stable")
        rows = [row for row in order[:EXAMPLES].tolist() if np.isfinite(size[row])]
        return [
            Notable(
                int(self.column("place")[row]),
                _text(truth[row]),
                _text(values[row]),
                float(size[row]),
            )
            for row in rows
        ]


def _text(numbers: NDArray[Any]) -> str:
    shown = ", ".join(number_text(float(n)) for n in numbers[:4])
    return shown + (", …" if len(numbers) > 4 else "")


def regressed(fold: QuantityFold, store: AssetStore, sample: Sample) -> Regressed:
    """Return the errors.

    Raises:
        NotApplicable: no answer is a number.
    """
    truth, values = fold.column("truth"), fold.column("values")
    known = np.isfinite(values).all(axis=1)
    if not known.any():
        raise NotApplicable(
            f"The network answers NaN or infinity to every {sample.one} of the data set."
        )
    truth, values = truth[known], values[known]
    found = metrics.errors(truth.reshape(-1), values.reshape(-1))
    baseline = float(np.abs(truth - np.median(truth, axis=0)).mean())
    difference = values - truth
    most = max(1, MOST_POINTS // truth.shape[1])
    kept = np.unique(np.linspace(0, len(truth) - 1, most).round().astype(int))
    alt = f"Predicted over true values of {sample.counted(len(kept))}; mean absolute error {found.mae:.4g}."
    labels = ("true", "predicted")
    points = (truth[kept].reshape(-1), values[kept].reshape(-1))
    rows = [_row(index, truth[:, index], values[:, index]) for index in range(truth.shape[1])]
    explained = [row.r2 for row in rows if row.r2 is not None]
    return Regressed(
        mae=finite_number(found.mae),
        rmse=finite_number(found.rmse),
        median_error=finite_number(found.median),
        r2=six_digits(float(np.mean(explained))) if explained else None,
        baseline_mae=finite_number(baseline),
        low=finite_number(float(difference.min())),
        high=finite_number(float(difference.max())),
        counts=_counts(difference),
        figure=points_figure(store, *points, labels, alt),
        worst=(),
        values=tuple(rows) if len(rows) > 1 else (),
    )


def _counts(difference: NDArray[Any]) -> tuple[int, ...]:
    """Count differences in 20 bins; in one where they lie too close for their magnitude."""
    low, high = float(difference.min()), float(difference.max())
    room = 1e-14 * max(abs(low), abs(high))
    span = (
        (low, high)
        if max(high - low, high == low) > room
        else (low - 1e2 * room, high + 1e2 * room)
    )
    return tuple(int(n) for n in np.histogram(difference, bins=20, range=span)[0])


def _row(index: int, truth: NDArray[Any], values: NDArray[Any]) -> ValueRow:
    found = metrics.errors(truth, values)
    return ValueRow(
        index,
        finite_number(found.mae),
        finite_number(found.rmse),
        six_digits(found.r2),
        finite_number(found.baseline_mae),
    )
