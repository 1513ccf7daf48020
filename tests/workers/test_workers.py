"""A data set's survey on workers gives the bytes that it gives without, whatever becomes of a worker."""

from __future__ import annotations

import logging
import os
import time
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import batches
import keras
import models
import numpy as np
import pages
import pytest
from keras import layers
from PIL import Image
from surveys import SECTIONS, built, cluster, started

import reportgen
from reportgen import cli
from reportgen.cache import packed
from reportgen.context import Driver, Piece
from reportgen.engines.engine import Engine
from reportgen.errors import DataError, UsageError
from reportgen.network.channels import Channels
from reportgen.network.protocol import Batch
from reportgen.sections.activations.activity import ActivityFold
from reportgen.workers import drive
from reportgen.workers.drive import _Run

ENGINES = [
    "local",
    pytest.param("ray", marks=pytest.mark.engines),
    pytest.param("dask", marks=pytest.mark.engines),
]
# In a worker, but not in the process that was started by hand, something happens once.
ONCE = """
import os, pathlib

calls = 0

def prepare(images):
    global calls
    calls += 1
    if os.getppid() != {parent} and calls == 4:
        try:
            os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return images / 255
        {deed}
    return images / 255
"""


def once(mark, deed):
    return ONCE.format(mark=mark, deed=deed, parent=os.getpid())


def array_set(folder, *, copies=1, bad_label=False):
    """Write 3,000 pictures with labels as one file, three shards; or several times as many."""
    x = np.concatenate([models.images(500, seed=k) for k in range(6)] * copies)
    y = np.random.default_rng(4).integers(0, 4, len(x))
    if bad_label:
        y[2500] = 77
    np.savez(folder / "data.npz", x=x, y=y)
    return folder / "data.npz"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data set, and the report of it that one process has made."""
    folder = tmp_path_factory.mktemp("workers")
    array_set(folder)
    return folder, built(folder, "alone")


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_the_same_bytes_whatever_the_number_of_workers(place, jobs):
    folder, alone = place
    assert built(folder, f"jobs{jobs}", "--jobs", jobs) == alone
    assert len(list((folder / f"kept-jobs{jobs}").rglob("*.npz"))) == 1


@pytest.mark.engines
@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_the_same_bytes_on_a_cluster(place, engine):
    folder, alone = place
    assert built(folder, engine, "--jobs", 2, "--engine", engine) == alone


COUNTS = """
import os, pathlib

def prepare(images):
    with open({counts!r}, "a") as file:
        file.write(f"{{os.getpid()}} {{len(images)}}\\n")
    return images / 255
