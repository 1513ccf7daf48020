"""Measurements of one weight tensor that findings rest on."""

from __future__ import annotations

import msgspec


class InitialFit(msgspec.Struct, frozen=True):
    """How near a kernel is to an initializer's distribution.

    Attributes:
        initializer: the nearest one, as in ``glorot_uniform``.
        declared: whether the layer declares it.
        distance: Kolmogorov-Smirnov, over at most 5,000 values at even steps.
        sample: how many values that were.
        outside: values outside of the initializer's support, over the whole tensor.
        drawn: whether they stand on the places that a uniform generator draws from, which training leaves.
    """

    initializer: str
    declared: bool
    distance: float
    sample: int
    outside: int
    drawn: bool = False


class Spectrum(msgspec.Struct, frozen=True):
    """Singular values of the kernel as a matrix (inputs and positions by outputs).

    Attributes:
        rows: inputs times positions.
        columns: outputs.
        effective_rank: participation ratio (Σσ²)² / Σσ⁴ of the singular values σ, from 1 to the
            smaller side.
        sigma: largest singular value of this matrix (not the convolution's operator norm); as the
            fields below None where the smaller side exceeds 512.
        edge: largest eigenvalue over the Marchenko-Pastur edge, λmax / (s (√n + √p))² with s the
            root mean square; near 1 for random weights (Marchenko and Pastur, 1967).
        alpha: exponent of a power law fitted to the tail of the eigenvalues (Clauset et al., 2009;
            WeightWatcher, Martin et al., 2021); experimental.
        alpha_distance: Kolmogorov-Smirnov distance of that fit.
        sampled: whether the effective rank is estimated with random probes, as above 512 (Hutch++, Meyer et
            al., 2021).
    """

    rows: int
    columns: int
    effective_rank: float
    sigma: float | None
    edge: float | None
    alpha: float | None
    alpha_distance: float | None
    sampled: bool = False


class KernelHealth(msgspec.Struct, frozen=True):
    """What can be wrong with a kernel.

    Attributes:
        filters: output channels.
        each: values in one filter.
        zero: filters that are all zero.
        zero_filters: the first of them, at most 16.
        near_zero: filters whose norm is below a thousandth of the median norm, all-zero ones left out.
        duplicates: filters with |cos| > 0.999 to an earlier one, all-zero ones left out.
        duplicate_filters: the first of them, at most 16.
        dominance: share of the sum of squares that the largest value alone holds.
        sqnr: signal to quantisation noise ratio in dB of symmetric per-tensor int8.
        range_ratio: largest over median range of a filter (Nagel et al., 2019).
        initial: None for small or constant kernels.
        spectrum: None for kernels that are no matrix or too large.
        levels: of the even grid that all values stand on, as after rounding to int8; 0 without one.
    """

    filters: int
    each: int
    zero: int
    zero_filters: tuple[int, ...]
    near_zero: int
    duplicates: int
    duplicate_filters: tuple[int, ...]
    dominance: float | None
    sqnr: float | None
    range_ratio: float | None
    initial: InitialFit | None
    spectrum: Spectrum | None
    levels: int = 0


class BatchNormHealth(msgspec.Struct, frozen=True):
    """The four variables of a BatchNormalization together.

    Attributes:
        dead: channels with β + 3|γ| < 0, whose normal output stays below zero.
        dead_channels: the first of them, at most 16.
        before_relu: whether nothing but a ReLU reads it.
        fresh_statistics: whether moving mean and variance are exactly 0 and 1.
        fresh_scale: whether γ and β, where it has them, are exactly 1 and 0.
        zero_variance: channels whose moving variance is zero.
        negative_variance: channels whose moving variance is below zero.
    """

    layer: str
    channels: int
    dead: int
    dead_channels: tuple[int, ...]
    before_relu: bool
    fresh_statistics: bool
    fresh_scale: bool
    zero_variance: int
    negative_variance: int
