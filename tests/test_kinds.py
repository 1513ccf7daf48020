"""Kinds of networks that are not an image classifier of plain layers: each gets the truth."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from reportgen import build_report
from reportgen.nets.keras_network import KerasNetwork

RNG = np.random.default_rng(7)


@pytest.mark.parametrize(
    ("shape", "given", "layer"),
    [
        ((None,), (4, 10), lambda: [layers.Embedding(50, 4), layers.GlobalAveragePooling1D()]),
        ((1,), (4, 1), lambda: [layers.CategoryEncoding(50, output_mode="one_hot")]),
    ],
)
def test_ids_are_no_grey_values_and_open_lengths_no_batch(shape, given, layer):
    start = keras.Input(shape, dtype="int32")
    x = start
    for one in (*layer(), layers.Dense(3, activation="softmax")):
        x = one(x)
    model = keras.Model(start, x)
    ids = np.random.default_rng(0).integers(0, 50, given)
    report = build_report(model, probes=ids, quick=True).report
    overview, probes = (
        next(s for s in report.sections if s.kind == kind) for kind in ("overview", "probes")
    )
    assert overview.content.input_shapes == (given[1:],)
    assert not any("0..255" in notice.text for notice in probes.notices)
    shown = [probe.outputs[0].top[0].probability for probe in probes.content.probes]
    np.testing.assert_allclose(shown, model.predict(ids, verbose=0).max(axis=1), rtol=1e-4)


def test_several_inputs_of_open_sizes_keep_their_own():
    text, image = (
        keras.Input((None,), dtype="int32", name="text"),
        keras.Input((None, None, 3), name="image"),
    )
    read = layers.GlobalAveragePooling1D()(layers.Embedding(50, 4)(text))
    seen = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    joined = layers.Concatenate()([read, seen])
    model = keras.Model([text, image], layers.Dense(3, activation="softmax")(joined))
    given = {
        "text": RNG.integers(0, 50, (4, 12)),
        "image": RNG.uniform(0, 1, (4, 20, 30, 3)).astype(np.float32),
    }
    report = build_report(model, probes=given, sections="overview,probes").report
    overview, probes = (section.content for section in report.sections)
    assert overview.input_shapes == ((12,), (20, 30, 3))
    shown = [probe.outputs[0].top[0].probability for probe in probes.probes]
    np.testing.assert_allclose(shown, model.predict(given, verbose=0).max(axis=1), rtol=1e-4)


def two_open_images(*layers_between):
    """Return a classifier that adds what it sees in two pictures of open size."""
    left, right = (keras.Input((None, None, 3), name=name) for name in ("left", "right"))
    seen = [layers.Conv2D(4, 3, padding="same")(start) for start in (left, right)]
    for layer in layers_between:
        seen[1] = layer(seen[1])
    x = layers.GlobalAveragePooling2D()(layers.Add()(seen))
    return keras.Model([left, right], layers.Dense(3, activation="softmax")(x))


@pytest.mark.parametrize("name", ["left", "right"])
def test_an_input_without_probes_takes_the_size_of_the_one_that_has_them(name):
    model = two_open_images()
    given = {name: RNG.uniform(0, 1, (4, 20, 30, 3)).astype(np.float32)}
    whole = {other: given.get(other, np.zeros_like(given[name])) for other in ("left", "right")}
    built = build_report(model, probes=given, sections="overview,probes,activations")
    overview, probes, _ = (section.content for section in built.report.sections)
    assert overview.input_shapes == ((20, 30, 3), (20, 30, 3))
    shown = [probe.outputs[0].top[0].probability for probe in probes.probes]
    np.testing.assert_allclose(shown, model.predict(whole, verbose=0).max(axis=1), rtol=1e-4)
    assert not built.failed


def test_a_network_that_cannot_be_run_is_named_after_its_head_and_by_no_failure():
    model = two_open_images(layers.Cropping2D(2))  # no sizes that are equal can be added
    given = {"left": RNG.uniform(0, 1, (4, 20, 30, 3)).astype(np.float32)}
    report = build_report(model, probes=given, sections="overview").report
    assert report.sections[0].lead.startswith("A classifier with 3 classes")
    assert any("could not be traced" in notice.text for notice in report.sections[0].notices)
    start = keras.Input((None, None, 3))
    x = layers.Add()([layers.Conv2D(4, 3)(start), start[..., :1]])
    model = keras.Model(start, keras.ops.mean(x, axis=(1, 2)))
    report = build_report(model, probes=given["left"], sections="overview").report
    assert report.sections[0].lead.startswith("A network for inputs of 20×30×3")
    assert report.sections[0].content.tasks[0].because == "the forward pass could not be traced"


def normalised(steps, images, *, momentum=0.99):
    """Return a classifier whose BatchNormalization saw so many batches of these images."""
    start = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, use_bias=False)(start)
    x = layers.ReLU()(layers.BatchNormalization(momentum=momentum)(x))
    head = layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(start, head)
    model.compile(keras.optimizers.SGD(1e-6), "sparse_categorical_crossentropy")
    for _ in range(steps):
        model.train_on_batch(images, np.zeros(len(images), int))
    return model


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    ("steps", "momentum", "judged"), [(2, 0.99, False), (100, 0.9, True), (400, 0.99, True)]
)
def test_averages_of_two_steps_are_no_measure_of_the_inputs(
    steps, momentum, judged, stored, tmp_path
):
    """The training's own images lie far from averages that have not left their start."""
    keras.utils.set_random_seed(1)
    images = (RNG.uniform(0, 1, (16, 12, 12, 3)) * 9 + 40).astype(np.float32)
    model = normalised(steps, images, momentum=momentum)
    if stored:
        model.save(tmp_path / "model.keras")
        model = tmp_path / "model.keras"
    report = build_report(model, probes=images[:8], sections="probes").report
    assert "input-range" not in {finding.rule for finding in report.findings}
    reasons = {check.rule: check.reason for check in report.not_applicable}
    assert ("input-range" in reasons) == (not judged)


