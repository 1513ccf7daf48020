"""Infinities that a later operation is made for, and those that are broken."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from reportgen import build_report


class Masked(layers.Layer):
    """Leaves all but the positive out of what follows."""

    def call(self, inputs):
        return ops.where(inputs > 0.01, inputs, -np.inf)


class Broken(layers.Layer):
    """Divides by zero where a value is small, and takes the product with it."""

    def call(self, inputs):
        scale = ops.where(inputs > 0.5, 1.0, 0.0)
        return inputs / scale * scale


def padded(start):
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(start)
    x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-np.inf)
    return layers.GlobalAveragePooling2D()(layers.MaxPooling2D(3, 2)(x))


def masked(start):
    x = layers.Dense(6)(layers.GlobalAveragePooling2D()(start))
    return layers.Softmax()(layers.Dropout(0.5)(Masked()(x)))


def divided(start):
    x = layers.GlobalAveragePooling2D()(start)
    return layers.Activation("tanh")(Broken()(x))


def overflown(start):
    x = layers.GlobalAveragePooling2D()(start)
    x = layers.Dense(4, kernel_initializer=keras.initializers.Constant(3e38), name="huge")(x)
    return layers.Activation("tanh")(x)


def at_the_end(start):
    return Masked()(layers.Dense(6)(layers.GlobalAveragePooling2D()(start)))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (padded, None),
        (masked, None),
        (divided, "broken"),
        (overflown, "huge"),
        (at_the_end, "masked"),
    ],
)
def test_infinities_that_a_later_operation_is_made_for_are_no_finding(body, found):
    keras.backend.clear_session()
    start = keras.Input((8, 8, 3))
    x = body(start)
    x = x if found == "masked" else layers.Dense(3, activation="softmax")(x)
    pictures = np.random.default_rng(2).uniform(0, 1, (4, 8, 8, 3)).astype(np.float32)
    report = build_report(keras.Model(start, x), probes=pictures, quick=True).report
    hits = [f.where.layer for f in report.findings if f.rule == "non-finite-activations"]
    assert hits == ([found] if found else [])
    (section,) = (s for s in report.sections if s.kind == "activations")
    assert any(row.non_finite for row in section.content.calls)
    assert ("NaN or infinity" in section.lead) == (found is not None)
    assert any("NaN or infinite" in notice.text for notice in section.notices) == bool(found)


def test_a_mask_of_minus_infinity_leaves_the_maps_of_relevance():
    start = keras.Input((16, 16, 3))
    x = layers.Dense(3, activation="softmax")(padded(start))
    pictures = np.random.default_rng(2).uniform(0, 1, (2, 16, 16, 3)).astype(np.float32)
    report = build_report(keras.Model(start, x), probes=pictures, quick=True).report
    (section,) = (s for s in report.sections if s.kind == "relevance")
    assert {one.method for one in section.content.maps} == {"hirescam"}


class Subclassed(keras.Model):
    """Divides by zero in a layer, and goes on by operations of its own."""

    def __init__(self):
        super().__init__()
        self.pool, self.mask = layers.GlobalAveragePooling2D(), Masked(name="mask")

    def call(self, inputs):
        return self.mask(self.pool(inputs)) * 2.0


def test_infinity_that_reaches_an_output_by_operations_of_no_layer_is_a_finding():
    pictures = np.random.default_rng(2).uniform(-0.1, 0.1, (4, 8, 8, 3)).astype(np.float32)
    model = Subclassed()
    model(pictures)
    report = build_report(model, probes=pictures, quick=True).report
    hits = [f.where.layer for f in report.findings if f.rule == "non-finite-activations"]
    assert hits == ["mask"]
