"""Tensors that are too large to be held: their values come slab by slab, and their statistics are the same."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.numerics import (
    BINS,
    PERCENTILES,
    Statistics,
    bin_codes,
    bin_edges,
    describe,
    digest,
    six_digits,
    trim,
)
from reportgen.report.leaves import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

SLAB_VALUES = 1 << 22
"""Values that are held at once."""
_HALF = 1 << 16
_SIGN = np.uint32(1 << 31)


class Slabs:
    """A tensor whose values are read when they are walked over, in their order.

    Args:
        shape: of the tensor.
        dtype: of its values, real and no wider than float32.
        pieces: reads the tensor from its beginning, a piece at a time.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: np.dtype[Any],
        pieces: Callable[[], Iterator[NDArray[Any]]],
    ) -> None:
        self.shape, self.dtype = tuple(shape), dtype
        self.size = math.prod(self.shape)
        self.ndim = len(self.shape)
        self._pieces = pieces

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Yield the values, flat."""
        for piece in self._pieces():
            yield np.ascontiguousarray(piece).reshape(-1)


def in_slabs(dtype: np.dtype[Any]) -> bool:
    """Tell whether values of a type can be measured slab by slab: float32 holds them all."""
    if dtype.kind in "fV":
        return dtype.itemsize in {1, 2, 4}
    return dtype.kind in "iub" and dtype.itemsize < 3


def places(shape: Sequence[int], most: int = SLAB_VALUES) -> Iterator[tuple[Any, ...]]:
    """Yield the indices of pieces of a tensor in their order, none larger than ``most`` values."""
    whole = math.prod(shape)
    if whole <= most or not shape:
        yield ()
        return
    row = whole // shape[0]
    if row <= most:
        step = most // max(row, 1)
        for start in range(0, shape[0], step):
            yield (slice(start, min(start + step, shape[0])),)
        return
    for number in range(shape[0]):
        for rest in places(shape[1:], most):
            yield (number, *rest)


def statistics_of(array: NDArray[Any] | Slabs) -> Statistics:
    """Measure a tensor as ``numerics.describe`` does; one in slabs by walking over it twice."""
    return _describe_slabs(array) if isinstance(array, Slabs) else describe(array)


def digest_of(array: NDArray[Any] | Slabs) -> str:
    """Return what ``numerics.digest`` says of the whole tensor."""
    if not isinstance(array, Slabs):
        return digest(array)
    hasher = hashlib.blake2b(digest_size=16)
    hasher.update(f"{array.dtype.name}{array.shape}".encode())
    for piece in array:
        data: Any = piece.view(np.uint8)
        hasher.update(data)
    return hasher.hexdigest()


class _Counts:
    """What the first walk counts."""

    def __init__(self) -> None:
        self.zeros = self.nan = self.inf = self.finite = self.below = self.beyond = 0
        self.low, self.high = math.inf, -math.inf
        self.total = self.square = 0.0
        self.upper = np.zeros(_HALF, np.int64)
        self.bins = np.zeros(BINS, np.int64)

    def add(self, piece: NDArray[Any]) -> None:
        """Count a piece."""
        values = _finite(piece)
        nan = int(np.count_nonzero(np.isnan(piece))) if values.size < piece.size else 0
        self.nan += nan
        self.inf += piece.size - values.size - nan
        if not values.size:
            return
        self.finite += values.size
        self.zeros += values.size - int(np.count_nonzero(values))
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))
        wide = values.astype(np.float64)
        self.total += float(wide.sum())
        self.square += float(np.einsum("i,i->", wide, wide))
        self.upper += np.bincount(_keys(values) >> 16, minlength=_HALF)
        self.bins += np.bincount(bin_codes(values), minlength=BINS)
        sizes, edges = np.abs(values), bin_edges()
        self.below += int(np.count_nonzero((sizes < edges[257]) & (sizes > 0)))
        self.beyond += int(np.count_nonzero(sizes > edges[-1]))


def _finite(piece: NDArray[Any]) -> NDArray[Any]:
    """Return the finite values as float32."""
    values = piece.astype(np.float32, copy=False)
    mask = np.isfinite(values)
    return values if mask.all() else values[mask]


def _keys(values: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers of 32 bits in the order of the values."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _value(key: int) -> float:
    bits = key & 0x7FFFFFFF if key >> 31 else ~key & 0xFFFFFFFF
    return float(np.array(bits, np.uint32).view(np.float32))


def _describe_slabs(slabs: Slabs) -> Statistics:
    seen = _Counts()
    for piece in slabs:
        seen.add(piece)
    if not seen.finite:
        empty = (None,) * len(PERCENTILES)
        return Statistics(
            slabs.size, 0, seen.nan, seen.inf, None, None, None, None, empty, None, Histogram()
        )
    mean = seen.total / seen.finite
    ordered, about = _second_walk(slabs, seen, mean)
    return Statistics(
        size=slabs.size,
        zeros=seen.zeros,
        nan=seen.nan,
        inf=seen.inf,
        min=six_digits(seen.low),
        max=six_digits(seen.high),
        mean=six_digits(mean),
        std=six_digits(math.sqrt(about / seen.finite)),
        percentiles=tuple(six_digits(_between(ordered, seen.finite, q)) for q in PERCENTILES),
        l2=six_digits(math.sqrt(seen.square)),
        histogram=trim(seen.bins, below=seen.below, beyond=seen.beyond),
    )


def _second_walk(slabs: Slabs, seen: _Counts, mean: float) -> tuple[dict[int, float], float]:
    """Return the values at the ranks that percentiles lie between, and the sum of squares about the mean.

    The first walk told the upper half of their bits; here the lower half is counted, where it matters.
    """
    ranks = sorted({rank for q in PERCENTILES for rank in _ranks(seen.finite, q)[:2]})
    ends = np.cumsum(seen.upper)
    halves = {rank: int(np.searchsorted(ends, rank, side="right")) for rank in ranks}
    wanted = np.zeros(_HALF, bool)
    wanted[list(halves.values())] = True
    lower = {half: np.zeros(_HALF, np.int64) for half in halves.values()}
    about = 0.0
    for piece in slabs:
        values = _finite(piece)
        far = values.astype(np.float64) - mean
        about += float(np.einsum("i,i->", far, far))
        keys = _keys(values)
        held = keys[wanted[keys >> 16]]
        for half in lower:
            lower[half] += np.bincount(held[held >> 16 == half] & (_HALF - 1), minlength=_HALF)
    found = {}
    for rank, half in halves.items():
        before = int(ends[half]) - int(seen.upper[half])
        low = int(np.searchsorted(np.cumsum(lower[half]), rank - before, side="right"))
        found[rank] = _value(half << 16 | low)
    return found, about


def _ranks(size: int, q: float) -> tuple[int, int, float]:
    """Return the ranks that a percentile lies between, and where."""
    position = q / 100 * (size - 1)
    low = math.floor(position)
    return low, min(low + 1, size - 1), position - low


def _between(ordered: dict[int, float], size: int, q: float) -> float:
    low, high, share = _ranks(size, q)
    return ordered[low] + (ordered[high] - ordered[low]) * share
