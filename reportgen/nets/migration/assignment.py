"""The weights of a file of Keras 1 or 2 into the network that was built from its migrated configuration.

Every array is matched by the file's own names and order, and its shape compared: what does not fit is refused
by name, nothing is left at its initial value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.nets.keras_internals import inner_layers, layer_variables
from reportgen.nets.migration.arrays import converted
from reportgen.nets.migration.errors import AssignmentError
from reportgen.nets.migration.operations import is_operation
from reportgen.nets.stored_weights import texts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

NETWORKS = {"Functional", "Sequential"}
"""Classes whose layers stand in their configuration."""
_LISTS = ("layers", "_layer_checkpoint_dependencies")
"""Under which groups ``.keras`` files of Keras 2.12 to 2.15 hold the layers of a network."""
_ROLES = {
    "kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "embeddings", "recurrent_kernel",
    "depthwise_kernel", "pointwise_kernel",
}  # fmt: skip
"""Names of variables that mean the same in every version."""


def assign_weights(model: Any, config: Mapping[str, Any], file: Any, version: str) -> None:
    """Put the weights of an old file into a network.

    Args:
        model: built from ``config``.
        config: the migrated configuration.
        file: the open HDF5 file, or the one in the zip.
        version: of Keras that wrote it.

    Raises:
        AssignmentError: weights and layers do not fit; it names one of them.
    """
    if has_groups(file):
        group = file.get("model_weights", file)
        _assign_groups(model, config, group, version)
    else:
        _Paths(file).assign(model, config)
    for layer in all_layers(model):
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def has_groups(file: Any) -> bool:
    """Tell whether a file holds a group a layer, in order, as ``.h5`` files do; others count weights."""
    group = file.get("model_weights", file)
    return texts_of(group, "layer_names") is not None


# -- HDF5: a group a layer, its weights in order -----------------------------------------------------


def _assign_groups(model: Any, config: Mapping[str, Any], group: Any, version: str) -> None:
    layers = [(node, layer_of(model, node)) for node in _layers_of(config)]
    wanting = {_name(node): (node, layer) for node, layer in layers if layer.weights}
    held = {
        name: names
        for name in texts_of(group, "layer_names") or ()
        if (names := texts_of(group[name], "weight_names"))
    }
    if len(held) != len(wanting):
        raise AssignmentError(
            f"the file has weights of {len(held)} layers, its network {len(wanting)}"
        )
    by_name = {name.replace("/", "_") for name in held} == wanting.keys()
    for (name, names), target in zip(held.items(), wanting, strict=True):
        node, layer = wanting[name.replace("/", "_") if by_name else target]
        arrays = [np.asarray(group[name][each]) for each in names]
        arrays = converted(node["class_name"], node["config"], arrays, version)
        targets = _legacy_order(layer, node)
        if len(arrays) != len(targets):
            raise AssignmentError(
                f"the layer {layer.name!r} holds {len(targets)} weights, the file {len(arrays)} of it"
            )
        _put_all(targets, arrays, names if len(names) == len(arrays) else (), layer.name)


def _legacy_order(layer: Any, node: Mapping[str, Any]) -> list[Any]:
    trainable, others = _parted(layer, node)
    return [*trainable, *others]


def _parted(layer: Any, node: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return the trainable and the other weights of a layer; of a network in the order of its file."""
    if node["class_name"] not in NETWORKS:
        return list(layer.trainable_weights), list(layer.non_trainable_weights)
    trainable: list[Any] = []
    others: list[Any] = []
    for inner in _layers_of(node):
        more, rest = _parted(layer_of(layer, inner), inner)
        trainable += more
        others += rest
    return trainable, others


def _put_all(
    targets: Sequence[Any], arrays: Sequence[NDArray[Any]], names: Sequence[str], layer: str
) -> None:
    """Assign arrays in their order, or by name where the names of file and network say another one."""
    if by_name := _by_name(targets, names):
        arrays = [arrays[place] for place in by_name]
        names = [names[place] for place in by_name]
    for number, (target, array) in enumerate(zip(targets, arrays, strict=True)):
        if names and not _same_role(target, names[number]):
            raise AssignmentError(
                f"the weight {names[number]!r} of the layer {layer!r} stands where {target.path!r} belongs"
            )
        put(target, array, layer)


def _by_name(targets: Sequence[Any], names: Sequence[str]) -> list[int]:
    """Return the place of each target's array by its layer's and its own name; empty where they do not tell."""
    keys = [_key(name) for name in names]
    wanted = [_key(target.path) for target in targets]
    if len(set(keys)) < len(keys) or set(keys) != set(wanted):
        return []
    return [keys.index(key) for key in wanted]


def _key(name: str) -> tuple[str, ...]:
    """Return the last two parts of a variable's name: of its layer and its own."""
    own = name.partition(":")[0].split("/")[-2:]
    return tuple(part.replace("depthwise_kernel", "kernel") for part in own)


def _same_role(target: Any, name: str) -> bool:
    held = name.partition(":")[0].rpartition("/")[2]
    if held not in _ROLES or target.name not in _ROLES:
        return True
    return bool(held == target.name or (held, target.name) == ("depthwise_kernel", "kernel"))


def put(target: Any, array: NDArray[Any], layer: str) -> None:
    """Assign an array.

    Raises:
        AssignmentError: it has another shape.
    """
    if tuple(target.shape) != array.shape:
        raise AssignmentError(
            f"the weight {target.name!r} of the layer {layer!r} has the shape {tuple(target.shape)}, "
            f"and {array.shape} in the file"
        )
    target.assign(array)


