"""Where the channels of an input stand, and whether it is a series: the one place that decides it.

Everything outside of ``nets`` sees images as (height, width, channels); a network that takes its channels
first gets them turned in front of its own first operation. Two axes are steps by channels or a grey picture,
and only the layers that read them tell which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.nets.keras_internals import calls_behind, inner_layers, producer
from reportgen.nets.signature import symbolic_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from reportgen.nets.keras_internals import GraphCall
    from reportgen.nets.structure import Node
    from reportgen.network.facts import InputKind

_NO_PLACES = {"Flatten"}
"""Layers that have a data format and do not use places."""
_IMAGE_RANK, _SERIES_RANK = 4, 3
_OVER_STEPS = frozenset({
    "RNN", "SimpleRNN", "LSTM", "GRU", "Bidirectional", "TimeDistributed", "Masking", "MultiHeadAttention",
    "GroupedQueryAttention", "Attention", "AdditiveAttention",
})  # fmt: skip
"""Layers that read (steps, channels), beside those that say so by their names, as Conv1D."""
_BY_STEP = frozenset({"Dense", "EinsumDense"})
"""Layers that mix the channels of each step."""


def takes_channels_first(operations: Iterable[Any]) -> bool:
    """Tell whether layers take their channels first, so that TensorFlow may not run them on a processor.

    Args:
        operations: of a whole network, nested ones included, or of its recorded calls.
    """
    return channels_first_layer(operations) is not None


def channels_first_layer(operations: Iterable[Any]) -> Any | None:
    """Return the first layer that takes its channels first; None where there is none."""
    return next((one for one in operations if _comes_first(one)), None)


def _comes_first(operation: Any) -> bool | None:
    """Return whether a layer takes its channels first, by its data format; None where it has none to use."""
    order = getattr(operation, "data_format", None)
    return (
        None
        if order is None or type(operation).__name__ in _NO_PLACES
        else order == "channels_first"
    )


def channels_first_inputs(
    model: Any, names: Iterable[str], nodes: Iterable[Node]
) -> frozenset[str]:
    """Return the image inputs whose channels come first.

    The first layer behind an input that uses places says it by its ``data_format``, or one that moves the
    channels by its axes; without either they come last. In a model that is no graph, the first layer at all.

    Args:
        model: whose.
        names: of its inputs, in order.
        nodes: its layers, in order.
    """
    names, operations = tuple(names), [node.operation for node in nodes]
    tensors = symbolic_inputs(model)
    if len(tensors) != len(names):
        first = next((said for o in operations if (said := _said_by(o)) is not None), False)
        return frozenset(names) if first else frozenset()
    return frozenset(
        name
        for name, tensor in zip(names, tensors, strict=True)
        if len(tensor.shape) == _IMAGE_RANK
        and _first_behind(
            tensor, operations, lambda call, _: _said_by(call.operation), {_IMAGE_RANK}
        )
    )


def _first_behind(
    tensor: Any,
    operations: list[Any],
    say: Callable[[GraphCall, Any], Any],
    ranks: set[int],
) -> Any:
    """Walk the layers behind an input, nested models too, nearest first, to one that says something.

    Args:
        tensor: the input.
        operations: of the model.
        say: what a call says of a tensor that it reads.
        ranks: of the tensors that are followed.
    """
    waiting, seen = [tensor], set()
    while waiting:
        current = waiting.pop(0)
        for call in calls_behind(producer(current, operations), operations):
            key = (id(call.operation), *map(id, call.outputs))
            if key in seen or not any(given is current for given in call.inputs):
                continue
            seen.add(key)
            said = say(call, current)
            if said is not None:
                return said
            inside = _inputs_of(call, current)
            waiting += [t for t in (*inside, *call.outputs) if len(t.shape) in ranks]
    return None


def _inputs_of(call: GraphCall, tensor: Any) -> list[Any]:
    """Return the inputs of a nested model that a tensor goes into."""
    inner = getattr(call.operation, "inputs", None) if hasattr(call.operation, "layers") else None
    if not isinstance(inner, list) or len(inner) != len(call.inputs):
        return []
    return [own for own, outer in zip(inner, call.inputs, strict=True) if outer is tensor]


def _said_by(operation: Any) -> bool | None:
    """Return whether channels come first in front of a layer; None where it does not say."""
    kind = type(operation).__name__
    if kind == "Permute":
        return {(2, 3, 1): True, (3, 1, 2): False}.get(tuple(operation.dims))
    if kind == "Transpose":
        return {(0, 2, 3, 1): True, (0, 3, 1, 2): False}.get(tuple(operation.axes or ()))
    if kind == "Moveaxis":
        source, target = _place(operation.source), _place(operation.destination)
        return {(1, 3): True, (3, 1): False}.get((source or 0, target or 0))
    return _comes_first(operation)


def _place(axes: Any) -> int | None:
    """Return the axis of (batch, …, …, …) that one axis means; None for several."""
    listed = list(axes) if isinstance(axes, list | tuple) else [axes]
    return listed[0] % _IMAGE_RANK if len(listed) == 1 else None


def input_kinds(
    model: Any, names: Mapping[str, Any], nodes: Iterable[Node]
) -> dict[str, InputKind]:
    """Return what the inputs of rank 2, without the batch dimension, are read as, by name.

    The first layers behind an input decide, past those that change values only. In a model that is no graph,
    the first layer at all that takes steps or places.

    Args:
        model: whose; built.
        names: of its inputs, in order, with shape (batch first) and dtype.
        nodes: its layers, in order.
    """
    operations = [node.operation for node in nodes]
    asked = {name for name, (shape, _) in names.items() if len(shape) == _SERIES_RANK}
    tensors = symbolic_inputs(model)
    if len(tensors) != len(names):
        said = next((found for o in operations if (found := _kind_said_by(o)) is not None), None)
        return dict.fromkeys(asked, said or "unknown")
    ranks = {_SERIES_RANK, _IMAGE_RANK}
    return {
        name: _first_behind(tensor, operations, _kind_for, ranks) or "unknown"
        for name, tensor in zip(names, tensors, strict=True)
        if name in asked
    }


def _kind_for(call: GraphCall, tensor: Any) -> InputKind | None:
    """Return what a call takes a tensor for that is, or was made of, an input of rank 2."""
    operation, shape = call.operation, tuple(tensor.shape)
    said = _kind_said_by(operation)
    if said is not None:
        return said
    if len(shape) == _SERIES_RANK:
        if type(operation).__name__ in _BY_STEP:
            return "series"
        if any(_beside_one(tuple(made.shape), shape[-1]) for made in call.outputs):
            return "series"
    if getattr(operation, "inputs", None) is None:
        inner = (_kind_said_by(layer) for layer in inner_layers(operation))
        return next((found for found in inner if found is not None), None)
    return None


def _kind_said_by(operation: Any) -> InputKind | None:
    """Return what a layer takes its input for, by its class; ``unknown`` for a picture, None for either."""
    kind = type(operation).__name__
    if kind == "Permute" and tuple(operation.dims) == (2, 1):
        return "other"
    if "1D" in kind or kind in _OVER_STEPS:
        return "other" if _comes_first(operation) else "series"
    return (
        "unknown" if "2D" in kind or kind == "Flatten" else "other" if kind == "Embedding" else None
    )


def _beside_one(shape: tuple[int | None, ...], channels: int | None) -> bool:
    """Return whether a shape is that of steps of these channels as a picture one pixel high or wide."""
    return len(shape) == _IMAGE_RANK and 1 in shape[1:3] and shape[3] == channels != 1


def channels_last(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Return (batch, channels, height, width) with the channels behind."""
    return (shape[0], *shape[2:], shape[1])


def as_taken(tensors: Mapping[str, Any], first: frozenset[str]) -> dict[str, Any]:
    """Return input tensors with their channels where the network takes them."""
    import tensorflow as tf

    return {
        name: tf.transpose(tensor, (0, 3, 1, 2)) if name in first else tensor
        for name, tensor in tensors.items()
    }
