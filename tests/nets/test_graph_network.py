"""SavedModels whose graph is run as a whole, held against the signature that TensorFlow itself calls."""

from __future__ import annotations

import keras
import numpy as np
import pages
import pytest
import tensorflow as tf

from reportgen import build_report
from reportgen.errors import NotApplicable, NotBuiltError
from reportgen.nets.graph_network import GraphNetwork
from reportgen.nets.stored import read_stored
from reportgen.nets.stored_network import StoredNetwork
from reportgen.network.protocol import Aim, Sample
from reportgen.network.tasks import guess_tasks

IMAGES = np.random.default_rng(1).random((5, 8, 8, 1)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1])


def variable(*shape, seed=0, name="kernel"):
    return tf.Variable(np.random.default_rng(seed).normal(size=shape).astype(np.float32), name=name)


def save(folder, function, *specs, held=(), signature="serving_default"):
    """Write a function as the one signature of a SavedModel; ``held`` are its variables."""
    module = tf.Module()
    module.held = list(held)
    traced = tf.function(function, input_signature=specs)
    module.answer = traced
    tf.saved_model.save(module, str(folder), signatures={signature: traced})
    return folder


def classifier(folder, scale=1.0):
    """Write a linear classifier of three classes, which is no network of Keras."""
    kernel = variable(64, 3)
    return save(
        folder,
        lambda x: {"p": tf.nn.softmax(scale * (tf.reshape(x, (-1, 64)) @ kernel))},
        tf.TensorSpec((None, 8, 8, 1), tf.float32, name="x"),
        held=[kernel],
    )


def exported(folder):
    """Write what Keras 3 exports."""
    model = keras.Sequential([
        keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    model.export(folder, verbose=False)
    return folder


@pytest.fixture(scope="module")
def network_of(tmp_path_factory):
    """Return what makes the network of a folder; its weights are shown as another file stores them."""
    path = tmp_path_factory.mktemp("stored") / "some.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save_weights(path)
    stored = StoredNetwork(path, read_stored(path), "asked")
    return lambda folder, **options: GraphNetwork(folder, stored, **options)


def outputs_of(network, **inputs):
    """Return the outputs of all blocks, one behind the other."""
    batches = [batch.outputs for batch in network.forward(inputs)]
    return {name: np.concatenate([one[name] for one in batches]) for name in batches[0]}


def asked_directly(folder, **inputs):
    """Return what the signature answers by TensorFlow's own interface for objects."""
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    found = signature(**{name: tf.constant(array) for name, array in inputs.items()})
    return {name: tensor.numpy() for name, tensor in found.items()}


# -- answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "given"), [(classifier, "x"), (exported, None)], ids=["of TensorFlow", "of Keras 3"]
)
def test_a_graph_answers_as_its_signature_called_directly(tmp_path, write, given, network_of):
    folder = write(tmp_path / "saved")
    network = network_of(folder, images=2)
    name = network.facts.inputs[0].name
    assert given in {name, None}
    expected = asked_directly(folder, **{name: IMAGES})
    found = outputs_of(network, **{name: IMAGES})
    assert found.keys() == expected.keys()
    for output, values in expected.items():
        np.testing.assert_allclose(found[output], values, rtol=1e-5)
    assert network.can == {"run"}
    assert guess_tasks(network.facts, ())[0].kind == "classification"


def test_several_inputs_and_outputs_that_are_no_images(tmp_path, network_of):
    kernel = variable(4, 2)
    folder = save(
        tmp_path / "saved",
        lambda a, b: {
            "sum": a @ kernel + b,
            "gate": tf.sigmoid(a[:, :1]),
            "which": tf.argmax(a, 1),
        },
        tf.TensorSpec((None, 4), tf.float32, name="a"),
        tf.TensorSpec((None, 2), tf.float32, name="b"),
        held=[kernel],
    )
    network = network_of(folder)
    rng = np.random.default_rng(2)
    given = {
        "a": rng.random((11, 4)).astype(np.float32),
        "b": rng.random((11, 2)).astype(np.float32),
    }
    found, expected = outputs_of(network, **given), asked_directly(folder, **given)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5)
    assert {t.output: t.kind for t in guess_tasks(network.facts, ())} == {
        "sum": "regression", "gate": "binary", "which": "tensor",
    }  # fmt: skip


