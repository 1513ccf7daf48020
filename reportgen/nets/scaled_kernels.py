"""Scales of channels put into the kernels before them, so that a pass goes over its maps less often.

What scales and moves the channels behind a convolution, as batch normalization in inference, is linear:
conv(x, K) · s + t = conv(x, K · s) + t (Jacob et al. 2018, section 3.2), and a gradient goes back through
K · s as it goes through s and then K. Only parts that are cut out are changed: what a survey measures between
the two stays what it is.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from reportgen.nets.engine import tracing
from reportgen.nets.graph_walks import needed_by
from reportgen.nets.subgraph import cut_out, operation_of, tensor_of
from reportgen.nets.tensorflow_internals import exchange_captures, run_flat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from reportgen.nets.subgraph import Subgraph

_FORWARD = frozenset({"Conv2D", "DepthwiseConv2dNative"})
_BACK = frozenset({"Conv2DBackpropInput", "DepthwiseConv2dNativeBackpropInput"})
"""What takes a gradient back through a convolution: from sizes, kernel and the gradient behind it."""
_ADDS = frozenset({"Add", "AddV2", "BiasAdd"})
_MAKES = frozenset(
    {
        *("Const", "ReadVariableOp", "Identity", "Reshape", "ExpandDims", "Squeeze"),
        *("Add", "AddV2", "Sub", "Neg", "Mul", "RealDiv", "Square", "Sqrt", "Rsqrt"),
    }
)
"""What makes kernels, scales and offsets of variables; whatever else does may differ from call to call."""


class Kernel(NamedTuple):
    """A kernel times scales of its last axis, or of its last two as one.

    Attributes:
        kernel: name of its tensor, (height, width, in, out); depthwise (height, width, in, multiples).
        scales: names of tensors of one value, or of one a channel.
        channels: the axes of the kernel that are scaled.
    """

    kernel: str
    scales: tuple[str, ...]
    channels: tuple[int, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """The tensors that it is made of."""
        return (self.kernel, *self.scales)

    def made(self, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the product, float32."""
        scale = np.ones(math.prod(self.channels))
        for name in self.scales:
            scale *= values[name].ravel()
        return (values[self.kernel] * scale.reshape(self.channels)).astype(np.float32)


