"""How large weights may be: on hand-made facts, what fires, at which bound, and what explains what."""

from __future__ import annotations

import math

import keras
import msgspec
import pytest
from keras import layers
from test_findings import BN, HEALTH, KERNEL, probe, probes, weights

from reportgen import build_report
from reportgen.findings.judge import judge
from reportgen.network.facts import OutputFacts
from reportgen.network.tasks import Task
from reportgen.report.content.health import InitialFit
from reportgen.report.content.overview import OverviewContent
from reportgen.report.model import Section

change = msgspec.structs.replace
GAIN = 6.8 / math.sqrt(4608) * math.sqrt(144)
"""Of ``KERNEL``: 1.2."""


def named(*sections):
    return [(f.rule, f.where.variable) for f in judge(sections).findings]


def kernel(factor=1.0, **fields):
    return change(KERNEL, l2=6.8 * factor, health=change(HEALTH, initial=None), **fields)


def bias(top, **fields):
    plain = {"path": "conv/bias", "name": "bias", "role": "bias", "count": 32, "health": None}
    return change(KERNEL, **{**plain, "min": -top, "max": 0.1, "initializer": "zeros", **fields})


@pytest.mark.parametrize(
    "factor", [1e4, 1e-6, 101 * math.sqrt(2) / GAIN, math.sqrt(2) / GAIN / 101]
)
def test_a_single_kernel_is_held_against_the_expected_gain(factor):
    assert named(weights(kernel(factor))) == [("scale-out-of-line", "conv/kernel")]


@pytest.mark.parametrize(
    ("count", "severities"), [(4, []), (63, []), (64, ["warning"]), (200, ["warning"])]
)
def test_the_scale_of_a_small_kernel_says_little(count, severities):
    one = change(kernel(1e4), count=count)
    assert [finding.severity for finding in judge([weights(one)]).findings] == severities


@pytest.mark.parametrize(("declared", "said"), [(True, False), (False, True)])
def test_a_kernel_as_its_layer_starts_it_has_the_scale_that_was_asked_for(declared, said):
    """A detector's layers start at a hundredth of √2; what is fresh by another initializer is out of line."""
    fit = InitialFit("random_normal", declared, 0.001, 4608, 0, drawn=False)
    one = change(kernel(1e-3), health=change(HEALTH, initial=fit))
    assert ("scale-out-of-line" in {rule for rule, _ in named(weights(one))}) == said


def test_a_fresh_detector_raises_that_it_is_fresh_and_no_more():
    """Two 1×1 channels, and wide layers, all from a normal distribution of 0.0003."""
    keras.utils.set_random_seed(3)
    start = keras.Input((16, 16, 3))
    x, narrow = start, keras.initializers.RandomNormal(stddev=3e-4)
    for _ in range(2):
        for width in (2, 2, 30, 30, 30):
            x = layers.Conv2D(width, 1, use_bias=False, kernel_initializer=narrow)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
    zero = layers.Dense(4, kernel_initializer="zeros")
    model = keras.Model(start, zero(layers.GlobalAveragePooling2D()(x)))
    report = build_report(model, sections="weights").report
    assert [(f.rule, f.observed.split(":")[0]) for f in report.findings] == [
        ("batch-norm-untouched", "all 10 layers"),
        ("all-zero-variable", "all 120 values are zero, as the layer starts them"),
        ("kernel-at-initialisation", "all 4 kernels"),
    ]


@pytest.mark.parametrize("factor", [1, 99 * math.sqrt(2) / GAIN, math.sqrt(2) / GAIN / 99])
def test_within_a_hundred_times_nothing_is_said(factor):
    assert named(weights(kernel(factor))) == []


def test_the_observed_gain_is_that_of_the_numbers():
    found = judge([weights(kernel(1e4))]).findings[0]
    gain = 1e4 * GAIN * math.sqrt(1 - HEALTH.dominance)
    assert found.observed == f"gain {gain:.3g}, {gain / math.sqrt(2):.3g} times the expected √2"


@pytest.mark.parametrize(
    ("count", "ratio", "fires"),
    [(4608, 68, True), (4608, 67, False), (144, 32, True), (144, 31, False), (63, 1000, False)],
)
def test_one_value_is_held_against_all_others(count, ratio, fires):
    """At 1,000 values and more by its share, a half: √4,607 = 67.9 times the others; below by 31.6 times."""
    share = ratio**2 / (ratio**2 + count - 1)
    one = change(KERNEL, count=count, health=change(HEALTH, initial=None, dominance=share))
    one = change(one, l2=math.sqrt(count / (1 - share)) * 0.1)
    assert named(weights(one)) == ([("dominant-weight", "conv/kernel")] if fires else [])


