"""How often a loop of a traced graph turns, where the graph says so."""

from __future__ import annotations

from math import ceil, floor
from typing import Any


def steps(loop: Any, condition: Any, body: Any) -> int | None:
    """Return how often a While operation turns, None where that depends on what goes in.

    It is known where all that has to hold is that counters stay below or above what does not change, as
    recurrent layers, ``tf.map_fn`` and ``keras.ops.scan`` have it.

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
        elif tensor.op.type in {"Less", "LessEqual", "Greater", "GreaterEqual"}:
            found.append(_turns(tensor.op, loop, condition, body))
        else:
            return None
    known = [turns for turns in found if turns is not None]
    return min(known) if found and len(known) == len(found) else None


def _turns(comparison: Any, loop: Any, condition: Any, body: Any) -> int | None:
    """Return how often a comparison holds of two sides that start and grow by known numbers."""
    sides = [_side(tensor, loop, condition, body) for tensor in comparison.inputs]
    if None in sides:
        return None
    (low, low_growth), (high, high_growth) = sides  # type: ignore[misc]
    gap, closing = high - low, low_growth - high_growth
    if comparison.type.startswith("Greater"):
        gap, closing = -gap, -closing
    if closing <= 0:
        return None
    if comparison.type.endswith("Equal"):
        return max(0, floor(gap / closing) + 1)
    return max(0, ceil(gap / closing))


def _side(tensor: Any, loop: Any, condition: Any, body: Any) -> tuple[float, float] | None:
    """Return what a side of the condition is before the first turn, and what each turn adds to it."""
    position = _position(tensor, condition)
    start = _number(tensor if position is None else loop.inputs[position])
    growth = 0 if position is None else _growth(body, position)
    return None if start is None or growth is None else (start, growth)


def _growth(body: Any, position: int) -> float | None:
    """Return what one turn adds to a variable of the loop."""
    result = _unwrapped(body.outputs[position])
    before = body.inputs[position]
    if result is before:
        return 0
    if result.op.type not in {"Add", "AddV2", "Sub"}:
        return None
    first, second = (_unwrapped(tensor) for tensor in result.op.inputs)
    if first is before:
        step = _number(second)
        return -step if step is not None and result.op.type == "Sub" else step
    return _number(first) if second is before and result.op.type != "Sub" else None


def _position(tensor: Any, graph: Any) -> int | None:
    found = _unwrapped(tensor)
    return next((at for at, given in enumerate(graph.inputs) if given is found), None)


def _unwrapped(tensor: Any) -> Any:
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _number(tensor: Any) -> float | None:
    """Return a number that is known in the graph.

    A constant, the largest of constants, as recurrent layers ask, or a size of a tensor and what is one more
    or less, as ``keras.ops.scan`` has it.
    """
    import tensorflow as tf

    tensor = _unwrapped(tensor)
    kind, inputs = tensor.op.type, tensor.op.inputs
    if kind in {"Add", "AddV2", "Sub"}:
        first, second = map(_number, inputs)
        if first is None or second is None:
            return None
        return first - second if kind == "Sub" else first + second
    if kind == "StridedSlice":
        return _one_of(tensor.op)
    largest = kind == "Max"
    value = tf.get_static_value(inputs[0] if largest else tensor)
    if value is None or not value.size:
        return None
    return float(value.max()) if largest or value.size == 1 else None


def _one_of(piece: Any) -> float | None:
    """Return the one number that a slice takes out of a row, as the size of an axis out of a shape."""
    import tensorflow as tf

    begin, whole = tf.get_static_value(piece.inputs[1]), _row(piece.inputs[0])
    one = piece.get_attr("shrink_axis_mask") == 1 and piece.get_attr("begin_mask") == 0
    if not one or whole is None or begin is None or begin.size != 1:
        return None
    number = whole[int(begin[0])]
    return None if number is None else float(number)


def _row(tensor: Any) -> list[Any] | None:
    """Return a row of constants, or a shape, with None where that is open."""
    import tensorflow as tf

    if tensor.op.type == "Shape":
        shape = tensor.op.inputs[0].shape
        return None if shape.rank is None else list(shape)
    value = tf.get_static_value(tensor)
    return None if value is None or value.ndim != 1 else list(value)
