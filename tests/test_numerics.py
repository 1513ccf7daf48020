"""Statistics and array arithmetic against NumPy in float64, SciPy and formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reportgen import numerics
from reportgen.report.leaves import Histogram

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)
MAPS = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.floats(-1e3, 1e3, width=32),
)  # fmt: skip
WIDE = st.floats(-1e100, 1e100, allow_subnormal=True)
ODD = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 2.0**-20, -(2.0**12), 5e-324])


def floats_of(width):
    return st.floats(width=width)


TENSORS = st.one_of(
    hnp.arrays(np.float32, SHAPES, elements=floats_of(32)),
    hnp.arrays(np.float16, SHAPES, elements=floats_of(16)),
    hnp.arrays(np.float64, SHAPES, elements=WIDE | ODD),
    *(hnp.arrays(kind, SHAPES) for kind in (np.int8, np.uint8, np.int32, np.int64, np.bool_)),
)


def finite_of(array):
    wide = np.asarray(array).astype(np.float64).ravel()
    return wide[np.isfinite(wide)]


def near(value, expected, *, scale=0.0):
    """Six significant digits of the value, and rounding of sums relative to ``scale``."""
    return value == pytest.approx(expected, rel=6e-6, abs=1e-12 * scale)


def check_against_numpy(array):
    found = numerics.describe(array)
    wide = np.asarray(array).astype(np.float64).ravel()
    finite = finite_of(array)
    assert found.size == wide.size
    assert (found.nan, found.inf) == (np.isnan(wide).sum(), np.isinf(wide).sum())
    assert found.zeros == np.count_nonzero(finite == 0)
    assert sum(found.histogram.counts) + found.nan + found.inf == found.size
    if not finite.size:
        assert {found.min, found.max, found.mean, found.std, found.l2, *found.percentiles} == {None}
        return
    scale = float(np.abs(finite).max())
    assert near(found.min, finite.min())
    assert near(found.max, finite.max())
    assert near(found.mean, finite.mean(), scale=scale)
    assert near(found.std, finite.std(), scale=scale)
    assert near(found.l2, np.linalg.norm(finite), scale=scale)
    for value, q in zip(found.percentiles, (1, 25, 50, 75, 99), strict=True):
        assert near(value, np.percentile(finite, q), scale=scale)


@given(TENSORS)
def test_describes_any_tensor_as_numpy_does(array):
    check_against_numpy(array)


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2)])
def test_describes_nothing(shape):
    check_against_numpy(np.zeros(shape, np.float32))


def test_describes_opposite_ends_of_float32():
    top = np.finfo(np.float32).max
    check_against_numpy(np.array([top, top, -top], np.float32))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("size", [7, 200_000])
def test_large_offset_keeps_its_tiny_spread(kind, size):
    values = (1e4 + np.random.default_rng(1).normal(0, 0.05, size)).astype(kind)
    found = numerics.describe(values)
    assert found.std == pytest.approx(values.astype(np.float64).std(), rel=1e-5)
    assert found.std == pytest.approx(0.05, rel=0.5)


def test_large_integers_keep_their_spread():
    values = np.array([2**30, 2**30 + 1, 2**30 + 2], np.int32)
    assert numerics.describe(values).std == pytest.approx(math.sqrt(2 / 3), rel=1e-5)


def test_percentiles_of_a_transposed_view():
    check_against_numpy(np.random.default_rng(2).normal(size=(40, 30, 5)).T)


# -- the fixed bins ------------------------------------------------------------------------------


def bins_by_edges(values):
    """Look every value up in the edges: closed towards zero, clipped at both ends."""
    edges = numerics.bin_edges()
    positive = np.clip(np.searchsorted(edges, values, side="right") - 1, 257, 512)
    negative = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, 255)
    return np.where(values == 0, 256, np.where(values > 0, positive, negative))


SINGLES = hnp.arrays(
    np.float32,
    st.integers(0, 40),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    | st.sampled_from([float(edge) for edge in numerics.bin_edges()]),
)


@given(SINGLES)
def test_codes_and_counts_agree_with_the_edges(values):
    expected = bins_by_edges(values.astype(np.float64))
    assert numerics.bin_codes(values).tolist() == expected.tolist()
    histogram = numerics.histogram_of_sorted(np.sort(values))
    counts = np.zeros(513, int)
    counts[histogram.first : histogram.first + len(histogram.counts)] = histogram.counts
    assert counts.tolist() == np.bincount(expected, minlength=513).tolist()
    size = np.abs(values.astype(np.float64))
    assert histogram.below == np.count_nonzero((size > 0) & (size < 2.0**-20))
    assert histogram.beyond == np.count_nonzero(size > 2.0**12)


def test_every_edge_belongs_to_the_bin_away_from_zero():
    edges = numerics.bin_edges()
    codes = numerics.bin_codes(edges.astype(np.float32))
    assert codes.tolist() == [0, *range(256), *range(257, 513), 512]
    histogram = numerics.histogram_of_sorted(edges)
    assert (sum(histogram.counts), histogram.below, histogram.beyond) == (514, 0, 0)


def test_edges_are_eight_an_octave_on_both_sides():
    edges = numerics.bin_edges()
    assert len(edges) == 514
    assert (np.diff(edges) > 0).all()
    assert edges.tolist() == (-edges[::-1]).tolist()
    positive = edges[257:]
    assert (positive[0], positive[-1]) == (2.0**-20, 2.0**12)
    assert (positive[8:] / positive[:-8] == 2).all()


def test_trim_keeps_inner_gaps():
    counts = np.zeros(513, int)
    counts[[5, 9]] = 2, 3
    assert numerics.trim(counts, below=1) == Histogram(5, (2, 0, 0, 0, 3), 1, 0)
    assert numerics.trim(np.zeros(513, int)) == Histogram()


# -- probabilities -------------------------------------------------------------------------------

LOGITS = hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 6)),
                    elements=st.floats(-1e4, 1e4))  # fmt: skip


@given(LOGITS)
def test_softmax_and_sigmoid_as_scipy(values):
    np.testing.assert_allclose(
        numerics.softmax(values), scipy.special.softmax(values, axis=-1), rtol=1e-9, atol=1e-300
    )
    np.testing.assert_allclose(
        numerics.sigmoid(values), scipy.special.expit(values), rtol=1e-12, atol=1e-300
    )


@given(LOGITS)
def test_entropy_as_scipy(values):
    for row in scipy.special.softmax(values, axis=-1):
        expected = scipy.stats.entropy(row, base=2)
        assert numerics.entropy_bits(row) == pytest.approx(expected, abs=1e-12)


def test_entropy_of_certainty_and_of_ignorance():
    assert numerics.entropy_bits(np.array([0, 1, 0])) == 0
    assert numerics.entropy_bits(np.full(8, 1 / 8)) == pytest.approx(3)


@pytest.mark.parametrize("seed", range(5))
def test_pearson_as_scipy(seed):
    a, b = np.random.default_rng(seed).normal(size=(2, 50))
    expected = scipy.stats.pearsonr(a, b + seed * a)[0]
    grid = (5, 10)
    assert numerics.pearson(a.reshape(grid), (b + seed * a).reshape(grid)) == pytest.approx(
        expected
    )


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e7 / 3])
def test_nothing_correlates_with_a_constant(constant):
    assert numerics.pearson(np.full(3, constant), np.array([1.0, 2.0, 4.0])) is None
    assert numerics.pearson(np.array([1.0, 2.0, 4.0]), np.full(3, constant)) is None


# -- pictures and samples ------------------------------------------------------------------------


@pytest.mark.parametrize("source", [(5, 7), (1, 1), (1, 9), (64, 48), (300, 200)])
@pytest.mark.parametrize("target", [(5, 7), (1, 1), (3, 2), (32, 33), (224, 96)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_resize_as_scipy_with_half_pixel_centres(source, target, kind):
    image = np.random.default_rng(3).integers(0, 256, (*source, 3)).astype(kind)
    at = [(np.arange(t) + 0.5) * s / t - 0.5 for s, t in zip(source, target, strict=True)]
    grid = np.meshgrid(*at, indexing="ij")
    expected = [
        scipy.ndimage.map_coordinates(image[..., c].astype(float), grid, order=1, mode="nearest")
        for c in range(3)
    ]
    resized = numerics.resize_bilinear(image, *target)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, np.stack(expected, axis=-1), atol=0.02)


@given(st.integers(0, 300), st.integers(1, 40))
def test_even_sample_is_even(count, size):
    chosen = numerics.even_sample(count, size)
    assert len(chosen) == min(count, size)
    assert chosen == sorted(set(chosen))
    assert all(0 <= index < count for index in chosen)
    steps = np.diff([*chosen, count])
    assert chosen[:1] == [0] * bool(count)
    assert steps.size == 0 or count == 0 or steps.max() - steps.min() <= 1


# -- what is stored ------------------------------------------------------------------------------


def test_digest_tells_values_shapes_and_types_apart():
    base = np.arange(6, dtype=np.float32)
    changed = base.copy()
    changed[-1] = np.nextafter(changed[-1], 9, dtype=np.float32)
    others = [
        changed,
        base.reshape(2, 3),
        base.reshape(3, 2),
        base.astype(np.float64),
        base.view(np.int32),
        base[::-1],
        base[:5],
        np.float32(0),
        np.zeros(0, np.float32),
    ]
    digests = {numerics.digest(np.asarray(array)) for array in [base, *others]}
    assert len(digests) == 1 + len(others)
    assert all(len(text) == 32 for text in digests)


def test_digest_is_of_the_content_alone():
    base = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert numerics.digest(np.asfortranarray(base)) == numerics.digest(base)
    assert numerics.digest(np.repeat(base, 2, axis=1)[:, ::2]) == numerics.digest(base)


@given(st.floats())
def test_six_keeps_six_digits_and_no_nan(value):
    found = numerics.six_digits(value)
    if not math.isfinite(value):
        assert found is None
    else:
        assert found == pytest.approx(value, rel=5.1e-6, abs=1e-323)
        assert len(f"{found:e}".partition("e")[0].rstrip("0").replace("-", "")) <= 7


def test_six_of_nothing():
    assert numerics.six_digits(None) is None


NEAR_TIES = st.tuples(st.integers(-(10**7), 10**7), st.integers(-30, 30)).map(
    lambda pair: float(f"{pair[0]}5e{pair[1]}")
)


@given(st.lists(st.floats() | NEAR_TIES | st.integers(-330, 308).map(lambda k: 10.0**k)))
def test_six_digits_of_many_are_those_of_each(values):
    found = numerics.six_digits_each(np.array(values, np.float64)).tolist()
    each = [numerics.six_digits(value) for value in values]
    wanted = [math.nan if value is None else value for value in each]
    # repr tells every bit, the sign of zero included.
    assert list(map(repr, found)) == list(map(repr, wanted))


@given(st.data())
def test_averaged_is_the_mean_of_every_cell(data):
    values = data.draw(MAPS)
    grid = tuple(data.draw(st.integers(1, size)) for size in values.shape)
    made = numerics.averaged(values, grid)
    assert made.shape == grid
    total = 0.0
    for i, j in np.ndindex(*grid):
        rows = slice(*(int(k * values.shape[0] / grid[0] + 0.5) for k in (i, i + 1)))
        columns = slice(*(int(k * values.shape[1] / grid[1] + 0.5) for k in (j, j + 1)))
        cell = values[rows, columns]
        assert made[i, j] == pytest.approx(cell.mean(), abs=1e-9)
        total += made[i, j] * cell.size
    assert total == pytest.approx(values.sum(), abs=1e-6)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0))
def test_averaged_keeps_the_mean_of_an_even_grid(rows, columns, down, across, seed):
    values = np.random.default_rng(seed).standard_normal((rows * down, columns * across))
    made = numerics.averaged(values, (rows, columns))
    expected = values.reshape(rows, down, columns, across).mean(axis=(1, 3))
    np.testing.assert_allclose(made, expected, atol=1e-12)
    assert made.mean() == pytest.approx(values.mean(), abs=1e-12)


def test_averaged_to_its_own_grid_changes_nothing():
    values = np.random.default_rng(0).standard_normal((6, 9))
    np.testing.assert_array_equal(numerics.averaged(values, (6, 9)), values)


def test_wilson_of_known_cases():
    """Newcombe (1998), table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    known = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611),
             (1, 29): (0.0061, 0.1718)}  # fmt: skip
    for (hits, total), expected in known.items():
        np.testing.assert_allclose(numerics.wilson(hits, total), expected, atol=5e-5)
    assert numerics.wilson(0, 0) == (0.0, 1.0)
