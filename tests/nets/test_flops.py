"""Operations and peak memory, against sums made by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo
from keras import layers, ops
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.facts import peak_bytes


def facts_of(make, *shapes, images=4):
    """Return the facts of a network that ``make`` makes of inputs, traced for several images."""
    entries = [keras.Input(shape, name=f"in_{i}") for i, shape in enumerate(shapes)]
    return KerasNetwork(keras.Model(entries, make(*entries)), images=images).facts


def flops(layer, *shapes, **options):
    """Return the operations of one layer's call and all calls inside it."""
    entries = [keras.Input(shape, name=f"in_{i}") for i, shape in enumerate(shapes)]
    result = layer(entries[0] if len(entries) == 1 else entries, **options)
    return KerasNetwork(keras.Model(entries, result)).facts.flops


CASES = {
    # 2 a multiply-add at 6x6 positions, one a bias at every output
    "conv": (layers.Conv2D(4, 3), (8, 8, 3), 2 * 36 * (3 * 3 * 3 * 4) + 36 * 4),
    "conv without bias": (layers.Conv2D(4, 3, use_bias=False), (8, 8, 3), 2 * 36 * 108),
    "conv strided": (
        layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False),
        (8, 8, 3),
        2 * 16 * 108,
    ),
    "conv dilated": (layers.Conv2D(4, 3, dilation_rate=2, use_bias=False), (8, 8, 3), 2 * 16 * 108),
    "conv in groups": (
        layers.Conv2D(6, 3, groups=3, use_bias=False),
        (8, 8, 3),
        2 * 36 * (9 * 1 * 6),
    ),
    "conv of a sequence": (layers.Conv1D(4, 3), (10, 5), 2 * 8 * (3 * 5 * 4) + 8 * 4),
    "conv of a volume": (layers.Conv3D(2, 2), (4, 4, 4, 3), 2 * 27 * (8 * 3 * 2) + 27 * 2),
    "depthwise": (
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        (8, 8, 3),
        2 * 36 * (9 * 6) + 36 * 6,
    ),
    "separable": (
        layers.SeparableConv2D(4, 3),
        (8, 8, 3),
        2 * 36 * (9 * 3) + 2 * 36 * (3 * 4) + 36 * 4,
    ),
    # every input position is spread over the kernel
    "transpose": (
        layers.Conv2DTranspose(4, 3, strides=2, padding="same"),
        (5, 5, 3),
        2 * 25 * (9 * 3 * 4) + 100 * 4,
    ),
    "dense": (layers.Dense(7), (5,), 2 * 5 * 7 + 7),
    "dense at every step": (layers.Dense(7), (3, 5), 3 * (2 * 5 * 7 + 7)),
    "einsum": (
        layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de"),
        (3, 5),
        3 * 8 * (2 * 5 + 1),
    ),
    "einsum over two axes": (layers.EinsumDense("abc,bcd->ad", 4), (3, 5), 2 * 15 * 4),
    "einsum with an ellipsis": (layers.EinsumDense("...x,xy->...y", 4), (3, 5), 3 * 2 * 5 * 4),
    "batch normalization": (layers.BatchNormalization(), (4, 4, 3), 2 * 48),
    "max pooling": (layers.MaxPooling2D(2), (8, 8, 3), 16 * 3 * 4),
    "global pooling": (layers.GlobalAveragePooling2D(), (8, 8, 3), 192),
    "activation": (layers.ReLU(), (8, 8, 3), 0),
    "reshape": (layers.Flatten(), (8, 8, 3), 0),
    # mean, variance (differences, squares, their mean), and what Keras makes of scale
    # and offset, five more; 2 a position
    "layer normalization": (layers.LayerNormalization(), (6, 8), 9 * 48 + 2 * 6),
    # 6 steps, 4 gates of 3 units, each from 5 inputs and 3 states, with a bias and a sum; then the new
    # state: three products and a sum
    "lstm": (layers.LSTM(3), (6, 5), 6 * (4 * 3 * (2 * 5 + 2 * 3 + 2) + 4 * 3)),
    "lstm of both directions": (
        layers.Bidirectional(layers.LSTM(3)),
        (6, 5),
        2 * 6 * (4 * 3 * (2 * 5 + 2 * 3 + 2) + 4 * 3),
    ),
    "lstm unrolled": (layers.LSTM(3, unroll=True), (6, 5), 6 * (12 * (2 * 5 + 2 * 3 + 2) + 4 * 3)),
    # 3 gates, a bias for the inputs and one for the state, and a sum; the reset gate's product, and
    # z h + (1 - z) h': a difference, two products and a sum
    "gru": (layers.GRU(3), (6, 5), 6 * (3 * 3 * (2 * 5 + 2 * 3 + 3) + 5 * 3)),
    "simple": (layers.SimpleRNN(3, use_bias=False), (6, 5), 6 * 3 * (2 * 5 + 2 * 3 + 1)),
    "cells in a stack": (
        layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)]),
        (6, 5),
        6 * (12 * (2 * 5 + 2 * 3 + 2) + 4 * 3) + 6 * (3 * 2 * (2 * 3 + 2 * 2 + 3) + 5 * 2),
    ),
    # 4 gates of 3 filters at 6x6 positions, from 2 channels and from 3 of the state, bias and sum
    "lstm of pictures": (
        layers.ConvLSTM2D(3, 3),
        (5, 8, 8, 2),
        5 * 36 * (4 * 3 * (2 * 9 * 2 + 2 * 9 * 3 + 2) + 4 * 3),
    ),
    "dense in time": (layers.TimeDistributed(layers.Dense(7)), (6, 5), 6 * (2 * 5 * 7 + 7)),
    "conv in time": (
        layers.TimeDistributed(layers.Conv2D(4, 3)),
        (2, 8, 8, 3),
        2 * (2 * 36 * 108 + 144),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_layers_cost_what_a_hand_counts(case):
    layer, shape, expected = CASES[case]
    assert flops(layer, shape) == expected


def test_a_model_in_time_costs_every_step():
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten()])
    assert flops(layers.TimeDistributed(inner), (5, 8, 8, 3)) == 5 * (2 * 36 * 108 + 144)


