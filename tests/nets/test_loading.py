"""Model files: bad ones are refused with a sentence, and nothing in any of them runs unasked."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import sys
import tracemalloc
import zipfile

import h5py
import keras
import msgspec
import numpy as np
import pytest
import zoo
from keras import layers

from reportgen.errors import InputError, ModelError
from reportgen.nets.keras_network import KerasNetwork
from reportgen.nets.loading import check_model_file, load_model
from reportgen.nets.trust import unknown_objects

SAVES_LAMBDA = "ignore:The object being serialized includes a `lambda`:UserWarning"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with one healthy model in both formats."""
    folder = tmp_path_factory.mktemp("files")
    for ending in ("keras", "h5"):
        zoo.make("logits").save(folder / f"good.{ending}")
    return folder


def refused(path, phrase, **options):
    """Check that a file is refused in one line that names it."""
    with pytest.raises(ModelError, match=phrase) as caught:
        load_model(path, **options)
    text = str(caught.value)
    assert path.name in text
    assert "\n" not in text
    assert len(text) < 600
    return text


def write(path, content):
    path.write_bytes(content)
    return path


# -- files that are no models ----------------------------------------------------------------------

NO_MODELS = {
    "empty.keras": (b"", "is empty"),
    "empty.h5": (b"", "is empty"),
    "text.keras": (b"hello, this is text", "is not a zip file"),
    "text.h5": (b"hello, this is text", "is not an HDF5 file"),
    "pointer.h5": (LFS, "git lfs pull"),
    "pointer.keras": (LFS, "git lfs pull"),
    "model.pt": (b"PK\x03\x04 anything", "does not end in"),
    "model.json": (
        b'{"class_name": "Functional"}',
        r"the file of its weights as the model, and this one by --arch",
    ),
    "no_ending": (b"PK\x03\x04 anything", "does not end in"),
    "head.keras": (b"PK\x03\x04", "truncated or damaged"),
    "head.h5": (b"\x89HDF\r\n\x1a\n", "truncated or damaged"),
}


@pytest.mark.parametrize("name", NO_MODELS)
def test_what_is_no_model_is_said(tmp_path, name):
    content, phrase = NO_MODELS[name]
    path = write(tmp_path / name, content)
    refused(path, phrase)
    with pytest.raises(ModelError, match=phrase):
        check_model_file(path)


def test_a_missing_file_is_said(tmp_path):
    refused(tmp_path / "gone.keras", "There is no model file")


def test_a_folder_is_said(tmp_path):
    folder = tmp_path / "folder.keras"
    folder.mkdir()
    refused(folder, "is a folder")


def test_a_saved_model_is_said(tmp_path):
    folder = tmp_path / "exported"
    zoo.make("perceptron").export(folder, verbose=False)
    refused(folder, "SavedModel.*save it with model.save")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_truncated_file_is_said(files, tmp_path, ending, share):
    content = (files / f"good.{ending}").read_bytes()
    refused(write(tmp_path / f"cut.{ending}", content[: int(len(content) * share)]), "damaged")


@pytest.mark.parametrize(("stored", "named"), [("h5", "keras"), ("keras", "h5")])
def test_a_file_is_opened_by_what_it_is_whatever_its_ending(files, tmp_path, stored, named):
    path = tmp_path / f"misnamed.{named}"
    shutil.copy(files / f"good.{stored}", path)
    loaded = load_model(path)
    assert loaded.model.count_params() == 520
    is_a = {"h5": "an HDF5 file", "keras": "a zip file"}[stored]
    assert loaded.origin.notes == (
        f"The file ends in .{named} and is {is_a}, whose ending is .{stored}",
    )


@pytest.mark.parametrize(
    ("name", "phrase"), [("a.tflite", "TensorFlow Lite model"), ("a.onnx", "an ONNX model")]
)
def test_files_of_other_programs_are_said_with_who_shows_them(tmp_path, name, phrase):
    assert "Netron" in refused(write(tmp_path / name, b"\x1c\0\0\0TFL3 anything"), phrase)


def test_weights_alone_are_said(tmp_path):
    path = tmp_path / "only.weights.h5"
    zoo.make("perceptron").save_weights(path)
    refused(path, "weights only")


