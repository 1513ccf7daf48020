"""Evidence for a map: every number against a plain re-implementation of its definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from reportgen.sections.relevance import evidence as ev

IMAGE = (9, 11, 3)


# -- plain re-implementations -----------------------------------------------------------------------


def plain_bilinear(values, rows, columns):
    """Resize pixel by pixel: half-pixel centres, edges clamped."""
    result = np.zeros((rows, columns))
    height, width = values.shape
    for i, j in itertools.product(range(rows), range(columns)):
        y = min(max((i + 0.5) * height / rows - 0.5, 0), height - 1)
        x = min(max((j + 0.5) * width / columns - 0.5, 0), width - 1)
        top, left = int(y), int(x)
        low, right = min(top + 1, height - 1), min(left + 1, width - 1)
        upper = values[top, left] * (1 - x + left) + values[top, right] * (x - left)
        lower = values[low, left] * (1 - x + left) + values[low, right] * (x - left)
        result[i, j] = upper * (1 - y + top) + lower * (y - top)
    return result


def plain_ranks(values):
    """Count what is smaller, and half of what is equal."""
    flat = values.reshape(-1).tolist()
    return [sum(b < a for b in flat) + (sum(b == a for b in flat) + 1) / 2 for a in flat]


def plain_windows(values, height, width):
    rows, columns = values.shape
    for i, j in itertools.product(range(rows - height + 1), range(columns - width + 1)):
        yield (i, j), values[i : i + height, j : j + width]


def plain_ssim(a, b):
    """Average Wang's formula over all windows of 7, with population moments."""
    a, b = ((v - v.min()) / (v.max() - v.min()) for v in (a, b))
    height, width = min(7, a.shape[0]), min(7, a.shape[1])
    found = []
    for (_, x), (_, y) in zip(
        plain_windows(a, height, width), plain_windows(b, height, width), strict=True
    ):
        mx, my = x.mean(), y.mean()
        vx, vy = ((x - mx) ** 2).mean(), ((y - my) ** 2).mean()
        covariance = ((x - mx) * (y - my)).mean()
        found.append(
            (2 * mx * my + 1e-4)
            * (2 * covariance + 9e-4)
            / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
        )
    return sum(found) / len(found)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


maps = arrays(
    np.float64,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.floats(-1e3, 1e3, width=32),
)
tied = arrays(
    np.float64, st.tuples(st.integers(2, 6), st.integers(2, 6)), elements=st.integers(-3, 3)
)


# -- average drop -----------------------------------------------------------------------------------


def test_average_drop_is_the_lost_part_of_the_score():
    assert ev.average_drop(0.8, 0.2) == pytest.approx(0.75)
    assert ev.average_drop(0.8, 0.9) == 0
    assert ev.average_drop(0.8, 0) == 1
    assert ev.average_drop(0, 0.5) is None
    assert ev.average_drop(-1, -2) is None


@given(st.floats(1e-3, 1e3), st.floats(0, 1e3))
def test_average_drop_lies_between_none_and_all(whole, kept):
    assert 0 <= ev.average_drop(whole, kept) <= 1


def test_masked_fades_to_black_by_relevance():
    values = np.array([[4.0, 2.0, 0.0], [-3.0, 1.0, 4.0]])
    image, black = drawn(2, 3, 3).astype(np.float32), np.full((2, 3, 3), 0.5, np.float32)
    made = ev.masked(values, image, black)
    assert made.dtype == image.dtype
    for place in np.ndindex(2, 3):
        keep = max(values[place], 0) / 4
        np.testing.assert_allclose(
            made[place], keep * image[place] + (1 - keep) * black[place], atol=1e-6
        )
    np.testing.assert_array_equal(ev.masked(-np.ones((2, 3)), image, black), black)
    np.testing.assert_array_equal(ev.masked(values, image[..., 0], black[..., 0]), made[..., 0])


