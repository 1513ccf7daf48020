"""The weights of a SavedModel's checkpoint into the network that was built from its migrated configuration.

A checkpoint names a weight by its way through the layers. Each step is followed through the configuration and
through what the layers hold; what is missing, left over or of another shape is refused by name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reportgen.nets.keras_internals import layer_variables
from reportgen.nets.migration.assignment import (
    NETWORKS,
    all_layers,
    attributes_of,
    layer_of,
    put,
)
from reportgen.nets.migration.errors import AssignmentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

_COUNTED = re.compile(r"layer-(\d{1,6})")


def assign_places(
    model: Any, config: Mapping[str, Any], held: Iterable[tuple[Sequence[str], NDArray[Any]]]
) -> None:
    """Put the weights of a checkpoint into a network.

    Args:
        model: built from ``config``.
        config: the migrated configuration.
        held: the place of each weight, and its values.

    Raises:
        AssignmentError: weights and layers do not fit; it names one of them.
    """
    wanted = {id(variable): variable for variable in model.weights}
    for place, array in held:
        variable = _variable_at(model, config, place)
        if wanted.pop(id(variable), None) is None:
            raise AssignmentError(f"the checkpoint holds {'/'.join(place)!r} twice")
        put(variable, array, "/".join(place[:-1]))
    if wanted:
        missing = next(iter(wanted.values())).path
        raise AssignmentError(f"the checkpoint does not hold the weight {missing!r}")
    for layer in all_layers(model):
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def _variable_at(model: Any, config: Mapping[str, Any], place: Sequence[str]) -> Any:
    layer, node, steps = model, config, list(place)
    while len(steps) > 1 and node["class_name"] in NETWORKS and _COUNTED.fullmatch(steps[0]):
        inside = node["config"]["layers"]
        if node["class_name"] == "Sequential":
            inside = [one for one in inside if one["class_name"] != "InputLayer"]
        number = int(steps[0].removeprefix("layer-"))
        if number >= len(inside):
            raise _unknown(place)
        node = inside[number]
        layer = layer_of(layer, node)
        steps.pop(0)
    for step in steps[:-1]:
        layer = _inside(layer, step, place)
    found = [v for v in layer_variables(layer) if v.name in _names(type(layer).__name__, steps[-1])]
    if len(found) != 1:
        raise _unknown(place)
    return found[0]


def _inside(layer: Any, step: str, place: Sequence[str]) -> Any:
    """Return what a layer holds under a name; of a list of layers the one of a number."""
    if isinstance(layer, list):
        if step.isdecimal() and int(step) < len(layer):
            return layer[int(step)]
        raise _unknown(place)
    found = next((value for name, value in attributes_of(layer) if name == step), None)
    if found is None:
        raise _unknown(place)
    return found


def _names(class_name: str, name: str) -> set[str]:
    """Return what a variable of Keras 2 may be called in Keras 3."""
    return {"kernel"} if class_name.startswith("Depthwise") and "kernel" in name else {name}


def _unknown(place: Sequence[str]) -> AssignmentError:
    return AssignmentError(
        f"the checkpoint holds {'/'.join(place)[:120]!r}, which its network does not have"
    )
