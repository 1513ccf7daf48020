"""A network that is not built: what its file stores is shown, and nothing of it runs."""

from __future__ import annotations

import itertools
import json
import re
import runpy
import subprocess
import sys
import zipfile

import h5py
import keras
import models
import numpy as np
import pages
import pytest
import zoo

from reportgen import build_report, cli
from reportgen.errors import InputError, ModelError, UsageError
from reportgen.nets.keras_network import KerasNetwork
from reportgen.nets.stored import read_stored
from reportgen.nets.stored_layers import (
    stored_calls,
    stored_inputs,
    stored_layers,
    stored_outputs,
)
from reportgen.nets.stored_network import StoredNetwork

KNOWN = [
    "sequential",
    "functional",
    "nested",
    "shared_layer",
    "multi_output",
    "separable",
    "dropout",
    "nan",
]
"""Networks of layers whose every weight is called and held alike in a file and in Keras."""


def stored_network(path, architecture=None):
    return StoredNetwork(path, read_stored(path, architecture), "asked")


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("name", KNOWN)
def test_stored_weights_are_those_of_the_built_network(tmp_path, name, ending):
    model = zoo.make(name)
    model.save(tmp_path / f"whole.{ending}")
    built = KerasNetwork(model, **zoo.ZOO[name].options)
    network = stored_network(tmp_path / f"whole.{ending}")
    expected = {facts.path: (facts, array) for facts, array in built.variables()}
    found = {facts.path: (facts, array) for facts, array in network.variables()}
    assert found.keys() == expected.keys()
    owners = [facts.layer for facts, _ in found.values()]
    assert len([1 for a, b in itertools.pairwise(owners) if a != b]) + 1 == len(set(owners))
    for path, (facts, array) in found.items():
        same, values = expected[path]
        np.testing.assert_array_equal(array, values)
        for field in (
            "layer",
            "layer_class",
            "name",
            "role",
            "shape",
            "dtype",
            "trainable",
            "initializer",
        ):
            assert getattr(facts, field) == getattr(same, field), (path, field)
    for field in (
        "name",
        "class_name",
        "parameters",
        "trainable_parameters",
        "weight_bytes",
        "loss",
    ):
        assert getattr(network.facts, field) == getattr(built.facts, field), field
    paths = {layer.path: layer.parameters for layer in built.facts.layers}
    assert {layer.path: layer.parameters for layer in network.facts.layers} == paths


def test_sharing_is_stored_once():
    """Calls of a shared layer are told apart, and read each other as in the built network."""
    model = zoo.make("shared_layer")
    built = KerasNetwork(model)
    config = json.loads(model.to_json())
    calls = stored_calls(config, stored_layers(config))
    assert {call.id: call.inputs for call in calls} == {
        call.id: call.inputs for call in built.facts.calls if call.parent is None
    }


@pytest.mark.parametrize("name", ["sequential", "functional", "multi_output", "nested"])
def test_joints_inputs_and_outputs_are_those_of_the_built_network(name):
    model = zoo.make(name)
    built = KerasNetwork(model, **zoo.ZOO[name].options)
    config = json.loads(model.to_json())
    layers = stored_layers(config)
    assert [(t.name, t.shape) for t in stored_inputs(layers)] == [
        (t.name, t.shape) for t in built.facts.inputs
    ]
    for output, same in zip(stored_outputs(config, layers, {}), built.facts.outputs, strict=False):
        assert (output.shape, output.activation) == (same.shape, same.activation)


def test_bfloat16_is_read_as_what_it_is(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="bfloat16", name="d")])
    model.save(tmp_path / "half.keras")
    found = {
        facts.name: (facts.dtype, array)
        for facts, array in stored_network(tmp_path / "half.keras").variables()
    }
    dtype, kernel = found["kernel"]
    assert dtype == "bfloat16"
    np.testing.assert_array_equal(kernel, np.asarray(model.layers[0].kernel).astype(np.float32))


# -- reports -----------------------------------------------------------------------------------------


def report_of(path, folder, **options):
    build_report(path, output=folder, **options)
    return pages.check_page(folder)


