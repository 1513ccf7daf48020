"""Files of Keras 1 and 2 answer as they did: each cause once, against NumPy."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from old_files import drawn, graph, layer, node, sequential, write_h5, write_keras

from reportgen.errors import ModelError, NotBuiltError
from reportgen.nets.keras_network import KerasNetwork
from reportgen.nets.loading import load_model

DENSE = {"d/kernel:0": drawn(4, 3), "d/bias:0": drawn(3)}


def hard_sigmoid(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def answers(path, given, **options):
    loaded = load_model(path, **options)
    assert loaded.origin.way == "migrated"
    return np.asarray(loaded.model(given, training=False))


def test_hard_sigmoid_is_the_function_of_keras_2(tmp_path):
    config = sequential(
        layer("Dense", "d", units=3, activation="hard_sigmoid", batch_input_shape=[None, 4])
    )
    path = write_h5(tmp_path / "old.h5", config, {"d": DENSE})
    given = 3 * drawn(5, 4, seed=1)
    expected = hard_sigmoid(given @ DENSE["d/kernel:0"] + DENSE["d/bias:0"])
    np.testing.assert_allclose(answers(path, given), expected, atol=1e-6)
    newer = np.asarray(
        keras.activations.hard_sigmoid(given @ DENSE["d/kernel:0"] + DENSE["d/bias:0"])
    )
    assert np.abs(newer - expected).max() > 0.03


def test_hard_sigmoid_without_a_version_is_that_of_keras_2_too(tmp_path):
    config = sequential(
        layer("Dense", "d", units=3, activation="hard_sigmoid", batch_input_shape=[None, 4])
    )
    path = write_h5(tmp_path / "old.h5", config, {"d": DENSE}, version="")
    given = drawn(2, 4, seed=1)
    expected = hard_sigmoid(given @ DENSE["d/kernel:0"] + DENSE["d/bias:0"])
    np.testing.assert_allclose(answers(path, given), expected, atol=1e-6)
    network = KerasNetwork(load_model(path).model)
    assert "hard_sigmoid" in {layer.activation for layer in network.facts.layers}


def test_hard_sigmoid_that_cannot_be_migrated_is_never_answered_by_keras_3(tmp_path):
    config = sequential(
        layer("Dense", "d", units=3, activation="hard_sigmoid", batch_input_shape=[None, 4]),
        layer("GaussianNoise", "odd", stddev=0.1, time_major=True),
    )
    path = write_h5(tmp_path / "old.h5", config, {"d": DENSE})
    with pytest.raises(NotBuiltError, match=r"'odd' has time_major=True.*Keras 2\.2\.4 wrote it"):
        load_model(path)


def test_an_lstm_of_keras_1(tmp_path):
    """A list of layers, renamed arguments, a gate's arrays apart, the old hard sigmoid."""
    config = {"class_name": "Sequential", "config": [layer(
        "LSTM", "l", output_dim=2, inner_activation="hard_sigmoid", activation="tanh",
        batch_input_shape=[None, 3, 4], init="glorot_uniform", inner_init="orthogonal",
        forget_bias_init="one", consume_less="cpu", input_dim=4,
        return_sequences=False, W_regularizer=None, dropout_W=0.0, dropout_U=0.0, input_dtype="float32",
    )]}  # fmt: skip
    gates = {
        g: (drawn(4, 2, seed=n), drawn(2, 2, seed=n), drawn(2, seed=n))
        for n, g in enumerate("icfo")
    }
    weights = {f"l_{kind}_{g}": gates[g][k] for g in "icfo" for k, kind in enumerate("WUb")}
    path = write_h5(tmp_path / "old.h5", config, {"l": weights}, version="1.2.2")
    given = drawn(2, 3, 4, seed=9)
    hidden, cell = np.zeros((2, 2)), np.zeros((2, 2))
    for step in range(3):
        i, c, f, o = (
            given[:, step] @ gates[g][0] + hidden @ gates[g][1] + gates[g][2] for g in "icfo"
        )
        cell = hard_sigmoid(f) * cell + hard_sigmoid(i) * np.tanh(c)
        hidden = hard_sigmoid(o) * np.tanh(cell)
    np.testing.assert_allclose(answers(path, given), hidden, atol=1e-6)


