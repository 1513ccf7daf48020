"""What flows into the first BatchNormalization, measured without running what comes behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.errors import ModelError, RunError
from reportgen.nets.engine import on_device, without_graph_optimizer
from reportgen.nets.failures import cause
from reportgen.nets.recording import Recorder, recorded_by
from reportgen.nets.structure import to_numpy
from reportgen.network.protocol import NormalizationInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from reportgen.nets.traceable import TraceableModel


_LEAST_OF_START = 0.1
_ROUNDED = 0.99


MEASURED = 8
"""Images over which is measured what flows into a layer, where the memory suffices for a block."""


class FirstNormalization:
    """The network up to its first BatchNormalization.

    Args:
        model: whose.
        path: of the layer.
    """

    def __init__(self, model: TraceableModel, path: str) -> None:
        self._model, self._path = model, path
        self._layer = next(node.operation for node in model.nodes if node.path == path)
        self._settled = _settled(model, self._layer)
        self._functions: dict[int, Any] = {}

    def measure(self, inputs: Mapping[str, NDArray[Any]], size: int) -> NormalizationInput:
        """Measure what flows into the layer over the images of one block.

        Args:
            inputs: by name, each (n, …).
            size: images in a block; of more, the first are measured.
        """
        import tensorflow as tf

        tensors, layer = self._model.tensors(inputs, size), self._layer
        if size not in self._functions:
            self._functions[size] = self._trace(size)
        with on_device(self._model.device), without_graph_optimizer():
            count = min(size, *(len(array) for array in inputs.values()))
            try:
                mean, variance = self._functions[size](tensors, tf.constant(count))
            except tf.errors.OpError as error:
                raise RunError(f"Running the network failed: {cause(error)}.") from error
        return NormalizationInput(
            self._path,
            np.asarray(mean, np.float64),
            np.asarray(variance, np.float64),
            to_numpy(layer.moving_mean).astype(np.float64),
            to_numpy(layer.moving_variance).astype(np.float64),
            self._settled,
        )

    def _trace(self, size: int) -> Any:
        """Trace the network up to the layer and reduce the tensor in front of it to channel moments."""
        import tensorflow as tf

        layer = self._layer

        def stop(call: Any) -> None:
            if call.operation is layer:
                raise _Reached(call.inputs[0])

        def run(inputs: dict[str, Any], count: Any) -> tuple[Any, Any]:
            recorder = Recorder(self._model.paths, before=stop)
            recorder.start(inputs, tf.compat.v1.get_default_graph())
            try:
                with recorded_by(recorder):
                    self._model.call(inputs)
            except _Reached as reached:
                tensor = tf.cast(reached.tensor, tf.float32)[:count]
                rank = tensor.shape.rank
                axis = layer.axis % rank
                mean, variance = tf.nn.moments(tensor, [i for i in range(rank) if i != axis])
                return mean, variance
            raise ModelError("The first BatchNormalization is not reached.")

        with on_device(self._model.device):
            function = tf.function(run, autograph=False)
            return function.get_concrete_function(
                self._model.signature(size), tf.TensorSpec((), tf.int32)
            )


def _settled(model: TraceableModel, layer: Any) -> bool:
    """Tell whether a moving average has left the 0 and 1 that it starts from.

    After n steps 1 - mⁿ of it is the data, with m the momentum (Ioffe and Szegedy, 2015). Where the optimizer
    says n, nine tenths must be; unless a variance is smaller than mⁿ, which no n steps from 1 reach. Where none
    does, variances of all layers that are within a factor of two of 1 say that few steps were made.
    """
    steps = getattr(getattr(model.model, "optimizer", None), "iterations", None)
    own = to_numpy(layer.moving_variance).astype(np.float64)
    if steps is not None:
        start = float(layer.momentum) ** int(steps)
        return start <= _LEAST_OF_START or bool(own.min() < _ROUNDED * start)
    variances = np.concatenate([
        to_numpy(node.operation.moving_variance).reshape(-1).astype(np.float64)
        for node in model.nodes
        if type(node.operation) is type(layer)
    ])  # fmt: skip
    return bool(((variances < 0.5) | (variances > 2)).any())


class _Reached(BaseException):
    """Cuts a trace short; no Exception, so that Keras does not wrap it."""

    def __init__(self, tensor: Any) -> None:
        super().__init__()
        self.tensor = tensor
