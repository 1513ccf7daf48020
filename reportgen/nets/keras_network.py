"""A Keras model behind the Network protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from reportgen.errors import RunError
from reportgen.nets import structure
from reportgen.nets.ascent import KerasAscent
from reportgen.nets.blocks import ForwardBlocks
from reportgen.nets.engine import runs_side_by_side
from reportgen.nets.facts import network_facts
from reportgen.nets.failures import cause
from reportgen.nets.normalization_input import MEASURED, FirstNormalization
from reportgen.nets.passes import KerasPasses
from reportgen.nets.quantized import dequantized
from reportgen.nets.traceable import TraceableModel
from reportgen.settings import BLOCK, GROUP_SIZE, MAX_GRADIENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from reportgen.nets.tracing import Traced, Watch
    from reportgen.network.facts import Origin, UnitTensor, VariableFacts
    from reportgen.network.protocol import Aim, Batch, InputScaling, NormalizationInput
    from reportgen.network.shapes import GivenShapes
    from reportgen.slabs import Slabs


def _ignore_progress(_steps: int) -> None:
    """Ignore progress."""


def _config_of(operation: Any) -> Mapping[str, Any]:
    """Return a layer's configuration; empty of one that has none, as a class of somebody's."""
    try:
        found: Mapping[str, Any] = operation.get_config()
    except Exception:  # noqa: BLE001 - the code is the user's
        return {}
    return found


class KerasNetwork:
    """A model that answers in NumPy.

    The forward pass is traced once, while the calls of its layers are recorded, in blocks of a
    fixed size: the last block is padded, so that nothing is traced again.

    Args:
        model: a built or buildable ``keras.Model``; it is run in inference mode and never changed.
        compiled: the compile configuration of its file, where it is not compiled itself.
        input_size: height and width for inputs that leave them open.
        given: shapes of the arrays that it will be run on, for what the model leaves open.
        images: how many images will be run; a block is not larger.
        device: ``cpu`` or ``gpu``.
        watch: from the recorded calls to those whose maps are wanted; with it, batches carry
            moments and maps.
        sampled: whether moments come with values of every channel, for quantiles.
        origin: the file that it comes from, and the way.
        unlike: why there is no copy with channels last of a model that takes them first.

    Raises:
        ModelError: the model has no defined inputs and nothing says what they are.
    """

    can: frozenset[str] = frozenset({"run", "differentiate"})

    def __init__(
        self,
        model: Any,
        *,
        compiled: Mapping[str, Any] | None = None,
        input_size: tuple[int, int] | None = None,
        given: GivenShapes | None = None,
        images: int = BLOCK,
        device: str = "cpu",
        watch: Watch | None = None,
        sampled: bool = False,
        origin: Origin | None = None,
        unlike: str = "",
    ) -> None:
        self._model = model
        self._traceable = TraceableModel(
            model,
            input_size=input_size,
            given=given or {},
            block=max(1, min(BLOCK, images)),
            device=device,
        )
        self._blocks = ForwardBlocks(self._traceable, watch, unlike, sampled=sampled)
        self._normalization: FirstNormalization | None = None
        self._picture_traces: dict[int, Traced] = {}
        facts = network_facts(self._traceable, self._blocks, dict(compiled or {}))
        self.facts = replace(facts, origin=origin)

    def input_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape that input ``name`` is run with, without the batch dimension."""
        return self._traceable.shapes[name]

    @property
    def open_inputs(self) -> tuple[str, ...]:
        """The inputs whose size the model leaves open."""
        return tuple(
            name
            for name, (shape, _) in self._traceable.specs.items()
            if any(n is None for n in shape[1:])
        )

    def variables(self) -> Iterator[tuple[VariableFacts, NDArray[Any] | Slabs]]:
        """Walk the layers; a variable that several share is yielded at the first of them."""
        operations = {node.path: node.operation for node in self._traceable.nodes}
        yield from dequantized(
            structure.variables(self._model, self._traceable.nodes),
            lambda path: _config_of(operations.get(path)),
        )

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[Batch]:
        """Halve a block for which the memory does not suffice, and go on with the smaller size."""
        return self._blocks.forward(inputs)

    @property
    def lanes(self) -> int:
        """As many as there are cores, where operations do not share them; see ``engine.lanes``."""
        return self._blocks.lanes

    @property
    def pictures_at_once(self) -> int:
        """Several where an operation takes all threads, or a GPU."""
        return 1 if runs_side_by_side(self._traceable.device) else GROUP_SIZE

    @property
    def block(self) -> int:
        """More images than in ``forward`` where the network is small: calls cost too."""
        return self._blocks.survey_size

    def survey(self, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> Iterator[Batch]:
        """Run a pass cut out of the traced one, or traced for larger blocks."""
        return self._blocks.survey(blocks)

    def normalization_input(self, inputs: Mapping[str, NDArray[Any]]) -> NormalizationInput | None:
        """Trace the network up to that layer at the first call; what is behind it never runs."""
        first = next((c for c in self.facts.calls if c.class_name == "BatchNormalization"), None)
        if first is None or self._blocks.problem:
            return None
        if self._normalization is None:
            self._normalization = FirstNormalization(self._traceable, first.layer)
        size = self._blocks.size
        return self._normalization.measure(inputs, size if size < BLOCK else MEASURED)

    def _required_trace(self) -> Traced:
        """Return the traced forward pass.

        Raises:
            RunError: the model cannot be traced or run.
        """
        if self._blocks.traced is None or self._blocks.problem:
            raise RunError.of(cause(self._blocks.problem))
        return self._blocks.traced

    def passes(self, aim: Aim, advance: Callable[[int], None] = _ignore_progress) -> KerasPasses:
        """Cut the passes from the traced one; trace smaller blocks where gradients need the memory."""
        traced, block = self._required_trace(), self._blocks.size
        kept = max(1, sum(call.bytes for call in traced.calls if call.leaf))
        fits = max(1, MAX_GRADIENT_BYTES // kept)
        if not self._traceable.fixed_batch and fits < block:
            block, traced = fits, self._traceable.trace(fits, None)
        side_by_side = max(1, min(self._blocks.lanes, fits // block))
        nodes, device = self._traceable.nodes, self._traceable.device
        return KerasPasses(traced, aim, nodes, block, side_by_side, device, advance)

    def prepare_ascents(self, count: int) -> None:
        """Trace the pass of pictures, once for each count."""
        self._required_trace()
        count = self._traceable.fixed_batch or count
        if count not in self._picture_traces:
            self._picture_traces[count] = self._traceable.trace(count, None)

    def ascent(
        self,
        target: UnitTensor,
        image: str,
        held: Mapping[str, NDArray[Any]],
        scaling: InputScaling,
        *,
        count: int,
        canvas_side: int | None = None,
    ) -> KerasAscent:
        """Cut the network out of a pass that is traced once for ``count`` pictures, whatever the target."""
        self.prepare_ascents(count)
        return KerasAscent(
            self._picture_traces[self._traceable.fixed_batch or count],
            target,
            image,
            held,
            scaling,
            self._traceable.device,
            self._traceable.shapes[image],
            canvas_side,
        )
