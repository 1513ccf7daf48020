"""SavedModels of Keras 2: built from what they say of their layers, and nothing of their graph runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import keras
import numpy as np
import pages
import pytest
from saved_files import as_graph, described, field, node, write_saved_model

sys.path.insert(0, str(Path(__file__).with_name("migration")))
from old_files import drawn, graph, layer, sequential
from old_files import node as joined

from reportgen import build_report
from reportgen.errors import NotBuiltError
from reportgen.nets.loading import load_model
from reportgen.nets.saved_model_reader import DamagedError, fields
from reportgen.nets.saved_model_reader import described as read
from reportgen.nets.saved_models import layer_at
from reportgen.nets.stored import read_stored
from reportgen.nets.stored_layers import stored_layers
from reportgen.nets.stored_network import StoredNetwork

MOST = 2**20
DENSE = {"kernel": drawn(4, 3), "bias": drawn(3)}
HEAD = {"kernel": drawn(3, 2), "bias": drawn(2)}


def two_layers():
    return sequential(
        layer("InputLayer", "given", batch_input_shape=[None, 4], dtype="float32", sparse=False, ragged=False),
        layer("Dense", "one", units=3, activation="relu"),
        layer("Dense", "two", units=2, activation="linear"),
    )  # fmt: skip


def expected_of(given):
    hidden = np.maximum(given @ DENSE["kernel"] + DENSE["bias"], 0)
    return hidden @ HEAD["kernel"] + HEAD["bias"]


# -- answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [False, True])
def test_a_network_answers_as_its_weights_say(tmp_path, old):
    folder = write_saved_model(tmp_path / "saved", two_layers(), [DENSE, HEAD], old=old)
    loaded = load_model(folder)
    given = drawn(5, 4, seed=3)
    np.testing.assert_allclose(loaded.model(given), expected_of(given), rtol=1e-5)
    assert (loaded.origin.way, loaded.origin.version) == ("migrated", "2.9.0")
    assert "its graph is not run" in loaded.origin.notes[0]


def test_nested_networks_and_layers_that_hold_others_are_followed(tmp_path):
    """Both Dense have one shape: by another way than their places they would change theirs without a word."""
    first, second = drawn(3, 3), drawn(3, 3, seed=1)
    inner = sequential(
        layer("Dense", "a", units=3, use_bias=False, batch_input_shape=[None, 3]),
        layer("Dense", "b", units=3, use_bias=False),
        name="inner",
    )
    config = graph(
        [
            joined(layer("InputLayer", "x", batch_input_shape=[None, 2, 4], dtype="float32")),
            joined(layer("SimpleRNN", "r", units=3, activation="linear", use_bias=False), "x"),
            joined(inner, "r"),
        ],
        ["x"],
        ["inner"],
        "Functional",
    )
    kernel, recurrent = drawn(4, 3), drawn(3, 3, seed=2)
    held = [
        {},
        {"cell": {"kernel": kernel, "recurrent_kernel": recurrent}},
        {"layer-1": {"kernel": second}, "layer-0": {"kernel": first}},
    ]
    loaded = load_model(write_saved_model(tmp_path / "saved", config, held))
    given = drawn(2, 2, 4, seed=3)
    hidden = given[:, 0] @ kernel
    hidden = given[:, 1] @ kernel + hidden @ recurrent
    np.testing.assert_allclose(loaded.model(given), hidden @ first @ second, rtol=1e-4)


def test_a_whole_report_is_made_and_its_page_says_how(tmp_path):
    folder = write_saved_model(tmp_path / "saved", two_layers(), [DENSE, HEAD])
    build_report(folder, output=tmp_path / "out", probes=drawn(2, 4))
    report = pages.check_page(tmp_path / "out")
    overview = pages.content(report, "overview")
    assert overview["origin"]["way"] == "migrated"
    assert overview["parameters"] == 4 * 3 + 3 + 3 * 2 + 2
    assert overview["flops"] > 0


# -- what does not fit ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "phrase"),
    [
        ([DENSE], "does not hold the weight '[a-z]+/two/kernel'"),
        ([DENSE, HEAD, {"kernel": drawn(2)}], "'layer-2/kernel', which its network does not have"),
        ([DENSE, {**HEAD, "kernel": drawn(2, 3)}], r"'kernel' of the layer 'layer-1' has the shape \(3, 2\)"),
        ([DENSE, {"deep": HEAD}], "'layer-1/deep/bias', which its network does not have"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_named(tmp_path, held, phrase):
    folder = write_saved_model(tmp_path / "saved", two_layers(), held)
    with pytest.raises(NotBuiltError, match=rf"SavedModel.*is not run.*{phrase}"):
        load_model(folder)


def test_code_in_a_description_is_refused_and_its_layers_are_shown(tmp_path):
    config = two_layers()
    config["config"]["layers"].append(
        layer("Lambda", "act", function=["aaaa", None, None], function_type="lambda")
    )
    folder = write_saved_model(tmp_path / "saved", config, [DENSE, HEAD])
    with pytest.raises(NotBuiltError, match=r"carries Python code.*--allow-code"):
        load_model(folder)
    network = StoredNetwork(folder, read_stored(folder), "asked")
    rows = [(row.path, row.class_name, row.parameters) for row in network.facts.layers]
    assert rows == [
        ("given", "InputLayer", 0), ("one", "Dense", 15), ("two", "Dense", 8), ("act", "Lambda", 0),
    ]  # fmt: skip
    found = {facts.path: (facts.layer_class, array) for facts, array in network.variables()}
    np.testing.assert_array_equal(found["two/kernel"][1], HEAD["kernel"])
    assert found["one/bias"][0] == "Dense"


def test_a_class_of_somebody_shows_the_layers_that_it_holds(tmp_path):
    folder = write_saved_model(tmp_path / "saved", None, [])
    one = layer("Dense", "dense", units=3)
    said = json.dumps({"class_name": "Mine", "config": {"layer was saved without config": True}})
    whole = node("root", "_tf_keras_model", said) + node(
        "root.first", "_tf_keras_layer", json.dumps(one)
    )
    whole += node("root.first.inner", "_tf_keras_layer", json.dumps(layer("Dense", "deep")))
    whole += node("root.keras_api.metrics.0", "_tf_keras_metric", json.dumps(layer("Mean", "loss")))
    (folder / "keras_metadata.pb").write_bytes(whole)
    stored = read_stored(folder)
    assert stored.config["class_name"] == "Mine"
    assert [one.name for one in stored_layers(stored.config)] == ["dense"]
    with pytest.raises(NotBuiltError, match=r"'Mine'.*--custom-objects"):
        load_model(folder)


def test_what_keras_3_exports_says_nothing_of_its_layers(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.export(tmp_path / "exported", verbose=False)
    assert read_stored(tmp_path / "exported").config is None
    with pytest.raises(NotBuiltError, match="its graph of operations may read and write files"):
        load_model(tmp_path / "exported")


# -- none is trusted -----------------------------------------------------------------------------------


def write_description(folder, content, name="keras_metadata.pb"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return str(folder)


ROOT = node("root", "_tf_keras_sequential", described(two_layers()))


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (ROOT[:-30], "longer than the file"),
        (b"\x0b", "no protocol buffer"),
        (b"\xff" * 30, "within a number"),
        (b"\x80", "within a number"),
        (node("root", "_tf_keras_layer", b"\xff\xfe"), "."),
        (node("root", "_tf_keras_layer", "{"), "."),
        (node("root", "_tf_keras_layer", "[" * 100_000), "recursion"),
        (node("root", "_tf_keras_layer", "[" * 400 + "]" * 400), "nested too deep"),
        (node("root", "_tf_keras_layer", " " * (MOST + 1)), "more than 1 MiB"),
    ],
)
def test_a_damaged_description_is_found(tmp_path, content, phrase):
    with pytest.raises((DamagedError, ValueError, RecursionError), match=phrase):
        read(write_description(tmp_path / "saved", content), MOST)


@pytest.mark.parametrize(
    "content",
    [
        b"", node("elsewhere", "_tf_keras_layer", "{}"), node("root", "_generic_user_object", "{}"),
        node("root", "_tf_keras_layer", "[1]"), field(9, ROOT),
    ],
)  # fmt: skip
def test_a_description_that_says_nothing_is_none(tmp_path, content):
    assert read(write_description(tmp_path / "saved", content), MOST) == {}


def test_numbers_and_fixed_fields_are_passed_over():
    message = b"\x08\x96\x01" + b"\x11" + b"\0" * 8 + b"\x1d" + b"\0" * 4 + field(4, "seen")
    assert [(key, bytes(part)) for key, part in fields(memoryview(message))] == [(4, b"seen")]


def test_a_description_that_leads_elsewhere_is_not_read(tmp_path):
    folder = write_saved_model(tmp_path / "saved", two_layers(), [DENSE, HEAD])
    (tmp_path / "secret").write_bytes((folder / "keras_metadata.pb").read_bytes())
    (folder / "keras_metadata.pb").unlink()
    (folder / "keras_metadata.pb").symlink_to(tmp_path / "secret")
    stored = read_stored(folder)
    assert stored.config is None
    assert "'keras_metadata.pb' is no regular file" in stored.note
    (folder / "keras_metadata.pb").unlink()
    os.mkfifo(folder / "keras_metadata.pb")
    assert "is no regular file" in read_stored(folder).note


def test_a_damaged_description_leaves_the_weights_and_says_so(tmp_path):
    folder = write_saved_model(tmp_path / "saved", two_layers(), [DENSE, HEAD])
    (folder / "keras_metadata.pb").write_bytes(ROOT[:-30])
    build_report(folder, output=tmp_path / "out")
    report = pages.check_page(tmp_path / "out")
    assert pages.content(report, "weights")["count"] == 23
    assert "is damaged" in pages.content(report, "overview")["origin"]["notes"][0]


def test_only_the_first_object_of_a_graph_is_looked_at(tmp_path):
    said = described(two_layers())
    folder = write_description(tmp_path / "saved", as_graph(said), "saved_model.pb")
    found = read(folder, MOST)
    assert [one["class_name"] for one in found["config"]["config"]["layers"]] == [
        "InputLayer",
        "Dense",
        "Dense",
    ]
    assert found["config"]["config"]["layers"][0]["config"]["batch_input_shape"] == [None, 4]
    folder = write_description(
        tmp_path / "other", as_graph(said, "_generic_user_object"), "saved_model.pb"
    )
    assert read(folder, MOST) == {}


@pytest.mark.parametrize(
    ("place", "names", "rest"),
    [
        (["layer-0", "kernel"], ["one"], ["kernel"]),
        (["layer-1", "kernel"], ["two"], ["kernel"]),
        (["layer-2", "kernel"], [], ["layer-2", "kernel"]),
        (["layer-99999999", "kernel"], [], ["layer-99999999", "kernel"]),
        (["given", "kernel"], [], ["given", "kernel"]),
        ([], [], []),
    ],
)
def test_a_place_is_counted_without_the_input_of_a_sequential(place, names, rest):
    chain, left = layer_at(place, stored_layers(two_layers()), "Sequential")
    assert ([one.name for one in chain], left) == (names, rest)
