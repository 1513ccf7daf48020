"""Model files: whatever their bytes or their configuration are, they are loaded or refused."""

from __future__ import annotations

import functools
import io
import json
import zipfile

import keras
import models
import pytest
from fuzzing import SECONDS, altered, bounded, cases, damaged, ending_in
from hypothesis import given
from hypothesis import strategies as st

from reportgen.errors import ModelError
from reportgen.nets.loading import load_model

MODEST = (
    st.none() | st.booleans() | st.integers(-2, 16) | st.floats(-4, 4) | st.text(max_size=8)
    | st.sampled_from(("relu", "Dense", "keras.layers", "same", "float16", "functional", "../x"))
)  # fmt: skip
"""Leaves that declare no large network: how large one may be is not promised."""


@functools.cache
def originals():
    """Return the bytes of a small model in both formats."""
    entry = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(2, 3, activation="relu")(entry)
    x = keras.layers.Flatten()(keras.layers.BatchNormalization()(x))
    model = keras.Model(entry, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(loss="mse")
    found = {}
    for ending in ("keras", "h5"):
        path = models.place() / f"fuzzed.{ending}"
        model.save(path)
        found[ending] = path.read_bytes()
    return found


def members():
    with zipfile.ZipFile(io.BytesIO(originals()["keras"])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def try_out(path, content):
    path.write_bytes(content)
    with bounded(2 * SECONDS), ending_in(ModelError):  # the child has its own ten seconds
        load_model(path)


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_the_corpus_is_loaded(tmp_path, ending):
    path = tmp_path / f"model.{ending}"
    path.write_bytes(originals()[ending])
    assert load_model(path).model.count_params() == 94


@given(st.deferred(lambda: damaged([originals()["keras"]])))
@cases(5, 400)
def test_damaged_zips(tmp_path_factory, content):
    try_out(tmp_path_factory.getbasetemp() / "damaged.keras", content)


@given(st.deferred(lambda: damaged([originals()["h5"]])))
@cases(5, 400)
def test_damaged_hdf5(tmp_path_factory, content):
    try_out(tmp_path_factory.getbasetemp() / "damaged.h5", content)


@st.composite
def damaged_inside(draw):
    """Draw a zip that is whole, though what lies in it is not."""
    files = members()
    name = draw(st.sampled_from(sorted(files)))
    return packed({**files, name: draw(damaged([files[name]]))})


@given(damaged_inside())
@cases(5, 400)
def test_models_that_are_damaged_inside(tmp_path_factory, content):
    try_out(tmp_path_factory.getbasetemp() / "inside.keras", content)


@given(st.deferred(lambda: altered([json.loads(members()["config.json"])], MODEST)))
@cases(5, 400)
def test_models_of_any_configuration(tmp_path_factory, tree):
    content = packed({**members(), "config.json": json.dumps(tree).encode()})
    try_out(tmp_path_factory.getbasetemp() / "configured.keras", content)


def packed(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()
