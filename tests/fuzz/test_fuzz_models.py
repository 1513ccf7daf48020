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

from reportgen.errors import InputError, ModelError, NotBuiltError
from reportgen.nets.loading import load_model
from reportgen.nets.migration.configuration import migrate
from reportgen.nets.migration.errors import MigrationError
from reportgen.nets.stored import read_stored
from reportgen.nets.stored_network import StoredNetwork

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
        try:
            load_model(path)
        except NotBuiltError:  # then what it stores is shown
            for _ in StoredNetwork(path, read_stored(path), "fuzzed").variables():
                pass


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_the_corpus_is_loaded(tmp_path, ending):
    path = tmp_path / f"model.{ending}"
    path.write_bytes(originals()[ending])
    assert load_model(path).model.count_params() == 94


@given(st.deferred(lambda: damaged([originals()["keras"]])))
@cases(5, 400)
def test_damaged_zips(tmp_path_factory, content):
    try_out(tmp_path_factory.getbasetemp() / "damaged.keras", content)


@functools.cache
def weights_alone():
    """Return the bytes of the small model's weights."""
    path, whole = (models.place() / name for name in ("fuzzed.weights.h5", "whole.keras"))
    whole.write_bytes(originals()["keras"])
    load_model(whole).model.save_weights(path)
    return path.read_bytes()


@given(st.data())
@cases(3, 200)
def test_damaged_models_whose_architecture_weights_are_given(tmp_path_factory, data):
    weights, like = (tmp_path_factory.getbasetemp() / name for name in ("w.weights.h5", "l.keras"))
    which = data.draw(st.booleans())
    for path, content, here in (
        (weights, weights_alone(), which),
        (like, originals()["keras"], not which),
    ):
        path.write_bytes(data.draw(damaged([content])) if here else content)
    with bounded(4 * SECONDS), ending_in(ModelError, InputError):
        load_model(weights, like=str(like))


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


def function(name, called, inbound):
    """Return a function of TensorFlow as Keras 2 stored it."""
    config = {"name": name, "function": called}
    return {"class_name": "TFOpLambda", "name": name, "config": config, "inbound_nodes": [inbound]}


def old_configurations():
    """Return configurations as Keras 1 and 2 wrote them."""
    conv = {"name": "c", "nb_filter": 2, "nb_row": 3, "nb_col": 3, "border_mode": "same", "dim_ordering": "tf",
            "batch_input_shape": [None, 6, 6, 1], "init": "normal"}  # fmt: skip
    cell = {
        "class_name": "LSTM",
        "config": {"name": "l", "units": 2, "recurrent_activation": "hard_sigmoid"},
    }
    entry = {"class_name": "InputLayer", "name": "i", "inbound_nodes": [],
             "config": {"name": "i", "batch_input_shape": [None, 4, 2]}}  # fmt: skip
    both = {"class_name": "Bidirectional", "name": "b", "config": {"name": "b", "layer": cell},
            "inbound_nodes": [[["i", 0, 0, {}]]]}  # fmt: skip
    added = function("t", "math.add", ["i", 0, 0, {"y": [1.0, 2.0], "name": None}])
    rows = [{"start": None, "stop": 2, "step": None}, 0]
    cut = function("g", "__operators__.getitem", ["t", 0, 0, {"slice_spec": rows}])
    cut["class_name"] = "SlicingOpLambda"
    definition = {
        "name": "Add",
        "op": "AddV2",
        "input": ["i", "y"],
        "attr": {"T": {"type": "DT_FLOAT"}},
    }
    raw = function("r", "", ["i", 0, 0, {}])
    raw |= {"class_name": "TensorFlowOpLayer"}
    raw["config"] = {"name": "r", "node_def": definition, "constants": {"1": [1.0, 2.0]}}
    raw["inbound_nodes"] = [[["i", 0, 0, {}]]]
    constant = ["_CONSTANT_VALUE", -1, [[[1.0]]], {"axis": -1}]
    joined = function("j", "concat", [["t", 0, 0, {"axis": -1}], constant])
    return [
        {"class_name": "Functional", "config": {
            "name": "m", "layers": [entry, added, cut, joined, raw], "input_layers": [["i", 0, 0]],
            "output_layers": [["g", 0, 0], ["j", 0, 0], ["r", 0, 0]]}},
        {"class_name": "Sequential", "config": [{"class_name": "Convolution2D", "config": conv}]},
        {"class_name": "Model", "config": {"name": "m", "layers": [entry, both], "input_layers": [["i", 0, 0]],
                                           "output_layers": [["b", 0, 0]]}},
    ]  # fmt: skip


@given(st.deferred(lambda: altered(old_configurations())))
@cases(100, 5_000)
def test_old_configurations_of_any_form_are_migrated_or_refused(tree):
    with bounded(), ending_in(MigrationError):
        migrate(tree)


@given(st.deferred(lambda: altered(old_configurations(), MODEST)))
@cases(5, 400)
def test_old_models_of_any_configuration(tmp_path_factory, tree):
    content = packed(
        {
            **members(),
            "config.json": json.dumps(tree).encode(),
            "metadata.json": json.dumps({"keras_version": "2.13.1"}).encode(),
        }
    )
    try_out(tmp_path_factory.getbasetemp() / "old.keras", content)


def packed(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()
