"""Probes in: find, sample, read and fit them to the network's inputs, with their labels."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.drawing.pictures import for_the_eye
from reportgen.errors import LabelError, ProbeError
from reportgen.inputs.images import SUFFIXES, decode, fit
from reportgen.inputs.labels import label_of, read_labels
from reportgen.numerics import even_sample
from reportgen.report.leaves import Notice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.images import Fitted, Pixels
    from reportgen.network.facts import TensorFacts
    from reportgen.settings import Settings

_IMAGE_KEYS = ("x", "images", "image", "x_test", "x_val", "x_train", "data", "arr_0")
_LABEL_KEYS = ("y", "labels", "label", "y_test", "y_val", "y_train", "targets", "arr_1")


class Item(NamedTuple):
    """One probe that may be shown.

    Attributes:
        source: an image file, or arrays by input name; None is the key of the one to feed where no
            name is an input's.
    """

    name: str
    source: Path | Mapping[str | None, NDArray[Any]]
    label: Any | None = None


class Offer(NamedTuple):
    """All probes that were offered, before any is read.

    Attributes:
        class_names: from the names of class folders or from the data set; empty without them.
        total: how many there are; more than ``items`` where the source was cut short while reading.
    """

    items: tuple[Item, ...]
    class_names: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    total: int | None = None


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


class ProbeSet(NamedTuple):
    """Probes fitted to the network's inputs, before preprocessing.

    Attributes:
        inputs: by input name, each (n, …) float32, or the input's integer type.
        image_input: the input that takes the images; None where no input does.
        zero_inputs: inputs filled with zeros for want of data.
        full_scale: the value of white in the image input (255 for files, the type's maximum for
            integer arrays); None for floats, which are the model's own units.
        resized: how many images changed their size.
        total: how many were offered.
        sources: ``files`` or ``arrays``.
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


class InputShape(NamedTuple):
    """An input of the network, with the size that it is run with (without the batch dimension)."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def shapes_of(
    inputs: Sequence[TensorFacts], shapes: Mapping[str, tuple[int, ...]]
) -> list[InputShape]:
    """Return the network's inputs with the sizes, by name, that they are run with."""
    return [InputShape(one.name, shapes[one.name], one.dtype) for one in inputs]


# -- what is offered -----------------------------------------------------------------------------


def gather(source: Any, settings: Settings) -> Offer:
    """List the probes in ``source`` without reading images.

    Args:
        source: a path, glob, array, PIL image, ``(images, labels)`` pair, mapping from input name
            to array, ``tf.data.Dataset``, or a sequence of paths, arrays or PIL images.
        settings: ``max_probes`` bounds what is taken from a data set; ``labels`` are attached.

    Raises:
        ProbeError: nothing there, or of a kind that cannot be used.
        LabelError: labels that do not belong to the probes.
    """
    offer = _offer(source, settings)
    if not offer.items:
        raise ProbeError("There are no probes in what was given.")
    return _labelled(offer, settings)


def _offer(source: Any, settings: Settings) -> Offer:
    if isinstance(source, str | Path):
        return _from_paths([source])
    if hasattr(source, "as_numpy_iterator"):
        return _from_dataset(source, settings.max_probes)
    if isinstance(source, dict):
        return _from_mapping(source)
    if (
        isinstance(source, tuple)
        and len(source) in {2, 3}
        and not isinstance(source[0], str | Path)
    ):
        return _from_pair(source)
    if hasattr(source, "__array__") or hasattr(source, "__array_interface__"):  # PIL: the second
        return _from_array(_as_array(source))
    if isinstance(source, list | tuple):
        if source and all(isinstance(item, str | Path) for item in source):
            return _from_paths(source)
        return Offer(tuple(Item(f"probe {i}", {None: _as_array(a)}) for i, a in enumerate(source)))
    raise ProbeError(
        f"Probes can be paths, arrays, PIL images, an (images, labels) pair or a tf.data.Dataset, "
        f"not {type(source).__name__}."
    )


