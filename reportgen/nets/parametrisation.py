"""Pictures as spectra with decorrelated colours: what gradient ascent moves, as in Lucid and in MACO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.network.protocol import Recipe

COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]], np.float32)
"""Square root of the colour covariance of natural images (Lucid), a row a channel."""


class Frame(NamedTuple):
    """The canvas.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: of the input.
    """

    height: int
    width: int
    channels: int


def magnitudes(frame: Frame) -> NDArray[Any]:
    """Return the scale of each frequency, (H, W // 2 + 1) float32: one over it, as in natural images."""
    rows = np.fft.fftfreq(frame.height)[:, None]
    columns = np.fft.rfftfreq(frame.width)[None, :]
    least = 1 / max(frame.height, frame.width)
    scale = 1 / np.maximum(np.hypot(rows, columns), least)
    result: NDArray[Any] = (scale * np.sqrt(frame.height * frame.width)).astype(np.float32)
    return result


def spectrum_shape(frame: Frame, recipe: Recipe) -> tuple[int, ...]:
    """Return the shape of one picture's spectrum: real and imaginary parts, or phases only, and the rest."""
    parts = 1 if recipe.method == "maco" else 2
    return (parts, frame.channels, frame.height, frame.width // 2 + 1)


def first_spectrum(frame: Frame, recipe: Recipe, seeds: Sequence[int]) -> NDArray[Any]:
    """Return where the climb begins, for each seed: (2 or 1, n, C, H, W // 2 + 1) float32 noise."""
    shape, maco = spectrum_shape(frame, recipe), recipe.method == "maco"
    pictures = []
    for seed in seeds:
        noise = np.random.default_rng(seed)
        values = noise.uniform(-np.pi, np.pi, shape) if maco else noise.normal(0, 0.01, shape)
        pictures.append(values.astype(np.float32))
    return np.stack(pictures, axis=1)


def picture_of(spectrum: Any, frame: Frame, method: str) -> Any:
    """Return the pictures of spectra, (n, H, W, C) in 0..1, differentiable."""
    import tensorflow as tf

    if method == "maco":
        # Magnitudes of a picture with the contrast that the free spectrum reaches in a hundred steps.
        phase = spectrum[0]
        flat = _inverse(tf.stack([tf.cos(phase), tf.sin(phase)]), frame)
    else:
        flat = _inverse(spectrum, frame) / 4
    flat = tf.transpose(flat, [0, 2, 3, 1])
    if frame.channels == 3:
        longest = float(np.linalg.norm(COLOURS, axis=0).max())
        flat = tf.einsum("nhwc,dc->nhwd", flat, tf.constant(COLOURS / longest))
    return tf.sigmoid(flat)


def _inverse(parts: Any, frame: Frame) -> Any:
    """Return the inverse Fourier transform of (2, n, C, H, W // 2 + 1) scaled real and imaginary parts.

    The gradient is the forward transform, each frequency that stands for two counted twice; TensorFlow's own
    takes three times as long.
    """
    import tensorflow as tf

    scale = magnitudes(frame)
    twice = np.full(frame.width // 2 + 1, 2.0, np.float32)
    twice[0] = 1
    if frame.width % 2 == 0:
        twice[-1] = 1
    back_scale = tf.constant(scale * twice / (frame.height * frame.width))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def transform(parts: Any) -> tuple[Any, Any]:
        def back(upstream: Any) -> Any:
            found = tf.signal.rfft2d(upstream)
            return tf.stack([tf.math.real(found), tf.math.imag(found)]) * back_scale

        scaled = parts * tf.constant(scale)
        values = tf.complex(scaled[0], scaled[1])
        return tf.signal.irfft2d(values, [frame.height, frame.width]), back

    return transform(parts)
