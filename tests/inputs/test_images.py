"""Decode image files of every odd kind, and fit them to an input's shape."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import png
import pytest
from PIL import Image

from reportgen.drawing.pictures import for_the_eye
from reportgen.errors import ProbeError
from reportgen.inputs.images import _deep_png, decode, fit

ORIENTATION = 0x0112
RGB = np.random.default_rng(5).integers(0, 256, (6, 9, 3), np.uint8)


def saved(folder, image, name, **options):
    path = folder / name
    image.save(path, **options)
    return path


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep(folder, array, *extra):
    """Write (H, W, C) of 16 bits as a PNG by hand, with ``extra`` chunks of kind and data."""
    height, width, channels = array.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    path = folder / "deep.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
        + b"".join(chunk(kind, data) for kind, data in extra)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return path


# -- depths and modes ----------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_are_kept(tmp_path, channels):
    values = np.random.default_rng(1).integers(0, 65536, (5, 7, channels))
    values[0, 0], values[0, 1] = 0, 65535
    pixels = decode(deep(tmp_path, values))
    assert pixels.array.dtype == np.float32
    np.testing.assert_allclose(pixels.array, values / 257, rtol=1e-6)
    assert (np.rint(pixels.array.astype(float) * 257) == values).all()


def test_sixteen_bits_with_fewer_significant_ones(tmp_path):
    values = np.random.default_rng(2).integers(0, 4096, (5, 7, 3)) * 16
    path = deep(tmp_path, values, (b"sBIT", bytes((12, 12, 12))))
    np.testing.assert_allclose(decode(path).array, values / 257, rtol=1e-6)


def test_sixteen_bits_with_a_transparent_colour(tmp_path):
    values = np.random.default_rng(3).integers(0, 65536, (5, 7, 3))
    clear = values[2, 3]
    path = deep(tmp_path, values, (b"tRNS", clear.astype(">u2").tobytes()))
    array = decode(path).array
    np.testing.assert_allclose(array[..., :3], values / 257, rtol=1e-6)
    assert array.shape[2] == 4
    assert (array[..., 3] == np.where((values == clear).all(axis=-1), 0, 255)).all()


def test_sixteen_bits_are_turned_upright(tmp_path):
    values = np.random.default_rng(4).integers(0, 65536, (5, 7, 3))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = deep(tmp_path, values, (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    pixels = decode(path, upright=True)
    np.testing.assert_allclose(pixels.array, np.rot90(values, -1) / 257, rtol=1e-6)
    assert any("upright" in note for note in pixels.notes)


def test_sixteen_bit_tiff(tmp_path):
    values = np.array([[0, 1, 300], [40_000, 65_534, 65_535]], np.uint16)
    path = saved(tmp_path, Image.fromarray(values), "grey.tif")
    np.testing.assert_allclose(decode(path).array[..., 0], values / 257, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "values", "factor"),
    [
        (np.float32, [0.0, 0.25, 0.5, 1.0], 255),
        (np.float32, [0.0, 0.25, 0.5, 0.5], 255),
        (np.int32, [0, 255, 30_000, 30_000], 1 / 257),
        (np.int32, [0, 255, 30_000, 65_535], 1 / 257),
    ],
)
def test_a_deep_value_means_the_same_in_every_file(tmp_path, kind, values, factor):
    """Whatever else stands in its image: the type alone says the scale."""
    stored = np.array(values, kind).reshape(2, 2)
    path = saved(tmp_path, Image.fromarray(stored), "deep.tif")
    np.testing.assert_allclose(decode(path).array[..., 0], stored * factor, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (np.float32, 1.5),
        (np.float32, -0.1),
        (np.float32, np.nan),
        (np.int32, 70_000),
        (np.int32, -1),
    ],
)
def test_a_deep_value_of_an_unknown_scale_is_refused(tmp_path, kind, value):
    stored = np.array([[0, 0], [0, value]], kind)
    path = saved(tmp_path, Image.fromarray(stored), "deep.tif")
    with pytest.raises(ProbeError, match="Give arrays in the units of the training"):
        decode(path)


def test_rgb_is_exact(tmp_path):
    pixels = decode(saved(tmp_path, Image.fromarray(RGB), "a.png"))
    assert (pixels.array == RGB).all()
    assert (pixels.kind, pixels.notes) == ("PNG, RGB", ())


def test_cmyk_jpeg_is_rgb(tmp_path):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 1:3] = 255  # magenta and yellow: red
    path = saved(tmp_path, Image.fromarray(ink, "CMYK"), "ink.jpg", quality=95)
    pixels = decode(path)
    assert pixels.array.shape == (16, 16, 3)
    np.testing.assert_allclose(pixels.array, np.broadcast_to([255, 0, 0], (16, 16, 3)), atol=6)
    assert any("CMYK" in note for note in pixels.notes)


def test_palette_with_alpha(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    array = decode(saved(tmp_path, image, "p.png", transparency=bytes((255, 128, 0)))).array
    red, green, blue = (255, 0, 0, 255), (0, 255, 0, 128), (0, 0, 255, 0)
    assert array.tolist() == [[list(red), list(green)], [list(blue), list(green)]]


def test_plain_palette_has_no_alpha(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([9, 8, 7, 1, 2, 3])
    assert decode(saved(tmp_path, image, "p.png")).array.tolist() == [[[9, 8, 7], [1, 2, 3]]]


def test_grey_with_alpha(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(3, 4, 2)
    assert (decode(saved(tmp_path, Image.fromarray(values, "LA"), "la.png")).array == values).all()


def test_one_bit_is_black_and_white(tmp_path):
    mask = np.eye(5, dtype=bool)
    array = decode(saved(tmp_path, Image.fromarray(mask), "bit.png")).array
    assert (array[..., 0] == np.where(mask, 255, 0)).all()


def test_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "lime", "blue")]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    pixels = decode(path)
    assert (pixels.array == np.array([255, 0, 0])).all()
    assert pixels.notes == ("first of 3 frames",)


# How an upright picture was turned before it was stored under each EXIF orientation.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: np.rot90,
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](RGB)))
    pixels = decode(saved(tmp_path, stored, "turned.png", exif=exif), upright=True)
    assert (pixels.array == RGB).all()
    assert bool(pixels.notes) == (orientation != 1)


# -- what cannot be read -------------------------------------------------------------------------


def encoded(kind, size=(64, 64)):
    buffer = io.BytesIO()
    noise = np.random.default_rng(6).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


def huge_png(width, height):
    """A PNG whose header promises more than its few bytes hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_truncated_file_is_refused(tmp_path, kind, part):
    content = encoded(kind)
    path = tmp_path / "cut.img"
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ProbeError, match=r"^cut\.img: "):
        decode(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (b"just a text\n" * 50, "no image of a known format"),
        (b"%PDF-1.4\n%%EOF\n", "no image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image of a known format"),
        (huge_png(10_001, 10_000), "100 megapixels"),
        (huge_png(60_000, 60_000), "100 megapixels"),
    ],
    ids=["empty", "text", "pdf", "postscript", "large", "bomb"],
)
def test_what_is_no_image_is_refused(tmp_path, content, reason):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(ProbeError, match=reason) as caught:
        decode(path)
    assert str(caught.value).startswith("bad.png: ")


