"""Folding scales into kernels: the same answers and gradients, and what must stay as it is."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo
from keras import layers

from reportgen.nets.scaled_kernels import Kernel, Offset, ScaledKernels
from reportgen.nets.subgraph import Subgraph, as_function, cut_out
from reportgen.nets.tensorflow_internals import run_flat
from reportgen.network.protocol import Aim, Sample

PLACE = Path(os.environ.get("REPORTGEN_MODELS") or "/nowhere") / "models"
SHAPE = (3, 9, 9, 3)
X = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def traced(model, shape=SHAPE):
    return tf.compat.v1.wrap_function(
        lambda x: model(x, training=False), [tf.TensorSpec(shape, tf.float32)]
    )


def trained(model, seed=1):
    """Give every variable a value that a trained network may have: scales of either sign, variances above 0."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        values = rng.normal(size=variable.shape)
        variable.assign(np.abs(values) + 0.1 if "variance" in variable.path else values)
    return model


def sequence(*more):
    return trained(keras.Sequential([keras.Input(SHAPE[1:]), *more]))


def folded(function, fetches, kernels=None):
    """Return the operations of what is cut out and folded, and what it gives for an input."""
    kernels = kernels or ScaledKernels(function)
    part = Subgraph(function, fetches)
    feeds = kernels.fold(part)
    cut = as_function(part, [function.inputs[0], *feeds], fetches)

    def run(x):
        made = kernels.values(feed.recipe for feed in feeds)
        return [np.asarray(t) for t in run_flat(cut, [tf.constant(x), *made])]

    return [node.op for node in part.definition.node], run


def plain(function, fetches, x=X):
    cut = cut_out(function, function.inputs[:1], fetches)
    return [np.asarray(tensor) for tensor in run_flat(cut, [tf.constant(x)])]


def close(found, expected, share=1e-5):
    for mine, theirs in zip(found, expected, strict=True):
        assert np.isfinite(theirs).all()
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=share * np.abs(theirs).max())


@pytest.mark.parametrize(
    "stack",
    [
        lambda: [layers.Conv2D(5, 3, use_bias=False), layers.BatchNormalization()],
        lambda: [layers.Conv2D(5, 3), layers.BatchNormalization()],
        lambda: [layers.Conv2D(6, 3, strides=2), layers.BatchNormalization(scale=False)],
        lambda: [layers.Conv2D(5, 3), layers.BatchNormalization(center=False)],
        lambda: [layers.DepthwiseConv2D(3, depth_multiplier=2), layers.BatchNormalization()],
        lambda: [layers.Conv2D(5, 3), layers.BatchNormalization(), layers.BatchNormalization()],
    ],
    ids=["no bias", "bias", "strides", "no offset", "depthwise", "twice"],
)
def test_a_convolution_takes_up_the_normalization_behind_it(stack):
    made = stack()
    model = sequence(*made, layers.ReLU(), layers.Conv2D(2, 3), layers.GlobalAveragePooling2D())
    function = traced(model)
    with function.graph.as_default():
        gradient = tf.gradients(function.outputs[0][:, 0], [function.inputs[0]])[0]
    fetches = [function.outputs[0], gradient]
    operations, run = folded(function, fetches)
    close(run(X), plain(function, fetches))
    with tf.GradientTape() as tape:
        tape.watch(x := tf.constant(X))
        answer = model(x, training=False)
        score = tf.reduce_sum(answer[:, 0])
    close(run(X), [np.asarray(answer), np.asarray(tape.gradient(score, x))])
    assert "Rsqrt" not in operations
    assert operations.count("BiasAdd") + operations.count("AddV2") == 2
    before, _ = operations_of(function, fetches)
    assert before.count("Mul") - operations.count("Mul") >= 2 * sum(
        isinstance(layer, layers.BatchNormalization) for layer in made
    )


def operations_of(function, fetches):
    part = Subgraph(function, fetches)
    return [node.op for node in part.definition.node], part


