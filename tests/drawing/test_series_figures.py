"""Series as lines: where they run, which are drawn, and the band along them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np

from reportgen.drawing.assets import AssetStore
from reportgen.drawing.pictures import diverging_palette, viridis_palette
from reportgen.drawing.series import Band, drawn_channels, series_figure


class Reader(HTMLParser):
    """Collects the paths' attributes and the texts of an SVG."""

    def __init__(self):
        super().__init__()
        self.paths, self.texts, self.open = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.open = tag
        if tag == "path":
            self.paths.append(dict(attrs))

    def handle_data(self, data):
        if self.open == "text":
            self.texts.append(data)


def drawn(series, band=None):
    store = AssetStore()
    figure = series_figure(store, np.asarray(series, np.float32), "what it says", band)
    (data,) = store.files.values()
    reader = Reader()
    reader.feed(data.decode())
    return figure, reader


def lines(svg):
    """The lines' paths, without those of the legend."""
    return [
        p["d"] for p in svg.paths if p.get("class", "").startswith("l ") and "h18" not in p["d"]
    ]


def cells(svg, *, faint):
    return [p for p in svg.paths if "fill" in p and ("fill-opacity" in p) == faint]


def points(path):
    return [[float(n) for n in pair.split()] for pair in re.split("[ML]", path)[1:]]


def span(cell):
    left, right = re.match(r"M([\d.]+) \d+H([\d.]+)", cell["d"]).groups()
    return float(left), float(right)


def test_a_line_runs_from_left_to_right_and_up_with_the_value():
    figure, svg = drawn([[0.0], [1.0], [2.0], [1.0]])
    (line,) = lines(svg)
    x, y = np.array(points(line)).T
    assert np.allclose(np.diff(x), x[1] - x[0], atol=0.11)
    assert y[2] < y[1] < y[0]
    assert y[1] == y[3]
    assert np.isclose(y[0] - y[1], y[1] - y[2], atol=0.11)
    assert figure.alt == "what it says"


def test_the_least_and_the_largest_value_are_written():
    _, svg = drawn([[-1.5], [4.25]])
    assert {"-1.5", "4.25"} <= set(svg.texts)


def test_of_many_channels_those_with_the_largest_variance_are_drawn():
    series = np.random.default_rng(0).normal(0, 1, (50, 9)) * np.array([1, 9, 1, 8, 7, 6, 1, 5, 4])
    assert drawn_channels(series) == (1, 3, 4, 5, 7, 8)
    _, svg = drawn(series)
    assert len(lines(svg)) == 6
    named = svg.texts
    assert all(name in named for name in "134578")


def test_a_channel_that_is_not_finite_breaks_its_line_and_is_drawn_last():
    series = np.ones((6, 7)) * np.arange(6)[:, None]
    series[:, 0] = np.nan
    assert drawn_channels(series) == (1, 2, 3, 4, 5, 6)
    _, svg = drawn([[0.0], [1.0], [np.nan], [3.0], [np.inf], [5.0], [6.0]])
    assert lines(svg)[0].count("M") == 3


def test_a_constant_series_is_a_flat_line():
    _, svg = drawn(np.full((5, 1), 7.0))
    assert len({y for _, y in points(lines(svg)[0])}) == 1


def test_a_band_lies_below_in_its_own_cells_and_behind_where_it_is_relevant():
    band = Band(np.array([0.0, 0.0, 1.0, 0.0]), viridis_palette(), signed=False)
    _, svg = drawn(np.arange(8.0)[:, None], band)
    strip = cells(svg, faint=False)
    assert [cell["fill"] for cell in strip] == ["#440154", "#440154", "#fde725", "#440154"]
    behind = cells(svg, faint=True)
    strongest = max(behind, key=lambda cell: float(cell["fill-opacity"]))
    assert span(strip[2])[0] <= span(strongest)[0] < span(strongest)[1] <= span(strip[2])[1]
    (line,) = lines(svg)
    left, right = span(strip[2])
    inside = [index for index, (x, _) in enumerate(points(line)) if left < x < right]
    assert inside == [4, 5]


def test_a_signed_band_is_red_for_and_blue_against():
    band = Band(np.array([1.0, -1.0, 0.0]), diverging_palette(), signed=True)
    _, svg = drawn(np.arange(3.0)[:, None], band)
    colours = [bytes.fromhex(cell["fill"][1:]) for cell in cells(svg, faint=False)]
    assert colours[0][0] > colours[0][2]
    assert colours[1][2] > colours[1][0]
    behind = [bytes.fromhex(cell["fill"][1:]) for cell in cells(svg, faint=True)]
    assert behind[0][0] > behind[0][2]
    assert behind[1][2] > behind[1][0]


def test_a_long_series_stays_small():
    values = np.random.default_rng(1).normal(0, 1, (50_000, 2))
    store = AssetStore()
    band = Band(np.ones(50_000), viridis_palette(), signed=False)
    series_figure(store, values, "long", band)
    (data,) = store.files.values()
    assert len(data) < 150_000
