"""Real models on real images; only where ``REPORTGEN_MODELS`` says where they are."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pages
import pytest
from PIL import Image

from reportgen import build_report

PLACE = Path(os.environ.get("REPORTGEN_MODELS") or "/nowhere")
MODELS, IMAGES = PLACE / "models", PLACE / "images"
_FOLDER = tempfile.TemporaryDirectory(prefix="reportgen-real-")


@functools.cache
def fashion():
    """Return the first 64 test images and their labels."""
    with np.load(IMAGES / "data/fashion_mnist.npz") as data:
        return data["x_test"][:64], data["y_test"][:64]


def photos(*names):
    return [IMAGES / "photos" / name for name in names]


PHOTOS = ("coffee.png", "camera.png", "chelsea.png", "rocket.png")
FEW_STEPS = {"feature_steps": 8}
QUICK = {"quick": True}
"""Without evidence and features, which the tests of these sections look at on the same networks."""


def briefly(unit):
    """Let every section run, but optimise for one unit in few steps and explain by the cheapest method.

    A report of a large network takes minutes otherwise, and no test here looks at its units and maps: those
    of the sections do, on the same networks.
    """
    return {"relevance": "gradcam", "units": (unit,), **FEW_STEPS}


BUILDS = {
    "efficientnet": lambda: (
        "efficientnet_lite0.keras",
        photos(*PHOTOS),
        {"classes": str(MODELS / "imagenet_labels.json"), **briefly("class:967")},
    ),
    "efficientnet-crop": lambda: (
        "efficientnet_lite0.keras",
        photos(*PHOTOS),
        {"classes": str(MODELS / "imagenet_labels.json"), "resize": "crop", "quick": True},
    ),
    "cifar10": lambda: ("cifar10_nested.keras", photos(*PHOTOS[:2]), QUICK),
    "emotion": lambda: ("fer_mini_xception.keras", face(), briefly("class:3")),
    "selfie": lambda: (
        "selfie_segmentation.keras",
        photos("astronaut.png"),
        QUICK,
    ),
    "iris": lambda: ("iris_landmark.keras", photos("astronaut.png"), QUICK),
    "fashion": lambda: (in_folder("fashion_cnn2", ".keras"), fashion(), {"max_probes": 64}),
    "fashion-h5": lambda: (
        in_folder("fashion_cnn2", ".h5"),
        fashion(),
        {"max_probes": 64, **briefly("class:3")},
    ),
    "vit": lambda: (
        in_folder("fashion_vit", ".keras"),
        fashion(),
        {"max_probes": 64, **briefly("class:3"), "relevance": "rollout"},
    ),
    "float16": lambda: (
        in_folder("fashion_mixed_float16", ".keras"),
        fashion(),
        {"max_probes": 64, **briefly("class:3")},
    ),
    "healthy": lambda: (
        "sick/resnet8__healthy.keras",
        IMAGES / "imagenet",
        briefly("class:3"),
    ),
    "nan": lambda: (
        "sick/resnet8__nan_one_weight.keras",
        IMAGES / "imagenet",
        {"relevance": "gradcam", **FEW_STEPS},
    ),
    "int8": lambda: (
        "odd/mnist_cnn_int8_keras_quantized.keras",
        fashion()[0],
        briefly("class:3"),
    ),
    "logits": lambda: ("odd/mnist_cnn_logits.keras", fashion()[0], briefly("class:3")),
    "siamese": lambda: ("odd/mnist_siamese_shared_encoder_2in.keras", None, {}),
    "text": lambda: (
        "text/textgenrnn.keras",
        None,
        {"custom_objects": str(MODELS / "text/custom_layers.py")},
    ),
}
NAMES = tuple(BUILDS) if "REPORTGEN_MODELS" in os.environ else ()


def in_folder(name, suffix):
    """Return the final model of a training."""
    return f"trained/{name}/final{suffix}"


def face():
    """Cut the astronaut's face out of her portrait."""
    path = Path(_FOLDER.name) / "face.png"
    with Image.open(IMAGES / "photos/astronaut.png") as image:
        image.crop((160, 60, 290, 190)).save(path)
    return path


@functools.cache
def report(name):
    """Build, check the page, and return its report.json; once a model."""
    model, probes, options = BUILDS[name]()
    output = Path(_FOLDER.name) / name
    build_report(MODELS / model, probes=probes, output=output, **options)
    return pages.check_page(output)


def preprocessing(name):
    return pages.content(report(name), "probes")["preprocessing"]


def tops(name):
    probes = pages.content(report(name), "probes")["probes"]
    return {probe["name"]: probe["outputs"][0]["top"][0] for probe in probes}