def test_what_is_fetched_or_read_by_others_stays_between():
    start = keras.Input(SHAPE[1:])
    seen = layers.Conv2D(4, 3, padding="same", use_bias=False, name="seen")(start)
    normal = layers.BatchNormalization(name="normal")(seen)
    model = trained(keras.Model(start, [layers.Add()([normal, seen]), seen]))
    function = traced(model)
    both, convolved = function.outputs
    operations, run = folded(function, [both])
    assert "BiasAdd" not in operations, "the sum reads what the convolution gives"
    close(run(X), plain(function, [both]))
    operations, run = folded(function, [convolved])
    assert operations.count("Conv2D") == 1
    close(run(X), plain(function, [convolved]), 0)
    alone = traced(keras.Model(start, [normal, seen]))
    operations, run = folded(alone, list(alone.outputs))
    assert "BiasAdd" not in operations, "both are fetched"
    operations, run = folded(alone, [alone.outputs[0]])
    assert operations.count("BiasAdd") == 1
    close(run(X), plain(alone, [alone.outputs[0]]))


def function_of(build, *variables):
    """Trace a function of an input and variables, whose kernels are 1 by 1."""
    made = [tf.Variable(np.asarray(value, np.float32)) for value in variables]
    return traced(lambda x, training: build(x, *made)), made


def one_by_one(x, kernel):
    return tf.nn.conv2d(x, kernel, 1, "VALID")


KERNEL = np.arange(6).reshape(1, 1, 3, 2) - 2.5


def test_what_goes_into_a_transposed_convolution_is_scaled_by_its_kernel():
    function, _ = function_of(
        lambda x, k, s: tf.nn.conv2d_transpose(x[..., :2] * s, k, (3, 9, 9, 3), 1), KERNEL, [2, 3]
    )
    operations, run = folded(function, function.outputs)
    assert "Mul" not in operations
    close(run(X), [X[..., :2] * [2, 3] @ KERNEL[0, 0].T])


@pytest.mark.parametrize("first", ["convolution", "depthwise", "transposed"])
def test_a_scale_between_two_convolutions_counts_once(first):
    """The gradient of a transposed convolution is a convolution, and the other way round."""
    made = {
        "convolution": lambda: layers.Conv2D(3, 3, padding="same"),
        "depthwise": lambda: layers.DepthwiseConv2D(3, padding="same"),
        "transposed": lambda: layers.Conv2DTranspose(3, 3, padding="same"),
    }[first]()
    model = sequence(
        made,
        layers.BatchNormalization(),
        layers.Conv2DTranspose(3, 3, padding="same"),
        layers.BatchNormalization(),
        layers.Conv2D(2, 3),
        layers.GlobalAveragePooling2D(),
    )
    function = traced(model)
    with function.graph.as_default():
        gradient = tf.gradients(function.outputs[0][:, 1], [function.inputs[0]])[0]
    for fetches in ([function.outputs[0]], [function.outputs[0], gradient], [gradient]):
        _, run = folded(function, fetches)
        close(run(X), plain(function, fetches))


@pytest.mark.parametrize(
    "build",
    [
        lambda x, k, s: one_by_one(x, k) * s,
        lambda x, k, s: (one_by_one(x, k) + s) * s,
        lambda x, k, s: (one_by_one(x, k) * s + s) * s,
        lambda x, k, s: tf.nn.relu(one_by_one(x, k) * s) * s * 2.0,
    ],
    ids=["scale", "bias and scale", "scale, bias, scale", "two"],
)
def test_what_lies_before_a_transposed_convolution(build):
    function, (kernel, scale) = function_of(
        lambda x, k, s: tf.nn.conv2d_transpose(build(x, k, s), k, (3, 9, 9, 3), 1), KERNEL, [2, 3]
    )
    operations, run = folded(function, function.outputs)
    expected = build(tf.constant(X), tf.constant(kernel), tf.constant(scale)).numpy()
    close(run(X), [expected @ KERNEL[0, 0].T])
    assert "Mul" not in operations


def test_what_is_fed_goes_straight_into_a_transposed_convolution():
    model = sequence(layers.Conv2DTranspose(4, 3), layers.BatchNormalization())
    function = traced(model)
    _, run = folded(function, function.outputs)
    close(run(X), plain(function, function.outputs))


