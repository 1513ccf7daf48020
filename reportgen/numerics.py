"""Statistics, histograms and array arithmetic; NumPy only."""

from __future__ import annotations

import hashlib
import math
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.report.leaves import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

ZERO_BIN = 256
BINS = 513
_LOW_CODE = (127 - 20) << 3  # exponent -20, mantissa 0: the innermost bin's code
_HIGH_CODE = ((127 + 12) << 3) - 1  # the last bin below 2^12


class Statistics(NamedTuple):
    """What is stored of a tensor; the numbers over its finite values, None where there is none."""

    size: int
    zeros: int
    nan: int
    inf: int
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    percentiles: tuple[float | None, ...]
    l2: float | None
    histogram: Histogram


PERCENTILES = (1, 25, 50, 75, 99)


def six_digits(value: float | np.floating | None) -> float | None:
    """Return ``value`` to six significant digits, None for NaN and infinity.

    More digits would differ between batch sizes and machines (about 3e-6) and say nothing.
    """
    if value is None or not math.isfinite(value):
        return None
    return float(f"{float(value):.6g}")


def finite_number(value: float | np.floating) -> float:
    """Return a number that is finite by its making, to six significant digits.

    Raises:
        ArithmeticError: it is NaN or infinite; nothing stands for what cannot be measured.
    """
    known = six_digits(value)
    if known is None:
        raise ArithmeticError(f"a value that must be finite is {value}")
    return known


def six_digits_each(values: NDArray[Any]) -> NDArray[Any]:
    """Return what ``six_digits`` makes of each value, bit for bit; float64, NaN for NaN and infinity.

    A power of ten up to 10^22 is exact, so one multiplication tells the digits but for values within its
    rounding of a tie, and one division makes the nearest double of them. The few others go one by one.
    """
    wide = np.asarray(values, np.float64)
    result = np.where(wide == 0, wide, math.nan)
    places = np.flatnonzero(np.isfinite(wide) & (wide != 0))
    known = wide[places]
    power = np.floor(np.log10(np.abs(known))).astype(np.int64) - 5
    exact = np.abs(power) <= 22
    scale = 10.0 ** np.where(exact, np.abs(power), 0)
    scaled = np.where(power < 0, known * scale, known / scale)
    digits = np.rint(scaled)
    # The logarithm may miss the power at its borders.
    exact &= (np.abs(digits) >= 100_000) & (np.abs(digits) <= 999_999)
    exact &= np.abs(np.abs(scaled - digits) - 0.5) > 1e-6
    found = np.where(power < 0, digits / scale, digits * scale)
    for place in np.flatnonzero(~exact).tolist():
        found[place] = float(f"{known[place]:.6g}")
    result[places] = found
    return result


