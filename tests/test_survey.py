"""The survey of a whole data set: it goes on where a run was stopped, and what it found shows on the page."""

import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from pages import check_page, page_text, tree
from PIL import Image

import reportgen
from reportgen.context import Silence
from reportgen.drawing.assets import AssetStore
from reportgen.errors import DataError
from reportgen.nets.blocks import ForwardBlocks
from reportgen.nets.engine import lanes
from reportgen.sections.activations.strongest import _sheet

NAMES = ["low", "middle", "high"]
SECTIONS = ("overview", "evaluation", "activations")


@pytest.fixture(scope="module")
def model():
    """Says by brightness; its first layer has a channel for brightness and one for darkness."""
    start = keras.Input((8, 8, 1), name="picture")
    conv = layers.Conv2D(2, 1, activation="relu", name="conv")
    x = conv(start)
    mean = layers.GlobalAveragePooling2D(name="mean")(x)
    end = layers.Dense(3, activation="softmax", name="out")
    made = keras.Model(start, end(mean))
    conv.set_weights([np.array([[[[1.0, -1.0]]]]), np.array([0.0, 1.0])])
    end.set_weights([np.array([[-12.0, 0.0, 12.0], [0, 0, 0]]), np.array([4.0, 0.0, -8.0])])
    return made


def case(count=3000, seed=0):
    rng = np.random.default_rng(seed)
    levels = rng.uniform(0, 1, count)
    truth = np.clip(np.floor(levels * 3 + rng.normal(0, 0.3, count)), 0, 2).astype(int)
    return np.broadcast_to(levels[:, None, None, None], (count, 8, 8, 1)).astype(np.float32), truth


class StopAfter(Silence):
    """Ctrl-C after so many images of the data set."""

    def __init__(self, images):
        self._left, self._counting = images, False

    def stage(self, text, total=None):  # noqa: ARG002 - the protocol's
        self._counting = text.startswith("Data")

    def advance(self, steps=1):
        self._left -= steps if self._counting else 0
        if self._left < 0:
            raise KeyboardInterrupt


@pytest.fixture
def passes(monkeypatch):
    """Count the images that go through the network in the survey."""
    counted = []
    survey = ForwardBlocks.survey

    def counting(self, blocks):
        for batch in survey(self, blocks):
            counted.append(len(next(iter(batch.inputs.values()))))
            yield batch

    monkeypatch.setattr(ForwardBlocks, "survey", counting)
    return counted


def build(model, folder, data, cache, **options):
    options.setdefault("sections", SECTIONS)
    options.setdefault("classes", NAMES)
    return reportgen.build_report(model, data=data, output=folder, cache=cache, **options)