def test_sums_and_products_cost_one_an_element_and_operand():
    assert flops(layers.Add(), (4, 4), (4, 4), (4, 4)) == 2 * 16
    assert flops(layers.Multiply(), (4, 4), (4, 4)) == 16
    assert flops(layers.Concatenate(), (4, 4), (4, 4)) == 0


def test_attention_costs_projections_scores_and_mixing():
    entry, memory = keras.Input((6, 8), name="query"), keras.Input((10, 5), name="memory")
    result = layers.MultiHeadAttention(2, 4, value_dim=3)(entry, memory)
    calls = KerasNetwork(keras.Model([entry, memory], result)).facts.calls
    projections = (
        6 * 2 * 4 * (2 * 8 + 1)  # query
        + 10 * 2 * 4 * (2 * 5 + 1)  # key
        + 10 * 2 * 3 * (2 * 5 + 1)  # value
        + 6 * 8 * (2 * 2 * 3 + 1)  # output
    )
    scores = 2 * 6 * 10 * (2 * 4 + 1)  # and scaled
    softmax = 5 * 2 * 6 * 10
    mixing = 2 * 2 * 6 * 10 * 3
    assert sum(call.flops for call in calls) == projections + scores + softmax + mixing


def test_a_shared_layer_costs_every_call():
    assert sum(call.flops for call in zoo.network("shared_layer").facts.calls) == (
        3 * (2 * 6 * 6 + 6) + (2 * 6 * 2 + 2) + 5 * 2
    )


class Mixed(layers.Layer):
    """Attention by hand, in a layer's own code."""

    def call(self, inputs):
        return ops.matmul(ops.matmul(inputs, ops.transpose(inputs, (0, 2, 1))), inputs)


class MixedModel(keras.Model):
    """The same in the code of the model."""

    def __init__(self):
        super().__init__()
        self.wide = layers.Dense(7, name="wide")

    def call(self, inputs):
        scores = ops.einsum("bqd,bkd->bqk", inputs, inputs)
        return self.wide(ops.einsum("bqk,bkd->bqd", scores, inputs))


class Windowed(layers.Layer):
    """Attention inside of windows of four, which stand on the axis of the images, with a table of places."""

    def __init__(self):
        super().__init__()
        self.place = self.add_weight(shape=(4, 4), name="place")

    def call(self, inputs):
        parts = ops.reshape(inputs, (-1, 4, 5))
        scores = ops.matmul(parts, ops.transpose(parts, (0, 2, 1))) + self.place
        return ops.reshape(ops.matmul(ops.softmax(scores), parts), (-1, 12, 5))


ATTENTION = 2 * (2 * 6 * 6 * 5)
"""Six positions of five values: scores and mixing."""


