"""Units in groups of one tensor, optimised together, kept in the cache when they are done."""

from __future__ import annotations

import math
import time
import zlib
from contextlib import closing
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.cache import key_of
from reportgen.errors import NotApplicable
from reportgen.lanes import in_order
from reportgen.network.facts import OutputRef
from reportgen.network.protocol import OptimisedPicture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.cache import Cache
    from reportgen.network.facts import UnitKind, UnitTensor
    from reportgen.network.protocol import Ascent, InputScaling, Network, Recipe
    from reportgen.sections.features.scoring import Measured
    from reportgen.sections.features.units import Unit

    Measure = Callable[[Unit, Ascent, Sequence[OptimisedPicture]], Measured]

CANVAS_SIDE = 128
"""Side of the canvas where the cut network takes it.

Classes of EfficientNet-Lite0 reach 39 to 45 on it in 64 steps, and 25 to 32 on one of the input's 224 pixels,
which costs three times as much; the strongest of eight photographs reaches 8.
"""


class PictureFeed(NamedTuple):
    """How pictures are fed to a network.

    Attributes:
        network: is fed.
        image: name of the input that is optimised.
        held: the other inputs, without the batch dimension.
        scaling: how pixel values become inputs.
    """

    network: Network
    image: str
    held: Mapping[str, NDArray[Any]]
    scaling: InputScaling


class Group(NamedTuple):
    """Units of one tensor that are optimised together."""

    target: UnitTensor
    kind: UnitKind
    units: tuple[Unit, ...]


class _Prepared(NamedTuple):
    """A group, the network cut for it, and the goal of each of its pictures."""

    group: Group
    ascent: Ascent
    goals: NDArray[Any]


class _Finished(NamedTuple):
    """The units of a group with their pictures, and those whose answers are NaN or infinite."""

    units: list[OptimisedUnit]
    refused: list[Unit]


class OptimisedUnit(NamedTuple):
    """A unit with its pictures, and what it answers to them and to others."""

    unit: Unit
    ascent: Ascent
    pictures: tuple[OptimisedPicture, ...]
    answers: Measured


class Outcome(NamedTuple):
    """What became of the units of all groups.

    Attributes:
        optimised: those with pictures.
        left_out: those for which the budget left no time.
        uncut: why the network cannot be cut, by tensor.
        refused: why units cannot be optimised, by their ids.
    """

    optimised: list[OptimisedUnit]
    left_out: list[Unit]
    uncut: dict[UnitTensor, str]
    refused: dict[str, str]


def group_units(units: Sequence[Unit], most: int) -> list[Group]:
    """Return the units by tensor and kind, at most so many together."""
    by_tensor: dict[tuple[UnitTensor, UnitKind], list[Unit]] = {}
    for unit in units:
        by_tensor.setdefault((unit.target, unit.kind), []).append(unit)
    return [
        Group(target, kind, tuple(some[first : first + most]))
        for (target, kind), some in by_tensor.items()
        for first in range(0, len(some), most)
    ]


class Ascents:
    """The network cut at every tensor that is asked for, each once.

    Args:
        feed: how pictures are fed to it.
        counts: pictures at once, by target.
    """

    def __init__(self, feed: PictureFeed, counts: Mapping[UnitTensor, int]) -> None:
        self._feed = feed
        self._counts = dict(counts)
        self._made: dict[UnitTensor, Ascent] = {}

    def of(self, target: UnitTensor) -> Ascent:
        """Return the network cut at a tensor.

        Raises:
            NotApplicable: it cannot be cut there.
        """
        if target not in self._made:
            network, image, held, scaling = self._feed
            self._made[target] = network.ascent(
                target, image, held, scaling, count=self._counts.get(target, 1),
                canvas_side=CANVAS_SIDE,
            )  # fmt: skip
        return self._made[target]


