"""Deletion and insertion: an image's cells hidden and shown in an order, and what an order has to beat.

The score while the most relevant cells are hidden (deletion) and while they alone appear (insertion)
(Petsiuk et al. 2018). All methods' maps of an image are ordered on one grid of cells, so that they can be
compared with each other and with the same random orders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.numerics import averaged, cell_edges, resize_bilinear

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

GRID = 14
"""Cells a side, at most."""
CELLS_OF_SERIES = GRID**2
"""Of a series, which is a single row."""
STEPS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Parts of the cells at which the curves are read; symmetric, see :func:`counts_at_steps`."""
INNER = len(STEPS) - 2
ORDERS = 4
"""Random orders that all maps of an image are held against."""
BUMPS = 7
"""Random fields of so many values a side make the orders: bumps as wide as two cells. Orders of single cells
spread less, because each averages over every object: one coarse random map in six beat those."""
DEVIATIONS = 2.5
"""A map beats its opponents where its advantage exceeds their mean by this many standard deviations."""
LEAST_GAIN = 0.03
"""... and this part of the score's range, below which nobody would call it a difference."""
ENOUGH_GAIN = 0.75
"""An advantage of this part of the score's range is enough in any case; the most there is is 0.9."""
ENOUGH_FOR_MIDDLE = 0.6
"""... beats the middle of the image in any case: ``benchmarks/README.md`` has what other parts would cost."""
ASIDE = 1 / 8
"""How far from the middle of the image, in parts of its sides, the blobs beside the one in the middle lie."""
MIDDLES = (
    (0.5, 0.5),
    (0.5 - ASIDE, 0.5),
    (0.5 + ASIDE, 0.5),
    (0.5, 0.5 - ASIDE),
    (0.5, 0.5 + ASIDE),
)
"""Where the blobs that know no network lie, in parts of the image from above and from the left."""
SAME = 0.02
"""Pixels that differ from the baseline by no more, in parts of a channel's range, are not changed by hiding."""


class Cells(NamedTuple):
    """The cells of one image that hiding changes.

    Attributes:
        grid: rows and columns of the grid.
        of_pixel: (H, W) int32, the cell of every pixel, counted row by row.
        shown: (n,) the cells that differ from the baseline: the others play no part. All where none does.
        ties: (n,) random ranks by which cells of equal relevance are ordered.
    """

    grid: tuple[int, int]
    of_pixel: NDArray[Any]
    shown: NDArray[Any]
    ties: NDArray[Any]


def cells_of(image: NDArray[Any], baseline: NDArray[Any], seed: Sequence[int]) -> Cells:
    """Lay the grid over an image (H, W) or (H, W, C); the ties are ordered by ``seed``."""
    height, width = image.shape[:2]
    series = height == 1
    grid = (min(height, GRID), min(width, CELLS_OF_SERIES if series else GRID))
    rows, columns = (
        np.repeat(np.arange(n), np.diff(cell_edges(size, n)))
        for n, size in zip(grid, (height, width), strict=True)
    )
    of_pixel = (rows[:, None] * grid[1] + columns).astype(np.int32)
    changed = np.bincount(of_pixel[differs(image, baseline)], minlength=grid[0] * grid[1])
    shown = np.flatnonzero(changed) if changed.any() else np.arange(changed.size)
    return Cells(grid, of_pixel, shown, np.random.default_rng(seed).permutation(shown.size))


def differs(image: NDArray[Any], baseline: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W) which pixels hiding changes."""
    with np.errstate(invalid="ignore"):  # images of floats may hold infinity
        far = np.abs(image - baseline) > SAME * spans_of(image)
    result: NDArray[Any] = far.any(axis=-1) if far.ndim == 3 else far
    return result


def spans_of(image: NDArray[Any]) -> NDArray[Any]:
    """Return the range of every channel, (C,) or (), from its 1st to its 99th percentile.

    A single hot pixel, or a channel in another unit, leaves the others their range. A channel that is constant
    but for less than a hundredth of its pixels has its whole range; what is not finite does not count.
    """
    flat = image.reshape(-1, image.shape[-1]) if image.ndim == 3 else image.reshape(-1, 1)
    finite = np.where(np.isfinite(flat), flat, np.nan).astype(np.float64)
    spans = np.zeros(finite.shape[1])
    for channel in range(finite.shape[1]):
        values = finite[:, channel]
        known = values[~np.isnan(values)]
        if known.size:
            spans[channel] = np.subtract(*np.percentile(known, (99, 1))) or np.ptp(known)
    return spans if image.ndim == 3 else spans[:1].reshape(())


def at_size(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a map bilinearly resized to the image's rows and columns."""
    if values.shape == tuple(shape[:2]):
        return values
    return resize_bilinear(values[..., None], shape[0], shape[1])[..., 0].astype(np.float64)


