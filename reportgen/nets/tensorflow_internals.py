"""Everything that this package knows of TensorFlow beside its documented interface; see ``keras_internals``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_flat(function: Any, tensors: Sequence[Any]) -> Any:
    """Run a function that was cut out of a graph on tensors in the order of its inputs, by ``_call_flat``.

    The documented call tries to bind them by name first, fails, and prints every value into an error that
    nobody sees: 2.5 of 7 ms a block of 28 by 28 pixels. Neither way looks at the shapes: what is 5 pixels wide
    runs through a pass for 16. They are held against the graph here, in some microseconds.

    Seen in TensorFlow 2.18 to 2.21. Stands in: the call itself.

    Raises:
        ValueError: a tensor has not the shape that the function was traced for.
    """
    captured = function.captured_inputs
    given = list(tensors)
    taken = function.inputs[: len(function.inputs) - len(captured)]
    if len(taken) != len(given):
        raise ValueError(f"the network takes {len(taken)} inputs, not {len(given)}")
    for wanted, tensor in zip(taken, given, strict=True):
        if not wanted.shape.is_compatible_with(tensor.shape):
            raise ValueError(
                f"the network was traced for an input of {tuple(wanted.shape)}, not {tuple(tensor.shape)}"
            )
    flat = getattr(function, "_call_flat", None)
    return flat(given, captured) if flat is not None else _call_publicly(function, given)


def _call_publicly(function: Any, tensors: Sequence[Any]) -> Any:
    return function(*tensors)


def exchange_captures(function: Any, captures: Sequence[Any]) -> None:
    """Let a traced function read other variables, by ``ConcreteFunction.set_external_captures``.

    A model whose own variables are changed would have to be put back whatever happens, and one function could
    not be random while another is not.

    Seen in TensorFlow 2.18 to 2.21; nothing stands in.
    """
    function.set_external_captures(list(captures))


def captured_here(tensor: Any) -> Any:
    """Return a tensor from outside as the function being traced sees it, by ``FuncGraph.capture``.

    What is imported into a graph takes tensors of that graph only.

    Seen in TensorFlow 2.18 to 2.21. Stands in: the identity, an operation that captures what it is given.
    """
    import tensorflow as tf

    graph = tf.compat.v1.get_default_graph()
    capture = getattr(graph, "capture", None)
    return capture(tensor) if capture is not None else _captured_by_identity(tensor)


def _captured_by_identity(tensor: Any) -> Any:
    import tensorflow as tf

    return tf.identity(tensor)


_GRADIENT = "_gradient_op_type"


def forget_gradient(node: Any) -> None:
    """Take away the gradient that an operation of a stored graph brought along, its ``_gradient_op_type``.

    The documented ``tf.custom_gradient`` writes the attribute and has nothing that takes it away.

    Seen in TensorFlow 2.18 to 2.21; nothing stands in.
    """
    if _GRADIENT in node.attr:
        del node.attr[_GRADIENT]


def set_gradient(node: Any, name: bytes) -> None:
    """Give an operation of a stored graph the gradient that was registered under a name.

    The documented ``tf.Graph.gradient_override_map`` does so while an operation is made, not imported.

    Seen in TensorFlow 2.18 to 2.21; nothing stands in.
    """
    node.attr[_GRADIENT].s = name


def function_graph(graph: Any, name: str) -> Any | None:
    """Return the graph of a function that an operation calls, by ``Graph._get_function``.

    The documented ``Graph.as_graph_def`` holds every constant again, and of functions no shapes.

    Seen in TensorFlow 2.21, and asked whether it is there down to 2.18. Nothing stands in: what the operation
    costs is said not to be counted.

    Args:
        graph: that holds the operation.
        name: of the function.
    """
    look_up = getattr(graph, "_get_function", None)
    return getattr(look_up(name), "graph", None) if look_up is not None else None
