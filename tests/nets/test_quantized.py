"""Quantized weights: the statistics are those of what is computed with, and it is said."""

from __future__ import annotations

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


def first_of(*pairs):
    found = list(dequantized(iter(pairs)))
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
    np.testing.assert_array_equal(first_of(*pairs)[1], [[1, -2], [1.5, 2]])


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
