"""What findings rest on, against SciPy, NumPy's decompositions and known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from reportgen.sections.weights.health import (
    Initial,
    Initials,
    batch_norm_health,
    declared_initial,
    fans_of,
    initial_fit,
    kernel_health,
    ks_distance,
    standard_initials,
)
from reportgen.sections.weights.spectra import power_law

RNG = np.random.default_rng(4)


def draw(initial, size, rng=RNG):
    if initial.kind == "uniform":
        return rng.uniform(-initial.scale, initial.scale, size)
    if initial.kind == "truncated":
        return stats.truncnorm.rvs(-2, 2, scale=initial.scale, size=size, random_state=rng)
    return rng.normal(0, initial.scale, size)


@pytest.mark.parametrize("kind", ["uniform", "truncated", "normal"])
def test_ks_distance_is_scipys(kind):
    initial = Initial("x", kind, 0.3)
    law = {
        "uniform": stats.uniform(-0.3, 0.6),
        "truncated": stats.truncnorm(-2, 2, scale=0.3),
        "normal": stats.norm(0, 0.3),
    }[kind]
    for sample in (draw(initial, 500), RNG.normal(0.1, 0.2, 300)):
        expected = stats.kstest(sample, law.cdf).statistic
        assert ks_distance(np.sort(sample), initial) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(3, 3, 16, 32), (64, 10), (5, 5, 8, 1), (16, 4, 8)])
def test_fresh_kernels_are_near_their_initializer_and_trained_ones_are_not(shape):
    for initial in standard_initials(fans_of(shape)):
        fresh = draw(initial, shape).astype(np.float32)
        fit = initial_fit(fresh, Initials(initial, fans_of(shape)))
        assert fit.declared
        assert fit.outside == 0
        assert fit.distance < max(0.045, 1.63 / math.sqrt(fit.sample))
        trained = fresh * 3 + RNG.normal(0, initial.scale, shape).astype(np.float32)
        fit = initial_fit(trained, Initials(initial, fans_of(shape)))
        assert fit.outside > 0 or fit.distance > 1.63 / math.sqrt(fit.sample)


def test_declared_initializers_have_their_numbers():
    shape = (3, 3, 4, 8)
    assert fans_of(shape) == (36, 72)
    config = {"scale": 2.0, "mode": "fan_out", "distribution": "uniform"}
    assert declared_initial("variance_scaling", config, fans_of(shape)).scale == math.sqrt(
        3 * 2 / 72
    )
    assert (
        declared_initial("random_normal", {"mean": 0.0, "stddev": 0.1}, fans_of(shape)).scale == 0.1
    )
    assert (
        declared_initial("random_uniform", {"minval": -0.2, "maxval": 0.2}, fans_of(shape)).scale
        == 0.2
    )
    assert declared_initial("orthogonal", {}, fans_of(shape)) is None
    assert declared_initial(None, {}, fans_of(shape)) is None


def test_filters_are_counted():
    kernel = RNG.normal(0, 1, (3, 3, 4, 10)).astype(np.float32)
    kernel[..., 2] = 0
    kernel[..., 5] *= 1e-6
    kernel[..., 7] = -2 * kernel[..., 1]
    health = kernel_health(kernel)
    assert (health.filters, health.each) == (10, 36)
    assert (health.zero, health.zero_filters) == (1, (2,))
    assert health.near_zero == 1
    assert health.duplicate_filters == (7,)


def test_layouts_of_depthwise_and_transposed_kernels():
    depthwise = RNG.normal(0, 1, (3, 3, 6, 2)).astype(np.float32)
    depthwise[:, :, 4, 1] = 0
    health = kernel_health(depthwise, layer_class="DepthwiseConv2D")
    assert (health.filters, health.each, health.zero_filters) == (12, 9, (9,))
    transposed = RNG.normal(0, 1, (3, 3, 6, 4)).astype(np.float32)
    transposed[:, :, 5, :] = 0
    health = kernel_health(transposed, layer_class="Conv2DTranspose")
    assert (health.filters, health.zero_filters) == (6, (5,))


def test_quantisation_noise_is_that_of_a_direct_computation():
    kernel = RNG.normal(0, 0.1, (50, 20)).astype(np.float32)
    step = np.abs(kernel).max() / 127
    error = kernel - np.round(kernel / step) * step
    expected = 10 * np.log10((kernel.astype(float) ** 2).sum() / (error.astype(float) ** 2).sum())
    assert kernel_health(kernel).sqnr == pytest.approx(expected, abs=0.01)


def test_spectrum_is_numpys():
    kernel = RNG.normal(0, 1, (3, 3, 8, 24)).astype(np.float32)
    sigma = np.linalg.svd(kernel.reshape(72, 24).astype(float), compute_uv=False)
    spectrum = kernel_health(kernel).spectrum
    assert spectrum.sigma == pytest.approx(sigma[0], rel=1e-4)
    expected = (sigma**2).sum() ** 2 / (sigma**4).sum()
    assert spectrum.effective_rank == pytest.approx(expected, rel=1e-4)


def test_random_matrices_end_at_the_marchenko_pastur_edge():
    kernel = RNG.normal(0, 0.2, (600, 300)).astype(np.float32)
    assert kernel_health(kernel).spectrum.edge == pytest.approx(1, abs=0.03)
    kernel += np.outer(np.ones(600), np.ones(300)).astype(np.float32)
    assert kernel_health(kernel).spectrum.edge > 5


def decaying(power, rows=900, columns=700):
    """Return a matrix with singular values k^-power and random directions."""
    left, _ = np.linalg.qr(RNG.normal(size=(rows, columns)))
    right, _ = np.linalg.qr(RNG.normal(size=(columns, columns)))
    return (left * np.arange(1, columns + 1.0) ** -power) @ right


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("power", [0, 0.25, 0.5, 1, 2, 4])
def test_the_effective_rank_of_a_large_kernel_is_estimated(power, wide):
    kernel = decaying(power).astype(np.float32)
    kernel = kernel.T if wide else kernel
    sigma = np.linalg.svd(kernel.astype(float), compute_uv=False)
    found = kernel_health(kernel).spectrum
    assert found.sampled
    assert found.sigma is None
    expected = (sigma**2).sum() ** 2 / (sigma**4).sum()
    assert found.effective_rank == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("shape", [(3000, 600), (40, 600), (600, 900)])
def test_filters_that_point_the_same_way_are_found_in_a_large_kernel(shape):
    """Beside pairs that are nearly so, each held against NumPy's cosines."""
    kernel = RNG.normal(0, 1, shape)
    for place, angle in ((50, 0.0), (51, 0.02), (52, 0.04), (53, 0.05), (54, 0.3)):
        kernel[:, place] = -3 * (kernel[:, place - 40] + angle * np.std(kernel) * kernel[:, 200])
    kernel[:, [7, 8]] = 0
    kernel = kernel.astype(np.float32)
    wide = kernel.astype(float)
    lengths = np.linalg.norm(wide, axis=0)
    cosine = np.abs(wide.T @ wide) / np.maximum(np.outer(lengths, lengths), 1e-30)
    expected = np.flatnonzero(np.triu(cosine > 0.999, k=1).any(axis=0))
    health = kernel_health(kernel)
    assert health.duplicate_filters == tuple(expected)
    assert 50 in expected
    assert 54 not in expected


