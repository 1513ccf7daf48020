"""Gradients through the ReLUs of a graph that is copied: a unit that is off still has a way up."""

from __future__ import annotations

from functools import cache
from typing import Any

_RELU = frozenset({"Relu", "Relu6"})
_HANDS_ON = frozenset({"Identity", "Cast"})


def soften(definition: Any, target: str) -> None:
    """Let gradients through a graph that is copied.

    Gradients that a function brought along (``tf.custom_gradient``, as in ``tf.nn.silu``) know only the graph
    that they were made in; the copy has its own by the chain rule. The last ReLUs in front of the target leak
    where a unit is off (Lucid's redirected gradient).
    """
    nodes = {node.name: node for node in definition.node}
    for node in definition.node:
        if "_gradient_op_type" in node.attr:
            del node.attr["_gradient_op_type"]
    seen, queue = {target}, [target]
    while queue:
        node = nodes.get(queue.pop())
        if node is None:
            continue
        if node.op in _RELU:
            node.attr["_gradient_op_type"].s = _leaky(node.op)
            continue
        for source in node.input:
            name = source.removeprefix("^").partition(":")[0]
            if name not in seen:
                seen.add(name)
                queue.append(name)


_LEAKS: list[Any] = []
"""The leak of each picture, (n,), while gradients are being added to a graph."""


@cache
def _leaky(kind: str) -> bytes:
    """Register the gradient of a ReLU that leaks, and return its name."""
    import tensorflow as tf

    name = f"Reportgen{kind}"

    @tf.RegisterGradient(name)  # type: ignore[untyped-decorator]
    def gradient(op: Any, upstream: Any) -> Any:
        x = op.inputs[0]
        on = (x > 0) & (x < 6) if kind == "Relu6" else x > 0
        if not _LEAKS:
            return tf.where(on, upstream, tf.zeros_like(upstream))
        leak = tf.cast(_LEAKS[-1], upstream.dtype)
        leak = tf.reshape(leak, [-1, *([1] * (upstream.shape.rank - 1))])
        return upstream * tf.where(on, tf.ones_like(leak), leak)

    return name.encode()


def before_relu(tensor: Any) -> Any:
    """Return what a ReLU that makes ``tensor`` reads: a unit that is off has a gradient there."""
    current = tensor
    while current.op.type in _HANDS_ON:
        current = current.op.inputs[0]
    return current.op.inputs[0] if current.op.type in _RELU else tensor
