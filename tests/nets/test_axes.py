"""Channels in front: where they stand is read from the layers, and the network's answer is Keras's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import models
import numpy as np
import pages
import pytest
from keras import layers, ops

import reportgen
from reportgen.nets.axes import channels_first_inputs
from reportgen.nets.keras_network import KerasNetwork
from reportgen.nets.structure import walk


def permuted(size=16):
    """A network that takes (3, H, W) and works on (H, W, 3)."""
    start = keras.Input((3, size, size), name="picture")
    x = layers.Permute((2, 3, 1))(layers.Rescaling(1 / 255.0)(start))
    x = layers.Conv2D(4, 3, activation="relu", name="seen")(x)
    end = layers.Dense(2, activation="softmax", name="kind")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(start, end)


def conv(order):
    shape = (3, 12, 16) if order == "channels_first" else (12, 16, 3)
    start = keras.Input(shape, name="picture")
    axis = 1 if order == "channels_first" else -1
    x = layers.Conv2D(4, 3, data_format=order, activation="relu", name="first")(start)
    x = layers.BatchNormalization(axis=axis, name="norm")(x)
    x = layers.GlobalAveragePooling2D(data_format=order)(x)
    return keras.Model(start, layers.Dense(2, activation="softmax", name="kind")(x))


def nested():
    inner = permuted()
    start = keras.Input((3, 16, 16), name="outer")
    return keras.Model(start, inner(start))


def transposed():
    start = keras.Input((3, 8, 8), name="picture")
    x = layers.Conv2D(2, 3)(ops.transpose(start, (0, 2, 3, 1)))
    return keras.Model(start, layers.GlobalAveragePooling2D()(x))


def moved():
    start = keras.Input((3, 8, 8), name="picture")
    x = layers.Conv2D(2, 3)(ops.moveaxis(start, 1, -1))
    return keras.Model(start, layers.GlobalAveragePooling2D()(x))


def two():
    first = keras.Input((3, 8, 8), name="first")
    last = keras.Input((8, 8, 3), name="last")
    a = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(layers.Permute((2, 3, 1))(first)))
    b = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(last))
    return keras.Model([first, last], layers.Concatenate()([a, b]))


def flat():
    start = keras.Input((3, 8, 8), name="picture")
    return keras.Model(start, layers.Dense(2)(layers.Flatten()(start)))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (permuted, {"picture"}),
        (lambda: conv("channels_first"), {"picture"}),
        (lambda: conv("channels_last"), set()),
        (nested, {"outer"}),
        (transposed, {"picture"}),
        (moved, {"picture"}),
        (two, {"first"}),
        (flat, set()),
    ],
)
def test_the_layers_say_where_the_channels_are(make, expected):
    model = make()
    names = [tensor.name for tensor in model.inputs]
    assert channels_first_inputs(model, names, walk(model)) == expected


def test_a_network_that_turns_its_input_is_fed_shown_and_explained_as_any_other(tmp_path):
    model, rng = permuted(), np.random.default_rng(0)
    x = rng.integers(0, 256, (6, 16, 16, 3)).astype("float32")
    network = KerasNetwork(model)
    assert network.input_shape("picture") == (16, 16, 3)
    assert network.facts.inputs[0].shape == (None, 3, 16, 16)
    expected = model.predict(np.moveaxis(x, -1, 1), verbose=0)
    found = [batch.outputs["kind"] for batch in network.forward({"picture": x})]
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-6)
    for name, given in (("last", x), ("first", np.moveaxis(x, -1, 1))):
        report = reportgen.build_report(
            model, probes=given, data=(given, expected.argmax(axis=1)), output=tmp_path / name, feature_steps=2,
            relevance="gradcam,integrated-gradients,occlusion", units=("class:1",),
        ).report  # fmt: skip
        assert all(s.content is not None for s in report.sections if s.kind != "history")
        assert report.section("evaluation").content.result.accuracy == 1
        for probe in report.section("probes").content.probes:
            row = int(probe.name.split()[-1])
            assert probe.outputs[0].top[0].probability == pytest.approx(
                expected[row].max(), abs=1e-5
            )
            assert probe.received[0].shape == (16, 16, 3)
        maps = report.section("relevance").content.maps
        assert {m.grid for m in maps if m.method == "integrated-gradients"} == {(16, 16)}


UNABLE = """
import sys
import keras, numpy as np, reportgen
from PIL import Image
from test_axes import conv

entry = keras.Input((3, 12, 16), name="picture")
slope = keras.layers.PReLU(name="slope")  # of each place: no copy with channels last is exact
model = keras.Model(entry, conv("channels_first")(slope(entry)))
x = np.random.default_rng(0).integers(0, 256, (4, 12, 16, 3)).astype("uint8")
Image.fromarray(x[0]).save("photo.png")
data = (x.astype("float32"), np.arange(4) % 2)
for name, probes in (("files", "photo.png"), ("arrays", x.astype("float32"))):
    reportgen.build_report(model, probes=probes, output=name, data=data)
print(conv("channels_last").count_params() + slope.count_params())
"""


def test_channels_first_on_a_processor_is_one_sentence_and_what_needs_no_pass_is_made(tmp_path):
    """Where TensorFlow cannot: processors of some kinds run such convolutions by oneDNN, which is off here."""
    here = Path(__file__).parent
    places = [Path(reportgen.__file__).parents[1], here, here.parent]
    path = os.pathsep.join(map(str, places))
    environment = models.environment(TF_ENABLE_ONEDNN_OPTS="0", PYTHONPATH=path)
    child = [sys.executable, "-c", UNABLE]
    done = subprocess.run(
        child, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in ("files", "arrays"):
        report = pages.check_page(tmp_path / name)
        texts = [n["text"] for section in report["sections"] for n in section["notices"]]
        (told,) = [text for text in texts if "NHWC" in text]
        assert "--device gpu" in told
        assert "no exact copy" in pages.section(report, "overview")["notices"][-1]["text"]
        for kind in ("overview", "architecture", "weights"):
            assert pages.content(report, kind) is not None
        for kind in ("evaluation", "probes", "activations", "relevance", "features"):
            section = pages.section(report, kind)
            assert section.get("content") is None
            said = [notice["text"] for notice in section["notices"]]
            assert said == ["This section could not be made; Overview says why."]
        assert pages.content(report, "overview")["parameters"] == int(done.stdout)
