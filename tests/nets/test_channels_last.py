"""Networks with channels first run on a processor in a copy: its answers are those of NumPy."""

from __future__ import annotations

import subprocess
import sys

import keras
import models
import numpy as np
import pages
import pytest
from keras import layers

from reportgen import build_report
from reportgen.nets.axes import takes_channels_first
from reportgen.nets.channels_last import channels_last_copy
from reportgen.nets.structure import walk

FIRST = {"data_format": "channels_first"}
RNG = np.random.default_rng(8)
X = RNG.normal(size=(2, 3, 6, 8)).astype(np.float32)


def shaken(model):
    for weight in model.weights:
        value = np.abs(RNG.normal(size=weight.shape)) + 0.5
        weight.assign(value if "variance" in weight.path else value - 1)
    return model


def made(*inner, shape=(3, 6, 8)):
    return shaken(keras.Sequential([keras.Input(shape, name="given"), *inner]))


def copied(model):
    copy, reason = channels_last_copy(model)
    assert reason == ""
    assert not takes_channels_first(node.operation for node in walk(copy))
    return copy


def convolved(x, kernel, bias):
    """Return a valid convolution of (n, c, h, w), by hand."""
    h, w = kernel.shape[:2]
    out = np.zeros((len(x), kernel.shape[3], x.shape[2] - h + 1, x.shape[3] - w + 1))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            patch = x[:, :, i : i + h, j : j + w].transpose(0, 2, 3, 1)
            out[:, :, i, j] = np.tensordot(patch, kernel, 3) + bias
    return out


