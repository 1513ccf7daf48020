"""Calls of TensorFlow's functions, which Keras 2.4 to 2.15 stored as layers, as operations of Keras 3.

``TFOpLambda`` names a function and ``SlicingOpLambda`` is indexing. In Keras 2 the name was looked up among all
functions of TensorFlow, those that write files included; here it is a key of a closed table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.nets.keras_internals import holds_operations, module_of_operation
from reportgen.nets.migration.errors import OperationError
from reportgen.nets.migration.operation_arguments import (
    Arguments,
    constant,
    holds_reference,
    is_reference,
)
from reportgen.nets.migration.operation_rules import RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reportgen.nets.migration.keras1 import Layer
    from reportgen.nets.migration.operation_arguments import Made

FUNCTIONS = {"TFOpLambda", "SlicingOpLambda"}
"""Classes of Keras 2 that call a function of TensorFlow."""
_CONSTANT = "_CONSTANT_VALUE"
"""Stands where the first argument of a call is no tensor of a layer."""


def is_function(layer: Layer) -> bool:
    """Tell whether a stored layer calls a function of TensorFlow."""
    return layer["class_name"] in FUNCTIONS


def is_operation(layer: Mapping[str, Any]) -> bool:
    """Tell whether a migrated layer is an operation, which holds no weights and is no layer of Keras 3."""
    return holds_operations(str(layer.get("module")))


def as_operation(layer: Layer) -> Layer:
    """Write a call of a function as the operation of Keras 3 that computes the same.

    Args:
        layer: as it was stored; its ``inbound_nodes`` hold the arguments.

    Returns:
        The operation. A node of it has ``args`` and ``kwargs``, tensors in them as they were stored.

    Raises:
        OperationError: nothing in Keras 3 is known to compute the same; it names the function.
    """
    config = layer["config"]
    name, function = config.get("name") or layer.get("name"), config.get("function")
    said = f"the layer {str(name)[:60]!r} calls tf.{str(function)[:60]}"
    nodes = layer.get("inbound_nodes")
    if not isinstance(nodes, list) or not nodes:
        raise OperationError(f"{said} on nothing")
    try:
        made = [_made(function, node) for node in nodes]
    except OperationError as error:
        raise OperationError(f"{said}, which {error}") from None
    first = made[0][1]
    if any((one.operation, one.options) != (first.operation, first.options) for _, one in made):
        raise OperationError(f"{said} in several ways")
    area, _, class_name = first.operation.partition(".")
    place = module_of_operation(area, class_name)
    if place is None:
        raise OperationError(f"{said}, which this version of Keras has no operation for")
    return {
        "module": place,
        "class_name": class_name,
        "registered_name": class_name,
        "name": name,
        "config": {"name": name, **first.options},
        "inbound_nodes": [{"args": [head, *one.more], "kwargs": {}} for head, one in made],
    }


def _made(function: Any, node: Any) -> tuple[Any, Made]:
    """Return the first argument of a call and what takes the place of its function."""
    rule = RULES.get(function) if isinstance(function, str) else None
    if rule is None:
        raise OperationError("has no counterpart among the operations of Keras 3 that are known")
    head, given = _read(node)
    arguments = Arguments(given)
    made = rule(arguments)
    arguments.end()
    if not holds_reference([head, *made.more]):
        raise OperationError("is called on no tensor of the network")
    return head, made


def _read(node: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return the first argument of a stored call, and the others by name."""
    if _is_head(node):
        return _head(node), _others(node)
    if isinstance(node, list) and node and all(map(_is_head, node)):
        return [_head(one) for one in node], _others(node[0])
    raise OperationError(f"is called on {str(node)[:60]!r}, which is no layer's")


def _is_head(node: Any) -> bool:
    stored = isinstance(node, list) and len(node) >= 3 and node[:2] == [_CONSTANT, -1]
    return stored or is_reference(node)


def _head(node: list[Any]) -> Any:
    return constant(node[2]) if node[0] == _CONSTANT else node[:3]


def _others(node: list[Any]) -> Mapping[str, Any]:
    given = node[3] if len(node) > 3 else None
    if given is not None and not isinstance(given, dict):
        raise OperationError(f"is called with {str(given)[:40]!r}")
    return given or {}
