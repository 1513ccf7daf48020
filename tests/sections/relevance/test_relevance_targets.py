"""What a map explains, and the features it is made from."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reportgen.errors import NotApplicable, UsageError
from reportgen.inputs.classes import classes_of
from reportgen.network.calls import choose_features, token_grid
from reportgen.network.facts import CallFacts, InputRef, OutputFacts
from reportgen.network.tasks import Task
from reportgen.sections.relevance.targets import (
    check_output,
    choose_output,
    find_index,
    find_targets,
)

ANIMALS = ("cat", "dog", "eel")


def found(kind, scale, output, *, classes=(), true=None, asked=(), threshold=0.5, image=(8, 8, 3)):
    """Return the targets of one output, which is called ``y``."""
    output = np.asarray(output, np.float32)
    facts = OutputFacts("y", (None, *output.shape), "float32")
    task = Task("y", kind, scale, "said so")
    return find_targets(
        task,
        facts,
        output,
        classes=classes_of(task, facts, classes),
        true=true,
        asked=asked,
        threshold=threshold,
        image=image,
    )


def roles(targets):
    return [(target.unit, target.role) for target in targets]


def logistic(value):
    return 1 / (1 + math.exp(-value))


def soft(values):
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


NOTHING = np.zeros((8, 8, 3), np.float32)


# -- classes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["probabilities", "logits"])
def test_classification_explains_the_predicted_class(scale):
    output = [0.1, 0.7, 0.2] if scale == "probabilities" else [-1.0, 3.0, 0.5]
    (target,) = found("classification", scale, output, classes=ANIMALS)
    assert (target.output, target.kind, target.unit, target.name) == ("y", "linear", 1, "dog")
    assert (target.role, target.sign, target.region) == ("predicted", 1, None)
    assert target.weights.tolist() == [0, 1, 0]
    assert target.decides
    expected = output[1] if scale == "probabilities" else soft(output)[1]
    assert target.read(np.float32(output), NOTHING) == pytest.approx(expected, rel=1e-6)


def test_large_logits_are_read_without_overflow():
    (target,) = found("classification", "logits", [1e4, -1e4, 0])
    assert target.read(np.float32([1e4, -1e4, 0]), NOTHING) == pytest.approx(1)
    assert target.read(np.float32([-1e4, 1e4, 0]), NOTHING) == pytest.approx(0)


def test_a_true_class_that_differs_is_explained_too():
    targets = found("classification", "probabilities", [0.1, 0.7, 0.2], classes=ANIMALS, true=2)
    assert roles(targets) == [(1, "predicted"), (2, "true")]
    assert targets[1].name == "eel"
    assert targets[1].weights.tolist() == [0, 0, 1]
    assert targets[1].read(np.float32([0.5, 0.1, 0.4]), NOTHING) == pytest.approx(0.4)


def test_a_true_class_that_was_predicted_is_explained_once():
    targets = found("classification", "probabilities", [0.1, 0.7, 0.2], true=1)
    assert roles(targets) == [(1, "predicted")]
    assert targets[0].name == "class 1"


def test_asked_classes_by_name_and_index():
    output = [0.1, 0.7, 0.1, 0.1]
    names = (*ANIMALS, "fox")
    targets = found("classification", "probabilities", output, classes=names, asked=("cat", "3"))
    assert roles(targets) == [(1, "predicted"), (0, "asked"), (3, "asked")]
    assert [t.name for t in targets] == ["dog", "cat", "fox"]


def test_a_class_is_explained_once_however_often_it_is_asked():
    asked = ("dog", "1", "eel", "2", "cat", "0", "cat")
    targets = found(
        "classification", "probabilities", [0.1, 0.7, 0.2], classes=ANIMALS, true=2, asked=asked
    )
    assert roles(targets) == [(1, "predicted"), (2, "true"), (0, "asked")]


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("multilabel", (3,)), ("regression", (3,)), ("segmentation", (8, 8, 3)), ("binary", (1,))],
)
def test_nothing_asked_twice_is_explained_twice(kind, shape):
    output = np.random.default_rng(0).random(shape)
    units = [t.unit for t in found(kind, "probabilities", output, asked=("1", "0", "1", "01"))]
    assert sorted(units) == sorted(set(units))
    assert {0, 1} <= set(units)


# -- one sigmoid ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["probabilities", "logits"])
@pytest.mark.parametrize("positive", [True, False])
def test_binary_explains_its_decision(scale, positive):
    p = 0.8 if positive else 0.3
    value = p if scale == "probabilities" else math.log(p / (1 - p))
    (target,) = found("binary", scale, [value], classes=("ham", "spam"))
    assert target.unit == int(positive)
    assert target.name == ("spam" if positive else "ham")
    assert target.role == "predicted"
    assert target.sign == (1 if positive else -1)
    assert target.weights.tolist() == [target.sign]
    assert target.read(np.float32([value]), NOTHING) == pytest.approx(max(p, 1 - p), rel=1e-5)
    other = 0.9 if scale == "probabilities" else math.log(9)
    expected = 0.9 if positive else 0.1
    assert target.read(np.float32([other]), NOTHING) == pytest.approx(expected, rel=1e-5)
    assert target.decides


@pytest.mark.parametrize(
    ("value", "threshold", "unit"), [(0.6, 0.7, 0), (0.75, 0.75, 1), (0.2, 0.1, 1)]
)
def test_binary_decides_by_the_threshold(value, threshold, unit):
    (target,) = found("binary", "probabilities", [value], threshold=threshold)
    assert target.unit == unit
    assert target.name == ("negative", "positive")[unit]
    logit = math.log(value / (1 - value))
    (target,) = found("binary", "logits", [logit], threshold=threshold - 1e-6)
    assert target.unit == unit


def test_binary_takes_a_true_and_an_asked_class():
    assert roles(found("binary", "logits", [2.0], true=0)) == [(1, "predicted"), (0, "true")]
    assert roles(found("binary", "logits", [2.0], true=1)) == [(1, "predicted")]
    targets = found("binary", "logits", [2.0], classes=("ham", "spam"), asked=("ham", "spam"))
    assert roles(targets) == [(1, "predicted"), (0, "asked")]
    pair = [t.read(np.float32([2.0]), NOTHING) for t in targets]
    assert pair == pytest.approx([logistic(2), logistic(-2)])


# -- several sigmoids -------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["probabilities", "logits"])
def test_multilabel_explains_the_strongest_and_what_is_asked(scale):
    output = [0.2, 0.9, 0.6] if scale == "probabilities" else [-1.0, 2.0, 0.5]
    targets = found("multilabel", scale, output, classes=ANIMALS, asked=("eel", "1"))
    assert roles(targets) == [(1, "predicted"), (2, "asked")]
    assert targets[1].weights.tolist() == [0, 0, 1]
    read = [t.read(np.float32(output), NOTHING) for t in targets]
    p = output if scale == "probabilities" else [logistic(v) for v in output]
    assert read == pytest.approx([p[1], p[2]], rel=1e-6)
    assert all(t.decides for t in targets)


# -- values -----------------------------------------------------------------------------------------


def test_one_value_is_explained_as_it_is():
    (target,) = found("regression", "values", [-7.5])
    assert (target.kind, target.unit, target.name) == ("linear", 0, "unit 0")
    assert target.role == "predicted"
    assert target.weights.tolist() == [1]
    assert target.read(np.float32([-7.5]), NOTHING) == -7.5
    assert not target.decides
    (named,) = found("regression", "values", [1.0], classes=("age",), asked=("age",))
    assert (named.name, named.role) == ("age", "asked")


def test_several_values_are_explained_by_their_norm():
    (target,) = found("regression", "values", [3.0, -4.0, 12.0])
    assert (target.kind, target.unit, target.weights) == ("norm", None, None)
    assert target.read(np.float32([3, -4, 12]), NOTHING) == pytest.approx(13)
    assert not target.decides


def test_asked_units_of_several_values():
    targets = found("regression", "values", [3.0, -4.0, 12.0], asked=("2", "0"))
    assert roles(targets) == [(2, "asked"), (0, "asked")]
    assert [t.name for t in targets] == ["unit 2", "unit 0"]
    assert [t.weights.tolist() for t in targets] == [[0, 0, 1], [1, 0, 0]]
    assert [t.read(np.float32([3, -4, 12]), NOTHING) for t in targets] == [12, 3]
    (named,) = found("regression", "values", [1, 2], classes=("width", "height"), asked=("height",))
    assert (named.unit, named.name) == (1, "height")


def test_a_picture_is_explained_by_its_reconstruction_error():
    rng = np.random.default_rng(0)
    output, image = rng.random((8, 8, 3)).astype(np.float32), rng.random((8, 8, 3))
    (target,) = found("image", "values", output, image=image.shape)
    assert (target.kind, target.unit, target.weights) == ("error", None, None)
    expected = sum((float(a) - b) ** 2 for a, b in zip(output.flat, image.flat, strict=True)) / 192
    assert target.read(output, image) == pytest.approx(expected)
    assert not target.decides


@pytest.mark.parametrize(("kind", "shape"), [("image", (16, 16, 3)), ("tensor", (8, 8, 3))])
def test_other_pictures_are_explained_by_their_norm(kind, shape):
    output = np.full(shape, 0.5, np.float32)
    (target,) = found(kind, "values", output)
    assert target.kind == "norm"
    assert target.read(output, NOTHING) == pytest.approx(0.5 * math.sqrt(math.prod(shape)))


def test_an_asked_channel_of_a_tensor():
    output = np.random.default_rng(0).random((4, 4, 5)).astype(np.float32)
    (target,) = found("tensor", "values", output, asked=("3",))
    assert (target.unit, target.role) == (3, "asked")
    assert target.weights[..., 3].all()
    assert not np.delete(target.weights, 3, axis=-1).any()
    assert target.read(output, NOTHING) == pytest.approx(float(output[..., 3].mean()), rel=1e-6)


# -- masks ------------------------------------------------------------------------------------------


def disc():
    """Return a mask of 12 pixels."""
    mask = np.zeros((8, 8), bool)
    mask[2:6, 3:6] = True
    return mask


@pytest.mark.parametrize("scale", ["probabilities", "logits"])
def test_a_single_channel_explains_the_decided_pixels(scale):
    inside, outside = (0.9, 0.2) if scale == "probabilities" else (2.0, -3.0)
    output = np.where(disc(), inside, outside)[..., None]
    (target,) = found("segmentation", scale, output)
    assert (target.unit, target.name, target.role) == (1, "mask", "predicted")
    assert (target.sign, target.channel) == (1, 0)
    np.testing.assert_array_equal(target.region, disc())
    assert target.weights.shape == (8, 8, 1)
    assert target.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(target.weights[..., 0], disc() / 12)
    expected = 0.9 if scale == "probabilities" else logistic(2)
    assert target.read(np.float32(output), NOTHING) == pytest.approx(expected, rel=1e-6)


def test_the_background_of_a_single_channel_has_the_other_sign():
    output = np.where(disc(), 2.0, -3.0)[..., None]
    (target,) = found("segmentation", "logits", output, asked=("0",))
    assert (target.unit, target.name, target.role) == (0, "background", "asked")
    assert (target.sign, target.channel) == (-1, 0)
    np.testing.assert_array_equal(target.region, ~disc())
    assert target.weights.sum() == pytest.approx(-1)
    assert target.read(np.float32(output), NOTHING) == pytest.approx(logistic(3))


def test_an_empty_mask_explains_the_background():
    (target,) = found("segmentation", "probabilities", np.full((8, 8, 1), 0.1))
    assert (target.unit, target.sign) == (0, -1)
    assert target.region.all()
    assert target.read(np.full((8, 8, 1), 0.1, np.float32), NOTHING) == pytest.approx(0.9)


def test_a_mask_is_decided_by_the_threshold():
    output = np.where(disc(), 0.6, 0.1)[..., None]
    (target,) = found("segmentation", "probabilities", output, threshold=0.7)
    assert target.unit == 0
    (target,) = found("segmentation", "logits", np.log(output / (1 - output)), threshold=0.55)
    assert target.unit == 1
    np.testing.assert_array_equal(target.region, disc())


def landscape(scale):
    """Return an output over four classes (0: 40 pixels, 2: 16, 3: 8) and what was decided."""
    decided = np.zeros((8, 8), int)
    decided[:2], decided[7] = 2, 3
    logits = np.full((8, 8, 4), -1.0, np.float32)
    for place in np.ndindex(8, 8):
        logits[(*place, decided[place])] = 1.5
    if scale == "logits":
        return logits, decided
    return np.array([[soft(v.tolist()) for v in row] for row in logits], np.float32), decided


@pytest.mark.parametrize("scale", ["probabilities", "logits"])
def test_several_channels_explain_the_largest_class_but_the_background(scale):
    output, decided = landscape(scale)
    names = ("sky", "tree", "road", "car")
    (target,) = found("segmentation", scale, output, classes=names)
    assert (target.unit, target.name, target.role) == (2, "road", "predicted")
    assert (target.sign, target.channel) == (1, 2)
    np.testing.assert_array_equal(target.region, decided == 2)
    assert target.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(target.weights[..., 2], (decided == 2) / 16)
    assert not target.weights[..., [0, 1, 3]].any()
    assert target.read(output, NOTHING) == pytest.approx(soft([1.5, -1, -1, -1])[0], rel=1e-6)


def test_asked_classes_of_a_mask():
    output, decided = landscape("logits")
    targets = found("segmentation", "logits", output, asked=("3", "0"))
    assert roles(targets) == [(3, "asked"), (0, "asked")]
    for target in targets:
        np.testing.assert_array_equal(target.region, decided == target.unit)
        assert target.weights.sum() == pytest.approx(1)


def test_a_class_that_no_pixel_has_is_explained_everywhere():
    output, _ = landscape("logits")
    (target,) = found("segmentation", "logits", output, asked=("1",))
    assert target.region.all()
    assert target.weights.sum() == pytest.approx(1)
    assert target.read(output, NOTHING) == pytest.approx(soft([-1, 1.5, -1, -1])[0], rel=1e-6)


# -- what is asked ----------------------------------------------------------------------------------

TASKS = (Task("a", "classification", "logits", ""), Task("b:c", "regression", "values", ""))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ((), (None, ())),
        (("dog",), (None, ("dog",))),
        (("2",), (None, ("2",))),
        (("dog", "2"), (None, ("dog", "2"))),
        (("a",), ("a", ())),
        (("a:dog",), ("a", ("dog",))),
        (("a:2", "a:dog"), ("a", ("2", "dog"))),
        (("a", "dog"), ("a", ("dog",))),
        (("b:c",), ("b:c", ())),
        (("b:c:1",), ("b:c", ("1",))),
        (("nine:ten",), (None, ("nine:ten",))),
        (("a:nine:ten",), ("a", ("nine:ten",))),
        (("b:c:nine:ten",), ("b:c", ("nine:ten",))),
    ],
)
def test_targets_name_outputs_and_classes(wanted, expected):
    assert choose_output(wanted, TASKS, ("cat", "dog", "nine:ten")) == expected


@pytest.mark.parametrize("text", ["z:dog", "z:1", ":1", "b:1", "c:1"])
def test_an_unknown_output_is_refused(text):
    with pytest.raises(UsageError, match="there is no output") as caught:
        choose_output((text,), TASKS, ANIMALS)
    assert "a, b:c" in str(caught.value)
    assert text in str(caught.value)


@pytest.mark.parametrize("wanted", [("a", "b:c"), ("a:1", "b:c:1"), ("a:dog", "1", "b:c")])
def test_two_outputs_are_refused(wanted):
    with pytest.raises(UsageError, match="several outputs"):
        choose_output(wanted, TASKS, ANIMALS)


def index(text, kind="classification", size=3, classes=()):
    facts = OutputFacts("y", (None, size), "float32")
    task = Task("y", kind, "logits", "")
    return find_index(text, task, facts, classes_of(task, facts, classes))


def test_a_name_goes_before_a_number():
    assert index("2", classes=("2", "1", "0")) == 0
    assert index("eel", classes=ANIMALS) == 2
    assert index("Cat", classes=ANIMALS) == 0
    assert index("2") == 2
    assert index("1", kind="binary", size=1) == 1
    assert index("6", kind="tensor", size=7) == 6


@pytest.mark.parametrize("text", ["3", "-1", "1.5", "", " 1", "²", "٢", "1_0", "99999999999"])
def test_a_class_that_is_not_there_is_refused(text):
    with pytest.raises(UsageError, match="no such class") as caught:
        index(text, classes=ANIMALS)
    assert "'cat'" in str(caught.value)
    assert "0 to 2" in str(caught.value)
    with pytest.raises(UsageError):
        found("classification", "logits", [1.0, 2.0, 3.0], asked=(text,))


def test_one_sigmoid_has_two_classes():
    with pytest.raises(UsageError, match="0 to 1"):
        index("2", kind="binary", size=1)


def test_a_softmax_over_one_unit_decides_nothing():
    with pytest.raises(NotApplicable, match="'y'"):
        check_output(OutputFacts("y", (None, 1), "float32", activation="softmax"))
    for size, activation in ((2, "softmax"), (1, "sigmoid"), (1, None), (1, "linear")):
        check_output(OutputFacts("y", (None, size), "float32", activation=activation))


# -- tokens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "image", "expected"),
    [
        (196, (224, 224, 3), (14, 14, 0)),
        (197, (224, 224, 3), (14, 14, 1)),
        (198, (224, 224, 3), (14, 14, 2)),
        (50, (224, 224, 3), (7, 7, 1)),
        (65, (32, 32, 1), (8, 8, 1)),
        (32, (32, 64, 3), (4, 8, 0)),
        (33, (64, 32, 3), (8, 4, 1)),
        (4, (32, 32, 3), (2, 2, 0)),
        (7, (32, 32, 3), None),
        (1, (32, 32, 3), None),
        (0, (32, 32, 3), None),
        (64, (32, 320, 3), None),
    ],
)
def test_tokens_stand_in_a_grid_like_the_image(tokens, image, expected):
    assert token_grid(tokens, image) == expected


@given(st.integers(3, 40), st.integers(3, 40), st.integers(1, 32), st.integers(0, 2))
def test_any_grid_of_patches_is_found_again(rows, columns, patch, extra):
    image = (rows * patch, columns * patch, 3)
    assert token_grid(rows * columns + extra, image) == (rows, columns, extra)


@pytest.mark.parametrize("side", [14, 16, 24, 37])
@pytest.mark.parametrize("extra", [4, 5, 8, 9, 16, 17])
def test_registers_in_front_of_a_grid_are_told_from_it(side, extra):
    """DINOv2 and its kin have a class token and four registers; no shorter split of the tokens is a square."""
    found = token_grid(side * side + extra, (side * 14, side * 14, 3))
    assert found == ((side, side, extra) if side * side >= 3 * extra else None)


# -- features ---------------------------------------------------------------------------------------

SHAPE = (32, 32, 3)


def call(
    name, shape, sources, class_name="Conv2D", parent=None, *, leaf=True, merges=(), dtype="float32"
):
    return CallFacts(
        id=name,
        layer=name.partition("#")[0],
        class_name=class_name,
        parent=parent,
        inputs=tuple(sources),
        shapes=(shape,),
        dtypes=(dtype,),
        bytes=0,
        flops=0,
        leaf=leaf,
        merges=tuple(merges),
    )


IMAGE = InputRef("x")


def chain(*layers, source=IMAGE):
    """Return calls one behind the other from (name, shape, class)."""
    calls = []
    for name, shape, class_name in layers:
        calls.append(call(name, shape, (source,), class_name))
        source = calls[-1].id
    return calls


def chosen(calls, output="head", wanted=None, image="x"):
    return choose_features(calls, output, image, SHAPE, wanted)


def block(name, side, channels=8):
    return [
        (f"{name}/conv", (side, side, channels), "Conv2D"),
        (f"{name}/bn", (side, side, channels), "BatchNormalization"),
        (f"{name}/relu", (side, side, channels), "ReLU"),
    ]


def head(source, classes=10):
    return call("head", (classes,), (source,), "Dense")


POOL = ("pool", (8,), "GlobalAveragePooling2D")


def test_the_last_activation_is_chosen_not_its_convolution():
    calls = chain(*block("b0", 16), *block("b1", 8), POOL, ("head", (10,), "Dense"))
    assert chosen(calls) == "b1/relu"


def test_features_behind_normalization_without_activation():
    calls = chain(*block("b0", 8)[:2], POOL, ("head", (10,), "Dense"))
    assert chosen(calls) == "b0/bn"


@pytest.mark.parametrize("pool", ["MaxPooling2D", "AveragePooling2D"])
def test_pooling_is_skipped(pool):
    calls = chain(
        *block("b0", 16),
        ("down", (8, 8, 8), pool),
        ("flat", (512,), "Flatten"),
        ("head", (10,), "Dense"),
    )
    assert chosen(calls) == "b0/relu"


@pytest.mark.parametrize("class_name", ["Dropout", "SpatialDropout2D", "Identity", "ZeroPadding2D"])
def test_what_hands_its_input_on_is_skipped(class_name):
    calls = chain(*block("b0", 8), ("on", (8, 8, 8), class_name), POOL, ("head", (10,), "Dense"))
    assert chosen(calls) == "b0/relu"


def test_pooling_is_taken_where_there_is_nothing_else():
    calls = chain(("down", (8, 8, 3), "MaxPooling2D"), POOL, ("head", (10,), "Dense"))
    assert chosen(calls) == "down"


def test_features_too_small_to_see_give_way_to_finer_ones():
    calls = chain(*block("b0", 8), *block("b1", 2), POOL, ("head", (10,), "Dense"))
    assert chosen(calls) == "b0/relu"
    calls = chain(*block("b0", 3), *block("b1", 2), POOL, ("head", (10,), "Dense"))
    assert chosen(calls) == "b1/relu"


def test_a_residual_sum_is_chosen_not_its_branch():
    calls = [
        *chain(*block("b0", 8)),
        *chain(*block("b1", 8), source="b0/relu"),
        call("add", (8, 8, 8), ("b0/relu", "b1/relu"), "Add"),
        *chain(POOL, source="add"),
        head("pool"),
    ]
    assert chosen(calls) == "add"


def test_a_network_of_vectors_has_no_features():
    calls = chain(("flat", (3072,), "Flatten"), ("d", (64,), "Dense"), ("head", (10,), "Dense"))
    assert chosen(calls) is None
    assert chosen([]) is None


def test_one_dimensional_and_whole_numbers_are_no_features():
    calls = [
        call("codes", (8, 8, 4), (InputRef("x"),), "Discretization", dtype="int32"),
        call("row", (1, 64, 4), ("codes",)),
        call("flat", (256,), ("row",), "Flatten"),
        head("flat"),
    ]
    assert chosen(calls) is None


def test_features_lie_between_the_image_and_the_output():
    calls = [
        *chain(*block("b0", 16)),
        *chain(*block("aside", 8), source="b0/relu"),
        *chain(*block("depth", 8), source=InputRef("other")),
        call("pool", (8,), ("b0/relu",), "GlobalAveragePooling2D"),
        call("pool2", (8,), ("depth/relu",), "GlobalAveragePooling2D"),
        call("join", (16,), ("pool", "pool2"), "Concatenate"),
        head("join"),
        call("head2", (4,), ("aside/relu",), "Dense"),
    ]
    assert chosen(calls) == "b0/relu"
    assert chosen(calls, image="other") == "depth/relu"
    assert chosen(calls, output="head2") == "aside/relu"
    assert chosen(calls, image="missing") is None


def test_an_output_of_unknown_layer_takes_the_last_features():
    calls = chain(*block("b0", 16), *block("b1", 8), POOL, ("head", (10,), "Dense"))
    assert chosen(calls, output=None) == "b1/relu"


# -- features of masks ------------------------------------------------------------------------------


def test_a_masks_own_layer_is_skipped():
    calls = chain(*block("b0", 32), ("mask", (32, 32, 1), "Conv2D"))
    assert chosen(calls, output="mask") == "b0/relu"


@pytest.mark.parametrize("class_name", ["Activation", "Softmax", "Resizing", "UpSampling2D"])
def test_what_reads_a_mask_out_is_skipped_with_it(class_name):
    calls = chain(
        *block("b0", 32), ("logits", (32, 32, 4), "Conv2D"), ("mask", (32, 32, 4), class_name)
    )
    assert chosen(calls, output="mask") == "b0/relu"


def test_the_last_convolution_of_a_classifier_is_not_skipped():
    calls = chain(*block("b0", 8), ("last", (8, 8, 10), "Conv2D"), ("head", (10,), "Pooling"))
    assert chosen(calls) == "last"


# -- features of tokens -----------------------------------------------------------------------------


def attention(name, tokens, source, parent=None):
    """Return the calls of one attention over ``source``, as Keras makes them."""
    return [
        call(name, (tokens, 8), (source,), "MultiHeadAttention", parent, leaf=False),
        call(f"{name}/query", (tokens, 4, 2), (source,), "EinsumDense", name),
        call(f"{name}/key", (tokens, 4, 2), (source,), "EinsumDense", name),
        call(f"{name}/softmax", (4, tokens, tokens), (f"{name}/query", f"{name}/key"), "S", name),
        call(f"{name}/output", (tokens, 8), (f"{name}/softmax",), "EinsumDense", name),
    ]


def transformer(tokens, reader):
    """Return two blocks over a patch embedding; ``reader`` makes the vector for the head."""
    calls = chain(
        ("patch", (8, 8, 8), "Conv2D"), ("rows", (64, 8), "Reshape"), ("cls", (tokens, 8), "Token")
    )
    end = "cls"
    for k in range(2):
        calls.append(call(f"b{k}/ln", (tokens, 8), (end,), "LayerNormalization"))
        calls += attention(f"b{k}/mha", tokens, f"b{k}/ln")
        calls.append(call(f"b{k}/add", (tokens, 8), (end, f"b{k}/mha/output"), "Add"))
        calls.append(call(f"b{k}/mlp", (tokens, 8), (f"b{k}/add",), "Dense"))
        calls.append(call(f"b{k}/end", (tokens, 8), (f"b{k}/add", f"b{k}/mlp"), "Add"))
        end = f"b{k}/end"
    calls.append(call("norm", (tokens, 8), (end,), "LayerNormalization"))
    return [*calls, call("vector", (8,), ("norm",), reader), head("vector")]


def test_behind_a_class_token_the_input_of_the_last_attention_is_chosen():
    assert chosen(transformer(65, "GetItem")) == "b1/ln"


def test_tokens_without_a_class_token_are_taken_to_the_end():
    assert chosen(transformer(64, "GlobalAveragePooling1D")) == "norm"


def test_calls_inside_of_attention_are_no_features():
    calls = [
        *chain(("patch", (8, 8, 8), "Conv2D"), ("rows", (64, 8), "Reshape")),
        *attention("mha", 64, "rows"),
        call("pool", (8,), ("mha/output",), "GlobalAveragePooling1D"),
        head("pool"),
    ]
    assert chosen(calls) == "patch"
    for inner in ("mha/output", "mha/*"):
        with pytest.raises(UsageError):
            chosen(calls, wanted=inner)


def test_tokens_that_form_no_grid_are_no_features():
    calls = [
        *chain(*block("b0", 8), ("words", (7, 8), "Dense"), ("mix", (7, 8), "Dense")),
        call("pool", (8,), ("mix",), "GlobalAveragePooling1D"),
        head("pool"),
    ]
    assert chosen(calls) == "b0/relu"


# -- features of layers that compute themselves -----------------------------------------------------


def test_a_subclassed_block_is_chosen_behind_its_own_activation():
    # relu(bn(conv(x))) with a bare ``tf.nn.relu``: the block makes its output, recorded before its inside.
    calls = [
        call("stem", (16, 16, 8), (InputRef("x"),)),
        call("b", (8, 8, 8), ("stem",), "Block", leaf=False, merges=("b/bn",)),
        call("b/conv", (8, 8, 8), ("stem",), parent="b"),
        call("b/bn", (8, 8, 8), ("b/conv",), "BatchNormalization", "b"),
        call("pool", (8,), ("b",), "GlobalAveragePooling2D"),
        head("pool"),
    ]
    assert chosen(calls) == "b"
    for wanted in ("stem", "b/conv", "b/bn"):
        assert chosen(calls, wanted=wanted) == wanted


def test_a_class_token_behind_subclassed_blocks_that_add():
    calls = chain(
        ("patch", (8, 8, 8), "Conv2D"), ("rows", (64, 8), "Reshape"), ("cls", (65, 8), "Token")
    )
    end = "cls"
    for name in ("b0", "b1"):
        merges = (end, f"{name}/mha/output", f"{name}/mlp")
        calls += [
            call(name, (65, 8), (end,), "Block", leaf=False, merges=merges),
            call(f"{name}/ln", (65, 8), (end,), "LayerNormalization", name),
            *attention(f"{name}/mha", 65, f"{name}/ln", name),
            call(f"{name}/mlp", (65, 8), (end, f"{name}/mha/output"), "Dense", name),
        ]
        end = name
    calls += [call("take", (8,), (end,), "GetItem"), head("take")]
    assert chosen(calls) == "b1/ln"


# -- features that are asked for --------------------------------------------------------------------


def asked_network():
    return [
        *chain(*block("enc/b0", 16), *block("enc/b1", 8)),
        call("enc/b1/conv#2", (8, 8, 8), ("enc/b1/relu",)),
        call("down", (4, 4, 8), ("enc/b1/conv#2",), "MaxPooling2D"),
        call("aside", (4, 4, 8), ("down",)),
        *chain(("flat", (128,), "Flatten"), source="down"),
        head("flat"),
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("enc/b0/conv", "enc/b0/conv"),
        ("enc/b0/bn", "enc/b0/bn"),
        ("enc/b1/conv#2", "enc/b1/conv#2"),
        ("enc/b1/conv", "enc/b1/conv#2"),
        ("enc/b0/*", "enc/b0/relu"),
        ("*/bn", "enc/b1/bn"),
        ("enc/b?/relu", "enc/b1/relu"),
        ("down", "down"),
    ],
)
def test_features_by_path_and_pattern(wanted, expected):
    assert chosen(asked_network(), wanted=wanted) == expected


@pytest.mark.parametrize("wanted", ["nothing", "ENC/B0/CONV", "", "head", "flat", "aside", "enc"])
def test_features_that_are_not_on_the_way_are_refused(wanted):
    with pytest.raises(UsageError, match="no spatial features of that name") as caught:
        chosen(asked_network(), wanted=wanted)
    assert "down" in str(caught.value)


def test_a_masks_logits_may_be_asked_for():
    calls = chain(
        *block("b0", 32), ("logits", (32, 32, 4), "Conv2D"), ("mask", (32, 32, 4), "Softmax")
    )
    assert chosen(calls, output="mask", wanted="logits") == "logits"