# -- sparseness -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_gini_of_even_and_single_place_maps(n):
    assert ev.gini(np.full((n, 1), 3.5)) == pytest.approx(0, abs=1e-12)
    single = np.zeros((1, n))
    single[0, n // 2] = -2
    assert ev.gini(single) == pytest.approx((n - 1) / n)


def test_gini_of_nothing_is_unknown():
    assert ev.gini(np.zeros((3, 3))) is None


@given(maps)
def test_gini_is_half_the_mean_difference_over_the_mean(values):
    size = np.abs(values).reshape(-1)
    found = ev.gini(values)
    if not size.any():
        assert found is None
        return
    difference = np.abs(size[:, None] - size[None]).mean()
    assert found == pytest.approx(difference / (2 * size.mean()), abs=1e-9)
    assert -1e-12 <= found <= (size.size - 1) / size.size + 1e-12


@given(maps, st.sampled_from([1e-6, 3.0, -2.0]))
def test_gini_knows_no_scale_and_no_sign(values, factor):
    first, second = ev.gini(values), ev.gini(values * factor)
    assert (first is None) == (second is None)
    if first is not None:
        assert first == pytest.approx(second, abs=1e-9)


def test_brightest_tenth_of_known_maps():
    single = np.zeros((10, 10))
    single[3, 4] = 5
    assert ev.in_brightest_tenth(single, (10, 10, 3)) == 1
    assert ev.in_brightest_tenth(np.ones((10, 10)), (10, 10, 3)) == pytest.approx(0.1)
    assert ev.in_brightest_tenth(np.ones((3, 3)), (20, 30, 3)) == pytest.approx(0.1)
    assert ev.in_brightest_tenth(-np.ones((10, 10)), (10, 10, 3)) is None
    assert ev.in_brightest_tenth(np.zeros((10, 10)), (10, 10, 3)) is None
    assert ev.in_brightest_tenth(np.array([[1.0, 3.0]]), (1, 2, 3)) == pytest.approx(0.75)


@given(maps)
def test_brightest_tenth_counts_positive_relevance_only(values):
    positive = sorted((max(v, 0.0) for v in values.reshape(-1).tolist()), reverse=True)
    found = ev.in_brightest_tenth(values, (*values.shape, 3))
    if sum(positive) == 0:
        assert found is None
    else:
        most = positive[: max(1, len(positive) // 10)]
        assert found == pytest.approx(math.fsum(most) / math.fsum(positive))


# -- place ------------------------------------------------------------------------------------------


def test_peak_gives_x_before_y():
    values = np.zeros((4, 8))
    values[1, 6] = 1
    assert ev.peak_of(values) == (6.5 / 8, 1.5 / 4)


@pytest.mark.parametrize("row", [0, -1])
@pytest.mark.parametrize("column", [0, -1])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 7), (15, 40), (64, 48), (224, 224)])
def test_peak_in_the_corners(shape, row, column):
    rows, columns = shape
    height, width = max(1, rows // 16), max(1, columns // 16)
    values = np.zeros(shape)
    values[
        slice(0, height) if row == 0 else slice(rows - height, rows),
        slice(0, width) if column == 0 else slice(columns - width, columns),
    ] = 2
    x, y = ev.peak_of(values)
    left, top = width / 2 / columns, height / 2 / rows
    assert x == pytest.approx(left if column == 0 else 1 - left)
    assert y == pytest.approx(top if row == 0 else 1 - top)


@given(st.data())
def test_peak_finds_a_spot_anywhere(data):
    rows, columns = data.draw(st.integers(1, 80)), data.draw(st.integers(1, 80))
    height, width = max(1, rows // 16), max(1, columns // 16)
    top = data.draw(st.integers(0, rows - height))
    left = data.draw(st.integers(0, columns - width))
    values = np.zeros((rows, columns))
    values[top : top + height, left : left + width] = 1
    x, y = ev.peak_of(values - 0.5)
    assert x == pytest.approx((left + width / 2) / columns)
    assert y == pytest.approx((top + height / 2) / rows)


def test_one_noisy_pixel_is_no_peak():
    values = np.zeros((64, 64))
    values[5, 60] = 1
    values[40:44, 8:12] = 0.5
    assert ev.peak_of(values) == (10 / 64, 42 / 64)


@pytest.mark.parametrize("window", [(1, 1), (2, 3), (7, 7), (9, 12), (1, 12), (9, 1)])
def test_box_mean_against_loops(window):
    values = drawn(9, 12)
    made = ev.box_mean(values, *window)
    expected = np.zeros((9 - window[0] + 1, 12 - window[1] + 1))
    for place, inside in plain_windows(values, *window):
        expected[place] = inside.mean()
    assert made.shape == expected.shape
    np.testing.assert_allclose(made, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (0.1, 0.1, "upper left"),
        (0.5, 0.1, "upper"),
        (0.9, 0.1, "upper right"),
        (0.1, 0.5, "left"),
        (0.5, 0.5, "centre"),
        (0.9, 0.5, "right"),
        (0.1, 0.9, "lower left"),
        (0.5, 0.9, "lower"),
        (0.9, 0.9, "lower right"),
        (0.0, 1.0, "lower left"),
        (1 / 3, 2 / 3, "centre"),
        (0.34, 0.32, "upper"),
        (0.66, 0.67, "lower"),
    ],
)
def test_place_in_words(x, y, words):
    assert ev.place_in_words(x, y) == words


# -- likeness ---------------------------------------------------------------------------------------


@given(st.one_of(maps, tied))
def test_ranks_count_what_is_smaller(values):
    made = ev.ranks(values)
    assert made.tolist() == plain_ranks(values)
    assert made.sum() == values.size * (values.size + 1) / 2
    np.testing.assert_array_equal(made, stats.rankdata(values.reshape(-1)))


@given(st.data())
def test_rank_correlation_is_spearmans(data):
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(2, 6)))
    elements = data.draw(st.sampled_from([st.integers(-2, 2), st.floats(-1e3, 1e3)]))
    a, b = (data.draw(arrays(np.float64, shape, elements=elements)) for _ in range(2))
    found = ev.rank_correlation(a, b)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert found is None
    else:
        expected = stats.spearmanr(a.reshape(-1), b.reshape(-1)).statistic
        assert found == pytest.approx(expected, abs=1e-9)