class PictureCache:
    """The pictures of finished groups, kept from run to run.

    Args:
        cache: where they are kept; None keeps nothing.
        identity: gives that of the network; only asked for where something is kept.
        feed: how pictures are fed to it.
    """

    def __init__(self, cache: Cache | None, identity: Callable[[], str], feed: PictureFeed) -> None:
        self._cache = cache
        self._identity = identity
        self._once = Lock()
        self._feed = feed

    def key(self, group: Group, ascent: Ascent, goals: NDArray[Any], recipe: Recipe) -> str:
        """Return what a group's pictures are kept under: all that they depend on."""
        if self._cache is None:
            return ""
        scaling = self._feed.scaling
        with self._once:  # all weights are read for it
            identity = self._identity()
        return key_of(
            identity, [unit.id for unit in group.units], group.kind, goals, list(recipe),
            list(ascent.canvas), self._feed.image, scaling.matrix, scaling.offset,
            *self._feed.held.values(),
        )  # fmt: skip

    def read(self, key: str, count: int) -> list[OptimisedPicture] | None:
        """Return ``count`` pictures, or None where there are not as many."""
        kept = self._cache.read("features", key) if self._cache else None
        if kept is None or set(kept) != {"pictures", "curves"} or len(kept["pictures"]) != count:
            return None
        pairs = zip(kept["pictures"], kept["curves"], strict=True)
        return [OptimisedPicture(pixels, curve) for pixels, curve in pairs]

    def write(self, key: str, pictures: Sequence[OptimisedPicture]) -> None:
        """Keep the pictures of a group."""
        if self._cache is not None:
            arrays = {
                "pictures": np.stack([one.pixels for one in pictures]),
                "curves": np.stack([one.curve for one in pictures]),
            }
            self._cache.write("features", key, arrays)


class UnitOptimiser:
    """Optimises pictures for units, group by group, and asks each unit about its own.

    Args:
        ascents: the network cut at the groups' tensors.
        kept: the finished groups of earlier runs.
        recipe_of: gives a group's recipe.
        goal_of: gives a unit's goal.
        measure: asks a unit about its pictures.
        copies: pictures of each unit.
        lanes: groups side by side.
        advance: told how many units are done.
        stopped: whether nobody waits for them any more.
    """

    def __init__(
        self,
        ascents: Ascents,
        kept: PictureCache,
        recipe_of: Callable[[Group], Recipe],
        goal_of: Callable[[Unit, Ascent], NDArray[Any]],
        measure: Measure,
        copies: int,
        lanes: int,
        advance: Callable[[int], None],
        stopped: Callable[[], bool],
    ) -> None:
        self._ascents, self._kept = ascents, kept
        self._recipe_of, self._goal_of, self._measure = recipe_of, goal_of, measure
        self._copies, self._lanes, self._advance = copies, lanes, advance
        self._stopped = stopped

    def optimise(self, groups: Sequence[Group], deadline: float) -> Outcome:
        """Optimise the groups, some side by side, as far as there is time.

        Args:
            groups: in the order of interest.
            deadline: by ``time.monotonic``; finished groups from the cache cost nothing. A group that would end
                behind it is given up as soon as that can be told.
        """
        outcome, stop = Outcome([], [], {}, {}), Event()

        def work(one: _Prepared) -> tuple[_Prepared, _Finished | NotApplicable | None]:
            try:
                pictures = self._pictures(one, deadline, stop)
                return one, None if pictures is None else self._sorted_out(one, pictures)
            except NotApplicable as error:
                return one, error

        # Of an output the whole network is traced; meanwhile the first pictures of layers are made. Only where
        # time ends does the order say what is left out.
        hurried = deadline < math.inf
        order = sorted(groups, key=lambda g: not hurried and isinstance(g.target, OutputRef))
        prepared = self._prepared(order, outcome)
        with closing(in_order(work, prepared, self._lanes, stop)) as done:
            for (group, _, _), found in done:
                if isinstance(found, NotApplicable):
                    outcome.uncut[group.target] = str(found)
                elif found is None:
                    outcome.left_out.extend(group.units)
                else:
                    outcome.optimised.extend(found.units)
                    reason = "its answers are NaN or infinite, so nothing can be climbed."
                    outcome.refused.update((unit.id, reason) for unit in found.refused)
                    self._advance(len(group.units))
        return _in_order_of(groups, outcome)

    def _prepared(self, groups: Sequence[Group], outcome: Outcome) -> Iterator[_Prepared]:
        """Yield groups with the network cut for them, and note where it cannot be."""
        for group in groups:
            if self._stopped():
                return
            if group.target in outcome.uncut:
                continue
            try:
                ascent = self._ascents.of(group.target)
                goals = [self._goal_of(unit, ascent) for unit in group.units]
            except NotApplicable as error:
                outcome.uncut[group.target] = str(error)
                continue
            yield _Prepared(group, ascent, np.repeat(np.stack(goals), self._copies, axis=0))

    def _pictures(
        self, prepared: _Prepared, deadline: float, stop: Event
    ) -> list[OptimisedPicture] | None:
        """Return the pictures of a group, unit after unit; None where there is no time left."""
        group, ascent, goals = prepared
        recipe = self._recipe_of(group)
        key = self._kept.key(group, ascent, goals, recipe)
        pictures = self._kept.read(key, len(goals))
        if pictures is not None or time.monotonic() > deadline or self._stopped():
            return pictures
        copies = range(self._copies)
        seeds = [_seed(unit, recipe.seed, copy) for unit in group.units for copy in copies]
        watch = _Watch(recipe.steps, deadline, lambda: stop.is_set() or self._stopped())
        try:
            pictures = ascent.optimise(group.kind, goals, seeds, recipe, watch.advance)
        except _OutOfTimeError:
            return None
        self._kept.write(key, pictures)
        return pictures

    def _sorted_out(self, prepared: _Prepared, pictures: Sequence[OptimisedPicture]) -> _Finished:
        """Give each unit of a group its own pictures, and ask it about them."""
        found = _Finished([], [])
        for place, unit in enumerate(prepared.group.units):
            own = tuple(pictures[place * self._copies : (place + 1) * self._copies])
            if self._stopped():
                break
            if not all(np.isfinite(one.pixels).all() for one in own):
                found.refused.append(unit)
                continue
            answers = self._measure(unit, prepared.ascent, own)
            found.units.append(OptimisedUnit(unit, prepared.ascent, own, answers))
        return found


