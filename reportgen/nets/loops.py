"""How often a loop of a traced graph turns, where the graph says so."""

from __future__ import annotations

from math import ceil
from typing import Any


def steps(loop: Any, condition: Any, body: Any) -> int | None:
    """Return how often a While operation turns, None where that depends on what goes in.

    It is known where all that has to hold is that counters stay below what does not change, as recurrent
    layers and ``tf.map_fn`` have it.

    Args:
        loop: the operation.
        condition: the graph of its condition.
        body: the graph of one turn.
    """
    waiting, found = [condition.outputs[0]], []
    while waiting:
        tensor = _unwrapped(waiting.pop())
        if tensor.op.type == "LogicalAnd":
            waiting.extend(tensor.op.inputs)
        elif tensor.op.type in {"Less", "Greater"}:
            found.append(_turns(tensor.op, loop, condition, body))
        else:
            return None
    known = [turns for turns in found if turns is not None]
    return min(known) if found and len(known) == len(found) else None


def _turns(comparison: Any, loop: Any, condition: Any, body: Any) -> int | None:
    """Return how often a comparison holds: a counter that starts, grows and ends at known numbers."""
    low, high = comparison.inputs
    if comparison.type == "Greater":
        low, high = high, low
    position = _position(low, condition)
    if position is None:
        return None
    start = _number(loop.inputs[position])
    end = _number(high)
    place = _position(high, condition)
    if place is not None and _growth(body, place) == 0:
        end = _number(loop.inputs[place])
    growth = _growth(body, position)
    if start is None or end is None or not growth or growth < 0:
        return None
    return max(0, ceil((end - start) / growth))


def _growth(body: Any, position: int) -> float | None:
    """Return what one turn adds to a variable of the loop."""
    result = _unwrapped(body.outputs[position])
    before = body.inputs[position]
    if result is before:
        return 0
    if result.op.type not in {"Add", "AddV2"}:
        return None
    first, second = (_unwrapped(tensor) for tensor in result.op.inputs)
    if first is before:
        return _number(second)
    return _number(first) if second is before else None


def _position(tensor: Any, graph: Any) -> int | None:
    found = _unwrapped(tensor)
    return next((at for at, given in enumerate(graph.inputs) if given is found), None)


def _unwrapped(tensor: Any) -> Any:
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _number(tensor: Any) -> float | None:
    """Return a number that is constant in the graph; also the largest of constants, as recurrent layers ask."""
    import tensorflow as tf

    tensor = _unwrapped(tensor)
    largest = tensor.op.type == "Max"
    value = tf.get_static_value(tensor.op.inputs[0] if largest else tensor)
    if value is None or not value.size:
        return None
    return float(value.max()) if largest or value.size == 1 else None