def notices(report, kind):
    section = next(s for s in report["sections"] if s["kind"] == kind)
    return [(n["level"], n["text"]) for n in section["notices"]]


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_file_with_code_gives_a_report_and_the_flag_that_would_run_it(tmp_path, ending):
    mark = tmp_path / "executed"
    path = tmp_path / f"coded.{ending}"
    entry = keras.Input((4,), name="given")
    (tmp_path / "source.py").write_text(
        f"act = lambda x: (open({str(mark)!r}, 'w').close(), x)[1]\n"
    )
    act = runpy.run_path(str(tmp_path / "source.py"))["act"]
    x = keras.layers.Lambda(act, name="hidden", output_shape=(4,))(entry)
    keras.Model(entry, keras.layers.Dense(3, name="head")(x)).save(path)
    mark.unlink(missing_ok=True)
    report = report_of(path, tmp_path / "out", probes=np.zeros((2, 4), np.float32))
    assert not mark.exists()
    ((severity, text),) = notices(report, "overview")
    assert severity == "warning"
    assert "the layer 'hidden' carries Python code" in text
    assert "--allow-code" in text
    overview = pages.content(report, "overview")
    assert overview["origin"]["way"] == "stored"
    assert overview["parameters"] == pages.content(report, "weights")["count"] == 15
    assert overview["flops"] is None
    rows = pages.content(report, "architecture")["layers"]
    assert [(row["name"], row["class_name"]) for row in rows] == [
        ("given", "InputLayer"), ("hidden", "Lambda"), ("head", "Dense"),
    ]  # fmt: skip
    assert notices(report, "probes")[0][0] == "info"
    assert "takes a network that runs" in notices(report, "probes")[0][1]
    assert report["summary"]["state"] == "complete"


def test_custom_classes_without_their_module_give_a_report_that_names_them(tmp_path):
    path = tmp_path / "own.keras"
    zoo.make("perceptron").save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1] |= {
        "module": "mine",
        "class_name": "Strange",
        "registered_name": "mine>Strange",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "config.json": json.dumps(config)}.items():
            archive.writestr(name, content)
    report = report_of(path, tmp_path / "out")
    ((_, text),) = notices(report, "overview")
    assert "custom class or function 'Strange'" in text
    assert "--custom-objects" in text


def test_weights_alone_give_a_report_and_a_body_the_rest(tmp_path):
    model = zoo.make("perceptron")
    path = tmp_path / "only.weights.h5"
    model.save_weights(path)
    report = report_of(path, tmp_path / "out")
    assert pages.content(report, "weights")["count"] == model.count_params()
    assert "--architecture FILE.json" in notices(report, "overview")[0][1]
    (tmp_path / "body.json").write_text(model.to_json())
    report = report_of(path, tmp_path / "out2", architecture=str(tmp_path / "body.json"))
    assert pages.content(report, "overview")["origin"]["way"] == "native"
    assert pages.content(report, "overview")["flops"] > 0


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        ("{not json", "is not JSON"), ("[" * 100_000, "is not JSON"), ("[]", "describes no network"),
        ('{"class_name": 3}', "describes no network"), (None, "cannot be read"),
    ],
)  # fmt: skip
def test_an_architecture_that_is_none_is_said(tmp_path, content, phrase):
    zoo.make("perceptron").save_weights(tmp_path / "only.weights.h5")
    body = tmp_path / "body.json"
    if content is not None:
        body.write_text(content)
    with pytest.raises(InputError, match=phrase):
        read_stored(tmp_path / "only.weights.h5", str(body))


def test_an_architecture_for_a_whole_file_is_refused(tmp_path):
    zoo.make("perceptron").save(tmp_path / "whole.keras")
    with pytest.raises(UsageError, match="has its own"):
        read_stored(tmp_path / "whole.keras", "body.json")


