"""The layers of a stored configuration, and how they are joined, as facts; nothing is built.

No Keras is needed. A configuration of any version is read as it stands, so that custom classes and layers with
code have their place.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.network.facts import CallFacts, InputRef, OutputFacts, TensorFacts
from reportgen.network.naming import unique_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reportgen.network.facts import Source

_INNER = ("layer", "backward_layer", "cell", "cells")
_DEEPEST = 64
_MOST_LAYERS = 100_000
_COMPUTE = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}


class StoredLayer(NamedTuple):
    """A layer as a configuration stores it.

    Attributes:
        path: names from the root down, joined by ``/``; unique.
        config: its arguments.
    """

    path: str
    name: str
    class_name: str
    parent: str | None
    config: Mapping[str, Any]

    @property
    def trainable(self) -> bool:
        """Whether training changes it, by its own argument."""
        return self.config.get("trainable") is not False

    @property
    def dtype_policy(self) -> str:
        """The name of its policy; Keras's own where nothing is said."""
        stored = self.config.get("dtype")
        if isinstance(stored, dict):
            inner = stored.get("config")
            stored = _policy(inner) if isinstance(inner, dict) else inner
        return stored if isinstance(stored, str) else "float32"

    @property
    def compute_dtype(self) -> str:
        """The type that it computes in."""
        policy = self.dtype_policy.rpartition("_from_")[2]
        return _COMPUTE.get(policy, policy)

    @property
    def activation(self) -> str | None:
        """The name of its activation function."""
        stored = self.config.get("activation")
        if isinstance(stored, dict):
            inner = stored.get("config")
            stored = inner if isinstance(inner, str) else stored.get("class_name")
        return stored if isinstance(stored, str) else None


def _policy(config: Mapping[str, Any]) -> Any:
    """Return the name of a policy; of a quantized one the name that Keras gives it."""
    mode, source = config.get("mode"), config.get("source_name")
    return f"{mode}_from_{source}" if isinstance(mode, str) else config.get("name")


def stored_layers(config: Any) -> tuple[StoredLayer, ...]:
    """Return every layer of a configuration, parents before children.

    Args:
        config: of a network, as JSON gives it; anything else has no layers.
    """
    found: list[StoredLayer] = []
    taken: set[str] = set()
    waiting: list[tuple[dict[str, Any], str | None, int]] = [
        (node, None, 0) for node in reversed(_inner_nodes(config))
    ]
    while waiting and len(found) < _MOST_LAYERS:
        node, parent, depth = waiting.pop()
        layer = _layer(node, parent, taken)
        found.append(layer)
        if depth < _DEEPEST:
            waiting += [(one, layer.path, depth + 1) for one in reversed(_inner_nodes(node))]
    return tuple(found)


def _layer(node: Mapping[str, Any], parent: str | None, taken: set[str]) -> StoredLayer:
    inner = node.get("config")
    config = inner if isinstance(inner, dict) else {}
    class_name = str(node["class_name"])
    name = str(config.get("name") or node.get("name") or class_name.lower())
    return StoredLayer(unique_path(name, parent, taken), name, class_name, parent, config)


def _inner_nodes(node: Any) -> list[dict[str, Any]]:
    """Return the layers directly inside a network, a wrapper or a recurrent layer."""
    config = node.get("config") if isinstance(node, dict) else None
    if isinstance(config, list):  # a Sequential of Keras 1 and 2.0
        return [item for item in config if _is_layer(item)]
    if not isinstance(config, dict):
        return []
    stored = config.get("layers")
    if isinstance(stored, list):
        return [item for item in stored if _is_layer(item)]
    found: list[dict[str, Any]] = []
    for key in _INNER:
        held: Any = config.get(key)
        found += filter(_is_layer, held if isinstance(held, list) else [held])
    return found


def _is_layer(node: Any) -> bool:
    return (
        isinstance(node, dict)
        and isinstance(node.get("class_name"), str)
        and isinstance(node.get("config"), dict | list)
    )


def network_name(config: Any) -> str:
    """Return the name of a network; empty where nothing is said."""
    inner = config.get("config") if isinstance(config, dict) else None
    name = inner.get("name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) else ""


# -- what goes in and comes out ----------------------------------------------------------------------


def stored_inputs(layers: tuple[StoredLayer, ...]) -> tuple[TensorFacts, ...]:
    """Return the inputs of a network: its InputLayers, or what its first layer says that it takes."""
    top = [layer for layer in layers if layer.parent is None]
    entries = [layer for layer in top if layer.class_name == "InputLayer"]
    found = []
    for layer in entries or _first_of_all(layers):
        shape = layer.config.get("batch_shape", layer.config.get("batch_input_shape"))
        if _is_shape(shape):
            dtype = layer.config.get("dtype")
            kind = dtype if isinstance(dtype, str) and "mixed" not in dtype else "float32"
            found.append(TensorFacts(layer.name, tuple(shape), kind))
    return tuple(found)


def _first_of_all(layers: tuple[StoredLayer, ...]) -> list[StoredLayer]:
    """Return the first layer, at any depth, that says what it takes."""
    keys = {"batch_shape", "batch_input_shape"}
    return (
        [next((layer for layer in layers if keys & layer.config.keys()), layers[0])]
        if layers
        else []
    )


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(n is None or (isinstance(n, int) and n >= 0) for n in value)
    )


