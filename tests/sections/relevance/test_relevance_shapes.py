"""Every shape of model: a red square speaks for one class, a green one for the other, and the maps know."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras import layers

import reportgen
from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.calls import choose_features
from reportgen.report.content.relevance import RelevanceContent

SIZE = 32
RED, GREEN = (slice(4, 13), slice(3, 12)), (slice(20, 28), slice(21, 29))
"""Rows and columns of the two squares; the red one is larger, so its class is predicted."""


def picture():
    image = np.zeros((SIZE, SIZE, 3), np.float32)
    image[(*RED, 0)] = 1
    image[(*GREEN, 1)] = 1
    return image


def given(shape=(SIZE, SIZE, 3), name="picture"):
    return keras.Input(shape, name=name)


def colour_kernel(size, inputs=3, outputs=2):
    """Return a kernel whose first filter sees red and whose second sees green."""
    kernel = np.zeros((size, size, inputs, outputs), np.float32)
    for channel in range(2):
        kernel[size // 2, size // 2, channel, channel] = 1
    return kernel


def see(**options):
    def eyes(shape, dtype=None):
        return colour_kernel(3)

    return layers.Conv2D(
        2,
        3,
        padding="same",
        activation="relu",
        kernel_initializer=eyes,
        **{"name": "see", **options},
    )


def decide(units=2, activation=None, name="decide", scale=60.0):
    def votes(shape, dtype=None):
        if units == 1:
            return scale * np.array([[1.0], [-1.0]], np.float32)
        return scale * np.eye(2, dtype=np.float32)

    return layers.Dense(units, activation=activation, kernel_initializer=votes, name=name)


def pool():
    return layers.GlobalAveragePooling2D()


def stack(activation="softmax"):
    return [see(), pool(), decide(activation=activation)]


def functional(activation="softmax"):
    start = given()
    end = start
    for layer in stack(activation):
        end = layer(end)
    return keras.Model(start, end)


def backbone():
    start = given(name="inner")
    return keras.Model(start, see()(start), name="backbone")


def sequential():
    return keras.Sequential([given(), *stack()])


def sequential_unbuilt():
    model = keras.Sequential(stack())
    model(np.zeros((1, SIZE, SIZE, 3), np.float32))
    return model


def nested():
    start = given()
    return keras.Model(start, decide(activation="softmax")(pool()(backbone()(start))))


def backbone_in_sequential():
    return keras.Sequential([given(), backbone(), pool(), decide(activation="softmax")])


def behind_rescaling():
    start = given()
    scaled = layers.Rescaling(2.0)(start)
    return keras.Model(start, decide(activation="softmax", scale=30)(pool()(backbone()(scaled))))


def multi_input():
    start, extra = given(), given((3,), "extra")
    seen = pool()(see()(start))
    joined = layers.Add()([decide()(seen), layers.Dense(2, name="other")(extra)])
    return keras.Model([start, extra], layers.Softmax()(joined))


def multi_output():
    start = given()
    seen = pool()(see()(start))
    return keras.Model(
        start,
        {
            "kind": decide(activation="softmax", name="kind")(seen),
            "size": layers.Dense(1, name="size")(seen),
        },
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.see, self.pool, self.decide = see(), pool(), decide(activation="softmax")

    def call(self, inputs):
        return self.decide(self.pool(self.see(inputs)))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, SIZE, SIZE, 3), np.float32))
    return model


def mixed_float16():
    start = given()
    policy = "mixed_float16"
    seen = layers.GlobalAveragePooling2D(dtype=policy)(see(dtype=policy)(start))
    return keras.Model(start, layers.Activation("softmax", dtype="float32")(decide()(seen)))


def shared_convolution():
    """The same layer sees the picture and its mirror image."""
    start, eye = given(), see()
    mirrored = layers.Permute((2, 1, 3))(start)
    seen = layers.Concatenate()([eye(start), eye(layers.Permute((2, 1, 3))(mirrored))])
    both = layers.Dense(
        2,
        activation="softmax",
        kernel_initializer=lambda shape, dtype=None: (
            30.0 * np.tile(np.eye(2, dtype=np.float32), (2, 1))
        ),
    )
    return keras.Model(start, both(pool()(seen)))


def separate_softmax():
    start = given()
    return keras.Model(start, layers.Softmax()(decide()(pool()(see()(start)))))


def sigmoid_unit():
    start = given()
    return keras.Model(start, decide(1, "sigmoid")(pool()(see()(start))))


def perceptron():
    start = given()

    def votes(shape, dtype=None):
        kernel = np.zeros((SIZE, SIZE, 3, 2), np.float32)
        kernel[..., 0, 0] = kernel[..., 1, 1] = 60 / SIZE**2
        return kernel.reshape(-1, 2)

    return keras.Model(
        start,
        layers.Dense(2, activation="softmax", kernel_initializer=votes)(layers.Flatten()(start)),
    )


def segmentation():
    start = given()

    def masks(shape, dtype=None):
        kernel = np.zeros((1, 1, 2, 3), np.float32)
        kernel[0, 0, 0, 1] = kernel[0, 0, 1, 2] = 8
        return kernel

    head = layers.Conv2D(
        3, 1, activation="softmax", name="mask", kernel_initializer=masks,
        bias_initializer=lambda shape, dtype=None: np.array([4, 0, 0], np.float32),
    )  # fmt: skip
    return keras.Model(start, head(see()(start)))


def vit():
    """Patches, a class token that attends evenly to all tokens, and a head that reads it alone."""
    start = given()
    patch = 4

    def means(shape, dtype=None):
        kernel = np.zeros((patch, patch, 3, 2), np.float32)
        kernel[..., 0, 0] = kernel[..., 1, 1] = 1 / patch**2
        return kernel

    tokens = layers.Conv2D(2, patch, strides=patch, kernel_initializer=means, name="patches")(start)
    tokens = layers.Reshape((64, 2))(tokens)
    token = layers.ZeroPadding1D((1, 0), name="class_token")
    tokens = token(tokens)
    attention = layers.MultiHeadAttention(1, 2, name="attend")
    attended = attention(tokens, tokens)
    eye = np.eye(2, dtype=np.float32)
    zeros = np.zeros((2, 1, 2), np.float32)
    attention.set_weights(
        [zeros, zeros[0], zeros, zeros[0], eye[:, None], zeros[0], eye[None], zeros[0, 0]]
    )
    mixed = layers.Add()([tokens, attended])
    read = layers.Flatten()(layers.Cropping1D((0, 64))(mixed))
    return keras.Model(start, decide(activation="softmax")(read))


def plain(model_class):
    """Return the same network without initializers of ours, which no file can hold."""
    taught = functional()
    rows = [
        layers.Conv2D(2, 3, padding="same", activation="relu"),
        pool(),
        layers.Dense(2, "softmax"),
    ]
    if model_class is keras.Sequential:
        model = keras.Sequential([given(), *rows])
    else:
        start = end = given()
        for layer in rows:
            end = layer(end)
        model = keras.Model(start, end)
    model.set_weights(taught.get_weights())
    return model


def reloaded(model_class, suffix):
    def load(folder):
        path = folder / f"model{suffix}"
        plain(model_class).save(path)
        return str(path)

    return load


class Shape(NamedTuple):
    make: object
    cams: bool = True
    other: str = "1"
    from_file: bool = False


SHAPES = {
    "functional": Shape(functional),
    "logits": Shape(lambda: functional(None)),
    "sequential": Shape(sequential),
    "sequential_unbuilt": Shape(sequential_unbuilt),
    "sequential_reloaded": Shape(reloaded(keras.Sequential, ".keras"), from_file=True),
    "reloaded_h5": Shape(reloaded(keras.Model, ".h5"), from_file=True),
    "nested": Shape(nested),
    "backbone_in_sequential": Shape(backbone_in_sequential),
    "behind_rescaling": Shape(behind_rescaling),
    "multi_input": Shape(multi_input),
    "multi_output": Shape(multi_output, other="kind:1"),
    "subclassed": Shape(subclassed),
    "mixed_float16": Shape(mixed_float16),
    "segmentation": Shape(segmentation),
    "shared_convolution": Shape(shared_convolution),
    "separate_softmax": Shape(separate_softmax),
    "sigmoid_unit": Shape(sigmoid_unit, other="0"),
    "perceptron": Shape(perceptron, cams=False),
    "vit": Shape(vit),
}


def crowded():
    """Return the picture on a ground of blue, which says nothing: many cells that random orders may choose."""
    image = picture()
    ground = ~image.any(axis=-1)
    image[ground, 2] = np.random.default_rng(0).uniform(0.2, 1, int(ground.sum()))
    return image


def maps_of(model, folder, **options):
    probes = options.pop("probes", picture()[None])
    if getattr(model, "inputs", None) and len(model.inputs) == 2:
        probes = {"picture": probes, "extra": np.zeros((1, 3), np.float32)}
    report = reportgen.build_report(
        model,
        probes=probes,
        output=folder,
        sections=("relevance",),
        strict=True,
        **({"classes": ["red", "green"]} if options.pop("named", False) else {}),
        **options,
    ).report
    content = report.sections[0].content
    assert isinstance(content, RelevanceContent)
    return content


def lies_in(peak, square):
    rows, columns = square
    return (
        rows.start <= peak.y * SIZE <= rows.stop and columns.start <= peak.x * SIZE <= columns.stop
    )


@pytest.mark.parametrize("name", SHAPES)
def test_the_map_peaks_at_the_square_of_its_class_and_moves_with_the_class(name, tmp_path):
    shape = SHAPES[name]
    model = shape.make(tmp_path) if shape.from_file else shape.make()
    if name == "logits":
        model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    asked = [shape.other] if name != "segmentation" else ["1", "2"]
    methods = ("gradcam", "hirescam", "layercam", "integrated-gradients", "saliency", "occlusion")
    content = maps_of(model, tmp_path / "report", target=asked, relevance=methods)
    wanted = methods if shape.cams else methods[3:]
    assert {one.method for one in content.maps} == set(wanted)
    by_class = {}
    for one in content.maps:
        by_class.setdefault(one.target.index, []).append(one)
    first, second = (
        (1, 2) if name == "segmentation" else (1, 0) if name == "sigmoid_unit" else (0, 1)
    )
    for index, square in ((first, RED), (second, GREEN)):
        for one in by_class[index]:
            if one.method == "saliency":
                continue  # a gradient alone does not know what is there
            assert lies_in(one.peak, square), (one.method, one.target, one.peak)
            assert one.raw_maximum > 0
            assert one.verdict in {
                "supported",
                "weak",
                "no better than chance",
                "fails the sanity check",
            }


@pytest.mark.parametrize("name", ["functional", "nested", "separate_softmax", "vit"])
def test_a_map_that_is_right_is_supported(name, tmp_path):
    content = maps_of(SHAPES[name].make(), tmp_path / "report", probes=crowded()[None])
    assert {one.method: one.verdict for one in content.maps}["integrated-gradients"] == "supported"
    assert {one.baseline for one in content.maps} == {"blur"}


def test_the_best_map_of_two_things_alone_is_no_better_than_luck(tmp_path):
    """Only the two squares can be hidden, and a random order of two things is right every other time."""
    content = maps_of(SHAPES["functional"].make(), tmp_path / "report")
    for one in content.maps:
        assert one.verdict == "no better than chance"
        assert one.baseline == "border"
        assert one.evidence.advantage > 2 * one.evidence.random_spread


def test_a_shared_head_explains_each_output_in_the_image_that_feeds_it(tmp_path):
    """Two towers of the same layers, one image each: an output has nothing to do with the other image."""
    first, second = given(name="first"), given(name="second")
    tower, average, head = see(), pool(), decide()
    ends = [head(average(tower(start))) for start in (first, second)]
    model = keras.Model([first, second], dict(zip(("a", "b"), ends, strict=True)))
    facts = KerasNetwork(model).facts
    calls = {output.name: output.call for output in facts.outputs}
    assert set(calls.values()) == {"decide", "decide#2"}
    size = (SIZE, SIZE, 3)
    own = {
        name: choose_features(facts.calls, calls[name], image, size)
        for name, image in (("a", "first"), ("b", "second"))
    }
    assert set(own.values()) == {"see", "see#2"}
    assert choose_features(facts.calls, calls["a"], "second", size) is None
    assert choose_features(facts.calls, calls["b"], "first", size) is None
