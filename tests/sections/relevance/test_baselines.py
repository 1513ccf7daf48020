"""What hides parts of an image: against plain formulas, and which image gets which."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from reportgen.sections.relevance.baselines import baseline_of, blurred, border_of


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(9, 12, 3), (9, 12), (5, 5, 1)])
def test_the_blur_is_a_gaussian_of_a_fourteenth_without_what_lies_beyond_the_edge(shape):
    image = drawn(*shape)
    height, width = shape[:2]
    made = blurred(image)
    assert made.shape == image.shape
    assert made.dtype == np.float32
    for y, x in np.ndindex(height, width):
        down = np.exp(-((np.arange(height) - y) ** 2) / (2 * (height / 14) ** 2))
        across = np.exp(-((np.arange(width) - x) ** 2) / (2 * (width / 14) ** 2))
        weights = np.outer(down, across)
        pixels = image.reshape(height, width, -1)
        expected = (weights[..., None] * pixels).sum(axis=(0, 1)) / weights.sum()
        np.testing.assert_allclose(made.reshape(height, width, -1)[y, x], expected, rtol=1e-4)


def test_far_from_the_edge_the_blur_is_scipys():
    image = drawn(112, 112)
    expected = scipy.ndimage.gaussian_filter(image.astype(np.float64), 8, truncate=6)
    np.testing.assert_allclose(blurred(image)[48:64, 48:64], expected[48:64, 48:64], rtol=1e-4)


def test_a_plain_image_stays_as_it_is():
    np.testing.assert_allclose(blurred(np.full((20, 30, 3), 7.0)), 7.0, rtol=1e-6)


def on_ground(colour, size=28):
    """Return a coloured ground with something in the middle."""
    image = np.empty((size, size, 3), np.float32)
    image[:] = colour
    image[6:-6, 6:-6] = drawn(size - 12, size - 12, 3)
    return image


def test_a_constant_border_hides_with_its_own_colour():
    image = on_ground((250, 250, 245))
    image[0, :20] = drawn(20, 3)  # what stands out over the edge
    kind, pixels = baseline_of(image, np.zeros_like(image), "auto", series=False)
    assert kind == "border"
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, np.broadcast_to((250, 250, 245), image.shape))


@pytest.mark.parametrize(
    ("touching", "constant"), [(0, True), (26, True), (28, False), (80, False)]
)
def test_three_quarters_of_a_border_make_it_constant(touching, constant):
    image = on_ground((0, 0, 0))
    ring = [(0, x) for x in range(28)] + [(27, x) for x in range(28)]
    ring += [(y, 0) for y in range(1, 27)] + [(y, 27) for y in range(1, 27)]
    for place in ring[:touching]:
        image[place] = 200
    assert len(ring) == 108
    colour, found = border_of(image)
    assert found is constant
    assert (colour == 0).all() or touching > 54


def test_a_hot_pixel_makes_no_border_constant():
    image = drawn(56, 56, 3)
    image[5, 5, 0] = 1e5
    assert not border_of(image)[1]
    image[6, 6, 1] = np.inf
    assert not border_of(image)[1]


def test_photographs_are_hidden_by_their_own_blur():
    image = drawn(40, 30, 3)
    kind, pixels = baseline_of(image, np.zeros_like(image), "auto", series=False)
    assert kind == "blur"
    np.testing.assert_array_equal(pixels, blurred(image))


def test_a_series_is_hidden_by_what_it_was_given():
    image, black = drawn(1, 50, 3), np.full((1, 50, 3), 3, np.float32)
    kind, pixels = baseline_of(image, black, "auto", series=True)
    assert (kind, pixels is black) == ("black", True)


def test_what_is_asked_for_is_taken():
    image, black = on_ground((9, 9, 9)), np.full((28, 28, 3), -1, np.float32)
    assert baseline_of(image, black, "black", series=False).pixels is black
    kind, pixels = baseline_of(image, black, "mean", series=False)
    assert kind == "mean"
    np.testing.assert_allclose(pixels[0, 0], image.mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_array_equal(pixels, np.broadcast_to(pixels[0, 0], pixels.shape))
    assert baseline_of(image, black, "blur", series=False).kind == "blur"
