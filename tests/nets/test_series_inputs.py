"""Two axes are a series or a grey picture: the layers that read them tell which."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from reportgen.inputs.fitting import InputShape, image_input, main_input, shapes_of
from reportgen.nets.keras_network import KerasNetwork


class Block(layers.Layer):
    """A user's own layer that holds what reads the steps."""

    def __init__(self):
        super().__init__()
        self.norm = layers.LayerNormalization()
        self.attend = layers.MultiHeadAttention(2, 4)

    def build(self, shape):
        self.norm.build(shape)
        self.attend.build(shape, shape)

    def call(self, x):
        y = self.norm(x)
        return x + self.attend(y, y)


class Own(keras.Model):
    """A model that is no graph."""

    def __init__(self, *inner):
        super().__init__()
        self.inner = list(inner)

    def call(self, x):
        for layer in self.inner:
            x = layer(x)
        return x


def network(*stack, shape=(28, 28)):
    """A graph of the layers or operations in ``stack``, with a head."""
    start = keras.Input(shape, name="signal")
    x = start
    for one in stack:
        x = one(x)
    end = layers.Dense(2, activation="softmax")(layers.Flatten()(x))
    return KerasNetwork(keras.Model(start, end))


def kind(net):
    return net.facts.inputs[0].kind


def specs(net):
    facts = net.facts.inputs
    return shapes_of(facts, {one.name: net.input_shape(one.name) for one in facts})


SERIES = {
    "convolution": [layers.Conv1D(4, 3)],
    "separable": [layers.SeparableConv1D(4, 3)],
    "depthwise": [layers.DepthwiseConv1D(3)],
    "lstm": [layers.LSTM(4)],
    "gru": [layers.GRU(4, return_sequences=True)],
    "both ways": [layers.Bidirectional(layers.SimpleRNN(3))],
    "scaled before": [layers.Rescaling(0.5), layers.BatchNormalization(), layers.Conv1D(4, 3)],
    "padded": [layers.ZeroPadding1D(1), layers.Flatten()],
    "pooled": [layers.AveragePooling1D(2), layers.Flatten()],
    "step by step": [layers.Dense(8), layers.GlobalAveragePooling1D()],
    "attention inside a layer": [Block()],
    "one pixel wide": [layers.Reshape((28, 1, 28)), layers.Conv2D(4, (3, 1))],
    "one pixel high": [lambda x: ops.expand_dims(x, 1), layers.Conv2D(4, (1, 3))],
    "windows": [layers.Reshape((4, 7, 28)), layers.TimeDistributed(layers.Conv1D(2, 3))],
    "nested": [keras.Sequential([keras.Input((28, 28)), layers.Conv1D(4, 3)])],
}
PICTURES = {
    "perceptron": [layers.Flatten(), layers.Dense(8)],
    "reshaped": [layers.Reshape((28, 28, 1)), layers.Conv2D(4, 3)],
    "expanded": [lambda x: ops.expand_dims(x, -1), layers.Conv2D(4, 3)],
    "scaled before": [layers.Rescaling(1 / 255), layers.Reshape((28, 28, 1)), layers.Conv2D(4, 3)],
    "nested": [
        keras.Sequential([
            keras.Input((28, 28)), layers.Reshape((28, 28, 1)), layers.Conv2D(4, 3)
        ])
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SERIES)
def test_what_reads_steps_makes_a_series(name):
    net = network(*SERIES[name])
    assert kind(net) == "series"
    assert image_input(specs(net)) is None
    assert main_input(specs(net)).series


@pytest.mark.parametrize("name", PICTURES)
def test_what_reads_places_leaves_a_picture(name):
    net = network(*PICTURES[name])
    assert kind(net) == "unknown"
    found = image_input(specs(net))
    assert found is not None
    assert found.shape == (28, 28)


@pytest.mark.parametrize("shape", [(20, 10), (128, 9), (28, 28), (200, 1), (16, 3)])
def test_the_size_of_a_series_does_not_matter(shape):
    assert kind(network(layers.Conv1D(4, 3), shape=shape)) == "series"


def test_channels_in_front_are_neither():
    net = network(layers.Permute((2, 1)), layers.Conv1D(4, 3), shape=(9, 128))
    assert kind(net) == "other"
    assert image_input(specs(net)) is None


def test_ids_are_neither():
    start = keras.Input((12, 12), name="ids")
    x = layers.Embedding(50, 4)(start)
    net = KerasNetwork(keras.Model(start, layers.Dense(2)(layers.Flatten()(x))))
    assert kind(net) == "other"
    assert image_input(specs(net)) is None


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ([layers.Conv1D(4, 3), layers.Flatten(), layers.Dense(2)], "series"),
        ([layers.Flatten(), layers.Dense(2)], "unknown"),
    ],
)
def test_a_model_that_is_no_graph_says_it_by_its_first_layers(inner, expected):
    model = Own(*inner)
    model(np.zeros((1, 28, 28), np.float32))
    assert kind(KerasNetwork(model, given={None: ((5, 28, 28), True)})) == expected


def test_each_input_is_judged_by_what_reads_it():
    signal, image = keras.Input((28, 28), name="signal"), keras.Input((28, 28), name="image")
    x = layers.Flatten()(layers.Conv1D(2, 3)(signal))
    y = layers.Flatten()(image)
    net = KerasNetwork(keras.Model([signal, image], layers.Dense(2)(ops.concatenate([x, y], 1))))
    assert {one.name: one.kind for one in net.facts.inputs} == {
        "signal": "series",
        "image": "unknown",
    }
    assert main_input(specs(net)).name == "image"


def test_one_step_is_no_series():
    assert not InputShape("x", (1, 96), "float32", "series").series


def test_a_picture_beside_it_has_four_axes_as_ever():
    start = keras.Input((12, 12, 3), name="picture")
    net = KerasNetwork(keras.Model(start, layers.Flatten()(layers.Conv2D(2, 3)(start))))
    assert kind(net) == "unknown"
