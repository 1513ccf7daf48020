"""A whole data set, read in order: decoded beside the network, bounded in memory, broken images told apart."""

from __future__ import annotations

import os
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.cache import key_of
from reportgen.errors import DataError, ProbeError
from reportgen.inputs.fitting import (
    as_batch,
    by_input,
    called,
    file_input,
    main_input,
    typed,
    with_channels_last,
    with_zeros,
)
from reportgen.inputs.images import decode, decode_mask, fit
from reportgen.inputs.listing import Item
from reportgen.inputs.streams import images_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.data_source import DataSource
    from reportgen.inputs.fitting import InputShape
    from reportgen.settings import Settings
    from reportgen.values import Orientation

MOST_BROKEN = 50
"""Broken images whose reasons are kept; all are counted."""
SHARD = 16
"""Blocks of a shard, where the data set is small."""
MOST_SHARDS = 64
ENDLESS = 1 << 62


class Row(NamedTuple):
    """One image as it is fed, before preprocessing.

    Attributes:
        place: in the data set, broken images counted.
        label: as given; a mask as (height, width) integers.
        arrays: by input name, without the batch dimension.
        tagged: whether its file has an EXIF orientation.
    """

    place: int
    label: Any | None
    arrays: dict[str, NDArray[Any]]
    tagged: bool = False


class Block(NamedTuple):
    """Some images in a row, stacked.

    Attributes:
        places: (n,) in the data set.
        labels: as in ``Row``.
        arrays: by input name, each (n, …), before preprocessing.
    """

    places: NDArray[Any]
    labels: tuple[Any, ...]
    arrays: dict[str, NDArray[Any]]


class Broken(NamedTuple):
    """An image that cannot be read, and why."""

    place: int
    reason: str


