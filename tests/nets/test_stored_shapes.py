"""Shapes of a network that is not built are those of the built one, or none."""

from __future__ import annotations

import json

import keras
import pages
import pytest
import zoo
from keras import layers

from reportgen import build_report
from reportgen.nets.keras_network import KerasNetwork
from reportgen.nets.stored_layers import stored_calls, stored_inputs, stored_layers
from reportgen.nets.stored_shapes import shape_of, with_shapes

PICTURE, STEPS, VOLUME = (12, 9, 4), (10, 3), (6, 5, 4, 2)
FIRST = {"data_format": "channels_first"}
MADE = {
    "Conv2D": (PICTURE, lambda: layers.Conv2D(5, 3)),
    "Conv2D same strided": (
        PICTURE,
        lambda: layers.Conv2D(5, (3, 2), strides=(2, 3), padding="same"),
    ),
    "Conv2D valid strided": (PICTURE, lambda: layers.Conv2D(5, (3, 2), strides=(2, 3))),
    "Conv2D dilated": (PICTURE, lambda: layers.Conv2D(5, 3, dilation_rate=2)),
    "Conv2D first": ((4, 12, 9), lambda: layers.Conv2D(5, 3, **FIRST)),
    "Conv1D causal": (STEPS, lambda: layers.Conv1D(5, 3, padding="causal", dilation_rate=2)),
    "Conv3D": (VOLUME, lambda: layers.Conv3D(3, 2, strides=2)),
    "DepthwiseConv2D": (
        PICTURE,
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
    ),
    "SeparableConv2D": (PICTURE, lambda: layers.SeparableConv2D(7, 3)),
    "SeparableConv1D": (STEPS, lambda: layers.SeparableConv1D(7, 3)),
    "Conv2DTranspose": (PICTURE, lambda: layers.Conv2DTranspose(3, 3, strides=2)),
    "Conv2DTranspose same": (
        PICTURE,
        lambda: layers.Conv2DTranspose(3, 4, strides=3, padding="same"),
    ),
    "Conv2DTranspose narrow": (PICTURE, lambda: layers.Conv2DTranspose(3, 2, strides=3)),
    "MaxPooling2D": (PICTURE, lambda: layers.MaxPooling2D(2)),
    "AveragePooling2D same": (PICTURE, lambda: layers.AveragePooling2D(3, 2, padding="same")),
    "MaxPooling1D": (STEPS, lambda: layers.MaxPooling1D(3)),
    "GlobalAveragePooling2D": (PICTURE, layers.GlobalAveragePooling2D),
    "GlobalMaxPooling2D kept": (PICTURE, lambda: layers.GlobalMaxPooling2D(keepdims=True)),
    "GlobalMaxPooling1D": (STEPS, layers.GlobalMaxPooling1D),
    "ZeroPadding2D": (PICTURE, lambda: layers.ZeroPadding2D(((1, 2), (3, 0)))),
    "ZeroPadding1D": (STEPS, lambda: layers.ZeroPadding1D((1, 2))),
    "Cropping2D": (PICTURE, lambda: layers.Cropping2D((2, 1))),
    "Cropping1D": (STEPS, lambda: layers.Cropping1D(2)),
    "UpSampling2D": (PICTURE, lambda: layers.UpSampling2D((2, 3))),
    "UpSampling1D": (STEPS, lambda: layers.UpSampling1D(2)),
    "Dense": (STEPS, lambda: layers.Dense(6)),
    "Flatten": (PICTURE, layers.Flatten),
    "Reshape": (PICTURE, lambda: layers.Reshape((-1, 6))),
    "Permute": (PICTURE, lambda: layers.Permute((3, 1, 2))),
    "RepeatVector": ((5,), lambda: layers.RepeatVector(4)),
    "Embedding": ((7,), lambda: layers.Embedding(9, 3)),
    "LSTM": (STEPS, lambda: layers.LSTM(6)),
    "GRU in steps": (STEPS, lambda: layers.GRU(6, return_sequences=True)),
    "Bidirectional": (STEPS, lambda: layers.Bidirectional(layers.LSTM(6, return_sequences=True))),
    "Bidirectional summed": (STEPS, lambda: layers.Bidirectional(layers.GRU(6), merge_mode="sum")),
    "TimeDistributed": ((5, *PICTURE), lambda: layers.TimeDistributed(layers.Conv2D(3, 3))),
    "BatchNormalization": (PICTURE, layers.BatchNormalization),
}


