"""The section Relevance from end to end, on small networks whose right answer is known."""

from __future__ import annotations

import json
import re
import time
from collections import Counter

import keras
import numpy as np
import pytest
from keras import layers
from pages import check_page, page_text
from test_relevance_shapes import SIZE, crowded, decide, functional, picture, pool, see, vit
from told import Told

import reportgen
from reportgen.errors import UsageError


def built(model, folder, **options):
    options.setdefault("probes", picture()[None])
    options.setdefault("sections", ("probes", "relevance"))
    report = reportgen.build_report(model, output=folder, **options).report
    return next(section for section in report.sections if section.kind == "relevance")


def verdicts(section):
    return {one.method: one.verdict for one in section.content.maps}


def test_the_page_is_whole_and_says_what_the_data_say(tmp_path):
    section = built(functional(), tmp_path, relevance="all", classes=["red", "green"])
    report = check_page(tmp_path)
    text = page_text(tmp_path)
    for one in section.content.maps:
        assert one.verdict is None or one.verdict in text
    stored = next(s for s in report["sections"] if s["kind"] == "relevance")["content"]["maps"]
    first = stored[0]
    assert first["probe"] == 0
    assert first["target"]["name"] == "red"
    assert 0 <= first["peak"]["x"] <= 1
    assert first["raw_maximum"] > 0
    assert set(first["evidence"]) >= {"deletion", "insertion", "random_deletion", "average_drop"}
    assert first["verdict"] in {
        "supported", "no better than chance", "flat", "fails the sanity check",
    }  # fmt: skip


def test_the_alternative_text_says_where_the_relevance_lies(tmp_path):
    section = built(functional(), tmp_path)
    one = next(m for m in section.content.maps if m.method == "gradcam")
    assert "strongest upper left" in one.overlay.alt
    assert "within the brightest tenth" in one.overlay.alt


def test_the_true_class_is_explained_beside_a_wrong_prediction(tmp_path):
    probes = (picture()[None], ["green"])
    section = built(functional(), tmp_path, probes=probes, classes=["red", "green"])
    asked = {(one.target.role, one.target.name) for one in section.content.maps}
    assert asked == {("predicted", "red"), ("true", "green")}


def test_a_right_prediction_is_explained_once(tmp_path):
    probes = (picture()[None], ["red"])
    section = built(functional(), tmp_path, probes=probes, classes=["red", "green"])
    assert {one.target.role for one in section.content.maps} == {"predicted"}


def dead():
    """The head ignores the image: its kernel is zero."""
    model = functional()
    weights = model.get_weights()
    weights[2] = np.zeros_like(weights[2])
    weights[3] = np.array([1.0, 0.0], np.float32)
    model.set_weights(weights)
    return model


def test_a_head_that_ignores_the_image_reads_flat_and_shows_no_noise(tmp_path):
    section = built(dead(), tmp_path, relevance=("gradcam", "integrated-gradients", "smoothgrad"))
    assert set(verdicts(section).values()) == {"flat"}
    assert all(one.overlay is None and one.alone is None for one in section.content.maps)
    assert "Integrated gradients is flat on every probe: no pixel has an effect" in section.lead
    check_page(tmp_path)


def test_nan_weights_give_a_notice_and_no_picture(tmp_path):
    model = functional()
    weights = model.get_weights()
    weights[0][0, 0, 0, 0] = np.nan
    model.set_weights(weights)
    section = built(model, tmp_path)
    assert section.content is None
    assert "NaN or infinity to every probe" in section.notices[0].text
    check_page(tmp_path)


def test_a_probe_that_ends_in_nan_is_left_out_and_counted(tmp_path):
    start = keras.Input((SIZE, SIZE, 3), name="picture")
    seen = pool()(see()(start))
    end = layers.Lambda(lambda x: x / (x[:, :1] - x[:, 1:]))(seen)  # 0 / 0 for equal colours
    model = keras.Model(start, decide(activation="softmax")(end))
    probes = np.stack([picture(), np.zeros_like(picture())])
    section = built(model, tmp_path, probes=probes)
    assert {one.probe for one in section.content.maps} == {0}
    assert any("1 of 2 probes are left out" in notice.text for notice in section.notices)


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
def test_a_softmax_over_a_single_class_decides_nothing(tmp_path):
    start = keras.Input((SIZE, SIZE, 3))
    end = layers.Dense(1, activation="softmax")(pool()(see()(start)))
    section = built(keras.Model(start, end), tmp_path)
    assert section.content is None
    assert "single class" in section.notices[0].text


