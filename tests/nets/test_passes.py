"""Passes and methods against plain GradientTape and NumPy on networks taken apart by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo
from keras import layers

from reportgen.errors import NotApplicable
from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.protocol import Aim, Sample
from reportgen.sections.relevance import methods
from reportgen.sections.relevance.methods import Question

SIZE = 12


def small(head="softmax", policy="float32"):
    """Two convolutions, a normalization and a head; without the softmax the rest is the same."""
    keras.utils.set_random_seed(5)
    start = keras.Input((SIZE, SIZE, 3), name="picture")
    seen = layers.Conv2D(5, 3, activation="relu", name="first", dtype=policy)(start)
    seen = layers.Conv2D(6, 3, name="second", dtype=policy)(seen)
    seen = layers.ReLU(name="last", dtype=policy)(layers.BatchNormalization(name="norm")(seen))
    end = layers.Dense(4, name="head")(layers.Flatten()(seen))
    end = layers.Activation(head, dtype="float32", name="out")(end) if head else end
    return keras.Model(start, end)


def pictures(count=5, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (count, SIZE, SIZE, 3)).astype(np.float32)


def one_hot(indices, count=4):
    return np.eye(count, dtype=np.float32)[list(indices)]


def passes(model, kind="linear", features="last", images=3, output=None):
    network = KerasNetwork(model, images=images)
    facts = network.facts
    return network.passes(
        Aim(output or facts.outputs[0].name, kind, facts.inputs[0].name, features)
    )


def samples(x, weights=None):
    return [
        Sample({"picture": image}, weights[k] if weights is not None else None)
        for k, image in enumerate(x)
    ]


def gradient_of(function, x):
    with tf.GradientTape() as tape:
        place = tf.constant(x)
        tape.watch(place)
        score = function(place)
    return np.asarray(score), np.asarray(tape.gradient(score, place))


def split(model):
    """Return what makes the last features, and what makes logits of them."""
    front = keras.Model(model.inputs, model.get_layer("last").output)
    head, flat = model.get_layer("head"), layers.Flatten()
    return front, lambda features: head(flat(features))


def logits(model):
    return keras.Model(model.inputs, model.get_layer("head").output)


@pytest.mark.parametrize("head", ["softmax", None, "sigmoid"])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_gradients_are_those_of_the_logits_whatever_the_head(head, count):
    model, x = small(head), pictures(count)
    weights = one_hot(np.arange(count) % 4)
    expected = gradient_of(lambda p: tf.reduce_sum(logits(model)(p) * weights, axis=1), x)
    found = list(passes(model).gradients(samples(x, weights)))
    np.testing.assert_allclose([score for score, _ in found], expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        np.stack([gradient for _, gradient in found]), expected[1], rtol=1e-4, atol=1e-6
    )


def test_saturated_probabilities_still_have_gradients():
    model, x = small(), pictures(1)
    model.get_layer("head").set_weights([w * 1e4 for w in model.get_layer("head").get_weights()])
    ((_, gradient),) = passes(model).gradients(samples(x, one_hot([0])))
    assert np.abs(gradient).max() > 1


def test_half_precision_does_not_underflow():
    model, x = small(policy="mixed_float16"), pictures(2)
    model.get_layer("head").set_weights([w * 1e-6 for w in model.get_layer("head").get_weights()])
    single = small()
    single.set_weights(model.get_weights())
    weights = one_hot([1, 2])
    found = [g for _, g in passes(model).gradients(samples(x, weights))]
    expected = [g for _, g in passes(single).gradients(samples(x, weights))]
    for a, b in zip(found, expected, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.98


def test_features_and_their_gradients():
    model, x = small(), pictures(4)
    front, back = split(model)
    weights = one_hot([0, 1, 2, 3])
    features = np.asarray(front(x))
    _, expected = gradient_of(lambda f: tf.reduce_sum(back(f) * weights, axis=1), features)
    for k, (_, a, g) in enumerate(passes(model).features(samples(x, weights))):
        np.testing.assert_allclose(a, features[k], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(g, expected[k], rtol=1e-4, atol=1e-6)


def test_norms_and_reconstruction_errors_have_gradients():
    model, x = small(None), pictures(3)
    _, expected = gradient_of(lambda p: tf.norm(model(p), axis=1), x)
    found = [g for _, g in passes(model, "norm").gradients(samples(x))]
    np.testing.assert_allclose(np.stack(found), expected, rtol=1e-4, atol=1e-6)
    start = keras.Input((SIZE, SIZE, 3), name="picture")
    coder = keras.Model(start, layers.Conv2D(3, 3, padding="same")(start))
    scores, expected = gradient_of(lambda p: tf.reduce_mean((coder(p) - p) ** 2, axis=(1, 2, 3)), x)
    found = list(passes(coder, "error", None).gradients(samples(x)))
    np.testing.assert_allclose([s for s, _ in found], scores, rtol=1e-5)
    np.testing.assert_allclose(np.stack([g for _, g in found]), expected, rtol=1e-4, atol=1e-8)


def test_integers_have_no_gradient_and_that_is_said():
    network = zoo.network("text")
    facts = network.facts
    made = network.passes(Aim(facts.outputs[0].name, "linear", facts.inputs[0].name))
    sample = Sample({facts.inputs[0].name: np.arange(7)}, np.ones(1, np.float32))
    with pytest.raises(NotApplicable, match="gradient"):
        list(made.gradients([sample]))


def test_attention_is_what_the_layer_itself_says():
    start = keras.Input((16, 6), name="picture")
    layer = layers.MultiHeadAttention(2, 3, name="attend")
    model = keras.Model(start, layers.Dense(2)(layers.Flatten()(layer(start, start))))
    x = np.random.default_rng(0).normal(size=(3, 16, 6)).astype(np.float32)
    expected = np.asarray(layer(x, x, return_attention_scores=True)[1])
    for k, found in enumerate(passes(model, features=None).attention(samples(x))):
        np.testing.assert_allclose(found["attend"], expected[k], rtol=1e-5, atol=1e-6)


# -- random weights --------------------------------------------------------------------------------


def scores_of(made, x):
    return np.array([score for score, _ in made.forward(samples(x, one_hot([0] * len(x))))])


def test_the_cascade_goes_from_the_output_back_and_leaves_the_model_alone():
    model, x = small(), pictures(2)
    made = passes(model)
    trained, weights = scores_of(made, x), model.get_weights()
    stages, found = [], []
    with made.randomised(8, seed=1) as cascade:
        for paths in cascade:
            stages.append(paths)
            found.append(scores_of(made, x))
            for before, now in zip(weights, model.get_weights(), strict=True):
                np.testing.assert_array_equal(before, now)
    assert stages == [("head",), ("norm",), ("second",), ("first",)]
    assert all(np.abs(score - trained).max() > 1e-3 for score in found)
    np.testing.assert_array_equal(scores_of(made, x), trained)


def test_a_cascade_broken_off_gives_the_trained_weights_back():
    made, x = passes(small()), pictures(2)
    trained = scores_of(made, x)
    with made.randomised(2, seed=0) as cascade:
        next(cascade)
        assert np.abs(scores_of(made, x) - trained).max() > 1e-3
    np.testing.assert_array_equal(scores_of(made, x), trained)


def test_random_weights_are_those_that_a_model_would_have():
    """The passes with the copy equal a model into which the copy's values were put; nothing is traced."""
    model, x = small(), pictures(2)
    made = passes(model)
    with made.randomised(1, seed=3) as cascade:
        next(cascade)
    twin = small()
    with made.randomised(8, seed=3) as cascade:
        for _ in range(4):
            next(cascade)
        found = [g for _, g in made.gradients(samples(x, one_hot([0, 1])))]
        for mine, theirs in zip(twin.variables, model.variables, strict=True):
            copy = made._copies.get(id(theirs._value.handle))
            mine.assign(copy if copy is not None else theirs)
    _, expected = gradient_of(lambda p: tf.reduce_sum(logits(twin)(p) * one_hot([0, 1]), axis=1), x)
    np.testing.assert_allclose(np.stack(found), expected, rtol=1e-3, atol=1e-6)


