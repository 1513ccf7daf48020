"""What an output is: by its layers, by its loss, and where neither says it by its numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from reportgen import build_report
from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.tasks import guess_tasks

pytestmark = pytest.mark.filterwarnings("ignore:You are using a softmax over axis -1:UserWarning")

RNG = np.random.default_rng(5)
FROM_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def features(start):
    x = layers.Conv2D(8, 3, activation="relu")(start)
    return layers.GlobalAveragePooling2D()(x)


def head(units, activation=None):
    start = keras.Input((12, 12, 3), name="picture")
    return keras.Model(start, layers.Dense(units, activation=activation)(features(start)))


def ensemble(units=4, activation="softmax", join=layers.Average):
    start = keras.Input((12, 12, 3), name="picture")
    parts = [layers.Dense(units, activation=activation)(features(start)) for _ in range(2)]
    return keras.Model(start, join()(parts))


def rescaled():
    start = keras.Input((12, 12, 3), name="picture")
    return keras.Model(start, layers.Rescaling(1.0)(layers.Dense(4, "softmax")(features(start))))


def compiled(model, loss):
    model.compile(loss=loss)
    return model


def task_of(model):
    (task,) = guess_tasks(KerasNetwork(model).facts, ())
    return task.kind, task.scale


def reshaped(groups, width):
    """Return a network whose softmax runs over ``width`` values each, and stands behind it in one row."""
    start = keras.Input((12, 12, 3), name="picture")
    x = layers.Reshape((groups, width))(layers.Dense(groups * width)(features(start)))
    return keras.Model(start, layers.Reshape((groups * width,))(layers.Softmax()(x)))


@pytest.mark.parametrize(
    ("groups", "width", "kind", "because", "rules"),
    [
        (4, 1, "tensor", "softmax over 1 value each", {"one-class-softmax"}),
        (2, 3, "tensor", "softmax over 3 values each", set()),
        (1, 4, "classification", "softmax over 4 units", set()),
    ],
)
def test_a_softmax_is_over_its_own_axis_however_it_is_reshaped(groups, width, kind, because, rules):
    model = reshaped(groups, width)
    x = RNG.uniform(0, 1, (6, 12, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x, verbose=0).sum(axis=1), groups, rtol=1e-5)
    report = build_report(model, probes=x, sections="overview,probes").report
    (task,) = report.sections[0].content.tasks
    assert (task.kind, task.because) == (kind, because)
    assert {finding.rule for finding in report.findings} == rules


def masks_and_scores(loss):
    """Return a network with a stack of masks and a score for each, as networks that segment by prompts have."""
    start = keras.Input((16, 16, 3), name="picture")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(start)
    scores = layers.Dense(4, name="scores")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(start, {"masks": layers.Conv2D(4, 1, name="masks")(x), "scores": scores})
    return compiled(model, loss)


def test_one_loss_for_outputs_of_different_ranks_says_nothing_of_each():
    both = {"masks": FROM_LOGITS, "scores": FROM_LOGITS}
    for loss, kinds in (
        (FROM_LOGITS, ["tensor", "regression"]),
        (both, ["segmentation", "classification"]),
    ):
        tasks = guess_tasks(KerasNetwork(masks_and_scores(loss)).facts, ())
        assert [task.kind for task in tasks] == kinds


@pytest.mark.parametrize(
    ("channels", "activation", "kind"),
    [(1, None, "image"), (1, "relu", "image"), (1, "sigmoid", "segmentation"), (2, None, "tensor")],
)
def test_a_number_at_every_pixel_is_a_picture(channels, activation, kind):
    """Depth, for one: the page draws it, and says nothing of classes."""
    start = keras.Input((16, 16, 3), name="picture")
    last = layers.Conv2D(channels, 3, padding="same", activation=activation)
    model = keras.Model(start, last(layers.Conv2D(4, 3, padding="same")(start)))
    x = RNG.uniform(0, 1, (4, 16, 16, 3)).astype(np.float32)
    report = build_report(model, probes=x, sections="overview,probes").report
    overview, probes = (section.content for section in report.sections)
    assert overview.tasks[0].kind == kind
    if kind == "image":
        answer, shown = model.predict(x, verbose=0)[0], probes.probes[0].outputs[0]
        assert answer.min() - 1e-4 <= shown.low < shown.high <= answer.max() + 1e-4
        assert shown.rmse is None


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (ensemble, ("classification", "probabilities")),
        (lambda: compiled(ensemble(), "sparse_categorical_crossentropy"), ("classification", "probabilities")),
        (rescaled, ("classification", "probabilities")),
        (lambda: compiled(rescaled(), "categorical_crossentropy"), ("classification", "probabilities")),
        (lambda: ensemble(1, "sigmoid"), ("binary", "probabilities")),
        (lambda: ensemble(4, "sigmoid"), ("multilabel", "probabilities")),
        (lambda: ensemble(4, None), ("regression", "values")),
        (lambda: ensemble(4, "softmax", layers.Add), ("regression", "values")),
        (lambda: compiled(head(4), FROM_LOGITS), ("classification", "logits")),
        (lambda: compiled(head(1), "binary_crossentropy"), ("binary", "probabilities")),
        (lambda: compiled(head(1), keras.losses.BinaryCrossentropy(from_logits=True)), ("binary", "logits")),
        (lambda: head(1, "softmax"), ("binary", "probabilities")),
    ],
)  # fmt: skip
def test_what_the_numbers_are_decides(model, expected):
    assert task_of(model()) == expected


def test_the_mean_of_two_softmaxes_is_shown_as_it_is():
    """No second softmax: the probability on the page is the one that Keras predicts."""
    model = compiled(ensemble(), "sparse_categorical_crossentropy")
    x = RNG.uniform(0, 1, (6, 12, 12, 3)).astype(np.float32)
    report = build_report(model, probes=x, sections="probes", max_probes=6).report
    shown = [probe.outputs[0].top[0].probability for probe in report.sections[0].content.probes]
    expected = model.predict(x, verbose=0).max(axis=1)
    np.testing.assert_allclose(shown, expected, rtol=1e-4)


def test_one_unit_under_a_loss_of_probabilities_is_decided_as_keras_decides_it():
    model = compiled(head(1), "binary_crossentropy")
    model.layers[-1].bias.assign(
        [0.2]
    )  # a logit of 0.2 would be given, a probability of 0.2 is not
    x = RNG.uniform(0, 1, (16, 12, 12, 3)).astype(np.float32)
    y = np.arange(16) % 2
    model.compile(loss="binary_crossentropy", metrics=["accuracy"])
    report = build_report(model, data=(x, y), sections="evaluation").report
    assert report.sections[0].content.result.accuracy == pytest.approx(
        model.evaluate(x, y, verbose=0)[1]
    )


def rules(model):
    x = RNG.uniform(0, 1, (4, 12, 12, 3)).astype(np.float32)
    found = build_report(model, probes=x, sections="overview,probes").report.findings
    return {(finding.rule, finding.severity) for finding in found}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: compiled(ensemble(), FROM_LOGITS), {("loss-against-head", "warning")}),
        (lambda: compiled(head(4, "softmax"), FROM_LOGITS), {("loss-against-head", "info")}),
        (lambda: compiled(head(4), "sparse_categorical_crossentropy"), {("loss-against-head", "warning")}),
        (lambda: compiled(head(1), keras.losses.binary_crossentropy), {("loss-against-head", "warning")}),
        (lambda: compiled(head(1, "softmax"), "binary_crossentropy"), {("one-class-softmax", "error")}),
        (lambda: compiled(head(4), FROM_LOGITS), set()),
        (lambda: compiled(head(4, "softmax"), "sparse_categorical_crossentropy"), set()),
        (lambda: compiled(head(1, "sigmoid"), "binary_crossentropy"), set()),
        (lambda: compiled(ensemble(), "sparse_categorical_crossentropy"), set()),
        (lambda: compiled(head(4), "mse"), set()),
        (lambda: head(4, "softmax"), set()),
    ],
)  # fmt: skip
def test_a_loss_that_does_not_fit_its_head_is_a_finding(model, expected):
    assert rules(model()) == expected


@pytest.mark.parametrize("loss", [FROM_LOGITS, "sparse_categorical_crossentropy", "mse"])
def test_what_a_loss_takes_is_read_from_a_file_too(loss, tmp_path):
    model = compiled(head(4), loss)
    live = KerasNetwork(model).facts.outputs[0]
    model.save(tmp_path / "model.keras")
    stored = build_report(tmp_path / "model.keras", sections="overview").report.sections[0].content
    assert (stored.outputs[0].loss, stored.outputs[0].from_logits) == (live.loss, live.from_logits)
    assert live.from_logits is {FROM_LOGITS: True, "mse": None}.get(loss, False)


class DenseProbabilities(layers.Layer):
    """Is called Dense and gives probabilities."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4))

    def call(self, inputs):
        powers = ops.exp(ops.matmul(inputs, self.kernel))
        return powers / ops.sum(powers, axis=-1, keepdims=True)


