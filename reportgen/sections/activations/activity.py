"""What every channel did over any number of images, in sums that do not depend on where blocks end."""

from __future__ import annotations

import math
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.network.channels import channels_of
from reportgen.numerics import ExactSums
from reportgen.sections.activations.bins import BINS, bins_of, finite_count, quantiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from reportgen.network.channels import Channels
    from reportgen.network.facts import CallId
    from reportgen.network.protocol import Batch

TOP = 4
"""Images that are remembered of each channel: those of its largest values."""
WAITING_SAMPLES = 1 << 20
"""Samples from which they are counted."""
WAITING_SUMS = 1 << 16
"""Sums from which waiting blocks are added; more at once saves calls, and takes memory."""


class Activity(NamedTuple):
    """One call's channels over all images.

    Attributes:
        total: sum of its finite values.
        square: sum of their squares.
        finite: how many they are.
        values: how many there are in all; ``zeros`` and ``non_finite`` are counts among them, ``nan`` of these.
        low: least value, +infinity where none is finite.
        high: largest value, -infinity where none is finite.
        energy: (channels,) sum of squares.
        variance: (channels,) of the finite values.
        highest: (channels,) largest value.
        fired: (channels,) whether any value was not zero.
        top_values: (TOP, channels) largest values of different images, the largest first; -infinity where
            there are fewer images.
        top_places: (TOP, channels) which images they are of; -1 where there are fewer.
        sampled: values that the quantiles are of; the finite ones among them.
        median: of these, within ``bins.ERROR``; None where there are none.
        most: what 99 % of them are at most; likewise.
    """

    total: float
    square: float
    finite: int
    values: int
    zeros: int
    non_finite: int
    nan: int
    low: float
    high: float
    energy: NDArray[Any]
    variance: NDArray[Any]
    highest: NDArray[Any]
    fired: NDArray[Any]
    top_values: NDArray[Any]
    top_places: NDArray[Any]
    sampled: int = 0
    median: float | None = None
    most: float | None = None


