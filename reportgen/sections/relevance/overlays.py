"""Relevance maps as pictures: over the image, and alone on their own grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from reportgen.drawing.pictures import (
    SMALL,
    diverging_palette,
    lossless,
    own_window,
    palette_picture,
    photograph,
    relevance_overlay,
    viridis_palette,
)
from reportgen.drawing.series import Band, series_figure
from reportgen.numerics import finite_number, six_digits
from reportgen.report.content.relevance import Peak
from reportgen.sections.relevance import evidence as ev
from reportgen.sections.relevance.perturbation import at_size
from reportgen.sections.relevance.trials import evidence_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.drawing.assets import AssetStore
    from reportgen.report.content.relevance import RelevanceMap
    from reportgen.report.leaves import Figure
    from reportgen.sections.relevance.proof import Explanation


def with_pictures(
    store: AssetStore, made: Explanation, one: RelevanceMap, bands: Sequence[int]
) -> RelevanceMap:
    """Return a map's record completed by its pictures, place and numbers; over the image's ``bands``."""
    values = made.map.values
    x, y = ev.peak_of(values)
    tenth = ev.in_brightest_tenth(values, made.asked.question.pixels.shape)
    where = place_of(made, x, y)
    said = f"{tenth:.0%} within the brightest tenth" if tenth is not None else "all of it against"
    alt = f"{made.method.title} for {one.target.name}, {one.name}: relevance strongest {where}, {said}."
    full = full_colour(values)
    change = made.map.change
    error = made.map.completeness
    return msgspec.structs.replace(
        one,
        overlay=over_image(store, made, full, alt, bands),
        alone=None if made.asked.question.series else map_alone(store, made, full),
        peak=Peak(finite_number(x), finite_number(y)),
        full_colour=six_digits(full),
        gini=six_digits(ev.gini(values)),
        in_tenth=six_digits(tenth),
        completeness_error=six_digits(error),
        completeness_share=six_digits(abs(error / change))
        if error is not None and change
        else None,
        evidence=evidence_of(made),
    )


def place_of(made: Explanation, x: float, y: float) -> str:
    """Return a place, in fractions of the image, in words; of a series its step."""
    question = made.asked.question
    if not question.series:
        return ev.place_in_words(x, y)
    steps = question.pixels.shape[1]
    return f"around step {min(int(x * steps), steps - 1)} of 0 to {steps - 1}"


def full_colour(values: NDArray[Any]) -> float:
    """Return the magnitude at which colours are full: the largest, of fine maps the 99.5th percentile."""
    magnitudes = np.abs(values)
    if values.size > 32 * 32:
        full = float(np.percentile(magnitudes, 99.5))
        if full > 0:
            return full
    return float(magnitudes.max())


def _scaled(made: Explanation, full: float) -> tuple[NDArray[Any], bytes]:
    """Return a map within [0, 1], or [-1, 1] where signed, and its palette."""
    palette = diverging_palette() if made.method.signed else viridis_palette()
    return np.clip(made.map.values / full, -1, 1), palette


def over_image(
    store: AssetStore, made: Explanation, full: float, alt: str, bands: Sequence[int]
) -> Figure:
    """Return a map over its image's ``bands``; colours are full at magnitude ``full``."""
    pixels = made.asked.question.pixels
    scaled, palette = _scaled(made, full)
    if made.asked.question.series:
        band = Band(scaled[0], palette, made.method.signed)
        return series_figure(store, pixels[0], alt, band)
    painted = relevance_overlay(
        own_window(pixels, bands),
        at_size(scaled, pixels.shape),
        palette,
        signed=made.method.signed,
    )
    return (photograph if max(painted.shape[:2]) > SMALL else lossless)(store, painted, alt)


def map_alone(store: AssetStore, made: Explanation, full: float) -> Figure:
    """Return a map by itself, one pixel a cell."""
    scaled, palette = _scaled(made, full)
    share = (scaled + 1) / 2 if made.method.signed else scaled
    rows, columns = share.shape
    alt = f"The same map alone, {rows} by {columns}."
    return palette_picture(store, np.rint(share * 254).astype(np.uint8), palette, alt)
