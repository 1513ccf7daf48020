"""Decode image files as the training saw them: as stored, first frame, 0..255 whatever their depth."""

from __future__ import annotations

import contextlib
import io
import struct
import threading
import warnings
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from reportgen.errors import ProbeError
from reportgen.numerics import resize_bilinear, stripes
from reportgen.settings import MAX_DEEP_PIXELS, MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

Read = TypeVar("Read")

FORMATS = (
    "PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA",
    *(("AVIF",) if find_spec("PIL.AvifImagePlugin") else ()),  # Pillow fails on a name that it does not know
)  # fmt: skip
"""Only these decoders are tried: none of them runs another program on the file."""
SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp",
    ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".avif",
})  # fmt: skip

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Encoded(NamedTuple):
    """An image file's bytes, where it is a part of a larger file."""

    name: str
    content: bytes

    def open(self, _mode: str = "rb") -> io.BytesIO:
        """Return the bytes to be read, as ``Path.open`` does."""
        return io.BytesIO(self.content)


Picture = Path | Encoded
"""What an image is decoded from."""


class Pixels(NamedTuple):
    """A decoded image.

    Attributes:
        array: (H, W, C), C in {1, 2, 3, 4}: grey, grey-alpha, RGB or RGBA; 0..255, uint8 where 8 bits a channel
            are stored, else float32.
        kind: what was read, as in ``JPEG, RGB``.
        notes: what was done to read it.
        tagged: whether an EXIF orientation asks for another way up than it is stored in.
    """

    array: NDArray[Any]
    kind: str
    notes: tuple[str, ...] = ()
    tagged: bool = False


def decode(path: Picture, *, upright: bool = False) -> Pixels:
    """Decode a file: first frame, CMYK and palettes as RGB(A), 16 bits kept.

    Args:
        path: of the file, or its bytes.
        upright: whether an EXIF orientation is applied; Keras' loaders (``load_img``,
            ``image_dataset_from_directory``) and ``tf.io.decode_jpeg`` read pictures as they are stored.

    Raises:
        ProbeError: unreadable, truncated, of another kind, or of more than 100 megapixels.
    """
    return _opened(path, partial(_decode, upright=upright))


def looks_like_image(content: bytes) -> bool:
    """Tell whether bytes begin as an image does; nothing is decoded."""
    try:
        with quiet_decoders(), Image.open(io.BytesIO(content), formats=FORMATS):
            return True
    except Exception:  # noqa: BLE001 - decoders raise all sorts
        return False


def orientation_text(count: int, orientation: str) -> str:
    """Say what was done with pictures that have an EXIF orientation."""
    how = (
        "turned as it says (--orientation exif)"
        if orientation == "exif"
        else "read as stored, as Keras's loaders read them; --orientation exif turns them"
    )
    return f"{count:,} image{'' if count == 1 else 's'} with an EXIF orientation: {how}."


def decode_mask(path: Picture) -> NDArray[Any]:
    """Decode a mask: the class of every pixel as it is stored, the index where there is a palette.

    Returns:
        (H, W) int32. A mask in colours must be grey in fact.

    Raises:
        ProbeError: unreadable, or in colours.
    """
    return _opened(path, _decode_mask)


@contextlib.contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence Pillow's warnings for as long as images are decoded, in threads too.

    ``warnings`` keeps one list for the process: catching in several threads at once would leave it changed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
        yield


def _opened(path: Picture, read: Callable[[Image.Image, Picture], Read]) -> Read:
    try:
        size = path.stat().st_size if isinstance(path, Path) else len(path.content)
    except OSError as error:
        raise ProbeError(f"{path.name}: {error.strerror}") from None
    if size == 0:
        raise ProbeError(f"{path.name}: the file is empty (0 bytes)")
    try:
        alone = threading.current_thread() is threading.main_thread()
        with (
            quiet_decoders() if alone else contextlib.nullcontext(),
            Image.open(path if isinstance(path, Path) else path.open(), formats=FORMATS) as image,
        ):
            return read(image, path)
    except ProbeError:
        raise
    except Image.DecompressionBombError:
        raise _too_large(path, "far more") from None
    except UnidentifiedImageError:
        raise ProbeError(f"{path.name}: no image of a known format") from None
    except Exception as error:  # noqa: BLE001 - decoders raise all sorts on damaged files
        raise ProbeError(
            f"{path.name}: it cannot be decoded ({error or type(error).__name__})"
        ) from None


def _too_large(path: Picture, megapixels: str) -> ProbeError:
    limit = MAX_PIXELS // 1_000_000
    return ProbeError(
        f"{path.name}: {megapixels} than the limit of {limit} megapixels; not decoded"
    )


def _decode_mask(image: Image.Image, path: Picture) -> NDArray[Any]:
    _check_size(image, path)
    array = np.asarray(image)
    if array.ndim == 3:
        colours = array[..., : 3 if array.shape[2] > 2 else 1]
        if not (colours == colours[..., :1]).all():
            raise ProbeError(
                f"{path.name}: the mask is in colours; a mask stores the class of every pixel as its grey "
                "value or palette index"
            )
        array = array[..., 0]
    if array.dtype.kind == "f":
        array = np.rint(array)
    return array.astype(np.int32)


