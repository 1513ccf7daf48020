"""Recorded calls: their order and connections, against what was built."""

from __future__ import annotations

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo
from keras import layers, ops

from reportgen.errors import ModelError
from reportgen.nets.keras_network import KerasNetwork
from reportgen.nets.recording import Recorder, recorded_by
from reportgen.network.calls import choose_features
from reportgen.network.facts import InputRef

PICTURE = InputRef("picture")


def connections(name_or_network):
    """Return which calls feed which, in the order of execution."""
    network = zoo.network(name_or_network) if isinstance(name_or_network, str) else name_or_network
    return [(call.id, set(call.inputs)) for call in network.facts.calls]


def calls(name):
    return {call.id: call for call in zoo.network(name).facts.calls}


KNOWN = {
    "sequential": [
        ("see", {PICTURE}),
        ("pool", {"see"}),
        ("flat", {"pool"}),
        ("which", {"flat"}),
    ],
    "functional": [
        ("see", {PICTURE}),
        ("norm", {"see"}),
        ("fire", {"norm"}),
        ("side", {"fire"}),
        ("join", {"fire", "side"}),
        ("pool", {"join"}),
        ("which", {"pool"}),
    ],
    "nested": [
        ("middle", {PICTURE}),
        ("middle/inner", {PICTURE}),
        ("middle/inner/see", {PICTURE}),
        ("middle/inner/norm", {"middle/inner/see"}),
        ("middle/inner/pool", {"middle/inner/norm"}),
        ("middle/narrow", {"middle/inner/pool"}),
        ("which", {"middle/narrow"}),
    ],
    "behind_rescaling": [
        ("scale", {PICTURE}),
        ("backbone", {"scale"}),
        ("backbone/see", {"scale"}),
        ("backbone/norm", {"backbone/see"}),
        ("backbone/pool", {"backbone/norm"}),
        ("is_it", {"backbone/pool"}),
    ],
    "siamese": [
        ("encoder", {InputRef("left")}),
        ("encoder/see", {InputRef("left")}),
        ("encoder/norm", {"encoder/see"}),
        ("encoder/pool", {"encoder/norm"}),
        ("encoder#2", {InputRef("right")}),
        ("encoder/see#2", {InputRef("right")}),
        ("encoder/norm#2", {"encoder/see#2"}),
        ("encoder/pool#2", {"encoder/norm#2"}),
        ("difference", {"encoder/pool", "encoder/pool#2"}),
        ("absolute", {"difference"}),
        ("same", {"absolute"}),
    ],
    "shared_layer": [
        ("again", {InputRef("features")}),
        ("again#2", {"again"}),
        ("again#3", {"again#2"}),
        ("which", {"again#3"}),
    ],
    "dropout": [
        ("wide", {InputRef("features")}),
        ("drop", {"wide"}),
        ("low", {"drop"}),
        ("join", {"wide", "low"}),
        ("which", {"join"}),
    ],
    # the relu and the sum between the layers belong to the model itself
    "subclassed": [
        ("left", {InputRef("input")}),
        ("right", {InputRef("input")}),
        ("head", {"left", "right"}),
    ],
    "subclassed_pair": [("left", {InputRef("input_0")}), ("right", {InputRef("input_1")})],
    "subclassed_dict": [("head", {InputRef("zebra"), InputRef("apple")})],
    "operations": [
        ("see", {PICTURE}),
        ("relu", {"see"}),
        ("mean", {"see"}),
        ("add", {"relu", "mean"}),
        ("reshape", {"add"}),
        ("scores", {"reshape"}),
        ("softmax", {"scores"}),
    ],
    "vit": [
        ("patches", {PICTURE}),
        ("tokens", {"patches"}),
        ("norm", {"tokens"}),
        ("attend", {"norm"}),
        ("attend/query", {"norm"}),
        ("attend/key", {"norm"}),
        ("attend/value", {"norm"}),
        ("attend/attention_output", {"attend/query", "attend/key", "attend/value"}),
        ("join", {"tokens", "attend/attention_output"}),
        ("pool", {"join"}),
        ("logits", {"pool"}),
    ],
    "tied": [("inward", {InputRef("features")}), ("outward", {"inward"})],
    "segmentation": [
        ("down", {PICTURE}),
        ("up", {"down"}),
        ("join", {PICTURE, "up"}),
        ("mask", {"join"}),
    ],
    "dict_inputs": [
        ("see", {InputRef("zebra")}),
        ("pool", {"see"}),
        ("read", {InputRef("apple")}),
        ("join", {"pool", "read"}),
        ("which", {"join"}),
    ],
    "hostile": [
        (zoo.HOSTILE, {InputRef(f"in {zoo.HOSTILE}")}),
        ("größe <b>", {zoo.HOSTILE}),
        (f"out {zoo.HOSTILE}", {"größe <b>"}),
    ],
}


