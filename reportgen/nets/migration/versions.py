"""Which Keras wrote a file: before 3, its configuration is migrated before anything is built from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_OLD_KEYS = {"batch_input_shape", "nb_filter", "border_mode", "inner_activation", "time_major"}
"""Arguments that no Keras from 3 on writes."""
_OLD_CLASSES = {
    "Model",
    "Convolution1D",
    "Convolution2D",
    "Merge",
    "ThresholdedReLU",
    "CuDNNLSTM",
    "CuDNNGRU",
    "TFOpLambda",
    "SlicingOpLambda",
    "TensorFlowOpLayer",
}
"""Classes that no Keras from 3 on writes."""


def is_old(config: Any, version: str) -> bool:
    """Tell whether a configuration was written before Keras 3.

    Args:
        config: as JSON gives it.
        version: of Keras, as the file says it; empty where it does not. Then what the configuration holds
            decides; one that only names ``hard_sigmoid`` counts as old, since the function changed.
    """
    if match := re.match(r"(\d+)\.", version):
        return int(match.group(1)) < 3
    if isinstance(config, dict) and isinstance(config.get("config"), list):
        return True
    return any(_is_mark(node) for node in _nodes(config))


def names_hard_sigmoid(config: Any) -> bool:
    """Tell whether a configuration uses the function that Keras 3 computes in another way."""
    return any("hard_sigmoid" in _texts(node) for node in _nodes(config))


def _is_mark(node: dict[str, Any]) -> bool:
    name = node.get("class_name")
    return (
        bool(_OLD_KEYS & node.keys())
        or (isinstance(name, str) and name in _OLD_CLASSES)
        or "hard_sigmoid" in _texts(node)
    )


def _texts(node: dict[str, Any]) -> list[str]:
    return [value for value in node.values() if isinstance(value, str)]


def _nodes(config: Any) -> Iterator[dict[str, Any]]:
    waiting = [config]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
