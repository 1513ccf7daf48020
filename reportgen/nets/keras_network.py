"""A Keras model behind the Network protocol."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import ModelError, NotApplicable, ReportgenError
from reportgen.nets import structure
from reportgen.nets.ascent import KerasAscent
from reportgen.nets.engine import on_device, run_flat, without_graph_optimizer
from reportgen.nets.heads import output_facts
from reportgen.nets.moments import all_finite
from reportgen.nets.passes import KerasPasses
from reportgen.nets.recording import Recorder, recorded_by
from reportgen.nets.signature import (
    closed_shape,
    declared_outputs,
    input_specs,
    is_graph,
    pack,
)
from reportgen.nets.tracing import trace_forward
from reportgen.nets.training import learning_rate, loss_name, optimizer_name
from reportgen.network.channels import Channels
from reportgen.network.facts import NetworkFacts, TensorFacts, peak_bytes
from reportgen.network.protocol import Batch, NormalizationInput
from reportgen.settings import (
    BLOCK,
    DEFAULT_INPUT_SIZE,
    LARGEST_BLOCK,
    MAX_ACTIVATION_BYTES,
    MAX_BLOCK_BYTES,
    MAX_GRADIENT_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from reportgen.nets.tracing import Traced, Watch
    from reportgen.network.facts import CallFacts, CallId, VariableFacts
    from reportgen.network.protocol import Aim, Range


def _nobody(_steps: int) -> None:
    """Ignore progress."""


class _Lane(NamedTuple):
    """A traced pass for blocks of a size."""

    traced: Traced
    function: Any
    size: int


def _no_maps(_calls: tuple[CallFacts, ...]) -> tuple[CallId, ...]:
    """Watch no call's maps, only moments."""
    return ()


