"""Tiny Keras models, one of each shape, made once and saved into a temporary folder."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import reportgen

HOSTILE = """<script>"&'"""

_FOLDER = tempfile.TemporaryDirectory(prefix="reportgen-models-")


def images(count: int = 6, size: int = 12, channels: int = 3, seed: int = 1) -> np.ndarray:
    """Return smooth random pictures, uint8, of shape (count, size, size, channels)."""
    generator = np.random.default_rng(seed)
    rough = generator.integers(0, 256, (count, size // 4, size // 4, channels))
    smooth = rough.repeat(4, axis=1).repeat(4, axis=2) + generator.integers(-9, 10, (size, size, 1))
    return np.clip(smooth, 0, 255).astype(np.uint8)


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child process that finds the package under test."""
    return {**os.environ, "PYTHONPATH": str(Path(reportgen.__file__).parent.parent), **more}


@functools.cache
def model(name: str):
    """Return a model of the zoo, with the same weights in every process."""
    import keras

    keras.utils.set_random_seed(3)
    return _ZOO[name](keras)


def place() -> Path:
    """Return a folder for what lives as long as the tests."""
    return Path(_FOLDER.name)


@functools.cache
def saved(name: str, suffix: str = ".keras") -> Path:
    """Return the file of a model of the zoo."""
    path = place() / f"{name}{suffix}"
    model(name).save(path)
    return path


def _features(keras, x, name="features"):
    """Rescale, convolve and pool: bright and dark pictures get different features."""
    x = keras.layers.Rescaling(1 / 255)(x)
    x = keras.layers.Conv2D(4, 3, activation="relu", name=name)(x)
    x = keras.layers.MaxPooling2D(2)(x)
    return keras.layers.Flatten()(x)


def _head(*layers):
    """Make a model over 12x12x3 pictures that ends in ``layers(keras)``."""

    def build(keras):
        entry = keras.Input((12, 12, 3), name="picture")
        x = _features(keras, entry)
        outputs = [layer(keras)(x) for layer in layers]
        return keras.Model(entry, outputs[0] if len(outputs) == 1 else outputs, name="tiny")

    return build


def _dense(units, activation, name, spread=0.5):
    return lambda keras: keras.layers.Dense(
        units,
        activation=activation,
        name=name,
        kernel_initializer=keras.initializers.RandomNormal(stddev=spread, seed=11),
    )


def _logits(keras):
    network = _head(_dense(7, None, "scores"))(keras)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer=keras.optimizers.Adam(2e-3), loss=loss)
    return network


def _picture_to_picture(channels, activation, loss=None, source=3):
    def build(keras):
        entry = keras.Input((16, 16, source), name="picture")
        x = keras.layers.Rescaling(1 / 255)(entry)
        x = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(x)
        maps = keras.layers.Conv2D(channels, 3, padding="same", activation=activation, name="maps")
        # Wide initial weights: every class wins somewhere.
        maps.kernel_initializer = keras.initializers.RandomNormal(stddev=2.0, seed=5)
        network = keras.Model(entry, maps(x), name="painter")
        if loss:
            network.compile(loss=loss)
        return network

    return build


def _two_inputs(keras):
    left, right = (keras.Input((12, 12, 3), name=name) for name in ("left", "right"))
    joined = keras.layers.Concatenate()(
        [_features(keras, left, "see_left"), _features(keras, right, "see_right")]
    )
    return keras.Model([left, right], _dense(4, "softmax", "which")(keras)(joined), name="pair")


def _hostile(keras):
    """Names that break pages that do not escape them; Keras refuses only a slash."""
    entry = keras.Input((12, 12, 3), name=f"in {HOSTILE}")
    x = keras.layers.Conv2D(4, 3, name=HOSTILE)(entry)
    x = keras.layers.BatchNormalization(name="<img onerror=alert(1)>")(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(3, activation="softmax", name=f"out {HOSTILE}")(x)
    return keras.Model(entry, x, name=f"model {HOSTILE}")


def _nan(keras):
    network = _head(_dense(5, "softmax", "which"))(keras)
    kernel, bias = network.get_layer("which").get_weights()
    kernel[3, 2], bias[0] = np.nan, np.inf
    network.get_layer("which").set_weights([kernel, bias])
    return network


def _grey(keras):
    entry = keras.Input((12, 12, 1), name="picture")
    return keras.Model(
        entry, _dense(5, "softmax", "which")(keras)(_features(keras, entry)), name="grey"
    )


def _open_size(keras):
    entry = keras.Input((None, None, 3), name="picture")
    x = keras.layers.Rescaling(1 / 255)(entry)
    x = keras.layers.Conv2D(4, 3, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(entry, _dense(4, "softmax", "which")(keras)(x), name="open")


def _plain(keras):
    """No rescaling inside: what the network is fed depends on the preprocessing alone."""
    entry = keras.Input((12, 12, 3), name="picture")
    x = keras.layers.Flatten()(entry)
    return keras.Model(entry, _dense(4, "softmax", "which", 0.01)(keras)(x), name="plain")


def _deep(keras):
    """Enough layers for a filter, in blocks that repeat, at two resolutions."""
    entry = keras.Input((12, 12, 3), name="picture")
    x = keras.layers.Rescaling(1 / 255)(entry)
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv_0")(x)
    for number in range(1, 6):
        y = keras.layers.Conv2D(4, 3, padding="same", name=f"conv_{number}")(x)
        y = keras.layers.BatchNormalization(name=f"norm_{number}")(y)
        x = keras.layers.ReLU(name=f"fire_{number}")(keras.layers.Add(name=f"add_{number}")([x, y]))
    x = keras.layers.MaxPooling2D(2, name="pool_1")(x)
    x = keras.layers.Conv2D(6, 3, name="conv_6")(x)
    x = keras.layers.MaxPooling2D(2, name="pool_2")(x)
    x = _dense(5, "softmax", "which", 0.2)(keras)(keras.layers.Flatten()(x))
    return keras.Model(entry, x, name="deep")


_ZOO = {
    "classifier": _head(_dense(7, "softmax", "which", 0.2)),
    "logits": _logits,
    "binary": _head(_dense(1, "sigmoid", "is_it")),
    "multilabel": _head(_dense(6, "sigmoid", "tags")),
    "regression": _head(_dense(1, None, "how_much")),
    "vector": _head(_dense(3, None, "where")),
    "two_outputs": _head(_dense(5, "softmax", "which"), _dense(1, None, "how_much")),
    "segmentation": _picture_to_picture(4, "softmax"),
    "mask": _picture_to_picture(1, "sigmoid"),
    "autoencoder": _picture_to_picture(3, "sigmoid", "mse"),
    "two_inputs": _two_inputs,
    "hostile": _hostile,
    "nan": _nan,
    "grey": _grey,
    "open_size": _open_size,
    "plain": _plain,
    "deep": _deep,
}

NAMES = tuple(_ZOO)


def write_image(path):
    """Save one of the images as a file."""
    Image.fromarray(images(1)[0]).save(path)
