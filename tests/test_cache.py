"""Pieces of long work: kept whole, read back, never trusted, never a reason to fail."""

import os
import time

import numpy as np
import pytest

from reportgen.cache import KEPT_DAYS, Cache, key_of


def test_a_piece_comes_back_as_it_was(tmp_path):
    cache = Cache(tmp_path)
    cache.write("survey", "k", {"a": np.arange(6).reshape(2, 3), "n": 3})
    found = cache.read("survey", "k")
    np.testing.assert_array_equal(found["a"], [[0, 1, 2], [3, 4, 5]])
    assert int(found["n"]) == 3
    assert cache.read("survey", "other") is None
    assert [p.name for p in (tmp_path / "survey").iterdir()] == ["k.npz"]


def test_fresh_reads_nothing_but_what_it_has_written(tmp_path):
    Cache(tmp_path).write("survey", "k", {"a": 1})
    fresh = Cache(tmp_path, fresh=True)
    assert fresh.read("survey", "k") is None
    assert not fresh.holds("survey", "k")
    fresh.write("survey", "k", {"a": 2})
    assert fresh.holds("survey", "k")
    assert fresh.read("survey", "k")["a"] == 2
    assert Cache(tmp_path).read("survey", "k")["a"] == 2
    assert Cache(tmp_path, fresh=True).read("survey", "k") is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x93NUMPY", b"no archive"])
def test_a_broken_piece_is_as_if_it_were_not_there(tmp_path, content):
    (tmp_path / "survey").mkdir()
    (tmp_path / "survey" / "k.npz").write_bytes(content)
    assert Cache(tmp_path).read("survey", "k") is None


def test_a_pickle_is_not_opened(tmp_path):
    (tmp_path / "survey").mkdir()
    np.savez(tmp_path / "survey" / "k.npz", a=np.array([print], dtype=object))
    assert Cache(tmp_path).read("survey", "k") is None


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file")
    cache.write("survey", "k", {"a": 1})
    assert cache.read("survey", "k") is None


def test_old_pieces_go_and_other_files_stay(tmp_path):
    Cache(tmp_path).write("survey", "old", {"a": 1})
    Cache(tmp_path).write("survey", "new", {"a": 1})
    (tmp_path / "survey" / "mine.txt").write_text("mine")
    long_ago = time.time() - (KEPT_DAYS + 1) * 86_400
    for name in ("old.npz", "mine.txt"):
        os.utime(tmp_path / "survey" / name, (long_ago, long_ago))
    Cache(tmp_path)
    assert sorted(p.name for p in (tmp_path / "survey").iterdir()) == ["mine.txt", "new.npz"]


def test_keys_tell_values_types_and_shapes_apart():
    a = np.arange(4, dtype=np.float32)
    keys = [
        key_of(a), key_of(a.astype(np.float64)), key_of(a.reshape(2, 2)), key_of(a + 1), key_of("a"),
        key_of(["a"]), key_of("a", ""), key_of({"a": 1}), key_of({"a": 2}), key_of(1), key_of(1.5),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
