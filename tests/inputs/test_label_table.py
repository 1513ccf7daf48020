"""Every encoding of labels in every container under every kind of class names, against Keras's own accuracy."""

from __future__ import annotations

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image

import reportgen

COUNT = 45
NAMES = {
    "numbers": ("1", "2", "3"),
    "plain": ("cat", "dog", "mask"),
    "letters": ("Äpfel", "été", "日本"),
    "twice": ("crane", "crane", "x"),
}


@pytest.fixture(scope="module")
def case():
    """Return a network that tells three levels of grey apart, images, their classes, and Keras's accuracy."""
    entry = keras.Input((8, 8, 1), name="picture")
    head = layers.Dense(3, activation="softmax", name="kind")
    model = keras.Model(entry, head(layers.GlobalAveragePooling2D()(entry)))
    head.set_weights([np.array([[-12.0, 0.0, 12.0]]), np.array([4.0, 0.0, -8.0])])
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    levels = np.rint(rng.uniform(0, 1, COUNT) * 255) / 255
    y = np.clip(np.floor(levels * 3 + rng.normal(0, 0.4, COUNT)), 0, 2).astype(int)
    x = np.broadcast_to(levels[:, None, None, None], (COUNT, 8, 8, 1)).astype("float32")
    accuracy = model.evaluate(x, y, verbose=0)[1]
    assert 0.5 < accuracy < 0.95
    return model, x, y, accuracy


def folder(path, x, y, names):
    for k, (image, index) in enumerate(zip(x, y, strict=True)):
        place = path / "data" / names[index]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(image[..., 0] * 255).astype(np.uint8)).save(place / f"{k:03d}.png")
    return path / "data"


def table(path, x, y, labels):
    (path / "table").mkdir()
    with (path / "table/labels.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "label"])
        for k, image in enumerate(x):
            pixels = np.rint(image[..., 0] * 255).astype(np.uint8)
            Image.fromarray(pixels).save(path / "table" / f"{k:03d}.png")
            rows.writerow([f"{k:03d}.png", labels[y[k]]])
    return path / "table/labels.csv"


def stored(path, x, y):
    np.savez(path / "data.npz", x=x, y=y)
    return path / "data.npz"


def stream(x, y, batch):
    found = tf.data.Dataset.from_tensor_slices((x, y))
    return found.batch(batch) if batch else found


def by_keras(path, x, y, names):
    return keras.utils.image_dataset_from_directory(
        folder(path, x, y, names), image_size=(8, 8), color_mode="grayscale", shuffle=False,
        batch_size=7, verbose=0,
    )  # fmt: skip


def one_hot(y):
    return np.eye(3, dtype=np.float32)[y]


CONTAINERS = {
    "folder of folders": folder,
    "image_dataset_from_directory": by_keras,
    "CSV of names": table,
    "CSV of numbers": lambda path, x, y, _names: table(path, x, y, ["0", "1", "2"]),
    "npz of integers": lambda path, x, y, _names: stored(path, x, y.astype(np.uint8)),
    "npz of one-hot rows": lambda path, x, y, _names: stored(path, x, one_hot(y)),
    "npz of a column": lambda path, x, y, _names: stored(path, x, y[:, None]),
    "pair of integers": lambda _path, x, y, _names: (x, y),
    "pair of floats": lambda _path, x, y, _names: (x, y.astype("float32")),
    "pair of a list": lambda _path, x, y, _names: (x, y.tolist()),
    "pair of names": lambda _path, x, y, names: (x, np.array([names[k] for k in y])),
    "pair of bytes": lambda _path, x, y, names: (x, np.array([names[k].encode() for k in y])),
    "pair without channels": lambda _path, x, y, _names: (x[..., 0], y),
    "stream of batches": lambda _path, x, y, _names: stream(x, y, 7),
    "stream of images": lambda _path, x, y, _names: stream(x, y, 0),
    "stream of batches without channels": lambda _path, x, y, _names: stream(x[..., 0], y, 8),
    "stream of images without channels": lambda _path, x, y, _names: stream(
        x[..., 0], one_hot(y), 0
    ),
    "stream of one-hot batches": lambda _path, x, y, _names: stream(x, one_hot(y), 7),
    "stream of names": lambda _path, x, y, names: stream(x, np.array([names[k] for k in y]), 7),
}
BY_NAME = ("folder of folders", "image_dataset_from_directory", "CSV of names", "pair of names",
           "pair of bytes", "stream of names")  # fmt: skip


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", NAMES)
def test_the_accuracy_is_keras_own(case, tmp_path, kind, container):
    model, x, y, accuracy = case
    names = NAMES[kind]
    if kind == "twice" and container in BY_NAME:
        names = ("crane", "heron", "x")  # one name cannot say which of two classes is meant
    given = CONTAINERS[container](tmp_path, x, y, names)
    files = container == "folder of folders" or container.startswith("CSV")
    if container == "image_dataset_from_directory":  # which gives 0..255
        model = keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1 / 255.0), model])
    made = reportgen.build_report(
        model, data=given, output=tmp_path / "out", classes=list(names), sections=("evaluation",),
        preprocess="unit" if files else None,
    )  # fmt: skip
    result = made.report.section("evaluation").content.result
    assert result.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert [row.support for row in result.classes] == np.bincount(y, minlength=3).tolist()


