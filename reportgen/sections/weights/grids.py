"""Find out whether values stand on a grid: a generator's, which they leave in training, or int8's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.numerics import stripes

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST = 100
"""Values below which nothing is said."""
_STEPS = 2**23
"""Different float32 numbers in [0, 1) that random generators make, evenly spaced."""
_WITHIN = 0.01
_FIRST = 64
_VERY_FIRST = 4
_FIRST_VALUES = 4_096
"""Are looked at before the others: nearly every kernel is told by them."""
AT_ONCE = 1 << 20
"""Values of which something is made at once: only the largest tensor itself is in memory."""
_LEAST_LEVELS = 8
_MOST_LEVELS = 257


def drawn(values: NDArray[Any], scale: float) -> bool:
    """Return whether values stand exactly where a uniform generator on ±``scale`` puts them.

    Generators make ``k / 2²³``, stretch it to the range and shift it, in float32, with or without rounding
    in between; any step of an optimizer takes a value off these places. All values in the inner half of
    the range have to stand on one, where a value that moved does so once in eight to sixteen times.

    Args:
        values: float32, 100 or more.
        scale: half of the range, as the initializer computes it.
    """
    half = np.float32(scale)
    if values.size < LEAST or values.dtype != np.float32 or not half > 0:
        return False
    if _drawn_inside(values[:_FIRST_VALUES], half) is None:
        return False
    count = 0
    for part in stripes(values, AT_ONCE):
        found = _drawn_inside(values[part], half)
        if found is None:
            return False
        count += found
    return count >= values.size / 8


def _drawn_inside(values: NDArray[Any], half: np.float32) -> int | None:
    """Return how many values lie in the inner half of the range; None where one of them is off the places."""
    width = 2 * np.float64(half)
    inner = values[np.abs(values) < half / 2]
    share = np.rint((inner.astype(np.float64) + half) * (_STEPS / width)) / _STEPS
    at_once = (share * width - half).astype(np.float32)
    in_steps = (share * width).astype(np.float32) - half
    return inner.size if ((inner == at_once) | (inner == in_steps)).all() else None


def levels(matrix: NDArray[Any]) -> int:
    """Return how many levels the even grid has that all values of a kernel stand on; 0 without one.

    At most 257 levels count. One grid for all filters may lie anywhere; of a grid for each filter the usual
    ones of 8 and 4 bits are tried: symmetric about zero, or from the least to the largest value.

    Args:
        matrix: (values of a filter, filters), finite; with fewer than 100 values or than 8 different ones
            it is on none.
    """
    if matrix.size < LEAST:
        return 0
    first = np.unique(matrix[:_FIRST])
    if len(first) < _LEAST_LEVELS:
        return 0
    return _common_levels(matrix, first) or _levels_of_filters(matrix)


def _common_levels(matrix: NDArray[Any], first: NDArray[Any]) -> int:
    count = 0
    for rows in (None, matrix):
        different = (first if rows is None else np.unique(rows)).astype(np.float64)
        step = float(np.diff(different).min())
        count = round(float(different[-1] - different[0]) / step) + 1
        if count > _MOST_LEVELS or not _stand(different, different[0], step):
            return 0
    return count


def _levels_of_filters(matrix: NDArray[Any]) -> int:
    low, high = matrix.min(axis=0), matrix.max(axis=0)
    top = np.maximum(np.abs(low), np.abs(high))
    for bits in (8, 4):
        for start, span, steps in (
            (0 * low, top, 2 ** (bits - 1) - 1),
            (0 * low, top, 2 ** (bits - 1)),
            (low, high - low, 2**bits - 1),
        ):
            step = np.where(span > 0, span, 1) / steps
            if all(
                _stand(rows, start, step)
                for rows in (matrix[:_VERY_FIRST], matrix[:_FIRST], matrix)
            ):
                return int(2**bits - (steps == 2 ** (bits - 1) - 1))
    return 0


def _stand(values: NDArray[Any], start: Any, step: Any) -> bool:
    """Return whether every value is a whole number of steps from the start."""
    for part in stripes(values, AT_ONCE):
        places = (values[part] - start) / step
        if not float(np.abs(places - np.rint(places)).max()) < _WITHIN:
            return False
    return True