def test_a_convolution_of_keras_1(tmp_path):
    config = sequential(layer(
        "Convolution2D", "c", nb_filter=2, nb_row=2, nb_col=2, border_mode="valid", subsample=[1, 1],
        dim_ordering="tf", activation="relu", bias=True, init="glorot_uniform",
        batch_input_shape=[None, 3, 3, 1],
        W_regularizer={"name": "WeightRegularizer", "l1": 0.0, "l2": 0.01}, input_dtype="float32",
    ))  # fmt: skip
    kernel, bias = drawn(2, 2, 1, 2), drawn(2)
    path = write_h5(
        tmp_path / "old.h5", config, {"c": {"c_W": kernel, "c_b": bias}}, version="1.1.0"
    )
    given = drawn(1, 3, 3, 1, seed=4)
    expected = np.zeros((1, 2, 2, 2))
    for y in range(2):
        for x in range(2):
            expected[0, y, x] = np.tensordot(given[0, y : y + 2, x : x + 2], kernel, 3) + bias
    np.testing.assert_allclose(answers(path, given), np.maximum(expected, 0), atol=1e-6)


def test_a_merge_of_keras_1(tmp_path):
    config = graph(
        [
            node(layer("InputLayer", "a", batch_input_shape=[None, 4], input_dtype="float32")),
            node(layer("InputLayer", "b", batch_input_shape=[None, 4], input_dtype="float32")),
            node(layer("Merge", "m", mode="mul", concat_axis=-1, dot_axes=-1), "a", "b"),
        ],
        ["a", "b"],
        ["m"],
    )
    path = write_h5(tmp_path / "old.h5", config, {}, version="1.2.0")
    a, b = drawn(2, 4), drawn(2, 4, seed=1)
    np.testing.assert_allclose(answers(path, [a, b]), a * b, atol=1e-6)


def test_a_gru_without_its_newer_argument_resets_before(tmp_path):
    config = sequential(layer(
        "GRU", "g", units=2, activation="tanh", recurrent_activation="sigmoid", use_bias=False,
        batch_input_shape=[None, 2, 3],
    ))  # fmt: skip
    kernel, recurrent = drawn(3, 6), drawn(2, 6)
    weights = {"g/kernel:0": kernel, "g/recurrent_kernel:0": recurrent}
    path = write_h5(tmp_path / "old.h5", config, {"g": weights}, version="2.1.6")
    given, hidden = drawn(1, 2, 3, seed=2), np.zeros((1, 2))
    for step in range(2):
        x = given[:, step] @ kernel
        z, r = (
            1 / (1 + np.exp(-(x[:, s] + hidden @ recurrent[:, s]))) for s in (slice(2), slice(2, 4))
        )
        candidate = np.tanh(x[:, 4:] + (r * hidden) @ recurrent[:, 4:])
        hidden = z * hidden + (1 - z) * candidate
    np.testing.assert_allclose(answers(path, given), hidden, atol=1e-6)


def test_weights_go_by_the_names_of_a_nested_network_and_not_by_their_order(tmp_path):
    """Both layers have one shape: by order they would change places without a word."""
    first, second = drawn(3, 3), drawn(3, 3, seed=1)
    nested = sequential(
        layer("Dense", "one", units=3, use_bias=False, batch_input_shape=[None, 3]),
        layer("Dense", "two", units=3, use_bias=False),
        name="inner",
    )
    weights = {"inner": {"two/kernel:0": second, "one/kernel:0": first}}
    path = write_h5(tmp_path / "old.h5", sequential(nested), weights, version="2.4.0")
    given = drawn(2, 3, seed=5)
    np.testing.assert_allclose(answers(path, given), given @ first @ second, rtol=1e-5)


def test_groups_of_layers_go_by_name(tmp_path):
    first, second = drawn(3, 3), drawn(3, 3, seed=1)
    config = sequential(
        layer("Dense", "one", units=3, use_bias=False, batch_input_shape=[None, 3]),
        layer("Dense", "two", units=3, use_bias=False),
    )
    weights = {"two": {"two/kernel:0": second}, "one": {"one/kernel:0": first}}
    path = write_h5(tmp_path / "old.h5", config, weights)
    given = drawn(2, 3, seed=5)
    np.testing.assert_allclose(answers(path, given), given @ first @ second, rtol=1e-5)