class Offset(NamedTuple):
    """What scales and offsets behind a convolution come to, where it gives nothing.

    Attributes:
        steps: names of tensors in their order, and whether each is added; else it is multiplied.
        channels: how many there are.
    """

    steps: tuple[tuple[str, bool], ...]
    channels: int

    @property
    def sources(self) -> tuple[str, ...]:
        """The tensors that it is made of."""
        return tuple(name for name, _ in self.steps)

    def made(self, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the sum, (channels,) float32."""
        total = np.zeros(self.channels)
        for name, is_added in self.steps:
            value = values[name].ravel()
            total = total + value if is_added else total * value
        return total.astype(np.float32)


Recipe: TypeAlias = "Kernel | Offset"


class Feed(NamedTuple):
    """A tensor that a part takes in place of kernels and offsets of its own.

    Attributes:
        name: in the part.
        recipe: what it is given.
    """

    name: str
    shape: Any
    dtype: Any
    recipe: Recipe


class ScaledKernels:
    """Scaled kernels and offsets of a traced function: each is computed once, whoever asks for it.

    Args:
        function: of ``wrap_function``.
        exchanged: from the handle of a variable that it captured to that of the one to be read.
    """

    def __init__(self, function: Any, exchanged: Callable[[Any], Any] | None = None) -> None:
        self._function = function
        self._exchanged = exchanged
        self._made: dict[Recipe, Any] = {}
        self._readers: dict[tuple[str, ...], tuple[Any, list[Any]]] = {}

    def of_others(self, exchanged: Callable[[Any], Any]) -> ScaledKernels:
        """Return the same of other variables; nothing is cut out again."""
        others = ScaledKernels(self._function, exchanged)
        others._readers = self._readers
        return others

    def values(self, recipes: Iterable[Recipe]) -> list[Any]:
        """Return what recipes make, as tensors."""
        wanted = list(recipes)
        if any(recipe not in self._made for recipe in wanted):
            with tracing:  # others' variables are read through the same function
                self._make(wanted)
        return [self._made[recipe] for recipe in wanted]

    def _make(self, wanted: Iterable[Recipe]) -> None:
        import tensorflow as tf

        missing = [recipe for recipe in dict.fromkeys(wanted) if recipe not in self._made]
        if not missing:  # somebody else was waited for
            return
        names = tuple(sorted({name for recipe in missing for name in recipe.sources}))
        values = dict(zip(names, self._read(names), strict=True))
        with np.errstate(over="ignore", invalid="ignore"):
            self._made |= {recipe: tf.constant(recipe.made(values)) for recipe in missing}

    def _read(self, names: tuple[str, ...]) -> list[NDArray[Any]]:
        """Return tensors of the function that do not depend on what it is fed, float64."""
        if names not in self._readers:
            tensors = [self._function.graph.get_tensor_by_name(name) for name in names]
            reader = cut_out(self._function, [], tensors)
            self._readers[names] = reader, list(reader.captured_inputs)
        reader, captured = self._readers[names]
        if self._exchanged is not None:
            exchange_captures(reader, [self._exchanged(handle) for handle in captured])
        try:
            return [np.asarray(tensor, np.float64) for tensor in run_flat(reader, [])]
        finally:
            exchange_captures(reader, captured)

    def fold(self, part: Subgraph) -> list[Feed]:
        """Put scales and offsets of a part of the function into its kernels.

        Returns:
            What the part takes besides now; it captures less.
        """
        chains = _Chains(self._function, part).found()
        self.values(recipe for chain in chains for recipe in chain.recipes)
        feeds: dict[Recipe, Feed] = {}
        for chain in chains:
            values = self.values(chain.recipes)
            if not all(np.isfinite(value).all() for value in values):
                continue  # what is not finite, or too large for float32, answers as it did
            for recipe, value in zip(chain.recipes, values, strict=True):
                feeds.setdefault(
                    recipe, Feed(f"folded_{len(feeds)}:0", value.shape, value.dtype, recipe)
                )
            chain.apply({recipe: feeds[recipe].name for recipe in chain.recipes})
        part.prune()
        return list(feeds.values())


class _Chain(NamedTuple):
    """A convolution, or the gradient of one, with what scales and moves its channels.

    Attributes:
        convolution: its operation in the part.
        kernel: in place of its own; None where nothing scales it.
        offset: what is added behind it; None where nothing is.
        last: of a convolution, the operation whose result the chain is.
        gradient: of a gradient, the name of what comes back to it then.
    """

    convolution: Any
    kernel: Kernel | None
    offset: Offset | None = None
    last: Any = None
    gradient: str = ""

    @property
    def recipes(self) -> list[Recipe]:
        return [recipe for recipe in (self.kernel, self.offset) if recipe is not None]

    def apply(self, names: Mapping[Recipe, str]) -> None:
        """Change the operations; what is between them is needed no more."""
        if self.kernel is not None:
            self.convolution.input[1] = names[self.kernel]
        if self.gradient:
            self.convolution.input[2] = self.gradient
            return
        self.last.ClearField("input")
        self.last.ClearField("attr")
        self.last.attr["T"].type = self.convolution.attr["T"].type
        self.last.input.append(self.convolution.name)
        if self.offset is None:
            self.last.op = "Identity"
            return
        self.last.input.append(names[self.offset])
        # TensorFlow 2.21 fails to optimise a BiasAdd between a depthwise convolution and a sum.
        self.last.op = "BiasAdd" if self.convolution.op == "Conv2D" else "AddV2"


class _Chains:
    """Finds what can be folded in a part of a function. No operation is in two chains: it scales one kernel.

    Args:
        function: of ``wrap_function``.
        part: is not changed.
    """

    def __init__(self, function: Any, part: Subgraph) -> None:
        self._fixed = _Fixed(function)
        self._fetched = part.fetched
        self._nodes = {node.name: node for node in part.definition.node}
        self._taken: set[str] = set()
        self._readers: defaultdict[str, list[Any]] = defaultdict(list)
        for node in part.definition.node:
            for source in node.input:
                self._readers[operation_of(source)].append(node)

    def found(self) -> list[_Chain]:
        """Return all chains."""
        finders = dict.fromkeys(_FORWARD, self._behind) | dict.fromkeys(_BACK, self._coming_back)
        chains: list[_Chain] = []
        for node in self._nodes.values():
            if (find := finders.get(node.op)) and (kernel := self._fixed.kernel(node)):
                chains += find(node, kernel)
        return chains

    def _only_reader(self, node: Any) -> Any | None:
        """Return the one operation that reads a node; None where others do, or it is fetched."""
        found = self._readers[node.name]
        return found[0] if len(found) == 1 and node.name not in self._fetched else None

    def _behind(self, node: Any, kernel: Kernel) -> Iterator[_Chain]:
        """Yield a convolution with all that scales and moves its channels right behind it."""
        channels = math.prod(kernel.channels)
        steps: dict[str, tuple[str, bool]] = {}
        last = node
        while (reader := self._only_reader(last)) is not None and reader.name not in self._taken:
            operands = [name for name in reader.input if name != last.name]
            if not (reader.op == "Mul" or (reader.op in _ADDS and _channels_last(reader))):
                break
            if len(operands) != 1 or not self._fixed.of_channels(operands[0], channels):
                break
            steps[reader.name] = tensor_of(operands[0]), reader.op != "Mul"
            last = reader
        scales = tuple(name for name, is_added in steps.values() if not is_added)
        if scales or (steps and last.op != "BiasAdd"):
            self._taken.update(steps)
            offset = Offset(tuple(steps.values()), channels) if len(scales) < len(steps) else None
            yield _Chain(node, kernel._replace(scales=scales) if scales else None, offset, last)

    def _coming_back(self, node: Any, kernel: Kernel) -> Iterator[_Chain]:
        """Yield the gradient of a convolution with all that scales the channels of what comes back to it."""
        channels = math.prod(kernel.channels)
        source = node.input[2]
        scales: list[str] = []
        while (scaled := self._nodes.get(operation_of(source))) is not None and scaled.op == "Mul":
            fixed = [name for name in scaled.input if self._fixed.of_channels(name, channels)]
            others = [name for name in scaled.input if name not in fixed]
            if scaled.name in self._taken or self._only_reader(scaled) is None:
                break
            if len(fixed) != 1 or len(others) != 1:
                break
            if not self._fixed.repeats_nothing(others[0], channels):
                break
            source = others[0]
            scales.insert(0, tensor_of(fixed[0]))
            self._taken.add(scaled.name)
        if scales:
            yield _Chain(node, kernel._replace(scales=tuple(scales)), gradient=source)


def _channels_last(node: Any) -> bool:
    said = node.attr.get("data_format")
    return said is None or said.s in {b"", b"NHWC"}


def _is_only_read(captured: Any) -> bool:
    """Tell whether a function only reads what it captured; whatever else takes a variable may change it."""
    readers = {operation.type for operation in captured.consumers()}
    return captured.dtype.name != "resource" or readers <= {"ReadVariableOp"}


class _Fixed:
    """Tells which tensors of a function do not depend on what it is fed.

    Args:
        function: of ``wrap_function``.
    """

    def __init__(self, function: Any) -> None:
        inside = function.inputs[len(function.inputs) - len(function.captured_inputs) :]
        self._graph = function.graph
        self._captured = {tensor.op.name for tensor in inside if _is_only_read(tensor)}
        self._known: dict[str, bool] = {}

    def kernel(self, node: Any) -> Kernel | None:
        """Return the kernel of a convolution whose channels come last; None where it is not fixed."""
        kernel = self._graph.get_tensor_by_name(tensor_of(node.input[1]))
        if not (
            _channels_last(node) and kernel.shape.is_fully_defined() and self._is_fixed(kernel)
        ):
            return None
        depthwise = node.op.startswith("Depthwise")
        return Kernel(kernel.name, (), tuple(kernel.shape[2 if depthwise else 3 :]))

    def repeats_nothing(self, name: str, channels: int) -> bool:
        """Tell whether a tensor of pictures has a channel for every scale."""
        shape = self._graph.get_tensor_by_name(tensor_of(name)).shape
        return bool(shape.rank == 4 and shape[-1] == channels)

    def of_channels(self, name: str, channels: int) -> bool:
        """Tell whether a tensor is fixed and one number, or one for each channel."""
        if name.startswith("^"):
            return False
        tensor = self._graph.get_tensor_by_name(tensor_of(name))
        rank, size = tensor.shape.rank, tensor.shape.num_elements()
        if size not in {1, channels} or rank > 4:
            return False
        return (tensor.shape[-1] if rank else 1) == size and self._is_fixed(tensor)

    def _is_fixed(self, tensor: Any) -> bool:
        if tensor.name not in self._known:
            self._known[tensor.name] = tensor.dtype.name == "float32" and all(
                op.name in self._captured or (op.type in _MAKES and not op.control_inputs)
                for op in needed_by([tensor])
            )
        return self._known[tensor.name]
