"""A Keras model with all that it takes to trace it for blocks of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.errors import ModelError
from reportgen.nets import structure
from reportgen.nets.axes import as_taken, channels_first_inputs, channels_last, input_kinds
from reportgen.nets.engine import on_device, tracing
from reportgen.nets.failures import cause
from reportgen.nets.signature import input_specs, is_graph, pack
from reportgen.nets.tracing import trace_forward
from reportgen.network.shapes import closed_shapes, image_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from reportgen.nets.tracing import Traced, Watch
    from reportgen.network.shapes import GivenShapes


class TraceableModel:
    """A model that is built, with the shapes that it is run with and the paths of its layers.

    Args:
        model: a built or buildable ``keras.Model``; it is run in inference mode and never changed.
        input_size: height and width for inputs that leave them open.
        given: shapes of the arrays that it will be run on.
        block: images at once, where the model leaves that open.
        device: ``cpu`` or ``gpu``.

    Attributes:
        specs: shape (batch first) and dtype by input name, as the model declares them.
        first: the image inputs whose channels come first.
        shapes: what each input is run with, by name, without the batch dimension and with the channels last.
        fixed_batch: how many images the model insists on; None where it takes any number.
        block: how many images it is built with.
        nodes: its layers and operations.
        kinds: what the inputs of rank 2 are read as, by name.
        paths: structural path by ``id`` of each operation, with an empty one for the model.

    Raises:
        ModelError: the model has no defined inputs and nothing says what they are.
    """

    def __init__(
        self,
        model: Any,
        *,
        input_size: tuple[int, int] | None,
        given: GivenShapes,
        block: int,
        device: str,
    ) -> None:
        self.model = model
        self.device = device
        example = image_shape(given) or ((*input_size, 3) if input_size else None)
        self.specs = input_specs(model, example)
        self.first = channels_first_inputs(model, self.specs, structure.walk(model))
        taken = {
            name: (channels_last(shape) if name in self.first else shape)[1:]
            for name, (shape, _) in self.specs.items()
        }
        self.shapes = closed_shapes(taken, given, input_size)
        sizes = {shape[0] for shape, _ in self.specs.values() if shape and shape[0]}
        self.fixed_batch = int(next(iter(sizes))) if sizes else None
        self.block = self.fixed_batch or block
        self._call_once()
        self.nodes = structure.walk(model)
        structure.check_nothing_is_hidden(model, self.nodes)
        self.kinds = input_kinds(model, self.specs, self.nodes)
        self.paths = {id(node.operation): node.path for node in self.nodes}
        self.paths[id(model)] = ""

    def _call_once(self) -> None:
        """Build what is not built, so that nothing is created while tracing."""
        import tensorflow as tf

        if (built := self.model.built) and is_graph(self.model):
            return
        zeros = {
            name: tf.zeros((self.block, *self.shapes[name]), dtype)
            for name, (_, dtype) in self.specs.items()
        }
        try:
            with on_device(self.device):
                self.call(zeros)
        except Exception as error:
            # Not as it is now: Keras 3.13 builds a Sequential for sizes on which it cannot be called.
            if not built:
                raise ModelError(
                    f"The model {self.model.name!r} is not built and cannot be called on an "
                    "input of shape "
                    f"{next(iter(self.shapes.values()))}: {cause(error)}. Call it once on your "
                    "data, or give "
                    "--input-size HxW."
                ) from error

    def call(self, tensors: Mapping[str, Any]) -> Any:
        """Call the model on input tensors by name, channels last, in inference mode."""
        return self.model(pack(self.model, as_taken(tensors, self.first)), training=False)

    def signature(self, size: int) -> dict[str, Any]:
        """Return tensor specifications by input name for blocks of ``size`` images."""
        import tensorflow as tf

        return {
            name: tf.TensorSpec((size, *self.shapes[name]), dtype, name=f"probe_{index}")
            for index, (name, (_, dtype)) in enumerate(self.specs.items())
        }

    def trace(
        self, size: int, watch: Watch | None, *, exact: bool = False, sampled: bool = False
    ) -> Traced:
        """Trace the forward pass for blocks of ``size`` images; see ``trace_forward``."""
        with tracing, on_device(self.device):
            signature = self.signature(size)
            return trace_forward(self, signature, watch, exact=exact, sampled=sampled)

    def tensors(self, block: Mapping[str, NDArray[Any]], size: int) -> dict[str, Any]:
        """Return a block as tensors, padded to the block's size so that nothing is traced again."""
        import tensorflow as tf

        return {
            name: tf.constant(_padded(block[name], size), dtype)
            for name, (_, dtype) in self.specs.items()
        }


def _padded(array: NDArray[Any], size: int) -> NDArray[Any]:
    if len(array) == size:
        return array
    if len(array) > size:
        return array[:size]
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