def _in_order_of(groups: Sequence[Group], outcome: Outcome) -> Outcome:
    """Return what became of the groups in their order, whatever order they were made in."""
    tensors = dict.fromkeys(group.target for group in groups)
    units = {unit.id: k for k, unit in enumerate(u for group in groups for u in group.units)}
    return Outcome(
        sorted(outcome.optimised, key=lambda one: units[one.unit.id]),
        outcome.left_out,
        {tensor: outcome.uncut[tensor] for tensor in tensors if tensor in outcome.uncut},
        {unit: outcome.refused[unit] for unit in units if unit in outcome.refused},
    )


class _OutOfTimeError(Exception):
    """A group would end behind the deadline."""


class _Watch:
    """Follows the steps of a group, and ends it where they will not fit.

    Args:
        steps: of the whole.
        deadline: by ``time.monotonic``.
        stopped: whether nobody waits for it any more.
    """

    def __init__(self, steps: int, deadline: float, stopped: Callable[[], bool]) -> None:
        self._steps, self._deadline, self._stopped = steps, deadline, stopped
        self._done = 0
        self._first: tuple[int, float] | None = None

    def advance(self, steps: int) -> None:
        """Count steps; the first ones, which trace the loop, tell nothing of the later ones.

        Raises:
            _OutOfTimeError: the rest would end behind the deadline, or nobody waits for it.
        """
        now = time.monotonic()
        self._done += steps
        if self._first is None:
            self._first, rest = (self._done, now), 0.0
        else:
            done, begun = self._first
            rest = (self._steps - self._done) * (now - begun) / (self._done - done)
        given_up = now + rest > self._deadline or self._stopped()
        if given_up and self._done < self._steps:
            raise _OutOfTimeError


def _seed(unit: Unit, seed: int, copy: int) -> int:
    return zlib.crc32(f"{seed}/{unit.id}/{copy}".encode())
