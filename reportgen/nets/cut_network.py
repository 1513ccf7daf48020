"""The graph up to one tensor, cut out of the traced forward pass, and what it answers to pictures."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.errors import NotApplicable
from reportgen.nets.engine import on_device, tracing, without_graph_optimizer
from reportgen.nets.relu_gradients import before_relu, redirect_gradients
from reportgen.nets.subgraph import Subgraph
from reportgen.nets.tensorflow_internals import captured_here
from reportgen.nets.transforms import traced_transform

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
        before, behind = before_relu(tensor), tensor
        self._part = Subgraph(traced.function, [before, behind])
        folded = traced.kernels.fold(self._part)
        values = traced.kernels.values(feed.recipe for feed in folded)
        self._folded = {feed.name: value for feed, value in zip(folded, values, strict=True)}
        redirect_gradients(self._part.definition, behind.op.name)
        self.channels = int(behind.shape[-1])
        self._inputs, self._image = traced.inputs, image
        self._held = {k: v for k, v in held.items() if self._part.needs(traced.inputs[k].name)}
        self._count = int(traced.inputs[image].shape[0])
        self._matrix = scaling.matrix.astype(np.float32)
        self._offset = scaling.offset.astype(np.float32)

    @property
    def count(self) -> int:
        """How many pictures go through at once."""
        return self._count

    def apply(self, pictures: Any) -> tuple[Any, Any]:
        """Return the tensor in front of its ReLU and behind it, float32, for (n, H, W, C) in 0..1.

        Raises:
            ValueError: the network does not take pictures of this size.
        """
        import tensorflow as tf

        spec = self._inputs[self._image]
        fed = tf.einsum("nhwc,cd->nhwd", pictures, tf.constant(self._matrix)) + self._offset
        if spec.shape.rank == 3:
            fed = fed[..., 0]
        given = {name: captured_here(value) for name, value in self._folded.items()}
        if self._part.needs(
            spec.name
        ):  # what does not look at the image has no gradient there, and is told
            given[spec.name] = tf.cast(fed, spec.dtype)
        for name, array in self._held.items():
            tiled = np.repeat(array[None], self._count, axis=0)
            given[self._inputs[name].name] = tf.constant(tiled)
        before, behind = self._part.put(given)
        if before.shape.rank is None or before.shape[0] != self._count:
            raise ValueError("The batch is not kept.")
        return tf.cast(before, tf.float32), tf.cast(behind, tf.float32)


class PictureRunner:
    """Runs pictures through the cut network: what a unit answers, where, and how far it sees.

    Args:
        cut: the network up to the tensor.
        canvas: of the pictures.
        device: ``cpu`` or ``gpu``.

    Raises:
        NotApplicable: the network does not take such pictures.
    """

    def __init__(self, cut: CutNetwork, canvas: Canvas, device: str) -> None:
        import tensorflow as tf

        self._cut, self._canvas, self._device = cut, canvas, device
        self._shape = (cut.count, canvas.height, canvas.width, canvas.channels)
        try:
            with on_device(device):
                function = tf.function(cut.apply, autograph=False)
                self._run = function.get_concrete_function(tf.TensorSpec(self._shape, tf.float32))
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
                fed = tf.constant(padded, tf.float32)
                if seed is not None:
                    with tracing:
                        transform = traced_transform(self._canvas, self._device)
                    fed = transform(fed, tf.constant([seed, first]))
                before, behind = map(np.asarray, self._run(fed))
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
