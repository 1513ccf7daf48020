"""Which calls are shown as maps: the last of each resolution, ends of blocks, the last features."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from reportgen.errors import UsageError
from reportgen.network.facts import InputRef, makers_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from reportgen.network.facts import CallFacts, CallId, Source

MOST_SHOWN = 8
MAX_MAP_BYTES = 16 * 2**20
"""Largest map of one image, float32, that is chosen by itself."""
_HAND_ON = frozenset({
    "Dropout", "SpatialDropout2D", "Flatten", "Reshape", "Identity", "InputLayer", "Permute",
    "Rescaling", "Normalization", "ZeroPadding2D", "Pad", "Where", "Cropping2D", "Resizing", "CenterCrop",
    "SpatialDropout1D", "ZeroPadding1D", "Cropping1D", "Masking",
})  # fmt: skip
"""Classes whose outputs show what came in."""
_ATTENTION = frozenset({"MultiHeadAttention", "GroupedQueryAttention"})
"""Classes whose inner calls have heads where pictures have columns."""
_RECURRENT = frozenset({"RNN", "SimpleRNN", "LSTM", "GRU", "Bidirectional"})
"""Classes whose output at a step tells of all the steps before it, so that its places are not the input's."""


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


MOST_EXTRA_TOKENS = 17
"""Class token and registers in front of a grid's tokens."""
SMALLEST_GRID = 4
"""Cells a side below which a map shows nothing, where there is a finer one before."""
_POOLS = frozenset({"MaxPooling2D", "AveragePooling2D", "MaxPooling1D", "AveragePooling1D"})
"""Classes that pass the same features on at a lower resolution."""
_AVERAGES = frozenset({
    "GlobalAveragePooling2D", "GlobalAveragePooling1D", "AveragePooling2D", "AveragePooling1D", "Mean",
})  # fmt: skip
"""Classes that average over places."""
_SAME_EVERYWHERE = frozenset({
    "BatchNormalization", "Dropout", "SpatialDropout2D", "SpatialDropout1D", "Identity", "Reshape", "Permute",
    "Rescaling",
})  # fmt: skip
"""Classes whose gradient is the same at every place of a channel."""
_READOUT = frozenset({
    "Activation", "Softmax", "Sigmoid", "Reshape", "Resizing", "UpSampling2D", "Identity", "Permute",
    "Cropping2D", "ZeroPadding2D", "ReLU", "UpSampling1D", "Cropping1D", "ZeroPadding1D",
})  # fmt: skip
"""Classes that may stand between the layer that computes a mask and the output."""