"""


def counting(folder, *arguments):
    """Build, and return how many images each process prepared."""
    counts = folder / "counts"
    counts.unlink(missing_ok=True)
    (folder / "counts_all.py").write_text(COUNTS.format(counts=str(counts)))
    built(folder, "counted", "--preprocess", "counts_all:prepare", *arguments)
    found = Counter()
    for process, number in map(str.split, counts.read_text().splitlines()):
        found[process] += int(number)
    return found


def test_no_image_is_run_twice_also_where_nothing_kept_is_read(place):
    folder, _ = place
    alone = counting(folder, "--fresh")
    beside = counting(folder, "--fresh", "--jobs", 2)
    assert len(alone) == 1
    assert len(beside) == 2
    sample = alone.total() - 3000  # a worker looks at one too
    assert sample < 200
    assert 3000 <= beside.total() <= alone.total() + sample


def test_a_small_set_stays_in_one_process_unless_an_engine_is_asked_for(tmp_path, monkeypatch):
    array_set(tmp_path, copies=2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    opened, open_executor = [], drive.open_executor

    def opening(*given, **options):
        opened.append(options)
        return open_executor(*given, **options)

    monkeypatch.setattr(drive, "open_executor", opening)
    build = [
        "build",
        str(models.saved("plain")),
        "--data",
        "data.npz",
        "--fresh",
        *SECTIONS,
        "--jobs",
        "2",
    ]
    assert cli.run([*build, "-o", "small"]) == 0
    assert opened == []
    monkeypatch.setattr(drive, "PAYS", 0.0)
    assert cli.run([*build, "-o", "large"]) == 0
    assert len(opened) == 1, "when two parts have shown that it would take long"
    assert cli.run([*build, "-o", "asked", "--engine", "local"]) == 0
    assert len(opened) == 2
    monkeypatch.setattr(drive, "processors", lambda: 2)
    assert cli.run([*build[:-2], "-o", "named", "--engine", "local"]) == 0
    assert len(opened) == 3, "as many as there are processors"
    trees = [pages.tree(tmp_path / name) for name in ("small", "large", "asked", "named")]
    assert all(tree == trees[0] for tree in trees[1:])


def killing(folder, name):
    """Return the options of a build in which a worker kills itself once, and what is there once it has.

    What one process makes with them lies in ``prepared``.
    """
    mark = folder / f"killed-{name}"
    deed = "os.kill(os.getpid(), 9)"
    (folder / "once.py").write_text(once(mark=str(mark), deed=deed))
    prepare = ("--preprocess", "once:prepare")
    if not (folder / "prepared").exists():
        built(folder, "prepared", *prepare)
        assert not mark.exists()
    return prepare, mark


@pytest.mark.parametrize("engine", ENGINES)
def test_a_worker_that_is_killed_costs_nothing_but_time(place, engine):
    folder, _ = place
    prepare, mark = killing(folder, engine)
    found = built(folder, f"survived-{engine}", *prepare, "--jobs", 2, "--engine", engine)
    assert mark.exists()
    assert found == pages.tree(folder / "prepared")


def test_a_worker_that_is_lost_too_often_ends_the_build(place):
    folder, _ = place
    deed = "os.kill(os.getpid(), 9)"
    (folder / "lost.py").write_text(once(mark=str(folder / "lost"), deed=deed))
    code, err = built(
        folder, "not", "--preprocess", "lost:prepare", "--jobs", 2, "--retries", 0, check=False
    )
    assert code == 1
    assert "of the data set was lost (LostError: signal SIGKILL)" in err
    assert "--retries" in err
    assert not (folder / "not" / "index.html").exists()


def test_a_driver_that_is_killed_goes_on(tmp_path):
    """What was finished is not run again, nothing that it started lives on, and the bytes are the same."""
    array_set(tmp_path, copies=5)
    kept = tmp_path / "kept-killed"
    with started(tmp_path, "killed", "--jobs", 2) as (process, mark):
        batches.wait_for(lambda: list(kept.rglob("*.npz")))
        process.kill()
        process.wait()
        assert batches.gone(mark, 10) == []
    pieces = {path: path.stat().st_mtime_ns for path in kept.rglob("*.npz")}
    assert 1 <= len(pieces) < 15
    again = built(tmp_path, "killed", "--jobs", 2)
    assert again == built(tmp_path, "fresh", "--fresh")


def test_a_data_set_that_changes_meanwhile_is_refused(tmp_path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "b").mkdir()
    for number, picture in enumerate(models.images(1100)):
        name = f"{'ab'[number % 2]}/{number:04}.png"
        Image.fromarray(picture).save(tmp_path / "data" / name)
    first = tmp_path / "data" / "a" / "0000.png"
    deed = f"pathlib.Path({str(first)!r}).write_bytes(b'another')"
    (tmp_path / "once.py").write_text(once(mark=str(tmp_path / "mark"), deed=deed))
    code, err = built(
        tmp_path, "out", "--preprocess", "once:prepare", "--jobs", 2, data="data", check=False,
        model=models.saved("binary"),
    )  # fmt: skip
    assert code == 6, err
    assert "--data: what follows 0000.png is not what was there when the build began" in err
    assert not (tmp_path / "out" / "index.html").exists()


@pytest.fixture(scope="module", params=["ray", "dask"])
def running(request):
    """A cluster that runs already, bound to loopback: two nodes of Ray, or two workers of Dask."""
    with cluster(request.param) as address:
        yield request.param, address


@pytest.mark.engines
def test_a_cluster_at_an_address_gives_the_same_bytes(place, running, monkeypatch):
    folder, alone = place
    engine, address = running
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    there = ("--engine", engine, "--address", address)
    assert built(folder, f"at-{engine}", *there) == alone


@pytest.mark.engines
def test_a_worker_at_an_address_that_is_killed_costs_nothing_but_time(place, running, monkeypatch):
    folder, _ = place
    engine, address = running
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    prepare, mark = killing(folder, f"at-{engine}")
    there = ("--engine", engine, "--address", address)
    found = built(folder, f"survived-at-{engine}", *prepare, *there)
    assert mark.exists()
    assert found == pages.tree(folder / "prepared")


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory):
    """A network that gives infinities for the brightest pictures, which stand in the second shard alone."""
    folder = tmp_path_factory.mktemp("overflowing")
    start = keras.Input((8, 8, 1))
    large = layers.Conv2D(2, 1, name="large")(start)
    end = layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(layers.ReLU(6.0)(large)))
    model = keras.Model(start, end)
    model.get_layer("large").set_weights([np.array([[[[3e38, 0.1]]]]), np.zeros(2)])
    model.save(folder / "model.keras")
    x = np.random.default_rng(0).uniform(0, 1, (3000, 8, 8, 1)).astype(np.float32)
    x[1500, 2, 2] = 2.0
    np.savez(folder / "data.npz", x=x, y=np.arange(3000) % 3)
    return folder


def test_infinities_in_one_shard_change_no_byte_of_another(overflowing):
    model = overflowing / "model.keras"
    alone = built(overflowing, "alone", model=model)
    assert built(overflowing, "away", "--jobs", 2, model=model) == alone
    assert b'"non_finite":1' in alone["report.json"]


def test_a_label_that_is_not_known_is_the_same_error(tmp_path):
    array_set(tmp_path, bad_label=True)
    said = [
        built(tmp_path, f"out{jobs}", "--jobs", jobs, check=False)
        for jobs in (1, 2)
    ]  # fmt: skip
    assert said[0] == said[1]
    assert said[0][0] == 6
    assert "the label 77 of image 2500" in said[0][1].replace("'", "")


def test_what_is_in_memory_alone_runs_here_and_a_line_says_so(tmp_path, caplog):
    x, y = models.images(40), np.arange(40) % 4
    model = models.model("plain")
    options = {"data": (x, y), "sections": "evaluation", "cache": tmp_path / "kept"}
    with caplog.at_level(logging.WARNING, "reportgen"):
        made = reportgen.build_report(model, output=tmp_path / "a", jobs=2, **options)
    assert not made.failed
    assert "--jobs: the model is an object of this process" in caplog.text
    with pytest.raises(UsageError, match=r"--engine ray: the data set is an object"):
        reportgen.build_report(
            models.saved("plain"), output=tmp_path / "b", engine="ray", **options
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "ray", "address": "10.0.0.7:6379"}, "--data .*data lies on this machine"),
        (
            {
                "engine": "dask", "address": "tcp://far:8786", "custom_objects": "mine.py",
                "data": "s3://bucket/data",
            },
            "--custom-objects mine.py lies on this machine",
        ),
        ({"address": "10.0.0.7:6379"}, "choose its --engine"),
        ({"engine": "dask", "data": None}, "there is none without --data"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(options, said):
    from reportgen.settings import make_settings
    from reportgen.workers.drive import chosen_workers

    data = options.pop("data", "data")
    with pytest.raises(UsageError, match=said):
        chosen_workers(make_settings(options), "model.keras", data, None)


def test_a_worker_of_another_version_is_refused_by_name(tmp_path):
    from reportgen.cache import unpacked
    from reportgen.settings import make_settings
    from reportgen.shards import problems_in
    from reportgen.workers.task import Recipe, fold_on_worker

    recipe = Recipe(
        "0.0.1", "", "data", make_settings({}), (), (), (), {}, 4, False, None, (), None, {}
    )
    said = problems_in(unpacked(fold_on_worker(recipe, "digest", range(3), None)))[""]
    assert "and this is 0.0.1: install the same version there" in str(said)


WIDE = 26_000


def wide_piece(number):
    """Fold one image of 26,000 channels."""
    rng = np.random.default_rng(number)
    columns = [rng.normal(size=(1, WIDE)).astype(np.float32) for _ in range(5)]
    fold = ActivityFold()
    moments = Channels(columns, {"wide": (0, WIDE, 4)})
    fold.update(Batch(0, {}, {"out": np.zeros((1, 2))}, {}, moments, places=np.array([number])))
    return packed(fold.state())


def test_the_drivers_memory_is_bounded_whatever_the_number_of_shards():
    """The first shard comes last: what waits for it is no more than two windows."""
    size, window, count = len(wide_piece(0)), 8, 100
    begun = []

    def task(_recipe, _digest, shard, _identity):
        begun.append(shard.start)
        if not shard.start:
            time.sleep(1)
            assert len(begun) <= 2 * window
        return wide_piece(shard.start)

    pieces = [Piece(number, range(number, number + 1), "") for number in range(count)]
    folded = ActivityFold()
    tracemalloc.start()
    with ThreadPoolExecutor(2) as pool:
        engine = Engine(pool, 2, window, bool)
        driver = Driver(lambda *_: False, lambda _: None, bytes)
        run = _Run(engine, None, "", 0, driver, helping=False, task=task)
        for _, arrays in run.in_order(pieces):
            part = ActivityFold()
            part.load(arrays)
            folded.merge(part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert folded.images == count
    assert peak < 3 * window * size
    assert sorted(begun) == list(range(count))


def test_errors_of_our_own_come_back_as_they_are():
    from reportgen.shards import problems_as_arrays, problems_in

    given = {"a": DataError("--data: no"), "b": ZeroDivisionError("by zero")}
    found = problems_in(problems_as_arrays(given))
    assert type(found["a"]) is DataError
    assert [str(error) for error in found.values()] == ["--data: no", "by zero"]
    assert type(found["b"]).__name__ == "ZeroDivisionError"
