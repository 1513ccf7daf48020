"""What a map says by itself and beside another one: sparseness, place, likeness, and whether it is flat."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.numerics import averaged
from reportgen.sections.relevance.perturbation import at_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAT = 1e-6
"""Effects on the score below this part of it are lost in float32."""


def masked(values: NDArray[Any], image: NDArray[Any], baseline: NDArray[Any]) -> NDArray[Any]:
    """Return the image kept where the map is high and faded to the baseline where it is low.

    Its score is that of the average drop.
    """
    positive = np.maximum(at_size(values, image.shape), 0)
    top = float(positive.max())
    keep = positive / top if top > 0 else positive
    keep = keep.reshape(keep.shape + (1,) * (image.ndim - 2))
    result: NDArray[Any] = (baseline + keep * (image - baseline)).astype(image.dtype)
    return result


def average_drop(whole: float, kept: float) -> float | None:
    """Return max(0, s0 - s1) / s0 (Chattopadhay et al. 2018); None where the score is not positive."""
    return max(0.0, whole - kept) / whole if whole > 0 else None


def gini(values: NDArray[Any]) -> float | None:
    """Return the Gini index of the magnitudes, 0 (even) to 1 (one place) (Chalasani et al. 2020)."""
    ordered = np.sort(np.abs(values).reshape(-1).astype(np.float64))
    total = float(ordered.sum())
    if total <= 0:
        return None
    n = ordered.size
    ranks = np.arange(1, n + 1)
    return float((2 * ranks - n - 1) @ ordered / (n * total))


def in_brightest_tenth(values: NDArray[Any], shape: tuple[int, ...]) -> float | None:
    """Return the share of the positive relevance that lies within the most relevant tenth of the pixels."""
    positive = np.sort(np.maximum(at_size(values, shape), 0).reshape(-1))[::-1]
    total = float(positive.sum())
    return float(positive[: max(1, positive.size // 10)].sum()) / total if total > 0 else None


def peak_of(values: NDArray[Any]) -> tuple[float, float]:
    """Return x and y of the most relevant place as fractions of the image.

    Maps finer than 16 by 16 are averaged over windows of a sixteenth of their side before, so that a
    single noisy pixel does not decide.
    """
    rows, columns = values.shape
    height, width = max(1, rows // 16), max(1, columns // 16)
    smooth = box_mean(values, height, width)
    y, x = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
    return (float(x) + width / 2) / columns, (float(y) + height / 2) / rows


def box_mean(values: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return the means of all windows that lie within the array."""
    sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    sums[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
    inside = (
        sums[height:, width:]
        - sums[:-height, width:]
        - sums[height:, :-width]
        + sums[:-height, :-width]
    )
    result: NDArray[Any] = inside / (height * width)
    return result


def place_in_words(x: float, y: float) -> str:
    """Return ``upper left``, ``centre`` … for a place in fractions of the image."""
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    down = "upper" if y < 1 / 3 else "lower" if y > 2 / 3 else ""
    return " ".join(filter(None, (down, across))) or "centre"


def ranks(values: NDArray[Any]) -> NDArray[Any]:
    """Return ranks from 1, ties sharing their mean."""
    _, inverse, count = np.unique(values.reshape(-1), return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    means = last - (count - 1) / 2
    result: NDArray[Any] = means[inverse.reshape(-1)]
    return result


def rank_correlation(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """Return Spearman's rank correlation; None where a map is constant or not finite."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else None


def agreement(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """Return the rank correlation of two maps of one image, averaged down to the coarser grid of the two."""
    grid = (min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1]))
    return rank_correlation(averaged(a, grid), averaged(b, grid))


def structural_similarity(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """Return the mean SSIM of two maps, each scaled to [0, 1], over windows of 7 (Wang et al. 2004)."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    x, y = _scaled(a), _scaled(b)
    height, width = min(7, x.shape[0]), min(7, x.shape[1])

    def mean(values: NDArray[Any]) -> NDArray[Any]:
        return box_mean(values, height, width)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    ssim = ((2 * mx * my + c1) * (2 * cov + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(ssim.mean())


def _scaled(values: NDArray[Any]) -> NDArray[Any]:
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def is_flat(values: NDArray[Any], effect: float, score: float, *, decides: bool) -> bool:
    """Return whether a map says nothing: constant, or of no effect on the score that float32 could show.

    Args:
        values: the map.
        effect: what it stands for in units of the score.
        score: of the image.
        decides: whether the score is the logit of a probability, whose scale is absolute.
    """
    if float(values.max()) == float(values.min()):
        return True
    return effect <= FLAT * max(abs(score), 1.0 if decides else 0.0)
