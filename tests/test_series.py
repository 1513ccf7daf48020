"""Time series from end to end: lines over steps, bands along them, and no squares."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import layers
from pages import check_page, content, notices, page_text
from PIL import Image

from reportgen import build_report
from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.calls import token_grid
from reportgen.network.protocol import Aim
from reportgen.sections.relevance import methods
from reportgen.sections.relevance.methods import Question

STEPS, CHANNELS = 20, 10
SEEN = range(2, 6)


def seer(steps=STEPS, channels=CHANNELS):
    """Class 0 is the sum of channel 0 over the steps 2 to 5, class 1 that of channel 1."""
    start = keras.Input((steps, channels), name="signal")
    x = layers.Conv1D(2, 1, activation="relu", name="see")(start)
    end = layers.Dense(2, activation="softmax", name="label")(layers.Flatten()(x))
    model = keras.Model(start, end)
    kernel = np.zeros((1, channels, 2))
    kernel[0, 0, 0] = kernel[0, 1, 1] = 1
    head = np.zeros((steps, 2, 2))
    head[SEEN, 0, 0] = head[SEEN, 1, 1] = 1
    model.get_layer("see").set_weights([kernel, np.zeros(2)])
    model.get_layer("label").set_weights([head.reshape(-1, 2), np.zeros(2)])
    return model


def series(count=6, steps=STEPS, channels=CHANNELS):
    """Positive noise with a step at 2 to 5 in channel 0 or 1."""
    values = np.random.default_rng(3).uniform(0.2, 0.6, (count, steps, channels))
    for row in range(count):
        values[row, SEEN, row % 2] += 1
    return values.astype(np.float32)


def small(steps, channels=9):
    keras.utils.set_random_seed(1)
    start = keras.Input((steps, channels))
    x = layers.Conv1D(6, 3, padding="same", activation="relu", name="see")(start)
    x = layers.Conv1D(4, 3, padding="same", activation="relu", name="combine")(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(start, layers.Dense(3, activation="softmax")(x))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    place = tmp_path_factory.mktemp("series")
    build_report(seer(), probes=series(), output=place, relevance="all")
    return place


def maps_of(folder):
    return content(json.loads((folder / "report.json").read_bytes()), "relevance")["maps"]


def test_the_page_is_whole_and_shows_series(report):
    data = check_page(report)
    for probe in content(data, "probes")["probes"]:
        (received,) = probe["received"]
        assert probe["given"] is None
        assert len(received["lines"]) == 6
        assert received["lines"][0] in {0, 1}
        assert received["figure"]["src"].endswith(".svg")
        assert "a series of 20 steps by 10 channels, values 0.2" in received["figure"]["alt"]
    assert "of 10 channels the 6 with the largest variance" in page_text(report)


@pytest.mark.parametrize(
    "method", ["gradcam", "hirescam", "layercam", "integrated-gradients", "saliency", "occlusion"]
)
def test_a_network_that_looks_at_four_steps_is_explained_by_them(report, method):
    found = [one for one in maps_of(report) if one["method"] == method]
    assert len(found) == 6
    for one in found:
        assert one["grid"] == [1, STEPS]
        assert int(one["peak"]["x"] * STEPS) in SEEN
        assert one["alone"] is None
    words = [f"strongest around step {step} of 0 to 19" for step in SEEN]
    assert all(any(word in one["overlay"]["alt"] for word in words) for one in found)


@pytest.mark.parametrize("method", ["gradcam", "integrated-gradients", "occlusion"])
def test_the_evidence_deletes_steps_and_supports_the_right_ones(report, method):
    for one in maps_of(report):
        if one["method"] == method:
            assert one["verdict"] == "supported"
            assert (
                one["evidence"]["steps"][2] == 0.25
            )  # five of twenty steps: all four that are seen
            assert one["evidence"]["deletion_curve"][2] == one["evidence"]["deletion_curve"][-1]


def test_the_baseline_is_each_channels_mean(report):
    data = json.loads((report / "report.json").read_bytes())
    assert content(data, "relevance")["baseline"] == "the mean of each channel over the probes"
    assert "steps are replaced by the baseline" in page_text(report)


def passes(kind="linear"):
    network = KerasNetwork(seer())
    output = network.facts.outputs[0].name
    return network.passes(Aim(output, kind, "signal", "see"), lambda _: None)


def question(values, black):
    weights = np.array([1, 0], np.float32)
    return Question({"signal": values}, "signal", weights, black[None], series=True)


def test_maps_are_what_the_weights_say():
    values = series(1)[0]
    black = np.full((STEPS, CHANNELS), 0.3, np.float32)
    asked = [question(values, black)]
    inside = np.isin(np.arange(STEPS), SEEN)
    effect = np.where(inside, values[:, 0] - 0.3, 0)
    (found,) = methods.integrated_gradients(passes(), asked, 8, 0)
    assert found.values.shape == (1, STEPS)
    np.testing.assert_allclose(found.values[0], effect, atol=1e-6)
    (found,) = methods.occlusion(passes(), asked, 64, 0)
    np.testing.assert_allclose(found.values[0], effect, atol=1e-5)
    (found,) = methods.hirescam(passes(), asked, 1, 0)
    np.testing.assert_allclose(found.values[0], np.where(inside, values[:, 0], 0), atol=1e-6)
    (found,) = methods.gradcam(passes(), asked, 1, 0)
    share = len(SEEN) / STEPS
    np.testing.assert_allclose(found.values[0], share * values[:, 0], atol=1e-6)
    (found,) = methods.saliency(passes(), asked, 1, 0)
    np.testing.assert_allclose(found.values[0], inside, atol=1e-6)


@pytest.mark.parametrize("steps", [16, 25, 28, 128])
def test_no_length_is_folded_to_a_square(steps, tmp_path):
    values = series(4, steps, 9)
    build_report(small(steps), probes=values, output=tmp_path, sections=KINDS)
    data = check_page(tmp_path)
    shown = [one for one in content(data, "activations")["shown"] if one["kind"] != "strip"]
    assert {(one["kind"], *one["grid"]) for one in shown} == {("steps", 1, steps)}
    for one in shown:
        figure = one["rows"][0]["figure"]
        assert (figure["width"], figure["height"]) == (steps, len(one["channels"]))
        assert f"over {steps} steps" in figure["alt"]
    grids = {tuple(one["grid"]) for one in content(data, "relevance")["maps"]}
    assert grids == {(1, steps)}


KINDS = ("probes", "activations", "relevance")


def test_activations_of_steps_are_channels_below_each_other(report):
    shown = content(json.loads((report / "report.json").read_bytes()), "activations")["shown"]
    (see,) = [one for one in shown if one["id"] == "see"]
    with Image.open(report / see["rows"][0]["figure"]["src"]) as picture:
        levels = np.asarray(picture)
    values = series()[0][:, :2].T
    expected = np.rint((values - see["low"]) / (see["high"] - see["low"]) * 254)
    assert np.abs(levels - expected).max() <= 1


def grey(kind):
    start = keras.Input((28, 28), name="picture")
    x = start
    if kind == "convolution":
        x = layers.Conv2D(4, 3, activation="relu")(layers.Reshape((28, 28, 1))(start))
    x = layers.Flatten()(x)
    return keras.Model(start, layers.Dense(2, activation="softmax")(x))


@pytest.mark.parametrize("kind", ["perceptron", "convolution"])
def test_a_grey_picture_without_a_channel_stays_one(kind, tmp_path):
    values = np.random.default_rng(0).random((4, 28, 28)).astype(np.float32)
    build_report(grey(kind), probes=values, output=tmp_path, sections=KINDS)
    data = check_page(tmp_path)
    probe = content(data, "probes")["probes"][0]
    assert probe["size"] == [28, 28]
    assert probe["received"][0]["lines"] == []
    assert probe["received"][0]["figure"]["width"] == 28
    found = content(data, "relevance")
    assert not found["series"]
    assert all(one["grid"][0] > 1 for one in found["maps"])


def rows(head):
    start = keras.Input((28, 28), name="rows")
    x = head(layers.LSTM(4, return_sequences=True)(start))
    return keras.Model(start, layers.Dense(2, activation="softmax")(x))


def test_states_of_a_recurrent_layer_are_no_places(tmp_path):
    values = np.random.default_rng(0).random((4, 28, 28)).astype(np.float32)
    build_report(
        rows(layers.GlobalAveragePooling1D()), probes=values, output=tmp_path, sections=KINDS
    )
    data = check_page(tmp_path)
    assert "tells of many steps at once" in notices(data, "relevance")
    assert {one["method"] for one in content(data, "relevance")["maps"]} == {"integrated-gradients"}


def test_features_stand_in_front_of_recurrent_layers(tmp_path):
    start = keras.Input((32, 3))
    x = layers.Conv1D(8, 3, padding="same", activation="relu", name="see")(start)
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True))(layers.MaxPooling1D(2)(x))
    x = layers.Conv1D(4, 1, name="behind")(x)
    model = keras.Model(start, layers.Dense(2)(layers.Flatten()(x)))
    build_report(model, probes=series(4, 32, 3), output=tmp_path, sections=KINDS, target="0")
    methods_of = content(check_page(tmp_path), "relevance")["methods"]
    assert {one["layer"] for one in methods_of if one["name"] == "hirescam"} == {"see"}


def test_picture_files_are_read_for_a_network_over_their_rows(tmp_path):
    for name in ("a.png", "b.png"):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (28, 28), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    probes = [tmp_path / "a.png", tmp_path / "b.png"]
    place = tmp_path / "out"
    build_report(rows(layers.Flatten()), probes=probes, output=place, sections=KINDS)
    probe = content(check_page(place), "probes")["probes"][0]
    assert probe["given"] is not None
    assert probe["received"][0]["lines"]


def test_a_data_set_of_series_shows_series(tmp_path):
    values = series(30)
    labels = np.arange(30) % 2
    labels[:3] = 1 - labels[:3]
    np.savez(tmp_path / "data.npz", x=values, y=labels)
    build_report(seer(), data=tmp_path / "data.npz", output=tmp_path / "out")
    data = check_page(tmp_path / "out")
    result = content(data, "evaluation")["result"]
    shown = [*result["mistakes"], *result["hesitant"]]
    assert shown
    assert all((one["relevance"] or one["figure"])["src"].endswith(".svg") for one in shown)
    assert result["mistakes"][0]["figure"] is None
    assert all(one["top"] is None for one in content(data, "activations")["shown"])


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(16, (1, 16, 0)), (25, (1, 25, 0)), (128, (1, 128, 0)), (129, (1, 128, 1))],
)
def test_tokens_of_a_series_are_a_row_behind_a_class_token(tokens, expected):
    assert token_grid(tokens, (1, 128, 9)) == expected
