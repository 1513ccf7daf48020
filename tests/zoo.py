"""Small odd models, each with what is known of it by construction."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from reportgen.nets.keras_network import KerasNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOSTILE = """<script>"&'"""
PICTURE = {"picture": (8, 8, 3)}
COUNT = 12
"""Inputs of a series: a multiple of the fixed batch, no multiple of the block."""


class Case(NamedTuple):
    """A model of the zoo.

    Attributes:
        make: builds it.
        shapes: of its inputs by name, without the batch dimension.
        heads: activation and task by output name, in order.
        feed: how Keras itself takes its inputs: ``one``, ``list`` or ``dict``.
        options: what ``KerasNetwork`` has to be told.
        integers: the range of inputs that are indices.
    """

    make: Callable[[], keras.Model]
    shapes: Mapping[str, tuple[int, ...]]
    heads: Mapping[str, tuple[str | None, str]]
    feed: str = "one"
    options: Mapping[str, object] = {}
    integers: int = 0


@keras.saving.register_keras_serializable("zoo")
class Twist(keras.Model):
    """Subclassed: layers joined by operations inside ``call``."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.left = layers.Conv2D(4, 3, padding="same", name="left")
        self.right = layers.Conv2D(4, 3, padding="same", activation="relu", name="right")
        self.head = layers.Dense(3, activation="softmax", name="head")

    def call(self, inputs):
        mixed = ops.relu(self.left(inputs)) * 0.5 + self.right(inputs)
        return self.head(ops.mean(mixed, axis=(1, 2)))


@keras.saving.register_keras_serializable("zoo")
class Pair(keras.Model):
    """Subclassed: takes two pictures in a sequence and answers with two tensors."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.left = layers.Dense(3, name="left")
        self.right = layers.Dense(2, activation="sigmoid", name="right")

    def call(self, inputs):
        first, second = inputs
        return self.left(first), self.right(second)


@keras.saving.register_keras_serializable("zoo")
class Named(keras.Model):
    """Subclassed: takes and returns a mapping."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.head = layers.Dense(3, activation="softmax", name="head")

    def call(self, inputs):
        return {"kind": self.head(inputs["zebra"] - 2 * inputs["apple"])}


class Tied(layers.Layer):
    """Hands its input back through the kernel of another layer, which becomes its own as well."""

    def __init__(self, kernel, **kwargs):
        super().__init__(**kwargs)
        self.kernel = kernel

    def call(self, inputs):
        return ops.matmul(inputs, ops.transpose(self.kernel))


@keras.saving.register_keras_serializable("zoo")
class Residual(layers.Layer):
    """Adds what an inner layer makes to what came in, by an operation of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Conv2D(3, 3, padding="same", name="inner")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, inputs):
        return inputs + self.inner(inputs)


def _picture(channels=3, size=8):
    return keras.Input((size, size, channels), name="picture")


def _sequential():
    return keras.Sequential([_picture(), *_stack()], name="stack")


def _stack():
    return [
        layers.Conv2D(4, 3, activation="relu", name="see"),
        layers.MaxPooling2D(2, name="pool"),
        layers.Flatten(name="flat"),
        layers.Dense(5, activation="softmax", name="which"),
    ]


def _functional():
    entry = _picture()
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="see")(entry)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="fire")(x)
    y = layers.Conv2D(4, 1, name="side")(x)
    x = layers.Add(name="join")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(entry, layers.Dense(4, activation="softmax", name="which")(x))


def backbone(name="backbone"):
    """Return a small network that others hold."""
    entry = keras.Input((8, 8, 3), name="given")
    x = layers.Conv2D(4, 3, activation="relu", name="see")(entry)
    x = layers.BatchNormalization(name="norm")(x)
    return keras.Model(entry, layers.GlobalAveragePooling2D(name="pool")(x), name=name)


def _nested():
    inner = backbone("inner")
    middle_entry = keras.Input((8, 8, 3), name="passed")
    middle = keras.Model(
        middle_entry, layers.Dense(6, name="narrow")(inner(middle_entry)), name="middle"
    )
    entry = _picture()
    return keras.Model(
        entry, layers.Dense(3, activation="softmax", name="which")(middle(entry)), name="outer"
    )


def _behind_rescaling():
    return keras.Sequential(
        [
            _picture(),
            layers.Rescaling(1 / 255, name="scale"),
            backbone(),
            layers.Dense(1, activation="sigmoid", name="is_it"),
        ]
    )


def _siamese():
    left, right = (keras.Input((8, 8, 3), name=name) for name in ("left", "right"))
    encoder = backbone("encoder")
    distance = layers.Subtract(name="difference")([encoder(left), encoder(right)])
    return keras.Model(
        [left, right], layers.Dense(1, activation="sigmoid", name="same")(ops.abs(distance))
    )


