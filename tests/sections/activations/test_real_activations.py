"""Architecture and activations of real models; only where ``REPORTGEN_MODELS`` says where they are."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

import keras
import pages
import pytest

from reportgen import build_report

PLACE = Path(os.environ.get("REPORTGEN_MODELS") or "/nowhere")
MODELS, PHOTOS = PLACE / "models", PLACE / "images/photos"
_FOLDER = tempfile.TemporaryDirectory(prefix="reportgen-real-")
NAMES = ("efficientnet_lite0", "cifar10_nested", "selfie_segmentation", "iris_landmark")


@functools.cache
def folder(name):
    return build_report(
        MODELS / f"{name}.keras",
        probes=PHOTOS,
        output=Path(_FOLDER.name) / name,
        sections=("architecture", "activations"),
    ).path


@functools.cache
def contents(name):
    """Check the page and return both sections' content."""
    report = pages.check_page(folder(name))
    return tuple(pages.content(report, kind) for kind in ("architecture", "activations"))


if "REPORTGEN_MODELS" in os.environ:

    @pytest.mark.parametrize("name", NAMES)
    def test_folds_add_up(name):
        architecture, _ = contents(name)
        held = [path for group in architecture["groups"] for path in group["layers"]]
        assert sorted(held) == sorted(row["path"] for row in architecture["layers"])
        assert len(held) == architecture["layer_count"]
        assert architecture["overview_nodes"] <= 40
        boxes = architecture["overview"]["boxes"]
        for number, a in enumerate(boxes):
            for b in boxes[:number]:
                beside = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
                below = a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]
                assert beside or below
        model = keras.saving.load_model(MODELS / f"{name}.keras", compile=False)
        assert architecture["parameters"] == model.count_params()

    @pytest.mark.parametrize("name", NAMES)
    def test_maps_fit_a_page(name):
        _, activations = contents(name)
        assert activations["images"] == len(list(PHOTOS.iterdir()))
        assert 3 <= len(activations["shown"]) <= 8
        for shown in activations["shown"]:
            assert len(shown["rows"]) == activations["images"]
            assert shown["low"] < shown["high"]

    def test_dead_filters_of_the_stem_are_shown():
        _, activations = contents("efficientnet_lite0")
        stem = next(row for row in activations["calls"] if row["id"] == "stem_activation")
        assert (stem["silent"], stem["channels"]) == (4, 32)
        before = next(row for row in activations["calls"] if row["id"] == "stem_bn")
        assert before["silent"] == 0
        text = pages.page_text(folder("efficientnet_lite0")).partition("Open a row for")[2]
        card = text.partition("stem_activation ReLU 112×112×32")[2]
        assert "4 of 32" in card.partition("block1a_dwconv DepthwiseConv2D")[0]

    def test_every_inner_call_of_a_nested_model_has_a_row():
        architecture, activations = contents("cifar10_nested")
        model = keras.saving.load_model(MODELS / "cifar10_nested.keras", compile=False)
        base = model.layers[0]
        inner = [
            f"{base.name}/{layer.name}"
            for layer in base.layers
            if not isinstance(layer, keras.layers.InputLayer)
        ]
        outer = [layer.name for layer in model.layers]
        ids = [row["id"] for row in activations["calls"]]
        assert len(ids) == len(set(ids)) == 146 - 1  # without the model's own call
        assert set(ids) == {*inner, *outer}
        depth = {row["id"]: row["depth"] for row in activations["calls"]}
        assert {depth[name] for name in inner} == {1}
        assert {depth[name] for name in outer} == {0}
        labels = [frame["label"] for frame in architecture["full"]["frames"]]
        assert len(labels) == 1