def test_a_name_says_nothing_of_what_a_users_layer_ends_in():
    start = keras.Input((12, 12, 3), name="picture")
    model = compiled(
        keras.Model(start, DenseProbabilities()(features(start))), "categorical_crossentropy"
    )
    assert task_of(model) == ("classification", "probabilities")
    assert rules(model) == set()


def test_a_softmax_over_another_axis_is_not_one_over_its_units():
    start = keras.Input((12, 12, 3), name="picture")
    x = layers.Reshape((4, 1))(layers.Dense(4)(features(start)))
    model = keras.Model(start, layers.Softmax(axis=1)(x))
    assert KerasNetwork(model).facts.outputs[0].activation is None
    assert rules(model) == set()


@pytest.mark.parametrize(
    "loss", [["mse", "binary_crossentropy"], {"a": "mse", "b": "binary_crossentropy"}]
)
def test_losses_belong_to_the_outputs_that_keras_gives_them(loss):
    start = keras.Input((12, 12, 3), name="picture")
    x = features(start)
    outputs = {"b": layers.Dense(1, activation="sigmoid")(x), "a": layers.Dense(1)(x)}
    model = compiled(keras.Model(start, outputs), loss)
    found = {output.name: output.loss for output in KerasNetwork(model).facts.outputs}
    assert found == {"a": "mse", "b": "binary_crossentropy"}
    images = RNG.uniform(0, 1, (4, 12, 12, 3)).astype(np.float32)
    told = {"a": np.full((4, 1), 9.0), "b": np.ones((4, 1))}
    logs = model.evaluate(images, told, verbose=0, return_dict=True)
    answer = model.predict(images, verbose=0)["a"]
    assert logs["a_loss"] == pytest.approx(float(np.mean((answer - 9) ** 2)), rel=1e-4)


