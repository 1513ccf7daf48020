"""Functions of TensorFlow that files of Keras 2.4 to 2.15 name, and what computes the same in Keras 3.

The table is closed: a name that a file holds is compared with its keys, and nothing is looked up by it. A rule
takes the stored arguments of a call and returns an operation of ``keras.ops``; an argument that no rule knows,
and that says something, is refused.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from reportgen.nets.migration.errors import OperationError
from reportgen.nets.migration.operation_arguments import Made, is_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from reportgen.nets.migration.operation_arguments import Arguments

MOST_PARTS = 1024
"""Tensors that one operation may make."""


# -- rules ---------------------------------------------------------------------------------------------


def _same(operation: str, **options: Any) -> Callable[[Arguments], Made]:
    """Make the rule of a function of one tensor."""
    return lambda _: Made(operation, options)


def _two(operation: str, second: str = "y") -> Callable[[Arguments], Made]:
    """Make the rule of a function of two tensors."""
    return lambda given: Made(operation, {}, (given.tensor(second),))


def _over(operation: str) -> Callable[[Arguments], Made]:
    """Make the rule of a function that takes tensors together along axes."""
    return lambda given: Made(operation, {"axis": given.axis(), "keepdims": given.flag("keepdims")})


def _first_axis(operation: str, kinds: str) -> Callable[[Arguments], Made]:
    """Make the rule of ``argmax`` and its like, which go along the first axis where nothing is said."""

    def rule(given: Arguments) -> Made:
        given.only(kinds, "int32", "int64")
        return Made(operation, {"axis": given.axis(0)})

    return rule


def _along(operation: str, default: int) -> Callable[[Arguments], Made]:
    """Make the rule of a function along one axis."""
    return lambda given: Made(operation, {"axis": given.axis(default)})


def _joined(operation: str, default: int) -> Callable[[Arguments], Made]:
    """Make the rule of a function that joins a list of tensors."""
    return lambda given: Made(operation, {"axis": given.whole("axis", default)})


def _like(operation: str) -> Callable[[Arguments], Made]:
    """Make the rule of a tensor of the shape of another one."""

    def rule(given: Arguments) -> Made:
        given.only("layout")
        return Made(operation, {"dtype": given.value("dtype")})

    return rule


def _pool(operation: str) -> Callable[[Arguments], Made]:
    """Make the rule of pooling over height and width."""

    def rule(given: Arguments) -> Made:
        given.only("data_format", "NHWC")
        padding = given.value("padding")
        if padding not in {"SAME", "VALID"}:
            raise OperationError(f"is called with padding={str(padding)[:40]}")
        options = {
            "pool_size": _sides(given.whole("ksize"), "ksize"),
            "strides": _sides(given.whole("strides"), "strides"),
            "padding": padding.lower(),
            "data_format": "channels_last",
        }
        return Made(operation, options)

    return rule


def _sides(value: Any, name: str) -> list[int]:
    """Return height and width of a window, which TensorFlow takes as one, two or four numbers."""
    held = value if isinstance(value, list) else [value]
    if len(held) == 4 and held[0] == held[3] == 1:
        held = held[1:3]
    if len(held) not in {1, 2}:
        raise OperationError(f"is called with {name}={str(value)[:40]}")
    return [held[0], held[-1]]


def _leaky(given: Arguments) -> Made:
    return Made("nn.LeakyRelu", {"negative_slope": given.value("alpha", 0.2)})


def _gelu(given: Arguments) -> Made:
    return Made("nn.Gelu", {"approximate": given.flag("approximate")})


def _silu(given: Arguments) -> Made:
    given.only("beta", 1, 1.0)
    return Made("nn.Silu")


def _bias(given: Arguments) -> Made:
    given.only("data_format", "NHWC", "channels_last")
    return Made("numpy.Add", {}, (given.tensor("bias"),))


def _clip(given: Arguments) -> Made:
    low, high = given.value("clip_value_min"), given.value("clip_value_max")
    if not all(isinstance(n, int | float) for n in (low, high)):
        raise OperationError("is called with bounds that are no numbers")
    return Made("numpy.Clip", {"x_min": low, "x_max": high})


def _cast(given: Arguments) -> Made:
    return Made("core.Cast", {"dtype": _dtype(given)})


def _tensor_of(given: Arguments) -> Made:
    given.only("dtype_hint", "float32")
    kind = given.value("dtype")
    return Made("core.Cast", {"dtype": kind}) if kind else Made("numpy.Copy")


def _dtype(given: Arguments) -> str:
    kind = given.value("dtype")
    if not isinstance(kind, str):
        raise OperationError(f"is called with dtype={str(kind)[:40]}")
    return kind


def _reshape(given: Arguments) -> Made:
    return Made("numpy.Reshape", {"newshape": given.whole("shape")})


def _expand(given: Arguments) -> Made:
    return Made("numpy.ExpandDims", {"axis": given.whole("axis")})


def _squeeze(given: Arguments) -> Made:
    return Made("numpy.Squeeze", {"axis": given.axis()})


def _reversed(given: Arguments) -> Made:
    return Made("numpy.Flip", {"axis": given.whole("axis")})


def _transpose(given: Arguments) -> Made:
    given.off("conjugate")
    turned = given.value("perm")
    return Made("numpy.Transpose", {"axes": turned if turned is None else list(turned)})


def _unstack(given: Arguments) -> Made:
    number = given.value("num")
    _check_parts(number or 1)
    return Made("core.Unstack", {"num": number, "axis": given.whole("axis", 0)})


def _split(given: Arguments) -> Made:
    sizes, axis = given.whole("num_or_size_splits"), given.whole("axis", 0)
    given.value("num")
    if isinstance(sizes, list):
        if min(sizes, default=-1) < 0:
            raise OperationError("is called with a part of open size")
        _check_parts(len(sizes))
        sizes = [sum(sizes[:n]) for n in range(1, len(sizes))]
    else:
        _check_parts(sizes)
    return Made("numpy.Split", {"indices_or_sections": sizes, "axis": axis})


def _check_parts(number: Any) -> None:
    if not isinstance(number, int) or not 0 < number <= MOST_PARTS:
        raise OperationError(f"makes {str(number)[:40]} tensors")


def _tile(given: Arguments) -> Made:
    return Made("numpy.Tile", {"repeats": given.whole("multiples")})


def _repeat(given: Arguments) -> Made:
    return Made("numpy.Repeat", {"repeats": given.whole("repeats"), "axis": given.axis()})


def _pad(given: Arguments) -> Made:
    mode = str(given.value("mode", "CONSTANT")).lower()
    if mode not in {"constant", "reflect", "symmetric"}:
        raise OperationError(f"is called with mode={mode[:40]}")
    given.only("constant_values", 0)
    return Made("numpy.Pad", {"pad_width": given.value("paddings"), "mode": mode})


def _gather(given: Arguments) -> Made:
    given.only("batch_dims", 0)
    given.value("validate_indices")
    return Made("numpy.Take", {"axis": given.whole("axis", 0)}, (given.tensor("indices"),))


def _matmul(given: Arguments) -> Made:
    """Write a product of matrices, turned ones as a sum over named axes."""
    given.off("adjoint_a", "adjoint_b", "a_is_sparse", "b_is_sparse", "grad_a", "grad_b")
    first, second = given.flag("transpose_a"), given.flag("transpose_b")
    more = (given.tensor("b"),)
    if not first and not second:
        return Made("numpy.Matmul", {}, more)
    names = f"...{'ji' if first else 'ij'},...{'kj' if second else 'jk'}->...ik"
    return Made("numpy.Einsum", {"subscripts": names}, more)


def _tensordot(given: Arguments) -> Made:
    return Made("numpy.Tensordot", {"axes": given.value("axes")}, (given.tensor("b"),))


def _where(given: Arguments) -> Made:
    return Made("numpy.Where", {}, (given.tensor("x"), given.tensor("y")))


def _one_hot(given: Arguments) -> Made:
    given.only("on_value", 1, 1.0)
    given.only("off_value", 0, 0.0)
    options = {"num_classes": given.whole("depth"), "axis": given.axis(-1)}
    return Made("nn.OneHot", {**options, "dtype": given.value("dtype", "float32")})


def _normalized(given: Arguments) -> Made:
    """Write a division by the root of a sum of squares, which is at least epsilon; Keras bounds the root."""
    epsilon = given.value("epsilon", 1e-12)
    if not isinstance(epsilon, float) or epsilon <= 0:
        raise OperationError(f"is called with epsilon={str(epsilon)[:40]}")
    axis = given.axis()
    if axis is None:
        raise OperationError("takes all images together")
    return Made("nn.Normalize", {"axis": axis, "order": 2, "epsilon": math.sqrt(epsilon)})


def _norm(given: Arguments) -> Made:
    given.only("ord", "euclidean", 2)
    axis = given.axis()
    if not isinstance(axis, int):
        raise OperationError("takes the norm of matrices")
    return Made("linalg.Norm", {"axis": axis, "keepdims": given.flag("keepdims")})


def _cumulated(operation: str) -> Callable[[Arguments], Made]:
    def rule(given: Arguments) -> Made:
        given.off("exclusive", "reverse")
        return Made(operation, {"axis": given.whole("axis", 0)})

    return rule


def _top(given: Arguments) -> Made:
    given.only("index_type", "int32")
    return Made(
        "math.TopK", {"k": given.whole("k", 1), "sorted": given.flag("sorted", default=True)}
    )


def _blocks(operation: str) -> Callable[[Arguments], Made]:
    def rule(given: Arguments) -> Made:
        given.only("data_format", "NHWC")
        return Made(operation, {"block_size": given.whole("block_size")})

    return rule


def _resize(given: Arguments) -> Made:
    method = given.value("method", "bilinear")
    if method not in {"bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"}:
        raise OperationError(f"is called with method={str(method)[:40]}")
    given.off("preserve_aspect_ratio")
    size = given.whole("size")
    if not isinstance(size, list) or len(size) != 2:
        raise OperationError(f"is called with size={str(size)[:40]}")
    options = {"size": size, "interpolation": method, "antialias": given.flag("antialias")}
    return Made("image.Resize", {**options, "data_format": "channels_last"})


def _grey(_: Arguments) -> Made:
    return Made("image.RGBToGrayscale", {"data_format": "channels_last"})


def sliced(given: Arguments) -> Made:
    """Write indexing by numbers, slices, ``...`` and new axes."""
    spec = given.value("slice_spec")
    parts = spec if isinstance(spec, list) else [spec]
    return Made("numpy.GetItem", {}, ([_part(part) for part in parts],))


def _part(part: Any) -> Any:
    if part is None or is_whole(part):
        return part
    if isinstance(part, dict) and part.get("class_name") == "__ellipsis__":
        return {"class_name": "__ellipsis__", "config": {}}
    plain = isinstance(part, dict) and part.keys() == {"start", "stop", "step"}
    if plain and all(n is None or is_whole(n) for n in part.values()):
        return {"class_name": "__slice__", "config": dict(part)}
    raise OperationError(f"is called with the index {str(part)[:60]}")


# -- the table -----------------------------------------------------------------------------------------

_OF_ONE = {
    "math.abs": "numpy.Absolute", "math.acos": "numpy.Arccos", "math.acosh": "numpy.Arccosh",
    "math.asin": "numpy.Arcsin", "math.asinh": "numpy.Arcsinh", "math.atan": "numpy.Arctan",
    "math.atanh": "numpy.Arctanh", "math.ceil": "numpy.Ceil", "math.cos": "numpy.Cos",
    "math.cosh": "numpy.Cosh", "math.erf": "math.Erf", "math.exp": "numpy.Exp", "math.expm1": "numpy.Expm1",
    "math.floor": "numpy.Floor", "math.is_finite": "numpy.Isfinite", "math.is_inf": "numpy.Isinf",
    "math.is_nan": "numpy.Isnan", "math.log": "numpy.Log", "math.log1p": "numpy.Log1p",
    "math.log_sigmoid": "nn.LogSigmoid", "math.logical_not": "numpy.LogicalNot",
    "math.negative": "numpy.Negative", "math.reciprocal": "numpy.Reciprocal", "math.round": "numpy.Round",
    "math.rsqrt": "math.Rsqrt", "math.sigmoid": "nn.Sigmoid", "math.sign": "numpy.Sign",
    "math.sin": "numpy.Sin", "math.sinh": "numpy.Sinh", "math.softplus": "nn.Softplus",
    "math.sqrt": "numpy.Sqrt", "math.square": "numpy.Square", "math.tan": "numpy.Tan",
    "math.tanh": "numpy.Tanh", "nn.elu": "nn.Elu", "nn.relu": "nn.Relu", "nn.relu6": "nn.Relu6",
    "nn.selu": "nn.Selu", "nn.softsign": "nn.Softsign", "identity": "numpy.Copy",
    "stop_gradient": "core.StopGradient",
}  # fmt: skip
_OF_TWO = {
    "__operators__.add": "numpy.Add", "__operators__.eq": "numpy.Equal", "__operators__.ne": "numpy.NotEqual",
    "math.add": "numpy.Add", "math.divide": "numpy.Divide",
    "math.divide_no_nan": "numpy.DivideNoNan", "math.equal": "numpy.Equal",
    "math.floordiv": "numpy.FloorDivide", "math.floormod": "numpy.Mod", "math.greater": "numpy.Greater",
    "math.greater_equal": "numpy.GreaterEqual", "math.less": "numpy.Less",
    "math.less_equal": "numpy.LessEqual", "math.logical_and": "numpy.LogicalAnd",
    "math.logical_or": "numpy.LogicalOr", "math.logical_xor": "numpy.LogicalXor",
    "math.maximum": "numpy.Maximum", "math.minimum": "numpy.Minimum", "math.multiply": "numpy.Multiply",
    "math.not_equal": "numpy.NotEqual", "math.pow": "numpy.Power", "math.subtract": "numpy.Subtract",
    "math.truediv": "numpy.TrueDivide", "realdiv": "numpy.Divide",
}  # fmt: skip
_OVER_AXES = {
    "math.reduce_all": "numpy.All", "math.reduce_any": "numpy.Any", "math.reduce_logsumexp": "math.Logsumexp",
    "math.reduce_max": "numpy.Max", "math.reduce_mean": "numpy.Mean", "math.reduce_min": "numpy.Min",
    "math.reduce_prod": "numpy.Prod", "math.reduce_std": "numpy.Std", "math.reduce_sum": "numpy.Sum",
    "math.reduce_variance": "numpy.Var",
}  # fmt: skip
RULES: dict[str, Callable[[Arguments], Made]] = {
    **{name: _same(operation) for name, operation in _OF_ONE.items()},
    **{name: _two(operation) for name, operation in _OF_TWO.items()},
    **{name: _over(operation) for name, operation in _OVER_AXES.items()},
    "__operators__.getitem": sliced,
    "compat.v1.floor_div": _two("numpy.FloorDivide"),
    "compat.v1.math.scalar_mul": _two("numpy.Multiply", "x"),
    "compat.v1.norm": _norm,
    "compat.v1.pad": _pad,
    "compat.v1.squeeze": _squeeze,
    "math.atan2": _two("numpy.Arctan2", "x"),
    "reverse": _reversed,
    "cast": _cast,
    "clip_by_value": _clip,
    "compat.v1.gather": _gather,
    "compat.v1.transpose": _transpose,
    "concat": _joined("numpy.Concatenate", 0),
    "convert_to_tensor": _tensor_of,
    "expand_dims": _expand,
    "gather": _gather,
    "image.resize": _resize,
    "image.rgb_to_grayscale": _grey,
    "linalg.matmul": _matmul,
    "math.argmax": _first_axis("numpy.Argmax", "output_type"),
    "math.argmin": _first_axis("numpy.Argmin", "output_type"),
    "math.cumprod": _cumulated("numpy.Cumprod"),
    "math.cumsum": _cumulated("numpy.Cumsum"),
    "math.l2_normalize": _normalized,
    "math.scalar_mul": _two("numpy.Multiply", "x"),
    "math.top_k": _top,
    "nn.avg_pool": _pool("nn.AveragePool"),
    "nn.avg_pool2d": _pool("nn.AveragePool"),
    "nn.bias_add": _bias,
    "nn.depth_to_space": _blocks("nn.DepthToSpace"),
    "nn.gelu": _gelu,
    "nn.leaky_relu": _leaky,
    "nn.log_softmax": _along("nn.LogSoftmax", -1),
    "nn.max_pool": _pool("nn.MaxPool"),
    "nn.max_pool2d": _pool("nn.MaxPool"),
    "nn.silu": _silu,
    "nn.softmax": _along("nn.Softmax", -1),
    "nn.space_to_depth": _blocks("nn.SpaceToDepth"),
    "norm": _norm,
    "one_hot": _one_hot,
    "ones_like": _like("numpy.OnesLike"),
    "pad": _pad,
    "repeat": _repeat,
    "reshape": _reshape,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _joined("numpy.Stack", 0),
    "tensordot": _tensordot,
    "tile": _tile,
    "transpose": _transpose,
    "unstack": _unstack,
    "where": _where,
    "zeros_like": _like("numpy.ZerosLike"),
}
"""By the names in which TensorFlow exports functions."""
