"""Training histories: what is read, what is refused, and what the rules say of curves with a known fate."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import models
import msgspec
import numpy as np
import pages
import pytest

import reportgen
from reportgen.drawing.figures import MOST_POINTS, thinned
from reportgen.errors import HistoryError
from reportgen.findings.judge import judge
from reportgen.inputs.history import is_better_higher, read_history
from reportgen.network.facts import OutputFacts
from reportgen.network.tasks import Task
from reportgen.report.content.history import Curve, HistoryContent
from reportgen.report.content.overview import OverviewContent
from reportgen.report.model import Section
from reportgen.sections.history.keeping import MOST_KEPT, best_epoch, kept_epochs

PLACE = Path(os.environ.get("REPORTGEN_MODELS") or "/nowhere")
CSV = "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.5,0.4,1.6\n1,0.7,1.0,0.6,1.2\n"


def read(tmp_path, text, name="history.csv"):
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return read_history(path)


def columns(history):
    return {s.name: (tuple(s.train), tuple(s.validation)) for s in history.series}


EXPECTED = {"loss": ((1.5, 1.0), (1.6, 1.2)), "accuracy": ((0.5, 0.7), (0.4, 0.6))}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", CSV),
        ("a.log", CSV.replace(",", ";")),
        ("a.tsv", CSV.replace(",", "\t").replace("accuracy", "accuracy ")),
        ("a.csv", "\ufeff" + CSV),
        ("a.csv", CSV.replace("\n", "\r\n") + "\r\n"),
        ("a.json", json.dumps({"loss": [1.5, 1.0], "val_loss": [1.6, 1.2], "accuracy": [0.5, 0.7],
                               "val_accuracy": [0.4, 0.6]})),
        ("a.json", json.dumps({"history": {"loss": [1.5, 1.0], "val_loss": [1.6, 1.2],
                                           "accuracy": [0.5, 0.7], "val_accuracy": [0.4, 0.6]}})),
        ("a.json", json.dumps([
            {"epoch": 1, "loss": 1.5, "val_loss": 1.6, "accuracy": 0.5, "val_accuracy": 0.4},
            {"epoch": 2, "loss": 1.0, "val_loss": 1.2, "accuracy": 0.7, "val_accuracy": 0.6}])),
    ],
)  # fmt: skip
def test_every_format_gives_the_same_curves(name, text, tmp_path):
    history = read(tmp_path, text, name)
    assert columns(history) == EXPECTED
    assert tuple(history.epochs) == (1, 2)
    assert history.loss == "loss"
    assert history.series[0].name == "loss"
    assert {s.name: s.higher for s in history.series} == {"loss": False, "accuracy": True}


def test_live_histories_are_taken_as_they_are():
    history = {"loss": [np.float32(1.5), 1.0], "val_loss": [1.6, 1.2]}
    callback = type("Callback", (), {"history": history})()
    for given in (callback, history):
        assert columns(read_history(given)) == {"loss": ((1.5, 1.0), (1.6, 1.2))}
    assert read_history(None) is None


def test_a_keras_csv_logger_and_history_are_read(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(loss="mse", metrics=["mae"])
    x, y = np.zeros((8, 3)), np.ones((8, 2))
    path = tmp_path / "log.csv"
    done = model.fit(
        x,
        y,
        validation_data=(x, y),
        epochs=3,
        verbose=0,
        callbacks=[keras.callbacks.CSVLogger(path)],
    )
    from_file, live = read_history(path), read_history(done)
    assert tuple(from_file.epochs) == tuple(live.epochs) == (1, 2, 3)
    for name, (train, validation) in columns(live).items():
        np.testing.assert_allclose(columns(from_file)[name][0], train, rtol=1e-6)
        np.testing.assert_allclose(columns(from_file)[name][1], validation, rtol=1e-6)


@pytest.mark.parametrize("form", ["csv", "json", "live"])
def test_validation_of_every_second_epoch_is_kept_at_its_epochs(tmp_path, form):
    """CSVLogger writes NA between, and History holds the validated epochs alone."""
    import keras

    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, 4))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0])
    kept = {}

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept[epoch] = (logs or {}).get("val_loss")

    fitted = model.fit(
        x, y, validation_data=(x[:32], y[:32]), validation_freq=2, epochs=9, verbose=0,
        callbacks=[keras.callbacks.CSVLogger(tmp_path / "log.csv"), Keep()],
    )  # fmt: skip
    (tmp_path / "log.json").write_text(json.dumps(fitted.history))
    given = {"csv": tmp_path / "log.csv", "json": tmp_path / "log.json", "live": fitted}[form]
    made = reportgen.build_report(
        model, history=given, output=tmp_path / "out", sections=("history",)
    )
    section = made.report.section("history")
    (curve,) = section.content.curves
    expected = [kept[epoch] for epoch in range(9)]
    assert [v is None for v in curve.validation] == [v is None for v in expected]
    np.testing.assert_allclose(
        [v for v in curve.validation if v is not None],
        [v for v in expected if v is not None],
        rtol=1e-5,
    )
    assert (curve.skipped, curve.non_finite) == (5, 0)
    assert curve.best == 7
    assert "in the last validated epoch" in section.lead
    rules = {finding.rule for finding in made.report.findings}
    assert not rules & {"divergence", "broken-loss"}
    reasons = {check.rule: check.reason for check in made.report.not_applicable}
    assert "no validation" not in reasons.get("overfitting", "")


@pytest.mark.parametrize(
    ("name", "higher"),
    [
        ("dice_loss", False), ("iou_loss", False), ("accident_loss", False), ("accident_accuracy", True),
        ("accident_mse", False), ("placement", False), ("dice", True), ("dice_coef", True),
        ("binary_io_u", True), ("mean_io_u", True), ("sparse_top_k_categorical_accuracy", True),
        ("top5", True), ("top_5_acc", True), ("f1_score", True), ("r2_score", True), ("auc_1", True),
        ("mean_absolute_error", False), ("perplexity", False), ("cohen_kappa", True), ("acc", True),
        ("mIoU", True), ("meanIoU", True), ("jaccard", True), ("mcc", True), ("valAcc", True), ("mLoss", False),
        ("sensitivity_at_specificity", True), ("edit_distance", False), ("kl_divergence", False),
    ],
)  # fmt: skip
def test_what_is_better_is_told_by_whole_words_and_a_loss_is_never_higher(name, higher):
    assert is_better_higher(name) == higher


@pytest.mark.parametrize(("count", "every"), [(11, 4), (9, 2), (10, 5), (12, 3), (6, 1)])
def test_sparse_validation_stands_at_its_epochs(count, every):
    logged = [float(epoch) for epoch in range(every, count + 1, every)]
    history = read_history({"loss": [1.0] * count, "val_loss": logged})
    (series,) = history.series
    there = np.flatnonzero(~np.isnan(series.validation)) + 1
    np.testing.assert_array_equal(there, range(every, count + 1, every))
    np.testing.assert_array_equal(series.validation[there - 1], logged)


def test_the_best_epoch_of_a_loss_named_after_a_score_is_the_lowest(tmp_path):
    (series,) = read_history({"dice_loss": [0.9, 0.5, 0.1]}).series
    assert not series.higher


def test_tensorboard_folders_of_keras_are_read(tmp_path):
    import tensorflow as tf

    for part, values in (("train", (2.0, 1.0, 0.5)), ("validation", (2.5, 1.5, 1.25))):
        with tf.summary.create_file_writer(str(tmp_path / part)).as_default():
            for step, value in enumerate(values):
                tf.summary.scalar("epoch_loss", value, step=step)
                if part == "train":
                    tf.summary.scalar("epoch_learning_rate", 0.1 / (step + 1), step=step)
    history = read_history(tmp_path)
    assert columns(history) == {"loss": ((2.0, 1.0, 0.5), (2.5, 1.5, 1.25))}
    np.testing.assert_allclose(history.learning_rate, (0.1, 0.05, 0.1 / 3), rtol=1e-6)


def test_tensorboard_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    import sys

    (tmp_path / "events.out.tfevents.1").write_bytes(b"")
    name = "tensorboard.backend.event_processing.event_accumulator"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(HistoryError, match=r"pip install 'keras-reportgen\[tensorboard\]'"):
        read_history(tmp_path)


def test_learning_rates_times_and_misspellings(tmp_path):
    rows = [
        ("Epoch", "train_cost", "val_cost", "epoch_time", "learing_rate"),
        ("1", "nan", "3.6", "11.2s", "0.001"),
        ("2", "0.2", "0.4", "9s", "0.0005"),
    ]
    text = "\n".join("\t".join(row) for row in rows)
    history = read(tmp_path, text)
    assert tuple(history.learning_rate) == (0.001, 0.0005)
    assert history.left_out == ("epoch_time",)
    assert history.loss == "cost"
    assert math.isnan(history.series[0].train[0])


def test_a_resumed_log_repeats_its_header_and_a_killed_one_breaks_off(tmp_path):
    resumed = CSV + CSV
    assert len(read(tmp_path, resumed).epochs) == 4
    killed = CSV + "2,0.8,0.9\n"
    assert len(read(tmp_path, killed).epochs) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("hello", "no header"),
        ("1,2,3\n4,5,6\n", "must name the columns"),
        ("epoch,loss\n", "no epochs of a metric"),
        ("epoch,note\n0,good\n", "no epochs of a metric"),
        ("epoch,loss\n0,1\n1,2,3\n2,1\n", "line 3 has 3 columns"),
        ("{", "no JSON"),
        ("[1, 2]", "must map names to lists"),
        ("epoch,loss\n0,1e101\n1,2\n", r"1e\+101 in row 1 of the column 'loss'"),
        (json.dumps({f"m{k}": [1] for k in range(10_001)}), "10,001 columns"),
        (json.dumps([{f"m{k}": 1} for k in range(10_000)]), "10,000 columns over 10,000 epochs"),
        (
            json.dumps({"loss": [1] * 40_000, **{f"m{k}": [1] for k in range(900)}}),
            "over 40,000 epochs",
        ),
        ('{"loss": 3}', "no epochs of a metric"),
    ],
)
def test_what_is_no_history_is_refused(text, said, tmp_path):
    with pytest.raises(HistoryError, match=said):
        read(tmp_path, text)


def test_missing_binary_and_empty_places_are_refused(tmp_path):
    with pytest.raises(HistoryError, match="no such file"):
        read_history(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x01" * 9)
    with pytest.raises(HistoryError, match="cannot be read as text"):
        read_history(tmp_path / "b.csv")
    with pytest.raises(HistoryError, match="no TensorBoard events"):
        read_history(tmp_path)


def test_the_best_epoch_is_the_first_of_equal_ones():
    nan = math.nan
    assert best_epoch(np.array([nan, 2.0, 1.0, 1.0]), higher=False) == 2
    assert best_epoch(np.array([0.5, 0.9, nan, 0.9]), higher=True) == 1
    assert best_epoch(np.array([nan, nan]), higher=True) is None
    assert best_epoch(np.array([]), higher=True) is None


# -- rules -----------------------------------------------------------------------------------------


def overview(classes=10, loss="sparse_categorical_crossentropy"):
    """An overview whose only facts are the head's."""
    output = OutputFacts("out", (None, classes), "float32", activation="softmax", loss=loss)
    known = {
        "tasks": (Task("out", "classification", "probabilities", ""),), "outputs": (output,), "inputs": (),
        "versions": (), "input_shapes": (),
    }  # fmt: skip
    fields = msgspec.structs.fields(OverviewContent)
    rest = {f.name: known.get(f.name) for f in fields if f.required}
    return Section("overview", "Overview", content=OverviewContent(**rest))


