"""Which calls are shown as maps: the last of each resolution, ends of blocks, the last features."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from reportgen.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.network import CallFacts, CallId

MOST_SHOWN = 8
MAX_MAP_BYTES = 16 * 2**20
"""Largest map of one image, float32, that is chosen by itself."""
_HAND_ON = frozenset({
    "Dropout", "SpatialDropout2D", "Flatten", "Reshape", "Identity", "InputLayer", "Permute",
    "Rescaling", "Normalization", "ZeroPadding2D", "Cropping2D", "Resizing", "CenterCrop",
})  # fmt: skip
"""Classes whose outputs show what came in."""
_ATTENTION = frozenset({"MultiHeadAttention", "GroupedQueryAttention"})
"""Classes whose inner calls have heads where pictures have columns."""


def choose_calls(calls: Sequence[CallFacts], globs: Sequence[str] = ()) -> tuple[CallId, ...]:
    """Return the calls whose maps are shown, in the order of execution.

    By default the last call of each resolution on the way down and, behind the smallest one, on the way
    up; then ends of blocks, spread over the depth; then the last features without a place. At most
    ``MOST_SHOWN``.

    Args:
        calls: the recorded forward pass.
        globs: patterns for paths of layers or ids of calls, in place of the default.

    Raises:
        UsageError: a pattern that no call matches.
    """
    if globs:
        return _matching(calls, globs)
    inside = {call.id for call in calls if call.class_name in _ATTENTION}
    leaves = [
        call
        for call in calls
        if call.leaf and call.class_name not in _HAND_ON and call.parent not in inside
    ]
    places = [c for c in leaves if spatial(c) and _elements(c) * 4 <= MAX_MAP_BYTES]
    vectors = [c for c in leaves if c.shapes and len(c.shapes[0]) == 1 and c.shapes[0][0] > 1]
    chosen = dict.fromkeys(c.id for c in _thinned(_last_of_resolutions(places, calls)))
    room = MOST_SHOWN - 1 - len(chosen)
    ends = [c for c in _block_ends(calls) if spatial(c) and c.id not in chosen and c in places]
    if room > 0 and ends:
        step = max(len(ends) / room, 1)
        chosen.update(dict.fromkeys(ends[int(k * step)].id for k in range(min(room, len(ends)))))
    hidden = vectors[:-1] or vectors
    spare = max(MOST_SHOWN - len(chosen), 1)
    chosen.update(dict.fromkeys(c.id for c in hidden[-min(spare, 3 if not places else 1) :]))
    return tuple(c.id for c in calls if c.id in chosen)


def spatial(call: CallFacts) -> bool:
    """Return whether a call's output has places: (H, W, C), or (T, C) tokens."""
    if not call.shapes or not call.dtypes or "float" not in call.dtypes[0]:
        return False
    shape = call.shapes[0]
    if len(shape) == 3:
        return min(shape[:2]) > 1
    return len(shape) == 2 and shape[0] >= 4 and shape[1] > 1


def _matching(calls: Sequence[CallFacts], globs: Sequence[str]) -> tuple[CallId, ...]:
    chosen = []
    for pattern in globs:
        found = [
            c.id
            for c in calls
            if (fnmatchcase(c.id, pattern) or fnmatchcase(c.layer, pattern)) and c.shapes
        ]
        if not found:
            raise UsageError(
                f"--layers {pattern}: no layer of that name is called. Patterns are matched against paths "
                f"such as {calls[0].id if calls else 'block1/conv'!r}, with * and ? as in a shell."
            )
        chosen += found
    return tuple(c.id for c in calls if c.id in set(chosen))


def _elements(call: CallFacts) -> int:
    total = 1
    for size in call.shapes[0]:
        total *= size
    return total


def _place_count(call: CallFacts) -> int:
    total = 1
    for size in call.shapes[0][:-1]:
        total *= size
    return total


def _last_of_resolutions(
    places: Sequence[CallFacts], calls: Sequence[CallFacts]
) -> list[CallFacts]:
    if not places:
        return []
    smallest = min(range(len(places)), key=lambda i: (_place_count(places[i]), -i))
    on_trunk = {call.id for call in _cut_calls(calls)}
    last: dict[tuple[bool, tuple[int, ...]], CallFacts] = {}
    for index, call in enumerate(places):
        key = (index > smallest, call.shapes[0][:-1])
        held = last.get(key)
        if held is None or call.id in on_trunk or held.id not in on_trunk:
            last[key] = call
    return list(last.values())


def _thinned(calls: list[CallFacts]) -> list[CallFacts]:
    """Leave room for the last features: the smallest call stays, the others are spread evenly."""
    most = MOST_SHOWN - 1
    if len(calls) <= most:
        return calls
    smallest = min(calls, key=_place_count)
    others = [call for call in calls if call is not smallest]
    kept = {round(k * (len(others) - 1) / (most - 2)) for k in range(most - 1)}
    return [smallest, *(others[k] for k in sorted(kept))]


def _cut_calls(calls: Sequence[CallFacts]) -> list[CallFacts]:
    """Return the calls behind which nothing but their own output is still read."""
    makers = [call for call in calls if call.leaf or call.merges]
    last_read: dict[str, int] = {}
    for index, call in enumerate(makers):
        for source in (*call.inputs, *call.merges):
            last_read[source] = index
    cuts, furthest = [], -1
    for index, call in enumerate(makers):
        if furthest <= index:
            cuts.append(call)
        furthest = max(furthest, last_read.get(call.id, -1))
    return cuts


def _block_ends(calls: Sequence[CallFacts]) -> list[CallFacts]:
    """Return the calls on the trunk from which several others read: where a block ends."""
    readers: dict[str, int] = {}
    for call in calls:
        if call.leaf:
            for source in set(call.inputs):
                readers[source] = readers.get(source, 0) + 1
    return [call for call in _cut_calls(calls) if readers.get(call.id, 0) > 1]
