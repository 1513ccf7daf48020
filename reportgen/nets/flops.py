"""Floating-point operations of a traced graph, from the shapes of what goes into its operations and comes out.

Layers of any class are made of the same few operations, and however a network is written, its graph
holds all that runs. Two a multiply-add, one an element for additions, products and pooling windows,
two for a normalization at inference, five for a softmax, nothing for other functions of one value and
for moving or comparing numbers: TensorFlow's own profiler counts alike, but knows neither einsum nor
how often a loop turns. What cannot be counted is named: the sum is then a lower bound.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.nets.free_operations import ARITHMETIC_FREE
from reportgen.nets.graph_walks import needed_by
from reportgen.nets.loops import steps
from reportgen.nets.tensorflow_internals import function_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class UnknownSizeError(Exception):
    """A shape that the graph leaves open."""


class Cost(NamedTuple):
    """What operations cost.

    Attributes:
        flops: for one image, in a whole graph; for all rows, in an operation.
        uncounted: types of operations that are not in it, each once.
    """

    flops: int = 0
    uncounted: tuple[str, ...] = ()


def _values(tensor: Any) -> int:
    """Return how many values a tensor has; 0 where its shape is open."""
    return prod(int(n or 0) for n in tensor.shape) if tensor.shape.rank is not None else 0


class GraphCosts:
    """What every operation of a traced graph costs.

    Args:
        operations: of the graph, in the order of their creation.
        given: the graph's tensors that hold the images.
        returned: its tensors that the network returns; what they do not need does not run.
        rows: images that it was traced for.
    """

    def __init__(
        self, operations: Sequence[Any], given: Iterable[Any], returned: Iterable[Any], rows: int
    ) -> None:
        self._operations = operations
        self._needed = needed_by(returned)
        self._rows = max(rows, 1)
        self._of_images = {tensor.op for tensor in given}
        self._stored: dict[Any, frozenset[tuple[Any, int]]] = {}
        for operation in operations:
            if any(tensor.op in self._of_images for tensor in operation.inputs):
                self._of_images.add(operation)
                continue
            self._stored[operation] = self._stored_behind(operation)
            if self._is_spread(operation):
                self._of_images.add(operation)

    def _stored_behind(self, operation: Any) -> frozenset[tuple[Any, int]]:
        """Return the variables that an operation is made of, each once with how many values it has."""
        if operation.type == "ReadVariableOp":
            size = sum(map(_values, operation.outputs))
            return frozenset([(operation.inputs[0].ref(), size)])
        empty: frozenset[tuple[Any, int]] = frozenset()
        return empty.union(*(self._stored.get(tensor.op, empty) for tensor in operation.inputs))

    def _is_spread(self, operation: Any) -> bool:
        """Return whether an operation repeats for every image what does not depend on it.

        By whatever means: its output has a row an image, none of what goes in has, and it holds more values
        than the weights that it is made of; one of these that is turned may have as many rows.
        """
        if self._rows == 1 or operation.type in {"Placeholder", "ReadVariableOp"}:
            return False
        if any(map(self._has_rows, operation.inputs)):
            return False
        most = sum(size for _, size in self._stored[operation])
        return any(self._has_rows(t) and _values(t) > most for t in operation.outputs)

    def _has_rows(self, tensor: Any) -> bool:
        shape = tensor.shape
        return bool(shape.rank and shape.rank > 1 and shape[0] == self._rows)

    def of_range(self, spans: Iterable[tuple[int, int]]) -> Cost:
        """Return what the operations numbered from ``start`` to before ``end`` cost for one image.

        Arithmetic on weights alone counts where it is made of multiply-adds, once and not a row: the rest
        of it (a variance to a scale) is not the image's.
        """
        of_rows, once = 0, 0
        uncounted: dict[str, None] = {}
        for start, end in spans:
            for operation in self._operations[start:end]:
                if operation.type in ARITHMETIC_FREE or operation not in self._needed:
                    continue
                depends = operation in self._of_images
                if not depends and operation.type in _FORMULAS.keys() - _MULTIPLY_ADDS.keys():
                    continue
                cost = _operation_cost(operation)
                if depends:
                    of_rows += cost.flops
                else:
                    once += cost.flops
                uncounted.update(dict.fromkeys(cost.uncounted))
        return Cost(round(of_rows / self._rows) + once, tuple(uncounted))


def _operation_cost(operation: Any) -> Cost:
    """Return what one operation costs, for all of its rows."""
    kind = operation.type
    if kind in ARITHMETIC_FREE or not _computes_floats(operation):
        return Cost()
    if kind in _FUNCTIONS:
        return _FUNCTIONS[kind](operation)
    formula = _FORMULAS.get(kind)
    if formula is None or any(t.dtype.is_complex for t in (*operation.inputs, *operation.outputs)):
        return Cost(uncounted=(kind,))
    try:
        return Cost(formula(operation))
    except UnknownSizeError:
        return Cost(uncounted=(kind,))


def _computes_floats(operation: Any) -> bool:
    """Return whether numbers with fractions go in or out: arithmetic on indices is not counted.

    A quantized product is: its whole numbers stand for such.
    """
    if operation.type in _MULTIPLY_ADDS or operation.type in _FUNCTIONS:
        return True
    return any(
        t.dtype.is_floating or t.dtype.is_complex for t in (*operation.inputs, *operation.outputs)
    )


# -- functions and loops -----------------------------------------------------------------------------


def _body_cost(operation: Any, name: str) -> Cost:
    graph = function_graph(operation.graph, name)
    if graph is None:
        return Cost(uncounted=(operation.type,))
    needed = needed_by(graph.outputs)
    costs = [_operation_cost(inner) for inner in graph.get_operations() if inner in needed]
    names = dict.fromkeys(name for cost in costs for name in cost.uncounted)
    return Cost(sum(cost.flops for cost in costs), tuple(names))


def _call(operation: Any) -> Cost:
    return _body_cost(operation, operation.get_attr("f").name)


def _loop(operation: Any) -> Cost:
    """Return the cost of all turns; where their number is not known, none of them and the loop's name."""
    condition = function_graph(operation.graph, operation.get_attr("cond").name)
    body = function_graph(operation.graph, operation.get_attr("body").name)
    once = _body_cost(operation, operation.get_attr("body").name)
    if once == Cost():
        return once
    times = None if condition is None or body is None else steps(operation, condition, body)
    if times is None:
        return Cost(uncounted=(*once.uncounted, _plain(operation)))
    return Cost(times * once.flops, once.uncounted)


