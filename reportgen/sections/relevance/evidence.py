"""The evidence for a map: deletion and insertion beside chance, sparseness, place, and a verdict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.numerics import resize_bilinear

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

STEPS = 10
"""Steps of deletion and insertion."""
SEEDS = 5
"""Random maps that a map is held against."""
FLAT = 1e-6
"""Effects on the score below this part of it are lost in float32."""
DEVIATIONS = 2.5
"""A map beats chance where insertion minus deletion exceeds that of random maps by this many of its standard
deviations: one random map in twenty to a hundred does (``benchmarks/relevance_alarms.py``)."""
LEAST_GAIN = 0.03
"""... and this part of the score's range, below which nobody would call it a difference."""
ENOUGH_GAIN = 0.8
"""A gain of this part of the score's range beats chance in any case; with ten steps the most is 0.9."""
NEAR_BLACK = 0.02
"""Pixels as near to black, in parts of the image's range, change nothing when they are blackened: random maps
take them last, else all that avoids them beats chance."""


class Curves(NamedTuple):
    """A map's deletion and insertion, and those of random maps.

    Attributes:
        deletion: score with the most relevant 0, 10 … 100 % of the pixels blackened.
        insertion: score with only the most relevant 0, 10 … 100 % of the pixels on black.
        random: mean deletion curve of random maps.
        values: their deletion values, one a seed.
        foreground: share of the pixels that are not as good as black; the random maps keep to them.
    """

    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    random: tuple[float, ...]
    values: tuple[float, ...]
    foreground: float = 1.0


def order_of(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the image's pixels from the most relevant down; ties from the upper left."""
    return np.argsort(-at_size(values, shape).reshape(-1), kind="stable")


def at_size(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a map bilinearly resized to the image's rows and columns."""
    if values.shape == tuple(shape[:2]):
        return values
    return resize_bilinear(values[..., None], shape[0], shape[1])[..., 0].astype(np.float64)


def pixels_at_steps(pixels: int, steps: int = STEPS) -> NDArray[Any]:
    """Return how many pixels are changed at each step, 0 and all included."""
    return np.linspace(0, pixels, steps + 1).astype(np.int64)


def perturbed(
    order: NDArray[Any], image: NDArray[Any], black: NDArray[Any], *, insert: bool
) -> Iterator[NDArray[Any]]:
    """Yield the images of the inner steps: the first pixels of ``order`` blackened, or alone on black."""
    first, rest = (image, black) if insert else (black, image)
    place = np.empty(order.size, np.int32)
    place[order] = np.arange(order.size, dtype=np.int32)
    in_order = place.reshape(image.shape[:2] + (1,) * (image.ndim - 2))
    for count in pixels_at_steps(order.size)[1:-1]:
        yield np.where(in_order < count, first, rest)


def random_map(grid: tuple[int, int], seed: Sequence[int]) -> NDArray[Any]:
    """Return a random map on the grid that a method's maps have: chance at the same coarseness."""
    return np.random.default_rng(seed).random(grid)


def area(curve: Sequence[float]) -> float:
    """Return the area under a curve on an axis from 0 to 1, by the trapezoid rule."""
    values = np.asarray(curve, np.float64)
    return float((values[1:] + values[:-1]).sum() / 2 / (len(values) - 1))


def masked(values: NDArray[Any], image: NDArray[Any], black: NDArray[Any]) -> NDArray[Any]:
    """Return the image kept where the map is high and faded to black where it is not: for the average drop."""
    positive = np.maximum(at_size(values, image.shape), 0)
    top = float(positive.max())
    keep = positive / top if top > 0 else positive
    keep = keep.reshape(keep.shape + (1,) * (image.ndim - 2))
    result: NDArray[Any] = (black + keep * (image - black)).astype(image.dtype)
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


def averaged(values: NDArray[Any], grid: tuple[int, int]) -> NDArray[Any]:
    """Return the means over the cells of a coarser grid."""
    rows = np.linspace(0, values.shape[0], grid[0] + 1).round().astype(int)
    columns = np.linspace(0, values.shape[1], grid[1] + 1).round().astype(int)
    sums = np.add.reduceat(np.add.reduceat(values, rows[:-1], axis=0), columns[:-1], axis=1)
    result: NDArray[Any] = sums / (np.diff(rows)[:, None] * np.diff(columns)[None])
    return result


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


def never_moves(curves: Curves) -> bool:
    """Return whether no blackening at all changes the score by as much as float32 can show."""
    known = [*curves.deletion, *curves.insertion, *curves.random]
    return max(known) - min(known) <= FLAT * max(map(abs, known))


def random_insertion(curves: Curves) -> tuple[float, ...]:
    """Return the mean insertion curve of random maps.

    To insert a map's first pixels is to delete the others of the foreground in its reverse order, and the
    reverse of a random map is one: the deletion curve read backwards from the end of the foreground.
    """
    steps, end = np.linspace(0, 1, len(curves.random)), curves.foreground
    before = steps < end
    known = np.append(steps[before], end)  # there all is black
    scores = np.append(np.asarray(curves.random)[before], curves.random[-1])
    read = np.interp(np.maximum(end - steps, 0), known, scores)
    return tuple(float(v) for v in read)


def chance_of(curves: Curves) -> tuple[float, float]:
    """Return mean and standard deviation of insertion minus deletion of random maps.

    The deviation is twice that of their deletion, the most that two opposite values can differ by.
    """
    mean = area(random_insertion(curves)) - float(np.mean(curves.values))
    return round(mean, 12) + 0.0, 2 * float(np.std(curves.values, ddof=1))


def gain_needed(curves: Curves) -> float:
    """Return what insertion minus deletion has to exceed to beat chance.

    Where one small thing decides, random maps on a coarse grid find it early or late by luck alone and
    spread over the whole range: there ``ENOUGH_GAIN`` of the range is enough.
    """
    mean, spread = chance_of(curves)
    known = [*curves.deletion, *curves.insertion, *curves.random]
    reach = max(known) - min(known)
    return mean + max(LEAST_GAIN * reach, min(DEVIATIONS * spread, ENOUGH_GAIN * reach))


def beats_chance(curves: Curves) -> bool:
    """Return whether insertion minus deletion exceeds what random maps reach."""
    return area(curves.insertion) - area(curves.deletion) > gain_needed(curves)


def near_black(image: NDArray[Any], black: NDArray[Any]) -> NDArray[Any]:
    """Return which pixels (H, W) are as good as black; none where all are."""
    span = float(image.max() - image.min())
    far = np.abs(image - black)
    same: NDArray[Any] = (far.max(axis=-1) if far.ndim == 3 else far) <= NEAR_BLACK * span
    return np.zeros_like(same) if same.all() else same