@pytest.mark.parametrize("shape", [(40, 24), (700, 600)])
@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-23, 1e-13, 1e13, 1e19, 1e25, 1e37])
def test_squares_of_tiny_and_huge_values_are_taken_in_their_own_scale(scale, shape):
    kernel = RNG.normal(0, 1, shape)
    kernel[:, 7] = kernel[:, 3]
    plain = kernel_health(kernel.astype(np.float32))
    health = kernel_health((kernel * scale).astype(np.float32))
    assert health.duplicate_filters == plain.duplicate_filters == (7,)
    rank, sigma = health.spectrum.effective_rank, health.spectrum.sigma
    near = 0.3 if scale < 1e-37 else 1e-4  # of denormal numbers few bits are left
    assert rank == pytest.approx(plain.spectrum.effective_rank, rel=near)
    if sigma is not None:
        assert sigma / scale == pytest.approx(plain.spectrum.sigma, rel=near)


def test_rank_one_is_seen():
    kernel = np.outer(RNG.normal(0, 1, 40), RNG.normal(0, 1, 10)).astype(np.float32)
    assert kernel_health(kernel).spectrum.effective_rank == pytest.approx(1, abs=1e-4)


def test_the_exponent_of_a_power_law_is_recovered():
    values = np.sort((1 - RNG.uniform(0, 1, 4000)) ** (-1 / 1.5))
    alpha, distance = power_law(values)
    assert alpha == pytest.approx(2.5, abs=0.2)
    assert distance < 0.05


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=6),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_any_kernel_can_be_measured(kernel):
    health = kernel_health(kernel)
    assert health.filters * health.each == kernel.size
    assert health.zero + health.near_zero + health.duplicates <= 2 * health.filters
    assert health.zero == int((kernel.reshape(-1, kernel.shape[-1]) == 0).all(axis=0).sum())


def test_what_is_not_finite_or_no_kernel_is_not_measured():
    assert kernel_health(np.full((3, 3), np.nan, np.float32)) is None
    assert kernel_health(np.ones(3, np.float32)) is None
    assert kernel_health(np.ones((3, 3), np.int8)) is None


def test_batch_norm_is_looked_at_as_a_whole():
    arrays = {
        "gamma": np.array([1, 1, 0.1, -0.5], np.float32),
        "beta": np.array([0, -5, -0.2, -1.6], np.float32),
        "moving_mean": np.zeros(4, np.float32),
        "moving_variance": np.array([1, 0, -1, 2], np.float32),
    }
    health = batch_norm_health("bn", arrays, before_relu=True)
    assert health.dead_channels == (1, 3)
    assert (health.zero_variance, health.negative_variance) == (1, 1)
    assert not health.fresh_statistics
    fresh = {"moving_mean": np.zeros(4), "moving_variance": np.ones(4)}
    health = batch_norm_health("bn", fresh, before_relu=False)
    assert health.fresh_statistics
    assert health.fresh_scale
