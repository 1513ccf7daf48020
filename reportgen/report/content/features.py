"""What units look for: pictures that they answer to most, beside the probes that drive them most."""

from __future__ import annotations

from typing import Literal

import msgspec

from reportgen.network.facts import UnitKind
from reportgen.report.leaves import Figure

UnitVerdict = Literal[
    "beats every probe", "does not beat the probes", "beats noise", "no better than noise", "dead"
]


class ProbeCrop(msgspec.Struct, frozen=True):
    """What the unit sees of a probe where it answers most.

    Attributes:
        value: its answer there; None where that is NaN or infinite.
    """

    probe: int
    name: str
    value: float | None
    figure: Figure


class UnitFeature(msgspec.Struct, frozen=True):
    """One unit.

    Attributes:
        id: ``CALL:INDEX`` or ``class:NAME``; unique on the page.
        call: the call, or the output, that it is a unit of.
        layer: path of the layer.
        index: None for a direction or a caricature.
        canvas: height and width of the picture in pixels.
        images: the optimised pictures; several with ``--diversity``.
        achieved: what the stored pictures reach, each the mean over four fresh small movements.
        strongest: the largest value that a probe reaches; None without probes.
        strongest_probe: its name.
        noise: the largest value of four pictures of noise, moved likewise.
        curve: the value while climbing, at most 32 steps, of the first picture.
        sees: height and width of what one place of the layer sees, in pixels of the input.
    """

    id: str
    kind: UnitKind
    call: str
    layer: str
    index: int | None
    name: str
    canvas: tuple[int, int]
    images: tuple[Figure, ...]
    achieved: tuple[float | None, ...]
    strongest: float | None
    strongest_probe: str
    noise: float | None
    verdict: UnitVerdict
    curve: tuple[float | None, ...]
    crops: tuple[ProbeCrop, ...]
    sees: tuple[int, int] | None = None


class FeaturesContent(msgspec.Struct, frozen=True, tag="features"):
    """Feature visualization of chosen units.

    Attributes:
        method: ``fourier`` or ``maco``.
        input: in which units the pictures were optimised, and how these were found.
        held: what the other inputs were held at; empty where there is one.
        left_out: units that ``--budget`` left no time for.
    """

    units: tuple[UnitFeature, ...]
    method: str
    steps: int
    seed: int
    diversity: int
    input: str
    held: str = ""
    left_out: tuple[str, ...] = ()