def test_weights_only_needs_no_tensorflow_and_no_keras(tmp_path):
    zoo.make("sequential").save(tmp_path / "whole.keras")
    zoo.make("sequential").save(tmp_path / "whole.h5")
    code = (
        "import sys\nfrom reportgen import build_report\n"
        "for ending in ('keras', 'h5'):\n"
        "    made = build_report(f'whole.{ending}', output=f'out_{ending}', weights_only=True)\n"
        "    print(made.report.summary.counts, [s.kind for s in made.report.sections if s.content])\n"
        "print(sorted({'tensorflow', 'keras'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=models.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "[]"
    assert "['overview', 'architecture', 'weights']" in done.stdout


def test_weights_only_of_a_live_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--weights-only reads a file"):
        build_report(zoo.make("perceptron"), output=tmp_path / "out", weights_only=True)


def test_one_weight_is_in_memory_at_a_time(tmp_path):
    import tracemalloc

    with h5py.File(tmp_path / "large.weights.h5", "w") as file:
        for number in range(8):
            name = f"layers/dense_{number}/vars"
            file.create_dataset(f"{name}/0", data=np.full((1024, 1024), number, np.float32))
    network = stored_network(tmp_path / "large.weights.h5")
    assert network.facts.parameters == 8 * 2**20
    tracemalloc.start()
    try:
        for facts, array in network.variables():
            assert facts.role == "kernel"
            del array
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20  # of 32 MiB
    finally:
        tracemalloc.stop()


def test_a_file_that_is_exchanged_is_not_read(tmp_path):
    path = tmp_path / "whole.h5"
    zoo.make("perceptron").save(path)
    network = stored_network(path)
    zoo.make("logits").save(path)
    with pytest.raises(ModelError, match="was changed while it was read"):
        next(network.variables())


# -- SavedModels -------------------------------------------------------------------------------------


def test_a_saved_model_gives_its_weights_and_its_graph_is_not_read(tmp_path):
    model = zoo.make("perceptron")
    folder = tmp_path / "exported"
    model.export(folder, verbose=False)
    (folder / "saved_model.pb").write_bytes(b"this is no graph")
    report = report_of(folder, tmp_path / "out")
    weights = pages.content(report, "weights")
    held = {tuple(v["shape"]): v["l2"] for v in weights["variables"]}
    assert weights["count"] == model.count_params()
    for weight in model.weights:
        norm = float(np.linalg.norm(np.asarray(weight)))
        assert held[tuple(weight.shape)] == pytest.approx(norm, rel=1e-4, abs=1e-9)
    assert "its graph of operations" in notices(report, "overview")[-1][1]


def test_a_checkpoint_that_leads_elsewhere_is_refused(tmp_path):
    folder = tmp_path / "exported" / "variables"
    folder.mkdir(parents=True)
    (folder.parent / "saved_model.pb").write_bytes(b"")
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "variables.index").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match=r"'variables\.index' is no regular file"):
        stored_network(folder.parent)


def test_a_saved_model_without_its_checkpoint_is_said(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelError, match=r"without variables/variables\.index"):
        read_stored(tmp_path)


# -- any configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        None, 7, "text", [], {}, {"config": 3}, {"config": {"layers": {"a": 1}}},
        {"config": {"layers": [1, None]}},
        {"config": {"layers": [{"class_name": "Dense", "config": {"name": 3, "units": "x", "dtype": [1]}}]}},
        {"config": {"layers": [{"class_name": "Dense", "config": {}, "inbound_nodes": 7}], "output_layers": 5}},
        {"config": {"layers": [{"class_name": "Dense", "config": {"name": "a"},
                                "inbound_nodes": [[["a", 0, 0]]]}],
                    "output_layers": [["a", 0, 0]]}},
        {"class_name": "Dense", "config": {"layer": {"class_name": "X", "config": {"layer": None}}}},
    ],
)  # fmt: skip
def test_a_configuration_of_any_form_has_layers_or_none(odd):
    layers = stored_layers(odd)
    stored_inputs(layers)
    stored_outputs(odd, layers, {})
    stored_calls(odd, layers)
    for layer in layers:
        assert layer.path
        assert isinstance(layer.dtype_policy, str)
        assert layer.activation is None or isinstance(layer.activation, str)


def test_layers_nested_without_end_end():
    node: dict = {"class_name": "Dense", "config": {}}
    for _ in range(500):
        node = {"class_name": "Wrapper", "config": {"layer": node}}
    assert len(stored_layers({"config": {"layers": [node]}})) <= 66


def test_of_a_network_that_was_not_built_no_blocks_are_counted_and_no_stage_is_begun(
    tmp_path, capsys
):
    """Only the stages of what is made are printed, and the verdict leads with what happened."""
    zoo.make("sequential").save_weights(tmp_path / "alone.weights.h5")
    assert cli.run(["build", str(tmp_path / "alone.weights.h5"), "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().err
    stages = [line.partition(": ")[2] for line in printed.splitlines()]
    assert {"Weights", "Architecture"} <= set(stages)
    assert not {
        "Evaluation",
        "Probes",
        "Activations",
        "Relevance",
        "Features",
        "Training history",
    } & set(stages)
    text = pages.page_text(tmp_path / "out")
    assert re.search(r"[0-9]+ layers?[;.] ", text)
    assert "0 groups" not in text
    assert "0 blocks" not in text
    assert "Overview:" not in text.partition("Problems")[0]
    assert "No network was built" in text
