"""A build on workers is killed, its data set is changed, and the same command comes again: nothing old is told.

Either the data set is refused by name, or the report is byte for byte that of a build that found nothing kept.
"""

from __future__ import annotations

import functools
import io
import os
import re
import shutil
from pathlib import Path

import batches
import datasets
import keras
import numpy as np
import pages
import pytest
from keras import layers
from PIL import Image
from surveys import SECTIONS, started

from reportgen import cli

FILES = 10
"""More than what waits for the first worker, so that the driver finishes some before that one has begun."""
PICTURES = 5000
"""Five parts, in a folder and in an array."""
WORKERS = ("--jobs", "2", "--engine", "local")
LEVELS = np.random.default_rng(5).integers(0, 256, PICTURES).tolist()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    keras.utils.set_random_seed(3)
    start = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(start))
    made = keras.Model(start, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))
    path = tmp_path_factory.mktemp("model") / "small.keras"
    made.save(path)
    return path


def tars(place):
    for number in range(FILES):
        datasets.as_tar(place / f"x-{number}.tar", datasets.samples(40, seed=number))


def bitmap(level):
    held = io.BytesIO()
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(held, "BMP")
    return held.getvalue()


def bitmaps(place):
    """Write pictures that all have as many bytes."""
    for number in range(PICTURES):
        name = f"{number * 3 // PICTURES}-class/{number:04}.bmp"
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(bitmap(LEVELS[number]))


def array(place, *, darker=False):
    x = np.tile(np.reshape(LEVELS, (-1, 1, 1, 1)), (1, 8, 8, 1))
    if darker:
        x[1000:] //= 2
    np.savez(place / "x.npz", x=x.astype(np.uint8), y=np.arange(PICTURES) % 3)


SETS = {"tar": (tars, "data/*.tar"), "folder": (bitmaps, "data"), "array": (array, "data/x.npz")}


@pytest.fixture(scope="module")
def killed(tmp_path_factory, model):
    """Return what makes a data set, and a cache that holds some parts of it after a build that was killed."""

    @functools.cache
    def killed(kind):
        write, data = SETS[kind]
        folder = tmp_path_factory.mktemp(kind)
        (folder / "data").mkdir()
        write(folder / "data")
        kept = folder / "kept-out"
        with started(folder, "out", "--jobs", 2, data=data, model=model) as (process, mark):
            batches.wait_for(lambda: list(kept.rglob("*.npz")))
            process.kill()
            process.wait()
            assert batches.gone(mark, 10) == []
        assert len(list(kept.rglob("*.npz"))) < 5
        assert not (folder / "out" / "index.html").exists()
        return folder

    return killed


def as_it_was(folder, place):
    """Give the data set again, with the cache: links, since the system notes when a file was copied."""
    for path in (folder / "data").rglob("*"):
        there = place / path.relative_to(folder)
        there.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            there.symlink_to(path)
    shutil.copytree(folder / "kept-out", place / "kept-out")
    return place / "data"


def build(out, kind, model, *more):
    """Run the command in this process; return its exit code and the report."""
    arguments = ["build", str(model), "-o", out, "--data", SETS[kind][1], *SECTIONS, *more]
    return cli.run(arguments), pages.tree(Path(out))


def rewrite(path, content, *, same_time=True):
    """Put another file in a file's place."""
    before = path.stat()
    path.unlink()
    path.write_bytes(content)
    if same_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(kind, data):
    """Put other pictures into files that keep their size and their time of change."""
    if kind == "tar":
        for number in range(1, FILES):
            path, other = data / f"x-{number}.tar", data.parent / "other.tar"
            datasets.as_tar(other, datasets.samples(40, seed=100 + number))
            assert other.stat().st_size == path.stat().st_size
            rewrite(path, other.read_bytes())
    elif kind == "folder":
        for path in sorted(data.rglob("*.bmp"))[1000:]:
            rewrite(path, bitmap(LEVELS[int(path.stem)] // 2))
    else:
        array(data.parent, darker=True)
        rewrite(data / "x.npz", (data.parent / "x.npz").read_bytes())


def files_in(data):
    return sorted(path for path in data.rglob("*.*") if path.is_file())


def cut_off(_kind, data):
    paths = files_in(data)
    for path in paths[len(paths) // 5 :]:
        rewrite(path, path.read_bytes()[: path.stat().st_size // 2])


def removed(_kind, data):
    """Remove the first file: all that follow get other numbers."""
    files_in(data)[0].unlink()


def added(_kind, data):
    """Add a file that stands before all others."""
    datasets.as_tar(data / "a.tar", datasets.samples(40, seed=200))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("tar", replaced), ("tar", cut_off), ("tar", removed), ("tar", added),
        ("folder", replaced), ("folder", cut_off), ("folder", removed), ("array", replaced),
    ],
)  # fmt: skip
def test_a_changed_data_set_is_folded_as_if_nothing_was_kept(killed, model, kind, change, tmp_path):
    data = as_it_was(killed(kind), tmp_path)
    change(kind, data)
    again = build("out", kind, model, *WORKERS, "--cache", "kept-out")
    assert again[0] == 0
    assert again == build("fresh", kind, model, "--cache", "another")


def emptied(data):
    rewrite(data / "x-3.tar", b"")
    return "x-3.tar: the file is empty"


def under_a_second_name(data):
    shutil.copy2(data / "x-3.tar", data / "x-20.tar")
    return "x-3.tar and data/x-20.tar are the same"


def without_its_end(data):
    rewrite(data / "x.npz", (data / "x.npz").read_bytes()[:-5000])
    return "x.npz"


@pytest.mark.parametrize(
    ("kind", "change"),
    [("tar", emptied), ("tar", under_a_second_name), ("array", without_its_end)],
)
def test_what_cannot_be_meant_is_refused_by_name(killed, model, kind, change, tmp_path, capsys):
    data = as_it_was(killed(kind), tmp_path)
    said = change(data)
    assert build("out", kind, model, *WORKERS, "--cache", "kept-out") == (6, {})
    assert said in capsys.readouterr().err


SWAPS = """
import os, pathlib

calls = 0

def prepare(images):
    global calls
    calls += 1
    if calls == 5:
        for path in sorted(pathlib.Path("data").rglob("*.*")):
            held, state = path.read_bytes(), path.stat()
            path.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    return images / 255
"""


@pytest.mark.parametrize("kind", ["tar", "folder"])
def test_files_that_change_while_one_process_alone_reads_them_are_refused(
    kind, model, tmp_path, capsys
):
    """Of a data set that is half old and half new there is no report, and no part is kept."""
    (tmp_path / "data").mkdir()
    SETS[kind][0](tmp_path / "data")
    (tmp_path / f"swaps_{kind}.py").write_text(SWAPS)
    prepare = ("--preprocess", f"swaps_{kind}:prepare", "--cache", "kept")
    assert build("out", kind, model, *prepare) == (6, {})
    first = {"tar": "x-", "folder": "0000.bmp"}[kind]
    said = f"--data: what follows {first}.* is not what was there when the build began"
    assert re.search(said, capsys.readouterr().err)
    assert list((tmp_path / "kept").rglob("*.npz")) == []
