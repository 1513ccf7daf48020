"""Small networks that really learned, for the rules about small kernels: a second of training each.

Their kernels have 72 to 5,000 values and have moved between hardly and far, since optimisers, rates,
initializers and normalisation differ from network to network; the case in which chance alone makes a
trained kernel look like a fresh one.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import keras
import numpy as np
from keras import layers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

EPOCHS = 8
CLASSES = {"2 patches": 2, "4 patches": 4, "clothes": 10}
KINDS = ("plain", "deep", "dense", "normalised")
STARTS = ("glorot_uniform", "he_normal", "he_uniform")
RATES = ("adam:1e-3", "adam:3e-4", "sgd:1e-2")
IMAGES = 600
ABOVE_CHANCE = 2.0
"""A network has learned when it is right this many times as often as chance, or on 0.85 of two classes."""


class Small(NamedTuple):
    """A trained network.

    Attributes:
        name: what it is made of.
        accuracy: on the images of its training, in [0, 1].
    """

    name: str
    model: keras.Model
    accuracy: float


def patches(classes: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw noisy pictures (600, 32, 32, 3) in [0, 1] with a bright patch where the class says."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, IMAGES)
    pictures = random.uniform(0, 0.25, (IMAGES, 32, 32, 3)).astype(np.float32)
    for picture, turn in zip(pictures, 2 * np.pi * truth / classes, strict=True):
        row, column = int(16 + 9 * np.sin(turn)), int(16 + 9 * np.cos(turn))
        picture[row - 4 : row + 4, column - 4 : column + 4] += 0.6
    return np.clip(pictures, 0, 1), truth


def clothes(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return Fashion-MNIST pictures (600, 14, 14, 1) in [0, 1], every second pixel."""
    with np.load(path) as data:
        pictures = data["x_train"][:IMAGES, ::2, ::2, None].astype(np.float32) / 255
        return pictures, data["y_train"][:IMAGES].astype(np.int64)


def body(kind: str, initializer: str) -> list[keras.Layer]:
    """Return the hidden layers of one of four networks."""

    def convolution(filters: int, *, normalised: bool = False) -> list[keras.Layer]:
        plain = layers.Conv2D(
            filters,
            3,
            padding="same",
            kernel_initializer=initializer,
            use_bias=not normalised,
            activation=None if normalised else "relu",
        )
        return [plain, layers.BatchNormalization(), layers.ReLU()] if normalised else [plain]

    def dense(units: int) -> keras.Layer:
        return layers.Dense(units, activation="relu", kernel_initializer=initializer)

    if kind == "dense":
        return [layers.AveragePooling2D(2), layers.Flatten(), dense(12), dense(24)]
    if kind == "normalised":
        first, second = convolution(8, normalised=True), convolution(16, normalised=True)
        third = layers.SeparableConv2D(24, 3, use_bias=False)
        last = [third, layers.BatchNormalization(), layers.ReLU(), layers.GlobalAveragePooling2D()]
        return [*first, layers.MaxPooling2D(2), *second, *last]
    if kind == "deep":
        stages = [[*convolution(8), layers.MaxPooling2D(2)] for _ in range(3)]
        return [*itertools.chain(*stages), layers.Flatten(), dense(16)]
    stages = [[*convolution(filters), layers.MaxPooling2D(2)] for filters in (8, 16)]
    return [*itertools.chain(*stages), layers.Flatten()]


def optimiser(name: str) -> keras.optimizers.Optimizer:
    """Return ``adam`` or ``sgd`` at the rate behind the colon."""
    kind, _, rate = name.partition(":")
    if kind == "adam":
        return keras.optimizers.Adam(float(rate))
    return keras.optimizers.SGD(float(rate), momentum=0.9)


def untrained() -> Iterator[tuple[str, keras.Model, str, str]]:
    """Make one network after the other; with each come its name, its images and its optimizer."""
    choices = itertools.product(CLASSES, KINDS, STARTS, RATES)
    for seed, (images, kind, start, rate) in enumerate(choices):
        keras.utils.set_random_seed(seed)
        shape = (14, 14, 1) if images == "clothes" else (32, 32, 3)
        head = layers.Dense(CLASSES[images], activation="softmax")
        model = keras.Sequential([layers.Input(shape), *body(kind, start), head])
        yield f"{images}, {kind}, {start}, {rate}", model, images, rate


def small_networks(data: Path) -> Iterator[Small]:
    """Train one network after the other and yield those that learned.

    Args:
        data: ``fashion_mnist.npz``.
    """
    sets = {"2 patches": patches(2, 1), "4 patches": patches(4, 2), "clothes": clothes(data)}
    for name, model, images, rate in untrained():
        pictures, truth = sets[images]
        model.compile(
            optimiser(rate),
            "sparse_categorical_crossentropy",
            steps_per_execution=IMAGES // 20,
            jit_compile=False,
        )
        model.fit(pictures, truth, batch_size=20, epochs=EPOCHS, verbose=0)
        accuracy = float((np.asarray(model(pictures)).argmax(axis=1) == truth).mean())
        if accuracy >= min(ABOVE_CHANCE / CLASSES[images], 0.85):
            yield Small(name, model, accuracy)
