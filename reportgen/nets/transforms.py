"""Random transforms of the pictures at every step, so that what a unit likes survives small movements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from reportgen.nets.parametrisation import Canvas


def transform_randomly(pictures: Any, seed: Any, canvas: Canvas, strength: float = 1.0) -> Any:
    """Move, scale and turn pictures together by one random affine map; grey comes in at the edges.

    Jitter of 8 and 4 pixels, a scale of 0.9 to 1.1 and a turn of up to 10 degrees, on canvases under 128
    pixels the jitter in proportion.

    Args:
        pictures: (n, H, W, C) in 0..1.
        seed: (2,) int32.
        canvas: theirs.
        strength: 0 leaves them as they are.
    """
    import tensorflow as tf

    u = tf.random.stateless_uniform([6], seed, -1.0, 1.0) * strength
    share = min(1.0, min(canvas.height, canvas.width) / 128)
    # Two jitters, one before and one behind the turn, as offsets in pixels.
    first, second = u[0:2] * 8.0 * share, u[2:4] * 4.0 * share
    scale, angle = 1 + 0.1 * u[4], u[5] * (np.pi / 18)
    rows, columns = np.meshgrid(
        np.arange(canvas.height) - (canvas.height - 1) / 2,
        np.arange(canvas.width) - (canvas.width - 1) / 2,
        indexing="ij",
    )
    y = tf.constant(rows.reshape(-1), tf.float32) - second[0]
    x = tf.constant(columns.reshape(-1), tf.float32) - second[1]
    cos, sin = tf.cos(angle) / scale, tf.sin(angle) / scale
    source_y = cos * y + sin * x - first[0] + (canvas.height - 1) / 2
    source_x = cos * x - sin * y - first[1] + (canvas.width - 1) / 2
    return _sample_bilinearly(pictures, source_y, source_x, canvas)


def _sample_bilinearly(pictures: Any, y: Any, x: Any, canvas: Canvas) -> Any:
    """Sample pictures at (H·W,) places, with the exact gradient in the pictures."""
    import tensorflow as tf

    height, width = canvas.height, canvas.width
    count = pictures.shape[0]
    top, left = tf.floor(y), tf.floor(x)
    places, weights = [], []
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, column = tf.cast(top, tf.int32) + down, tf.cast(left, tf.int32) + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        share = (1 - tf.abs(y - tf.cast(row, tf.float32))) * (
            1 - tf.abs(x - tf.cast(column, tf.float32))
        )
        weights.append(tf.where(inside, share, 0.0))
        places.append(
            tf.clip_by_value(row, 0, height - 1) * width + tf.clip_by_value(column, 0, width - 1)
        )
    size = count * canvas.channels

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def gather(flat: Any) -> tuple[Any, Any]:
        taps = [w[:, None] * tf.gather(flat, p) for w, p in zip(weights, places, strict=True)]

        def back(upstream: Any) -> Any:
            shares = tf.concat([w[:, None] * upstream for w in weights], axis=0)
            return tf.math.unsorted_segment_sum(shares, tf.concat(places, 0), height * width)

        return tf.add_n(taps), back

    # All pictures move alike, so that a place is one row of all of them.
    flat = tf.reshape(tf.transpose(pictures, [1, 2, 0, 3]), (height * width, size))
    grey = 0.5 * (1 - tf.add_n(weights))[:, None]
    found = tf.reshape(gather(flat) + grey, (height, width, count, canvas.channels))
    return tf.transpose(found, [2, 0, 1, 3])
