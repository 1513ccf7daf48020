"""A Keras model behind the Network protocol."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.errors import ModelError
from reportgen.nets import structure
from reportgen.nets.engine import on_device
from reportgen.nets.heads import operation_activation, output_facts
from reportgen.nets.recording import Recorder, recorded_by
from reportgen.network import (
    Batch,
    NetworkFacts,
    NormalizationInput,
    OutputFacts,
    TensorFacts,
    peak_bytes,
)
from reportgen.settings import BLOCK, DEFAULT_INPUT_SIZE, MAX_ACTIVATION_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from reportgen.network import (
        CallFacts,
        VariableFacts,
    )


class KerasNetwork:
    """A model that answers in NumPy.

    The forward pass is traced once, while the calls of its layers are recorded, in blocks of a
    fixed size:
    the last block is padded, so that nothing is traced again.

    Args:
        model: a built or buildable ``keras.Model``; it is run in inference mode and never changed.
        compiled: the compile configuration of its file, where it is not compiled itself.
        input_size: height and width for inputs that leave them open.
        example: shapes by input name without the batch dimension, for models without defined
            inputs.
        images: how many images will be run; a block is not larger.
        device: ``cpu`` or ``gpu``.

    Raises:
        ModelError: the model has no defined inputs and nothing says what they are.
    """

    def __init__(
        self,
        model: Any,
        *,
        compiled: Mapping[str, Any] | None = None,
        input_size: tuple[int, int] | None = None,
        example: tuple[int, ...] | None = None,
        images: int = BLOCK,
        device: str = "cpu",
    ) -> None:
        self._model = model
        self._device = device
        self._specs = _input_specs(model, example)
        self._sizes = {
            name: _closed_shape(shape, input_size or DEFAULT_INPUT_SIZE)
            for name, (shape, _) in self._specs.items()
        }
        self._block = self._fixed_batch() or max(1, min(BLOCK, images))
        self._call_model_once()
        self._nodes = structure.walk(model)
        self._paths = {id(node.operation): node.path for node in self._nodes}
        self._paths[id(model)] = ""
        self._forward: Any = None
        self._front: Any = None
        self._trace_error: Exception | None = None
        self._output_names: tuple[str, ...] = ()
        calls, outputs = self._trace()
        if (smaller := self._bounded_block(calls)) < self._block:
            self._block = smaller
            calls, outputs = self._trace()
        self.facts = self._facts(calls, outputs, dict(compiled or {}))

    # -- what it is ------------------------------------------------------------------------------

    def _fixed_batch(self) -> int | None:
        sizes = {shape[0] for shape, _ in self._specs.values() if shape and shape[0]}
        return int(next(iter(sizes))) if sizes else None

    def input_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape that input ``name`` is run with, without the batch dimension."""
        return self._sizes[name]

    @property
    def open_inputs(self) -> tuple[str, ...]:
        """The inputs whose size the model leaves open."""
        return tuple(
            name for name, (shape, _) in self._specs.items() if any(n is None for n in shape[1:])
        )

    def _bounded_block(self, calls: tuple[CallFacts, ...]) -> int:
        """Return how many images keep the activations in flight within the limit."""
        if self._fixed_batch():
            return self._block
        largest = max(peak_bytes(calls, self._sizes), 1)
        return max(1, min(self._block, MAX_ACTIVATION_BYTES // largest))

    def _facts(
        self,
        calls: tuple[CallFacts, ...],
        outputs: tuple[OutputFacts, ...],
        compiled: dict[str, Any],
    ) -> NetworkFacts:
        parameters, trainable = structure.count_parameters(self._model)
        policy = getattr(self._model, "dtype_policy", None)
        return NetworkFacts(
            name=self._model.name,
            class_name=type(self._model).__name__,
            inputs=tuple(
                TensorFacts(name, shape, dtype) for name, (shape, dtype) in self._specs.items()
            ),
            outputs=output_facts(outputs, calls, self._nodes, self._model, compiled),
            layers=structure.layer_facts(self._nodes),
            calls=calls,
            parameters=parameters,
            trainable_parameters=trainable,
            weight_bytes=structure.weight_bytes(self._model),
            dtype_policy=str(getattr(policy, "name", "float32")),
            optimizer=_optimizer_name(self._model, compiled),
            learning_rate=_learning_rate(self._model, compiled),
            loss=_loss_name(self._model, compiled),
            raw_input=_raw_input(calls),
            trace_problem=_said(self._trace_error) if self._trace_error else None,
            versions=_versions(),
        )

    def variables(self) -> Iterator[tuple[VariableFacts, NDArray[Any]]]:
        """Yield every variable once, in the order of the layers; one array in memory at a time."""
        yield from structure.variables(self._model, self._nodes)

    # -- running it ------------------------------------------------------------------------------

    def _pack(self, tensors: Mapping[str, Any]) -> Any:
        """Arrange input tensors as the model's call takes them."""
        import keras

        values = list(tensors.values())
        arranged = getattr(self._model, "_inputs_struct", None)
        if arranged is not None:
            return keras.tree.pack_sequence_as(arranged, values)
        return values[0] if len(values) == 1 else dict(tensors)

    def _call_model_once(self) -> None:
        """Build what is not built, so that nothing is created while tracing."""
        import tensorflow as tf

        if self._model.built and getattr(self._model, "_inputs_struct", None) is not None:
            return
        zeros = {
            name: tf.zeros((self._block, *self._sizes[name]), dtype)
            for name, (_, dtype) in self._specs.items()
        }
        try:
            with on_device(self._device):
                self._model(self._pack(zeros), training=False)
        except Exception as error:
            if not self._model.built:
                raise ModelError(
                    f"The model {self._model.name!r} is not built and cannot be called on an "
                    "input of shape "
                    f"{next(iter(self._sizes.values()))}: {_said(error)}. Call it once on your "
                    "data, or give "
                    "--input-size HxW."
                ) from error

    def _signature(self) -> dict[str, Any]:
        import tensorflow as tf

        return {
            name: tf.TensorSpec((self._block, *self._sizes[name]), dtype, name=f"probe_{index}")
            for index, (name, (_, dtype)) in enumerate(self._specs.items())
        }

    def _trace(self) -> tuple[tuple[CallFacts, ...], tuple[OutputFacts, ...]]:
        import tensorflow as tf

        recorder = Recorder(self._paths)
        outputs: list[OutputFacts] = []

        def run(inputs: dict[str, Any]) -> dict[str, Any]:
            outputs.clear()
            recorder.start(inputs, tf.compat.v1.get_default_graph())
            with recorded_by(recorder):
                result = self._model(self._pack(inputs), training=False)
            named = _named_outputs(self._model, result)
            for name, tensor in named.items():
                source = recorder.sources(tensor)[:1]
                outputs.append(
                    OutputFacts(
                        name,
                        (None, *(int(n or 0) for n in tensor.shape[1:])),
                        tensor.dtype.name,
                        layer=source[0] if source and not source[0].startswith("input:") else None,
                        activation=operation_activation(tensor),
                    )
                )
            return {name: _readable(tensor) for name, tensor in named.items()}

        try:
            with on_device(self._device):
                function = tf.function(run, autograph=False)
                self._forward = function.get_concrete_function(self._signature())
        except Exception as error:  # noqa: BLE001 - the weights can be reported all the same
            self._trace_error = error
            return (), _declared_outputs(self._model)
        calls = recorder.facts()
        calls = tuple(call for call in calls if call.layer)  # without the model's own call
        return tuple(_without_root(call) for call in calls), tuple(outputs)

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[Batch]:
        """Run the network over ``inputs`` (by name, each (n, …)) in blocks, in inference mode.

        Raises:
            ModelError: the forward pass cannot be traced or run.
        """
        if self._forward is None:
            raise ModelError(
                f"The model cannot be run: {_said(self._trace_error)}"
            ) from self._trace_error
        count = min(len(array) for array in inputs.values())
        for first in range(0, count, self._block):
            block = {name: array[first : first + self._block] for name, array in inputs.items()}
            size = min(self._block, count - first)
            result = self._run_block(block)
            yield Batch(first, block, {name: value[:size] for name, value in result.items()})

    def _run_block(self, block: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        import tensorflow as tf

        try:
            with on_device(self._device):
                tensors = {
                    name: tf.constant(_padded(block[name], self._block), dtype)
                    for name, (_, dtype) in self._specs.items()
                }
                result = self._forward(tensors)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise ModelError(f"Running the model failed: {_said(error)}") from error
        return {name: np.asarray(value) for name, value in result.items()}

    def normalization_input(self, inputs: Mapping[str, NDArray[Any]]) -> NormalizationInput | None:
        """Measure what flows into the first BatchNormalization, running nothing behind it.

        Args:
            inputs: by name, each (n, …); all of one block at most.
        """
        import tensorflow as tf

        first = next((c for c in self.facts.calls if c.class_name == "BatchNormalization"), None)
        if first is None:
            return None
        layer = next(node.operation for node in self._nodes if node.path == first.layer)
        tensors = {
            name: tf.constant(_padded(inputs[name], self._block), dtype)
            for name, (_, dtype) in self._specs.items()
        }
        if self._front is None:
            self._front = self._trace_front(layer)
        with on_device(self._device):
            count = min(self._block, *(len(array) for array in inputs.values()))
            mean, variance = self._front(tensors, tf.constant(count))
        return NormalizationInput(
            first.layer,
            np.asarray(mean, np.float64),
            np.asarray(variance, np.float64),
            structure.to_numpy(layer.moving_mean).astype(np.float64),
            structure.to_numpy(layer.moving_variance).astype(np.float64),
        )

    def _trace_front(self, layer: Any) -> Any:
        """Trace the network up to ``layer`` and reduce the tensor in front of it to channel moments."""
        import tensorflow as tf

        def stop(call: Any) -> None:
            if call.operation is layer:
                raise _Reached(call.inputs[0])

        def run(inputs: dict[str, Any], count: Any) -> tuple[Any, Any]:
            recorder = Recorder(self._paths, before=stop)
            recorder.start(inputs, tf.compat.v1.get_default_graph())
            try:
                with recorded_by(recorder):
                    self._model(self._pack(inputs), training=False)
            except _Reached as reached:
                tensor = tf.cast(reached.tensor, tf.float32)[:count]
                rank = tensor.shape.rank
                axis = layer.axis % rank
                mean, variance = tf.nn.moments(tensor, [i for i in range(rank) if i != axis])
                return mean, variance
            raise ModelError("The first BatchNormalization is not reached.")

        with on_device(self._device):
            function = tf.function(run, autograph=False)
            return function.get_concrete_function(self._signature(), tf.TensorSpec((), tf.int32))


class _Reached(BaseException):
    """Cuts a trace short; no Exception, so that Keras does not wrap it."""

    def __init__(self, tensor: Any) -> None:
        super().__init__()
        self.tensor = tensor


def _said(error: BaseException | None) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


def _padded(array: NDArray[Any], size: int) -> NDArray[Any]:
    if len(array) == size:
        return array
    if len(array) > size:
        return array[:size]
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])


def _readable(tensor: Any) -> Any:
    import tensorflow as tf

    return tf.cast(tensor, tf.float32) if tensor.dtype.is_floating else tensor


def _without_root(call: CallFacts) -> CallFacts:
    import msgspec

    return msgspec.structs.replace(call, parent=call.parent or None)


def _input_specs(
    model: Any, example: tuple[int, ...] | None
) -> dict[str, tuple[tuple[int | None, ...], str]]:
    """Return shape (batch first) and dtype of every input by name."""
    import keras

    try:
        tensors = list(model.inputs or ())
    except (AttributeError, ValueError):
        tensors = []
    if tensors:
        names = list(getattr(model, "input_names", ()) or ())
        if len(names) != len(tensors) or len(set(names)) != len(names):
            names = [f"{tensor.name}" for tensor in tensors]
        return {
            name: (tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))
            for name, tensor in zip(names, tensors, strict=True)
        }
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    stored = next(iter(shapes.values()), None)
    if isinstance(stored, tuple | list) and all(n is None or isinstance(n, int) for n in stored):
        return {"input": ((None, *stored[1:]), "float32")}
    if example is not None:
        return {"input": ((None, *example), "float32")}
    raise ModelError(
        f"The model {model.name!r} ({type(model).__name__}) does not say what it takes. "
        "Call it once on your data before saving it, or give --input-size HxW."
    )


