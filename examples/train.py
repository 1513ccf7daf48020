"""Train the example classifier that ``reportgen demo`` reports on.

    python examples/train.py [--data fashion_mnist.npz] [--out examples/fashion]

Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017; MIT licence): 60,000 training and 10,000 test
photographs of
clothes, 28x28, grey. Without ``--data`` Keras downloads it. The network is a small residual CNN
whose Rescaling
layer takes raw 0..255 pixels. Everything random is seeded; a run takes about five minutes on two
cores.

Written to ``--out``: ``model.keras`` (with its compile configuration), ``history.csv`` (CSVLogger),
``classes.txt`` and ``probes/<class>/<index>.png``, eight test images that no training step has
seen.
"""

from __future__ import annotations

import argparse
import json
import os
import zipfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

CLASSES = (
    "T-shirt",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SEED = 7
EPOCHS = 14
BATCH = 128
VALIDATION = 6_000


def residual_block(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    """Add conv-BN-ReLU-conv-BN with a projected shortcut that halves the resolution.

    Returns:
        A tensor of shape (batch, height / 2, width / 2, ``width``).
    """
    layers = keras.layers
    short = layers.Conv2D(width, 1, strides=2, use_bias=False, name=f"{name}_project")(x)
    short = layers.BatchNormalization(name=f"{name}_project_bn")(short)
    x = layers.Conv2D(width, 3, 2, "same", use_bias=False, name=f"{name}_conv1")(x)
    x = layers.BatchNormalization(name=f"{name}_bn1")(x)
    x = layers.ReLU(name=f"{name}_relu1")(x)
    x = layers.Conv2D(width, 3, 1, "same", use_bias=False, name=f"{name}_conv2")(x)
    x = layers.BatchNormalization(name=f"{name}_bn2")(x)
    x = layers.Add(name=f"{name}_add")([x, short])
    return layers.ReLU(name=f"{name}_out")(x)


def build_model() -> keras.Model:
    """Return the untrained network: input (batch, 28, 28, 1) in 0..255, output (batch, 10) softmax."""
    layers = keras.layers
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(image)
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem_conv")(x)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    x = residual_block(x, 32, "block1")
    x = residual_block(x, 48, "block2")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    output = layers.Dense(10, activation="softmax", name="classes")(x)
    return keras.Model(image, output, name="fashion_resnet")


def load_data(path: Path | None) -> dict[str, np.ndarray]:
    """Read the four Fashion-MNIST arrays from ``path``, or have Keras download them."""
    if path:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def augmented(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    """Shuffle, flip and shift by up to two pixels, in the data set so that the model stays clean."""

    def change(image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.image.stateless_random_flip_left_right(image, seed)
        image = tf.image.stateless_random_crop(
            tf.pad(image, ((2, 2), (2, 2), (0, 0))), (28, 28, 1), seed
        )
        return image, label

    seeds = tf.data.Dataset.random(seed=SEED, rerandomize_each_iteration=True).batch(2)
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=SEED)
    data = tf.data.Dataset.zip(data, seeds).map(
        lambda pair, seed: change(*pair, seed), num_parallel_calls=2
    )
    return data.batch(BATCH).prefetch(2)


def train(data: dict[str, np.ndarray], out: Path) -> keras.Model:
    """Fit the model, write ``history.csv`` and ``model.keras``, and return it."""
    keras.utils.set_random_seed(SEED)
    x = data["x_train"][..., None].astype("float32")
    y = data["y_train"].astype("int64")
    held = slice(len(x) - VALIDATION, None)
    model = build_model()
    steps = -(-(len(x) - VALIDATION) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, steps * EPOCHS, alpha=0.01)
    adam = keras.optimizers.Adam(schedule)
    model.compile(adam, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        augmented(x[:-VALIDATION], y[:-VALIDATION]),
        validation_data=(x[held], y[held]),
        epochs=EPOCHS,
        callbacks=[keras.callbacks.CSVLogger(str(out / "history.csv"))],
        verbose=2,
    )
    model.save(out / "model.keras", include_optimizer=False)
    leave_out_new_arguments(out / "model.keras")
    return model


def leave_out_new_arguments(path: Path) -> None:
    """Take from a saved model what says nothing and what Keras 3.13 does not know: the demo runs there too."""
    new = {
        "input_axes": None, "output_axes": None,  # of initializers
        "renorm": False, "renorm_clipping": None, "renorm_momentum": 0.99,  # of BatchNormalization
    }  # fmt: skip

    def without(pairs: list[tuple[str, object]]) -> dict[str, object]:
        return {key: value for key, value in pairs if (key, value) not in new.items()}

    with zipfile.ZipFile(path) as archive:
        parts = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in parts:
            changed = info.filename == "config.json"
            config = json.loads(content, object_pairs_hook=without) if changed else None
            archive.writestr(info, json.dumps(config) if changed else content)


def save_probes(data: dict[str, np.ndarray], out: Path) -> None:
    """Write the first test image of eight classes as ``probes/<class>/<test index>.png``."""
    for label in (0, 1, 2, 3, 5, 6, 8, 9):
        index = int(np.flatnonzero(data["y_test"] == label)[0])
        folder = out / "probes" / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data["x_test"][index]).save(folder / f"{index:05d}.png", optimize=True)


def main() -> None:
    """Train, save everything that the demo needs and print the test accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="fashion_mnist.npz; without it Keras downloads it"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fashion")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    data = load_data(options.data)
    model = train(data, options.out)
    (options.out / "classes.txt").write_text("\n".join(CLASSES) + "\n", "utf-8")
    save_probes(data, options.out)
    x = data["x_test"][..., None].astype("float32")
    loss, accuracy = model.evaluate(x, data["y_test"], batch_size=500, verbose=0)
    print(f"test accuracy {accuracy:.4f}, loss {loss:.4f}, {model.count_params():,} parameters")


if __name__ == "__main__":
    main()