def found(loss, val_loss=(), accuracy=(), val_accuracy=(), classes=10):
    count = len(loss)
    curves = [Curve("loss", "lower", tuple(loss), tuple(val_loss), 0, sum(v is None for v in loss))]
    if accuracy:
        curves.append(Curve("accuracy", "higher", tuple(accuracy), tuple(val_accuracy), 0))
    content = HistoryContent("test", tuple(range(1, count + 1)), tuple(curves), "loss")
    history = Section("history", "Training history", content=content)
    judged = judge([overview(classes), history])
    rules = {"divergence", "overfitting", "generalisation-gap", "underfitting", "plateau",
             "noisy-validation", "no-validation"}  # fmt: skip
    return {f.rule: f for f in judged.findings if f.rule in rules}


def falling(start, end, count=40, speed=8.0):
    """Exponential decay: most is learned early."""
    share = np.exp(-speed * np.arange(count) / count)
    return [float(v) for v in end + (start - end) * (share - share[-1]) / (1 - share[-1])]


HEALTHY = falling(2.3, 0.3), [v + 0.02 for v in falling(2.3, 0.32)]


def test_a_healthy_training_raises_nothing():
    assert found(*HEALTHY, accuracy=[0.9] * 40, val_accuracy=[0.88] * 40) == {}


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_two_per_cent_is_no_overfitting(seed):
    rng = np.random.default_rng(seed)
    noisy = [[float(v * (1 + 0.02 * rng.standard_normal())) for v in curve] for curve in HEALTHY]
    assert "overfitting" not in found(*noisy)


