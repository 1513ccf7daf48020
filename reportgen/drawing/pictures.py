"""Arrays to encoded pictures: Pillow only, and the same bytes for the same array."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from reportgen.numerics import stripes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.drawing.assets import AssetStore
    from reportgen.report.leaves import Figure

SMALL = 96
"""Pictures up to this many pixels a side are data: stored without loss and never smoothed."""
COLOURS = 4
"""Most channels of a picture in colours (and alpha); more are bands, each with a range of its own."""
LARGEST = 512
"""Longest side of a stored photograph."""
ILLUSTRATION = 1600
"""Longest side of a picture of the user's notes."""
FEW_COLOURS = 4096
"""Colours up to which such a picture is a drawing."""

MASK_COLOURS = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (213, 94, 0),
    (86, 180, 233),
    (240, 228, 66),
    (127, 60, 141),
)
"""Colours of mask classes, told apart by colour-blind readers (Okabe and Ito, 2008, and one more)."""


class Window(NamedTuple):
    """The values shown black and white."""

    low: float
    high: float


def percentile_window(array: NDArray[Any]) -> Window:
    """Return the 1st and 99th percentile of the finite values, widened where they coincide."""
    finite = array[np.isfinite(array)].astype(np.float64)
    if not finite.size:
        return Window(0.0, 1.0)
    low, high = (float(v) for v in np.percentile(finite, (1, 99)))
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    half = max(0.5, abs(low) * 1e-3)  # 0.5 would be lost in a large value's rounding
    return Window(low, high) if high > low else Window(low - half, low + half)


def window_of(array: NDArray[Any]) -> Window:
    """Return 0..255 where the values are of that range, else the 1st to the 99th percentile."""
    finite = array[np.isfinite(array)]
    if finite.size and finite.min() >= 0 and 2 < finite.max() <= 255:
        return Window(0.0, 255.0)
    return percentile_window(array)


def for_the_eye(
    array: NDArray[Any], full_scale: float | None, bands: Sequence[int] = ()
) -> NDArray[Any]:
    """Return (H, W, 1 or 3) uint8 of at most 512 pixels a side: what is kept of an image as given.

    Args:
        array: (H, W, C) of any range.
        full_scale: the value of white; None for the window of the values themselves. Of more than four
            channels each has its own window.
        bands: the channels that are shown; see ``shown_bands``.
    """
    if array.shape[2] > COLOURS:
        return shrunk(own_window(array, bands))
    window = window_of(array) if full_scale is None else Window(0.0, full_scale)
    return shrunk(to_bytes(as_rgb(array, bands), window))


def own_window(pixels: NDArray[Any], bands: Sequence[int] = ()) -> NDArray[Any]:
    """Return (H, W, 1 or 3) uint8 from (H, W) or (H, W, C) of any range, by the window of its own values.

    Of more than four channels each that is shown has a window of its own: bands differ in their ranges.
    """
    if pixels.ndim == 3 and pixels.shape[2] > COLOURS:
        chosen = (pixels[..., band] for band in shown_bands(pixels.shape[2], bands))
        return np.stack([to_bytes(band, percentile_window(band)) for band in chosen], axis=-1)
    image = to_bytes(pixels, window_of(pixels))
    return as_rgb(image if image.ndim == 3 else image[..., None], bands)