def _branches(operation: Any) -> Cost:
    """Return the cost of the cheapest branch, and the operation's name where the others cost more."""
    if "Case" in operation.type:
        names = [branch.name for branch in operation.get_attr("branches")]
    else:
        names = [operation.get_attr(f"{branch}_branch").name for branch in ("then", "else")]
    costs = [_body_cost(operation, name) for name in names]
    least = min(cost.flops for cost in costs)
    uncounted = dict.fromkeys(name for cost in costs for name in cost.uncounted)
    if any(cost.flops > least for cost in costs):
        uncounted[_plain(operation)] = None
    return Cost(least, tuple(uncounted))


def _plain(operation: Any) -> str:
    """Return the name of a loop or branch; whether it holds a state says nothing to a reader."""
    return str(operation.type).removeprefix("Stateless")


_FUNCTIONS: dict[str, Callable[[Any], Cost]] = {
    "PartitionedCall": _call,
    "StatefulPartitionedCall": _call,
    "While": _loop,
    "StatelessWhile": _loop,
    "If": _branches,
    "StatelessIf": _branches,
    "Case": _branches,
    "StatelessCase": _branches,
}


# -- formulas ----------------------------------------------------------------------------------------


def _shape(tensor: Any) -> tuple[int, ...]:
    """Return a shape.

    Raises:
        UnknownSizeError: it is not known as a whole.
    """
    if not tensor.shape.is_fully_defined():
        raise UnknownSizeError
    return tuple(tensor.shape.as_list())


def _out(operation: Any) -> int:
    return prod(_shape(operation.outputs[0]))


def _in(operation: Any) -> int:
    return prod(_shape(operation.inputs[0]))


def _matrix_product(operation: Any) -> int:
    first = _shape(operation.inputs[0])
    flipped = "transpose_a" if operation.type == "MatMul" else "adj_x"
    return 2 * _out(operation) * first[-2 if operation.get_attr(flipped) else -1]


