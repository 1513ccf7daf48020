"""Names of Keras and TensorFlow that are not documented: all are there, and what stands in says the same."""

from __future__ import annotations

import contextlib
import sys
import threading
import tomllib
from pathlib import Path

import keras
import models
import numpy as np
import pytest
import tensorflow as tf
import zoo
from keras import layers, ops

from reportgen.errors import ModelError
from reportgen.nets import keras_internals, structure, tensorflow_internals
from reportgen.nets.axes import channels_first_inputs
from reportgen.nets.keras_network import KerasNetwork
from reportgen.nets.subgraph import cut_out

ROOT = Path(__file__).parents[2]
STAND_INS = (
    "_layers_by_attributes",
    "_weights_without_inner",
    "_public_value",
    "_shapes_of_build_config",
    "_producer_by_outputs",
    "_first_call",
    "_calls_by_inputs",
    "_scheduled_by_config",
    "symbol_in_module",
    "_public_layer_modules",
)


class StoodInError(Exception):
    """What stands in was asked."""


@pytest.fixture
def nothing_stands_in(monkeypatch):
    """Let everything that stands in fail."""

    def fail(*_):
        raise StoodInError

    for name in STAND_INS:
        monkeypatch.setattr(keras_internals, name, fail)
    for name in ("_call_publicly", "_captured_by_identity"):
        monkeypatch.setattr(tensorflow_internals, name, fail)


def operations(model):
    return [model, *(node.operation for node in structure.walk(model))]


def same(found, expected):
    assert [id(x) for x in found] == [id(x) for x in expected]


