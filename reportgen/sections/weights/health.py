"""Measure what findings about weights rest on; NumPy only, one tensor at a time."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.numerics import finite_number, middle_of, six_digits, stripes
from reportgen.report.content.health import BatchNormHealth, InitialFit, KernelHealth
from reportgen.sections.weights.grids import AT_ONCE, drawn, levels
from reportgen.sections.weights.spectra import duplicate_columns, gram, spectrum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SAMPLE = 5_000
LEAST_FOR_KS = 100
LISTED = 16
_FAR = 1e12
"""Magnitude, or its inverse, from which squares are taken of a rescaled copy: float32 ends at 1e±38."""
_DECLARED = 0.045
_ONE_IN_8000 = 2.2
_NEAR_ZERO = 1e-3
_TRUNCATED = 0.87962566103423978
"""Standard deviation of a normal distribution cut at two standard deviations, as Keras corrects for it."""


class Initial(NamedTuple):
    """A distribution that kernels start from.

    Attributes:
        kind: ``uniform`` (on ±``scale``), ``truncated`` (normal of ``scale`` cut at two) or ``normal``.
    """

    name: str
    kind: str
    scale: float

    @property
    def support(self) -> float:
        """Largest magnitude that it can draw."""
        return {"uniform": self.scale, "truncated": 2 * self.scale}.get(self.kind, math.inf)


class Initials(NamedTuple):
    """Distributions that a kernel may have started from.

    Attributes:
        declared: by its layer; None where it declares none that is known.
        fans: fan-in and fan-out, for the standard ones.
    """

    declared: Initial | None
    fans: tuple[int, int]


def kernel_health(
    array: NDArray[Any], initials: Sequence[Initials] = (), layer_class: str = ""
) -> KernelHealth | None:
    """Measure a kernel (…, inputs, outputs).

    Args:
        array: floating-point, of rank two or more.
        initials: what its values may have been drawn from; the standard ones of its shape when empty.
        layer_class: tells depthwise (h, w, channels, multiplier) and transposed kernels
            (h, w, outputs, inputs) apart.

    Returns:
        None for anything else, and where a value is not finite.
    """
    if (
        array.ndim < 2
        or array.dtype.kind != "f"
        or not array.size
        or not math.isfinite(_top(array))
    ):
        return None
    values = array.astype(np.float32, copy=False)
    matrix = as_matrix(values, layer_class)
    norms = np.sqrt(np.einsum("ij,ij->j", matrix, matrix, dtype=np.float64))
    zero = np.flatnonzero(norms == 0)
    alive = norms[norms > 0]
    near = int((alive < _NEAR_ZERO * middle_of(alive)).sum()) if alive.size else 0
    top = _top(matrix)
    unit = 1.0 if top == 0 or 1 / _FAR < top < _FAR else top
    working = matrix if unit == 1 else (matrix.astype(np.float64) / unit).astype(np.float32)
    product = gram(working)
    duplicates = duplicate_columns(working, norms / unit, product)
    square = float((norms**2).sum())
    return KernelHealth(
        filters=matrix.shape[1],
        each=matrix.shape[0],
        zero=int(zero.size),
        zero_filters=tuple(int(i) for i in zero[:LISTED]),
        near_zero=near,
        duplicates=int(duplicates.size),
        duplicate_filters=tuple(int(i) for i in duplicates[:LISTED]),
        dominance=six_digits(top * top / square) if square else None,
        sqnr=six_digits(int8_sqnr(matrix, top)) if square else None,
        range_ratio=_range_ratio(matrix) if square else None,
        initial=_best_fit(values, initials or (Initials(None, fans_of(values.shape)),)),
        spectrum=spectrum(working, norms / unit, product, unit),
        levels=levels(matrix),
    )


def as_matrix(values: NDArray[Any], layer_class: str) -> NDArray[Any]:
    """Return a kernel as (values of a filter, filters)."""
    if "Depthwise" in layer_class and values.ndim > 2:
        return values.reshape(math.prod(values.shape[:-2]), -1)
    if layer_class.endswith("Transpose"):
        values = np.swapaxes(values, -1, -2)
    return values.reshape(-1, values.shape[-1])


def int8_sqnr(matrix: NDArray[Any], top: float) -> float:
    """Return the signal to noise ratio in dB of symmetric per-tensor int8 quantisation."""
    step = np.float32(top / 127)
    noise, signal = 0.0, 0.0
    for rows in stripes(matrix, AT_ONCE):
        error = matrix[rows] - np.rint(matrix[rows] / step) * step
        noise += float(np.einsum("ij,ij->", error, error, dtype=np.float64))
        signal += float(np.einsum("ij,ij->", matrix[rows], matrix[rows], dtype=np.float64))
    return 10 * math.log10(signal / noise) if noise > 0 else 200.0


def _top(array: NDArray[Any]) -> float:
    """Return the largest magnitude, NaN where a value is NaN; without a copy."""
    return float(np.maximum(array.max(), -array.min()))


def _range_ratio(matrix: NDArray[Any]) -> float | None:
    ranges = np.maximum(matrix.max(axis=0), -matrix.min(axis=0))
    middle = middle_of(ranges)
    return six_digits(float(ranges.max()) / middle) if middle > 0 else None


def batch_norm_health(
    layer: str, arrays: Mapping[str, NDArray[Any]], *, before_relu: bool
) -> BatchNormHealth:
    """Look at the variables of a BatchNormalization together.

    Args:
        layer: its path.
        arrays: by role; ``gamma`` and ``beta`` may be missing and count as 1 and 0.
        before_relu: whether nothing but a ReLU reads it.
    """
    mean, variance = arrays["moving_mean"], arrays["moving_variance"]
    gamma = arrays.get("gamma", np.ones_like(mean)).astype(np.float64)
    beta = arrays.get("beta", np.zeros_like(mean)).astype(np.float64)
    dead = np.flatnonzero(beta + 3 * np.abs(gamma) < 0)
    return BatchNormHealth(
        layer=layer,
        channels=int(mean.size),
        dead=int(dead.size),
        dead_channels=tuple(int(i) for i in dead[:LISTED]),
        before_relu=before_relu,
        fresh_statistics=bool((mean == 0).all() and (variance == 1).all()),
        fresh_scale=bool((gamma == 1).all() and (beta == 0).all()),
        zero_variance=int((variance == 0).sum()),
        negative_variance=int((variance < 0).sum()),
    )


# -- initialisation ------------------------------------------------------------------------------


def fans_of(shape: Sequence[int]) -> tuple[int, int]:
    """Return fan-in and fan-out of a shape as ``keras.initializers`` counts them."""
    if len(shape) == 2:
        return shape[0], shape[1]
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def standard_initials(fans: tuple[int, int]) -> tuple[Initial, ...]:
    """Return the variance-scaling initializers of Keras for this fan-in and fan-out.

    Glorot and Bengio (2010), He et al. (2015), LeCun et al. (1998).
    """
    fan_in, fan_out = fans
    found = []
    for name, variance in (
        ("glorot", 2 / (fan_in + fan_out)),
        ("he", 2 / fan_in),
        ("lecun", 1 / fan_in),
    ):
        found.append(Initial(f"{name}_uniform", "uniform", math.sqrt(3 * variance)))
        found.append(Initial(f"{name}_normal", "truncated", math.sqrt(variance) / _TRUNCATED))
    return tuple(found)


def declared_initial(
    name: str | None, config: Mapping[str, float | str], fans: tuple[int, int]
) -> Initial | None:
    """Return the distribution that a layer declares; None for others, as orthogonal or zeros.

    Args:
        name: of the initializer's class, as in ``variance_scaling``.
        config: its numbers and words.
        fans: fan-in and fan-out of the kernel.
    """
    if name is None:
        return None
    known = {initial.name: initial for initial in standard_initials(fans)}
    if name in known:
        return known[name]
    number = {key: value for key, value in config.items() if isinstance(value, float | int)}
    if name == "variance_scaling" and "scale" in number:
        fan_in, fan_out = fans
        mode = str(config.get("mode", "fan_in"))
        fan = {"fan_in": fan_in, "fan_out": fan_out}.get(mode, (fan_in + fan_out) / 2)
        variance = number["scale"] / max(1.0, fan)
        kind = str(config.get("distribution", "truncated_normal"))
        if kind == "uniform":
            return Initial(name, "uniform", math.sqrt(3 * variance))
        if kind == "untruncated_normal":
            return Initial(name, "normal", math.sqrt(variance))
        return Initial(name, "truncated", math.sqrt(variance) / _TRUNCATED)
    if name in {"random_normal", "truncated_normal"} and not number.get("mean"):
        kind = "normal" if name == "random_normal" else "truncated"
        return Initial(name, kind, number.get("stddev", 0.05))
    high = number.get("maxval", 0.05)
    if name == "random_uniform" and number.get("minval", -0.05) == -high:
        return Initial(name, "uniform", high)
    return None


def distribution(values: NDArray[Any], initial: Initial) -> NDArray[Any]:
    """Return the cumulative distribution of ``initial`` at ascending ``values``, float64."""
    x = values.astype(np.float64) / initial.scale
    if initial.kind == "uniform":
        expected: NDArray[Any] = (x + 1) / 2
    else:
        expected = 0.5 * (1 + _erf(x / math.sqrt(2)))
    if initial.kind == "truncated":
        low = NormalDist().cdf(-2)
        expected = (expected - low) / (1 - 2 * low)
    clipped: NDArray[Any] = np.clip(expected, 0, 1)
    return clipped


def _erf(x: NDArray[Any]) -> NDArray[Any]:
    """Return the error function to 1.5e-7 (Abramowitz and Stegun, 1964, 7.1.26)."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    poly = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    result: NDArray[Any] = np.sign(x) * (1 - poly * np.exp(-x * x))
    return result


