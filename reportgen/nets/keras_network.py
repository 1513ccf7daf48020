"""A Keras model behind the Network protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.errors import NotApplicable
from reportgen.nets import structure
from reportgen.nets.ascent import KerasAscent
from reportgen.nets.blocks import ForwardBlocks
from reportgen.nets.engine import first_line
from reportgen.nets.facts import network_facts
from reportgen.nets.normalization_input import FirstNormalization
from reportgen.nets.passes import KerasPasses
from reportgen.nets.traceable import TraceableModel
from reportgen.settings import BLOCK, MAX_GRADIENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from reportgen.nets.tracing import Traced, Watch
    from reportgen.network.facts import VariableFacts
    from reportgen.network.protocol import Aim, Batch, NormalizationInput, Range


def _nobody(_steps: int) -> None:
    """Ignore progress."""


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
        self._traceable = TraceableModel(
            model,
            input_size=input_size,
            example=example,
            block=max(1, min(BLOCK, images)),
            device=device,
        )
        self._blocks = ForwardBlocks(self._traceable, watch)
        self._normalization: FirstNormalization | None = None
        self._climbing: dict[int, Traced] = {}
        self.facts = network_facts(
            self._traceable, self._blocks.traced, self._blocks.problem, dict(compiled or {})
        )

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

    def variables(self) -> Iterator[tuple[VariableFacts, NDArray[Any]]]:
        """Yield every variable once, in the order of the layers; one array in memory at a time."""
        yield from structure.variables(self._model, self._traceable.nodes)

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[Batch]:
        """Run the network in blocks; one for which the memory does not suffice is halved."""
        return self._blocks.forward(inputs)

    @property
    def block(self) -> int:
        """How many images a pass of the survey takes: of small networks more, since calls cost too."""
        return self._blocks.survey_size

    def survey(self, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> Iterator[Batch]:
        """Run a pass without maps, cut out of the traced one or traced for larger blocks."""
        return self._blocks.survey(blocks)

    def normalization_input(self, inputs: Mapping[str, NDArray[Any]]) -> NormalizationInput | None:
        """Measure what flows into the first BatchNormalization, running nothing behind it.

        Args:
            inputs: by name, each (n, …); all of one block at most.
        """
        first = next((c for c in self.facts.calls if c.class_name == "BatchNormalization"), None)
        if first is None:
            return None
        if self._normalization is None:
            self._normalization = FirstNormalization(self._traceable, first.layer)
        return self._normalization.measure(inputs, self._blocks.size)

    def _required_trace(self) -> Traced:
        """Return the traced forward pass.

        Raises:
            NotApplicable: the model cannot be traced.
        """
        if self._blocks.traced is None:
            raise NotApplicable(f"The network cannot be run: {first_line(self._blocks.problem)}")
        return self._blocks.traced

    def passes(self, aim: Aim, advance: Callable[[int], None] = _nobody) -> KerasPasses:
        """Return forward and gradient passes towards ``aim``, cut from the traced forward pass.

        Raises:
            NotApplicable: the forward pass could not be traced.
        """
        traced, block = self._required_trace(), self._blocks.size
        kept = sum(call.bytes for call in traced.calls if call.leaf)
        if (
            not self._traceable.fixed_batch
            and (fits := max(1, MAX_GRADIENT_BYTES // max(kept, 1))) < block
        ):
            block, traced = fits, self._traceable.trace(fits, None)
        return KerasPasses(
            traced, aim, self._traceable.nodes, block, self._traceable.device, advance
        )

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
        self._required_trace()
        count = self._traceable.fixed_batch or count
        if count not in self._climbing:
            self._climbing[count] = self._traceable.trace(count, None)
        return KerasAscent(
            self._climbing[count],
            target,
            image,
            held,
            fed,
            self._traceable.device,
            self._traceable.shapes[image],
            canvas,
        )
