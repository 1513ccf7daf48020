"""Networks of Keras 1 and 2, migrated, against Keras 2 itself on random inputs.

    python benchmarks/migration.py write FOLDER [FILE …]     # by a Python that has tf_keras
    python benchmarks/migration.py compare FOLDER            # by one that has reportgen

``write`` saves networks of most layers of Keras 2 in both formats, some as SavedModels, and the answers of
``tf_keras`` to random inputs, of FILEs too. ``tf_keras`` runs the code that a file carries: give it files that
you trust. ``compare`` loads every file as a report does and prints the largest difference; equal is up to 1e-4.
A file that is not migrated counts too: it is named with its reason.
"""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from raw_operations import raw_networks

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
EQUAL = 1e-4
IMAGES = 5
"""No size of a layer below: ``keras.ops.add`` takes (n, 1, 1) for a bias where n is the number of channels."""


SAVED = {
    "recurrent_LSTM_hard_sigmoid", "recurrent_GRU_sigmoid", "rnn_cells", "in_time", "conv2d", "decoder",
    "conv1d", "normalisations", "adapted", "embedding", "frozen_inside", "shared_network",
    "nested_sequential", "attention", "several_outputs", "seq2seq", "tf_operators", "scaled_resnet50",
}  # fmt: skip
"""Networks that are saved as SavedModels too."""


# -- by tf_keras -------------------------------------------------------------------------------------


def write(folder: Path, files: list[Path]) -> None:
    """Save the networks and what Keras 2 answers."""
    import tf_keras

    folder.mkdir(parents=True, exist_ok=True)
    tf_keras.utils.set_random_seed(3)
    written = []
    for name, make in networks().items():
        model = make()
        shaken(model)
        for ending in (".h5", ".keras", *(["_saved"] if name in SAVED else [])):
            path = folder / f"{name}{ending}"
            try:
                model.save(path, **({"save_format": "tf"} if ending == "_saved" else {}))
            except Exception as error:  # noqa: BLE001 - Keras 2 cannot save all that it makes
                print(f"{path.name}: tf_keras cannot save it ({str(error)[:80]})")
                continue
            written.append(path)
    index = {}
    for number, path in enumerate([*written, *files]):
        try:
            model = tf_keras.models.load_model(readable(path, folder), compile=False)
            answers = answered(model)
        except Exception as error:  # noqa: BLE001 - the oracle does not read all either
            print(f"{path.name}: the oracle cannot run it ({str(error).splitlines()[0][:100]})")
            continue
        np.savez(folder / f"{number}.npz", **answers)
        index[f"{number}.npz"] = str(path.resolve())
    (folder / "index.json").write_text(json.dumps(index, indent=1))
    print(f"{len(index)} files answered by tf_keras {tf_keras.__version__}")


def readable(path: Path, folder: Path) -> Path:
    """Return a file that ``tf_keras`` reads: it has other names for groups than Keras 2.12 to 2.15 wrote.

    Backslashes, as Windows wrote them, become slashes, and the group of the layers gets its later name; the
    arrays are copied as they are.
    """
    if path.is_dir() or not zipfile.is_zipfile(path):
        return path
    made = folder / f"readable_{path.name}"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, renamed(content) if name.endswith(".h5") else content)
    return made


def renamed(content: bytes) -> bytes:
    """Return an HDF5 file with the names of its groups changed."""
    stream = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as old, h5py.File(stream, "w") as new:

        def copy(name: str, item: Any) -> None:
            path = name.replace("\\", "/").replace("_layer_checkpoint_dependencies", "layers")
            if isinstance(item, h5py.Dataset):
                new[path] = item[()]
            else:
                new.require_group(path)

        old.visititems(copy)
    return stream.getvalue()


def shaken(model: Any) -> None:
    """Move every weight off its initial value, variances above zero."""
    generator = np.random.default_rng(5)
    for weight in model.weights:
        if not weight.dtype.is_floating:
            continue
        value = weight.numpy() + 0.2 * generator.normal(size=weight.shape)
        weight.assign(np.abs(value) + 0.1 if "variance" in weight.name else value)


