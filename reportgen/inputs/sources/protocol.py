"""What every kind of data set answers: its shards, the images of one, and what tells a shard from another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reportgen.inputs.listing import Item

SHARD = 16
"""Blocks of a shard, where the data set is small."""
MOST_SHARDS = 64


class Broken(NamedTuple):
    """An image that cannot be read, and why."""

    place: int
    reason: str


class Sample(NamedTuple):
    """One image as it is stored.

    Attributes:
        place: its number in the data set, broken images counted. Places ascend in the order of reading.
        item: an image file or its bytes, or arrays by input name without the batch dimension; and its label.
    """

    place: int
    item: Item


class Source(Protocol):
    """A data set, whatever it is stored in.

    Reading one shard needs no other one, and is bounded in memory.
    """

    @property
    def pictures(self) -> bool:
        """Whether its images are encoded, and not arrays."""

    @property
    def total(self) -> int | None:
        """How many images it has; None where only reading tells."""

    def name(self, place: int, *, hidden: bool = False) -> str:
        """Return what an image is called, nothing where it has no name.

        Args:
            place: of the image.
            hidden: whether the names of files may not be told.
        """

    def shards(self, block: int) -> list[range]:
        """Return the places of each shard, in order."""

    def identity(self, places: range, *, anew: bool = False) -> str | None:
        """Return the digest of what a shard is read from, without reading it all; None where there is none.

        Args:
            places: a shard.
            anew: whether files are looked at once more.
        """

    def read(self, places: Sequence[int]) -> Iterator[Sample | Broken]:
        """Yield the images at ``places``, a shard or some places that ascend."""


def cut(total: int, block: int) -> list[range]:
    """Return the places of ``total`` images cut into runs that end where blocks do."""
    size = max(SHARD * block, -(-total // MOST_SHARDS))
    size = -(-size // block) * block
    return [range(at, min(at + size, total)) for at in range(0, total, size)]


def one_label(labels: Any, place: int) -> Any:
    """Return the label of one image, from an array or from arrays by name; None without labels."""
    if isinstance(labels, dict):
        return {name: array[place] for name, array in labels.items()}
    return None if labels is None else labels[place]
