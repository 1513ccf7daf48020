"""Graph to drawing: DOT with pydot, coordinates from Graphviz, and our own boxes and paths.

Graphviz only lays out: it sees numbered nodes of fixed size and no text, so that nothing has to be
escaped for it and no machine's fonts matter.
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from reportgen.children import ChildError, run_file
from reportgen.errors import ReportgenError
from reportgen.report.content.architecture import Box, Diagram, Frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Shape = TypeVar("Shape", Box, Frame)

TIME_LIMIT = 60
"""Seconds that a layout may take."""
_POINTS = 72.0
_LINE = 15
_AROUND = 16
_GAP = 40
_LONGEST_LINE = 34
_WIDTHS = {
    **dict.fromkeys("fijlrtI.,:;'|!()[]/ -", 4.2),
    **dict.fromkeys("mwMW@%<>=+~^#", 10.2),
    **dict.fromkeys("ABCDEFGHJKLNOPQRSTUVXYZ&", 8.2),
}


class LayoutError(ReportgenError):
    """No engine laid the graph out."""


class Node(NamedTuple):
    """A box to draw.

    Attributes:
        cluster: the frame that it stands in, None for none.
    """

    lines: tuple[str, ...]
    path: str
    kind: str
    cluster: str | None = None


class Cluster(NamedTuple):
    """A frame to draw, inside of ``parent`` or of nothing."""

    label: str
    parent: str | None = None


def draw(
    nodes: Sequence[Node],
    edges: Sequence[tuple[int, int]],
    clusters: Mapping[str, Cluster],
) -> Diagram:
    """Lay out a graph from top to bottom.

    Args:
        nodes: the boxes.
        edges: pairs of indices into ``nodes``.
        clusters: frames by key; parents stand before what they hold.

    Raises:
        LayoutError: there is no engine, it failed, or it took too long.
    """
    shown = [tuple(clip(line) for line in node.lines) for node in nodes]
    sizes = [box_size(lines) for lines in shown]
    clusters = _used(nodes, clusters)
    keys = {key: f"cluster_{number}" for number, key in enumerate(clusters)}
    found = _run(_dot(nodes, sizes, edges, clusters, keys))
    left, bottom, right, top = found["bb"]
    boxes = []
    for number, (node, lines, (width, height)) in enumerate(zip(nodes, shown, sizes, strict=True)):
        x, y = found["nodes"][f"n{number}"]
        boxes.append(
            Box(
                round(x - left - width / 2),
                round(top - y - height / 2),
                width,
                height,
                lines,
                "\n".join(node.lines) if lines != node.lines else "",
                node.path,
                node.kind,
            )
        )
    frames = [
        _frame(found["clusters"][name], left, top, clusters[key].label)
        for key, name in keys.items()
        if name in found["clusters"]
    ]
    paths = sorted(
        ((int(tail[1:]), int(head[1:]), position) for tail, head, position in found["edges"]),
    )
    return Diagram(
        width=round(right - left),
        height=round(top - bottom),
        boxes=tuple(boxes),
        frames=tuple(frames),
        edges=tuple(_path(position, left, top) for _, _, position in paths),
        engine=found["engine"],
    )


def draw_in_columns(
    nodes: Sequence[Node],
    edges: Sequence[tuple[int, int]],
    clusters: Mapping[str, Cluster],
    tallest: int = 860,
) -> Diagram:
    """Lay out a graph as ``draw`` does, and break one that is too tall into columns.

    It is broken where all that leads on comes from one node; that is led around to the head of the
    next column.

    Args:
        nodes: the boxes.
        edges: pairs of indices into ``nodes``, each once.
        clusters: frames by key.
        tallest: height in CSS pixels that fits on a screen.

    Raises:
        LayoutError: as ``draw``.
    """
    drawn = draw(nodes, edges, clusters)
    heights = _breaks(drawn, edges, -(-drawn.height // tallest))
    if not heights:
        return drawn
    links = sorted(edges)
    column = [bisect(heights, box.y) for box in drawn.boxes]
    below = [
        path if column[tail] == column[head] else _below(path, heights[column[tail]])
        for (tail, head), path in zip(links, drawn.edges, strict=True)
    ]
    extents = [_Extent() for _ in range(len(heights) + 1)]
    shapes: list[Box | Frame] = [*drawn.boxes, *drawn.frames]
    for item in shapes:
        extents[bisect(heights, item.y)].take_in(item.x, item.x + item.width, item.y, item.height)
    for (_, head), path in zip(links, below, strict=True):
        for x, y in _points(path):
            extents[column[head]].take_in(x, x, y, 0)
    starts = [sum(e.width + _GAP for e in extents[:k]) for k in range(len(extents))]
    shifts = [(x - e.left, _AROUND - e.top) for x, e in zip(starts, extents, strict=True)]
    boxes = tuple(_shifted(b, *shifts[k]) for b, k in zip(drawn.boxes, column, strict=True))
    paths = []
    for (tail, head), path in zip(links, below, strict=True):
        moved = _moved(path, *shifts[column[head]])
        if column[tail] != column[head]:
            foot = extents[column[tail]].height + 2 * _AROUND - 4
            moved = _around(boxes[tail], foot, starts[column[head]] - _GAP // 2, moved)
        paths.append(moved)
    return Diagram(
        starts[-1] + extents[-1].width,
        max(e.height for e in extents) + 2 * _AROUND,
        boxes,
        tuple(_shifted(f, *shifts[bisect(heights, f.y)]) for f in drawn.frames),
        tuple(paths),
        drawn.engine,
    )


def _used(nodes: Sequence[Node], clusters: Mapping[str, Cluster]) -> dict[str, Cluster]:
    """Leave out the frames that hold nothing: Graphviz draws them around everything."""
    used = set()
    for node in nodes:
        key = node.cluster
        while key is not None:
            used.add(key)
            key = clusters[key].parent
    return {key: cluster for key, cluster in clusters.items() if key in used}


class _Extent:
    """What a column covers."""

    def __init__(self) -> None:
        self.left, self.right, self.top, self.bottom = 10**9, -(10**9), 10**9, -(10**9)

    def take_in(self, left: int, right: int, top: int, height: int) -> None:
        self.left, self.right = min(self.left, left), max(self.right, right)
        self.top, self.bottom = min(self.top, top), max(self.bottom, top + height)

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


def _breaks(drawn: Diagram, edges: Sequence[tuple[int, int]], columns: int) -> list[int]:
    """Return the heights at which to break, ascending: a single node is read across each."""
    shapes: list[Box | Frame] = [*drawn.boxes, *drawn.frames]
    possible = []
    for number, box in enumerate(drawn.boxes):
        around = [f.y + f.height for f in drawn.frames if _inside(box, f)]
        height = max(box.y + box.height, *around, 0) + 2
        read = {a for a, b in edges if drawn.boxes[a].y < height < drawn.boxes[b].y}
        if read == {number} and not any(s.y <= height <= s.y + s.height for s in shapes):
            possible.append(height)
    chosen = set()
    for column in range(1, columns):
        target = drawn.height * column / columns
        height = min(possible, key=lambda h: abs(h - target), default=-(10**9))
        if abs(height - target) < drawn.height / columns / 2:
            chosen.add(height)
    return sorted(chosen)


def _inside(box: Box, frame: Frame) -> bool:
    return frame.x <= box.x < frame.x + frame.width and frame.y <= box.y < frame.y + frame.height


def _below(path: str, height: int) -> str:
    """Return the part of a path that lies below a height, from where it crosses it."""
    points = _points(path)
    first = next(i for i, (_, y) in enumerate(points) if y > height)
    (x0, y0), (x1, y1) = points[max(first - 1, 0)], points[first]
    x = x1 if y1 == y0 else x0 + (x1 - x0) * (height - y0) / (y1 - y0)
    return "M" + "L".join(f"{x} {y}" for x, y in [(round(x), height), *points[first:]])


def _around(tail: Box, foot: int, gap: int, below: str) -> str:
    """Lead an edge below its column and up along the gap before the next, to its part there."""
    x, y = tail.x + tail.width // 2, tail.y + tail.height
    to_x, top = _points(below)[0][0], 4
    return f"M{x} {y}L{x} {foot}L{gap} {foot}L{gap} {top}L{to_x} {top}L{below[1:]}"


def _points(path: str) -> list[tuple[int, int]]:
    pairs = (part.split() for part in path[1:].split("L"))
    return [(int(x), int(y)) for x, y in pairs]


def _moved(path: str, dx: int, dy: int) -> str:
    return "M" + "L".join(f"{x + dx} {y + dy}" for x, y in _points(path))


def _shifted(item: Shape, dx: int, dy: int) -> Shape:
    return msgspec.structs.replace(item, x=item.x + dx, y=item.y + dy)


def clip(line: str) -> str:
    """Cut a line to what a box holds, in the middle: both ends of a layer's name tell it apart."""
    text = " ".join(line.split())
    if len(text) <= _LONGEST_LINE:
        return text
    half = (_LONGEST_LINE - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def box_size(lines: Sequence[str]) -> tuple[int, int]:
    """Return width and height of a box in CSS pixels, from our own table of character widths."""
    widths = [_text_width(line) for line in lines]
    return round(max(1.1 * widths[0], *widths[1:], 0)) + 20, _LINE * len(lines) + 11


def _text_width(line: str) -> float:
    return sum(_WIDTHS.get(c, 6.8 if ord(c) < 0x2E80 else 13) for c in line)


def _dot(
    nodes: Sequence[Node],
    sizes: Sequence[tuple[int, int]],
    edges: Sequence[tuple[int, int]],
    clusters: Mapping[str, Cluster],
    keys: Mapping[str, str],
) -> str:
    import pydot

    graph = pydot.Dot("g", graph_type="digraph", splines="polyline", nodesep="0.2", ranksep="0.28")
    graph.set_node_defaults(shape="box", fixedsize="true", label='""')
    if len(nodes) > 600:
        graph.set("nslimit", "1")
        graph.set("nslimit1", "1")
        graph.set("mclimit", "0.5")
    groups: dict[str | None, Any] = {None: graph}
    for key, cluster in clusters.items():
        groups[key] = pydot.Cluster(keys[key].removeprefix("cluster_"), margin="14")
        width = round(1.1 * _text_width(clip(cluster.label)) + 12)
        groups[key].set("label", f'<<table border="0" fixedsize="true" width="{width}" height="14">'
                        "<tr><td></td></tr></table>>")  # fmt: skip
    for number, (node, (width, height)) in enumerate(zip(nodes, sizes, strict=True)):
        size = {"width": f"{width / _POINTS:.4f}", "height": f"{height / _POINTS:.4f}"}
        groups[node.cluster].add_node(pydot.Node(f"n{number}", **size))
    for key in reversed(list(clusters)):
        groups[clusters[key].parent].add_subgraph(groups[key])
    for tail, head in edges:
        graph.add_edge(pydot.Edge(f"n{tail}", f"n{head}"))
    return str(graph.to_string())


def _run(dot: str) -> dict[str, Any]:
    try:
        answer = run_file(Path(__file__).with_name("layout.py"), given=dot, seconds=TIME_LIMIT)
    except ChildError as error:
        raise LayoutError(f"the layout was given up, {error}") from None
    if answer.code != 0:
        raise LayoutError(answer.problem.removeprefix("RuntimeError: ") or "Graphviz failed")
    result: dict[str, Any] = json.loads(answer.out)
    return result


def _frame(bb: Sequence[float], left: float, top: float, label: str) -> Frame:
    x, y, right, upper = bb
    return Frame(
        round(x - left), round(top - upper), round(right - x), round(upper - y), clip(label)
    )


def _path(position: str, left: float, top: float) -> str:
    """Turn ``e,x,y x,y x,y …`` (arrow tip, then Bézier points) into SVG path data.

    Polylines come as Béziers whose inner points lie on the line: every third point is a corner.
    """
    points: list[tuple[float, float]] = []
    tip: tuple[float, float] | None = None
    for mark, x, y in re.findall(
        r"(?:(e|s),)?(-?[\d.]+(?:e[+-]?\d+)?),(-?[\d.]+(?:e[+-]?\d+)?)", position
    ):
        point = (float(x) - left, top - float(y))
        if mark == "e":
            tip = point
        elif mark != "s":
            points.append(point)
    corners = [*points[::3], *([tip] if tip else [])]
    return "M" + "L".join(f"{round(x)} {round(y)}" for x, y in corners)