def _dict_inputs():
    entries = {
        "zebra": keras.Input((8, 8, 3), name="zebra"),
        "apple": keras.Input((5,), name="apple"),
    }
    seen = layers.GlobalMaxPooling2D(name="pool")(layers.Conv2D(4, 3, name="see")(entries["zebra"]))
    joined = layers.Concatenate(name="join")([seen, layers.Dense(3, name="read")(entries["apple"])])
    return keras.Model(entries, layers.Dense(3, activation="softmax", name="which")(joined))


def _trunk(entry):
    return layers.Flatten(name="flat")(layers.Conv2D(3, 3, activation="relu", name="see")(entry))


def _multi_output():
    entry = _picture()
    x = _trunk(entry)
    model = keras.Model(
        entry,
        [
            layers.Dense(4, activation="softmax", name="which")(x),
            layers.Dense(3, activation="sigmoid", name="tags")(x),
            layers.Dense(1, name="how_much")(x),
        ],
    )
    model.compile(
        keras.optimizers.SGD(0.25),
        {
            "which": "sparse_categorical_crossentropy",
            "tags": "binary_crossentropy",
            "how_much": "mse",
        },
    )
    return model


def _dict_outputs():
    entry = _picture()
    x = _trunk(entry)
    return keras.Model(
        entry,
        {
            "zoom": layers.Dense(2, name="d_zoom")(x),
            "kind": layers.Dense(4, activation="softmax", name="d_kind")(x),
        },
    )


def _subclassed():
    model = Twist(name="twist")
    model(np.zeros((1, 8, 8, 3), np.float32))
    return model


def _subclassed_pair():
    model = Pair(name="pair")
    model((np.zeros((1, 4), np.float32), np.zeros((1, 5), np.float32)))
    return model


def _subclassed_dict():
    model = Named(name="named")
    model({name: np.zeros((1, 4), np.float32) for name in ("zebra", "apple")})
    return model


def _operations():
    entry = _picture()
    x = layers.Conv2D(4, 3, name="see")(entry)
    x = ops.relu(x) + ops.mean(x, axis=-1, keepdims=True)
    x = ops.reshape(x, (-1, 6 * 6 * 4))
    return keras.Model(entry, ops.softmax(layers.Dense(4, name="scores")(x)))


def _recurrent():
    entry = keras.Input((6, 5), name="steps")
    x = layers.TimeDistributed(layers.Dense(4, name="each"), name="every")(entry)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True, name="two"), name="both")(x)
    x = layers.GRU(3, name="last")(x)
    return keras.Model(entry, layers.Dense(2, activation="softmax", name="which")(x))


def _text():
    entry = keras.Input((7,), dtype="int32", name="tokens")
    x = layers.Embedding(11, 4, name="words")(entry)
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(entry, layers.Dense(1, activation="sigmoid", name="is_it")(x))


def _vit():
    entry = _picture()
    x = layers.Conv2D(8, 4, strides=4, name="patches")(entry)
    x = layers.Reshape((4, 8), name="tokens")(x)
    y = layers.LayerNormalization(name="norm")(x)
    y = layers.MultiHeadAttention(2, 4, name="attend")(y, y)
    x = layers.Add(name="join")([x, y])
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(entry, layers.Dense(3, name="logits")(x))


def _separate_softmax():
    entry = _picture()
    x = layers.Dense(4, name="scores")(_trunk(entry))
    return keras.Model(entry, layers.Softmax(name="normalise")(x))


def _logits():
    entry = _picture()
    model = keras.Model(entry, layers.Dense(4, name="scores")(_trunk(entry)))
    model.compile(
        keras.optimizers.Adam(0.002), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


def _perceptron():
    entry = keras.Input((10,), name="features")
    x = layers.Dense(6, activation="tanh", name="hidden")(entry)
    return keras.Model(entry, layers.Dense(1, name="how_much")(x))


def _grey():
    entry = _picture(1)
    return keras.Model(entry, layers.Dense(3, activation="softmax", name="which")(_trunk(entry)))


def _of_type(policy):
    def make():
        kept = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            return _functional()
        finally:
            keras.config.set_dtype_policy(kept)

    return make


def _int8():
    model = _sequential()
    model.quantize("int8", filters="which")
    return model


def _tied():
    entry = keras.Input((10,), name="features")
    inward = layers.Dense(4, name="inward")
    narrow = inward(entry)
    return keras.Model(entry, Tied(inward.kernel, name="outward")(narrow))


def _same_names():
    entry = _picture()
    joined = layers.Concatenate(name="join")([backbone("one")(entry), backbone("two")(entry)])
    return keras.Model(entry, layers.Dense(3, activation="softmax", name="which")(joined))


def _nan():
    entry = _picture()
    x = layers.Flatten(name="flat")(layers.Conv2D(4, 3, name="see")(entry))
    model = keras.Model(entry, layers.Dense(5, activation="softmax", name="which")(x))
    kernel, bias = model.get_layer("see").get_weights()
    kernel[0, 0, 0, 1], bias[2] = np.nan, np.inf
    model.get_layer("see").set_weights([kernel, bias])
    return model


def _fixed_batch():
    entry = keras.Input(batch_shape=(4, 8, 8, 3), name="picture")
    return keras.Model(entry, layers.Dense(3, activation="softmax", name="which")(_trunk(entry)))


def _open_size():
    entry = keras.Input((None, None, 3), name="picture")
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(4, 3, name="see")(entry))
    return keras.Model(entry, layers.Dense(3, activation="softmax", name="which")(x))


