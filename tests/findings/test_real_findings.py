"""Broken and healthy real models; only where ``REPORTGEN_MODELS`` says where they are."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from pathlib import Path

import keras
import msgspec
import numpy as np
import pytest
from PIL import Image

from reportgen import build_report
from reportgen.context import Context, Tools
from reportgen.findings.judge import judge
from reportgen.inputs.given import Inputs
from reportgen.nets.keras_network import KerasNetwork
from reportgen.report.model import Section
from reportgen.sections.weights.section import collect
from reportgen.settings import Settings

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
        assert found == {("batch-norm-untouched", "")}  # one finding, with their number
        report = build_report(path, sections="weights").report
        said = [f.observed for f in report.findings if f.rule == "batch-norm-untouched"]
        assert [text.split(":")[0] for text in said] == [f"all {len(layers)} layers"]
        assert severities == {"error"}

    def test_an_untrained_network_is_fresh_everywhere(tmp_path):
        path = MODELS / "sick" / "resnet8__untrained.keras"
        found, _ = serious(path, IMAGES / "imagenet", tmp_path)
        fresh = [layer for rule, layer in found if rule == "kernel-at-initialisation"]
        assert fresh == [""]  # one finding: never trained
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

    NETWORKS = {
        "fashion_cnn2": "trained/fashion_cnn2/final.keras",
        "fashion_vit": "trained/fashion_vit/final.keras",
        "efficientnet_lite0": "efficientnet_lite0.keras",
    }
    PLACES = [
        ("fashion_cnn2", "conv1"),
        ("fashion_cnn2", "conv2"),
        ("fashion_cnn2", "class"),
        ("fashion_vit", "patch_embed"),
        ("fashion_vit", "block0_mha/query"),
        ("fashion_vit", "block1_mlp1"),
        ("efficientnet_lite0", "block4b_dwconv"),
        ("efficientnet_lite0", "predictions"),
    ]
    DAMAGE = {
        "one weight of 1000": ("dominant-weight", lambda k: _put_flat(k, k.size // 3, 1000.0)),
        "times 10,000": ("scale-out-of-line", lambda k: k * np.float32(1e4)),
        "times a millionth": ("scale-out-of-line", lambda k: k * np.float32(1e-6)),
        "rounded to int8": ("rounded-kernel", lambda k: _rounded(k, np.abs(k).max() / 127)),
        "fresh": (
            "kernel-at-initialisation",
            lambda k: keras.initializers.GlorotUniform(7)(k.shape),
        ),
    }

    def _put_flat(kernel, index, value):
        kernel.reshape(-1)[index] = value
        return kernel

    def _rounded(kernel, step):
        return (np.rint(kernel / step) * step).astype(np.float32)

    @functools.cache
    def loaded(name):
        return keras.models.load_model(MODELS / NETWORKS.get(name, name), compile=False)

    @functools.cache
    def context_of(name):
        """Trace a network once; its variables are read anew for every report."""
        network = KerasNetwork(loaded(name), images=1)
        return Context(network, Inputs(Settings()), Tools(Nowhere()), (), (), {})

    class Only:
        """A network of which only some variables are looked at."""

        def __init__(self, network, paths):
            self.facts, self._network, self._paths = network.facts, network, paths

        def variables(self):
            for variable, values in self._network.variables():
                if variable.path in self._paths:
                    yield variable, values

    @functools.cache
    def of_healthy(name):
        return collect(context_of(name), None).content

    def judged(name, layer=""):
        """Return (rule, layer) of errors and warnings about the weights alone, one layer measured anew."""
        context, content = context_of(name), of_healthy(name)
        paths = {v.path for v in content.variables if layer and f"/{v.layer}".endswith(f"/{layer}")}
        if paths:
            again = collect(context._replace(network=Only(context.network, paths)), None).content
            changed = {v.path: v for v in again.variables}
            norms = {n.layer: n for n in again.batch_norms}
            content = msgspec.structs.replace(
                content,
                variables=tuple(changed.get(v.path, v) for v in content.variables),
                batch_norms=tuple(norms.get(n.layer, n) for n in content.batch_norms),
            )
        findings = judge([Section("weights", "Weights", content=content)]).findings
        return {(f.rule, f.where.layer) for f in findings if f.severity != "info"}

    class Nowhere:
        def add(self, *_, **__):
            return None

    @contextlib.contextmanager
    def damaged(variable, change):
        """Give a variable other values and take them back."""
        before = np.array(variable.value)
        variable.assign(change(before.copy()))
        yield
        variable.assign(before)

    def variable_of(model, layer, kind):
        ends = f"{layer}/{kind}"
        return next(w for w in model.weights if w.path == ends or w.path.endswith("/" + ends))

    @pytest.mark.parametrize(("name", "layer"), PLACES)
    def test_damage_to_a_kernel_is_found_at_its_layer(name, layer):
        model, healthy = loaded(name), judged(name)
        kernel = variable_of(model, layer, "kernel")
        for way, (rule, change) in DAMAGE.items():
            if way == "fresh" and np.prod(kernel.shape) < 200:
                continue
            with damaged(kernel, change):
                found = judged(name, layer) - healthy
            assert (rule, layer) in found, way
            assert {where for _, where in found} == {layer}, way

    BIASES = [
        ("fashion_cnn2", "conv2/bias"),
        ("fashion_cnn2", "class/bias"),
        ("fashion_vit", "pos_embed/bias"),
        ("fashion_vit", "block0_ln1/beta"),
        ("fashion_vit", "block1_mlp1/bias"),
        ("efficientnet_lite0", "block4b_project_bn/beta"),
        ("efficientnet_lite0", "block4b_bn/beta"),
        ("efficientnet_lite0", "predictions/bias"),
    ]

    @pytest.mark.parametrize(("name", "path"), BIASES)
    def test_a_bias_far_below_everything_is_found_at_its_layer(name, path):
        model, healthy = loaded(name), judged(name)
        layer, kind = path.rsplit("/", 1)

        def sink(values):
            values.reshape(-1)[::5] = values.reshape(-1)[1::5] = -1000
            return values

        with damaged(variable_of(model, layer, kind), sink):
            found = judged(name, layer) - healthy
        rule = "units-cannot-fire" if path == "block4b_bn/beta" else "bias-out-of-line"
        assert found == {(rule, layer)}

    def test_exploded_weights_are_found_in_every_layer():
        found = judged("trained/fashion_high_lr/final.keras")
        layers = {layer for rule, layer in found if rule == "scale-out-of-line"}
        assert layers == {"conv1", "conv2", "conv3", "class"}

    HEALTHY = [
        "fer_mini_xception.keras", "iris_landmark.keras",
        "selfie_segmentation.keras", "odd/mnist_cnn_logits.keras", "sick/resnet8__healthy.keras",
        "odd/mnist_siamese_shared_encoder_2in.keras", "odd/mnist_cnn_int8_keras_quantized.keras",
        "trained/fashion_cnn2/checkpoints/epoch_02.keras", "trained/fashion_overfit/final.keras",
        "trained/fashion_underfit2/final.keras", "trained/fashion_mixed_float16/final.keras",
        *NETWORKS,
    ]  # fmt: skip

    @pytest.mark.parametrize("path", HEALTHY)
    def test_weights_of_healthy_networks_raise_only_what_is_true(path):
        found = judged(path)
        assert {rule for rule, _ in found} <= (
            TRUE_OF_LITE0 if "lite0" in path or "cifar" in path else set()
        )

    def rolled(name):
        """Return a copy whose head says every class one place further."""
        model = keras.models.load_model(MODELS / NETWORKS[name], compile=False)
        head = [layer for layer in model.layers if layer.weights][-1]
        head.set_weights([np.roll(values, 1, axis=-1) for values in head.get_weights()])
        return model, head.name

    @pytest.mark.parametrize("name", ["fashion_cnn2", "fashion_vit"])
    def test_rolled_classes_are_found_by_ten_probes_and_by_a_data_set(name, tmp_path):
        model, head = rolled(name)
        with np.load(IMAGES / "data" / "fashion_mnist.npz") as data:
            x, y = data["x_test"][:200], data["y_test"][:200]
        assert ("rolled-labels", head) in serious(model, (x[:10], y[:10]), tmp_path / "a")[0]
        options = {"sections": ("overview", "evaluation"), "skip": ()}
        found = serious(model, None, tmp_path / "b", data=(x, y), **options)[0]
        assert ("labels-renamed", head) in found

    def test_rolled_classes_of_a_thousand_are_found(tmp_path):
        photos = sorted((IMAGES / "imagenet").iterdir())[:8]
        pictures = np.stack([_read(path) for path in photos])
        healthy = np.asarray(loaded("efficientnet_lite0")(pictures)).argmax(axis=1)
        model, head = rolled("efficientnet_lite0")
        options = {"sections": ("overview", "probes"), "skip": (), "preprocess": "none"}
        found = serious(model, (pictures, healthy), tmp_path, **options)[0]
        assert ("rolled-labels", head) in found

    def _read(path):
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((224, 224)), np.float32)


def test_the_example_raises_nothing(tmp_path):
    found, _ = serious(
        EXAMPLE / "model.keras", EXAMPLE / "probes", tmp_path, classes=str(EXAMPLE / "classes.txt")
    )
    assert found == set()
