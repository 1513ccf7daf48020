"""A whole data set, in blocks: decoded beside the network, bounded in memory, broken images counted."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import DataError, LabelError, ProbeError
from reportgen.images import decode, fit
from reportgen.labels import read_labels
from reportgen.probes import (
    Item,
    Offer,
    as_batch,
    by_input,
    gather,
    image_input,
    label_value,
    row_labels,
    typed,
    with_zeros,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from reportgen.probes import InputShape
    from reportgen.settings import Settings

MOST_BROKEN = 50
"""Names of broken images that are kept; all are counted."""


class Row(NamedTuple):
    """One image as it is fed, before preprocessing, with its name and label."""

    name: str
    label: Any | None
    arrays: dict[str, NDArray[Any]]


class DataSet:
    """Images with labels that are read in order, each once a pass.

    Args:
        offer: the images, from ``gather_data``.
        inputs: of the network.
        settings: how images are fitted.

    Attributes:
        total: how many were offered.
        names: of the images that could be read, in order; filled while reading.
        labels: theirs, as given.
        broken: names and reasons of those that could not, at most ``MOST_BROKEN``.
        broken_count: how many could not.
    """

    def __init__(self, offer: Offer, inputs: Sequence[InputShape], settings: Settings) -> None:
        self._offer = offer
        self._inputs = list(inputs)
        self._settings = settings
        self._target = image_input(inputs) or self._inputs[0]
        self.class_names = offer.class_names
        self.total = _count(offer)
        self.names: list[str] = []
        self.labels: list[Any] = []
        self.broken: list[str] = []
        self.broken_count = 0

    @property
    def image(self) -> str:
        """The input that takes the images."""
        return self._target.name

    def blocks(
        self, size: int, feed: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield blocks of at most ``size`` images by input name, preprocessed by ``feed``.

        Raises:
            DataError: none of the images can be read, or arrays do not fit.
        """
        self.names, self.labels, self.broken, self.broken_count = [], [], [], 0
        rows = self._rows(size)
        while block := list(islice(rows, size)):
            for row in block:
                self.names.append(row.name)
                self.labels.append(row.label)
            given = {key: np.stack([row.arrays[key] for row in block]) for key in block[0].arrays}
            arrays, _ = with_zeros(given, self._inputs)
            raw = arrays[self.image]
            yield {**arrays, self.image: feed(raw).astype(raw.dtype, copy=False)}
        if not self.names:
            reasons = "; ".join(self.broken[:3])
            raise DataError(
                f"--data: none of the {self.broken_count} images can be read ({reasons})."
            )

    def _rows(self, size: int) -> Iterator[Row]:
        first = self._offer.items[0].source
        if not isinstance(first, Path):
            yield from self._of_arrays()
            return
        if image_input(self._inputs) is None:
            raise DataError(
                "--data: the model takes no images, so image files cannot be fed to it."
            )
        workers = min(4, os.cpu_count() or 1)
        with ThreadPoolExecutor(workers) as pool:
            running: deque[Any] = deque()
            items = iter(self._offer.items)
            for item in items:
                running.append(pool.submit(self._decoded, item))
                if len(running) >= 2 * size:
                    yield from self._finished(running.popleft())
            while running:
                yield from self._finished(running.popleft())

    def _finished(self, future: Any) -> Iterator[Row]:
        found = future.result()
        if isinstance(found, Row):
            yield found
            return
        self.broken_count += 1
        if len(self.broken) < MOST_BROKEN:
            self.broken.append("a file" if self._settings.hide_names else found)

    def _decoded(self, item: Item) -> Row | str:
        """Return the image, or why it cannot be read."""
        shape = self._target.shape
        height, width, channels = (*shape, 1)[:3] if len(shape) == 2 else shape
        try:
            pixels = decode(Path(str(item.source)))
            fitted = fit(pixels.array, (height, width, channels), self._settings.resize)
        except ProbeError as error:
            return f"{item.name}: {str(error).removeprefix(f'{item.name}: ')}"
        array = typed(fitted.array.reshape(shape), self._target.dtype)
        return Row(item.name, item.label, {self.image: array})

    def _of_arrays(self) -> Iterator[Row]:
        done = 0
        for item in self._offer.items:
            named = by_input(item.source, self._inputs, self._target)  # type: ignore[arg-type]
            specs = {spec.name: spec for spec in self._inputs}
            batches = {key: as_batch(array, specs[key]) for key, array in named.items()}
            count = len(next(iter(batches.values())))
            labels = row_labels(item.label, count, single=len(self._offer.items) > 1)
            for index in range(count):
                arrays = {
                    key: self._fitted(batch[index], specs[key]) for key, batch in batches.items()
                }
                yield Row(f"image {done + index}", labels[index], arrays)
            done += count

    def _fitted(self, array: NDArray[Any], spec: InputShape) -> NDArray[Any]:
        if array.shape != spec.shape and len(spec.shape) == 3:
            array = fit(
                array, (spec.shape[0], spec.shape[1], spec.shape[2]), self._settings.resize
            ).array
        if array.shape != spec.shape:
            raise DataError(
                f"--data: an image of shape {array.shape} does not fit the input {spec.name!r} of shape "
                f"{spec.shape}."
            )
        return typed(array, spec.dtype)


