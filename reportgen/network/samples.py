"""What one of a network's inputs is called: image, series, sequence, row or volume is decided here alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from reportgen.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.network.facts import InputKind

LEAST_SIDE = 8
"""Values a side from which what is read as neither steps nor places is taken for a grey picture."""


class Described(Protocol):
    """An input, as its facts or with the size that it is run with."""

    @property
    def dtype(self) -> str:
        """Name of its type."""

    @property
    def kind(self) -> InputKind:
        """What the network reads it as, where its rank is 2."""


class Sample(NamedTuple):
    """What one input is called, and several."""

    one: str
    many: str

    def counted(self, number: int) -> str:
        """Return ``1 image`` or ``3 images``."""
        return plural(number, self.one, self.many)


IMAGE = Sample("image", "images")
SERIES = Sample("series", "series")
SEQUENCE = Sample("sequence", "sequences")
ROW = Sample("row", "rows")
VOLUME = Sample("volume", "volumes")


def sample_of(inputs: Sequence[Described], shapes: Sequence[tuple[int, ...]]) -> Sample:
    """Return what a network's inputs are called: by the images among them, else the series, else the first.

    Args:
        inputs: of the network.
        shapes: that they are run with, without the batch dimension.
    """
    found = [_called(one, shape) for one, shape in zip(inputs, shapes, strict=False)]
    order = (IMAGE, SERIES, *found[:1])
    return next((kind for kind in order if kind in found), IMAGE)


def _called(tensor: Described, shape: tuple[int, ...]) -> Sample:
    whole = "int" in tensor.dtype
    if len(shape) == 3:
        return IMAGE
    if len(shape) == 2:
        if tensor.kind == "series" and shape[0] > 1:
            return SERIES
        grey = tensor.kind == "unknown" and not whole and min(shape) >= LEAST_SIDE
        return IMAGE if grey else SEQUENCE
    if len(shape) == 1:
        return SEQUENCE if whole and shape[0] > 1 else ROW
    return VOLUME if len(shape) == 4 else ROW
