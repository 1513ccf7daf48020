"""How the pixels of optimised pictures are fed: as this report feeds its images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.inputs.preprocessing import FORMULAS, apply
from reportgen.inputs.rescaling import expected_by
from reportgen.network.protocol import InputScaling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.preprocessing import Prepared
    from reportgen.inputs.probes import ProbeSet
    from reportgen.network.facts import InputRescaling


def find_input_scaling(
    prepared: Prepared | None,
    probes: ProbeSet | None,
    rescaling: InputRescaling | None,
    channels: int,
    function: Callable[[Any], Any] | None = None,
) -> InputScaling:
    """Return how pixel values in 0..1 become what the network is fed.

    Args:
        prepared: the probes as they are fed; None without probes.
        probes: the probes.
        rescaling: by the network's own layer in front.
        channels: of the input.
        function: the user's preprocessing, from (n, H, W, C) in 0..255.
    """
    if prepared is None or probes is None or probes.image_input is None:
        if rescaling is not None:
            own = expected_by(rescaling, None).mode
            words = (
                f"{FORMULAS[own].removeprefix('raw values, ')}, which {rescaling.layer} rescales"
            )
            return _read_off(lambda x: apply(own, x), channels, words)
        words = "0..1: without probes nothing says how images are fed"
        return _read_off(lambda x: x / np.float32(255), channels, words)
    mode = prepared.facts.mode
    if function is not None:
        fed = prepared.inputs[probes.image_input]
        found = _read_off(_as_whole_images(function, fed.shape), channels, f"as {mode} maps 0..255")
        affine = _is_affine(found, function, fed.shape)
        return found if affine else _from_least_to_largest(fed, channels)
    if mode != "none" and mode in FORMULAS:
        words = f"0..255 through {mode} ({FORMULAS[mode]})"
        return _read_off(lambda x: apply(mode, x), channels, words)
    if probes.full_scale is not None:
        white = np.float32(probes.full_scale / 255)
        words = f"0..{probes.full_scale:g}, as the probes are fed"
        return _read_off(lambda x: x * white, channels, words)
    return _from_least_to_largest(prepared.inputs[probes.image_input], channels)


def _read_off(
    feed: Callable[[NDArray[Any]], NDArray[Any]], channels: int, words: str
) -> InputScaling:
    """Read an affine map of pixel values off what it makes of black and of each full channel."""
    black = np.zeros((1, 1, 1, channels), np.float32)
    offset = feed(black)[0, 0, 0].astype(np.float32)
    rows = []
    for k in range(channels):
        full = black.copy()
        full[..., k] = 255
        rows.append(feed(full)[0, 0, 0] - offset)
    return InputScaling(np.array(rows, np.float32), offset, words)


def _as_whole_images(
    function: Callable[[Any], Any], shape: Sequence[int]
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Hand single pixels to a function as whole images: it may take no others."""

    def feed(pixels: NDArray[Any]) -> NDArray[Any]:
        whole = np.broadcast_to(pixels.reshape(-1), (1, *shape[1:3], pixels.shape[-1]))
        made = np.asarray(function(whole.reshape(1, *shape[1:]).copy()), np.float32)
        return made.reshape(*whole.shape)[:, :1, :1]

    return feed


def _is_affine(found: InputScaling, function: Callable[[Any], Any], shape: Sequence[int]) -> bool:
    pixels = np.random.default_rng(0).uniform(0, 1, (1, *shape[1:])).astype(np.float32)
    made = np.asarray(function(pixels * 255), np.float32)
    channels = len(found.offset)
    expected = pixels.reshape(1, *shape[1:3], channels) @ found.matrix + found.offset
    scale = max(float(np.abs(expected).max()), 1e-6)
    return bool(np.allclose(made.reshape(expected.shape), expected, atol=1e-3 * scale))


def _from_least_to_largest(fed: NDArray[Any], channels: int) -> InputScaling:
    """Take each channel from the least to the largest value of the probes."""
    values = np.where(np.isfinite(fed), fed, np.nan).reshape(-1, channels)
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    span = np.where(high > low, high - low, 1.0)
    words = f"from {float(low.min()):.4g} to {float(high.max()):.4g}, the probes' own range"
    return InputScaling(np.diag(span).astype(np.float32), low.astype(np.float32), words)


def to_pixels(fed: NDArray[Any], found: InputScaling) -> NDArray[Any]:
    """Return fed images as pixel values: the way back, by least squares where several are fed alike."""
    back: NDArray[Any] = (fed.astype(np.float64) - found.offset) @ np.linalg.pinv(found.matrix)
    return back.astype(np.float32)
