"""Images in one array, or in one array for each input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.cache import key_of
from reportgen.errors import DataError, ProbeError
from reportgen.inputs.fitting import as_batch, by_input, main_input, typed
from reportgen.inputs.listing import Item
from reportgen.inputs.sources.protocol import Sample, cut, one_label

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.fitting import InputShape
    from reportgen.inputs.sources.protocol import Broken


class StackedSource:
    """A data set of arrays whose first axis counts the images.

    Args:
        item: all images, by input name, and their labels.
        inputs: of the network.

    Attributes:
        total: how many there are.
        whole: whether the arrays have the inputs' own shapes, so that blocks are slices of them.

    Raises:
        DataError: the arrays do not fit the inputs, or each other.
    """

    pictures = False

    def __init__(self, item: Item, inputs: Sequence[InputShape]) -> None:
        specs = {spec.name: spec for spec in inputs}
        try:
            named = by_input(item.source, inputs, main_input(inputs))  # type: ignore[arg-type]
            self._arrays = {key: as_batch(array, specs[key]) for key, array in named.items()}
        except ProbeError as error:
            raise DataError(f"--data: {error}") from error
        counts = {len(array) for array in self._arrays.values()}
        if len(counts) != 1:
            raise DataError(
                f"--data: the inputs have different numbers of images: {sorted(counts)}."
            )
        count = counts.pop()
        self.total: int | None = count
        self._count = count
        self._labels = _checked(item.label, count)
        self._types = {name: spec.dtype for name, spec in specs.items()}
        self.whole = all(array.shape[1:] == specs[key].shape for key, array in self._arrays.items())

    def name(self, place: int, *, hidden: bool = False) -> str:  # noqa: ARG002 - rows of arrays have none
        """Return nothing."""
        return ""

    def shards(self, block: int) -> list[range]:
        """Return the places cut into runs that end where blocks do."""
        return cut(self._count, block)

    def identity(self, places: range, *, anew: bool = False) -> str | None:  # noqa: ARG002 - no files
        """Return the digest of some images and their labels."""
        span = slice(places.start, places.stop)
        labels = self._labels if isinstance(self._labels, dict) else {"": self._labels}
        named = [np.asarray(array)[span] for array in labels.values()]
        kept = [a if a.dtype.kind != "O" else a.astype(np.str_) for a in named]
        return key_of(*(array[span] for array in self._arrays.values()), *kept)

    def read(self, places: Sequence[int]) -> Iterator[Sample | Broken]:
        """Yield the images at ``places``."""
        for place in places:
            arrays: Any = {key: batch[place] for key, batch in self._arrays.items()}
            yield Sample(place, Item("", arrays, one_label(self._labels, place)))

    def block(self, places: range) -> tuple[tuple[Any, ...], dict[str, NDArray[Any]]]:
        """Return the labels of some images in a row, and their arrays by input name."""
        span = slice(places.start, places.stop)
        labels = tuple(one_label(self._labels, place) for place in places)
        return labels, {
            key: typed(array[span], self._types[key]) for key, array in self._arrays.items()
        }


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
