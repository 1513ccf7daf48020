"""The probes: an even sample of what was listed, read and fitted to the network's inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from reportgen.drawing.pictures import for_the_eye
from reportgen.errors import ProbeError
from reportgen.inputs.fitting import (
    as_batch,
    by_input,
    file_input,
    image_input,
    main_input,
    row_labels,
    spec_of,
    typed,
    white_of,
    with_channels_last,
    with_zeros,
)
from reportgen.inputs.images import Picture, decode, fit, orientation_text
from reportgen.numerics import even_sample
from reportgen.report.leaves import Notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.fitting import InputShape
    from reportgen.inputs.images import Fitted, Pixels
    from reportgen.inputs.listing import Item, Listing
    from reportgen.settings import Settings
    from reportgen.values import Orientation

    Reading = Literal["crop", "stretch", "exif", "keras"]


LEFT_OUT = "A probe was left out. "
"""Begins the notice about a file that cannot be read."""


class Probe(NamedTuple):
    """One probe, read.

    Attributes:
        size: width and height as given, None for what is no image.
        given: (H, W, 1 or 3) uint8, as given but of at most 512 pixels a side: the images themselves
            are not kept.
    """

    name: str
    size: tuple[int, int] | None
    kind: str
    label: Any | None
    given: NDArray[Any] | None
    notes: tuple[str, ...]


class Variant(NamedTuple):
    """A probe's image read in another way than the settings say.

    Attributes:
        probe: its position among the probes.
        reading: ``crop`` or ``stretch`` (the aspect ratio), ``exif`` or ``keras`` (the orientation).
        array: as it lies in the image input, before preprocessing.
    """

    probe: int
    reading: Reading
    array: NDArray[Any]


class ProbeSet(NamedTuple):
    """Probes fitted to the network's inputs, before preprocessing.

    Attributes:
        inputs: by input name, each (n, …) float32, or the input's integer type.
        image_input: the input that takes the images, without one the series; None where no input does.
        zero_inputs: inputs filled with zeros for want of data.
        full_scale: the value of white in the image input (255 for files, the type's maximum for
            integer arrays); None for floats, which are the model's own units.
        resized: how many images changed their size.
        total: how many were offered.
        sources: ``files`` or ``arrays``.
        variants: images read in another way, where that makes a difference.
        chosen: whether they were chosen right and wrong, so that their share says nothing.
        series: whether ``image_input`` takes series, (n, steps, channels), and no pictures.
    """

    probes: tuple[Probe, ...]
    inputs: dict[str, NDArray[Any]]
    image_input: str | None
    zero_inputs: tuple[str, ...]
    full_scale: float | None
    resized: int
    total: int
    sources: str
    class_names: tuple[str, ...]
    notices: tuple[Notice, ...]
    variants: tuple[Variant, ...] = ()
    chosen: bool = False
    series: bool = False


def read_probes(listing: Listing, inputs: Sequence[InputShape], settings: Settings) -> ProbeSet:
    """Read the sampled probes and fit them to ``inputs``.

    Raises:
        ProbeError: none can be read, or arrays do not fit.
    """
    if isinstance(listing.items[0].source, Picture):
        return _read_files(listing, inputs, settings)
    return _read_arrays(listing, inputs, settings)


def _read_files(listing: Listing, inputs: Sequence[InputShape], settings: Settings) -> ProbeSet:
    target = file_input(inputs)
    if target is None:
        shapes = ", ".join(f"{spec.name} {spec.shape}" for spec in inputs)
        raise ProbeError(
            f"The model takes no images (inputs: {shapes}), so image files cannot be fed to it. "
            "Give its inputs as arrays in an .npz, or leave --probes out."
        )
    shape = (*target.shape, 1)[:3] if len(target.shape) == 2 else target.shape
    probes: list[Probe] = []
    variants: list[Variant] = []
    rows, notices, resized, tagged = [], list(listing.notices), 0, 0
    for item in sample(listing.items, settings.max_probes):
        picture: Any = item.source
        try:
            pixels = decode(picture, upright=settings.orientation == "exif")
            fitted = fit(pixels.array, (shape[0], shape[1], shape[2]), settings.resize)
            others = _read_otherwise(picture, pixels, target, settings)
        except ProbeError as error:
            notices.append(_left_out(item, error, settings))
            continue
        resized += fitted.resized
        tagged += pixels.tagged
        rows.append(fitted.array.reshape(target.shape))
        variants += [Variant(len(probes), *other) for other in others]
        probes.append(_probe_of_file(item, pixels, fitted, settings))
    if not probes:
        reasons = " ".join(notice.text.removeprefix(LEFT_OUT) for notice in notices)
        raise ProbeError(f"None of the probes can be read. {reasons}")
    if tagged:
        notices.append(Notice("info", orientation_text(tagged, settings.orientation)))
    arrays, zeros = with_zeros({target.name: typed(np.stack(rows), target.dtype)}, inputs)
    return ProbeSet(
        tuple(probes), arrays, target.name, zeros, 255.0, resized, len(listing.items), "files",
        listing.class_names, tuple(notices), tuple(variants), series=target.series,
    )  # fmt: skip


def _read_otherwise(
    path: Picture, pixels: Pixels, target: InputShape, settings: Settings
) -> list[tuple[Reading, NDArray[Any]]]:
    """Return a file's image fitted with another aspect ratio and another way up, where it has them."""
    others = _fitted_otherwise(pixels.array, target, settings)
    if pixels.tagged:
        other: Orientation = "keras" if settings.orientation == "exif" else "exif"
        turned = decode(path, upright=other == "exif").array
        others.append((other, _as_input(turned, target, settings.resize)))
    return others


