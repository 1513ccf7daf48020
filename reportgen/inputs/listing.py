"""What images there are: files, folders, arrays and data sets are listed before any image is read."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import LabelError, ProbeError
from reportgen.files import open_regular, reason_of
from reportgen.inputs.classes import label_of_value
from reportgen.inputs.images import SUFFIXES
from reportgen.inputs.labels import label_of, read_labels
from reportgen.wording import readable_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.images import Encoded
    from reportgen.network.shapes import GivenShapes
    from reportgen.report.leaves import Notice
    from reportgen.settings import Settings

_IMAGE_KEYS = ("x", "images", "image", "x_test", "x_val", "x_train", "data", "arr_0")
_LABEL_KEYS = ("y", "labels", "label", "y_test", "y_val", "y_train", "targets", "arr_1")


class Item(NamedTuple):
    """One probe that may be shown.

    Attributes:
        source: an image file, its bytes, or arrays by input name; None is the key of the one to feed where no
            name is an input's.
    """

    name: str
    source: Path | Encoded | Mapping[str | None, NDArray[Any]]
    label: Any | None = None


class Listing(NamedTuple):
    """All probes that were offered, before any is read.

    Attributes:
        class_names: from the names of class folders or from the data set; empty without them.
        total: how many there are; more than ``items`` where the source was cut short while reading.
        stream: a ``tf.data.Dataset`` whose images are not listed yet: the network's input says what one is; or
            files of many images.
    """

    items: tuple[Item, ...]
    class_names: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    total: int | None = None
    stream: Any = None

    @property
    def size(self) -> int:
        """How many images are listed, 0 where only reading tells; of one array its length, as it stands."""
        if not self.items:
            return 0
        first = self.items[0].source
        if isinstance(first, dict) and len(self.items) == 1:
            array = next(iter(first.values()))
            return len(array) if array.ndim else 1
        return len(self.items)

    @property
    def shapes(self) -> GivenShapes:
        """Shapes of arrays by the input that takes them; empty for files, and where an axis is 0."""
        if not self.items:
            return _shapes_in(self.stream)
        first = self.items[0].source
        if not isinstance(first, dict):
            return {}
        shapes = {name: tuple(array.shape) for name, array in first.items()}
        single = len(self.items) == 1
        return {name: (shape, single) for name, shape in shapes.items() if 0 not in shape}

    def with_single_labels(self) -> Listing:
        """Return the same without the labels that are masks or several by name."""
        plain = [
            item if not isinstance(item.label, Path | dict) else item._replace(label=None)
            for item in self.items
        ]
        return self._replace(items=tuple(plain))


def _shapes_in(dataset: Any) -> GivenShapes:
    """Return the shapes that a data set declares for its images."""
    spec = getattr(dataset, "element_spec", {})
    spec = spec[0] if isinstance(spec, tuple) else spec
    shapes = {}
    for name, tensor in (spec if isinstance(spec, dict) else {None: spec}).items():
        sizes = getattr(tensor, "shape", None)
        if sizes is not None and sizes.rank:
            shapes[name] = (tuple(sizes), True)
    return shapes


def list_images(source: Any, settings: Settings) -> Listing:
    """List the probes in ``source`` without reading images.

    Args:
        source: a path, glob, array, PIL image, ``(images, labels)`` pair, mapping from input name
            to array, ``tf.data.Dataset``, or a sequence of paths, arrays or PIL images.
        settings: ``max_probes`` bounds what is taken from a data set; ``labels`` are attached.

    Raises:
        ProbeError: nothing there, or of a kind that cannot be used.
        LabelError: labels that do not belong to the probes.
    """
    listing = _list(source)
    if listing.stream is not None:
        return listing
    if not listing.items:
        raise ProbeError("There are no probes in what was given.")
    return labelled(listing, settings)


def _list(source: Any) -> Listing:
    if isinstance(source, str | Path):
        return _from_paths([source])
    if hasattr(source, "as_numpy_iterator"):
        return _from_dataset(source)
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
        return Listing(
            tuple(Item(f"probe {i}", {None: _as_array(a)}) for i, a in enumerate(source))
        )
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


def _from_array(array: NDArray[Any], labels: Any = None) -> Listing:
    """Listing the rows of an array whose first axis counts the probes (or one probe: ``fit`` decides)."""
    return Listing((Item("array", {None: array}, labels),))


def _from_pair(pair: tuple[Any, ...]) -> Listing:
    images, labels = pair[0], np.asarray(pair[1])
    if isinstance(images, dict):
        return _from_mapping(images, labels)
    if isinstance(images, list | tuple):
        if len(images) != len(labels):
            raise LabelError(f"There are {len(images)} images and {len(labels)} labels.")
        rows = [
            Item(f"probe {i}", {None: _as_array(a)}, label_of_value(labels[i]))
            for i, a in enumerate(images)
        ]
        return Listing(tuple(rows))
    return _from_array(_as_array(images), labels)


def _from_mapping(arrays: Mapping[str, Any], labels: NDArray[Any] | None = None) -> Listing:
    return Listing((Item("array", {str(k): _as_array(v) for k, v in arrays.items()}, labels),))


def _from_dataset(dataset: Any) -> Listing:
    names = tuple(str(name) for name in getattr(dataset, "class_names", None) or ())
    return Listing((), names, stream=dataset)


# -- files ---------------------------------------------------------------------------------------


def _from_paths(sources: Sequence[str | Path]) -> Listing:
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
            items.append(Item(readable_name(path.name), path))
    return Listing(tuple(items), names)


def _expand(source: str | Path) -> list[Path]:
    path = Path(source)
    try:
        if path.exists():
            return [path]
    except (OSError, ValueError) as error:
        raise ProbeError(f"The probe {str(source)!r} cannot be read: {reason_of(error)}.") from None
    with contextlib.suppress(RuntimeError):  # no user of that name: the tilde is meant as it stands
        path = path.expanduser()
    if path.exists():
        return [path]
    if any(mark in str(source) for mark in "*?["):
        found = sorted(glob.glob(str(path), recursive=True), key=natural)  # noqa: PTH207 - absolute too
        if found:
            return [Path(match) for match in found]
        raise ProbeError(f"No file matches the pattern {str(source)!r}.")
    raise ProbeError(f"There is no file or folder of images {str(source)!r}.")


def natural(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """Sort ``image2`` before ``image10``, and names that differ in leading zeros always the same."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts], name


