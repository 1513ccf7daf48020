"""The section Features: which units, in what range, what is said of them, and what is kept of a run."""

import shutil
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from pages import check_page, page_text, tree

import reportgen
from reportgen.context import Silence
from reportgen.errors import InputError, UsageError
from reportgen.inputs.classes import ClassNames, classes_of
from reportgen.inputs.preprocessing import apply
from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.facts import InputRescaling
from reportgen.network.tasks import Task
from reportgen.sections.features.input_scaling import find_input_scaling, to_pixels
from reportgen.sections.features.optimisation import _OutOfTimeError, _Watch, group_units
from reportgen.sections.features.scoring import crop_box, read_answers
from reportgen.sections.features.units import (
    Unit,
    asked_units,
    class_units,
    default_layers,
    strongest_channels,
)

NAMES = ["dark", "bright", "striped"]
OPTIONS = {"sections": ("overview", "probes", "activations", "features"), "feature_steps": 24}


@pytest.fixture(scope="module")
def model():
    """Two convolutions and a head; the last channel of the first is off for every picture."""
    start = keras.Input((20, 20, 3), name="picture")
    x = layers.Conv2D(5, 3, padding="same", activation="relu", name="first")(start)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    made = keras.Model(start, layers.Dense(3, activation="softmax", name="kind")(x))
    rng = np.random.default_rng(3)
    weights = [rng.normal(0, 0.5, w.shape) for w in made.get_weights()]
    weights[0][..., 4], weights[1][4] = 0, -5
    made.set_weights(weights)
    return made


@pytest.fixture(scope="module")
def probes():
    return np.random.default_rng(5).uniform(0, 1, (5, 20, 20, 3)).astype(np.float32)


def built(model, folder, probes, **options):
    made = reportgen.build_report(model, probes=probes, output=folder, **{**OPTIONS, **options})
    check_page(folder)
    section = next(s for s in made.report.sections if s.kind == "features")
    return section, made.report


def test_by_default_classes_of_the_probes_and_strong_channels(model, probes, tmp_path):
    section, _ = built(model, tmp_path / "out", probes, classes=NAMES, cache=tmp_path / "cache")
    units = section.content.units
    said = model.predict(probes, verbose=0).argmax(axis=1).tolist()
    first = list(dict.fromkeys(said))[:2]
    logits = [unit for unit in units if unit.kind == "logit"]
    assert [unit.index for unit in logits] == first
    assert [unit.name for unit in logits] == [NAMES[k] for k in first]
    channels = [unit for unit in units if unit.kind == "channel"]
    assert len(units) == 6
    assert {unit.call for unit in channels} <= {"first", "pool", "second"}
    assert all(len(unit.curve) == 24 for unit in units)
    assert all(unit.strongest is not None and unit.noise is not None for unit in units)
    assert section.content.seed == 0
    assert "receptive field 3×3" in page_text(tmp_path / "out")


def test_the_strongest_probe_is_keras_own(model, probes, tmp_path):
    section, _ = built(
        model, tmp_path / "out", probes, units=("second:2", "class:1", "second:3@centre"),
        cache=tmp_path / "cache",
    )  # fmt: skip
    inner = keras.Model(
        model.inputs, [model.get_layer("second").output, model.get_layer("mean").output]
    )
    maps, means = inner.predict(probes, verbose=0)
    channel, logit, neuron = section.content.units
    assert channel.strongest == pytest.approx(maps[..., 2].mean(axis=(1, 2)).max(), rel=1e-4)
    assert channel.strongest_probe == f"probe {maps[..., 2].mean(axis=(1, 2)).argmax()}"
    kernel, bias = model.get_layer("kind").get_weights()
    assert logit.strongest == pytest.approx((means @ kernel + bias)[:, 1].max(), rel=1e-4)
    assert neuron.strongest == pytest.approx(maps[..., 3].max(), rel=1e-4)
    assert channel.sees == (8, 8)
    assert logit.sees is None


