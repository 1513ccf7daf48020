"""A tensor in slabs has the statistics and the digest of the whole one."""

from __future__ import annotations

import h5py
import numpy as np
import pages
import pytest

from reportgen import build_report
from reportgen.nets.stored import read_stored
from reportgen.nets.stored_network import StoredNetwork
from reportgen.numerics import describe, digest
from reportgen.slabs import Slabs, digest_of, in_slabs, places, statistics_of

RNG = np.random.default_rng(4)
ARRAYS = {
    "normal": RNG.normal(size=(37, 41)).astype(np.float32),
    "far from zero": (1000 + RNG.normal(size=(3001,)) * 1e-2).astype(np.float32),
    "with zeros": np.maximum(RNG.normal(size=(9, 7, 5)), 0).astype(np.float32),
    "zeros of both signs": np.array([0.0, -0.0, 1.0, -1.0, 0.0], np.float32),
    "many sizes": (RNG.normal(size=4000) * 10.0 ** RNG.uniform(-9, 6, 4000)).astype(np.float32),
    "not finite": np.array([[1, np.nan, np.inf], [-np.inf, 2, 0]], np.float32),
    "nothing finite": np.array([np.nan, np.inf], np.float32),
    "one": np.array([3.0], np.float32),
    "half": RNG.normal(size=(50, 3)).astype(np.float16),
    "int8": RNG.integers(-128, 128, (20, 9)).astype(np.int8),
    "edges": np.array([2.0**-20, -(2.0**-20), 2.0**12, -(2.0**12), 2.0**-21, 5000.0, 1.0, 2.0], np.float32),
}  # fmt: skip


def in_pieces(array, most=64):
    return Slabs(
        array.shape, array.dtype, lambda: (array[where] for where in places(array.shape, most))
    )


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("most", [1, 7, 64, 10**6])
def test_the_statistics_are_those_of_the_whole(name, most):
    array = ARRAYS[name]
    assert statistics_of(in_pieces(array, most)) == describe(array)
    assert digest_of(in_pieces(array, most)) == digest(array) == digest_of(array)


@pytest.mark.parametrize("shape", [(5,), (3, 4), (1, 1, 12), (2, 3, 4), (7, 1), (0, 4), (4, 0), ()])
@pytest.mark.parametrize("most", [1, 3, 5, 100])
def test_pieces_are_the_tensor_in_its_order(shape, most):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    pieces = [array[where] for where in places(shape, most)]
    assert all(piece.size <= max(most, 1) for piece in pieces)
    assert [int(n) for piece in pieces for n in np.ravel(piece)] == list(range(array.size))


def test_what_float32_does_not_hold_is_not_cut():
    kinds = ("float32", "float16", "int8", "uint8", "bool", "int16", "V2")
    assert [kind for kind in kinds if not in_slabs(np.dtype(kind))] == []
    assert not any(in_slabs(np.dtype(kind)) for kind in ("float64", "int32", "int64", "complex64"))


def test_a_large_weight_is_measured_in_bounded_memory_and_said(tmp_path):
    """272 MiB in one data set; a quarter of it is never held."""
    import tracemalloc

    path = tmp_path / "large.weights.h5"
    rows, columns = 17 * 1024, 4096
    with h5py.File(path, "w") as file:
        data = file.create_dataset("layers/dense/vars/0", (rows, columns), np.float32)
        for start in range(0, rows, 1024):
            data[start : start + 1024] = start / 1024 - 8
    network = StoredNetwork(path, read_stored(path), "asked")
    tracemalloc.start()
    try:
        ((facts, slabs),) = [(f, statistics_of(a)) for f, a in network.variables()]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert facts.shape == (rows, columns)
    assert (slabs.min, slabs.max, slabs.mean, slabs.percentiles[2]) == (-8, 8, 0, 0)
    assert slabs.zeros == 1024 * columns
    assert slabs.std == pytest.approx(np.sqrt(24), rel=1e-5)
    assert peak < 200 * 2**20
    build_report(path, output=tmp_path / "out", weights_only=True)
    report = pages.check_page(tmp_path / "out")
    (row,) = pages.content(report, "weights")["variables"]
    assert (row["p25"], row["p75"], row["health"]) == (-4, 4, None)
    section = next(s for s in report["sections"] if s["kind"] == "weights")
    assert "measured slab by slab" in section["notices"][-1]["text"]
