"""Channel moments taken inside the traced function, against NumPy on maps that Keras itself gives."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo
from keras import layers

from reportgen import build_report
from reportgen.errors import ModelError, UsageError
from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.calls import choose_calls

COUNT = 11
GRAPHS = (
    "functional",
    "separable",
    "residual",
    "vit",
    "multi_output",
    "dropout",
    "grey",
    "mixed_float16",
)


def everything(calls):
    """Ask for the maps of every call."""
    return [call.id for call in calls]


def watched(model, images=COUNT, watch=everything, **options):
    return KerasNetwork(model, images=images, watch=watch, **options)


def run(network, inputs):
    """Return all batches, and the moments and maps of all images by call."""
    batches = list(network.forward(inputs))
    calls = batches[0].moments.keys()
    moments = {
        call: [
            np.concatenate(parts)
            for parts in zip(*(b.moments[call][:7] for b in batches), strict=True)
        ]
        for call in calls
    }
    maps = {call: np.concatenate([b.maps[call] for b in batches]) for call in batches[0].maps}
    return batches, moments, maps


def of_keras(model, inputs, names):
    """Return the outputs of layers, by a model of their own that Keras runs."""
    probe = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    fed = [inputs[tensor.name] for tensor in model.inputs]
    made = probe(fed[0] if len(fed) == 1 else fed, training=False)
    made = made if isinstance(made, list | tuple) else [made]
    return {
        name: keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))
        for name, value in zip(names, made, strict=True)
    }


def assert_moments(moments, array, rel=2e-5):
    """Every field is what NumPy says of (n, …, c) maps."""
    mean, square, low, high, zeros, non_finite, nan = moments
    flat = array.reshape(len(array), -1, array.shape[-1]).astype(np.float64)
    finite = np.isfinite(flat)
    count = finite.sum(axis=1)
    clean = np.where(finite, flat, 0)
    scale = np.abs(clean).max(initial=1e-30)
    some = np.maximum(count, 1)
    np.testing.assert_allclose(mean, clean.sum(axis=1) / some, rtol=rel, atol=rel * scale)
    np.testing.assert_allclose(square, (clean**2).sum(axis=1) / some, rtol=rel, atol=rel * scale**2)
    np.testing.assert_allclose(
        low, np.where(finite, flat, np.inf).min(axis=1), rtol=rel, atol=rel * scale
    )
    np.testing.assert_allclose(
        high, np.where(finite, flat, -np.inf).max(axis=1), rtol=rel, atol=rel * scale
    )
    np.testing.assert_array_equal(zeros, (flat == 0).sum(axis=1))
    np.testing.assert_array_equal(non_finite, flat.shape[1] - count)
    np.testing.assert_array_equal(nan, np.isnan(flat).sum(axis=1))


def layer_names(model):
    return [
        layer.name
        for layer in model.layers
        if not isinstance(layer, layers.InputLayer) and layer.output.dtype.startswith(("f", "b"))
    ]


@pytest.mark.parametrize("name", GRAPHS)
def test_moments_and_maps_equal_numpy(name):
    model, inputs = zoo.make(name), zoo.inputs(name, COUNT)
    names = layer_names(model)
    expected = of_keras(model, inputs, names)
    _, moments, maps = run(watched(model, **zoo.ZOO[name].options), inputs)
    for layer, array in expected.items():
        assert maps[layer].shape == array.shape
        near = 2e-3 if "16" in name else 1e-5
        np.testing.assert_allclose(
            maps[layer], array, rtol=10 * near, atol=near * np.abs(array).max()
        )
        assert_moments(moments[layer], array, rel=2 * near)


@pytest.mark.parametrize("name", sorted(set(zoo.ZOO) - {"fixed_batch"}))
def test_moments_of_every_model_equal_its_maps(name):
    batches, moments, maps = run(
        watched(zoo.make(name), **zoo.ZOO[name].options), zoo.inputs(name, COUNT)
    )
    assert maps
    assert set(maps) == set(moments)
    positions = batches[0].moments
    for call, array in maps.items():
        assert len(array) == COUNT
        assert positions[call].positions == int(np.prod(array.shape[1:-1]))
        assert_moments(moments[call], array, rel=1e-3 if "16" in name else 2e-5)


def test_half_precision_is_summed_in_single():
    """Sums of a float16 map overflow in float16."""
    entry = keras.Input((16, 16, 1), name="picture")
    x = layers.Conv2D(2, 1, dtype="mixed_float16", kernel_initializer="ones", name="see")(entry)
    model = keras.Model(entry, layers.GlobalAveragePooling2D(dtype="float32", name="pool")(x))
    inputs = {"picture": np.full((2, 16, 16, 1), 1000, np.float32)}
    _, moments, maps = run(watched(model, 2), inputs)
    assert maps["see"].dtype == np.float32
    np.testing.assert_array_equal(moments["see"][0], np.full((2, 2), 1000))
    np.testing.assert_array_equal(moments["see"][1], np.full((2, 2), 1e6))
    np.testing.assert_array_equal(moments["see"][5], np.zeros((2, 2)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_broken_weight_is_left_out_and_counted(bad):
    model, inputs = zoo.make("functional"), zoo.inputs("functional", COUNT)
    (kernel,) = model.get_layer("see").get_weights()
    kernel[1, 1, 0, 2] = bad
    model.get_layer("see").set_weights([kernel])
    expected = of_keras(model, inputs, layer_names(model))
    _, moments, _ = run(watched(model), inputs)
    assert np.isfinite(expected["see"][..., :2]).all()
    assert not np.isfinite(expected["see"][..., 2]).any()
    for layer, array in expected.items():
        assert_moments(moments[layer], array)


def test_values_whose_squares_overflow_are_finite():
    entry = keras.Input((4, 4, 1), name="picture")
    x = layers.Conv2D(1, 1, kernel_initializer="ones", name="see")(entry)
    model = keras.Model(entry, layers.GlobalMaxPooling2D(name="pool")(x))
    _, moments, _ = run(watched(model, 1), {"picture": np.full((1, 4, 4, 1), 1e30, np.float32)})
    mean, _, low, high, _, non_finite, _ = moments["see"]
    assert (low, high) == (np.float32(1e30), np.float32(1e30))
    assert mean == pytest.approx(1e30, rel=1e-6)
    assert non_finite == 0


def test_nan_in_one_image_of_a_later_block():
    """Blocks before it were summed without looking for NaN; both ways agree."""
    model = zoo.make("functional")
    clean = zoo.inputs("functional", COUNT)
    broken = {"picture": clean["picture"].copy()}
    broken["picture"][10, 3, 3, 1] = np.nan
    network = watched(model)
    batches, moments, _ = run(network, broken)
    assert [batch.first for batch in batches] == [0, 4, 8]
    expected = of_keras(model, broken, ["see", "fire", "pool"])
    for layer, array in expected.items():
        assert_moments(moments[layer], array)
    _, healthy, _ = run(watched(model), clean)
    for one, other in zip(moments["see"], healthy["see"], strict=True):
        np.testing.assert_allclose(one[:10], other[:10], rtol=1e-5, atol=1e-6)
    assert moments["see"][5][10].min() > 0


def test_padding_is_cut_off():
    model, inputs = zoo.make("functional"), zoo.inputs("functional", COUNT)
    batches, moments, maps = run(watched(model), inputs)
    assert [len(batch.maps["see"]) for batch in batches] == [4, 4, 3]
    assert [len(batch.outputs["which"]) for batch in batches] == [4, 4, 3]
    assert [batch.moments["see"].mean.shape for batch in batches] == [(4, 4), (4, 4), (3, 4)]
    _, alone, map_alone = run(watched(model, 1), {"picture": inputs["picture"][9:10]})
    np.testing.assert_allclose(map_alone["see"], maps["see"][9:10], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(alone["see"][0], moments["see"][0][9:10], rtol=1e-4, atol=1e-5)


def test_every_call_of_a_shared_layer():
    model, inputs = zoo.make("siamese"), zoo.inputs("siamese", COUNT)
    encoder = model.get_layer("encoder")
    see = keras.Model(encoder.inputs, encoder.get_layer("see").output)
    _, moments, _ = run(watched(model), inputs)
    for call, side in (("encoder/see", "left"), ("encoder/see#2", "right")):
        assert_moments(moments[call], np.asarray(see(inputs[side])))
    for call, side in (("encoder", "left"), ("encoder#2", "right")):
        assert_moments(moments[call], np.asarray(encoder(inputs[side], training=False)))


def test_inner_layers_of_nested_models():
    model, inputs = zoo.make("nested"), zoo.inputs("nested", COUNT)
    inner = model.get_layer("middle").get_layer("inner")
    see = keras.Model(inner.inputs, [inner.get_layer(n).output for n in ("see", "norm", "pool")])
    expected = see(inputs["picture"], training=False)
    _, moments, _ = run(watched(model), inputs)
    for name, array in zip(("see", "norm", "pool"), expected, strict=True):
        assert_moments(moments[f"middle/inner/{name}"], np.asarray(array))
    assert_moments(moments["middle/inner"], np.asarray(expected[2]))


def exhausted_once(network, largest, monkeypatch):
    """Let every traced function refuse blocks of more than ``largest`` images; return what ran."""
    ran = []
    blocks = network._blocks
    trace = blocks._trace

    def guarded(**options):
        traced = trace(**options)
        return traced._replace(function=guard(traced.function))

    def guard(function):
        def call(*tensors):
            size = int(tensors[0].shape[0])
            ran.append(size)
            if size > largest:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
            return function(*tensors)

        call.inputs, call.captured_inputs = function.inputs, function.captured_inputs
        return call

    monkeypatch.setattr(blocks, "_trace", guarded)
    blocks.traced = blocks.traced._replace(function=guard(blocks.traced.function))
    return ran


@pytest.mark.parametrize(("largest", "sizes"), [(2, {4, 2}), (1, {4, 2, 1})])
def test_out_of_memory_halves_the_block_and_goes_on(monkeypatch, largest, sizes):
    model, inputs = zoo.make("functional"), zoo.inputs("functional", COUNT)
    _, expected, maps = run(watched(model), inputs)
    network = watched(model)
    ran = exhausted_once(network, largest, monkeypatch)
    batches, moments, again = run(network, inputs)
    assert set(ran) == sizes
    assert [batch.first for batch in batches] == list(range(0, COUNT, largest))
    for call, fields in expected.items():
        np.testing.assert_allclose(again[call], maps[call], rtol=1e-4, atol=1e-5)
        for one, other in zip(fields, moments[call], strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)


def test_too_little_memory_for_one_image(monkeypatch):
    network = watched(zoo.make("functional"))
    ran = exhausted_once(network, 0, monkeypatch)
    with pytest.raises(ModelError, match="memory does not suffice for one image"):
        run(network, zoo.inputs("functional", COUNT))
    assert set(ran) == {4, 2, 1}


def test_only_what_is_watched_is_fetched():
    network = watched(zoo.make("functional"), watch=choose_calls)
    batch = next(iter(network.forward(zoo.inputs("functional", 2))))
    assert set(batch.maps) == set(choose_calls(network.facts.calls)) < set(batch.moments)
    plain = KerasNetwork(zoo.make("functional"))
    batch = next(iter(plain.forward(zoo.inputs("functional", 2))))
    assert (dict(batch.moments), dict(batch.maps)) == ({}, {})


def test_layers_are_chosen_by_glob(tmp_path):
    probes = zoo.inputs("siamese", 2)
    report = build_report(
        zoo.make("siamese"),
        probes=probes,
        output=tmp_path / "report",
        sections=("activations",),
        layers=("encoder/s*", "same"),
    ).report
    (section,) = report.sections
    assert [shown.id for shown in section.content.shown] == ["encoder/see", "encoder/see#2", "same"]
    assert {"encoder", "encoder#2", "encoder/norm"} <= {row.id for row in section.content.calls}


def test_unknown_glob_is_a_usage_error(tmp_path):
    output = tmp_path / "report"
    with pytest.raises(UsageError, match="--layers no\\*such"):
        build_report(
            zoo.make("functional"),
            probes=zoo.inputs("functional", 2)["picture"],
            output=output,
            layers=("see", "no*such"),
        )
    assert not output.exists()


@pytest.mark.parametrize("what", ["its input", "an index"])
def test_a_network_with_nothing_to_measure_is_shown_all_the_same(what, tmp_path):
    start = keras.Input((8, 8, 3))
    model = keras.Model(start, start if what == "its input" else keras.ops.argmax(start, axis=-1))
    images = np.random.default_rng(0).uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)
    assert build_report(model, probes=images, output=tmp_path / "out").failed == ()
