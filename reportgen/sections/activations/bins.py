"""Quantiles from fixed bins: the upper twelve bits of a float32, eight bins an octave, whatever the order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 4096
"""Of sign, exponent and the first three bits of the mantissa."""
ERROR = 0.063
"""Largest relative error of a quantile: half of a bin over its lower edge, a sixteenth, rounded up."""
_SIGN = BINS // 2
_INFINITE = 255 * 8
"""First bin of what is not finite."""
_NORMAL = 8
"""First bin of a normal number; smaller ones, below 1.2e-38, count as zero."""


def bins_of(values: NDArray[Any]) -> NDArray[Any]:
    """Return the bin of each float32, as uint16: no logarithm, and edges that are exact."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return (bits >> np.uint32(20)).astype(np.uint16)


def _ascending() -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the bins of finite values in the order of what they hold, and the middle of each."""
    magnitude = np.arange(_NORMAL, _INFINITE)
    edges = np.arange(_NORMAL, _INFINITE + 1, dtype=np.uint32) << np.uint32(20)
    lower = edges[:-1].view(np.float32).astype(np.float64)
    upper = np.append(lower[1:], 2.0**128)
    middle = (lower + upper) / 2
    tiny = np.arange(_NORMAL)
    order = np.concatenate([magnitude[::-1] + _SIGN, tiny + _SIGN, tiny, magnitude])
    values = np.concatenate([-middle[::-1], np.zeros(2 * _NORMAL), middle])
    return order, values


_ORDER, _VALUES = _ascending()


def finite_count(counts: NDArray[Any]) -> int:
    """Return how many of the values that were counted are finite."""
    return int(counts[_ORDER].sum())


def quantiles(counts: NDArray[Any], shares: tuple[float, ...]) -> tuple[float | None, ...]:
    """Return quantiles of the finite values, each within ``ERROR`` of the value of that rank.

    Args:
        counts: (``BINS``,) how many values each bin has.
        shares: of the values that are at most the quantile, in (0, 1]; the rank is rounded up.

    Returns:
        None for each where no value is finite.
    """
    ranks = np.cumsum(counts[_ORDER])
    total = int(ranks[-1])
    if not total:
        return (None,) * len(shares)
    wanted = [max(1, math.ceil(share * total)) for share in shares]
    return tuple(float(_VALUES[place]) for place in np.searchsorted(ranks, wanted))