def test_seeds_and_redraws_differ_and_repeat():
    made, x = passes(small()), pictures(1)

    def drawn(seed):
        more = iter((True, True, False))
        with made.randomised(2, seed, lambda: next(more)) as cascade:
            return [float(scores_of(made, x)[0]) for _ in cascade]

    one, again, other = drawn(0), drawn(0), drawn(1)
    assert one == again != other
    assert len(one) == len(set(one)) == 4


# -- methods ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def case():
    model, x = small(), pictures(3)
    weights = one_hot([0, 2, 3])
    black = np.full((SIZE, SIZE, 3), -0.25, np.float32)
    asked = [Question({"picture": i}, "picture", w, black) for i, w in zip(x, weights, strict=True)]
    return model, passes(model), asked, x, weights, black


def values(maps):
    return [one.values for one in maps]


@pytest.mark.parametrize("name", ["gradcam", "hirescam", "layercam"])
def test_class_activation_maps(case, name):
    model, made, asked, x, weights, _ = case
    front, back = split(model)
    features = np.asarray(front(x), np.float64)
    _, g = gradient_of(
        lambda f: tf.reduce_sum(back(f) * weights, axis=1), features.astype(np.float32)
    )
    alpha = {
        "gradcam": g.mean(axis=(1, 2), keepdims=True),
        "hirescam": g,
        "layercam": np.maximum(g, 0),
    }[name]
    expected = np.maximum((alpha * features).sum(axis=-1), 0)
    found = values(getattr(methods, name)(made, asked, 1, 0))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def input_gradients(model, weights, x):
    return gradient_of(lambda p: tf.reduce_sum(logits(model)(p) * weights, axis=1), x)[1]