def shrunk(image: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W, 1 or 3) uint8 with a longest side of at most 512 pixels."""
    height, width = image.shape[:2]
    if max(height, width) <= LARGEST:
        return image
    scale = LARGEST / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    small = np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
    return small if small.ndim == 3 else small[..., None]


def to_bytes(array: NDArray[Any], window: Window) -> NDArray[Any]:
    """Map ``window`` to 0..255 uint8; NaN becomes black."""
    if array.dtype == np.uint8 and window == (0.0, 255.0):
        return array
    result = np.empty(array.shape, np.uint8)
    for rows in stripes(array):
        scaled = (array[rows].astype(np.float64) - window.low) * (255 / (window.high - window.low))
        result[rows] = np.rint(np.nan_to_num(np.clip(scaled, 0, 255)))
    return result


def shown_bands(channels: int, bands: Sequence[int] = ()) -> tuple[int, ...]:
    """Return the channels that are shown, one as grey or three as red, green and blue.

    Args:
        channels: how many there are.
        bands: the choice of the user; empty for the first one, or of three and more the first three.
    """
    return tuple(bands) or ((0,) if channels <= 2 else (0, 1, 2))


def as_rgb(image: NDArray[Any], bands: Sequence[int] = ()) -> NDArray[Any]:
    """Return (H, W, 1 or 3) from any channels, of the same type; see ``shown_bands``."""
    if bands and image.shape[2] > max(bands):
        return image[..., list(bands)]
    channels = image.shape[2]
    return image[..., :1] if channels <= 2 else image[..., :3]


def photograph(store: AssetStore, image: NDArray[Any], alt: str, *, whole: bool = False) -> Figure:
    """Store (H, W, C) uint8: without loss up to 96 pixels a side or in few colours, else of quality 85.

    Args:
        store: takes it.
        image: the picture.
        alt: what it says.
        whole: keep its size; else its longest side becomes 512 pixels at most.
    """
    image = as_rgb(image) if whole else shrunk(as_rgb(image))
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    if max(picture.size) <= SMALL:
        return _png(store, picture, alt, pixelated=True)
    few = image.shape[2] == 3 and picture.getcolors(FEW_COLOURS) is not None
    return _webp(store, picture, alt, lossless=few)


def illustration(store: AssetStore, image: NDArray[Any], alt: str) -> Figure:
    """Store a picture of the user's as WebP of at most 1600 pixels a side; one of few colours without loss.

    Args:
        store: takes it.
        image: (H, W, C) in 0..255, C in {1, 2, 3, 4}; what is transparent becomes white.
        alt: what it says.
    """
    pixels = np.clip(np.rint(image.astype(np.float32)), 0, 255).astype(np.uint8)
    mode = ("L", "LA", "RGB", "RGBA")[pixels.shape[2] - 1]
    picture = Image.fromarray(pixels[..., 0] if mode == "L" else pixels)
    if mode in {"LA", "RGBA"}:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    picture = picture.convert("RGB")
    picture.thumbnail((ILLUSTRATION, ILLUSTRATION), Image.Resampling.LANCZOS)
    return _webp(store, picture, alt, lossless=picture.getcolors(FEW_COLOURS) is not None)


def photograph_sheet(store: AssetStore, sheet: NDArray[Any], alt: str) -> Figure:
    """Store a sheet of thumbnails, (H, W, 3) uint8 of any size, as WebP."""
    return _webp(store, Image.fromarray(sheet), alt, lossless=False)


def lossless(store: AssetStore, image: NDArray[Any], alt: str) -> Figure:
    """Store (H, W, C) uint8 without loss, pixel for pixel."""
    image = as_rgb(image)
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    if max(picture.size) <= SMALL:
        return _png(store, picture, alt, pixelated=True)
    return _webp(store, picture, alt, lossless=True)


def _png(store: AssetStore, picture: Image.Image, alt: str, *, pixelated: bool) -> Figure:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=9)
    width, height = picture.size
    return store.add(
        buffer.getvalue(), "png", width=width, height=height, alt=alt, pixelated=pixelated
    )


def _webp(store: AssetStore, picture: Image.Image, alt: str, *, lossless: bool) -> Figure:
    buffer = io.BytesIO()
    if lossless:
        picture.save(buffer, "WEBP", lossless=True, quality=40, method=2, exact=True)
    else:
        picture.save(buffer, "WEBP", quality=85, method=3)
    width, height = picture.size
    return store.add(buffer.getvalue(), "webp", width=width, height=height, alt=alt)


def palette_picture(store: AssetStore, indices: NDArray[Any], palette: bytes, alt: str) -> Figure:
    """Store (H, W) uint8 as a PNG whose palette is the colour map: no conversion, a tenth of the size."""
    height, width = indices.shape
    picture = Image.frombytes("P", (width, height), np.ascontiguousarray(indices).tobytes())
    picture.putpalette(palette)
    return _png(store, picture, alt, pixelated=True)


@cache
def diverging_palette() -> bytes:
    """Return 256 colours from blue over near-white to red, even in lightness (after ColorBrewer's RdBu)."""
    stops = np.array(
        [
            (5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247),
            (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31),
        ],
        np.float64,
    )  # fmt: skip
    at = np.linspace(0, len(stops) - 1, 256)
    table = np.stack([np.interp(at, range(len(stops)), stops[:, c]) for c in range(3)], axis=1)
    return np.rint(table).astype(np.uint8).tobytes()


@cache
def viridis_palette() -> bytes:
    """Return 255 colours of viridis, even in lightness, and grey for the gaps between maps.

    From the anchor colours of Smith and van der Walt (2015), interpolated linearly.
    """
    stops = np.array(
        [
            (68, 1, 84), (71, 13, 96), (72, 24, 106), (72, 35, 116), (71, 45, 123), (69, 54, 129),
            (66, 64, 134), (63, 73, 137), (59, 82, 139), (55, 90, 141), (51, 99, 141), (47, 106, 142),
            (44, 114, 142), (41, 122, 142), (38, 129, 142), (35, 137, 142), (33, 144, 140), (31, 152, 139),
            (31, 159, 136), (33, 166, 133), (40, 174, 128), (49, 181, 123), (62, 188, 116), (76, 194, 108),
            (93, 201, 99), (110, 206, 88), (130, 211, 76), (150, 216, 63), (171, 220, 50), (192, 223, 36),
            (213, 226, 26), (234, 229, 26), (253, 231, 37),
        ],
        np.float64,
    )  # fmt: skip
    at = np.linspace(0, len(stops) - 1, 255)
    table = np.stack([np.interp(at, range(len(stops)), stops[:, c]) for c in range(3)], axis=1)
    return np.rint(table).astype(np.uint8).tobytes() + bytes((128, 128, 128))


def relevance_overlay(
    image: NDArray[Any], values: NDArray[Any], palette: bytes, *, signed: bool
) -> NDArray[Any]:
    """Lay a map over an image, which stays readable: grey, and the less relevant the less covered.

    Args:
        image: (H, W, 1 or 3) uint8.
        values: (H, W) in [0, 1], or [-1, 1] where signed.
        palette: 255 colours from 0 to 1, or from -1 to 1.
        signed: which of them.

    Returns:
        (H, W, 3) uint8.
    """
    grey = image.astype(np.float32) @ np.array(
        [1.0] if image.shape[2] == 1 else [0.299, 0.587, 0.114], np.float32
    )
    colours = np.frombuffer(palette, np.uint8).reshape(-1, 3)[:255].astype(np.float32)
    place = (values + 1) / 2 if signed else values
    painted = colours[np.rint(np.clip(place, 0, 1) * 254).astype(int)]
    opacity = 0.85 * np.minimum(np.abs(values) * 1.6, 1).astype(np.float32)[..., None]
    mixed = grey[..., None] * (1 - opacity) + painted * opacity
    result: NDArray[Any] = np.rint(mixed).astype(np.uint8)
    return result


def map_sheet(
    store: AssetStore, maps: NDArray[Any], columns: int, palette: bytes, alt: str
) -> Figure:
    """Store (n, h, w) levels of 0..254 side by side; level 255 is the gap."""
    sheet = tiles(maps[..., None], min(columns, len(maps)), 1, 255)[..., 0]
    return palette_picture(store, sheet, palette, alt)


def tiles(pictures: NDArray[Any], columns: int, gap: int, fill: int) -> NDArray[Any]:
    """Lay (n, h, w, c) uint8 out in a grid of ``columns``, ``gap`` pixels of ``fill`` between them."""
    count, height, width, channels = pictures.shape
    rows = -(-count // columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, channels)
    sheet = np.full(shape, fill, np.uint8)
    for index in range(count):
        top = gap + (index // columns) * (height + gap)
        left = gap + (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = pictures[index]
    return sheet


def overlay(
    image: NDArray[Any], classes: NDArray[Any], slots: dict[int, int], opacity: float = 0.55
) -> NDArray[Any]:
    """Paint a mask over (H, W, 1 or 3) uint8.

    Args:
        image: the picture below.
        classes: (H, W) class of each pixel.
        slots: colour slot by class; classes without one stay unpainted.
        opacity: of the paint.
    """
    base = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    result = base.astype(np.float32)
    for value, slot in slots.items():
        where = classes == value
        colour = np.array(MASK_COLOURS[slot % len(MASK_COLOURS)], np.float32)
        result[where] = result[where] * (1 - opacity) + colour * opacity
    return np.rint(result).astype(np.uint8)


def mask_picture(classes: NDArray[Any], slots: dict[int, int]) -> NDArray[Any]:
    """Paint a mask alone: (H, W) classes to (H, W, 3) uint8 on a mid grey."""
    grey = np.full((*classes.shape, 1), 96, np.uint8)
    return overlay(grey, classes, slots, opacity=1.0)
