"""Random transforms of the pictures at every step, so that what a unit likes survives small movements."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.nets.engine import on_device

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


@lru_cache(maxsize=8)
def traced_transform(canvas: Canvas, device: str) -> Any:
    """Trace ``transform_randomly`` at full strength, for any number of pictures."""
    import tensorflow as tf

    def transform(pictures: Any, seed: Any) -> Any:
        return transform_randomly(pictures, seed, canvas)

    with tf.init_scope(), on_device(device):  # it outlives what is being traced
        return tf.function(transform, autograph=False).get_concrete_function(
            tf.TensorSpec((None, *canvas), tf.float32), tf.TensorSpec((2,), tf.int32)
        )


def _sample_bilinearly(pictures: Any, y: Any, x: Any, canvas: Canvas) -> Any:
    """Sample pictures at (H·W,) places, with the exact gradient in the pictures."""
    import tensorflow as tf

    height, width = canvas.height, canvas.width
    size = height * width
    # A sparse matrix with the four neighbours of every place: a row of each, one kind behind the other.
    row = tf.floor(y) + tf.constant([[0.0], [0.0], [1.0], [1.0]])
    column = tf.floor(x) + tf.constant([[0.0], [1.0], [0.0], [1.0]])
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    weights = tf.where(inside, (1 - tf.abs(y - row)) * (1 - tf.abs(x - column)), 0.0)
    places = tf.where(inside, row * width + column, 0.0)
    to = tf.constant(np.tile(np.arange(size), 4))
    entries = tf.stack([to, tf.cast(tf.reshape(places, [-1]), tf.int64)], axis=1)
    taps = tf.SparseTensor(entries, tf.reshape(weights, [-1]), [size, size])

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def sample(flat: Any) -> tuple[Any, Any]:
        def back(upstream: Any) -> Any:
            return tf.sparse.sparse_dense_matmul(taps, upstream, adjoint_a=True)

        return tf.sparse.sparse_dense_matmul(taps, flat), back

    # All pictures move alike, so that a place is one row of all of them.
    flat = tf.reshape(tf.transpose(pictures, [1, 2, 0, 3]), (size, -1))
    grey = 0.5 * (1 - tf.reduce_sum(weights, axis=0))[:, None]
    found = tf.reshape(sample(flat) + grey, (height, width, -1, canvas.channels))
    return tf.transpose(found, [2, 0, 1, 3])
