"""Files as Keras 1 and 2 wrote them, by hand: no Keras of that age is needed."""

from __future__ import annotations

import io
import json
import zipfile

import h5py
import numpy as np


def write_h5(path, config, weights, version="2.2.4", backend="tensorflow", **attributes):
    """Write an HDF5 model: ``weights`` by layer, each a mapping from name to array in order."""
    with h5py.File(path, "w") as file:
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
        group = file.create_group("model_weights") if config is not None else file
        fill_groups(group, weights)
        for one in (file, group):
            if version:
                one.attrs["keras_version"] = version
            one.attrs["backend"] = backend
        for name, value in attributes.items():
            file.attrs[name] = value
    return path


def fill_groups(group, weights):
    group.attrs["layer_names"] = np.array([name.encode() for name in weights], dtype="S")
    for layer, arrays in weights.items():
        inner = group.create_group(layer)
        inner.attrs["weight_names"] = np.array([name.encode() for name in arrays], dtype="S")
        for name, array in arrays.items():
            inner.create_dataset(name, data=array)


def write_keras(path, config, weights, version="2.13.1", extra=()):
    """Write a ``.keras`` of Keras 2.12 to 2.15: ``weights`` by the literal name of the group."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for group, arrays in weights.items():
            inner = file.create_group(group)
            for number, array in enumerate(arrays):
                inner.create_dataset(str(number), data=array)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", stream.getvalue())
        for name, content in extra:
            archive.writestr(name, content)
    return path


def layer(class_name, name, **config):
    return {"class_name": class_name, "config": {"name": name, "trainable": True, **config}}


def sequential(*layers, name="net"):
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def node(made, *sources):
    """Return a layer of a graph, called once on other layers' tensors."""
    inbound = [[[source, 0, 0, {}] for source in sources]] if sources else []
    return {**made, "name": made["config"]["name"], "inbound_nodes": inbound}


def graph(layers, inputs, outputs, class_name="Model"):
    ends = {
        "input_layers": [[n, 0, 0] for n in inputs],
        "output_layers": [[n, 0, 0] for n in outputs],
    }
    return {"class_name": class_name, "config": {"name": "net", "layers": layers, **ends}}


def drawn(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)
