"""The few rich plots: matplotlib, object-oriented API, as SVG files that follow light and dark."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from reportgen.drawing.assets import AssetStore
    from reportgen.report.leaves import Figure

_INK, _GRID, _FIRST, _SECOND = "#1a1c1e", "#d9dce0", "#1f5fbf", "#b45309"
_DARK = {_INK: "#e4e6e9", _GRID: "#3a3f45", _FIRST: "#8ab4f8", _SECOND: "#f0b56a"}
_STYLE: Any = {
    "svg.hashsalt": "reportgen",
    "svg.fonttype": "none",
    "font.family": ["sans-serif"],
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
}


@contextlib.contextmanager
def _styled() -> Iterator[None]:
    """Draw in our own style alone: a ``matplotlibrc`` in the user's folder may not even ask for LaTeX.

    Names in any script are drawn without a warning: they stay text, and the reader's fonts have their signs.
    """
    from matplotlib import rc_context, rcdefaults, rcParams

    with rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        rcdefaults()
        rcParams.update(_STYLE)
        yield


_CONTROLS = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""What no XML file may hold."""
MOST_POINTS = 2000
"""Points of a line that is drawn; a screen has no more columns."""


class Lines(NamedTuple):
    """A named line; NaN breaks it, unless its points are ``joined``."""

    name: str
    values: NDArray[Any]
    joined: bool = False


def lines_figure(
    store: AssetStore,
    x: NDArray[Any],
    lines: Sequence[Lines],
    label: str,
    alt: str,
    *,
    mark: int | None = None,
    log: bool = False,
) -> Figure:
    """Plot at most two lines over epochs; ``mark`` is an epoch to point at."""
    with _styled():
        from matplotlib.figure import Figure as Canvas
        from matplotlib.ticker import MaxNLocator

        canvas = Canvas(figsize=(5.2, 2.8))
        canvas.subplots_adjust(left=0.13, right=0.98, bottom=0.16, top=0.96)
        axes = canvas.subplots()
        for line, colour in zip(lines, (_FIRST, _SECOND), strict=False):
            there = ~(np.isnan(line.values) & line.joined)
            values, at = line.values[there], x[: len(there)][there]
            shown = thinned(values)
            axes.plot(
                at[shown].tolist(),
                values[shown].tolist(),
                color=colour,
                linewidth=1.6,
                marker="." if len(x) <= 40 else None,
                label=line.name,
            )
        if mark is not None:
            axes.axvline(mark, color=_INK, linewidth=0.8, linestyle=(0, (2, 2)))
        if log:
            axes.set_yscale("log")
        if len(lines) > 1:
            axes.legend(frameon=False)
        axes.set_ylabel(_CONTROLS.sub("\ufffd", label[:40]).replace("$", r"\$"))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _save(store, canvas, alt)


def thinned(values: NDArray[Any], most: int = MOST_POINTS) -> NDArray[Any]:
    """Return the indices of at most ``most`` points that draw the same line: of each stretch the extremes.

    The first and the last are kept; a stretch that holds NaN keeps one, so that the line breaks there.
    """
    if len(values) <= most:
        return np.arange(len(values))
    kept = {0, len(values) - 1}
    stretches = most // 3 - 1
    edges = [index * len(values) // stretches for index in range(stretches + 1)]
    for start, stop in pairwise(edges):
        stretch = values[start:stop]
        known = np.flatnonzero(~np.isnan(stretch))
        if known.size:
            kept.add(start + int(known[stretch[known].argmin()]))
            kept.add(start + int(known[stretch[known].argmax()]))
        if known.size < stretch.size:
            kept.add(start + int(np.isnan(stretch).argmax()))
    return np.array(sorted(kept))


def square_figure(
    store: AssetStore,
    curves: Sequence[tuple[Any, Any, str]],
    labels: tuple[str, str],
    alt: str,
    *,
    diagonal: bool = False,
    marked: bool = False,
) -> Figure:
    """Plot curves over the unit square; each is x, y and a name."""
    with _styled():
        from matplotlib.figure import Figure as Canvas

        canvas = Canvas(figsize=(4.0, 3.4))
        canvas.subplots_adjust(left=0.16, right=0.97, bottom=0.15, top=0.97)
        axes = canvas.subplots()
        if diagonal:
            axes.plot((0, 1), (0, 1), color=_GRID, linewidth=1)
        for (x, y, name), colour in zip(curves, (_FIRST, _SECOND), strict=False):
            marker = "o" if marked else None
            axes.plot(
                x,
                y,
                color=colour,
                linewidth=1.6,
                marker=marker,
                markersize=4,
                label=name,
                clip_on=False,
            )  # a dot at 1 stays whole
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        return _save(store, canvas, alt)


def points_figure(
    store: AssetStore,
    x: Any,
    y: Any,
    labels: tuple[str, str],
    alt: str,
) -> Figure:
    """Plot points and the diagonal."""
    with _styled():
        from matplotlib.figure import Figure as Canvas

        canvas = Canvas(figsize=(4.0, 3.4))
        canvas.subplots_adjust(left=0.18, right=0.97, bottom=0.15, top=0.97)
        axes = canvas.subplots()
        ends = (min(*x, *y), max(*x, *y))
        axes.plot(ends, ends, color=_GRID, linewidth=1)
        axes.plot(x, y, color=_FIRST, linestyle="none", marker=".", markersize=4, alpha=0.5)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        return _save(store, canvas, alt)


def _save(store: AssetStore, canvas: Any, alt: str) -> Figure:
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    width, height = (round(inches * 96) for inches in canvas.get_size_inches())
    return store.add(_themed(buffer.getvalue()), "svg", width=width, height=height, alt=alt)


def _themed(svg: bytes) -> bytes:
    """Give the SVG a style for dark pages: matplotlib writes colours as inline styles."""
    rules = "".join(
        f'[style*="fill: {light}"]{{fill:{dark}!important}}'
        f'[style*="stroke: {light}"]{{stroke:{dark}!important}}'
        for light, dark in _DARK.items()
    )
    sheet = f"<style>@media (prefers-color-scheme:dark){{{rules}}}</style>".encode()
    cleaned = re.sub(rb"<!DOCTYPE[^>]*>\s*", b"", svg)
    return re.sub(rb"(<svg[^>]*>)", lambda match: match.group(1) + sheet, cleaned, count=1)