# -- .keras of Keras 2.12 to 2.15: a group an attribute, weights by number ---------------------------


class _Paths:
    """Arrays by the path of the group that holds them; backslashes, as Windows wrote, count as slashes."""

    def __init__(self, file: Any) -> None:
        self._held: dict[tuple[str, ...], dict[int, Any]] = {}
        self._find(file, ())

    def _find(self, group: Any, path: tuple[str, ...]) -> None:
        for name in group:
            parts = tuple(part for part in name.replace("\\", "/").split("/") if part)
            item = group[name]
            if hasattr(item, "shape"):
                if path and path[-1] == "vars" and name.isdecimal():
                    self._held.setdefault(path[:-1], {})[int(name)] = item
            else:
                self._find(item, (*path, *parts))

    def assign(self, model: Any, config: Mapping[str, Any]) -> None:
        """Put all of them into a network.

        Raises:
            AssignmentError: something is missing, left over or of another shape.
        """
        for path in [
            path for path in self._held if path[0] in {"optimizer", "metrics", "_metrics"}
        ]:
            del self._held[path]
        self._network(model, config, ())
        if self._held:
            left = "/".join(next(iter(self._held)))
            raise AssignmentError(
                f"the file holds weights of {left!r}, which its network does not have"
            )

    def _network(self, model: Any, node: Mapping[str, Any], path: tuple[str, ...]) -> None:
        self._own(model, path)
        used = {
            key[len(path)]
            for key in self._held
            if key[: len(path)] == path and len(key) > len(path)
        }
        place = next((name for name in _LISTS if name in used), _LISTS[0])
        waiting = self._by_class((*path, place))
        for inner in _layers_of(node):
            layer = layer_of(model, inner)
            if not layer.weights:
                continue
            kind = _snake(type(layer).__name__)
            if not waiting.get(kind):
                raise AssignmentError(f"the file holds no weights of the layer {layer.name!r}")
            here = (*path, place, waiting[kind].pop(0))
            if inner["class_name"] in NETWORKS:
                self._network(layer, inner, here)
            else:
                self._layer(layer, here)

    def _layer(self, layer: Any, path: tuple[str, ...]) -> None:
        self._own(layer, path)
        for name, child in attributes_of(layer):
            if not isinstance(child, list):
                if child.weights:
                    self._layer(child, (*path, name))
                continue
            waiting = self._by_class((*path, name))
            for one in child:
                names = waiting.get(_snake(type(one).__name__), [])
                if one.weights and not names:
                    raise AssignmentError(f"the file holds no weights of the layer {one.name!r}")
                if names:
                    self._layer(one, (*path, name, names.pop(0)))

    def _own(self, layer: Any, path: tuple[str, ...]) -> None:
        held = self._held.pop(path, {})
        variables = layer_variables(layer)
        if len(held) != len(variables):
            raise AssignmentError(
                f"the layer {layer.name!r} holds {len(variables)} weights, the file {len(held)} of it"
            )
        for number, variable in enumerate(variables):
            if number not in held:
                raise AssignmentError(
                    f"the file holds no weight {number} of the layer {layer.name!r}"
                )
            put(variable, np.asarray(held[number]), layer.name)

    def _by_class(self, path: tuple[str, ...]) -> dict[str, list[str]]:
        """Return the names of groups that hold weights, in order, by the class that they are numbered in."""
        depth = len(path)
        names = {key[depth] for key in self._held if key[:depth] == path and len(key) > depth}
        found: dict[str, list[tuple[int, str]]] = {}
        for name in names:
            number = re.search(r"_(\d+)$", name)
            found.setdefault(name, []).append((0, name))
            if number:
                found.setdefault(name[: number.start()], []).append((int(number.group(1)), name))
        return {kind: [name for _, name in sorted(pairs)] for kind, pairs in found.items()}


def attributes_of(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the layers inside a layer by the attributes that hold them; lists of layers as they are."""
    inner = {id(child) for child in inner_layers(layer)}
    seen: set[int] = set()
    for name, value in sorted(vars(layer).items()):
        if id(value) in inner and id(value) not in seen:
            seen.add(id(value))
            yield name, value
        elif name != "_layers" and isinstance(value, list) and value and {*map(id, value)} <= inner:
            yield name, value


# -- both --------------------------------------------------------------------------------------------


def _layers_of(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the layers of a network; operations are none and hold nothing."""
    return [inner for inner in node["config"]["layers"] if not is_operation(inner)]


def layer_of(model: Any, node: Mapping[str, Any]) -> Any:
    """Return the layer of a network that its configuration describes.

    Raises:
        AssignmentError: there is none.
    """
    name = _name(node)
    # A Sequential leaves its InputLayer out of its list of layers.
    found = next((layer for layer in inner_layers(model) if layer.name == name), None)
    if found is None:
        raise AssignmentError(f"its network has no layer {name!r}")
    return found


def _name(node: Mapping[str, Any]) -> str:
    return str(node.get("name") or node["config"].get("name"))


def all_layers(model: Any) -> Iterator[Any]:
    """Yield a network and every layer inside it."""
    waiting = [model]
    while waiting:
        layer = waiting.pop()
        yield layer
        waiting += inner_layers(layer)


def _snake(name: str) -> str:
    """Return a class's name as Keras names groups after it."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
