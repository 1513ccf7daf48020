"""Operations of TensorFlow's graphs, which files of TensorFlow 2.0 to 2.3 hold as ``TensorFlowOpLayer``.

Each becomes the call of a function that Keras 2.4 and later stored in its place, and goes its way from there.
The table is closed: the type of an operation is compared with its keys, and nothing is looked up by it.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.nets.migration.errors import OperationError
from reportgen.nets.migration.operation_arguments import is_reference, is_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reportgen.nets.migration.keras1 import Layer

RAW = "TensorFlowOpLayer"
_PREFIX = "tf_op_layer_"
"""What the layer puts in front of the name in its configuration."""
_HEAD, _SEVERAL = "", "…"
"""Of an operation's inputs, that which a function takes first: one, or all that no other name takes."""
_CONSTANT = "_CONSTANT_VALUE"
_TYPES = {
    "DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16", "DT_BFLOAT16": "bfloat16",
    "DT_INT8": "int8", "DT_INT16": "int16", "DT_INT32": "int32", "DT_INT64": "int64", "DT_UINT8": "uint8",
    "DT_UINT16": "uint16", "DT_UINT32": "uint32", "DT_BOOL": "bool",
}  # fmt: skip
_SAYS_NOTHING = {"N", "incompatible_shape_error", "validate_shape", "validate_indices"}
"""Attributes that change no answer; those that count, that are types or begin with ``_`` neither."""


class _Function(NamedTuple):
    """The function that computes what an operation does.

    Attributes:
        name: as TensorFlow exports it.
        takes: names of its arguments for the operation's inputs, in their order.
        says: names of its arguments by the operation's attributes.
        needs: attributes that must be true.
        fixed: arguments that the operation's type says.
    """

    name: str
    takes: tuple[str, ...] = (_HEAD,)
    says: Mapping[str, str] = {}
    needs: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = {}


def _over(name: str) -> _Function:
    return _Function(name, (_HEAD, "axis"), {"keep_dims": "keepdims"})


def _extreme(name: str) -> _Function:
    return _Function(name, (_HEAD, "axis"), {"output_type": "output_type"})


def _product() -> _Function:
    """Return a product of matrices of real numbers, whose adjoints are turned ones."""
    return _Function(
        "linalg.matmul", (_HEAD, "b"), {"adj_x": "transpose_a", "adj_y": "transpose_b"}
    )


def _pool(name: str) -> _Function:
    given = ("ksize", "strides", "padding", "data_format")
    return _Function(name, says={key: key for key in given})


def _resize(method: str) -> _Function:
    """Return resizing as TensorFlow 2 does it, by the centres of pixels."""
    return _Function(
        "image.resize", (_HEAD, "size"), needs=("half_pixel_centers",), fixed={"method": method}
    )


def _blocks(name: str) -> _Function:
    return _Function(name, says={"block_size": "block_size", "data_format": "data_format"})


