"""Copy the weights of a SavedModel's checkpoint into plain arrays, in a process that may be ended.

    python -P checkpoint_reader.py SAVED_MODEL OUT > what_was_copied.json

TensorFlow's reader of checkpoints sees a file of somebody else's here only; the graph beside it is never read.
Nothing of the package is imported.
"""

from __future__ import annotations

import collections
import hashlib
import json
import math
import os
import re
import stat
import sys
from typing import Any

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_END = "/.ATTRIBUTES/VARIABLE_VALUE"
_NO_WEIGHTS = ("optimizer/", "keras_api/metrics/", "save_counter", "_CHECKPOINTABLE")
_VALUE = "VARIABLE_VALUE"
_NO_STEPS = (
    "layer_with_weights-", "keras_api", "optimizer", "variables", "trainable_variables", "signatures",
    "non_trainable_variables", "regularization_losses",
)  # fmt: skip
"""Ways to a variable that do not say whose it is."""
MOST = 200_000
"""Tensors, and objects, of one checkpoint."""
DEEPEST = 64
"""Steps to a variable."""


class DamagedError(Exception):
    """The checkpoint cannot be trusted; the text says why."""


def copy_weights(folder: str, out: str) -> list[dict[str, Any]]:
    """Write every weight as ``N.npy``.

    Args:
        folder: of the SavedModel.
        out: an empty folder.

    Returns:
        Of each its ``name``, its ``place`` as the steps to it through the layers, its ``shape``, ``dtype`` as
        stored and ``file``, in the order of their keys.

    Raises:
        DamagedError: a file of it is no regular file, or it declares more than it stores.
    """
    import numpy as np

    prefix = os.path.join(folder, "variables", "variables")  # noqa: PTH118 - as TensorFlow takes it
    held = _stored_bytes(os.path.dirname(prefix))  # noqa: PTH120
    import tensorflow as tf

    reader = tf.train.load_checkpoint(prefix)
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    if len(shapes) > MOST:
        raise DamagedError(f"it declares {len(shapes):,} tensors")
    declared = sum(math.prod(shapes[key]) * (types[key].size or 1) for key in shapes)
    if declared > held:
        raise DamagedError(f"it declares {declared:,} bytes and stores {held:,}")
    names, places = _graph(reader) if _GRAPH in shapes else ({}, {})
    found: list[dict[str, Any]] = []
    seen: set[tuple[Any, ...]] = set()
    for key in sorted(shapes, key=_natural):
        if types[key] == tf.string or key.startswith(_NO_WEIGHTS) or ".OPTIMIZER_SLOT" in key:
            continue
        array = np.asarray(reader.get_tensor(key))
        plain = array if array.dtype.kind in "fiub" else array.astype(np.float32)
        name = names.get(key) or key.removesuffix(_END)
        if "seed_generator" in name:
            continue
        # Keras 3 exports a variable twice: as the layer's and as the function's.
        copy = (name, plain.shape, hashlib.sha256(plain.tobytes()).digest())
        if copy in seen:
            continue
        seen.add(copy)
        file = f"{len(found)}.npy"
        np.save(os.path.join(out, file), plain, allow_pickle=False)  # noqa: PTH118
        place = places.get(key, [])
        shape, dtype = list(array.shape), types[key].name
        found.append({"name": name, "place": place, "shape": shape, "dtype": dtype, "file": file})
    return found


def _stored_bytes(folder: str) -> int:
    """Return the bytes of a checkpoint's files, all regular and none a link."""
    total = 0
    for name in sorted(os.listdir(folder)):  # noqa: PTH208
        state = os.lstat(os.path.join(folder, name))  # noqa: PTH118
        if not stat.S_ISREG(state.st_mode):
            raise DamagedError(f"{name!r} is no regular file")
        total += state.st_size
    return total


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Order keys with their numbers as numbers."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _graph(reader: Any) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return by their keys what the variables were called, and the steps that lead to them."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor(_GRAPH))
    if len(graph.nodes) > MOST:
        raise DamagedError(f"it declares {len(graph.nodes):,} objects")
    ways = _ways(graph.nodes)
    names, places = {}, {}
    for number, node in enumerate(graph.nodes):
        for attribute in node.attributes:
            if attribute.full_name:
                names[attribute.checkpoint_key] = attribute.full_name
            if attribute.name == _VALUE and number in ways:
                places[attribute.checkpoint_key] = ways[number]
    return names, places


def _ways(nodes: Any) -> dict[int, list[str]]:
    """Return the shortest way to each object, through the numbered layers of networks where they are."""
    ways: dict[int, list[str]] = {0: []} if nodes else {}
    waiting = collections.deque(ways)
    while waiting:
        number = waiting.popleft()
        steps = sorted(
            (not re.fullmatch(r"layer-\d+", child.local_name), child.local_name, child.node_id)
            for child in nodes[number].children
            if not child.local_name.startswith(_NO_STEPS)
        )
        for _, name, child in steps:
            if child not in ways and 0 <= child < len(nodes) and len(ways[number]) < DEEPEST:
                ways[child] = [*ways[number], name]
                waiting.append(child)
    return ways


def main(folder: str, out: str) -> None:
    """Print what was copied as JSON, or why it cannot be trusted."""
    try:
        found: dict[str, Any] = {"weights": copy_weights(folder, out)}
    except Exception as error:  # noqa: BLE001 - libraries raise all sorts on damaged files
        found = {"problem": " ".join(str(error).split())[:300] or type(error).__name__}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:3])
