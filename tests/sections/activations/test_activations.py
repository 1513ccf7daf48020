"""The activations section on a network whose answers are known."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from reportgen.context import Tools
from reportgen.drawing.assets import AssetStore
from reportgen.errors import NotApplicable
from reportgen.network.facts import CallFacts
from reportgen.network.protocol import Batch, Moments
from reportgen.network.samples import IMAGE
from reportgen.page.sparkline import bars_over_depth, curve_over_depth
from reportgen.sections.activations import section as activations
from reportgen.sections.activations.section import (
    HALVED_FROM,
    MOST_CHANNELS,
    MOST_PROBES,
    MOST_UNITS,
    as_grids,
    collect,
    fold,
    observe,
)
from reportgen.settings import make_settings

GAP = 255


def call(name, shape, class_name="Conv2D", parent=None):
    layer = name.partition("#")[0]
    return CallFacts(name, layer, class_name, parent, (), (shape,), ("float32",), 0, 0, leaf=True)


def context(maps, **settings):
    """Return what a section may look at, of a network whose calls answer ``maps``."""
    count = len(next(iter(maps.values())))
    calls = tuple(call(name, array.shape[1:]) for name, array in maps.items())
    return SimpleNamespace(
        sample=IMAGE,
        network=SimpleNamespace(facts=SimpleNamespace(calls=calls, layers=(), outputs=())),
        settings=make_settings(settings),
        tools=Tools(AssetStore()),
        data=None,
        inputs=SimpleNamespace(probes=()),
        probes=SimpleNamespace(
            set=SimpleNamespace(
                probes=tuple(SimpleNamespace(name=f"{i}.png") for i in range(count)),
                image_input="picture",
                series=False,
            )
        ),
        shapes={"picture": (8, 8, 3)},
    )


def moments(array):
    """Reduce (n, …, c) maps as the traced function does, in float32."""
    flat = array.reshape(len(array), -1, array.shape[-1]).astype(np.float32)
    finite = np.isfinite(flat)
    clean = np.where(finite, flat, 0)
    count = np.maximum(finite.sum(axis=1), 1)
    with np.errstate(over="ignore"):
        squares = clean * clean
    return Moments(
        (clean.sum(axis=1) / count).astype(np.float32),
        (squares.sum(axis=1) / count).astype(np.float32),
        np.where(finite, flat, np.inf).min(axis=1),
        np.where(finite, flat, -np.inf).max(axis=1),
        (flat == 0).sum(axis=1).astype(np.float32),
        (~finite).sum(axis=1).astype(np.float32),
        np.isnan(flat).sum(axis=1).astype(np.float32),
        flat.shape[1],
    )


def blocks(maps, sizes, shown=None):
    first = 0
    for size in sizes:
        part = {name: array[first : first + size] for name, array in maps.items()}
        yield Batch(
            first=first,
            inputs={},
            outputs={"out": np.zeros((size, 1))},
            moments={name: moments(array) for name, array in part.items()},
            maps={name: a for name, a in part.items() if shown is None or name in shown},
        )
        first += size


def collected(maps, sizes=None, shown=None, **settings):
    """Return what the section makes of ``maps``, and the context."""
    about = context(maps, **settings)
    observer, folded = observe(about), fold(about)
    for batch in blocks(maps, sizes or [len(next(iter(maps.values())))], shown):
        folded.update(batch)
        observer.show(batch)
    about.folds = {"activations": folded}
    return collect(about, observer.result()), about


def content(maps, sizes=None, shown=None, **settings):
    return collected(maps, sizes, shown, **settings)[0].content


def relu_maps(count=11, size=6, channels=5, seed=1):
    """Return maps with two silent channels, one of them only just."""
    maps = np.random.default_rng(seed).normal(0.2, 1, (count, size, size, channels))
    maps = np.maximum(maps, 0).astype(np.float32)
    maps[..., 3] = 0
    maps[..., 1] = 0
    maps[-1, 2, 3, 1] = 1e-20
    return maps


def levels(about, figure):
    """Return a picture's palette indices and its palette."""
    with Image.open(
        io.BytesIO(about.tools.store.files[figure.src.removeprefix("assets/")])
    ) as image:
        assert image.mode == "P"
        assert image.size == (figure.width, figure.height)
        return np.asarray(image), np.array(image.getpalette()).reshape(-1, 3)


def one_tile(sheet, number, height, width):
    left = 1 + number * (width + 1)
    return sheet[1 : 1 + height, left : left + width]