def test_a_network_without_places_gets_gradients_and_a_notice(tmp_path):
    start = keras.Input((SIZE, SIZE, 3))
    end = layers.Dense(2, activation="softmax")(layers.Flatten()(start))
    section = built(keras.Model(start, end), tmp_path)
    assert {one.method for one in section.content.maps} == {"integrated-gradients"}
    assert any("Grad-CAM needs features with places" in n.text for n in section.notices)


def test_inputs_without_a_picture_have_no_relevance(tmp_path):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, activation="softmax")])
    section = built(model, tmp_path, probes=np.zeros((2, 6), np.float32))
    assert section.content is None
    assert "No input takes images" in section.notices[0].text


def test_the_methods_that_are_asked_for_are_run(tmp_path):
    section = built(functional(), tmp_path, relevance=("saliency,occlusion",))
    assert [method.name for method in section.content.methods] == ["saliency", "occlusion"]
    section = built(functional(), tmp_path / "none", relevance="none")
    assert section.content is None


def test_attention_gets_rollout_and_distances_by_default(tmp_path):
    section = built(vit(), tmp_path)
    assert [m.name for m in section.content.methods][-1] == "rollout"
    (layer,) = section.content.attention
    assert layer.call == "attend"
    side = np.arange(8) / 8
    y, x = np.meshgrid(side, side, indexing="ij")
    place = np.stack([y.ravel(), x.ravel()], axis=1)
    even = np.sqrt(((place[:, None] - place[None]) ** 2).sum(-1)).mean() / np.sqrt(2)
    assert layer.distances[0] == pytest.approx(even, rel=1e-4)  # it attends evenly


