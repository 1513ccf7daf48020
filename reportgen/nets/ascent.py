"""Gradient ascent on the input: pictures that a unit answers to most.

Lucid's recipe (Olah et al. 2017, Feature Visualization): the picture is held as a spectrum with decorrelated
colours, is moved, scaled and turned a little at every step, and climbs by Adam. MACO (Fel et al. 2023) keeps
the magnitudes of the spectrum and moves the phases only. The network is cut behind the unit, so that what
comes after never runs; all steps are one loop in one graph, traced once for all units of a tensor.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.errors import NotApplicable
from reportgen.nets.cut_network import Cut, Scorer
from reportgen.nets.parametrisation import Frame
from reportgen.nets.picture_optimiser import Climber

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.nets.tracing import Traced
    from reportgen.network.protocol import Range, Recipe, Summit


class KerasAscent:
    """The network up to one tensor, for pictures of one size.

    Args:
        traced: the forward pass for blocks of as many pictures as go through at once.
        target: id of a call, or ``output:NAME``.
        image: name of the input that is optimised.
        held: the other inputs, without the batch dimension.
        fed: how pixel values become inputs.
        device: ``cpu`` or ``gpu``.
        size: of the input: height, width and, where it has them, channels.
        canvas: side of a smaller canvas where the cut network takes it.

    Raises:
        NotApplicable: it cannot be cut there.
    """

    def __init__(
        self,
        traced: Traced,
        target: str,
        image: str,
        held: Mapping[str, NDArray[Any]],
        fed: Range,
        device: str,
        size: Sequence[int],
        canvas: int | None,
    ) -> None:
        tensor = _tensor(traced, target)
        if tensor.shape[0] != traced.inputs[image].shape[0]:
            raise NotApplicable(
                f"{target} folds places into the batch, so its rows are no pictures."
            )
        self._device = device
        self._cut = Cut(traced, image, tensor, held, fed.matrix, fed.offset)
        self._whole = Frame(size[0], size[1], size[2] if len(size) > 2 else 1)
        self._frame = self._whole
        self._scorers: dict[Frame, Scorer] = {}
        self._seen: tuple[int, int] | None = None
        self._climbers: dict[tuple[str, Recipe], Climber] = {}
        if canvas and min(self._whole.height, self._whole.width) > canvas:
            smaller = Frame(canvas, canvas, self._whole.channels)
            with contextlib.suppress(NotApplicable):
                self._scorer(smaller)
                self._frame = smaller
        self._scorer(self._frame)

    def _scorer(self, frame: Frame) -> Scorer:
        if frame not in self._scorers:
            self._scorers[frame] = Scorer(self._cut, frame, self._device)
        return self._scorers[frame]

    @property
    def frame(self) -> tuple[int, int, int]:
        """Height, width and channels of the canvas."""
        return self._frame

    @property
    def channels(self) -> int:
        """How many channels the tensor has."""
        return self._cut.channels

    def answers(
        self, pictures: NDArray[Any], seed: int | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the tensor in front of its ReLU and behind it for (n, H, W, C) pictures in 0..1.

        Args:
            pictures: of the canvas's size, or of the input's.
            seed: moves, scales and turns them a little; None leaves them as they are.
        """
        frame = Frame(*(int(n) for n in pictures.shape[1:4]))
        return self._scorer(frame).answers(pictures, seed)

    def field(self) -> tuple[int, int]:
        """Return height and width of what the central place sees, in pixels; at most the input's size."""
        if self._seen is None:
            self._seen = self._scorer(self._frame).field(0)
        seen, frame, whole = self._seen, self._frame, self._whole
        full = seen[0] >= frame.height or seen[1] >= frame.width
        return (whole.height, whole.width) if full else seen

    def climb(
        self,
        kind: str,
        goals: NDArray[Any],
        seeds: Sequence[int],
        recipe: Recipe,
        advance: Callable[[int], None],
    ) -> list[Summit]:
        """Optimise one picture a goal, as many as go through at once; fewer are filled up.

        Raises:
            NotApplicable: the network has no gradient there.
        """
        missing = self._cut.count - len(goals)
        filled = np.concatenate([goals, np.repeat(goals[-1:], missing, axis=0)])
        begun = [*seeds, *([seeds[-1]] * missing)]
        key = (kind, recipe)
        if key not in self._climbers:
            self._climbers[key] = Climber(
                self._cut, self._frame, kind, recipe, self._device, filled.shape
            )
        return self._climbers[key].climb(filled, begun, advance)[: len(goals)]


def _tensor(traced: Traced, target: str) -> Any:
    if target.startswith("output:"):
        return traced.ends[target.removeprefix("output:")]
    found = next((call for call in traced.recorded if call.id == target and call.outputs), None)
    if found is None or not found.outputs[0].dtype.is_floating:
        raise NotApplicable(f"{target} has no floating-point output.")
    return found.outputs[0]
