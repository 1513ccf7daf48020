"""Kernels in the order of the layers: their spread and norm over depth, an SVG that follows light and dark.

Written by hand: matplotlib alone would take longer to start than a small network's weights to measure.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.drawing.assets import AssetStore
    from reportgen.report.leaves import Figure

_WIDTH, _HEIGHT = 922, 403
_LEFT, _RIGHT = 84, 6
_UPPER, _LOWER = (8, 184), (202, 362)
"""Top and bottom of the two panels."""
_MARGIN = 0.06
"""Of a panel's height, that lines stay off its edges."""
_MOST_TICKS = 5
_STYLE = (
    "text{font:12px sans-serif;fill:#1a1c1e}.g{stroke:#d9dce0;stroke-width:.8;fill:none}"
    ".l{fill:none;stroke-width:1.8;stroke-linejoin:round}.m{stroke:#1f5fbf}.n{stroke:#b45309}"
    ".d{stroke-width:5;stroke-linecap:round}.b{fill:#1f5fbf;fill-opacity:.22}"
    "@media (prefers-color-scheme:dark){text{fill:#e4e6e9}.g{stroke:#3a3f45}.m{stroke:#8ab4f8}"
    ".n{stroke:#f0b56a}.b{fill:#8ab4f8}}"
)


class DepthPoint(NamedTuple):
    """One kernel: its layer, mean, standard deviation and root mean square."""

    layer: str
    mean: float
    std: float
    rms: float


def depth_figure(store: AssetStore, points: Sequence[DepthPoint], alt: str) -> Figure:
    """Plot mean ± standard deviation, and norm an element on a logarithmic axis, of kernels in their order."""
    size = f'width="{_WIDTH * 0.75:g}pt" height="{_HEIGHT * 0.75:g}pt" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{_STYLE}</style>']
    low, high = min(p.mean - p.std for p in points), max(p.mean + p.std for p in points)
    parts += _panel(_UPPER, _Scale(_UPPER, low, high), _even_ticks(low, high), "mean ± std")
    scale = _Scale(_UPPER, low, high)
    xs = [_x(index, len(points)) for index in range(len(points))]
    above = [(x, scale(p.mean + p.std)) for x, p in zip(xs, points, strict=True)]
    below = [(x, scale(p.mean - p.std)) for x, p in zip(xs, points, strict=True)]
    parts.append(f'<path class="b" d="{_path([*above, *reversed(below)])}Z"/>')
    parts += _line([(x, scale(p.mean)) for x, p in zip(xs, points, strict=True)], "m")
    positive = [(x, math.log10(p.rms)) for x, p in zip(xs, points, strict=True) if p.rms > 0]
    levels = [level for _, level in positive] or [0.0]
    low, high = min(levels), max(levels)
    scale = _Scale(_LOWER, low, high)
    parts += _panel(_LOWER, scale, _decades(low, high), "L2 norm / √size")
    parts += _line([(x, scale(level)) for x, level in positive], "n")
    parts += _places(len(points))
    parts.append("</svg>\n")
    return store.add("".join(parts).encode(), "svg", width=_WIDTH, height=_HEIGHT, alt=alt)


class _Scale:
    """Places of values in a panel, upwards."""

    def __init__(self, panel: tuple[int, int], low: float, high: float) -> None:
        half = max((high - low) / 2, abs(low) * 1e-3, 1e-12)
        self._middle, self._half = (low + high) / 2, half
        self._centre = sum(panel) / 2
        self._reach = (panel[1] - panel[0]) * (0.5 - _MARGIN)

    def __call__(self, value: float) -> float:
        return self._centre - self._reach * (value - self._middle) / self._half


def _x(index: int, count: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (index + 0.5) / count


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _line(places: Sequence[tuple[float, float]], colour: str) -> list[str]:
    if not places:
        return []
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in places)
    return [
        f'<path class="l {colour}" d="{_path(places)}"/>',
        f'<path class="l d {colour}" d="{dots}"/>',
    ]


def _panel(
    panel: tuple[int, int], scale: _Scale, ticks: Sequence[tuple[float, str]], label: str
) -> list[str]:
    top, bottom = panel
    parts = [f'<path class="g" d="M{_LEFT} {top}V{bottom}H{_WIDTH - _RIGHT}"/>']
    for value, text in ticks:
        y = scale(value)
        parts.append(f'<path class="g" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    middle = (top + bottom) / 2
    turned = f'transform="rotate(-90 14 {middle:g})" text-anchor="middle"'
    parts.append(f'<text x="14" y="{middle:g}" {turned}>{label}</text>')
    return parts


def _even_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return at most five round values between two, with their texts."""
    span = max(high - low, abs(low) * 1e-3, 1e-12)
    size = 10.0 ** math.floor(math.log10(span))
    step = next(s for s in (size / 5, size / 2, size, 2 * size) if span / s < _MOST_TICKS)
    first = math.ceil(low / step)
    return [(n * step, f"{n * step:.6g}") for n in range(first, math.floor(high / step) + 1)]


def _decades(low: float, high: float) -> list[tuple[float, str]]:
    """Return powers of ten between two logarithms; both ends where none, or only one, lies there."""
    step = math.ceil((high - low) / _MOST_TICKS) or 1
    found = list(range(math.ceil(low), math.floor(high) + 1, step))
    if len(found) > 1:
        return [(float(n), f"{10.0**n:g}") for n in found]
    ends = [low, high] if high - low > 1e-3 else [low]
    return [(level, f"{10.0**level:.3g}") for level in ends]


def _places(count: int) -> list[str]:
    """Return the numbers of kernels, from 1 on, and what they count."""
    size = 1
    while count > 12 * size:
        size = size * 5 // 2 if str(size)[0] == "2" else size * 2
    y = _LOWER[1] + 16
    parts = [
        f'<text x="{_x(number - 1, count):.1f}" y="{y}" text-anchor="middle">{number}</text>'
        for number in range(size, count + 1, size)
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    said = "kernel, in the order of the layers"
    return [*parts, f'<text x="{middle:g}" y="{y + 18}" text-anchor="middle">{said}</text>']
