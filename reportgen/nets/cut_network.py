"""The graph up to one tensor, cut out of the traced forward pass, and what it answers to pictures."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.errors import NotApplicable
from reportgen.nets.engine import on_device, tracing, without_graph_optimizer
from reportgen.nets.relu_gradients import before_relu, redirect_gradients
from reportgen.nets.tensorflow_internals import captured_here, cut_out, run_flat
from reportgen.nets.transforms import transform_randomly

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from reportgen.nets.parametrisation import Canvas
    from reportgen.nets.tracing import Traced
    from reportgen.network.protocol import InputScaling


class CutNetwork:
    """The network up to one tensor, on a canvas of any size that it takes.

    Args:
        traced: the forward pass for blocks of as many pictures as go through at once.
        image: name of the input that is optimised.
        tensor: what units are taken of.
        held: the other inputs by name, without the batch dimension.
        scaling: how pixel values become inputs.
    """

    def __init__(
        self,
        traced: Traced,
        image: str,
        tensor: Any,
        held: Mapping[str, NDArray[Any]],
        scaling: InputScaling,
    ) -> None:
        pruned = cut_out(traced.function, [*traced.inputs.values()], [before_relu(tensor), tensor])
        self.channels = int(tensor.shape[-1])
        self._pruned = pruned
        self._definition = pruned.graph.as_graph_def()
        redirect_gradients(self._definition, pruned.outputs[0].op.name)
        self._names = [t.name for t in pruned.graph.inputs]
        self._outputs = [t.name for t in pruned.outputs]
        self._captured = list(pruned.captured_inputs)
        self._fed = {name: self._names[k] for k, name in enumerate(traced.inputs)}
        self._image, self._held = image, dict(held)
        self._spec = traced.inputs[image]
        self._count = int(self._spec.shape[0])
        self._matrix = scaling.matrix.astype(np.float32)
        self._offset = scaling.offset.astype(np.float32)

    @property
    def count(self) -> int:
        """How many pictures go through at once."""
        return self._count

    def answers(self, pictures: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return what ``apply`` does for (count, H, W, C) of the input's size; nothing is traced for it."""
        import tensorflow as tf

        fed = pictures.astype(np.float32) @ self._matrix + self._offset
        inputs = {
            name: np.repeat(held[None], self._count, axis=0) for name, held in self._held.items()
        }
        inputs[self._image] = fed[..., 0] if self._spec.shape.rank == 3 else fed
        specs = zip(self._fed, self._pruned.inputs, strict=False)
        tensors = [tf.constant(inputs[name], spec.dtype) for name, spec in specs]
        before, behind = run_flat(self._pruned, tensors)
        return np.asarray(before, np.float32), np.asarray(behind, np.float32)

    def apply(self, pictures: Any) -> tuple[Any, Any]:
        """Return the tensor in front of its ReLU and behind it, float32, for (n, H, W, C) in 0..1.

        Raises:
            ValueError: the network does not take pictures of this size.
        """
        import tensorflow as tf

        fed = tf.einsum("nhwc,cd->nhwd", pictures, tf.constant(self._matrix)) + self._offset
        if self._spec.shape.rank == 3:
            fed = fed[..., 0]
        given = {self._fed[self._image]: tf.cast(fed, self._spec.dtype)}
        for name, array in self._held.items():
            tiled = np.repeat(array[None], self._count, axis=0)
            given[self._fed[name]] = tf.constant(tiled)
        waiting = self._names[len(self._fed) :]
        for name, tensor in zip(waiting, self._captured, strict=True):
            given[name] = captured_here(tensor)
        before, behind = tf.graph_util.import_graph_def(
            self._definition, input_map=given, return_elements=self._outputs, name="cut"
        )
        if before.shape.rank is None or before.shape[0] != self._count:
            raise ValueError("The batch is not kept.")
        return tf.cast(before, tf.float32), tf.cast(behind, tf.float32)


