"""Which kernels are said to be untrained: known cases, fresh networks, and small ones that learned."""

from __future__ import annotations

import keras
import msgspec
import numpy as np
import pytest
from keras import layers
from test_findings import HEALTH, KERNEL, weights

from reportgen.context import Context, Tools
from reportgen.findings.judge import judge
from reportgen.inputs.given import Inputs
from reportgen.nets.keras_network import KerasNetwork
from reportgen.report.content.health import InitialFit
from reportgen.report.model import Section
from reportgen.sections.weights.section import collect
from reportgen.settings import Settings

change = msgspec.structs.replace
BIAS = change(
    KERNEL, path="conv/bias", name="bias", role="bias", count=32, zeros=32, min=0.0, max=0.0, l2=0.0,
    health=None, initializer="zeros",
)  # fmt: skip
MOVED = change(BIAS, zeros=0, min=-0.1, max=0.2, l2=0.5)
LSTM = change(BIAS, zeros=24, max=1.0, l2=8**0.5)
NORM = (
    change(
        BIAS,
        path="bn/gamma",
        layer="bn",
        role="gamma",
        initializer="ones",
        zeros=0,
        min=1.0,
        max=1.0,
    ),
    change(BIAS, path="bn/beta", layer="bn", role="beta"),
)


def kernel(count, distance, *, declared=True, told="he_normal", **fields):
    fit = InitialFit("he_normal", declared, distance, min(count, 5000), 0, **fields)
    return change(KERNEL, count=count, initializer=told, health=change(HEALTH, initial=fit))


def severities(*variables):
    found = judge([weights(*variables)]).findings
    return [f.severity for f in found if f.rule == "kernel-at-initialisation"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ([kernel(216, 0.10), BIAS], ["warning"]),
        ([kernel(216, 0.10), LSTM], ["warning"]),
        ([kernel(216, 0.10)], ["warning"]),
        ([kernel(144, 0.10), BIAS], ["info"]),
        ([kernel(216, 0.20), BIAS], []),
        ([kernel(216, 0.02), MOVED], []),
        ([kernel(4999, 0.02), MOVED], []),
        ([kernel(5000, 0.02), MOVED], ["warning"]),
        ([kernel(216, 0.10, drawn=True), MOVED], ["warning"]),
        ([kernel(4999, 0.01, declared=False, told="glorot_uniform")], []),
        ([kernel(5000, 0.01, declared=False, told="glorot_uniform"), BIAS], ["warning"]),
        ([kernel(5000, 0.03, declared=False, told="glorot_uniform"), BIAS], []),
        ([kernel(576, 0.02, declared=False, told=None)], []),
        ([kernel(576, 0.02), change(BIAS, count=1, zeros=0, min=-0.1, max=-0.1)], []),
        ([kernel(576, 0.02), *NORM], ["warning"]),
        ([kernel(576, 0.02), NORM[0], change(NORM[1], min=-0.2, zeros=0)], []),
        ([kernel(576, 0.02), change(NORM[0], min=0.8), NORM[1]], []),
    ],
)
def test_what_counts_as_fresh(variables, expected):
    assert severities(*variables) == expected


def test_nothing_is_said_of_a_bias_beside_a_kernel_too_small_to_judge():
    small = change(KERNEL, count=72, health=change(HEALTH, initial=None))
    assert judge([weights(small, BIAS)]).findings == ()


def test_biases_that_a_whole_class_of_layers_lacks_are_information():
    def layer(name, bias):
        return (
            change(KERNEL, path=f"{name}/kernel", layer=name),
            change(bias, path=f"{name}/bias", layer=name),
        )

    def found(*biases):
        pairs = [layer(f"c{i}", bias) for i, bias in enumerate(biases)]
        return [f.severity for f in judge([weights(*sum(pairs, ()))]).findings]

    assert found(BIAS, BIAS, BIAS) == ["warning"] * 3
    assert found(BIAS, BIAS, BIAS, BIAS) == ["info"] * 4
    assert found(BIAS, BIAS, BIAS, BIAS, MOVED) == ["warning"] * 4