def test_nested_losses_are_found_by_the_paths_of_their_outputs():
    model = functional_detector()
    kinds = "categorical_crossentropy"
    model.compile(loss={"found": {"boxes": "mse", "kinds": kinds}, "rest": ("mae", "mae")})
    found = {output.name: output.loss for output in KerasNetwork(model).facts.outputs}
    assert (found["found/boxes"], found["found/kinds"]) == ("mse", kinds)


# -- nested and batch-sized outputs ----------------------------------------------------------------


class Detector(keras.Model):
    """Gives a dictionary in a dictionary, and a tuple in it."""

    def __init__(self):
        super().__init__()
        self.see, self.pool = (
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
        )
        self.box, self.kind = layers.Dense(4), layers.Dense(3, activation="softmax")

    def call(self, inputs):
        x = self.pool(self.see(inputs))
        return {"found": {"boxes": self.box(x), "kinds": self.kind(x)}, "rest": (self.box(x), x)}


def functional_detector():
    start = keras.Input((12, 12, 3), name="picture")
    x = features(start)
    box, kind = layers.Dense(4)(x), layers.Dense(3, activation="softmax")(x)
    outputs = {"found": {"boxes": box, "kinds": kind}, "rest": (layers.Dense(4)(x), x)}
    return keras.Model(start, outputs)


@pytest.mark.parametrize("make", [Detector, functional_detector])
def test_nested_outputs_are_named_by_their_paths(make):
    model = make()
    x = RNG.uniform(0, 1, (3, 12, 12, 3)).astype(np.float32)
    expected = model(x)
    made = build_report(model, probes=x, quick=True)
    assert made.failed == ()
    overview, probes = (
        next(s.content for s in made.report.sections if s.kind == kind)
        for kind in ("overview", "probes")
    )
    assert [(task.output, task.kind) for task in overview.tasks] == [
        ("found/boxes", "regression"),
        ("found/kinds", "classification"),
        ("rest/0", "regression"),
        ("rest/1", "regression"),
    ]
    shown = [probe.outputs[1].top[0].probability for probe in probes.probes]
    np.testing.assert_allclose(shown, expected["found"]["kinds"].numpy().max(axis=1), rtol=1e-4)


class Similarity(keras.Model):
    """Compares all images of a batch with each other."""

    def __init__(self):
        super().__init__()
        self.see, self.pool = layers.Conv2D(8, 3), layers.GlobalAveragePooling2D()

    def call(self, inputs):
        x = self.pool(self.see(inputs))
        return ops.matmul(x, ops.transpose(x))


def similarity():
    start = keras.Input((12, 12, 3), name="picture")
    x = features(start)
    return keras.Model(start, ops.matmul(x, ops.transpose(x)))


@pytest.mark.parametrize("make", [Similarity, similarity])
@pytest.mark.parametrize("images", [4, 8])
def test_an_axis_that_follows_the_batch_is_no_axis_of_classes(make, images):
    model = make()
    model(np.zeros((1, 12, 12, 3), np.float32))
    facts = KerasNetwork(model, images=images).facts
    assert facts.outputs[0].shape == (None, None)
    assert guess_tasks(facts, ())[0].kind == "tensor"


@pytest.mark.parametrize("images", [3, 4, 8])
def test_as_many_classes_as_images_are_classes(images):
    facts = KerasNetwork(head(4, "softmax"), images=images).facts
    assert facts.outputs[0].shape == (None, 4)
    open_sizes = keras.Input((None, None, 3))
    masks = keras.Model(open_sizes, layers.Conv2D(4, 1, activation="softmax")(open_sizes))
    facts = KerasNetwork(masks, images=images, input_size=(8, 16)).facts
    assert facts.outputs[0].shape == (None, 8, 16, 4)