@pytest.mark.parametrize("name", KNOWN)
def test_calls_and_connections_are_those_that_were_built(name):
    assert connections(name) == KNOWN[name]


@pytest.mark.parametrize("name", zoo.NAMES)
def test_every_model_is_traced_and_reads_only_what_stands_before(name):
    facts = zoo.network(name).facts
    assert facts.trace_problem is None
    assert facts.calls
    known = {InputRef(tensor.name) for tensor in facts.inputs}
    listed = {layer.path for layer in facts.layers}
    for call in facts.calls:
        assert call.layer in listed
        assert call.inputs
        assert set(call.inputs) <= known
        assert call.parent is None or call.parent in known
        known.add(call.id)


@pytest.mark.parametrize(
    "name", [n for n in zoo.NAMES if n != "recurrent" and "subclassed" not in n]
)
def test_shapes_and_bytes_are_those_that_keras_infers(name):
    model = zoo.network(name)._model
    width = {"mixed_float16": 2, "bfloat16": 2}.get(name, 4)
    known = calls(name)
    for layer in model.layers:
        if layer.name in known and not isinstance(layer.output, list | dict):
            shape = tuple(layer.output.shape[1:])
            call = known[layer.name]
            if name == "open_size":
                shape = {"see": (6, 6, 4)}.get(layer.name, shape)
            assert call.shapes == (shape,)
            assert call.bytes == np.prod(shape) * width


def test_inner_calls_name_the_call_that_they_happen_in():
    known = calls("siamese")
    assert known["encoder/see"].parent == "encoder"
    assert known["encoder/see#2"].parent == "encoder#2"
    assert known["encoder/see#2"].layer == "encoder/see"
    assert known["encoder"].parent is None
    assert (known["encoder"].leaf, known["encoder/see"].leaf) == (False, True)


def test_a_layer_that_adds_to_what_inner_layers_make_says_what_it_merges():
    known = calls("residual")
    assert set(known["block_1"].merges) == {"block_0", "block_1/inner"}
    assert known["block_1/inner"].inputs == ("block_0",)
    assert known["pool"].inputs == ("block_5",)


def test_recurrent_layers_are_connected_through_their_wrappers():
    known = calls("recurrent")
    assert known["every"].inputs == (InputRef("steps"),)
    assert known["both"].inputs == ("every",)
    assert known["both"].shapes == ((6, 6),)
    assert known["last"].inputs == ("both",)
    assert known["which"].inputs == ("last",)


def test_dropouts_in_a_row_stay_apart():
    entry = keras.Input((4,), name="features")
    x = layers.Dropout(0.5, name="first")(entry)
    y = layers.Dropout(0.5, name="second")(x)
    z = layers.Activation("linear", name="plain")(x)
    network = KerasNetwork(keras.Model(entry, layers.Add(name="join")([y, z])))
    assert connections(network) == [
        ("first", {InputRef("features")}),
        ("second", {"first"}),
        ("plain", {"first"}),
        ("join", {"second", "plain"}),
    ]


class Between(layers.Layer):
    """Drops out of what it made itself."""

    def __init__(self):
        super().__init__(name="between")
        self.drop = layers.Dropout(0.5, name="drop")

    def call(self, inputs):
        return self.drop(inputs + 1)


def test_a_layer_that_hands_on_what_was_made_between_layers_stays_connected():
    entry = keras.Input((4,), name="features")
    x = Between()(layers.Dense(3, name="first")(entry))
    calls = KerasNetwork(keras.Model(entry, layers.Dense(2, name="last")(x))).facts.calls
    read = {call.id: call.inputs for call in calls}
    assert (read["between/drop"], read["last"]) == (("first",), ("between/drop",))


def test_a_layer_made_while_calling_is_recorded_under_its_caller():
    class Hidden(layers.Layer):
        def call(self, inputs):
            return ops.relu(layers.Rescaling(2.0, name="made")(inputs))

    entry = keras.Input((4,), name="features")
    x = Hidden(name="holder")(entry)
    network = KerasNetwork(keras.Model(entry, layers.Dense(2, name="last")(x)))
    assert [name for name, _ in connections(network)] == ["holder", "holder/made", "last"]


def test_outputs_name_the_layer_that_makes_them():
    facts = zoo.network("multi_output").facts
    assert [(o.name, o.layer) for o in facts.outputs] == [
        (n, n) for n in ("which", "tags", "how_much")
    ]
    nested = KerasNetwork(keras.Sequential([keras.Input((8, 8, 3)), zoo.backbone()]))
    assert nested.facts.outputs[0].layer == "backbone/pool"


# -- nothing stays behind --------------------------------------------------------------------------


def patched():
    return keras.layers.Layer.__call__, keras.Operation.__call__, tf.Graph.name_scope


ORIGINAL = patched()


class Refusal(keras.Model):
    """Cannot be traced: it wants the values."""

    def __init__(self):
        super().__init__()
        self.inside = layers.Dense(2, name="inside")

    def call(self, inputs):
        return self.inside(inputs) * float(np.asarray(inputs).max())


