"""Ways through a traced graph: back over what only hands on, and to all that a tensor needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

HANDS_ON = frozenset({"Identity", "Cast"})
"""TensorFlow's types of operations that change no value."""


def before(tensor: Any, kinds: Collection[str]) -> Any:
    """Return the first tensor on the way back that is not made by an operation of these types."""
    while tensor.op.type in kinds:
        tensor = tensor.op.inputs[0]
    return tensor


def needed_by(tensors: Iterable[Any]) -> set[Any]:
    """Return the operations without which tensors cannot be computed.

    A recurrent layer's first step, for one, is traced once more, for its shapes alone.
    """
    waiting = [tensor.op for tensor in tensors]
    found = set(waiting)
    while waiting:
        for tensor in waiting.pop().inputs:
            if tensor.op not in found:
                found.add(tensor.op)
                waiting.append(tensor.op)
    return found