@pytest.mark.parametrize("sizes", [[11], [4, 4, 3], [1] * 11])
def test_statistics_equal_numpy(sizes):
    maps = relu_maps()
    row = content({"c": maps}, sizes).calls[0]
    wide = maps.astype(np.float64)
    assert row.mean == pytest.approx(wide.mean(), rel=1e-5)
    assert row.std == pytest.approx(wide.std(), rel=1e-5)
    assert row.min == 0
    assert row.max == pytest.approx(wide.max(), rel=1e-5)
    assert row.zeros == np.count_nonzero(maps == 0)
    assert row.values == maps.size
    assert row.non_finite == 0
    assert (row.channels, row.silent) == (5, 1)
    assert row.shape == (6, 6, 5)


def test_blocks_do_not_matter():
    maps = {"a": relu_maps(), "b": relu_maps(seed=2)[:, 0, 0]}
    whole, split = content(maps), content(maps, [3, 3, 3, 2])
    for one, other in zip(whole.calls, split.calls, strict=True):
        assert (one.zeros, one.silent, one.min, one.max) == (
            other.zeros,
            other.silent,
            other.min,
            other.max,
        )
        assert one.mean == pytest.approx(other.mean, rel=1e-5)
    assert [s.channels for s in whole.shown] == [s.channels for s in split.shown]
    assert [r.figure for s in whole.shown for r in s.rows] == [
        r.figure for s in split.shown for r in s.rows
    ]
    assert whole.images == split.images == 11


def test_statistics_leave_nan_and_infinity_out():
    maps = relu_maps()
    maps[2, 1, 1, 0] = np.nan
    maps[5, :, :, 2] = np.inf
    maps[6, 0, 0, 4] = -np.inf
    made, _ = collected({"fine": relu_maps(), "broken": maps}, [4, 4, 3])
    row = made.content.calls[1]
    finite = maps[np.isfinite(maps)].astype(np.float64)
    assert row.mean == pytest.approx(finite.mean(), rel=1e-5)
    assert row.std == pytest.approx(finite.std(), rel=1e-5)
    assert (row.min, row.max) == (0, pytest.approx(finite.max(), rel=1e-5))
    assert row.non_finite == 1 + 36 + 1
    assert row.zeros == np.count_nonzero(maps == 0)
    assert row.silent == 1
    assert "NaN or infinity from broken on" in made.lead
    assert [n.level for n in made.notices] == ["warning"]
    assert "first in broken (38 values)" in made.notices[0].text


def test_call_without_a_finite_value():
    made = content({"lost": np.full((3, 4, 4, 2), np.nan, np.float32)})
    row = made.calls[0]
    assert (row.mean, row.std, row.min, row.max) == (None, None, None, None)
    assert row.non_finite == row.values == 96
    assert row.silent == 0
    shown = made.shown[0]
    assert all((r.low, r.high) == (None, None) for r in shown.rows)


def test_lead_says_what_never_fired():
    busy, silent = np.ones((4, 3, 3, 2), np.float32), relu_maps(4)
    assert "every channel was active" in collected({"a": busy})[0].lead
    lead = collected({"a": busy, "b": silent})[0].lead
    assert "1 call has inactive channels, most of all b (1 of 5)" in lead
    lead = collected({"a": busy, "dead": np.zeros((4, 3, 3, 2), np.float32)})[0].lead
    assert "every channel was active" not in lead
    assert "nothing but zeros, first dead" in lead


def test_most_energetic_channels_the_same_for_every_probe():
    generator = np.random.default_rng(3)
    scale = generator.permutation(40) + 1.0
    maps = generator.normal(0, 1, (6, 5, 5, 40)) * scale
    maps[0] *= generator.permutation(40) * 0.1  # the first probe alone would choose otherwise
    maps = maps.astype(np.float32)
    made, about = collected({"c": maps}, [4, 2])
    shown = made.content.shown[0]
    energy = (maps.astype(np.float64) ** 2).sum(axis=(0, 1, 2))
    assert shown.channels == tuple(np.argsort(-energy)[:MOST_CHANNELS])
    assert (shown.kind, shown.total, shown.grid, shown.reduced) == ("maps", 40, (5, 5), False)
    picked = maps[..., list(shown.channels)]
    assert (shown.low, shown.high) == pytest.approx((picked.min(), picked.max()), rel=1e-5)
    span = picked.max() - picked.min()
    for number, row in enumerate(shown.rows):
        assert row.name == f"{row.probe}.png"
        one = picked[row.probe]
        assert (row.low, row.high) == pytest.approx((one.min(), one.max()), rel=1e-5)
        sheet, _ = levels(about, row.figure)
        assert len(row.ranges) == MOST_CHANNELS
        for channel in range(MOST_CHANNELS):
            known = (one[..., channel].min(), one[..., channel].max())
            assert row.ranges[channel] == pytest.approx(known, rel=1e-5)
            expected = (one[..., channel] - picked.min()) / span * 254
            tile = one_tile(sheet, channel, 5, 5).astype(float)
            np.testing.assert_allclose(tile, expected, atol=0.51)
        assert number == row.probe