def stored_outputs(
    config: Any, layers: tuple[StoredLayer, ...], losses: Mapping[str, str]
) -> tuple[OutputFacts, ...]:
    """Return the outputs whose size the layers that make them say: a Dense's units.

    Args:
        config: of the network.
        layers: of it.
        losses: by the name of an output; "" for all.
    """
    inner = config.get("config") if isinstance(config, dict) else None
    ends = inner.get("output_layers") if isinstance(inner, dict) else None
    top = {layer.name: layer for layer in layers if layer.parent is None}
    names = (
        list(dict.fromkeys(name for name, _ in _references(ends) if name in top)) or list(top)[-1:]
    )
    found = []
    for name in names:
        layer = top[name]
        units = layer.config.get("units", layer.config.get("output_dim"))
        if layer.class_name != "Dense" or not isinstance(units, int):
            return ()
        found.append(
            OutputFacts(
                name,
                (None, units),
                "float32",
                layer=layer.path,
                activation=layer.activation or "linear",
                loss=losses.get(name, losses.get("")),
                call=layer.path,
            )
        )
    return tuple(found)


# -- how they are joined -----------------------------------------------------------------------------


def stored_calls(config: Any, layers: tuple[StoredLayer, ...]) -> tuple[CallFacts, ...]:
    """Return the calls of a network's layers in their order, nested networks as one call each.

    Shapes are not known: no layer is run or built.
    """
    nodes = _inner_nodes(config)
    top = [layer for layer in layers if layer.parent is None]
    graph = any("inbound_nodes" in node for node in nodes)
    by_name = {layer.name: layer for layer in top}
    made: list[CallFacts] = []
    last: Source | None = None
    calls: Counter[str] = Counter()
    for node, layer in zip(nodes, top, strict=True):
        if layer.class_name == "InputLayer":
            last = InputRef(layer.name)
            continue
        if not graph:
            made.append(_call(layer, 1, (last,) if last is not None else ()))
            last = made[-1].id
            continue
        stored = node.get("inbound_nodes")
        for one in stored if isinstance(stored, list) else []:
            calls[layer.name] += 1
            sources = tuple(dict.fromkeys(_sources(one, by_name)))
            made.append(_call(layer, calls[layer.name], sources))
    return _in_order(made)


def _call(layer: StoredLayer, number: int, sources: tuple[Source, ...]) -> CallFacts:
    name = layer.path if number == 1 else f"{layer.path}#{number}"
    return CallFacts(
        id=name, layer=layer.path, class_name=layer.class_name, parent=None, inputs=sources, shapes=(),
        dtypes=(), bytes=0, flops=0, leaf=True,
    )  # fmt: skip


def _sources(node: Any, layers: Mapping[str, StoredLayer]) -> Iterator[Source]:
    for name, number in _references(node):
        layer = layers.get(name)
        if layer is None:
            continue
        if layer.class_name == "InputLayer":
            yield InputRef(layer.name)
        else:
            # A nested network's own graph counted as its first call in Keras 2.
            first = number < 1 or "layers" in layer.config
            yield layer.path if first else f"{layer.path}#{number + 1}"


def _references(node: Any) -> Iterator[tuple[str, int]]:
    """Yield the name of a layer and the number of its call, wherever a stored node names one."""
    waiting = [node]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, dict):
            waiting[:0] = one.values()
        elif isinstance(one, list):
            tells = len(one) >= 3 and isinstance(one[0], str)
            if tells and all(isinstance(n, int) and not isinstance(n, bool) for n in one[1:3]):
                yield one[0], one[1]
                waiting[:0] = one[3:]
            else:
                waiting[:0] = one


def _in_order(calls: list[CallFacts]) -> tuple[CallFacts, ...]:
    """Return calls behind those that they read; what reads in a circle is left as it stands."""
    waiting, done = list(calls), list[CallFacts]()
    known = {call.id for call in calls}
    ready: set[Source] = set()
    while waiting:
        now = [c for c in waiting if all(s in ready or s not in known for s in c.inputs)]
        if not now:
            return (*done, *waiting)
        done += now
        ready |= {call.id for call in now}
        waiting = [call for call in waiting if call.id not in ready]
    return tuple(done)