def test_integrated_gradients_by_the_midpoint_rule(case):
    model, made, asked, x, weights, black = case
    total = 0
    for step in range(20):
        total = total + input_gradients(model, weights, black + (step + 0.5) / 20 * (x - black))
    expected = ((x - black) * total / 20).sum(axis=-1)
    found = list(methods.integrated_gradients(made, asked, 20, 0))
    np.testing.assert_allclose(values(found), expected, rtol=1e-3, atol=1e-5)
    ends = [np.asarray(logits(model)(p)) for p in (x, np.repeat(black[None], 3, axis=0))]
    change = ((ends[0] - ends[1]) * weights).sum(axis=1)
    np.testing.assert_allclose([m.change for m in found], change, rtol=1e-4, atol=1e-5)
    error = expected.sum(axis=(1, 2)) - change
    np.testing.assert_allclose([m.completeness for m in found], error, rtol=1e-2, atol=1e-4)


def test_integrated_gradients_of_a_linear_network_are_complete():
    keras.utils.set_random_seed(1)
    start = keras.Input((SIZE, SIZE, 3), name="picture")
    model = keras.Model(start, layers.Dense(4)(layers.Flatten()(start)))
    x, black = pictures(1)[0], np.zeros((SIZE, SIZE, 3), np.float32)
    question = Question({"picture": x}, "picture", one_hot([1])[0], black)
    made = passes(model, features=None)
    (one,) = methods.integrated_gradients(made, [question], 3, 0)
    kernel = model.layers[-1].get_weights()[0][:, 1].reshape(SIZE, SIZE, 3)
    np.testing.assert_allclose(one.values, (x * kernel).sum(axis=-1), rtol=1e-4, atol=1e-6)
    assert abs(one.completeness) < 1e-4


def test_smoothgrad_averages_noisy_gradients(case):
    model, made, asked, x, weights, _ = case
    expected = []
    for k, image in enumerate(x):
        rng, total = np.random.default_rng(7), 0
        for _ in range(6):
            noise = rng.standard_normal(image.shape, np.float32)
            noisy = image + 0.15 * (image.max() - image.min()) * noise
            total = total + input_gradients(model, weights[k : k + 1], noisy[None])[0]
        expected.append(np.abs(total / 6).max(axis=-1))
    found = values(methods.smoothgrad(made, asked, 6, 7))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_saliency_is_the_largest_gradient_over_channels(case):
    model, made, asked, x, weights, _ = case
    expected = np.abs(input_gradients(model, weights, x)).max(axis=-1)
    np.testing.assert_allclose(values(methods.saliency(made, asked, 1, 0)), expected, rtol=1e-3)


def test_occlusion_is_how_far_the_score_falls(case):
    model, made, asked, x, weights, black = case
    whole = (np.asarray(logits(model)(x)) * weights).sum(axis=1)
    expected = np.zeros((3, 3, 3))
    for row in range(3):
        for column in range(3):
            covered = x.copy()
            where = slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4)
            covered[:, where[0], where[1]] = black[where]
            expected[:, row, column] = whole - (np.asarray(logits(model)(covered)) * weights).sum(
                axis=1
            )
    found = values(methods.occlusion(made, asked, 9, 0))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_tiles_cover_every_pixel_once():
    rows, columns = methods.tiles((13, 5), 8)
    for spans, size in ((rows, 13), (columns, 5)):
        covered = [place for start, end in spans for place in range(start, end)]
        assert covered == list(range(size))


def test_rollout_multiplies_half_attention_and_half_skip():
    rng = np.random.default_rng(0)
    stacks = [rng.random((2, 5, 5)) for _ in range(3)]
    stacks = [a / a.sum(axis=-1, keepdims=True) for a in stacks]
    expected = np.eye(5)
    for a in stacks:
        expected = (0.5 * a.mean(axis=0) + 0.5 * np.eye(5)) @ expected
    np.testing.assert_allclose(methods.rolled(stacks), expected, rtol=1e-12)
    np.testing.assert_allclose(methods.rolled(stacks).sum(axis=1), 1)


def test_attention_distances_of_known_heads():
    here, even = np.eye(4), np.full((4, 4), 0.25)
    found = methods.attention_distances({"a": np.stack([here, even])}, (8, 8))["a"]
    step = 4 / np.hypot(8, 8)
    np.testing.assert_allclose(found, [0, (2 * step + np.sqrt(2) * step) / 4])
