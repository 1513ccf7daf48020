"""How the layers of a stored network are joined: the forms of Keras 1 and 2 as the one of Keras 3."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from reportgen.nets.migration.errors import MigrationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reportgen.nets.migration.keras1 import Layer

_MODELS = {"Functional", "Sequential"}
_RECURRENT = {
    "LSTM",
    "GRU",
    "SimpleRNN",
    "RNN",
    "Bidirectional",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
}
_KEPT = ("name", "trainable", "layers", "input_layers", "output_layers")


def sequential_as_mapping(model: Layer) -> Layer:
    """Give a Sequential that is a bare list of layers, as up to Keras 2.2.2, its name and its key."""
    config = model["config"]
    if model["class_name"] != "Sequential" or not isinstance(config, list):
        return model
    name = model.get("name") or "sequential"
    return {**model, "config": {"name": name, "layers": config}}


def with_input_layer(model: Layer) -> Layer:
    """Put an InputLayer in front of a Sequential whose first layer says what it takes.

    Args:
        model: its layers as they were stored.
    """
    layers = model["config"]["layers"]
    if model["class_name"] != "Sequential" or not layers or layers[0]["class_name"] == "InputLayer":
        return model
    found = _first_shape(layers[0])
    if found is None:
        return model
    shape, dtype = found
    name = f"{layers[0]['config'].get('name') or 'first'}_input"
    first = {
        "class_name": "InputLayer",
        "config": {"name": name, "batch_shape": shape, "dtype": dtype},
    }
    return {**model, "config": {**model["config"], "layers": [first, *layers]}}


def _first_shape(layer: Layer) -> tuple[list[Any], str] | None:
    """Return the shape, batch first, and the type that a layer asks for; of a network, its only input's."""
    config = layer["config"]
    if layer["class_name"] in _MODELS:
        inner = config.get("layers") if isinstance(config, dict) else None
        if not inner:
            return None
        if layer["class_name"] == "Functional" and len(_leaves(config.get("input_layers"))) != 1:
            return None
        return _first_shape(inner[0])
    shape = config.get("batch_input_shape", config.get("batch_shape"))
    if shape is None and layer["class_name"] == "Embedding":
        shape = [None, config.get("input_length")]
    if not isinstance(shape, list):
        return None
    dtype = config.get("input_dtype") or config.get("dtype")
    return shape, dtype if isinstance(dtype, str) and "mixed" not in dtype else "float32"


def only_known_keys(model: Layer) -> Layer:
    """Leave out what describes training, or a build, of a network: Keras 3 would pass it on."""
    config = {key: value for key, value in model["config"].items() if key in _KEPT}
    if model["class_name"] == "Sequential" and "build_input_shape" in model["config"]:
        config["build_input_shape"] = model["config"]["build_input_shape"]
    return {**model, "config": config}


def names_without_slashes(model: Layer) -> Layer:
    """Replace slashes in the names of layers, which Keras 3 does not take, wherever they stand.

    Raises:
        MigrationError: two layers would have one name.
    """
    names = [_name(layer) for layer in model["config"]["layers"]]
    changed = {name: name.replace("/", "_") for name in names}
    if all(old == new for old, new in changed.items()):
        return model
    if len(set(changed.values())) < len(changed):
        raise MigrationError("names of its layers differ in slashes only")
    config = dict(model["config"])
    config["layers"] = [_renamed_layer(layer, changed) for layer in config["layers"]]
    for key in ("input_layers", "output_layers"):
        if key in config:
            config[key] = _renamed_references(config[key], changed)
    return {**model, "config": config}


def _renamed_layer(layer: Layer, names: Mapping[str, str]) -> Layer:
    name = names[_name(layer)]
    made = {**layer, "config": {**layer["config"], "name": name}}
    if "name" in layer:
        made["name"] = name
    if "inbound_nodes" in layer:
        made["inbound_nodes"] = _renamed_references(layer["inbound_nodes"], names)
    return made


def _renamed_references(node: Any, names: Mapping[str, str]) -> Any:
    if _is_reference(node, names):
        rest = [_renamed_references(item, names) for item in node[1:]]
        return [names[node[0]], *rest]
    if isinstance(node, list):
        return [_renamed_references(item, names) for item in node]
    if isinstance(node, dict):
        return {key: _renamed_references(item, names) for key, item in node.items()}
    return node