def test_crops_show_where_a_probe_drives_the_unit_most(model, probes, tmp_path):
    section, _ = built(
        model, tmp_path / "out", probes, units=("first:1",), cache=tmp_path / "cache"
    )
    unit = section.content.units[0]
    kernel, bias = model.get_layer("first").get_weights()
    padded = np.pad(probes, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    answers = np.einsum("nhwcij,ijc->nhw", windows, kernel[..., 1]) + bias[1]
    peaks = answers.max(axis=(1, 2))
    assert [crop.probe for crop in unit.crops] == np.argsort(-peaks, kind="stable")[:3].tolist()
    assert [crop.value for crop in unit.crops] == pytest.approx(np.sort(peaks)[::-1][:3], rel=1e-4)


def test_a_dead_unit_is_called_dead(model, probes, tmp_path):
    section, _ = built(
        model, tmp_path / "out", probes, units=("first:4",), cache=tmp_path / "cache"
    )
    assert section.content.units[0].verdict == "dead"
    assert "Neither the picture nor any probe makes this unit more than zero." in page_text(
        tmp_path / "out"
    )
    assert section.lead == "Pictures for 1 unit: 1 is of a dead unit."


def test_what_does_not_beat_the_probes_says_so(model, probes, tmp_path):
    section, _ = built(
        model, tmp_path / "out", probes * 100, units=("first:0",), cache=tmp_path / "cache", feature_steps=1
    )  # fmt: skip
    unit = section.content.units[0]
    assert unit.verdict == "does not beat the probes"
    assert unit.achieved[0] < unit.strongest


def test_diversity_and_maco(model, probes, tmp_path):
    section, _ = built(
        model, tmp_path / "out", probes, units=("second:1",), diversity=3, feature_method="maco",
        cache=tmp_path / "cache",
    )  # fmt: skip
    assert len(section.content.units[0].images) == 3
    assert len({image.src for image in section.content.units[0].images}) == 3
    assert "Fel et al." in page_text(tmp_path / "out")


def test_a_direction_and_a_caricature(model, probes, tmp_path):
    np.save(tmp_path / "way.npy", np.array([1.0, 0, 0, 0, 1, 0]))
    section, _ = built(
        model, tmp_path / "out", probes, units=(f"second:direction={tmp_path / 'way.npy'}",), caricature="2",
        cache=tmp_path / "cache",
    )  # fmt: skip
    direction, caricature = section.content.units
    assert (direction.kind, direction.index, direction.name) == ("direction", None, "way.npy")
    assert caricature.kind == "caricature"
    assert "caricature of probe 2" in caricature.name


def test_without_probes_units_must_be_asked_for(model, tmp_path):
    section, _ = built(model, tmp_path / "a", None, cache=tmp_path / "cache")
    assert section.content is None
    assert "--units" in section.notices[0].text
    section, _ = built(model, tmp_path / "b", None, units=("second:1",), cache=tmp_path / "cache")
    unit = section.content.units[0]
    assert unit.strongest is None
    assert unit.verdict in {"beats noise", "no better than noise"}


def test_quick_leaves_it_out(model, probes, tmp_path):
    section, _ = built(model, tmp_path / "out", probes, quick=True, cache=tmp_path / "cache")
    assert section.content is None
    assert "--quick" in section.notices[0].text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("second:6", "channels 0 to 5"),
        ("secnd:1", "did you mean 'second'"),
        ("second", "give LAYER:INDEX"),
        ("class:brigt", "no output has a class 'brigt'; did you mean 'bright'"),
        ("second:1@corner", "none of them"),
    ],
)
def test_units_that_there_are_not(model, probes, tmp_path, text, said):
    with pytest.raises(UsageError, match=said):
        built(model, tmp_path / "out", probes, units=(text,), classes=NAMES)
    assert not (tmp_path / "out").exists()


def test_a_direction_of_another_length_is_refused(model, probes, tmp_path):
    np.save(tmp_path / "way.npy", np.ones(4))
    with pytest.raises(InputError, match=r"6 finite numbers.*it holds 4"):
        built(model, tmp_path / "out", probes, units=(f"second:direction={tmp_path / 'way.npy'}",))