def test_overfitting_names_the_best_epoch_and_how_long_was_too_long():
    train = falling(2.3, 0.01)
    held_out = [*falling(2.3, 0.8, 12), *np.linspace(0.8, 1.4, 28)]
    hits = found(train, held_out, accuracy=[1.0] * 40, val_accuracy=[0.75] * 40)
    assert "lowest in epoch 12 (0.8)" in hits["overfitting"].observed
    ends = f"at the end ({np.median(held_out[-3:]):.4g}, the median of the last 3 epochs; 1.4 in the last one)"
    assert ends in hits["overfitting"].observed
    assert "28 epochs too long" in hits["overfitting"].observed
    assert "0.250 apart" in hits["generalisation-gap"].observed
    assert "underfitting" not in hits
    assert "plateau" not in hits


def test_both_losses_rising_is_no_overfitting():
    held_out = [*falling(2.0, 0.8, 12), *np.linspace(0.8, 1.4, 28)]
    train = [*falling(2.0, 0.7, 12), *np.linspace(0.7, 0.9, 28)]
    assert "overfitting" not in found(train, held_out)


def test_losses_near_zero_do_not_overfit_by_digits():
    train = falling(2.0, 1e-7)
    held_out = [*falling(2.0, 1e-6, 20), *[2e-6] * 20]
    assert "overfitting" not in found(train, held_out)