class PictureRunner:
    """Runs pictures through the cut network: what a unit answers, where, and how far it sees.

    Args:
        cut: the network up to the tensor.
        canvas: of the pictures.
        device: ``cpu`` or ``gpu``.
        whole: whether they are of the input's size, which the network takes as it is.

    Raises:
        NotApplicable: the network does not take such pictures.
    """

    def __init__(self, cut: CutNetwork, canvas: Canvas, device: str, *, whole: bool) -> None:
        self._cut, self._canvas, self._device = cut, canvas, device
        self._shape = (cut.count, canvas.height, canvas.width, canvas.channels)
        self._whole = whole
        self._traced: Any = None
        if not whole:
            self._trace()

    def _trace(self) -> Any:
        """Trace what the cut network answers to transformed pictures, once; see ``CutNetwork.apply``.

        Raises:
            NotApplicable: the network does not take such pictures.
        """
        import tensorflow as tf

        def run(pictures: Any, seed: Any, strength: Any) -> Any:
            return self._cut.apply(transform_randomly(pictures, seed, self._canvas, strength))

        pictures = tf.TensorSpec(self._shape, tf.float32)
        seed, strength = tf.TensorSpec((2,), tf.int32), tf.TensorSpec((), tf.float32)
        try:
            with tracing, on_device(self._device):
                if self._traced is None:
                    function = tf.function(run, autograph=False)
                    self._traced = function.get_concrete_function(pictures, seed, strength)
                return self._traced
        except (ValueError, TypeError, LookupError, tf.errors.OpError) as error:
            text = str(error).strip().partition("\n")[0][:200]
            raise NotApplicable(f"Pictures of this size cannot be fed: {text}") from error

    def answers(
        self, pictures: NDArray[Any], seed: int | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the tensor in front of its ReLU and behind it for (n, H, W, C) pictures in 0..1.

        Args:
            pictures: any number.
            seed: of the transforms; None leaves them where they are.
        """
        import tensorflow as tf

        size = self._cut.count
        found: list[tuple[Any, Any]] = []
        for first in range(0, len(pictures), size):
            block = pictures[first : first + size]
            padded = np.concatenate([block, np.repeat(block[-1:], size - len(block), axis=0)])
            with on_device(self._device), without_graph_optimizer():
                if self._whole and seed is None:
                    before, behind = self._cut.answers(padded)
                else:
                    before, behind = map(np.asarray, self._trace()(
                        tf.constant(padded, tf.float32), tf.constant([seed or 0, first], tf.int32),
                        tf.constant(0.0 if seed is None else 1.0),
                    ))  # fmt: skip
            found.append((before[: len(block)], behind[: len(block)]))
        return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])

    def receptive_field(self, seed: int) -> tuple[int, int]:
        """Return height and width of what the central place sees, in pixels: where other noise moves it.

        From each side noise is exchanged up to a line; the first line that moves the place is found by
        bisection. A gradient shows the same, and would have to be traced. What has no places sees all.
        """
        whole = self._shape[1], self._shape[2]
        noise, other = np.random.default_rng(seed).uniform(0, 1, (2, *self._shape[1:]))
        still = self._middle(noise)

        def moves(axis: int, first: int, last: int) -> bool:
            changed, lines = noise.copy(), (slice(None),) * axis + (slice(first, last),)
            changed[lines] = other[lines]
            return not np.array_equal(self._middle(changed), still)

        def seen(axis: int) -> int:
            size = whole[axis]
            if not moves(axis, 0, size):
                return size
            before = bisect_left(range(size), 1, key=lambda k: int(moves(axis, 0, k + 1)))
            behind = bisect_left(range(size), 1, key=lambda k: int(moves(axis, size - 1 - k, size)))
            return size - before - behind

        return seen(0), seen(1)

    def _middle(self, picture: NDArray[Any]) -> NDArray[Any]:
        """Return what the central place answers to an (H, W, C) picture: (C,); nothing without places."""
        middle: NDArray[Any] = self.answers(picture[None])[0][0]
        if middle.ndim < 2:
            return middle[:0]
        for size in middle.shape[:-1]:
            middle = middle[size // 2]
        return middle