def test_colours_run_from_dark_violet_to_yellow():
    maps = np.zeros((1, 4, 4, 2), np.float32)
    maps[0, 0, 0, 0] = 5
    made, about = collected({"c": maps})
    sheet, palette = levels(about, made.content.shown[0].rows[0].figure)
    tile = one_tile(sheet, 0, 4, 4)
    assert palette[tile[0, 0]].tolist() == [253, 231, 37]
    assert palette[tile[3, 3]].tolist() == [68, 1, 84]
    brightness = palette[:255] @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(brightness) > -1)


def test_large_maps_are_halved_and_say_so():
    maps = np.random.default_rng(0).normal(0, 1, (1, HALVED_FROM, HALVED_FROM + 2, 3))
    made, about = collected({"c": maps.astype(np.float32)})
    shown = made.content.shown[0]
    assert shown.reduced
    assert shown.grid == (HALVED_FROM, HALVED_FROM + 2)
    figure = shown.rows[0].figure
    assert figure.height == HALVED_FROM // 2 + 2
    picked = maps[0, ::2, ::2]
    assert shown.rows[0].low == pytest.approx(picked.min(), rel=1e-5)
    sheet, _ = levels(about, figure)
    first = picked[..., shown.channels[0]]
    expected = (first - shown.low) / (shown.high - shown.low) * 254
    tile = one_tile(sheet, 0, *first.shape)
    np.testing.assert_allclose(tile.astype(float), expected, atol=0.51)
    assert not content({"c": maps[:, :-1].astype(np.float32)}).shown[0].reduced


@pytest.mark.parametrize(
    ("tokens", "kind", "grid", "note"),
    [
        (16, "tokens", (4, 4), None),
        (17, "tokens", (4, 4), "class token"),
        (197, "tokens", (14, 14), "class token"),
        (12, "maps", (1, 12), "left to right"),
    ],
)
def test_tokens_become_a_grid(tokens, kind, grid, note):
    maps = np.random.default_rng(0).normal(0, 1, (2, tokens, 3)).astype(np.float32)
    shown = content({"t": maps}).shown[0]
    assert (shown.kind, shown.grid) == (kind, grid)
    assert (note is None) == (shown.notes == ())
    assert note is None or note in shown.notes[0]
    grids, _, _ = as_grids(maps)
    kept = maps[:, -grid[0] * grid[1] :]
    np.testing.assert_array_equal(grids, kept.reshape(2, *grid, 3))


