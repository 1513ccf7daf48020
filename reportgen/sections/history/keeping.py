"""Which epochs of a long training are kept in the report: what is said of it stays exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.history import Series

MOST_KEPT = 2000
"""Epochs; more than a page shows, and few enough to be read in any viewer."""
LAST = 3
"""Epochs over which the end of a curve is taken."""
BROKEN = 6
"""Epochs without a finite loss that are named, and one that says there are more."""


def best_epoch(values: NDArray[Any], *, higher: bool) -> int | None:
    """Return the index of the best value, the first of equal ones; None where all are NaN.

    Args:
        values: NaN where there is none.
        higher: whether more is better.
    """
    if np.isnan(values).all():
        return None
    return int(np.nanargmax(values) if higher else np.nanargmin(values))


def kept_epochs(
    count: int, curves: Sequence[Series], best: Sequence[int | None], loss: str | None
) -> NDArray[Any]:
    """Return the indices of the epochs to keep: all of few.

    Of many the first and the last, the best of every curve, of the loss the least in training and in each half
    and the first that are broken; the others evenly.

    Args:
        count: of the epochs.
        curves: values an epoch, NaN where there is none.
        best: the index of each curve's best epoch.
        loss: the name of the curve that the rules rest on.
    """
    if count <= MOST_KEPT:
        return np.arange(count)
    exact = {0, *range(count - LAST, count), *(index for index in best if index is not None)}
    for curve in curves:
        if curve.name == loss:
            exact.update(_of_loss(curve, count))
    even = np.linspace(0, count - 1, max(MOST_KEPT - len(exact), MOST_KEPT // 2)).round()
    return np.union1d(even.astype(np.int64), sorted(exact))


def _of_loss(curve: Series, count: int) -> set[int]:
    found: set[int] = set()
    columns = [values for values in (curve.train, curve.validation) if values.size]
    for values in columns:
        for start, stop in ((0, count // 2), (count // 2, count)):
            lowest = best_epoch(values[start:stop], higher=False)
            if lowest is not None:
                found.add(start + lowest)
    broken = np.isnan(np.stack(columns)).any(axis=0)
    found.update(np.flatnonzero(broken)[:BROKEN].tolist())
    return found