@pytest.mark.parametrize(
    "options",
    [{"diversity": 0}, {"feature_steps": 0}, {"budget": -1.0}, {"feature_method": "x"}],
)
def test_options_out_of_range(model, probes, tmp_path, options):
    with pytest.raises(UsageError):
        built(model, tmp_path / "out", probes, **options)


# -- what is kept -----------------------------------------------------------------------------------


class StopAfterUnits(Silence):
    """Ctrl-C after so many units."""

    def __init__(self, units):
        self._left, self._counting = units, False

    def stage(self, text, total=None):  # noqa: ARG002 - the protocol's
        self._counting = text.startswith("Feature")

    def advance(self, steps=1):
        self._left -= steps if self._counting else 0
        if self._left < 0:
            raise KeyboardInterrupt


@pytest.fixture
def optimised_groups(monkeypatch):
    """Count the groups whose pictures are done."""
    from reportgen.nets.picture_optimiser import PictureOptimiser

    counted = []
    optimise = PictureOptimiser.optimise

    def counting(self, goals, seeds, advance):
        pictures = optimise(self, goals, seeds, advance)
        counted.append(len(goals))
        return pictures

    monkeypatch.setattr(PictureOptimiser, "optimise", counting)
    return counted


def test_units_that_are_done_stay_and_the_next_run_goes_on(
    model, probes, tmp_path, optimised_groups, monkeypatch
):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    cache, units = tmp_path / "cache", ("second:*", "first:0")
    with pytest.raises(KeyboardInterrupt):
        built(model, tmp_path / "a", probes, units=units, cache=cache, progress=StopAfterUnits(5))
    assert not (tmp_path / "a" / "index.html").exists()
    before = len(optimised_groups)
    optimised_groups.clear()
    built(model, tmp_path / "a", probes, units=units, cache=cache)
    rest = len(optimised_groups)
    optimised_groups.clear()
    built(model, tmp_path / "b", probes, units=units, cache=cache)
    assert optimised_groups == []
    built(model, tmp_path / "c", probes, units=units, cache=cache, fresh=True)
    assert 0 < rest < len(optimised_groups) == before + rest
    assert tree(tmp_path / "a") == tree(tmp_path / "b") == tree(tmp_path / "c")


@pytest.fixture(scope="module")
def optimised(model, probes, tmp_path_factory):
    """Return what is kept of one unit; tests work on copies."""
    place = tmp_path_factory.mktemp("optimised")
    built(model, place / "out", probes, units=("second:1",), cache=place / "cache")
    return place / "cache"


@pytest.mark.parametrize("change", ["weights", "seed", "steps", "range"])
def test_another_recipe_or_model_is_optimised_anew(
    model, probes, optimised, tmp_path, optimised_groups, change
):
    cache = shutil.copytree(optimised, tmp_path / "cache")
    options = {}
    if change == "weights":
        model = keras.models.clone_model(model)
        model.set_weights([w + 0.01 for w in model.get_weights()])
    elif change == "seed":
        options["seed"] = 1
    elif change == "steps":
        options["feature_steps"] = 25
    else:
        probes = probes * 2
    built(model, tmp_path / "b", probes, units=("second:1",), cache=cache, **options)
    assert optimised_groups == [1]


def test_a_budget_leaves_units_out_and_says_which(model, probes, tmp_path):
    section, _ = built(
        model, tmp_path / "out", probes, units=("second:*", "first:0"), budget=0.0,
        cache=tmp_path / "cache",
    )  # fmt: skip
    assert section.content.left_out == (*(f"second:{k}" for k in range(6)), "first:0")
    assert "--budget left no time for second:0" in section.notices[0].text
    assert section.notices[0].level == "warning"
    assert section.lead == "No unit was optimised; 7 units left out, by --budget."


def test_a_group_that_would_end_behind_the_deadline_is_given_up_and_the_next_run_makes_it(
    model, probes, tmp_path
):
    options = {"units": ("second:1",), "cache": tmp_path / "cache", "feature_steps": 64}
    section, _ = built(model, tmp_path / "out", probes, budget=1e-3, **options)
    assert section.content.left_out == ("second:1",)
    section, _ = built(model, tmp_path / "out", probes, budget=3_600, **options)
    assert [unit.id for unit in section.content.units] == ["second:1"]


