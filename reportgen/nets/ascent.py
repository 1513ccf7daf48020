"""Gradient ascent on the input: pictures that a unit answers to most.

Lucid's recipe (Olah et al. 2017, Feature Visualization): the picture is held as a spectrum with decorrelated
colours, is transformed a little at every step, and is optimised by Adam. MACO (Fel et al. 2023) keeps
the magnitudes of the spectrum and moves the phases only. The network is cut behind the unit, so that what
comes after never runs, and is traced once for all units of a tensor.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.errors import NotApplicable
from reportgen.nets.cut_network import CutNetwork, PictureRunner
from reportgen.nets.engine import tracing
from reportgen.nets.parametrisation import Canvas
from reportgen.nets.picture_optimiser import PictureOptimiser
from reportgen.network.facts import OutputRef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.nets.tracing import Traced
    from reportgen.network.facts import UnitTensor
    from reportgen.network.protocol import InputScaling, OptimisedPicture, Recipe


class KerasAscent:
    """The network up to one tensor, for pictures of one size.

    Args:
        traced: the forward pass for blocks of as many pictures as go through at once.
        target: a call, or an output in front of its softmax.
        image: name of the input that is optimised.
        held: the other inputs, without the batch dimension.
        scaling: how pixel values become inputs.
        device: ``cpu`` or ``gpu``.
        size: of the input: height, width and, where it has them, channels.
        canvas_side: side of a smaller canvas where the cut network takes it.

    Raises:
        NotApplicable: it cannot be cut there.
    """

    def __init__(
        self,
        traced: Traced,
        target: UnitTensor,
        image: str,
        held: Mapping[str, NDArray[Any]],
        scaling: InputScaling,
        device: str,
        size: Sequence[int],
        canvas_side: int | None,
    ) -> None:
        tensor = _target_tensor(traced, target)
        if tensor.shape[0] != traced.inputs[image].shape[0]:
            raise NotApplicable(
                f"{target} folds places into the batch, so its rows are no pictures."
            )
        self._device = device
        with tracing:
            self._cut = CutNetwork(traced, image, tensor, held, scaling)
        self._input_canvas = Canvas(size[0], size[1], size[2] if len(size) > 2 else 1)
        self._canvas = self._input_canvas
        self._runners: dict[Canvas, PictureRunner] = {}
        self._receptive_field: tuple[int, int] | None = None
        self._optimisers: dict[tuple[str, Recipe], PictureOptimiser] = {}
        if canvas_side and min(self._input_canvas.height, self._input_canvas.width) > canvas_side:
            smaller = Canvas(canvas_side, canvas_side, self._input_canvas.channels)
            with contextlib.suppress(NotApplicable):
                self._runner(smaller)
                self._canvas = smaller
        self._runner(self._canvas)

    def _runner(self, canvas: Canvas) -> PictureRunner:
        with tracing:  # of one tensor several units may be asked side by side
            if canvas not in self._runners:
                self._runners[canvas] = PictureRunner(self._cut, canvas, self._device)
            return self._runners[canvas]

    @property
    def canvas(self) -> tuple[int, int, int]:
        """The smaller canvas where the cut network takes it, else the input's."""
        return self._canvas

    @property
    def channels(self) -> int:
        """The size of the tensor's last axis."""
        return self._cut.channels

    def answers(
        self, pictures: NDArray[Any], seed: int | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Run pictures through the cut network, in blocks of as many as it was traced for."""
        canvas = Canvas(*(int(n) for n in pictures.shape[1:4]))
        return self._runner(canvas).answers(pictures, seed)

    def receptive_field(self) -> tuple[int, int]:
        """Follow the gradient on noise; a field that fills the canvas may be as large as the input."""
        if self._receptive_field is None:
            self._receptive_field = self._runner(self._canvas).receptive_field(0)
        seen, canvas, whole = self._receptive_field, self._canvas, self._input_canvas
        full = seen[0] >= canvas.height or seen[1] >= canvas.width
        return (whole.height, whole.width) if full else seen

    def optimise(
        self,
        kind: str,
        goals: NDArray[Any],
        seeds: Sequence[int],
        recipe: Recipe,
        advance: Callable[[int], None],
    ) -> list[OptimisedPicture]:
        """Trace once a kind and recipe, for as many pictures as go through at once; fewer are filled up."""
        missing = self._cut.count - len(goals)
        filled = np.concatenate([goals, np.repeat(goals[-1:], missing, axis=0)])
        filled_seeds = [*seeds, *([seeds[-1]] * missing)]
        key = (kind, recipe)
        with tracing:  # units of one tensor may be optimised side by side
            if key not in self._optimisers:
                self._optimisers[key] = PictureOptimiser(
                    self._cut, self._canvas, kind, recipe, self._device, filled.shape
                )
        return self._optimisers[key].optimise(filled, filled_seeds, advance)[: len(goals)]


def _target_tensor(traced: Traced, target: UnitTensor) -> Any:
    if isinstance(target, OutputRef):
        return traced.pre_activations[target.name]
    found = next((call for call in traced.recorded if call.id == target and call.outputs), None)
    if found is None or not found.outputs[0].dtype.is_floating:
        raise NotApplicable(f"{target} has no floating-point output.")
    return found.outputs[0]
