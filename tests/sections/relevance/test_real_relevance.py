"""Relevance of real models; only where ``REPORTGEN_MODELS`` says where they are."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import pages
import pytest

from reportgen import build_report

PLACE = Path(os.environ.get("REPORTGEN_MODELS") or "/nowhere")
MODELS, PHOTOS = PLACE / "models", PLACE / "images/photos"
CLOTHES = Path(__file__).parents[3] / "examples/fashion/probes"
_FOLDER = tempfile.TemporaryDirectory(prefix="reportgen-relevance-")
AHEAD = {"supported", "weak"}
VERDICTS = {*AHEAD, "no better than chance", "flat", "fails the sanity check"}
CAMS = {"gradcam", "hirescam"}


class Real(NamedTuple):
    """A model, what it is tried on, and whose features the CAM family weighs."""

    path: str
    probes: object
    layer: str | None
    grid: tuple[int, int] | None
    target: tuple[str, ...] = ()


REAL = {
    "lite0": Real("efficientnet_lite0.keras", PHOTOS / "coffee.png", "top_activation", (7, 7)),
    "nested": Real(
        "cifar10_nested.keras",
        PHOTOS / "chelsea.png",
        "efficientnet_lite0_base/top_activation",
        (7, 7),
    ),
    "faces": Real("fer_mini_xception.keras", PHOTOS / "astronaut.png", "conv2d_7", (4, 4)),
    "mask": Real("selfie_segmentation.keras", PHOTOS / "astronaut.png", None, (128, 128)),
    "two outputs": Real("iris_landmark.keras", PHOTOS / "astronaut.png", None, None),
    "iris": Real("iris_landmark.keras", PHOTOS / "astronaut.png", None, None, ("output_iris:0",)),
    "diverged": Real("trained/fashion_high_lr/final.keras", CLOTHES, None, None),
    "vit": Real("trained/fashion_vit/final.keras", CLOTHES, "ln", (7, 7)),
    "half": Real("trained/fashion_mixed_float16/final.keras", CLOTHES, "conv3", (7, 7)),
    "siamese": Real(
        "odd/mnist_siamese_shared_encoder_2in.keras", CLOTHES, "encoder/conv2", (11, 11)
    ),
}


@functools.cache
def relevance(name):
    real = REAL[name]
    folder = Path(_FOLDER.name) / name
    build_report(
        MODELS / real.path,
        probes=real.probes,
        output=folder,
        sections=("probes", "relevance"),
        strict=True,
        target=real.target,
    )
    return pages.content(pages.check_page(folder), "relevance")


if "REPORTGEN_MODELS" in os.environ:

    @pytest.mark.parametrize("name", REAL)
    def test_every_map_has_a_place_and_evidence_or_is_flat(name):
        real = REAL[name]
        content = relevance(name)
        cam = next(m for m in content["methods"] if m["name"] in CAMS)
        assert real.layer in {None, cam["layer"]}
        assert real.grid is None or tuple(cam["grid"]) == real.grid
        assert min(cam["grid"]) >= 4
        for one in content["maps"]:
            assert one["verdict"] in VERDICTS
            if one["verdict"] == "flat":
                assert one.get("overlay") is None
                continue
            assert 0 < one["peak"]["x"] < 1
            assert 0 < one["peak"]["y"] < 1
            won = one["evidence"]["advantage"] > one["evidence"]["needed"]
            assert won == (one["verdict"] in AHEAD) or "sanity" in one["verdict"]
            held = one["evidence"]["middle_needed"]
            assert (held is not None) == won
            if won and one["verdict"] in AHEAD:
                assert (one["evidence"]["advantage"] > held) == (one["verdict"] == "supported")

    def test_a_cup_of_coffee_is_found_in_the_middle():
        """The dish fills the picture's middle; the table's edges are not what makes it espresso."""
        content = relevance("lite0")
        one = next(m for m in content["maps"] if m["method"] == "gradcam")
        assert (
            one["verdict"] in AHEAD
        )  # what knows only that things stand in the middle finds it too
        assert 0.25 < one["peak"]["x"] < 0.75
        assert 0.25 < one["peak"]["y"] < 0.75

    def test_a_diverged_network_reads_flat():
        assert {one["verdict"] for one in relevance("diverged")["maps"]} == {"flat"}
