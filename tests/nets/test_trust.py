"""What a model file may name: every name of Keras is allowed or refused, and what is allowed does no harm."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import audited
import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo
from keras.src.api_export import REGISTERED_NAMES_TO_OBJS
from saved_files import write_saved_model

from reportgen.errors import ModelError
from reportgen.nets import stored
from reportgen.nets.loading import load_model
from reportgen.nets.trust import may_be_named, refuse_untrusted

COMPUTING = {"ops", "activations", "losses", "metrics"}
CLASSES = [
    "layers",
    "models",
    "activations",
    "initializers",
    "regularizers",
    "constraints",
    "losses",
    "metrics",
    "optimizers",
    "dtype_policies",
    "quantizers",
    "random",
]
HERE = Path("model.keras")


def public_names():
    """Yield every name that a file could write to reach an object of Keras, with the object."""
    modules = {"keras": keras}
    for info in pkgutil.walk_packages(keras.__path__, "keras."):
        if ".src" not in info.name and "_tf_keras" not in info.name:
            modules[info.name] = importlib.import_module(info.name)
    modules |= {name: m for name, m in sys.modules.items() if name.startswith("keras.src.")}
    for place, module in modules.items():
        for name, thing in vars(module).items():
            if callable(thing):
                yield place, name, thing
    for path, thing in REGISTERED_NAMES_TO_OBJS.items():
        yield *path.rpartition(".")[::2], thing


NAMES = list(public_names())


def named(place, name, thing):
    """Return the places in which a network could call it."""
    kind = name if inspect.isclass(thing) else "function"
    inner = {} if inspect.isclass(thing) else name
    node = {"module": place, "class_name": kind, "config": inner, "registered_name": name}
    lambda_ = {"name": "hidden", "function": node}
    return {"module": "keras.layers", "class_name": "Lambda", "config": lambda_}


def test_functions_that_may_be_named_are_operations_activations_losses_metrics_and_scalings():
    allowed = {
        p for p, f in REGISTERED_NAMES_TO_OBJS.items() if inspect.isfunction(f) and may_be_named(f)
    }
    for path in allowed:
        parts = path.split(".")
        assert parts[1] in COMPUTING or (
            parts[1] == "applications" and parts[-1] == "preprocess_input"
        )
        assert parts[-1] not in {"get", "serialize", "deserialize"}
    whole = {
        p
        for p, f in REGISTERED_NAMES_TO_OBJS.items()
        if inspect.isfunction(f) and p.split(".")[1] in COMPUTING
    }
    assert {p.rpartition(".")[2] for p in whole - allowed} == {"get", "serialize", "deserialize"}


def test_classes_that_may_be_named_are_parts_of_networks():
    refused = {
        path
        for path, thing in REGISTERED_NAMES_TO_OBJS.items()
        if inspect.isclass(thing) and path.split(".")[1] in CLASSES and not may_be_named(thing)
    }
    assert {"keras.layers.TFSMLayer", "keras.layers.JaxLayer", "keras.layers.FlaxLayer"} <= refused
    others = {
        "TFSMLayer",
        "JaxLayer",
        "FlaxLayer",
        "TorchModuleWrapper",
        "InputSpec",
        "OptimizerMap",
        "Adagrad",
    }
    assert {
        path.rpartition(".")[2] for path in refused
    } <= others  # Adagrad: the warning of optimizers.legacy


def test_every_name_of_keras_is_allowed_or_refused_without_being_called():
    """3,000 names and more: exactly those pass that may be named, whatever module names them."""
    refused = 0
    for place, name, thing in NAMES:
        config = named(place, name, thing)
        if may_be_named(thing):
            refuse_untrusted(config, {}, HERE)
            continue
        with pytest.raises(ModelError):
            refuse_untrusted(config, {}, HERE)
        refused += 1
    assert refused > 1000


@pytest.mark.parametrize(
    "path",
    [
        "keras.visualization.plot_image_gallery", "keras.datasets.mnist.load_data", "keras.tree.traverse",
        "keras.config.set_floatx", "keras.utils.set_random_seed", "keras.utils.get_file",
        "keras.saving.load_model", "keras.models.load_model", "keras.utils.save_img",
        "keras.callbacks.LambdaCallback",
        "keras.applications.imagenet_utils.decode_predictions", "keras.backend.clear_session",
        "keras.saving.deserialize_keras_object", "keras.export.ExportArchive", "keras.layers.deserialize",
    ],
)  # fmt: skip
def test_what_is_no_part_of_a_network_is_named_in_the_refusal(path):
    place, _, name = path.rpartition(".")
    thing = getattr(importlib.import_module(place), name)
    with pytest.raises(ModelError, match=f"'hidden' names {path}.*--allow-code"):
        refuse_untrusted(named(place, name, thing), {}, HERE)
    refuse_untrusted(named(place, name, thing), {}, HERE, allow_code=True)


def test_functions_nested_in_arguments_are_looked_at_alike():
    harmful = audited.function_of("keras.utils.get_file")
    node = {
        "args": [harmful, {"class_name": "__keras_tensor__", "config": {"shape": [None, 3]}}],
        "kwargs": {},
    }
    layer = {
        "module": "keras.src.ops.core", "class_name": "Map", "registered_name": "Map", "name": "mapped",
        "config": {"name": "mapped"}, "inbound_nodes": [node],
    }  # fmt: skip
    with pytest.raises(ModelError, match=r"'mapped' names keras\.utils\.get_file"):
        refuse_untrusted({"config": {"layers": [layer]}}, {}, HERE)
    node["args"][0] = audited.function_of("keras.ops.relu")
    refuse_untrusted({"config": {"layers": [layer]}}, {}, HERE)


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        ("StringLookup", "vocabulary", "/etc/passwd"),
        ("IntegerLookup", "vocabulary", "gs://bucket/words.txt"),
        ("TextVectorization", "vocabulary", "words.txt"),
    ],
)
def test_layers_that_read_files_are_refused(name, argument, value):
    layer = {
        "module": "keras.layers",
        "class_name": name,
        "config": {"name": "words", argument: value},
    }
    with pytest.raises(ModelError, match=f"'words' reads its {argument}.*--allow-code"):
        refuse_untrusted(layer, {}, HERE)
    layer["config"][argument] = ["a", "b"]
    refuse_untrusted(layer, {}, HERE)


def test_what_the_process_has_registered_and_what_the_user_names_is_allowed():
    def wave(x):
        return keras.ops.sin(x)

    node = {"module": "own", "class_name": "function", "config": "wave", "registered_name": "wave"}
    with pytest.raises(ModelError, match="custom class or function 'wave'"):
        refuse_untrusted(node, {}, HERE)
    refuse_untrusted(node, {"wave": wave}, HERE)
    with keras.saving.custom_object_scope({"wave": wave}):
        refuse_untrusted(node, {}, HERE)


def test_a_registered_name_does_not_cover_another_function():
    node = {
        "module": "keras.utils",
        "class_name": "function",
        "config": "get_file",
        "registered_name": "wave",
    }
    with pytest.raises(ModelError, match=r"keras\.utils\.get_file"):
        refuse_untrusted(node, {"wave": keras.ops.sin}, HERE)


def test_the_flag_is_not_advised_where_no_code_was_found(tmp_path):
    """A layer called unsafe that cannot be loaded is no reason to run code."""
    config = zoo_config(tmp_path, lambda dense: dense["config"].update(name="unsafe", units=-3))
    with pytest.raises(ModelError) as caught:
        load_model(config)
    assert "--allow-code" not in str(caught.value)


# -- whole files -----------------------------------------------------------------------------------


def zoo_config(folder, change, ending="keras", name="changed"):
    """Save a small model with a changed first Dense layer."""
    path = folder / f"{name}.{ending}"
    zoo.make("logits").save(folder / f"good.{ending}")
    if ending == "h5":
        shutil.copy(folder / "good.h5", path)
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(next(n for n in config["config"]["layers"] if n["class_name"] == "Dense"))
            file.attrs["model_config"] = json.dumps(config)
        return path
    with zipfile.ZipFile(folder / "good.keras") as source, zipfile.ZipFile(path, "w") as target:
        for member in source.namelist():
            content = source.read(member)
            if member == "config.json":
                config = json.loads(content)
                change(next(n for n in config["config"]["layers"] if n["class_name"] == "Dense"))
                content = json.dumps(config).encode()
            target.writestr(member, content)
    return path


def hostile(folder, target):
    """Write files that act when they are built or traced; return them by what they try."""
    gallery = {
        "module": "keras.layers", "class_name": "Lambda", "registered_name": None,
        "config": {
            "name": "gallery", "function": audited.function_of("keras.visualization.plot_image_gallery"),
            "arguments": {"path": str(target), "rows": 1, "cols": 1, "value_range": [0, 255]},
        },
    }  # fmt: skip
    acts = {
        "loads": lambda d: d["config"].update(activation=audited.function_of("keras.datasets.mnist.load_data")),
        "sets": lambda d: d["config"].update(activation=audited.function_of("keras.config.set_epsilon")),
        "seeds": lambda d: d["config"].update(activation=audited.function_of("keras.utils.set_random_seed")),
        "walks": lambda d: d["config"].update(activation=audited.function_of("keras.tree.traverse")),
        "draws": lambda d: d["config"].update(activation=gallery),
        "saves": lambda d: d["config"].update(
            kernel_regularizer=audited.function_of("keras.utils.save_img")
        ),
        "builds": lambda d: d["config"].update(
            kernel_initializer={"module": "keras.callbacks", "class_name": "CSVLogger",
                                "config": {"filename": str(target)}, "registered_name": None}
        ),
    }  # fmt: skip
    return {
        f"{name}.{ending}": zoo_config(folder, act, ending, name)
        for name, act in acts.items()
        for ending in ("keras", "h5")
    }


def as_keras_2(path):
    """Say that an older Keras wrote a file, so that its configuration is migrated."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["keras_version"] = "2.9.0"
        return path
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["metadata.json"] = json.dumps({"keras_version": "2.13.1"}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def hostile_of_keras_2(folder, target):
    """Write files that act when a migrated configuration is built, through each of its own doors."""
    inner = {"class_name": "Lambda", "config": {"name": "gone", "function": ["4wEAAAA=", None, None],
                                                "function_type": "lambda", "arguments": {}}}  # fmt: skip
    wrapped = {
        "class_name": "TimeDistributed", "config": {"name": "wrapped", "layer": inner}
    }  # fmt: skip
    saver = {"class_name": "CSVLogger", "config": {"filename": str(target)}}

    def wrap(dense):
        name = dense["config"]["name"]
        dense |= {"module": None, "class_name": "TimeDistributed", "registered_name": None}
        dense["config"] = {**wrapped["config"], "name": name}

    def name_raw_operation(dense):
        definition = {"name": "w", "op": "WriteFile", "input": ["a", "b"], "attr": {}}
        dense |= {"class_name": "TensorFlowOpLayer", "module": None, "registered_name": None}
        constants = {"0": str(target), "1": "theirs"}
        dense["config"] = {
            "name": dense["config"]["name"],
            "node_def": definition,
            "constants": constants,
        }

    def name_operation(dense):
        dense |= {"class_name": "TFOpLambda", "module": None, "registered_name": None}
        dense["config"] = {"name": dense["config"]["name"], "function": "io.write_file"}

    acts = {
        "wraps": wrap,
        "operates": name_operation,
        "operates_raw": name_raw_operation,
        "initialises": lambda d: d["config"].update(kernel_initializer=saver),
        "constrains": lambda d: d["config"].update(
            kernel_constraint={"name": "get_file", "m": str(target)}
        ),
        "bare": lambda d: d["config"].update(activation="deserialize"),
    }
    return {
        f"old_{name}.{ending}": as_keras_2(zoo_config(folder, act, ending, f"old_{name}"))
        for name, act in acts.items()
        for ending in ("keras", "h5")
    }


def of_keras_2(folder, target):
    """Write hostile files as Keras 2 would have, and some that only it could."""
    aged = {f"aged_{path.name}": as_keras_2(path) for path in hostile(folder, target).values()}
    return {**aged, **hostile_of_keras_2(folder, target)}


def test_hostile_files_of_keras_2_are_refused_and_touch_nothing(tmp_path):
    files, result = untouched(tmp_path, of_keras_2)
    assert len(result["said"]) == len(files)
    assert "ran" not in result["said"].values()


def _writing(folder, target):
    """Write a SavedModel of no network, whose graph writes a file."""
    module, spec = tf.Module(), tf.TensorSpec((None, 3), tf.float32, name="x")
    module.held = tf.Variable(np.ones((3, 2), np.float32))

    def answer(x):
        tf.io.write_file(str(target), "theirs")
        return {"y": x @ module.held}

    module.answer = tf.function(answer, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures=module.answer)
    return folder


def saved_models(folder, target):
    """Write SavedModels, and weights in several files, that would act, and one that does not."""
    saver = {"class_name": "CSVLogger", "config": {"filename": str(target)}}
    values = {"kernel": np.ones((3, 2), np.float32), "bias": np.zeros(2, np.float32)}
    dense = {"name": "d", "units": 2, "batch_input_shape": [None, 3]}
    more = {
        "carries": {"class_name": "Lambda", "config": {"name": "l", "function": ["4wEAAAA=", None, None],
                                                       "function_type": "lambda"}},
        "operates": {"class_name": "TFOpLambda", "config": {"name": "o", "function": "io.write_file"}},
        "starts": {"class_name": "Dense", "config": {"name": "e", "units": 1, "kernel_initializer": saver}},
        "good": {"class_name": "ReLU", "config": {"name": "r"}},
    }  # fmt: skip
    found = {}
    for name, layer in more.items():
        layers = [{"class_name": "Dense", "config": dense}, layer]
        config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
        found[name] = write_saved_model(folder / name, config, [values])
    found["writes"] = _writing(folder / "writes", target)
    found["leads"] = shutil.copytree(folder / "good", folder / "leads")
    (folder / "leads" / "variables" / "variables.index").unlink()
    (folder / "leads" / "variables" / "variables.index").symlink_to(target)
    found["index"] = folder / "out.weights.json"
    found["index"].write_text(json.dumps({"weight_map": {"/vars": f"../{target.name}.weights.h5"}}))
    return found


def test_hostile_saved_models_touch_nothing_and_a_good_one_neither(tmp_path):
    files, result = untouched(tmp_path, saved_models)
    said = {name: result["said"][str(path)] for name, path in files.items()}
    assert [name for name, text in said.items() if text == "ran"] == ["good"]
    assert "carries Python code" in said["carries"]
    assert "calls tf.io.write_file" in said["operates"]
    assert "may read and write files, and is not run" in said["writes"]
    assert "no regular file" in said["leads"]
    assert "no plain name" in said["index"]


def run_audited(folder, *files):
    done = subprocess.run(
        [sys.executable, "-P", audited.__file__, str(folder), *map(str, files)],
        capture_output=True, text=True, check=False, cwd=folder, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def untouched(tmp_path, make):
    """Try hostile files beside one that is precious: nothing may change; return them and what was said."""
    work, beside = tmp_path / "work", tmp_path / "beside"
    work.mkdir()
    beside.mkdir()
    (beside / "precious.png").write_bytes(b"mine")
    files = make(beside, beside / "precious.png")
    before = snapshot(tmp_path)
    result = run_audited(work, *files.values())
    assert result["seen"] == []
    assert result["changed"] == {}
    assert snapshot(tmp_path) == before
    return files, result


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_hostile_files_are_refused_and_touch_nothing(tmp_path):
    files, result = untouched(tmp_path, hostile)
    said = {Path(path).name: text for path, text in result["said"].items()}
    assert set(said) == set(files)
    for name, text in said.items():
        assert "--allow-code" in text, (name, text)
        assert "which is no part of a network" in text, (name, text)


def test_what_may_be_named_does_nothing_but_compute(tmp_path):
    result = run_audited(tmp_path)
    assert result["seen"] == []
    assert result["changed"] == {}
    assert list(tmp_path.iterdir()) == []
    ran = [name for name, did in result["ran"].items() if did]
    assert len(ran) > 0.82 * len(result["ran"]) > 500  # Keras grows with every release
    assert sum(name.startswith("keras.layers.") for name in ran) > 120


def test_the_watch_sees_what_it_is_there_for(tmp_path):
    watch = audited.Watch(tmp_path)
    for event, arguments in [
        ("open", ("/somewhere/else", "w", 0)),
        ("os.remove", ("/somewhere/else", -1)),
        ("socket.connect", (None, ("127.0.0.1", 9))),
        ("subprocess.Popen", ("ls", ["ls"], None, None)),
        ("exec", (compile("1", "/somewhere/else.py", "exec"),)),
    ]:
        assert watch._harms(event, arguments), event
    assert not watch._harms("open", (str(tmp_path / "own"), "w", 0))
    assert not watch._harms("open", ("/somewhere/else", "r", 0))


def test_a_bare_text_that_old_files_turn_into_a_function_is_looked_at_too(tmp_path):
    path = zoo_config(
        tmp_path, lambda dense: dense["config"].update(activation="deserialize"), "h5"
    )
    with pytest.raises(ModelError, match="names deserialize, which is no part of a network"):
        load_model(path)


def test_a_file_that_is_exchanged_while_it_is_looked_at_is_not_loaded(tmp_path, monkeypatch):
    """The good one is looked at, the bad one stands there when Keras loads."""
    good = zoo_config(tmp_path, lambda _: None, name="good_one")
    bad = zoo_config(
        tmp_path,
        lambda dense: dense["config"].update(
            activation=audited.function_of("keras.utils.normalize")
        ),
        name="bad_one",
    )
    read = stored._read_keras_config

    def exchanging(path):
        found = read(path)
        shutil.copy(bad, good)
        return found

    monkeypatch.setattr(stored, "_read_keras_config", exchanging)
    with pytest.raises(ModelError, match="was changed while it was read"):
        load_model(good)
