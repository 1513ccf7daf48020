"""Series as lines over their steps, and relevance along them: SVG files that follow light and dark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.drawing.figures import thinned
from reportgen.numerics import resize_bilinear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.drawing.assets import AssetStore
    from reportgen.report.leaves import Figure

MOST_LINES = 6
"""Channels that are drawn; more lines are not told apart."""
_MOST_CELLS = 256
"""Cells of a band; a screen shows no more of them."""
_WIDTH, _HEIGHT = 480, 228
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 26, 22
_STRIP = 16
"""Height of the band below the lines, with the gap above it."""
_FOR = 0.85
"""Place of the palette's colour that lies behind what speaks for the target."""
_LIGHT = ("#1f5fbf", "#b45309", "#0b7a5b", "#a3378c", "#1a1c1e", "#6b7280")
_DARK = ("#8ab4f8", "#f0b56a", "#5fd0a8", "#e58fd0", "#e4e6e9", "#9aa3ad")
_STYLE = (
    "text{font:14px sans-serif;fill:#5c636b}.a{stroke:#d9dce0;fill:none}.l{fill:none;stroke-width:1.8;"
    "stroke-linejoin:round}"
    + "".join(f".c{k}{{stroke:{colour}}}" for k, colour in enumerate(_LIGHT))
    + ".c3,.c4,.c5{stroke-dasharray:6 3}@media (prefers-color-scheme:dark){text{fill:#a3abb4}"
    ".a{stroke:#3a3f45}" + "".join(f".c{k}{{stroke:{colour}}}" for k, colour in enumerate(_DARK))
) + "}"


class Band(NamedTuple):
    """Relevance along the steps.

    Attributes:
        values: (cells,), evenly over the series, in [0, 1] or [-1, 1] where signed.
        palette: 255 colours from 0 to 1, or from -1 to 1.
        signed: which of them.
    """

    values: NDArray[Any]
    palette: bytes
    signed: bool


def drawn_channels(series: NDArray[Any], most: int = MOST_LINES) -> tuple[int, ...]:
    """Return the channels of (steps, channels) that are drawn: of more, those with the largest variance."""
    channels = series.shape[1]
    if channels <= most:
        return tuple(range(channels))
    wide = np.where(np.isfinite(series), series, np.nan).astype(np.float64)
    known = np.isfinite(wide).any(axis=0)
    spread = np.full(channels, -1.0)
    spread[known] = np.nanvar(wide[:, known], axis=0)
    return tuple(sorted(int(c) for c in np.argsort(-spread, kind="stable")[:most]))


def series_figure(
    store: AssetStore, series: NDArray[Any], alt: str, band: Band | None = None
) -> Figure:
    """Draw the lines of (steps, channels); with a band, it lies below them in its own cells and faintly behind.

    Behind them it is resized to the steps; the less relevant, the less is covered.
    """
    shown = drawn_channels(series)
    bottom = _HEIGHT - _BOTTOM - (_STRIP if band else 0)
    low, high = _range(series[:, shown])
    size = f'width="{_WIDTH * 0.75:g}pt" height="{_HEIGHT * 0.75:g}pt" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{_STYLE}</style>']
    if band:
        parts += _cells(_behind(band.values, len(series)), band, _TOP, bottom - _TOP, faint=True)
        cells = _averaged(band.values, _MOST_CELLS)
        parts += _cells(cells, band, bottom + 4, _STRIP - 4, faint=False)
    parts += _axes(len(series), low, high, bottom)
    parts += _legend(shown, series.shape[1])
    for slot, channel in enumerate(shown):
        line = _line(series[:, channel].astype(np.float64), low, high, bottom)
        parts.append(f'<path class="l c{slot}" d="{line}"/>')
    parts.append("</svg>\n")
    return store.add("".join(parts).encode(), "svg", width=_WIDTH, height=_HEIGHT, alt=alt)


def _range(values: NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    half = max(0.5, abs(low) * 1e-3)
    return (low, high) if high > low else (low - half, low + half)


def _x(step: float, steps: int) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / steps


def _line(values: NDArray[Any], low: float, high: float, bottom: int) -> str:
    """Return a line as an SVG path; a value stands in the middle of its step, what is not finite breaks it."""
    values = np.where(np.isfinite(values), values, np.nan)
    parts, begun = [], False
    for step in thinned(values).tolist():
        if np.isnan(values[step]):
            begun = False
            continue
        y = bottom - 4 - (bottom - _TOP - 8) * (values[step] - low) / (high - low)
        parts.append(f"{'L' if begun else 'M'}{_x(step + 0.5, len(values)):.1f} {y:.1f}")
        begun = True
    return "".join(parts)


def _axes(steps: int, low: float, high: float, bottom: int) -> list[str]:
    parts = [f'<path class="a" d="M{_LEFT} {_TOP}V{bottom}H{_WIDTH - _RIGHT}"/>']
    for value, y in ((high, _TOP + 9), (low, bottom - 1)):
        parts.append(f'<text x="{_LEFT - 6}" y="{y}" text-anchor="end">{value:.3g}</text>')
    for step in _ticks(steps):
        x = _x(step + 0.5, steps)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{step}</text>')
    parts.append(f'<text x="{_LEFT - 6}" y="{_HEIGHT - 6}" text-anchor="end">step</text>')
    return parts


def _ticks(steps: int) -> range:
    """Return at most six round steps from 0 on."""
    size = 1
    while steps > 6 * size:
        size = size * 5 // 2 if str(size)[0] == "2" else size * 2
    return range(0, steps, size)


def _legend(shown: Sequence[int], channels: int) -> list[str]:
    if channels == 1:
        return []
    parts = [f'<text x="{_LEFT - 6}" y="17" text-anchor="end">ch.</text>']
    for slot, channel in enumerate(shown):
        x = _LEFT + slot * 70
        parts.append(
            f'<path class="l c{slot}" d="M{x} 12h18"/><text x="{x + 23}" y="17">{channel}</text>'
        )
    return parts


def _behind(values: NDArray[Any], steps: int) -> NDArray[Any]:
    """Return a map resized to the steps, or as many of them as can be seen."""
    if len(values) < steps:
        values = resize_bilinear(values[None, :, None], 1, steps)[0, :, 0]
    return _averaged(values, _MOST_CELLS)


def _averaged(values: NDArray[Any], most: int) -> NDArray[Any]:
    if len(values) <= most:
        return values
    edges = np.linspace(0, len(values), most + 1).round().astype(int)
    result: NDArray[Any] = np.add.reduceat(values, edges[:-1]) / np.diff(edges)
    return result


def _cells(values: NDArray[Any], band: Band, top: int, height: int, *, faint: bool) -> list[str]:
    colours = np.frombuffer(band.palette, np.uint8).reshape(-1, 3)
    parts = []
    for index, value in enumerate(np.clip(values, -1, 1).tolist()):
        place = (value + 1) / 2 if band.signed else max(value, 0.0)
        if band.signed and faint:  # what is pale in the middle of the palette is not on a dark page
            place = _FOR if value > 0 else 1 - _FOR
        colour = "".join(f"{c:02x}" for c in colours[round(place * 254)])
        opacity = min(abs(value) * 1.2, 1) * 0.45
        if faint and opacity < 0.01:
            continue
        left, right = _x(index, len(values)), _x(index + 1, len(values))
        some = f' fill-opacity="{opacity:.2f}"' if faint else ""
        parts.append(
            f'<path fill="#{colour}"{some} d="M{left:.1f} {top}H{right:.1f}v{height}H{left:.1f}Z"/>'
        )
    return [f'<g shape-rendering="crispEdges">{"".join(parts)}</g>']