def test_a_fixed_batch_is_filled_up(tmp_path, network_of):
    kernel = variable(64, 2)
    folder = save(
        tmp_path / "saved", lambda x: {"y": tf.reshape(x, (4, 64)) @ kernel},
        tf.TensorSpec((4, 8, 8, 1), tf.float32, name="x"), held=[kernel],
    )  # fmt: skip
    network = network_of(folder)
    assert network.block == 4
    expected = IMAGES.reshape(5, 64) @ kernel.numpy()
    np.testing.assert_allclose(outputs_of(network, x=IMAGES)["y"], expected, rtol=1e-4)


@pytest.mark.parametrize("batch", [1, None])
def test_a_graph_for_one_sample_gets_one_at_a_time(tmp_path, batch, network_of):
    """Where its signature does not say so, trying finds it."""
    kernel = variable(64, 2)
    folder = save(
        tmp_path / "saved", lambda x: {"y": tf.reshape(x, (1, 64)) @ kernel},
        tf.TensorSpec((batch, 8, 8, 1), tf.float32, name="x"), held=[kernel],
    )  # fmt: skip
    network = network_of(folder)
    assert network.block == 1
    assert any("one sample at a time" in note for note in network.facts.origin.notes) == (
        batch is None
    )
    expected = IMAGES.reshape(5, 64) @ kernel.numpy()
    np.testing.assert_allclose(outputs_of(network, x=IMAGES)["y"], expected, rtol=1e-4)


def test_open_sizes_are_closed_by_what_is_given(tmp_path, network_of):
    kernel = variable(3, 3, 3, 2)
    folder = save(
        tmp_path / "saved", lambda x: {"map": tf.nn.conv2d(x, kernel, 1, "SAME")},
        tf.TensorSpec((None, None, None, 3), tf.float32, name="x"), held=[kernel],
    )  # fmt: skip
    network = network_of(folder, input_size=(12, 10))
    assert network.input_shape("x") == (12, 10, 3)
    assert network.facts.outputs[0].shape == (None, 12, 10, 2)


def test_outputs_that_tell_nothing_of_a_sample_are_left_out_and_named(tmp_path, network_of):
    folder = save(
        tmp_path / "saved",
        lambda x: {"y": 2.0 * x, "total": tf.reduce_sum(x), "name": tf.fill((tf.shape(x)[0],), "cat")},
        tf.TensorSpec((None, 3), tf.float32, name="x"), held=[variable(2)],
    )  # fmt: skip
    network = network_of(folder)
    assert [output.name for output in network.facts.outputs] == ["y"]
    assert any(
        "row for each sample are left out: total" in note for note in network.facts.origin.notes
    )
    assert any("texts are left out: name" in note for note in network.facts.origin.notes)


