"""Operations and peak memory, against sums made by hand."""

from __future__ import annotations

import keras
import pytest
import zoo
from keras import layers

from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.facts import peak_bytes


def flops(layer, *shapes, **options):
    """Return the operations of one layer's call and all calls inside it."""
    entries = [keras.Input(shape, name=f"in_{i}") for i, shape in enumerate(shapes)]
    result = layer(entries[0] if len(entries) == 1 else entries, **options)
    return sum(call.flops for call in KerasNetwork(keras.Model(entries, result)).facts.calls)


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
    # 6 steps, 4 gates of 3 units, each from 5 inputs and 3 states, and a bias
    "lstm": (layers.LSTM(3), (6, 5), 6 * 4 * 3 * (2 * 5 + 2 * 3 + 1)),
    "lstm of both directions": (layers.Bidirectional(layers.LSTM(3)), (6, 5), 2 * 6 * 12 * 17),
    # 3 gates, and one bias for the inputs and one for the state
    "gru": (layers.GRU(3), (6, 5), 6 * 3 * 3 * (2 * 5 + 2 * 3 + 2)),
    "simple": (layers.SimpleRNN(3, use_bias=False), (6, 5), 6 * 3 * (2 * 5 + 2 * 3)),
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
    scores = 2 * 2 * 6 * 10 * 4
    mixing = 2 * 2 * 6 * 10 * 3
    assert sum(call.flops for call in calls) == projections + scores + mixing


def test_a_shared_layer_costs_every_call():
    assert sum(call.flops for call in zoo.network("shared_layer").facts.calls) == (
        3 * (2 * 6 * 6 + 6) + (2 * 6 * 2 + 2)
    )


def test_a_known_network_costs_what_is_published():
    facts = KerasNetwork(keras.applications.ResNet50(weights=None), images=1).facts
    assert sum(call.flops for call in facts.calls) == pytest.approx(7.76e9, rel=0.04)
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