def _einsum(operation: Any) -> int:
    """Return the cost over all combinations of indices; the axes of an ellipsis are named by their place."""
    left, result = operation.get_attr("equation").decode().split("->")
    terms = left.split(",")
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, operation.inputs, strict=True):
        shape = _shape(tensor)
        hidden = range(len(shape) - len(term.replace("...", "")), 0, -1)
        marked = term.replace("...", "".join(chr(_FIRST_MARK + place) for place in hidden))
        for index, size in zip(marked, shape, strict=True):
            sizes[index] = max(size, sizes.get(index, 1))
    summed = any(index not in result and ord(index) < _FIRST_MARK for index in sizes)
    products = len(terms) - 1
    return prod(sizes.values()) * (products + (1 if summed else 0))


def _convolution(operation: Any) -> int:
    kernel = _shape(operation.inputs[1])
    return 2 * _out(operation) * prod(kernel[:-1])


def _depthwise(operation: Any) -> int:
    height, width, _, _ = _shape(operation.inputs[1])
    return 2 * _out(operation) * height * width


def _spread_convolution(operation: Any) -> int:
    """Every value that comes in is spread over the kernel."""
    kernel, given = _shape(operation.inputs[1]), _shape(operation.inputs[2])
    return 2 * prod(given) * prod(kernel[:-1])


def _cudnn(operation: Any) -> int:
    """Return the cost of a layer in one direction, which is all that Keras asks for."""
    given, units = _shape(operation.inputs[0]), _shape(operation.inputs[1])[-1]
    gates = {b"lstm": 4, b"gru": 3}.get(operation.get_attr("rnn_mode"), 1)
    return 2 * prod(given[:-1]) * gates * units * (given[-1] + units + 1)


def _window(operation: Any) -> int:
    return _out(operation) * int(prod(operation.get_attr("ksize")))


def _neighbours(count: int) -> Callable[[Any], int]:
    """A product each, and a sum of them."""
    return lambda operation: (2 * count - 1) * _out(operation)


def _each_output(count: int) -> Callable[[Any], int]:
    return lambda operation: count * _out(operation)


def _each_input(operation: Any) -> int:
    return _in(operation)


def _sum(operation: Any) -> int:
    return _in(operation) - _out(operation)


def _sum_of_several(operation: Any) -> int:
    return (len(operation.inputs) - 1) * _out(operation)


_FIRST_MARK = 0x100
"""Behind all letters that an equation has."""
_MULTIPLY_ADDS: dict[str, Callable[[Any], int]] = {
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _matrix_product),
    **dict.fromkeys(("Conv", "Conv2D", "Conv3D"), _convolution),
    **dict.fromkeys(
        ("Conv2DBackpropInput", "Conv3DBackpropInput", "Conv3DBackpropInputV2"), _spread_convolution
    ),
    "DepthwiseConv2dNative": _depthwise,
    "Einsum": _einsum,
}
_ONE_AN_ELEMENT = """
    Add AddV2 BiasAdd BiasAddV1 Cumprod Cumsum Div DivNoNan FloorDiv FloorMod Inv Maximum Minimum Mod Mul
    MulNoNan Neg Pow RealDiv Reciprocal Square Sub Xdivy Xlogy
"""
_FORMULAS: dict[str, Callable[[Any], int]] = {
    **_MULTIPLY_ADDS,
    **dict.fromkeys(_ONE_AN_ELEMENT.split(), _each_output(1)),
    **dict.fromkeys(("Max", "Mean", "Min"), _each_input),
    **dict.fromkeys(("Prod", "Sum"), _sum),
    **dict.fromkeys(("AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D", "MaxPoolWithArgmax"), _window),
    **dict.fromkeys(("LogSoftmax", "Softmax"), _each_output(5)),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _each_output(2)),
    **dict.fromkeys(("CudnnRNN", "CudnnRNNV2", "CudnnRNNV3"), _cudnn),
    **dict.fromkeys(
        ("CropAndResize", "ImageProjectiveTransformV3", "ResizeBilinear"), _neighbours(4)
    ),
    "AddN": _sum_of_several,
    "ResizeBicubic": _neighbours(16),
    "SquaredDifference": _each_output(2),
}
