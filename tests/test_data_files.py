"""Data sets in files of WebDataset, TensorFlow and Hugging Face: numbers are those of a folder of PNG files."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import fsspec
import keras
import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import NAMES, WRITERS, as_folder, as_parquet, as_tar, as_tfrecord, samples
from keras import layers
from pages import check_page, page_text
from PIL import Image

import reportgen
from reportgen.errors import DataError
from reportgen.inputs.data_source import list_data
from reportgen.inputs.sources.protocol import Broken
from reportgen.settings import Settings

SECTIONS = ("overview", "evaluation", "probes", "activations")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A file of a network that says by brightness."""
    start = keras.Input((8, 8, 1), name="picture")
    conv = layers.Conv2D(2, 1, activation="relu", name="conv")
    mean = layers.GlobalAveragePooling2D(name="mean")(conv(start))
    end = layers.Dense(3, activation="softmax", name="out")
    made = keras.Model(start, end(mean))
    conv.set_weights([np.array([[[[1.0, -1.0]]]]), np.array([0.0, 1.0])])
    end.set_weights([np.array([[-12.0, 0.0, 12.0], [0, 0, 0]]), np.array([4.0, 0.0, -8.0])])
    path = tmp_path_factory.mktemp("model") / "model.keras"
    made.save(path)
    return path


def build(model, data, place, **options):
    options = {"classes": NAMES, "sections": SECTIONS, "preprocess": "unit", **options}
    return reportgen.build_report(
        model, data=data, output=place / "out", cache=place / "cache", **options
    )


def content(made, kind="evaluation"):
    return next(s.content for s in made.report.sections if s.kind == kind)


def numbers(made):
    """Return all of an evaluation, and its pictures, but what images of a file without names are called."""
    found = msgspec.to_builtins(content(made))
    for one in (*found["result"]["mistakes"], *found["result"]["hesitant"]):
        one["name"], one["figure"] = "", one["figure"]["src"]
    return found


@pytest.fixture(scope="module")
def of_folder(model, tmp_path_factory):
    place = tmp_path_factory.mktemp("folder")
    return build(model, as_folder(place / "set", samples()), place)


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_the_numbers_are_those_of_the_folder(model, of_folder, tmp_path, name):
    made = build(model, str(WRITERS[name](tmp_path / name, samples())), tmp_path)
    check_page(tmp_path / "out")
    assert not made.failed
    assert content(made).images == 60
    assert numbers(made) == numbers(of_folder)
    one, other = (content(m, "activations") for m in (made, of_folder))
    assert one.calls == other.calls
    assert [c.top.values for c in one.shown if c.top] == [
        c.top.values for c in other.shown if c.top
    ]
    if "tfrecord" not in name:
        one, other = ([p.name for p in content(m, "probes").probes] for m in (made, of_folder))
        assert one == other
    told = [n.text for s in made.report.sections for n in s.notices]
    assert any(text.startswith("The probes are drawn from the data set") for text in told)
    assert not any(text.startswith("The first") for text in told)


@pytest.mark.parametrize("ending", ["txt", "json"])
def test_labels_of_a_tar_are_names_or_json_too(model, of_folder, tmp_path, ending):
    made = build(model, as_tar(tmp_path / "x.tar", samples(), ending), tmp_path)
    assert content(made).result.matrix == content(of_folder).result.matrix


@pytest.mark.parametrize("kind", ["tar", "tfrecord", "parquet"])
def test_several_files_are_one_data_set(model, of_folder, tmp_path, kind):
    """In their order, each by itself: a pattern and their folder give the same."""
    given = samples()
    (tmp_path / "set").mkdir()
    for number, part in enumerate((given[:25], given[25:26], given[26:])):
        WRITERS[f"x.{kind}"](tmp_path / "set" / f"test-{number:05d}-of-00003.{kind}", part)
    by_folder = build(model, tmp_path / "set", tmp_path)
    assert content(by_folder).result.matrix == content(of_folder).result.matrix
    mistakes = [m.name for m in content(of_folder).result.mistakes]
    if kind != "tfrecord":  # whose images have no names
        assert [m.name for m in content(by_folder).result.mistakes] == mistakes
    by_pattern = build(model, str(tmp_path / "set" / f"test-*.{kind}"), tmp_path, fresh=True)
    assert content(by_pattern) == content(by_folder)
    again = build(model, tmp_path / "set", tmp_path)  # from the cache
    assert content(again) == content(by_folder)