def normalised(x, layer, axis):
    shape = [1] * 4
    shape[axis] = -1
    gamma, beta, mean, variance = (np.asarray(w).reshape(shape) for w in layer.get_weights())
    return (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta


def test_a_convolution_a_normalisation_and_a_head_are_what_they_were():
    model = made(
        layers.Conv2D(4, 3, name="seen", **FIRST),
        layers.BatchNormalization(axis=1, name="norm"),
        layers.ReLU(),
        layers.MaxPooling2D(2, **FIRST),
        layers.Flatten(),
        layers.Dense(5, name="head"),
    )
    maps = convolved(X, *map(np.asarray, model.get_layer("seen").get_weights()))
    maps = np.maximum(normalised(maps, model.get_layer("norm"), 1), 0)
    maps = maps.reshape(2, 4, 2, 2, 3, 2).max(axis=(3, 5))
    kernel, bias = model.get_layer("head").get_weights()
    expected = maps.reshape(2, -1) @ kernel + bias
    copy = copied(model)
    assert copy.count_params() == model.count_params()
    np.testing.assert_allclose(copy(X), expected, rtol=1e-4, atol=1e-4)


def test_maps_that_come_out_have_their_channels_first():
    model = made(layers.Conv2D(4, 2, name="seen", **FIRST))
    expected = convolved(X, *map(np.asarray, model.get_layer("seen").get_weights()))
    np.testing.assert_allclose(copied(model)(X), expected, rtol=1e-4, atol=1e-5)


def test_a_flatten_of_channels_first_keeps_its_own_order():
    """Keras turns the maps in front of such a Flatten: (height, width, channels)."""
    model = made(layers.ZeroPadding2D(1, **FIRST), layers.Flatten(**FIRST))
    padded = np.pad(X, ((0, 0), (0, 0), (1, 1), (1, 1)))
    np.testing.assert_array_equal(copied(model)(X), padded.transpose(0, 2, 3, 1).reshape(2, -1))


def test_branches_are_joined_along_the_axis_that_was_meant():
    given = keras.Input((3, 6, 8), name="given")
    doubled = layers.UpSampling2D(1, **FIRST)(given)
    joined = layers.Concatenate(axis=1, name="joined")(
        [given, doubled, layers.Add()([given, doubled])]
    )
    below = layers.Concatenate(axis=-1, name="below")([joined, joined])
    end = layers.GlobalAveragePooling2D(name="end", **FIRST)(below)
    model = keras.Model(given, [end, layers.Softmax(axis=1, name="soft")(joined)])
    maps = np.concatenate([X, X, 2 * X], axis=1)
    averages, soft = copied(model)(X)
    np.testing.assert_allclose(averages, maps.mean(axis=(2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        soft, np.exp(maps) / np.exp(maps).sum(axis=1, keepdims=True), rtol=1e-4
    )


def test_a_normalisation_along_the_height_goes_along_it():
    model = made(layers.Cropping2D(0, **FIRST), layers.BatchNormalization(axis=2, name="norm"))
    expected = normalised(X, model.get_layer("norm"), 2)
    np.testing.assert_allclose(copied(model)(X), expected, rtol=1e-4, atol=1e-5)


def scaled():
    return layers.Rescaling([[[1.0]], [[2.0]], [[3.0]]], name="scaled")


def conv(**more):
    return layers.Conv2D(2, 3, **FIRST, **more)


def nested(*inner, shape=(3, 6, 8), name="inner"):
    return shaken(keras.Sequential([keras.Input(shape), *inner], name=name))


def sharing():
    shared = conv()
    first, second = (nested(shared, name=name) for name in ("one", "two"))
    given = keras.Input((3, 6, 8))
    return keras.Model(given, layers.Add()([first(given), second(given)]))


def in_time():
    inside = layers.Conv2D(2, 3, name="inside", **FIRST)
    return made(layers.TimeDistributed(inside, name="time"), shape=(2, 3, 6, 8))


UNLIKE = {
    "a slope inside of a network": (
        lambda: made(nested(conv(), layers.PReLU(name="deep"))),
        "'deep' (PReLU)",
    ),
    "networks that share a layer": (sharing, "share layers"),
    "a convolution in each step": (in_time, "'inside' (Conv2D) has no counterpart"),
    "a convolution of series": (
        lambda: made(layers.Conv1D(2, 3, name="steps", **FIRST), shape=(3, 8)),
        "'steps'",
    ),
    "a slope a place": (lambda: made(conv(), layers.PReLU(name="slope")), "'slope'"),
    "a new shape": (lambda: made(conv(), layers.Reshape((2, 24), name="shape")), "'shape'"),
    "maps of none": (
        lambda: made(layers.Flatten(), layers.Reshape((3, 6, 8), name="maps"), conv()),
        "'maps' makes maps",
    ),
    "softmax over the width": (lambda: made(conv(activation="softmax", name="c")), "'c'"),
    "both orders": (lambda: made(conv(), layers.MaxPooling2D(2, name="last")), "'last'"),
    "a scale a channel": (lambda: made(scaled(), conv()), "'scaled'"),
    "several axes": (
        lambda: made(conv(), layers.LayerNormalization([2, 3], name="axes")),
        "'axes'",
    ),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_is_not_known_to_be_the_same_is_not_copied(name):
    make, phrase = UNLIKE[name]
    copy, reason = channels_last_copy(make())
    assert copy is None
    assert phrase in reason


def test_networks_within_a_network_are_copied_with_it():
    """Twice nested, called twice, between layers of the outer one, and with maps that leave the whole."""
    deep = nested(conv(name="deep"), layers.ReLU(), shape=(4, 4, 6), name="deepest")
    inner = nested(layers.Conv2D(4, 3, name="seen", **FIRST), deep)
    first, second = keras.Input((3, 6, 8), name="a"), keras.Input((3, 6, 8), name="b")
    maps = [inner(first), inner(layers.UpSampling2D(1, **FIRST)(second))]
    joined = layers.Concatenate(axis=1, name="joined")(maps)
    model = keras.Model([first, second], [joined, layers.GlobalAveragePooling2D(**FIRST)(joined)])

    def expected_of(x):
        x = convolved(x, *map(np.asarray, inner.get_layer("seen").get_weights()))
        return np.maximum(convolved(x, *map(np.asarray, deep.get_layer("deep").get_weights())), 0)

    expected = np.concatenate([expected_of(X), expected_of(2 * X)], axis=1)
    copy = copied(model)
    found, means = copy([X, 2 * X])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(means, expected.mean((2, 3)), rtol=1e-4, atol=1e-4)
    assert [layer.name for layer in copy.layers if getattr(layer, "layers", None)] == ["inner"]


def test_an_input_without_a_name_keeps_that_of_its_layer():
    model = shaken(keras.Sequential([keras.Input((3, 6, 8)), conv(name="c")]))
    name = model.inputs[0]._keras_history.operation.name
    assert [layer.name for layer in copied(model).layers if "Input" in type(layer).__name__] == [
        name
    ]


def test_a_network_inside_that_is_no_picture_is_copied_as_well():
    head = nested(layers.Dense(5), layers.Dense(2), shape=(4,), name="head")
    model = made(
        layers.Conv2D(4, 3, name="c", **FIRST), layers.GlobalAveragePooling2D(**FIRST), head
    )
    kernel, bias = (np.asarray(w) for w in model.get_layer("c").get_weights())
    expected = np.asarray(head(convolved(X, kernel, bias).mean((2, 3))))
    np.testing.assert_allclose(copied(model)(X), expected, rtol=1e-4, atol=1e-4)


def test_what_cannot_be_copied_and_not_be_run_is_shown_as_it_is_stored(tmp_path):
    model = made(conv(name="c"), layers.PReLU(name="slope"))
    model.save(tmp_path / "first.keras")
    np.save(tmp_path / "x.npy", X)
    build = [
        sys.executable,
        "-m",
        "reportgen",
        "build",
        "first.keras",
        "-p",
        "x.npy",
        "-o",
        "out",
        "--quick",
    ]
    # Processors of some kinds run such convolutions by oneDNN.
    environment = models.environment(TF_ENABLE_ONEDNN_OPTS="0")
    subprocess.run(build, env=environment, cwd=tmp_path, check=True, capture_output=True)
    report = pages.check_page(tmp_path / "out")
    overview = next(s for s in report["sections"] if s["kind"] == "overview")
    assert overview["content"]["origin"]["way"] == "stored"
    said = overview["notices"][-1]["text"]
    assert "on a GPU only (--device gpu)" in said
    assert "no exact copy with channels last can be made: the layer 'slope' (PReLU)" in said
    assert pages.content(report, "weights")["count"] == model.count_params()


def test_what_cannot_be_copied_and_runs_all_the_same_is_run(tmp_path):
    """TensorFlow runs pooling with channels first on a processor too."""
    model = made(layers.MaxPooling2D(2, **FIRST), layers.PReLU(name="slope"))
    model.save(tmp_path / "first.keras")
    build_report(tmp_path / "first.keras", output=tmp_path / "out", probes=X, quick=True)
    report = pages.check_page(tmp_path / "out")
    assert pages.content(report, "overview")["origin"]["way"] == "native"
    assert len(pages.content(report, "probes")["probes"]) == len(X)


def test_a_model_of_somebodys_code_is_not_copied():
    class Own(keras.Model):
        def call(self, x):
            return x

    assert channels_last_copy(Own()) == (None, "it is no plain graph of layers")


def test_a_whole_report_is_made_on_a_processor_and_says_how(tmp_path):
    model = made(
        layers.Conv2D(4, 3, name="seen", **FIRST),
        layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    )
    model.compile(loss="categorical_crossentropy")
    model.save(tmp_path / "first.keras")
    build_report(tmp_path / "first.keras", output=tmp_path / "out", probes=X, quick=True)
    report = pages.check_page(tmp_path / "out")
    overview = next(s for s in report["sections"] if s["kind"] == "overview")
    assert any("a copy with channels last" in notice["text"] for notice in overview["notices"])
    assert pages.content(report, "probes")["probes"]
    assert pages.content(report, "overview")["parameters"] == model.count_params()
    build_report(model, output=tmp_path / "live", probes=X, quick=True)
    live = pages.check_page(tmp_path / "live")
    losses = [pages.content(one, "overview")["loss"] for one in (report, live)]
    assert losses == ["categorical_crossentropy"] * 2