def test_steps_that_will_not_fit_are_told_from_the_second_call_on():
    """Ten of a hundred steps a call, at least 10 ms each: 80 more would take 0.08 s."""
    watch = _Watch(100, time.monotonic() + 0.05, lambda: False)
    watch.advance(10)  # traces too: it tells nothing
    time.sleep(0.01)
    with pytest.raises(_OutOfTimeError):
        watch.advance(10)
    watch = _Watch(100, time.monotonic() + 60, lambda: False)
    for _ in range(10):
        watch.advance(10)


def test_in_full_twice_as_many_are_chosen(model, probes, tmp_path):
    options = {"feature_steps": 1, "cache": tmp_path / "cache"}
    default, full = (
        built(model, tmp_path / "out", probes, full=full, **options)[0].content.units
        for full in (False, True)
    )
    assert {unit.id for unit in default} < {unit.id for unit in full}
    classes = len(set(model.predict(probes, verbose=0).argmax(axis=1).tolist()))
    for units, most in ((default, 2), (full, 4)):
        assert sum(unit.kind == "logit" for unit in units) == min(most, classes)
    # 6 and 12, but a layer may have fewer channels than its share
    assert (len(default), len(full)) == (6, 11)


# -- parts ------------------------------------------------------------------------------------------


def test_units_are_read_off_the_texts(model):
    facts = KerasNetwork(model, images=1).facts
    task = Task("kind", "classification", "probabilities", "")
    texts = ("second:*", "second:3", "second:3@centre", "class:striped", "class:0")
    found = asked_units(texts, facts, {task: classes_of(task, facts.outputs[0], NAMES)})
    assert [unit.id for unit in found] == [
        *(f"second:{k}" for k in range(6)), "second:3@centre", "class:striped", "class:dark",
    ]  # fmt: skip
    assert [group.units for group in group_units(found[:6], 4)] == [
        tuple(found[:4]),
        tuple(found[4:6]),
    ]
    assert len(group_units(found[:6], 1)) == 6


def test_default_layers_are_of_different_resolutions(model):
    calls = KerasNetwork(model, images=1).facts.calls
    shapes = [call.shapes[0][:-1] for call in default_layers(calls)]
    assert len(shapes) == len(set(shapes))


def test_classes_once_each_and_the_positive_one_of_two():
    task = Task("out", "classification", "probabilities", "")
    assert [u.channel for u in class_units(task, [3, 1, 3, 0, 2], ClassNames(6))] == [3, 1]
    assert [u.channel for u in class_units(task, [3, 1, 3, 0, 2], ClassNames(6), 4)] == [3, 1, 0, 2]
    binary = Task("out", "binary", "probabilities", "")
    names = ClassNames(2, ("no", "yes"))
    assert [(u.channel, u.name) for u in class_units(binary, [1, 0], names)] == [(0, "yes")]


def test_strongest_channels():
    assert strongest_channels(np.array([1.0, np.nan, 5, 5, 2]), 3) == [2, 3, 4]


@pytest.mark.parametrize("mode", ["unit", "symmetric", "caffe", "torch"])
def test_the_range_is_the_preprocessing(mode):
    x = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3)).astype(np.float32)
    probes = SimpleNamespace(image_input="picture", full_scale=255.0)
    prepared = SimpleNamespace(facts=SimpleNamespace(mode=mode), inputs={"picture": apply(mode, x)})
    found = find_input_scaling(prepared, probes, None, 3)
    np.testing.assert_allclose(x / 255 @ found.matrix + found.offset, apply(mode, x), atol=1e-3)
    np.testing.assert_allclose(to_pixels(apply(mode, x), found), x / 255, atol=1e-5)
    assert mode in found.words


