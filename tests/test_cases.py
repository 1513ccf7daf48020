"""Situations that people reported, with the right value from Keras itself on the very same files."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import reportgen


def by_brightness(first):
    """Return a network that tells dark from bright by the mean of what its first layer hands on."""
    entry = keras.Input((8, 8, 1), name="picture")
    mean = layers.GlobalAveragePooling2D()(first(entry))
    head = layers.Dense(2, activation="softmax", name="kind")
    model = keras.Model(entry, head(mean))
    return model, head


def files(folder, levels, truth, kind):
    """Save one picture a level of 0..1 into a folder for its class; return what is stored."""
    generator = np.random.default_rng(3)
    white = np.iinfo(kind).max
    stored = []
    for k, (level, index) in enumerate(zip(levels, truth, strict=True)):
        (folder / f"k{index}").mkdir(parents=True, exist_ok=True)
        pixels = np.clip(level + generator.uniform(-0.03, 0.03, (8, 8)), 0, 1)
        array = np.rint(pixels * white).astype(kind)
        Image.fromarray(array).save(folder / f"k{index}" / f"{k:03d}.png")
        stored.append(array[..., None])
    return np.stack(stored)


def case(count=60):
    levels = np.random.default_rng(0).uniform(0.05, 0.95, count)
    return levels, (levels + np.random.default_rng(1).normal(0, 0.08, count) > 0.5).astype(int)


def evaluated(model, data, out):
    report = reportgen.build_report(
        model, data=data, output=out, sections=("overview", "evaluation", "probes")
    ).report
    result = report.section("evaluation").content.result
    return result, report.section("probes").content.preprocessing


def expected(model, images, truth):
    """Return Keras's own accuracy and log loss."""
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    loss, accuracy = model.evaluate(images, truth, verbose=0)
    return accuracy, loss


def test_sixteen_bits_are_fed_as_stored_where_the_network_scales_them(tmp_path):
    levels, truth = case()
    stored = files(tmp_path / "data", levels, truth, np.uint16)
    model, head = by_brightness(layers.Rescaling(1 / 65535.0))
    head.set_weights([np.array([[-20.0, 20.0]]), np.array([10.0, -10.0])])
    accuracy, loss = expected(model, stored.astype(np.float32), truth)
    result, facts = evaluated(model, tmp_path / "data", tmp_path / "out")
    assert facts.mode == "uint16"
    assert accuracy > 0.8
    assert result.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert result.log_loss == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("kind", ["normalization", "rescaling"])
def test_a_first_layer_behind_a_pipeline_of_255_is_fed_what_it_was_adapted_to(tmp_path, kind):
    """x / 255 in the pipeline, then an adapted Normalization, or Rescaling(2, -1)."""
    levels, truth = case()
    stored = files(tmp_path / "data", levels, truth, np.uint8)
    images = stored.astype(np.float32) / 255
    if kind == "normalization":
        first = layers.Normalization(axis=-1)
        first.adapt(images)
        model, head = by_brightness(first)
        head.set_weights([np.array([[-2.0, 2.0]]), np.zeros(2)])
    else:
        model, head = by_brightness(layers.Rescaling(2.0, offset=-1.0))
        head.set_weights([np.array([[-4.0, 4.0]]), np.zeros(2)])
    accuracy, loss = expected(model, images, truth)
    result, facts = evaluated(model, tmp_path / "data", tmp_path / "out")
    assert facts.mode == "unit"
    assert accuracy > 0.8
    assert result.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert result.log_loss == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("orientation", ["keras", "exif"])
def test_pictures_with_an_exif_orientation_are_read_as_keras_reads_them(tmp_path, orientation):
    """Bright is the upper or the left half; a tag that turns the picture changes the answer."""
    entry = keras.Input((8, 8, 3), name="picture")
    x = layers.Flatten()(layers.Rescaling(1 / 255.0)(entry))
    head = layers.Dense(2, activation="softmax", name="side")
    model = keras.Model(entry, head(x))
    rows, columns = np.mgrid[:8, :8]
    kernel = np.stack([rows < columns, rows > columns], axis=-1) * 0.2 - 0.1
    head.set_weights([np.repeat(kernel.reshape(64, 1, 2), 3, axis=1).reshape(192, 2), np.zeros(2)])
    truth = []
    for k in range(20):
        side, tag = k % 2, [1, 6, 8][k % 3]
        array = np.full((8, 8, 3), 30, np.uint8)
        array[(slice(4), slice(None)) if side == 0 else (slice(None), slice(4))] = 220
        folder = tmp_path / "data" / ("left", "top")[1 - side]
        folder.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = tag
        Image.fromarray(array).save(folder / f"{k:02d}.png", exif=exif)
        truth.append(side)
    loaded = keras.utils.image_dataset_from_directory(
        tmp_path / "data", image_size=(8, 8), shuffle=False, verbose=0
    )
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    accuracy = model.evaluate(loaded, verbose=0)[1]
    report = reportgen.build_report(
        model, data=tmp_path / "data", output=tmp_path / "out", orientation=orientation,
        sections=("evaluation", "probes"), cache=tmp_path / "cache",
    ).report  # fmt: skip
    section = report.section("evaluation")
    if orientation == "keras":
        assert section.content.result.accuracy == pytest.approx(accuracy, abs=1e-6)
    else:
        assert section.content.result.accuracy != pytest.approx(accuracy, abs=0.1)
    texts = [notice.text for notice in section.notices]
    assert any(text.startswith("13 images with an EXIF orientation") for text in texts)
