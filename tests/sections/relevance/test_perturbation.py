"""Deletion and insertion, chance and the middle: against plain re-implementations and known answers."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reportgen.context import Silence
from reportgen.sections.relevance import perturbation as pt
from reportgen.sections.relevance.methods import METHODS, Map, Question
from reportgen.sections.relevance.proof import Explanation, ProbeTarget
from reportgen.sections.relevance.targets import Target
from reportgen.sections.relevance.trials import evidence_of, prove, verdict_of

STEPS = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def bounds(size, count):
    """Return where cells begin and end."""
    return [int(k * size / count + 0.5) for k in range(count + 1)]


def plain_cells(shape, grid):
    """Return the pixels of every cell, row by row."""
    rows, columns = (bounds(size, count) for size, count in zip(shape[:2], grid, strict=True))
    return [
        [(y, x) for y in range(*ys) for x in range(*xs)]
        for ys in itertools.pairwise(rows)
        for xs in itertools.pairwise(columns)
    ]


def plain_counts(cells):
    half = [int(cells * part + 0.5) for part in STEPS[:3]]
    return [*half, cells // 2, *(cells - count for count in half[::-1])]


def plain_curves(order, image, baseline, grid, score):
    """Score the image with the first cells hidden, and with the first alone."""
    pixels = plain_cells(image.shape, grid)

    def hidden(cells):
        changed = image.copy()
        for cell in cells:
            for place in pixels[cell]:
                changed[place] = baseline[place]
        return score(changed)

    order = [int(cell) for cell in order]
    deletion = [hidden(order[:count]) for count in plain_counts(len(order))]
    insertion = [hidden(order[count:]) for count in plain_counts(len(order))]
    return deletion, insertion


def plain_area(curve):
    pairs = zip(itertools.pairwise(curve), itertools.pairwise(STEPS), strict=True)
    return sum((a + b) / 2 * (end - start) for (a, b), (start, end) in pairs)


def plain_advantage(deletion, insertion):
    return plain_area(insertion) - plain_area(deletion)


# -- cells and orders -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(28, 28, 1), (33, 47, 3), (14, 9), (5, 60, 3), (15, 29, 2)])
def test_the_grid_has_at_most_fourteen_cells_a_side(shape):
    image = 1 + np.abs(drawn(*shape))
    cells = pt.cells_of(image, np.zeros(shape), (0,))
    assert cells.grid == (min(shape[0], 14), min(shape[1], 14))
    for number, pixels in enumerate(plain_cells(shape, cells.grid)):
        assert {int(cells.of_pixel[place]) for place in pixels} == {number}
    assert sorted(cells.shown) == list(range(cells.grid[0] * cells.grid[1]))
    assert sorted(cells.ties) == list(range(cells.shown.size))


def test_a_series_has_a_row_of_cells():
    cells = pt.cells_of(drawn(1, 500, 3), np.zeros((1, 500, 3)), (0,))
    assert cells.grid == (1, 196)
    assert len(pt.middle_orders(cells)) == 3
    assert len(pt.moved(np.ones(cells.grid))) == 1


def test_cells_that_hiding_does_not_change_play_no_part():
    image = np.zeros((28, 28, 3), np.float32)
    image[4:10, 6:8] = 1
    image[20, 20] = 0.01  # two hundredths of the range and less are no change
    cells = pt.cells_of(image, np.zeros_like(image), (0,))
    expected = {y * 14 + x for y in (2, 3, 4) for x in (3,)}
    assert set(cells.shown.tolist()) == expected
    nothing = pt.cells_of(np.ones((28, 28)), np.ones((28, 28)), (0,))
    assert nothing.shown.size == 196


def test_a_hot_pixel_or_a_channel_in_another_unit_hides_nothing():
    image = np.random.default_rng(0).uniform(0, 1, (56, 56, 2)).astype(np.float32)
    baseline = np.zeros_like(image)
    image[..., 1] = 0
    image[10, 10, 1] = 1e4
    assert pt.cells_of(image, baseline, (0,)).shown.size == 196
    image[20, 20, 0] = 1e6
    assert pt.cells_of(image, baseline, (0,)).shown.size == 196
    image[30, 30] = np.inf
    assert pt.cells_of(image, baseline, (0,)).shown.size == 196
    series = 1 + np.abs(np.random.default_rng(1).standard_normal((1, 200, 2)))
    series[..., 1] = np.where(np.arange(200) < 4, 1000, 0)
    assert pt.cells_of(series, np.zeros_like(series), (0,)).shown.size == 196


def test_a_channels_range_is_that_of_its_middle_98_parts():
    values = np.arange(10_000, dtype=np.float64).reshape(100, 100)
    assert pt.spans_of(values) == pytest.approx(
        np.percentile(values, 99) - np.percentile(values, 1)
    )
    sparse = np.zeros((100, 100))
    sparse[3, 4] = 7
    assert pt.spans_of(sparse) == 7
    assert pt.spans_of(np.full((4, 4, 3), np.nan)).tolist() == [0, 0, 0]


def test_a_map_is_ordered_by_what_speaks_for_the_target_in_every_cell():
    image = drawn(28, 42, 3)
    cells = pt.cells_of(image, np.zeros_like(image), (0,))
    values = drawn(28, 42, seed=1)
    found = pt.on_cells(values, image.shape, cells.grid)
    means = []
    for cell in plain_cells((28, 42), (14, 14)):
        inside = [values[place] for place in cell]
        speaks_for = np.mean([max(value, 0) for value in inside])
        means.append(speaks_for if speaks_for > 0 else np.mean(inside))
    np.testing.assert_allclose(found.reshape(-1), means, atol=1e-9)
    expected = sorted(range(196), key=lambda cell: -means[cell])
    assert pt.order_of(found, cells).tolist() == expected
    assert 0 < sum(mean < 0 for mean in means) < 20


def test_what_speaks_for_is_not_cancelled_by_what_speaks_against():
    image, values = drawn(28, 28), np.zeros((28, 28))
    values[6:8, 10:12] = [[5, -5], [5, -5]]
    values[20:22, 20:22] = 1
    values[0:2] = -9
    cells = pt.cells_of(image, np.zeros_like(image), (0,))
    order = pt.order_of(pt.on_cells(values, image.shape, cells.grid), cells).tolist()
    assert order[:2] == [3 * 14 + 5, 10 * 14 + 10]


def test_cells_of_equal_relevance_come_in_random_order():
    image = drawn(28, 28)
    cells = pt.cells_of(image, np.zeros_like(image), (3,))
    values = np.zeros((14, 14))
    values[5, 6] = 1
    order = pt.order_of(values, cells).tolist()
    assert order[0] == 5 * 14 + 6
    rest = np.array(order[1:])
    assert sorted(rest) == [c for c in range(196) if c != order[0]]
    assert abs(np.corrcoef(rest, np.arange(195))[0, 1]) < 0.3
    assert pt.order_of(values, cells).tolist() == order


def test_random_orders_repeat_by_seed_and_share_no_tendency():
    image = drawn(28, 28)
    cells = pt.cells_of(image, np.zeros_like(image), (0,))
    first = pt.random_orders(cells, (1, 2))
    assert len(first) == pt.ORDERS
    assert all(sorted(order) == list(range(196)) for order in first)
    again = pt.random_orders(cells, (1, 2))
    np.testing.assert_array_equal(np.stack(first), np.stack(again))
    places = np.zeros(196)
    for seed in range(100):
        for order in pt.random_orders(cells, (seed, 5)):
            places[order] += np.arange(196) / pt.ORDERS / 100
    assert np.abs(places - 97.5).max() < 20


def test_the_middle_is_ordered_outwards():
    image = drawn(28, 56)
    cells = pt.cells_of(image, np.zeros_like(image), (0,))
    orders = pt.middle_orders(cells)
    assert len(orders) == 5
    places = [(0.5, 0.5), (0.375, 0.5), (0.625, 0.5), (0.5, 0.375), (0.5, 0.625)]
    for order, (down, across) in zip(orders, places, strict=True):
        far = [
            ((c // 14 + 0.5) / 14 - down) ** 2 + ((c % 14 + 0.5) / 14 - across) ** 2 for c in order
        ]
        assert far == sorted(far)


@given(st.integers(1, 300))
def test_as_much_is_hidden_at_one_step_as_is_left_at_the_opposite_one(cells):
    counts = pt.counts_at_steps(cells).tolist()
    assert counts == plain_counts(cells)
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == cells
    for early, late in zip(counts[:3], counts[::-1][:3], strict=True):
        assert early + late == cells
        assert abs(early - cells * STEPS[counts.index(early)]) <= 0.5


# -- images and curves ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(28, 30, 3), (9, 11, 3), (20, 17), (1, 40, 2)])
def test_perturbed_images_are_those_of_a_plain_loop(shape):
    image, baseline = drawn(*shape, seed=1), drawn(*shape, seed=2)
    cells = pt.cells_of(image, baseline, (0,))
    order = pt.order_of(drawn(*cells.grid, seed=3), cells)
    made = list(pt.perturbed(order, image, baseline, cells))
    kept = []
    plain_curves(order, image, baseline, cells.grid, lambda x: kept.append(x) or 0.0)
    expected = [*kept[1:6], *kept[8:13]]
    assert len(made) == len(expected) == 10
    for one, other in zip(made, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(pt.empty(image, baseline, cells), kept[6])


def test_perturbing_leaves_the_image_and_the_baseline_alone():
    image, baseline = drawn(20, 20, 3), np.zeros((20, 20, 3))
    held = image.copy()
    cells = pt.cells_of(image, baseline, (0,))
    made = list(pt.perturbed(cells.shown, image, baseline, cells))
    for one in made:
        np.add(one, 1, out=one)
    np.testing.assert_array_equal(image, held)
    assert not baseline.any()


def test_the_area_is_a_trapezoid_over_the_steps():
    assert pt.area((1,) * 7) == pytest.approx(1)
    assert pt.area(STEPS) == pytest.approx(0.5)
    assert pt.area((1, 0, 0, 0, 0, 0, 0)) == pytest.approx(0.05)
    curve = drawn(7).tolist()
    assert pt.area(curve) == pytest.approx(plain_area(curve))


@pytest.mark.parametrize("shape", [(28, 28), (16, 15)])
def test_a_reversed_order_has_the_opposite_advantage(shape):
    """So random orders reach 0 in the mean, whatever the network."""
    image, baseline = 1 + np.abs(drawn(*shape, seed=1)), np.zeros(shape)
    cells = pt.cells_of(image, baseline, (0,))
    assert cells.shown.size % 2 == 0

    def score(x):
        return float(np.tanh(x.sum()) + (x**2).mean())

    for order in pt.random_orders(cells, (4,)):
        ahead = plain_advantage(*plain_curves(order, image, baseline, cells.grid, score))
        behind = plain_advantage(*plain_curves(order[::-1], image, baseline, cells.grid, score))
        assert ahead == pytest.approx(-behind, abs=1e-12)
        assert abs(ahead) > 1e-6


# -- thresholds -------------------------------------------------------------------------------------


def curves_with(advantage):
    """Return curves from 1 to 0 and back, linear but for the middle step, with this advantage."""
    line, bump = np.array(STEPS), np.array([0, 0, 0, 1, 0, 0, 0]) * advantage * 2
    return pt.Curves(tuple(1 - line - bump), tuple(line + bump))


def trials(own, random, middle=()):
    return pt.Trials(
        curves_with(own), tuple(map(curves_with, random)), tuple(map(curves_with, middle))
    )


def test_curves_of_the_tests_have_their_advantage():
    for value in (-0.2, 0.0, 0.1):
        assert curves_with(value).advantage == pytest.approx(value)


@pytest.mark.parametrize(
    ("random", "needed"),
    [
        ((0.0, 0.0, 0.0, 0.0), 0.03),
        ((0.04, -0.04, 0.04, -0.04), 0.1),
        ((0.08, 0.0, 0.0, 0.0), 2.5 * 0.04),
    ],
)
def test_chance_is_two_and_a_half_deviations_about_zero(random, needed):
    tried = trials(0.1, random)
    assert pt.reach(tried) == pytest.approx(1, abs=0.2)
    assert pt.chance_spread(tried) == pytest.approx(np.sqrt(np.mean(np.square(random))))
    least = 0.03 * pt.reach(tried)
    assert pt.needed_for_chance(tried) == pytest.approx(max(needed, least), rel=1e-6, abs=2e-3)


def test_nearly_all_of_the_range_beats_any_spread():
    best = pt.Curves((1.0, *(0.0,) * 6), (0.0, *(1.0,) * 6))
    worst = pt.Curves(best.insertion[::-1], best.deletion[::-1])
    tried = pt.Trials(best, (best, worst, worst, best))
    assert best.advantage == pytest.approx(0.9)
    assert pt.chance_spread(tried) == pytest.approx(0.9)
    assert pt.needed_for_chance(tried) == pytest.approx(0.75)


def test_the_middle_is_two_and_a_half_deviations_above_its_blobs():
    reached = (0.1, 0.02, 0.06, 0.0, 0.12)
    tried = trials(0.1, (0.0,) * 4, reached)
    assert pt.needed_for_middle(tried) == pytest.approx(
        statistics.mean(reached) + 2.5 * statistics.stdev(reached)
    )
    assert pt.needed_for_middle(trials(0.1, (0.0,) * 4)) is None
    alike = trials(0.1, (0.0,) * 4, (0.12,) * 5)
    least = 0.12 + 0.03 * pt.reach(alike)
    assert pt.needed_for_middle(alike) == pytest.approx(least)


@pytest.mark.parametrize("known", [1, 2, 3, 4])
def test_some_blobs_say_the_least_that_all_can_ask_for(known):
    """The closed form is the minimum over what the others may reach, and no drawn others ask for less."""
    rng = np.random.default_rng(known)
    for _ in range(20):
        reached = rng.normal(0, 0.05, known)
        some = trials(0.1, (0.0,) * 4, reached)._replace(blobs=5)
        least = pt.needed_for_middle(some)

        def asked(others, reached=reached):
            values = [*reached, *others]
            return statistics.mean(values) + 2.5 * statistics.stdev(values)

        alike = [
            asked([value] * (5 - known))
            for value in (*np.linspace(-1, 1, 4001), statistics.mean(reached))
        ]
        span = pt.reach(some)
        assert least == pytest.approx(max(*reached, min(*alike, 0.6 * span), -1), abs=1e-5)
        for _ in range(50):
            others = rng.normal(0, 0.1, 5 - known)
            whole = trials(0.1, (0.0,) * 4, [*reached, *others])
            assert pt.needed_for_middle(whole) >= least - 1e-9


def test_nearly_all_of_the_range_beats_the_middle_but_not_a_blob_that_is_as_good():
    best = pt.Curves((1.0, *(0.0,) * 6), (0.0, *(1.0,) * 6))
    worst = pt.Curves(best.insertion[::-1], best.deletion[::-1])
    wide = pt.Trials(best, (worst,) * 4, (worst, worst, worst, pt.Curves((0.5,) * 7, (1.0,) * 7)))
    assert pt.needed_for_middle(wide) == pytest.approx(0.6)
    as_good = pt.Trials(best, (worst,) * 4, (worst, worst, worst, best))
    assert pt.needed_for_middle(as_good) == pytest.approx(0.9)


def test_a_score_that_hiding_leaves_alone_never_moves():
    for level in (0.3, 0.0, -4.0):
        steady = pt.Curves((level,) * 7, (level,) * 7)
        assert pt.never_moves(pt.Trials(steady, (steady,) * 4), 1e-6)
        moved = pt.Curves((level,) * 3 + (level + 0.001,) + (level,) * 3, (level,) * 7)
        assert not pt.never_moves(pt.Trials(moved, (steady,) * 4), 1e-6)
        assert not pt.never_moves(pt.Trials(steady, (steady, moved)), 1e-6)


# -- known answers, through what a report runs ------------------------------------------------------


class Plain:
    """Passes of a network that is a function of the image alone."""

    def __init__(self, score):
        self._score = score
        self.count = 0

    def forward(self, samples):
        for sample in samples:
            self.count += 1
            value = self._score(sample.inputs["image"].astype(np.float64))
            yield value, np.array([value], np.float64)


TARGET = Target(
    "out", "linear", 0, "square", "predicted", np.ones(1, np.float32), "value", channel=0
)


def explanations(image, baseline, maps):
    question = Question({"image": image}, "image", np.ones(1, np.float32), baseline)
    asked = ProbeTarget(0, TARGET, question, np.ones(1))
    return [
        Explanation(asked, method, Map(values, 1.0), flat=False)
        for method, values in zip(METHODS, maps, strict=False)
    ]


def tried(image, maps, score, seed=0, baseline=None):
    empty = np.zeros_like(image) if baseline is None else baseline
    return prove(Plain(score), explanations(image, empty, maps), seed, Silence())


PLACES = {
    "a corner": (slice(2, 12), slice(44, 54)),
    "the lower edge": (slice(44, 56), slice(20, 32)),
    "a tiny thing": (slice(40, 44), slice(8, 12)),
    "a large one": (slice(0, 30), slice(0, 26)),
    "the left": (slice(14, 44), slice(0, 10)),
}
TWO = [(slice(2, 10), slice(2, 10)), (slice(44, 54), slice(40, 52))]


def scene(places, seed):
    """Return an image, what it is recognised by, and a score that needs all of the places."""
    image = np.random.default_rng(seed).uniform(0.4, 1, (56, 56)).astype(np.float32)
    truth = np.zeros((56, 56))
    for place in places:
        truth[place] = image[place]
    sums = [float(image[place].sum()) for place in places]

    def score(x):
        left = [float(x[p].sum()) / total for p, total in zip(places, sums, strict=True)]
        return float(np.prod(left) ** (1 / len(left)))

    return image, truth, score


CASES = [*([place] for place in PLACES.values()), TWO]


@pytest.mark.parametrize("places", CASES, ids=[*PLACES, "two places"])
def test_true_maps_are_supported_and_reversed_ones_never(places):
    verdicts, opposite = [], []
    for seed in range(20):
        image, truth, score = scene(places, seed)
        for found, made in zip(
            (verdicts, opposite), tried(image, [truth, 1 - truth], score, seed), strict=True
        ):
            found.append(verdict_of(made))
    assert verdicts.count("supported") >= 19
    assert set(opposite) == {"no better than chance"}


@pytest.mark.parametrize("grid", [(7, 7), (14, 14), (56, 56)])
@pytest.mark.parametrize("places", [CASES[0], CASES[3], CASES[4], TWO])
def test_random_maps_are_hardly_ever_supported(places, grid):
    called = 0
    for seed in range(50):
        image, _, score = scene(places, seed)
        maps = list(np.random.default_rng((seed, 9)).random((4, *grid)))
        called += sum(verdict_of(one) == "supported" for one in tried(image, maps, score, seed))
    assert called <= 200 * 0.05 + 5  # two standard deviations above one in twenty


def test_what_lies_in_the_middle_is_weak_and_what_lies_beside_it_is_not():
    """A blob in the middle knows no network: to be as good as it is no support."""
    middle = [(slice(20, 36), slice(20, 36))]
    y, x = np.mgrid[0:56, 0:56]
    blob = 40 - np.hypot(y - 27.5, x - 27.5)
    for seed in range(5):
        image, _, score = scene(middle, seed)
        assert verdict_of(tried(image, [blob], score, seed)[0]) == "weak"
        image, truth, score = scene([PLACES["a corner"]], seed)
        beside = tried(image, [truth, blob], score, seed)
        assert [verdict_of(one) for one in beside] == ["supported", "no better than chance"]


def test_every_number_of_the_evidence_is_that_of_a_plain_loop():
    image, truth, score = scene([PLACES["the left"]], 3)
    (made,) = tried(image, [truth], score, seed=5)
    found, baseline = evidence_of(made), np.zeros_like(image)
    cells = pt.cells_of(image, baseline, (5, 0))

    def curves(order):
        return plain_curves(order, image, baseline, cells.grid, lambda x: score(x.astype(float)))

    means = pt.on_cells(truth, image.shape, cells.grid)
    deletion, insertion = curves(pt.order_of(means, cells))
    assert found.deletion_curve == pytest.approx(deletion, abs=1e-6)
    assert found.insertion_curve == pytest.approx(insertion, abs=1e-6)
    assert found.deletion == pytest.approx(plain_area(deletion), rel=1e-5)
    assert found.advantage == pytest.approx(plain_advantage(deletion, insertion), rel=1e-5)
    chance = [curves(order) for order in pt.random_orders(cells, (5, 0, 1))]
    advantages = [plain_advantage(*one) for one in chance]
    spread = np.sqrt(np.mean(np.square(advantages)))
    assert found.random_spread == pytest.approx(spread, rel=1e-5)
    assert found.random_advantage == pytest.approx(np.mean(advantages), abs=1e-5)
    assert found.random_curve == pytest.approx(np.mean([d for d, _ in chance], axis=0), abs=1e-5)
    assert found.random_insertion_curve == pytest.approx(
        np.mean([i for _, i in chance], axis=0), abs=1e-5
    )
    span = max(map(max, itertools.chain([deletion, insertion], *chance)))
    assert found.needed == pytest.approx(max(0.03 * span, min(2.5 * spread, 0.75 * span)), rel=1e-4)
    blobs = [plain_advantage(*curves(order)) for order in pt.middle_orders(cells)]
    assert found.middle_advantage == pytest.approx(blobs[0], rel=1e-4, abs=1e-6)
    margin = statistics.mean(blobs) + max(2.5 * statistics.stdev(blobs), 0.03 * span)
    assert found.middle_needed == pytest.approx(max(*blobs, min(margin, 0.6 * span)), rel=1e-4)
    copies = [means[:, ::-1], means[::-1]]
    expected = [plain_advantage(*curves(pt.order_of(copy, cells))) for copy in copies]
    assert found.moved_advantages == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert found.steps == STEPS
    assert found.cells == (14, 14)


def test_maps_of_one_image_share_their_opponents():
    image, truth, score = scene([PLACES["the left"]], 3)
    passes = Plain(score)
    made = prove(passes, explanations(image, np.zeros_like(image), [truth, truth**2]), 0, Silence())
    first, second = (evidence_of(one) for one in made)
    assert first.random_curve == second.random_curve
    assert first.middle_needed == second.middle_needed
    order = 2 * 5
    chance, maps, middle, copies = 4, 2, 5, 2 * 2
    assert passes.count == 2 + 2 + (chance + maps + middle + copies) * order


@pytest.mark.parametrize("seed", range(12))
def test_blobs_that_can_change_nothing_are_left_out_and_the_verdict_is_the_same(seed):
    """Blobs off the middle by a little: some beat it, most do not; all opponents give the same verdicts."""
    rng = np.random.default_rng(seed)
    image, truth, score = scene([(slice(8 + seed, 30 + seed), slice(14, 36))], seed)
    y, x = np.mgrid[0:56, 0:56]
    maps = [truth, *(-np.hypot(y - b, x - a) for a, b in rng.uniform(12, 40, (2, 2)))]
    passes, baseline = Plain(score), np.zeros_like(image)
    made = prove(passes, explanations(image, baseline, maps), seed, Silence())
    cells = pt.cells_of(image, baseline, (seed, 0))
    for one in made:
        if verdict_of(one) == "no better than chance":
            continue
        curves = [
            plain_curves(order, image, baseline, cells.grid, lambda x: score(x.astype(float)))
            for order in pt.middle_orders(cells)
        ]
        blobs = tuple(pt.Curves(*map(tuple, pair)) for pair in curves)
        needed = pt.needed_for_middle(one.trials._replace(middle=blobs))
        beats = one.trials.own.advantage > needed
        assert verdict_of(one) == ("supported" if beats else "weak")
        assert evidence_of(one).middle_needed <= needed + 1e-6


def test_a_map_that_the_middle_beats_ends_there():
    y, x = np.mgrid[0:56, 0:56]
    image, _, score = scene([(slice(20, 36), slice(20, 36))], 1)
    passes = Plain(score)
    near = -np.hypot(y - 30, x - 30)
    (made,) = prove(passes, explanations(image, np.zeros_like(image), [near]), 0, Silence())
    assert verdict_of(made) == "weak"
    assert len(made.trials.middle) < 5
    assert passes.count == 2 + 1 + (4 + 1 + len(made.trials.middle)) * 10


def test_the_middle_is_not_tried_where_chance_is_not_beaten():
    image, truth, score = scene([PLACES["the left"]], 3)
    passes = Plain(score)
    (made,) = prove(passes, explanations(image, np.zeros_like(image), [1 - truth]), 0, Silence())
    assert passes.count == 2 + 1 + (4 + 1) * 10
    assert verdict_of(made) == "no better than chance"
    assert evidence_of(made).middle_needed is None


def test_scores_that_are_not_finite_tell_nothing():
    image, truth, score = scene([PLACES["the left"]], 3)

    def broken(x):
        return float("nan") if x[0, 0] == 0 and x[50, 50] != 0 else score(x)

    (made,) = tried(image, [truth], broken)
    assert made.untold > 0
    assert verdict_of(made) == "cannot be told"
    assert evidence_of(made) is None
