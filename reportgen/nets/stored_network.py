"""A network that is not built: what its file stores of its layers and its weights, behind the Network protocol.

TensorFlow and Keras are not imported. Nothing can be run, so nothing of the file can.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec.structs import replace

from reportgen.errors import NotApplicable
from reportgen.nets.quantized import dequantized
from reportgen.nets.stored_layers import (
    network_name,
    stored_calls,
    stored_inputs,
    stored_layers,
    stored_outputs,
)
from reportgen.nets.stored_shapes import with_shapes
from reportgen.nets.training import learning_rate, loss_name, optimizer_name
from reportgen.nets.weight_sources import weight_source
from reportgen.network.facts import LayerFacts, NetworkFacts, Origin
from reportgen.numerics import dtype_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from reportgen.nets.stored import Stored
    from reportgen.nets.stored_layers import StoredLayer
    from reportgen.nets.stored_weights import StoredWeight
    from reportgen.network.facts import VariableFacts
    from reportgen.slabs import Slabs


class StoredNetwork:
    """What a file stores of a network.

    Args:
        path: of the file.
        stored: what was read of it.
        reason: why there is no more, a sentence without its full stop.
    """

    can: frozenset[str] = frozenset()
    block = lanes = pictures_at_once = 1

    def __init__(self, path: Path, stored: Stored, reason: str) -> None:
        layers = stored_layers(stored.config)
        self._configs = {layer.path: layer.config for layer in layers}
        self._source = weight_source(path, stored)
        self._weights = _by_layer(self._source.weights(layers), layers)
        self.facts = _facts(path, stored, layers, self._weights, reason)

    def explain(self, reason: str) -> None:
        """Give another reason why there is no more."""
        origin = self.facts.origin
        if origin is not None:
            self.facts = replace(self.facts, origin=replace(origin, reason=reason))

    def input_shape(self, name: str) -> tuple[int, ...]:
        """Return the size of an input without the batch dimension; 0 where it is open."""
        shape = next(tensor.shape for tensor in self.facts.inputs if tensor.name == name)
        return tuple(n or 0 for n in shape[1:])

    @property
    def weights(self) -> tuple[VariableFacts, ...]:
        """The weights without their values."""
        return tuple(weight.facts for weight in self._weights)

    def variables(self) -> Iterator[tuple[VariableFacts, NDArray[Any] | Slabs]]:
        """Read one weight after the other, a large one slab by slab before the next is asked for.

        Raises:
            ModelError: the file was changed since it was looked at.
        """
        arrays = self._source.arrays(self._weights)
        yield from dequantized(
            zip((weight.facts for weight in self._weights), arrays, strict=True),
            lambda path: self._configs.get(path, {}),
        )

    def forward(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: there is nothing to run."""
        raise NotApplicable("There is no executable network; Overview says why.")

    survey: Any = forward
    passes: Any = forward
    prepare_ascents: Any = forward
    ascent: Any = forward

    def normalization_input(self, _: Any) -> None:
        """Measure nothing."""


def _by_layer(
    weights: Sequence[StoredWeight], layers: tuple[StoredLayer, ...]
) -> tuple[StoredWeight, ...]:
    """Put the weights of a layer together, the layers in the order of the configuration.

    Files have all trainable weights first, or go by the alphabet.
    """
    groups: dict[str, list[StoredWeight]] = {}
    for weight in weights:
        groups.setdefault(weight.facts.layer, []).append(weight)
    known = {layer.path: layer.parent for layer in layers}
    places = {layer.path: place for place, layer in enumerate(layers)}

    def place(path: str) -> int:
        at = path if path in known else _nearest(path, known)
        return places.get(at or "", len(places))

    ordered = sorted(groups, key=place)
    return tuple(weight for path in ordered for weight in groups[path])


def _facts(
    path: Path,
    stored: Stored,
    layers: tuple[StoredLayer, ...],
    weights: Sequence[StoredWeight],
    reason: str,
) -> NetworkFacts:
    facts = [weight.facts for weight in weights]
    loss = loss_name(None, stored.compiled)
    rows = _layer_facts(layers, weights)
    policy = next((layer.dtype_policy for layer in layers if layer.dtype_policy), "float32")
    return NetworkFacts(
        name=network_name(stored.config) or path.name.partition(".")[0],
        class_name=_class_name(stored.config),
        inputs=stored_inputs(layers),
        outputs=stored_outputs(stored.config, layers, {"": loss} if loss else {}),
        layers=rows,
        calls=with_shapes(stored_calls(stored.config, layers), layers, stored_inputs(layers)),
        parameters=sum(weight.elements for weight in weights),
        trainable_parameters=sum(weight.elements for weight in weights if weight.facts.trainable),
        weight_bytes=sum(w.elements * dtype_size(w.facts.dtype) for w in weights),
        dtype_policy=policy if facts else "",
        optimizer=optimizer_name(None, stored.compiled),
        learning_rate=learning_rate(None, stored.compiled),
        loss=loss,
        versions=(("Python", ".".join(str(n) for n in sys.version_info[:3])),),
        origin=Origin("stored", stored.version, (stored.note,) if stored.note else (), reason),
    )


def _class_name(config: Any) -> str:
    name = config.get("class_name") if isinstance(config, dict) else None
    return name if isinstance(name, str) else "weights only"


def _layer_facts(
    layers: tuple[StoredLayer, ...], weights: Sequence[StoredWeight]
) -> tuple[LayerFacts, ...]:
    """Return the facts of every layer, and of what holds weights and stands in no configuration."""
    known = {layer.path: layer.parent for layer in layers}
    counts: dict[str, list[int]] = {}
    for weight in weights:
        at: str | None = weight.facts.layer
        while at:
            held = counts.setdefault(at, [0, 0])
            held[0] += weight.elements
            held[1] += weight.elements if weight.facts.trainable else 0
            at = known[at] if at in known else _nearest(at, known)
    rows = [
        _row(layer.path, layer.name, layer.class_name, layer.parent, counts) for layer in layers
    ]
    rows = [
        replace(row, dtype_policy=layer.dtype_policy, activation=layer.activation)
        for row, layer in zip(rows, layers, strict=True)
    ]
    for weight in weights:
        path = weight.facts.layer
        if path and path not in known:
            parent = known[path] = _nearest(path, known)
            name = path if parent is None else path.removeprefix(f"{parent}/")
            row = _row(path, name, weight.facts.layer_class or "unknown", parent, counts)
            rows.insert(_behind(rows, parent), row)
    return tuple(rows)


def _behind(rows: Sequence[LayerFacts], parent: str | None) -> int:
    """Return the place behind a layer and all that it holds; the end where there is none."""
    if parent is None:
        return len(rows)
    inside = [n for n, row in enumerate(rows) if f"{row.path}/".startswith(f"{parent}/")]
    return inside[-1] + 1 if inside else len(rows)


def _row(
    path: str, name: str, class_name: str, parent: str | None, counts: Mapping[str, list[int]]
) -> LayerFacts:
    parameters, trainable = counts.get(path, [0, 0])
    return LayerFacts(path, name, class_name, parent, parameters, trainable, "", None)


def _nearest(path: str, known: Mapping[str, str | None]) -> str | None:
    """Return the longest beginning of a path that is a layer's."""
    while path:
        path = path.rpartition("/")[0]
        if path in known:
            return path
    return None
