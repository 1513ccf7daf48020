"""Structs that several sections share."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

AssetName = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{20}\.(png|webp|svg)$")]
"""Name of a picture in ``assets/``: 20 hex digits of its SHA-256 and its ending."""
AssetPath = Annotated[str, msgspec.Meta(pattern=r"^assets/[0-9a-f]{20}\.(png|webp|svg)$")]
"""Path of a picture, relative to the page."""


class Notice(msgspec.Struct, frozen=True):
    """A sentence that the reader must see beside a section.

    Attributes:
        level: ``info`` (how something was done), ``warning`` (something may mislead), ``error`` (a
            part is missing because it failed).
        text: plain text.
    """

    level: Literal["info", "warning", "error"]
    text: str


LEFT_OUT = "Picture left out: "
"""How the text of a picture begins that another stands in place of."""


class Figure(msgspec.Struct, frozen=True):
    """A picture in ``assets/``.

    Attributes:
        src: path relative to the page.
        width: in pixels as stored.
        height: in pixels as stored.
        alt: what the picture says, for those who do not see it.
        pixelated: whether its pixels are data and must not be smoothed.
    """

    src: AssetPath
    width: int
    height: int
    alt: str
    pixelated: bool = False

    @property
    def left_out(self) -> bool:
        """Whether a grey picture stands there, since images were to stay out of the report."""
        return self.alt.startswith(LEFT_OUT)


class Histogram(msgspec.Struct, frozen=True):
    """Counts on the fixed logarithmic bins: 8 an octave, both signs, from 2^-20 to 2^12, and exact zero.

    Bin 0 to 255 are negative values from the largest magnitude down, 256 is exact zero, 257 to 512
    are positive values upwards. Magnitudes outside the range are counted in the end bins.

    Attributes:
        first: index of the first stored bin.
        counts: counts from there on, without leading or trailing zeros; empty for no values.
        below: values counted in the two innermost bins although they are nearer to zero than 2^-20.
        beyond: values counted in the two outermost bins although their magnitude exceeds 2^12.
    """

    first: int = 0
    counts: tuple[int, ...] = ()
    below: int = 0
    beyond: int = 0


class ProbeLabel(msgspec.Struct, frozen=True):
    """The true label of a probe.

    Attributes:
        text: as given.
        index: of the class it names; None where the classes do not know it.
        name: of that class.
    """

    text: str
    index: int | None = None
    name: str | None = None