@pytest.mark.parametrize("size", [(10_001, 10_000), (60_000, 60_000)])
def test_large_image_is_not_decoded(tmp_path, monkeypatch, size):
    path = tmp_path / "large.png"
    path.write_bytes(huge_png(*size))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ProbeError, match="not decoded"):
        decode(path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ProbeError, match="No such file"):
        decode(tmp_path / "missing.png")


# -- fitting -------------------------------------------------------------------------------------


def ramp(height, width):
    """A picture whose value is its column, in one channel."""
    return np.broadcast_to(np.arange(width, dtype=np.float32), (height, width))[..., None].copy()


def test_stretch_halves_by_averaging_neighbours():
    fitted = fit(ramp(4, 8), (2, 4, 1), "stretch")
    assert fitted.resized
    assert (fitted.array[..., 0] == [[0.5, 2.5, 4.5, 6.5]] * 2).all()


@pytest.mark.parametrize(
    ("source", "columns"), [((4, 8), (2, 6)), ((8, 12), (2, 10)), ((5, 9), (2, 7))]
)
def test_crop_takes_the_central_box(source, columns):
    side = min(source)
    fitted = fit(ramp(*source), (side, side, 1), "crop")
    assert fitted.array[0, :, 0].tolist() == list(range(*columns))


def test_crop_of_a_tall_picture_keeps_its_middle_rows():
    fitted = fit(ramp(4, 9).transpose(1, 0, 2), (4, 4, 1), "crop")
    assert fitted.array[:, 0, 0].tolist() == [2, 3, 4, 5]