def test_rank_correlation_against_a_loop():
    a, b = np.round(drawn(5, 6)), np.round(drawn(5, 6, seed=1) * 2)
    x, y = plain_ranks(a), plain_ranks(b)
    mx, my = sum(x) / 30, sum(y) / 30
    top = sum((p - mx) * (q - my) for p, q in zip(x, y, strict=True))
    below = math.sqrt(sum((p - mx) ** 2 for p in x) * sum((q - my) ** 2 for q in y))
    assert ev.rank_correlation(a, b) == pytest.approx(top / below)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_maps_that_are_not_finite_have_no_likeness(bad):
    values, broken = drawn(8, 8), drawn(8, 8)
    broken[2, 3] = bad
    for likeness in (ev.rank_correlation, ev.structural_similarity):
        assert likeness(values, broken) is None
        assert likeness(broken, values) is None


@pytest.mark.parametrize("shape", [(7, 7), (12, 9), (3, 5), (20, 4), (1, 30)])
def test_structural_similarity_against_loops(shape):
    a, b = drawn(*shape), drawn(*shape, seed=1) ** 3 + drawn(*shape)
    assert ev.structural_similarity(a, b) == pytest.approx(plain_ssim(a, b), abs=1e-9)


def test_structural_similarity_knows_no_scale_and_no_offset():
    a, b = drawn(12, 12), drawn(12, 12, seed=1)
    assert ev.structural_similarity(a, a) == pytest.approx(1)
    assert ev.structural_similarity(a, 5 * a - 3) == pytest.approx(1)
    assert ev.structural_similarity(a, b) == pytest.approx(ev.structural_similarity(b, 9 * a))
    assert ev.structural_similarity(a, -a) < 0


def test_agreement_of_identical_and_reversed_maps():
    values = drawn(8, 6)
    assert ev.agreement(values, values) == pytest.approx(1)
    assert ev.agreement(values, np.exp(values)) == pytest.approx(1)
    assert ev.agreement(values, -values) == pytest.approx(-1)
    assert ev.agreement(values, np.ones((8, 6))) is None


def test_agreement_is_taken_on_the_coarser_grid():
    fine = drawn(12, 15)
    coarse = fine.reshape(4, 3, 5, 3).mean(axis=(1, 3))
    assert ev.agreement(fine, coarse) == pytest.approx(1)
    assert ev.agreement(-coarse, fine) == pytest.approx(-1)
    crossed = drawn(4, 30, seed=1)
    expected = stats.spearmanr(
        fine.reshape(4, 3, 15).mean(axis=1).reshape(-1),
        crossed.reshape(4, 15, 2).mean(axis=2).reshape(-1),
    ).statistic
    assert ev.agreement(fine, crossed) == pytest.approx(expected)


# -- verdicts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("decides", [False, True])
@pytest.mark.parametrize("score", [-5.0, 1.0, 300.0])
def test_constant_maps_and_lost_effects_are_flat(score, decides):
    values = drawn(4, 4)
    assert ev.is_flat(np.full((4, 4), 2.5), 1.0, score, decides=decides)
    assert ev.is_flat(np.zeros((4, 4)), 1.0, score, decides=decides)
    assert ev.is_flat(values, 0.0, score, decides=decides)
    assert ev.is_flat(values, 1e-8 * abs(score), score, decides=decides)
    assert not ev.is_flat(values, 1e-3 * abs(score), score, decides=decides)


def test_only_the_logit_of_a_probability_has_an_absolute_scale():
    values = drawn(4, 4)
    assert ev.is_flat(values, 1e-9, 1e-8, decides=True)
    assert not ev.is_flat(values, 1e-9, 1e-8, decides=False)
    assert ev.is_flat(values, 0.0, 0.0, decides=False)
