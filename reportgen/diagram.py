"""Graph to drawing: DOT with pydot, coordinates from Graphviz, and our own boxes and paths.

Graphviz only lays out: it sees numbered nodes of fixed size and no text, so that nothing has to be
escaped for it and no machine's fonts matter.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from bisect import bisect
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from reportgen.content.architecture import Box, Diagram, Frame
from reportgen.errors import ReportgenError

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
    **dict.fromkeys("mwMW@%", 10.2),
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

    It is broken where a single edge leads on; that edge is led around to the head of the next column.

    Args:
        nodes: the boxes.
        edges: pairs of indices into ``nodes``, each once.
        clusters: frames by key.
        tallest: height in CSS pixels that fits on a screen.

    Raises:
        LayoutError: as ``draw``.
    """
    drawn = draw(nodes, edges, clusters)
    breaks = _breaks(drawn, edges, -(-drawn.height // tallest))
    if not breaks:
        return drawn
    heights = sorted(breaks.values())
    inner = {e: p for e, p in zip(sorted(edges), drawn.edges, strict=True) if e not in breaks}
    extents: list[_Extent] = [_Extent() for _ in range(len(heights) + 1)]
    shapes: list[Box | Frame] = [*drawn.boxes, *drawn.frames]
    for item in shapes:
        extents[bisect(heights, item.y)].take_in(item.x, item.x + item.width, item.y, item.height)
    for (tail, _), path in inner.items():
        for x, y in _points(path):
            extents[bisect(heights, drawn.boxes[tail].y)].take_in(x, x, y, 0)
    starts = [sum(e.width + _GAP for e in extents[:k]) for k in range(len(extents))]

    def shift(y: int) -> tuple[int, int]:
        column = bisect(heights, y)
        return starts[column] - extents[column].left, _AROUND - extents[column].top

    boxes = tuple(_shifted(box, *shift(box.y)) for box in drawn.boxes)
    paths = {edge: _moved(path, *shift(drawn.boxes[edge[0]].y)) for edge, path in inner.items()}
    for (tail, head), height in breaks.items():
        number = bisect(heights, height)
        foot = extents[number - 1].height + 2 * _AROUND - 4
        paths[tail, head] = _around(boxes[tail], boxes[head], foot, starts[number] - _GAP // 2)
    return Diagram(
        starts[-1] + extents[-1].width,
        max(e.height for e in extents) + 2 * _AROUND,
        boxes,
        tuple(_shifted(frame, *shift(frame.y)) for frame in drawn.frames),
        tuple(paths[edge] for edge in sorted(edges)),
        drawn.engine,
    )


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


def _breaks(
    drawn: Diagram, edges: Sequence[tuple[int, int]], columns: int
) -> dict[tuple[int, int], int]:
    """Return the edges at which to break, and the heights: alone there, no box or frame beside."""
    alone = []
    for tail, head in edges:
        height = drawn.boxes[head].y - 3
        foot = drawn.boxes[tail].y + drawn.boxes[tail].height
        beside = [b for b in drawn.frames if b.y <= height <= b.y + b.height]
        between = [b for b in drawn.boxes if b.y <= height and b.y + b.height > foot]
        crossing = [e for e in edges if drawn.boxes[e[0]].y < height < drawn.boxes[e[1]].y]
        if crossing == [(tail, head)] and not beside and not between:
            alone.append(((tail, head), height))
    chosen = {}
    for column in range(1, columns):
        target = drawn.height * column / columns
        edge, height = min(alone, key=lambda a: abs(a[1] - target), default=((0, 0), -(10**9)))
        if abs(height - target) < drawn.height / columns / 2:
            chosen[edge] = height
    return chosen


def _around(tail: Box, head: Box, foot: int, gap: int) -> str:
    """Lead an edge below its column, up along the gap before the next, to that column's head."""
    x, y = tail.x + tail.width // 2, tail.y + tail.height
    to_x, top = head.x + head.width // 2, head.y - _AROUND + 4
    return f"M{x} {y}L{x} {foot}L{gap} {foot}L{gap} {top}L{to_x} {top}L{to_x} {head.y}"


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
        width = round(1.1 * _text_width(clip(cluster.label)) + 4)
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
        done = subprocess.run(
            [sys.executable, "-m", "reportgen.layout"],
            input=dot,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LayoutError(f"the layout took longer than {TIME_LIMIT} seconds") from None
    except OSError as error:
        raise LayoutError(f"the layout could not be started ({error.strerror})") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise LayoutError(lines[-1].removeprefix("RuntimeError: ") if lines else "Graphviz failed")
    result: dict[str, Any] = json.loads(done.stdout)
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
