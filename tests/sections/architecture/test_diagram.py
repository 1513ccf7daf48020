"""The layout of diagrams: boxes, frames and paths are where they belong, with and without an engine."""

from __future__ import annotations

import itertools
import re
import sys
import time
from typing import TYPE_CHECKING

import models
import pytest

from reportgen.sections.architecture import diagram as product
from reportgen.sections.architecture.diagram import (
    Cluster,
    LayoutError,
    Node,
    box_size,
    clip,
    draw,
    draw_in_columns,
)

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = (
    "<b>&amp;\"'",
    "]]>",
    'a"; b -> c; subgraph {',
    "\\N\\L%s",
    "名前" * 9,
    "{|}",
    "",
    "x" * 500,
)


def box(name, cluster=None):
    return Node((name, "Conv2D", "16×16×8"), name, "layer", cluster)


def corners(path):
    """Return the points of SVG path data that has lines only."""
    assert re.fullmatch(r"M-?\d+ -?\d+(L-?\d+ -?\d+)+", path), path
    return [tuple(map(int, part.split())) for part in path[1:].split("L")]


def overlap(a, b):
    return (
        a.x < b.x + b.width
        and b.x < a.x + a.width
        and a.y < b.y + b.height
        and b.y < a.y + a.height
    )


def holds(frame, inner):
    return (
        frame.x <= inner.x
        and frame.y <= inner.y
        and inner.x + inner.width <= frame.x + frame.width
        and inner.y + inner.height <= frame.y + frame.height
    )


def touches(point, box, slack=3):
    x, y = point
    return (
        box.x - slack <= x <= box.x + box.width + slack
        and box.y - slack <= y <= box.y + box.height + slack
    )


def crosses(path, box, inset=3):
    """Return whether a path runs through the inside of a box."""
    left, right = box.x + inset, box.x + box.width - inset
    top, bottom = box.y + inset, box.y + box.height - inset
    for (ax, ay), (bx, by) in itertools.pairwise(corners(path)):
        for step in range(101):
            x, y = ax + (bx - ax) * step / 100, ay + (by - ay) * step / 100
            if left < x < right and top < y < bottom:
                return True
    return False


def assert_sound(drawn, nodes, edges, clusters=None):
    """Everything lies on the canvas, nothing covers anything, edges join what they should."""
    assert len(drawn.boxes) == len(nodes)
    for shape in (*drawn.boxes, *drawn.frames):
        assert 0 <= shape.x <= shape.x + shape.width <= drawn.width + 1
        assert 0 <= shape.y <= shape.y + shape.height <= drawn.height + 1
    for a, b in itertools.combinations(drawn.boxes, 2):
        assert not overlap(a, b), (a, b)
    assert len(drawn.edges) == len(edges)
    for (tail, head), path in zip(sorted(edges), drawn.edges, strict=True):
        points = corners(path)
        assert touches(points[0], drawn.boxes[tail]), (tail, head)
        assert touches(points[-1], drawn.boxes[head]), (tail, head)
        for x, y in points:
            assert -1 <= x <= drawn.width + 1
            assert -1 <= y <= drawn.height + 1
        for number, other in enumerate(drawn.boxes):
            assert number in {tail, head} or not crosses(path, other), (tail, head, number)
    assert_framed(drawn, nodes, clusters or {})


def assert_framed(drawn, nodes, clusters):
    """A frame contains its boxes, and nothing else."""
    used = used_clusters(nodes, clusters)
    keys = [key for key in clusters if key in used]
    assert [frame.label for frame in drawn.frames] == [clip(clusters[key].label) for key in keys]
    for key, frame in zip(keys, drawn.frames, strict=True):
        for node, shape in zip(nodes, drawn.boxes, strict=True):
            if key in lineage(node.cluster, clusters):
                assert holds(frame, shape)
            else:
                assert not overlap(frame, shape)
        for other, inner in zip(keys, drawn.frames, strict=True):
            if key in lineage(other, clusters):
                assert holds(frame, inner)
            elif other not in lineage(key, clusters):
                assert not overlap(frame, inner)


def lineage(key, clusters):
    """Return a cluster and all that it stands in."""
    found = []
    while key is not None:
        found.append(key)
        key = clusters[key].parent
    return found


def used_clusters(nodes, clusters):
    return {key for node in nodes for key in lineage(node.cluster, clusters)}


def residuals(count):
    """Return nodes and edges of ``count`` residual blocks of three units in a row."""
    nodes, edges = [box("stem")], []
    for number in range(count):
        first = len(nodes)
        nodes += [box(f"conv{number}"), box(f"norm{number}"), box(f"add{number}")]
        edges += [(first - 1, first), (first, first + 1), (first + 1, first + 2)]
        edges.append((first - 1, first + 2))
    return nodes, edges