_OF_ONE = {
    "Abs": "math.abs", "Acos": "math.acos", "Acosh": "math.acosh", "Asin": "math.asin", "Asinh": "math.asinh",
    "Atan": "math.atan", "Atanh": "math.atanh", "Ceil": "math.ceil", "Cos": "math.cos", "Cosh": "math.cosh",
    "Elu": "nn.elu", "Erf": "math.erf", "Exp": "math.exp", "Expm1": "math.expm1", "Floor": "math.floor",
    "Identity": "identity", "IsFinite": "math.is_finite", "IsInf": "math.is_inf", "IsNan": "math.is_nan",
    "Log": "math.log", "Log1p": "math.log1p", "LogSoftmax": "nn.log_softmax", "LogicalNot": "math.logical_not",
    "Neg": "math.negative", "OnesLike": "ones_like", "Reciprocal": "math.reciprocal", "Relu": "nn.relu",
    "Relu6": "nn.relu6", "Round": "math.round", "Rsqrt": "math.rsqrt", "Selu": "nn.selu",
    "Sigmoid": "math.sigmoid", "Sign": "math.sign", "Sin": "math.sin", "Sinh": "math.sinh",
    "Softmax": "nn.softmax", "Softplus": "math.softplus", "Softsign": "nn.softsign", "Sqrt": "math.sqrt",
    "Square": "math.square", "StopGradient": "stop_gradient", "Tan": "math.tan", "Tanh": "math.tanh",
    "ZerosLike": "zeros_like",
}  # fmt: skip
_OF_TWO = {
    "Add": "math.add", "AddV2": "math.add", "DivNoNan": "math.divide_no_nan", "Equal": "math.equal",
    "FloorDiv": "math.floordiv", "FloorMod": "math.floormod", "Greater": "math.greater",
    "GreaterEqual": "math.greater_equal", "Less": "math.less", "LessEqual": "math.less_equal",
    "LogicalAnd": "math.logical_and", "LogicalOr": "math.logical_or", "Maximum": "math.maximum",
    "Minimum": "math.minimum", "Mul": "math.multiply", "NotEqual": "math.not_equal", "Pow": "math.pow",
    "RealDiv": "math.truediv", "Sub": "math.subtract",
}  # fmt: skip
_OVER_AXES = {
    "All": "math.reduce_all", "Any": "math.reduce_any", "Max": "math.reduce_max", "Mean": "math.reduce_mean",
    "Min": "math.reduce_min", "Prod": "math.reduce_prod", "Sum": "math.reduce_sum",
}  # fmt: skip
OPERATIONS: dict[str, _Function] = {
    **{kind: _Function(name) for kind, name in _OF_ONE.items()},
    **{kind: _Function(name, (_HEAD, "y")) for kind, name in _OF_TWO.items()},
    **{kind: _over(name) for kind, name in _OVER_AXES.items()},
    "ArgMax": _extreme("math.argmax"),
    "ArgMin": _extreme("math.argmin"),
    "Atan2": _Function("math.atan2", (_HEAD, "x")),
    "AvgPool": _pool("nn.avg_pool"),
    "BatchMatMul": _product(),
    "BatchMatMulV2": _product(),
    "BiasAdd": _Function("nn.bias_add", (_HEAD, "bias"), {"data_format": "data_format"}),
    "Cast": _Function("cast", says={"DstT": "dtype"}),
    "ClipByValue": _Function("clip_by_value", (_HEAD, "clip_value_min", "clip_value_max")),
    "ConcatV2": _Function("concat", (_SEVERAL, "axis")),
    "Cumprod": _Function(
        "math.cumprod", (_HEAD, "axis"), {"exclusive": "exclusive", "reverse": "reverse"}
    ),
    "Cumsum": _Function(
        "math.cumsum", (_HEAD, "axis"), {"exclusive": "exclusive", "reverse": "reverse"}
    ),
    "DepthToSpace": _blocks("nn.depth_to_space"),
    "ExpandDims": _Function("expand_dims", (_HEAD, "axis")),
    "GatherV2": _Function("gather", (_HEAD, "indices", "axis"), {"batch_dims": "batch_dims"}),
    "LeakyRelu": _Function("nn.leaky_relu", says={"alpha": "alpha"}),
    "MatMul": _Function(
        "linalg.matmul", (_HEAD, "b"), {"transpose_a": "transpose_a", "transpose_b": "transpose_b"}
    ),
    "MaxPool": _pool("nn.max_pool"),
    "MirrorPad": _Function("pad", (_HEAD, "paddings"), {"mode": "mode"}),
    "OneHot": _Function(
        "one_hot", (_HEAD, "depth", "on_value", "off_value"), {"axis": "axis", "T": "dtype"}
    ),
    "Pack": _Function("stack", (_SEVERAL,), {"axis": "axis"}),
    "Pad": _Function("pad", (_HEAD, "paddings")),
    "PadV2": _Function("pad", (_HEAD, "paddings", "constant_values")),
    "Reshape": _Function("reshape", (_HEAD, "shape")),
    "ResizeBilinear": _resize("bilinear"),
    "ResizeNearestNeighbor": _resize("nearest"),
    "ReverseV2": _Function("reverse", (_HEAD, "axis")),
    "Select": _Function("where", (_HEAD, "x", "y")),
    "SelectV2": _Function("where", (_HEAD, "x", "y")),
    "SpaceToDepth": _blocks("nn.space_to_depth"),
    "Split": _Function("split", ("axis", _HEAD), {"num_split": "num_or_size_splits"}),
    "SplitV": _Function("split", (_HEAD, "num_or_size_splits", "axis"), {"num_split": "num"}),
    "Squeeze": _Function("squeeze", says={"squeeze_dims": "axis"}),
    "StridedSlice": _Function(
        "__operators__.getitem",
        (_HEAD, "begin", "end", "strides"),
        {
            f"{mask}_mask": f"{mask}_bits"
            for mask in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
        },
    ),
    "Tile": _Function("tile", (_HEAD, "multiples")),
    "TopKV2": _Function("math.top_k", (_HEAD, "k"), {"sorted": "sorted"}),
    "Transpose": _Function("transpose", (_HEAD, "perm")),
    "Unpack": _Function("unstack", says={"num": "num", "axis": "axis"}),
}
"""By the types of TensorFlow's operations."""