REFUSED = {
    "texts": (lambda x: {"y": tf.strings.length(x)}, [tf.TensorSpec((None,), tf.string, name="x")],
              "'x' takes texts"),
    "one value": (lambda x, k: {"y": x * k}, [tf.TensorSpec((None, 3), tf.float32, name="x"),
                                              tf.TensorSpec((), tf.float32, name="k")], "'k' takes one value"),
    "any shape": (lambda x: {"y": x}, [tf.TensorSpec(None, tf.float32, name="x")], "which shape its input 'x'"),
    "two batches": (lambda a, b: {"y": a, "z": b}, [tf.TensorSpec((1, 3), tf.float32, name="a"),
                                                    tf.TensorSpec((2, 3), tf.float32, name="b")], "1 and 2"),
    "no rows": (lambda x: {"y": tf.reduce_sum(x, 0)}, [tf.TensorSpec((None, 3), tf.float32, name="x")],
                r"row for each of 4 samples \('y': \(3,\)\)"),
    "fails": (lambda x: {"y": tf.debugging.check_numerics(x / 0.0, "is broken")},
              [tf.TensorSpec((None, 3), tf.float32, name="x")], "cannot be run: .*broken"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_run_on_samples_is_said(tmp_path, name, network_of):
    function, specs, phrase = REFUSED[name]
    folder = save(tmp_path / "saved", function, *specs, held=[variable(2)])
    with pytest.raises(NotBuiltError, match=phrase):
        network_of(folder)


def test_a_signature_of_another_name_is_run_where_it_is_the_only_one(tmp_path, network_of):
    spec = tf.TensorSpec((None, 3), tf.float32, name="x")
    folder = save(
        tmp_path / "one", lambda x: {"y": x + 1}, spec, held=[variable(2)], signature="mine"
    )
    np.testing.assert_array_equal(
        outputs_of(network_of(folder), x=np.ones((2, 3)))["y"], np.full((2, 3), 2)
    )
    module = tf.Module()
    module.held = variable(2)
    module.f = tf.function(lambda x: {"y": x}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "two"), signatures={"a": module.f, "b": module.f})
    with pytest.raises(NotBuiltError, match=r"no signature 'serving_default'.*'a', 'b'"):
        network_of(tmp_path / "two")


# -- relevance -----------------------------------------------------------------------------------------


def test_scores_are_of_the_output_and_gradients_are_refused(tmp_path, network_of):
    network = network_of(classifier(tmp_path / "saved"))
    expected = outputs_of(network, x=IMAGES)["p"]
    passes = network.passes(Aim("p", "linear", "x"))
    weights = np.array([0, 1, 0], np.float32)
    scores = [score for score, _ in passes.forward(Sample({"x": one}, weights) for one in IMAGES)]
    np.testing.assert_allclose(scores, expected[:, 1], rtol=1e-5)
    with pytest.raises(NotApplicable, match="without gradients"):
        passes.gradients([])


def test_weights_are_random_for_a_while_and_then_as_before(tmp_path, network_of):
    network = network_of(classifier(tmp_path / "saved"))
    before = outputs_of(network, x=IMAGES)["p"]
    more = iter((True, False))
    passes = network.passes(Aim("p", "linear", "x"))
    with passes.randomised(1, 3, lambda: next(more)) as cascade:
        drawn = [(paths, outputs_of(network, x=IMAGES)["p"]) for paths in cascade]
    assert [bool(paths) for paths, _ in drawn] == [True, False]
    assert not np.allclose(drawn[0][1], before)
    assert not np.allclose(drawn[0][1], drawn[1][1])
    np.testing.assert_array_equal(outputs_of(network, x=IMAGES)["p"], before)


def test_constants_are_not_taken_for_weights(tmp_path, network_of):
    kernel = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    folder = save(
        tmp_path / "saved", lambda x: {"p": tf.nn.softmax(tf.reshape(x, (-1, 64)) @ kernel)},
        tf.TensorSpec((None, 8, 8, 1), tf.float32, name="x"), held=[variable(4)],
    )  # fmt: skip
    passes = network_of(folder).passes(Aim("p", "linear", "x"))
    with (
        passes.randomised(1, 0) as cascade,
        pytest.raises(NotApplicable, match="does not rest on weights"),
    ):
        next(cascade)


# -- reports -------------------------------------------------------------------------------------------


def built(folder, out, **options):
    build_report(folder, output=out, probes=(IMAGES, LABELS), data=(IMAGES, LABELS), **options)
    return pages.check_page(out)


def notices(report, kind):
    return [n["text"] for s in report["sections"] if s["kind"] == kind for n in s["notices"]]


def test_a_report_with_the_flag_has_predictions_an_evaluation_and_occlusion(tmp_path):
    folder = classifier(tmp_path / "saved")
    report = built(folder, tmp_path / "out", allow_code=True, relevance_baseline="black")
    expected = asked_directly(folder, x=IMAGES)["p"]
    overview = pages.content(report, "overview")
    assert (overview["origin"]["way"], overview["flops"]) == ("graph", None)
    assert "run as a whole (--allow-code)" in notices(report, "overview")[0]
    evaluation = pages.content(report, "evaluation")
    assert evaluation["images"] == 5
    assert evaluation["result"]["accuracy"] == pytest.approx((expected.argmax(1) == LABELS).mean())
    relevance = pages.content(report, "relevance")
    assert [method["name"] for method in relevance["methods"]] == ["occlusion"]
    assert relevance["methods"][0]["passes_sanity"] is True
    for one in relevance["maps"]:
        unit, image = one["target"]["index"], IMAGES[one["probe"]]
        drops = [expected[one["probe"], unit] - p[unit] for p in hidden(folder, image)]
        assert one["raw_maximum"] == pytest.approx(max(drops), abs=1e-5)
        assert one["raw_minimum"] == pytest.approx(min(drops), abs=1e-5)
    assert pages.content(report, "activations") is None
    assert "what the layers answer" in notices(report, "activations")[0]
    assert "takes gradients" in notices(report, "features")[0]


def hidden(folder, image):
    """Return what the signature answers where one pixel after the other is black."""
    copies = np.repeat(image[None], 64, axis=0)
    for place, copy in enumerate(copies):
        copy[place // 8, place % 8] = 0
    return asked_directly(folder, x=copies)["p"]


def test_without_the_flag_the_page_names_it_and_weights_are_there(tmp_path):
    report = built(classifier(tmp_path / "saved"), tmp_path / "out")
    assert "--allow-code runs the graph" in notices(report, "overview")[0]
    assert pages.content(report, "overview")["origin"]["way"] == "stored"
    assert pages.content(report, "weights")["count"] == 192
    assert pages.content(report, "probes") is None


def test_a_graph_that_cannot_be_run_leaves_the_weights_and_the_reason(tmp_path):
    function, specs, _ = REFUSED["texts"]
    folder = save(tmp_path / "saved", function, *specs, held=[variable(2, 3)])
    build_report(folder, output=tmp_path / "out", allow_code=True)
    report = pages.check_page(tmp_path / "out")
    assert "takes texts or encoded files" in notices(report, "overview")[0]
    assert pages.content(report, "weights")["count"] == 6


def test_a_graph_that_writes_acts_with_the_flag_alone(tmp_path):
    target, kernel = tmp_path / "written", variable(64, 3)

    def answer(x):
        tf.io.write_file(str(target), "mine now")
        return {"p": tf.reshape(x, (-1, 64)) @ kernel}

    spec = tf.TensorSpec((None, 8, 8, 1), tf.float32, name="x")
    folder = save(tmp_path / "saved", answer, spec, held=[kernel])
    for options in ({}, {"weights_only": True}, {"weights_only": True, "allow_code": True}):
        build_report(folder, output=tmp_path / "out", probes=IMAGES, force=True, **options)
        assert not target.exists()
    build_report(folder, output=tmp_path / "out", probes=IMAGES, force=True, allow_code=True)
    assert target.read_text() == "mine now"


def test_graphs_of_the_same_weights_are_not_taken_for_each_other(tmp_path):
    """What is kept of one evaluation may not be shown for another graph."""
    found = [
        built(
            classifier(tmp_path / f"saved{scale}", scale), tmp_path / f"out{scale}", allow_code=True,
            cache=str(tmp_path / "cache"), relevance=("none",),
        )
        for scale in (1.0, -1.0)
    ]  # fmt: skip
    first, second = (pages.content(report, "evaluation")["result"]["accuracy"] for report in found)
    assert first != second