class ActivityFold:
    """Folds the moments of every call; merged at any cut between blocks it gives the same bytes."""

    def __init__(self) -> None:
        self.images = 0
        self._calls: dict[CallId, tuple[int, int, int]] = {}
        self._sums = ExactSums(0)
        self._counts = np.zeros((4, 0), np.int64)  # finite, zeros, non-finite, NaN
        self._low = self._high = np.zeros(0, np.float32)
        self._top = np.zeros((TOP, 0), np.float32)
        self._places = np.zeros((TOP, 0), np.int64)
        self._positions = np.zeros(0, np.int64)
        self._waiting: list[NDArray[Any]] = []
        self._sampled: dict[CallId, int] = {}
        self._bins = np.zeros((0, BINS), np.int64)
        self._widths = np.zeros(0, np.int64)
        self._binned: list[NDArray[Any]] = []
        self._taking_in = Lock()

    def examples(self, count: int) -> None:
        """Say nothing: activations tell no image from another."""

    def empty(self) -> ActivityFold:
        """Return a fold of the same kind that has seen nothing."""
        return ActivityFold()

    @property
    def calls(self) -> tuple[CallId, ...]:
        """The calls in the order of execution."""
        return tuple(self._calls)

    def update(self, batch: Batch) -> None:
        """Take in one block."""
        count = len(next(iter(batch.outputs.values())))
        self.images += count
        if not batch.moments:
            return
        found = channels_of(batch.moments)
        if not self._calls:
            self._start(found)
        mean, square, low, high, zeros, *missing = found.columns
        finite: Any = self._positions * float(count)
        if missing:
            each = self._positions - missing[0].astype(np.float64)
            finite = each.sum(axis=0)
            sums = [(mean * each).sum(axis=0), (square * each).sum(axis=0)]
        else:
            sums = [self._positions * part.sum(axis=0, dtype=np.float64) for part in (mean, square)]
        self._waiting.append(np.concatenate(sums))
        if len(self._waiting) * self._low.size >= WAITING_SUMS:
            self._take_in()
        broken = count * self._positions - finite
        nan = missing[1].sum(axis=0, dtype=np.float64) if missing else broken * 0
        counts = (finite, zeros.sum(axis=0, dtype=np.float64), broken, nan)
        self._counts += np.array(counts).astype(np.int64)
        self._low = np.minimum(self._low, low.min(axis=0))
        highest = high.max(axis=0)
        self._high = np.maximum(self._high, highest)
        places = batch.places if batch.places is not None else batch.first + np.arange(count)
        self._remember(high, places, highest)
        if found.samples is not None:
            self._binned.append(bins_of(found.samples))
            if sum(one.size for one in self._binned) >= WAITING_SAMPLES:
                self._count_samples()

    def _count_samples(self) -> None:
        """Count the samples that wait, tensor by tensor: what that takes stays in the processor's cache."""
        if self._binned:
            waiting = np.concatenate(self._binned)
            if waiting.shape[1] != self._widths.sum():
                raise ValueError("the samples are those of another network")
            edges = np.cumsum(self._widths)[:-1]
            for counts, values in zip(self._bins, np.split(waiting, edges, axis=1), strict=True):
                np.add(counts, np.bincount(values.ravel(), minlength=BINS), out=counts)
            self._binned = []

    def _start(self, found: Channels) -> None:
        self._calls = dict(found.spans)
        end = found.columns[0].shape[1]
        self._sums = ExactSums(2 * end)
        self._counts = np.zeros((4, end), np.int64)
        self._low = np.full(end, np.inf, np.float32)
        self._high = np.full(end, -np.inf, np.float32)
        self._top = np.full((TOP, end), -np.inf, np.float32)
        self._places = np.full((TOP, end), -1, np.int64)
        self._positions = np.ones(end, np.int64)
        for start, stop, positions in self._calls.values():
            self._positions[start:stop] = positions
        starts = sorted({span for span in found.sampled.values() if span[1] > span[0]})
        row = {span: index for index, span in enumerate(starts)}
        self._sampled = {call: row[span] for call, span in found.sampled.items() if span in row}
        self._bins = np.zeros((len(row), BINS), np.int64)
        self._widths = np.array([end - start for start, end in starts], np.int64)

    def _take_in(self) -> None:
        """Add the blocks' sums that wait, exactly: the same bytes however many wait, and whoever asks first."""
        with self._taking_in:
            self._count_samples()
            if self._waiting:
                self._sums.add(np.stack(self._waiting))
                self._waiting = []

    def _remember(self, values: NDArray[Any], places: NDArray[Any], highest: NDArray[Any]) -> None:
        """Keep the images of the largest values; of equal ones the earlier."""
        changed = np.flatnonzero(highest > self._top[-1])
        if not changed.size:
            return
        everything = changed.size == highest.size
        new, held = (
            (values, self._top) if everything else (values[:, changed], self._top[:, changed])
        )
        both, of = np.concatenate([held, new]), self._places[:, changed]
        column = np.arange(len(changed))
        for rank in range(TOP):
            row = both.argmax(axis=0)  # the first of equal ones, which is the earliest
            found, later = both[row, column], np.maximum(row - TOP, 0)
            place = places[later] if places.ndim == 1 else places[later, changed]
            place = np.where(row < TOP, of[np.minimum(row, TOP - 1), column], place)
            self._top[rank, changed] = found
            self._places[rank, changed] = np.where(found > -np.inf, place, -1)
            both[row, column] = -np.inf

    def merge(self, later: ActivityFold) -> None:
        """Add what was folded of the images that follow."""
        self._take_in()
        later._take_in()
        self.images += later.images
        if not later._calls:
            return
        if not self._calls:
            self.load(later.state() | {"images": np.array(self.images)})
            return
        self._sums.merge(later._sums)
        self._counts += later._counts
        self._bins += later._bins
        self._low = np.minimum(self._low, later._low)
        self._high = np.maximum(self._high, later._high)
        self._remember(later._top, later._places, later._top[0])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was folded as arrays."""
        self._take_in()
        sums = {f"sums/{name}": array for name, array in self._sums.state().items()}
        filled = np.flatnonzero(self._bins)
        return sums | {
            "sampled": np.array(list(self._sampled), np.str_),
            "rows": np.array(list(self._sampled.values()), np.int64),
            "filled": filled,
            "in_bins": self._bins.ravel()[filled],
            "widths": self._widths,
            "images": np.array(self.images),
            "calls": np.array(list(self._calls), np.str_),
            "spans": np.array(list(self._calls.values()), np.int64).reshape(-1, 3),
            "counts": self._counts,
            "low": self._low,
            "high": self._high,
            "top": self._top,
            "places": self._places,
            "positions": self._positions,
        }

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take ``state`` for what was folded."""
        self.images = int(state["images"])
        spans = [tuple(span) for span in state["spans"].tolist()]
        self._calls = dict(zip(state["calls"].tolist(), spans, strict=True))
        start = "sums/"
        sums = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
        self._sums = ExactSums.of(sums)
        self._counts = state["counts"].copy()
        self._low, self._high = state["low"].copy(), state["high"].copy()
        self._top, self._places = state["top"].copy(), state["places"].copy()
        self._positions = state["positions"].copy()
        names, rows = state["sampled"].tolist(), state["rows"].tolist()
        self._sampled = dict(zip(names, rows, strict=True))
        self._bins = np.zeros((len(state["widths"]), BINS), np.int64)
        self._bins.ravel()[state["filled"]] = state["in_bins"]
        self._widths = state["widths"].copy()

    def result(self) -> dict[CallId, Activity]:
        """Return what every call did."""
        self._take_in()
        sums = self._sums.values().reshape(2, -1)
        return {
            call: self._activity(
                sums[:, start:end], slice(start, end), (end - start) * positions
            )._replace(**self._quantiles(call))
            for call, (start, end, positions) in self._calls.items()
        }

    def _quantiles(self, call: CallId) -> dict[str, Any]:
        if call not in self._sampled:
            return {}
        counts = self._bins[self._sampled[call]]
        start, end, _ = self._calls[call]
        low, high = float(self._low[start:end].min()), float(self._high[start:end].max())
        found = quantiles(counts, (0.5, 0.99))
        # The middle of a bin may lie beyond the extremes, which are exact.
        median, most = (None if q is None else min(max(q, low), high) for q in found)
        return {"sampled": finite_count(counts), "median": median, "most": most}

    def _activity(self, sums: NDArray[Any], span: slice, each: int) -> Activity:
        finite, zeros, missing, nan = self._counts[:, span]
        count = np.maximum(finite, 1)
        each_channel = each // max(len(finite), 1) * self.images
        return Activity(
            total=math.fsum(sums[0]),
            square=math.fsum(sums[1]),
            finite=int(finite.sum()),
            values=each * self.images,
            zeros=int(zeros.sum()),
            non_finite=int(missing.sum()),
            nan=int(nan.sum()),
            low=float(self._low[span].min(initial=math.inf)),
            high=float(self._high[span].max(initial=-math.inf)),
            energy=sums[1],
            variance=np.maximum(sums[1] / count - (sums[0] / count) ** 2, 0.0),
            highest=self._high[span],
            fired=zeros < each_channel,
            top_values=self._top[:, span],
            top_places=self._places[:, span],
        )