def test_a_training_that_is_broken_off_underfits():
    train, held_out = np.linspace(2.3, 1.3, 8).tolist(), np.linspace(2.3, 1.32, 8).tolist()
    hits = found(
        train, held_out, accuracy=np.linspace(0.1, 0.5, 8).tolist(), val_accuracy=[0.5] * 8
    )
    assert "still brought" in hits["underfitting"].observed


def test_a_training_at_chance_underfits():
    hits = found([2.31] * 8, [2.31] * 8, accuracy=[0.11] * 8, val_accuracy=[0.1] * 8)
    assert "chance is 0.100" in hits["underfitting"].observed


def test_what_is_nearly_learned_does_not_underfit():
    train, held_out = np.linspace(0.6, 0.25, 8).tolist(), np.linspace(0.6, 0.26, 8).tolist()
    high = np.linspace(0.7, 0.91, 8).tolist()
    assert "underfitting" not in found(train, held_out, accuracy=high, val_accuracy=high)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ([2.0, 1.5, 1.2, None], "NaN or infinite"),
        ([1e6, 14.9, 13.4, 10.3, 10.4], "guessing among 10 classes"),
        ([2.0, 1.0, 1.8, 2.2, 2.25], "above the"),
    ],
)
def test_divergence_is_an_error_and_explains_the_rest(loss, said):
    hits = found(loss, [3.0] * len(loss))
    assert hits["divergence"].severity == "error"
    assert said in hits["divergence"].observed
    assert set(hits) == {"divergence"}


def test_a_nan_that_passes_is_information():
    hits = found([None, *HEALTHY[0][1:]], HEALTHY[1])
    assert hits["divergence"].severity == "info"
    assert "epoch 1 and recovered" in hits["divergence"].observed


def test_a_second_half_without_gain_is_a_plateau():
    train, held_out = falling(2.0, 0.5, 10), falling(2.0, 0.55, 10)
    hits = found([*train, *[0.5] * 30], [*held_out, *[0.55] * 30])
    assert "the last 20 epochs brought nothing" in hits["plateau"].observed


def test_a_jumping_validation_loss_is_noisy():
    held_out = [v * (1.25 if k % 2 else 0.8) for k, v in enumerate(HEALTHY[1])]
    assert "noisy-validation" in found(HEALTHY[0], held_out)


