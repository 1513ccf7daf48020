"""Whether an array is a batch, and which sizes a network is run at: decided by what it takes."""

from __future__ import annotations

import numpy as np
import pytest

from reportgen.errors import ProbeError
from reportgen.inputs.fitting import InputShape, as_batch
from reportgen.network.shapes import closed_shapes, image_shape, is_batch

RGB, GREY, FLAT, ROW = (32, 24, 3), (28, 28, 1), (28, 28), (784,)


@pytest.mark.parametrize(
    ("shape", "taken", "batch"),
    [
        ((5, 32, 24, 3), RGB, True),
        ((32, 24, 3), RGB, False),
        ((480, 640, 3), RGB, False),
        ((5, 28, 28, 1), GREY, True),
        ((5, 28, 28), GREY, True),
        ((5, 14, 14), GREY, True),
        ((28, 28, 28), GREY, True),
        ((28, 28, 1), GREY, False),
        ((14, 20, 1), GREY, False),
        ((64, 48, 3), (None, None, 1), False),
        ((64, 48), (None, None, 1), False),
        ((9, 64, 48), (None, None, 1), True),
        ((5, 28, 3), (28, 3, 1), True),
        ((28, 28), GREY, False),
        ((5, 784), GREY, True),
        ((784,), GREY, False),
        ((5, 28, 28), FLAT, True),
        ((28, 28, 28), FLAT, True),
        ((5, 28, 28, 1), FLAT, True),
        ((28, 28, 1), FLAT, False),
        ((28, 28), FLAT, False),
        ((5, 784), ROW, True),
        ((784,), ROW, False),
        ((5, 28, 28), ROW, True),
        ((28, 28), ROW, False),
        ((5,), (1,), True),
        ((1,), (1,), False),
        ((4, 10), (None,), True),
        ((10,), (None,), False),
        ((4, 500, 1), (None, 1), True),
        ((500, 1), (None, 1), False),
        ((4, 500), (None, 1), False),
        ((None, 28, 28), GREY, True),
        ((None, None, 3), (None, None, 3), False),
        ((None, None, None, 3), (None, None, 3), True),
        ((9, 40, 30), (None, None, None), True),
        ((40, 30, 3), (None, None, None), False),
        ((2, 16, 16, 16, 1), (16, 16, 16, 1), True),
        ((16, 16, 16, 1), (16, 16, 16, 1), False),
        ((), ROW, False),
    ],
)
def test_a_batch_is_told_by_what_the_input_takes(shape, taken, batch):
    assert is_batch(shape, taken) is batch


@pytest.mark.parametrize(
    ("shape", "taken", "fitted"),
    [
        ((5, 28, 28), GREY, (5, 28, 28, 1)),
        ((5, 784), GREY, (5, 28, 28, 1)),
        ((784,), GREY, (1, 28, 28, 1)),
        ((28, 28), ROW, (1, 784)),
        ((5, 28, 28), ROW, (5, 784)),
        ((5, 28, 28, 1), FLAT, (5, 28, 28)),
        ((28, 28, 1), FLAT, (1, 28, 28)),
        ((5,), (1,), (5, 1)),
        ((5, 3, 32, 24), RGB, (5, 32, 24, 3)),
        ((480, 640, 3), RGB, (1, 480, 640, 3)),
    ],
)
def test_the_values_stay_in_their_order(shape, taken, fitted):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    batch = as_batch(array, InputShape("x", taken, "float32"))
    expected = np.moveaxis(array, 1, -1) if shape == (5, 3, 32, 24) else array
    np.testing.assert_array_equal(batch, expected.reshape(fitted))


@pytest.mark.parametrize("shape", [(3, 5, 28, 28, 1), (5,), ()])
def test_what_fits_in_no_way_is_refused(shape):
    with pytest.raises(ProbeError):
        as_batch(np.zeros(shape, np.float32), InputShape("x", (28, 12), "float32"))


IMAGE, TOKENS, SERIES, VOLUME = (None, None, 3), (None,), (None, 1), (None, None, None, 1)


