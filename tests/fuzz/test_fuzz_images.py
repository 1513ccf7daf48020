"""Image files: whatever their bytes are, they are decoded or refused."""

from __future__ import annotations

import io

import models
import numpy as np
import png
from fuzzing import bounded, cases, damaged, ending_in
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reportgen.errors import ProbeError
from reportgen.inputs.images import SUFFIXES, decode, decode_mask, fit, fit_mask

SHAPES = ((12, 12, 3), (7, 20, 1), (224, 224, 4))


def stored(mode, kind, **how):
    stream = io.BytesIO()
    picture = Image.fromarray(models.images(1, 16)[0])
    frames = [picture.rotate(90).convert(mode)] if how.get("save_all") else []
    picture.convert(mode).save(stream, kind, **how, **({"append_images": frames} if frames else {}))
    return stream.getvalue()


def deep_png():
    stream = io.BytesIO()
    rows = models.images(1, 8)[0].reshape(8, -1).astype(int) * 257
    png.Writer(8, 8, greyscale=False, bitdepth=16, compression=9).write(stream, rows.tolist())
    return stream.getvalue()


def floats():
    stream = io.BytesIO()
    grey = np.asarray(Image.fromarray(models.images(1, 16)[0]).convert("L"), np.float32)
    Image.fromarray(grey / 255).save(stream, "TIFF")
    return stream.getvalue()


def turned():
    tags = Image.Exif()
    tags[0x0112] = 6
    return stored("RGB", "JPEG", exif=tags)


CORPUS = (
    stored("RGB", "PNG"), stored("P", "PNG", transparency=0), stored("1", "PNG"), stored("I;16", "PNG"),
    deep_png(), stored("L", "JPEG"), turned(), stored("CMYK", "JPEG"), stored("P", "GIF", save_all=True),
    stored("RGB", "BMP"), stored("RGB", "TIFF", compression="tiff_lzw"), floats(),
    stored("RGB", "TIFF", compression="jpeg"), stored("I", "TIFF"), stored("RGBA", "WEBP"),
    stored("RGB", "PPM"), stored("L", "PPM"), stored("RGBA", "TGA", compression="tga_rle"),
    *([stored("RGB", "AVIF")] if "AVIF" in Image.registered_extensions().values() else []),
)  # fmt: skip


def try_out(path, upright, resize):
    for shape in SHAPES:
        with bounded(), ending_in(ProbeError):
            pixels = decode(path, upright=upright)
            assert pixels.array.ndim == 3
            assert fit(pixels.array, shape, resize).array.shape == shape
    with bounded(), ending_in(ProbeError):
        mask = decode_mask(path)
        assert fit_mask(mask, (9, 5), resize, 0).shape == (9, 5)


def test_the_corpus_is_read(tmp_path):
    for number, content in enumerate(CORPUS):
        path = tmp_path / f"{number}.png"
        path.write_bytes(content)
        assert np.isfinite(decode(path).array).all()


@given(
    damaged(CORPUS), st.booleans(), st.sampled_from(("stretch", "crop", "pad")),
    st.sampled_from(sorted(SUFFIXES)),
)  # fmt: skip
@cases(120, 10_000)
def test_damaged_images(tmp_path_factory, content, upright, resize, suffix):
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_bytes(content)
    try_out(path, upright, resize)