def ks_distance(ordered: NDArray[Any], initial: Initial) -> float:
    """Return the Kolmogorov-Smirnov distance of ascending values to ``initial``."""
    n = len(ordered)
    expected = distribution(ordered, initial)
    steps = np.arange(n + 1) / n
    return float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))


def _nearest(
    ordered: NDArray[Any], declared: Initial | None, candidates: Sequence[Initial]
) -> tuple[float, Initial]:
    """Return the least distance of ascending values and its initializer, the declared one where it is near."""
    near = max(_DECLARED, _ONE_IN_8000 / math.sqrt(len(ordered)))
    if candidates[0] is declared:
        distance = ks_distance(ordered, candidates[0])
        if distance < near:
            return distance, candidates[0]
    fits = [(ks_distance(ordered, initial), initial) for initial in candidates]
    return min(fits, key=lambda fit: fit[0])


def _best_fit(array: NDArray[Any], initials: Sequence[Initials]) -> InitialFit | None:
    found = [fit for one in initials if (fit := initial_fit(array, one)) is not None]
    return min(found, key=lambda fit: (not fit.drawn, not fit.declared, fit.distance), default=None)


def initial_fit(array: NDArray[Any], initials: Initials) -> InitialFit | None:
    """Return the initializer that a kernel is nearest to; None below 100 values and for constants."""
    flat = array.reshape(-1)
    if flat.size < LEAST_FOR_KS:
        return None
    step = -(-flat.size // SAMPLE)
    ordered = np.sort(flat[::step])
    if ordered[0] == ordered[-1]:
        return None
    top = _top(flat)
    declared, fans = initials
    name = declared.name if declared else ""
    candidates = [c for c in standard_initials(fans) if c.name != name]
    known = [*([declared] if declared and declared.scale > 0 else []), *candidates]
    inside = [initial for initial in known if top <= initial.support * (1 + 1e-5)]
    uniform = (initial for initial in inside if initial.kind == "uniform")
    placed = next((initial for initial in uniform if drawn(flat, initial.scale)), None)
    if placed is not None:  # that is certain: no other one has to be measured
        distance, nearest = ks_distance(ordered, placed), placed
    else:
        distance, nearest = _nearest(ordered, declared, inside or known[:1])
    limit = nearest.support * (1 + 1e-5)
    outside = sum(int((np.abs(flat[s]) > limit).sum()) for s in stripes(flat, AT_ONCE))
    return InitialFit(
        initializer=nearest.name,
        declared=nearest.name == name,
        distance=finite_number(distance),
        sample=len(ordered),
        outside=outside,
        drawn=placed is not None,
    )
