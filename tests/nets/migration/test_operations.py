"""Functions of TensorFlow that Keras 2.4 to 2.15 stored as layers: a closed table, against NumPy."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
from old_files import drawn, graph, layer, node, write_h5, write_keras

from reportgen.errors import ModelError, NotBuiltError
from reportgen.nets.keras_internals import module_of_operation
from reportgen.nets.loading import load_model
from reportgen.nets.migration.configuration import migrate
from reportgen.nets.migration.errors import MigrationError, OperationError
from reportgen.nets.migration.operation_arguments import Arguments
from reportgen.nets.migration.operation_rules import RULES
from reportgen.nets.migration.operations import as_operation
from reportgen.nets.migration.versions import is_old
from reportgen.nets.stored import read_stored
from reportgen.nets.stored_network import StoredNetwork
from reportgen.nets.trust import may_be_named

X = ["x", 0, 0]


def call(function, head=X, name="f", class_name="TFOpLambda", **arguments):
    """Return a stored call of a function; ``head`` is its first argument, or a list of them."""
    several = isinstance(head[0], list)
    heads = head if several else [head]
    told = [[*one, arguments] for one in heads]
    stored = layer(class_name, name, dtype="float32", function=function)
    return {**stored, "name": name, "inbound_nodes": [told if several else told[0]]}


def entry(*shape, name="x", dtype="float32"):
    return node(layer("InputLayer", name, batch_input_shape=[None, *shape], dtype=dtype))


def network(*layers, inputs=("x",), output=None):
    return graph(list(layers), list(inputs), [output or layers[-1]["name"]], "Functional")


def answers(path, given):
    loaded = load_model(path)
    assert loaded.origin.way == "migrated"
    return np.asarray(loaded.model(given, training=False))


def answer_of(tmp_path, layers, given, inputs=("x",)):
    path = write_h5(tmp_path / "ops.h5", network(*layers, inputs=inputs), {}, version="2.9.0")
    return answers(path, given)


# -- the step ------------------------------------------------------------------------------------------

GIVEN = {
    "y": 2.0, "x": 2.0, "axis": 1, "shape": [-1, 4], "dtype": "float32", "perm": [0, 2, 1], "b": ["y", 0, 0],
    "axes": 1, "clip_value_min": 0.0, "clip_value_max": 1.0, "num_or_size_splits": 2, "multiples": [1, 2],
    "repeats": 2, "paddings": [[0, 0], [1, 1]], "indices": [0, 1], "size": [8, 8], "bias": [1.0, 2.0],
    "ksize": 2, "strides": 2, "padding": "SAME", "block_size": 2, "depth": 4, "num": 2, "slice_spec": 0,
}  # fmt: skip


class Everything(Arguments):
    """Arguments that hold whatever a rule asks for, and forget the rest."""

    def end(self):
        pass


@pytest.mark.parametrize("function", RULES)
def test_every_rule_makes_an_operation_that_keras_has_and_files_may_name(function):
    made = RULES[function](Everything(GIVEN))
    area, _, class_name = made.operation.partition(".")
    importlib.import_module("keras")
    place = module_of_operation(area, class_name)
    assert place == f"keras.src.ops.{area}", made.operation
    thing = getattr(importlib.import_module(place), class_name)
    assert may_be_named(thing)
    thing(**made.options)


def test_a_call_becomes_an_operation_with_its_tensors_as_they_were():
    made = as_operation(call("math.add", ["x", 0, 0], y=["d", 1, 0], name="sum"))
    assert made == {
        "module": "keras.src.ops.numpy",
        "class_name": "Add",
        "registered_name": "Add",
        "name": "sum",
        "config": {"name": "sum"},
        "inbound_nodes": [{"args": [["x", 0, 0], ["d", 1, 0]], "kwargs": {}}],
    }


@pytest.mark.parametrize(
    ("stored", "class_name", "options", "more"),
    [
        (call("math.multiply", y=0.5), "Multiply", {}, [0.5]),
        (call("math.subtract", y=[1.0, 2.0]), "Subtract", {},
         [{"class_name": "__numpy__", "config": {"value": [1.0, 2.0], "dtype": "float32"}}]),
        (call("math.reduce_mean", axis=[1, 2], keepdims=True), "Mean", {"axis": [1, 2], "keepdims": True}, []),
        (call("nn.softmax", axis=None), "Softmax", {"axis": -1}, []),
        (call("nn.gelu", approximate=False), "Gelu", {"approximate": False}, []),
        (call("math.argmax"), "Argmax", {"axis": 0}, []),
        (call("split", num_or_size_splits=[1, 2, 3], axis=-1), "Split",
         {"indices_or_sections": [1, 3], "axis": -1}, []),
        (call("__operators__.getitem", slice_spec=[{"class_name": "__ellipsis__"}, 0, None,
              {"start": None, "stop": None, "step": -1}], class_name="SlicingOpLambda"), "GetItem", {},
         [[{"class_name": "__ellipsis__", "config": {}}, 0, None,
           {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": -1}}]]),
        (call("nn.max_pool2d", ksize=[1, 2, 3, 1], strides=2, padding="SAME"), "MaxPool",
         {"pool_size": [2, 3], "strides": [2, 2], "padding": "same", "data_format": "channels_last"}, []),
        (call("compat.v1.transpose", perm=[0, 2, 1]), "Transpose", {"axes": [0, 2, 1]}, []),
    ],
)  # fmt: skip
def test_arguments_are_written_as_keras_3_has_them(stored, class_name, options, more):
    made = as_operation(stored)
    assert made["class_name"] == class_name
    assert made["config"] == {"name": "f", **options}
    assert made["inbound_nodes"] == [{"args": [X, *more], "kwargs": {}}]


REFUSED = [
    "io.write_file", "io.read_file", "py_function", "numpy_function", "raw_ops.WriteFile", "system",
    "keras.models.load_model", "nn.dropout", "load_op_library", "random.normal", "", "__class__",
    "math.add.__call__", "numpy.Add", None, 3, ["math.add"], {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("function", REFUSED)
def test_every_other_name_is_refused(function):
    with pytest.raises(OperationError, match="no counterpart"):
        as_operation(call(function))


@pytest.mark.parametrize(
    ("stored", "phrase"),
    [
        (call("math.add", ["_CONSTANT_VALUE", -1, 1.0], y=2.0), "no tensor of the network"),
        (call("math.add"), "without y"),
        (call("math.add", y="text"), "is called on 'text'"),
        (call("math.add", y=2.0, more=1), "'more'"),
        (call("reshape", shape=[-1, ["n", 0, 0]]), "a computed shape"),
        (call("reshape", shape=[-1, "a"]), "shape="),
        (call("split", num_or_size_splits=10**9), "makes 1000000000 tensors"),
        (call("unstack", num=10**9), "makes 1000000000 tensors"),
        (call("split", num_or_size_splits=[2, -1]), "open size"),
        (call("math.l2_normalize"), "all images together"),
        (call("nn.bias_add", bias=[1.0], data_format="NCHW"), "data_format=NCHW"),
        (call("image.resize", size=[2, 2], method="area"), "method=area"),
        (call("__operators__.getitem", slice_spec=[["n", 0, 0]]), "a computed slice_spec"),
        (call("__operators__.getitem", slice_spec=["a"]), "the index a"),
        (call("linalg.matmul", b=X, adjoint_a=True), "adjoint_a"),
        ({**call("math.abs"), "inbound_nodes": []}, "on nothing"),
        ({**call("math.abs"), "inbound_nodes": [7]}, "no layer's"),
        ({**call("math.abs"), "inbound_nodes": [[*X, 7]]}, "called with '7'"),
    ],
)
def test_a_call_that_says_more_than_the_rule_knows_is_refused(stored, phrase):
    with pytest.raises(OperationError, match=phrase):
        as_operation(stored)


def test_a_configuration_with_functions_is_old():
    assert is_old(network(entry(4), call("math.abs")), "")


def test_any_form_is_refused_in_words():
    for odd in (None, 3, "a", [], [[]], [[[]]], [{"a": 1}], [["x", 0]], [["x", 0, 0, []]]):
        stored = {**call("math.abs"), "inbound_nodes": odd}
        with pytest.raises(MigrationError):
            migrate(network(entry(4), stored))


# -- answers -------------------------------------------------------------------------------------------


def test_the_preprocessing_of_resnet_is_what_it_was(tmp_path):
    """Channels turned around and their means taken off, as ``resnet50.preprocess_input`` is stored."""
    turned = call(
        "__operators__.getitem",
        name="tf.__operators__.getitem",
        class_name="SlicingOpLambda",
        slice_spec=[{"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}],
    )
    bias = [-103.939, -116.779, -123.68]
    moved = call(
        "nn.bias_add", ["tf.__operators__.getitem", 0, 0], name="tf.nn.bias_add", bias=bias, data_format="NHWC"
    )  # fmt: skip
    given = 255 * np.abs(drawn(2, 4, 4, 3))
    found = answer_of(tmp_path, [entry(4, 4, 3), turned, moved], given)
    np.testing.assert_allclose(found, given[..., ::-1] + np.float32(bias), rtol=1e-5)


def test_the_preprocessing_of_mobilenet_is_what_it_was(tmp_path):
    layers = [
        entry(4, 4, 3),
        call("math.truediv", name="tf.math.truediv", y=127.5),
        call("math.subtract", ["tf.math.truediv", 0, 0], name="tf.math.subtract", y=1.0),
    ]
    given = 255 * np.abs(drawn(2, 4, 4, 3))
    np.testing.assert_allclose(answer_of(tmp_path, layers, given), given / 127.5 - 1, rtol=1e-5)


def test_weights_of_layers_between_functions_are_theirs(tmp_path):
    layers = [
        entry(4),
        node(layer("Dense", "d", units=4, activation="linear"), "x"),
        call("__operators__.add", ["d", 0, 0], name="tf.__operators__.add", y=["x", 0, 0]),
        call("nn.relu", ["tf.__operators__.add", 0, 0], name="tf.nn.relu"),
        node(layer("Dense", "e", units=2, activation="linear"), "tf.nn.relu"),
    ]
    held = {
        "d": {"d/kernel:0": drawn(4, 4), "d/bias:0": drawn(4)},
        "tf.__operators__.add": {}, "tf.nn.relu": {},
        "e": {"e/kernel:0": drawn(4, 2), "e/bias:0": drawn(2)},
    }  # fmt: skip
    path = write_h5(tmp_path / "between.h5", network(*layers), held, version="2.9.0")
    given = drawn(3, 4, seed=2)
    hidden = np.maximum(given @ drawn(4, 4) + drawn(4) + given, 0)
    expected = hidden @ drawn(4, 2) + drawn(2)
    np.testing.assert_allclose(answers(path, given), expected, rtol=1e-4, atol=1e-5)
    archive = {
        "layers/dense/vars": [drawn(4, 4), drawn(4)],
        "layers/dense_1/vars": [drawn(4, 2), drawn(2)],
    }
    path = write_keras(tmp_path / "between.keras", network(*layers), archive, version="2.14.0")
    np.testing.assert_allclose(answers(path, given), expected, rtol=1e-4, atol=1e-5)


def test_a_constant_in_front_stays_in_front(tmp_path):
    layers = [entry(3), call("math.subtract", ["_CONSTANT_VALUE", -1, 1.0], y=X)]
    given = drawn(2, 3)
    np.testing.assert_allclose(answer_of(tmp_path, layers, given), 1 - given, rtol=1e-6)


def test_several_tensors_are_joined_in_their_order(tmp_path):
    layers = [
        entry(3), entry(2, name="y"),
        call("concat", [["y", 0, 0], ["_CONSTANT_VALUE", -1, [[5.0]]], ["x", 0, 0]], axis=-1),
    ]  # fmt: skip
    a, b = drawn(1, 3), drawn(1, 2, seed=1)
    found = answer_of(tmp_path, layers, [a, b], inputs=("x", "y"))
    np.testing.assert_allclose(found, np.concatenate([b, [[5.0]], a], axis=-1), rtol=1e-6)


def test_parts_are_told_apart(tmp_path):
    layers = [
        entry(6),
        call("split", name="parts", num_or_size_splits=[1, 2, 3], axis=-1),
        call("math.reduce_sum", ["parts", 0, 2], name="last", axis=-1, keepdims=True),
        call("math.multiply", ["parts", 0, 1], name="both", y=["last", 0, 0]),
    ]
    given = drawn(2, 6)
    expected = given[:, 1:3] * given[:, 3:].sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(answer_of(tmp_path, layers, given), expected, rtol=1e-5)


def test_products_of_turned_matrices(tmp_path):
    layers = [
        entry(3, 4), entry(5, 4, name="y"),
        call("linalg.matmul", name="scores", b=["y", 0, 0], transpose_b=True),
        call("nn.softmax", ["scores", 0, 0], name="soft", axis=-1),
        call("linalg.matmul", ["soft", 0, 0], name="told", b=["y", 0, 0]),
    ]  # fmt: skip
    a, b = drawn(2, 3, 4), drawn(2, 5, 4, seed=1)
    scores = np.exp(np.einsum("nij,nkj->nik", a, b))
    expected = np.einsum("nik,nkj->nij", scores / scores.sum(-1, keepdims=True), b)
    found = answer_of(tmp_path, layers, [a, b], inputs=("x", "y"))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_normalising_bounds_the_sum_of_squares(tmp_path):
    layers = [entry(3), call("math.l2_normalize", axis=-1, epsilon=0.25)]
    given = np.array([[3.0, 0, 4], [0.1, 0.2, 0.2], [0, 0, 0]], np.float32)
    sums = np.maximum((given**2).sum(-1, keepdims=True), 0.25)
    np.testing.assert_allclose(answer_of(tmp_path, layers, given), given / np.sqrt(sums), rtol=1e-5)


def test_a_function_inside_a_nested_network_that_is_called_twice(tmp_path):
    inner = graph(
        [entry(3, name="i"), call("math.square", ["i", 0, 0], name="squared")],
        ["i"],
        ["squared"],
        "Functional",
    )
    inner["config"]["name"] = "inner"
    inner |= {"name": "inner", "inbound_nodes": [[["x", 0, 0, {}]], [["y", 0, 0, {}]]]}
    layers = [
        entry(3), entry(3, name="y"), inner,
        call("math.subtract", ["inner", 1, 0], name="apart", y=["inner", 2, 0]),
    ]  # fmt: skip
    a, b = drawn(2, 3), drawn(2, 3, seed=1)
    found = answer_of(tmp_path, layers, [a, b], inputs=("x", "y"))
    np.testing.assert_allclose(found, a**2 - b**2, rtol=1e-5, atol=1e-6)


# -- none is trusted -----------------------------------------------------------------------------------


def test_a_file_that_names_another_function_runs_nothing_and_is_shown(tmp_path):
    mark = tmp_path / "written"
    stored = call(
        "io.write_file",
        ["_CONSTANT_VALUE", -1, str(mark)],
        name="tf.io.write_file",
        contents="gotcha",
    )
    path = write_h5(tmp_path / "bad.h5", network(entry(3), stored), {}, version="2.9.0")
    with pytest.raises(
        NotBuiltError, match=r"'tf\.io\.write_file' calls tf\.io\.write_file.*keras\.ops"
    ):
        load_model(path)
    with pytest.raises(NotBuiltError, match="no counterpart"):
        load_model(path, allow_code=True)
    shown = StoredNetwork(path, read_stored(path), "refused").facts
    assert [one.class_name for one in shown.layers] == ["InputLayer", "TFOpLambda"]
    assert not mark.exists()


def test_an_operation_that_makes_more_than_any_memory_holds_is_refused(tmp_path):
    stored = call("tile", multiples=[1, 10**9, 10**9])
    path = write_h5(tmp_path / "large.h5", network(entry(3, 3), stored), {}, version="2.9.0")
    with pytest.raises(ModelError, match="more than the limit"):
        load_model(path)


def test_names_of_other_things_lead_nowhere(tmp_path):
    """The class and the module of an operation come from the table, whatever else a file says."""
    stored = call("math.abs") | {"module": "os", "registered_name": "os>system"}
    stored["config"]["registered_name"] = "os>system"
    made = as_operation(stored)
    assert (made["module"], made["class_name"]) == ("keras.src.ops.numpy", "Absolute")
    assert "os" not in json.dumps(made)
