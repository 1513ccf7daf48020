"""Outputs whose norm a normalization makes constant: what makes each probe's output its own is explained."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from pages import check_page, content, page_text

from reportgen import build_report
from reportgen.sections.relevance.targets import Target, similarities

SIDE = 16
NAME = "similarity to its own output, against the mean of the probes' outputs"


def backbone(end):
    """An embedding of the lower left quadrant alone."""
    keras.utils.set_random_seed(4)
    start = keras.Input((SIDE, SIDE, 3), name="picture")
    mask = np.zeros((1, SIDE, SIDE, 1), np.float32)
    mask[:, SIDE // 2 :, : SIDE // 2] = 1
    x = keras.ops.multiply(start, mask)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, activation="relu", name="see")(x)
    x = layers.Dense(8)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(start, end(x), name="backbone")


ENDS = {
    "layer normalization": layers.LayerNormalization(epsilon=1e-6),
    "unit length": layers.UnitNormalization(),
}


def pictures(count=6):
    return np.random.default_rng(2).random((count, SIDE, SIDE, 3)).astype(np.float32)


@pytest.mark.parametrize("end", ENDS)
def test_maps_behind_a_normalization_lie_where_the_embedding_looks(end, tmp_path):
    model = backbone(ENDS[end])
    build_report(
        model, probes=pictures(), output=tmp_path, sections=("relevance",), relevance="all"
    )
    found = content(check_page(tmp_path), "relevance")
    by_method = {one["name"] for one in found["methods"]}
    assert by_method >= {"gradcam", "integrated-gradients", "occlusion"}
    for one in found["maps"]:
        assert one["target"]["name"] == NAME
        if one["method"] in {"integrated-gradients", "occlusion", "saliency", "smoothgrad"}:
            assert one["verdict"] != "flat"
            assert one["peak"]["x"] < 0.5 < one["peak"]["y"]
    assert any(one["method"] == "gradcam" and one["peak"] for one in found["maps"])
    assert NAME in page_text(tmp_path)


def test_the_score_is_the_component_away_from_the_mean(tmp_path):
    model = backbone(layers.LayerNormalization(epsilon=1e-6))
    probes = pictures()
    build_report(model, probes=probes, output=tmp_path, sections=("relevance",))
    found = content(check_page(tmp_path), "relevance")["maps"]
    said = {one["probe"]: one["target"]["score"] for one in found}
    outputs = model.predict(probes, verbose=0).astype(np.float64)
    away = outputs - outputs.mean(axis=0)
    expected = (outputs * away).sum(axis=1) / np.linalg.norm(away, axis=1)
    for probe, score in said.items():
        assert score == pytest.approx(expected[probe], rel=1e-4)


def test_a_single_probe_is_compared_with_black(tmp_path):
    model = backbone(layers.LayerNormalization(epsilon=1e-6))
    build_report(
        model, probes=pictures(1) + 0.5, output=tmp_path, sections=("relevance",), relevance="all"
    )
    found = content(check_page(tmp_path), "relevance")["maps"]
    assert {(one["probe"], one["target"]["name"]) for one in found} == {(0, NAME)}
    assert any(one["peak"] and one["peak"]["x"] < 0.5 < one["peak"]["y"] for one in found)


@pytest.mark.parametrize("count", [1, 6])
def test_a_norm_that_differs_is_explained_as_ever(count, tmp_path):
    model = backbone(layers.Identity())
    brightness = np.arange(1, count + 1)[:, None, None, None].astype(np.float32)
    probes = pictures(count) * brightness
    build_report(model, probes=probes, output=tmp_path, sections=("relevance",))
    found = content(check_page(tmp_path), "relevance")["maps"]
    assert {one["target"]["name"] for one in found} == {"norm of the output"}


def norm():
    return Target("out", "norm", None, "norm of the output", "predicted", None, "norm")


def test_the_direction_is_each_outputs_own():
    outputs = [np.array([1.0, 0.0]), np.array([0.0, 1.0])]
    first, second = similarities([norm(), norm()], outputs)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(first.weights, [half, -half], rtol=1e-6)
    np.testing.assert_allclose(second.weights, [-half, half], rtol=1e-6)
    assert first.read(outputs[0], outputs[0]) == pytest.approx(half)
    assert first.read(outputs[1], outputs[1]) == pytest.approx(-half)
    assert not first.decides


def test_outputs_that_are_all_the_same_have_no_direction():
    outputs = [np.ones(3), np.ones(3)]
    found = similarities([norm(), norm()], outputs)
    assert found
    assert all(not target.weights.any() for target in found)


def test_outputs_that_are_nothing_have_no_norm_to_compare():
    assert similarities([norm(), norm()], [np.zeros(3), np.zeros(3)]) is None


def test_targets_that_are_no_norms_stay():
    other = norm()._replace(kind="error")
    assert similarities([other], [np.ones(3)]) is None
