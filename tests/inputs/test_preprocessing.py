"""The named modes against their formulas, and how the right one is told from a network."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from reportgen.errors import InputError, ModelError
from reportgen.inputs.preprocessing import CANDIDATES, FORMULAS, apply, match_normalization, prepare
from reportgen.inputs.probes import ProbeSet
from reportgen.network.facts import InputRescaling
from reportgen.network.protocol import NormalizationInput

KERNEL = np.random.default_rng(1).normal(size=(3, 6))
BIAS = np.random.default_rng(2).normal(size=6)


def photographs(seed, count=8):
    """Smooth random pictures, redder than they are blue."""
    rng = np.random.default_rng(seed)
    colours = rng.normal((150, 110, 80), 35, (count, 1, 1, 3)) + rng.normal(
        0, 40, (count, 16, 16, 3)
    )
    return np.clip(colours, 0, 255).astype(np.float32)


def by_formula(mode, x):
    x = np.asarray(x, np.float64)
    if mode == "uint16":
        return np.rint(x.astype(np.float32) * np.float32(257))
    if mode == "unit":
        return x / 255
    if mode == "symmetric":
        return x / 127.5 - 1
    if mode == "caffe":
        blue, green, red = x[..., 2] - 103.939, x[..., 1] - 116.779, x[..., 0] - 123.68
        return np.stack([blue, green, red], axis=-1)
    if mode == "torch":
        return (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return x


class Network:
    """One linear layer in front of a BatchNormalization that has seen other pictures by ``mode``."""

    def __init__(self, mode="unit", rescaling=None, learned=None):
        self.facts = SimpleNamespace(rescaling=rescaling)
        self.learned = learned or self.measure(by_formula(mode, photographs(99, 64)))

    def measure(self, images):
        values = (np.asarray(images, np.float64) @ KERNEL + BIAS).reshape(-1, 6)
        return values.mean(axis=0), values.var(axis=0)

    def normalization_input(self, inputs):
        return NormalizationInput("bn", *self.measure(inputs["x"]), *self.learned)


class Bare(Network):
    def normalization_input(self, _inputs):
        return None


class Broken(Network):
    def normalization_input(self, _inputs):
        raise ModelError("no way in")


def probes(images, full_scale=255.0, sources="files", image_input="x"):
    return ProbeSet(
        (), {"x": images, "other": np.ones(3)}, image_input, (), full_scale, 0, 8, sources, (), ()
    )


def fed(mode, network=None, images=None, **options):
    images = photographs(3) if images is None else images
    return prepare(probes(images, **options), network or Network(), mode)


# -- modes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", FORMULAS)
def test_modes_follow_their_formulas(mode):
    images = photographs(3)
    before = images.copy()
    found = fed(mode, images=images)
    assert found.inputs["x"].dtype == np.float32
    np.testing.assert_allclose(found.inputs["x"], by_formula(mode, images), rtol=1e-5, atol=1e-5)
    assert (images == before).all()
    assert found.inputs["other"].tolist() == [1, 1, 1]
    assert (found.facts.mode, found.facts.chosen, found.notices) == (mode, "given", ())


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 4, 4, 1), (2, 4, 4, 4)])
@pytest.mark.parametrize(("mode", "shift", "scale"), [
    ("caffe", (103.939 + 116.779 + 123.68) / 3, 1),
    ("torch", 255 * (0.485 + 0.456 + 0.406) / 3, 255 * (0.229 + 0.224 + 0.225) / 3),
])  # fmt: skip
def test_imagenet_modes_without_three_channels_use_mean_constants(shape, mode, shift, scale):
    images = np.random.default_rng(4).uniform(0, 255, shape).astype(np.float32)
    np.testing.assert_allclose(apply(mode, images), (images - shift) / scale, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("white", [1.0, 127.0, 65535.0, 2.0**31 - 1])
@pytest.mark.parametrize(("mode", "top"), [("unit", 1), ("symmetric", 1), ("torch", None)])
def test_integers_scale_by_their_white(white, mode, top):
    images = photographs(3) * np.float32(white / 255)
    found = fed(mode, images=images, full_scale=white, sources="arrays")
    expected = by_formula(mode, images.astype(np.float64) * 255 / white)
    np.testing.assert_allclose(found.inputs["x"], expected, atol=1e-4)
    assert top is None or abs(found.inputs["x"].max() - top) < 0.1


@pytest.mark.parametrize("mode", [None, "none"])
@pytest.mark.parametrize("full_scale", [None, 255.0, 65535.0])
def test_arrays_are_fed_as_they_are(mode, full_scale):
    images = photographs(3)
    found = fed(mode, images=images, full_scale=full_scale, sources="arrays")
    assert found.inputs["x"] is images
    assert found.facts.mode == "none"
    assert found.facts.chosen == ("given" if mode else "default")
    assert found.notices == ()


@pytest.mark.parametrize("mode", ["auto", "unit", "symmetric", "caffe", "torch"])
def test_floats_are_the_models_own_units(mode):
    images = photographs(3) / 100
    found = fed(mode, images=images, full_scale=None, sources="arrays")
    assert found.inputs["x"] is images
    assert [notice.level for notice in found.notices] == ["warning"]
    assert f"--preprocess {mode} was not applied" in found.notices[0].text


def test_nothing_is_done_without_an_image_input():
    images = photographs(3)
    found = fed("unit", images=images, image_input=None)
    assert found.inputs["x"] is images
    assert found.facts.mode == "none"


# -- a function of the user ----------------------------------------------------------------------


def call(function):
    return prepare(probes(photographs(3)), Network(), "mine:scale", function)


def test_function_gets_a_copy_in_0_255():
    def scale(images):
        images /= 2
        return images.astype(np.float64)

    found = call(scale)
    assert found.inputs["x"].dtype == np.float32
    np.testing.assert_allclose(found.inputs["x"], photographs(3) / 2)
    assert (found.facts.mode, found.facts.chosen) == ("mine:scale", "given")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda images: 1 / 0, "ZeroDivisionError"),
        (lambda images: images[0], "must keep the shape"),
        (lambda images: images.astype(str), "must keep the shape"),
        (lambda images: None, "must keep the shape"),
    ],
)
def test_function_that_cannot_be_used(function, reason):
    with pytest.raises(InputError, match=reason) as caught:
        call(function)
    assert "--preprocess mine:scale" in str(caught.value)


# -- auto ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", CANDIDATES)
@pytest.mark.parametrize("given", [None, "auto"])
def test_auto_finds_how_the_network_was_trained(mode, given):
    found = fed(given, Network(mode))
    assert (found.facts.mode, found.facts.chosen, found.facts.layer) == (mode, "auto", "bn")
    np.testing.assert_allclose(
        found.inputs["x"], by_formula(mode, photographs(3)), rtol=1e-5, atol=1e-5
    )
    assert found.notices == ()


def test_evidence_is_the_distance_of_every_mode():
    network = Network("torch")
    candidates = fed("auto", network).facts.candidates
    mean, variance = network.learned
    expected = {}
    for mode in CANDIDATES:
        m, v = network.measure(by_formula(mode, photographs(3)))
        shift = np.abs(m - mean) / np.sqrt((v + variance) / 2)
        expected[mode] = np.mean(shift + np.abs(np.log(np.sqrt(v / variance))))
    assert [c.mode for c in candidates] == sorted(expected, key=expected.get)
    for candidate in candidates:
        assert candidate.distance == pytest.approx(expected[candidate.mode], rel=1e-4)


def test_model_that_rescales_by_itself_gets_raw_values():
    found = fed("auto", Network("unit", InputRescaling("rescaling", (1 / 255,), (0.0,))))
    assert (found.inputs["x"] == photographs(3)).all()
    assert (found.facts.mode, found.facts.layer) == ("none", "rescaling")
    assert found.notices == ()


def test_input_of_integers_gets_raw_values():
    images = photographs(3).astype(np.uint8)
    found = fed("auto", Bare(), images=images)
    assert found.inputs["x"].dtype == np.uint8
    assert (found.inputs["x"] == images).all()
    assert found.notices == ()


def statistics(mode, images):
    return Network(mode).measure(by_formula(mode, images))


def between(*modes):
    """Statistics as far from one mode's as from the other's."""
    means, variances = zip(*(statistics(mode, photographs(3)) for mode in modes), strict=True)
    return np.mean(means, axis=0), np.exp(np.mean(np.log(variances), axis=0))


def far():
    mean, variance = statistics("none", photographs(3))
    return mean + 1e5, variance * 1e6


@pytest.mark.parametrize(
    ("network", "reason", "candidates"),
    [
        (Bare(), "neither a Rescaling or Normalization", 0),
        (Broken(), "neither a Rescaling or Normalization", 0),
        (Network(learned=(np.zeros(6), np.ones(6))), "learned no statistics", 0),
        (Network(learned=(np.ones(6), np.zeros(6))), "learned no statistics", 0),
        (Network(learned=between("symmetric", "torch")), "about equally well", 5),
        (Network(learned=far()), "no candidate comes near", 5),
    ],
    ids=["bare", "broken", "fresh", "dead", "between", "far"],
)
def test_undecided_means_unit_and_a_warning(network, reason, candidates):
    found = fed("auto", network)
    assert (found.facts.mode, found.facts.chosen) == ("unit", "undecided")
    np.testing.assert_allclose(found.inputs["x"], photographs(3) / 255, rtol=1e-6)
    assert [notice.level for notice in found.notices] == ["warning"]
    assert reason in found.notices[0].text
    assert "--preprocess" in found.notices[0].text
    assert len(found.facts.candidates) == candidates


# -- what is fed against what was learned --------------------------------------------------------


def test_match_is_near_when_right_and_far_when_wrong():
    network = Network("unit")
    right = match_normalization({"x": by_formula("unit", photographs(3))}, "x", network)
    wrong = match_normalization({"x": photographs(3)}, "x", network)
    assert right.layer == "bn"
    assert right.distance < 0.5 < wrong.distance


def test_match_tells_swapped_channels():
    network = Network("unit")
    images = by_formula("unit", photographs(3))
    right = match_normalization({"x": images}, "x", network)
    swapped = match_normalization({"x": images[..., ::-1]}, "x", network)
    assert swapped.swapped == right.distance < right.swapped == swapped.distance


@pytest.mark.parametrize("network", [Bare(), Broken(), Network(learned=(np.zeros(6), np.ones(6)))])
def test_no_match_without_learned_statistics(network):
    assert match_normalization({"x": photographs(3)}, "x", network) is None


# -- the network's own first layer ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "offset", "mode"),
    [
        (1 / 255, 0.0, "none"),
        (1 / 127.5, -1.0, "none"),
        (1 / 255, -0.5, "none"),
        (1 / 58.4, -2.118, "none"),  # ImageNet's mean and deviation, on 0..255
        (2.0, -1.0, "unit"),
        (1 / 65535, 0.0, "uint16"),
        (2 / 65535, -1.0, "uint16"),
    ],
)
def test_the_factor_of_a_rescaling_tells_the_range_that_it_expects(scale, offset, mode):
    found = fed("auto", Network("unit", InputRescaling("scale", (scale,), (offset,))))
    assert (found.facts.mode, found.facts.layer, found.notices) == (mode, "scale", ())
    np.testing.assert_array_equal(found.inputs["x"], apply(mode, photographs(3)))


def test_a_rescaling_that_two_ranges_fit_is_said():
    """A factor of one hands on 0..1 as well as -1..1."""
    found = fed("auto", Network("unit", InputRescaling("same", (1.0,), (0.0,))))
    assert found.facts.mode == "unit"
    (notice,) = found.notices
    assert notice.level == "warning"
    assert "0..1 and -1..1 fit the numbers of same about equally well" in notice.text


@pytest.mark.parametrize("mode", ["none", "unit", "symmetric", "uint16"])
@pytest.mark.parametrize("each", [True, False])
def test_an_adapted_normalization_expects_what_it_was_adapted_to(mode, each):
    """Keras's Normalization on other pictures; the probes' moments are held against its own."""
    import keras

    layer = keras.layers.Normalization(axis=-1 if each else None)
    layer.adapt(apply(mode, photographs(99, 64)))
    std = np.sqrt(np.asarray(layer.variance)).reshape(-1)
    mean = np.asarray(layer.mean).reshape(-1)
    own = InputRescaling("norm", tuple(1 / std), tuple(-mean / std), adapted=True)
    found = fed("auto", Network("unit", own))
    assert (found.facts.mode, found.notices) == (mode, ())
    if mode != "none":
        assert "norm expects" in found.facts.because


def test_sixteen_bits_come_back_as_they_were_stored():
    stored = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    eight = (stored / np.float32(257)).astype(np.float32)
    np.testing.assert_array_equal(apply("uint16", eight), stored)
