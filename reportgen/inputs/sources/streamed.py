"""A ``tf.data.Dataset``: one shard, which is read from its beginning each time."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from reportgen.inputs.fitting import one_by_input
from reportgen.inputs.listing import Item
from reportgen.inputs.sources.protocol import Broken, Sample
from reportgen.inputs.streams import images_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reportgen.inputs.fitting import InputShape

_ENDLESS = 1 << 62


class StreamedSource:
    """A data set that is given element by element.

    Args:
        dataset: the ``tf.data.Dataset``.
        inputs: of the network.
    """

    pictures = False
    total: int | None = None

    def __init__(self, dataset: Any, inputs: Sequence[InputShape]) -> None:
        self._dataset, self._inputs = dataset, inputs
        self._sums: dict[int, int] = {}

    def name(self, place: int, *, hidden: bool = False) -> str:  # noqa: ARG002 - elements have none
        """Return nothing."""
        return ""

    def shards(self, block: int) -> list[range]:  # noqa: ARG002 - there is no other cut
        """Return one shard."""
        return [range(_ENDLESS)]

    def identity(self, places: range, *, anew: bool = False) -> str | None:  # noqa: ARG002 - the protocol's
        """Return None: only reading would tell."""
        return None

    def read(self, places: Sequence[int]) -> Iterator[Sample | Broken]:
        """Read on until the last of ``places``; an image that is another than before is told as broken."""
        if not len(places):
            return
        wanted: Any = places if isinstance(places, range) else set(places)
        for place, (given, label) in enumerate(images_of(self._dataset, self._inputs)):
            if place > places[-1]:
                return
            if place not in wanted:
                continue
            arrays: Any = one_by_input(given, self._inputs)
            total = zlib.crc32(b"".join(array.tobytes() for array in arrays.values()))
            if self._sums.setdefault(place, total) == total:
                yield Sample(place, Item("", arrays, label))
            else:
                yield Broken(place, "the data set gives its images in another order each time")
