"""Quantiles from bins: within their printed bound of the order statistic, whatever the values and the order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from reportgen.network.channels import Channels
from reportgen.network.protocol import Batch
from reportgen.sections.activations.activity import ActivityFold
from reportgen.sections.activations.bins import BINS, ERROR, bins_of, finite_count, quantiles

SHARES = (0.01, 0.5, 0.9, 0.99, 1.0)
SMALLEST = float(np.finfo(np.float32).tiny)


def counted(values):
    return np.bincount(bins_of(values).ravel(), minlength=BINS)


def check(values):
    finite = np.sort(values[np.isfinite(values)].astype(np.float64))
    counts = counted(values)
    assert finite_count(counts) == len(finite)
    for share, found in zip(SHARES, quantiles(counts, SHARES), strict=True):
        if not len(finite):
            assert found is None
            continue
        truth = finite[max(1, math.ceil(share * len(finite))) - 1]
        if abs(truth) < SMALLEST:
            assert found == 0
        else:
            assert abs(found - truth) <= ERROR * abs(truth)


@given(
    arrays.arrays(
        np.float32,
        st.integers(1, 300),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True),
    )
)
def test_any_values_are_within_the_bound(values):
    check(values)


@pytest.mark.parametrize("kind", ["normal", "lognormal", "zeros", "negative", "edges"])
def test_usual_values_are_within_the_bound(kind):
    rng = np.random.default_rng(3)
    values = {
        "normal": rng.normal(size=10_000),
        "lognormal": rng.lognormal(0, 4, 10_000),
        "zeros": np.maximum(rng.normal(size=10_000), 0),
        "negative": -rng.lognormal(0, 1.5, 10_000),
        "edges": np.concatenate([2.0 ** np.arange(-126, 128), [3.4e38, -3.4e38, 1e-45, 0.0, -0.0]]),
    }[kind]
    check(values.astype(np.float32))


def block(values, first):
    """One block of images whose only call has these samples."""
    count, width = values.shape
    columns = [values.astype(np.float32)] * 4 + [np.zeros_like(values)]
    moments = Channels(columns, {"call": (0, width, 1)}, values, {"call": (0, width)})
    return Batch(first, {}, {"out": np.zeros((count, 2))}, {}, moments)


def test_a_fold_gives_the_same_wherever_it_is_cut_and_whatever_is_merged_first():
    values = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
    whole = ActivityFold()
    parts = []
    for start in range(0, 64, 16):
        whole.update(block(values[start : start + 16], start))
        part, again = ActivityFold(), ActivityFold()
        part.update(block(values[start : start + 16], start))
        again.load(part.state())
        parts.append(again)
    merged = ActivityFold()
    for part in parts:
        merged.merge(part)
    for name, array in whole.state().items():
        assert np.array_equal(array, merged.state()[name]), name
    result = merged.result()["call"]
    assert result.sampled == 640
    assert result.median == pytest.approx(np.sort(values.ravel())[319], rel=ERROR)
    assert result.most == pytest.approx(np.quantile(values, 0.99), rel=2 * ERROR)


def test_a_network_gives_all_channels_at_four_positions_of_a_picture():
    import models

    from reportgen.nets.keras_network import KerasNetwork

    every = lambda calls: tuple(c.id for c in calls)  # noqa: E731
    network = KerasNetwork(models.model("grey"), watch=every, sampled=True)
    images = models.images(6, channels=1).astype(np.float32)
    seen = []
    for batch in network.forward({"picture": images}):
        call = next(call for call in batch.maps if batch.maps[call].ndim == 4)
        start, end = batch.moments.sampled[call]
        maps = batch.maps[call]
        side = maps.shape[1]
        step, first = -(-side // 2), side // 4
        expected = maps[:, first::step, first::step].reshape(len(maps), -1)
        assert np.array_equal(batch.moments.samples[:, start:end], expected)
        seen.append(end - start)
    assert set(seen) == {4 * maps.shape[-1]}


@pytest.mark.parametrize(
    "sides", [(8, 8), (7, 12), (1, 5), (2, 1), (9,), (3,), (), (4, 5, 6), (0, 4)]
)
def test_the_positions_are_a_lattice_over_all_sides(sides):
    """Two along each axis of a picture, four of a sequence, centred in cells of the same size."""
    import tensorflow as tf

    from reportgen.nets.moments import _sampled

    values = np.arange(2 * math.prod(sides) * 3, dtype=np.float32).reshape(2, *sides, 3)
    several = 4 if len(sides) == 1 else 2
    cells = [slice(min(n // (2 * several), n - 1), None, max(1, -(-n // several))) for n in sides]
    expected = values[(slice(None), *cells)]
    flat = tf.constant(values.reshape(2, math.prod(sides), 3))
    found = np.asarray(_sampled(flat, sides, 2))
    assert np.array_equal(found, expected.reshape(2, expected.size // 2))


def test_a_report_has_the_quantiles_of_the_whole_data_set(tmp_path):
    """Of all images, in blocks larger than those of the probes; of the probes alone there are none."""
    import keras

    from reportgen import build_report

    start = keras.Input((8, 8, 1))
    hidden = keras.layers.Conv2D(3, 3, padding="same", activation="relu", name="hidden")(start)
    end = keras.layers.Dense(4, activation="softmax")(keras.layers.Flatten()(hidden))
    keras.utils.set_random_seed(5)
    model = keras.Model(start, end)
    x = np.random.default_rng(2).uniform(0, 1, (300, 8, 8, 1)).astype(np.float32)
    options = {
        "sections": "evaluation,activations",
        "preprocess": "none",
        "cache": tmp_path / "cache",
    }
    made = build_report(model, data=(x, np.arange(300) % 4), output=tmp_path / "data", **options)

    def content_of(report):
        return next(s.content for s in report.sections if s.kind == "activations").calls

    def hidden_of(report):
        return next(call for call in content_of(report) if call.id == "hidden")

    found = hidden_of(made.report)
    maps = keras.Model(start, hidden).predict(x, verbose=0)[:, 2::4, 2::4]
    values = np.sort(maps.ravel())
    assert found.sampled == values.size == 300 * 2 * 2 * 3
    for told, share in ((found.median, 0.5), (found.most, 0.99)):
        exact = values[int(np.ceil(share * values.size)) - 1]
        assert told == pytest.approx(exact, rel=found.quantile_error, abs=1e-30)
    assert all(call.min <= call.median <= call.most <= call.max for call in content_of(made.report))
    shown = build_report(model, probes=x[:4], output=tmp_path / "probes", **options)
    assert hidden_of(shown.report).median is None
