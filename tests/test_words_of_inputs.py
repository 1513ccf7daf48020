"""What the page calls an input: an image, a series, a sequence or a row, wherever it stands."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
from keras import layers

from reportgen import build_report
from reportgen.network.facts import TensorFacts
from reportgen.network.samples import sample_of

RNG = np.random.default_rng(3)
LITERAL = (
    "No input takes images, so there is no picture to optimise.",
    "No input takes images or series, so there is nothing to lay a map over.",
    "No input takes images.",
    "no image has an EXIF orientation, or the output is no decision",
    "as many images with an EXIF orientation are correct as stored and turned",
)
"""Sentences about images that such a network does not take."""


@pytest.mark.parametrize(
    ("shape", "dtype", "kind", "called"),
    [
        ((8, 8, 3), "float32", "unknown", "image"),
        ((3, 8, 8), "float32", "unknown", "image"),
        ((28, 28), "float32", "unknown", "image"),
        ((28, 28), "float32", "series", "series"),
        ((50, 3), "float32", "series", "series"),
        ((1, 3), "float32", "series", "sequence"),
        ((12,), "int32", "unknown", "sequence"),
        ((1,), "int64", "unknown", "row"),
        ((10,), "float32", "unknown", "row"),
        ((8, 8, 8, 1), "float32", "unknown", "volume"),
    ],
)
def test_what_an_input_is_called(shape, dtype, kind, called):
    assert sample_of([TensorFacts("x", (None, *shape), dtype, kind)], [shape]).one == called


def test_the_images_among_several_inputs_count():
    text, image = (
        TensorFacts("t", (None, 12), "int32"),
        TensorFacts("i", (None, 8, 8, 3), "float32"),
    )
    assert sample_of([text, image], [(12,), (8, 8, 3)]).one == "image"
    assert sample_of([], []).one == "image"


def series():
    start = keras.Input((40, 3))
    x = layers.Conv1D(6, 5, activation="relu")(start)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(start, layers.Dense(3, activation="softmax")(x))


def tokens():
    start = keras.Input((12,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(50, 6)(start))
    return keras.Model(start, layers.Dense(3, activation="softmax")(layers.Dense(8, "relu")(x)))


def rows():
    start = keras.Input((9,))
    return keras.Model(start, layers.Dense(3, activation="softmax")(layers.Dense(8, "relu")(start)))


def words(page):
    """Return what a reader reads, alternative texts and labels of pictures among it."""
    page = re.sub(r"(?s)<(script|style).*?</\1>", " ", page)
    said = re.findall(r'(?:alt|aria-label|title)="([^"]*)"', page)
    return re.sub(r"\s+", " ", " ".join([*said, re.sub(r"(?s)<[^>]*>", " ", page)]))


@pytest.mark.parametrize(
    ("make", "shape", "many"),
    [(series, (40, 3), "series"), (tokens, (12,), "sequences"), (rows, (9,), "rows")],
)
def test_nothing_but_an_image_is_called_one(make, shape, many, tmp_path):
    whole = make is tokens
    count = 30
    x = RNG.integers(0, 50, (count, *shape)) if whole else RNG.normal(0, 1, (count, *shape))
    x = x if whole else x.astype(np.float32)
    y = RNG.integers(0, 3, count)
    folder = build_report(make(), probes=x[:4], data=(x, y), output=tmp_path / "report", quick=True)
    page = words((folder.path / "index.html").read_text("utf-8"))
    summary = (folder.path / "summary.md").read_text("utf-8")
    for text in LITERAL:
        page = page.replace(text, "")
    left = [
        page[max(0, at.start() - 60) : at.end() + 40]
        for at in re.finditer(r"(?i)\bimages?\b", page)
    ]
    assert left == []
    assert not re.search(r"(?i)\bimages?\b", summary)
    assert f"{count} {many}" in page
    assert f"per {many.removesuffix('s') if many != 'series' else many}" in page
