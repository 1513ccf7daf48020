"""Spectra of pictures against NumPy and finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from reportgen.nets.parametrisation import (
    COLOUR_COVARIANCE_ROOT,
    Canvas,
    frequency_scale,
    pictures_from_spectrum,
)


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_a_spectrum_becomes_the_picture_that_numpy_makes_of_it(size):
    canvas = Canvas(*size, 3)
    spectrum = np.random.default_rng(0).normal(size=(2, 2, 3, size[0], size[1] // 2 + 1))
    scale = 1 / np.maximum(
        np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]), 1 / max(size)
    )
    scale *= np.sqrt(size[0] * size[1])
    np.testing.assert_allclose(frequency_scale(canvas), scale, rtol=1e-6)
    flat = np.fft.irfft2((spectrum[0] + 1j * spectrum[1]) * scale, s=size) / 4
    colours = COLOUR_COVARIANCE_ROOT / np.linalg.norm(COLOUR_COVARIANCE_ROOT, axis=0).max()
    expected = 1 / (1 + np.exp(-np.einsum("nchw,dc->nhwd", flat, colours)))
    found = pictures_from_spectrum(tf.constant(spectrum, tf.float32), canvas, "fourier")
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("method", "parts"), [("fourier", 2), ("maco", 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_gradient_of_the_parametrisation_is_the_finite_difference(method, parts, channels):
    canvas = Canvas(5, 6, channels)
    rng = np.random.default_rng(1)
    spectrum = rng.normal(0, 0.3, (parts, 1, channels, 5, 4)).astype(np.float32)
    weights = rng.normal(size=(1, 5, 6, channels)).astype(np.float32)
    variable = tf.Variable(spectrum)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(pictures_from_spectrum(variable, canvas, method) * weights)
    gradient = tape.gradient(value, variable).numpy()
    for place in [(0, 0, 0, 1, 1), (parts - 1, 0, channels - 1, 3, 2), (0, 0, 0, 0, 0)]:
        step = np.zeros_like(spectrum)
        step[place] = 1e-2
        up, down = (
            float(
                tf.reduce_sum(
                    pictures_from_spectrum(tf.constant(spectrum + sign * step), canvas, method)
                    * weights
                )
            )
            for sign in (1, -1)
        )
        assert gradient[place] == pytest.approx((up - down) / 2e-2, rel=0.02, abs=2e-3)


def test_maco_keeps_the_magnitudes():
    canvas = Canvas(8, 8, 1)
    phases = np.random.default_rng(0).uniform(-3, 3, (1, 1, 1, 8, 5)).astype(np.float32)
    picture = pictures_from_spectrum(tf.constant(phases), canvas, "maco").numpy()[0, ..., 0]
    spectrum = np.abs(np.fft.rfft2(np.log(picture / (1 - picture))))
    inner = np.s_[1:4, 1:4]  # the others are tied by symmetry
    ratio = spectrum[inner] / frequency_scale(canvas)[inner]
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-3)