def _fitted_otherwise(
    array: NDArray[Any], target: InputShape, settings: Settings
) -> list[tuple[Reading, NDArray[Any]]]:
    """Return an image cropped where it was stretched, or stretched; nothing of the same aspect ratio."""
    height, width = target.shape[:2]
    if array.shape[0] * width == array.shape[1] * height:
        return []
    other: Reading = "crop" if settings.resize == "stretch" else "stretch"
    return [(other, _as_input(array, target, other))]


def _as_input(array: NDArray[Any], target: InputShape, resize: str) -> NDArray[Any]:
    height, width, channels = (*target.shape, 1)[:3]
    fitted = fit(array, (height, width, channels), resize).array
    return typed(fitted.reshape(target.shape), target.dtype)


def _left_out(item: Item, error: ProbeError, settings: Settings) -> Notice:
    """Say which file was left out and why; not which where names are hidden."""
    reason = str(error).removeprefix(f"{getattr(item.source, 'name', '')}: ")
    named = "a file" if settings.hide_names else item.name
    return Notice("warning", f"{LEFT_OUT}{named}: {reason}.")


def _probe_of_file(item: Item, pixels: Pixels, fitted: Fitted, settings: Settings) -> Probe:
    height, width = pixels.array.shape[:2]
    notes = (*pixels.notes, *fitted.notes)
    given = for_the_eye(pixels.array, 255.0, settings.bands)
    return Probe(item.name, (width, height), pixels.kind, item.label, given, notes)


def _read_arrays(listing: Listing, inputs: Sequence[InputShape], settings: Settings) -> ProbeSet:
    """Read rows of arrays; their axes are told apart by the input's shape."""
    target = main_input(inputs)
    places: list[tuple[Item, dict[str, NDArray[Any]], int]] = []
    given: list[Any] = []
    moved = False
    for item in listing.items:
        named = by_input(item.source, inputs, target)  # type: ignore[arg-type]
        batches = {name: as_batch(array, spec_of(inputs, name)) for name, array in named.items()}
        moved |= any(with_channels_last(a, spec_of(inputs, k)) is not a for k, a in named.items())
        counts = {len(batch) for batch in batches.values()}
        if len(counts) != 1:
            raise ProbeError(f"The inputs have different numbers of probes: {sorted(counts)}.")
        count = counts.pop()
        fed = any(array is item.label for array in named.values())
        given += row_labels(None if fed else item.label, count, single=len(listing.items) > 1)
        places.append((item, batches, count))
    if not given:
        raise ProbeError("The arrays of probes are empty.")
    if moved:
        text = "The arrays have their channels in front; they were moved behind, to (height, width, channels)."
        listing = listing._replace(notices=(*listing.notices, Notice("info", text)))
    chosen = []
    for place in sample_places(given, settings.max_probes):
        item, batches, row = _row_at(places, place)
        name = item.name if len(listing.items) > 1 else f"probe {row}"
        chosen.append((name, {k: v[row] for k, v in batches.items()}, given[place]))
    return _fit_rows(listing, chosen, inputs, target, settings, total=len(given))


