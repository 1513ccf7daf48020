"""SavedModels as Keras 2 wrote them, by hand: a checkpoint of TensorFlow's and a description beside it."""

from __future__ import annotations

import json

import tensorflow as tf


def number(value):
    """Return a number as protocol buffers store it."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def field(key, content):
    """Return a field of bytes."""
    content = content.encode() if isinstance(content, str) else content
    return number(key << 3 | 2) + number(len(content)) + content


def counted(key, value):
    """Return a field that is a number."""
    return number(key << 3) + number(value)


def node(path, identifier, text):
    """Return a node of ``keras_metadata.pb``."""
    version = field(6, counted(1, 2) + counted(2, 1))
    return field(
        1, counted(2, 7) + field(3, path) + field(4, identifier) + field(5, text) + version
    )


def as_graph(text, identifier="_tf_keras_network"):
    """Return a ``saved_model.pb`` with a graph that is none, and what is said behind it."""
    user = field(1, identifier) + field(2, counted(1, 1)) + field(3, text)
    root = field(1, field(1, counted(1, 1)) + field(4, user))
    other = field(1, field(4, field(1, "_tf_keras_layer") + field(3, "{}")))
    objects = field(7, root + other)
    return counted(1, 1) + field(2, field(1, b"info") + field(2, b"\xff" * 40) + objects)


def tupled(value):
    """Return a configuration with its lists of numbers as the tuples that Keras stores."""
    if isinstance(value, dict):
        return {key: tupled(item) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    if value and all(n is None or isinstance(n, int) for n in value):
        return {"class_name": "__tuple__", "items": value}
    return [tupled(item) for item in value]


def described(config):
    """Return what Keras says of a network."""
    said = {"keras_version": "2.9.0", "backend": "tensorflow", "name": "net"}
    if config is not None:
        said |= {"class_name": config["class_name"], "model_config": tupled(config)}
    return json.dumps(said)


def held_by(arrays):
    """Return an object that a checkpoint names by its attributes: arrays, or more such objects."""
    made = tf.Module()
    for name, value in arrays.items():
        inner = held_by(value) if isinstance(value, dict) else tf.Variable(value, name=name)
        setattr(made, name, inner)
    return made


def write_saved_model(folder, config, layers, *, old=False):
    """Write a SavedModel.

    Args:
        folder: that is made.
        config: of the network.
        layers: what each of its layers holds, in their order; a mapping from name to array.
        old: whether the description stands in ``saved_model.pb``, as before Keras 2.5.
    """
    tf.saved_model.save(held_by({f"layer-{n}": held for n, held in enumerate(layers)}), str(folder))
    text = described(config)
    if old:
        (folder / "saved_model.pb").write_bytes(as_graph(text))
    else:
        whole = node("root", "_tf_keras_network", text) + node(
            "root.layer-0", "_tf_keras_layer", "{}"
        )
        (folder / "keras_metadata.pb").write_bytes(whole)
    return folder