def fit_mask(mask: NDArray[Any], shape: tuple[int, int], resize: str, fill: int) -> NDArray[Any]:
    """Bring a mask to ``shape`` as ``fit`` brings its image there, taking the nearest pixel.

    Args:
        mask: (H, W) integers.
        shape: height and width.
        resize: as of the image.
        fill: what ``pad`` adds.
    """
    if mask.shape == shape:
        return mask
    layered = mask[..., None]
    if resize == "crop":
        layered = _central_box(layered, (*shape, 1))
    elif resize == "pad":
        layered = _padded(layered - fill, (*shape, 1)) + fill
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, layered.shape[:2], strict=True)
    )
    nearest: NDArray[Any] = layered[rows][:, columns, 0]
    return nearest


def _check_size(image: Image.Image, path: Picture) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path, f"{image.width * image.height / 1e6:.0f} megapixels, more")


def _decode(image: Image.Image, path: Picture, *, upright: bool) -> Pixels:
    _check_size(image, path)
    kind = f"{image.format}, {_mode_name(image.mode)}"
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"first of {frames} frames")
        image.seek(0)
    image.load()
    orientation = image.getexif().get(0x0112, 1)
    tagged = orientation in range(2, 9)
    if tagged:
        notes.append(
            "turned upright by its EXIF orientation"
            if upright
            else "read as stored, as Keras does, though its EXIF orientation turns it"
        )
    if image.format == "PNG" and (deep := _deep_png(path)) is not None:
        kind = f"PNG, 16-bit {_mode_name(image.mode)}"
        notes.append("16 bits a channel kept")
        array = deep
    elif image.mode.startswith("I") or image.mode == "F":
        array, note = _deep(np.asarray(image), path)
        notes.append(note)
    else:
        if image.mode == "CMYK":
            notes.append("CMYK converted to RGB")
        mode = _plain_mode(image)
        array = np.asarray(image if image.mode == mode else image.convert(mode))
        array = array if array.ndim == 3 else array[..., None]
    return Pixels(_upright(array, orientation if upright else 1), kind, tuple(notes), tagged)