def test_a_scale_that_waits_for_something_else_stays():
    def build(x, kernel, scale):
        with tf.control_dependencies([tf.debugging.assert_less(x, 100.0)]):
            return tf.nn.conv2d_transpose(x[..., :2] * scale, kernel, (3, 9, 9, 3), 1)

    function, _ = function_of(build, KERNEL, [2, 3])
    operations, run = folded(function, function.outputs)
    assert "Mul" in operations
    close(run(X), [X[..., :2] * [2, 3] @ KERNEL[0, 0].T])


def test_values_by_hand():
    function, _ = function_of(
        lambda x, k, b, s, t: ((one_by_one(x, k) + b) * s - 0 * t) * 2.0 + t,
        *(KERNEL, [1, 2], [3, -1], [10, 20]),
    )
    operations, _ = folded(function, function.outputs)
    assert "Sub" in operations, "a chain ends where something else begins"
    function, _ = function_of(
        lambda x, k, b, s, t: (one_by_one(x, k) + b) * s * 2.0 + t,
        *(KERNEL, [1, 2], [3, -1], [10, 20]),
    )
    part = Subgraph(function, function.outputs)
    kernels = ScaledKernels(function)
    feeds = kernels.fold(part)
    made = {type(f.recipe): np.asarray(v) for f in feeds for v in kernels.values([f.recipe])}
    np.testing.assert_array_equal(made[Kernel], (KERNEL * [6, -2]).astype(np.float32))
    np.testing.assert_array_equal(made[Offset], [1 * 3 * 2 + 10, 2 * -1 * 2 + 20])
    assert {f.recipe.channels for f in feeds} == {(2,), 2}


@pytest.mark.parametrize(
    "build",
    [
        lambda x, k, s: one_by_one(x, k) * tf.reduce_mean(x),
        lambda x, k, s: one_by_one(x, k) * tf.random.uniform([2]),
        lambda x, k, s: one_by_one(x, k) * tf.ones([9, 1]),
        lambda x, k, s: one_by_one(x, k + tf.reduce_mean(x)) * s,
        lambda x, k, s: s / one_by_one(x, k),
        lambda x, k, s: one_by_one(x, k) * one_by_one(x, k),
        lambda x, k, s: one_by_one(x, k) * tf.reshape(s, (1, 1, 1, 1, 2)),
        lambda x, k, s: tf.nn.conv2d_transpose(x[..., :1] * s, k, (3, 9, 9, 3), 1),
        lambda x, k, s: tf.cast(tf.cast(one_by_one(x, k), tf.float16) * tf.cast(s, tf.float16), tf.float32),
        lambda x, k, s: tf.transpose(
            tf.nn.conv2d(tf.transpose(x, (0, 3, 1, 2)), k, 1, "VALID", data_format="NCHW"), (0, 2, 3, 1)
        )
        * s,
    ],
    ids=[
        *("of the input", "random", "of places", "kernel", "divisor", "square"),
        *("rank 5", "repeated", "half", "channels first"),
    ],
)  # fmt: skip
def test_what_is_no_scale_of_channels_stays(build):
    function, _ = function_of(build, KERNEL, [2, 3])
    part = Subgraph(function, function.outputs)
    before = copy.deepcopy(part.definition)
    assert ScaledKernels(function).fold(part) == []
    assert part.definition == before


def before(convolved, scale):
    with tf.control_dependencies([scale.assign_add([1.0, 1.0])]):
        return convolved * scale.read_value()


def counted(scaled, scale):
    with tf.control_dependencies([scaled]):
        added = scale.assign_add([1.0, 1.0])
    with tf.control_dependencies([added]):
        return tf.identity(scaled)


def behind(convolved, scale):
    return counted(convolved * scale, scale)


def in_a_call(convolved, scale):
    return tf.function(lambda scaled: counted(scaled, scale))(convolved * scale)