class KerasNetwork:
    """A model that answers in NumPy.

    The forward pass is traced once, while the calls of its layers are recorded, in blocks of a
    fixed size: the last block is padded, so that nothing is traced again.

    Args:
        model: a built or buildable ``keras.Model``; it is run in inference mode and never changed.
        compiled: the compile configuration of its file, where it is not compiled itself.
        input_size: height and width for inputs that leave them open.
        example: shapes by input name without the batch dimension, for models without defined
            inputs.
        images: how many images will be run; a block is not larger.
        device: ``cpu`` or ``gpu``.
        watch: from the recorded calls to those whose maps are wanted; with it, batches carry
            moments and maps.

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
        watch: Watch | None = None,
    ) -> None:
        self._model = model
        self._device = device
        self._specs = input_specs(model, example)
        self._sizes = {
            name: closed_shape(shape, input_size or DEFAULT_INPUT_SIZE)
            for name, (shape, _) in self._specs.items()
        }
        self._block = self._fixed_batch() or max(1, min(BLOCK, images))
        self._call_model_once()
        self._nodes = structure.walk(model)
        self._paths = {id(node.operation): node.path for node in self._nodes}
        self._paths[id(model)] = ""
        self._front: Any = None
        self._surveying: _Lane | None = None
        self._channels: tuple[Traced, Mapping[CallId, tuple[int, int, int]]] | None = None
        self._climbing: dict[int, Traced] = {}
        self._brief = True
        self._watch = watch
        self._trace_error: Exception | None = None
        self._traced = self._trace()
        if self._traced and (smaller := self._bounded_block(self._traced)) < self._block:
            self._block = smaller
            self._traced = self._trace()
        self.facts = self._facts(dict(compiled or {}))

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

    def _bounded_block(self, traced: Traced) -> int:
        """Return how many images keep the activations in flight within the limit."""
        if self._fixed_batch():
            return self._block
        largest = max(peak_bytes(traced.calls, self._sizes, traced.outputs), 1)
        return max(1, min(self._block, MAX_ACTIVATION_BYTES // largest))

    def _facts(self, compiled: dict[str, Any]) -> NetworkFacts:
        calls = self._traced.calls if self._traced else ()
        outputs = self._traced.outputs if self._traced else declared_outputs(self._model)
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
            optimizer=optimizer_name(self._model, compiled),
            learning_rate=learning_rate(self._model, compiled),
            loss=loss_name(self._model, compiled),
            raw_input=_raw_input(calls),
            trace_problem=_said(self._trace_error) if self._trace_error else None,
            versions=_versions(),
        )

    def variables(self) -> Iterator[tuple[VariableFacts, NDArray[Any]]]:
        """Yield every variable once, in the order of the layers; one array in memory at a time."""
        yield from structure.variables(self._model, self._nodes)

    # -- running it ------------------------------------------------------------------------------

    def _call_model_once(self) -> None:
        """Build what is not built, so that nothing is created while tracing."""
        import tensorflow as tf

        if self._model.built and is_graph(self._model):
            return
        zeros = {
            name: tf.zeros((self._block, *self._sizes[name]), dtype)
            for name, (_, dtype) in self._specs.items()
        }
        try:
            with on_device(self._device):
                self._model(pack(self._model, zeros), training=False)
        except Exception as error:
            if not self._model.built:
                raise ModelError(
                    f"The model {self._model.name!r} is not built and cannot be called on an "
                    "input of shape "
                    f"{next(iter(self._sizes.values()))}: {_said(error)}. Call it once on your "
                    "data, or give "
                    "--input-size HxW."
                ) from error

    def _signature(self, block: int | None = None) -> dict[str, Any]:
        import tensorflow as tf

        size = block or self._block
        return {
            name: tf.TensorSpec((size, *self._sizes[name]), dtype, name=f"probe_{index}")
            for index, (name, (_, dtype)) in enumerate(self._specs.items())
        }

    def _trace(self, *, exact: bool = False) -> Traced | None:
        """Trace the forward pass; a model that cannot be traced keeps what it declares."""
        try:
            with on_device(self._device):
                return trace_forward(
                    self._model, self._paths, self._signature(), self._watch, exact=exact
                )
        except ReportgenError:
            raise
        except Exception as error:  # noqa: BLE001 - the weights can be reported all the same
            self._trace_error = error
            return None

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[Batch]:
        """Run the network over ``inputs`` (by name, each (n, …)) in blocks, in inference mode.

        A block for which the memory does not suffice is halved.

        Raises:
            ModelError: the forward pass cannot be traced or run.
        """
        count = min(len(array) for array in inputs.values())
        self._brief = count <= 8 * self._block
        first = 0
        while first < count:
            block = {name: array[first : first + self._block] for name, array in inputs.items()}
            batch = self._run_block(first, block)
            if batch is not None:
                yield batch
                first += self._block

    @property
    def block(self) -> int:
        """How many images a pass of the survey takes: of small networks more, since calls cost too."""
        if self._surveying is not None:
            return self._surveying.size
        if self._traced is None or self._fixed_batch() or self._block < BLOCK:
            return self._block
        each = max(1, sum(call.bytes for call in self._traced.calls if call.leaf))
        size = self._block
        while 2 * size <= min(LARGEST_BLOCK, MAX_BLOCK_BYTES // each):
            size *= 2
        return size

    def survey(self, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> Iterator[Batch]:
        """Run blocks of at most ``block`` images as they come: outputs and moments, without maps.

        Raises:
            ModelError: the forward pass cannot be traced or run.
        """
        self._brief = False
        first = 0
        for block in blocks:
            count, begun = len(next(iter(block.values()))), 0
            while begun < count:
                size = self.block
                part = {name: array[begun : begun + size] for name, array in block.items()}
                batch = self._run_block(first + begun, part, maps=False)
                if batch is not None:
                    yield batch
                    begun += len(next(iter(part.values())))
            first += count

    def _survey_lane(self, traced: Traced) -> _Lane:
        """Return the pass without maps: cut out of the traced one, or traced for larger blocks."""
        if self._surveying is None:
            size = self.block
            if size > self._block:
                traced = self._trace_for(size, _no_maps, exact=traced.exact)
                self._surveying = _Lane(traced, traced.function, size)
            else:
                fetches = {
                    name: tensors
                    for name, tensors in traced.function.structured_outputs.items()
                    if name != "maps"
                }
                function = traced.function.prune(list(traced.inputs.values()), fetches)
                self._surveying = _Lane(traced, function, size)
        return self._surveying

    def _trace_for(self, size: int, watch: Watch | None, *, exact: bool = False) -> Traced:
        with on_device(self._device):
            return trace_forward(
                self._model, self._paths, self._signature(size), watch, exact=exact
            )

    def _run_block(
        self, first: int, block: Mapping[str, NDArray[Any]], *, maps: bool = True
    ) -> Batch | None:
        """Return the block's batch, or None after a change of the block's size."""
        import tensorflow as tf

        if self._traced is None:
            raise ModelError(
                f"The model cannot be run: {_said(self._trace_error)}"
            ) from self._trace_error
        try:
            quick = without_graph_optimizer() if self._brief else contextlib.nullcontext()
            with on_device(self._device), quick:
                lane = (
                    _Lane(self._traced, self._traced.function, self._block)
                    if maps
                    else self._survey_lane(self._traced)
                )
                result = run_flat(lane.function, [*self._tensors(block, lane.size).values()])
        except tf.errors.ResourceExhaustedError as error:
            if self._block == 1 or self._fixed_batch():
                raise ModelError(
                    f"The memory does not suffice for one image: {_said(error)}"
                ) from error
            self._block //= 2
            self._start_again(exact=self._traced.exact)
            return None
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise ModelError(f"Running the model failed: {_said(error)}") from error
        return self._batch(first, block, result, lane.traced)

    def _start_again(self, *, exact: bool) -> None:
        """Trace anew, for another block or for exact moments."""
        self._traced = self._trace(exact=exact)
        self._surveying = None

    def _batch(
        self,
        first: int,
        block: Mapping[str, NDArray[Any]],
        result: Mapping[str, Any],
        traced: Traced,
    ) -> Batch | None:
        """Read a block's tensors; None where its moments have to be taken again, NaN left out."""
        size = len(next(iter(block.values())))
        outputs = {name: np.asarray(value)[:size] for name, value in result["outputs"].items()}
        logits = {name: np.asarray(value)[:size] for name, value in result["logits"].items()}
        if traced.watched is None:
            return Batch(first, block, outputs, logits)
        columns = [np.asarray(column) for column in result["columns"]]
        if columns and not traced.exact and not all_finite(columns):
            self._start_again(exact=True)
            return None
        maps = {name: np.asarray(value)[:size] for name, value in result.get("maps", {}).items()}
        moments = Channels([column[:size] for column in columns], self._spans(traced))
        return Batch(first, block, outputs, logits, moments, maps)

    def _spans(self, traced: Traced) -> Mapping[CallId, tuple[int, int, int]]:
        """Return where each call's channels stand, and how many values an image each has."""
        if self._channels is None or self._channels[0] is not traced:
            spans = traced.watched.spans if traced.watched else {}
            values = {
                call: (start, end, traced.positions[call]) for call, (start, end) in spans.items()
            }
            self._channels = (traced, values)
        return self._channels[1]

    def passes(self, aim: Aim, advance: Callable[[int], None] = _nobody) -> KerasPasses:
        """Return forward and gradient passes towards ``aim``, cut from the traced forward pass.

        Raises:
            NotApplicable: the forward pass could not be traced.
        """
        if self._traced is None:
            raise NotApplicable(f"The network cannot be run: {_said(self._trace_error)}")
        traced, block = self._traced, self._block
        kept = sum(call.bytes for call in traced.calls if call.leaf)
        if not self._fixed_batch() and (fits := max(1, MAX_GRADIENT_BYTES // max(kept, 1))) < block:
            block, traced = fits, self._trace_for(fits, None)
        return KerasPasses(traced, aim, self._nodes, block, self._device, advance)

    def ascent(
        self,
        target: str,
        image: str,
        held: Mapping[str, NDArray[Any]],
        fed: Range,
        *,
        count: int,
        canvas: int | None = None,
    ) -> KerasAscent:
        """Cut the network behind a call, or in front of an output's softmax (``output:NAME``).

        Args:
            target: id of the call, or the output.
            image: name of the input that is optimised.
            held: the other inputs, without the batch dimension.
            fed: how pixel values become inputs.
            count: pictures at once.
            canvas: side of a smaller canvas where the cut network takes it; None for the input's size.

        Raises:
            NotApplicable: the network cannot be run, or cut there.
        """
        if self._traced is None:
            raise NotApplicable(f"The network cannot be run: {_said(self._trace_error)}")
        count = self._fixed_batch() or count
        if count not in self._climbing:
            self._climbing[count] = self._trace_for(count, None)
        return KerasAscent(
            self._climbing[count],
            target,
            image,
            held,
            fed,
            self._device,
            self._sizes[image],
            canvas,
        )

    def _tensors(self, block: Mapping[str, NDArray[Any]], size: int) -> dict[str, Any]:
        """Return a block as tensors, padded to the block's size so that nothing is traced again."""
        import tensorflow as tf

        return {
            name: tf.constant(_padded(block[name], size), dtype)
            for name, (_, dtype) in self._specs.items()
        }

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
        tensors = self._tensors(inputs, self._block)
        if self._front is None:
            self._front = self._trace_front(layer)
        with on_device(self._device), without_graph_optimizer():
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
                    self._model(pack(self._model, inputs), training=False)
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


def _versions() -> tuple[tuple[str, str], ...]:
    import keras
    import tensorflow as tf

    python = ".".join(str(n) for n in sys.version_info[:3])
    return (("Keras", keras.__version__), ("TensorFlow", tf.__version__), ("Python", python))
