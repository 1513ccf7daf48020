"""Where the channels of an image input stand: the one place that decides it.

Everything outside of ``nets`` sees images as (height, width, channels); a network that takes its channels
first gets them turned in front of its own first operation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.nets.keras_internals import calls_behind, producer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reportgen.nets.keras_internals import GraphCall
    from reportgen.nets.structure import Node

_NO_PLACES = {"Flatten"}
"""Layers that have a data format and do not use places."""
_IMAGE_RANK = 4


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
    try:
        tensors = list(model.inputs or ())
    except (AttributeError, ValueError):
        tensors = []
    if len(tensors) != len(names):
        first = next((said for o in operations if (said := _said_by(o)) is not None), False)
        return frozenset(names) if first else frozenset()
    return frozenset(
        name
        for name, tensor in zip(names, tensors, strict=True)
        if len(tensor.shape) == _IMAGE_RANK and _first_behind(tensor, operations)
    )


def _first_behind(tensor: Any, operations: list[Any]) -> bool:
    """Walk the layers behind an input, nested models too, nearest first."""
    waiting, seen = [tensor], set()
    while waiting:
        current = waiting.pop(0)
        for call in calls_behind(producer(current, operations), operations):
            key = (id(call.operation), *map(id, call.outputs))
            if key in seen or not any(given is current for given in call.inputs):
                continue
            seen.add(key)
            said = _said_by(call.operation)
            if said is not None:
                return said
            inside = _inputs_of(call, current)
            waiting += [t for t in (*inside, *call.outputs) if len(t.shape) == _IMAGE_RANK]
    return False


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
    order = getattr(operation, "data_format", None)
    return None if order is None or kind in _NO_PLACES else order == "channels_first"


def _place(axes: Any) -> int | None:
    """Return the axis of (batch, …, …, …) that one axis means; None for several."""
    listed = list(axes) if isinstance(axes, list | tuple) else [axes]
    return listed[0] % _IMAGE_RANK if len(listed) == 1 else None


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