def test_units_without_a_place_are_a_strip_in_their_order():
    units = np.random.default_rng(0).normal(0, 1, (3, 70)).astype(np.float32)
    made, about = collected({"dense": units})
    shown = made.content.shown[0]
    assert (shown.kind, shown.channels, shown.grid) == ("strip", tuple(range(70)), (1, 70))
    sheet, _ = levels(about, shown.rows[1].figure)
    places = [sheet[5 + 9 * (u // 64), 5 + 9 * (u % 64)] for u in range(70)]
    expected = (units[1] - units.min()) / (units.max() - units.min()) * 254
    np.testing.assert_allclose(np.array(places, float), expected, atol=0.51)
    many = content({"dense": np.tile(units, (1, 5))}).shown[0]
    assert (len(many.channels), many.total) == (MOST_UNITS, 350)
    assert list(many.channels) == sorted(many.channels)


def test_nan_in_a_map_is_no_colour_of_the_scale():
    maps = relu_maps(2)
    maps[0, 2, 3, 0], maps[1, 1, 1, 0] = np.nan, np.inf
    made, about = collected({"c": maps})
    shown = made.content.shown[0]
    assert any("NaN" in note for note in shown.notes)
    finite = maps[np.isfinite(maps)]
    assert (shown.low, shown.high) == (0, pytest.approx(finite.max(), rel=1e-5))
    place = shown.channels.index(0)
    for row, (y, x) in zip(shown.rows, [(2, 3), (1, 1)], strict=True):
        tile = one_tile(levels(about, row.figure)[0], place, 6, 6)
        assert tile[y, x] == GAP
        assert np.count_nonzero(tile == GAP) == 1


def test_extreme_values_do_not_overflow():
    maps = np.zeros((2, 4, 4, 1), np.float32)
    maps[0, 0, 0], maps[1, 0, 0] = 3e38, -3e38
    made, about = collected({"c": maps})
    shown = made.content.shown[0]
    tiles = [one_tile(levels(about, row.figure)[0], 0, 4, 4) for row in shown.rows]
    assert [tiles[0][0, 0], tiles[1][0, 0], tiles[0][1, 1]] == [254, 0, 127]


def test_flat_map():
    made, about = collected({"c": np.full((2, 4, 4, 1), 7.5, np.float32)})
    shown = made.content.shown[0]
    assert (shown.low, shown.high) == (7.5, 7.5)
    assert set(np.unique(levels(about, shown.rows[0].figure)[0])) == {0, GAP}


def test_shown_probes_are_spread_over_all():
    maps = relu_maps(25)
    shown = content({"c": maps}, [8, 8, 8, 1]).shown[0]
    probes = [row.probe for row in shown.rows]
    assert len(probes) == MOST_PROBES
    assert probes[0] == 0
    gaps = np.diff(probes)
    assert gaps.min() >= 3
    assert gaps.max() <= 4
    for row in shown.rows:
        assert row.high == pytest.approx(maps[row.probe][..., shown.channels].max(), rel=1e-5)


def test_names_are_hidden_on_request():
    rows = content({"c": relu_maps(3)}, hide_names=True).shown[0].rows
    assert [row.name for row in rows] == ["probe 1", "probe 2", "probe 3"]
    assert not any(".png" in row.figure.alt for row in rows)


def test_layer_that_fails_costs_itself(monkeypatch):
    maps = {"a": relu_maps(2), "bad": relu_maps(2)[:, :3], "z": relu_maps(2)}
    draw = activations.as_grids

    def fail(stacked, **options):
        if stacked.shape[1] == 3:
            raise ValueError("no such shape")
        return draw(stacked, **options)

    monkeypatch.setattr(activations, "as_grids", fail)
    made, _ = collected(maps)
    assert [shown.id for shown in made.content.shown] == ["a", "z"]
    assert [row.id for row in made.content.calls] == ["a", "bad", "z"]
    assert [n.level for n in made.notices] == ["warning"]
    assert "The maps of bad could not be drawn: ValueError: no such shape" in made.notices[0].text


def test_calls_without_maps_have_rows_only():
    made = content({"a": relu_maps(2), "b": relu_maps(2)}, shown={"b"})
    assert [row.id for row in made.calls] == ["a", "b"]
    assert [shown.id for shown in made.shown] == ["b"]


def test_further_axes_are_laid_out():
    volume = np.random.default_rng(0).normal(0, 1, (2, 3, 4, 5, 2)).astype(np.float32)
    shown = content({"c": volume}).shown[0]
    assert shown.grid == (60, 1)
    assert shown.notes


def test_the_curve_over_depth_is_logarithmic_and_breaks_at_nothing():
    assert curve_over_depth([1.0, 10.0, 100.0], 30, 60) == "M5.0 60.0L15.0 30.0L25.0 0.0"
    assert curve_over_depth([1.0, None, 0.0, 100.0], 40, 60) == "M5.0 60.0M35.0 0.0"
    assert curve_over_depth([None, 0.0], 20, 60) == ""


def test_zeros_hang_from_the_top_as_far_as_their_share():
    assert bars_over_depth([0.25, 0.0, 1.0], 30, 60) == (
        "M0.0 0H10.0V15.0H0.0ZM20.0 0H30.0V60.0H20.0Z"
    )


def test_nesting_is_kept():
    about = context({"net": relu_maps(2), "net/conv": relu_maps(2), "net/conv#2": relu_maps(2)})
    calls = (
        call("net", (6, 6, 5), "Functional"),
        call("net/conv", (6, 6, 5), parent="net"),
        call("net/conv#2", (6, 6, 5), parent="net"),
    )
    about.network.facts.calls = calls
    observer, folded = observe(about), fold(about)
    for batch in blocks({c.id: relu_maps(2) for c in calls}, [2]):
        folded.update(batch)
        observer.show(batch)
    about.folds = {"activations": folded}
    rows = collect(about, observer).content.calls
    assert [(row.id, row.layer, row.depth) for row in rows] == [
        ("net", "net", 0),
        ("net/conv", "net/conv", 1),
        ("net/conv#2", "net/conv", 1),
    ]


def test_without_probes():
    about = context({"a": relu_maps(2)})
    about.probes = about.inputs.probes = None
    with pytest.raises(NotApplicable, match="--probes"):
        fold(about)
    with pytest.raises(NotApplicable):
        observe(about)
