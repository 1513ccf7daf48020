"""The section Evaluation from end to end, on networks whose mistakes are known by construction."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from pages import check_page, page_text
from PIL import Image
from sklearn import metrics as sk

import reportgen
from reportgen.errors import DataError

PLACE = Path(os.environ.get("REPORTGEN_MODELS") or "/nowhere")
NAMES = ["low", "middle", "high"]


def network(head="softmax", units=3):
    """Says by brightness: below a third low, above two thirds high; grey pictures of 8 by 8 in 0..1."""
    start = keras.Input((8, 8, 1), name="picture")
    mean = layers.GlobalAveragePooling2D()(start)
    end = layers.Dense(units, activation=head, name="out")
    model = keras.Model(start, end(mean))
    if units == 3:
        end.set_weights([np.array([[-12.0, 0.0, 12.0]]), np.array([4.0, 0.0, -8.0])])
    elif units == 1:
        end.set_weights([np.array([[20.0 if head else 1.0]]), np.array([-10.0 if head else 0.0])])
    return model


def pictures(levels):
    return np.broadcast_to(
        np.asarray(levels, np.float32)[:, None, None, None], (len(levels), 8, 8, 1)
    ).copy()


def evaluated(model, folder, data, **options):
    options.setdefault("sections", ("overview", "evaluation"))
    made = reportgen.build_report(model, data=data, output=folder, **options)
    check_page(folder)
    section = next(s for s in made.report.sections if s.kind == "evaluation")
    return section, made.report


def case(count=300, seed=0):
    rng = np.random.default_rng(seed)
    levels = rng.uniform(0, 1, count)
    truth = np.clip(np.floor(levels * 3 + rng.normal(0, 0.3, count)), 0, 2).astype(int)
    return pictures(levels), truth


def test_every_number_of_a_classifier_is_scikit_learns(tmp_path):
    x, y = case()
    model = network()
    section, report = evaluated(model, tmp_path, (x, y), classes=NAMES)
    result = section.content.result
    p = model.predict(x, verbose=0)
    said = p.argmax(axis=1)
    assert result.accuracy == pytest.approx(sk.accuracy_score(y, said), rel=1e-5)
    assert result.correct == int((said == y).sum())
    np.testing.assert_array_equal(result.matrix, sk.confusion_matrix(y, said))
    precision, recall, f1, support = sk.precision_recall_fscore_support(y, said)
    for row in result.classes:
        k = row.index
        assert (row.precision, row.recall, row.f1, row.support) == pytest.approx(
            (precision[k], recall[k], f1[k], support[k]), rel=1e-5
        )
    assert result.log_loss == pytest.approx(sk.log_loss(y, p), rel=1e-4)
    assert result.majority == pytest.approx(np.bincount(y).max() / len(y), rel=1e-5)
    assert sum(result.confidences) == len(y)
    assert sum(b.count for b in result.bins) == len(y)
    assert f"{result.correct:,} of 300" in str(report.summary.numbers)


def test_the_mistakes_shown_are_the_most_confident_ones(tmp_path):
    x, y = case()
    model = network()
    section, _ = evaluated(model, tmp_path, (x, y), classes=NAMES)
    p = model.predict(x, verbose=0)
    wrong = [i for i in np.argsort(-p.max(axis=1), kind="stable") if p[i].argmax() != y[i]][:8]
    result = section.content.result
    assert [one.index for one in result.mistakes] == wrong
    assert [one.truth for one in result.mistakes] == [NAMES[y[i]] for i in wrong]
    right = [i for i in np.argsort(p.max(axis=1), kind="stable") if p[i].argmax() == y[i]][:8]
    assert [one.index for one in result.hesitant] == right
    assert all(one.figure is not None for one in result.mistakes)
    assert "The most confident mistakes" in page_text(tmp_path)


def test_two_classes_have_roc_and_precision_recall(tmp_path):
    x, y = case()
    y = (y > 0).astype(int)
    model = network("sigmoid", 1)
    section, _ = evaluated(model, tmp_path, (x, y))
    result, p = section.content.result, model.predict(x, verbose=0)[:, 0]
    assert result.roc_auc == pytest.approx(sk.roc_auc_score(y, p), rel=1e-5)
    assert result.average_precision == pytest.approx(sk.average_precision_score(y, p), rel=1e-5)
    assert result.accuracy == pytest.approx(sk.accuracy_score(y, p >= 0.5), rel=1e-5)
    assert [row.name for row in result.classes] == ["negative", "positive"]


def test_labels_for_themselves_are_judged_one_by_one(tmp_path):
    start = keras.Input((8, 8, 1))
    end = layers.Dense(2, activation="sigmoid")
    model = keras.Model(start, end(layers.GlobalAveragePooling2D()(start)))
    end.set_weights([np.array([[20.0, -20.0]]), np.array([-10.0, 14.0])])
    x, _ = case(120)
    truth = np.stack([x.mean(axis=(1, 2, 3)) > 0.6, x.mean(axis=(1, 2, 3)) < 0.5], axis=1)
    labels = ["|".join(str(k) for k in np.flatnonzero(row)) for row in truth]
    section, _ = evaluated(model, tmp_path, (x, np.array(labels, object)))
    p = model.predict(x, verbose=0)
    for k, row in enumerate(section.content.result.labels):
        assert row.f1 == pytest.approx(sk.f1_score(truth[:, k], p[:, k] >= 0.5), rel=1e-5)
        expected = sk.average_precision_score(truth[:, k], p[:, k])
        assert row.average_precision == pytest.approx(expected, rel=1e-5)
    exact = ((p >= 0.5) == truth).all(axis=1).mean()
    assert section.content.result.exact == pytest.approx(exact, rel=1e-5)


def test_numbers_have_errors(tmp_path):
    x, _ = case(100)
    model = network(None, 1)
    y = x.mean(axis=(1, 2, 3)) + np.random.default_rng(1).normal(0, 0.1, 100)
    section, _ = evaluated(model, tmp_path, (x, y))
    result, p = section.content.result, model.predict(x, verbose=0)[:, 0]
    assert result.mae == pytest.approx(sk.mean_absolute_error(y, p), rel=1e-4)
    assert result.r2 == pytest.approx(sk.r2_score(y, p), rel=1e-4)
    assert sum(result.counts) == 100
    assert result.worst[0].index == int(np.abs(y - p).argmax())


def folder_of(place, count=6):
    for index, name in enumerate(NAMES):
        (place / name).mkdir(parents=True)
        for k in range(count):
            level = np.uint8(255 * (index + 0.5) / 3) + np.uint8(k)
            Image.fromarray(np.full((8, 8), level, np.uint8)).save(place / name / f"{k}.png")
    return place


def test_a_folder_of_class_folders_and_a_csv_say_the_same(tmp_path):
    place = folder_of(tmp_path / "data")
    rows = [f"data/{p.parent.name}/{p.name},{p.parent.name}" for p in sorted(place.rglob("*.png"))]
    (tmp_path / "list.csv").write_text("file,label\n" + "\n".join(rows))
    for source in (place, tmp_path / "list.csv"):
        section, _ = evaluated(
            network(), tmp_path / f"out{source.suffix}", source, classes=NAMES, preprocess="unit"
        )
        assert section.content.images == 18
        assert section.content.result.accuracy == 1


def test_an_npz_and_a_data_set_say_the_same(tmp_path):
    import tensorflow as tf

    x, y = case(70)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    one, _ = evaluated(network(), tmp_path / "a", tmp_path / "d.npz")
    two, _ = evaluated(
        network(), tmp_path / "b", tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    )
    assert one.content.result == two.content.result


def test_a_broken_image_is_counted_and_never_fatal(tmp_path):
    place = folder_of(tmp_path / "data")
    (place / "low" / "3.png").write_bytes(b"no image")
    section, _ = evaluated(network(), tmp_path / "out", place, classes=NAMES, preprocess="unit")
    assert section.content.images == 17
    assert section.content.broken_count == 1
    assert "3.png" in section.content.broken[0]
    assert "1 of 18 images could not be read" in section.notices[0].text
    assert section.content.result.accuracy == 1


def test_probes_are_drawn_from_the_data_and_statistics_speak_of_all_of_it(tmp_path):
    x, y = case(90)
    _, report = evaluated(
        network(), tmp_path, (x, y), sections=("probes", "evaluation", "activations"), max_probes=4
    )
    contents = {s.kind: s.content for s in report.sections}
    assert len(contents["probes"].probes) == 4
    assert contents["activations"].images == 90
    calls = {row.class_name: row for row in contents["activations"].calls}
    means = x.mean(axis=(1, 2, 3))
    assert calls["GlobalAveragePooling2D"].max == pytest.approx(means.max(), rel=1e-5)
    assert all(len(shown.rows) == 4 for shown in contents["activations"].shown)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["low", "huge"] * 10, "'huge'.*names no class"),
        ([0, 7] * 10, "7.*names no class"),
    ],
)
def test_a_label_that_the_network_does_not_know_is_an_error(labels, said, tmp_path):
    x, _ = case(20)
    with pytest.raises(DataError, match=said):
        evaluated(network(), tmp_path / "out", (x, np.array(labels)), classes=NAMES)
    assert not (tmp_path / "out").exists()


def test_data_without_labels_or_images_is_refused(tmp_path):
    x, _ = case(20)
    with pytest.raises(DataError, match="no labels"):
        evaluated(network(), tmp_path / "out", x)
    with pytest.raises(DataError, match="no file or folder of images"):
        evaluated(network(), tmp_path / "out", tmp_path / "nowhere")


def found(tmp_path, x, y, model=None, **options):
    _, report = evaluated(model or network(), tmp_path, (x, y), **options)
    return {f.rule: f for f in report.findings}


def test_labels_that_are_rolled_or_swapped_are_found(tmp_path):
    x, y = case()
    rolled = found(tmp_path / "a", x, (y + 1) % 3, classes=NAMES)
    assert "low is called high" in rolled["labels-renamed"].observed
    swapped = found(tmp_path / "b", x, np.array([1, 0, 2])[y], classes=NAMES)
    assert "middle is called low" in swapped["labels-renamed"].observed
    assert "labels-renamed" not in found(tmp_path / "c", x, y)


def test_guessing_is_an_error_and_never_said_classes_are_named(tmp_path):
    x, y = case()
    model = network()
    model.get_layer("out").set_weights([np.zeros((1, 3)), np.array([5.0, 0.0, 0.0])])
    hits = found(tmp_path, x, y, model, classes=NAMES)
    assert hits["accuracy-at-chance"].severity == "error"
    assert "2 of 3 classes: middle" in hits["never-predicted"].observed
    assert "too sure" in hits["miscalibrated"].observed


def test_a_perfect_ranking_at_the_wrong_threshold_is_no_guessing(tmp_path):
    levels = np.concatenate([np.linspace(0.05, 0.15, 44), np.linspace(0.25, 0.35, 56)])
    truth = (levels > 0.2).astype(int)
    hits = found(tmp_path / "a", pictures(levels), truth, network("sigmoid", 1))
    assert "accuracy-at-chance" not in hits
    assert hits["threshold-out-of-place"].severity == "error"
    # Halfway between 1 / (1 + exp(10 - 20 * 0.15)) and the same of 0.25.
    assert "area under ROC of 1.000" in hits["threshold-out-of-place"].observed
    assert "at 0.0038 100 of 100 images are correct" in hits["threshold-out-of-place"].observed
    right = found(tmp_path / "b", pictures(levels), truth, network("sigmoid", 1), threshold=0.0038)
    assert "threshold-out-of-place" not in right


def test_a_threshold_that_could_be_better_is_a_warning_and_noise_none(tmp_path):
    rng = np.random.default_rng(0)
    levels = rng.uniform(0, 1, 300)
    early = found(
        tmp_path / "a", pictures(levels), (levels > 0.3).astype(int), network("sigmoid", 1)
    )
    assert early["threshold-out-of-place"].severity == "warning"
    noisy = (levels + rng.normal(0, 0.1, 300) > 0.5).astype(int)
    assert "threshold-out-of-place" not in found(
        tmp_path / "b", pictures(levels), noisy, network("sigmoid", 1)
    )
    guessed = found(
        tmp_path / "c", pictures(levels), rng.integers(0, 2, 300), network("sigmoid", 1)
    )
    assert "accuracy-at-chance" in guessed
    assert "threshold-out-of-place" not in guessed


def test_a_perfect_score_and_imbalance_are_said(tmp_path):
    levels = np.concatenate([np.full(300, 0.1), np.full(12, 0.5), np.full(290, 0.9)])
    hits = found(tmp_path, pictures(levels), np.floor(levels * 3).astype(int))
    assert "602 images" in hits["too-good"].observed
    assert "imbalance" in hits


def test_nan_outputs_count_as_wrong(tmp_path):
    x, y = case(40)
    x[3] = np.nan
    section, _ = evaluated(network(), tmp_path, (x, y))
    assert section.content.non_finite == 1
    assert any("count as wrong" in notice.text for notice in section.notices)


def test_a_network_that_answers_nan_is_good_in_nothing(tmp_path):
    """No rank among the best, no log loss and no calibration come of what is no number."""
    x, y = case(300)
    entry = keras.Input((8, 8, 1), name="picture")
    mean = layers.GlobalAveragePooling2D()(entry)
    model = keras.Model(entry, layers.Dense(10, activation="softmax", name="out")(mean))
    section, _ = evaluated(model, tmp_path / "all", (np.full_like(x, np.nan), y))
    result = section.content.result
    assert section.content.non_finite == 300
    assert (result.accuracy, result.top5) == (0, 0)
    assert result.log_loss is result.calibration_error is None
    assert sum(result.confidences) == 0
    assert result.relabelled is None
    assert not result.confused
    assert [row.support for row in result.classes[:3]] == np.bincount(y).tolist()
    some = x.copy()
    some[::3] = np.nan
    section, _ = evaluated(model, tmp_path / "some", (some, y))
    p = model.predict(x, verbose=0)[np.arange(300) % 3 > 0]
    expected = -np.log(p[np.arange(200), y[np.arange(300) % 3 > 0]]).mean()
    assert section.content.result.log_loss == pytest.approx(expected, rel=1e-5)
    rank = (p > p[np.arange(200), y[np.arange(300) % 3 > 0]][:, None]).sum(axis=1)
    assert section.content.result.top5 == pytest.approx((rank < 5).sum() / 300, abs=1e-6)


def test_images_without_a_label_are_left_out_and_counted(tmp_path):
    x, y = case(60)
    given = y.astype("float64")
    given[::4] = np.nan
    section, _ = evaluated(network(), tmp_path / "a", (x, given))
    kept = np.arange(60) % 4 > 0
    said = network().predict(x, verbose=0).argmax(axis=1)
    assert (section.content.images, section.content.unlabelled) == (45, 15)
    assert section.content.result.accuracy == pytest.approx((said == y)[kept].mean(), abs=1e-6)
    said = section.notices[0].text
    assert said == "15 images have no label for out: left out (image 0, image 4, image 8, …)."
    model = network(None, 1)
    numbers = x.mean(axis=(1, 2, 3)).astype("float64") + 0.25
    numbers[7] = np.nan
    section, _ = evaluated(model, tmp_path / "b", (x, numbers))
    assert section.content.unlabelled == 1
    assert section.notices[0].text == "1 image has no label for out: left out (image 7)."
    assert section.content.result.mae == pytest.approx(0.25, rel=1e-4)


def test_the_warnings_of_the_users_process_stay_as_they_are(tmp_path):
    for k in range(24):
        place = tmp_path / "data" / "abc"[k % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 10 * k, np.uint8)).save(place / f"{k}.png")
    before = list(warnings.filters)
    for name in ("one", "two"):
        reportgen.build_report(
            network(),
            data=tmp_path / "data",
            output=tmp_path / name,
            sections=("evaluation",),
            fresh=True,
        )
    assert list(warnings.filters) == before


def test_without_data_that_is_said(tmp_path):
    report = reportgen.build_report(network(), output=tmp_path, sections=("evaluation",)).report
    assert report.sections[0].content is None
    assert "--data PATH" in report.sections[0].notices[0].text


if "REPORTGEN_MODELS" in os.environ:

    def test_fashion_reaches_what_is_known(tmp_path):
        data = np.load(PLACE / "images/data/fashion_mnist.npz")
        model = PLACE / "models/trained/fashion_cnn2/final.keras"
        section, _ = evaluated(model, tmp_path, (data["x_test"], data["y_test"]))
        assert section.content.images == 10_000
        assert section.content.result.accuracy == pytest.approx(0.911, abs=0.001)
        loaded = keras.saving.load_model(model)
        said = loaded.predict(data["x_test"].astype("float32")[..., None], verbose=0).argmax(axis=1)
        np.testing.assert_array_equal(
            section.content.result.matrix, sk.confusion_matrix(data["y_test"], said)
        )