def _from_folder(folder: Path) -> Listing:
    found: list[Path] = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted((f for f in folders if not f.startswith(".")), key=natural)
        base = Path(root)
        names = sorted((f for f in files if not f.startswith(".")), key=natural)
        found.extend(base / name for name in names if Path(name).suffix.lower() in SUFFIXES)
    if not found:
        endings = ", ".join(sorted(SUFFIXES))
        raise ProbeError(f"The folder {str(folder)!r} holds no images ({endings}).")
    in_class = [path.relative_to(folder).parts for path in found]
    has_classes = all(len(parts) > 1 for parts in in_class)
    # Keras numbers the folders without images too.
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    items = tuple(
        Item(readable_name(path.name), path, readable_name(parts[0]) if has_classes else None)
        for path, parts in zip(found, in_class, strict=True)
    )
    return Listing(items, tuple(readable_name(name) for name in classes) if has_classes else ())


def _from_array_file(path: Path) -> Listing:
    try:
        with open_regular(path) as file:
            loaded: Any = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return _from_array(_with_values(_as_array(loaded), f"{path}: the array"))
            arrays = {name: loaded[name] for name in loaded.files}
    except ProbeError:
        raise
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
        key = next((key for key in _IMAGE_KEYS if key in images), images[0])
        named[None] = _with_values(named[key], f"{path}: {key!r}")
    return Listing((Item("array", named, arrays[label_key] if label_key else None),))


def _with_values(array: NDArray[Any], what: str) -> NDArray[Any]:
    """Return the array of images; ProbeError where it is a number, or an axis behind the first is 0."""
    if array.ndim == 0 or 0 in array.shape[1:]:
        raise ProbeError(
            f"{what} has the shape {array.shape}, which holds no image. Save (n, height, width, channels)."
        )
    return array


# -- labels --------------------------------------------------------------------------------------


def labelled(listing: Listing, settings: Settings) -> Listing:
    """Return the probes with the labels of the settings, where there are any.

    Raises:
        LabelError: labels that do not belong to the probes.
    """
    given = settings.labels
    if given is None:
        return listing
    if isinstance(given, tuple):
        if len(listing.items) == 1 and isinstance(listing.items[0].source, dict):
            return listing._replace(items=(listing.items[0]._replace(label=np.asarray(given)),))
        if len(given) != len(listing.items):
            raise LabelError(f"There are {len(listing.items)} probes and {len(given)} labels.")
        pairs = zip(listing.items, given, strict=True)
        return listing._replace(
            items=tuple(item._replace(label=label_of_value(label)) for item, label in pairs)
        )
    table = read_labels(given) if isinstance(given, str) else given
    items = []
    for item in listing.items:
        path = item.source if isinstance(item.source, Path) else Path(item.name)
        label = label_of(path, table)
        items.append(item if label is None else item._replace(label=label_of_value(label)))
    if all(item.label is None for item in items):
        raise LabelError(
            "None of the labels belongs to a probe; their first column must hold the probes' "
            "file names, "
            f"as in {listing.items[0].name!r}."
        )
    return listing._replace(items=tuple(items))
