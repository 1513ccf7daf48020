"""Gradients through the ReLUs of a graph that is copied: a unit that is off still has a way up."""

from __future__ import annotations

import contextlib
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

from reportgen.nets.graph_walks import HANDS_ON, before
from reportgen.nets.tensorflow_internals import forget_gradient, set_gradient

if TYPE_CHECKING:
    from collections.abc import Iterator

_RELU_OPERATIONS = frozenset({"Relu", "Relu6"})


def redirect_gradients(definition: Any, target: str) -> None:
    """Let gradients through a graph that is copied.

    Gradients that a function brought along (``tf.custom_gradient``, as in ``tf.nn.silu``) know only the graph
    that they were made in; the copy has its own by the chain rule. The last ReLUs in front of the target leak
    where a unit is off (Lucid's redirected gradient).
    """
    nodes = {node.name: node for node in definition.node}
    for node in definition.node:
        forget_gradient(node)
    seen, queue = {target}, [target]
    while queue:
        node = nodes.get(queue.pop())
        if node is None:
            continue
        if node.op in _RELU_OPERATIONS:
            set_gradient(node, _register_leaky_gradient(node.op))
            continue
        for source in node.input:
            name = source.removeprefix("^").partition(":")[0]
            if name not in seen:
                seen.add(name)
                queue.append(name)


_LEAKS: list[Any] = []
"""What ``leaking`` was given, the innermost last: a registered gradient takes no arguments."""


@contextlib.contextmanager
def leaking(leak: Any) -> Iterator[None]:
    """Let the last ReLUs leak while gradients are being added to a graph.

    Args:
        leak: (n,) of each picture, the share of the gradient that passes where a unit is off.
    """
    _LEAKS.append(leak)
    try:
        yield
    finally:
        _LEAKS.pop()


@cache
def _register_leaky_gradient(kind: str) -> bytes:
    """Register the gradient of a ReLU that leaks, and return its name."""
    import tensorflow as tf

    def gradient(op: Any, upstream: Any) -> Any:
        x = op.inputs[0]
        on = (x > 0) & (x < 6) if kind == "Relu6" else x > 0
        if not _LEAKS:
            return tf.where(on, upstream, tf.zeros_like(upstream))
        leak = tf.cast(_LEAKS[-1], upstream.dtype)
        leak = tf.reshape(leak, [-1, *([1] * (upstream.shape.rank - 1))])
        return upstream * tf.where(on, tf.ones_like(leak), leak)

    for number in count():
        name = f"Reportgen{kind}{number or ''}"
        # An earlier import of this module (a notebook reloads what changed) may have taken the name.
        with contextlib.suppress(KeyError):
            tf.RegisterGradient(name)(gradient)
            break
    return name.encode()


def before_relu(tensor: Any) -> Any:
    """Return what a ReLU that makes ``tensor`` reads: a unit that is off has a gradient there."""
    current = before(tensor, HANDS_ON)
    return current.op.inputs[0] if current.op.type in _RELU_OPERATIONS else tensor
