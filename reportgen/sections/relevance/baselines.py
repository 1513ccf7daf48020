"""What hides parts of an image, and what integrated gradients start from: one and the same.

An attribution that starts from black and a test that hides by something else answer two questions
(Sturmfels et al. 2020, "Visualizing the Impact of Feature Attribution Baselines").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.sections.relevance.perturbation import GRID, SAME, spans_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reportgen.report.content.relevance import Baseline as Kind
    from reportgen.values import RelevanceBaseline

BLUR = 1 / GRID
"""Standard deviation of the blur in parts of the image's side: 16 pixels of 224, one cell of the evidence."""
CONSTANT = 0.75
"""A border is of one colour where this part of its pixels is."""


BASELINE_WORDS = {
    "blur": "the image itself, blurred by a fourteenth of its sides",
    "border": "the colour of the image's border, where that is constant",
    "mean": "the mean colour of the image",
}
"""What hides parts of an image, beside black."""


class Baseline(NamedTuple):
    """A baseline for one image.

    Attributes:
        kind: what it is.
        pixels: shaped as the image, float32, in its units.
    """

    kind: Kind
    pixels: NDArray[Any]


def baseline_of(
    image: NDArray[Any], black: NDArray[Any], wanted: RelevanceBaseline, *, series: bool
) -> Baseline:
    """Return what hides parts of an image.

    Args:
        image: (H, W) or (H, W, C) as fed; a series as one row.
        black: shaped likewise: black in the image's units, of a series its mean.
        wanted: ``auto`` is the border's colour where that is constant, black for a series, else the blurred
            image.
        series: whether it is a series.
    """
    if wanted == "auto":
        if series:
            return Baseline("black", black)
        colour, constant = border_of(image)
        if constant:
            return Baseline("border", np.broadcast_to(colour, image.shape).astype(np.float32))
        wanted = "blur"
    if wanted == "black":
        return Baseline("black", black)
    if wanted == "mean":
        mean = image.mean(axis=(0, 1), dtype=np.float64)
        return Baseline("mean", np.broadcast_to(mean, image.shape).astype(np.float32))
    return Baseline("blur", blurred(image))


def border_of(image: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """Return the median colour of the outermost pixels, and whether most of them have it."""
    ring = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    colour = np.median(ring, axis=0)
    with np.errstate(invalid="ignore"):  # images of floats may hold infinity
        near = np.abs(ring - colour) <= SAME * spans_of(image)
    return colour, bool(np.mean(near.all(axis=-1) if near.ndim == 2 else near) >= CONSTANT)


def blurred(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image under a Gaussian of ``BLUR`` of each side, weights beyond the edge left out; float32."""
    down, across = (_gaussian(size) for size in image.shape[:2])
    rows = np.tensordot(down, image.astype(np.float32, copy=False), axes=(1, 0))
    return np.moveaxis(np.tensordot(across, rows, axes=(1, 1)), 0, 1)


def _gaussian(size: int) -> NDArray[Any]:
    """Return the (size, size) matrix that blurs one axis."""
    place = np.arange(size, dtype=np.float32)
    weights = np.exp(-0.5 * ((place[:, None] - place) / np.float32(BLUR * size)) ** 2)
    result: NDArray[Any] = weights / weights.sum(axis=1, keepdims=True)
    return result
