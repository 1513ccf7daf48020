"""Networks with operations of TensorFlow's graphs, as TensorFlow 2.0 to 2.3 held them, for ``migration.py``.

No ``tf_keras`` makes such files by itself any more; it still has the layer, and reads them.
"""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import numpy as np

ROWS, PICTURE = (4, 3), (4, 6, 4)
FLOAT = {"T": {"type": "DT_FLOAT"}}
OF_ONE = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Elu", "Erf",
    "Exp", "Expm1", "Floor", "Identity", "IsFinite", "IsInf", "IsNan", "Log", "Log1p", "LogSoftmax",
    "Neg", "OnesLike", "Reciprocal", "Relu", "Relu6", "Round", "Rsqrt", "Selu", "Sigmoid", "Sign",
    "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Square", "StopGradient", "Tan", "Tanh",
    "ZerosLike",
)  # fmt: skip
OF_TWO = (
    "Add", "AddV2", "Atan2", "DivNoNan", "Equal", "FloorDiv", "FloorMod", "Greater", "GreaterEqual",
    "Less", "LessEqual", "Maximum", "Minimum", "Mul", "NotEqual", "Pow", "RealDiv", "Sub",
)  # fmt: skip


WITHOUT_TYPE = {"Cast", "GatherV2", "All", "Any", "LogicalAnd", "LogicalOr", "LogicalNot"}


def whole(value: int) -> dict[str, Any]:
    """Return an attribute that is a whole number."""
    return {"i": str(value)}


def text(value: str) -> dict[str, Any]:
    """Return an attribute that is a text."""
    return {"s": base64.b64encode(value.encode()).decode()}


def wholes(*values: int) -> dict[str, Any]:
    """Return an attribute that is a list."""
    return {"list": {"i": [str(value) for value in values]}}


def flag(value: Any) -> dict[str, Any]:
    """Return an attribute that is true or false."""
    return {"b": bool(value)}


def places(*values: Any) -> Any:
    """Return a constant that counts; one alone is no list."""
    return np.array(values[0] if len(values) == 1 else values, np.int32)


def cases() -> dict[str, tuple[str, dict[str, Any], dict[int, Any], list[tuple[int, ...]]]]:
    """Return operations with their attributes, constants by place, and shapes of inputs, by name."""
    found: dict[str, Any] = {kind: (kind, {}, {}, [ROWS]) for kind in OF_ONE}
    row = np.array([0.5, 0.25, 2], np.float32)
    for kind in OF_TWO:
        found[f"{kind}_tensors"] = (kind, {}, {}, [ROWS, ROWS])
        found[f"{kind}_constant"] = (kind, {}, {1: np.float32(0.5)}, [ROWS])
        found[f"{kind}_constant_first"] = (kind, {}, {0: row}, [ROWS])
    for kind in ("Max", "Mean", "Min", "Prod", "Sum"):
        for keep, axes in ((0, 1), (1, [1, 2]), (0, [-1])):
            found[f"{kind}_{keep}_{axes}"] = (
                kind,
                {"keep_dims": flag(keep)},
                {1: places(axes)},
                [ROWS],
            )
    for kind in ("AvgPool", "MaxPool"):
        for padding in ("SAME", "VALID"):
            window = {"ksize": wholes(1, 2, 3, 1), "strides": wholes(1, 2, 2, 1)}
            window |= {"padding": text(padding), "data_format": text("NHWC")}
            found[f"{kind}_{padding}"] = (kind, window, {}, [(7, 6, 2)])
    for turned, shapes in (
        ("", [(4, 3), (3, 5)]),
        ("x", [(3, 4), (3, 5)]),
        ("y", [(4, 3), (5, 3)]),
    ):
        for kind in ("BatchMatMul", "BatchMatMulV2"):
            said = {f"adj_{side}": flag(side == turned) for side in "xy"}
            found[f"{kind}_{turned}"] = (kind, said, {}, shapes)
    for mode in ("REFLECT", "SYMMETRIC"):
        found[f"MirrorPad_{mode}"] = (
            "MirrorPad", {"mode": text(mode)}, {1: places([0, 0], [1, 2], [0, 1])}, [ROWS],
        )  # fmt: skip
    for kind in ("ResizeBilinear", "ResizeNearestNeighbor"):
        said = {"align_corners": flag(0), "half_pixel_centers": flag(1)}
        found[kind] = (kind, said, {1: places(7, 9)}, [PICTURE])
    return found | _others() | _indices()