def test_products_outside_of_layers_count():
    facts = facts_of(lambda x: (x @ ops.transpose(x, (0, 2, 1))) @ x, (6, 5))
    assert (facts.flops, facts.uncounted) == (ATTENTION, ())
    facts = facts_of(
        lambda x: ops.einsum("bqk,bkd->bqd", ops.einsum("...qd,...kd->...qk", x, x), x), (6, 5)
    )
    assert (facts.flops, facts.uncounted) == (ATTENTION, ())


def test_products_in_the_code_of_a_layer_count_as_its_own():
    facts = facts_of(lambda x: layers.Dense(2, name="last")(Mixed(name="mixed")(x)), (6, 5))
    assert {call.layer: call.flops for call in facts.calls} == {
        "mixed": ATTENTION,
        "last": 6 * 2 * (2 * 5 + 1),
    }


def test_products_in_the_code_of_a_model_count_in_the_total():
    model = MixedModel()
    model(np.zeros((1, 6, 5), np.float32))
    facts = KerasNetwork(model, given={None: ((6, 5), False)}, images=4).facts
    dense = 6 * 7 * (2 * 5 + 1)
    assert {call.layer: call.flops for call in facts.calls} == {"wide": dense}
    assert (facts.own_flops, facts.flops) == (ATTENTION, ATTENTION + dense)


@pytest.mark.parametrize("images", [1, 3, 4])
def test_windows_cost_the_same_however_many_images_are_run_at_once(images):
    """Three windows: scores, a sum with the table, a softmax and the mixing."""
    expected = 3 * (2 * 4 * 4 * 5 + 4 * 4 + 5 * 4 * 4 + 2 * 4 * 4 * 5)
    assert facts_of(Windowed(), (12, 5), images=images).flops == expected


class Queries(layers.Layer):
    """A product of learned vectors that are repeated for every image, and one of weights alone."""

    def __init__(self, repeat):
        super().__init__()
        self.repeat = repeat
        self.queries = self.add_weight(shape=(1, 3, 5), name="queries")
        self.down = self.add_weight(shape=(5, 2), name="down")
        self.up = self.add_weight(shape=(2, 5), name="up")

    def call(self, inputs):
        repeated = self.repeat(self.queries, ops.shape(inputs)[0])
        return ops.concatenate([ops.matmul(repeated, ops.matmul(self.down, self.up)), inputs], 1)


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize(
    "repeat",
    [
        lambda x, rows: ops.broadcast_to(x, (rows, 3, 5)),
        lambda x, rows: ops.repeat(x, rows, axis=0),
        lambda x, rows: ops.tile(x, (rows, 1, 1)),
        lambda x, rows: ops.reshape(ops.tile(x[0], (1, rows)), (rows, 3, 5)),
        # one weight, read five times
        lambda x, rows: ops.broadcast_to(x - x + x - x + x, (rows, 3, 5)),
    ],
    ids=["broadcast", "repeat", "tile", "reshape", "of itself"],
)
def test_products_of_weights_count_once(repeat, images):
    assert facts_of(Queries(repeat), (6, 5), images=images).flops == 2 * 3 * 5 * 5 + 2 * 5 * 5 * 2


def test_what_nothing_needs_does_not_count():
    def make(x):
        layers.Dense(100)(x)
        return layers.Dense(2, use_bias=False)(x)

    assert facts_of(make, (5,)).flops == 2 * 5 * 2


class Doing(layers.Layer):
    """Does with its input what it is told."""

    def __init__(self, what):
        super().__init__(name="doing")
        self.what = what

    def call(self, inputs):
        return self.what(inputs)

    def compute_output_shape(self, shape):
        return shape


def _halved_until_small(x):
    return tf.while_loop(lambda y: tf.reduce_max(y) > 1, lambda y: [y @ y], [x])[0]


def _by_python(x):
    result = tf.py_function(lambda y: y, [x], tf.float32)
    return tf.ensure_shape(result, x.shape)


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (lambda x: tf.math.real(tf.signal.fft(tf.cast(x, tf.complex64))), "FFT"),
        (lambda x: tf.linalg.svd(x)[1] @ x, "Svd"),
        (_by_python, "EagerPyFunc"),
        (_halved_until_small, "While"),
        (lambda x: tf.cond(tf.reduce_sum(x) > 1, lambda: x @ x, lambda: x), "If"),
    ],
    ids=["fft", "svd", "python", "loop", "branch"],
)
def test_what_cannot_be_counted_is_named(what, named):
    dense = 5 * 5 * (2 * 5 + 1)
    facts = facts_of(lambda x: layers.Dense(5, name="last")(Doing(what)(x)), (5, 5))
    assert facts.uncounted == (named,)
    assert {call.layer: call.uncounted for call in facts.calls} == {"doing": (named,), "last": ()}
    assert facts.flops >= dense