def token_grid(tokens: int, image: Sequence[int]) -> tuple[int, int, int] | None:
    """Return rows, columns and leading extra tokens of tokens; None where no grid fits.

    Up to two (class, distillation) always, up to 17 (with registers, Darcet et al. 2023, Vision Transformers
    Need Registers) where the grid has three times as many and four a side.

    Args:
        tokens: how many.
        image: its height and width first: rows and columns have their ratio. Of a height of 1 (a series) the
            tokens are one row, and those extra that make it up to two longer than the image.
    """
    height, width = image[:2]
    if height == 1:
        extra = tokens - width if 0 < tokens - width <= 2 else 0
        return 1, tokens - extra, extra
    for extra in range(MOST_EXTRA_TOKENS + 1):
        count = tokens - extra
        least = 2 if extra <= 2 else 4
        if extra > 2 and count < 3 * extra:
            break
        for rows in range(least, count // least + 1):
            columns = count // rows
            if (
                rows * columns == count
                and abs(rows * width - columns * height) <= max(height, width) / 2
            ):
                return rows, columns, extra
    return None


def choose_features(
    calls: Sequence[CallFacts],
    output: CallId | None,
    image: str,
    shape: Sequence[int],
    wanted: str | None = None,
) -> CallId | None:
    """Return the call whose output the CAM family weighs: the last spatial features that reach the head.

    Behind normalization and activation, in front of pooling and of recurrent layers, at least 4 by 4 where
    there are such; of a mask's head, what its last layer reads. Of tokens with a class token, which may alone
    be read on, what the last attention reads.

    Args:
        calls: the recorded forward pass.
        output: the call that makes the output, None where it is not known.
        image: name of the input.
        shape: of the image, height and width first; of a series (1, steps, channels).
        wanted: a layer's path, a call's id or a pattern, in place of the choice.

    Returns:
        None where no spatial features reach the output.

    Raises:
        UsageError: ``wanted`` names no spatial features on the way from the image to the output.
    """
    makers = makers_of(calls)
    end = next((call for call in makers if call.id == output), None)
    on_the_way = _between(makers, end, InputRef(image))
    inside = {call.id for call in calls if call.class_name in _ATTENTION}
    places = [
        call
        for call in on_the_way
        if call.parent not in inside and _has_places(call, shape) and call is not end
    ]
    if wanted is not None:
        return _named(places, wanted)
    left_out = _readout(makers, end, shape) | _behind_recurrence(makers)
    places = [c for c in places if c.id not in left_out]
    kept = [c for c in places if c.class_name not in _HAND_ON | _POOLS] or places
    if not kept:
        return None
    last = next((c for c in reversed(kept) if _cells(c, shape) >= SMALLEST_GRID), kept[-1])
    if len(last.shapes[0]) == 2 and (token_grid(last.shapes[0][0], shape) or (0, 0, 0))[2]:
        known: dict[Source, CallFacts] = {call.id: call for call in places}
        read = [known.get(c.inputs[0]) for c in calls if c.id in inside and c.inputs]
        last = next((c for c in reversed(read) if c is not None), last)
    return last.id


def averages_places(
    calls: Sequence[CallFacts],
    features: CallId | None,
    output: CallId | None,
    shape: Sequence[int],
) -> bool:
    """Return whether what follows the features averages them over their places, or the output keeps places.

    Only an average has the same gradient at every place, so that Grad-CAM's mean of it is exact (Draelos and
    Carin 2020). Of a mask the map is the features' own.

    Args:
        calls: the recorded forward pass.
        features: the call that the CAM family weighs.
        output: the call that makes the output.
        shape: of the image, height and width first; of a series (1, steps, channels).
    """
    makers = makers_of(calls)
    known: dict[Source, CallFacts] = {call.id: call for call in makers}
    end = known.get(output) if output is not None else None
    if features is None or end is None or _has_places(end, shape):
        return True
    behind = reached_from(makers, {features})
    inside = {call.id for call in calls if call.class_name in _ATTENTION}
    for call in _between(makers, end, features):
        if call.id == features:
            continue
        read = any(s in known and s in behind and _has_places(known[s], shape) for s in call.reads)
        if call.parent in inside or (read and call.class_name not in _AVERAGES | _SAME_EVERYWHERE):
            return False
    return True


def _cells(call: CallFacts, shape: Sequence[int]) -> int:
    """Return the length of a map's shorter side, of a series its length."""
    found = call.shapes[0]
    grid = token_grid(found[0], shape) if len(found) == 2 else found
    if not grid:
        return 0
    return grid[0] * grid[1] if shape[0] == 1 else min(grid[:2])


def _between(makers: Sequence[CallFacts], end: CallFacts | None, start: Source) -> list[CallFacts]:
    """Return the calls that ``start`` flows through on its way to ``end``, in order of execution."""
    fed = reached_from(makers, {start})
    if end is None:
        return [call for call in makers if call.id in fed]
    needed: set[Source] = {end.id}
    for call in reversed(makers):
        if call.id in needed:
            needed.update(call.reads)
    return [call for call in makers if call.id in fed and call.id in needed]


def reached_from(makers: Sequence[CallFacts], starts: Collection[Source]) -> set[Source]:
    """Return inputs and calls with the calls that they flow into.

    Args:
        makers: the calls that make tensors, in order of execution (``makers_of``).
        starts: where the flow begins.
    """
    fed = set(starts)
    for call in makers:
        if any(source in fed for source in call.reads):
            fed.add(call.id)
    return fed


def _has_places(call: CallFacts, shape: Sequence[int]) -> bool:
    if not spatial(call) or call.splits_batch:
        return False
    found = call.shapes[0]
    return len(found) == 3 or token_grid(found[0], shape) is not None


def _behind_recurrence(makers: Sequence[CallFacts]) -> set[Source]:
    """Return the recurrent calls and those that they flow into."""
    return reached_from(makers, {call.id for call in makers if call.class_name in _RECURRENT})


def _readout(
    makers: Sequence[CallFacts], end: CallFacts | None, shape: Sequence[int]
) -> set[Source]:
    """Return the calls that make a spatial output out of the last features."""
    if end is None or not _has_places(end, shape):
        return set()
    by_id: dict[Source, CallFacts] = {call.id: call for call in makers}
    found: set[Source] = {end.id}
    while end is not None and end.class_name in _READOUT and len(end.inputs) == 1:
        end = by_id.get(end.inputs[0])
        if end is not None:
            found.add(end.id)
    return found


def _named(places: Sequence[CallFacts], wanted: str) -> CallId:
    found = [c for c in places if wanted in (c.id, c.layer)] or [
        c for c in places if fnmatchcase(c.id, wanted) or fnmatchcase(c.layer, wanted)
    ]
    if not found:
        near = ", ".join(call.id for call in places[-3:]) or "none"
        raise UsageError(
            f"--relevance-layer {wanted}: no spatial features of that name lie between the image and the "
            f"output. The last ones are {near}."
        )
    return found[-1].id


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
    last_read: dict[Source, int] = {}
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
    readers: dict[Source, int] = {}
    for call in calls:
        if call.leaf:
            for source in set(call.inputs):
                readers[source] = readers.get(source, 0) + 1
    return [call for call in _cut_calls(calls) if readers.get(call.id, 0) > 1]


def absorbed_calls(
    calls: Sequence[CallFacts],
    infinite: Collection[CallId],
    finite: Collection[CallId],
    outputs: Collection[CallId],
) -> set[CallId]:
    """Return the calls whose infinities go no further: all that reads them gives finite values.

    Minus infinity pads what a maximum is taken of, and masks what goes into a softmax.

    Args:
        calls: the recorded forward pass.
        infinite: calls with infinite values and without NaN.
        finite: calls whose values are all finite; of others nothing is known but by what reads them.
        outputs: the calls that the network's outputs are computed from.
    """
    readers: dict[Source, list[CallFacts]] = {}
    makers = makers_of(calls)
    for call in makers:
        for source in call.reads:
            readers.setdefault(source, []).append(call)
    ended: set[CallId] = set(finite)
    for call in reversed(makers):
        known = call.id in infinite or call.id not in finite
        if (
            known
            and call.id not in outputs
            and all(r.id in ended for r in readers.get(call.id, ()))
        ):
            ended.add(call.id)
    inside: dict[CallId | None, list[CallId]] = {}
    for call in calls:
        inside.setdefault(call.parent, []).append(call.id)
    inner = {call.id for call in makers}
    for call in reversed(calls):  # what hands on the tensor of a call inside of it
        broken = [one for one in inside.get(call.id, ()) if one not in finite]
        if call.id not in inner and broken and all(one in ended for one in broken):
            ended.add(call.id)
    return ended & set(infinite)