def _as_array(value: Any) -> NDArray[Any]:
    if hasattr(value, "getbands") and value.mode not in {"L", "LA", "RGB", "RGBA", "I;16", "F"}:
        value = value.convert(
            "RGBA" if "A" in value.mode or "transparency" in value.info else "RGB"
        )
    array = np.asarray(value)
    if hasattr(value, "getbands") and array.ndim == 2:
        array = array[..., None]
    if array.dtype.kind not in "fiub":
        raise ProbeError(f"An array of probes has the type {array.dtype}; numbers are needed.")
    return array


def _from_array(array: NDArray[Any], labels: Any = None) -> Offer:
    """Offer the rows of an array whose first axis counts the probes (or one probe: ``fit`` decides)."""
    return Offer((Item("array", {None: array}, labels),))


def _from_pair(pair: tuple[Any, ...]) -> Offer:
    images, labels = pair[0], np.asarray(pair[1])
    if isinstance(images, dict):
        return _from_mapping(images, labels)
    if isinstance(images, list | tuple):
        if len(images) != len(labels):
            raise LabelError(f"There are {len(images)} images and {len(labels)} labels.")
        rows = [
            Item(f"probe {i}", {None: _as_array(a)}, label_value(labels[i]))
            for i, a in enumerate(images)
        ]
        return Offer(tuple(rows))
    return _from_array(_as_array(images), labels)


def _from_mapping(arrays: Mapping[str, Any], labels: NDArray[Any] | None = None) -> Offer:
    return Offer((Item("array", {str(k): _as_array(v) for k, v in arrays.items()}, labels),))


def label_value(value: Any) -> Any | None:
    """Return a label as a scalar: an index, a name, or the position of the one in a one-hot row."""
    array = np.asarray(value)
    if array.ndim == 0 or array.size == 1:
        item = array.reshape(-1)[0].item()
        return item.decode("utf-8", "replace") if isinstance(item, bytes) else item
    if array.ndim == 1 and array.dtype.kind in "fiub":
        if np.isclose(array.sum(), 1) and np.isclose(array.max(), 1):
            return int(array.argmax())
        return "|".join(str(int(i)) for i in np.flatnonzero(array)) if array.max() <= 1 else None
    return None


def _from_dataset(dataset: Any, limit: int) -> Offer:
    """Take the first ``limit`` elements: a data set may have no end."""
    items: list[Item] = []
    rank = _rank(dataset.element_spec)
    for element in dataset.as_numpy_iterator():
        parts = element if isinstance(element, tuple) else (element,)
        images, labels = parts[0], parts[1] if len(parts) > 1 else None
        named = dict(images) if isinstance(images, dict) else {None: images}
        first = np.asarray(next(iter(named.values())))
        batched = (rank is not None and first.ndim == rank and first.ndim >= 4) or first.ndim >= 4
        rows = len(first) if batched else 1
        for row in range(rows):
            one = {k: np.asarray(v)[row] if batched else np.asarray(v) for k, v in named.items()}
            label = None
            if labels is not None and not isinstance(labels, dict):
                label = label_value(np.asarray(labels)[row] if batched else labels)
            items.append(Item(f"probe {len(items)}", one, label))
            if len(items) == limit:
                break
        if len(items) == limit:
            break
    names = tuple(str(name) for name in getattr(dataset, "class_names", None) or ())
    note = Notice("info", f"The first {len(items)} elements of the data set are shown.")
    return Offer(tuple(items), names, (note,))


def _rank(spec: Any) -> int | None:
    first = spec[0] if isinstance(spec, tuple) else spec
    if isinstance(first, dict):
        first = next(iter(first.values()))
    shape = getattr(first, "shape", None)
    return getattr(shape, "rank", None)


# -- files ---------------------------------------------------------------------------------------