def test_folders_of_other_names_number_the_classes_given_and_it_is_said(case, tmp_path):
    model, x, y, accuracy = case
    made = reportgen.build_report(
        model, data=folder(tmp_path, x, y, ("A-dunkel", "B-mittel", "C-hell")), output=tmp_path / "out",
        classes=["dark", "middle", "bright"], sections=("evaluation", "probes"), preprocess="unit",
    )  # fmt: skip
    section = made.report.section("evaluation")
    assert section.content.result.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert [row.name for row in section.content.result.classes] == ["dark", "middle", "bright"]
    said = [
        n.text for s in made.report.sections for n in s.notices if "'A-dunkel' is 'dark'" in n.text
    ]
    assert said


@pytest.mark.parametrize(
    "labels", [np.array([False, True] * 20), np.array([0, 1] * 20), np.eye(2)[[0, 1] * 20]]
)
def test_truth_values_are_the_two_classes_of_a_sigmoid(tmp_path, labels):
    entry = keras.Input((8, 8, 1), name="picture")
    head = layers.Dense(1, activation="sigmoid", name="bright")
    model = keras.Model(entry, head(layers.GlobalAveragePooling2D()(entry)))
    head.set_weights([np.array([[20.0]]), np.array([-10.0])])
    rng = np.random.default_rng(1)
    levels = np.where(np.arange(40) % 2, 0.7, 0.3) + rng.uniform(-0.29, 0.29, 40)
    x = np.broadcast_to(levels[:, None, None, None], (40, 8, 8, 1)).astype("float32")
    model.compile(loss="binary_crossentropy", metrics=["accuracy"])
    accuracy = model.evaluate(x, np.arange(40) % 2, verbose=0)[1]
    made = reportgen.build_report(
        model, data=(x, labels), output=tmp_path, sections=("evaluation",)
    )
    assert made.report.section("evaluation").content.result.accuracy == pytest.approx(accuracy)


def test_a_blank_among_bytes_is_no_label_and_numbers_with_it_are_numbers(case, tmp_path):
    model, x, y, _ = case
    given = np.array([str(k).encode() for k in y])
    given[3] = b""
    made = reportgen.build_report(
        model, data=(x, given), output=tmp_path, classes=["1", "2", "3"], sections=("evaluation",)
    )
    content = made.report.section("evaluation").content
    said = model.predict(x, verbose=0).argmax(axis=1)
    kept = np.arange(COUNT) != 3
    assert content.unlabelled == 1
    assert content.result.accuracy == pytest.approx((said == y)[kept].mean(), abs=1e-6)
