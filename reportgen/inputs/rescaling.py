"""Which values a network's own first layer expects: its numbers say it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reportgen.network.facts import InputRescaling

RANGES = {
    "none": (0.0, 255.0),
    "unit": (0.0, 1.0),
    "symmetric": (-1.0, 1.0),
    "uint16": (0.0, 65535.0),
}
"""Least and largest value that each way of feeding an image has."""
_USUAL = ((0.0, 1.0), (-1.0, 1.0), (-0.5, 0.5))
"""Ranges that images are brought to."""
_OF_CHANNELS = ((-116.3, 138.7), (-2.1, 2.5))
"""Likewise with a number for each channel: less the means of ImageNet's, and in their standard deviations."""
_WORDS = {"none": "0..255", "unit": "0..1", "symmetric": "-1..1", "uint16": "0..65535"}
_EQUAL = 0.8
"""The nearest range's distance must be below this part of the second's, else both are said to fit."""


class Expected(NamedTuple):
    """What the first layer expects.

    Attributes:
        mode: how images are fed to it.
        because: the reason in words.
        also: a second range that fits about as well, in words; empty where none does.
    """

    mode: str
    because: str
    also: str = ""


def expected_by(rescaling: InputRescaling, images: NDArray[Any] | None) -> Expected:
    """Return how images are to be fed to a Rescaling or Normalization in front.

    A Rescaling, or operations that do the same, bring the range that they expect to a usual one, so their
    factor tells it: 1/255 and 1/127.5 expect 0..255, 2 expects 0..1. A Normalization holds mean and variance of
    the values that it was adapted to: they are held against those of the images.

    Args:
        rescaling: the layer's numbers.
        images: (n, H, W, C) or (n, H, W) of 0..255; None where there are none.
    """
    distances = _of_factor(rescaling) if not rescaling.adapted else _of_moments(rescaling, images)
    ranked = sorted(distances, key=lambda mode: distances[mode])
    best, second = ranked[:2]
    layer = rescaling.layer
    equal = distances[best] > _EQUAL * distances[second] or distances[second] == 0
    also = (
        f"{_WORDS[best]} and {_WORDS[second]} fit the numbers of {layer} about equally well"
        if equal
        else ""
    )
    if best == "none":
        return Expected(best, f"The model rescales its input itself (layer {layer}).", also)
    what = "was adapted to" if rescaling.adapted else "brings to its usual range"
    return Expected(
        best, f"The model's own layer {layer} expects the {_WORDS[best]} that it {what}.", also
    )


def _of_factor(rescaling: InputRescaling) -> dict[str, float]:
    """Return how far each range is from a usual one, once it is rescaled."""
    scale, offset = float(np.mean(rescaling.scale)), float(np.mean(rescaling.offset))
    usual = (*_USUAL, *_OF_CHANNELS) if len(set(rescaling.offset)) > 1 else _USUAL
    found = {}
    for mode, ends in RANGES.items():
        low, high = sorted(end * scale + offset for end in ends)
        found[mode] = min(_apart(low, high, a, b) for a, b in usual)
    return found


def _apart(low: float, high: float, usual_low: float, usual_high: float) -> float:
    """Return how often one range is as wide as another, as a logarithm, and how far their middles are apart."""
    width, usual = max(high - low, 1e-30), usual_high - usual_low
    middle = abs((low + high) - (usual_low + usual_high)) / 2
    return abs(math.log(width / usual)) + middle / usual


def _of_moments(rescaling: InputRescaling, images: NDArray[Any] | None) -> dict[str, float]:
    """Return how far the images' mean and standard deviation are from the layer's, in each range."""
    std = 1 / np.maximum(np.abs(np.array(rescaling.scale)), 1e-12)
    mean = -np.array(rescaling.offset) * std
    shown, spread = (
        (np.array([127.5]), np.array([64.0])) if images is None else _moments(images, len(mean))
    )
    found = {}
    for mode, (low, high) in RANGES.items():
        factor = (high - low) / 255
        own, own_std = shown * factor + low, np.maximum(spread * factor, 1e-12)
        pooled = np.sqrt((own_std**2 + std**2) / 2)
        found[mode] = float(np.mean(np.abs(own - mean) / pooled + np.abs(np.log(own_std / std))))
    return found


def _moments(images: NDArray[Any], channels: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and standard deviation of each channel, of all values where the layer has one."""
    flat = images.reshape(-1, images.shape[-1] if images.ndim == 4 else 1).astype(np.float64)
    if flat.shape[1] != channels:
        flat = flat.reshape(-1, 1)
    return flat.mean(axis=0), flat.std(axis=0)