def test_a_kernel_of_one_value_only_is_named():
    one = change(KERNEL, count=144, health=change(HEALTH, initial=None, dominance=1.0))
    assert named(weights(one)) == [("dominant-weight", "conv/kernel")]


@pytest.mark.parametrize(("top", "fires"), [(1000.0, True), (121.0, True), (119.0, False)])
def test_a_bias_is_held_against_the_gain_of_its_kernel(top, fires):
    expected = [("bias-out-of-line", "conv/bias")] if fires else []
    assert named(weights(kernel(), bias(top))) == expected
    assert named(weights(kernel(), bias(0.0, max=top))) == expected


def test_a_shift_is_held_against_its_scale_and_dead_channels_are_named_once():
    gamma = change(
        KERNEL, path="bn/gamma", layer="bn", role="gamma", count=32, l2=2 * 32**0.5, health=None
    )
    beta = bias(1000.0, path="bn/beta", layer="bn", name="beta", role="beta")
    assert named(weights(gamma, beta)) == [("bias-out-of-line", "bn/beta")]
    assert named(weights(gamma, change(beta, min=-199.0))) == []
    dead = change(BN, dead=13, dead_channels=(1,))
    assert named(weights(gamma, beta, norms=[dead])) == [("units-cannot-fire", "")]


def test_a_kernel_out_of_scale_explains_its_bias():
    assert named(weights(kernel(1e-6), bias(1.0))) == [("scale-out-of-line", "conv/kernel")]


def test_the_head_of_a_regression_has_the_scale_of_its_targets():
    output = OutputFacts("out", (None, 1), "float32", layer="conv")
    plain = OverviewContent(
        "m", "Functional", (Task("out", "regression", "", ""),), (), (output,), 1, 1, 1, 0, 4, None, None,
        (), "float32", None, None, None, None, (), "", 0,
    )  # fmt: skip
    facts = weights(kernel(1e4), bias(1e6))
    assert named(facts, Section("overview", "O", content=plain)) == []
    other = change(plain, tasks=(Task("out", "classification", "", ""),))
    assert named(facts, Section("overview", "O", content=other)) == [
        ("scale-out-of-line", "conv/kernel")
    ]


def labelled(pairs, classes=10):
    return probes(*[
        change(p, outputs=(change(p.outputs[0], classes=classes),))
        for p in (probe(i, said, label=label) for i, (label, said) in enumerate(pairs))
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "classes", "observed"),
    [
        (
            [(i, (i + 1) % 10) for i in range(8)],
            10,
            "8 of 8 labelled probes and most of 8 of 8 labels",
        ),
        ([(i, i - 1) for i in (3, 5, 7, 8, 9)], 10, "predicted as the class -1 places on"),
        ([*((i, i + 1) for i in range(6)), (7, 2), (8, 2)], 10, "6 of 8"),
        ([(1, 2), (40, 41), (900, 901), (7, 8), (77, 3)], 1000, "4 of 5"),
        ([(i % 5, 7 * i % 5) for i in range(10)], 10, "10 of 10 labelled probes follow"),
    ],
)
def test_classes_in_another_order_are_found_on_few_probes(pairs, classes, observed):
    found = [f for f in judge([labelled(pairs, classes)]).findings if f.rule == "rolled-labels"]
    assert observed in found[0].observed


@pytest.mark.parametrize(
    "pairs",
    [
        [(i, (i + 1) % 10) for i in range(4)],  # too few
        [(3, 4)] * 20,  # one label: any constant answer is a shift
        [(i % 10, 4) for i in range(20)],  # a constant answer
        [(i, i) for i in range(4)] + [(i, i + 1) for i in range(4, 9)],  # half are right
        [(i, (i * i + 3) % 1000) for i in range(40, 60)],  # wrong, each otherwise
    ],
)
def test_wrong_answers_alone_are_no_other_order(pairs):
    found = judge([labelled(pairs, 1000 if max(pairs)[0] > 9 else 10)]).findings
    assert "rolled-labels" not in {f.rule for f in found}