def _from_paths(sources: Sequence[str | Path]) -> Offer:
    items: list[Item] = []
    names: tuple[str, ...] = ()
    paths = [path for source in sources for path in _expand(source)]
    arrays = [path for path in paths if path.suffix.lower() in {".npy", ".npz"}]
    if arrays and len(paths) > 1:
        raise ProbeError(f"{arrays[0]}: an array file must be the only source of probes.")
    if arrays:
        return _from_array_file(arrays[0])
    for path in paths:
        if path.is_dir():
            found = _from_folder(path)
            items.extend(found.items)
            names = names or found.class_names
        else:
            items.append(Item(shown_name(path.name), path))
    return Offer(tuple(items), names)


def _expand(source: str | Path) -> list[Path]:
    path = Path(source)
    if path.exists():
        return [path]
    with contextlib.suppress(RuntimeError):  # no user of that name: the tilde is meant as it stands
        path = path.expanduser()
    if path.exists():
        return [path]
    if any(mark in str(source) for mark in "*?["):
        found = sorted(glob.glob(str(path), recursive=True), key=_natural)  # noqa: PTH207 - absolute too
        if found:
            return [Path(match) for match in found]
        raise ProbeError(f"No file matches the pattern {str(source)!r}.")
    raise ProbeError(f"There is no probe file or folder {str(source)!r}.")