def changed(files, path, **members):
    """Copy the healthy archive with members replaced, or left out where None."""
    with zipfile.ZipFile(files / "good.keras") as source, zipfile.ZipFile(path, "w") as target:
        content = {name: source.read(name) for name in source.namelist()}
        content.update({name.replace("__", "."): value for name, value in members.items()})
        for name, value in content.items():
            if value is not None:
                target.writestr(name, value)
    return path


def test_an_archive_without_its_parts_is_said(files, tmp_path):
    for name in ("config.json", "model.weights.h5"):
        path = changed(files, tmp_path / f"no_{name}.keras", **{name: None})
        refused(path, "no Keras model")


@pytest.mark.parametrize("garbage", [b"{not json", b"", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_configuration_that_is_no_json_is_said(files, tmp_path, garbage):
    refused(changed(files, tmp_path / "bad.keras", **{"config.json": garbage}), "is not JSON")


@pytest.mark.parametrize(
    "odd",
    [
        [],
        {},
        7,
        "text",
        None,
        {"class_name": "Functional"},
        {"class_name": "Functional", "config": {"layers": [{"class_name": 3}]}},
        {"module": "keras", "class_name": "Sequential", "config": {"layers": {"a": []}}},
        {"module": "x", "class_name": "function", "config": {"a": 1}},
        {"module": "x", "class_name": "Thing", "registered_name": ["a"], "config": None},
        {"compile_config": "text", "class_name": "Sequential", "config": None},
    ],
)
def test_a_configuration_of_another_form_is_said(files, tmp_path, odd):
    content = json.dumps(odd).encode()
    refused(changed(files, tmp_path / "odd.keras", **{"config.json": content}), "odd.keras")


@pytest.mark.parametrize("stored", ["{not json", "[]", "7", "null", "[" * 50_000])
def test_an_hdf5_configuration_of_another_form_is_said(files, tmp_path, stored):
    path = tmp_path / "odd.h5"
    shutil.copy(files / "good.h5", path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = stored
    refused(path, "odd.h5")


@pytest.mark.parametrize(
    "stored", ["[]", "7", "null", '"text"', '{"loss": [[]], "optimizer_config": 3}']
)
def test_an_odd_training_configuration_does_not_matter(files, tmp_path, stored):
    path = tmp_path / "odd.h5"
    shutil.copy(files / "good.h5", path)
    with h5py.File(path, "r+") as file:
        file.attrs["training_config"] = stored
    loaded = load_model(path)
    assert KerasNetwork(loaded.model, compiled=loaded.compiled).facts.parameters == 520


def test_damaged_weights_are_said(files, tmp_path):
    content = bytearray((files / "good.keras").read_bytes())
    with zipfile.ZipFile(files / "good.keras") as archive:
        place = archive.getinfo("model.weights.h5").header_offset
    content[place + 3000] ^= 0xFF
    refused(write(tmp_path / "flipped.keras", bytes(content)), "fails its checksum")


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5", "extra.bin"])
def test_an_archive_that_unpacks_without_end_is_not_unpacked(files, tmp_path, member):
    path = changed(files, tmp_path / "bomb.keras", **{member: None})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, bytes(100 * 2**20))
    tracemalloc.start()
    try:
        refused(path, "times its size")
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("../outside", "'../outside' leads out of it"),
        ("/etc/outside", "'/etc/outside' leads out of it"),
        ("assets\\..\\..\\outside", "leads out of it"),
        ("config.json", "two of its members have one name"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_members_that_no_keras_writes_are_refused(files, tmp_path, name, phrase):
    path = tmp_path / "odd.keras"
    shutil.copy(files / "good.keras", path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"{}")
    refused(path, phrase)


def test_encrypted_members_are_refused(files, tmp_path):
    content = bytearray((files / "good.keras").read_bytes())
    place = content.index(b"PK\x01\x02")
    content[place + 8] |= 1  # the flag of the first member in the archive's directory
    refused(write(tmp_path / "locked.keras", bytes(content)), "encrypted")


def test_a_file_that_may_not_be_read_is_said(files, monkeypatch):
    path = files / "good.keras"

    def no(*_args, **_more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", no)
    refused(path, "cannot be read: Permission denied")


# -- code ------------------------------------------------------------------------------------------


@pytest.fixture
def trap(tmp_path):
    """Return a lambda that leaves a file behind when it runs, and that file."""
    mark = tmp_path / "executed"
    source = tmp_path / "trap_source.py"  # Keras wants to read a lambda's source when it saves it
    source.write_text(f"spring = lambda x: (open({str(mark)!r}, 'w').close(), x)[1]\n")
    module = importlib.util.spec_from_file_location("trap_source", source)
    loaded = importlib.util.module_from_spec(module)
    module.loader.exec_module(loaded)
    return loaded.spring, mark


def with_lambda(function, where):
    entry = keras.Input((3, 4), name="given")
    made = {
        "layer": lambda: layers.Lambda(function, name="hidden"),
        "in_time": lambda: layers.TimeDistributed(layers.Lambda(function, name="hidden")),
        "activation": lambda: layers.Dense(4, activation=function, name="hidden"),
        "nested": lambda: keras.Sequential(
            [keras.Input((3, 4)), layers.Lambda(function, name="hidden")]
        ),
    }[where]()
    return keras.Model(entry, made(entry))


@pytest.mark.filterwarnings(SAVES_LAMBDA)
@pytest.mark.parametrize("where", ["layer", "in_time", "nested"])
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_stored_code_is_refused_and_does_not_run(tmp_path, trap, where, ending):
    function, mark = trap
    path = tmp_path / f"coded.{ending}"
    with_lambda(function, where).save(path)
    mark.unlink()  # building the model ran it
    text = refused(path, "carries Python code")
    assert "hidden" in text
    assert "--allow-code" in text
    assert not mark.exists()


@pytest.mark.filterwarnings(SAVES_LAMBDA)
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_lambda_as_activation_does_not_run(tmp_path, trap, ending):
    """Keras stores such a lambda in a form that it cannot read itself."""
    function, mark = trap
    path = tmp_path / f"coded.{ending}"
    with_lambda(function, "activation").save(path)
    assert function(1) == 1
    mark.unlink()
    refused(path, "cannot load this model")
    assert not mark.exists()


@pytest.mark.filterwarnings(SAVES_LAMBDA)
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_stored_code_runs_when_it_is_allowed(tmp_path, trap, ending):
    function, mark = trap
    path = tmp_path / f"coded.{ending}"
    with_lambda(function, "layer").save(path)
    mark.unlink()
    network = KerasNetwork(load_model(path, allow_code=True).model)
    given = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    (batch,) = network.forward({"given": given})
    assert mark.exists()
    np.testing.assert_array_equal(next(iter(batch.outputs.values())), given)


def test_a_lambda_that_carries_no_code_is_loaded(tmp_path):
    """A Lambda around a function of Keras carries its name."""
    entry = keras.Input((4,), name="given")
    path = tmp_path / "named.keras"
    keras.Model(entry, layers.Lambda(keras.ops.relu, name="fire")(entry)).save(path)
    (batch,) = KerasNetwork(load_model(path).model).forward(
        {"given": np.array([[-1, 2, -3, 4]], np.float32)}
    )
    np.testing.assert_array_equal(batch.outputs["fire"], [[0, 2, 0, 4]])


def test_operations_in_an_h5_file_are_not_called_custom_classes(tmp_path):
    zoo.make("siamese").save(tmp_path / "pair.h5")
    text = refused(tmp_path / "pair.h5", "the operation 'Absolute' of keras.ops")
    assert "--custom-objects" not in text


def test_a_file_of_an_older_keras_names_it_and_the_whole_cause(tmp_path):
    path = tmp_path / "older.h5"
    keras.Sequential([keras.Input((8, 8, 3)), layers.DepthwiseConv2D(3, name="deep")]).save(path)
    with h5py.File(path, "r+") as file:
        stored = json.loads(file.attrs["model_config"])
        stored["config"]["layers"][1]["config"]["groups"] = 3
        file.attrs["model_config"] = json.dumps(stored)
        file.attrs["keras_version"] = "2.12.1"
    text = refused(path, "cannot load this model")
    assert "the layer 'deep' has groups=3, which Keras 3 does not know" in text
    assert f"Keras 2.12.1 wrote it, this is Keras {keras.__version__}: load it there" in text
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = "<script>"
    assert "If an older Keras wrote it" in refused(path, "cannot load this model")


def test_a_layer_in_an_unknown_form_is_called_neither_operation_nor_custom(tmp_path):
    text = str(unknown_objects({"LSTM"}, tmp_path / "old.h5"))
    assert "it stores 'LSTM' in a form that this version does not read" in text
    assert "keras.ops" not in text
    assert "--custom-objects" not in text


@pytest.mark.parametrize(
    "activation",
    [
        {
            "module": "builtins",
            "class_name": "function",
            "config": "eval",
            "registered_name": "function",
        },
        {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"},
        {
            "module": "subprocess",
            "class_name": "Popen",
            "config": {"args": "true"},
            "registered_name": "Popen",
        },
        {
            "module": "keras.src.utils.io_utils",
            "class_name": "function",
            "config": "ask_to_proceed_with_overwrite",
        },
    ],
)
def test_functions_from_elsewhere_are_refused(files, tmp_path, activation):
    with zipfile.ZipFile(files / "good.keras") as archive:
        config = json.loads(archive.read("config.json"))
    dense = next(n for n in config["config"]["layers"] if n["class_name"] == "Dense")
    dense["config"]["activation"] = activation
    path = changed(files, tmp_path / "elsewhere.keras", **{"config.json": json.dumps(config)})
    refused(path, "elsewhere.keras")


# -- custom classes --------------------------------------------------------------------------------

SOURCE = '''
"""Layers of one's own."""
import keras
from keras import layers

class Scale(layers.Layer):
    """Multiplies."""
    def __init__(self, by=3.0, **kwargs):
        super().__init__(**kwargs)
        self.by = by
    def call(self, inputs):
        return inputs * self.by
    def get_config(self):
        return {**super().get_config(), "by": self.by}

def wave(x):
    return keras.ops.sin(x)
'''


@pytest.fixture
def custom(tmp_path, monkeypatch):
    """Return a folder with a model of custom classes and the module that defines them, forgotten."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "own_layers.py").write_text(SOURCE)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(folder))
        own = importlib.import_module("own_layers")
        entry = keras.Input((4,), name="given")
        scaled = keras.Model(entry, own.Scale(name="scale")(entry))
        waved = keras.Model(entry, layers.Dense(2, activation=own.wave, name="waves")(entry))
        for ending in ("keras", "h5"):
            scaled.save(folder / f"scaled.{ending}")
            waved.save(folder / f"waved.{ending}")
    del sys.modules["own_layers"]
    monkeypatch.chdir(folder)
    yield folder
    sys.modules.pop("own_layers", None)


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize(("name", "unknown"), [("scaled", "Scale"), ("waved", "wave")])
def test_an_unknown_class_or_function_is_named_and_its_module_not_imported(
    custom, name, unknown, ending
):
    text = refused(custom / f"{name}.{ending}", f"custom class or function .*'{unknown}'")
    assert "--custom-objects" in text
    assert "own_layers" not in sys.modules


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("given", ["own_layers.py", "own_layers", "own_layers:Scale"])
def test_custom_classes_are_given_as_file_module_or_name(custom, given, ending):
    model = load_model(custom / f"scaled.{ending}", custom_objects=[given]).model
    (batch,) = KerasNetwork(model).forward({"given": np.ones((1, 4), np.float32)})
    np.testing.assert_array_equal(batch.outputs["scale"], [[3, 3, 3, 3]])


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("given", ["own_layers.py", "own_layers", "own_layers:wave"])
def test_custom_functions_are_given_likewise(custom, given, ending):
    model = load_model(custom / f"waved.{ending}", custom_objects=[given]).model
    kernel, bias = model.get_layer("waves").get_weights()
    (batch,) = KerasNetwork(model).forward({"given": np.ones((1, 4), np.float32)})
    np.testing.assert_allclose(
        batch.outputs["waves"], np.sin(np.ones((1, 4)) @ kernel + bias), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("given", "phrase"),
    [
        ("gone.py", "there is no such file"),
        ("no_such_module", "importing it failed"),
        ("own_layers:Missing", "has no 'Missing'"),
        ("broken.py", "importing it failed .ZeroDivisionError"),
    ],
)
def test_custom_objects_that_cannot_be_had_are_said(custom, given, phrase):
    (custom / "broken.py").write_text("1 / 0\n")
    with pytest.raises(InputError, match=phrase) as caught:
        load_model(custom / "scaled.keras", custom_objects=[given])
    assert given in str(caught.value)


# -- what the file says ----------------------------------------------------------------------------

SAVED = [
    "sequential",
    "functional",
    "nested",
    "behind_rescaling",
    "shared_layer",
    "dict_inputs",
    "multi_output",
    "recurrent",
    "text",
    "vit",
    "logits",
    "same_names",
    "nan",
    "fixed_batch",
    "open_size",
    "segmentation",
    "autoencoder",
    "dropout",
    "separable",
]


def facts_of(path, **options):
    loaded = load_model(path)
    network = KerasNetwork(loaded.model, compiled=loaded.compiled, **options)
    arrays = {facts.path: array for facts, array in network.variables()}
    return network, network.facts, arrays


@pytest.mark.parametrize("name", SAVED)
def test_both_formats_and_the_live_model_give_the_same_facts(tmp_path, name):
    model, options = zoo.make(name), zoo.ZOO[name].options
    live = KerasNetwork(model, **options)
    weights = {facts.path: array for facts, array in live.variables()}
    for ending in ("keras", "h5"):
        model.save(tmp_path / f"same.{ending}")
        _, facts, arrays = facts_of(tmp_path / f"same.{ending}", **options)
        rate = live.facts.learning_rate
        assert facts.learning_rate == (rate if rate is None else pytest.approx(rate))
        assert msgspec.structs.replace(facts, learning_rate=rate) == live.facts
        assert list(arrays) == list(weights)
        for path, array in arrays.items():
            np.testing.assert_array_equal(array, weights[path])


@pytest.mark.parametrize(
    "name",
    [
        "subclassed",
        "subclassed_pair",
        "subclassed_dict",
        "siamese",
        "residual",
        "bfloat16",
        "mixed_float16",
        "int8",
        "hostile",
        "operations",
    ],
)
def test_odd_models_come_back_from_their_file(tmp_path, name):
    model = zoo.make(name)
    path = tmp_path / "odd.keras"
    model.save(path)
    network, facts, _ = facts_of(path)
    assert facts.trace_problem is None
    assert facts.parameters == model.count_params()
    drawn = zoo.inputs(name, 3)
    given = dict(zip([t.name for t in facts.inputs], drawn.values(), strict=True))
    (batch,) = network.forward(given)
    expected = next(iter(zoo.predicted(name).values()))[:3]
    tolerance = 2e-2 if name in {"bfloat16", "mixed_float16"} else 1e-4
    found = next(iter(batch.outputs.values()))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


class Stern(keras.losses.Loss):
    """A loss that no other process knows."""

    def call(self, y_true, y_pred):
        return keras.ops.mean(y_true - y_pred)


def strange(y_true, y_pred):
    return keras.ops.mean(y_true - y_pred)


@pytest.mark.filterwarnings(SAVES_LAMBDA)
@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize(
    ("loss", "told"),
    [(strange, "strange"), (Stern(), "stern"), (lambda y, p: p - y, None)],
    ids=["function", "class", "lambda"],
)
def test_a_loss_that_does_not_exist_any_more_is_read_apart(tmp_path, ending, loss, told):
    model = zoo.make("perceptron")
    model.compile(keras.optimizers.Adam(0.5), loss)
    model.save(tmp_path / f"odd_loss.{ending}")
    _, facts, _ = facts_of(tmp_path / f"odd_loss.{ending}")
    assert facts.optimizer == "Adam"
    assert facts.learning_rate == 0.5
    assert facts.parameters == 73
    if told:
        assert facts.outputs[0].loss == told


def test_a_file_says_the_same_when_it_is_loaded_again(tmp_path):
    """Keras numbers nameless inner layers through the process."""
    zoo.make("vit").save(tmp_path / "vit.keras")
    first, second = (facts_of(tmp_path / "vit.keras")[1] for _ in range(2))
    assert first == second


def test_loading_does_not_take_names_from_the_session(tmp_path):
    zoo.make("vit").save(tmp_path / "vit.keras")
    before = layers.Softmax().name
    load_model(tmp_path / "vit.keras")
    after = layers.Softmax().name
    assert (before, after) == ("softmax_1", "softmax_2")


def test_the_loaded_model_is_not_compiled(files):
    assert not load_model(files / "good.keras").model.compiled


def test_the_file_is_only_read(files):
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    for ending in ("keras", "h5"):
        load_model(files / f"good.{ending}")
    assert {path.name: path.read_bytes() for path in files.iterdir()} == before


def test_a_healthy_file_passes_the_quick_check(files):
    check_model_file(files / "good.keras")
    check_model_file(files / "good.h5")


def test_an_upper_case_ending_is_an_ending(files, tmp_path):
    shutil.copy(files / "good.h5", tmp_path / "GOOD.HDF5")
    check_model_file(tmp_path / "GOOD.HDF5")