@keras.saving.register_keras_serializable("walls")
class Drawers(keras.Model):
    """Keeps layers in a list, in a mapping and in a mapping of lists, and a weight of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stack = [layers.Dense(4, name="first"), layers.Dropout(0.5, name="drop")]
        self.heads = {"one": layers.Dense(2, name="one"), "more": [layers.Dense(3, name="two")]}
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, inputs):
        x = inputs * self.scale
        for layer in self.stack:
            x = layer(x)
        return ops.concatenate([self.heads["one"](x), self.heads["more"][0](x)], axis=-1)


def drawers():
    model = Drawers(name="drawers")
    model(np.zeros((1, 4), np.float32))
    return model


# -- the names are there ---------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_stands_in")
@pytest.mark.parametrize("name", zoo.NAMES)
def test_no_model_of_the_zoo_needs_what_stands_in(name):
    model = zoo.make(name)
    network = KerasNetwork(model, **zoo.ZOO[name].options)
    assert len(list(network.forward(zoo.inputs(name, 2)))) > 0
    for operation in operations(model):
        keras_internals.graph_calls(operation)
    for variable in model.variables:
        assert isinstance(keras_internals.raw_variable(variable), tf.Variable)


@pytest.mark.usefixtures("nothing_stands_in")
def test_no_optimizer_or_registry_needs_what_stands_in():
    assert not keras_internals.is_scheduled(keras.optimizers.Adam(0.5))
    assert keras_internals.registered_symbol("keras.layers", "Dense") is layers.Dense
    assert all(vars(m)["Dense"] for m in keras_internals.modules_of_layers()[:1])


def test_the_versions_told_are_those_declared_and_tested():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    oldest, newest = keras_internals.SEEN
    assert any(text.startswith(f"keras>={oldest};") for text in declared)
    for file, version in (("oldest", oldest), ("test", newest)):
        pins = (ROOT / "requirements" / f"{file}.txt").read_text().splitlines()
        assert f"keras=={version}" in pins


# -- what stands in says the same ------------------------------------------------------------------


@pytest.mark.parametrize("name", [*zoo.NAMES, "drawers"])
def test_layers_are_found_by_attributes_too(name, monkeypatch):
    model = drawers() if name == "drawers" else zoo.make(name)
    expected = structure.walk(model)

    def by_attributes(operation):
        layer = isinstance(operation, keras.Layer)
        return keras_internals._layers_by_attributes(operation) if layer else []

    monkeypatch.setattr(structure, "inner_layers", by_attributes)
    found = structure.walk(model)
    inputs = {n.path for n in expected if isinstance(n.operation, layers.InputLayer)}
    assert {n.path for n in found} | inputs == {n.path for n in expected}
    structure.check_nothing_is_hidden(model, found)


@pytest.mark.parametrize("name", [n for n in zoo.NAMES if n != "sequential_unbuilt"])
def test_a_layer_s_own_variables_are_its_weights_without_those_inside(name):
    for layer in operations(zoo.make(name)):
        if isinstance(layer, keras.Layer):
            own = keras_internals.layer_variables(layer)
            same(keras_internals._weights_without_inner(layer), own)


@pytest.mark.parametrize("name", ["functional", "mixed_float16", "bfloat16", "int8"])
def test_outside_of_calls_a_variable_s_value_is_the_variable(name):
    variables = zoo.make(name).variables
    raw = [keras_internals.raw_variable(v) for v in variables]
    same([keras_internals._public_value(v) for v in variables], raw)
    assert all(isinstance(v, tf.Variable) for v in raw)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("subclassed", (1, 8, 8, 3)),
        ("subclassed_pair", ((1, 4), (1, 5))),
        ("subclassed_dict", {"zebra": (1, 4), "apple": (1, 4)}),
        ("sequential_unbuilt", None),
    ],
)
def test_the_build_configuration_says_what_a_model_was_called_on(name, expected):
    model = zoo.make(name)
    assert keras_internals.built_shapes(model) == expected
    assert keras_internals._shapes_of_build_config(model) == expected


def test_a_class_that_gives_its_build_configuration_another_meaning_is_understood():
    class Private(zoo.Twist):
        def get_build_config(self):
            return {"input_shape": "mine"}

    model = Private()
    model(np.zeros((1, 8, 8, 3), np.float32))
    assert KerasNetwork(model).facts.inputs[0].shape == (None, 8, 8, 3)


@pytest.mark.parametrize("name", ["functional", "multi_output", "dict_inputs", "operations", "vit"])
def test_first_calls_are_those_of_the_graph(name):
    model = zoo.make(name)
    known = operations(model)[1:]
    for tensor in model.inputs:
        maker = keras_internals.producer(tensor, known)
        assert keras_internals._producer_by_outputs(tensor, known) is maker
        behind = keras_internals.calls_behind(maker, known)[:1]
        same([c.operation for c in keras_internals._calls_by_inputs(maker, known)][:1],
             [c.operation for c in behind])  # fmt: skip
    for operation in known:
        calls = keras_internals.graph_calls(operation)
        for one, other in zip(keras_internals._first_call(operation), calls, strict=True):
            same(one.inputs, other.inputs)
            same(one.outputs, other.outputs)


def test_inputs_and_axes_of_a_loaded_model_are_found_by_first_calls(monkeypatch, tmp_path):
    entry = keras.Input((3, 8, 8), name="first")
    x = layers.Activation("relu", name="fire")(entry)
    x = layers.Conv2D(2, 3, data_format="channels_first", name="see")(x)
    keras.Model(entry, layers.Flatten(name="flat")(x)).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    nodes = structure.walk(model)
    monkeypatch.setattr("reportgen.nets.axes.producer", keras_internals._producer_by_outputs)
    monkeypatch.setattr("reportgen.nets.axes.calls_behind", keras_internals._calls_by_inputs)
    monkeypatch.setattr("reportgen.nets.signature.producer", keras_internals._producer_by_outputs)
    assert channels_first_inputs(model, ["first"], nodes) == {"first"}
    assert [t.name for t in KerasNetwork(model).facts.inputs] == ["first"]


@pytest.mark.parametrize(
    ("rate", "scheduled"),
    [
        (0.5, False),
        (keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9), True),
        (keras.optimizers.schedules.CosineDecay(0.5, 10), True),
    ],
)
def test_the_configuration_of_an_optimizer_says_whether_its_rate_is_scheduled(rate, scheduled):
    optimizer = keras.optimizers.SGD(rate)
    assert keras_internals.is_scheduled(optimizer) is scheduled
    assert keras_internals._scheduled_by_config(optimizer) is scheduled


def test_layers_losses_and_activations_are_found_in_the_modules_too(monkeypatch):
    names = [
        ("keras.layers", "Dense"),
        ("keras.losses", "MeanSquaredError"),
        ("keras.activations", "relu"),
        ("keras.ops", "matmul"),
        ("keras.utils", "get_file"),
        ("keras.layers", "Nothing"),
        ("nowhere", "Dense"),
    ]
    expected = [keras_internals.registered_symbol(*name) for name in names]
    assert [x is None for x in expected] == [False] * 5 + [True] * 2
    monkeypatch.setitem(sys.modules, "keras.src.api_export", None)
    same([keras_internals.registered_symbol(*name) for name in names], expected)


def test_layers_of_old_files_are_found_in_the_documented_modules_too():
    private, public = keras_internals.modules_of_layers(), keras_internals._public_layer_modules()
    for module, other in zip(private, public, strict=True):
        shown = {k: v for k, v in vars(other).items() if isinstance(v, type)}
        assert shown
        assert {k for k in shown if vars(module).get(k) is shown[k]} >= set(shown) & set(
            vars(module)
        )
    assert vars(private[0])["Dense"] is vars(public[0])["Dense"]


# -- names that are counted ------------------------------------------------------------------------


def test_a_graph_of_layers_is_stored_with_the_module_that_migrated_files_name():
    stored = keras.saving.serialize_keras_object(zoo.make("functional"))
    assert stored["module"] == keras_internals.place_of_graphs()


def test_names_begin_anew_and_go_on_where_they_were():
    keras.backend.clear_session(free_memory=False)
    assert [layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]
    with keras_internals.names_numbered_from_one():
        assert layers.Dense(1).name == "dense"
    assert layers.Dense(1).name == "dense_2"


def test_without_the_count_names_go_on_and_a_file_is_loaded_all_the_same(monkeypatch):
    from reportgen.nets.loading import load_model

    expected = [node.path for node in structure.walk(load_model(models.saved("deep")).model)]
    monkeypatch.setitem(sys.modules, "keras.src.backend.common", None)
    with keras_internals.names_numbered_from_one():
        first = layers.Dense(1).name
    assert layers.Dense(1).name != first
    found = [node.path for node in structure.walk(load_model(models.saved("deep")).model)]
    assert found == expected


# -- functions of TensorFlow -----------------------------------------------------------------------


def doubled(variable):
    return tf.compat.v1.wrap_function(
        lambda x: {"twice": x * variable, "sum": tf.reduce_sum(x)}, [tf.TensorSpec((2, 3))]
    )


def test_a_function_is_run_flat_and_by_its_call_with_the_same_answer(monkeypatch):
    function = doubled(tf.Variable(2.0))
    cut = cut_out(function, function.inputs[:1], [function.structured_outputs["twice"]])
    given = [tf.ones((2, 3))]
    flat = tensorflow_internals.run_flat(cut, given)[0].numpy()
    np.testing.assert_array_equal(flat, np.full((2, 3), 2.0))
    np.testing.assert_array_equal(tensorflow_internals._call_publicly(cut, given)[0].numpy(), flat)
    asked = []
    monkeypatch.setattr(tensorflow_internals, "_call_publicly", lambda *_: asked.append(1))
    tensorflow_internals.run_flat(cut, given)
    assert not asked


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([tf.ones((2, 4))], r"input of \(2, 3\), not \(2, 4\)"),
        ([tf.ones((6,))], r"input of \(2, 3\), not \(6,\)"),
        ([tf.ones((2, 3)), tf.ones(())], "takes 1 inputs, not 2"),
        ([], "takes 1 inputs, not 0"),
    ],
)
def test_tensors_of_another_shape_do_not_run(given, said):
    with pytest.raises(ValueError, match=said):
        tensorflow_internals.run_flat(doubled(tf.Variable(2.0)), given)


def test_small_pictures_do_not_run_through_a_pass_for_larger_ones():
    network = zoo.network("logits")
    with pytest.raises(
        ModelError, match=r"traced for an input of \(4, 8, 8, 3\), not \(4, 5, 5, 3\)"
    ):
        list(network.forward({"picture": np.zeros((2, 5, 5, 3), np.float32)}))


def test_captures_are_exchanged_for_others_and_back():
    variable, other = tf.Variable(2.0), tf.Variable(5.0)
    function = doubled(variable)
    before = list(function.captured_inputs)
    for captured, factor in (([other.handle], 5.0), (before, 2.0)):
        tensorflow_internals.exchange_captures(function, captured)
        found = tensorflow_internals.run_flat(function, [tf.ones((2, 3))])["twice"]
        np.testing.assert_array_equal(found.numpy(), np.full((2, 3), factor))


@pytest.mark.parametrize("way", ["captured_here", "_captured_by_identity"])
def test_a_tensor_from_outside_is_captured(way):
    outside = tf.constant([1.0, 2.0])

    @tf.function(autograph=False)
    def run():
        inside = getattr(tensorflow_internals, way)(outside)
        assert inside.graph is tf.compat.v1.get_default_graph()
        return inside * 3.0

    np.testing.assert_array_equal(run().numpy(), [3.0, 6.0])


def test_a_stored_gradient_is_taken_away_and_given():
    @tf.custom_gradient
    def odd(x):
        return tf.identity(x), lambda upstream: upstream * 7.0

    function = tf.function(odd).get_concrete_function(tf.TensorSpec((2,)))
    definition = function.graph.as_graph_def()
    marked = [n for n in definition.node if "_gradient_op_type" in n.attr]
    assert marked  # TensorFlow writes the attribute under this name
    for node in definition.node:
        tensorflow_internals.forget_gradient(node)
    assert not [n for n in definition.node if "_gradient_op_type" in n.attr]


# -- replaced for a while --------------------------------------------------------------------------


def quiet(original, operation, args, kwargs):
    return original(operation, *args, **kwargs)


def replaced():
    return keras.Layer.__call__, keras.Operation.__call__, tf.Graph.name_scope


def in_thread(work):
    """Run in another thread and return what it returned or raised."""
    found = []

    def run():
        try:
            found.append(work())
        except Exception as error:  # noqa: BLE001 - handed on
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    return found[0]


def test_two_threads_that_replace_at_once_leave_keras_as_it_was():
    before, inside = replaced(), threading.Barrier(2, timeout=60)

    def work():
        with contextlib.suppress(threading.BrokenBarrierError):
            inside.wait()
        for _ in range(50):
            with keras_internals.calls_handled(quiet, quiet, str):
                layers.Identity()(tf.ones(2))

    other = threading.Thread(target=work)
    other.start()
    work()
    other.join(60)
    assert replaced() == before


def test_variables_of_another_thread_are_not_announced():
    seen = []

    def announce(_initializer, shape, _dtype):
        seen.append(tuple(shape))

    def build(units):
        layer = layers.Dense(units)
        layer.build((None, 2))
        return layer.name

    original = keras.Variable.__init__
    with keras_internals.variables_announced(announce):
        in_thread(lambda: build(9))
        build(3)
    assert seen == [(2, 3), (3,)]
    assert keras.Variable.__init__ is original