def test_pad_puts_zeros_on_both_sides():
    fitted = fit(np.full((4, 8, 3), 7, np.float32), (8, 8, 3), "pad")
    rows = fitted.array[..., 0]
    assert (rows[2:6] == 7).all()
    assert (rows[:2] == 0).all()
    assert (rows[6:] == 0).all()


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("source", [(1, 1), (1, 50), (50, 1), (7, 5), (16, 16)])
def test_every_size_fits(resize, source):
    fitted = fit(np.full((*source, 3), 9, np.float32), (16, 16, 3), resize)
    assert fitted.array.shape == (16, 16, 3)
    assert fitted.resized == (source != (16, 16))
    if resize != "pad":
        assert (fitted.array == 9).all()


@pytest.mark.parametrize("have", [1, 2, 3, 4])
@pytest.mark.parametrize("want", [1, 3, 4])
def test_channels(have, want):
    array = np.random.default_rng(7).integers(0, 256, (4, 5, have)).astype(np.float32)
    colours = array[..., : 3 if have > 2 else 1]
    rgb = np.broadcast_to(colours, (4, 5, 3))
    if have == want:
        expected = array
    elif want == 1:
        weights = (0.299, 0.587, 0.114)
        expected = np.rint(rgb @ np.array(weights))[..., None] if have > 2 else colours
    elif want == 3:
        expected = rgb
    else:
        alpha = array[..., 1:] if have == 2 else np.full((4, 5, 1), 255)
        expected = np.concatenate([rgb, alpha], axis=2)
    fitted = fit(array, (4, 5, want), "stretch")
    np.testing.assert_allclose(fitted.array, expected, atol=1e-3)
    assert not fitted.resized


@pytest.mark.parametrize(("alpha", "said"), [(255, False), (254, True)])
def test_dropped_transparency_is_said(alpha, said):
    array = np.full((4, 4, 4), 255, np.float32)
    array[1, 1, 3] = alpha
    assert any("transparency" in note for note in fit(array, (4, 4, 3), "stretch").notes) == said


def test_channels_that_cannot_be_are_refused():
    with pytest.raises(ProbeError, match="it has 3 channels; the model takes 7"):
        fit(np.zeros((4, 4, 3), np.float32), (4, 4, 7), "stretch")


# -- pictures that are large on purpose --------------------------------------------------------------


def test_a_large_picture_takes_twice_the_memory_of_its_pixels(tmp_path):
    """A few kB of PNG declare 36 megapixels: 108 MB decoded, and no copy in floats."""
    path = tmp_path / "flat.png"
    Image.new("RGB", (6000, 6000), (3, 4, 5)).save(path)
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    try:
        pixels = decode(path)
        fitted = fit(pixels.array, (32, 32, 3), "stretch")
        seen = for_the_eye(pixels.array, 255.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.1 * 108e6  # the array, and Pillow's while it shrinks
    assert np.unique(fitted.array.reshape(-1, 3), axis=0).tolist() == [[3, 4, 5]]
    assert np.unique(seen.reshape(-1, 3), axis=0).tolist() == [[3, 4, 5]]
    assert seen.shape == (512, 512, 3)


def test_grey_of_a_large_picture_is_that_of_a_small_one(tmp_path):
    generator = np.random.default_rng(5)
    array = generator.integers(0, 256, (3000, 700, 3), dtype=np.uint8)  # more than one stripe
    whole = fit(array, (3000, 700, 1), "stretch").array[..., 0]
    expected = np.rint(array.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))
    np.testing.assert_array_equal(whole, expected)


def test_padding_that_would_not_fit_into_memory_is_refused(tmp_path):
    line = np.zeros((1, 90_000, 3), np.uint8)
    with pytest.raises(ProbeError, match=r"8,100 megapixels.*--resize crop or stretch"):
        fit(line, (32, 32, 3), "pad")
    assert fit(line, (32, 32, 3), "crop").array.shape == (32, 32, 3)


def test_a_large_deep_picture_is_refused_before_it_is_decoded(tmp_path):
    """16 bits a channel in colour are decoded in Python."""
    path = tmp_path / "deep.png"
    with path.open("wb") as file:
        png.Writer(2, 2, bitdepth=16, greyscale=False).write(file, [[0] * 6] * 2)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 5000, 4000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(ProbeError, match="20 megapixels of 16 bits a channel"):
        _deep_png(path)