def test_quick_leaves_the_evidence_out_and_says_so(tmp_path):
    section = built(functional(), tmp_path, quick=True)
    assert verdicts(section) == {"gradcam": None}
    assert section.content.maps[0].evidence is None
    assert "without evidence" in section.lead
    assert any("left out (--quick)" in notice.text for notice in section.notices)
    check_page(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": ["7"]}, "no such class"),
        ({"target": ["blue"]}, "no such class"),
        ({"target": ["nosuch:1"]}, "no output 'nosuch'"),
        ({"relevance_layer": "nosuch"}, "no spatial features of that name"),
        ({"relevance": "gradcm"}, "did you mean 'gradcam'"),
        ({"relevance": ("none", "gradcam")}, "takes no further methods"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_nothing_is_written(options, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        built(functional(), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_named_layer_is_used(tmp_path):
    start = keras.Input((SIZE, SIZE, 3))
    first = layers.Conv2D(3, 3, strides=2, name="early")(start)
    end = decide(activation="softmax")(pool()(layers.Conv2D(2, 3, name="late")(first)))
    model = keras.Model(start, end)
    for layer, wanted in ((None, "late"), ("early", "early"), ("ear*", "early")):
        section = built(model, tmp_path / str(wanted), relevance="layercam", relevance_layer=layer)
        assert section.content.methods[0].layer == wanted


def test_the_network_hesitates_and_the_contrast_tells_the_classes_apart(tmp_path):
    image = picture()
    image[image > 0] = 0.02  # faint squares: both classes are nearly as likely
    section = built(functional(), tmp_path, probes=image[None], relevance="gradcam")
    (one,) = section.content.contrasts
    assert {one.first, one.second} == {"class 0", "class 1"}
    assert one.probabilities[0] - one.probabilities[1] < 0.2
    assert one.peak.x < 0.5
    check_page(tmp_path)


def test_the_strongest_disagreement_comes_first(tmp_path):
    rng = np.random.default_rng(0)
    probes = np.stack([picture(), rng.random((SIZE, SIZE, 3), np.float32), 1 - picture()])
    content = built(functional(), tmp_path, probes=probes).content
    least = {a.probe: a.rank_correlation for a in content.agreements}
    order = list(dict.fromkeys(one.probe for one in content.maps))
    assert order == sorted(least, key=lambda probe: least[probe])


def test_a_method_blind_to_the_weights_fails_the_sanity_check(tmp_path, monkeypatch):
    """A gradient that is the image itself, whatever the weights, as an edge detector is."""
    from reportgen.nets.passes import KerasPasses

    def blind(self, samples):
        for sample in samples:
            yield 1.0, sample.inputs["picture"].astype(np.float32) + 0.1

    monkeypatch.setattr(KerasPasses, "gradients", blind)
    noise = np.random.default_rng(0).random((1, SIZE, SIZE, 3), np.float32)
    section = built(functional(), tmp_path, probes=noise, relevance=("saliency", "gradcam"))
    assert verdicts(section)["saliency"] == "fails the sanity check"
    assert "fails the sanity check" in section.lead


def test_a_random_map_is_no_better_than_chance(tmp_path, monkeypatch):
    from reportgen.nets.passes import KerasPasses

    rng = np.random.default_rng(0)

    def random(self, samples):
        for sample in samples:
            yield 1.0, rng.random(sample.inputs["picture"].shape, np.float32)

    monkeypatch.setattr(KerasPasses, "gradients", random)
    noise = np.random.default_rng(0).random((24, SIZE, SIZE, 3), np.float32)
    section = built(functional(), tmp_path, probes=noise, relevance="saliency", max_probes=24)
    found = [one.verdict for one in section.content.maps]
    assert set(found) <= {"no better than chance", "supported"}
    assert found.count("supported") <= 4  # one in twenty is expected


def test_to_leave_out_a_black_background_is_no_evidence(tmp_path, monkeypatch):
    """Blackening what is black changes nothing, so chance knows the background too."""
    from reportgen.nets.passes import KerasPasses

    rng = np.random.default_rng(0)

    def anywhere_on_the_thing(self, samples):
        for sample in samples:
            image = sample.inputs["picture"]
            yield 1.0, rng.random(image.shape, np.float32) * (image > 0)

    monkeypatch.setattr(KerasPasses, "gradients", anywhere_on_the_thing)
    probes = np.zeros((24, SIZE, SIZE, 3), np.float32)
    probes[:, 8:22, 9:25] = np.random.default_rng(1).uniform(0.3, 1, (24, 14, 16, 3))
    section = built(functional(), tmp_path, probes=probes, relevance="saliency", max_probes=24)
    found = [one.verdict for one in section.content.maps]
    assert found.count("supported") <= 4
    one = section.content.maps[0].evidence
    assert one.random_insertion > one.random_deletion


def windows(blocks=4):
    """Attention within windows that are folded into the batch, as Swin does it."""
    start = keras.Input((SIZE, SIZE, 3), name="picture")
    seen = layers.Conv2D(4, 4, strides=4, name="patches")(start)
    cut = keras.ops.reshape(seen, (-1, 2, blocks, 2, blocks, 4))
    cut = keras.ops.reshape(keras.ops.transpose(cut, (0, 1, 3, 2, 4, 5)), (-1, 16, 4))
    mixed = layers.MultiHeadAttention(1, 4, name="attend")(cut, cut)
    back = keras.ops.reshape(mixed, (-1, 64, 4))
    end = layers.GlobalAveragePooling1D()(back)
    return keras.Model(start, layers.Dense(2, activation="softmax")(end))


def test_rows_that_are_windows_are_never_taken_for_images(tmp_path):
    probes = np.stack([picture(), picture() / 10, picture()])
    section = built(windows(), tmp_path, probes=probes)
    assert {one.method for one in section.content.maps} == {"hirescam", "integrated-gradients"}
    assert section.content.methods[0].layer == "patches" or section.content.methods[0].grid == (
        8,
        8,
    )
    said = " ".join(notice.text for notice in section.notices)
    assert "folds places into the batch dimension" in said
    assert section.content.attention == ()
    with pytest.raises(UsageError, match="no spatial features of that name"):
        built(windows(), tmp_path / "b", probes=probes, relevance_layer="attend")


def test_an_integer_input_has_no_gradient_and_that_is_said(tmp_path):
    start = keras.Input((SIZE, SIZE, 3), dtype="uint8", name="picture")
    end = decide(activation="softmax")(pool()(see()(layers.Rescaling(1 / 255)(start))))
    section = built(
        keras.Model(start, end), tmp_path, probes=(picture()[None] * 255).astype("uint8")
    )
    assert {one.method for one in section.content.maps} == {"gradcam"}
    assert any("takes integers" in notice.text for notice in section.notices)


def test_the_page_says_what_it_takes_to_beat_chance(tmp_path):
    section = built(functional(), tmp_path)
    one = next(m for m in section.content.maps if m.method == "integrated-gradients")
    assert (one.evidence.advantage > one.evidence.needed) == (one.verdict == "supported")
    assert "to beat chance: over" in page_text(tmp_path)


def test_the_same_inputs_give_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    model = functional()
    for name in ("one", "two"):
        built(model, tmp_path / name, relevance="all")
    one, two = ((tmp_path / n / "report.json").read_bytes() for n in ("one", "two"))
    assert one == two
    assert json.loads(one)


def test_the_model_keeps_its_weights(tmp_path):
    model = functional()
    before = [w.copy() for w in model.get_weights()]
    built(model, tmp_path)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_black_is_in_the_units_of_the_model(tmp_path):
    """After x / 127.5 - 1 black is -1: the constant part of a picture without it has no effect."""
    black = {"relevance_baseline": "black"}
    section = built(functional(), tmp_path, probes=2 * picture()[None] - 1, **black)
    assert "-1, read as black" in section.content.baseline
    images = (picture()[None] * 255).astype(np.uint8)
    section = built(functional(), tmp_path / "b", probes=images, preprocess="symmetric", **black)
    assert section.content.baseline == "black (0), as symmetric maps it"
    one = next(m for m in section.content.maps if m.method == "integrated-gradients")
    assert one.completeness_share == pytest.approx(0, abs=0.02)


def flattened():
    """Decides by the pixels themselves, behind a map that says nothing of them."""
    start = keras.Input((SIZE, SIZE, 3), name="picture")
    seen = layers.Conv2D(2, 3, padding="same", name="blind", kernel_initializer="zeros")(start)
    pixels = layers.GlobalAveragePooling2D()(start)
    both = layers.Concatenate()([layers.GlobalAveragePooling2D()(seen), pixels])
    head = layers.Dense(2, activation="softmax", name="decide")
    model = keras.Model(start, head(both))
    kernel = np.zeros((5, 2), np.float32)
    kernel[2, 0] = kernel[3, 1] = 60
    head.set_weights([kernel, np.zeros(2, np.float32)])
    return model


@pytest.mark.parametrize(
    ("make", "best", "other"),
    [(functional, "occlusion", "saliency"), (flattened, "integrated-gradients", "gradcam")],
)
def test_the_mistakes_are_explained_by_the_method_with_most_supported_maps(
    tmp_path, make, best, other
):
    images = np.stack(
        [crowded(), np.roll(crowded(), 3, axis=0), crowded()[::-1], crowded()[:, ::-1]]
    )
    report = reportgen.build_report(
        make(), data=(images, np.array([0, 0, 1, 0])), output=tmp_path, classes=["red", "green"],
        relevance=(best, other), sections=("evaluation", "relevance"),
    ).report  # fmt: skip
    maps = report.section("relevance").content.maps
    counts = Counter(one.method for one in maps if one.verdict == "supported")
    assert counts[best] > counts[other]
    titles = {method.name: method.title for method in report.section("relevance").content.methods}
    assert report.section("evaluation").content.result.explained_by == titles[best]
    assert [s.kind for s in report.sections] == ["evaluation", "relevance"]


# -- a budget -----------------------------------------------------------------------------------------


def three_pictures():
    return np.stack([picture(), picture()[:, ::-1], picture()[::-1]])


def test_a_budget_of_nothing_explains_one_probe_with_all_its_evidence(tmp_path):
    section = built(functional(), tmp_path, probes=three_pictures(), budget=0.0)
    assert {one.probe for one in section.content.maps} == {0}
    assert all(one.evidence is not None for one in section.content.maps if one.verdict != "flat")
    assert all(method.stages for method in section.content.methods)
    assert section.content.unexplained == 2
    assert "2 further probes not explained, by --budget" in section.lead
    assert "2 images not explained, by --budget" in page_text(tmp_path)
    assert page_text(tmp_path).count("What this decision rests on is not explained.") == 2
    (notice,) = (n for n in section.notices if n.level == "warning")
    assert notice.text.startswith("--budget left no time to explain 2 images:")
    check_page(tmp_path)


def test_a_budget_that_suffices_changes_nothing(tmp_path):
    told = Told()
    whole = built(functional(), tmp_path / "whole", probes=three_pictures())
    within = built(
        functional(), tmp_path / "within", probes=three_pictures(), budget=3_600, progress=told
    )
    assert within.content == whole.content
    assert within.notices == whole.notices
    assert not any("--budget" in stage for stage in told.texts)


def test_a_budget_that_is_too_short_for_what_is_never_cut_says_how_long_it_took(tmp_path):
    told, begun = Told(), time.monotonic()
    built(functional(), tmp_path, budget=0.001, progress=told)
    took = time.monotonic() - begun
    said = re.match(r"The build took (\S+) s, not the 0\.001 s of --budget: ", told.texts[-1])
    assert 0.9 * took <= float(said[1]) + 0.05 <= took + 0.1


# -- in full --------------------------------------------------------------------------------------------


def test_in_full_the_last_layers_come_first_and_the_end_is_that_of_the_default(tmp_path):
    default = built(functional(), tmp_path / "default")
    full = built(functional(), tmp_path / "full", full=True)
    for one, whole in zip(default.content.methods, full.content.methods, strict=True):
        assert one.stages == whole.stages[-1:]
        assert len(whole.stages) > 1
        assert whole.passes_sanity == one.passes_sanity
    assert [m.verdict for m in default.content.maps] == [m.verdict for m in full.content.maps]
    assert "Random down to" in page_text(tmp_path / "full")
    assert "Random down to" not in page_text(tmp_path / "default")
    check_page(tmp_path / "full")
