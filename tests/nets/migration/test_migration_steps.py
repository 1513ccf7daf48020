"""Each step turns one old form into the one of Keras 3, and leaves all others alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from old_files import drawn, graph, layer, node, sequential

from reportgen.nets.migration import graph as joints
from reportgen.nets.migration import keras1, layers, objects
from reportgen.nets.migration.arrays import converted
from reportgen.nets.migration.configuration import LAYER_STEPS, migrate
from reportgen.nets.migration.errors import MigrationError
from reportgen.nets.migration.versions import is_old, names_hard_sigmoid


def config_after(step, stored):
    before = copy.deepcopy(stored)
    made = step(stored)
    assert stored == before, "a step must not change what it is given"
    return made["config"]


STEPS = [
    (
        keras1.renamed_arguments,
        layer("Conv2D", "c", nb_filter=4, nb_row=3, nb_col=5, subsample=[1, 2], border_mode="same",
              dim_ordering="tf", bias=True, init="glorot_uniform"),
        {"filters": 4, "kernel_size": [3, 5], "strides": [1, 2], "padding": "same",
         "data_format": "channels_last", "use_bias": True, "kernel_initializer": "glorot_uniform"},
    ),
    (
        keras1.renamed_arguments,
        layer("LSTM", "l", output_dim=3, inner_init="orthogonal", inner_activation="hard_sigmoid",
              dropout_W=0.1),
        {"units": 3, "recurrent_initializer": "orthogonal", "recurrent_activation": "hard_sigmoid",
         "dropout": 0.1},
    ),
    (
        keras1.renamed_arguments,
        layer("Embedding", "e", output_dim=3, input_dim=9, init="uniform"),
        {"output_dim": 3, "input_dim": 9, "embeddings_initializer": "uniform"},
    ),
    (keras1.merged, layer("Merge", "m", mode="concat", concat_axis=1), {"axis": 1}),
    (keras1.merged, layer("Merge", "m", mode="cos", dot_axes=[[1], [1]]), {"axes": [1, 1], "normalize": True}),
    (
        keras1.penalties_and_constraints,
        layer("Dense", "d", kernel_regularizer={"name": "WeightRegularizer", "l1": 0.0, "l2": 0.1},
              kernel_constraint={"name": "MaxNorm", "m": 2, "axis": 0}),
        {"kernel_regularizer": {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.1}},
         "kernel_constraint": {"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}}},
    ),
    (
        keras1.named_initializers,
        layer("Dense", "d", kernel_initializer="normal"),
        {"kernel_initializer": "random_normal"},
    ),
    (keras1.without_old_arguments, layer("Dense", "d", input_dim=4, consume_less="cpu", units=1), {"units": 1}),
    (
        layers.input_layer,
        layer("InputLayer", "i", batch_input_shape=[None, 3], sparse=False, ragged=False, input_dtype="int32"),
        {"batch_shape": [None, 3], "dtype": "int32", "trainable": None},
    ),
    (
        layers.dtype_policy,
        layer("Dense", "d", dtype={"class_name": "Policy", "config": {"name": "mixed_float16"}}),
        {"dtype": "mixed_float16"},
    ),
    (layers.plain_numbers, layer("ELU", "e", alpha={"type": "ndarray", "value": 0.5}), {"alpha": 0.5}),
    (layers.leaky_slope, layer("LeakyReLU", "a", alpha=0.1), {"negative_slope": 0.1}),
    (layers.leaky_slope, layer("LeakyReLU", "a"), {"negative_slope": 0.3}),
    (layers.thresholded_relu, layer("ThresholdedReLU", "a", theta=0.5), {"threshold": 0.5}),
    (layers.one_axis, layer("BatchNormalization", "b", axis=[3]), {"axis": 3}),
    (layers.gru_reset, layer("GRU", "g", units=3), {"units": 3, "reset_after": False}),
    (layers.left_out, layer("LSTM", "l", units=3, time_major=False, implementation=2), {"units": 3}),
    (layers.left_out, layer("DepthwiseConv2D", "d", groups=1, kernel_initializer="zeros"), {}),
    (layers.left_out, layer("Conv2D", "d", groups=2), {"groups": 2}),
    (
        layers.left_out,
        layer("SpatialDropout2D", "d", rate=0.2, noise_shape=None),
        {"rate": 0.2, "trainable": None},
    ),
    (
        objects.objects_of_arguments,
        layer("Dense", "d", kernel_initializer={"class_name": "Zeros", "config": {"dtype": "float32"}}),
        {"kernel_initializer": {"module": "keras.initializers", "class_name": "Zeros", "config": {},
                                "registered_name": None}},
    ),
    (objects.old_activations, layer("Dense", "d", activation="softmax_v2"), {"activation": "softmax"}),
    (
        objects.old_activations,
        layer("LSTM", "l", recurrent_activation="hard_sigmoid"),
        {"recurrent_activation": {
            "module": "builtins", "class_name": "function", "config": "keras_2_hard_sigmoid",
            "registered_name": "keras_2_hard_sigmoid",
        }},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("step", "stored", "expected"), STEPS)
def test_a_step_writes_the_newer_form(step, stored, expected):
    made = config_after(step, stored)
    kept = {"name": stored["config"]["name"], "trainable": True, **expected}
    assert made == {key: value for key, value in kept.items() if value is not None}


@pytest.mark.parametrize("step", LAYER_STEPS)
def test_a_layer_of_keras_3_is_left_as_it_is(step):
    """As Keras 3 writes it; the module of an object is the only thing that a step may add."""
    config = {
        "units": 3, "activation": "relu", "use_bias": True, "dtype": "float32",
        "kernel_initializer": {"module": "keras.initializers", "class_name": "GlorotUniform",
                               "config": {"seed": None}, "registered_name": None},
    }  # fmt: skip
    stored = layer("Dense", "d", **config)
    assert config_after(step, stored) == stored["config"]


@pytest.mark.parametrize(
    ("step", "stored", "phrase"),
    [
        (layers.left_out, layer("LSTM", "deep", time_major=True), "'deep' has time_major=True"),
        (layers.left_out, layer("DepthwiseConv2D", "deep", groups=3), "'deep' has groups=3"),
        (layers.one_axis, layer("BatchNormalization", "deep", axis=[1, 2]), "'deep' .* several axes"),
        (layers.input_layer, layer("InputLayer", "deep", sparse=True), "'deep' is sparse"),
        (layers.embedding_of_no_rows, layer("Embedding", "deep", input_dim=0), "'deep' .*without rows"),
        (keras1.merged, layer("Merge", "deep", mode="concat", layers=[{}]), "'deep' merges in a way"),
        (keras1.without_old_arguments, layer("BatchNormalization", "deep", mode=1), "'deep' normalises"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_refused_by_name(step, stored, phrase):
    with pytest.raises(MigrationError, match=phrase):
        step(stored)


# -- joints ----------------------------------------------------------------------------------------


def test_a_list_of_layers_becomes_a_network():
    made = joints.sequential_as_mapping(
        {"class_name": "Sequential", "config": [layer("Dense", "d")]}
    )
    assert made["config"] == {"name": "sequential", "layers": [layer("Dense", "d")]}


@pytest.mark.parametrize(
    ("first", "shape", "dtype"),
    [
        (layer("Dense", "d", batch_input_shape=[None, 4]), [None, 4], "float32"),
        (layer("Embedding", "d", batch_input_shape=[None, 7], dtype="int32"), [None, 7], "int32"),
        (layer("Embedding", "d", input_length=7), [None, 7], "float32"),
        (
            sequential(layer("Dense", "in", batch_input_shape=[None, 5]), name="d"),
            [None, 5],
            "float32",
        ),
    ],
)
def test_a_sequential_gets_the_input_that_its_first_layer_asks_for(first, shape, dtype):
    made = joints.with_input_layer(sequential(first))["config"]["layers"]
    assert made[0]["class_name"] == "InputLayer"
    assert made[0]["config"] == {"name": "d_input", "batch_shape": shape, "dtype": dtype}
    assert made[1:] == [first]


def test_a_sequential_that_says_nothing_of_its_input_stays_so():
    stored = sequential(layer("Dense", "d"))
    assert joints.with_input_layer(stored) == stored


def inner(name, class_name):
    layers_ = [
        node(layer("InputLayer", "i", batch_input_shape=[None, 4])),
        node(layer("Dense", "d", units=4), "i"),
    ]
    if class_name == "Sequential":
        return {"class_name": "Sequential", "config": {"name": name, "layers": [
            layer("Dense", "d", units=4, batch_input_shape=[None, 4])]}}  # fmt: skip
    return {
        **graph(layers_, ["i"], ["d"]),
        "config": {**graph(layers_, ["i"], ["d"])["config"], "name": name},
    }


@pytest.mark.parametrize("class_name", ["Model", "Sequential"])
def test_a_call_of_a_network_is_counted_from_nought_inside_and_as_keras_3_counts_outside(
    class_name,
):
    entry = node(layer("InputLayer", "x", batch_input_shape=[None, 4]))
    twice = {**inner("net", class_name), "name": "net",
             "inbound_nodes": [[["x", 0, 0, {}]], [["net", 1, 0, {}]]]}  # fmt: skip
    last = {
        **layer("Dense", "last", units=1),
        "name": "last",
        "inbound_nodes": [[["net", 2, 0, {}]]],
    }
    stored = graph([entry, twice, last], ["x"], [])
    stored["config"]["output_layers"] = [["net", 2, 0], ["last", 0, 0]]
    made = migrate(stored)["config"]
    calls = {one["name"]: one["inbound_nodes"] for one in made["layers"]}
    histories = {
        name: [call["args"][0]["config"]["keras_history"] for call in nodes]
        for name, nodes in calls.items()
    }
    assert histories == {"x": [], "net": [["x", 0, 0], ["net", 0, 0]], "last": [["net", 1, 0]]}
    own = 2 if class_name == "Model" else 1
    assert made["output_layers"] == [["net", own, 0], ["last", 0, 0]]


def test_states_given_to_a_recurrent_layer_are_named():
    entry = node(layer("InputLayer", "x", batch_input_shape=[None, 4, 2]))
    first = node(layer("LSTM", "first", units=3, return_state=True), "x")
    second = node(layer("LSTM", "second", units=3), "x")
    second["inbound_nodes"] = [[["x", 0, 0, {}], ["first", 0, 1, {}], ["first", 0, 2, {}]]]
    made = migrate(graph([entry, first, second], ["x"], ["second"]))["config"]["layers"][2]
    (call,) = made["inbound_nodes"]
    assert [t["config"]["keras_history"] for t in call["args"]] == [["x", 0, 0]]
    states = call["kwargs"]["initial_state"]
    assert [t["config"]["keras_history"] for t in states] == [["first", 0, 1], ["first", 0, 2]]


def test_slashes_in_names_are_replaced_wherever_the_name_stands():
    entry = node(layer("InputLayer", "in/x", batch_input_shape=[None, 4]))
    dense = node(layer("Dense", "block/one", units=2), "in/x")
    made = migrate(graph([entry, dense], ["in/x"], ["block/one"]))["config"]
    assert "/" not in str([made["layers"][1]["name"], made["input_layers"], made["output_layers"]])
    assert made["layers"][1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] == "in_x"


@pytest.mark.parametrize(
    "stored",
    [
        None, [], 7, "text", {}, {"class_name": "Model"}, {"class_name": "Dense", "config": {}},
        {"class_name": "Model", "config": {"layers": {}}},
        {"class_name": "Sequential", "config": {"layers": [3]}},
        graph([node(layer("Dense", "d"), "nobody")], ["d"], ["d"]),
        graph([node(layer("Dense", "d"))], [["d"]], ["nobody"]),
        sequential(layer("Dense", "d"), layer("Dense", "d")),
    ],
)  # fmt: skip
def test_other_forms_are_refused(stored):
    with pytest.raises(MigrationError):
        migrate(stored)


def test_networks_nested_without_end_are_refused():
    stored = layer("Dense", "d", units=1)
    for number in range(200):
        stored = sequential(stored, name=f"n{number}")
    with pytest.raises(MigrationError, match="nested"):
        migrate(stored)
    wrapped = layer("Dense", "d", units=1)
    for number in range(200):
        wrapped = layer("TimeDistributed", f"t{number}", layer=wrapped)
    with pytest.raises(MigrationError, match="nested"):
        migrate(sequential(wrapped))


# -- weights ---------------------------------------------------------------------------------------


def test_gates_of_keras_1_are_joined_in_the_order_of_keras_3():
    """Keras 1 stored input, cell, forget and output gate apart; Keras 3 holds input, forget, cell, output."""
    gates = [(drawn(3, 2, seed=n), drawn(2, 2, seed=n), drawn(2, seed=n)) for n in range(4)]
    i, c, f, o = gates
    made = converted("LSTM", {}, [array for gate in gates for array in gate], "1.2.2")
    for kind, array in enumerate(made):
        np.testing.assert_array_equal(
            array, np.concatenate([i[kind], f[kind], c[kind], o[kind]], -1)
        )


def test_kernels_of_keras_1_are_turned():
    kernel = drawn(5, 1, 3, 4)
    (made,) = converted("Conv1D", {}, [kernel], "1.2.2")
    np.testing.assert_array_equal(made, kernel[:, 0])
    (made,) = converted("Conv2D", {"data_format": "channels_first"}, [drawn(4, 3, 5, 6)], "1.0.0")
    assert made.shape == (5, 6, 3, 4)
    (made,) = converted("Conv2D", {"data_format": "channels_last"}, [drawn(5, 6, 3, 4)], "1.0.0")
    np.testing.assert_array_equal(made, drawn(5, 6, 3, 4))
    (made,) = converted("Conv2DTranspose", {}, [drawn(5, 6, 3, 4)], "1.0.0")
    assert made.shape == (5, 6, 4, 3)


def test_the_layout_of_cudnn_is_turned():
    """Its kernels are stored by columns and its two biases in a row, of which an LSTM adds the two."""
    kernel, recurrent, bias = drawn(3, 8), drawn(2, 8), drawn(16)
    made = converted("LSTM", {}, [kernel, recurrent, bias], "2.1.0")
    np.testing.assert_array_equal(made[0][:, :2].ravel(order="F"), kernel[:, :2].T.ravel(order="F"))
    np.testing.assert_array_equal(made[1][:, 2:4], recurrent[:, 2:4].T)
    np.testing.assert_array_equal(made[2], bias[:8] + bias[8:])
    _, _, both = converted("GRU", {}, [drawn(3, 6), drawn(2, 6), drawn(12)], "2.1.0")
    np.testing.assert_array_equal(both, drawn(12).reshape(2, 6))


# -- versions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "version", "old"),
    [
        ({"class_name": "Functional"}, "3.0.0", False),
        ({"class_name": "Functional"}, "2.15.0", True),
        ({"class_name": "Functional"}, "2.2.4-tf", True),
        ({"class_name": "Sequential", "config": []}, "", True),
        (sequential(layer("Dense", "d")), "", False),
        (sequential(layer("Dense", "d", activation="hard_sigmoid")), "", True),
        (sequential(layer("Dense", "d", activation="hard_sigmoid")), "3.1.0", False),
        (sequential(layer("Convolution2D", "d")), "", True),
        (sequential(layer("Dense", "d", batch_input_shape=[None, 3])), "", True),
        (None, "", False),
    ],
)
def test_what_was_written_before_keras_3_is_known(config, version, old):
    assert is_old(config, version) is old


def test_the_function_that_changed_is_found_at_any_depth():
    inside = layer(
        "Bidirectional", "b", layer=layer("LSTM", "l", recurrent_activation="hard_sigmoid")
    )
    assert names_hard_sigmoid(sequential(inside))
    assert not names_hard_sigmoid(sequential(layer("LSTM", "l", recurrent_activation="sigmoid")))
