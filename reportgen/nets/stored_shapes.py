"""Shapes of the outputs of a network that is not built, where a plain rule gives them; nothing is guessed.

A rule takes the shapes that a layer reads, without the batch dimension, and its stored arguments. Whatever it
does not know, or a file says in another form, has no shape, and so has nothing behind it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from reportgen.network.facts import InputRef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reportgen.nets.stored_layers import StoredLayer
    from reportgen.network.facts import CallFacts, Source, TensorFacts

Shape = tuple[int, ...]
_LARGEST = 2**40
_SAME = frozenset({
    "Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Dropout", "ELU",
    "GaussianDropout", "GaussianNoise", "GroupNormalization", "Identity", "LayerNormalization", "LeakyReLU",
    "Masking", "Normalization", "PReLU", "RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation",
    "RandomTranslation", "RandomZoom", "ReLU", "Rescaling", "Softmax", "SpatialDropout1D", "SpatialDropout2D",
    "SpatialDropout3D", "ThresholdedReLU", "UnitNormalization",
})  # fmt: skip
_MERGED = frozenset({"Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"})
_RECURRENT = frozenset({"LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU"})
_KNOWN_OF_NOTHING = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
"""What a rule raises on arguments in a form that Keras does not write."""


def with_shapes(
    calls: Sequence[CallFacts], layers: Sequence[StoredLayer], inputs: Sequence[TensorFacts]
) -> tuple[CallFacts, ...]:
    """Return calls with the shapes of their outputs, as far as they are known.

    Args:
        calls: in their order.
        layers: of the stored configuration.
        inputs: of the network.
    """
    configured = {layer.path: layer for layer in layers}
    known: dict[Source, Shape] = {}
    for tensor in inputs:
        if all(n is not None for n in tensor.shape[1:]):
            known[InputRef(tensor.name)] = tuple(n or 0 for n in tensor.shape[1:])
    found = []
    for call in calls:
        layer = configured.get(call.layer)
        read = [known[source] for source in call.inputs if source in known]
        shape = None
        if layer is not None and read and len(read) == len(call.inputs):
            shape = shape_of(layer.class_name, layer.config, read)
        if shape is None:
            found.append(call)
            continue
        known[call.id] = shape
        found.append(replace(call, shapes=(shape,)))
    return tuple(found)


def shape_of(class_name: str, config: Mapping[str, Any], read: Sequence[Shape]) -> Shape | None:
    """Return the shape of a layer's output, or nothing where no plain rule gives it.

    Args:
        class_name: of the layer.
        config: its stored arguments.
        read: the shapes that it reads, without the batch dimension.
    """
    rule = _rule(class_name)
    try:
        shape = rule(config, read) if rule else None
    except _KNOWN_OF_NOTHING:
        return None
    fits = shape is not None and all(type(n) is int and 0 < n <= _LARGEST for n in shape)
    return shape if fits else None


def _rule(class_name: str) -> Callable[[Mapping[str, Any], Sequence[Shape]], Shape | None] | None:
    if class_name in _SAME:
        return lambda _, read: read[0]
    if class_name in _MERGED:
        return lambda _, read: read[0] if len(set(read)) == 1 else None
    return _RULES.get(class_name)


# -- rules -------------------------------------------------------------------------------------------


def _first(config: Mapping[str, Any]) -> bool:
    return config.get("data_format") == "channels_first"


def _parts(config: Mapping[str, Any], shape: Shape) -> tuple[Shape, int]:
    """Return the places and the channels of a shape."""
    return (shape[1:], shape[0]) if _first(config) else (shape[:-1], shape[-1])


def _joined(config: Mapping[str, Any], places: Sequence[int], channels: int) -> Shape:
    return (channels, *places) if _first(config) else (*places, channels)


def _each(value: Any, count: int) -> list[int]:
    """Return a number for each place, which may be stored as one for all."""
    held = [value] * count if isinstance(value, int) else list(value)
    if len(held) != count:
        raise ValueError("another number of places")
    return held


def _windows(
    config: Mapping[str, Any], places: Shape, sizes: Sequence[int], strides: Sequence[int]
) -> list[int]:
    """Return how many windows there are along each place."""
    steps = _each(config.get("dilation_rate", 1), len(places))
    whole = config["padding"] in {"same", "causal"}
    if not whole and config["padding"] != "valid":
        raise ValueError("another padding")
    spans = [step * (size - 1) + 1 for size, step in zip(sizes, steps, strict=True)]
    room = [n if whole else n - span + 1 for n, span in zip(places, spans, strict=True)]
    return [math.ceil(n / stride) for n, stride in zip(room, strides, strict=True)]


def _convolved(config: Mapping[str, Any], read: Sequence[Shape]) -> Shape:
    places, _ = _parts(config, read[0])
    sizes, strides = (_each(config[key], len(places)) for key in ("kernel_size", "strides"))
    return _joined(config, _windows(config, places, sizes, strides), config["filters"])


def _depthwise(config: Mapping[str, Any], read: Sequence[Shape]) -> Shape:
    places, channels = _parts(config, read[0])
    sizes, strides = (_each(config[key], len(places)) for key in ("kernel_size", "strides"))
    more = channels * config["depth_multiplier"]
    return _joined(config, _windows(config, places, sizes, strides), more)


def _widened(config: Mapping[str, Any], read: Sequence[Shape]) -> Shape | None:
    """Return the shape of a transposed convolution without what nobody can tell from it."""
    places, _ = _parts(config, read[0])
    sizes, strides = (_each(config[key], len(places)) for key in ("kernel_size", "strides"))
    plain = config.get("output_padding") is None and set(
        _each(config.get("dilation_rate", 1), len(places))
    ) == {1}
    if not plain or config["padding"] not in {"same", "valid"}:
        return None
    more = [
        0 if config["padding"] == "same" else max(k - s, 0)
        for k, s in zip(sizes, strides, strict=True)
    ]
    made = [n * s + add for n, s, add in zip(places, strides, more, strict=True)]
    return _joined(config, made, config["filters"])


def _pooled(config: Mapping[str, Any], read: Sequence[Shape]) -> Shape:
    places, channels = _parts(config, read[0])
    sizes = _each(config["pool_size"], len(places))
    strides = _each(config.get("strides") or sizes, len(places))
    return _joined(config, _windows(config, places, sizes, strides), channels)


def _pooled_whole(config: Mapping[str, Any], read: Sequence[Shape]) -> Shape:
    places, channels = _parts(config, read[0])
    return _joined(config, [1] * len(places), channels) if config.get("keepdims") else (channels,)


def _with_units(config: Mapping[str, Any], read: Sequence[Shape]) -> Shape:
    return (*read[0][:-1], config["units"])


def _flat(_: Mapping[str, Any], read: Sequence[Shape]) -> Shape:
    return (math.prod(read[0]),)


def _reshaped(config: Mapping[str, Any], read: Sequence[Shape]) -> Shape | None:
    target, values = list(config["target_shape"]), math.prod(read[0])
    if target.count(-1) == 1:
        rest = math.prod(n for n in target if n != -1)
        target[target.index(-1)] = values // rest
    return tuple(target) if math.prod(target) == values else None


def _padded(config: Mapping[str, Any], read: Sequence[Shape], sign: int = 1) -> Shape:
    places, channels = _parts(config, read[0])
    stored = config["padding" if sign > 0 else "cropping"]
    if len(places) == 1 and not isinstance(stored, int):
        stored = [stored]
    sides = [
        _each(pair, 2) for pair in ([stored] * len(places) if isinstance(stored, int) else stored)
    ]
    made = [n + sign * (a + b) for n, (a, b) in zip(places, sides, strict=True)]
    return _joined(config, made, channels)


def _enlarged(config: Mapping[str, Any], read: Sequence[Shape]) -> Shape:
    places, channels = _parts(config, read[0])
    factors = _each(config["size"], len(places))
    made = [n * factor for n, factor in zip(places, factors, strict=True)]
    return _joined(config, made, channels)


def _concatenated(config: Mapping[str, Any], read: Sequence[Shape]) -> Shape | None:
    axis = config.get("axis", -1)
    place = axis - 1 if axis > 0 else axis + len(read[0])  # the batch dimension is left out
    if axis == 0 or not 0 <= place < len(read[0]):
        return None
    others = {(*shape[:place], *shape[place + 1 :]) for shape in read}
    if len(others) != 1:
        return None
    return (*read[0][:place], sum(shape[place] for shape in read), *read[0][place + 1 :])


def _recurrent(config: Mapping[str, Any], read: Sequence[Shape]) -> Shape | None:
    if config.get("return_state"):
        return None
    steps = read[0][:1] if config.get("return_sequences") else ()
    return (*steps, config["units"])


def _both_ways(config: Mapping[str, Any], read: Sequence[Shape]) -> Shape | None:
    inner = config["layer"]
    made = _recurrent(inner["config"], read) if inner["class_name"] in _RECURRENT else None
    mode = config.get("merge_mode", "concat")
    if made is None or mode is None:
        return None
    return (*made[:-1], 2 * made[-1]) if mode == "concat" else made


def _each_step(config: Mapping[str, Any], read: Sequence[Shape]) -> Shape | None:
    inner, step = config["layer"], read[0][1:]
    made = shape_of(inner["class_name"], inner["config"], [step]) if step else None
    return None if made is None else (read[0][0], *made)


_RULES: dict[str, Callable[[Mapping[str, Any], Sequence[Shape]], Shape | None]] = {
    **dict.fromkeys(
        ("Conv1D", "Conv2D", "Conv3D", "SeparableConv1D", "SeparableConv2D"), _convolved
    ),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _widened),
    **{f"{kind}Pooling{n}D": _pooled for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{f"Global{kind}Pooling{n}D": _pooled_whole for kind in ("Max", "Average") for n in (1, 2, 3)},
    **{f"ZeroPadding{n}D": _padded for n in (1, 2, 3)},
    **{f"Cropping{n}D": lambda config, read: _padded(config, read, -1) for n in (1, 2, 3)},
    **{f"UpSampling{n}D": _enlarged for n in (1, 2, 3)},
    **dict.fromkeys(_RECURRENT, _recurrent),
    "Bidirectional": _both_ways,
    "Concatenate": _concatenated,
    "Dense": _with_units,
    "Embedding": lambda config, read: (*read[0], config["output_dim"]),
    "Flatten": _flat,
    "Permute": lambda config, read: tuple(read[0][n - 1] for n in config["dims"]),
    "RepeatVector": lambda config, read: (config["n"], *read[0]),
    "Reshape": _reshaped,
    "TimeDistributed": _each_step,
}
