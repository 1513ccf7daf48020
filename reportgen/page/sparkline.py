"""Histogram sparklines: the fixed logarithmic bins drawn on a linear axis, without NumPy.

Within a bin (at most 12.5 % wide) values count as evenly spread, so the sum of the bars is the
number of values; what lies outside of the axis is counted in the outermost bars.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.report.leaves import Histogram

BARS = 40
WIDTH, HEIGHT = 120, 27
_ZERO = 256


@cache
def edges() -> tuple[float, ...]:
    """Return the 514 edges of the 513 fixed bins, ascending."""
    magnitudes = [2.0**octave * (1 + step / 8) for octave in range(-20, 12) for step in range(8)]
    magnitudes.append(2.0**12)
    return (*(-m for m in reversed(magnitudes)), *magnitudes)


def bars(histogram: Histogram, low: float, high: float, count: int = BARS) -> list[float]:
    """Return how many values fall into each of ``count`` equal bars from ``low`` to ``high``."""
    heights = [0.0] * count
    width = (high - low) / count
    bounds = edges()
    for index, values in enumerate(histogram.counts, histogram.first):
        if not values:
            continue
        left, right = (0.0, 0.0) if index == _ZERO else (bounds[index], bounds[index + 1])
        _spread(heights, values, (left - low) / width, (right - low) / width)
    return heights


def _spread(heights: list[float], values: int, start: float, end: float) -> None:
    """Add ``values``, evenly spread from ``start`` to ``end`` in units of bars."""
    last = len(heights) - 1
    first, final = min(max(int(start // 1), 0), last), min(max(int(end // 1), 0), last)
    if first == final or end <= start:
        heights[first] += values
        return
    density = values / (end - start)
    for bar in range(first, final + 1):
        left = start if bar == first else bar
        right = end if bar == final else bar + 1
        heights[bar] += density * (right - left)


def sparkline(histogram: Histogram, low: float, high: float) -> str:
    """Return the outline of the bars as an SVG path in a box of 120 by 27, scaled to the highest bar."""
    heights = bars(histogram, low, high)
    top = max(heights, default=0)
    if top <= 0:
        return "M0 27"
    step = WIDTH / len(heights)
    parts = [f"M0 {HEIGHT}"]
    before = ""
    for index, height in enumerate(heights):
        level = f"{HEIGHT - (HEIGHT - 1) * height / top:.1f}"
        if height > 0:
            level = min(level, f"{HEIGHT - 0.6:.1f}", key=float)
        if level != before:
            parts.append(f"{'' if index == 0 else f'H{index * step:g}'}V{level}")
            before = level
    parts.append(f"H{WIDTH}V{HEIGHT}Z")
    return "".join(parts)


def curve_over_depth(values: Sequence[float | None], width: int, height: int) -> str:
    """Return a line through positive values on a logarithmic axis as an SVG path.

    The least value lies at ``height``, the largest at 0; what is not positive breaks the line.

    Args:
        values: in the order of execution.
        width: of the chart; values stand in the middle of equal steps.
        height: of the chart.
    """
    logs = [math.log10(v) if v is not None and v > 0 else None for v in values]
    known = [v for v in logs if v is not None]
    if not known:
        return ""
    low, span = min(known), (max(known) - min(known)) or 1.0
    step = width / len(values)
    parts, begun = [], False
    for index, value in enumerate(logs):
        if value is None:
            begun = False
            continue
        y = height * (1 - (value - low) / span)
        parts.append(f"{'L' if begun else 'M'}{(index + 0.5) * step:.1f} {y:.1f}")
        begun = True
    return "".join(parts)


def bars_over_depth(shares: Sequence[float], width: int, height: int) -> str:
    """Return shares in [0, 1] as bars that hang from the top, as an SVG path."""
    step = width / max(len(shares), 1)
    return "".join(
        f"M{index * step:.1f} 0H{(index + 1) * step:.1f}V{height * share:.1f}H{index * step:.1f}Z"
        for index, share in enumerate(shares)
        if share > 0
    )
