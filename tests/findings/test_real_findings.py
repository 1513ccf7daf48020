"""Broken and healthy real models; only where ``REPORTGEN_MODELS`` says where they are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from reportgen import build_report

PLACE = Path(os.environ.get("REPORTGEN_MODELS") or "/nowhere")
MODELS, IMAGES = PLACE / "models", PLACE / "images"
EXAMPLE = Path(__file__).parents[2] / "examples" / "fashion"

EXPECTED = {
    "nan_one_weight": {("non-finite-weights", "conv2d")},
    "zero_filters_40pct": {("zero-filters", "conv2d_3")},
    "dead_relu_40pct": {("units-cannot-fire", "batch_normalization_3")},
    "duplicate_filters": {("duplicate-filters", "conv2d_3")},
    "layer_reinitialised": {("kernel-at-initialisation", "conv2d_3")},
    "exploded_scale": {("scale-out-of-line", "conv2d_3")},
    "collapsed_output": {("constant-output", "dense")},
    "healthy": set(),
}
NOT_JUDGED = ("features", "relevance")
"""No rule looks at these sections, and they take the longest."""
TRUE_OF_LITE0 = {"moving-variance", "zero-filters", "units-cannot-fire"}


def serious(model, probes, tmp_path, **options):
    """Return (rule, layer) of every error and warning, and the severities."""
    options = {"skip": NOT_JUDGED, **options}
    report = build_report(model, probes=probes, output=tmp_path / "out", **options).report
    found = [f for f in report.findings if f.severity != "info"]
    return {(f.rule, f.where.layer) for f in found}, {f.severity for f in found}


def fashion():
    with np.load(IMAGES / "data" / "fashion_mnist.npz") as data:
        return data["x_test"][:8]


if MODELS.is_dir():

    @pytest.mark.parametrize("name", EXPECTED)
    def test_a_broken_copy_raises_what_it_was_broken_for(name, tmp_path):
        path = MODELS / "sick" / f"resnet8__{name}.keras"
        assert serious(path, IMAGES / "imagenet", tmp_path)[0] == EXPECTED[name]

    def test_expectations_name_the_layers_of_the_inventory():
        entries = json.loads((MODELS / "sick" / "sick.json").read_text())
        layers = {
            e["file"].removeprefix("resnet8__").removesuffix(".keras"): e.get("layer")
            for e in entries
        }
        for name, expected in EXPECTED.items():
            assert {layer for _, layer in expected} == ({layers[name]} if layers[name] else set())

    def test_reset_statistics_are_found_in_every_normalization(tmp_path):
        path = MODELS / "sick" / "resnet8__bn_stats_reset.keras"
        found, severities = serious(path, IMAGES / "imagenet", tmp_path)
        entries = json.loads((MODELS / "sick" / "sick.json").read_text())
        layers = next(e["layers"] for e in entries if "bn_stats" in e["file"])
        assert found == {("batch-norm-untouched", layer) for layer in layers}
        assert severities == {"error"}

    def test_an_untrained_network_is_fresh_everywhere(tmp_path):
        path = MODELS / "sick" / "resnet8__untrained.keras"
        found, _ = serious(path, IMAGES / "imagenet", tmp_path)
        fresh = {layer for rule, layer in found if rule == "kernel-at-initialisation"}
        assert fresh == {"dense", "conv2d", *(f"conv2d_{i}" for i in range(1, 9))}
        assert {rule for rule, _ in found} == {"kernel-at-initialisation", "batch-norm-untouched"}

    @pytest.mark.parametrize(
        "name",
        [
            "trained/fashion_cnn2/final",
            "trained/fashion_vit/final",
            "trained/fashion_mixed_float16/final",
        ],
    )
    def test_healthy_networks_raise_nothing(name, tmp_path):
        assert serious(MODELS / f"{name}.keras", fashion(), tmp_path)[0] == set()

    def test_published_networks_raise_only_what_is_true(tmp_path):
        found, severities = serious(
            MODELS / "efficientnet_lite0.keras", IMAGES / "photos", tmp_path
        )
        assert {rule for rule, _ in found} <= TRUE_OF_LITE0
        assert severities <= {"warning"}
        assert serious(MODELS / "fer_mini_xception.keras", IMAGES / "photos", tmp_path)[0] == set()

    BREAKS = {
        "nan": ("non-finite-weights", lambda k, _: _put(k, (0, 0, 0, 0), np.nan)),
        "zero": ("zero-filters", lambda k, _: _columns(k, 0.0)),
        "copies": ("duplicate-filters", lambda k, _: np.repeat(k[..., :1], k.shape[-1], axis=-1)),
        "fresh": ("kernel-at-initialisation", lambda k, init: np.asarray(init(k.shape))),
        "huge": ("scale-out-of-line", lambda k, _: k * 10_000),
    }

    def _put(kernel, index, value):
        kernel[index] = value
        return kernel

    def _columns(kernel, value):
        kernel[..., : kernel.shape[-1] // 2] = value
        return kernel

    @pytest.mark.parametrize("way", BREAKS)
    def test_another_network_broken_in_the_same_way_is_found(way, tmp_path):
        model = keras.models.load_model(MODELS / "fer_mini_xception.keras", compile=False)
        layer = model.get_layer("conv2d_2")
        rule, change = BREAKS[way]
        keras.utils.set_random_seed(3)
        kernel = np.array(layer.kernel)
        layer.kernel.assign(change(kernel, keras.initializers.GlorotUniform(seed=5)))
        found, _ = serious(model, str(IMAGES / "photos"), tmp_path)
        assert (rule, "conv2d_2") in found


def test_the_example_raises_nothing(tmp_path):
    found, _ = serious(
        EXAMPLE / "model.keras", EXAMPLE / "probes", tmp_path, classes=str(EXAMPLE / "classes.txt")
    )
    assert found == set()