def answered(model: Any) -> dict[str, np.ndarray]:
    """Return random inputs and the network's answers, by kind and number."""
    generator = np.random.default_rng(7)
    inputs = []
    for tensor in model.inputs:
        shape = [IMAGES, *(n or 6 for n in tensor.shape[1:])]
        if reads_indices(model, tensor):
            inputs.append(generator.integers(0, 5, shape).astype(np.float32))
        else:
            inputs.append(generator.normal(size=shape).astype(np.float32))
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    flat = outputs if isinstance(outputs, list | tuple) else [outputs]
    return {f"in{n}": array for n, array in enumerate(inputs)} | {
        f"out{n}": np.asarray(array) for n, array in enumerate(flat)
    }


def reads_indices(model: Any, tensor: Any) -> bool:
    """Tell whether an Embedding reads an input."""
    name = tensor.name
    readers = [layer for layer in model.layers if type(layer).__name__ == "Embedding"]
    return any(getattr(layer.input, "name", None) == name for layer in readers)


def networks() -> dict[str, Any]:
    """Return makers of networks by name, a cause or a family of layers each."""
    from tf_keras import Input, Model, Sequential, layers

    def chain(shape: tuple[int | None, ...], *inner: Any) -> Any:
        return lambda: Sequential([Input(shape), *(make() for make in inner)])

    def merge(layer: Any) -> Any:
        def make() -> Any:
            first, second = Input((5,)), Input((5,))
            a, b = layers.Dense(4)(first), layers.Dense(4)(second)
            return Model([first, second], layers.Dense(2)(layer()([a, b])))

        return make

    picture, steps = (12, 12, 3), (6, 4)
    found = {
        f"recurrent_{kind}_{activation}": chain(
            steps,
            lambda kind=kind, activation=activation: getattr(layers, kind)(
                5, recurrent_activation=activation, return_sequences=True
            ),
            lambda kind=kind, activation=activation: layers.Bidirectional(
                getattr(layers, kind)(3, recurrent_activation=activation)
            ),
        )
        for kind in ("LSTM", "GRU")
        for activation in ("sigmoid", "hard_sigmoid")
    }
    found |= {f"merge_{kind}": merge(getattr(layers, kind)) for kind in (
        "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate",
    )}  # fmt: skip
    found["merge_Dot"] = merge(lambda: layers.Dot(axes=1))
    found |= {
        f"activation_{name}": chain((7,), lambda name=name: layers.Dense(5, activation=name))
        for name in (
            "relu", "elu", "selu", "softplus", "softsign", "tanh", "sigmoid", "hard_sigmoid", "exponential",
            "linear", "softmax", "swish", "gelu", "mish",
        )
    }  # fmt: skip
    found |= {
        "gru_before": chain(steps, lambda: layers.GRU(5, reset_after=False)),
        "simple_rnn": chain(steps, lambda: layers.SimpleRNN(5, go_backwards=True)),
        "rnn_cells": chain(
            steps,
            lambda: layers.RNN(
                [layers.LSTMCell(4), layers.GRUCell(3, recurrent_activation="hard_sigmoid")]
            ),
        ),
        "bidirectional_sum": chain(
            steps,
            lambda: layers.Bidirectional(
                layers.SimpleRNN(4, return_sequences=True), merge_mode="sum"
            ),
        ),
        "in_time": chain(
            (5, 8, 8, 3),
            lambda: layers.TimeDistributed(layers.Conv2D(3, 3, activation="hard_sigmoid")),
            lambda: layers.TimeDistributed(layers.Flatten()),
            lambda: layers.LSTM(4),
        ),
        "conv_lstm": chain(
            (4, 8, 8, 2), lambda: layers.ConvLSTM2D(3, 3, recurrent_activation="hard_sigmoid")
        ),
        "conv2d": chain(
            picture,
            lambda: layers.ZeroPadding2D(((0, 1), (0, 1))),
            lambda: layers.Conv2D(6, 3, strides=2, padding="same", groups=3),
            layers.BatchNormalization,
            layers.LeakyReLU,
            lambda: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
            lambda: layers.ReLU(6.0),
            lambda: layers.SeparableConv2D(4, 3, activation="relu"),
            lambda: layers.MaxPooling2D(2, padding="same"),
            layers.Flatten,
            lambda: layers.Dense(3, activation="softmax"),
        ),
        "decoder": chain(
            (4, 4, 3),
            lambda: layers.Conv2DTranspose(4, 3, strides=2, padding="same"),
            lambda: layers.PReLU(shared_axes=[1, 2]),
            lambda: layers.UpSampling2D(2, interpolation="bilinear"),
            lambda: layers.Conv2DTranspose(2, 4, strides=3, padding="valid", output_padding=1),
            lambda: layers.Cropping2D(2),
            lambda: layers.ELU(0.7),
        ),
        "conv1d": chain(
            (20, 3),
            lambda: layers.Conv1D(4, 3, dilation_rate=2, padding="causal"),
            lambda: layers.SeparableConv1D(5, 3),
            lambda: layers.DepthwiseConv1D(3),
            lambda: layers.AveragePooling1D(2),
            lambda: layers.Conv1DTranspose(3, 3),
            layers.GlobalMaxPooling1D,
        ),
        "conv3d": chain(
            (6, 6, 6, 2),
            lambda: layers.Conv3D(3, 2),
            lambda: layers.MaxPooling3D(2),
            lambda: layers.Conv3DTranspose(2, 2),
            layers.GlobalAveragePooling3D,
        ),
        "thresholded": chain((9,), lambda: layers.Dense(5), lambda: layers.ThresholdedReLU(0.3)),
        "dropouts": chain(
            picture,
            lambda: layers.SpatialDropout2D(0.4),
            lambda: layers.GaussianNoise(0.2),
            lambda: layers.GaussianDropout(0.2),
            lambda: layers.AlphaDropout(0.2),
            lambda: layers.Dropout(0.2, noise_shape=(None, 1, 1, 3)),
            layers.Flatten,
            lambda: layers.ActivityRegularization(0.1),
            lambda: layers.Dense(3),
        ),
        "normalisations": chain(
            (6, 5),
            layers.LayerNormalization,
            lambda: layers.BatchNormalization(axis=1, scale=False),
            layers.UnitNormalization,
            lambda: layers.GroupNormalization(5),
        ),
        "preprocessing": chain(
            picture,
            lambda: layers.Rescaling(1 / 127.5, -1),
            lambda: layers.RandomFlip("horizontal"),
            lambda: layers.RandomRotation(0.1),
            lambda: layers.RandomZoom(0.1),
            lambda: layers.RandomContrast(0.1),
            lambda: layers.RandomTranslation(0.1, 0.1),
            lambda: layers.Resizing(9, 9),
            lambda: layers.CenterCrop(7, 7),
            lambda: layers.Conv2D(2, 3),
        ),
        "adapted": chain(
            (4,),
            lambda: layers.Normalization(mean=[1, 2, 3, 4], variance=[1, 2, 3, 4]),
            lambda: layers.Dense(2),
        ),
        "shapes": chain(
            (6, 4),
            lambda: layers.Permute((2, 1)),
            lambda: layers.Reshape((3, 8)),
            lambda: layers.Masking(0.0),
            layers.GlobalAveragePooling1D,
            lambda: layers.RepeatVector(3),
            lambda: layers.Softmax(axis=1),
        ),
        "embedding": chain(
            (7,), lambda: layers.Embedding(9, 4, mask_zero=True), lambda: layers.LSTM(3)
        ),
    }
    return found | graphs() | functions() | raw_networks()