def _hostile():
    entry = keras.Input((8, 8, 3), name=f"in {HOSTILE}")
    x = layers.Conv2D(3, 3, name=HOSTILE)(entry)
    x = layers.Flatten(name="größe <b>")(x)
    return keras.Model(entry, layers.Dense(3, activation="softmax", name=f"out {HOSTILE}")(x))


def _segmentation():
    entry = keras.Input((16, 16, 3), name="picture")
    down = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="down")(entry)
    up = layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="up")(down)
    joined = layers.Concatenate(name="join")([entry, up])
    return keras.Model(entry, layers.Conv2D(3, 1, activation="softmax", name="mask")(joined))


def _autoencoder():
    entry = keras.Input((16, 16, 1), name="picture")
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="down")(entry)
    x = layers.UpSampling2D(2, name="up")(x)
    model = keras.Model(
        entry, layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="image")(x)
    )
    model.compile("adam", "mse")
    return model


def _dropout():
    """A branch that leaves in front of a Dropout, and one behind it."""
    entry = keras.Input((10,), name="features")
    wide = layers.Dense(6, activation="relu", name="wide")(entry)
    thin = layers.Dropout(0.5, name="drop")(wide)
    low = layers.Dense(6, name="low")(thin)
    return keras.Model(
        entry,
        layers.Dense(2, activation="softmax", name="which")(layers.Add(name="join")([wide, low])),
    )


def _separable():
    entry = _picture()
    x = layers.SeparableConv2D(4, 3, name="apart")(entry)
    x = layers.DepthwiseConv2D(3, name="each")(x)
    x = layers.GlobalMaxPooling2D(name="pool")(x)
    return keras.Model(entry, layers.Dense(3, activation="softmax", name="which")(x))


def _residual():
    entry = _picture()
    x = entry
    for step in range(6):
        x = Residual(name=f"block_{step}")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(entry, layers.Dense(3, activation="softmax", name="which")(x))


def _shared_layer():
    entry = keras.Input((6,), name="features")
    again = layers.Dense(6, activation="relu", name="again")
    x = again(again(again(entry)))
    return keras.Model(entry, layers.Dense(2, activation="softmax", name="which")(x))