def joined_as_keras_3(model: Layer) -> Layer:
    """Write the calls of a graph's layers with arguments by name, and count them as Keras 3 does.

    Keras 2 counted a nested network's own graph as its first call, so what reads it named call 1; Keras 3
    counts it for what a network gives out only, and not at all for a Sequential.

    Raises:
        MigrationError: a call takes what is no tensor of a layer.
    """
    if model["class_name"] != "Functional":
        return model
    config = dict(model["config"])
    layers = config["layers"]
    names = {_name(layer): layer["class_name"] for layer in layers}
    first = _first_calls(config, names)
    config["layers"] = [
        {
            **layer,
            "name": _name(layer),
            "inbound_nodes": [
                _call(node, layer["class_name"], names, first)
                for node in layer.get("inbound_nodes", [])
            ],
        }
        for layer in layers
    ]
    for key in ("input_layers", "output_layers"):
        ends = _ends(config.get(key), names, first)
        # Keras 2 gave out one tensor where one was listed; Keras 3 gives out the list.
        one = isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list)
        config[key] = ends[0] if one else ends
    return {**model, "config": config}


def _first_calls(config: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, int]:
    """Return the number of the first call of each nested network: 1 where its own graph was counted."""
    used: dict[str, int] = {}
    stored = [layer.get("inbound_nodes", []) for layer in config["layers"]]
    for name, number, *_ in _leaves([*stored, config.get("output_layers")]):
        if names.get(name) in _MODELS:
            used[name] = min(number, used.get(name, number))
    return used


def _call(
    node: Any, class_name: str, names: Mapping[str, str], first: Mapping[str, int]
) -> dict[str, Any]:
    if isinstance(node, dict):  # as Keras 3 writes it, or an operation's
        args = [_argument(value, names, first) for value in node.get("args", [])]
        return {**node, "args": args}
    tensors: list[Any] = []
    options: dict[str, Any] = {}
    for reference in node:
        if not _is_reference(reference, names):
            raise MigrationError(
                f"a layer is called on {str(reference)[:60]!r}, which is no layer's"
            )
        tensors.append(_tensor(reference, first))
        options.update(reference[3] if len(reference) > 3 and reference[3] else {})
    named = {key: _argument(value, names, first) for key, value in options.items()}
    if class_name in _RECURRENT and len(tensors) > 1:
        named["initial_state"], tensors = tensors[1:], tensors[:1]
    return {"args": tensors if len(tensors) == 1 else [tensors], "kwargs": named}


def _argument(value: Any, names: Mapping[str, str], first: Mapping[str, int]) -> Any:
    if _is_reference(value, names):
        return _tensor(value, first)
    if isinstance(value, list):
        return [_argument(item, names, first) for item in value]
    return value


def _tensor(reference: Sequence[Any], first: Mapping[str, int]) -> dict[str, Any]:
    name, number, index = reference[:3]
    history = [name, number - first.get(name, 0), index]
    config = {"shape": [None], "dtype": "float32", "keras_history": history}
    return {"class_name": "__keras_tensor__", "config": config}


def _ends(node: Any, names: Mapping[str, str], first: Mapping[str, int]) -> Any:
    """Count the calls that a network's inputs and outputs come from."""
    if _is_reference(node, names):
        name, number, index = node[:3]
        own = 1 if names[name] == "Functional" else 0
        return [name, number - first.get(name, 0) + own, index]
    if isinstance(node, list):
        return [_ends(item, names, first) for item in node]
    if isinstance(node, dict):
        return {key: _ends(item, names, first) for key, item in node.items()}
    raise MigrationError(f"its ends are {str(node)[:60]!r}, which is no layer's")


def _is_reference(node: Any, names: Mapping[str, Any]) -> bool:
    """Tell a layer's name, the number of its call and of its tensor."""
    return (
        isinstance(node, list)
        and len(node) >= 3
        and isinstance(node[0], str)
        and node[0] in names
        and all(isinstance(n, int) and not isinstance(n, bool) for n in node[1:3])
    )


def _leaves(node: Any) -> list[list[Any]]:
    return list(_references(node))


def _references(node: Any) -> Iterator[list[Any]]:
    looks = isinstance(node, list) and len(node) >= 3 and isinstance(node[0], str)
    if looks and all(isinstance(n, int) for n in node[1:3]):
        yield node[:3]
        node = node[3:]
    if isinstance(node, list | dict):
        for item in node.values() if isinstance(node, dict) else node:
            yield from _references(item)


def _name(layer: Layer) -> str:
    config = layer["config"]
    name = layer.get("name") or (config.get("name") if isinstance(config, dict) else None)
    return str(name)


def unique_names(model: Layer) -> Layer:
    """Check that no two layers of a network share a name.

    Raises:
        MigrationError: two do.
    """
    counts = Counter(_name(layer) for layer in model["config"]["layers"])
    twice = [name for name, count in counts.items() if count > 1 and name != "None"]
    if twice:
        raise MigrationError(f"two of its layers are called {twice[0]!r}")
    return model
