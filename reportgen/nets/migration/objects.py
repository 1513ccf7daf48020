"""What the arguments of a layer name: activations, initializers, regularizers, constraints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reportgen.nets.migration.functions import keras_2_hard_sigmoid

if TYPE_CHECKING:
    from reportgen.nets.migration.keras1 import Layer

_MODULES = {
    "_initializer": "keras.initializers",
    "_regularizer": "keras.regularizers",
    "_constraint": "keras.constraints",
}
_ACTIVATIONS = {"activation", "recurrent_activation"}
_RENAMED_ACTIVATIONS = {"softmax_v2": "softmax"}
_VERSION = re.compile(r"V\d$")


def old_activations(layer: Layer) -> Layer:
    """Name the old function where a layer uses ``hard_sigmoid``, and others as Keras 3 does."""
    config = {
        key: _activation(value) if key in _ACTIVATIONS else value
        for key, value in layer["config"].items()
    }
    return {**layer, "config": config}


def _activation(value: Any) -> Any:
    if isinstance(value, dict) and value.get("class_name") == "function":
        named = value.get("config")
        if named == "hard_sigmoid" and str(value.get("module")).startswith(("builtins", "keras")):
            value = "hard_sigmoid"
    if value == "hard_sigmoid":
        name = keras_2_hard_sigmoid.__name__
        return {
            "module": "builtins",
            "class_name": "function",
            "config": name,
            "registered_name": name,
        }
    return _RENAMED_ACTIVATIONS.get(value, value) if isinstance(value, str) else value


def objects_of_arguments(layer: Layer) -> Layer:
    """Say of which module of Keras initializers, regularizers and constraints are, without their types."""
    config = {}
    for key, value in layer["config"].items():
        module = next((place for end, place in _MODULES.items() if key.endswith(end)), None)
        config[key] = _with_module(value, module) if module else value
    return {**layer, "config": config}


def _with_module(value: Any, module: str) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        return value
    if value.get("registered_name") not in {None, value["class_name"]}:
        return value  # somebody's own
    inner = value.get("config")
    config = dict(inner) if isinstance(inner, dict) else inner
    if isinstance(config, dict) and module == "keras.initializers":
        config.pop("dtype", None)
        config.pop("partition_info", None)
        if config.get("distribution") == "normal":  # which Keras 2 truncated too
            config["distribution"] = "truncated_normal"
    name = _VERSION.sub("", value["class_name"])
    return {"module": module, "class_name": name, "config": config, "registered_name": None}
