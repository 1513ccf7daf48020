"""Networks that decide by what is known, with images of it: a square, a corner, two places, a texture.

Their weights are set by hand. What each looks at lies off the middle of the image, but for ``middle``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import keras
import numpy as np
from keras import layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 64
KINDS = ("square", "corner", "two places", "texture", "middle")
RED, GREEN = (0.95, 0.1, 0.1), (0.1, 0.95, 0.1)
PLACES = ((6, 8), (6, 44), (44, 8), (44, 44), (26, 4), (4, 26), (46, 28), (28, 46))
"""Upper left corners of what is looked for."""


class Known(NamedTuple):
    """A network, its images and what decides in each.

    Attributes:
        images: (64, 64, 3) float32 in [0, 1].
        truths: (64, 64) for each image, 1 where the decision rests.
    """

    model: keras.Model
    images: list[NDArray[np.float32]]
    truths: list[NDArray[np.float64]]


def known(kind: str, count: int) -> Known:
    """Return one of ``KINDS`` with ``count`` images."""
    random = np.random.default_rng(3)
    scenes = [_scene(kind, random, number) for number in range(count)]
    return Known(_network(kind), [image for image, _ in scenes], [truth for _, truth in scenes])


def _network(kind: str) -> keras.Model:
    """Return a network of colours or stripes, averaged over cells of 4 by 4 pixels."""
    images = layers.Input((SIZE, SIZE, 3))
    kernel = np.zeros((3, 3, 3, 2), np.float32)
    if kind == "texture":
        kernel[1, 1, :, 0], kernel[1, 0, :, 0], kernel[1, 2, :, 0] = 2 / 3, -1 / 3, -1 / 3
    else:
        kernel[..., 0], kernel[..., 1] = np.array([1, -1, -1]) / 9, np.array([-1, 1, -1]) / 9
    first = layers.Conv2D(2, 3, padding="same", activation="relu", name="detector")
    cells = layers.AveragePooling2D(4, name="cells")(first(images))
    first.set_weights([kernel, np.full(2, -0.2, np.float32)])
    last = layers.Dense(2, activation="softmax", name="head")
    weights, bias = np.zeros((2, 2), np.float32), np.array([-1.5, 0], np.float32)
    if kind == "corner":  # red in the upper right; elsewhere it does not matter
        outputs = last(layers.Flatten()(cells))
        placed = np.zeros((SIZE // 4, SIZE // 4, 2, 2), np.float32)
        placed[:5, 11:, 0, 0] = 0.8
        last.set_weights([placed.reshape(-1, 2), bias])
        return keras.Model(images, outputs)
    mean = layers.GlobalAveragePooling2D()(cells)
    if kind == "two places":  # red and green: neither is enough
        both = layers.Dense(1, activation="relu", name="both")
        outputs = last(both(mean))
        both.set_weights([np.full((2, 1), 60, np.float32), np.array([-1.1], np.float32)])
        last.set_weights([np.array([[4, 0]], np.float32), np.array([-2, 0], np.float32)])
    else:
        outputs = last(mean)
        weights[0, 0] = 150
        last.set_weights([weights, bias])
    return keras.Model(images, outputs)


def _scene(
    kind: str, random: np.random.Generator, number: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return a patchy grey ground with what the network looks for, and where that lies."""
    ground = random.uniform(0.3, 0.6, (8, 8, 1)).repeat(8, 0).repeat(8, 1)
    image = (ground + random.uniform(-0.05, 0.05, (SIZE, SIZE, 3))).astype(np.float32)
    truth = np.zeros((SIZE, SIZE))

    def put(colour: object, y: int, x: int, side: int = 12, *, counts: bool = True) -> None:
        image[y : y + side, x : x + side] = colour
        truth[y : y + side, x : x + side] = float(counts)

    y, x = PLACES[number % len(PLACES)]
    if kind == "texture":
        put(np.where(np.arange(16) % 2, 0.95, 0.05)[None, :, None], y, x, 16)
    elif kind == "corner":
        put(RED, 4, 48)
        put(RED, 44, 10, counts=False)
    elif kind == "two places":
        put(RED, *PLACES[number % 2])
        put(GREEN, *PLACES[2 + number % 5])
    else:
        put(RED, *((26, 26) if kind == "middle" else (y, x)))
    return image, truth
