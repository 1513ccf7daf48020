"""Read what a SavedModel of Keras 2 says of its layers, in a process that may be ended.

    python -P saved_model_reader.py SAVED_MODEL MOST > what_it_says.json

Keras 2.5 to 2.15 wrote it into ``keras_metadata.pb``, 2.0 to 2.4 into ``saved_model.pb`` behind the graph. Of
the protocol buffers the fields on the way to that text are looked at, and nothing of the graph is decoded.
Nothing of the package is imported, and no TensorFlow.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

METADATA, GRAPH = "keras_metadata.pb", "saved_model.pb"
_BYTES = 2
_FIXED = {1: 8, 5: 4}
_NODES = 1
_PATH, _IDENTIFIER, _TEXT = 3, 4, 5
"""Fields of a node in ``keras_metadata.pb``."""
_TO_OBJECTS = (2, 7)
"""In ``saved_model.pb``: the first graph with what belongs to it, and its objects."""
_TO_USER = (4,)
_USER_IDENTIFIER, _USER_TEXT = 1, 3
_OURS = "_tf_keras_"
_NO_LAYERS = ("_tf_keras_metric",)
_DEEPEST = 200
MOST_NODES = 200_000


class DamagedError(Exception):
    """A file cannot be trusted; the text says why."""


def fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the fields of a protocol buffer that are bytes, with their numbers.

    Raises:
        DamagedError: it is none.
    """
    at = 0
    while at < len(message):
        key, at = number(message, at)
        kind = key & 7
        if kind == 0:
            _, at = number(message, at)
        elif kind in _FIXED:
            at += _FIXED[kind]
        elif kind == _BYTES:
            size, at = number(message, at)
            if size > len(message) - at:
                raise DamagedError("a field is longer than the file")
            yield key >> 3, message[at : at + size]
            at += size
        else:
            raise DamagedError("it is no protocol buffer")


def number(message: memoryview, at: int) -> tuple[int, int]:
    """Return a number of one to ten bytes and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise DamagedError("it ends within a number")


def described(folder: str, most: int) -> dict[str, Any]:
    """Return ``config``, ``compiled``, ``keras_version`` and ``backend`` as far as they are stored.

    Args:
        folder: of the SavedModel.
        most: bytes of the texts that are read.

    Raises:
        DamagedError: a file is none that Keras wrote.
    """
    name = METADATA if os.path.lexists(_in(folder, METADATA)) else GRAPH
    path = _in(folder, name)
    state = os.lstat(path)
    if not stat.S_ISREG(state.st_mode):
        raise DamagedError(f"{name!r} is no regular file")
    with open(path, "rb") as file:  # noqa: PTH123 - as the child was told
        view = memoryview(file.read())
    found = _nodes_of_metadata(view) if name == METADATA else _root_of_graph(view)
    texts = {path: bytes(text) for path, text in _bounded(found, most)}
    return _described({path: _plain(json.loads(text)) for path, text in texts.items()})


def _in(folder: str, name: str) -> str:
    return os.path.join(folder, name)  # noqa: PTH118 - as the child was told


def _bounded(
    found: Iterator[tuple[str, memoryview]], most: int
) -> Iterator[tuple[str, memoryview]]:
    size = 0
    for number, (path, text) in enumerate(found):
        size += len(text)
        if size > most or number > MOST_NODES:
            raise DamagedError(f"it describes more than {most / 2**20:,.0f} MiB")
        yield path, text


def _nodes_of_metadata(view: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Yield the path and the text of the network and of the layers directly inside it."""
    for number, node in fields(view):
        if number != _NODES:
            continue
        parts = dict(fields(node))
        path, kind = _text(parts.get(_PATH)), _text(parts.get(_IDENTIFIER))
        ours = kind.startswith(_OURS) and kind not in _NO_LAYERS
        if ours and _TEXT in parts and path.count(".") <= 1:
            yield path, parts[_TEXT]


def _root_of_graph(view: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Yield the text of the network from what stands behind a graph."""
    root = view
    for step in (*_TO_OBJECTS, _NODES, *_TO_USER):
        inside = [part for number, part in fields(root) if number == step]
        if not inside:
            return
        root = inside[0]
    parts = dict(fields(root))
    if _text(parts.get(_USER_IDENTIFIER)).startswith(_OURS) and _USER_TEXT in parts:
        yield "root", parts[_USER_TEXT]


def _text(value: memoryview | None) -> str:
    return bytes(value[:1000]).decode("utf-8", "replace") if value is not None else ""


def _plain(value: Any, depth: int = 0) -> Any:
    """Return JSON with lists where Keras wrote tuples and shapes."""
    if depth > _DEEPEST:
        raise DamagedError("its description is nested too deep")
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") in {"__tuple__", "TensorShape"} and "items" in value:
        return _plain(value["items"], depth + 1)
    return {key: _plain(item, depth + 1) for key, item in value.items()}


def _described(nodes: dict[str, Any]) -> dict[str, Any]:
    root = nodes.get("root")
    if not isinstance(root, dict):
        return {}
    config = root.get("model_config")
    if not _is_network(config):
        config = {"class_name": root.get("class_name"), "config": root.get("config")}
    if not _is_network(config):
        config = _of_layers(root, nodes)
    return {
        "config": config if _is_network(config) else None,
        "compiled": root.get("training_config"),
        "keras_version": root.get("keras_version"),
        "backend": root.get("backend"),
    }


def _is_network(config: Any) -> bool:
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    return isinstance(layers, list) and isinstance(config.get("class_name"), str)


def _of_layers(root: dict[str, Any], nodes: dict[str, Any]) -> dict[str, Any] | None:
    """Describe a network of somebody's class by the layers that it holds; how they are joined is not stored."""
    layers = [
        {"class_name": node["class_name"], "config": node["config"]}
        for path, node in nodes.items()
        if path != "root" and isinstance(node, dict) and {"class_name", "config"} <= node.keys()
    ]
    if not layers:
        return None
    return {
        "class_name": root.get("class_name"),
        "config": {"name": root.get("name"), "layers": layers},
    }


def main(folder: str, most: str) -> None:
    """Print what is said as JSON, or why it cannot be trusted."""
    try:
        found = described(folder, int(most))
    except Exception as error:  # noqa: BLE001 - whatever a file holds
        found = {"problem": " ".join(str(error).split())[:300] or type(error).__name__}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:3])
