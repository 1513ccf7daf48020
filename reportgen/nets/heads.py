"""What makes an output: its last activation and its loss."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from reportgen.nets.graph_walks import HANDS_ON, before
from reportgen.nets.structure import activation_name
from reportgen.nets.training import one_loss_name, stored_loss, takes_logits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reportgen.nets.structure import Node
    from reportgen.network.facts import CallFacts, OutputFacts, Source

_LAYERS_MOVING_VALUES = {
    "Reshape",
    "Flatten",
    "Permute",
    "Dropout",
    "Identity",
    "Cropping2D",
    "ZeroPadding2D",
    "UpSampling2D",
    "Resizing",
    "Squeeze",
    "ExpandDims",
    "Transpose",
    "GlobalAveragePooling2D",
}
_MOVES_AXES = HANDS_ON | {"Reshape", "Squeeze", "ExpandDims"}


def output_facts(
    outputs: tuple[OutputFacts, ...],
    calls: tuple[CallFacts, ...],
    nodes: list[Node],
    model: Any,
    compiled: Mapping[str, Any],
) -> tuple[OutputFacts, ...]:
    """Complete ``outputs`` with the last activation in front of each and its loss."""
    by_id: dict[Source, CallFacts] = {call.id: call for call in calls}
    operations = {node.path: node.operation for node in nodes}
    losses = _losses(model, compiled, outputs)
    complete = []
    for output in outputs:
        call = by_id.get(output.call or "")
        complete.append(
            msgspec.structs.replace(
                output,
                layer=call.layer if call else None,
                activation=_activation(call, by_id, operations, output.activation),
                loss=one_loss_name(loss) if (loss := losses.get(output.name)) else None,
                from_logits=takes_logits(loss),
            )
        )
    return tuple(complete)


def _activation(
    call: CallFacts | None,
    by_id: Mapping[Source, CallFacts],
    operations: Mapping[str, Any],
    traced: str | None,
) -> str | None:
    """Walk back over layers that only move values, to the last one with an activation.

    ``traced`` is what the graph itself shows, for heads that are not made of layers.
    """
    while call is not None:
        operation = operations.get(call.layer)
        if call.class_name == "Average":
            read = [by_id.get(source) for source in call.inputs]
            kinds = {_activation(one, by_id, operations, None) for one in read if one is not None}
            return "sigmoid" if kinds == {"sigmoid"} and all(read) else traced
        if call.class_name == "Softmax" and not _over_last_axis(operation, call):
            return None
        if call.class_name not in _LAYERS_MOVING_VALUES:
            return activation_name(operation) or traced or _linear_without_activation(operation)
        call = by_id.get(call.inputs[0]) if len(call.inputs) == 1 else None
    return traced


def _linear_without_activation(operation: Any) -> str | None:
    """Return ``linear`` for Keras's own layers; what a user calls Dense may end in anything."""
    kind = type(operation)
    linear = ("Conv", "Dense", "SeparableConv", "EinsumDense")
    own = kind.__module__.startswith("keras.")
    return "linear" if own and kind.__name__.startswith(linear) else None


def _over_last_axis(softmax: Any, call: CallFacts) -> bool:
    axis = getattr(softmax, "axis", -1)
    return not call.shapes or axis in {-1, len(call.shapes[0])}


def before_activation(tensor: Any) -> Any | None:
    """Return what goes into the softmax or sigmoid that an output ends in, shaped as the output.

    None where it ends in neither, or where the values are moved in between.
    """
    operation = before(tensor, _MOVES_AXES).op
    if operation.type not in {"Softmax", "Sigmoid"}:
        return None
    given = operation.inputs[0]
    return given if given.shape.as_list() == tensor.shape.as_list() else None


def operation_activation(tensor: Any) -> str | None:
    """Return ``softmax`` or ``sigmoid`` where the graph ends in one, through operations that move values."""
    operation = before(tensor, {*_MOVES_AXES, "Transpose"}).op
    return {"Softmax": "softmax", "Sigmoid": "sigmoid"}.get(operation.type)


def softmax_width(tensor: Any) -> int | None:
    """Return how many values the softmax that an output ends in makes sum to 1; None where it ends in none.

    TensorFlow's is always over the last axis; what is reshaped behind it may have another.
    """
    operation = before(tensor, {*_MOVES_AXES, "Transpose"}).op
    if operation.type not in {"Softmax", "LogSoftmax"}:
        return None
    width = operation.inputs[0].shape[-1]
    return None if width is None else int(width)


def _losses(
    model: Any, compiled: Mapping[str, Any], outputs: tuple[OutputFacts, ...]
) -> dict[str, Any]:
    """Return the losses by output; one for all outputs says nothing of each where they differ in rank."""
    loss, names = stored_loss(model, compiled), [output.name for output in outputs]
    if isinstance(loss, dict) and "class_name" not in loss:
        flat = dict(_by_path(loss))
        return {name: flat[name] for name in names if name in flat}
    if isinstance(loss, list | tuple):
        return dict(zip(_as_keras_pairs(model, names), loss, strict=False))
    alike = len({len(output.shape) for output in outputs}) == 1
    return dict.fromkeys(names, loss) if loss is not None and alike else {}


def _by_path(losses: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Yield losses by the paths of their outputs, as ``signature.named_outputs`` calls them."""
    for key, loss in losses.items():
        if isinstance(loss, dict) and "class_name" not in loss:
            yield from _by_path(loss, f"{start}{key}/")
        else:
            yield f"{start}{key}", loss


def _as_keras_pairs(model: Any, names: list[str]) -> list[str]:
    """Return the outputs in the order in which Keras gives them losses from a list: of a dictionary by name."""
    own = list(getattr(model, "output_names", ()) or ())
    listed = names == own or all(re.fullmatch(r"output(_\d+)?", name) for name in names)
    return names if listed or len(names) == 1 else sorted(names)
