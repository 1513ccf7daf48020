"""Images that are listed one by one: files, or arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.cache import key_of
from reportgen.files import state_here
from reportgen.inputs.fitting import one_by_input
from reportgen.inputs.images import Picture
from reportgen.inputs.sources.protocol import Sample, cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reportgen.inputs.fitting import InputShape
    from reportgen.inputs.listing import Item
    from reportgen.inputs.sources.protocol import Broken


class ListedSource:
    """A data set of files, or of arrays one by one.

    Args:
        items: its images.
        inputs: of the network.
        copied: whether they are copies of a store's files, with a time of change that tells these apart.

    Attributes:
        pictures: whether they are files.
        total: how many there are.
    """

    def __init__(
        self, items: Sequence[Item], inputs: Sequence[InputShape], *, copied: bool = False
    ) -> None:
        self._items, self._inputs, self._copied = items, inputs, copied
        self.pictures = isinstance(items[0].source, Picture)
        self.total: int | None = len(items)

    def name(self, place: int, *, hidden: bool = False) -> str:
        """Return a file's name."""
        return self._items[place].name if self.pictures and not hidden else ""

    def shards(self, block: int) -> list[range]:
        """Return the places cut into runs that end where blocks do."""
        return cut(len(self._items), block)

    def identity(self, places: range, *, anew: bool = False) -> str | None:  # noqa: ARG002 - each time
        """Return the digest of arrays; files are told apart by name, size and times of change."""
        rows = [self._items[place] for place in places]
        if self.pictures:
            return key_of(*(_stamp(row, copied=self._copied) for row in rows))
        return key_of(
            *(np.asarray(array) for row in rows for array in dict(row.source).values()),  # type: ignore[arg-type]
            *(np.asarray(row.label).astype(np.str_) for row in rows),
        )

    def read(self, places: Sequence[int]) -> Iterator[Sample | Broken]:
        """Yield the images at ``places``."""
        for place in places:
            item = self._items[place]
            if not self.pictures:
                arrays: Any = one_by_input(item.source, self._inputs)
                item = item._replace(source=arrays)
            yield Sample(place, item)


def _stamp(item: Item, *, copied: bool) -> list[Any]:
    found = []
    for path in (item.source, item.label):
        if isinstance(path, Path):
            try:
                found.append([item.name, *state_here(path)[: 2 if copied else None]])
            except OSError:
                found.append([item.name, -1, -1])
        elif path is not None:
            found.append([str(path)])
    return found
