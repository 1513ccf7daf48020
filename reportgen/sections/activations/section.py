"""What the layers answer to the probes: statistics of every call, maps of some."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.drawing.pictures import map_sheet, palette_picture, viridis_palette
from reportgen.errors import NotApplicable, reason_text
from reportgen.network.calls import absorbed_calls, choose_calls, reached_from
from reportgen.network.facts import InputRef, makers_of
from reportgen.numerics import even_sample, finite_number, six_digits
from reportgen.observe import Collected, SectionMaker, probe_name
from reportgen.report.content.activations import ActivationsContent, CallRow, MapRow, ShownCall
from reportgen.report.leaves import Notice
from reportgen.sections.activations.activity import ActivityFold
from reportgen.sections.activations.bins import ERROR
from reportgen.sections.activations.strongest import with_top_images
from reportgen.wording import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from reportgen.context import Context
    from reportgen.network.facts import CallFacts, CallId, Source
    from reportgen.network.protocol import Batch
    from reportgen.network.samples import Sample
    from reportgen.report.leaves import Figure
    from reportgen.sections.activations.activity import Activity

MOST_PROBES = 8
"""Probes whose maps are shown."""
MOST_CHANNELS = 16
MOST_UNITS = 256
MOST_STEPS = 1024
"""Columns of a strip over steps; a screen shows no more of them."""
HALVED_FROM = 56
"""Maps from this size on are shown at every second row and column."""


class ActivationObserver:
    """Keeps the maps of the probes that are shown."""

    def __init__(self, images: int) -> None:
        self.shown = even_sample(images, MOST_PROBES)
        self.maps: dict[CallId, list[NDArray[Any]]] = {}

    def show(self, batch: Batch) -> None:
        """Take in one block of probes."""
        for call, maps in batch.maps.items():
            rows = [i - batch.first for i in self.shown if 0 <= i - batch.first < len(maps)]
            self.maps.setdefault(call, []).extend(
                maps[row].copy()  # a view would keep the whole block
                for row in rows
            )

    def result(self) -> ActivationObserver:
        """Return itself: maps by call, in the order of the shown probes."""
        return self


def fold(context: Context) -> ActivityFold:
    """Return the fold of every call's moments.

    Raises:
        NotApplicable: no probes were given.
    """
    if context.inputs.probes is None:
        raise NotApplicable(
            "No probes were given: --probes PATH shows what the layers answer to "
            f"{context.sample.many}."
        )
    return ActivityFold()


def observe(context: Context) -> ActivationObserver:
    """Return the observer of the maps.

    Raises:
        NotApplicable: no probes were given.
    """
    if context.probes is None:
        raise NotApplicable("No probes were given.")
    return ActivationObserver(len(context.probes.set.probes))


def collect(context: Context, observed: ActivationObserver) -> Collected:
    """Return the statistics of every call and the maps of the chosen ones."""
    folded: ActivityFold = context.folds["activations"]
    activity = folded.result()
    calls = {call.id: call for call in context.network.facts.calls}
    shown, notices, behind = [], [], _behind_picture(context)
    for call, maps in observed.maps.items():
        if not maps or call not in calls:
            continue
        try:
            grids, one = as_grids(np.stack(maps), picture=call in behind), activity[call]
            shown.append(_shown(context, calls[call], grids, observed.shown, one))
        except Exception as error:  # noqa: BLE001 - a layer that fails costs itself
            notices.append(
                Notice("warning", f"The maps of {call} could not be drawn: {reason_text(error)}.")
            )
    for call in choose_calls(tuple(calls.values()), context.settings.layers):
        if context.settings.layers and call not in observed.maps:
            text = f"{call} was asked for, but its output is no floating-point map of the images."
            notices.append(Notice("info", text))
    if context.data is not None:
        shown = with_top_images(context, shown, activity)
    content = ActivationsContent(
        images=folded.images,
        calls=_call_rows(context, activity),
        shown=tuple(shown),
        over="data" if context.data is not None else "probes",
    )
    return Collected(content, _sentence(content, context.sample), (*notices, *_notices(content)))


def _call_rows(context: Context, activity: Mapping[CallId, Activity]) -> tuple[CallRow, ...]:
    facts = context.network.facts
    calls = {call.id: call for call in facts.calls}
    depth, rectified = _depths(calls), _read_by_relu_only(context)
    absorbed = _absorbed(context, activity)
    # What a softmax gives may underflow to zero; it did not fall silent.
    distributions = {layer.path for layer in facts.layers if layer.activation == "softmax"}
    return tuple(
        _row(
            calls[call],
            depth[call],
            one,
            rectified=call in rectified,
            absorbed=call in absorbed,
            distribution=calls[call].layer in distributions,
        )
        for call, one in activity.items()
        if call in calls
    )


def _behind_picture(context: Context) -> set[Source]:
    """Return the calls that read a picture: behind others, positions are no grid."""
    probes, calls = context.probes.set if context.probes else None, context.network.facts.calls
    if probes is None or probes.image_input is None or probes.series:
        return set()
    if len(context.shapes) == 1:
        return {call.id for call in calls}
    found = reached_from(makers_of(calls), {InputRef(probes.image_input)})
    for call in reversed(calls):  # a call reads what is read inside of it
        if call.id in found and call.parent is not None:
            found.add(call.parent)
    return found


def _depths(calls: Mapping[CallId, CallFacts]) -> dict[CallId, int]:
    depth: dict[CallId, int] = {}
    for call in calls.values():
        depth[call.id] = depth[call.parent] + 1 if call.parent in depth else 0
    return depth


def _read_by_relu_only(context: Context) -> set[Source]:
    """Return the calls whose outputs nothing but ReLUs read."""
    activation = {layer.path: layer.activation for layer in context.network.facts.layers}
    readers: dict[Source, set[str | None]] = {}
    for call in context.network.facts.calls:
        if call.leaf:
            plain = call.class_name in {"ReLU", "Activation", "Relu", "Relu6"}
            for source in call.inputs:
                readers.setdefault(source, set()).add(activation.get(call.layer) if plain else None)
    return {call for call, kinds in readers.items() if kinds and kinds <= {"relu", "relu6"}}


def _absorbed(context: Context, activity: Mapping[CallId, Activity]) -> set[CallId]:
    """Return the calls whose infinities a later operation was made for: none reaches what lies behind it.

    A layer that computes them with its weights has overflown; none is made for that.
    """
    facts = context.network.facts
    weighted = {layer.path for layer in facts.layers if layer.parameters}
    computed = {call.id for call in facts.calls if call.leaf and call.layer in weighted}
    infinite = {
        call
        for call, one in activity.items()
        if one.non_finite and not one.nan and call not in computed
    }
    finite = {call for call, one in activity.items() if not one.non_finite}
    return absorbed_calls(
        facts.calls,
        infinite,
        finite,
        {source for output in facts.outputs for source in output.sources},
    )


def _row(
    call: CallFacts,
    depth: int,
    sums: Activity,
    *,
    rectified: bool,
    absorbed: bool,
    distribution: bool,
) -> CallRow:
    some = sums.finite > 0
    mean = sums.total / sums.finite if some else None
    variance = sums.square / sums.finite - mean**2 if mean is not None else None
    std = math.sqrt(max(variance, 0.0)) if variance is not None else None
    below = np.array([], int)
    if rectified and std:
        below = np.flatnonzero(sums.highest < -6 * std)
    return CallRow(
        id=call.id,
        layer=call.layer,
        class_name=call.class_name,
        depth=depth,
        shape=call.shapes[0],
        values=sums.values,
        channels=len(sums.fired),
        mean=six_digits(mean),
        std=six_digits(std),
        min=six_digits(sums.low),
        max=six_digits(sums.high),
        zeros=sums.zeros,
        non_finite=sums.non_finite,
        silent=0 if distribution else int((~sums.fired).sum()),
        below=int(below.size),
        below_channels=tuple(int(i) for i in below[:16]),
        nan=sums.nan,
        absorbed=absorbed,
        sampled=sums.sampled,
        median=six_digits(sums.median),
        most=six_digits(sums.most),
        quantile_error=ERROR if sums.sampled else 0.0,
    )


def _shown(
    context: Context,
    call: CallFacts,
    grids: tuple[NDArray[Any], str, tuple[str, ...]],
    probes: list[int],
    activity: Activity,
) -> ShownCall:
    stacked, kind, notes = grids
    energy = activity.energy
    total = stacked.shape[-1]
    most = MOST_UNITS if kind == "strip" else MOST_CHANNELS
    channels = np.argsort(-np.nan_to_num(energy, nan=-1.0), kind="stable")[: min(most, total)]
    if kind in {"strip", "steps"}:
        channels = np.sort(channels)
    picked = stacked[..., channels]
    finite = picked[np.isfinite(picked)]
    if finite.size < picked.size:
        notes = (*notes, "NaN and infinite values are grey, as the gaps")
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    halved = kind == "maps" and min(picked.shape[1:3]) >= HALVED_FROM
    columns = {"strip": min(len(channels), 64), "steps": 1}.get(kind, len(channels))
    rows = tuple(
        _map_row(context, call, index, one[::2, ::2] if halved else one, (low, high), kind)
        for index, one in zip(probes, picked, strict=True)
    )
    return ShownCall(
        id=call.id,
        layer=call.layer,
        class_name=call.class_name,
        kind=kind,
        channels=tuple(int(c) for c in channels),
        total=total,
        low=finite_number(low),
        high=finite_number(high),
        grid=(1, len(channels)) if kind == "strip" else (stacked.shape[1], stacked.shape[2]),
        reduced=halved,
        columns=columns,
        rows=rows,
        notes=notes,
    )


def as_grids(
    maps: NDArray[Any], *, picture: bool = True
) -> tuple[NDArray[Any], str, tuple[str, ...]]:
    """Give maps two spatial axes: (n, h, w, c) as they are, tokens as a grid, vectors as one place.

    Args:
        maps: (n, …, c).
        picture: whether a picture was read, whose tokens lie in a grid; other positions lie in a row.

    Returns:
        The maps, ``maps``, ``tokens``, ``steps`` or ``strip``, and what was done to them.
    """
    if maps.ndim == 4:
        return maps, "maps", ()
    if maps.ndim == 2:
        return maps[:, None, None, :], "strip", ()
    if maps.ndim != 3:
        flat = maps.reshape(len(maps), -1, maps.shape[-1])
        return flat[:, :, None, :], "maps", ("further axes were laid out one below the other",)
    tokens = maps.shape[1]
    if not picture:
        if tokens <= MOST_STEPS:
            return maps[:, None], "steps", ()
        every = -(-tokens // MOST_STEPS)
        return maps[:, None, ::every], "steps", (f"every {every}th step is shown",)
    side = math.isqrt(tokens)
    if side * side == tokens:
        return maps.reshape(len(maps), side, side, -1), "tokens", ()
    side = math.isqrt(tokens - 1)
    if side * side == tokens - 1:
        grid = maps[:, 1:].reshape(len(maps), side, side, -1)
        return grid, "tokens", ("without the first token, read as the class token",)
    return maps[:, None], "maps", ("positions from left to right",)


def _map_row(
    context: Context,
    call: CallFacts,
    probe: int,
    maps: NDArray[Any],
    scale: tuple[float, float],
    kind: str,
) -> MapRow:
    name, count = probe_name(context, probe), maps.shape[-1]
    low, high = _range(maps)
    said = low if low is not None else "no finite value"
    along = f" over {maps.shape[1]} steps" if kind == "steps" else ""
    alt = f"{call.id}, {name}: {count} channel{'' if count == 1 else 's'}{along}, {said} to {high}."
    figure = _picture(context, maps, scale, kind, alt)
    ranges = tuple(_range(maps[..., k]) for k in range(count)) if kind in {"maps", "tokens"} else ()
    return MapRow(probe, name, figure, low, high, ranges)


def _range(values: NDArray[Any]) -> tuple[float | None, float | None]:
    """Return the least and the largest finite value; None for none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None, None
    return six_digits(float(finite.min())), six_digits(float(finite.max()))


