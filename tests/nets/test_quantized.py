"""Quantized weights: the statistics are those of what is computed with, and it is said."""

from __future__ import annotations

import inspect
import warnings

import keras
import numpy as np
import pages
import pytest

from reportgen import build_report
from reportgen.nets.keras_network import KerasNetwork
from reportgen.nets.quantized import dequantized
from reportgen.nets.stored import read_stored
from reportgen.nets.stored_network import StoredNetwork
from reportgen.network.facts import VariableFacts

RNG = np.random.default_rng(6)


def weight(name, array, layer_class="Dense", layer="d"):
    facts = VariableFacts(
        f"{layer}/{name}", layer, layer_class, name, "kernel", array.shape, str(array.dtype), False
    )
    return facts, array


def first_of(*pairs, config=None):
    found = list(dequantized(iter(pairs), lambda _: config or {}))
    assert [facts.path for facts, _ in found] == [facts.path for facts, _ in pairs]
    return found[0]


def test_columns_are_divided_by_their_scales():
    stored, scale = np.array([[2, -4], [6, 8]], np.int8), np.array([2.0, 4.0], np.float32)
    facts, values = first_of(weight("kernel", stored), weight("kernel_scale", scale))
    np.testing.assert_array_equal(values, [[1, -1], [3, 2]])
    assert (facts.quantized, facts.dtype) == ("int8", "int8")


def test_rows_of_an_embedding_are_divided_by_theirs():
    stored, scale = np.array([[2, -4], [6, 8]], np.int8), np.array([2.0, 4.0], np.float32)
    pairs = (
        weight("embeddings", stored, "Embedding"),
        weight("embeddings_scale", scale, "Embedding"),
    )
    found = first_of(*pairs, config={"output_dim": 2})
    np.testing.assert_array_equal(found[1], [[1, -2], [1.5, 2]])
    assert found[0].quantized == "int8"
    assert not first_of(*pairs)[0].quantized  # it may be two numbers a byte


def test_two_numbers_of_four_bits_lie_in_a_byte_the_lower_first():
    """-3, 7, 2 and -8, 1, 0: the example of Keras's own documentation."""
    stored = np.array([[125, 2], [24, 0]], np.int8)
    facts, values = first_of(
        weight("kernel", stored), weight("kernel_scale", np.ones(3, np.float32))
    )
    np.testing.assert_array_equal(values, [[-3, 7, 2], [-8, 1, 0]])
    assert (facts.quantized, facts.shape) == ("int4", (2, 3))


def test_groups_of_rows_have_scales_and_zeros():
    stored = np.array([[125, 2], [24, 0]], np.int8)
    pairs = (
        weight("kernel", stored),
        weight("kernel_scale", np.array([[1, 1, 1], [2, 2, 2]], np.float32)),
        weight("kernel_zero", np.array([[0, 0, 0], [1, 1, 1]], np.int8)),
        weight("g_idx", np.array([0, 1], np.float32)),
    )
    np.testing.assert_array_equal(first_of(*pairs)[1], [[-3, 7, 2], [-18, 0, -2]])


@pytest.mark.parametrize(
    "beside",
    [
        [], [weight("kernel_scale", np.ones(5, np.float32))], [weight("kernel_scale", np.float32(1))],
        [weight("kernel_scale", np.ones((1, 2), np.float32))],
        [weight("kernel_scale", np.ones((1, 2), np.float32)), weight("kernel_zero", np.zeros((1, 2), np.int8)),
         weight("g_idx", np.array([0, 9], np.float32))],
        [weight("kernel_scale", np.ones(2, np.float32), layer="other")],
    ],
)  # fmt: skip
def test_what_is_not_as_keras_makes_it_stays_as_it_is_stored(beside):
    stored = np.array([[2, -4], [6, 8]], np.int8)
    facts, values = first_of(weight("kernel", stored), *beside)
    assert values is stored
    assert not facts.quantized