NESTED = (
    [
        box("in"),
        box("a", "inner"),
        box("b", "inner"),
        box("c", "outer"),
        box("d", "side"),
        box("out"),
    ],
    [(0, 1), (1, 2), (2, 3), (0, 4), (3, 5), (4, 5), (0, 5)],
    {
        "outer": Cluster("outer (Functional)"),
        "inner": Cluster("outer/inner (Sequential)", "outer"),
        "side": Cluster("a name longer than the one box in it " * 2),
        "empty": Cluster("nothing"),
    },
)


def test_residual_blocks():
    nodes, edges = residuals(6)
    drawn = draw(nodes, edges, {})
    assert_sound(drawn, nodes, edges)
    for tail, head in edges:
        assert drawn.boxes[tail].y + drawn.boxes[tail].height <= drawn.boxes[head].y


def test_frames_hold_their_boxes_and_nothing_else():
    nodes, edges, clusters = NESTED
    drawn = draw(nodes, edges, clusters)
    assert len(drawn.frames) == 3
    assert_sound(drawn, nodes, edges, clusters)


@pytest.mark.parametrize("layout", [draw, draw_in_columns])
def test_two_layouts_are_equal(layout):
    assert layout(*NESTED) == layout(*NESTED)
    nodes, edges = residuals(9)
    assert layout(nodes, edges, {}) == layout(nodes, edges, {})


def test_one_box_alone():
    drawn = draw([box("alone")], [], {})
    assert drawn.edges == ()
    assert_sound(drawn, [box("alone")], [])
    assert drawn.boxes[0].lines == ("alone", "Conv2D", "16×16×8")
    assert drawn.boxes[0].title == ""


def test_tall_graph_is_broken_into_columns():
    nodes, edges = residuals(14)
    single = draw(nodes, edges, {})
    drawn = draw_in_columns(nodes, edges, {}, tallest=500)
    assert_sound(drawn, nodes, edges)
    assert drawn.height < single.height / 4
    assert drawn.width > single.width
    columns = sorted({round(b.x / 200) for b in drawn.boxes})
    assert len(columns) >= 4
    for tail, head in edges:
        a, b = drawn.boxes[tail], drawn.boxes[head]
        assert a.y + a.height <= b.y or a.x + a.width < b.x


