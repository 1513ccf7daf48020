"""``build_report`` from end to end, against what the model itself says."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import models
import numpy as np
import pages
import pytest
from PIL import Image

from reportgen import ReportFolder, build_report
from reportgen.errors import LabelError, ModelError, OutputError, ProbeError, UsageError
from reportgen.settings import SECTIONS

PICTURES = models.images()
LOOKED_AT = ("overview", "probes", "weights")
BRIEF = 2e-5  # results are stored to six significant digits, and batches differ in the last one


def built(tmp_path, model, probes=None, **options):
    """Build the sections that most tests look at, check the page, and return its report.json.

    The others take ten times as long; tests that say something about the whole page ask for all.
    """
    if "skip" not in options:
        options.setdefault("sections", LOOKED_AT)
    folder = build_report(model, probes=probes, output=tmp_path / "report", **options)
    assert folder.failed == ()
    return pages.check_page(folder.path)


def predicted(name, *arrays):
    """Return what Keras itself predicts."""
    given = [np.asarray(a, np.float32) for a in arrays]
    return models.model(name).predict(given if len(given) > 1 else given[0], verbose=0)


def write_images(folder, pictures=PICTURES, form="{}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(np.squeeze(picture)).save(folder / form.format(index))
    return folder


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def entropy(p):
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def assert_classified(results, probabilities, labels=None):
    assert len(results) == len(probabilities)
    for number, (result, p) in enumerate(zip(results, probabilities.astype(float), strict=True)):
        best = np.argsort(-p)[:5]
        assert [s["index"] for s in result["top"]] == best.tolist()
        assert [s["probability"] for s in result["top"]] == pytest.approx(p[best], rel=BRIEF)
        assert result["entropy"] == pytest.approx(entropy(p), rel=1e-4)
        assert result["classes"] == len(p)
        if labels is None:
            assert result["correct"] is None
        else:
            assert result["correct"] == (best[0] == labels[number])
            assert result["label_probability"] == pytest.approx(p[labels[number]], rel=BRIEF)


# -- what the outputs are ------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_classifier_agrees_with_predict(tmp_path, suffix):
    report = built(
        tmp_path,
        models.saved("classifier", suffix),
        write_images(tmp_path / "probes"),
        sections=SECTIONS,
    )
    p = predicted("classifier", PICTURES)
    assert_classified(pages.outputs(report), p)
    assert not pages.outputs(report)[0]["softmaxed"]
    assert pages.content(report, "probes")["preprocessing"]["mode"] == "none"
    summary = report["summary"]
    assert summary["state"] == "complete"
    assert "classifier with 7 classes" in summary["sentence"]
    text = pages.page_text(tmp_path / "report")
    assert all(f"class {row.argmax()}" in text for row in p)


def test_logits_are_softmaxed_by_us_and_said_so(tmp_path):
    report = built(tmp_path, models.saved("logits"), PICTURES)
    assert_classified(pages.outputs(report), softmax(predicted("logits", PICTURES)))
    assert all(result["softmaxed"] for result in pages.outputs(report))
    assert "reportgen applies the softmax" in pages.page_text(tmp_path / "report")
    overview = pages.content(report, "overview")
    assert overview["optimizer"].lower() == "adam"
    assert overview["learning_rate"] == pytest.approx(2e-3)
    assert "crossentropy" in overview["loss"].lower()


def test_one_sigmoid_has_two_classes(tmp_path):
    p = predicted("binary", PICTURES)[:, 0].astype(float)
    labels = [int(v >= 0.5) for v in p]
    labels[2] = 1 - labels[2]
    report = built(
        tmp_path, models.saved("binary"), (PICTURES, np.array(labels)), classes=["cat", "dog"]
    )
    for result, value, label in zip(pages.outputs(report), p, labels, strict=True):
        decided = int(value >= 0.5)
        assert result["probability"] == pytest.approx(value, rel=BRIEF)
        assert result["decision"]["name"] == ["cat", "dog"][decided]
        assert result["decision"]["probability"] == pytest.approx(max(value, 1 - value), rel=BRIEF)
        assert result["entropy"] == pytest.approx(entropy(np.array([value, 1 - value])), rel=1e-4)
        assert result["correct"] == (decided == label)
    assert pages.content(report, "probes")["correct"] == len(p) - 1


def test_threshold_moves_the_decision(tmp_path):
    p = predicted("binary", PICTURES)[:, 0].astype(float)
    threshold = float((np.sort(p)[-1] + np.sort(p)[-2]) / 2)
    report = built(tmp_path, models.saved("binary"), PICTURES, threshold=threshold)
    decided = [result["decision"]["index"] for result in pages.outputs(report)]
    assert decided == (p >= threshold).astype(int).tolist()
    assert sum(decided) == 1


def test_multilabel_lists_what_is_over_the_threshold(tmp_path):
    p = predicted("multilabel", PICTURES).astype(float)
    truth = (p >= 0.3).astype(int)
    truth[1, 0] = 1 - truth[1, 0]
    names = tuple("abcdef")
    report = built(
        tmp_path, models.saved("multilabel"), (PICTURES, truth), threshold=0.3, classes=names
    )
    for result, row, right in zip(pages.outputs(report), p, truth, strict=True):
        assert {s["name"] for s in result["given"]} == {
            names[i] for i in np.flatnonzero(row >= 0.3)
        }
        assert [s["index"] for s in result["top"]] == np.argsort(-row)[:5].tolist()
        mean = np.mean([entropy(np.array([q, 1 - q])) for q in row])
        assert result["entropy"] == pytest.approx(mean, rel=1e-4)
        assert result["correct"] == ((row >= 0.3).astype(int) == right).all()
    assert [r["correct"] for r in pages.outputs(report)].count(False) == 1


def test_regression_shows_values_and_targets(tmp_path):
    y = predicted("regression", PICTURES)[:, 0]
    targets = np.linspace(-2.5, 3.25, len(y))
    report = built(tmp_path, models.saved("regression"), (PICTURES, targets))
    for result, value, target in zip(pages.outputs(report), y, targets, strict=True):
        assert result["values"] == pytest.approx([value], rel=BRIEF)
        assert result["target"] == pytest.approx(target, rel=BRIEF)


def test_vector_regression_names_its_values(tmp_path):
    y = predicted("vector", PICTURES)
    report = built(tmp_path, models.saved("vector"), PICTURES)
    for result, row in zip(pages.outputs(report), y, strict=True):
        assert result["values"] == pytest.approx(row, rel=BRIEF)
        assert result["size"] == 3


def test_two_outputs_are_judged_each_as_what_it_is(tmp_path):
    p, y = predicted("two_outputs", PICTURES)
    report = built(tmp_path, models.saved("two_outputs"), PICTURES)
    assert_classified(pages.outputs(report, 0), p)
    assert [r["values"][0] for r in pages.outputs(report, 1)] == pytest.approx(y[:, 0], rel=BRIEF)
    outputs = {r["output"] for r in (*pages.outputs(report, 0), *pages.outputs(report, 1))}
    assert outputs == {"which", "how_much"}


@pytest.mark.parametrize("name", ["segmentation", "mask"])
def test_mask_shares_are_those_of_the_decided_pixels(tmp_path, name):
    pictures = models.images(size=16)
    maps = predicted(name, pictures)
    decided = (maps[..., 0] >= 0.5).astype(int) if name == "mask" else maps.argmax(axis=-1)
    best = np.maximum(maps, 1 - maps) if name == "mask" else maps.max(axis=-1)
    report = built(tmp_path, models.saved(name), pictures)
    assert len(np.unique(decided)) > 1
    for result, pixels, sure in zip(pages.outputs(report), decided, best, strict=True):
        shares = {entry["index"]: entry["share"] for entry in result["legend"]}
        found, counts = np.unique(pixels, return_counts=True)
        assert sorted(shares) == found.tolist()
        assert [shares[i] for i in found] == pytest.approx(counts / pixels.size, rel=BRIEF)
        assert result["mean_confidence"] == pytest.approx(float(sure.mean()), rel=1e-4)
        order = [entry["share"] for entry in result["legend"]]
        assert order == sorted(order, reverse=True)
        assert (result["threshold"] == 0.5) == (name == "mask")


def test_mask_picture_has_a_colour_where_the_class_is(tmp_path):
    pictures = models.images(1, size=16)
    decided = predicted("segmentation", pictures)[0].argmax(axis=-1)
    report = built(tmp_path, models.saved("segmentation"), pictures)
    (result,) = pages.outputs(report)
    with Image.open(tmp_path / "report" / result["mask"]["src"]) as image:
        colours = np.asarray(image.convert("RGB"))
    for entry in result["legend"]:
        assert len({tuple(c) for c in colours[decided == entry["index"]]}) == 1
    assert len({tuple(c) for c in colours.reshape(-1, 3)}) == len(result["legend"])


def test_autoencoder_is_held_against_its_input(tmp_path):
    pictures = models.images(size=16)
    fed = pictures.astype(np.float32) / 255
    y = models.model("autoencoder").predict(fed, verbose=0)
    report = built(tmp_path, models.saved("autoencoder"), fed)
    for result, out, source in zip(pages.outputs(report), y, fed, strict=True):
        difference = out.astype(float) - source
        assert result["rmse"] == pytest.approx(np.sqrt((difference**2).mean()), rel=1e-4)
        expected = np.corrcoef(out.ravel().astype(float), source.ravel())[0, 1]
        assert result["correlation"] == pytest.approx(expected, abs=1e-5)


def test_output_that_is_nan_is_said_to_be(tmp_path):
    report = built(tmp_path, models.saved("nan"), PICTURES)
    assert all(result["non_finite"] > 0 for result in pages.outputs(report))
    assert all(result["top"] == [] for result in pages.outputs(report))
    assert "NaN or infinity" in pages.notices(report, level="warning")
    weights = pages.content(report, "weights")
    assert (weights["nan"], weights["inf"]) == (1, 1)
    assert report["summary"]["verdict"] != "Complete, without warnings."
    bad = {v["path"]: (v["nan"], v["inf"]) for v in weights["variables"] if v["nan"] or v["inf"]}
    assert bad == {"which/kernel": (1, 0), "which/bias": (0, 1)}


def test_hostile_names_are_shown_as_they_are(tmp_path):
    probes = tmp_path / "probes"
    probes.mkdir()
    names = ["a b.png", "q\"uote's.png", "<b>&amp;.png", "new\nline.png", "naïve-猫.png"]
    for index, name in enumerate(names):
        Image.fromarray(PICTURES[index]).save(probes / name)
    title, key = f"T {models.HOSTILE}", f"K {models.HOSTILE}"
    report = built(
        tmp_path,
        models.saved("hostile"),
        probes,
        title=title,
        meta={key: "<i>"},
        classes=["<b>", "&amp;", "'"],
        sections=SECTIONS,
    )
    text = pages.page_text(tmp_path / "report")
    for expected in (models.HOSTILE, "<img onerror=alert(1)>", title, key, "<b>&amp;.png", "猫"):
        assert expected in text
    shown = {probe["name"] for probe in pages.content(report, "probes")["probes"]}
    assert shown == set(names)
    source = (tmp_path / "report/index.html").read_text("utf-8")
    assert "<img onerror" not in source
    assert '<script>"' not in source
    assert "<script>" not in (tmp_path / "report/summary.md").read_text("utf-8")


# -- what probes may be --------------------------------------------------------------------------


def test_folder_and_globs_and_files_are_the_same_probes(tmp_path):
    folder = write_images(tmp_path / "probes")
    ways = [
        folder,
        str(folder),
        [str(folder / "*.png")],
        sorted(folder.iterdir()),
        [str(path) for path in sorted(folder.iterdir())],
    ]
    found = [
        pages.content(built(tmp_path / str(n), models.saved("classifier"), way), "probes")["probes"]
        for n, way in enumerate(ways)
    ]
    assert all(probes == found[0] for probes in found[1:])
    assert [probe["name"] for probe in found[0]] == [f"{i}.png" for i in range(6)]


def test_class_folders_are_labels_and_class_names(tmp_path):
    order = predicted("classifier", PICTURES).argmax(axis=1)
    names = [f"kind {c}" for c in "gfedcba"]  # made in reverse, numbered in alphabetical order
    for index, name in enumerate(names):
        write_images(tmp_path / "probes" / name, PICTURES[index % 6][None], f"{index}.png")
    report = built(tmp_path, models.saved("classifier"), tmp_path / "probes")
    probes = pages.content(report, "probes")
    assert pages.content(report, "overview")["classes"] == sorted(names)
    assert probes["labelled"] == 7
    right = 0
    for probe in probes["probes"]:
        index = int(probe["name"][0])
        assert probe["label"]["name"] == names[index]
        truth = order[index % 6] == 6 - index
        assert probe["outputs"][0]["correct"] == truth
        right += truth
    assert probes["correct"] == right
    assert f"{right} of 7" in [n["text"] for n in report["summary"]["numbers"]]


def test_labels_file_and_classes_file(tmp_path):
    folder = write_images(tmp_path / "probes")
    p = predicted("classifier", PICTURES)
    truth = [int(row.argmax()) for row in p]
    truth[0] = (truth[0] + 1) % 7
    names = [f"name {i}" for i in range(7)]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    rows = [f"{i}.png,{names[t]}" for i, t in enumerate(truth)]
    (tmp_path / "labels.csv").write_text("file,label\n" + "\n".join(rows) + "\n")
    report = built(
        tmp_path,
        models.saved("classifier"),
        folder,
        classes=tmp_path / "names.txt",
        labels=tmp_path / "labels.csv",
    )
    assert_classified(pages.outputs(report), p, truth)
    assert pages.outputs(report)[3]["top"][0]["name"] == names[truth[3]]
    assert "wrong" in pages.page_text(tmp_path / "report")
    assert "right" in pages.page_text(tmp_path / "report")


@pytest.mark.parametrize("shape", [(6, 12, 12), (6, 12, 12, 1)])
def test_grey_arrays_with_and_without_channel(tmp_path, shape):
    grey = models.images(channels=1)
    report = built(tmp_path, models.saved("grey"), grey.reshape(shape), sections=SECTIONS)
    assert_classified(pages.outputs(report), predicted("grey", grey))


def test_one_array_is_one_probe(tmp_path):
    report = built(tmp_path, models.saved("classifier"), PICTURES[2])
    assert_classified(pages.outputs(report), predicted("classifier", PICTURES[2:3]))


def test_pil_images_and_lists_of_arrays(tmp_path):
    p = predicted("classifier", PICTURES)
    pil = [Image.fromarray(picture) for picture in PICTURES]
    for number, probes in enumerate((pil, list(PICTURES))):
        report = built(tmp_path / str(number), models.saved("classifier"), probes)
        assert_classified(pages.outputs(report), p)
    report = built(tmp_path / "one", models.saved("classifier"), pil[1])
    assert_classified(pages.outputs(report), p[1:2])


@pytest.mark.parametrize("kind", ["array", "list"])
def test_image_label_pair(tmp_path, kind):
    labels = [0, 1, 2, 3, 4, 6]
    probes = (PICTURES, np.array(labels)) if kind == "array" else (list(PICTURES), labels)
    report = built(tmp_path, models.saved("classifier"), probes)
    assert_classified(pages.outputs(report), predicted("classifier", PICTURES), labels)


@pytest.mark.parametrize("batch", [None, 4])
@pytest.mark.parametrize("labels", [None, "integer", "one-hot"])
def test_tf_data_sets(tmp_path, batch, labels):
    import tensorflow as tf

    truth = np.array([0, 1, 2, 3, 4, 6])
    parts = {
        None: PICTURES,
        "integer": (PICTURES, truth),
        "one-hot": (PICTURES, np.eye(7, dtype=np.float32)[truth]),
    }
    data = tf.data.Dataset.from_tensor_slices(parts[labels])
    report = built(tmp_path, models.saved("classifier"), data.batch(batch) if batch else data)
    p = predicted("classifier", PICTURES)
    assert_classified(pages.outputs(report), p, None if labels is None else truth)


def test_endless_data_set_ends(tmp_path):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(PICTURES).repeat().batch(4)
    report = built(tmp_path, models.saved("classifier"), data, max_probes=5)
    assert_classified(pages.outputs(report), predicted("classifier", PICTURES[:5]))


def test_npz_feeds_two_inputs(tmp_path):
    right = models.images(seed=2)
    np.savez(tmp_path / "both.npz", left=PICTURES, right=right)
    report = built(tmp_path, models.saved("two_inputs"), tmp_path / "both.npz")
    assert_classified(pages.outputs(report), predicted("two_inputs", PICTURES, right))
    other = built(tmp_path / "dict", models.saved("two_inputs"), {"right": right, "left": PICTURES})
    assert pages.outputs(other) == pages.outputs(report)


def test_images_alone_leave_the_other_input_zero_and_say_so(tmp_path):
    report = built(tmp_path, models.saved("two_inputs"), write_images(tmp_path / "probes"))
    p = predicted("two_inputs", PICTURES, np.zeros_like(PICTURES))
    assert_classified(pages.outputs(report), p)
    assert "filled with zeros" in pages.notices(report, level="warning")
    assert "was all zeros" in pages.page_text(tmp_path / "report")


def test_npz_with_labels(tmp_path):
    np.savez(tmp_path / "test.npz", x_test=PICTURES, y_test=[0, 1, 2, 3, 4, 6])
    report = built(tmp_path, models.saved("classifier"), tmp_path / "test.npz")
    p = predicted("classifier", PICTURES)
    assert_classified(pages.outputs(report), p, [0, 1, 2, 3, 4, 6])


def test_live_model_is_the_same_as_its_file(tmp_path):
    live = built(tmp_path / "live", models.model("logits"), PICTURES)
    file = built(tmp_path / "file", models.saved("logits"), PICTURES)
    assert pages.outputs(live) == pages.outputs(file)
    assert pages.content(live, "weights") == pages.content(file, "weights")
    assert pages.content(live, "overview")["file"] is None
    assert (
        pages.content(live, "overview")["optimizer"] == pages.content(file, "overview")["optimizer"]
    )


def test_sample_is_even_over_classes_and_always_the_same(tmp_path):
    for name in "abcdefg":
        write_images(tmp_path / "probes" / name, models.images(5), name + "{}.png")
    reports = [
        built(tmp_path / str(n), models.saved("classifier"), tmp_path / "probes", max_probes=14)
        for n in range(2)
    ]
    names = [[p["name"] for p in pages.content(r, "probes")["probes"]] for r in reports]
    assert names[0] == names[1]
    assert sorted(name[0] for name in names[0]) == sorted("abcdefg" * 2)
    assert pages.content(reports[0], "probes")["total"] == 35


# -- how probes are fed --------------------------------------------------------------------------

FORMULAS = {
    "none": lambda x: x,
    "unit": lambda x: x / 255,
    "symmetric": lambda x: x / 127.5 - 1,
    "caffe": lambda x: x[..., ::-1] - np.array([103.939, 116.779, 123.68]),
    "torch": lambda x: (
        (x / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    ),
}


@pytest.mark.parametrize("mode", FORMULAS)
def test_preprocess_mode_is_what_the_network_is_fed(tmp_path, mode):
    fed = FORMULAS[mode](PICTURES.astype(np.float64)).astype(np.float32)
    report = built(
        tmp_path, models.saved("plain"), write_images(tmp_path / "probes"), preprocess=mode
    )
    assert_classified_nearly(pages.outputs(report), models.model("plain").predict(fed, verbose=0))
    probes = pages.content(report, "probes")
    assert probes["preprocessing"]["mode"] == mode
    assert probes["preprocessing"]["chosen"] == "given"
    for probe, row in zip(probes["probes"], fed, strict=True):
        (received,) = probe["received"]
        assert received["low"] == pytest.approx(float(row.min()), rel=BRIEF, abs=1e-6)
        assert received["high"] == pytest.approx(float(row.max()), rel=BRIEF, abs=1e-6)


def assert_classified_nearly(results, p):
    for result, row in zip(results, p, strict=True):
        for score in result["top"]:
            assert score["probability"] == pytest.approx(row[score["index"]], rel=1e-4)


def test_preprocess_may_be_a_function(tmp_path):
    seen = []

    def halve(x):
        seen.append((x.shape, x.dtype, float(x.max())))
        return x / 2

    report = built(
        tmp_path,
        models.saved("plain"),
        write_images(tmp_path / "probes"),
        preprocess=halve,
        skip=("features",),
    )
    p = predicted("plain", PICTURES.astype(np.float32) / 2)
    assert_classified_nearly(pages.outputs(report), p)
    probes, black = (
        ((6, 12, 12, 3), np.float32, float(PICTURES.max())),
        ((1, 12, 12, 3), np.float32, 0),
    )
    assert seen == [probes, black]
    assert "halve" in pages.content(report, "probes")["preprocessing"]["mode"]


def test_undecided_preprocessing_is_unit_with_a_visible_notice(tmp_path):
    report = built(tmp_path, models.saved("plain"), write_images(tmp_path / "probes"))
    assert_classified_nearly(pages.outputs(report), predicted("plain", PICTURES / 255))
    assert "cannot be told" in pages.notices(report, level="warning")
    assert pages.content(report, "probes")["preprocessing"]["chosen"] == "undecided"


def test_float_arrays_are_the_models_own_units(tmp_path):
    floats = (PICTURES / 64).astype(np.float32)
    report = built(tmp_path, models.saved("plain"), floats)
    assert_classified_nearly(pages.outputs(report), predicted("plain", floats))


def test_sixteen_bit_arrays_scale_by_their_type(tmp_path):
    deep = PICTURES.astype(np.uint16) * 257
    report = built(tmp_path, models.saved("plain"), deep, preprocess="unit")
    assert_classified_nearly(pages.outputs(report), predicted("plain", PICTURES / 255))


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_resize_modes(tmp_path, resize):
    import keras

    wide = models.images(1, size=24)[0][:, :20]  # 24 high, 20 wide
    Image.fromarray(wide).save(tmp_path / "wide.png")
    box = {
        "stretch": wide,
        "crop": wide[2:22],
        "pad": np.pad(wide, ((0, 0), (2, 2), (0, 0))),
    }[resize].astype(np.float32)
    fed = keras.ops.image.resize(box[None], (12, 12), interpolation="bilinear", antialias=False)
    p = models.model("classifier").predict(np.asarray(fed), verbose=0)
    report = built(tmp_path, models.saved("classifier"), tmp_path / "wide.png", resize=resize)
    assert_classified_nearly(pages.outputs(report), p)
    words = {"stretch": "stretched", "crop": "cropped", "pad": "padded"}
    assert words[resize] in pages.page_text(tmp_path / "report")


def test_input_size_for_models_that_leave_it_open(tmp_path):
    report = built(
        tmp_path,
        models.saved("open_size"),
        write_images(tmp_path / "p"),
        input_size="8x16",
        sections=SECTIONS,
    )
    (received,) = pages.content(report, "probes")["probes"][0]["received"]
    assert received["shape"] == [8, 16, 3]
    assert pages.content(report, "overview")["input_shapes"] == [[8, 16, 3]]
    assert pages.notices(report, "overview", level="warning") == ""
    report = built(tmp_path / "own", models.saved("open_size"), PICTURES)
    assert_classified(pages.outputs(report), predicted("open_size", PICTURES))


def test_a_size_that_a_model_does_not_leave_open_is_not_heeded_and_that_is_said(tmp_path):
    report = built(tmp_path, models.saved("classifier"), input_size="64x64", sections=("overview",))
    (taken,) = pages.content(report, "overview")["input_shapes"]
    said = pages.notices(report, "overview", level="warning")
    own = "×".join(map(str, taken))
    assert (
        said
        == f"--input-size 64x64 was not heeded: the model takes {own}, and leaves no size open."
    )


def test_fixed_batch_dimension_is_respected(tmp_path):
    import keras

    free = models.model("classifier")
    entry = keras.Input(batch_shape=(4, 12, 12, 3))
    fixed = keras.Model(entry, free(entry), name="fixed")
    report = built(tmp_path, fixed, PICTURES, sections=SECTIONS)
    assert_classified(pages.outputs(report), predicted("classifier", PICTURES))


# -- facts about the model -----------------------------------------------------------------------


def test_weights_equal_numpy(tmp_path):
    report = built(tmp_path, models.saved("classifier"))
    variables = pages.content(report, "weights")["variables"]
    arrays = models.model("classifier").get_weights()
    assert [v["shape"] for v in variables] == [list(a.shape) for a in arrays]
    for v, array in zip(variables, arrays, strict=True):
        flat = array.astype(np.float64).ravel()
        assert (v["count"], v["zeros"]) == (flat.size, int((flat == 0).sum()))
        quantiles = np.percentile(flat, [1, 25, 50, 75, 99])
        expected = [flat.min(), flat.max(), flat.mean(), flat.std(), *quantiles]
        keys = ("min", "max", "mean", "std", "p1", "p25", "p50", "p75", "p99")
        assert [v[key] for key in keys] == pytest.approx(expected, rel=BRIEF, abs=1e-9)
        assert v["l2"] == pytest.approx(np.linalg.norm(flat), rel=BRIEF)
        assert sum(v["histogram"]["counts"]) == flat.size - v["nan"] - v["inf"]


def test_totals_equal_the_models(tmp_path):
    for name in ("classifier", "hostile", "two_inputs"):
        report = built(tmp_path / name, models.saved(name))
        model, overview = models.model(name), pages.content(report, "overview")
        trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
        assert overview["parameters"] == model.count_params()
        assert overview["trainable_parameters"] == trainable
        assert overview["non_trainable_parameters"] == model.count_params() - trainable
        assert overview["weight_bytes"] == 4 * model.count_params()
        assert pages.content(report, "weights")["count"] == model.count_params()
        assert f"{model.count_params():,}" in pages.page_text(tmp_path / name / "report")


def test_model_file_is_identified(tmp_path):
    path = models.saved("classifier")
    file = pages.content(built(tmp_path, path), "overview")["file"]
    assert file == {
        "name": path.name,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    shown = built(tmp_path / "paths", path, show_paths=True)
    assert pages.content(shown, "overview")["file"]["name"] == str(path.resolve())


def test_flops_are_two_a_multiply_add(tmp_path):
    flops = pages.content(built(tmp_path, models.saved("classifier")), "overview")["flops"]
    multiplications = 10 * 10 * 4 * 27 + 100 * 7  # the convolution; the dense layer on 5x5x4
    assert 2 * multiplications <= flops <= 2.2 * multiplications


def test_what_flops_lack_is_said_wherever_they_stand(tmp_path):
    entry = keras.Input((6, 4), name="signal")
    spectrum = keras.ops.rfft(entry)[0]
    middle = keras.layers.Dense(2, name="middle")(spectrum)
    model = keras.Model(entry, keras.layers.Dense(3, name="last")(middle))
    data = built(tmp_path, model, sections=("overview", "architecture"))
    architecture, dense = pages.content(data, "architecture"), 6 * 2 * (2 * 3 + 1)
    rows = {row["path"]: (row["flops"], row["uncounted"]) for row in architecture["layers"]}
    assert rows["middle"] == (dense, [])
    assert rows["rfft"][1] == architecture["uncounted"] == ["RFFT"]
    assert pages.content(data, "overview")["uncounted"] == ["RFFT"]
    page = pages.read_page(tmp_path / "report")
    said = " ".join(page.text)
    assert dict(page.numbers)["FLOPs per series"].startswith("at least ")
    assert "not counted: RFFT" in " ".join(said.split())
    # the head, the overview and the total; the layer's card names what is left out
    assert len(re.findall(r"at least \d+\sFLOPs", said)) == 3
    assert re.search(r"\d FLOPs without RFFT", said)


# -- what is shown -------------------------------------------------------------------------------


def test_hidden_names_are_nowhere(tmp_path):
    folder = write_images(tmp_path / "probes", form="secret-patient-{}.png")
    (folder / "secret-patient-broken.png").write_bytes(b"")
    report = built(tmp_path, models.saved("classifier"), folder, hide_names=True, sections=SECTIONS)
    names = [probe["name"] for probe in pages.content(report, "probes")["probes"]]
    assert names == [f"probe {i + 1}" for i in range(6)]
    assert "A probe was left out" in pages.notices(report, level="warning")
    for name, data in pages.tree(tmp_path / "report").items():
        assert b"secret" not in data, name


def test_title_and_meta(tmp_path):
    report = built(
        tmp_path, models.saved("classifier"), title="Night run", meta={"commit": "abc123", "run": 7}
    )
    assert report["summary"]["name"] == "Night run"
    assert pages.content(report, "overview")["meta"] == [["commit", "abc123"], ["run", "7"]]
    text = pages.page_text(tmp_path / "report")
    assert "abc123" in text
    assert "Night run" in (tmp_path / "report/summary.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({"sections": "overview"}, ["overview"]),
        ({"sections": ["probes,overview"]}, ["overview", "probes"]),
        ({"skip": ["weights"]}, [kind for kind in SECTIONS if kind != "weights"]),
        ({"sections": ["weights", "probes"], "skip": ["probes"]}, ["weights"]),
    ],
)
def test_sections_and_skip(tmp_path, options, kinds):
    report = built(tmp_path, models.saved("classifier"), PICTURES, **options)
    assert [s["kind"] for s in report["sections"]] == kinds


def test_without_probes_the_section_says_how_to_give_some(tmp_path):
    report = built(tmp_path, models.saved("classifier"), sections=SECTIONS)
    assert pages.section(report, "probes")["content"] is None
    assert "--probes" in pages.notices(report, level="info")
    assert report["summary"]["state"] == "complete"


@pytest.mark.parametrize(("orientation", "size"), [("exif", [8, 12]), (None, [12, 8])])
def test_pictures_carry_no_exif_and_are_turned_where_that_is_asked(tmp_path, orientation, size):
    tall = Image.fromarray(models.images(1, size=12)[0][:8])  # 8 high, 12 wide
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "SecretCamera"
    tall.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    report = built(
        tmp_path,
        models.saved("classifier"),
        tmp_path / "turned.jpg",
        sections=SECTIONS,
        orientation=orientation,
    )
    (probe,) = pages.content(report, "probes")["probes"]
    assert probe["size"] == size
    assert "1 image with an EXIF orientation" in pages.notices(report, level="info")
    assert all(b"SecretCamera" not in data for data in pages.tree(tmp_path / "report").values())


# -- the folder ----------------------------------------------------------------------------------


def test_report_folder(tmp_path, monkeypatch):
    folder = build_report(models.saved("classifier"), output=tmp_path / "out")
    assert folder.path == tmp_path / "out"
    assert folder.failed == ()
    again = ReportFolder(tmp_path / "out")
    assert again.report == folder.report
    assert again.report.summary.name == "classifier"
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    again.open()
    assert opened == [(tmp_path / "out/index.html").resolve().as_uri()]
    assert str(tmp_path / "out") in repr(again)


def test_notebook_shows_a_link_and_no_markup_of_others(tmp_path):
    title = f"{models.HOSTILE}<b>"
    folder = build_report(models.saved("classifier"), output=tmp_path / "<o>", title=title)
    shown = folder._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert 'sandbox="allow-scripts"' in shown


def test_no_output_makes_a_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = build_report(models.saved("classifier"))
    assert folder.path.parent == tmp_path
    pages.check_page(folder.path)


def test_no_temporary_folder_stays_behind_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ModelError):
        build_report(tmp_path / "missing.keras")
    with pytest.raises(ProbeError):
        build_report(models.saved("classifier"), probes=np.zeros((2, 3, 4, 5, 6)))
    assert list(tmp_path.iterdir()) == []


def test_new_report_replaces_the_old_and_leaves_other_files(tmp_path):
    built(tmp_path, models.saved("classifier"), PICTURES, sections=SECTIONS)
    (tmp_path / "report/mine.txt").write_text("notes")
    report = built(tmp_path, models.saved("binary"), PICTURES, sections=SECTIONS)
    assert "binary classifier" in report["summary"]["sentence"]
    assert (tmp_path / "report/mine.txt").read_text() == "notes"


def test_folder_that_is_no_report_is_refused_without_force(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report/mine.txt").write_text("notes")
    with pytest.raises(OutputError, match="--force"):
        build_report(models.saved("classifier"), output=tmp_path / "report")
    assert pages.tree(tmp_path / "report") == {"mine.txt": b"notes"}
    built(tmp_path, models.saved("classifier"), force=True)
    assert (tmp_path / "report/mine.txt").read_text() == "notes"


@pytest.mark.parametrize(
    ("error", "model", "probes", "options"),
    [
        (ProbeError, "classifier", np.zeros((2, 3, 4, 5, 6)), {}),
        (ProbeError, "classifier", np.zeros(99), {}),
        (ProbeError, "classifier", 5.0j, {}),
        (LabelError, "classifier", PICTURES, {"classes": ["one", "two"]}),
        (LabelError, "classifier", (PICTURES, np.arange(4)), {}),
        (LabelError, "classifier", PICTURES, {"labels": [1, 2]}),
        (UsageError, "classifier", PICTURES, {"max_probe": 3}),
        (UsageError, "classifier", PICTURES, {"max_probes": 0}),
        (UsageError, "classifier", PICTURES, {"preprocess": "imagenet"}),
        (UsageError, "classifier", PICTURES, {"sections": "wieghts"}),
        (UsageError, "classifier", PICTURES, {"threshold": 1.5}),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path, error, model, probes, options):
    with pytest.raises(error) as caught:
        build_report(models.saved(model), probes=probes, output=tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_neither_model_nor_path_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"keras\.Model"):
        build_report(["no", "model"], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_directory_of_this_machine_is_in_the_report(tmp_path):
    folder = write_images(tmp_path / "probes")
    built(
        tmp_path,
        models.saved("classifier"),
        folder,
        classes=None,
        meta={"a": "b"},
        sections=SECTIONS,
    )
    here = str(tmp_path).encode()
    home = str(Path.cwd()).encode()
    for name, data in pages.tree(tmp_path / "report").items():
        assert here not in data, name
        assert home not in data, name


def test_report_json_is_one_line_of_plain_json(tmp_path):
    built(tmp_path, models.saved("nan"), PICTURES, sections=SECTIONS)
    data = (tmp_path / "report/report.json").read_bytes()

    def refuse(constant):
        raise AssertionError(constant)

    parsed = json.loads(data, parse_constant=refuse)
    assert list(parsed)[:3] == ["schema", "reportgen", "summary"]


def test_probes_that_are_one_picture_prove_no_constant_output():
    picture = np.random.default_rng(3).uniform(0, 1, (1, 12, 12, 3)).astype(np.float32)
    noise = np.random.default_rng(4).uniform(-1e-4, 1e-4, (8, 12, 12, 3)).astype(np.float32)
    for probes in (np.repeat(picture, 8, axis=0), picture + noise):
        report = build_report(models.saved("classifier"), probes=probes, sections="probes").report
        assert "constant-output" not in {finding.rule for finding in report.findings}
        reasons = {check.rule: check.reason for check in report.not_applicable}
        assert reasons["constant-output"] == "fewer than four different probes"


def test_another_backend_of_keras_is_not_overruled_without_a_word():
    code = (
        "from reportgen import build_report\n"
        f"print(build_report({str(models.saved('binary'))!r}, sections='overview').path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "KERAS_BACKEND=jax is set; Keras is imported with TensorFlow" in done.stderr
