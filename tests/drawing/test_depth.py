"""Kernels over depth: what is drawn stands where its numbers are."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from reportgen.drawing.assets import AssetStore
from reportgen.drawing.depth import DepthPoint, depth_figure

SVG = "{http://www.w3.org/2000/svg}"


def drawn(points):
    store = AssetStore()
    figure = depth_figure(store, points, "kernels over depth")
    root = ET.fromstring(store.files[figure.src.removeprefix("assets/")])  # noqa: S314 - our own
    assert (int(figure.width), int(figure.height)) == tuple(
        map(int, root.get("viewBox").split()[2:])
    )
    return root


def places(root, kind):
    (path,) = (p for p in root.iter(f"{SVG}path") if p.get("class") == kind)
    return [tuple(map(float, pair.split())) for pair in re.findall(r"[\d.]+ [\d.]+", path.get("d"))]


def labels(root):
    """Return number and height of the labels on the left."""
    found = [t for t in root.iter(f"{SVG}text") if t.get("text-anchor") == "end"]
    return [(float(t.text), float(t.get("y")) - 4) for t in found]


def test_means_and_norms_stand_at_their_labels():
    points = [DepthPoint(f"c{i}", m, 0.5, 10.0**-i) for i, m in enumerate((0.0, 1.0, -0.5, 0.5))]
    root = drawn(points)
    heights = dict(labels(root)[: len(labels(root)) - 4])
    means = places(root, "l m")
    for point, (_, y) in zip(points, means, strict=True):
        if point.mean in heights:
            assert y == pytest.approx(heights[point.mean], abs=0.11)
    assert {0.0, 1.0} <= set(heights)
    assert labels(root)[-4:][0][0] == 0.001
    decades = dict(labels(root)[-4:])
    for point, (_, y) in zip(points, places(root, "l n"), strict=True):
        assert y == pytest.approx(decades[point.rms], abs=0.11)
    band = places(root, "b")
    assert len(band) == 2 * len(points)
    assert band[0][1] < means[0][1] < band[-1][1]


def test_a_kernel_of_zeros_has_no_place_on_a_logarithmic_axis():
    root = drawn(
        [
            DepthPoint("a", 0.0, 0.1, 0.1),
            DepthPoint("z", 0.0, 0.0, 0.0),
            DepthPoint("b", 0, 0.1, 0.1),
        ]
    )
    assert len(places(root, "l n")) == 2
    assert len(places(root, "l m")) == 3
    assert drawn([DepthPoint("z", 0.0, 0.0, 0.0)] * 2) is not None


@pytest.mark.parametrize("count", [2, 13, 400, 5000])
def test_numbers_of_kernels_do_not_overlap(count):
    root = drawn([DepthPoint("k", 0.0, 0.1, 1.0 + i) for i in range(count)])
    numbers = [
        (float(t.get("x")), t.text)
        for t in root.iter(f"{SVG}text")
        if t.get("text-anchor") == "middle" and t.text.isdigit()
    ]
    assert 1 <= len(numbers) <= 13
    for (x, _), (after, _) in pairwise(numbers):
        assert after - x > 40
    assert all(0 < y < 403 for _, y in places(root, "l n"))


def test_names_of_layers_are_not_drawn_and_dark_pages_have_their_colours():
    root = drawn([DepthPoint("<&>", 0.0, 0.1, 0.1)] * 3)
    assert "prefers-color-scheme:dark" in root.find(f"{SVG}style").text
