"""Grad-CAM where the head averages its features, HiResCAM where it does more: held against the gradient."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from reportgen import build_report
from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.calls import averages_places, choose_features
from reportgen.network.protocol import Aim, Sample

SIDE = 16


def dense():
    return layers.Dense(3, activation="softmax", name="head")


def attended(x):
    tokens = layers.Reshape((64, 6))(x)
    mixed = layers.MultiHeadAttention(2, 3)(tokens, tokens)
    return dense()(layers.GlobalAveragePooling1D()(mixed + tokens))


AVERAGES = {
    "pooled": lambda x: dense()(layers.GlobalAveragePooling2D()(x)),
    "pooled, two layers": lambda x: dense()(
        layers.Dense(5, activation="relu")(layers.GlobalAveragePooling2D()(x))
    ),
    "pooled, dimensions kept": lambda x: layers.Softmax()(
        layers.Flatten()(layers.Conv2D(3, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x)))
    ),
    "pooled by a window": lambda x: dense()(layers.Flatten()(layers.AveragePooling2D(8)(x))),
    "normalised, then pooled": lambda x: dense()(
        layers.GlobalAveragePooling2D()(layers.Dropout(0.5)(layers.BatchNormalization()(x)))
    ),
    "mean": lambda x: dense()(ops.mean(x, axis=(1, 2))),
}
MORE = {
    "flattened": lambda x: dense()(layers.Flatten()(x)),
    "largest by a small window, then pooled": lambda x: dense()(
        layers.GlobalAveragePooling2D()(layers.MaxPooling2D(2)(x))
    ),
    "the largest": lambda x: dense()(layers.GlobalMaxPooling2D()(x)),
    "mean and largest": lambda x: dense()(
        layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    ),
    "largest by a window": lambda x: dense()(layers.Flatten()(layers.MaxPooling2D(8)(x))),
}


def network(head):
    keras.utils.set_random_seed(1)
    start = keras.Input((SIDE, SIDE, 3), name="picture")
    seen = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="features")(start)
    return keras.Model(start, head(seen))


@pytest.mark.parametrize("name", [*AVERAGES, *MORE])
def test_only_an_average_has_the_same_gradient_at_every_place(name):
    built = KerasNetwork(network((AVERAGES | MORE)[name]))
    facts = built.facts
    output = facts.outputs[0]
    layer = choose_features(facts.calls, output.call, "picture", (SIDE, SIDE, 3))
    assert layer in {"features", "batch_normalization"}
    said = averages_places(facts.calls, layer, output.call, (SIDE, SIDE, 3))
    passes = built.passes(Aim(output.name, "linear", "picture", layer))
    picture = np.random.default_rng(0).random((SIDE, SIDE, 3), np.float32)
    sample = Sample({"picture": picture}, np.array([1, 0, 0], np.float32))
    ((_, _, gradient),) = passes.features([sample])
    spread = np.ptp(gradient, axis=(0, 1)).max() / np.abs(gradient).max()
    assert said == (spread < 1e-5)
    assert said == (name in AVERAGES)


def test_attention_behind_the_features_mixes_places():
    built = KerasNetwork(network(attended))
    facts = built.facts
    assert not averages_places(facts.calls, "features", facts.outputs[0].call, (SIDE, SIDE, 3))


@pytest.mark.parametrize(
    ("head", "options", "methods"),
    [
        ("flattened", {}, {"hirescam", "integrated-gradients"}),
        ("flattened", {"quick": True}, {"hirescam"}),
        ("flattened", {"relevance": "gradcam"}, {"gradcam"}),
        ("pooled", {}, {"gradcam", "integrated-gradients"}),
    ],
)
def test_the_default_follows_the_head_and_a_choice_stands(head, options, methods, tmp_path):
    probes = np.random.default_rng(0).random((1, SIDE, SIDE, 3), np.float32)
    model = network((AVERAGES | MORE)[head])
    report = build_report(
        model, probes=probes, output=tmp_path, sections=("relevance",), **options
    ).report
    assert {method.name for method in report.sections[0].content.methods} == methods