def on_cells(values: NDArray[Any], shape: tuple[int, ...], grid: tuple[int, int]) -> NDArray[Any]:
    """Return the mean over every cell of what speaks for the target, (rows, columns).

    Of signed maps the positive parts: within a cell of a photograph signs cancel, and an order by sums is
    noise; that by magnitudes takes what speaks against first (the table stands in ``benchmarks/README.md``).
    Cells where nothing speaks for it have their mean: what speaks against it comes last.
    """
    pixels = at_size(values, shape)
    speaks_for = averaged(np.maximum(pixels, 0), grid)
    return np.where(speaks_for > 0, speaks_for, averaged(pixels, grid))


def order_of(relevance: NDArray[Any], cells: Cells) -> NDArray[Any]:
    """Return the shown cells from the most relevant down; those of equal relevance in random order.

    Args:
        relevance: (rows, columns) on the grid.
        cells: of the image.
    """
    values = relevance.reshape(-1)[cells.shown]
    return cells.shown[np.lexsort((cells.ties, -values))]


def random_orders(cells: Cells, seed: Sequence[int]) -> list[NDArray[Any]]:
    """Return orders of the same cells by random fields, which know neither the network nor the image."""
    rows, columns = cells.grid
    bumps = (min(rows, BUMPS), min(columns, BUMPS if rows > 1 else -(-columns // 2)))
    fields = np.random.default_rng(seed).random((ORDERS, *bumps))
    return [order_of(at_size(field, cells.grid), cells) for field in fields]


def middles_of(cells: Cells) -> list[tuple[float, float]]:
    """Return those of ``MIDDLES`` that lie in an image; of a series those along it."""
    return [place for place in MIDDLES if cells.grid[0] > 1 or place[0] == MIDDLES[0][0]]


def middle_orders(cells: Cells) -> list[NDArray[Any]]:
    """Return the orders of blobs around ``MIDDLES``: from there outwards."""
    y, x = ((np.arange(n) + 0.5) / n for n in cells.grid)
    return [
        order_of(-((y[:, None] - down) ** 2 + (x[None] - across) ** 2), cells)
        for down, across in middles_of(cells)
    ]


def moved(relevance: NDArray[Any]) -> list[NDArray[Any]]:
    """Return copies of a map, (rows, columns): mirrored left to right, and upside down."""
    copies = [relevance[:, ::-1], relevance[::-1]]
    return copies if relevance.shape[0] > 1 else copies[:1]


def counts_at_steps(cells: int) -> NDArray[Any]:
    """Return how many cells are changed at each of ``STEPS``, 0 and all included.

    What is hidden at one step and what is left at the opposite one are as many, but for the middle of an odd
    number: so the insertion of an order is the deletion of its reverse read backwards, and insertion minus
    deletion of random orders is symmetric about 0.
    """
    half = len(STEPS) // 2
    first = [int(cells * part + 0.5) for part in STEPS[:half]]
    return np.array([*first, cells // 2, *(cells - count for count in reversed(first))])


def empty(image: NDArray[Any], baseline: NDArray[Any], cells: Cells) -> NDArray[Any]:
    """Return the image with all shown cells hidden."""
    return _hidden(cells.shown, image, baseline, cells)


def perturbed(
    order: NDArray[Any], image: NDArray[Any], baseline: NDArray[Any], cells: Cells
) -> Iterator[NDArray[Any]]:
    """Yield the images of the inner steps: first deletion's, then insertion's.

    Args:
        order: of the shown cells.
        image: (H, W) or (H, W, C).
        baseline: likewise: what hides.
        cells: of the image.
    """
    for insert in (False, True):
        for count in counts_at_steps(order.size)[1:-1]:
            yield _hidden(order[count:] if insert else order[:count], image, baseline, cells)


def _hidden(
    which: NDArray[Any], image: NDArray[Any], baseline: NDArray[Any], cells: Cells
) -> NDArray[Any]:
    """Return the image with these cells hidden."""
    gone = np.zeros(cells.grid[0] * cells.grid[1], bool)
    gone[which] = True
    place = gone[cells.of_pixel].reshape(image.shape[:2] + (1,) * (image.ndim - 2))
    return np.where(place, baseline, image)


# -- what the scores say ----------------------------------------------------------------------------


class Curves(NamedTuple):
    """The scores of an order at ``STEPS``.

    Attributes:
        deletion: with the first cells hidden.
        insertion: with the first cells alone.
    """

    deletion: tuple[float, ...]
    insertion: tuple[float, ...]

    @property
    def advantage(self) -> float:
        """Insertion minus deletion, as areas."""
        return area(self.insertion) - area(self.deletion)


class Trials(NamedTuple):
    """A map's curves and those of what it is held against.

    Attributes:
        own: of the map.
        random: of the random orders.
        middle: of blobs in the middle and beside it; empty where the map does not beat chance.
        moved: of the map's moved copies, likewise.
        blobs: how many blobs there are, of which ``middle`` may hold the first alone.
    """

    own: Curves
    random: tuple[Curves, ...]
    middle: tuple[Curves, ...] = ()
    moved: tuple[Curves, ...] = ()
    blobs: int = 0


def area(curve: Sequence[float]) -> float:
    """Return the area under a curve over ``STEPS``, by the trapezoid rule."""
    values = np.asarray(curve, np.float64)
    return float(np.diff(STEPS) @ (values[1:] + values[:-1]) / 2)


def mean_curves(several: Sequence[Curves]) -> Curves:
    """Return the mean of several orders' curves."""
    deletion, insertion = (np.mean(kind, axis=0).tolist() for kind in zip(*several, strict=True))
    return Curves(tuple(deletion), tuple(insertion))


def reach(trials: Trials) -> float:
    """Return the range of the scores that the map and the random orders have met."""
    met = _met(trials)
    return max(met) - min(met)


def chance_spread(trials: Trials) -> float:
    """Return the standard deviation of the random orders' advantages about 0, their mean by symmetry."""
    return float(np.sqrt(np.mean([curves.advantage**2 for curves in trials.random])))


def needed_for_chance(trials: Trials) -> float:
    """Return what the advantage has to exceed to beat chance.

    Where one small thing decides, random orders find it early or late by luck alone and spread over the whole
    range: there ``ENOUGH_GAIN`` of the range is enough.
    """
    span = reach(trials)
    by_spread = min(DEVIATIONS * chance_spread(trials), ENOUGH_GAIN * span)
    return max(LEAST_GAIN * span, by_spread)


def needed_for_middle(trials: Trials) -> float | None:
    """Return what the advantage has to exceed to beat the middle of the image; None where it was not tried.

    The blobs in the middle and beside it say what a place near the middle is worth: the mean of their
    advantages, and as many of their standard deviations, or part of the range, as for chance; at least what
    the best of them reaches.
    ``ENOUGH_FOR_MIDDLE`` of the range is enough, where the object lies beside the middle and the blobs spread
    over the whole range.

    Of some of the blobs it is the least that all can ask for: a map that does not exceed it is told from those.
    With mean a and sum of squares W about it of k blobs out of n, and the others where they ask for least,
    mean + d deviations of all is a + sqrt(W (d² / (n - 1) - (n - k) / (n k))).
    """
    if not trials.middle:
        return None
    reached = np.array([curves.advantage for curves in trials.middle])
    tried, blobs = reached.size, max(trials.blobs, reached.size)
    span, squares = reach(trials), float(((reached - reached.mean()) ** 2).sum())
    share = DEVIATIONS**2 / max(blobs - 1, 1) - (blobs - tried) / (blobs * tried)
    margin = np.sqrt(squares * share)
    if tried == blobs:
        margin = max(margin, LEAST_GAIN * span)
    return float(max(reached.max(), min(reached.mean() + margin, ENOUGH_FOR_MIDDLE * span)))


def never_moves(trials: Trials, least: float) -> bool:
    """Return whether no hiding at all changes the score by more than this part of it."""
    met = _met(trials)
    return max(met) - min(met) <= least * max(map(abs, met))


def _met(trials: Trials) -> list[float]:
    return [v for curves in (trials.own, *trials.random) for curve in curves for v in curve]
