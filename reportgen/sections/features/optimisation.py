"""Units in groups of one tensor, climbed together, kept in the cache when they are done."""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.cache import key_of
from reportgen.errors import NotApplicable
from reportgen.network.protocol import Summit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.cache import Cache
    from reportgen.network.protocol import Ascent, Network, Range, Recipe
    from reportgen.sections.features.units import Unit

TOGETHER = 4
"""Most units that are climbed in one batch."""
CANVAS = 128
"""Side of the canvas where the cut network takes it; logits have the input's size."""


class Bench(NamedTuple):
    """Where units are climbed.

    Attributes:
        image: the input that is optimised.
        held: the other inputs, without the batch dimension.
    """

    network: Network
    image: str
    held: Mapping[str, NDArray[Any]]
    fed: Range


class Group(NamedTuple):
    """Units of one tensor that are climbed together."""

    target: str
    kind: str
    units: tuple[Unit, ...]


class Climbed(NamedTuple):
    """A unit with its pictures."""

    unit: Unit
    ascent: Ascent
    summits: tuple[Summit, ...]


def groups_of(units: Sequence[Unit], diversity: int) -> list[Group]:
    """Return the units by tensor and kind, at most ``TOGETHER`` in a group, or one of several pictures."""
    most = TOGETHER if diversity == 1 else 1
    held: dict[tuple[str, str], list[Unit]] = {}
    for unit in units:
        held.setdefault((unit.target, unit.kind), []).append(unit)
    return [
        Group(target, kind, tuple(some[first : first + most]))
        for (target, kind), some in held.items()
        for first in range(0, len(some), most)
    ]


class Ascents:
    """The network cut at every tensor that is asked for, each once.

    Args:
        bench: where units are climbed.
        counts: pictures at once, by target.
    """

    def __init__(self, bench: Bench, counts: Mapping[str, int]) -> None:
        self.bench = bench
        self._counts = dict(counts)
        self._made: dict[str, Ascent] = {}

    def of(self, target: str) -> Ascent:
        """Return the network cut at a tensor.

        Raises:
            NotApplicable: it cannot be cut there.
        """
        if target not in self._made:
            bench = self.bench
            canvas = None if target.startswith("output:") else CANVAS
            self._made[target] = bench.network.ascent(
                target, bench.image, bench.held, bench.fed,
                count=self._counts.get(target, 1), canvas=canvas,
            )  # fmt: skip
        return self._made[target]


def climb_all(
    groups: Sequence[Group],
    ascents: Ascents,
    recipes: Callable[[Group], Recipe],
    goals: Callable[[Unit, Ascent], NDArray[Any]],
    *,
    copies: int,
    cache: Cache | None,
    identity: Callable[[], str],
    budget: float | None,
    advance: Callable[[int], None],
) -> tuple[list[Climbed], list[Unit], dict[str, str]]:
    """Climb for every group in turn, as far as the budget goes.

    Args:
        groups: in the order of interest.
        ascents: where they are climbed.
        recipes: gives a group's recipe.
        goals: gives a unit's goal.
        copies: pictures of each unit.
        cache: holds finished groups.
        identity: of the network.
        budget: seconds, None for no bound; finished groups from the cache cost nothing.
        advance: told how many units are done.

    Returns:
        What was climbed, the units that were left out, and reasons by target of those that cannot be.
    """
    begun = time.monotonic()
    done: list[Climbed] = []
    left: list[Unit] = []
    refused: dict[str, str] = {}
    for group in groups:
        if group.target in refused:  # it cannot be cut there
            continue
        try:
            ascent = ascents.of(group.target)
            wanted = np.stack([goals(unit, ascent) for unit in group.units for _ in range(copies)])
            recipe = recipes(group)
            key = _key(group, ascents.bench, ascent, wanted, recipe, identity()) if cache else ""
            summits = _held(cache, key, len(wanted))
            if summits is None:
                if budget is not None and time.monotonic() - begun > budget:
                    left += group.units
                    continue
                seeds = [_seed(unit, recipe.seed, k) for unit in group.units for k in range(copies)]
                summits = ascent.climb(group.kind, wanted, seeds, recipe, _nothing)
                if cache:
                    cache.write("features", key, _piece(summits))
        except NotApplicable as error:
            refused[group.target] = str(error)
            continue
        for place, unit in enumerate(group.units):
            own = summits[place * copies : (place + 1) * copies]
            if all(np.isfinite(one.picture).all() for one in own):
                done.append(Climbed(unit, ascent, tuple(own)))
            else:
                refused[unit.id] = "its answers are NaN or infinite, so nothing can be climbed."
        advance(len(group.units))
    return done, left, refused


def _nothing(_steps: int) -> None:
    """Count units, not steps."""


def _seed(unit: Unit, seed: int, copy: int) -> int:
    return zlib.crc32(f"{seed}/{unit.id}/{copy}".encode())


def _key(
    group: Group, bench: Bench, ascent: Ascent, goals: NDArray[Any], recipe: Recipe, identity: str
) -> str:
    return key_of(
        identity, [unit.id for unit in group.units], group.kind, goals, list(recipe), list(ascent.frame),
        bench.image, bench.fed.matrix, bench.fed.offset, *bench.held.values(),
    )  # fmt: skip


def _piece(summits: Sequence[Summit]) -> dict[str, Any]:
    return {
        "pictures": np.stack([one.picture for one in summits]),
        "curves": np.stack([one.curve for one in summits]),
    }


def _held(cache: Cache | None, key: str, count: int) -> list[Summit] | None:
    held = cache.read("features", key) if cache else None
    if held is None or set(held) != {"pictures", "curves"} or len(held["pictures"]) != count:
        return None
    pairs = zip(held["pictures"], held["curves"], strict=True)
    return [Summit(picture, curve) for picture, curve in pairs]