def graphs() -> dict[str, Any]:  # noqa: C901 - a network a joint
    """Return makers of networks whose joints are odd."""
    from tf_keras import Input, Model, Sequential, layers

    def backbone(name: str) -> Any:
        entry = Input((12, 12, 3))
        x = layers.Conv2D(4, 3, name="conv")(entry)
        x = layers.BatchNormalization(name="norm")(x)
        return Model(entry, layers.Conv2D(4, 3, name="more")(x), name=name)

    def frozen() -> Any:
        inner = backbone("inner")
        inner.get_layer("conv").trainable = False
        return Sequential([Input((12, 12, 3)), inner, layers.Flatten(), layers.Dense(2)])

    def wholly_frozen() -> Any:
        inner = backbone("inner")
        inner.trainable = False
        return Sequential([inner, layers.GlobalAveragePooling2D(), layers.Dense(2)])

    def shared() -> Any:
        first, second = Input((12, 12, 3)), Input((12, 12, 3))
        inner = backbone("twins")
        merged = layers.Subtract()([inner(first), inner(second)])
        return Model([first, second], layers.Dense(1)(layers.Flatten()(merged)))

    def nested_sequential() -> Any:
        entry = Input((12, 12, 3))
        head = Sequential(
            [Input((8, 8, 4)), layers.Flatten(), layers.Dense(3), layers.Dropout(0.2)], name="head"
        )
        return Model(entry, head(backbone("body")(entry)))

    def several() -> Any:
        entry = Input((8,))
        x = layers.Dense(6, activation="relu", name="stem")(entry)
        a = layers.Dense(2, name="a")(x)
        b = layers.Dense(3, activation="sigmoid", name="b")(layers.Add()([x, layers.Dense(6)(x)]))
        return Model(entry, [a, b])

    def seq2seq() -> Any:
        source, target = Input((5, 4)), Input((6, 4))
        _, h, c = layers.LSTM(7, return_state=True)(source)
        told = layers.LSTM(7, return_sequences=True)(target, initial_state=[h, c])
        return Model([source, target], layers.Dense(3)(told))

    def attention() -> Any:
        entry = Input((6, 8))
        x = layers.MultiHeadAttention(2, 4)(entry, entry)
        x = layers.LayerNormalization()(layers.Add()([x, entry]))
        y = layers.Attention(use_scale=True)([x, entry])
        z = layers.AdditiveAttention()([y, x])
        return Model(entry, layers.GlobalAveragePooling1D()(z))

    def slashed() -> Any:
        entry = Input((8,), name="in")
        x = layers.Dense(4, name="block/one")(entry)
        return Model(entry, layers.Dense(2, name="block/two")(x))

    def regularised() -> Any:
        return Sequential(
            [
                layers.Dense(
                    5, input_shape=(4,), kernel_regularizer="l2", bias_constraint="non_neg",
                    kernel_initializer="he_normal", activity_regularizer="l1",
                ),
                layers.Dense(2, kernel_constraint="unit_norm"),
            ]
        )  # fmt: skip

    return {
        "frozen_inside": frozen, "frozen_whole": wholly_frozen, "shared_network": shared,
        "nested_sequential": nested_sequential, "several_outputs": several, "seq2seq": seq2seq,
        "attention": attention, "slashed_names": slashed, "regularised": regularised,
    }  # fmt: skip