def test_keras_is_restored_after_tracing():
    KerasNetwork(zoo.make("nested"))
    assert patched() == ORIGINAL


def test_keras_is_restored_after_a_model_that_fails():
    model = Refusal()
    model(np.ones((1, 3), np.float32))
    network = KerasNetwork(model)
    assert patched() == ORIGINAL
    assert network.facts.trace_problem
    assert network.facts.calls == ()
    assert [facts.path for facts, _ in network.variables()] == ["inside/kernel", "inside/bias"]
    with pytest.raises(ModelError, match="cannot be run"):
        list(network.forward({"input": np.ones((1, 3), np.float32)}))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_keras_is_restored_whatever_ends_the_trace(error):
    def stop():
        assert patched() != ORIGINAL
        raise error

    with pytest.raises(error), recorded_by(Recorder({})):
        stop()
    assert patched() == ORIGINAL


def test_keras_is_restored_after_measuring_in_front_of_the_normalization():
    zoo.network("functional").normalization_input(zoo.inputs("functional", 2))
    assert patched() == ORIGINAL


def test_calls_of_another_thread_go_straight_through(monkeypatch):
    """A server that answers while a report is made: its calls are neither recorded nor renamed."""
    seen, answers, refused = set(), [], []
    record = Recorder.run

    def noted(self, operation, *rest):
        seen.add((threading.get_ident(), getattr(operation, "name", "")))
        return record(self, operation, *rest)

    serving = layers.Dense(2, kernel_initializer="ones", name="serving")
    serving.build((None, 3))

    def serve():
        answers.append(serving(np.ones((1, 3), np.float32)).numpy())
        try:
            with tf.Graph().as_default(), tf.name_scope("a name <that> no graph takes"):
                pass
        except ValueError as error:
            refused.append(error)

    class Busy(layers.Layer):
        def call(self, inputs):
            thread = threading.Thread(target=serve)
            thread.start()
            thread.join(60)
            return inputs * 2.0

    entry = keras.Input((4,), name="features")
    model = keras.Model(entry, layers.Dense(1, name="last")(Busy(name="busy")(entry)))
    answers.clear()
    monkeypatch.setattr(Recorder, "run", noted)
    network = KerasNetwork(model)
    assert [a.tolist() for a in answers] == [[[3.0, 3.0]]]
    assert len(refused) == 2  # one of them while the model was made
    assert {thread for thread, _ in seen} == {threading.get_ident()}
    assert {name for _, name in seen} >= {"busy", "last"}
    assert "serving" not in {name for _, name in seen}
    assert [name for name, _ in connections(network)] == ["busy", "last"]


def test_calls_outside_of_the_trace_are_not_recorded():
    recorder = Recorder({})
    with recorded_by(recorder):
        layers.Dense(2)(np.ones((1, 3), np.float32))
    assert recorder.calls == []


def test_names_that_look_like_calls_and_inputs_are_names():
    """Keras allows every character but a slash: none is taken for another's second call or an input."""
    start = keras.Input((4,), name="picture")
    twice = layers.Dense(4, name="d")
    same = layers.Dense(4, name="d#2")(layers.Dense(4, name="input:picture")(start))
    x = layers.Add(name="sum")([twice(twice(start)), same])
    facts = KerasNetwork(keras.Model(start, layers.Dense(1, name="output:sum")(x))).facts
    assert {call.id: (call.layer, call.inputs) for call in facts.calls} == {
        "d": ("d", (InputRef("picture"),)),
        "d#3": ("d", ("d",)),
        "input:picture": ("input:picture", (InputRef("picture"),)),
        "d#2": ("d#2", ("input:picture",)),
        "sum": ("sum", ("d#3", "d#2")),
        "output:sum": ("output:sum", ("sum",)),
    }


class Dropped(layers.Layer):
    """Ends in a Dropout that reads what no layer made."""

    def __init__(self):
        super().__init__(name="block")
        self.see, self.drop = layers.Conv2D(4, 3, name="see"), layers.Dropout(0.5, name="drop")

    def build(self, shape):
        self.see.build(shape)
        self.built = True

    def call(self, inputs):
        return self.drop(ops.relu(self.see(inputs)))


def test_a_dropout_behind_an_operation_of_no_layer_does_not_read_itself():
    start = keras.Input((8, 8, 3), name="picture")
    x = layers.GlobalAveragePooling2D(name="pool")(Dropped()(start))
    facts = KerasNetwork(keras.Model(start, layers.Dense(2, name="head")(x))).facts
    assert {call.id: call.inputs for call in facts.calls} == {
        "block": (InputRef("picture"),),
        "block/see": (InputRef("picture"),),
        "block/drop": ("block/see",),
        "pool": ("block/drop",),
        "head": ("pool",),
    }
    assert choose_features(facts.calls, "head", "picture", (8, 8, 3)) == "block/see"
