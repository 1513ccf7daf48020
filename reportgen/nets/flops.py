"""Floating-point operations from shapes.

Two a multiply-add, one for an added bias, two an element for a normalization at inference and one
an element for additions, multiplications and pooling windows; activations and reshapes count as
nothing. Summed over a network this is within a few per cent of TensorFlow's own profiler.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

Shape = tuple[int, ...]


def call_flops(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """Return the floating-point operations of one call for one image, without inner layers' calls.

    Args:
        layer: the Keras layer or operation.
        inputs: shapes of its input tensors without the batch dimension.
        outputs: shapes of its output tensors without the batch dimension.
    """
    if not inputs or not outputs:
        return 0
    name = type(layer).__name__
    out = prod(outputs[0])
    positions = _positions(layer, outputs[0])
    if name in {"Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"}:
        return 2 * positions * _elements(layer, "kernel") + _bias(layer, out)
    if name.startswith("SeparableConv"):
        weights = _elements(layer, "depthwise_kernel") + _elements(layer, "pointwise_kernel")
        return 2 * positions * weights + _bias(layer, out)
    if name.startswith("Conv") and name.endswith("Transpose"):
        return 2 * _positions(layer, inputs[0]) * _elements(layer, "kernel") + _bias(layer, out)
    if name == "Dense":
        return 2 * out * inputs[0][-1] + _bias(layer, out)
    if name == "EinsumDense":
        return _einsum(layer, outputs[0])
    if name in {"MultiHeadAttention", "GroupedQueryAttention"}:
        return _attention(layer, inputs)
    if name in {"LSTM", "GRU", "SimpleRNN"}:
        cell = getattr(layer, "cell", None)
        weights = _elements(cell, "kernel") + _elements(cell, "recurrent_kernel")
        return inputs[0][0] * (2 * weights + _elements(cell, "bias"))
    if name == "TimeDistributed":  # it runs its layer's code without a call that could be recorded
        return inputs[0][0] * call_flops(layer.layer, [inputs[0][1:]], [outputs[0][1:]])
    return _elementwise(name, layer, inputs, out)


def _elementwise(name: str, layer: Any, inputs: Sequence[Shape], out: int) -> int:
    if name in {"BatchNormalization", "Rescaling", "Normalization"}:
        return 2 * out
    if name in {"LayerNormalization", "GroupNormalization", "UnitNormalization"}:
        return 5 * out
    if name in {"Add", "Multiply", "Subtract", "Average", "Maximum", "Minimum"}:
        return max(len(inputs) - 1, 1) * out
    if name.startswith("Global") and "Pooling" in name:
        return prod(inputs[0])
    if "Pooling" in name:
        size = getattr(layer, "pool_size", ())
        return out * prod(size if isinstance(size, tuple) else (size,))
    return 0


def _positions(layer: Any, shape: Shape) -> int:
    channels_first = getattr(layer, "data_format", None) == "channels_first"
    return prod(shape[1:] if channels_first else shape[:-1])


def _elements(layer: Any, name: str) -> int:
    value = getattr(layer, name, None)
    shape = getattr(value, "shape", None)
    return prod(int(n) for n in shape) if shape is not None else 0


def _bias(layer: Any, out: int) -> int:
    return out if getattr(layer, "bias", None) is not None else 0


def _einsum(layer: Any, target: Shape) -> int:
    equation = str(getattr(layer, "equation", "")).replace("...", "")
    left, _, result = equation.partition("->")
    first, _, second = left.partition(",")
    kernel = getattr(getattr(layer, "kernel", None), "shape", None)
    if not result or kernel is None or len(kernel) != len(second):
        return 0
    sizes = dict(zip(second, (int(n) for n in kernel), strict=True))
    contracted = prod(sizes[index] for index in second if index in first and index not in result)
    out = prod(target)
    return 2 * out * contracted + _bias(layer, out)


def _attention(layer: Any, inputs: Sequence[Shape]) -> int:
    query = inputs[0]
    value = inputs[1] if len(inputs) > 1 else query
    heads = int(getattr(layer, "num_heads", 0) or getattr(layer, "num_query_heads", 0) or 0)
    key_width = int(getattr(layer, "key_dim", 0) or getattr(layer, "head_dim", 0) or 0)
    value_width = int(getattr(layer, "value_dim", 0) or key_width)
    return 2 * heads * prod(query[:-1]) * prod(value[:-1]) * (key_width + value_width)