class DataSet:
    """Images with labels that are read in order.

    Args:
        given: the images, from ``list_data``.
        inputs: of the network.
        settings: how images are fitted.

    Attributes:
        total: how many were offered; None where that shows in reading only.
        broken: images that could not be read, at most ``MOST_BROKEN``; filled by the survey.
        broken_count: how many could not.
        tagged: places of those that have an EXIF orientation; likewise.
    """

    def __init__(self, given: DataSource, inputs: Sequence[InputShape], settings: Settings) -> None:
        self._items = given.listing.items
        self._stream = given.stream
        self._inputs = list(inputs)
        self._settings = settings
        self._target = main_input(inputs)
        self._arrays: dict[str, NDArray[Any]] = {}
        self._labels: Any = None
        self._sums: dict[int, int] = {}
        self.class_names = given.listing.class_names
        self.broken: list[Broken] = []
        self.broken_count = 0
        self.tagged: list[int] = []
        self.total = self._count()

    def _count(self) -> int | None:
        if self._stream is not None:
            return None
        if self._of_files:
            if file_input(self._inputs) is None:
                raise DataError(
                    "--data: the model takes no images, so image files cannot be fed to it."
                )
            return len(self._items)
        if len(self._items) > 1:
            return len(self._items)
        specs = {spec.name: spec for spec in self._inputs}
        try:
            named = by_input(self._items[0].source, self._inputs, self._target)  # type: ignore[arg-type]
            self._arrays = {key: as_batch(array, specs[key]) for key, array in named.items()}
        except ProbeError as error:
            raise DataError(f"--data: {error}") from error
        counts = {len(array) for array in self._arrays.values()}
        if len(counts) != 1:
            raise DataError(
                f"--data: the inputs have different numbers of images: {sorted(counts)}."
            )
        self._labels = _checked(self._items[0].label, count := counts.pop())
        return count

    @property
    def _of_files(self) -> bool:
        return bool(self._items) and isinstance(self._items[0].source, Path)

    @property
    def image(self) -> str:
        """The input that takes the images, or the series."""
        return self._target.name

    @property
    def series(self) -> bool:
        """Whether these are series."""
        return self._target.series

    @property
    def label_names(self) -> tuple[str, ...]:
        """What labels by name are called; empty where there is one label an image."""
        labels = self._labels if self._labels is not None else self._items[0].label
        return tuple(str(name) for name in labels) if isinstance(labels, dict) else ()

    def name(self, place: int) -> str:
        """Return the name of an image or what else there is: its file's, or its place."""
        if self._settings.hide_names or not self._of_files:
            return f"{called(self._inputs).one} {place}"
        return self._items[place].name

    def item(self, row: Row) -> Item:
        """Return a row as what probes are read from."""
        if self._of_files:
            return self._items[row.place]
        label = row.label if not isinstance(row.label, np.ndarray) or row.label.ndim < 2 else None
        named: dict[str | None, NDArray[Any]] = {key: array for key, array in row.arrays.items()}  # noqa: C416 - widens the keys' type
        return Item(self.name(row.place), named, label)

    # -- shards ----------------------------------------------------------------------------------

    def shards(self, block: int) -> list[range]:
        """Return the places cut into runs that end where blocks do; a stream is one."""
        if self.total is None:
            return [range(ENDLESS)]
        size = max(SHARD * block, -(-self.total // MOST_SHARDS))
        size = -(-size // block) * block
        return [range(at, min(at + size, self.total)) for at in range(0, self.total, size)]

    def identity(self, places: range) -> str | None:
        """Return the digest of some images and their labels; None where only reading would tell.

        Files are told apart by name, size and time of change.
        """
        if self._stream is not None:
            return None
        if self._of_files:
            return key_of(*([_stamp(self._items[place]) for place in places]))
        if len(self._items) > 1:
            rows = [self._items[place] for place in places]
            return key_of(
                *(np.asarray(array) for row in rows for array in dict(row.source).values()),  # type: ignore[arg-type]
                *(np.asarray(row.label).astype(np.str_) for row in rows),
            )
        span = slice(places.start, places.stop)
        labels = self._labels if isinstance(self._labels, dict) else {"": self._labels}
        named = [np.asarray(array)[span] for array in labels.values()]
        kept = [a if a.dtype.kind != "O" else a.astype(np.str_) for a in named]
        return key_of(*(array[span] for array in self._arrays.values()), *kept)

    # -- reading ---------------------------------------------------------------------------------

    def rows(self, places: Sequence[int]) -> Iterator[Row | Broken]:
        """Read the images at ``places``, which ascend."""
        if self._stream is not None:
            yield from self._streamed(places)
        elif self._of_files:
            yield from self._decoded(places)
        else:
            for place in places:
                yield self._row_of_arrays(place)

    def blocks(self, places: range, size: int) -> Iterator[Block]:
        """Read the images at ``places`` in blocks of ``size``; broken ones are left out and noted."""
        if self._whole:
            for start in range(places.start, places.stop, size):
                span = slice(start, min(start + size, places.stop))
                here = np.arange(span.start, span.stop)
                labels = tuple(_row_of(self._labels, place) for place in here.tolist())
                given = {
                    spec.name: typed(self._arrays[spec.name][span], spec.dtype)
                    for spec in self._inputs
                    if spec.name in self._arrays
                }
                yield Block(here, labels, with_zeros(given, self._inputs)[0])
            return
        readable = self._readable(places)
        while rows := list(islice(readable, size)):
            here = np.array([row.place for row in rows], np.int64)
            yield Block(here, tuple(row.label for row in rows), self.inputs(rows))

    @property
    def _whole(self) -> bool:
        """Whether the images are arrays in the inputs' own shapes."""
        return bool(self._arrays) and all(
            self._arrays[spec.name].shape[1:] == spec.shape
            for spec in self._inputs
            if spec.name in self._arrays
        )

    def _readable(self, places: Sequence[int]) -> Iterator[Row]:
        for row in self.rows(places):
            if isinstance(row, Row):
                if row.tagged:
                    self.tagged.append(row.place)
                yield row
                continue
            self.broken_count += 1
            if len(self.broken) < MOST_BROKEN:
                self.broken.append(row)

    def inputs(self, rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
        """Return images as a block, by input name; inputs without data are zeros."""
        given = {key: np.stack([row.arrays[key] for row in rows]) for key in rows[0].arrays}
        return with_zeros(given, self._inputs)[0]

    def turned(self, places: Sequence[int]) -> Iterator[Row | Broken]:
        """Read files with their EXIF orientation applied where the settings leave it, and left otherwise."""
        other: Orientation = "keras" if self._settings.orientation == "exif" else "exif"
        return self._decoded(places, other)

    def _decoded(
        self, places: Iterable[int], orientation: Orientation | None = None
    ) -> Iterator[Row | Broken]:
        """Decode files in threads, a little ahead of the reader."""
        orientation = orientation or self._settings.orientation
        workers = min(4, os.cpu_count() or 1)
        pool = ThreadPoolExecutor(workers)
        running: deque[Any] = deque()
        try:
            for place in places:
                running.append(pool.submit(self._decode, place, orientation))
                if len(running) > 16:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _decode(self, place: int, orientation: Orientation) -> Row | Broken:
        item, shape = self._items[place], self._target.shape
        height, width, channels = (*shape, 1)[:3] if len(shape) == 2 else shape
        try:
            pixels = decode(Path(str(item.source)), upright=orientation == "exif")
            fitted = fit(pixels.array, (height, width, channels), self._settings.resize)
            label = decode_mask(item.label) if isinstance(item.label, Path) else item.label
        except ProbeError as error:
            return Broken(place, str(error).removeprefix(f"{item.name}: "))
        array = typed(fitted.array.reshape(shape), self._target.dtype)
        return Row(place, label, {self.image: array}, pixels.tagged)

    def _row_of_arrays(self, place: int) -> Row:
        if self._arrays:
            arrays = {key: batch[place] for key, batch in self._arrays.items()}
            return Row(place, _row_of(self._labels, place), self._fitted(arrays))
        item = self._items[place]
        return Row(place, item.label, self._fitted(self._named(item.source)))

    def _named(self, source: Any) -> dict[str, NDArray[Any]]:
        """Return one image's arrays by input name, without the batch dimension."""
        specs = {spec.name: spec for spec in self._inputs}
        named = by_input(source, self._inputs, self._target)
        return {
            key: with_channels_last(array, specs[key])
            if array.ndim == len(specs[key].shape)
            else as_batch(array, specs[key])[0]
            for key, array in named.items()
        }

    def _fitted(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {
            spec.name: self._fit(arrays[spec.name], spec)
            for spec in self._inputs
            if spec.name in arrays
        }

    def _fit(self, array: NDArray[Any], spec: InputShape) -> NDArray[Any]:
        if array.shape != spec.shape and len(spec.shape) == array.ndim == 3:
            shape = (spec.shape[0], spec.shape[1], spec.shape[2])
            array = fit(array, shape, self._settings.resize).array
        if array.shape != spec.shape:
            raise DataError(
                f"--data: an image of shape {array.shape} does not fit the input {spec.name!r} of shape "
                f"{spec.shape}."
            )
        return typed(array, spec.dtype)

    def _streamed(self, places: Sequence[int]) -> Iterator[Row | Broken]:
        """Read on until the last of ``places``; an image that is another than before is told as broken."""
        if not len(places):
            return
        wanted: Any = places if isinstance(places, range) else set(places)
        for place, (arrays, label) in enumerate(images_of(self._stream, self._inputs)):
            if place > places[-1]:
                return
            if place not in wanted:
                continue
            fitted = self._fitted(self._named(arrays))
            total = zlib.crc32(b"".join(array.tobytes() for array in fitted.values()))
            if self._sums.setdefault(place, total) == total:
                yield Row(place, label, fitted)
            else:
                yield Broken(place, "the data set gives its images in another order each time")


def _checked(labels: Any, count: int) -> Any:
    if isinstance(labels, dict):
        return {str(name): _checked(array, count) for name, array in labels.items()}
    array = np.asarray(labels)
    if array.ndim == 0 and count == 1:
        array = array[None]
    if array.ndim == 0 or len(array) != count:
        have = len(array) if array.ndim else 1
        raise DataError(f"--data: there are {count} images and {have} labels.")
    return array


def _row_of(labels: Any, place: int) -> Any:
    if isinstance(labels, dict):
        return {name: array[place] for name, array in labels.items()}
    return labels[place]


def _stamp(item: Item) -> list[Any]:
    found = []
    for path in (item.source, item.label):
        if isinstance(path, Path):
            try:
                stat = path.stat()
                found.append([item.name, stat.st_size, stat.st_mtime_ns])
            except OSError:
                found.append([item.name, -1, -1])
        elif path is not None:
            found.append([str(path)])
    return found