def test_columns_keep_frames_with_their_boxes():
    nodes, _ = residuals(14)
    clusters = {str(n): Cluster(f"× {n}") for n in range(14)}
    nodes = [nodes[0], *(node._replace(cluster=str(i // 3)) for i, node in enumerate(nodes[1:]))]
    # An edge between blocks that leads into a frame is no place to break: put a box between them.
    spaced, moved = [nodes[0]], {0: 0}
    links = []
    for number, node in enumerate(nodes[1:], 1):
        if number % 3 == 1:
            spaced.append(box(f"between{number}"))
            links.append((moved[number - 1], len(spaced) - 1))
        moved[number] = len(spaced)
        spaced.append(node)
        links.append((len(spaced) - 2, len(spaced) - 1))
    drawn = draw_in_columns(spaced, links, clusters, tallest=600)
    assert_sound(drawn, spaced, links, clusters)
    assert any(drawn.boxes[b].y < drawn.boxes[a].y for a, b in links)
    residual, edges = residuals(14)
    framed = [residual[0], *(n._replace(cluster=str(i // 3)) for i, n in enumerate(residual[1:]))]
    drawn = draw_in_columns(framed, edges, clusters, tallest=700)
    assert_sound(drawn, framed, edges, clusters)
    assert drawn.height < 1200


def test_columns_do_not_overlap_where_a_short_one_stands_beside_a_wide_one():
    """A break close to the input once put the input's column into the next one."""
    nodes = [box("in"), box("stem"), box("stem2")]
    edges = [(0, 1), (1, 2)]
    for _ in range(6):
        start = len(nodes) - 1
        branches = range(len(nodes), len(nodes) + 5)
        nodes += [box(f"branch number {n}") for n in branches]
        nodes += [box(f"join{start}"), box(f"after{start}")]
        join = len(nodes) - 2
        edges += [(start, b) for b in branches] + [(b, join) for b in branches] + [(join, join + 1)]
    for tallest in (300, 500, 700):
        assert_sound(draw_in_columns(nodes, edges, {}, tallest=tallest), nodes, edges)


def test_graph_without_a_place_to_break_stays_whole():
    """Skips from the first to the last boxes cross every height."""
    nodes = [box(f"n{i}") for i in range(30)]
    edges = [(i, i + 1) for i in range(29)] + [(0, 29)]
    assert draw_in_columns(nodes, edges, {}, tallest=300) == draw(nodes, edges, {})


def test_several_inputs_and_outputs_in_columns():
    nodes = [box(f"n{i}") for i in range(34)]
    edges = [(i, i + 1) for i in range(29)]
    edges += [(30, 3), (31, 20), (10, 32), (29, 33)]
    assert_sound(draw_in_columns(nodes, edges, {}, tallest=500), nodes, edges)


def test_hostile_names():
    nodes = [Node((name, name, name), name, "layer", name) for name in HOSTILE]
    edges = [(i, i + 1) for i in range(len(nodes) - 1)]
    clusters = {name: Cluster(name) for name in HOSTILE}
    drawn = draw(nodes, edges, clusters)
    assert_sound(drawn, nodes, edges, clusters)
    assert [b.path for b in drawn.boxes] == list(HOSTILE)
    assert [b.lines[0] for b in drawn.boxes[:4]] == list(HOSTILE[:4])
    assert drawn.boxes[-1].title.startswith("x" * 500)


def test_long_lines_keep_both_ends():
    name = "block17_sepconv1_pointwise_convolution_with_a_long_name_act"
    assert clip(name).startswith("block17_")
    assert clip(name).endswith("name_act")
    assert len(clip(name)) < 40
    assert clip("short") == "short"
    assert clip("two\nlines") == "two lines"
    drawn = draw([Node((name, "Conv2D"), "p", "layer")], [], {})
    assert drawn.boxes[0].title == f"{name}\nConv2D"


def test_box_grows_with_its_text():
    narrow, wide = box_size(("iii", "a")), box_size(("mmm", "a"))
    assert wide[0] > narrow[0]
    assert wide[1] == narrow[1] < box_size(("iii", "a", "b"))[1]
    assert box_size(("a", "m" * 20))[0] > 20 * 8


def test_two_thousand_layers_with_skips():
    """One limit for both: the layout's own, and a minute of this test."""
    nodes, edges = residuals(666)
    began = time.monotonic()
    drawn = draw(nodes, edges, {})
    assert time.monotonic() - began < product.TIME_LIMIT
    assert len(drawn.boxes) == 1999
    assert len(drawn.edges) == len(edges) == 2664
    rows = sorted(drawn.boxes, key=lambda b: b.y)
    assert all(a.y + a.height <= b.y for a, b in itertools.pairwise(rows))


def test_time_limit(monkeypatch):
    nodes, edges = residuals(300)
    monkeypatch.setattr(product, "TIME_LIMIT", 0.01)
    with pytest.raises(LayoutError, match=r"took longer than 0\.01 seconds"):
        draw(nodes, edges, {})


def without_pygraphviz(tmp_path, monkeypatch, program=None):
    """Let the child process find no pygraphviz, and ``program`` as the only ``dot``."""
    (tmp_path / "pygraphviz.py").write_text("raise ImportError('not here')")
    found = f"{tmp_path}:{models.environment()['PYTHONPATH']}"
    monkeypatch.setenv("PYTHONPATH", found)
    place = tmp_path / "bin"
    place.mkdir()
    if program is not None:
        (place / "dot").write_text(f"#!{sys.executable}\n{program}")
        (place / "dot").chmod(0o755)
    monkeypatch.setenv("PATH", str(place))


def test_no_engine(tmp_path: Path, monkeypatch):
    without_pygraphviz(tmp_path, monkeypatch)
    with pytest.raises(LayoutError, match="neither pygraphviz nor Graphviz's dot is installed"):
        draw(*NESTED)


DOT = """
import sys
sys.path = [p for p in sys.path if p != {shadow!r}]
if sys.argv[1] == "-V":
    sys.exit(print("dot - graphviz version 9.8.7 (20301231)", file=sys.stderr))
assert sys.argv[1:] == ["-Tjson0"]
import pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.read())
sys.stdout.buffer.write(graph.draw(prog="dot", format="json0"))
"""


def test_the_systems_dot_lays_out_alike(tmp_path, monkeypatch):
    """A stand-in for the program: the same Graphviz, behind its command line and its JSON."""
    expected = draw(*NESTED)
    without_pygraphviz(tmp_path, monkeypatch, DOT.format(shadow=str(tmp_path)))
    drawn = draw(*NESTED)
    assert drawn.engine == "Graphviz (9.8.7)"
    assert drawn.boxes == expected.boxes
    assert drawn.frames == expected.frames
    assert drawn.edges == expected.edges
    assert_sound(drawn, *NESTED)


@pytest.mark.parametrize(
    "program", ["import os; os.kill(os.getpid(), 6)", "import sys; sys.exit('no')", "print('{')"]
)
def test_dot_that_fails(tmp_path, monkeypatch, program):
    without_pygraphviz(tmp_path, monkeypatch, program)
    with pytest.raises(LayoutError) as caught:
        draw(*NESTED)
    assert str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_python_that_cannot_start(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(LayoutError, match="could not be started"):
        draw(*NESTED)
