"""A labelled data set as it was given: its images listed with their labels, or a stream of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import DataError, LabelError, ProbeError
from reportgen.inputs.images import SUFFIXES
from reportgen.inputs.label_files import find_masks, read_table
from reportgen.inputs.listing import Item, Listing, list_images
from reportgen.inputs.sources.files import find_files
from reportgen.inputs.sources.records import RecordSource, open_records

if TYPE_CHECKING:
    from reportgen.inputs.sources.files import Found
    from reportgen.settings import Settings


_LOOKED_AT = 100
"""Images that are looked at before it is said that a data set has no labels."""


class DataSource(NamedTuple):
    """A data set as it was given.

    Attributes:
        listing: its images; those of a ``tf.data.Dataset`` are listed when the network is known.
        stream: the ``tf.data.Dataset``, or the ``RecordSource`` of files of many images; None for image files
            and arrays.
        copied: whether image files are copies of a store's.
    """

    listing: Listing
    stream: Any = None
    copied: bool = False


def list_data(source: Any, settings: Settings, *, copied: bool = False) -> DataSource:
    """List the images of a data set with their labels, without reading image files.

    Args:
        source: a folder of class folders, a folder of images with a folder of masks beside it, an ``.npz``
            with images and labels, a CSV of ``file,label``, an ``(x, y)`` pair (``y`` may be a mapping from
            output name to labels), a ``tf.data.Dataset``, read element by element, or files of many images
            (WebDataset's ``.tar``, ``.tfrecord``, ``.parquet``), by path, pattern, folder or address.
        settings: for ``labels``, ``data_features`` and ``max_probes``.
        copied: whether it is a copy of what a store holds.

    Raises:
        DataError: nothing there, or no labels.
    """
    try:
        given = _gathered(source, settings)
    except (ProbeError, LabelError) as error:
        raise DataError(f"--data: {error}") from error
    if settings.data_features and not isinstance(given.stream, RecordSource):
        raise DataError(
            "--data-features describes .tar, .tfrecord and .parquet files, and --data is none of them."
        )
    if given.stream is None and all(item.label is None for item in given.listing.items):
        raise DataError(
            "--data: the images have no labels. A folder of class folders, a folder of images with a folder "
            "of masks beside it, a CSV of file,label, an .npz with x and y, or an (x, y) pair have them."
        )
    return given._replace(copied=copied)


def _gathered(source: Any, settings: Settings) -> DataSource:
    if isinstance(source, str | Path):
        found = find_files(source)
        if found is not None:
            return _of_records(found, settings)
        path = Path(source)
        if path.suffix.lower() == ".csv":
            return DataSource(_of_csv(path))
        masks = find_masks(path)
        if masks is not None:
            return DataSource(Listing(masks))
    if hasattr(source, "as_numpy_iterator"):
        return _of_stream(source, settings)
    if isinstance(source, tuple) and len(source) >= 2 and isinstance(source[1], dict):
        listing = list_images(source[0], settings)
        labels = {str(name): np.asarray(array) for name, array in source[1].items()}
        if len(listing.items) > 1:
            raise ProbeError("labels by output name need the images in one array")
        return DataSource(listing._replace(items=(listing.items[0]._replace(label=labels),)))
    return DataSource(list_images(source, settings))


def _of_records(found: Found, settings: Settings) -> DataSource:
    """Look at the first image alone; at a few more where that has no label."""
    records = open_records(found, settings.data_features)
    if all(item.label is None for count in (1, _LOOKED_AT) for item in records.first(count)):
        raise DataError(
            f"--data: {found.files[0].where}: the first images have no labels. In a tar it is KEY.cls, "
            "KEY.json or KEY.txt beside KEY.jpg; a features.toml says what else it is called."
        )
    listing = Listing((), records.class_names, found.notices, records.total, stream=records)
    return DataSource(listing, records)


def _of_csv(path: Path) -> Listing:
    table = read_table(path)
    items = tuple(
        Item(name, path.parent / name, _mask_of(label, path.parent))
        for name, label in table.items()
    )
    missing = [item.name for item in items if not Path(str(item.source)).is_file()]
    if len(missing) == len(items):
        raise ProbeError(
            f"{path}: none of its files exists beside it (the first is {missing[0]!r}); paths count from the "
            "folder of the CSV"
        )
    return Listing(items)


def _mask_of(label: Any, folder: Path) -> Any:
    """Return the path of a mask where the label is one; any other label as it is."""
    if isinstance(label, str) and Path(label).suffix.lower() in SUFFIXES:
        return folder / label if (folder / label).is_file() else label
    return label


def _of_stream(dataset: Any, settings: Settings) -> DataSource:
    """List nothing yet: the images are read when they are needed."""
    if int(getattr(dataset, "cardinality", lambda: 0)()) == -1:
        raise ProbeError("the data set has no end; dataset.take(n) gives it one")
    if not isinstance(dataset.element_spec, tuple) or len(dataset.element_spec) < 2:
        raise DataError("--data: the data set must yield (images, labels).")
    return DataSource(list_images(dataset, settings), dataset)