def _closed_shape(shape: tuple[int | None, ...], size: tuple[int, int]) -> tuple[int, ...]:
    """Fill open sizes: height and width from ``size``, anything else with 1 (channels: 3)."""
    rest = list(shape[1:])
    if len(rest) == 3:
        rest = [rest[0] or size[0], rest[1] or size[1], rest[2] or 3]
    return tuple(int(n or size[0]) for n in rest)


def _named_outputs(model: Any, result: Any) -> dict[str, Any]:
    import keras

    if isinstance(result, dict):
        return {str(name): tensor for name, tensor in result.items()}
    tensors = keras.tree.flatten(result)
    names = list(getattr(model, "output_names", ()) or ())
    if len(names) != len(tensors) or len(set(names)) != len(names):
        names = ["output"] if len(tensors) == 1 else [f"output_{i}" for i in range(len(tensors))]
    return dict(zip(names, tensors, strict=True))


def _declared_outputs(model: Any) -> tuple[OutputFacts, ...]:
    try:
        tensors = list(model.outputs or ())
    except (AttributeError, ValueError):
        return ()
    return tuple(
        OutputFacts(getattr(t, "name", f"output_{i}"), tuple(t.shape), str(t.dtype))
        for i, t in enumerate(tensors)
    )


def _raw_input(calls: tuple[CallFacts, ...]) -> str | None:
    """Return the Rescaling or Normalization layer in front of the first weights."""
    for call in calls:
        if not call.leaf:
            continue
        if call.class_name in {"Rescaling", "Normalization"}:
            return call.layer
        if "Conv" in call.class_name or call.class_name in {"Dense", "EinsumDense"}:
            return None
    return None