def functions() -> dict[str, Any]:
    """Return makers of networks that call functions of TensorFlow, a function each."""
    import tensorflow as tf
    from tf_keras import Input, Model, applications, layers

    def applied(shape: tuple[int, ...], work: Any) -> Any:
        def make() -> Any:
            entry = Input(shape)
            inside = layers.Conv2D(4, 1)(entry) if len(shape) == 3 else layers.Dense(4)(entry)
            return Model(entry, work(inside))

        return make

    def scaled(family: Any) -> Any:
        def make() -> Any:
            entry = Input((8, 8, 3))
            return Model(entry, layers.Conv2D(2, 3)(family.preprocess_input(entry)))

        return make

    steps, picture = (6, 4), (8, 8, 3)
    of_one = (
        "abs", "sigmoid", "tanh", "exp", "square", "negative", "sign", "floor", "ceil", "round", "sin", "cos",
        "softplus", "erf", "expm1", "reciprocal", "log_sigmoid", "atan", "sinh", "cosh", "asinh", "tan",
    )  # fmt: skip
    over = ("sum", "mean", "max", "min", "prod", "std", "variance", "logsumexp")
    of_nn = (
        "relu",
        "relu6",
        "elu",
        "selu",
        "silu",
        "gelu",
        "leaky_relu",
        "softsign",
        "softmax",
        "log_softmax",
    )
    found = {f"tf_{name}": applied(steps, getattr(tf.math, name)) for name in of_one}
    found |= {f"tf_nn_{name}": applied(steps, getattr(tf.nn, name)) for name in of_nn}
    found |= {
        f"tf_reduce_{name}": applied(
            steps,
            lambda x, name=name: getattr(tf.math, f"reduce_{name}")(x, axis=-1, keepdims=True),
        )
        for name in over
    }
    found |= {
        f"tf_{name}": applied(
            steps, lambda x, name=name: getattr(tf.math, name)(x, tf.abs(x[:, ::-1]) + 0.5)
        )
        for name in (
            "maximum",
            "minimum",
            "divide",
            "floordiv",
            "floormod",
            "atan2",
            "divide_no_nan",
        )
    }
    found |= {
        f"tf_{name}": applied(
            steps, lambda x, name=name: tf.cast(getattr(tf.math, name)(x, 0.1), "float32")
        )
        for name in ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")
    }
    found |= {
        f"scaled_{name}": scaled(getattr(applications, name))
        for name in ("resnet50", "mobilenet_v2", "vgg16", "xception", "densenet", "inception_v3")
    }
    found |= {f"tf_{name}": applied(steps, work) for name, work in _of_steps().items()}
    found |= {f"tf_{name}": applied(picture, work) for name, work in _of_pictures().items()}
    found["mobilenet_v3"] = lambda: applications.MobileNetV3Small(
        (64, 64, 3), weights=None, include_top=False, include_preprocessing=False
    )
    return found