def as_function(layer: Layer) -> Layer:
    """Write an operation as the call of the function that computes the same; other layers stay.

    Raises:
        OperationError: none is known; it names the operation.
    """
    if layer["class_name"] != RAW:
        return layer
    config = layer["config"]
    name = layer.get("name") or f"{_PREFIX}{config.get('name')}"
    definition, nodes = config.get("node_def"), layer.get("inbound_nodes")
    if not isinstance(definition, dict):
        raise OperationError(f"the layer {str(name)[:60]!r} does not say which operation it is")
    kind = definition.get("op")
    said = f"the layer {str(name)[:60]!r} is TensorFlow's operation {str(kind)[:60]}"
    function = OPERATIONS.get(kind) if isinstance(kind, str) else None
    if function is None:
        raise OperationError(
            f"{said}, which has no counterpart among those of Keras 3 that are known"
        )
    if not isinstance(nodes, list) or not nodes:
        raise OperationError(f"{said} on nothing")
    try:
        told = {**_attributes(definition.get("attr", {}), function), **function.fixed}
        calls = [_call(function, node, config.get("constants"), told) for node in nodes]
    except OperationError as error:
        raise OperationError(f"{said}, which {error}") from None
    return {
        "class_name": "TFOpLambda",
        "name": name,
        "config": {"name": name, "function": function.name},
        "inbound_nodes": calls,
    }


def _call(function: _Function, node: Any, constants: Any, told: Mapping[str, Any]) -> list[Any]:
    """Return a stored call of the function: tensors and constants at their places, the rest by name."""
    given = _inputs(node, constants)
    more = len(given) - len(function.takes) + 1
    wanted: list[str] = []
    for name in function.takes:
        wanted += [_HEAD] * more if name == _SEVERAL else [name]
    if len(wanted) != len(given) or not given:
        raise OperationError(f"is called on {len(given)} tensors")
    pairs = list(zip(wanted, given, strict=True))
    named = {**{name: value for name, value in pairs if name != _HEAD}, **told}
    if function.name == "__operators__.getitem":
        named = {"slice_spec": _slices(named)}
    heads = [
        [*(value if is_reference(value) else [_CONSTANT, -1, value]), named]
        for name, value in pairs
        if name == _HEAD
    ]
    return heads if _SEVERAL in function.takes else heads[0]


