"""Evidence for a map: every number against a plain re-implementation of its definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, stats

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


def plain_order(values):
    """Order pixels by the map descending, ties from the upper left."""
    flat = values.reshape(-1).tolist()
    return sorted(range(len(flat)), key=lambda pixel: (-flat[pixel], pixel))


def plain_images(values, image, black, steps, *, insert):
    """Make xplique's perturbed images, both ends included."""
    rows, columns = values.shape
    order = plain_order(values)
    images = []
    for share in np.linspace(0, rows * columns, steps + 1):
        changed = np.array(black if insert else image)
        for pixel in order[: int(share)]:
            place = divmod(pixel, columns)
            changed[place] = (image if insert else black)[place]
        images.append(changed)
    return images


def plain_value(curve):
    """Integrate over [0, 1] by trapezoids."""
    step = 1 / (len(curve) - 1)
    return sum((a + b) / 2 * step for a, b in itertools.pairwise(curve))


def plain_curves(values, image, black, score):
    """Return the scores of deletion and of insertion."""
    return tuple(
        tuple(score(x) for x in plain_images(values, image, black, ev.STEPS, insert=insert))
        for insert in (False, True)
    )


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


# -- deletion and insertion -------------------------------------------------------------------------


def network(x):
    """Return the probability of one of three classes of a linear network."""
    logits = drawn(3, math.prod(IMAGE), seed=7) @ x.reshape(-1) / 10
    powers = np.exp(logits - logits.max())
    return float(powers[1] / powers.sum())


@pytest.mark.parametrize("insert", [False, True])
@pytest.mark.parametrize("kind", ["random", "tied", "constant", "signed", "coarse"])
def test_curve_and_value_follow_xplique(kind, insert):
    image, black = drawn(*IMAGE, seed=1), np.full(IMAGE, -0.7)
    values = {
        "random": drawn(9, 11, seed=2) ** 2,
        "tied": np.round(drawn(9, 11, seed=3)),
        "constant": np.ones((9, 11)),
        "signed": drawn(9, 11, seed=4),
        "coarse": drawn(3, 4, seed=5),
    }[kind]
    expected = plain_images(plain_bilinear(values, 9, 11), image, black, 10, insert=insert)
    order = ev.order_of(values, image.shape)
    made = list(ev.perturbed(order, image, black, insert=insert))
    assert len(made) == len(expected) - 2
    for one, other in zip(made, expected[1:-1], strict=True):
        np.testing.assert_array_equal(one, other)
    ends = (black, image) if insert else (image, black)
    np.testing.assert_array_equal(expected[0], ends[0])
    np.testing.assert_array_equal(expected[-1], ends[1])
    curve = [network(x) for x in (ends[0], *made, ends[1])]
    assert ev.area(curve) == pytest.approx(plain_value([network(x) for x in expected]), abs=1e-6)


@given(st.integers(1, 3000), st.integers(1, 20))
def test_counts_are_whole_parts_of_even_steps(pixels, steps):
    assert ev.pixels_at_steps(pixels, steps).tolist() == [
        int(share) for share in np.linspace(0, pixels, steps + 1)
    ]


def test_perturbing_leaves_the_image_and_black_alone():
    image, black = drawn(4, 5, 3), np.zeros((4, 5, 3))
    held = image.copy()
    order = ev.order_of(drawn(4, 5, seed=1), image.shape)
    for insert in (False, True):
        made = list(ev.perturbed(order, image, black, insert=insert))
        assert len({id(one) for one in made}) == ev.STEPS - 1
    np.testing.assert_array_equal(image, held)
    assert not black.any()


def test_deletion_and_insertion_complete_each_other():
    image, black = drawn(6, 7, 3), drawn(6, 7, 3, seed=1)
    order = ev.order_of(drawn(6, 7, seed=2), image.shape)
    pairs = zip(
        ev.perturbed(order, image, black, insert=False),
        ev.perturbed(order, image, black, insert=True),
        strict=True,
    )
    for without, alone in pairs:
        np.testing.assert_allclose(without + alone, image + black, atol=1e-12)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
def test_grey_images_are_perturbed_by_pixel(shape):
    image, black = np.ones(shape, np.float32), np.zeros(shape, np.float32)
    order = ev.order_of(drawn(6, 5), shape)
    kept = [one.mean() * 30 for one in ev.perturbed(order, image, black, insert=True)]
    assert kept == pytest.approx([3 * step for step in range(1, 10)], abs=1e-5)


