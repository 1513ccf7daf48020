"""Grids that values stand on: the generator's in fresh kernels, int8's in rounded ones; known answers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from reportgen.sections.weights.grids import drawn, levels
from reportgen.sections.weights.health import Initials, declared_initial, fans_of, initial_fit

RNG = np.random.default_rng(7)
SHAPES = [(3, 3, 3, 8), (64, 10), (3, 3, 16, 32), (5, 5, 1, 4)]
UNIFORM = {
    "glorot_uniform": keras.initializers.GlorotUniform,
    "he_uniform": keras.initializers.HeUniform,
    "lecun_uniform": keras.initializers.LecunUniform,
}


def initials(name, shape):
    return Initials(declared_initial(name, {}, fans_of(shape)), fans_of(shape))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", UNIFORM)
def test_what_keras_draws_stands_on_the_places_of_its_generator(name, shape):
    for seed in range(20):
        kernel = np.asarray(UNIFORM[name](seed=seed)(shape))
        for said in (name, "he_normal", None):
            fit = initial_fit(kernel, initials(said, shape))
            assert (fit.initializer, fit.drawn, fit.outside) == (name, True, 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_smallest_step_takes_values_off_these_places(shape):
    for seed in range(20):
        kernel = np.asarray(keras.initializers.GlorotUniform(seed=seed)(shape))
        step = RNG.normal(0, 1e-6, shape).astype(np.float32)
        assert not initial_fit(kernel + step, initials("glorot_uniform", shape)).drawn
        some = np.where(RNG.random(shape) < 0.3, kernel + step, kernel)  # dead units do not move
        assert not initial_fit(some, initials("glorot_uniform", shape)).drawn


def test_drawn_needs_values_and_single_precision():
    half = np.float32(0.25)
    values = (np.arange(200) * 41_943 % 2**23 / 2**23 * 0.5 - 0.25).astype(np.float32)
    assert drawn(values, float(half))
    assert not drawn(values[:99], float(half))
    assert not drawn(values.astype(np.float64), float(half))
    assert not drawn(values, 0.0)
    assert not drawn(np.full(200, 0.25, np.float32), 0.25)  # nothing in the inner half


def grid(kernel, step, low=0.0):
    return ((np.rint((kernel - low) / step)) * step + low).astype(np.float32)


def each(kernel):
    return kernel.reshape(-1, kernel.shape[-1])


WAYS = {
    "symmetric": lambda k: grid(k, np.abs(k).max() / 127),
    "symmetric, 128": lambda k: grid(k, np.abs(k).max() / 128),
    "from least to largest": lambda k: grid(k, (k.max() - k.min()) / 255, k.min()),
    "zero on the grid": lambda k: grid(k, (k.max() - k.min()) / 255),
    "each filter": lambda k: grid(k, np.abs(each(k)).max(axis=0) / 127),
    "each filter, least to largest": lambda k: grid(
        k, (each(k).max(axis=0) - each(k).min(axis=0)) / 255, each(k).min(axis=0)
    ),
    "four bits": lambda k: grid(k, np.abs(k).max() / 7),
}


@pytest.mark.parametrize("shape", [(3, 3, 16, 32), (64, 10), (3, 3, 3, 8)])
@pytest.mark.parametrize("way", WAYS)
def test_rounded_kernels_are_known_by_their_grid(way, shape):
    kernel = RNG.normal(0.01, 0.05, shape).astype(np.float32)
    rounded = WAYS[way](kernel)
    assert levels(each(kernel)) == 0
    found = levels(each(rounded))
    assert len(np.unique(rounded)) <= found <= 257 or ("each" in way and 15 <= found <= 257)


def test_what_has_hardly_any_values_was_not_rounded():
    one = np.zeros((200, 3), np.float32)
    one[7] = 1
    assert levels(one) == 0
    assert levels(np.full((200, 3), 0.3, np.float32)) == 0
    assert levels(np.sign(RNG.normal(size=(200, 3))).astype(np.float32)) == 0
    assert levels(grid(RNG.normal(size=(9, 8)), 0.1)) == 0