def _upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation of 1 to 8; others mean nothing."""
    if orientation in {5, 6, 7, 8}:
        array = array.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        array = array[::-1]
    if orientation in {2, 3, 6, 7}:
        array = array[:, ::-1]
    return array


def _mode_name(mode: str) -> str:
    names = {"L": "grey", "LA": "grey with alpha", "P": "palette", "1": "black and white"}
    return names.get(mode, {"I;16": "16-bit grey", "I;16B": "16-bit grey"}.get(mode, mode))


def _plain_mode(image: Image.Image) -> str:
    transparent = "transparency" in image.info
    if image.mode in {"1", "L"}:
        return "LA" if transparent else "L"
    if image.mode in {"P", "PA"}:
        return "RGBA" if transparent or image.mode == "PA" else "RGB"
    return {"LA": "LA", "La": "LA", "RGBA": "RGBA", "RGBa": "RGBA"}.get(
        image.mode, "RGBA" if transparent else "RGB"
    )


def _deep(array: NDArray[Any], path: Picture) -> tuple[NDArray[Any], str]:
    """Bring 16-bit and float greys to 0..255 without rounding, by their type alone.

    Floats mean 0..1 and wider integers hold 16 bits, as scikit-image and Pillow write them. What lies beyond
    has a scale that only its maker knows: guessed file by file, two files of one data set would get two.
    """
    if array.dtype.kind == "f":
        scale, most, note = 255.0, 1, "floats in 0..1, scaled to 0..255"
    else:
        scale, most, note = 1 / 257, 65_535, "16 bits a channel kept"
    if array.size and not (array.min() >= 0 and array.max() <= most):  # NaN compares with nothing
        raise ProbeError(
            f"{path.name}: its values go from {array.min():,} to {array.max():,}; an image file of this "
            f"type is read as 0 to {most:,}. Give arrays in the units of the training"
        )
    scaled = np.empty((*array.shape, 1), np.float32)
    for rows in stripes(array):
        scaled[rows, :, 0] = array[rows].astype(np.float64) * scale
    return scaled, note


def _deep_png(path: Picture) -> NDArray[Any] | None:
    """Decode a PNG with 16 bits a channel, which Pillow cuts to 8 unless it is grey; None for others."""
    with path.open("rb") as file:
        head = file.read(26)
    depth, colour = struct.unpack(">BB", head[24:26]) if len(head) == 26 else (8, 0)
    if depth != 16 or colour == 0:
        return None
    pixels = int.from_bytes(head[16:20], "big") * int.from_bytes(head[20:24], "big")
    if pixels > MAX_DEEP_PIXELS:
        raise ProbeError(
            f"{path.name}: {pixels / 1e6:.0f} megapixels of 16 bits a channel, more than the limit of "
            f"{MAX_DEEP_PIXELS // 1_000_000}; not decoded"
        )
    import png

    with path.open("rb") as file:
        width, height, rows, info = png.Reader(file=file).read()  # asDirect drops bits by sBIT
        values = np.vstack([np.asarray(row, np.uint16) for row in rows])
    values = values.reshape(height, width, info["planes"])
    if (clear := info.get("transparent")) is not None:
        alpha = np.where((values == clear).all(axis=-1, keepdims=True), 0, 65535)
        values = np.concatenate([values, alpha], axis=2)
    return (values / np.float32(257)).astype(np.float32)


class Fitted(NamedTuple):
    """An image in the shape of the network's input.

    Attributes:
        array: (H, W, C) float32.
        notes: what was dropped or added.
        resized: whether its size or aspect ratio was changed.
    """

    array: NDArray[Any]
    notes: tuple[str, ...]
    resized: bool


def fit(array: NDArray[Any], shape: tuple[int, int, int], resize: str) -> Fitted:
    """Bring (H, W, C) to ``shape``: channels first, then size, as Keras's loaders do.

    Args:
        array: values of any range.
        shape: height, width and channels of the input.
        resize: ``stretch``, ``crop`` (the largest central box of the target's aspect ratio) or
            ``pad`` (zeros around, to the target's aspect ratio); always bilinear without antialias.

    Raises:
        ProbeError: channels that cannot be brought to the input's, or more pixels with the padding than are
            decoded.
    """
    array, notes = _fit_channels(array, shape[2])
    if array.shape[:2] == shape[:2]:
        return Fitted(np.ascontiguousarray(array, np.float32), notes, resized=False)
    if resize == "crop":
        array = _central_box(array, shape)
    elif resize == "pad":
        array = _padded(array, shape)
    return Fitted(resize_bilinear(array, shape[0], shape[1]), notes, resized=True)


def _fit_channels(array: NDArray[Any], channels: int) -> tuple[NDArray[Any], tuple[str, ...]]:
    have = array.shape[2]
    if have == channels:
        return array, ()
    notes: tuple[str, ...] = ()
    if have == 2 and channels == 4:
        grey = np.repeat(array[..., :1], 3, axis=2)
        return np.concatenate([grey, array[..., 1:]], axis=2), ("grey repeated in three channels",)
    if have in {2, 4} and channels in {1, 3}:
        if float(array[..., -1].min()) < 255:
            notes = ("its transparency was dropped, as Keras's loaders do",)
        array, have = array[..., :-1], have - 1
    if have == channels:
        return array, notes
    if have == 1 and channels in {3, 4}:
        array = np.broadcast_to(array, (*array.shape[:2], 3))  # a view: the picture may be large
        notes, have = (*notes, "grey repeated in three channels"), 3
    if have == 3 and channels == 4:
        opaque = np.full((*array.shape[:2], 1), 255, array.dtype)
        added = "an opaque alpha channel added, as Keras's loaders do"
        return np.concatenate([array, opaque], axis=2), (*notes, added)
    if have == 3 and channels == 1:
        return _grey(array), (*notes, "colour turned to grey (ITU-R 601)")
    if have == channels:
        return array, notes
    raise ProbeError(
        f"it has {have} channels; the model takes {channels}. Give arrays of that shape"
    )


def _grey(array: NDArray[Any]) -> NDArray[Any]:
    """Return the luma of RGB, rounded where the values are whole, as Keras's loaders do."""
    whole = array.dtype.kind in "iu" or bool(np.all(array == np.rint(array)))
    grey = np.empty((*array.shape[:2], 1), np.float32)
    for rows in stripes(array):
        luma = array[rows].astype(np.float32) @ _LUMA
        grey[rows, :, 0] = np.rint(luma) if whole else luma
    return grey


def _central_box(array: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    height, width = array.shape[:2]
    box_height = min(height, max(1, int(width * shape[0] / shape[1])))
    box_width = min(width, max(1, int(height * shape[1] / shape[0])))
    top, left = (height - box_height) // 2, (width - box_width) // 2
    return array[top : top + box_height, left : left + box_width]


def _padded(array: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    height, width = array.shape[:2]
    full_height = max(height, int(width * shape[0] / shape[1]))
    full_width = max(width, int(height * shape[1] / shape[0]))
    if full_height * full_width > MAX_PIXELS:
        raise ProbeError(
            f"padded to the model's aspect ratio it would have {full_height * full_width / 1e6:,.0f} "
            f"megapixels, more than the limit of {MAX_PIXELS // 1_000_000}; --resize crop or stretch takes it"
        )
    top, left = (full_height - height) // 2, (full_width - width) // 2
    result = np.zeros((full_height, full_width, array.shape[2]), array.dtype)
    result[top : top + height, left : left + width] = array
    return result
