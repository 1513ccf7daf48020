"""What a kernel is as a matrix: its spectrum, and filters that point the same way; linear in its values.

Up to 512 filters or inputs by the Gram matrix, above by random probes, so that the cost of the widest matrix
stays in proportion to its values.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.numerics import finite_number, six_digits
from reportgen.report.content.health import Spectrum

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_GRAM = 512
"""Smaller side up to which the Gram matrix is made."""
MOST_COMPARED = 4_096
"""Filters above which none are compared."""
_PROBES = 16
_SKETCH = 64
_SAME = 0.999
_NEAR = 0.998
"""Cosine of sketches from which a pair is measured: 64 numbers tell that of two nearly parallel columns to 18 %
of its distance from 1."""
_COLUMNS = 256
"""Columns that are held against the earlier ones at once."""
_PAIRS = 256
"""Pairs that are measured at once."""


def gram(matrix: NDArray[Any]) -> NDArray[Any] | None:
    """Return the Gram matrix of the smaller side, float64; None where that exceeds 512.

    Args:
        matrix: (values of a filter, filters) float32.
    """
    rows, columns = matrix.shape
    if min(rows, columns) > LARGEST_GRAM:
        return None
    product: NDArray[Any] = matrix.T @ matrix if columns <= rows else matrix @ matrix.T
    return product.astype(np.float64)


def spectrum(
    matrix: NDArray[Any], norms: NDArray[Any], product: NDArray[Any] | None, unit: float = 1
) -> Spectrum | None:
    """Return what the singular values say; None for a matrix of one row or column, and for zeros.

    Args:
        matrix: (values of a filter, filters) float32, finite.
        norms: of its columns, float64.
        product: its Gram matrix, None where it is too large.
        unit: what the kernel was divided by.
    """
    rows, columns = matrix.shape
    small = min(rows, columns)
    total = float(norms @ norms)
    if small < 2 or not 0 < total < math.inf:
        return None
    alpha, distance, top = None, None, None
    if product is not None:
        shares = product / total
        squares = float(np.einsum("ij,ij->", shares, shares))
        eigenvalues = np.maximum(np.linalg.eigvalsh(product), 0)
        alpha, distance = power_law(eigenvalues)
        top = float(eigenvalues[-1])
    else:
        squares = sum_of_squared_shares(matrix, total)
    rms = math.sqrt(total / (rows * columns))
    edge = (rms * (math.sqrt(rows) + math.sqrt(columns))) ** 2
    return Spectrum(
        rows=rows,
        columns=columns,
        effective_rank=finite_number(min(max(1 / squares, 1.0), small)),
        sigma=six_digits(math.sqrt(top) * unit) if top is not None else None,
        edge=six_digits(top / edge) if top is not None else None,
        alpha=six_digits(alpha),
        alpha_distance=six_digits(distance),
        sampled=product is None,
    )


def sum_of_squared_shares(matrix: NDArray[Any], total: float) -> float:
    """Estimate Σσ⁴ / (Σσ²)² of the singular values σ, the trace of a squared Gram matrix over its square.

    By Hutch++ (Meyer, Musco, Musco and Woodruff, 2021): exactly on the space that random probes find, by
    Hutchinson's estimator behind it.

    Args:
        matrix: (rows, columns) float32.
        total: its sum of squares.
    """
    wide = matrix if matrix.shape[1] <= matrix.shape[0] else matrix.T
    rng = np.random.default_rng(0)
    signs = rng.choice(np.array([-1, 1], np.float32), (2, wide.shape[1], _PROBES))

    def apply(probes: NDArray[Any]) -> NDArray[Any]:
        product: NDArray[Any] = (wide.T @ (wide @ probes.astype(np.float32))).astype(np.float64)
        return product / total

    found, _ = np.linalg.qr(apply(apply(signs[0])))
    rest = signs[1] - found @ (found.T @ signs[1])
    inside, behind = apply(found), apply(rest)
    return float((inside**2).sum() + (behind**2).sum() / _PROBES)


def duplicate_columns(
    matrix: NDArray[Any], norms: NDArray[Any], product: NDArray[Any] | None
) -> NDArray[np.intp]:
    """Return the columns with |cos| > 0.999 to an earlier one, all-zero columns left out.

    Without a Gram matrix sketches of 64 random sums of the rows name the earlier column nearest to each; that
    pair is measured.

    Args:
        matrix: (values of a filter, filters) float32, finite.
        norms: of its columns, float64.
        product: its Gram matrix, where there is one.
    """
    rows, columns = matrix.shape
    if columns > MOST_COMPARED or columns < 2 or rows < 2:
        return np.array([], np.intp)
    if product is not None and len(product) == columns:
        lengths = np.where(norms > 0, norms, np.inf)
        cosine = np.abs(product) / np.outer(lengths, lengths)
        return np.flatnonzero(np.triu(cosine > _SAME, k=1).any(axis=0))
    later, nearest = _candidates(matrix, norms)
    same = np.zeros(len(later), bool)
    for start in range(0, len(later), _PAIRS):
        one, other = later[start : start + _PAIRS], nearest[start : start + _PAIRS]
        dot = np.einsum("ij,ij->j", matrix[:, one], matrix[:, other], dtype=np.float64)
        same[start : start + _PAIRS] = np.abs(dot) > _SAME * norms[one] * norms[other]
    return later[same]


def _candidates(
    matrix: NDArray[Any], norms: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return columns that an earlier one may be parallel to, each with the earlier column nearest to it."""
    sketch = matrix
    if len(matrix) > _SKETCH:
        draw = np.random.default_rng(0)
        sketch = draw.choice(np.array([-1, 1], np.float32), (_SKETCH, len(matrix))) @ matrix
    lengths = np.linalg.norm(sketch, axis=0)
    sketch = sketch / np.where((norms > 0) & (lengths > 0), lengths, np.inf).astype(np.float32)
    later, nearest = [], []
    for start in range(0, sketch.shape[1], _COLUMNS):  # a block stays in the processor's cache
        end = min(start + _COLUMNS, sketch.shape[1])
        cosine = sketch[:, :end].T @ sketch[:, start:end]
        np.abs(cosine, out=cosine)
        cosine[start:][np.tri(end - start, dtype=bool)] = 0
        found = np.flatnonzero(cosine.max(axis=0) > _NEAR)
        later.append(found + start)
        nearest.append(cosine[:, found].argmax(axis=0))
    return np.concatenate(later), np.concatenate(nearest)