# -- preprocessing inside of the network -----------------------------------------------------------


def with_preprocessing(function):
    start = keras.Input((16, 12, 3))
    x = layers.Conv2D(4, 3, activation="relu")(layers.ZeroPadding2D()(function(start)))
    head = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(start, head)


@pytest.mark.parametrize(
    ("function", "mode", "factor"),
    [
        (keras.applications.vgg16.preprocess_input, "none", 1.0),
        (keras.applications.mobilenet_v2.preprocess_input, "none", 1 / 127.5),
        (keras.applications.densenet.preprocess_input, "none", 1 / (255 * 0.229)),
        (lambda x: x / 255.0, "none", 1 / 255),
        (lambda x: x * 2.0 - 1.0, "unit", 2.0),
        (lambda x: x[..., ::-1] / 255.0, "none", 1 / 255),
    ],
)
def test_operations_in_front_say_what_a_network_expects(function, mode, factor, tmp_path):
    model = with_preprocessing(function)
    facts = KerasNetwork(model).facts
    ones = np.zeros((2, 1, 1, 3), np.float32)
    ones[1] = 1
    black, white = np.asarray(function(keras.ops.convert_to_tensor(ones))).reshape(2, 3)
    np.testing.assert_allclose(sorted(facts.rescaling.scale), sorted(white - black), rtol=1e-4)
    np.testing.assert_allclose(sorted(facts.rescaling.offset), sorted(black), rtol=1e-4, atol=1e-6)
    assert facts.rescaling.scale[0] == pytest.approx(factor, rel=1e-3)
    for number in range(2):
        picture = RNG.integers(0, 255, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    report = build_report(model, probes=tmp_path, sections="probes").report
    (section,) = report.sections
    assert section.content.preprocessing.mode == mode
    assert not any("cannot be told" in notice.text for notice in section.notices)


@pytest.mark.parametrize(
    ("function", "mode"),
    [
        (lambda x: layers.Rescaling(1 / 127.5)(x) - 1.0, "none"),
        (lambda x: layers.Rescaling(2.0, -1.0)(x / 255.0), "none"),
        (lambda x: layers.Rescaling(1 / 255)(x * 255.0), "unit"),
        (layers.Rescaling(1 / 255), "none"),
        (lambda x: layers.Resizing(16, 12)(x) / 127.5 - 1.0, "none"),
        (layers.Rescaling(1 / 127.5), "none"),
        (lambda x: layers.ZeroPadding2D()(x) / 255.0, "none"),
        (
            lambda x: layers.Normalization(mean=[0.4, 0.4, 0.4], variance=[0.07, 0.07, 0.07])(
                layers.Rescaling(1 / 255)(x)
            ),
            "none",
        ),
    ],
)
def test_all_that_stands_in_front_counts_together(function, mode, tmp_path):
    for number in range(2):
        picture = RNG.integers(0, 255, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    report = build_report(with_preprocessing(function), probes=tmp_path, sections="probes").report
    assert report.sections[0].content.preprocessing.mode == mode


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x,
        layers.RandomFlip(),
        lambda x: x * x,
        lambda x: x / keras.ops.max(x),
        lambda x: keras.ops.concatenate([x[..., :1]] * 3, axis=-1),
    ],
)
def test_what_is_no_factor_and_number_of_each_channel_says_nothing(function):
    assert KerasNetwork(with_preprocessing(function)).facts.rescaling is None


@pytest.mark.parametrize("sections", ["overview,probes", "overview,probes,activations"])
def test_answers_that_are_infinite_are_an_error_whatever_was_measured(sections):
    start = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(start)
    model = keras.Model(start, keras.ops.exp(layers.Dense(3, name="last")(x) + 1e4))
    pictures = RNG.uniform(0, 1, (4, 8, 8, 3)).astype(np.float32)
    report = build_report(model, probes=pictures, sections=sections).report
    assert [f.severity for f in report.findings if f.rule == "non-finite-activations"] == ["error"]