def describe(array: NDArray[Any]) -> Statistics:
    """Measure a tensor of any shape and real dtype.

    Sums are float64; percentiles interpolate linearly (NumPy's default method).
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype != np.float64:  # float32 would round integers of more than 24 bits
        wide = flat.dtype.kind in "iu" and flat.itemsize > 2
        flat = flat.astype(np.float64 if wide else np.float32, copy=False)
    own = not np.may_share_memory(flat, array)
    finite, nan, inf = _finite(flat)
    if not finite.size:
        return Statistics(
            flat.size, 0, nan, inf, None, None, None, None, (None,) * 5, None, Histogram()
        )
    ordered = finite if own or finite is not flat else finite.copy()
    ordered.sort()
    mean = float(np.mean(ordered, dtype=np.float64))
    square = _sum_of_squares(ordered)
    if abs(mean) * 1e3 < math.sqrt(square / ordered.size):
        variance = square / ordered.size - mean * mean
    else:  # the difference of two near numbers would lose its digits
        variance = _sum_of_squares(ordered, about=mean) / ordered.size
    none = ordered.dtype.type(0)  # of its type: NumPy would convert the whole array
    left, right = (np.searchsorted(ordered, none, side=side) for side in ("left", "right"))
    return Statistics(
        size=flat.size,
        zeros=int(right - left),
        nan=nan,
        inf=inf,
        min=six_digits(ordered[0]),
        max=six_digits(ordered[-1]),
        mean=six_digits(mean),
        std=six_digits(math.sqrt(max(variance, 0.0))),
        percentiles=tuple(six_digits(_percentile(ordered, q)) for q in PERCENTILES),
        l2=six_digits(math.sqrt(square)),
        histogram=histogram_of_sorted(ordered),
    )


def _finite(flat: NDArray[Any]) -> tuple[NDArray[Any], int, int]:
    if flat.size and np.isfinite(flat.min()) and np.isfinite(flat.max()):
        return flat, 0, 0
    mask = np.isfinite(flat)
    good = int(np.count_nonzero(mask))
    nan = int(np.count_nonzero(np.isnan(flat)))
    return flat[mask], nan, flat.size - good - nan


def _sum_of_squares(values: NDArray[Any], about: float = 0.0) -> float:
    """Sum squares in float64, block by block so that no float64 copy of a large tensor is made."""
    total = 0.0
    for start in range(0, values.size, 1 << 16):
        block = values[start : start + (1 << 16)].astype(np.float64)
        if about:
            block -= about
        total += float(
            np.einsum("i,i->", block, block)
        )  # one thread: BLAS's would wait for each other
    return total


def middle_of(values: NDArray[Any]) -> float:
    """Return the median of a row of one value or more, as ``numpy.median`` does, in a tenth of its time."""
    ordered = np.sort(values)
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def _percentile(ordered: NDArray[Any], q: float) -> float:
    position = q / 100 * (ordered.size - 1)
    low = math.floor(position)
    high = min(low + 1, ordered.size - 1)
    a, b = float(ordered[low]), float(ordered[high])
    return a + (b - a) * (position - low)


def bin_codes(values: NDArray[Any]) -> NDArray[Any]:
    """Return the fixed bin (0 to 512) of each finite value.

    The bin of a float32 is its bit pattern shifted right by 20: three bits of mantissa, 8 bins an
    octave, without a logarithm and with exact edges.
    """
    single = values.astype(np.float32, copy=False)
    bits = np.ascontiguousarray(single).view(np.uint32)
    code = np.clip((bits & 0x7FFFFFFF) >> 20, _LOW_CODE, _HIGH_CODE).astype(np.int32) - _LOW_CODE
    bins = np.where(bits >> 31, ZERO_BIN - 1 - code, ZERO_BIN + 1 + code)
    return np.where(single == 0, ZERO_BIN, bins)


@cache
def bin_edges() -> NDArray[Any]:
    """Return the 514 edges of the fixed bins, float64 ascending; the zero bin lies between its neighbours."""
    octave = 2.0 ** np.arange(-20, 12)[:, None]
    magnitudes = np.append((octave * (1 + np.arange(8) / 8)[None]).ravel(), 2.0**12)
    return np.concatenate([-magnitudes[::-1], magnitudes])


@cache
def _edges_in(dtype: str) -> NDArray[Any]:
    return bin_edges().astype(dtype)


def histogram_of_sorted(ordered: NDArray[Any]) -> Histogram:
    """Count ascending finite values on the fixed bins: one binary search an edge."""
    edges = _edges_in(ordered.dtype.str)
    negative = np.searchsorted(ordered, edges[1:257], side="right")
    positive = np.searchsorted(ordered, edges[257:513], side="left")
    none = ordered.dtype.type(0)
    zeros_start = int(np.searchsorted(ordered, none))
    zeros_end = int(np.searchsorted(ordered, none, side="right"))
    # Tiny magnitudes belong to the innermost bins, huge ones to the outermost.
    cuts = np.concatenate(
        [[0], negative[:-1], [zeros_start, zeros_end], positive[1:], [ordered.size]]
    )
    counts = np.diff(cuts)
    below = int(positive[0] - negative[-1]) - (zeros_end - zeros_start)
    beyond = int(np.searchsorted(ordered, edges[0], side="left"))
    beyond += ordered.size - int(np.searchsorted(ordered, edges[-1], side="right"))
    return trim(counts, below=below, beyond=beyond)


def trim(counts: NDArray[Any], *, below: int = 0, beyond: int = 0) -> Histogram:
    """Store 513 counts without the empty bins at both ends."""
    filled = np.flatnonzero(counts)
    if not filled.size:
        return Histogram()
    first, last = int(filled[0]), int(filled[-1])
    return Histogram(first, tuple(counts[first : last + 1].tolist()), below, beyond)


def dtype_size(name: str) -> int:
    """Return the bytes of one element of a Keras dtype."""
    special = {"bfloat16": 2, "bool": 1, "float8_e4m3fn": 1, "float8_e5m2": 1}
    if name in special:
        return special[name]
    try:
        return int(np.dtype(name).itemsize)
    except TypeError:
        return 4


def digest(array: NDArray[Any]) -> str:
    """Return 32 hex digits over dtype, shape and values (BLAKE2b)."""
    hasher = hashlib.blake2b(digest_size=16)
    hasher.update(f"{array.dtype.name}{array.shape}".encode())
    contiguous = np.ascontiguousarray(array)
    data: Any = contiguous.reshape(-1).view(np.uint8)  # a buffer, whatever its type says
    hasher.update(data)
    return hasher.hexdigest()


def softmax(values: NDArray[Any]) -> NDArray[Any]:
    """Return the softmax over the last axis, in float64."""
    shifted = values.astype(np.float64) - np.max(values, axis=-1, keepdims=True)
    powers = np.exp(shifted)
    result: NDArray[Any] = powers / powers.sum(axis=-1, keepdims=True)
    return result


def sigmoid(values: NDArray[Any]) -> NDArray[Any]:
    """Return the logistic function, in float64, without overflow."""
    wide = values.astype(np.float64)
    small = np.exp(-np.abs(wide))
    return np.where(wide >= 0, 1 / (1 + small), small / (1 + small))


def probabilities_of(values: NDArray[Any], scale: str) -> NDArray[Any]:
    """Return what each of independent outputs says as a probability, float64; NaN stays.

    Args:
        values: of any shape.
        scale: of a ``Task``: logits go through the logistic function, others are cut to 0..1, as losses do.
    """
    return sigmoid(values) if scale == "logits" else np.clip(values.astype(np.float64), 0, 1)


def wilson(hits: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share (Wilson 1927)."""
    if total == 0:
        return 0.0, 1.0
    p = hits / total
    centre = p + z * z / (2 * total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def entropy_bits(probabilities: NDArray[Any]) -> float:
    """Return the Shannon entropy of one distribution, in bits; zeros count as nothing."""
    p = probabilities[probabilities > 0].astype(np.float64)
    return max(float(-(p * np.log2(p)).sum()), 0.0)


def pearson(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """Return Pearson's correlation of two arrays of one shape; None where one is constant."""
    x = a.astype(np.float64).ravel()
    y = b.astype(np.float64).ravel()
    if (
        not x.size or x.min() == x.max() or y.min() == y.max()
    ):  # its rounded mean may differ from it
        return None
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else None


def stripes(array: NDArray[Any], elements: int = 1 << 22) -> Iterator[slice]:
    """Yield the rows of an array in stripes of about so many elements, which bounds what is made of them."""
    step = max(1, elements * len(array) // max(array.size, 1))
    for start in range(0, len(array), step):
        yield slice(start, start + step)


def resize_bilinear(image: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize (H, W, C) to (``height``, ``width``, C) float32, bilinear without antialias.

    Half-pixel centres and clamped edges, as ``tf.image.resize`` and Keras's loaders do.
    """
    if image.shape[:2] == (height, width):
        return image.astype(np.float32, copy=False)
    with np.errstate(invalid="ignore", over="ignore"):  # images of floats hold NaN and infinity
        low, high, part = _taps(image.shape[0], height)
        rows = image[low].astype(np.float32)
        rows += (image[high].astype(np.float32) - rows) * part[:, None, None]
        low, high, part = _taps(image.shape[1], width)
        result: NDArray[Any] = rows[:, low] + (rows[:, high] - rows[:, low]) * part[None, :, None]
    return result


def _taps(source: int, target: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    position = (np.arange(target, dtype=np.float32) + 0.5) * np.float32(source / target) - 0.5
    floor = np.floor(position)
    low = np.clip(floor, 0, source - 1).astype(np.int64)
    high = np.clip(np.ceil(position), 0, source - 1).astype(np.int64)
    return low, high, (position - floor).astype(np.float32)


def cell_edges(size: int, count: int) -> NDArray[Any]:
    """Return where ``count`` cells of a row of ``size`` pixels begin and end, to the nearest pixel."""
    result: NDArray[Any] = (2 * np.arange(count + 1) * size + count) // (2 * count)
    return result


def averaged(values: NDArray[Any], grid: tuple[int, int]) -> NDArray[Any]:
    """Return the means over the cells of a coarser grid."""
    rows, columns = (
        cell_edges(size, count) for size, count in zip(values.shape, grid, strict=True)
    )
    sums = np.add.reduceat(np.add.reduceat(values, rows[:-1], axis=0), columns[:-1], axis=1)
    result: NDArray[Any] = sums / (np.diff(rows)[:, None] * np.diff(columns)[None])
    return result


def even_sample(count: int, size: int) -> list[int]:
    """Return ``size`` indices spread evenly over ``count``, the first one included."""
    if count <= size:
        return list(range(count))
    return [index * count // size for index in range(size)]


class ExactSums:
    """Sums of float64 vectors that do not depend on the order: integers of 32 bits a bin of exponents.

    A small superaccumulator, element by element (Neal 2015, Fast exact summation using small and large
    superaccumulators). NaN and infinity are summed apart, so that they end as they would.

    Args:
        size: elements of the vectors.
    """

    _LOWEST = 1126
    """Two to the minus this is below every float64."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._bins: dict[int, NDArray[Any]] = {}
        self._broken = np.zeros(size)

    def add(self, values: NDArray[Any]) -> None:
        """Add (size,) float64, or all rows of (n, size)."""
        values = np.atleast_2d(values)
        finite = np.isfinite(values)
        if not finite.all():
            with np.errstate(invalid="ignore"):
                self._broken += np.where(finite, 0.0, values).sum(axis=0)
            values = np.where(finite, values, 0.0)
        mantissa, exponent = np.frexp(values)
        whole = (mantissa * 2.0**53).astype(np.int64)
        place, shift = np.divmod(exponent.astype(np.int64) - 53 + self._LOWEST, 32)
        low = (whole & 0xFFFFFFFF) << shift
        high = ((whole >> 32) << shift) + (low >> 32)
        parts = (low & 0xFFFFFFFF, high & 0xFFFFFFFF, high >> 32)
        for first in np.unique(place[whole != 0]).tolist():
            here = place == first
            for offset, part in enumerate(parts):
                self._bin(first + offset)[:] += (part * here).sum(axis=0)

    def _bin(self, place: int) -> NDArray[Any]:
        return self._bins.setdefault(place, np.zeros(self.size, np.int64))

    def merge(self, other: ExactSums) -> None:
        """Add what another one summed."""
        for place, counts in other._bins.items():
            self._bin(place)[:] += counts
        with np.errstate(invalid="ignore"):
            self._broken += other._broken

    def values(self) -> NDArray[Any]:
        """Return the sums, (size,) float64, within a unit in the last place."""
        carried = self._carried(1)
        sign = np.where(carried[-1][1] < 0, -1, 1) if carried else np.ones(self.size, int)
        total = np.zeros(self.size)
        for place, counts in self._carried(sign):
            total += np.ldexp(counts.astype(np.float64), 32 * place - self._LOWEST)
        with np.errstate(invalid="ignore"):
            result: NDArray[Any] = sign * total + self._broken
        return result

    def _carried(self, sign: Any) -> list[tuple[int, NDArray[Any]]]:
        """Return the bins, lowest first, each within 32 bits but the last one."""
        if not self._bins:
            return []
        carry = np.zeros(self.size, np.int64)
        result = []
        last = max(self._bins) + 1
        for place in range(min(self._bins), last + 1):
            counts = carry + sign * self._bins.get(place, np.int64(0))
            carry = counts >> 32
            result.append((place, counts if place == last else counts & 0xFFFFFFFF))
        return result

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was summed as arrays, the same for the same sums."""
        places = sorted(place for place, counts in self._bins.items() if counts.any())
        counts = [self._bins[place] for place in places]
        shape = np.array(counts, np.int64).reshape(len(places), self.size)
        return {"places": np.array(places, np.int64), "counts": shape, "broken": self._broken}

    @classmethod
    def of(cls, state: Mapping[str, NDArray[Any]]) -> ExactSums:
        """Return the sums that ``state`` describes."""
        sums = cls(state["counts"].shape[1])
        sums._bins = dict(zip(state["places"].tolist(), state["counts"].copy(), strict=True))
        sums._broken = state["broken"].copy()
        return sums
