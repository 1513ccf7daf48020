"""The forward pass in blocks: of given images with their maps, and of a survey without."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import ModelError, ReportgenError, RunError
from reportgen.nets.axes import takes_channels_first
from reportgen.nets.engine import on_device, without_graph_optimizer
from reportgen.nets.failures import cause
from reportgen.nets.moments import all_finite
from reportgen.nets.tensorflow_internals import cut_out, run_flat
from reportgen.network.channels import Channels
from reportgen.network.facts import peak_bytes
from reportgen.network.protocol import Batch
from reportgen.settings import BLOCK, LARGEST_BLOCK, MAX_ACTIVATION_BYTES, MAX_BLOCK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from reportgen.nets.traceable import TraceableModel
    from reportgen.nets.tracing import Traced, Watch
    from reportgen.network.facts import CallFacts, CallId


class _BlockPass(NamedTuple):
    """A traced pass for blocks of a size.

    Attributes:
        traced: what it is, or what it was cut out of.
        function: from tensors in the order of the inputs.
        size: images in a block.
    """

    traced: Traced
    function: Any
    size: int


def _no_maps(_calls: tuple[CallFacts, ...]) -> tuple[CallId, ...]:
    """Watch no call's maps, only moments."""
    return ()


class ForwardBlocks:
    """The forward pass, traced once and run in blocks of a fixed size.

    The last block is padded, so that nothing is traced again. Another trace is made where the memory does
    not suffice, for smaller blocks, and where values are NaN or infinite, to leave them out of the moments.

    Args:
        model: is traced at once.
        watch: from the recorded calls to those whose maps are wanted; with it, batches carry
            moments and maps.
        unlike: why there is no copy with channels last of a network that takes them first.

    Attributes:
        size: images in a block.
        traced: the pass; None where the model cannot be traced.
        problem: why it cannot be traced, or no image can be run here; None where it can.
    """

    def __init__(self, model: TraceableModel, watch: Watch | None, unlike: str = "") -> None:
        self._model = model
        self._watch = watch
        self._unlike = unlike
        self._surveying: _BlockPass | None = None
        self._channels: tuple[Traced, Mapping[CallId, tuple[int, int, int]]] | None = None
        self.problem: Exception | None = None
        self.size = model.block
        self.traced = self._trace()
        if self.traced and (smaller := self._bounded_size(self.traced)) < self.size:
            self.size = smaller
            self.traced = self._trace()
        recorded = self.traced.recorded if self.traced else ()
        if model.device == "cpu" and takes_channels_first(call.operation for call in recorded):
            self._try()

    def _bounded_size(self, traced: Traced) -> int:
        """Return how many images keep the activations in flight within the limit."""
        if self._model.fixed_batch:
            return self.size
        largest = max(peak_bytes(traced.calls, self._model.shapes, traced.outputs), 1)
        return max(1, min(self.size, MAX_ACTIVATION_BYTES // largest))

    def _trace(self, *, exact: bool = False) -> Traced | None:
        """Trace the forward pass; a model that cannot be traced keeps what it declares."""
        try:
            return self._model.trace(self.size, self._watch, exact=exact)
        except ReportgenError:
            raise
        except Exception as error:  # noqa: BLE001 - the weights can be reported all the same
            self.problem = error
            return None

    def _try(self) -> None:
        """Run zeros through a network that TensorFlow may not be able to run here, and keep what it says."""
        import tensorflow as tf

        zeros = {
            name: np.zeros((1, *shape), self._model.specs[name][1])
            for name, shape in self._model.shapes.items()
        }
        try:
            self._answer(self.traced, zeros)
        except tf.errors.OpError as error:
            unlike = f"; {self._unlike}" if self._unlike else ""
            self.problem = RunError(
                "its layers take their channels first, which TensorFlow computes on a GPU only "
                f"(--device gpu); on this CPU: {cause(error)}{unlike}"
            )

    def _answer(self, traced: Any, inputs: Mapping[str, NDArray[Any]]) -> Any:
        """Run one block of what is no image of the user's."""
        with on_device(self._model.device), without_graph_optimizer():
            return run_flat(traced.function, [*self._model.tensors(inputs, self.size).values()])

    def outputs_of_noise(self) -> dict[str, NDArray[Any]]:
        """Return the outputs for a block of random inputs; nothing where the network cannot be run on them."""
        import tensorflow as tf

        if self.traced is None or self.problem is not None:
            return {}
        rng = np.random.default_rng(0)
        noise = {
            name: rng.normal(size=(self.size, *shape))
            if "float" in self._model.specs[name][1]
            else rng.integers(0, 2, (self.size, *shape))
            for name, shape in self._model.shapes.items()
        }
        try:
            result = self._answer(self.traced, noise)
        except (tf.errors.OpError, ValueError, TypeError):
            return {}
        return {name: np.asarray(value) for name, value in result["outputs"].items()}

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[Batch]:
        """Run the pass with its maps over all inputs; see ``network.protocol.Network.forward``."""
        count = min(len(array) for array in inputs.values())
        first = 0
        while first < count:
            block = {name: array[first : first + self.size] for name, array in inputs.items()}
            batch = self._run_block(first, block, brief=count <= 8 * self.size)
            if batch is not None:
                yield batch
                first += len(next(iter(block.values())))

    @property
    def survey_size(self) -> int:
        """How many images a pass without maps takes: of small networks more, since calls cost too."""
        if self._surveying is not None:
            return self._surveying.size
        if self.traced is None or self._model.fixed_batch or self.size < BLOCK:
            return self.size
        each = max(1, sum(call.bytes for call in self.traced.calls if call.leaf))
        size = self.size
        while 2 * size <= min(LARGEST_BLOCK, MAX_BLOCK_BYTES // each):
            size *= 2
        return size

    def survey(self, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> Iterator[Batch]:
        """Run the pass without maps over blocks that come; see ``network.protocol.Network.survey``."""
        first = 0
        for block in blocks:
            count, begun = len(next(iter(block.values()))), 0
            while begun < count:
                size = self.survey_size
                part = {name: array[begun : begun + size] for name, array in block.items()}
                batch = self._run_block(first + begun, part, brief=False, maps=False)
                if batch is not None:
                    yield batch
                    begun += len(next(iter(part.values())))
            first += count

    def _survey_pass(self, traced: Traced) -> _BlockPass:
        """Return the pass without maps: cut out of the traced one, or traced for larger blocks."""
        if self._surveying is None:
            size = self.survey_size
            if size > self.size:
                traced = self._model.trace(size, _no_maps, exact=traced.exact)
                self._surveying = _BlockPass(traced, traced.function, size)
            else:
                fetches = {
                    name: tensors
                    for name, tensors in traced.function.structured_outputs.items()
                    if name != "maps"
                }
                function = cut_out(traced.function, [*traced.inputs.values()], fetches)
                self._surveying = _BlockPass(traced, function, size)
        return self._surveying

    def _run_block(
        self, first: int, block: Mapping[str, NDArray[Any]], *, brief: bool, maps: bool = True
    ) -> Batch | None:
        """Return the block's batch, or None after a change of the block's size.

        Args:
            first: place of its first image.
            block: arrays by input name.
            brief: whether so few blocks come that optimising the graph costs more than it spares.
            maps: whether the maps are wanted too.
        """
        import tensorflow as tf

        if self.traced is None or self.problem:
            raise RunError.of(cause(self.problem)) from self.problem
        try:
            quick = without_graph_optimizer() if brief else contextlib.nullcontext()
            with on_device(self._model.device), quick:
                block_pass = (
                    _BlockPass(self.traced, self.traced.function, self.size)
                    if maps
                    else self._survey_pass(self.traced)
                )
                result = run_flat(
                    block_pass.function, [*self._model.tensors(block, block_pass.size).values()]
                )
        except tf.errors.ResourceExhaustedError as error:
            if self.size == 1 or self._model.fixed_batch:
                raise ModelError(
                    f"The memory does not suffice for one image: {cause(error)}."
                ) from error
            self.size //= 2
            self._start_again(exact=self.traced.exact)
            return None
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise RunError(f"Running the network failed: {cause(error)}.") from error
        return self._batch(first, block, result, block_pass.traced)

    def _start_again(self, *, exact: bool) -> None:
        """Trace anew, for another block or for exact moments."""
        self.traced = self._trace(exact=exact)
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
