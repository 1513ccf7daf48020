"""Graph to drawing: DOT with pydot, coordinates from Graphviz, and our own boxes and paths.

Graphviz only lays out: it sees numbered nodes of fixed size and no text, so that nothing has to be
escaped for it and no machine's fonts matter.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from reportgen.content.architecture import Box, Diagram, Frame
from reportgen.errors import ReportgenError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        edges: pairs of indices into ``nodes``.
        clusters: frames by key.
        tallest: height in CSS pixels that fits on a screen.

    Raises:
        LayoutError: as ``draw``.
    """
    drawn = draw(nodes, edges, clusters)
    breaks = _breaks(drawn, edges, -(-drawn.height // tallest))
    if not breaks:
        return drawn
    inner = [edge for edge in edges if edge not in breaks]
    split = draw(nodes, inner, clusters)
    column = _components(len(nodes), inner)
    left: dict[int, int] = {}
    for box, number in zip(split.boxes, column, strict=True):
        left[number] = min(left.get(number, box.x), box.x)
    order = sorted(left, key=lambda number: left[number])
    shift = {number: _GAP * order.index(number) for number in left}
    of_frame = [shift[column[i]] for i in _one_inside(nodes, clusters)]
    boxes = tuple(
        msgspec.structs.replace(box, x=box.x + shift[number], y=box.y + _AROUND)
        for box, number in zip(split.boxes, column, strict=True)
    )
    around = tuple(
        _around(boxes[tail], boxes[head], left[column[head]] + shift[column[head]])
        for tail, head in breaks
    )
    return Diagram(
        split.width + _GAP * (len(order) - 1),
        split.height + 2 * _AROUND,
        boxes,
        tuple(
            msgspec.structs.replace(frame, x=frame.x + dx, y=frame.y + _AROUND)
            for frame, dx in zip(split.frames, of_frame, strict=True)
        ),
        tuple(
            _moved(path, shift[column[tail]])
            for path, (tail, _) in zip(split.edges, sorted(inner), strict=True)
        )
        + around,
        split.engine,
    )


def _one_inside(nodes: Sequence[Node], clusters: Mapping[str, Cluster]) -> list[int]:
    """Return, for each frame that holds something, a node inside of it."""
    inside = [[i for i, node in enumerate(nodes) if node.cluster == key] for key in clusters]
    return [members[0] for members in inside if members]


def _breaks(
    drawn: Diagram, edges: Sequence[tuple[int, int]], columns: int
) -> list[tuple[int, int]]:
    """Return the edges at which to break: alone at their height, outside of frames."""
    alone = []
    for tail, head in edges:
        height = drawn.boxes[head].y - 3
        spans: list[Box | Frame] = [*drawn.boxes, *drawn.frames]
        beside = [b for b in spans if b.y <= height <= b.y + b.height]
        crossing = [e for e in edges if drawn.boxes[e[0]].y < height < drawn.boxes[e[1]].y]
        if crossing == [(tail, head)] and not beside:
            alone.append(((tail, head), height))
    chosen = []
    for column in range(1, columns):
        target = drawn.height * column / columns
        best = min(alone, key=lambda item: abs(item[1] - target), default=None)
        if best is not None and best[0] not in chosen:
            chosen.append(best[0])
    return chosen


def _components(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Return, for each node, the least node that it is connected with."""
    least = list(range(count))
    changed = True
    while changed:
        changed = False
        for a, b in edges:
            low = min(least[a], least[b])
            changed = changed or least[a] != low or least[b] != low
            least[a] = least[b] = low
    return least


def _around(tail: Box, head: Box, left: int) -> str:
    """Lead an edge from the foot of one column, along the gap before the next, to its head."""
    x, y = tail.x + tail.width // 2, tail.y + tail.height
    to_x, gap = head.x + head.width // 2, left - _GAP // 2 - 8
    low, high = y + _AROUND - 4, head.y - _AROUND + 4
    return f"M{x} {y}L{x} {low}L{gap} {low}L{gap} {high}L{to_x} {high}L{to_x} {head.y}"


def _moved(path: str, dx: int) -> str:
    points = (part.split() for part in path[1:].split("L"))
    return "M" + "L".join(f"{int(x) + dx} {int(y) + _AROUND}" for x, y in points)


def clip(line: str) -> str:
    """Cut a line to what a box holds, in the middle: both ends of a layer's name tell it apart."""
    text = " ".join(line.split())
    if len(text) <= _LONGEST_LINE:
        return text
    half = (_LONGEST_LINE - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def box_size(lines: Sequence[str]) -> tuple[int, int]:
    """Return width and height of a box in CSS pixels, from our own table of character widths."""
    widths = [sum(_WIDTHS.get(c, 6.8 if ord(c) < 0x2E80 else 13) for c in line) for line in lines]
    return round(max(1.1 * widths[0], *widths[1:], 0)) + 20, _LINE * len(lines) + 11


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
        width = round(sum(_WIDTHS.get(c, 6.8) for c in clip(cluster.label)) + 12)
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