@pytest.mark.parametrize("change", [before, behind, in_a_call])
def test_a_scale_that_a_part_changes_stays(change):
    function, (_, scale) = function_of(
        lambda x, kernel, scale: change(one_by_one(x, kernel), scale), KERNEL, [2, 3]
    )
    operations, run = folded(function, function.outputs)
    assert "Mul" in operations
    scale.assign([2.0, 3.0])
    for k in range(3):
        close(run(X), [X @ KERNEL[0, 0] * [2 + k + (change is before), 3 + k + (change is before)]])
    np.testing.assert_array_equal(scale.numpy(), [5, 6])


def test_what_leaves_float32_answers_as_it_did():
    function, _ = function_of(lambda x, k, s: one_by_one(x, k) * s, KERNEL * 1e30, [1e20, 1])
    small = np.float32(1e-20) * X
    operations, run = folded(function, function.outputs)
    assert operations.count("Mul") == 1
    close(run(small), plain(function, function.outputs, small), 0)
    assert np.isfinite(run(small)[0]).all()


def test_a_number_for_every_row_is_no_scale_of_channels():
    kernel = np.random.default_rng(4).normal(size=(1, 1, 3, 9))
    rows = np.arange(9.0).reshape(9, 1)
    function, _ = function_of(lambda x, k, s: one_by_one(x, k) * s, kernel, rows)
    operations, run = folded(function, function.outputs)
    assert "Mul" in operations
    close(run(X), [X @ kernel[0, 0] * rows])


def test_zero_scales_are_zero():
    function, _ = function_of(lambda x, k, s, t: one_by_one(x, k) * s + t, KERNEL, [0, 1], [5, 6])
    _, run = folded(function, function.outputs)
    np.testing.assert_array_equal(run(X)[0][..., 0], 5)


def test_other_variables_in_place_of_the_own():
    function, variables = function_of(
        lambda x, k, s, t: one_by_one(x, k) * s + t, KERNEL, [2, 3], [5, 6]
    )
    own = ScaledKernels(function)
    part = Subgraph(function, function.outputs)
    feeds = own.fold(part)
    cut = as_function(part, [function.inputs[0], *feeds], function.outputs)

    def run(kernels):
        made = kernels.values(feed.recipe for feed in feeds)
        return np.asarray(run_flat(cut, [tf.constant(X), *made])[0])

    other = tf.Variable([-1.0, 10.0])
    scale = variables[1]
    exchanged = own.of_others(lambda h: other.handle if h is scale.handle else h)
    close([run(exchanged)], [X @ KERNEL[0, 0] * [-1, 10] + [5, 6]])
    plainly = ScaledKernels(function)
    plainly._readers = exchanged._readers  # what was put in place of others is not left there
    close([run(plainly)], [X @ KERNEL[0, 0] * [2, 3] + [5, 6]])
    close([run(own)], [X @ KERNEL[0, 0] * [2, 3] + [5, 6]])
    later = own.of_others(lambda h: h)
    scale.assign([7.0, 8.0])
    close([run(later)], [X @ KERNEL[0, 0] * [7, 8] + [5, 6]])
    close([run(own)], [X @ KERNEL[0, 0] * [2, 3] + [5, 6]])


def test_a_depthwise_convolution_in_a_sum_stays_optimisable():
    """TensorFlow 2.21 fails to optimise DepthwiseConv2dNative, BiasAdd and AddV2, and logs five errors."""
    start = keras.Input(SHAPE[1:])
    made = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(start)
    model = trained(keras.Model(start, layers.Add()([start, layers.BatchNormalization()(made)])))
    function = traced(model)
    operations, run = folded(function, function.outputs)
    assert not {"Mul", "BiasAdd"} & set(operations)
    close(run(X), plain(function, function.outputs))


@pytest.mark.parametrize("seed", range(60))
def test_networks_of_layers_put_together_at_random(seed):
    rng = np.random.default_rng(seed)
    for _ in range(40):  # many have no scale behind a convolution
        function, fetches = drawn_fetches(rng)
        operations, run = folded(function, fetches)
        if operations != operations_of(function, fetches)[0]:
            break
    else:
        pytest.fail("nothing was folded")
    close(run(X), plain(function, fetches))