def _of_steps() -> dict[str, Any]:
    """Return functions of a tensor of (batch, 6, 4)."""
    import tensorflow as tf
    import tf_keras

    k = tf_keras.backend
    return {
        "operators": lambda x: 1.5 - (x * 2 + x / 3) ** 2 - (-x),
        "indices": lambda x: x[:, 1:4, ::-1] + x[:, 0:1, tf.newaxis, 2],
        "row": lambda x: x[:, 2],
        "last": lambda x: x[..., -1:],
        "concat": lambda x: tf.concat([x, x * 2, tf.abs(x)], axis=1),
        "stack": lambda x: tf.stack([x, x + 1], axis=-1),
        "unstack": lambda x: tf.unstack(x, axis=1)[2],
        "split": lambda x: tf.split(x, 2, axis=1)[1],
        "split_sizes": lambda x: tf.split(x, [1, 2, 3], axis=1)[2],
        "reshape": lambda x: tf.reshape(x, (-1, 3, 8)),
        "expand": lambda x: tf.expand_dims(x, 1),
        "squeeze": lambda x: tf.squeeze(x[:, :1], axis=1),
        "transpose": lambda x: tf.transpose(x, [0, 2, 1]),
        "tile": lambda x: tf.tile(x, [1, 2, 1]),
        "repeat": lambda x: tf.repeat(x, 3, axis=1),
        "pad": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 0]]),
        "pad_reflect": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 0]], mode="REFLECT"),
        "gather": lambda x: tf.gather(x, [0, 2, 2], axis=1),
        "clip": lambda x: tf.clip_by_value(x, -0.5, 0.7),
        "matmul": lambda x: tf.matmul(x, x, transpose_b=True),
        "matmul_both": lambda x: tf.matmul(x, tf.transpose(x, [0, 2, 1])),
        "matmul_first": lambda x: tf.matmul(x, x, transpose_a=True),
        "tensordot": lambda x: tf.tensordot(x, [[1.0, 2.0]] * 4, axes=1),
        "where": lambda x: tf.where(x > 0.1, x, tf.zeros_like(x)),
        "one_hot": lambda x: tf.one_hot(tf.cast(tf.argmax(x, axis=-1), "int32"), 4),
        "argmin": lambda x: tf.cast(tf.argmin(x, axis=-1), "float32"),
        "cumsum": lambda x: tf.cumsum(x, axis=1),
        "cumprod": lambda x: tf.math.cumprod(x, axis=1),
        "l2_normalize": lambda x: tf.math.l2_normalize(x, axis=-1),
        "norm": lambda x: tf.norm(x, axis=-1),
        "top_k": lambda x: tf.math.top_k(x, 2)[0],
        "scalar_mul": lambda x: tf.math.scalar_mul(0.5, x),
        "sqrt": lambda x: (
            tf.sqrt(tf.abs(x) + 1) + tf.math.rsqrt(tf.abs(x) + 1) + tf.math.log(tf.abs(x) + 1)
        ),
        "log1p": lambda x: tf.math.log1p(tf.abs(x)),
        "arcs": lambda x: (
            tf.asin(tf.tanh(x) * 0.9) + tf.acos(tf.tanh(x) * 0.9) + tf.atanh(tf.tanh(x) * 0.9)
        ),
        "acosh": lambda x: tf.acosh(tf.abs(x) + 1.1),
        "pow": lambda x: tf.pow(tf.abs(x) + 0.1, 1.7),
        "logical": lambda x: tf.cast(
            tf.logical_or(tf.logical_and(x > 0, x < 1), tf.logical_not(x > -1)), "float32"
        ),
        "identity": lambda x: tf.identity(tf.stop_gradient(x)),
        "ones_like": lambda x: tf.ones_like(x) + x,
        "any": lambda x: tf.cast(tf.reduce_any(x > 0.3, axis=1), "float32"),
        "finite": lambda x: tf.cast(tf.math.is_finite(x), "float32"),
        "k_mean": lambda x: k.mean(x, axis=1),
        "k_sum": lambda x: k.sum(k.square(x), axis=-1, keepdims=True),
        "k_l2": lambda x: k.l2_normalize(x, axis=-1),
        "k_clip": lambda x: k.clip(x, 0.0, 1.0),
        "k_permuted": lambda x: k.permute_dimensions(x, (0, 2, 1)),
        "k_concatenated": lambda x: k.concatenate([x, x], axis=-1),
        "k_relu": lambda x: k.relu(x, alpha=0.1, max_value=1.0),
        "k_reversed": lambda x: k.reverse(x, 1),
        "activation": tf_keras.activations.swish,
        "hard_sigmoid": tf_keras.activations.hard_sigmoid,
    }


