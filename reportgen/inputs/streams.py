"""A ``tf.data.Dataset`` image by image; whether its elements are batches the network's input decides."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.errors import ProbeError
from reportgen.inputs.classes import label_of_value
from reportgen.inputs.fitting import called, main_input
from reportgen.inputs.listing import Item, labelled
from reportgen.inputs.sources.records import RecordSource
from reportgen.network.shapes import is_batch
from reportgen.report.leaves import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.fitting import InputShape
    from reportgen.inputs.listing import Listing
    from reportgen.settings import Settings


def images_of(
    dataset: Any, inputs: Sequence[InputShape]
) -> Iterator[tuple[dict[str | None, NDArray[Any]], Any]]:
    """Yield each image with its label, None without one.

    Args:
        dataset: yields images or ``(images, labels)``; images may be arrays by input name.
        inputs: of the network.
    """
    target = main_input(inputs)
    batched: bool | None = None
    for element in dataset.as_numpy_iterator():
        parts = element if isinstance(element, tuple) else (element, None)
        if isinstance(parts[1], tuple | list):
            raise ProbeError("the labels of several outputs need names: {output: labels}")
        images = parts[0] if isinstance(parts[0], dict) else {None: parts[0]}
        arrays = {name: np.asarray(array) for name, array in images.items()}
        if batched is None:
            name = target.name if target.name in arrays else next(iter(arrays))
            batched = is_batch(arrays[name].shape, _shape(name, target, inputs))
        if not batched:
            yield arrays, parts[1]
            continue
        for row in range(len(next(iter(arrays.values())))):
            yield {name: array[row] for name, array in arrays.items()}, _row(parts[1], row)


def _shape(name: str | None, target: InputShape, inputs: Sequence[InputShape]) -> tuple[int, ...]:
    return next((spec.shape for spec in inputs if spec.name == name), target.shape)


def _row(labels: Any, row: int) -> Any:
    if isinstance(labels, dict):
        return {name: array[row] for name, array in labels.items()}
    return None if labels is None else labels[row]


def first_images(listing: Listing, inputs: Sequence[InputShape], settings: Settings) -> Listing:
    """Return the first images of a listed data set, as many as are shown; other listings as they are.

    Raises:
        ProbeError: the data set is empty.
    """
    if listing.stream is None:
        return listing
    if isinstance(listing.stream, RecordSource):
        items = listing.stream.first(settings.max_probes)
    else:
        images = islice(images_of(listing.stream, inputs), settings.max_probes)
        items = [
            Item(f"{called(inputs).one} {place}", arrays, _single(label))
            for place, (arrays, label) in enumerate(images)
        ]
    if not items:
        raise ProbeError("The data set is empty.")
    notices = (*listing.notices, first_notice(len(items)))
    found = listing._replace(items=tuple(items), notices=notices, stream=None)
    return labelled(found, settings)


def first_notice(count: int) -> Notice:
    """Say that the first elements of a data set are shown; what chooses others takes it back."""
    return Notice("info", f"The first {count} elements of the data set are shown.")


def _single(label: Any) -> Any:
    """Return a label as one value; a mask, or labels by name, as they are."""
    several = isinstance(label, dict) or np.ndim(label) > 1
    return label if several else label_of_value(label)