@pytest.mark.parametrize(
    ("weights", "phrase"),
    [
        (
            {"d": {"d/kernel:0": drawn(4, 2), "d/bias:0": drawn(3)}},
            r"'kernel' of the layer 'd' has the shape \(4, 3\)",
        ),
        ({"d": {"d/kernel:0": drawn(4, 3)}}, "'d' holds 2 weights, the file 1"),
        ({}, "weights of 0 layers, its network 1"),
        ({"d": {"d/bias:0": drawn(3), "d/kernel:0": drawn(4, 3), "d/more:0": drawn(1)}}, "'d' holds 2 weights"),
        ({"d": {"x/beta:0": drawn(4, 3), "d/bias:0": drawn(3)}}, "'x/beta:0' of the layer 'd' stands where"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, weights, phrase):
    config = sequential(
        layer("Dense", "d", units=3, activation="hard_sigmoid", batch_input_shape=[None, 4])
    )
    path = write_h5(tmp_path / "old.h5", config, weights)
    with pytest.raises(NotBuiltError, match=phrase):
        load_model(path)


BACK = "_layer_checkpoint_dependencies\\"
DICTS = {
    "2.13 on Windows": {f"{BACK}dense/vars": [drawn(4, 3), drawn(3)],
                        f"{BACK}dense_2/vars": [drawn(3, 3), drawn(3)]},
    "2.13": {"_layer_checkpoint_dependencies/dense/vars": [drawn(4, 3), drawn(3)],
             "_layer_checkpoint_dependencies/dense_2/vars": [drawn(3, 3), drawn(3)]},
    "2.15 on Windows": {"layers\\dense/vars": [drawn(4, 3), drawn(3)],
                        "layers\\dense_1/vars": [drawn(3, 3), drawn(3)],
                        "optimizer/vars": [drawn(9)], "metrics\\mean/vars": [drawn(1)]},
    "2.15": {"layers/dense/vars": [drawn(4, 3), drawn(3)], "layers/dense_1/vars": [drawn(3, 3), drawn(3)]},
}  # fmt: skip


def two_layers():
    first = layer(
        "InputLayer", "x", batch_input_shape=[None, 4], dtype="float32", sparse=False, ragged=False
    )
    stored = [
        first,
        layer("Dense", "a", units=3, activation="linear"),
        layer("Dense", "b", units=3),
    ]
    for one in stored:
        one |= {"module": "keras.layers", "registered_name": None}
    return {"module": "keras", **sequential(*stored), "registered_name": None}


@pytest.mark.parametrize("name", DICTS)
def test_archives_of_keras_2(tmp_path, name):
    path = write_keras(tmp_path / "old.keras", two_layers(), DICTS[name], version="2.13.1")
    given = drawn(2, 4, seed=3)
    expected = (given @ drawn(4, 3) + drawn(3)) @ drawn(3, 3) + drawn(3)
    np.testing.assert_allclose(answers(path, given), expected, rtol=1e-5)


def test_an_archive_with_weights_of_a_layer_that_it_does_not_have_is_refused(tmp_path):
    held = {**DICTS["2.15"], "layers/conv2d/vars": [drawn(2, 2, 1, 1)]}
    path = write_keras(tmp_path / "old.keras", two_layers(), held)
    with pytest.raises(NotBuiltError, match="layers/conv2d"):
        load_model(path)


def test_a_convolution_that_theano_ran_is_not_answered(tmp_path):
    config = sequential(
        layer("Conv2D", "c", filters=1, kernel_size=[2, 2], batch_input_shape=[None, 3, 3, 1])
    )
    weights = {"c": {"c/kernel:0": drawn(2, 2, 1, 1), "c/bias:0": drawn(1)}}
    path = write_h5(tmp_path / "old.h5", config, weights, backend="theano")
    with pytest.raises(NotBuiltError, match="Theano"):
        load_model(path)


def test_a_body_for_weights_alone(tmp_path):
    config = sequential(layer("Dense", "d", units=3, batch_input_shape=[None, 4]))
    path = write_h5(tmp_path / "weights.h5", None, {"d": DENSE}, version="2.4.0")
    with pytest.raises(NotBuiltError, match=r"weights only.*--architecture FILE\.json"):
        load_model(path)
    body = tmp_path / "body.json"
    body.write_text(json.dumps({**config, "keras_version": "2.4.0", "backend": "tensorflow"}))
    given = drawn(2, 4, seed=3)
    expected = given @ DENSE["d/kernel:0"] + DENSE["d/bias:0"]
    np.testing.assert_allclose(answers(path, given, architecture=str(body)), expected, rtol=1e-5)
    harmful = json.loads(body.read_text())
    harmful["config"]["layers"].append(
        layer("Lambda", "act", function=["aaaa", None, None], function_type="lambda")
    )
    body.write_text(json.dumps(harmful))
    with pytest.raises(ModelError, match=r"carries Python code.*--allow-code"):
        load_model(path, architecture=str(body))


@pytest.mark.parametrize("ending", ["weights.h5", "h5"])
def test_a_body_for_weights_of_keras_3(tmp_path, ending):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")])
    path = tmp_path / f"only.{ending}"
    model.save_weights(tmp_path / "only.weights.h5")
    if ending == "h5":
        (tmp_path / "only.weights.h5").rename(path)
    (tmp_path / "body.json").write_text(model.to_json())
    loaded = load_model(path, architecture=str(tmp_path / "body.json"))
    given = drawn(2, 4)
    np.testing.assert_allclose(loaded.model(given), model(given), rtol=1e-6)
    assert loaded.origin.notes == ("Its architecture is that of body.json",)