SOFTMAX = {"which": ("softmax", "classification")}
ZOO = {
    "sequential": Case(_sequential, PICTURE, SOFTMAX),
    "sequential_unbuilt": Case(
        lambda: keras.Sequential(_stack(), name="stack"),
        {"input": (8, 8, 3)},
        SOFTMAX,
        options={"given": {None: ((8, 8, 3), False)}},
    ),
    "functional": Case(_functional, PICTURE, SOFTMAX),
    "nested": Case(_nested, PICTURE, SOFTMAX),
    "behind_rescaling": Case(_behind_rescaling, PICTURE, {"is_it": ("sigmoid", "binary")}),
    "siamese": Case(
        _siamese, {"left": (8, 8, 3), "right": (8, 8, 3)}, {"same": ("sigmoid", "binary")}, "list"
    ),
    "shared_layer": Case(_shared_layer, {"features": (6,)}, SOFTMAX),
    "dict_inputs": Case(_dict_inputs, {"zebra": (8, 8, 3), "apple": (5,)}, SOFTMAX, "dict"),
    "multi_output": Case(
        _multi_output,
        PICTURE,
        {
            "which": ("softmax", "classification"),
            "tags": ("sigmoid", "multilabel"),
            "how_much": ("linear", "regression"),
        },
    ),
    "dict_outputs": Case(
        _dict_outputs,
        PICTURE,
        {"zoom": ("linear", "regression"), "kind": ("softmax", "classification")},
    ),
    "subclassed": Case(
        _subclassed, {"input": (8, 8, 3)}, {"output": ("softmax", "classification")}
    ),
    "subclassed_pair": Case(
        _subclassed_pair,
        {"input_0": (4,), "input_1": (5,)},
        {"output_0": ("linear", "regression"), "output_1": ("sigmoid", "multilabel")},
        "list",
    ),
    "subclassed_dict": Case(
        _subclassed_dict,
        {"zebra": (4,), "apple": (4,)},
        {"kind": ("softmax", "classification")},
        "dict",
    ),
    "operations": Case(_operations, PICTURE, {"softmax": ("softmax", "classification")}),
    "recurrent": Case(_recurrent, {"steps": (6, 5)}, SOFTMAX),
    "text": Case(_text, {"tokens": (7,)}, {"is_it": ("sigmoid", "binary")}, integers=11),
    "vit": Case(_vit, PICTURE, {"logits": ("linear", "classification")}),
    "separate_softmax": Case(
        _separate_softmax, PICTURE, {"normalise": ("softmax", "classification")}
    ),
    "logits": Case(_logits, PICTURE, {"scores": ("linear", "classification")}),
    "perceptron": Case(_perceptron, {"features": (10,)}, {"how_much": ("linear", "regression")}),
    "grey": Case(_grey, {"picture": (8, 8, 1)}, SOFTMAX),
    "mixed_float16": Case(_of_type("mixed_float16"), PICTURE, SOFTMAX),
    "bfloat16": Case(_of_type("bfloat16"), PICTURE, SOFTMAX),
    "int8": Case(_int8, PICTURE, SOFTMAX),
    "tied": Case(_tied, {"features": (10,)}, {"outward": (None, "regression")}),
    "same_names": Case(_same_names, PICTURE, SOFTMAX),
    "nan": Case(_nan, PICTURE, SOFTMAX),
    "fixed_batch": Case(_fixed_batch, PICTURE, SOFTMAX),
    "open_size": Case(_open_size, PICTURE, SOFTMAX, options={"input_size": (8, 8)}),
    "hostile": Case(
        _hostile,
        {f"in {HOSTILE}": (8, 8, 3)},
        {f"out {HOSTILE}": ("softmax", "classification")},
    ),
    "segmentation": Case(
        _segmentation, {"picture": (16, 16, 3)}, {"mask": ("softmax", "segmentation")}
    ),
    "autoencoder": Case(_autoencoder, {"picture": (16, 16, 1)}, {"image": ("sigmoid", "image")}),
    "dropout": Case(_dropout, {"features": (10,)}, SOFTMAX),
    "separable": Case(_separable, PICTURE, SOFTMAX),
    "residual": Case(_residual, PICTURE, SOFTMAX),
}
NAMES = tuple(ZOO)


def make(name: str) -> keras.Model:
    """Return a fresh model of the zoo with the same weights every time, none at its initial value."""
    keras.backend.clear_session(free_memory=False)  # names start over
    keras.utils.set_random_seed(5)
    model = ZOO[name].make()
    generator = np.random.default_rng(7)
    for variable in model.weights:
        if str(variable.dtype) == "float32":
            noise = generator.uniform(0.05, 0.25, variable.shape)
            variable.assign(variable.numpy() + noise.astype(np.float32))
    return model


@functools.cache
def network(name: str) -> KerasNetwork:
    """Return a model of the zoo behind the Network protocol, made once."""
    return KerasNetwork(make(name), **ZOO[name].options)


def inputs(name: str, count: int) -> dict[str, np.ndarray]:
    """Return the first ``count`` of a fixed series of inputs by name."""
    case = ZOO[name]
    generator = np.random.default_rng(11)
    drawn = {}
    for key, shape in case.shapes.items():
        if case.integers:
            drawn[key] = generator.integers(0, case.integers, (COUNT, *shape)).astype(np.int32)
        else:
            drawn[key] = generator.uniform(-1, 1, (COUNT, *shape)).astype(np.float32)
    return {key: array[:count] for key, array in drawn.items()}


@functools.cache
def predicted(name: str) -> dict[str, np.ndarray]:
    """Return what Keras itself predicts for all inputs, by output name."""
    case, model = ZOO[name], make(name)
    given = inputs(name, COUNT)
    arranged = {"one": next(iter(given.values())), "list": [*given.values()], "dict": given}[
        case.feed
    ]
    if name == "hostile":  # Keras' own predict refuses such layer names
        result = model(arranged, training=False)
    else:
        size = model.inputs[0].shape[0] if name == "fixed_batch" else COUNT
        result = model.predict(arranged, batch_size=size, verbose=0)
    listed = result if isinstance(result, list | tuple) else [result]
    named = result if isinstance(result, dict) else dict(zip(case.heads, listed, strict=True))
    arrays = {key: np.asarray(value) for key, value in named.items()}
    # NumPy 1 compares bfloat16 with nothing else.
    return {k: a if a.dtype.kind in "fiub" else a.astype(np.float32) for k, a in arrays.items()}