def _count(offer: Offer) -> int:
    first = offer.items[0].source
    if isinstance(first, Path) or len(offer.items) > 1:
        return len(offer.items)
    return len(next(iter(first.values())))


def gather_data(source: Any, settings: Settings) -> Offer:
    """List the images of a data set with their labels, without reading image files.

    Args:
        source: a folder of class folders, an ``.npz`` with images and labels, a CSV of ``file,label``, an
            ``(x, y)`` pair, or a ``tf.data.Dataset`` (which is drawn into memory).
        settings: for ``labels``.

    Raises:
        DataError: nothing there, or no labels.
    """
    try:
        if isinstance(source, str | Path) and str(source).lower().endswith(".csv"):
            offer = _of_csv(Path(source))
        elif hasattr(source, "as_numpy_iterator"):
            offer = _of_dataset(source)
        else:
            offer = gather(source, settings)
    except (ProbeError, LabelError) as error:
        raise DataError(f"--data: {error}") from error
    if all(item.label is None for item in offer.items):
        raise DataError(
            "--data: the images have no labels. A folder of class folders, a CSV of file,label, an .npz with x "
            "and y, or an (x, y) pair have them."
        )
    return offer


def _of_csv(path: Path) -> Offer:
    table = read_labels(str(path))
    items = [Item(name, path.parent / name, label) for name, label in table.items()]
    missing = [item.name for item in items if not Path(str(item.source)).is_file()]
    if len(missing) == len(items):
        raise ProbeError(
            f"{path}: none of its files exists beside it (the first is {missing[0]!r}); paths count from the "
            "folder of the CSV"
        )
    return Offer(tuple(items))


def _of_dataset(dataset: Any) -> Offer:
    """Draw a data set with an end into memory, row by row."""
    if int(getattr(dataset, "cardinality", lambda: 0)()) == -1:
        raise ProbeError("the data set has no end; dataset.take(n) gives it one")
    rank = len(getattr(_first(dataset.element_spec), "shape", ()) or ())
    images: list[NDArray[Any]] = []
    labels: list[Any] = []
    for element in dataset.as_numpy_iterator():
        if not isinstance(element, tuple) or len(element) < 2 or isinstance(element[0], dict):
            raise ProbeError("the data set must yield (images, labels)")
        batch, given = np.asarray(element[0]), np.asarray(element[1])
        rows = list(batch) if rank >= 4 or batch.ndim >= 4 else [batch]
        images += rows
        labels += [label_value(one) for one in (given if len(rows) > 1 or given.ndim else [given])]
    if not images:
        raise ProbeError("the data set is empty")
    names = tuple(str(name) for name in getattr(dataset, "class_names", None) or ())
    return Offer((Item("array", {None: np.stack(images)}, np.asarray(labels)),), names)


def _first(spec: Any) -> Any:
    return spec[0] if isinstance(spec, tuple) else spec