def test_the_range_of_floats_is_their_own():
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype(np.float32)
    probes = SimpleNamespace(image_input="picture", full_scale=None)
    prepared = SimpleNamespace(facts=SimpleNamespace(mode="none"), inputs={"picture": x})
    found = find_input_scaling(prepared, probes, None, 2)
    np.testing.assert_allclose(found.offset, x.min(axis=(0, 1, 2)))
    np.testing.assert_allclose(
        np.ones(2) @ found.matrix + found.offset, x.max(axis=(0, 1, 2)), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("function", "affine"),
    [(lambda x: x[..., ::-1] / 100 - 1, True), (np.sqrt, False)],
)
def test_the_range_of_a_function(function, affine):
    x = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3)).astype(np.float32)
    probes = SimpleNamespace(image_input="picture", full_scale=255.0)
    prepared = SimpleNamespace(
        facts=SimpleNamespace(mode="my:way"), inputs={"picture": function(x)}
    )
    found = find_input_scaling(prepared, probes, None, 3, function)
    assert ("my:way" in found.words) == affine
    if affine:
        np.testing.assert_allclose(x / 255 @ found.matrix + found.offset, function(x), atol=1e-4)


def test_without_probes_the_range_is_what_the_model_says():
    for factor, white in ((1 / 255, 255), (2.0, 1), (1 / 65535, 65535)):
        own = InputRescaling("rescale", (factor,), (0.0,))
        assert find_input_scaling(None, None, own, 1).matrix[0, 0] == pytest.approx(white)
    assert find_input_scaling(None, None, None, 1).matrix[0, 0] == pytest.approx(1)


def test_answers_by_hand():
    before = np.array([[[[1.0, -2], [3, 0.5]], [[-1, 4], [2, 2]]]])
    behind = np.clip(before, 0, 3)
    unit = Unit("channel", "call", 1, "channel 1")
    (answer,) = read_answers(unit, before, behind, np.array([0.0, 1]))
    assert answer.value == pytest.approx((0 + 0.5 + 3 + 2) / 4)
    assert (answer.peak, answer.place) == (4.0, (0.75, 0.75 - 0.5))
    (answer,) = read_answers(unit._replace(kind="neuron"), before, behind, np.array([0.0, 1]))
    assert answer.value == 3


def test_tokens_have_the_place_of_their_patch():
    tokens = np.zeros((1, 10, 2))
    tokens[0, 0, 0] = 9  # the class token, which has no place
    tokens[0, 6, 0] = 4  # the sixth patch of three by three
    unit = Unit("channel", "call", 0, "channel 0")
    (answer,) = read_answers(unit, tokens, tokens, np.array([1.0, 0]), (30, 30))
    assert answer.peak == 4
    assert answer.place == pytest.approx((1.5 / 3, 2.5 / 3))


def test_crops_stay_inside():
    assert crop_box((0.01, 0.5), (10, 10), (100, 100)) == (0, 45, 10, 55)
    assert crop_box((0.99, 0.99), (30, 200), (100, 100)) == (70, 0, 100, 100)
    assert crop_box(None, (3, 3), (20, 30)) == (0, 0, 20, 30)


def test_a_network_of_nan_costs_only_its_units(model, probes, tmp_path):
    broken = keras.models.clone_model(model)
    broken.set_weights(model.get_weights())
    weights = broken.get_layer("second").get_weights()
    weights[0][:] = np.nan
    broken.get_layer("second").set_weights(weights)
    section, _ = built(
        broken, tmp_path / "out", probes, units=("first:1", "second:1"), cache=tmp_path / "cache"
    )
    assert [unit.id for unit in section.content.units] == ["first:1"]
    assert "second:1: its answers are NaN" in section.notices[0].text


def test_a_preprocessing_to_grey_has_a_way_back():
    """Three channels that are fed alike cannot be told apart: the way back gives one that is fed the same."""

    def to_grey(images):
        return np.repeat(images.mean(axis=-1, keepdims=True) / 255, 3, axis=-1)

    x = np.random.default_rng(0).uniform(0, 255, (2, 6, 6, 3)).astype(np.float32)
    probes = SimpleNamespace(image_input="x", full_scale=255.0)
    facts = SimpleNamespace(mode="m:grey")
    prepared = SimpleNamespace(inputs={"x": to_grey(x)}, facts=facts)
    found = find_input_scaling(prepared, probes, None, 3, to_grey)
    back = to_pixels(to_grey(x), found)
    np.testing.assert_allclose(back @ found.matrix + found.offset, to_grey(x), atol=1e-5)