def test_functions_and_mapped_ones_are_counted():
    """A function of its own graph, a map of three parts, and a loop of four turns."""
    function = tf.function(lambda x: x @ x)
    assert facts_of(Doing(function), (5, 5)).flops == 2 * 5 * 5 * 5
    parts = Doing(
        lambda x: tf.transpose(
            tf.map_fn(lambda y: y @ y, tf.transpose(x, (1, 0, 2, 3))), (1, 0, 2, 3)
        )
    )
    assert facts_of(parts, (3, 5, 5)).flops == 3 * 2 * 5 * 5 * 5
    turns = Doing(lambda x: ops.fori_loop(1, 5, lambda _, y: ops.matmul(y, y), x))
    assert facts_of(turns, (5, 5)).flops == 4 * 2 * 5 * 5 * 5


class Scanning(layers.Layer):
    """A recurrence by ``ops.scan``: a Dense layer of six units over what is carried and what is read."""

    def __init__(self, **options):
        super().__init__()
        self.each, self.options = layers.Dense(6), options

    def build(self, shape):
        self.each.build((shape[0], 6 + shape[-1]))

    def compute_output_shape(self, shape):
        return (shape[0], 6)

    def call(self, inputs):
        def step(carried, read):
            read = inputs[:, 0] if read is None else read
            carried = ops.tanh(self.each(ops.concatenate([carried, read], -1)))
            return carried, carried

        read = None if "length" in self.options else ops.transpose(inputs, (1, 0, 2))
        return ops.scan(step, ops.zeros((ops.shape(inputs)[0], 6)), read, **self.options)[0]


@pytest.mark.parametrize(
    ("options", "turns"), [({}, 9), ({"reverse": True}, 9), ({"length": 4}, 4)]
)
def test_a_scan_costs_every_turn(options, turns):
    start = keras.Input((9, 5))
    facts = KerasNetwork(keras.Model(start, Scanning(**options)(start))).facts
    assert (facts.flops, facts.uncounted) == (turns * (2 * 11 * 6 + 6), ())


def test_a_scan_over_steps_that_shrink_by_what_is_read_is_named():
    """How often it turns stands in the values: no number is made up."""

    def call(x):
        steps = tf.cast(tf.reduce_max(x), tf.int32)
        return tf.while_loop(lambda i, y: i >= 0, lambda i, y: (i - 1, y @ y), (steps, x))[1]

    start = keras.Input((4, 4))
    facts = KerasNetwork(keras.Model(start, Doing(call)(start))).facts
    assert facts.uncounted == ("While",)


def test_functions_that_cannot_be_looked_into_are_named(monkeypatch):
    monkeypatch.setattr("reportgen.nets.flops.function_graph", lambda graph, name: None)
    assert facts_of(layers.GRU(3), (6, 5)).uncounted == ("While",)


def test_half_precision_and_whole_numbers_cost_what_single_precision_does():
    kept = zoo.network("functional").facts.flops
    assert zoo.network("mixed_float16").facts.flops == kept
    assert zoo.network("bfloat16").facts.flops == kept
    assert zoo.network("int8").facts.flops == pytest.approx(
        zoo.network("sequential").facts.flops, rel=0.05
    )


def profiled(model):
    """Return what TensorFlow's profiler counts for one image; it sees no functions, so none is made."""
    specification = tf.TensorSpec((1, *model.inputs[0].shape[1:]), tf.float32)
    tf.config.run_functions_eagerly(True)
    try:
        function = tf.compat.v1.wrap_function(lambda x: model(x, training=False), [specification])
    finally:
        tf.config.run_functions_eagerly(False)
    frozen = convert_variables_to_constants_v2(function)
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name="")
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        return tf.compat.v1.profiler.profile(graph, cmd="op", options=options).total_float_ops


@pytest.mark.parametrize(
    "name",
    [
        "ConvNeXtTiny",
        "EfficientNetB0",
        "MobileNetV2",
        "MobileNetV3Small",
        "ResNet50V2",
        "VGG16",
    ],
)
def test_the_profiler_counts_alike(name):
    model = getattr(keras.applications, name)(
        weights=None, include_top=False, pooling="avg", input_shape=(96, 96, 3)
    )
    facts = KerasNetwork(model, images=2).facts
    assert facts.uncounted == ()
    assert facts.flops == pytest.approx(profiled(model), rel=0.02)


