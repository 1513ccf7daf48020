"""A whole data set, read in order: decoded beside the network, bounded in memory, broken images told apart."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import DataError, ProbeError
from reportgen.inputs.fitting import called, file_input, main_input, typed, with_zeros
from reportgen.inputs.images import decode, decode_mask, fit
from reportgen.inputs.listing import Item
from reportgen.inputs.sources.opening import open_source
from reportgen.inputs.sources.protocol import Broken
from reportgen.inputs.sources.stacked import StackedSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.data_source import DataSource
    from reportgen.inputs.fitting import InputShape
    from reportgen.inputs.sources.protocol import Sample
    from reportgen.settings import Settings
    from reportgen.values import Orientation

__all__ = ["MOST_BROKEN", "Block", "Broken", "DataSet", "Row"]

MOST_BROKEN = 50
"""Broken images whose reasons are kept; all are counted."""
AHEAD = 16
"""Images that are decoded ahead of the reader."""


class Row(NamedTuple):
    """One image as it is fed, before preprocessing.

    Attributes:
        place: in the data set, broken images counted.
        label: as given; a mask as (height, width) integers.
        arrays: by input name, without the batch dimension.
        tagged: whether its file has an EXIF orientation.
        item: what it was read from.
    """

    place: int
    label: Any | None
    arrays: dict[str, NDArray[Any]]
    tagged: bool = False
    item: Item | None = None


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

    Raises:
        DataError: images that the network does not take.
    """

    def __init__(self, given: DataSource, inputs: Sequence[InputShape], settings: Settings) -> None:
        self._inputs = list(inputs)
        self._settings = settings
        self._target = main_input(inputs)
        self._source = open_source(given, self._inputs)
        if self._source.pictures and file_input(self._inputs) is None:
            raise DataError(
                "--data: the model takes no images, so image files cannot be fed to it."
            )
        label = given.listing.items[0].label if given.listing.items else None
        self.label_names = tuple(str(name) for name in label) if isinstance(label, dict) else ()
        self.class_names = given.listing.class_names
        self.broken: list[Broken] = []
        self.broken_count = 0
        self.tagged: list[int] = []
        self.total = self._source.total

    @property
    def image(self) -> str:
        """The input that takes the images, or the series."""
        return self._target.name

    @property
    def series(self) -> bool:
        """Whether these are series."""
        return self._target.series

    def name(self, place: int) -> str:
        """Return the name of an image or what else there is: its file's, or its place."""
        name = self._source.name(place, hidden=self._settings.hide_names)
        return name or f"{called(self._inputs).one} {place}"

    def item(self, row: Row) -> Item:
        """Return a row as what probes are read from."""
        if self._source.pictures and row.item is not None:
            return row.item
        label = row.label if not isinstance(row.label, np.ndarray) or row.label.ndim < 2 else None
        named: dict[str | None, NDArray[Any]] = {key: array for key, array in row.arrays.items()}  # noqa: C416 - widens the keys' type
        return Item(self.name(row.place), named, label)

    # -- shards ----------------------------------------------------------------------------------

    def shards(self, block: int) -> list[range]:
        """Return the places of each shard; blocks of ``block`` images never cross one."""
        return self._source.shards(block)

    def identity(self, places: range) -> str | None:
        """Return the digest of a shard's images and labels; None where only reading would tell."""
        return self._source.identity(places)

    def check_unchanged(self, places: range, identity: str | None) -> None:
        """See that the files of a shard, which was read, are still those whose digest ``identity`` is.

        Raises:
            DataError: they are others.
        """
        if identity is None or not self._source.pictures:
            return
        if self._source.identity(places, anew=True) != identity:
            raise DataError(
                f"--data: what follows {self.name(places.start)} is not what was there when the build began. "
                "Nothing was written: build again when the data set does not change any more."
            )

    # -- reading ---------------------------------------------------------------------------------

    def rows(
        self, places: Sequence[int], orientation: Orientation | None = None
    ) -> Iterator[Row | Broken]:
        """Read the images at ``places``, which ascend.

        Args:
            places: in the data set.
            orientation: how files are read, where that is not as the settings say.
        """
        samples = self._source.read(places)
        if self._source.pictures:
            yield from self._decoded(samples, orientation or self._settings.orientation)
            return
        for sample in samples:
            yield sample if isinstance(sample, Broken) else self._of_arrays(sample)

    def turned(self, places: Sequence[int]) -> Iterator[Row | Broken]:
        """Read files with their EXIF orientation applied where the settings leave it, and left otherwise."""
        return self.rows(places, "keras" if self._settings.orientation == "exif" else "exif")

    def blocks(self, places: range, size: int) -> Iterator[Block]:
        """Read the images at ``places`` in blocks of ``size``; broken ones are left out and noted."""
        if isinstance(self._source, StackedSource) and self._source.whole:
            for start in range(places.start, places.stop, size):
                here = range(start, min(start + size, places.stop))
                labels, arrays = self._source.block(here)
                yield Block(np.array(here, np.int64), labels, with_zeros(arrays, self._inputs)[0])
            return
        readable = self._readable(places)
        while rows := list(islice(readable, size)):
            at = np.array([row.place for row in rows], np.int64)
            yield Block(at, tuple(row.label for row in rows), self.inputs(rows))

    def _readable(self, places: Sequence[int]) -> Iterator[Row]:
        for row in self.rows(places):
            if isinstance(row, Row):
                if row.tagged:
                    self.tagged.append(row.place)
                yield row._replace(item=None)  # its bytes are done with
                continue
            self.broken_count += 1
            if len(self.broken) < MOST_BROKEN:
                self.broken.append(row)

    def inputs(self, rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
        """Return images as a block, by input name; inputs without data are zeros."""
        given = {key: np.stack([row.arrays[key] for row in rows]) for key in rows[0].arrays}
        return with_zeros(given, self._inputs)[0]

    def _decoded(
        self, samples: Iterable[Sample | Broken], orientation: Orientation
    ) -> Iterator[Row | Broken]:
        """Decode images in threads, a little ahead of the reader."""
        pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
        running: deque[Any] = deque()
        try:
            for sample in samples:
                running.append(pool.submit(self._decode, sample, orientation))
                if len(running) > AHEAD:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _decode(self, sample: Sample | Broken, orientation: Orientation) -> Row | Broken:
        if isinstance(sample, Broken):
            return sample
        (place, item), shape = sample, self._target.shape
        height, width, channels = (*shape, 1)[:3] if len(shape) == 2 else shape
        picture: Any = item.source
        try:
            pixels = decode(picture, upright=orientation == "exif")
            fitted = fit(pixels.array, (height, width, channels), self._settings.resize)
            label = decode_mask(item.label) if isinstance(item.label, Path) else item.label
        except ProbeError as error:
            return Broken(place, str(error).removeprefix(f"{self._source.name(place)}: "))
        array = typed(fitted.array.reshape(shape), self._target.dtype)
        return Row(place, label, {self.image: array}, pixels.tagged, item)

    def _of_arrays(self, sample: Sample) -> Row:
        arrays: Any = sample.item.source
        fitted = {
            spec.name: self._fit(arrays[spec.name], spec)
            for spec in self._inputs
            if spec.name in arrays
        }
        return Row(sample.place, sample.item.label, fitted)

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