def test_order_resizes_a_coarse_map():
    values = drawn(3, 5)
    assert ev.order_of(values, (12, 10, 3)).tolist() == plain_order(
        plain_bilinear(values, 12, 10).astype(np.float32)
    )
    np.testing.assert_allclose(
        ev.at_size(values, (12, 10, 3)), plain_bilinear(values, 12, 10), atol=1e-6
    )


def test_random_maps_repeat_by_seed_and_differ_between_seeds():
    same = ev.random_map((7, 5), (1, 2)), ev.random_map((7, 5), (1, 2))
    np.testing.assert_array_equal(*same)
    assert same[0].shape == (7, 5)
    assert abs(ev.rank_correlation(same[0], ev.random_map((7, 5), (1, 3)))) < 0.9


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_area_is_the_trapezoid_on_zero_to_one(curve):
    expected = integrate.trapezoid(curve, np.linspace(0, 1, len(curve)))
    assert ev.area(curve) == pytest.approx(expected, abs=1e-9)


def test_area_of_known_curves():
    assert ev.area((1, 1, 1)) == 1
    assert ev.area((0, 1)) == 0.5
    assert ev.area((1, 0, 0)) == 0.25


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


@given(st.data())
def test_averaged_is_the_mean_of_every_cell(data):
    values = data.draw(maps)
    grid = tuple(data.draw(st.integers(1, size)) for size in values.shape)
    made = ev.averaged(values, grid)
    assert made.shape == grid
    total = 0.0
    for i, j in np.ndindex(*grid):
        rows = slice(*(round(k * values.shape[0] / grid[0]) for k in (i, i + 1)))
        columns = slice(*(round(k * values.shape[1] / grid[1]) for k in (j, j + 1)))
        cell = values[rows, columns]
        assert made[i, j] == pytest.approx(cell.mean(), abs=1e-9)
        total += made[i, j] * cell.size
    assert total == pytest.approx(values.sum(), abs=1e-6)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0))
def test_averaged_keeps_the_mean_of_an_even_grid(rows, columns, down, across, seed):
    values = np.random.default_rng(seed).standard_normal((rows * down, columns * across))
    made = ev.averaged(values, (rows, columns))
    expected = values.reshape(rows, down, columns, across).mean(axis=(1, 3))
    np.testing.assert_allclose(made, expected, atol=1e-12)
    assert made.mean() == pytest.approx(values.mean(), abs=1e-12)


def test_averaged_to_its_own_grid_changes_nothing():
    values = drawn(6, 9)
    np.testing.assert_array_equal(ev.averaged(values, (6, 9)), values)


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


def steady(level=0.3):
    return ev.Curves((level,) * 11, (level,) * 11, (level,) * 11, (level,) * 5)


def test_a_score_that_blackening_leaves_alone_never_moves():
    assert ev.never_moves(steady())
    assert ev.never_moves(steady(0.0))
    assert ev.never_moves(steady(-4.0))
    assert ev.never_moves(steady()._replace(deletion=(0.3,) * 10 + (0.3 * (1 + 1e-8),)))


@pytest.mark.parametrize("curve", ["deletion", "insertion", "random"])
@pytest.mark.parametrize("level", [1e-12, 0.3, -4.0, 500.0])
def test_any_curve_can_show_that_a_score_moves(curve, level):
    moved = (level,) * 6 + (level * 1.001,) + (level,) * 4
    assert not ev.never_moves(steady(level)._replace(**{curve: moved}))


def judged(gain, spread):
    """Judge curves from 1 to 0 with a known gain over chance whose values have a known spread."""
    deletion, insertion = (1.0, 0.5 - gain, 0.0), (0.0, 0.5 + gain, 1.0)
    values = tuple(0.5 + spread * math.sqrt(2) * step for step in (-1, 0, 0, 0, 1))
    return ev.beats_chance(ev.Curves(deletion, insertion, (1.0, 0.5, 0.0), values))


@pytest.mark.parametrize(
    ("gain", "spread", "expected"),
    [
        (0.04, 0.0, True),
        (0.02, 0.0, False),
        (0.0, 0.0, False),
        (-0.3, 0.0, False),
        (0.1, 0.019, True),
        (0.1, 0.021, False),
        (0.4, 0.079, True),
        (0.4, 0.081, False),
    ],
)
def test_chance_is_five_spreads_and_three_hundredths(gain, spread, expected):
    assert judged(gain, spread) is expected