def test_a_network_that_was_never_trained_is_one_finding():
    """With their number; where one kernel has moved, each other stands for itself."""
    fresh_fit = InitialFit("glorot_uniform", True, 0.01, 5_000, 0, drawn=True)
    fresh = [
        change(KERNEL, path=f"c{i}/kernel", layer=f"c{i}", health=change(HEALTH, initial=fresh_fit))
        for i in range(5)
    ]
    (found,) = judge([weights(*fresh)]).findings
    assert (found.rule, found.severity, found.where.layer) == (
        "kernel-at-initialisation",
        "warning",
        "",
    )
    assert "all 5 kernels" in found.observed
    trained = change(KERNEL, path="t/kernel", layer="t")
    assert len(judge([weights(*fresh, trained)]).findings) == 5
    assert len(judge([weights(*fresh[:3])]).findings) == 3


def untrained(model):
    """Return name, size and severity of every kernel that is said to be fresh; layers are judged alone."""
    network = KerasNetwork(model, images=1)

    class Nowhere:
        def add(self, *_, **__):
            return None

    content = collect(
        Context(network, Inputs(Settings()), Tools(Nowhere()), (), (), {}), None
    ).content
    sizes = {v.path: v.count for v in content.variables}
    alone = [
        msgspec.structs.replace(
            content, variables=tuple(v for v in content.variables if v.layer == layer)
        )
        for layer in {v.layer for v in content.variables}
    ]
    return {
        (f.where.variable, sizes[f.where.variable], f.severity)
        for one in alone
        for f in judge([Section("weights", "Weights", content=one)]).findings
        if f.rule == "kernel-at-initialisation"
    }


def network(classes, start="glorot_uniform"):
    def convolution(name):
        return layers.Conv2D(
            8, 3, activation="relu", padding="same", kernel_initializer=start, name=name
        )

    return keras.Sequential(
        [
            layers.Input((32, 32, 3)),
            convolution("a"),
            layers.MaxPooling2D(2),
            convolution("b"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.Dense(classes, activation="softmax", name="head"),
        ]
    )


@pytest.mark.parametrize("start", ["glorot_uniform", "he_normal", "lecun_uniform"])
def test_every_fresh_kernel_is_found(start):
    keras.utils.set_random_seed(5)
    assert untrained(network(10, start)) == {
        ("a/kernel", 216, "warning"),
        ("b/kernel", 576, "warning"),
        ("hidden/kernel", 8192, "warning"),
        ("head/kernel", 160, "info"),
    }


def test_every_kind_of_kernel_is_held_against_its_own_initializer():
    model = keras.Sequential(
        [
            layers.Input((8, 8, 16)),
            layers.SeparableConv2D(
                32, 5, depthwise_initializer="he_normal", pointwise_initializer="lecun_normal"
            ),
            layers.Reshape((16, 32)),
            layers.LSTM(16, name="lstm"),
        ]
    )
    told = {v.path: v.initializer for v, _ in KerasNetwork(model, images=1).variables()}
    separable = model.layers[0].name
    assert told[f"{separable}/depthwise_kernel"] == "he_normal"
    assert told[f"{separable}/pointwise_kernel"] == "lecun_normal"
    recurrent = [name for path, name in told.items() if path.endswith("recurrent_kernel")]
    assert recurrent == ["orthogonal"]
    assert {path.rpartition("/")[2] for path, _, _ in untrained(model)} == {
        "depthwise_kernel", "pointwise_kernel", "kernel",
    }  # fmt: skip


@pytest.mark.parametrize(("start", "seed"), [("glorot_uniform", 1), ("he_normal", 2)])
def test_small_networks_that_learned_are_not_called_fresh(start, seed):
    """Two of the networks of ``benchmarks/small_networks.py``: every bias moves, the kernels hardly."""
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, 400)
    pictures = random.uniform(0, 0.25, (400, 32, 32, 3)).astype(np.float32)
    for picture, side in zip(pictures, truth, strict=True):
        picture[12:20, 4 + 16 * side : 12 + 16 * side] += 0.6
    model = network(2, start)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(pictures, truth, epochs=4, verbose=0)
    assert (np.asarray(model(pictures)).argmax(axis=1) == truth).mean() > 0.95
    assert untrained(model) == set()
    kernel = model.get_layer("b").kernel
    kernel.assign(keras.initializers.GlorotUniform(seed=3)(kernel.shape))
    assert untrained(model) == {("b/kernel", 576, "warning")}