@pytest.mark.parametrize("name", MADE)
def test_a_layer_has_the_shape_that_keras_gives_it(name):
    shape, make = MADE[name]
    layer = make()
    config = layer.get_config()
    if name.startswith(("Bidirectional", "TimeDistributed")):
        config = json.loads(json.dumps(config))
    expected = tuple(keras.Sequential([keras.Input(shape), layer]).output_shape[1:])
    assert shape_of(type(layer).__name__, config, [shape]) == expected


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_what_is_joined_is_as_long_as_its_parts(axis):
    first, second = (4, 3), (4, 5) if axis in {-1, 2} else (6, 3)
    inputs = [keras.Input(first), keras.Input(second)]
    made = layers.Concatenate(axis=axis)(inputs)
    assert shape_of("Concatenate", {"axis": axis}, [first, second]) == tuple(made.shape[1:])


@pytest.mark.parametrize(
    "name", ["sequential", "functional", "separable", "shared_layer", "multi_output", "dropout"]
)
def test_a_network_has_the_shapes_of_the_built_one(name):
    model = zoo.make(name)
    built = KerasNetwork(model, **zoo.ZOO[name].options)
    config = json.loads(model.to_json())
    stored = stored_layers(config)
    calls = with_shapes(stored_calls(config, stored), stored, stored_inputs(stored))
    expected = {call.id: call.shapes for call in built.facts.calls}
    found = {call.id: call.shapes for call in calls if call.shapes}
    assert found == {name: expected[name] for name in found}
    assert len(found) == len(calls) > 2


NONE = [
    ("Dense", {}, [(3,)]), ("Dense", {"units": "x"}, [(3,)]), ("Dense", {"units": -1}, [(3,)]),
    ("Dense", {"units": 10**30}, [(3,)]), ("Dense", {"units": 2.5}, [(3,)]), ("Dense", {"units": True}, [(3,)]),
    ("Conv2D", {"filters": 2, "kernel_size": [3], "strides": 1, "padding": "same"}, [PICTURE]),
    ("Conv2D", {"filters": 2, "kernel_size": 3, "strides": 0, "padding": "same"}, [PICTURE]),
    ("Conv2D", {"filters": 2, "kernel_size": 3, "strides": 1, "padding": "odd"}, [PICTURE]),
    ("Conv2D", {"filters": 2, "kernel_size": 99, "strides": 1, "padding": "valid"}, [PICTURE]),
    ("Conv2D", {"filters": 2, "kernel_size": None, "strides": 1, "padding": "same"}, [PICTURE]),
    ("Conv2D", {"nb_filter": 2}, [PICTURE]), ("Reshape", {"target_shape": [5, 5]}, [(24,)]),
    ("Reshape", {"target_shape": [-1, 0]}, [(24,)]), ("Permute", {"dims": [9]}, [PICTURE]),
    ("Add", {}, [(3,), (4,)]), ("Concatenate", {"axis": 9}, [(3,), (4,)]),
    ("Concatenate", {}, [(2, 3), (3, 4)]),
    ("LSTM", {"units": 3, "return_state": True}, [STEPS]), ("Bidirectional", {"layer": None}, [STEPS]),
    ("Bidirectional", {"layer": {"class_name": "X", "config": {}}}, [STEPS]), ("Strange", {}, [STEPS]),
    ("TimeDistributed", {"layer": 7}, [STEPS]), ("Flatten", {}, [(0, 3)]),
    ("ZeroPadding2D", {"padding": "a"}, [PICTURE]),
]  # fmt: skip


@pytest.mark.parametrize(("class_name", "config", "read"), NONE)
def test_what_no_rule_gives_has_no_shape(class_name, config, read):
    assert shape_of(class_name, config, read) is None


def test_wrappers_in_wrappers_end():
    node = {"class_name": "Dense", "config": {"units": 2}}
    for _ in range(5000):
        node = {"class_name": "TimeDistributed", "config": {"layer": node}}
    assert shape_of(node["class_name"], node["config"], [(2,) * 4]) is None


def test_the_table_of_layers_has_them(tmp_path):
    model = zoo.make("sequential")
    model.save(tmp_path / "whole.keras")
    build_report(tmp_path / "whole.keras", output=tmp_path / "out", weights_only=True)
    rows = pages.content(pages.check_page(tmp_path / "out"), "architecture")["layers"]
    assert all(row["shapes"] for row in rows)