@pytest.fixture
def dated(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.mark.usefixtures("dated")
def test_a_run_that_was_stopped_goes_on_and_gives_the_same_bytes(model, tmp_path, passes):
    data, cache = case(), tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        build(model, tmp_path / "a", data, cache, progress=StopAfter(2200))
    assert not (tmp_path / "a" / "index.html").exists()
    kept = list(cache.rglob("*.npz"))
    assert kept
    passes.clear()
    build(model, tmp_path / "a", data, cache)
    examples = 16 * 2  # read again for their pictures
    assert sum(passes) <= 3000 - 1024 * len(kept) + examples
    build(model, tmp_path / "b", data, tmp_path / "other")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert len(list(cache.rglob("*.npz"))) == 1


@pytest.mark.usefixtures("dated")
def test_a_second_run_needs_no_pass_and_fresh_takes_all(model, tmp_path, passes):
    data, cache = case(500), tmp_path / "cache"
    build(model, tmp_path / "a", data, cache)
    passes.clear()
    build(model, tmp_path / "b", data, cache, title="Another")
    assert sum(passes) < 100
    passes.clear()
    build(model, tmp_path / "c", data, cache, fresh=True)
    assert sum(passes) >= 500
    assert tree(tmp_path / "a") == tree(tmp_path / "c")


@pytest.mark.parametrize("change", ["weights", "data", "labels", "threshold"])
def test_other_weights_data_or_settings_are_another_survey(model, tmp_path, passes, change):
    (x, y), cache = case(300), tmp_path / "cache"
    build(model, tmp_path / "a", (x, y), cache)
    options = {}
    if change == "weights":
        model = keras.models.clone_model(model)
        model.set_weights([w + 0.01 for w in model.get_weights()])
    elif change == "data":
        x = x + np.float32(0.001)
    elif change == "labels":
        y = (y + 1) % 3
    else:
        options["threshold"] = 0.7
    passes.clear()
    build(model, tmp_path / "b", (x, y), cache, **options)
    assert sum(passes) >= 300


@pytest.mark.parametrize("probed", [False, True])
def test_images_that_are_prepared_otherwise_are_another_survey(model, tmp_path, passes, probed):
    """Whatever is done with the probes: arrays of floats are fed as they are, and images of 0..255 are not."""
    (x, y), cache = case(300), tmp_path / "cache"
    data = (np.round(255 * x).astype(np.uint8), y)
    options = {"probes": x[:2]} if probed else {}
    options["sections"] = (*SECTIONS, "probes")
    first = build(model, tmp_path / "a", data, cache, preprocess="unit", **options).report
    passes.clear()
    second = build(model, tmp_path / "b", data, cache, preprocess="symmetric", **options).report
    assert sum(passes) >= 300
    assert first.section("evaluation").content != second.section("evaluation").content


def test_a_damaged_piece_is_made_again(model, tmp_path, passes):
    data, cache = case(300), tmp_path / "cache"
    first = build(model, tmp_path / "a", data, cache).report
    (piece,) = cache.rglob("*.npz")
    piece.write_bytes(piece.read_bytes()[:500])
    passes.clear()
    second = build(model, tmp_path / "b", data, cache).report
    assert sum(passes) >= 300
    assert [s.content for s in first.sections if s.kind == "evaluation"] == [
        s.content for s in second.sections if s.kind == "evaluation"
    ]


def test_files_are_resumed_too_and_broken_ones_are_remembered(model, tmp_path, passes):
    x, y = case(40)
    for k, label in enumerate(y):
        (tmp_path / "data" / NAMES[label]).mkdir(parents=True, exist_ok=True)
        level = np.full((8, 8), round(255 * float(x[k, 0, 0, 0])), np.uint8)
        Image.fromarray(level).save(tmp_path / "data" / NAMES[label] / f"{k}.png")
    (tmp_path / "data" / "low" / "x.png").write_bytes(b"no image")
    reports = []
    for name in "ab":
        passes.clear()
        made = build(
            model, tmp_path / name, tmp_path / "data", tmp_path / "cache", preprocess="unit",
            sections=(*SECTIONS, "probes"), max_probes=64,
        )  # fmt: skip
        probes = made.report.section("probes")
        assert len(probes.content.probes) == 40
        assert [notice.text for notice in probes.notices if notice.level != "info"] == []
        reports.append(next(s.content for s in made.report.sections if s.kind == "evaluation"))
    assert reports[0] == reports[1]
    assert reports[0].broken_count == 1
    assert "x.png" in reports[0].broken[0]
    assert sum(passes) < 40


def test_the_strongest_images_of_every_shown_channel(model, tmp_path):
    x, y = case(200)
    made = build(model, tmp_path / "out", (x, y), tmp_path / "cache")
    check_page(tmp_path / "out")
    content = next(s.content for s in made.report.sections if s.kind == "activations")
    assert (content.over, content.images) == ("data", 200)
    shown = {call.id: call for call in content.shown}["conv"].top
    levels = x.mean(axis=(1, 2, 3))
    by_channel = {
        channel: [row[k] for row in shown.places] for k, channel in enumerate(shown.channels)
    }
    assert by_channel[0] == np.argsort(-levels, kind="stable")[:4].tolist()
    assert by_channel[1] == np.argsort(levels, kind="stable")[:4].tolist()
    column = shown.channels.index(0)
    assert shown.values[0][column] == pytest.approx(levels.max(), rel=1e-5)
    assert "200 images of the data set" in page_text(tmp_path / "out")


def test_probes_are_right_and_wrong_ones_and_mistakes_have_their_relevance(model, tmp_path):
    x, y = case(300)
    x[:, :4] *= 1.5
    x[:, 4:] *= 0.5
    made = build(
        model, tmp_path / "out", (x, y), tmp_path / "cache", sections=("probes", "evaluation", "relevance"),
        relevance=("gradcam", "saliency"),
    )  # fmt: skip
    check_page(tmp_path / "out")
    contents = {s.kind: s for s in made.report.sections}
    said = model.predict(x, verbose=0).argmax(axis=1)
    places = [int(re.search(r"\d+", p.name).group()) for p in contents["probes"].content.probes]
    wrong = [place for place in places if said[place] != y[place]]
    assert len(places) == 8
    assert len(wrong) == 4
    assert any("4 that are decided wrong" in n.text for n in contents["probes"].notices)
    result = contents["evaluation"].content.result
    assert result.explained_by
    assert any(one.relevance is not None for one in (*result.mistakes, *result.hesitant))
    assert f"by {result.explained_by}" in page_text(tmp_path / "out")


def test_without_the_section_mistakes_have_no_maps(model, tmp_path):
    made = build(model, tmp_path / "out", case(100), tmp_path / "cache")
    result = next(s.content for s in made.report.sections if s.kind == "evaluation").result
    assert result.explained_by == ""
    assert all(one.relevance is None for one in result.mistakes)


def test_a_data_set_is_read_element_by_element(model, tmp_path):
    x, y = case(600)
    drawn = []

    def rows():
        for k in range(600):
            drawn.append(k)
            yield x[k], y[k]

    spec = (tf.TensorSpec((8, 8, 1), tf.float32), tf.TensorSpec((), tf.int64))
    data = tf.data.Dataset.from_generator(rows, output_signature=spec)
    whole = build(model, tmp_path / "a", (x, y), tmp_path / "cache").report
    streamed = build(model, tmp_path / "b", data, tmp_path / "cache").report
    for kind in ("evaluation", "activations"):
        one, two = (
            next(s.content for s in report.sections if s.kind == kind)
            for report in (whole, streamed)
        )
        if kind == "evaluation":
            assert one.result.matrix == two.result.matrix
            assert [m.index for m in one.result.mistakes] == [m.index for m in two.result.mistakes]
            assert all(m.figure is not None for m in two.result.mistakes)
        else:
            assert one.calls == two.calls
    assert max(drawn) == 599


def test_a_data_set_of_another_order_each_time_shows_no_wrong_pictures(model, tmp_path):
    x, y = case(400)
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(400, seed=1).batch(32)
    made = build(model, tmp_path / "out", data, tmp_path / "cache").report
    result = next(s.content for s in made.sections if s.kind == "evaluation").result
    said = model.predict(x, verbose=0).argmax(axis=1)
    assert result.correct == int((said == y).sum())
    # An image may stand where it stood by chance; then its picture is the right one.
    assert sum(m.figure is not None for m in result.mistakes) < 4


def test_a_data_set_without_an_end_is_refused(model, tmp_path):
    x, y = case(10)
    data = tf.data.Dataset.from_tensor_slices((x, y)).repeat()
    with pytest.raises(DataError, match="no end"):
        build(model, tmp_path / "a", data, tmp_path / "cache")


def test_a_forward_pass_that_fails_is_said_as_it_is(model, tmp_path, monkeypatch):
    """Not as images that cannot be read; and no later block is run for nobody."""
    ran = []

    def failing(self, part, **_options):
        ran.append(part.first)
        raise RuntimeError("the pass failed")

    monkeypatch.setattr(ForwardBlocks, "_answered", failing)
    made = build(model, tmp_path / "out", case(3000), tmp_path / "cache")
    assert set(made.failed) == {"evaluation", "activations"}
    assert "the pass failed" in page_text(tmp_path / "out")
    assert len(ran) <= 2 * (lanes("cpu") + 2)  # of the survey and of the probes, what was under way


def test_what_is_folded_is_kept_where_the_evaluation_has_no_metric(tmp_path, passes):
    """An autoencoder's output has none, its activations are surveyed all the same."""
    start = keras.Input((8, 8, 1), name="picture")
    mapped = layers.Conv2D(1, 3, padding="same", name="conv")(start)
    autoencoder = keras.Model(start, mapped)
    autoencoder.compile(loss="mse")
    data = case(600)
    for _ in range(2):
        build(autoencoder, tmp_path / "out", data, tmp_path / "cache", classes=None)
        passes.append("next")
    assert sum(n for n in passes[: passes.index("next")]) >= 600
    assert passes[passes.index("next") + 1 :] == ["next"]


def test_a_row_of_strongest_images_that_cannot_be_read_takes_its_values_along(tmp_path):
    """The rest keeps its own values."""
    call = SimpleNamespace(id="conv", channels=(0,))
    activity = SimpleNamespace(
        top_places=np.array([[7], [3], [5]]), top_values=np.array([[5.0], [2.0], [1.0]])
    )
    store = AssetStore()
    thumbs = {3: np.zeros((8, 8, 3), np.uint8), 5: np.ones((8, 8, 3), np.uint8)}
    found = _sheet(
        SimpleNamespace(tools=SimpleNamespace(data_images=store)), call, activity, thumbs
    )
    assert found.places == ((3,), (5,))
    assert found.values == ((2.0,), (1.0,))
