"""The migration of a whole configuration: every step in its order, over every layer at every depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.nets.keras_internals import place_of_graphs
from reportgen.nets.migration import graph, keras1, layers, objects, operations, raw_operations
from reportgen.nets.migration.errors import MigrationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reportgen.nets.migration.keras1 import Layer

LAYER_STEPS: tuple[Callable[[Layer], Layer], ...] = (
    keras1.renamed_class,
    keras1.merged,
    keras1.renamed_arguments,
    keras1.named_initializers,
    keras1.penalties_and_constraints,
    keras1.without_old_arguments,
    layers.renamed,
    layers.input_layer,
    layers.dtype_policy,
    layers.plain_numbers,
    layers.leaky_slope,
    layers.thresholded_relu,
    layers.one_axis,
    layers.cudnn,
    layers.gru_reset,
    layers.embedding_of_no_rows,
    layers.left_out,
    objects.old_activations,
    objects.objects_of_arguments,
)
"""From one layer to the same layer, newer."""
MODEL_STEPS: tuple[Callable[[Layer], Layer], ...] = (
    graph.with_input_layer,
    graph.only_known_keys,
    graph.names_without_slashes,
    graph.unique_names,
)
"""From a network to the same network, before its layers are looked at."""
_INNER = ("layer", "backward_layer", "cell", "cells")
"""Arguments of wrappers and of recurrent layers that are layers themselves."""
_PACKAGES = {"keras", "tf_keras"}
"""Whose modules are Keras's: Keras 2 goes on under the second name."""
_DEEPEST = 64
"""Networks within networks."""


def migrate(config: Any) -> dict[str, Any]:
    """Return the configuration of a network of Keras 1 or 2 as Keras 3 writes it.

    Args:
        config: of the network, as JSON gives it; it is not changed.

    Raises:
        MigrationError: it has another form, or holds what Keras 3 has no counterpart of.
    """
    try:
        return _network(_stored_layer(config), 0)
    except MigrationError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        # Any value may stand anywhere in a file of somebody else's.
        said = f"{type(error).__name__}: {str(error)[:80]}"
        raise MigrationError(
            f"its configuration has another form than Keras wrote ({said})"
        ) from error


def _network(model: Layer, depth: int) -> Layer:
    if depth > _DEEPEST:
        raise MigrationError(f"its layers are nested more than {_DEEPEST} deep")
    model = graph.sequential_as_mapping(layers.renamed(model))
    stored = model["config"].get("layers") if isinstance(model["config"], dict) else None
    if not isinstance(stored, list):
        raise MigrationError(f"{str(model['class_name'])[:60]!r} is no network of layers")
    inner = [raw_operations.as_function(_prepared(_stored_layer(item))) for item in stored]
    model = {**model, "config": {**model["config"], "layers": inner}}
    for step in MODEL_STEPS:
        model = step(model)
    made = [_layer(layer, depth) for layer in model["config"]["layers"]]
    model = {**model, "config": {**model["config"], "layers": made}}
    return _with_module(graph.joined_as_keras_3(model))


def _prepared(layer: Layer) -> Layer:
    """Give a nested network its form, so that what holds it can look into it."""
    made = graph.sequential_as_mapping(layers.renamed(layer))
    if not isinstance(made["config"], dict):
        raise MigrationError(
            f"the configuration of a {str(made['class_name'])[:60]!r} is no mapping"
        )
    if made["class_name"] not in {"Functional", "Sequential"}:
        return made
    stored = made["config"].get("layers")
    if not isinstance(stored, list):
        raise MigrationError(f"{str(made['class_name'])[:60]!r} is no network of layers")
    inner = [_stored_layer(item) for item in stored]
    if inner[:1]:
        inner[0] = _prepared(inner[0])
    return {**made, "config": {**made["config"], "layers": inner}}


def _layer(layer: Layer, depth: int) -> Layer:
    if layer["class_name"] in {"Functional", "Sequential"}:
        return _network(layer, depth + 1)
    if operations.is_function(layer):
        return operations.as_operation(layer)
    for step in LAYER_STEPS:
        layer = step(layer)
    config = dict(layer["config"])
    for key in _INNER:
        if isinstance(config.get(key), list | dict):
            config[key] = _inner(config[key], depth)
    return _with_module({**layer, "config": config})


def _inner(stored: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise MigrationError(f"its layers are nested more than {_DEEPEST} deep")
    if isinstance(stored, list):
        return [_inner(item, depth + 1) for item in stored]
    return _layer(_prepared(_stored_layer(stored)), depth + 1)


def _stored_layer(node: Any) -> Layer:
    """Return a node of the configuration that is a layer.

    Raises:
        MigrationError: it is none.
    """
    if (
        not isinstance(node, dict)
        or not isinstance(node.get("class_name"), str)
        or not isinstance(node.get("config"), dict | list)
    ):
        raise MigrationError(f"{str(node)[:60]!r} is no layer")
    kept = ("class_name", "config", "name", "inbound_nodes", "module", "registered_name")
    return {key: node[key] for key in kept if key in node}


def _with_module(layer: Layer) -> Layer:
    """Say that a layer is Keras's where Keras has one of its name and nobody else's is meant."""
    import keras

    name = layer["class_name"]
    package = str(layer.get("module") or "keras").split(".")[0]
    if layer.get("registered_name") not in {None, name} or package not in _PACKAGES:
        return layer
    place = {"Functional": place_of_graphs(), "Sequential": "keras"}.get(name)
    if place is None and hasattr(keras.layers, name):
        place = "keras.layers"
    if place is None:
        return {key: value for key, value in layer.items() if key != "module"}
    return {**layer, "module": place, "registered_name": None}