def _others() -> dict[str, Any]:
    matrix = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    block = {"block_size": whole(2), "data_format": text("NHWC")}
    straight = {"exclusive": flag(0), "reverse": flag(0)}
    gathered = {f"T{name}": {"type": "DT_INT32"} for name in ("indices", "axis")}
    gathered |= {"Tparams": {"type": "DT_FLOAT"}, "batch_dims": whole(0)}
    padded = places([0, 0], [1, 2], [0, 1])
    one, last, ones = places(1), places(-1), np.ones((1, 4, 3), np.float32)
    return {
        "All": ("All", {"keep_dims": flag(0)}, {1: one}, [ROWS]),
        "Any": ("Any", {"keep_dims": flag(1)}, {1: last}, [ROWS]),
        "LogicalAnd": ("LogicalAnd", {}, {}, [ROWS, ROWS]),
        "LogicalNot": ("LogicalNot", {}, {}, [ROWS]),
        "LogicalOr": ("LogicalOr", {}, {}, [ROWS, ROWS]),
        "OneHot": ("OneHot", {"axis": whole(-1)}, {1: places(3), 2: np.float32(1), 3: np.float32(0)}, [ROWS]),
        "Select": ("Select", {}, {}, [ROWS, ROWS, ROWS]),
        "SelectV2": ("SelectV2", {}, {2: np.float32(7)}, [ROWS, ROWS]),
        "ArgMax": ("ArgMax", {"output_type": {"type": "DT_INT64"}}, {1: one}, [ROWS]),
        "ArgMin": ("ArgMin", {"output_type": {"type": "DT_INT32"}}, {1: last}, [ROWS]),
        "BiasAdd": ("BiasAdd", {"data_format": text("NHWC")}, {1: matrix[:, 0]}, [ROWS]),
        "Cast": ("Cast", {"SrcT": {"type": "DT_FLOAT"}, "DstT": {"type": "DT_INT32"}}, {}, [ROWS]),
        "ClipByValue": ("ClipByValue", {}, {1: np.float32(-0.3), 2: np.float32(0.7)}, [ROWS]),
        "ConcatV2": ("ConcatV2", {"N": whole(2)}, {2: last}, [ROWS, (4, 2)]),
        "ConcatV2_constant": ("ConcatV2", {"N": whole(2)}, {0: ones, 2: places(0)}, [ROWS]),
        "Cumprod": ("Cumprod", straight, {1: one}, [ROWS]),
        "Cumsum": ("Cumsum", straight, {1: one}, [ROWS]),
        "DepthToSpace": ("DepthToSpace", block, {}, [PICTURE]),
        "ExpandDims": ("ExpandDims", {}, {1: last}, [ROWS]),
        "GatherV2": ("GatherV2", gathered, {1: places(1, 0, 1), 2: one}, [ROWS]),
        "LeakyRelu": ("LeakyRelu", {"alpha": {"f": 0.3}}, {}, [ROWS]),
        "MatMul": ("MatMul", {"transpose_a": flag(0), "transpose_b": flag(0)}, {1: matrix}, [(3,)]),
        "MatMul_turned": ("MatMul", {"transpose_a": flag(0), "transpose_b": flag(1)}, {1: matrix.T}, [(3,)]),
        "Pack": ("Pack", {"N": whole(2), "axis": whole(1)}, {}, [ROWS, ROWS]),
        "Pad": ("Pad", {}, {1: padded}, [ROWS]),
        "PadV2": ("PadV2", {}, {1: padded, 2: np.float32(0)}, [ROWS]),
        "Reshape": ("Reshape", {}, {1: places(-1, 6, 2)}, [ROWS]),
        "ReverseV2": ("ReverseV2", {}, {1: places([1])}, [ROWS]),
        "SpaceToDepth": ("SpaceToDepth", block, {}, [PICTURE]),
        "Split": ("Split", {"num_split": whole(2)}, {0: one}, [ROWS]),
        "SplitV": ("SplitV", {"num_split": whole(2)}, {1: places(1, 3), 2: one}, [ROWS]),
        "Squeeze": ("Squeeze", {"squeeze_dims": wholes(2)}, {}, [(4, 1, 3)]),
        "Tile": ("Tile", {}, {1: places(1, 2, 1)}, [ROWS]),
        "TopKV2": ("TopKV2", {"sorted": flag(1)}, {1: places(2)}, [ROWS]),
        "Transpose": ("Transpose", {}, {1: places(0, 2, 1)}, [ROWS]),
        "Unpack": ("Unpack", {"num": whole(3), "axis": whole(2)}, {}, [ROWS]),
    }  # fmt: skip