def _row_at(
    batches: Sequence[tuple[Item, dict[str, NDArray[Any]], int]], place: int
) -> tuple[Item, dict[str, NDArray[Any]], int]:
    """Return the item and arrays that hold a place among the rows of all, and the row there."""
    for item, arrays, count in batches:
        if place < count:
            return item, arrays, place
        place -= count
    raise IndexError(place)


def _fit_rows(
    listing: Listing,
    rows: Sequence[tuple[str, dict[str, NDArray[Any]], Any]],
    inputs: Sequence[InputShape],
    target: InputShape,
    settings: Settings,
    *,
    total: int,
) -> ProbeSet:
    given: dict[str, list[NDArray[Any]]] = {}
    probes: list[Probe] = []
    variants: list[Variant] = []
    notices, resized = list(listing.notices), 0
    pictures = [row[1][target.name] for row in rows if target.name in row[1]]
    full_scale = white_of(pictures, notices) if image_input([target]) is not None else None
    for name, arrays, label in rows:
        notes: tuple[str, ...] = ()
        for key, array in arrays.items():
            spec = spec_of(inputs, key)
            if len(spec.shape) == 3 and array.shape != spec.shape:
                if key == target.name:
                    others = _fitted_otherwise(array, spec, settings)
                    variants += [Variant(len(probes), *other) for other in others]
                fitted = fit(array, (spec.shape[0], spec.shape[1], spec.shape[2]), settings.resize)
                array, notes, resized = fitted.array, fitted.notes, resized + fitted.resized  # noqa: PLW2901
            elif array.shape != spec.shape:
                raise ProbeError(
                    f"A probe of shape {array.shape} does not fit the input {key!r} of shape "
                    f"{spec.shape}."
                )
            given.setdefault(key, []).append(typed(array, spec.dtype))
        shown = arrays.get(target.name)
        size, eye = None, None
        if shown is not None and shown.ndim in {2, 3} and image_input([target]) is not None:
            size = (shown.shape[1], shown.shape[0])
            image = shown if shown.ndim == 3 else shown[..., None]
            eye = for_the_eye(image, full_scale, settings.bands)
        kind = f"array, {shown.dtype.name}" if shown is not None else "array"
        probes.append(Probe(name, size, kind, label, eye, notes))
    stacked = {key: np.stack(value) for key, value in given.items()}
    shown_as = target.series or image_input([target]) is not None
    main = target.name if target.name in stacked and shown_as else None
    arrays_by_name, zeros = with_zeros(stacked, inputs)
    return ProbeSet(
        tuple(probes), arrays_by_name, main, zeros, full_scale, resized, total, "arrays",
        listing.class_names, tuple(notices), tuple(variants), series=target.series,
    )  # fmt: skip


def sample(items: Sequence[Item], size: int) -> list[Item]:
    """Choose ``size`` items evenly, over their labels where they have them, always the same ones."""
    return [items[i] for i in sample_places([item.label for item in items], size)]


def sample_places(labels: Sequence[Any], size: int) -> list[int]:
    """Choose ``size`` places evenly, over the labels where they differ, always the same ones."""
    if len(labels) <= size:
        return list(range(len(labels)))
    groups: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(str(label), []).append(index)
    if len(groups) == 1:
        return [*even_sample(len(labels), size)]
    order = list(groups.values())
    if len(order) >= size:
        order = [order[i] for i in even_sample(len(order), size)]
    share, extra = divmod(size, len(order))
    chosen: list[int] = []
    for number, group in enumerate(order):
        wanted = share + (number < extra)
        chosen.extend(group[i] for i in even_sample(len(group), wanted))
    taken = set(chosen)
    spare = [i for i in range(len(labels)) if i not in taken]
    chosen.extend(spare[i] for i in even_sample(len(spare), size - len(chosen)))
    return sorted(chosen)
