"""A network whose architecture and whose weights come from two files, held against each other."""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

from reportgen.nets.failures import cause
from reportgen.nets.keras_internals import place_of_graphs
from reportgen.nets.migration.assignment import assign_weights, has_groups
from reportgen.nets.migration.errors import AssignmentError
from reportgen.nets.stored_layers import stored_layers
from reportgen.nets.stored_weights import stored_weights
from reportgen.nets.structure import variables, walk
from reportgen.nets.weight_files import open_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from reportgen.nets.stored import Stored
    from reportgen.nets.stored_weights import StoredWeight


def filled(path: Path, stored: Stored, known: Mapping[str, Any], named: Path, *, safe: bool) -> Any:
    """Build a network from the architecture that was given, and let it read the weights.

    Args:
        path: of the weights.
        stored: what was read of them, with the architecture.
        known: custom objects by name.
        named: the same file under a name that Keras reads it by.
        safe: whether nothing of the file may run.

    Raises:
        AssignmentError: the weights do not fit; it names one, and the shapes.
    """
    import keras

    config = copy.deepcopy(stored.config)
    places = {"Sequential": "keras", "Model": "keras", "Functional": place_of_graphs()}
    if "module" not in config and config["class_name"] in places:  # as .h5 files leave it
        config |= {"module": places[config["class_name"]], "registered_name": None}
    model = keras.saving.deserialize_keras_object(
        config, custom_objects=dict(known), safe_mode=safe
    )
    with open_weights(path, stored.kind) as held:
        if has_groups(held):
            assign_weights(model, stored.config, held, stored.weights_version or stored.version)
            return model
        found = stored_weights(held, stored_layers(stored.config))
    try:
        model.load_weights(named)
    except Exception as error:
        raise AssignmentError(_misfit(model, found) or cause(error)) from error
    if _left_over(model, found):  # which Keras passes over
        raise AssignmentError(_misfit(model, found) or "the file holds more weights than it has")
    return model


def _left_over(model: Any, found: Sequence[StoredWeight]) -> bool:
    own = {id(weight): tuple(int(n) for n in weight.shape) for weight in model.weights}
    return bool(Counter(one.facts.shape for one in found) - Counter(own.values()))


def _misfit(model: Any, found: Sequence[StoredWeight]) -> str:
    """Name the first weight that is of another shape, missing or left over; nothing where there is none."""
    own = {facts.path: facts.shape for facts, _ in variables(model, walk(model))}
    held = {one.facts.path: one.facts.shape for one in found}
    for path, shape in held.items():
        if own.get(path, shape) != shape:
            return f"the weight {path!r} has the shape {own[path]} there, and {shape} in the file"
    for path, shape in own.items():
        if path not in held:
            return f"the file holds no weight {path!r} of the shape {shape}"
    for path, shape in held.items():
        if path not in own:
            return f"the file holds a weight {path!r} of the shape {shape}, which it does not have"
    return ""