def _config_name(value: Any) -> str | None:
    """Name an optimizer or loss from a stored configuration."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        inner = value.get("config")
        if value.get("class_name") == "function" and isinstance(inner, str):
            return inner
        if isinstance(value.get("class_name"), str):
            return str(value["class_name"])
        return ", ".join(f"{key}: {_config_name(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(_config_name(item)) for item in value)
    if value is None:
        return None
    return str(
        getattr(value, "__name__", None) or getattr(value, "name", None) or type(value).__name__
    )


def _optimizer_name(model: Any, compiled: dict[str, Any]) -> str | None:
    live = getattr(model, "optimizer", None)
    return type(live).__name__ if live is not None else _config_name(compiled.get("optimizer"))


def _learning_rate(model: Any, compiled: dict[str, Any]) -> float | None:
    live = getattr(model, "optimizer", None)
    value: Any = None
    if live is not None:
        value = np.asarray(live.learning_rate).item()
    elif isinstance(compiled.get("optimizer"), dict):
        inner = compiled["optimizer"].get("config")
        value = inner.get("learning_rate") if isinstance(inner, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _loss_name(model: Any, compiled: dict[str, Any]) -> str | None:
    live = getattr(model, "loss", None)
    return _config_name(live) if live is not None else _config_name(compiled.get("loss"))


def _versions() -> tuple[tuple[str, str], ...]:
    import keras
    import tensorflow as tf

    python = ".".join(str(n) for n in sys.version_info[:3])
    return (("Keras", keras.__version__), ("TensorFlow", tf.__version__), ("Python", python))
