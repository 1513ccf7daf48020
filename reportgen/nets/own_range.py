"""What a network does to its input in front of its first weights: which values it expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.nets.engine import on_device, without_graph_optimizer
from reportgen.nets.keras_internals import layer_variables
from reportgen.nets.tensorflow_internals import cut_out, run_flat
from reportgen.network.facts import InputRescaling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reportgen.nets.traceable import TraceableModel
    from reportgen.nets.tracing import Traced

_CLOSE = 1e-4
_PASSES_ON = frozenset({"Identity", "Cast"})


def input_rescaling(traceable: TraceableModel, traced: Traced, size: int) -> InputRescaling | None:
    """Return what stands in front of the first weights does to the values; None where that is nothing.

    A Rescaling or Normalization says its numbers. Other operations (``preprocess_input`` inside of the network)
    are asked: black, one channel at a time and noise go through them, and what comes out must be the input,
    channel by channel, times a factor plus a number.

    Args:
        traceable: the model.
        traced: its forward pass.
        size: images in a block of it.
    """
    layers = {node.path: node.operation for node in traceable.nodes}
    for call in traced.recorded:
        layer = layers.get(call.layer)
        if layer is None or not call.leaf:
            continue
        name = type(layer).__name__
        if name == "Rescaling":
            return InputRescaling(call.layer, _numbers(layer.scale), _numbers(layer.offset))
        if name == "Normalization":
            return _of_normalization(call.layer, layer)
        if layer_variables(layer) or "Conv" in name or name in {"Dense", "EinsumDense"}:
            return _of_operations(traceable, traced, call, size)
    return None


def _of_normalization(path: str, layer: Any) -> InputRescaling:
    mean = np.array(_numbers(layer.mean))
    std = np.maximum(np.sqrt(np.array(_numbers(layer.variance))), 1e-7)  # Keras's own floor
    inverted = bool(getattr(layer, "invert", False))
    scale, offset = (std, mean) if inverted else (1 / std, -mean / std)
    return InputRescaling(path, tuple(scale.tolist()), tuple(offset.tolist()), adapted=True)


def _numbers(value: Any) -> tuple[float, ...]:
    array = np.asarray(value, np.float64)
    return tuple(array.reshape(-1).tolist())


def _of_operations(
    traceable: TraceableModel, traced: Traced, first: Any, size: int
) -> InputRescaling | None:
    """Ask the operations between an image input and the first call with weights, where there are any."""
    import tensorflow as tf

    images = {t.name: name for name, t in traced.inputs.items() if t.shape.rank == 4}
    tensor = _last_of_shape(first, {tuple(t.shape) for t in traced.inputs.values()})
    if tensor is None or _handed_on(tensor).name in images:
        return None
    name = next((images[t.name] for t in _behind(tensor) if t.name in images), None)
    if name is None or traceable.shapes[name] != tuple(tensor.shape[1:]):
        return None
    function = cut_out(traced.function, list(traced.inputs.values()), [tensor])

    def answer(image: NDArray[Any]) -> NDArray[Any]:
        inputs = {
            key: image[None] if key == name else np.zeros((1, *shape))
            for key, shape in traceable.shapes.items()
        }
        with on_device(traceable.device), without_graph_optimizer():
            (found,) = run_flat(function, [*traceable.tensors(inputs, size).values()])
        return np.asarray(found[0], np.float64)

    try:
        found = _read_off(answer, traceable.shapes[name])
    except (tf.errors.OpError, ValueError, TypeError):
        return None
    if found is None:
        return None
    makers = [c.layer for c in traced.recorded if any(t is tensor for t in c.outputs)]
    return InputRescaling(makers[0] if makers else first.layer, *found)


def _last_of_shape(first: Any, shapes: set[tuple[int, ...]]) -> Any | None:
    """Walk back from what a call reads to the last tensor of an input's shape, in front of padding."""
    tensor = next((t for t in first.inputs if t.shape.rank == 4), None)
    while tensor is not None and tuple(tensor.shape) not in shapes:
        tensor = next((t for t in tensor.op.inputs if t.shape.rank == 4), None)
    return tensor


def _handed_on(tensor: Any) -> Any:
    while tensor.op.type in _PASSES_ON:
        tensor = tensor.op.inputs[0]
    return tensor


def _behind(tensor: Any) -> list[Any]:
    """Return all tensors that one is made of."""
    found: dict[str, Any] = {}
    waiting = [tensor]
    while waiting:
        current = waiting.pop()
        if current.name not in found:
            found[current.name] = current
            waiting.extend(current.op.inputs)
    return list(found.values())


def _read_off(
    answer: Any, shape: tuple[int, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return factor and number of each channel, whatever place it gets; None for any other function."""
    channels = shape[2]
    black = answer(np.zeros(shape, np.float32))
    scale, offset, order = np.zeros(channels), np.zeros(channels), []
    for channel in range(channels):
        image = np.zeros(shape, np.float32)
        image[..., channel] = 1
        moved = (answer(image) - black).mean(axis=(0, 1))
        to = int(np.abs(moved).argmax())
        order.append(to)
        scale[channel], offset[channel] = moved[to], black[..., to].mean()
    noise = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    expected = np.empty(shape)
    expected[..., order] = noise * scale + offset
    same = sorted(order) == list(range(channels)) and np.allclose(
        answer(noise), expected, rtol=_CLOSE, atol=_CLOSE * max(float(np.abs(scale).max()), 1e-6)
    )
    identity = same and bool(np.all(scale == 1) and not offset.any())
    return (tuple(scale.tolist()), tuple(offset.tolist())) if same and not identity else None
