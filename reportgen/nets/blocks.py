"""The forward pass in blocks: of given images with their maps, and of a survey without."""

from __future__ import annotations

import contextlib
from collections import deque
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import ModelError, ReportgenError, RunError
from reportgen.lanes import in_order
from reportgen.nets.axes import takes_channels_first
from reportgen.nets.engine import lanes, on_device, tracing, without_graph_optimizer
from reportgen.nets.failures import cause
from reportgen.nets.moments import all_finite
from reportgen.nets.subgraph import cut_out
from reportgen.nets.tensorflow_internals import run_flat
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


class _Part(NamedTuple):
    """Images that one call of a pass takes.

    Attributes:
        made: the pass.
        first: place of the first image.
        block: arrays by input name.
    """

    made: _BlockPass
    first: int
    block: Mapping[str, NDArray[Any]]


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
        sampled: whether moments come with values of every channel; see ``moments.reduce_calls``.

    Attributes:
        size: images in a block.
        lanes: blocks that run side by side.
        traced: the pass; None where the model cannot be traced.
        problem: why it cannot be traced, or no image can be run here; None where it can.
    """

    def __init__(
        self,
        model: TraceableModel,
        watch: Watch | None,
        unlike: str = "",
        *,
        sampled: bool = False,
    ) -> None:
        self._model = model
        self._watch, self._sampled = watch, sampled
        self._unlike = unlike
        self._surveying: dict[bool, _BlockPass] = {}
        self._exactly = False
        self._channels: tuple[Traced, Mapping[CallId, tuple[int, int, int]]] | None = None
        self.problem: Exception | None = None
        self.size = model.block
        self.traced = self._trace()
        if self.traced and (smaller := self._bounded_size(self.traced)) < self.size:
            self.size = smaller
            self.traced = self._trace()
        self.lanes = self._bounded_lanes(self.traced) if self.traced else 1
        recorded = self.traced.recorded if self.traced else ()
        if model.device == "cpu" and takes_channels_first(call.operation for call in recorded):
            self._try()

    def _bounded_size(self, traced: Traced) -> int:
        """Return how many images keep the activations in flight within the limit."""
        if self._model.fixed_batch:
            return self.size
        return max(1, min(self.size, MAX_ACTIVATION_BYTES // self._peak_bytes(traced)))

    def _bounded_lanes(self, traced: Traced) -> int:
        """Return how many blocks side by side keep within it too."""
        fit = MAX_ACTIVATION_BYTES // (self.size * self._peak_bytes(traced))
        return max(1, min(lanes(self._model.device), fit))

    def _peak_bytes(self, traced: Traced) -> int:
        """Return the most bytes of activations that live at a time, for one image."""
        return max(peak_bytes(traced.calls, self._model.shapes, traced.outputs), 1)

    def _trace(self, *, exact: bool = False) -> Traced | None:
        """Trace the forward pass; a model that cannot be traced keeps what it declares."""
        try:
            return self._model.trace(self.size, self._watch, exact=exact, sampled=self._sampled)
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
            self._answer(self._pass(maps=True), zeros, brief=True)
        except tf.errors.OpError as error:
            unlike = f"; {self._unlike}" if self._unlike else ""
            self.problem = RunError(
                "its layers take their channels first, which TensorFlow computes on a GPU only "
                f"(--device gpu); on this CPU: {cause(error)}{unlike}"
            )

    def _answer(self, made: _BlockPass, block: Mapping[str, NDArray[Any]], *, brief: bool) -> Any:
        """Run a pass on a block's arrays, padded to its size."""
        quick = without_graph_optimizer() if brief else contextlib.nullcontext()
        with on_device(self._model.device), quick:
            return run_flat(made.function, [*self._model.tensors(block, made.size).values()])

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
            result = self._answer(self._pass(maps=True), noise, brief=True)
        except (tf.errors.OpError, ValueError, TypeError):
            return {}
        return {name: np.asarray(value) for name, value in result["outputs"].items()}

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[Batch]:
        """Run the pass with its maps over all inputs; see ``network.protocol.Network.forward``.

        The graph is not optimised for it: it may run beside pictures that are optimised, and the option is the
        process's.
        """
        count = min(len(array) for array in inputs.values())
        same = {name: array[:count] for name, array in inputs.items()}
        return self._stream([same], 0, brief=True, maps=True)

    @property
    def survey_size(self) -> int:
        """How many images a pass without maps takes: of small networks more, since calls cost too."""
        if self._surveying:
            return next(iter(self._surveying.values())).size
        if self.traced is None or self._model.fixed_batch or self.size < BLOCK:
            return self.size
        each = max(1, sum(call.bytes for call in self.traced.calls if call.leaf))
        size = self.size
        while 2 * size <= min(LARGEST_BLOCK, MAX_BLOCK_BYTES // each):
            size *= 2
        return size

    def survey(self, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> Iterator[Batch]:
        """Run the pass without maps over blocks that come; see ``network.protocol.Network.survey``.

        Moments leave out what is not finite from the first block on that has such values, whatever was
        surveyed before: so a shard gives the same bytes after any other ones.
        """
        self._exactly = False
        yield from self._stream(blocks, 0, brief=False, maps=False)

    def _stream(
        self,
        blocks: Iterable[Mapping[str, NDArray[Any]]],
        first: int,
        *,
        brief: bool,
        maps: bool,
    ) -> Iterator[Batch]:
        """Run blocks side by side, each in parts of the pass's size, and yield their batches in order.

        Where a part shows that the pass has to change, it and what ran beside it run again; where
        memory does not suffice side by side, one after the other.

        Args:
            blocks: arrays by input name.
            first: place of the first image.
            brief: whether so few blocks come that optimising the graph costs more than it spares.
            maps: whether the maps are wanted too.
        """

        def work(part: _Part) -> tuple[_Part, Any]:
            return part, self._answered(part, brief=brief)

        parts = self._parts(blocks, first, maps=maps)
        drawn: deque[_Part] = deque()

        def noted(some: Iterable[_Part]) -> Iterator[_Part]:
            for part in some:
                drawn.append(part)
                yield part

        done = False
        while not done:
            held = [*drawn]
            drawn.clear()
            with closing(in_order(work, noted(chain(held, parts)), self.lanes)) as answers:
                for part, answer in answers:
                    if isinstance(answer, Exception) and self.lanes > 1:
                        self.lanes = 1
                        break
                    drawn.popleft()
                    yield from self._batches(part, answer, brief=brief, maps=maps)
                else:
                    done = True

    def _batches(self, part: _Part, answer: Any, *, brief: bool, maps: bool) -> Iterator[Batch]:
        """Yield a part's batch; where the pass has changed, or does now, those that it gives in the new one."""
        batch = None
        if part.made.function is self._pass(maps=maps).function:
            batch = self._batch(part, answer, maps=maps)
        if batch is None:
            yield from self._stream([part.block], part.first, brief=brief, maps=maps)
        else:
            yield batch

    def _parts(
        self, blocks: Iterable[Mapping[str, NDArray[Any]]], first: int, *, maps: bool
    ) -> Iterator[_Part]:
        for block in blocks:
            count, begun = len(next(iter(block.values()))), 0
            while begun < count:
                made = self._pass(maps=maps)
                end = min(begun + made.size, count)
                part = {name: array[begun:end] for name, array in block.items()}
                yield _Part(made, first + begun, part)
                begun = end
            first += count

    def _pass(self, *, maps: bool) -> _BlockPass:
        """Return the pass as it is now.

        Raises:
            RunError: there is none.
        """
        if self.traced is None or self.problem:
            raise RunError.of(cause(self.problem)) from self.problem
        if maps:
            return _BlockPass(self.traced, self.traced.function, self.size)
        with on_device(self._model.device):
            return self._survey_pass(self.traced)

    def _survey_pass(self, traced: Traced) -> _BlockPass:
        """Return the pass without maps: cut out of the traced one, or traced for larger or exact blocks."""
        exact = self._exactly
        if exact not in self._surveying:
            size = self.survey_size
            if size > self.size or exact != traced.exact:
                traced = self._model.trace(size, _no_maps, exact=exact, sampled=self._sampled)
                self._surveying[exact] = _BlockPass(traced, traced.function, size)
            else:
                fetches = {
                    name: tensors
                    for name, tensors in traced.function.structured_outputs.items()
                    if name != "maps"
                }
                with tracing:
                    function = cut_out(traced.function, [*traced.inputs.values()], fetches)
                self._surveying[exact] = _BlockPass(traced, function, size)
        return self._surveying[exact]

    def _answered(self, part: _Part, *, brief: bool) -> Any:
        """Return what the pass gives for a part, or the error where the memory does not suffice."""
        import tensorflow as tf

        try:
            return self._answer(part.made, part.block, brief=brief)
        except tf.errors.ResourceExhaustedError as error:
            return error
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise RunError(f"Running the network failed: {cause(error)}.") from error

    def _start_again(self, *, exact: bool) -> None:
        """Trace anew, for another block or for exact moments."""
        self.traced = self._trace(exact=exact)
        self._surveying = {}

    def _batch(self, part: _Part, answer: Any, *, maps: bool) -> Batch | None:
        """Read a part's tensors; None after a change of the pass: to smaller blocks, or moments without NaN."""
        traced, block = part.made.traced, part.block
        if isinstance(answer, Exception):
            if self.size == 1 or self._model.fixed_batch:
                raise ModelError(
                    f"The memory does not suffice for one image: {cause(answer)}."
                ) from answer
            self.size //= 2
            self._start_again(exact=traced.exact)
            return None
        size = len(next(iter(block.values())))
        outputs = {name: np.asarray(value)[:size] for name, value in answer["outputs"].items()}
        logits = {name: np.asarray(value)[:size] for name, value in answer["logits"].items()}
        if traced.watched is None:
            return Batch(part.first, block, outputs, logits)
        columns = [np.asarray(column) for column in answer["columns"]]
        if columns and not traced.exact and not all_finite(columns):
            if maps:
                self._start_again(exact=True)
            else:
                self._exactly = True
            return None
        grids = {name: np.asarray(value)[:size] for name, value in answer.get("maps", {}).items()}
        samples = np.asarray(answer["samples"])[:size] if "samples" in answer else None
        sampled = traced.watched.samples
        spans = self._spans(traced)
        moments = Channels([column[:size] for column in columns], spans, samples, sampled)
        return Batch(part.first, block, outputs, logits, moments, grids)

    def _spans(self, traced: Traced) -> Mapping[CallId, tuple[int, int, int]]:
        """Return where each call's channels stand, and how many values an image each has."""
        if self._channels is None or self._channels[0] is not traced:
            spans = traced.watched.spans if traced.watched else {}
            values = {
                call: (start, end, traced.positions[call]) for call, (start, end) in spans.items()
            }
            self._channels = (traced, values)
        return self._channels[1]