def _natural(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """Sort ``image2`` before ``image10``, and names that differ in leading zeros always the same."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts], name


def _from_folder(folder: Path) -> Offer:
    found: list[Path] = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted((f for f in folders if not f.startswith(".")), key=_natural)
        base = Path(root)
        names = sorted((f for f in files if not f.startswith(".")), key=_natural)
        found.extend(base / name for name in names if Path(name).suffix.lower() in SUFFIXES)
    if not found:
        endings = ", ".join(sorted(SUFFIXES))
        raise ProbeError(f"The folder {str(folder)!r} holds no images ({endings}).")
    in_class = [path.relative_to(folder).parts for path in found]
    has_classes = all(len(parts) > 1 for parts in in_class)
    # Keras numbers the folders without images too.
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    items = tuple(
        Item(shown_name(path.name), path, shown_name(parts[0]) if has_classes else None)
        for path, parts in zip(found, in_class, strict=True)
    )
    return Offer(items, tuple(shown_name(name) for name in classes) if has_classes else ())


def shown_name(name: str) -> str:
    """Return a file name as text that UTF-8 can hold."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _from_array_file(path: Path) -> Offer:
    try:
        with path.open("rb") as file:
            loaded: Any = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return _from_array(_as_array(loaded))
            arrays = {name: loaded[name] for name in loaded.files}
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise ProbeError(
                f"{path}: it holds pickled Python objects, which could run code when read; "
                "refused. "
                "Save plain numbers with np.save(path, array)."
            ) from None
        raise ProbeError(f"{path}: it is no readable array file ({error}).") from None
    except (OSError, EOFError, KeyError) as error:
        raise ProbeError(f"{path}: it is no readable array file ({error}).") from None
    except Exception as error:  # noqa: BLE001 - zipfile and zlib raise their own kinds
        raise ProbeError(f"{path}: it is damaged ({error}).") from None
    label_key = next((key for key in _LABEL_KEYS if key in arrays), None)
    images = [key for key in arrays if key not in _LABEL_KEYS]
    if not images:
        raise ProbeError(f"{path} holds no arrays of images.")
    # All are kept by name: an input may be called as labels usually are.
    named: dict[str | None, NDArray[Any]] = {
        key: _as_array(array)
        for key, array in arrays.items()
        if key in images or array.dtype.kind in "fiub"
    }
    if len(images) == 1 or all(key in _IMAGE_KEYS for key in images):
        named[None] = named[next((key for key in _IMAGE_KEYS if key in images), images[0])]
    return Offer((Item("array", named, arrays[label_key] if label_key else None),))


# -- labels and sampling -------------------------------------------------------------------------


def _labelled(offer: Offer, settings: Settings) -> Offer:
    given = settings.labels
    if given is None:
        return offer
    if isinstance(given, tuple):
        if len(offer.items) == 1 and isinstance(offer.items[0].source, dict):
            return offer._replace(items=(offer.items[0]._replace(label=np.asarray(given)),))
        if len(given) != len(offer.items):
            raise LabelError(f"There are {len(offer.items)} probes and {len(given)} labels.")
        pairs = zip(offer.items, given, strict=True)
        return offer._replace(items=tuple(item._replace(label=label) for item, label in pairs))
    table = read_labels(given) if isinstance(given, str) else given
    items = []
    for item in offer.items:
        path = item.source if isinstance(item.source, Path) else Path(item.name)
        label = label_of(path, table)
        items.append(item if label is None else item._replace(label=label))
    if all(item.label is None for item in items):
        raise LabelError(
            "None of the labels belongs to a probe; their first column must hold the probes' "
            "file names, "
            f"as in {offer.items[0].name!r}."
        )
    return offer._replace(items=tuple(items))


def sample(items: Sequence[Item], size: int) -> list[Item]:
    """Choose ``size`` items evenly, over their labels where they have them, always the same ones."""
    if len(items) <= size:
        return list(items)
    groups: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(str(item.label), []).append(index)
    if len(groups) == 1:
        return [items[i] for i in even_sample(len(items), size)]
    order = list(groups.values())
    if len(order) >= size:
        order = [order[i] for i in even_sample(len(order), size)]
    share, extra = divmod(size, len(order))
    chosen: list[int] = []
    for number, group in enumerate(order):
        wanted = share + (number < extra)
        chosen.extend(group[i] for i in even_sample(len(group), wanted))
    spare = [i for i in range(len(items)) if i not in set(chosen)]
    chosen.extend(spare[i] for i in even_sample(len(spare), size - len(chosen)))
    return [items[i] for i in sorted(chosen)]


# -- reading and fitting -------------------------------------------------------------------------


def read(offer: Offer, inputs: Sequence[InputShape], settings: Settings) -> ProbeSet:
    """Read the sampled probes and fit them to ``inputs``.

    Raises:
        ProbeError: none can be read, or arrays do not fit.
    """
    if isinstance(offer.items[0].source, Path):
        return _read_files(offer, inputs, settings)
    return _read_arrays(offer, inputs, settings)


def image_input(inputs: Sequence[InputShape]) -> InputShape | None:
    """Return the first input that takes images: (H, W, C) with up to four channels, or (H, W) grey."""
    for spec in inputs:
        if len(spec.shape) == 3 and spec.shape[2] <= 4:
            return spec
    for spec in inputs:
        if len(spec.shape) == 2 and "int" not in spec.dtype and min(spec.shape) >= 8:
            return spec
    return next((spec for spec in inputs if len(spec.shape) == 3), None)


def _read_files(offer: Offer, inputs: Sequence[InputShape], settings: Settings) -> ProbeSet:
    target = image_input(inputs)
    if target is None:
        shapes = ", ".join(f"{spec.name} {spec.shape}" for spec in inputs)
        raise ProbeError(
            f"The model takes no images (inputs: {shapes}), so image files cannot be fed to it. "
            "Give its inputs as arrays in an .npz, or leave --probes out."
        )
    shape = (*target.shape, 1)[:3] if len(target.shape) == 2 else target.shape
    probes, rows, notices, resized = [], [], list(offer.notices), 0
    for item in sample(offer.items, settings.max_probes):
        try:
            pixels = decode(
                Path(str(item.source)) if not isinstance(item.source, Path) else item.source
            )
            fitted = fit(pixels.array, (shape[0], shape[1], shape[2]), settings.resize)
        except ProbeError as error:
            notices.append(_left_out(item, error, settings))
            continue
        resized += fitted.resized
        rows.append(fitted.array.reshape(target.shape))
        probes.append(_probe_of_file(item, pixels, fitted))
    if not probes:
        reasons = " ".join(notice.text.removeprefix("A probe was left out. ") for notice in notices)
        raise ProbeError(f"None of the probes can be read. {reasons}")
    arrays, zeros = with_zeros({target.name: typed(np.stack(rows), target.dtype)}, inputs)
    return ProbeSet(
        tuple(probes), arrays, target.name, zeros, 255.0, resized, len(offer.items), "files",
        offer.class_names, tuple(notices),
    )  # fmt: skip


def _left_out(item: Item, error: ProbeError, settings: Settings) -> Notice:
    """Say which file was left out and why; not which where names are hidden."""
    reason = str(error).removeprefix(f"{Path(str(item.source)).name}: ")
    named = "a file" if settings.hide_names else item.name
    return Notice("warning", f"A probe was left out. {named}: {reason}.")


def _probe_of_file(item: Item, pixels: Pixels, fitted: Fitted) -> Probe:
    height, width = pixels.array.shape[:2]
    notes = (*pixels.notes, *fitted.notes)
    given = for_the_eye(pixels.array, 255.0)
    return Probe(item.name, (width, height), pixels.kind, item.label, given, notes)


def with_zeros(
    given: dict[str, NDArray[Any]], inputs: Sequence[InputShape]
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Fill inputs that were not given with zeros, and return their names."""
    count = len(next(iter(given.values())))
    zeros = tuple(spec.name for spec in inputs if spec.name not in given)
    arrays = {
        spec.name: given[spec.name]
        if spec.name in given
        else np.zeros((count, *spec.shape), spec.dtype if "float" not in spec.dtype else np.float32)
        for spec in inputs
    }
    return arrays, zeros


def typed(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return an array in an input's type; integers are rounded to."""
    if "float" in dtype:
        return array.astype(np.float32, copy=False)
    try:
        kind = np.dtype(dtype)
    except TypeError:
        raise ProbeError(
            f"The model takes values of the type {dtype}, which probes cannot have."
        ) from None
    return np.rint(array).astype(kind) if array.dtype.kind == "f" else array.astype(kind)


def _read_arrays(offer: Offer, inputs: Sequence[InputShape], settings: Settings) -> ProbeSet:
    """Read rows of arrays; their axes are told apart by the input's shape."""
    target = image_input(inputs) or inputs[0]
    rows: list[tuple[str, dict[str, NDArray[Any]], Any]] = []
    for item in offer.items:
        named = by_input(item.source, inputs, target)  # type: ignore[arg-type]
        batches = {name: as_batch(array, _spec(inputs, name)) for name, array in named.items()}
        counts = {len(batch) for batch in batches.values()}
        if len(counts) != 1:
            raise ProbeError(f"The inputs have different numbers of probes: {sorted(counts)}.")
        count = counts.pop()
        fed = any(array is item.label for array in named.values())
        labels = row_labels(None if fed else item.label, count, single=len(offer.items) > 1)
        for i in range(count):
            name = item.name if len(offer.items) > 1 else f"probe {i}"
            rows.append((name, {k: v[i] for k, v in batches.items()}, labels[i]))
    if not rows:
        raise ProbeError("The arrays of probes are empty.")
    markers = [Item(str(i), {}, row[2]) for i, row in enumerate(rows)]
    chosen = [rows[int(item.name)] for item in sample(markers, settings.max_probes)]
    return _fit_rows(offer, chosen, inputs, target, settings, total=len(rows))


def row_labels(labels: Any, count: int, *, single: bool) -> list[Any]:
    """Return one label a row, None for each without labels."""
    if labels is None:
        return [None] * count
    if single and count == 1:
        return [label_value(labels)]
    array = np.asarray(labels)
    if len(array) != count:
        raise LabelError(f"There are {count} probes and {len(array)} labels.")
    return [label_value(row) for row in array]


def _spec(inputs: Sequence[InputShape], name: str) -> InputShape:
    return next(spec for spec in inputs if spec.name == name)


def by_input(
    arrays: Mapping[str | None, NDArray[Any]], inputs: Sequence[InputShape], target: InputShape
) -> dict[str, NDArray[Any]]:
    """Return arrays by input name; one without a name is the target's."""
    names = {spec.name for spec in inputs}
    matching = {str(name): array for name, array in arrays.items() if name in names}
    if matching:
        return matching
    if None in arrays or len(arrays) == 1:
        return {target.name: arrays.get(None, next(iter(arrays.values())))}
    raise ProbeError(
        f"The arrays are called {', '.join(map(repr, arrays))}; the model's inputs are called "
        f"{', '.join(sorted(map(repr, names)))}. Name the arrays after the inputs."
    )


def as_batch(array: NDArray[Any], spec: InputShape) -> NDArray[Any]:
    """Give ``array`` a first axis that counts probes, and the input's rank behind it."""
    rank, size = len(spec.shape), int(np.prod(spec.shape))
    if array.ndim == rank and array.shape == spec.shape:
        return array[None]
    if array.ndim == rank + 1:
        return array
    if rank == 3 and array.ndim == 3 and array.shape[2] in {1, 3, 4} and spec.shape[2] != 1:
        return array[None]
    if rank == 3 and array.ndim == 3 and spec.shape[2] == 1:
        single = array.shape[2] == 1 and array.shape[:2] != spec.shape[:2][::-1]
        return array[None] if single and array.shape[1] != 1 else array[..., None]
    if rank == 3 and array.ndim == 2 and spec.shape[2] == 1 and array.shape[1] != size:
        return array[None, :, :, None]
    if rank == 2 and array.ndim == 4 and array.shape[3] == 1:
        return array[..., 0]
    if array.ndim > 1 and int(np.prod(array.shape[1:])) == size:
        return array.reshape(len(array), *spec.shape)
    if array.size == size:
        return array.reshape(1, *spec.shape)
    raise ProbeError(
        f"An array of shape {array.shape} does not fit the input {spec.name!r}, which takes "
        f"(n, {', '.join(map(str, spec.shape))})."
    )


def _fit_rows(
    offer: Offer,
    rows: Sequence[tuple[str, dict[str, NDArray[Any]], Any]],
    inputs: Sequence[InputShape],
    target: InputShape,
    settings: Settings,
    *,
    total: int,
) -> ProbeSet:
    given: dict[str, list[NDArray[Any]]] = {}
    probes, notices, resized = [], list(offer.notices), 0
    full_scale = white_of([row[1][target.name] for row in rows if target.name in row[1]], notices)
    for name, arrays, label in rows:
        notes: tuple[str, ...] = ()
        for key, array in arrays.items():
            spec = _spec(inputs, key)
            if len(spec.shape) == 3 and array.shape != spec.shape:
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
            eye = for_the_eye(shown if shown.ndim == 3 else shown[..., None], full_scale)
        kind = f"array, {shown.dtype.name}" if shown is not None else "array"
        probes.append(Probe(name, size, kind, label, eye, notes))
    stacked = {key: np.stack(value) for key, value in given.items()}
    is_image = target.name in stacked and image_input([target]) is not None
    arrays_by_name, zeros = with_zeros(stacked, inputs)
    return ProbeSet(
        tuple(probes), arrays_by_name, target.name if is_image else None, zeros, full_scale, resized, total,
        "arrays", offer.class_names, tuple(notices),
    )  # fmt: skip


def white_of(arrays: Sequence[NDArray[Any]], notices: list[Notice]) -> float | None:
    """Return what counts as white in integer arrays: their type's maximum; None for floats."""
    if not arrays or arrays[0].dtype.kind == "f":
        return None
    kind = arrays[0].dtype
    if kind.kind == "b":
        return 1.0
    if kind.itemsize > 2 and max(int(a.max()) for a in arrays) <= 255:
        notices.append(
            Notice("info", f"Values of the type {kind.name} up to 255 are taken as 0..255.")
        )
        return 255.0
    return float(np.iinfo(kind).max)