def test_without_validation_overfitting_cannot_be_judged():
    hits = found(HEALTHY[0])
    assert set(hits) == {"no-validation"}


def test_two_epochs_are_too_few():
    assert found([2.0, 1.9], [2.0, 1.95], accuracy=[0.1, 0.11], val_accuracy=[0.1, 0.1]) == {}


def test_without_a_history_nothing_is_judged():
    judged = judge([overview()])
    reasons = {c.rule: c.reason for c in judged.not_applicable}
    assert reasons["overfitting"] == "no training history was given"


if "REPORTGEN_MODELS" in os.environ:
    KNOWN = {
        "trained/fashion_overfit": {"overfitting", "generalisation-gap"},
        "trained/fashion_underfit2": {"underfitting"},
        "trained/fashion_high_lr": {"divergence"},
        "trained/fashion_cnn2": set(),
        "trained/fashion_vit": set(),
        "histories/ssrnet_imdb__mobilenet_reg_0.5_64.csv": {"overfitting"},
        "histories/ssrnet_imdb__ssrnet_3_3_3_64_1.0_1.0.csv": set(),
        "histories/musicnn_MTT_vgg_train_log.tsv": set(),
        "histories/oarriaga_KDEF_CSVLogger.log": set(),
    }

    @pytest.mark.parametrize("name", KNOWN)
    @pytest.mark.parametrize("suffix", ["csv", "json"])
    def test_real_logs_are_called_what_they_are(name, suffix):
        path = PLACE / "models" / name
        history = read_history(path / f"history.{suffix}" if path.is_dir() else path)

        def known(values):
            return tuple(v if math.isfinite(v) else None for v in values)

        curves = tuple(
            Curve(s.name, "higher" if s.higher else "lower", known(s.train), known(s.validation), 0,
                  sum(not math.isfinite(v) for v in s.train))
            for s in history.series
        )  # fmt: skip
        content = HistoryContent(history.source, tuple(history.epochs), curves, history.loss)
        sections = [Section("history", "", content=content)]
        if "fashion" in name:
            sections.append(overview())
        hits = {f.rule: f for f in judge(sections).findings if f.severity != "info"}
        assert set(hits) == KNOWN[name]
        if "fashion_overfit" in name:
            assert "epoch 12" in hits["overfitting"].observed


# -- a log that counts anew --------------------------------------------------------------------------


def test_a_log_that_counts_anew_is_counted_on(tmp_path):
    """A training of five epochs, begun again with CSVLogger(append=True): ten epochs, the best is the tenth."""
    losses = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    rows = [f"{k % 5},{loss},{loss + 0.05}" for k, loss in enumerate(losses)]
    (tmp_path / "log.csv").write_text("\n".join(["epoch,loss,val_loss", *rows]) + "\n")
    history = read_history(tmp_path / "log.csv")
    assert history.epochs.tolist() == list(range(1, 11))
    assert history.restarts == (5,)
    made = reportgen.build_report(
        models.model("binary"),
        history=tmp_path / "log.csv",
        output=tmp_path / "out",
        sections="history",
    )
    section = made.report.section("history")
    assert section.content.curves[0].best == 9
    assert any("counts its epochs anew after epoch 5" in notice.text for notice in section.notices)


def test_a_header_that_is_repeated_is_no_restart(tmp_path):
    """CSVLogger writes it again where the same file was appended with initial_epoch."""
    lines = ["epoch,loss", "0,3", "1,2", "epoch,loss", "2,1"]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    history = read_history(tmp_path / "log.csv")
    assert (history.epochs.tolist(), history.restarts) == ([1, 2, 3], ())


def test_a_million_epochs_are_drawn_from_two_thousand_points():
    values = np.arange(100_000.0) % 7
    values[40_000], values[60_000] = 99.0, math.nan
    shown = thinned(values)
    assert len(shown) <= MOST_POINTS
    assert {0, 40_000, 60_000, 99_999} <= set(shown)
    assert list(shown) == sorted(shown)
    assert list(thinned(np.array([1.0, math.nan, 2.0]))) == [0, 1, 2]


# -- long logs ---------------------------------------------------------------------------------------


