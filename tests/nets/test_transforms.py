"""Random transforms of pictures against NumPy and finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from reportgen.nets import transforms
from reportgen.nets.parametrisation import Canvas
from reportgen.nets.transforms import transform_randomly


def test_without_strength_nothing_moves():
    pictures = np.random.default_rng(0).uniform(size=(2, 9, 7, 3)).astype(np.float32)
    found = transform_randomly(tf.constant(pictures), tf.constant([1, 2]), Canvas(9, 7, 3), 0.0)
    np.testing.assert_allclose(found, pictures, atol=1e-6)


def test_transforms_sample_bilinearly_and_grey_comes_in():
    canvas = Canvas(4, 4, 1)
    pictures = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1) / 16
    rows, columns = np.meshgrid(np.arange(4.0), np.arange(4.0), indexing="ij")
    y, x = rows.reshape(-1) + 0.25, columns.reshape(-1) - 0.5
    found = transforms._sample_bilinearly(
        tf.constant(pictures), tf.constant(y, tf.float32), tf.constant(x, tf.float32), canvas
    ).numpy()[0, ..., 0]
    padded = np.pad(pictures[0, ..., 0], 1, constant_values=0.5)
    for r in range(4):
        for c in range(4):
            upper = 0.5 * padded[r + 1, c] + 0.5 * padded[r + 1, c + 1]
            lower = 0.5 * padded[r + 2, c] + 0.5 * padded[r + 2, c + 1]
            assert found[r, c] == pytest.approx(0.75 * upper + 0.25 * lower, abs=1e-6)


def test_the_gradient_of_the_transforms_is_the_finite_difference():
    canvas = Canvas(6, 5, 2)
    rng = np.random.default_rng(2)
    pictures = rng.uniform(size=(2, 6, 5, 2)).astype(np.float32)
    weights = rng.normal(size=pictures.shape).astype(np.float32)
    seed = tf.constant([3, 4])
    variable = tf.Variable(pictures)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(transform_randomly(variable, seed, canvas) * weights)
    gradient = tape.gradient(value, variable).numpy()
    for place in np.ndindex(pictures.shape):
        step = np.zeros_like(pictures)
        step[place] = 0.5
        ends = [
            float(
                tf.reduce_sum(
                    transform_randomly(tf.constant(pictures + sign * step), seed, canvas) * weights
                )
            )
            for sign in (1, -1)
        ]
        assert gradient[place] == pytest.approx(ends[0] - ends[1], abs=1e-4)


def test_every_seed_transforms_otherwise_and_the_same_seed_alike():
    pictures = tf.constant(np.random.default_rng(0).uniform(size=(1, 32, 32, 3)), tf.float32)
    canvas = Canvas(32, 32, 3)
    one, same, other = (
        transform_randomly(pictures, tf.constant(seed), canvas).numpy()
        for seed in ([0, 5], [0, 5], [0, 6])
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).mean() > 0.05