@pytest.mark.parametrize("name", ["x.tar", "x.tfrecord", "x.parquet"])
def test_an_image_that_is_broken_is_counted_and_named(model, tmp_path, name):
    given = samples()
    given[7] = (given[7][0], b"\x89PNG\r\n\x1a\nno image", given[7][2])
    made = build(model, WRITERS[name](tmp_path / name, given), tmp_path)
    found = content(made)
    assert (found.images, found.total, found.broken_count) == (59, 60, 1)
    assert f"{name}, image 7" in found.broken[0]
    if name != "x.tfrecord":
        assert "000007.png" in found.broken[0]
    assert "could not be read" in page_text(tmp_path / "out")


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tfrecord", "x.tfrecord.gz"])
def test_of_a_file_that_was_cut_off_the_images_before_count(model, tmp_path, name):
    path = WRITERS[name](tmp_path / name, samples())
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3 + 5])
    found = content(build(model, path, tmp_path))
    assert 20 <= found.images < 60
    assert found.broken_count == 1
    assert name in found.broken[0]
    assert "byte" in found.broken[0]
    assert "is not read" in found.broken[0]


def test_a_record_whose_checksum_fails_is_passed_over(model, tmp_path):
    given = samples()
    path = as_tfrecord(tmp_path / "x.tfrecord", given)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(given[5][1]) + 40] ^= 1
    path.write_bytes(damaged)
    found = content(build(model, path, tmp_path))
    assert (found.images, found.broken_count) == (59, 1)
    assert "fails its checksum" in found.broken[0]


def test_class_names_of_hugging_face_are_taken(model, tmp_path):
    made = build(model, as_parquet(tmp_path / "x.parquet", samples()), tmp_path, classes=None)
    assert [row.name for row in content(made).result.classes] == list(NAMES)


def test_a_description_says_what_is_meant(model, of_folder, tmp_path):
    (tmp_path / "set").mkdir()
    data = as_tfrecord(tmp_path / "set" / "x.tfrecord", samples(), image="a", label="b", more=True)
    described = tmp_path / "set" / "features.toml"
    described.write_text('image = "a"\nlabel = "b"\nclasses = ["low", "middle", "high"]\n')
    made = build(model, data, tmp_path, classes=None)
    assert content(made).result.matrix == content(of_folder).result.matrix
    assert [row.name for row in content(made).result.classes] == list(NAMES)
    elsewhere = described.rename(tmp_path / "other.toml")
    made = build(model, data, tmp_path, classes=None, data_features=elsewhere)
    assert content(made).result.matrix == content(of_folder).result.matrix


@pytest.mark.parametrize("name", ["x.tar", "x.tfrecord", "x.parquet"])
def test_files_in_a_store_are_read_from_there(model, of_folder, tmp_path, name):
    store = fsspec.filesystem("memory")
    held = WRITERS[name](tmp_path / name, samples()).read_bytes()
    store.pipe_file(f"/sets/a/{name}", held)
    store.pipe_file("/sets/a/features.toml", b'classes = ["low", "middle", "high"]')
    try:
        for address in (f"memory://sets/a/{name}", "memory://sets/a", "memory://sets/a/x.*r*"):
            made = build(model, address, tmp_path, fresh=True)
            assert numbers(made) == numbers(of_folder)
    finally:
        store.rm("/sets", recursive=True)


