"""Objectives by hand."""

import numpy as np
import tensorflow as tf

from reportgen.nets.objectives import mutual_similarity, objective


def test_objectives_by_hand():
    values = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    goal = np.zeros((2, 4), np.float32)
    goal[0, 1] = goal[1, 3] = 1
    leaky = np.where(values > 0, values, 0.1 * values)
    found = objective(tf.constant(values), goal, "channel").numpy()
    np.testing.assert_allclose(found, [leaky[0, ..., 1].mean(), leaky[1, ..., 3].mean()], rtol=1e-5)
    found = objective(tf.constant(values), goal, "neuron").numpy()
    np.testing.assert_allclose(found, [values[0, 1, 2, 1], values[1, 1, 2, 3]], rtol=1e-5)
    aim = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
    dot = (values * aim[:, None, None]).sum(axis=-1)
    cosine = dot / (np.linalg.norm(values, axis=-1) * np.linalg.norm(aim, axis=-1)[:, None, None])
    expected = (dot * np.maximum(0.1, cosine) ** 2).mean(axis=(1, 2))
    found = objective(tf.constant(values), aim, "direction").numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_similarity_is_one_for_the_same_pictures_and_nought_for_others():
    one = np.zeros((3, 2, 2, 2), np.float32)
    one[:2, 0, :, 0] = 1
    one[2, 0, :, 1] = 1
    np.testing.assert_allclose(
        mutual_similarity(tf.constant(one)).numpy(), [0.5, 0.5, 0.0], atol=1e-6
    )