def drawn_fetches(rng):
    """Return a traced network with gradients, outputs and maps between that are fetched of it."""
    function = traced(trained(drawn(rng), rng.integers(1_000)))
    weights = rng.normal(size=function.outputs[0].shape).astype(np.float32)
    with function.graph.as_default():
        maps = [
            tensor
            for operation in function.graph.get_operations()
            for tensor in operation.outputs
            if operation.type in {"Conv2D", "Mul", "AddV2", "BiasAdd"} and tensor.shape.rank == 4
        ]
        between = [maps[k] for k in rng.integers(len(maps), size=2)] if maps else []
        score = tf.reduce_sum(function.outputs[0] * weights)
        found = tf.gradients(score, [function.inputs[0], *between])
    others = [[*function.outputs], [function.outputs[0], *between], []][rng.integers(3)]
    gradients = [tensor for tensor in found if tensor is not None]
    return function, gradients + others or [*function.outputs]


def drawn(rng):
    """Return a network: any of them may read any other before it, so that chains fork and meet."""

    def one_of(*choices):
        return choices[rng.integers(len(choices))]

    made = [keras.Input(SHAPE[1:])]
    for _ in range(rng.integers(4, 14)):
        source = made[-1] if rng.random() < 0.7 else one_of(*made)
        same = [tensor for tensor in made if tensor.shape == source.shape]
        some = {"padding": "same", "use_bias": one_of(True, False)}
        kind = {"scale": one_of(True, False), "center": one_of(True, False)}
        layer = one_of(
            layers.Conv2D(one_of(1, 2, 3), one_of(1, 3), strides=one_of(1, 2), **some),
            layers.Conv2D(3, 3, activation=one_of("relu", "swish"), **some),
            layers.DepthwiseConv2D(3, depth_multiplier=one_of(1, 2), **some),
            layers.SeparableConv2D(one_of(1, 3), 3, **some),
            layers.Conv2DTranspose(one_of(1, 3), 3, **some),
            *[layers.BatchNormalization(**kind)] * 4,
            layers.Rescaling(*rng.normal(size=2)),
            layers.ReLU(),
            one_of(layers.Add(), layers.Multiply()),
        )
        twofold = isinstance(layer, layers.Add | layers.Multiply)
        made.append(layer([source, one_of(*same)] if twofold else source))
    return keras.Model(made[0], made[-1])


@pytest.mark.parametrize("name", sorted({*zoo.NAMES} - {"nan", "text"}))
def test_passes_of_every_network_answer_the_same(name, monkeypatch):
    network = zoo.network(name)
    output, image = network.facts.outputs[0], network.facts.inputs[0].name
    given = zoo.inputs(name, 2)
    weights = np.random.default_rng(2).normal(size=output.shape[1:]).astype(np.float32)
    samples = [Sample({key: array[k] for key, array in given.items()}, weights) for k in range(2)]

    def asked():
        passes = network.passes(Aim(output.name, "linear", image))
        answers, gradients = list(passes.forward(samples)), list(passes.gradients(samples))
        return [np.array([score for score, _ in answers]), *(array for _, array in gradients)]

    found = asked()
    monkeypatch.setattr(ScaledKernels, "fold", lambda _self, _part: [])
    close(found, asked(), 1e-4)


if "REPORTGEN_MODELS" in os.environ:

    @pytest.mark.parametrize("path", sorted(PLACE.glob("*.keras")), ids=lambda path: path.stem)
    def test_real_networks_answer_the_same(path):
        model = keras.models.load_model(path, compile=False)
        shape = (2, *(n or 96 for n in model.input_shape[1:]))
        function = traced(model, shape)
        x = np.random.default_rng(3).uniform(0, 255, shape).astype(np.float32)
        outputs = tf.nest.flatten(function.structured_outputs)
        operations, run = folded(function, outputs)
        close(run(x), plain(function, outputs, x))
        layers_of = [type(layer).__name__ for layer in model._flatten_layers(include_self=False)]
        folds = layers_of.count("BatchNormalization") > 0
        assert (len(operations) < len(operations_of(function, outputs)[0])) == folds
