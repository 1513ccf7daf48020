"""What a network does to its input in front of its first weights: which values it expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from reportgen.nets.engine import on_device, without_graph_optimizer
from reportgen.nets.graph_walks import HANDS_ON, before, needed_by
from reportgen.nets.keras_internals import layer_variables
from reportgen.nets.subgraph import cut_out
from reportgen.nets.tensorflow_internals import run_flat
from reportgen.network.facts import InputRescaling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from reportgen.nets.traceable import TraceableModel
    from reportgen.nets.tracing import Traced

_CLOSE = 1e-4


def input_rescaling(traceable: TraceableModel, traced: Traced, size: int) -> InputRescaling | None:
    """Return what stands in front of the first weights does to the values; None where that is nothing.

    All of it together is asked, be it a Rescaling, a Normalization or operations (``preprocess_input`` inside
    of the network): black, one channel at a time and random colours go through, and what comes out must be the
    input, channel by channel, times a factor plus a number.

    Args:
        traceable: the model.
        traced: its forward pass.
        size: images in a block of it.
    """
    layers = {node.path: node.operation for node in traceable.nodes}
    said: list[InputRescaling] = []
    for call in traced.recorded:
        layer = layers.get(call.layer)
        if layer is None or not call.leaf:
            continue
        name = type(layer).__name__
        if name == "Rescaling":
            said.append(InputRescaling(call.layer, _numbers(layer.scale), _numbers(layer.offset)))
        elif name == "Normalization":
            said.append(_of_normalization(call.layer, layer))
        elif layer_variables(layer) or "Conv" in name or name in {"Dense", "EinsumDense"}:
            return _asked(traceable, traced, call, size, said)
    return said[0] if said else None


def _asked(
    traceable: TraceableModel,
    traced: Traced,
    first: Any,
    size: int,
    said: Sequence[InputRescaling],
) -> InputRescaling | None:
    """Ask all that stands in front of a call; its first layer's own numbers where nothing stands beside it."""
    found = _of_operations(traceable, traced, first, size)
    if found is None or not said:
        nothing = found is None or (set(found.scale) == {1.0} and not any(found.offset))
        return said[0] if said else None if nothing else found
    near = max(*map(abs, found.offset), 1e-6) * _CLOSE
    alone = np.allclose(said[0].scale, found.scale, rtol=_CLOSE) and np.allclose(
        said[0].offset, found.offset, rtol=_CLOSE, atol=near
    )
    adapted = any(one.adapted for one in said)
    return said[0] if alone else replace(found, layer=said[0].layer, adapted=adapted)


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

    images = {t.op: name for name, t in traced.inputs.items() if t.shape.rank == 4}
    tensor = next((t for t in first.inputs if t.shape.rank == 4), None)
    if tensor is None or before(tensor, HANDS_ON).op in images:
        return None
    needed = needed_by([tensor])
    name = next((name for operation, name in images.items() if operation in needed), None)
    if name is None or traceable.shapes[name][2] != tensor.shape[3]:
        return None

    def answer(colour: NDArray[Any]) -> NDArray[Any]:
        image = np.broadcast_to(colour.astype(np.float32), (1, *traceable.shapes[name]))
        inputs = {
            key: image if key == name else np.zeros((1, *shape))
            for key, shape in traceable.shapes.items()
        }
        with on_device(traceable.device), without_graph_optimizer():
            (found,) = run_flat(function, [*traceable.tensors(inputs, size).values()])
        middle = np.asarray(found[0], np.float64)
        place = middle.shape[0] // 2, middle.shape[1] // 2  # away from padding
        return np.asarray(middle[place])

    try:
        function = cut_out(traced.function, list(traced.inputs.values()), [tensor])
        found = _read_off(answer, traceable.shapes[name][2])
    except (tf.errors.OpError, ValueError, TypeError):
        return None
    if found is None:
        return None
    makers = [c.layer for c in traced.recorded if any(t is tensor for t in c.outputs)]
    return InputRescaling(makers[0] if makers else first.layer, *found)


def _read_off(
    answer: Callable[[NDArray[Any]], NDArray[Any]], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return factor and number of each channel, whatever place it gets; None for any other function.

    Args:
        answer: from a colour that fills the image to the one that comes out in its middle.
        channels: of the input.
    """
    black = answer(np.zeros(channels))
    moved = np.array([answer(row) - black for row in np.eye(channels)])
    if not (np.isfinite(moved).all() and np.isfinite(black).all()):
        return None
    order = np.abs(moved).argmax(axis=1)
    scale, offset = moved[np.arange(channels), order], black[order]
    near = _CLOSE * max(float(np.abs(scale).max()), 1e-6)
    same = sorted(order.tolist()) == list(range(channels))
    for colour in np.random.default_rng(0).uniform(0, 2, (3, channels)):
        expected = np.empty(channels)
        expected[order] = colour * scale + offset
        same = same and np.allclose(answer(colour), expected, rtol=_CLOSE, atol=near)
    return (tuple(scale.tolist()), tuple(offset.tolist())) if same else None
