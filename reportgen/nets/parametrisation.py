"""Pictures as spectra with decorrelated colours: what gradient ascent moves, as in Lucid and in MACO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.network.protocol import Recipe

COLOUR_COVARIANCE_ROOT = np.array(
    [[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]], np.float32
)
"""Square root of the colour covariance of natural images (Lucid), a row a channel."""


class Canvas(NamedTuple):
    """The canvas.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: of the input.
    """

    height: int
    width: int
    channels: int


def frequency_scale(canvas: Canvas) -> NDArray[Any]:
    """Return the scale of each frequency, (H, W // 2 + 1) float32: one over it, as in natural images."""
    rows = np.fft.fftfreq(canvas.height)[:, None]
    columns = np.fft.rfftfreq(canvas.width)[None, :]
    least = 1 / max(canvas.height, canvas.width)
    scale = 1 / np.maximum(np.hypot(rows, columns), least)
    result: NDArray[Any] = (scale * np.sqrt(canvas.height * canvas.width)).astype(np.float32)
    return result


def spectrum_shape(canvas: Canvas, method: str) -> tuple[int, ...]:
    """Return the shape of one picture's spectrum: real and imaginary parts, or phases only, and the rest."""
    parts = 1 if method == "maco" else 2
    return (parts, canvas.channels, canvas.height, canvas.width // 2 + 1)


def initial_spectrum(canvas: Canvas, recipe: Recipe, seeds: Sequence[int]) -> NDArray[Any]:
    """Return where the optimisation begins, for each seed: (2 or 1, n, C, H, W // 2 + 1) float32 noise."""
    shape, maco = spectrum_shape(canvas, recipe.method), recipe.method == "maco"
    pictures = []
    for seed in seeds:
        noise = np.random.default_rng(seed)
        values = noise.uniform(-np.pi, np.pi, shape) if maco else noise.normal(0, 0.01, shape)
        pictures.append(values.astype(np.float32))
    return np.stack(pictures, axis=1)


def pictures_from_spectrum(spectrum: Any, canvas: Canvas, method: str) -> Any:
    """Return the pictures of spectra, (n, H, W, C) in 0..1, differentiable."""
    import tensorflow as tf

    if method == "maco":
        # Magnitudes of a picture with the contrast that the free spectrum reaches in a hundred steps.
        phase = spectrum[0]
        flat = _inverse_fourier(tf.stack([tf.cos(phase), tf.sin(phase)]), canvas)
    else:
        flat = _inverse_fourier(spectrum, canvas) / 4
    flat = tf.transpose(flat, [0, 2, 3, 1])
    if canvas.channels == 3:
        longest = float(np.linalg.norm(COLOUR_COVARIANCE_ROOT, axis=0).max())
        flat = tf.einsum("nhwc,dc->nhwd", flat, tf.constant(COLOUR_COVARIANCE_ROOT / longest))
    return tf.sigmoid(flat)


def _inverse_fourier(parts: Any, canvas: Canvas) -> Any:
    """Return the inverse Fourier transform of (2, n, C, H, W // 2 + 1) scaled real and imaginary parts.

    The gradient is the forward transform, each frequency that stands for two counted twice; TensorFlow's own
    takes three times as long.
    """
    import tensorflow as tf

    scale = frequency_scale(canvas)
    twice = np.full(canvas.width // 2 + 1, 2.0, np.float32)
    twice[0] = 1
    if canvas.width % 2 == 0:
        twice[-1] = 1
    back_scale = tf.constant(scale * twice / (canvas.height * canvas.width))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def transform(parts: Any) -> tuple[Any, Any]:
        def back(upstream: Any) -> Any:
            found = tf.signal.rfft2d(upstream)
            return tf.stack([tf.math.real(found), tf.math.imag(found)]) * back_scale

        scaled = parts * tf.constant(scale)
        values = tf.complex(scaled[0], scaled[1])
        return tf.signal.irfft2d(values, [canvas.height, canvas.width]), back

    return transform(parts)
