"""The callback of Keras: reports while training, which leave the training as it is."""

from __future__ import annotations

import keras
import numpy as np
import pages
import pytest
import tensorflow as tf
from keras import layers

from reportgen.errors import ModelError, UsageError
from reportgen.integrations import keras as integration
from reportgen.integrations.keras import ReportCallback, ReportWarning
from reportgen.nets.workers import is_chief
from reportgen.report.model import read_report

EPOCHS = 3
LEAN = {"probes": None, "sections": ("overview", "weights", "history")}


def network():
    """Everything that a pass could disturb: dropout, moving averages, an optimizer with moments."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu", name="first")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Dropout(0.5)(x)
    frozen = layers.Conv2D(4, 3, activation="relu", name="frozen", trainable=False)
    x = layers.Flatten()(frozen(x))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def images(count=24):
    random = np.random.default_rng(1)
    labels = np.arange(count) % 3
    return (random.random((count, 8, 8, 1)) + labels[:, None, None, None]).astype("float32"), labels


def train(*callbacks, epochs=EPOCHS):
    model = network()
    x, y = images()
    fitted = model.fit(
        x, y, validation_data=images(6), epochs=epochs, verbose=0, callbacks=list(callbacks)
    )
    return model, fitted.history


def state_of(model):
    """All that training goes on from."""
    values = [np.asarray(variable) for variable in (*model.variables, *model.optimizer.variables)]
    seeds = [np.asarray(one.seed_generator.state) for one in model.layers if "dropout" in one.name]
    return values + seeds, [layer.trainable for layer in model.layers]


def assert_same_state(one, other):
    (values, trainable), (expected, expected_trainable) = one, other
    assert trainable == expected_trainable
    for value, wanted in zip(values, expected, strict=True):
        np.testing.assert_array_equal(value, wanted)


def test_a_report_when_training_ends_holds_its_history_and_its_optimizer(tmp_path):
    callback = ReportCallback(str(tmp_path / "run"), probes=images()[0], skip="features")
    _, history = train(callback)
    (made,) = callback.reports
    assert made.path == tmp_path / "run"
    pages.check_page(made.path)
    report = read_report(tmp_path / "run")
    content = report.section("history").content
    (loss,) = [curve for curve in content.curves if curve.name == "loss"]
    assert list(loss.train) == pytest.approx(history["loss"], rel=1e-5)
    assert list(loss.validation) == pytest.approx(history["val_loss"], rel=1e-5)
    overview = report.section("overview").content
    assert (overview.optimizer, overview.loss) == ("Adam", "sparse_categorical_crossentropy")


def test_training_with_reports_is_bit_for_bit_the_one_without(tmp_path):
    plain, _ = train()
    callback = ReportCallback(
        str(tmp_path / "{epoch:03d}"), probes=images()[0][:3], on="epoch_end", skip="features"
    )
    reported, _ = train(callback)
    assert [made.path.name for made in callback.reports] == ["001", "002", "003"]
    assert any(read_report(made.path).section("relevance").content for made in callback.reports)
    assert_same_state(state_of(reported), state_of(plain))


def test_a_report_that_fails_is_a_warning_and_training_goes_on(tmp_path):
    plain, history = train()
    callback = ReportCallback(
        str(tmp_path / "{epoch}"), probes=str(tmp_path / "nowhere"), on="epoch_end"
    )
    with pytest.warns(ReportWarning, match=r"No report of epoch \d: .*nowhere") as warned:
        reported, found = train(callback)
    assert len(warned) == EPOCHS
    assert callback.reports == []
    assert found == history
    assert list(tmp_path.iterdir()) == []
    assert_same_state(state_of(reported), state_of(plain))


def test_metrics_of_several_values_are_left_out_and_training_goes_on(tmp_path):
    model = network()
    model.compile("adam", "categorical_crossentropy", metrics=[keras.metrics.F1Score()])
    callback = ReportCallback(str(tmp_path / "run"), **LEAN)
    x, y = images()
    model.fit(x, np.eye(3)[y], epochs=1, verbose=0, callbacks=[callback])
    curves = callback.reports[0].report.section("history").content.curves
    assert [curve.name for curve in curves] == ["loss"]


class Stop(keras.callbacks.Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002 - Keras's signature
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_an_interrupted_training_still_gets_its_report(tmp_path):
    callback = ReportCallback(str(tmp_path / "{epoch:03d}"), **LEAN)
    with pytest.raises(KeyboardInterrupt), callback:
        train(callback, Stop(2))
    assert [made.path.name for made in callback.reports] == ["002"]
    assert callback.finish() is None  # once an epoch
    assert len(read_report(tmp_path / "002").section("history").content.curves[0].train) == 2


def test_without_a_block_finish_makes_the_report(tmp_path):
    callback = ReportCallback(str(tmp_path / "run"), **LEAN)
    with pytest.raises(KeyboardInterrupt):
        train(callback, Stop(1))
    assert callback.reports == []
    assert callback.finish().path == tmp_path / "run"


@pytest.mark.parametrize("moment", ["randomised", "forward"])
def test_interrupting_a_report_leaves_the_network_alone(tmp_path, monkeypatch, moment):
    """Ctrl-C while the weights are randomised: what is trained is not touched, no second report is begun."""
    from reportgen.nets.passes import KerasPasses

    if moment == "randomised":
        monkeypatch.setattr(KerasPasses, "_use_copies", interrupted(KerasPasses._use_copies, 1))
    else:
        monkeypatch.setattr(KerasPasses, "forward", interrupted(KerasPasses.forward, 0))
    plain, _ = train(epochs=1)
    callback = ReportCallback(
        str(tmp_path / "{epoch}"), probes=images()[0][:2], on="epoch_end", skip="features"
    )
    model = network()
    with pytest.raises(KeyboardInterrupt), callback:
        model.fit(*images(), epochs=2, validation_data=images(6), verbose=0, callbacks=[callback])
    assert callback.reports == []
    assert not list(tmp_path.glob("*/index.html"))
    assert_same_state(state_of(model), state_of(plain))


def interrupted(original, after):
    calls = []

    def call(*arguments, **named):
        calls.append(arguments)
        if len(calls) > after:
            calls[:] = [None] * -10_000  # once
            if not getattr(call, "done", False):
                call.done = True
                raise KeyboardInterrupt
        return original(*arguments, **named)

    return call


def test_the_newest_report_has_an_address_that_stays(tmp_path):
    callback = ReportCallback(
        str(tmp_path / "all runs" / "{epoch:03d}-{val_loss:.1f}"), every=2, **LEAN
    )
    train(callback)
    names = [made.path.name for made in callback.reports]
    assert [name.partition("-")[0] for name in names] == ["002", "003"]
    page = (tmp_path / "all runs" / "latest" / "index.html").read_text()
    assert f'href="../{names[-1]}/index.html"' in page
    assert f"url=../{names[-1]}/index.html" in page
    assert (tmp_path / "all runs" / "latest" / ".." / names[-1] / "index.html").is_file()


def test_a_page_of_somebody_else_is_not_written_over(tmp_path):
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "index.html").write_text("mine")
    callback = ReportCallback(str(tmp_path / "{epoch}"), **LEAN)
    with pytest.warns(ReportWarning, match="no page of reportgen"):
        train(callback, epochs=1)
    assert (tmp_path / "latest" / "index.html").read_text() == "mine"
    assert (tmp_path / "1" / "index.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on": "epoch"}, "on takes"),
        ({"every": 0}, "every takes"),
        ({"every": True}, "every takes"),
        ({"output": "{epoch"}, "cannot be formatted"),
        ({"output": "q/{}"}, "cannot be formatted"),
        ({"output": "q/{epoch.real}"}, "cannot be formatted"),
        ({"output": "q/{epoch[0]}"}, "cannot be formatted"),
        ({"sections": "nothing"}, "nothing"),
        ({"quik": True}, "quik"),
    ],
)
def test_what_cannot_be_is_said_before_the_training(arguments, message):
    with pytest.raises(UsageError, match=message):
        ReportCallback(**arguments)


def test_a_name_that_is_not_logged_is_a_warning(tmp_path):
    with pytest.warns(ReportWarning, match="val_acc"):
        train(ReportCallback(str(tmp_path / "{val_acc}"), **LEAN), epochs=1)


def test_another_backend_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ModelError, match="Keras was imported with the jax backend"):
        ReportCallback()


@pytest.mark.parametrize(
    ("kind", "number", "chief", "tasks"),
    [
        ("worker", 0, True, ("worker",)),
        ("worker", 1, False, ("worker",)),
        ("chief", 0, True, ("chief", "worker")),
        ("worker", 0, False, ("chief", "worker")),
        ("evaluator", 0, False, ("chief", "worker")),
    ],
)
def test_of_several_workers_the_chief_alone_makes_reports(kind, number, chief, tasks):
    cluster = tf.train.ClusterSpec({task: [f"{task}0:1", f"{task}1:1"] for task in tasks})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster, task_type=kind, task_id=number
    )
    assert is_chief(resolver) == chief
    assert is_chief(None)


def test_a_worker_that_is_no_chief_makes_none(tmp_path, monkeypatch):
    monkeypatch.setattr(integration, "speaks_for_all", lambda _: False)
    callback = ReportCallback(str(tmp_path / "run"), **LEAN)
    train(callback, epochs=1)
    assert callback.reports == []
    assert list(tmp_path.iterdir()) == []