def quantized(mode):
    model = keras.Sequential(
        [keras.Input((16,)), keras.layers.Dense(7, name="d"), keras.layers.ReLU()]
    )
    kernel = np.asarray(model.layers[0].kernel)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Layer .* does not have a `quantize` method", UserWarning)
        model.quantize(mode)
    return model, kernel


@pytest.mark.parametrize(("mode", "step"), [("int8", 127), ("int4", 7)])
def test_what_keras_quantized_is_near_what_it_was(tmp_path, mode, step):
    model, kernel = quantized(mode)
    model.save(tmp_path / "small.keras")
    for network in (
        KerasNetwork(model),
        StoredNetwork(tmp_path / "small.keras", read_stored(tmp_path / "small.keras"), "asked"),
    ):
        found = {facts.path: (facts, array) for facts, array in network.variables()}
        facts, values = found["d/kernel"]
        assert facts.quantized == mode
        assert np.abs(values - kernel).max() <= np.abs(kernel).max() / step * 0.51
        assert [path for path, (f, _) in found.items() if f.trainable] == ["d/bias"]
        assert "d/kernel_scale" in found
    build_report(tmp_path / "small.keras", output=tmp_path / "out")
    report = pages.check_page(tmp_path / "out")
    section = next(s for s in report["sections"] if s["kind"] == "weights")
    said = f"d/kernel is stored in {mode}: the numbers are those of the dequantised values."
    assert said in [notice["text"] for notice in section["notices"]]
    row = next(v for v in section["content"]["variables"] if v["name"] == "kernel")
    assert row["max"] == pytest.approx(kernel.max(), rel=0.2)
    assert row["health"] is None


def test_float8_trains_on_floats_and_its_scales_are_named(tmp_path):
    model, kernel = quantized("float8")
    model.save(tmp_path / "small.keras")
    network = StoredNetwork(
        tmp_path / "small.keras", read_stored(tmp_path / "small.keras"), "asked"
    )
    found = {facts.path: (facts, array) for facts, array in network.variables()}
    np.testing.assert_array_equal(found["d/kernel"][1], kernel)
    assert {"d/inputs_scale", "d/kernel_amax_history", "d/outputs_grad_scale"} <= found.keys()
    assert [path for path, (f, _) in found.items() if f.trainable] == ["d/kernel", "d/bias"]


def test_lora_is_merged_by_keras_into_what_it_saves(tmp_path):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, name="d")])
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(np.ones((2, 4)))
    model.save(tmp_path / "lora.keras")
    merged = np.asarray(model.layers[0].kernel)
    network = StoredNetwork(tmp_path / "lora.keras", read_stored(tmp_path / "lora.keras"), "asked")
    found = {facts.path: array for facts, array in network.variables()}
    np.testing.assert_allclose(found["d/kernel"], merged, rtol=1e-6)
    build_report(tmp_path / "lora.keras", output=tmp_path / "out")
    report = pages.check_page(tmp_path / "out")
    names = [v["name"] for v in pages.content(report, "weights")["variables"]]
    assert {"lora_kernel_a", "lora_kernel_b"} <= set(names)


# -- against Keras's own dequantisation ----------------------------------------------------------------

INT4 = keras.quantizers.Int4QuantizationConfig
CONFIGS = {"as it comes": None}
if "block_size" in inspect.signature(INT4).parameters:  # Keras 3.13 has no groups
    CONFIGS |= {"groups": INT4(block_size=2), "whole": INT4(block_size=None)}
EQUATIONS = {
    "heads": ("abc,cde->abde", (None, 2, 3), (4, 6)),
    "turned": ("ab,cb->ac", (5,), (6,)),
    "out of heads": ("abcd,cde->abe", (None, 5), (4, 2, 3)),
    "one axis": ("ab,bc->ac", 7, (6,)),
    "mixed": ("abc,dce->abed", (None, 3, 2), (4, 5)),
}


def built(layer, *shape):
    return keras.Sequential([keras.Input(shape), layer])


def kernel_of(network, name="kernel"):
    return next((f, a) for f, a in network.variables() if f.name == name and f.quantized)