def _picture(
    context: Context, maps: NDArray[Any], scale: tuple[float, float], kind: str, alt: str
) -> Figure:
    low, high = scale
    span = high - low if high > low else 1.0
    finite = np.isfinite(maps)
    shares = (np.where(finite, maps, low).astype(np.float64) - low) / span
    levels = np.where(finite, np.rint(np.clip(shares, 0, 1) * 254), 255).astype(np.uint8)
    tiles = np.moveaxis(levels, -1, 0)
    if kind == "steps":
        return palette_picture(context.tools.images, tiles[:, 0], viridis_palette(), alt)
    if kind == "strip":
        tiles = tiles.repeat(8, axis=1).repeat(8, axis=2)
    return map_sheet(
        context.tools.images, tiles, 64 if kind == "strip" else len(tiles), viridis_palette(), alt
    )


def _sentence(content: ActivationsContent, sample: Sample) -> str:
    silent = [row for row in content.calls if 0 < row.silent < row.channels]
    empty = [row for row in content.calls if row.channels and row.silent == row.channels]
    broken = [row for row in content.calls if row.broken]
    of = " of the data set" if content.over == "data" else ""
    parts = [f"{plural(len(content.calls), 'call')} on {sample.counted(content.images)}{of}"]
    if broken:
        parts.append(f"NaN or infinity from {broken[0].id} on")
    if empty:
        parts.append(f"{len(empty)} gave nothing but zeros, first {empty[0].id}")
    if silent:
        worst = max(silent, key=lambda row: row.silent / row.channels)
        parts.append(
            f"{plural(len(silent), 'call has', 'calls have')} inactive channels, most of all {worst.id} "
            f"({worst.silent:,} of {worst.channels:,})"
        )
    elif not empty:
        parts.append("every channel was active at least once")
    return "; ".join(parts) + "."


def _notices(content: ActivationsContent) -> list[Notice]:
    broken = next((row for row in content.calls if row.broken), None)
    if broken is None:
        return []
    text = (
        f"NaN or infinite activations appear first in {broken.id} ({broken.non_finite:,} values)."
    )
    return [Notice("warning", text)]


SECTION = SectionMaker("activations", "Activations", collect, observe, fold)