def _indices() -> dict[str, Any]:
    masks = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    of = {
        "[:, 1:3]": ([0, 1], [0, 3], [1, 1], {"begin": 1, "end": 1}),
        "[..., 0]": ([0, 0], [0, 1], [1, 1], {"ellipsis": 1, "shrink_axis": 2}),
        "[:, :, ::-1]": ([0, 0, 0], [0, 0, 0], [1, 1, -1], {"begin": 7, "end": 7}),
        "[:, None]": ([0, 0], [0, 0], [1, 1], {"begin": 1, "end": 1, "new_axis": 2}),
        "[:, -2]": ([0, -2], [0, -1], [1, 1], {"begin": 1, "end": 1, "shrink_axis": 2}),
    }
    return {
        f"StridedSlice {index}": (
            "StridedSlice", {f"{mask}_mask": whole(said.get(mask, 0)) for mask in masks},
            {1: places(*begin), 2: places(*end), 3: places(*strides)}, [ROWS],
        )
        for index, (begin, end, strides, said) in of.items()
    }  # fmt: skip


_POSITIVE: Any = ("Greater", {}, {1: np.float32(0)})
_WHOLE: Any = ("Cast", {"SrcT": {"type": "DT_FLOAT"}, "DstT": {"type": "DT_INT32"}}, {})
PREPARED: dict[str, Any] = {
    "All": (_POSITIVE, [0]), "Any": (_POSITIVE, [0]), "LogicalAnd": (_POSITIVE, [0, 1]),
    "LogicalOr": (_POSITIVE, [0, 1]), "LogicalNot": (_POSITIVE, [0]), "Select": (_POSITIVE, [0]),
    "SelectV2": (_POSITIVE, [0]), "OneHot": (_WHOLE, [0]),
}  # fmt: skip
"""What stands in front of which inputs of an operation."""


def raw_networks() -> dict[str, Any]:
    """Return makers of networks by name, an operation each."""
    return {f"raw_{name}": partial(_made, *case) for name, case in cases().items()}


def _made(
    kind: str, said: dict[str, Any], constants: dict[int, Any], shapes: list[tuple[int, ...]]
) -> Any:
    """Make a network of an operation, behind others where it takes no numbers with a point."""
    from tf_keras import Input, Model, layers

    entries = [Input(shape) for shape in shapes]
    given = list(entries)
    for place in PREPARED.get(kind, ((), ()))[1]:
        given[place] = _raw(*PREPARED[kind][0], [given[place]])
    made = _raw(kind, said, constants, given)
    outputs = made if isinstance(made, list | tuple) else [made]
    ends = [layers.Activation("linear")(one) if one.dtype == "float32" else one for one in outputs]
    return Model(entries, ends)


def _raw(kind: str, said: dict[str, Any], constants: dict[int, Any], given: list[Any]) -> Any:
    from tf_keras.src.engine.base_layer import TensorFlowOpLayer

    inputs = [f"x{n}" for n in range(len(given) + len(constants))]
    node = {
        "name": kind,
        "op": kind,
        "input": inputs,
        "attr": said if kind in WITHOUT_TYPE else FLOAT | said,
    }
    name = f"{kind}_{len(given)}_{given[0].name}".replace(":", "_")
    return TensorFlowOpLayer(node, name, constants)(given if len(given) > 1 else given[0])