def _of_pictures() -> dict[str, Any]:
    """Return functions of a tensor of (batch, 8, 8, 4)."""
    import tensorflow as tf
    import tf_keras

    return {
        "resize": lambda x: tf.image.resize(x, (13, 5)),
        "resize_nearest": lambda x: tf.image.resize(x, (16, 16), method="nearest"),
        "resize_bicubic": lambda x: tf.image.resize(x, (13, 5), method="bicubic", antialias=True),
        "max_pool": lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"),
        "avg_pool": lambda x: tf.nn.avg_pool2d(x, [1, 3, 3, 1], [1, 2, 2, 1], "SAME"),
        "depth_to_space": lambda x: tf.nn.depth_to_space(x, 2),
        "space_to_depth": lambda x: tf.nn.space_to_depth(x, 2),
        "grey": lambda x: tf.image.rgb_to_grayscale(x[..., :3]),
        "means": lambda x: tf.reduce_mean(x, [1, 2]),
        "bias": lambda x: tf.nn.bias_add(x, [1.0, 2.0, 3.0, 4.0]),
        "k_resize": lambda x: tf_keras.backend.resize_images(x, 2, 2, "channels_last"),
    }


# -- by reportgen ------------------------------------------------------------------------------------


def compare(folder: Path) -> None:
    """Load what was written as a report does, and print the differences."""
    from reportgen.errors import ModelError
    from reportgen.nets.engine import import_keras

    import_keras()
    index = json.loads((folder / "index.json").read_text())
    worst, refused, wrong = 0.0, 0, 0
    for name, path in index.items():
        with np.load(folder / name) as answers:
            try:
                far, way = difference(Path(path), dict(answers))
            except ModelError as error:
                refused += 1
                print(f"{Path(path).name:44} refused: {str(error).replace(path, '')[:300]}")
                continue
        wrong += far > EQUAL
        worst = max(worst, far)
        print(f"{Path(path).name:44} {way:9} {far:.1e}{'  DIFFERENT' if far > EQUAL else ''}")
    print(
        f"{len(index)} files: {refused} refused, {wrong} different, largest difference {worst:.1e}"
    )


def difference(path: Path, answers: dict[str, np.ndarray]) -> tuple[float, str]:
    """Return how far apart the answers are, at most, and which way was taken."""
    from reportgen.nets.loading import load_model

    loaded = load_model(path)
    inputs = [answers[key] for key in sorted(answers) if key.startswith("in")]
    given = inputs if len(inputs) > 1 else inputs[0]
    outputs = loaded.model(given, training=False)
    flat = outputs if isinstance(outputs, list | tuple) else [outputs]
    pairs = [(np.asarray(array), answers[f"out{n}"]) for n, array in enumerate(flat)]
    far = [np.abs(a.astype(float) - b.astype(float)) for a, b in pairs]
    for (a, b), values in zip(pairs, far, strict=True):
        values[(a == b) | (np.isnan(a) & np.isnan(b))] = 0  # also two that are infinite
        values[np.isnan(values)] = np.inf
    return float(max(values.max() for values in far)), loaded.origin.way if loaded.origin else ""


def main() -> None:
    """Do what the command line says."""
    kind, folder, *files = sys.argv[1:]
    if kind == "write":
        write(Path(folder), [Path(file) for file in files])
    else:
        compare(Path(folder))


if __name__ == "__main__":
    main()
