"""Arrays to pictures: palettes, windows, tiles and overlays decode to what was meant."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from reportgen.drawing import pictures
from reportgen.drawing.assets import AssetStore
from reportgen.drawing.pictures import Window

RNG = np.random.default_rng(1)


def opened(store, figure):
    """Decode a stored picture and check its record against the file."""
    image = Image.open(io.BytesIO(store.files[figure.src.removeprefix("assets/")]))
    assert image.size == (figure.width, figure.height)
    assert figure.alt == "seen"
    return image


def lightness(palette):
    """CIE L* of sRGB colours."""
    colours = np.frombuffer(palette, np.uint8).reshape(-1, 3) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)


# -- palettes ------------------------------------------------------------------------------------


def test_viridis_is_matplotlibs():
    palette = np.frombuffer(pictures.viridis_palette(), np.uint8).reshape(256, 3).astype(int)
    expected = mpl.colormaps["viridis"](np.linspace(0, 1, 255))[:, :3] * 255
    assert np.abs(palette[:255] - expected).max() <= 2
    assert palette[255].tolist() == [128, 128, 128]


def test_viridis_brightens_all_the_way():
    every_fourth = lightness(pictures.viridis_palette())[:255:4]  # neighbours differ by rounding
    assert (np.diff(every_fourth) > 0.5).all()


def test_diverging_palette_is_brightest_in_the_middle():
    light = lightness(pictures.diverging_palette())
    assert len(light) == 256
    assert (np.diff(light[:128]) > 0).all()
    assert (np.diff(light[128:]) < 0).all()
    colours = np.frombuffer(pictures.diverging_palette(), np.uint8).reshape(256, 3).astype(int)
    assert np.ptp(colours[127]) <= 8
    assert colours[20, 2] > colours[20, 0]
    assert colours[235, 0] > colours[235, 2]


@pytest.mark.parametrize("palette", [pictures.viridis_palette(), pictures.diverging_palette()])
def test_palette_picture_decodes_to_its_indices(palette):
    indices = RNG.permutation(512).reshape(16, 32).astype(np.uint8)
    for values in (indices, indices.T):
        store = AssetStore()
        image = opened(store, pictures.palette_picture(store, values, palette, "seen"))
        assert image.mode == "P"
        assert (np.asarray(image) == values).all()
        colours = np.frombuffer(palette, np.uint8).reshape(256, 3)
        assert (np.asarray(image.convert("RGB")) == colours[values]).all()


def test_map_sheet_has_gaps_around_its_maps():
    store = AssetStore()
    maps = RNG.integers(0, 255, (3, 4, 5)).astype(np.uint8)
    palette = pictures.viridis_palette()
    sheet = np.asarray(opened(store, pictures.map_sheet(store, maps, 2, palette, "seen")))
    assert sheet.shape == (2 * 5 + 1, 2 * 6 + 1)
    for index, (top, left) in enumerate([(1, 1), (1, 7), (6, 1)]):
        assert (sheet[top : top + 4, left : left + 5] == maps[index]).all()
    assert (sheet == 255).sum() == sheet.size - maps.size


def test_map_sheet_is_no_wider_than_its_maps():
    store = AssetStore()
    figure = pictures.map_sheet(
        store, np.zeros((2, 4, 4), np.uint8), 16, pictures.viridis_palette(), "seen"
    )
    assert (figure.width, figure.height) == (11, 6)


# -- windows -------------------------------------------------------------------------------------


def test_window_is_the_first_and_last_percent():
    values = RNG.normal(5, 3, 10_001)
    low, high = pictures.percentile_window(values)
    ordered = np.sort(values)
    assert (low, high) == pytest.approx((ordered[100], ordered[9900]))


def test_window_leaves_out_what_is_not_finite():
    values = np.array([np.nan, np.inf, -np.inf, *np.linspace(0, 1, 101)])
    assert pictures.percentile_window(values) == pytest.approx((0.01, 0.99))


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf, -np.inf], [3.0], [0.1] * 7, [0] * 500 + [9],
                                    [1e20] * 4, [60000] * 3, [-3.4e38, 3.4e38]])  # fmt: skip
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_window_always_has_a_width(values, kind):
    array = np.array(values, kind)
    window = pictures.percentile_window(array)
    assert window.low < window.high
    levels = pictures.to_bytes(array, window)
    assert levels.dtype == np.uint8


def test_a_single_outlier_is_seen():
    values = np.zeros(1000, np.float32)
    values[7] = 4
    levels = pictures.to_bytes(values, pictures.percentile_window(values))
    assert (levels[7], levels[0]) == (255, 0)


def test_levels_are_rounded_and_clipped():
    values = np.array([-9, 0, 0.25, 0.5, 1, 9, np.inf, -np.inf, np.nan])
    levels = pictures.to_bytes(values, Window(0, 1))
    assert levels.tolist() == [0, 0, 64, 128, 255, 255, 255, 0, 0]


def test_nan_is_black_whatever_the_window():
    assert pictures.to_bytes(np.array([np.nan, -3.0, 3.0]), Window(-3, 3)).tolist() == [0, 0, 255]


# -- photographs ---------------------------------------------------------------------------------


def smooth(height, width, channels=3):
    ramp = np.linspace(0, 255, height * width).reshape(height, width, 1)
    return np.repeat(ramp, channels, axis=2).astype(np.uint8)


@pytest.mark.parametrize("store_picture", [pictures.photograph, pictures.lossless])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_small_pictures_are_stored_pixel_for_pixel(store_picture, channels):
    store = AssetStore()
    values = RNG.integers(0, 256, (96, 40, channels), np.uint8)
    figure = store_picture(store, values, "seen")
    stored = np.asarray(opened(store, figure))
    assert (stored == (values[..., 0] if channels <= 2 else values[..., :3])).all()
    assert figure.pixelated
    assert figure.src.endswith(".png")


@pytest.mark.parametrize("channels", [1, 3])
def test_exact_is_exact_at_any_size(channels):
    store = AssetStore()
    values = RNG.integers(0, 256, (120, 700, channels), np.uint8)
    image = opened(store, pictures.lossless(store, values, "seen")).convert("RGB")
    assert (np.asarray(image) == values).all()


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((97, 50), (97, 50)),
        ((512, 300), (512, 300)),
        ((1024, 256), (512, 128)),
        ((2, 2048), (1, 512)),
    ],
)
def test_photographs_are_bounded_and_keep_their_shape(size, expected):
    store = AssetStore()
    figure = pictures.photograph(store, smooth(*size), "seen")
    image = opened(store, figure).convert("RGB")
    assert (figure.height, figure.width) == expected
    assert not figure.pixelated
    assert abs(np.asarray(image, float).mean() - smooth(*size).mean()) < 4


def test_same_array_same_file():
    store = AssetStore()
    values = RNG.integers(0, 256, (120, 130, 3), np.uint8)
    figures = {pictures.photograph(store, values.copy(), "seen").src for _ in range(2)}
    assert len(figures) == len(store.files) == 1


# -- tiles and masks -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 4, 5])
@pytest.mark.parametrize("gap", [0, 1, 3])
def test_tiles_stand_in_reading_order(count, gap):
    values = RNG.integers(0, 200, (count, 3, 2, 3)).astype(np.uint8)
    sheet = pictures.tiles(values, 4, gap, 222)
    rows = -(-count // 4)
    assert sheet.shape == (rows * (3 + gap) + gap, 4 * (2 + gap) + gap, 3)
    for index, tile in enumerate(values):
        row, column = divmod(index, 4)
        top, left = gap + row * (3 + gap), gap + column * (2 + gap)
        assert (sheet[top : top + 3, left : left + 2] == tile).all()
    assert (sheet == 222).sum() == sheet.size - values.size


@pytest.mark.parametrize("channels", [1, 3])
def test_overlay_mixes_paint_into_the_picture(channels):
    image = RNG.integers(0, 256, (4, 4, channels)).astype(np.uint8)
    before = image.copy()
    classes = np.arange(16).reshape(4, 4) % 3
    painted = pictures.overlay(image, classes, {1: 0, 2: 9}, opacity=0.25)
    base = np.broadcast_to(image, (4, 4, 3)).astype(float)
    assert (painted[classes == 0] == base[classes == 0]).all()
    for value, slot in ((1, 0), (2, 1)):
        colour = np.array(pictures.MASK_COLOURS[slot])
        expected = 0.75 * base[classes == value] + 0.25 * colour
        assert np.abs(painted[classes == value] - expected).max() <= 0.5 + 1e-4
    assert (image == before).all()


def test_mask_alone_shows_its_colours():
    classes = np.array([[0, 1], [2, 0]])
    mask = pictures.mask_picture(classes, {1: 3, 2: 4})
    grey = [96, 96, 96]
    colours = [list(pictures.MASK_COLOURS[slot]) for slot in (3, 4)]
    assert mask.tolist() == [[grey, colours[0]], [colours[1], grey]]


def test_colours_of_masks_differ():
    colours = np.array(pictures.MASK_COLOURS, float)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    assert distance[~np.eye(len(colours), dtype=bool)].min() > 50