def both(model, folder):
    """Return the network of a model, and what its file stores of it."""
    model.save(folder / "small.keras")
    stored = read_stored(folder / "small.keras")
    return KerasNetwork(model), StoredNetwork(folder / "small.keras", stored, "asked")


def one_hot(shape):
    """Return inputs of which each has one value: what quantizes them does not change them."""
    size = int(np.prod(shape))
    return np.eye(size, dtype=np.float32).reshape(size, *shape)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("width", [5, 6, 1])
def test_an_embedding_of_four_bits_is_what_its_layer_looks_up(tmp_path, width, config):
    model = built(keras.layers.Embedding(6, width, name="e"), 1)
    model.layers[0].quantize("int4", config=CONFIGS[config])
    expected = np.asarray(model(np.arange(6)[:, None]))[:, 0]
    for network in both(model, tmp_path):
        facts, values = kernel_of(network, "embeddings")
        assert (facts.quantized, facts.shape, facts.stored_bytes) == (
            "int4",
            (6, width),
            6 * ((width + 1) // 2),
        )
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_an_embedding_that_is_read_both_ways_is_known_both_ways(tmp_path, mode):
    model = built(keras.layers.ReversibleEmbedding(6, 5, tie_weights=False, name="e"), 1)
    before = np.asarray(model.layers[0].reverse_embeddings)
    model.layers[0].quantize(mode)
    for network in both(model, tmp_path):
        _, values = kernel_of(network, "reverse_embeddings")
        assert np.abs(values - before).max() <= np.abs(before).max() / 7


@pytest.mark.parametrize("config", ["int8", *CONFIGS])
@pytest.mark.parametrize("name", EQUATIONS)
def test_an_einsum_of_few_bits_is_what_its_layer_computes_with(tmp_path, name, config):
    equation, output, shape = EQUATIONS[name]
    model = built(keras.layers.EinsumDense(equation, output, name="d"), *shape)
    layer, given = model.layers[0], one_hot(shape)
    whole = tuple(layer.kernel.shape)
    mode = "int8" if config == "int8" else "int4"
    layer.quantize(mode, config=CONFIGS.get(config))
    for network in both(model, tmp_path):
        facts, values = kernel_of(network)
        assert facts.quantized == mode
        assert values.shape == whole or name == "out of heads"
        found = np.einsum(equation, given, values.reshape(whole))
        np.testing.assert_allclose(found, np.asarray(layer(given)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("mode", "steps"), [("int8", 127), ("int4", 7)])
def test_the_layers_of_an_attention_are_near_what_they_were(tmp_path, mode, steps):
    entry = keras.Input((4, 6))
    layer = keras.layers.MultiHeadAttention(2, 3, name="m")
    model = keras.Model(entry, layer(entry, entry))
    before = {f.path: a for f, a in KerasNetwork(model).variables() if f.name == "kernel"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Layer .* does not have a `quantize` method", UserWarning)
        model.quantize(mode)
    built, stored = both(model, tmp_path)
    found = {f.path: a for f, a in built.variables() if f.quantized == mode}
    assert found.keys() == before.keys()
    for path, kernel in before.items():
        far = np.abs(found[path].reshape(kernel.shape) - kernel).max()
        assert far <= np.abs(kernel).max() / steps
    same = [a.ravel() for f, a in stored.variables() if f.quantized]
    known = mode == "int8" or "groups" in CONFIGS  # how Keras 3.13 packs is not told by a file
    assert len(same) == (len(before) if known else 0)
    for kernel in found.values() if known else ():  # the file has them in another order
        flat = kernel.ravel()
        assert any(one.shape == flat.shape and np.allclose(one, flat, rtol=1e-6) for one in same)


def calibrated(mode, bits, layer, *shape, drawn=None):
    """Return a layer as GPTQ or AWQ leaves it, its whole numbers drawn: calibration takes a language model."""
    model = built(layer, *shape)
    one, rng = model.layers[0], drawn or np.random.default_rng(3)
    if mode == "gptq":
        config = keras.quantizers.GPTQConfig(None, None, weight_bits=bits, group_size=2)
    else:
        config = keras.quantizers.AWQConfig(None, None, group_size=2)
    one.quantize(mode, config=config)
    del one._kernel
    one.quantized_kernel.assign(rng.integers(0, 256, one.quantized_kernel.shape))
    if one.kernel_scale.shape[0] % 2 and bits == 4:  # the half of the last byte that is not used
        one.quantized_kernel.assign(np.asarray(one.quantized_kernel) & 15)
    one.kernel_scale.assign(rng.uniform(0.1, 1, one.kernel_scale.shape))
    one.kernel_zero.assign(rng.integers(0, 16, one.kernel_zero.shape))
    one.g_idx.assign(rng.permutation(np.arange(one.g_idx.shape[0]) // 2))
    one.is_gptq_calibrated, one.is_awq_calibrated = mode == "gptq", mode == "awq"
    if mode == "awq":
        one.awq_scales.assign(rng.uniform(0.5, 2, one.awq_scales.shape))
    return model


AWQ = [("awq", 4)] if hasattr(keras.quantizers, "AWQConfig") else []
CALIBRATED = [("gptq", 4), ("gptq", 8), *AWQ]


@pytest.mark.parametrize(("mode", "bits"), CALIBRATED)
@pytest.mark.parametrize("units", [5, 8, 1])
def test_a_dense_of_gptq_or_awq_is_what_it_computes_with(mode, bits, units):
    model = calibrated(mode, bits, keras.layers.Dense(units, name="d"), 6)
    facts, values = kernel_of(KerasNetwork(model))
    assert facts.quantized == f"int{8 if units == 1 else bits} ({mode.upper()})"
    np.testing.assert_allclose(values, np.asarray(model(np.eye(6))), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("mode", "bits"), CALIBRATED)
@pytest.mark.parametrize("name", ["heads", "one axis"])
def test_an_einsum_of_gptq_or_awq_is_what_it_computes_with(mode, bits, name):
    equation, output, shape = EQUATIONS[name]
    model = calibrated(mode, bits, keras.layers.EinsumDense(equation, output, name="d"), *shape)
    _, values = kernel_of(KerasNetwork(model))
    given = one_hot(shape)
    found = np.einsum(equation, given, values)
    np.testing.assert_allclose(found, np.asarray(model(given)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["gptq", *(mode for mode, _ in AWQ)])
def test_a_file_of_gptq_is_shown_as_it_is_stored_and_says_so(tmp_path, mode):
    """Keras 3.15 does not save the zeros of GPTQ and AWQ, and cannot load what it saved; 3.13 does."""
    model = calibrated(mode, 4, keras.layers.Dense(5, name="d"), 6)
    model.save(tmp_path / "small.keras")
    build_report(tmp_path / "small.keras", output=tmp_path / "out")
    report = pages.check_page(tmp_path / "out")
    section = next(s for s in report["sections"] if s["kind"] == "weights")
    said = [notice["text"] for notice in section["notices"]]
    names = {row["name"]: row["shape"] for row in section["content"]["variables"]}
    if "kernel_zero" in names:
        assert any(text.startswith("d/kernel is stored in int4 (GPTQ)") for text in said)
        return
    assert any(text.startswith("d/kernel is stored in whole numbers") for text in said)
    scales = {"awq_scales": [6]} if mode == "awq" else {}
    assert names == {"bias": [5], "kernel": [3, 6], "kernel_scale": [5, 3], "g_idx": [6], **scales}


@pytest.mark.parametrize("missing", ["kernel_zero", "g_idx", "kernel_scale"])
def test_what_gptq_lacks_leaves_its_numbers_as_they_are(missing):
    model = calibrated("gptq", 4, keras.layers.Dense(5, name="d"), 6)
    pairs = [
        weight(v.name, np.asarray(v))
        for v in model.layers[0].weights
        if v.name not in {"bias", missing}
    ]
    facts, values = first_of(*pairs)
    assert values is pairs[0][1]
    assert not facts.quantized