@pytest.mark.parametrize("kind", ["tar", "tfrecord", "parquet"])
def test_the_command_line_takes_them(model, tmp_path, kind):
    data = WRITERS[f"x.{kind}"](tmp_path / f"x.{kind}", samples())
    command = [sys.executable, "-m", "reportgen", "build", str(model), "--data", str(data), "-o",
               str(tmp_path / "out"), "--sections", "overview,evaluation", "--preprocess", "unit",
               "--cache", str(tmp_path / "cache")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "60 images" in page_text(tmp_path / "out")
    data.write_bytes(b"")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 6
    assert "is empty (0 bytes)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_goes_meanwhile_is_an_error_and_no_broken_image(tmp_path):
    store = fsspec.filesystem("memory")
    store.pipe_file("/sets/x.tar", as_tar(tmp_path / "x.tar", samples()).read_bytes())
    one = list_data("memory://sets/x.tar", Settings()).stream
    other = list_data(str(tmp_path / "x.tar"), Settings()).stream
    store.rm("/sets/x.tar")
    (tmp_path / "x.tar").unlink()
    with pytest.raises(DataError, match=r"memory://sets/x\.tar: there is nothing of that name"):
        list(one.read(one.shards(4)[0]))
    with pytest.raises(DataError, match=r"x\.tar: No such file"):
        list(other.read(other.shards(4)[0]))


def test_pictures_with_an_orientation_are_decided_both_ways(model, tmp_path):
    """As those of a folder are."""
    given = []
    for key, png, label in samples(12):
        picture, held = Image.open(io.BytesIO(png)), io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(held, "JPEG", exif=exif)
        given.append((key, held.getvalue(), label))
    of_folder = build(model, as_folder(tmp_path / "set", given), tmp_path)
    of_tar = build(model, as_tar(tmp_path / "x.tar", given), tmp_path)
    assert content(of_tar).turned == content(of_folder).turned
    assert content(of_tar).turned.images == 12


def test_no_name_of_a_file_is_shown_where_names_are_hidden(model, tmp_path):
    (tmp_path / "set").mkdir()
    for number in range(2):
        given = samples(20, seed=number)
        given[3] = (given[3][0], b"no image", 0)
        as_tar(tmp_path / "set" / f"secret-{number}.tar", given)
    made = build(model, tmp_path / "set", tmp_path, hide_names=True)
    page = page_text(tmp_path / "out")
    assert "secret" not in page
    assert "000003" not in page
    names = [m.name for m in content(made).result.mistakes]
    assert all(re.fullmatch(r"image \d+ of file [01]", name) for name in names), names


def test_another_machine_lists_the_same_shards(tmp_path):
    """A worker is told the path alone; what a file is told apart by is its name, size and time."""
    for number in range(3):
        as_tar(tmp_path / f"{number}.tar", samples(10, seed=number))
    one, other = (list_data(str(tmp_path), Settings()).stream for _ in range(2))
    assert one.shards(4) == other.shards(4)
    assert len(one.shards(4)) == 3
    digests = [one.identity(shard) for shard in one.shards(4)]
    assert digests == [other.identity(shard) for shard in other.shards(4)]
    assert len(set(digests)) == 3
    alone = [found.place for found in other.read(other.shards(4)[2])]
    assert alone == [found.place for shard in one.shards(4) for found in one.read(shard)][20:]
    as_tar(tmp_path / "1.tar", samples(10, seed=9))
    os.utime(tmp_path / "1.tar", ns=(1, 1))
    changed = list_data(str(tmp_path), Settings()).stream
    assert [a == b for a, b in zip(digests, map(changed.identity, changed.shards(4)), strict=True)] == [
        True, False, True,
    ]  # fmt: skip


def test_a_shard_that_cannot_be_begun_is_counted_image_by_image(tmp_path):
    """The second row group is damaged from its first byte: its images are missing, and are told."""
    given = samples(60)
    path = as_parquet(tmp_path / "x.parquet", given, groups=20)
    held = bytearray(path.read_bytes())
    group = pq.ParquetFile(path).metadata.row_group(1)
    begun = min(
        group.column(k).dictionary_page_offset or group.column(k).data_page_offset for k in range(2)
    )
    held[begun : begun + 400] = bytes(400)
    path.write_bytes(held)
    source = list_data(str(path), Settings())
    places = [range(20), range(20, 40), range(40, 60)]
    found = [list(source.stream.read(span)) for span in places]
    assert [sum(isinstance(one, Broken) for one in some) for some in found] == [0, 20, 0]
    assert [one.place for one in found[1]] == list(range(20, 40))
    assert "What follows in the file is not read" in found[1][0].reason
