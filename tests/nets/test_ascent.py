"""Ascent on the input: the cut network, and networks with a known preferred picture."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from reportgen.errors import NotApplicable
from reportgen.nets.keras_network import KerasNetwork
from reportgen.nets.objectives import mutual_similarity
from reportgen.network.facts import OutputRef
from reportgen.network.protocol import InputScaling, Recipe

UNIT = InputScaling(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), "0..1")
GREY = InputScaling(np.eye(1, dtype=np.float32), np.zeros(1, np.float32), "0..1")


def nothing(_steps):
    """Ignore progress."""


def optimised(model, target, channel, fed=UNIT, *, kind="channel", size=None, **recipe):
    """Return the picture that one channel prefers."""
    network = KerasNetwork(model, images=1)
    made = network.ascent(target, network.facts.inputs[0].name, {}, fed, count=1, canvas_side=size)
    blank = np.zeros((1, *made.canvas), np.float32)
    goal = np.zeros((1, made.answers(blank)[0].shape[-1]), np.float32)
    goal[0, channel] = 1
    return made.optimise(kind, goal, [7], Recipe(**recipe), nothing)[0]


# -- the cut ---------------------------------------------------------------------------------------


def small(activation="relu", size=160):
    start = keras.Input((size, size, 3), name="picture")
    x = layers.Conv2D(8, 3, padding="same", activation=activation, name="first")(start)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(6, 3, padding="same", activation=activation, name="second")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(start, layers.Dense(4, activation="softmax", name="out")(x))
    rng = np.random.default_rng(4)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("activation", ["relu", "silu", "relu6"])
@pytest.mark.parametrize("target", ["first", "second", OutputRef("out")])
def test_the_cut_network_answers_as_the_network(activation, target):
    model = small(activation)
    network = KerasNetwork(model, images=1)
    pictures = np.random.default_rng(0).uniform(0, 1, (5, 160, 160, 3)).astype(np.float32)
    made = network.ascent(
        target, "picture", {}, InputScaling(UNIT.matrix * 3, UNIT.offset - 1, ""), count=2
    )
    assert made.canvas == (160, 160, 3)
    before, behind = made.answers(pictures)
    fed = pictures * 3 - 1
    if target == OutputRef("out"):
        p = model.predict(fed, verbose=0)
        np.testing.assert_allclose(
            np.exp(behind) / np.exp(behind).sum(axis=1, keepdims=True), p, atol=1e-5
        )
        return
    inner = keras.Model(model.inputs, model.get_layer(target).output)
    np.testing.assert_allclose(behind, inner.predict(fed, verbose=0), atol=1e-4)
    if activation == "relu":
        np.testing.assert_allclose(np.maximum(before, 0), behind, atol=1e-6)
        assert before.min() < 0


def test_a_smaller_canvas_where_the_cut_network_takes_it():
    network = KerasNetwork(small(), images=1)
    assert network.ascent("second", "picture", {}, UNIT, count=1, canvas_side=64).canvas == (
        64,
        64,
        3,
    )
    start = keras.Input((160, 160, 3), name="picture")
    x = layers.Flatten()(layers.MaxPooling2D(16)(start))
    dense = KerasNetwork(keras.Model(start, layers.Dense(3, name="out")(x)), images=1)
    assert dense.ascent("out", "picture", {}, UNIT, count=1, canvas_side=64).canvas == (160, 160, 3)


def test_what_a_place_sees_is_its_receptive_field():
    network = KerasNetwork(small(), images=1)
    assert network.ascent(
        "first", "picture", {}, UNIT, count=1, canvas_side=64
    ).receptive_field() == (3, 3)
    # A 3x3 convolution over pooled pairs of 3x3 convolutions: 3 * 2 + 2 at most.
    rows, columns = network.ascent(
        "second", "picture", {}, UNIT, count=1, canvas_side=64
    ).receptive_field()
    assert 6 <= rows <= 8
    assert 6 <= columns <= 8


def test_a_network_without_a_gradient_is_said():
    start = keras.Input((16, 16, 3), name="picture")
    x = layers.Lambda(tf.round)(start)
    model = keras.Model(start, layers.Conv2D(2, 3, name="conv")(x))
    made = KerasNetwork(model, images=1).ascent("conv", "picture", {}, UNIT, count=1)
    goal = np.eye(2, dtype=np.float32)[:1]
    with pytest.raises(NotApplicable, match="no gradient"):
        made.optimise("channel", goal, [0], Recipe(steps=1), nothing)
    assert made.receptive_field() == (3, 3)


def test_the_model_is_not_touched():
    model = small()
    weights = [w.copy() for w in model.get_weights()]
    optimised(model, "second", 0, steps=3)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


# -- known preferred pictures ----------------------------------------------------------------------


def filtered(kernel, size=48, channels=1):
    start = keras.Input((size, size, channels), name="picture")
    conv = layers.Conv2D(1, kernel.shape[:2], padding="valid", activation="relu", name="conv")
    model = keras.Model(start, conv(start))
    conv.set_weights(
        [kernel.astype(np.float32).reshape(*kernel.shape[:2], channels, 1), np.zeros(1)]
    )
    return model


def correlation(a, b):
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


@pytest.mark.parametrize("angle", [0, 45, 90])
def test_a_filter_of_a_frequency_prefers_that_frequency(angle):
    y, x = np.mgrid[-8:9, -8:9]
    turned = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
    envelope = np.exp(-(x**2 + y**2) / 32)
    kernel = np.cos(2 * np.pi * turned / 6) * envelope
    kernel -= kernel.mean()
    picture = optimised(filtered(kernel), "conv", 0, GREY).pixels[..., 0]
    spectrum = np.abs(
        np.fft.fft2((picture - picture.mean()) * np.hanning(48)[:, None] * np.hanning(48))
    )
    peak = np.unravel_index(spectrum[:, :24].argmax(), (48, 24))
    fy, fx = np.fft.fftfreq(48)[peak[0]], np.fft.fftfreq(48)[peak[1]]
    assert np.hypot(fy, fx) == pytest.approx(1 / 6, rel=0.2)
    found = np.degrees(np.arctan2(fy, fx)) % 180
    assert min(abs(found - angle % 180), 180 - abs(found - angle % 180)) < 12


def test_an_oriented_edge_prefers_that_edge():
    kernel = np.zeros((9, 9))
    kernel[:, :4], kernel[:, 5:] = -1, 1
    model = filtered(kernel)
    network = KerasNetwork(model, images=1)
    made = network.ascent("conv", "picture", {}, GREY, count=1)
    goal = np.ones((1, 1), np.float32)
    picture = made.optimise("neuron", goal, [3], Recipe(), nothing)[0].pixels[..., 0]
    middle = picture[20:29, 20:29]
    assert correlation(middle, kernel) > 0.9


@pytest.mark.parametrize("wanted", [(1, -0.5, -0.5), (-0.5, 1, -0.5), (-0.5, -0.5, 1)])
def test_a_colour_is_preferred(wanted):
    kernel = np.array(wanted, float).reshape(1, 1, 3)
    picture = optimised(filtered(kernel, channels=3), "conv", 0).pixels
    inner = picture[10:-10, 10:-10].mean(axis=(0, 1))
    assert inner.argmax() == np.argmax(wanted)
    assert correlation(inner, wanted) > 0.8


def test_a_linear_classifier_prefers_its_weights():
    y, x = np.mgrid[0:24, 0:24]
    pattern = np.sign(np.sin(x / 4) * np.cos(y / 5))
    start = keras.Input((24, 24, 1), name="picture")
    end = layers.Dense(2, activation="softmax", name="out")
    model = keras.Model(start, end(layers.Flatten()(start)))
    end.set_weights([np.stack([pattern.ravel(), -pattern.ravel()], axis=1), np.zeros(2)])
    first = optimised(model, OutputRef("out"), 0, GREY, kind="logit").pixels[..., 0]
    second = optimised(model, OutputRef("out"), 1, GREY, kind="logit").pixels[..., 0]
    assert correlation(first, pattern) > 0.85
    assert correlation(second, pattern) < -0.85


def test_a_unit_that_is_off_everywhere_comes_alive():
    """Behind a ReLU and a pooling that are zero for every picture optimisation begins with."""
    start = keras.Input((32, 32, 1), name="picture")
    conv = layers.Conv2D(1, 5, activation="relu", name="conv")
    model = keras.Model(start, layers.MaxPooling2D(name="pool")(conv(start)))
    kernel = np.zeros((5, 5, 1, 1))
    kernel[2, 2] = 8
    kernel[0, 0] = kernel[4, 4] = -4
    conv.set_weights([kernel, np.array([-2.5])])
    found = optimised(model, "pool", 0, GREY)
    assert found.curve[0] == 0
    assert found.curve[-1] > 0.1


def test_an_optimisation_goes_up_and_is_the_same_again():
    model = small()
    one, two = (optimised(model, "second", 2, size=64, steps=40) for _ in range(2))
    assert one.curve[-5:].mean() > one.curve[:5].mean()
    np.testing.assert_array_equal(one.pixels, two.pixels)
    other = optimised(model, "second", 2, size=64, steps=40, seed=1)
    assert np.abs(other.pixels - one.pixels).mean() > 0.001


@pytest.mark.parametrize("method", ["fourier", "maco"])
def test_both_methods_beat_noise(method):
    model = small()
    network = KerasNetwork(model, images=1)
    made = network.ascent("second", "picture", {}, UNIT, count=2, canvas_side=64)
    goals = np.eye(6, dtype=np.float32)[:2]
    found = made.optimise("channel", goals, [1, 2], Recipe(method=method, steps=64), nothing)
    noise = np.random.default_rng(0).uniform(0, 1, (4, 64, 64, 3)).astype(np.float32)
    for channel, one in enumerate(found):
        reached = made.answers(one.pixels[None], 5)[1][..., channel].mean()
        assert reached > made.answers(noise, 5)[1][..., channel].mean(axis=(1, 2)).max()


def test_diversity_keeps_pictures_apart():
    network = KerasNetwork(small(), images=1)
    made = network.ascent("second", "picture", {}, UNIT, count=3, canvas_side=64)
    goals = np.repeat(np.eye(6, dtype=np.float32)[1:2], 3, axis=0)
    alike = []
    for diversity in (False, True):
        recipe = Recipe(steps=64, diversity=diversity)
        found = made.optimise("channel", goals, [1, 2, 3], recipe, nothing)
        before, _ = made.answers(np.stack([one.pixels for one in found]))
        alike.append(float(mutual_similarity(tf.constant(before)).numpy().mean()))
    assert alike[1] < alike[0]


def test_progress_counts_steps():
    network = KerasNetwork(small(), images=1)
    made = network.ascent("first", "picture", {}, UNIT, count=1, canvas_side=64)
    steps = []
    made.optimise("channel", np.eye(8, dtype=np.float32)[:1], [0], Recipe(steps=40), steps.append)
    assert steps == [16, 16, 8]


def test_a_module_that_is_read_again_registers_its_gradients_again():
    """Notebooks reload what changed; TensorFlow takes every name of a gradient once."""
    from reportgen.nets import relu_gradients

    first = relu_gradients._register_leaky_gradient("Relu")
    again = importlib.reload(relu_gradients)._register_leaky_gradient("Relu")
    assert first != again


def test_what_does_not_look_at_the_image_says_that_it_has_no_gradient():
    picture, other = keras.Input((16, 16, 3), name="picture"), keras.Input((4,), name="other")
    aside = layers.Dense(5, activation="relu", name="aside")(other)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(picture))
    model = keras.Model([picture, other], layers.Dense(2)(layers.Concatenate()([x, aside])))
    network = KerasNetwork(model, images=1)
    held = {"other": np.zeros(4, np.float32)}
    made = network.ascent("aside", "picture", held, UNIT, count=1)
    with pytest.raises(NotApplicable, match="no gradient in its input"):
        made.optimise("channel", np.ones((1, 5), np.float32), [7], Recipe(), nothing)
