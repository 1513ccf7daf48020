"""The flow strip: the network's blocks, as high as their resolution and as wide as their channels."""

from __future__ import annotations

from math import log2, prod
from typing import TYPE_CHECKING, NamedTuple

from reportgen.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.page.joined import LayerCard
    from reportgen.report.content.architecture import ArchitectureContent, Group

WIDTH, HEIGHT, GAP = 960, 120, 3
_MARKS = {"error": "bad", "warning": "warn"}


class Block(NamedTuple):
    """One block as drawn; lengths in the strip's units, 960 by 120.

    Attributes:
        group: index of the architecture's group.
        mark: ``bad`` or ``warn`` where a layer of it has findings; else empty.
    """

    group: int
    x: float
    y: float
    width: float
    height: float
    mark: str
    title: str


def flow(content: ArchitectureContent, cards: Sequence[LayerCard]) -> list[Block]:
    """Return the blocks that hold layers, in the order of the network.

    Height grows with the logarithm of the side of the output's grid, width with that of its channels: 224 and 7
    pixels, 3 and 1,280 channels fit on one strip.
    """
    groups = [(index, group) for index, group in enumerate(content.groups) if group.layers]
    if not groups:
        return []
    worst = {card.path: card.worst for card in cards}
    heights = [_steps(_side(group)) for _, group in groups]
    widths = [_steps(group.shape[-1] if group.shape else 1) for _, group in groups]
    gap = min(GAP, WIDTH / len(groups) / 4)
    unit = (WIDTH - gap * (len(groups) - 1)) / sum(widths)
    blocks, x = [], 0.0
    for (index, group), height, width in zip(groups, heights, widths, strict=True):
        tall = round(HEIGHT * height / max(heights), 1)
        marks = {_MARKS.get(worst.get(path, ""), "") for path in group.layers}
        mark = next((mark for mark in ("bad", "warn") if mark in marks), "")
        wide = round(width * unit, 1)
        blocks.append(
            Block(index, round(x, 1), round(HEIGHT - tall, 1), wide, tall, mark, _title(group))
        )
        x += width * unit + gap
    return blocks


def _side(group: Group) -> float:
    """Return the side of a square with as many places as the output's grid; 1 for a vector."""
    grid = group.shape[:-1]
    return prod(grid) ** (1 / len(grid)) if grid else 1.0


def _steps(size: float) -> float:
    return 1 + log2(max(size, 1))


def _title(group: Group) -> str:
    shape = "×".join(map(str, group.shape))
    return f"{group.title}, {shape}, {plural(len(group.layers), 'layer')}"
