"""Sums over any number of images: exact, the same bytes at any cut, and what NumPy says of all at once."""

import contextlib
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reportgen.network.channels import Channels, channels_of
from reportgen.network.protocol import Batch, Moments
from reportgen.numerics import ExactSums
from reportgen.sections.activations.activity import TOP, ActivityFold

CALLS = {"a": (5, 3), "b": (1, 4)}
"""Positions and channels of two calls."""


def blocks(sizes, seed=0, scale=1.0, *, broken=False):
    """Return blocks and, by call, all their values, (n, positions, channels) float32."""
    rng = np.random.default_rng(seed)
    found, values = [], {name: [] for name in CALLS}
    first = 0
    for size in sizes:
        moments = {}
        for name, (positions, channels) in CALLS.items():
            x = np.maximum(rng.normal(0, scale, (size, positions, channels)), 0).astype(np.float32)
            x[..., -1] = 0
            if broken and name == "a":
                x[0, 0, 0] = np.nan
            values[name].append(x)
            moments[name] = moments_of(x)
        outputs = {"out": np.zeros((size, 1))}
        found.append(
            Batch(first, {}, outputs, moments=moments, places=np.arange(first, first + size))
        )
        first += size
    return found, {name: np.concatenate(rows) for name, rows in values.items()}


def moments_of(x):
    finite = np.isfinite(x)
    clean = np.where(finite, x, 0).astype(np.float64)
    count = np.maximum(finite.sum(axis=1), 1)
    return Moments(
        (clean.sum(axis=1) / count).astype(np.float32),
        ((clean**2).sum(axis=1) / count).astype(np.float32),
        np.where(finite, x, np.inf).min(axis=1),
        np.where(finite, x, -np.inf).max(axis=1),
        (x == 0).sum(axis=1).astype(np.float32),
        (~finite).sum(axis=1).astype(np.float32),
        np.isnan(x).sum(axis=1).astype(np.float32),
        x.shape[1],
    )


def folded(batches):
    fold = ActivityFold()
    for batch in batches:
        fold.update(batch)
    return fold


@pytest.mark.parametrize("broken", [False, True])
def test_every_number_is_numpys(broken):
    batches, values = blocks([7, 3, 1, 8], broken=broken)
    activity = folded(batches).result()
    for name, x in values.items():
        found = activity[name]
        finite = x[np.isfinite(x)].astype(np.float64)
        assert found.values == x.size
        assert found.finite == finite.size
        assert found.non_finite == x.size - finite.size
        assert found.nan == np.isnan(x).sum()
        assert found.zeros == int((x == 0).sum())
        assert (found.low, found.high) == (finite.min(), finite.max())
        assert found.total == pytest.approx(finite.sum(), rel=1e-6)
        assert found.square == pytest.approx((finite**2).sum(), rel=1e-6)
        clean = np.where(np.isfinite(x), x, 0).astype(np.float64)
        np.testing.assert_allclose(found.energy, (clean**2).sum(axis=(0, 1)), rtol=1e-6)
        np.testing.assert_array_equal(found.fired, (x != 0).any(axis=(0, 1)))


def test_the_strongest_images_are_numpys_and_of_equal_ones_the_earliest():
    batches, values = blocks([6, 6, 6])
    found = folded(batches).result()["a"]
    peaks = values["a"].max(axis=1)
    for channel in range(peaks.shape[1]):
        order = np.argsort(-peaks[:, channel], kind="stable")[:TOP]
        assert found.top_places[:, channel].tolist() == order.tolist()
        np.testing.assert_array_equal(found.top_values[:, channel], peaks[order, channel])
    assert found.top_places[:, -1].tolist() == list(range(TOP))  # all zero: the first images


def test_fewer_images_than_are_remembered():
    batches, _ = blocks([2])
    found = folded(batches).result()["a"]
    assert (found.top_places[2:] == -1).all()
    assert np.isneginf(found.top_values[2:]).all()


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=9),
    cuts=st.sets(st.integers(1, 8)),
    seed=st.integers(0, 50),
    scale=st.sampled_from([1e-12, 1.0, 1e15]),
)
def test_any_cut_between_blocks_gives_the_same_bytes(sizes, cuts, seed, scale):
    batches, _ = blocks(sizes, seed, scale)
    whole = folded(batches).state()
    ends = [0, *sorted(cut for cut in cuts if cut < len(batches)), len(batches)]
    merged = ActivityFold()
    for start, end in pairwise(ends):
        part = ActivityFold()
        part.load(folded(batches[start:end]).state())
        merged.merge(part)
    assert list(merged.state()) == list(whole)
    for name, array in merged.state().items():
        assert array.dtype == whole[name].dtype, name
        assert array.tobytes() == whole[name].tobytes(), name


def test_side_by_side_and_apart_are_the_same():
    batches, _ = blocks([4])
    moments = batches[0].moments
    channels = channels_of(moments)
    assert isinstance(channels, Channels)
    assert list(channels) == list(moments)
    for name, one in moments.items():
        for a, b in zip(channels[name], one, strict=True):
            np.testing.assert_array_equal(a, b)


@given(
    st.lists(
        st.lists(st.floats(-1e300, 1e300) | st.floats(-1, 1), min_size=3, max_size=3),
        min_size=1,
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_exact_sums_are_fsums_in_any_order(rows, random):
    one = ExactSums(3)
    for row in rows:
        one.add(np.array(row))
    shuffled = list(rows)
    random.shuffle(shuffled)
    other = ExactSums(3)
    other.add(np.array(shuffled))
    expected = [math.fsum(row[k] for row in rows) for k in range(3)]
    np.testing.assert_allclose(one.values(), expected, rtol=3e-16, atol=0)
    assert one.values().tobytes() == other.values().tobytes()
    for name, array in one.state().items():
        assert array.tobytes() == other.state()[name].tobytes()


def test_exact_sums_cancel():
    sums = ExactSums(1)
    for value in (1e300, 1.0, -1e300, 2.0**-1074):
        sums.add(np.array([value]))
    assert sums.values()[0] == 1.0
    sums.add(np.array([-1.0]))
    assert sums.values()[0] == 2.0**-1074


def test_exact_sums_keep_nan_and_infinity():
    sums = ExactSums(3)
    sums.add(np.array([1.0, np.inf, np.inf]))
    sums.add(np.array([np.nan, 1.0, -np.inf]))
    found = sums.values()
    assert np.isnan(found[0])
    assert found[1] == np.inf
    assert np.isnan(found[2])


def test_who_asks_at_the_same_time_gets_the_same(monkeypatch):
    """Two sections look at what waits to be added: it is added once."""
    batches, _ = blocks([3, 4])
    fold, expected = folded(batches), folded(batches).result()
    both, add = threading.Barrier(2), fold._sums.add

    def slowly(rows):
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        add(rows)

    monkeypatch.setattr(fold._sums, "add", slowly)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: fold.result(), range(2)))
    for one in found:
        np.testing.assert_equal(one, expected)