def _inputs(node: Any, constants: Any) -> list[Any]:
    """Return what an operation reads, in its order: the layer says the places of the constants alone."""
    if not isinstance(node, list) or not all(map(is_reference, node)):
        raise OperationError(f"is called on {str(node)[:40]!r}, which is no layer's")
    held = constants if isinstance(constants, dict) else {}
    places = {int(key): _values(value) for key, value in held.items() if str(key).isdecimal()}
    tensors = [reference[:3] for reference in node]
    total = len(tensors) + len(places)
    if len(places) != len(held) or any(place >= total for place in places):
        raise OperationError(f"holds the constants {', '.join(map(str, held))[:40]}")
    waiting = iter(tensors)
    return [places[place] if place in places else next(waiting) for place in range(total)]


def _values(stored: Any) -> Any:
    """Return a constant as numbers in lists, also one that Keras 2.12 and later wrote anew."""
    inner = stored.get("config") if isinstance(stored, dict) else None
    written = isinstance(inner, dict) and stored.get("class_name") == "__numpy__"
    return inner.get("value") if written and isinstance(inner, dict) else stored


def _attributes(stored: Any, function: _Function) -> dict[str, Any]:
    """Return what an operation's attributes say, by the arguments of its function.

    Raises:
        OperationError: one says what the function has no argument for.
    """
    if not isinstance(stored, dict):
        raise OperationError(f"has the attributes {str(stored)[:40]!r}")
    found: dict[str, Any] = {}
    for name, value in stored.items():
        if name.startswith("_") or name in _SAYS_NOTHING:
            continue
        plain = _plain(value)  # also of a type, of which some are not known
        if name in function.says:
            found[function.says[name]] = plain
        elif name not in function.needs and "type" not in value and plain:
            raise OperationError(f"has the attribute {name[:40]!r}")
    for name in function.needs:
        if not _plain(stored.get(name, {"b": False})):
            raise OperationError(f"has not the attribute {name!r}")
    return found


def _plain(value: Any) -> Any:
    """Return the value of an attribute, which says its kind: numbers are texts, and texts in base 64.

    Raises:
        OperationError: it is of none of these forms.
    """
    held: Any
    single = isinstance(value, dict) and len(value) == 1
    kind, held = next(iter(value.items())) if single else ("", "")
    try:
        match kind:
            case "b":
                return bool(held)
            case "i":
                return int(held)
            case "f":
                return float(held)
            case "s":
                return base64.b64decode(held, validate=True).decode("ascii")
            case "type":
                return _TYPES[held]
            case "list":
                return [int(one) for one in held.get("i", [])] or None
    except (ValueError, TypeError, LookupError, AttributeError, binascii.Error):
        pass
    raise OperationError(f"has the attribute {str(value)[:40]!r}")


def _slices(named: Mapping[str, Any]) -> list[Any]:
    """Return an index as indexing is stored: the masks have a bit for each of its parts."""
    begin, end, strides = (_wholes(named[name], name) for name in ("begin", "end", "strides"))
    if not len(begin) == len(end) == len(strides):
        raise OperationError("has an index of several lengths")

    def marked(mask: str, place: int) -> bool:
        return bool(int(named.get(f"{mask}_bits") or 0) >> place & 1)

    parts: list[Any] = []
    for place, (first, last, step) in enumerate(zip(begin, end, strides, strict=True)):
        if marked("ellipsis", place):
            parts.append({"class_name": "__ellipsis__"})
        elif marked("new_axis", place):
            parts.append(None)
        elif marked("shrink_axis", place):
            parts.append(first)
        else:
            start = None if marked("begin", place) else first
            stop = None if marked("end", place) else last
            parts.append({"start": start, "stop": stop, "step": step})
    return parts


def _wholes(value: Any, name: str) -> Sequence[int]:
    if not isinstance(value, list) or not all(map(is_whole, value)):
        raise OperationError(f"has an index whose {name} is computed")
    return value