@pytest.mark.parametrize(("steps", "expected"), [(10, True), (5, False)])
def test_nearly_all_of_the_range_beats_any_spread(steps, expected):
    """With ten steps the best map gains 0.9 of the range, with five 0.8."""
    curves = ev.Curves((1.0, *(0.0,) * steps), (0.0, *(1.0,) * steps), (1.0, 0.0), (0.1, 0.5, 0.9))
    assert ev.beats_chance(curves) is expected


TINY = (slice(8, 12), slice(20, 24))
SMALL = (slice(6, 13), slice(17, 24))
LARGE = (slice(4, 20), slice(12, 28))
"""What the linear scorer looks at, in 32 by 32 pixels; a map of 8 by 8 needs several cells to tell it."""


def verdict(values, image, square, seed):
    """Judge a map as a report does, with plain curves and its own random maps."""
    black = np.zeros_like(image)

    def curves(one):
        large = plain_bilinear(one, 32, 32)
        return plain_curves(large, image, black, lambda x: float(x[square].sum()))

    rng = np.random.default_rng(seed)
    chance = [curves(rng.random(values.shape))[0] for _ in range(ev.SEEDS)]
    mean = tuple(np.mean(chance, axis=0).tolist())
    areas = tuple(plain_value(curve) for curve in chance)
    return ev.beats_chance(ev.Curves(*curves(values), mean, areas))


def decisive(square, grid, seed):
    """Return an image and the map of what each of its cells adds to the score."""
    image = np.random.default_rng(seed).uniform(0.5, 1, (32, 32))
    truth = np.zeros((32, 32))
    truth[square] = image[square]
    cell = 32 // grid
    return image, truth.reshape(grid, cell, grid, cell).mean(axis=(1, 3))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("square", "grid"), [(TINY, 8), (SMALL, 8), (SMALL, 32), (LARGE, 32), (LARGE, 8)]
)
def test_the_true_map_beats_chance_and_the_reversed_one_never_does(square, grid, seed):
    image, truth = decisive(square, grid, seed)
    assert verdict(truth, image, square, (seed, 1))
    assert not verdict(-truth, image, square, (seed, 1))


@pytest.mark.parametrize(
    ("square", "grid"), [(TINY, 8), (SMALL, 32), (LARGE, 32), (SMALL, 8), (LARGE, 8)]
)
def test_random_maps_beat_chance_in_at_most_a_tenth(square, grid):
    image, _ = decisive(square, grid, 99)
    called = [
        verdict(np.random.default_rng((seed, 2)).random((grid, grid)), image, square, (seed, 3))
        for seed in range(60)
    ]
    assert sum(called) <= 6


def test_pixels_as_good_as_black_are_found():
    image = np.zeros((20, 20, 3), np.float32)
    image[5:10, 5:10] = 1
    image[0, 0] = 0.01
    black = np.zeros_like(image)
    expected = np.ones((20, 20), bool)
    expected[5:10, 5:10] = False
    np.testing.assert_array_equal(ev.near_black(image, black), expected)
    assert not ev.near_black(black, black).any()


@pytest.mark.parametrize("foreground", [1.0, 0.45, 0.4])
def test_random_insertion_is_what_inserting_random_maps_gives(foreground):
    """Against plain insertion of many random maps that take the background last."""
    side = 20
    image = np.zeros((side, side))
    image[: round(side * foreground)] = np.random.default_rng(0).uniform(
        0.5, 1, (round(side * foreground), side)
    )
    black, rng = np.zeros_like(image), np.random.default_rng(1)

    def score(x):
        return float(x.sum())

    deletions, insertions = [], []
    for _ in range(200):
        values = np.where(image > 0, rng.random(image.shape), -1)
        deletion, insertion = plain_curves(values, image, black, score)
        deletions.append(deletion)
        insertions.append(insertion)
    mean = tuple(np.mean(deletions, axis=0).tolist())
    curves = ev.Curves(mean, mean, mean, (0.0, 0.1, 0.2), foreground)
    np.testing.assert_allclose(
        ev.random_insertion(curves),
        np.mean(insertions, axis=0),
        rtol=0.02,
        atol=0.01 * score(image),
    )


def test_chance_is_that_of_the_random_maps():
    curves = ev.Curves((1.0, 0.0), (0.0, 1.0), (1.0, 0.5, 0.0), (0.2, 0.4, 0.3))
    mean, spread = ev.chance_of(curves)
    assert mean == pytest.approx(0.5 - 0.3)
    assert spread == pytest.approx(2 * np.std((0.2, 0.4, 0.3), ddof=1))
    assert ev.gain_needed(curves) == pytest.approx(mean + 2.5 * spread)
