"""Weights in several files with an index: all of them are read, and nothing that the index only claims."""

from __future__ import annotations

import json
import os
import shutil

import h5py
import keras
import numpy as np
import pages
import pytest

from reportgen import build_report
from reportgen.errors import ModelError, NotBuiltError
from reportgen.nets.loading import load_model
from reportgen.nets.stored import check_unchanged, read_stored
from reportgen.nets.stored_network import StoredNetwork

SMALL = 1e-6
"""Gibibytes a file: about a thousand bytes, so that every layer has files of its own."""


def network():
    return keras.Sequential(
        [
            keras.Input((8,), name="given"),
            keras.layers.Dense(16, name="one"),
            keras.layers.Dense(14, activation="relu", name="two"),
            keras.layers.Dense(3, name="three"),
        ]
    )


@pytest.fixture
def sharded(tmp_path):
    model = network()
    path = tmp_path / "only.weights.json"
    model.save_weights(path, max_shard_size=SMALL)
    assert len(list(tmp_path.glob("*.weights.h5"))) > 1
    return model, path


def altered(path, change):
    index = json.loads(path.read_text())
    change(index["weight_map"])
    path.write_text(json.dumps(index))


def test_every_weight_of_every_file_is_read(sharded):
    model, path = sharded
    stored = read_stored(path)
    assert (stored.kind, stored.config) == ("shards", None)
    assert stored.weights == 4 * model.count_params()
    found = {facts.path: array for facts, array in StoredNetwork(path, stored, "asked").variables()}
    assert len(found) == 6
    for layer in model.layers:
        for weight in layer.weights:
            (array,) = [
                a for name, a in found.items() if a.shape == weight.shape and layer.name in name
            ]
            np.testing.assert_array_equal(array, np.asarray(weight))


def test_a_report_has_the_weights_and_with_a_body_the_rest(sharded, tmp_path):
    model, path = sharded
    build_report(path, output=tmp_path / "out")
    report = pages.check_page(tmp_path / "out")
    assert pages.content(report, "weights")["count"] == model.count_params()
    body = tmp_path / "body.json"
    body.write_text(model.to_json())
    loaded = load_model(path, architecture=str(body))
    given = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    np.testing.assert_array_equal(loaded.model(given), model(given))


def test_an_index_of_another_name_opens_with_a_body(sharded, tmp_path):
    model, path = sharded
    other = path.with_name("renamed.weights.json")
    path.rename(other)
    (tmp_path / "body.json").write_text(model.to_json())
    loaded = load_model(other, architecture=str(tmp_path / "body.json"))
    given = np.ones((2, 8), np.float32)
    np.testing.assert_array_equal(loaded.model(given), model(given))


def test_weights_alone_say_what_gives_them_a_body(sharded):
    with pytest.raises(NotBuiltError, match=r"weights only.*--architecture FILE\.json"):
        load_model(sharded[1])


LEADING = [
    "../secret.weights.h5", "/etc/secret.weights.h5", "inside/part.weights.h5", "..\\secret.weights.h5",
    "secret.keras", "a\0.weights.h5", "", ".weights.h5", "x" * 300 + ".weights.h5",
]  # fmt: skip


@pytest.mark.parametrize("name", LEADING)
def test_what_is_no_plain_name_beside_the_index_is_refused(sharded, name):
    _, path = sharded
    altered(path, lambda held: held.update({next(iter(held)): name}))
    with pytest.raises(ModelError, match="which is no plain name"):
        read_stored(path)


def test_a_link_a_pipe_and_a_missing_file_are_refused(sharded, tmp_path):
    _, path = sharded
    part = sorted(tmp_path.glob("*.weights.h5"))[1]
    kept = tmp_path / "kept"
    shutil.move(part, kept)
    with pytest.raises(ModelError, match="which is not there"):
        read_stored(path)
    part.symlink_to(kept)
    with pytest.raises(ModelError, match="which is no regular file"):
        read_stored(path)
    part.unlink()
    os.mkfifo(part)
    with pytest.raises(ModelError, match="which is no regular file"):
        read_stored(path)


def test_more_files_than_are_read_are_refused(sharded):
    _, path = sharded
    altered(path, lambda held: held.update({f"/{n}": f"{n}.weights.h5" for n in range(300)}))
    with pytest.raises(ModelError, match="from 1 to 256"):
        read_stored(path)


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        ("", "is empty"), ("[" * 100_000, "not JSON"), ("[]", "weight_map is missing"),
        ('{"weight_map": {}}', "weight_map is missing"), ('{"weight_map": {"/a": 3}}', "weight_map is missing"),
        ('{"weight_map": {"/a": ["a", null]}}', "weight_map is missing"),
    ],
)  # fmt: skip
def test_what_is_no_index_is_refused(tmp_path, content, phrase):
    path = tmp_path / "odd.weights.json"
    path.write_text(content)
    with pytest.raises(ModelError, match=phrase):
        read_stored(path)


def test_a_pipe_in_the_place_of_an_index_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "odd.weights.json")
    with pytest.raises(ModelError, match="no regular file"):
        read_stored(tmp_path / "odd.weights.json")


def test_a_damaged_part_is_found_before_it_is_opened_here(sharded, tmp_path):
    _, path = sharded
    part = max(tmp_path.glob("*.weights.h5"))
    part.write_bytes(part.read_bytes()[:-400])
    with pytest.raises(ModelError, match=f"{part.name} is truncated or damaged"):
        read_stored(path)


def test_a_part_that_leads_to_another_file_is_refused(sharded, tmp_path):
    _, path = sharded
    with h5py.File(min(tmp_path.glob("*.weights.h5")), "a") as file:
        file["more"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/")
    with pytest.raises(ModelError, match="leads elsewhere"):
        read_stored(path)


def test_what_no_file_holds_and_what_two_hold_is_damage(sharded, tmp_path):
    _, path = sharded
    before = path.read_text()
    altered(path, lambda held: held.update({"/layers/ghost/vars": next(iter(held.values()))}))
    with pytest.raises(ModelError, match=r"no file holds '/layers/ghost/vars'"):
        StoredNetwork(path, read_stored(path), "asked")
    path.write_text(before)
    first, second = sorted(tmp_path.glob("*.weights.h5"))[:2]
    with h5py.File(first) as one, h5py.File(second, "a") as other:
        name = next(name for name in one["layers"] if "0" in one[f"layers/{name}/vars"])
        group = other.require_group(f"layers/{name}/vars")
        if "0" in group:
            del group["0"]
        group["0"] = one[f"layers/{name}/vars/0"][()]
    with pytest.raises(ModelError, match="stands in several files"):
        StoredNetwork(path, read_stored(path), "asked")


def test_a_part_that_is_exchanged_is_seen(sharded, tmp_path):
    _, path = sharded
    stored = read_stored(path)
    part = max(tmp_path.glob("*.weights.h5"))
    part.write_bytes(part.read_bytes())
    os.utime(part, ns=(1, 1))
    with pytest.raises(ModelError, match="was changed"):
        check_unchanged(path, stored.stamp)