def long_log(path, epochs=50_000):
    """Write a log whose best validation loss lies in epoch 31,234, with two epochs of NaN."""
    k = np.arange(epochs)
    loss = 2 - k / epochs
    held_out = 1 + np.abs(k - 31_233) / epochs
    loss[40_001:40_003] = math.nan
    rows = zip(k.tolist(), loss.tolist(), held_out.tolist(), strict=True)
    path.write_text("epoch,loss,val_loss\n" + "".join(f"{e},{a},{b}\n" for e, a, b in rows))


def test_of_a_long_training_the_best_the_first_and_the_last_epoch_are_exact(tmp_path):
    long_log(tmp_path / "log.csv")
    made = reportgen.build_report(
        models.model("binary"),
        history=tmp_path / "log.csv",
        output=tmp_path / "out",
        sections="history",
    )
    section = made.report.section("history")
    content = section.content
    assert content.total == 50_000
    assert len(content.epochs) <= MOST_KEPT
    (curve,) = content.curves
    assert len(curve.train) == len(curve.validation) == len(content.epochs)
    assert (content.epochs[0], content.epochs[-1]) == (1, 50_000)
    assert (curve.train[0], curve.train[-1]) == (2.0, 1.00002)
    assert (content.epochs[curve.best], curve.validation[curve.best]) == (31_234, 1.0)
    assert curve.non_finite == 2
    assert section.lead.startswith("50000 epochs; validation loss best in epoch 31234 (1)")
    assert any("Of 50,000 epochs" in notice.text for notice in section.notices)
    shown = pages.page_text(tmp_path / "out")
    assert "At the best and at the last of 50,000 epochs." in shown
    found = {f.rule: f.observed for f in made.report.findings}
    assert "18766 epochs too long" in found["overfitting"]
    assert "in epoch 40002, 40003 and recovered" in found["divergence"]


def test_a_log_of_two_thousand_epochs_is_kept_whole(tmp_path):
    rows = "".join(f"{k},{1 / (k + 1)}\n" for k in range(MOST_KEPT))
    history = read(tmp_path, "epoch,loss\n" + rows)
    kept = kept_epochs(len(history.epochs), history.series, [None], history.loss)
    assert kept.tolist() == list(range(MOST_KEPT))


def test_a_table_is_read_the_same_in_one_block_and_in_many(tmp_path, monkeypatch):
    """Quoted line ends, repeated headers, empty cells and texts, at every border of blocks."""
    lines = ["epoch,loss,acc,note,gap"]
    for k in range(50):
        lines.append(f'{k},{1 / (k + 1)},{"" if k % 7 == 3 else k},{"1" if k else "a"},"{k}\n"')
        if k % 11 == 5:
            lines.append(lines[0])
    text = "\n".join([*lines, "50,0.1"])
    whole = read(tmp_path, text)
    assert len(whole.epochs) == 50
    assert whole.left_out == ("note",)
    for rows, piece in ((1, 1), (3, 10), (7, 64)):
        monkeypatch.setattr("reportgen.inputs.history._ROWS", rows)
        monkeypatch.setattr("reportgen.inputs.history._PIECE", piece)
        parts = read(tmp_path, text)
        assert parts.left_out == whole.left_out
        for one, other in zip(parts.series, whole.series, strict=True):
            np.testing.assert_array_equal(one.train, other.train)


def test_validation_that_was_never_logged_and_a_second_rate_are_no_metrics(tmp_path):
    rows = "\n".join(f"{k},{1 / (k + 1)},NA,0.1,0.1" for k in range(8))
    (tmp_path / "log.csv").write_text(f"epoch,loss,val_loss,lr,learning_rate\n{rows}\n")
    made = reportgen.build_report(
        models.saved("classifier"),
        history=tmp_path / "log.csv",
        output=tmp_path / "out",
        sections=("history",),
    )
    section = made.report.section("history")
    assert "training loss best in epoch 8 (0.125), 0.125 in the last epoch" in section.lead
    assert [curve.name for curve in section.content.curves] == ["loss"]


def test_two_columns_of_one_name_are_refused(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss,loss\n0,3,1\n1,2,1\n")
    with pytest.raises(HistoryError, match="'loss' stands there more than once"):
        read_history(tmp_path / "log.csv")