if NAMES:

    @pytest.mark.parametrize("name", NAMES)
    def test_report_is_complete(name):
        made = report(name)
        assert made["summary"]["state"] == "complete"
        overview, weights = (pages.content(made, kind) for kind in ("overview", "weights"))
        assert overview["file"]["sha256"]
        assert weights["count"] == overview["parameters"] > 0
        assert weights["bytes"] == overview["weight_bytes"]
        assert overview["flops"] > 0
        has_probes = pages.content(made, "probes") is not None
        assert has_probes == (name not in {"siamese", "text"})
        for v in weights["variables"]:
            assert sum(v["histogram"]["counts"]) == v["count"] - v["nan"] - v["inf"]

    def test_photographs_are_what_they_show():
        found = tops("efficientnet-crop")
        assert found["coffee.png"]["name"] == "espresso"
        assert found["coffee.png"]["probability"] == pytest.approx(0.95, abs=0.02)
        assert found["camera.png"]["name"] == "tripod"
        assert found["camera.png"]["probability"] == pytest.approx(0.94, abs=0.02)
        assert "cat" in found["chelsea.png"]["name"]
        assert found["rocket.png"]["name"] == "missile"

    def test_photographs_are_stretched_as_keras_stretches_them():
        import keras
        import tensorflow as tf

        model = keras.models.load_model(MODELS / "efficientnet_lite0.keras", compile=False)
        found = tops("efficientnet")
        for path in photos(*PHOTOS):
            image = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
            p = model.predict(tf.image.resize(image, (224, 224))[None], verbose=0)[0]
            assert found[path.name]["index"] == p.argmax()
            assert found[path.name]["probability"] == pytest.approx(float(p.max()), rel=1e-4)

    @pytest.mark.parametrize(
        ("name", "mode"),
        [("efficientnet", "none"), ("emotion", "symmetric"), ("healthy", "none")],
    )
    def test_preprocessing_is_found(name, mode):
        chosen = preprocessing(name)
        assert (chosen["mode"], chosen["chosen"]) == (mode, "auto")

    def test_smiling_face_is_happy():
        (top,) = tops("emotion").values()
        assert top["index"] == 3  # angry, disgust, fear, happy, sad, surprise, neutral
        assert top["probability"] > 0.9

    def test_person_is_masked():
        (result,) = pages.outputs(report("selfie"))
        assert result["type"] == "segmentation"
        person = next(entry for entry in result["legend"] if entry["index"] == 1)
        assert 0.3 < person["share"] < 0.7
        assert result["mean_confidence"] > 0.95

    def test_landmarks_are_two_vectors():
        (probe,) = pages.content(report("iris"), "probes")["probes"]
        assert [o["type"] for o in probe["outputs"]] == ["regression", "regression"]

    def test_clothes_are_told_apart_by_both_files_alike():
        kept = [pages.content(report(name), "probes") for name in ("fashion", "fashion-h5")]
        assert kept[0]["labelled"] == 64
        assert kept[0]["correct"] >= 55  # .911 on all test images
        assert kept[0]["correct"] == kept[1]["correct"]
        assert [p["outputs"] for p in kept[0]["probes"]] == [
            p["outputs"] for p in kept[1]["probes"]
        ]
        assert pages.content(report("vit"), "probes")["correct"] >= 48  # .836
        assert pages.content(report("float16"), "probes")["correct"] >= 48  # .833

    def test_one_broken_weight_is_found():
        with (MODELS / "sick/sick.json").open() as file:
            assert "nan" in json.dumps(json.load(file)).lower()
        weights = pages.content(report("nan"), "weights")
        assert weights["nan"] == 1
        assert pages.content(report("healthy"), "weights")["nan"] == 0

    def test_integers_are_shown_in_their_type():
        weights = pages.content(report("int8"), "weights")
        assert "int8" in {v["dtype"] for v in weights["variables"]}

    def test_logits_are_recognised():
        assert pages.content(report("logits"), "overview")["tasks"][0]["scale"] == "logits"
        assert all(result["softmaxed"] for result in pages.outputs(report("logits")))

    def test_mixed_precision_keeps_float32_variables():
        weights = pages.content(report("float16"), "weights")
        assert {v["dtype"] for v in weights["variables"]} == {"float32"}
        assert pages.content(report("float16"), "overview")["dtype_policy"].startswith(
            "mixed_float16"
        )

    def test_shared_encoder_is_counted_once():
        overview = pages.content(report("siamese"), "overview")
        assert len(overview["inputs"]) == 2
        paths = [v["path"] for v in pages.content(report("siamese"), "weights")["variables"]]
        assert len(paths) == len(set(paths))