def test_a_known_network_costs_what_is_published():
    facts = KerasNetwork(keras.applications.ResNet50(weights=None), images=1).facts
    assert facts.flops == pytest.approx(7.76e9, rel=0.04)
    assert facts.parameters == 25_636_712


# -- peak memory -----------------------------------------------------------------------------------


def peak(model, **options):
    network = KerasNetwork(model, images=1, **options)
    shapes = {tensor.name: network.input_shape(tensor.name) for tensor in network.facts.inputs}
    return peak_bytes(network.facts.calls, shapes, network.facts.outputs)


def test_a_chain_holds_two_tensors_at_a_time():
    entry = keras.Input((8, 8, 3), name="picture")
    x = layers.Conv2D(4, 3, name="see")(entry)  # 6x6x4
    x = layers.Conv2D(16, 3, name="widen")(x)  # 4x4x16
    x = layers.Flatten(name="flat")(x)  # 256
    model = keras.Model(entry, layers.Dense(2, name="which")(x))
    # picture and see 192 + 144, see and widen 144 + 256, widen and flat 256 + 256
    assert peak(model) == 4 * (256 + 256)


def test_a_branch_stays_until_it_is_joined():
    entry = keras.Input((10,), name="features")
    wide = layers.Dense(100, name="wide")(entry)
    x = layers.Dense(20, name="one")(wide)
    x = layers.Dense(30, name="two")(x)
    x = layers.Dense(100, name="three")(x)
    model = keras.Model(entry, layers.Add(name="join")([wide, x]))
    # at the join: wide, three and the sum
    assert peak(model) == 4 * (100 + 100 + 100)


def test_outputs_stay_to_the_end():
    entry = keras.Input((10,), name="features")
    early = layers.Dense(500, name="early")(entry)
    late = layers.Dense(300, name="late")(layers.Dense(40, name="narrow")(early))
    assert peak(keras.Model(entry, [early, late])) == 4 * (500 + 40 + 300)


def test_half_precision_takes_half_the_memory():
    float16, float32 = (
        {call.id: call.bytes for call in zoo.network(name).facts.calls}
        for name in ("mixed_float16", "functional")
    )
    assert {call: 2 * size for call, size in float16.items()} == float32


def test_layers_that_add_by_themselves_do_not_pile_up():
    """Six residual blocks of their own class hold no more than one of them."""
    picture = 8 * 8 * 3
    # what came into the block, what its inner layer made, and their sum
    assert peak(zoo.make("residual")) == 4 * 3 * picture


def test_residual_blocks_cost_the_same_memory_however_they_are_written():
    entry = keras.Input((8, 8, 3), name="picture")
    x = entry
    for _ in range(6):
        x = layers.Add()([x, layers.Conv2D(3, 3, padding="same")(x)])
    x = layers.GlobalAveragePooling2D()(x)
    assert peak(keras.Model(entry, layers.Dense(3)(x))) == peak(zoo.make("residual"))


def test_a_nested_model_costs_the_memory_of_its_layers():
    flat = keras.Input((8, 8, 3), name="picture")
    x = layers.Conv2D(4, 3, activation="relu")(flat)
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
    nested = keras.Input((8, 8, 3), name="picture")
    same = zoo.backbone()(nested)
    assert peak(keras.Model(flat, x)) == peak(keras.Model(nested, same)) == 4 * (192 + 144)


class Made(layers.Layer):
    """Makes a kernel out of two weights, of which one is turned and has as many rows as a block has images."""

    def __init__(self, width):
        super().__init__()
        self.width = width

    def build(self, _shape):
        self.first = self.add_weight(shape=(16, self.width))
        self.second = self.add_weight(shape=(16, 240))

    def call(self, inputs):
        kernel = ops.reshape(ops.matmul(ops.transpose(self.first), self.second), (-1, 4))
        return ops.matmul(inputs, kernel[:60])


@pytest.mark.parametrize("width", [4, 8, 9])
def test_a_turned_weight_is_not_taken_for_a_row_an_image(width):
    """Products of weights are done once, whatever their sides are."""
    facts = facts_of(Made(width), (60,), images=8)
    assert sum(call.flops for call in facts.calls) == 2 * width * 16 * 240 + 2 * 60 * 4