@pytest.mark.parametrize(
    ("taken", "given", "size", "closed"),
    [
        ({"x": IMAGE}, {}, None, {"x": (224, 224, 3)}),
        ({"x": IMAGE}, {}, (40, 30), {"x": (40, 30, 3)}),
        ({"x": IMAGE}, {None: ((8, 50, 60, 3), True)}, None, {"x": (50, 60, 3)}),
        ({"x": IMAGE}, {None: ((50, 60, 3), False)}, None, {"x": (50, 60, 3)}),
        ({"x": IMAGE}, {None: ((8, 50, 60, 3), True)}, (40, 30), {"x": (40, 30, 3)}),
        ({"x": (None, None, 1)}, {None: ((8, 50, 60), True)}, None, {"x": (50, 60, 1)}),
        ({"x": (None, None, None)}, {None: ((8, 50, 60), True)}, None, {"x": (50, 60, 1)}),
        ({"x": IMAGE}, {None: ((8, 3, 50, 60), True)}, None, {"x": (50, 60, 3)}),
        ({"x": TOKENS}, {None: ((4, 10), True)}, None, {"x": (10,)}),
        ({"x": TOKENS}, {None: ((10,), True)}, None, {"x": (10,)}),
        ({"x": SERIES}, {None: ((4, 500, 1), True)}, None, {"x": (500, 1)}),
        ({"x": VOLUME}, {}, None, {"x": (64, 64, 64, 1)}),
        ({"x": VOLUME}, {None: ((2, 8, 9, 10, 1), True)}, None, {"x": (8, 9, 10, 1)}),
        (
            {"text": TOKENS, "image": IMAGE, "mask": (None, None)},
            {"text": ((2, 12), True), "image": ((2, 20, 30, 3), True), "mask": ((2, 5, 7), True)},
            None,
            {"text": (12,), "image": (20, 30, 3), "mask": (5, 7)},
        ),
        ({"text": TOKENS, "image": IMAGE}, {None: ((2, 20, 30, 3), True)}, None,
         {"text": (64,), "image": (20, 30, 3)}),
        ({"x": IMAGE}, {None: ((None, None, None, 3), True)}, None, {"x": (224, 224, 3)}),
        ({"a": IMAGE, "b": IMAGE}, {"a": ((2, 20, 30, 3), True)}, None,
         {"a": (20, 30, 3), "b": (20, 30, 3)}),
        ({"a": IMAGE, "b": (None, None, 1)}, {"b": ((2, 20, 30, 1), True)}, None,
         {"a": (20, 30, 3), "b": (20, 30, 1)}),
        ({"a": IMAGE, "b": (16, None, 3)}, {"a": ((2, 20, 30, 3), True)}, None,
         {"a": (20, 30, 3), "b": (16, 30, 3)}),
        ({"a": IMAGE, "b": (16, 16, 3)}, {"b": ((2, 16, 16, 3), True)}, None,
         {"a": (224, 224, 3), "b": (16, 16, 3)}),
        ({"a": IMAGE, "mask": (None, None)}, {"a": ((2, 20, 30, 3), True)}, None,
         {"a": (20, 30, 3), "mask": (20, 30)}),
        ({"tokens": TOKENS, "mask": TOKENS}, {"tokens": ((2, 12), True)}, None,
         {"tokens": (12,), "mask": (12,)}),
        ({"series": SERIES, "mask": TOKENS}, {"series": ((2, 12, 1), True)}, None,
         {"series": (12, 1), "mask": (12,)}),
    ],
)  # fmt: skip
def test_each_input_keeps_its_own_size(taken, given, size, closed):
    assert closed_shapes(taken, given, size) == closed


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ({}, None),
        ({None: ((8, 50, 60, 3), True)}, (50, 60, 3)),
        ({None: ((8, 50, 60), True)}, (50, 60, 1)),
        ({None: ((50, 60, 3), True)}, (50, 60, 3)),
        ({None: ((50, 60), False)}, (50, 60, 1)),
        ({None: ((None, None, None, 3), True)}, None),
    ],
)
def test_a_network_that_says_nothing_is_shown_what_looks_like_an_image(given, shape):
    assert image_shape(given) == shape