def power_law(eigenvalues: NDArray[Any]) -> tuple[float | None, float | None]:
    """Fit a power law to the tail of ascending eigenvalues.

    For every possible start of the tail the maximum-likelihood exponent 1 + n / Σ ln(x / xmin); the
    start with the least Kolmogorov-Smirnov distance counts (Clauset, Shalizi and Newman, 2009).

    Returns:
        Exponent and distance; None below 20 positive eigenvalues.
    """
    x = eigenvalues[eigenvalues > 1e-10 * eigenvalues[-1]]
    n = len(x)
    if n < 20:
        return None, None
    logs = np.log(x)
    tail_sums = np.cumsum(logs[::-1])[::-1]
    starts = np.unique(np.linspace(0, n - 10, min(n - 9, 40)).astype(int))
    spread = tail_sums[starts] - (n - starts) * logs[starts]
    starts, spread = starts[spread > 0], spread[spread > 0]
    if not starts.size:
        return None, None
    sizes = n - starts
    alphas = 1 + sizes / spread
    above = np.maximum(
        logs[None] - logs[starts][:, None], 0
    )  # 0 in front of a tail, where nothing is held
    fitted = 1 - np.exp(-(alphas - 1)[:, None] * above)
    shares = np.maximum(np.arange(n)[None] - starts[:, None], 0) / sizes[:, None]
    distances = np.abs(fitted - shares).max(axis=1)
    best = np.lexsort((alphas, distances))[0]
    return float(alphas[best]), float(distances[best])
