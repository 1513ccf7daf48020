"""Files of many images on workers: a file, or some row groups of one, is a part of its own."""

import datasets
import fsspec
import keras
import pages
import pytest
from keras import layers
from surveys import SECTIONS, built

from reportgen import cli

WRITERS = {
    "x.tar": datasets.as_tar,
    "x.parquet": datasets.as_parquet,
    "x.tfrecord": datasets.as_tfrecord,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    keras.utils.set_random_seed(3)
    start = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu")(start)
    made = keras.Model(start, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))
    path = tmp_path_factory.mktemp("model") / "small.keras"
    made.save(path)
    return path


@pytest.mark.parametrize("name", WRITERS)
def test_several_files_give_the_same_bytes_on_workers(tmp_path, model, name):
    stem, _, ending = name.partition(".")
    for number in range(3):
        given = datasets.samples(40, seed=number)
        WRITERS[name](tmp_path / f"{stem}-{number}.{ending}", given)
    pattern = f"{stem}-*.{ending}"
    alone = built(tmp_path, "alone", data=pattern, model=model)
    beside = built(tmp_path, "beside", "--jobs", "3", data=pattern, model=model)
    assert beside == alone
    report = pages.check_page(tmp_path / "beside")
    (evaluation,) = (s["content"] for s in report["sections"] if s["kind"] == "evaluation")
    assert evaluation["images"] == 120


def test_one_file_is_not_divided_and_a_line_says_so(tmp_path, model, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        datasets.as_tar(tmp_path / f"x-{number}.tar", datasets.samples(40, seed=number))
    build = ["build", str(model), "--cache", "kept", *SECTIONS, "--jobs", "2"]
    assert cli.run([*build, "--data", "x-*.tar", "-o", "two"]) == 0
    assert "--jobs" not in caplog.text
    said = "--jobs: the data set is one part, so it runs through the network in this process alone"
    assert cli.run([*build, "--data", "x-0.tar", "-o", "one"]) == 0
    assert caplog.text.count(said) == 1
    assert cli.run([*build, "--data", "x-0.tar", "-o", "one"]) == 0
    assert caplog.text.count(said) == 1  # nothing had to run


def test_a_file_that_ends_too_soon_is_told_by_a_worker_as_without(tmp_path, model):
    for number in range(2):
        datasets.as_tar(tmp_path / f"x-{number}.tar", datasets.samples(40, seed=number))
    whole = (tmp_path / "x-1.tar").read_bytes()
    (tmp_path / "x-1.tar").write_bytes(whole[: len(whole) // 2 + 100])
    alone = built(tmp_path, "alone", data="x-*.tar", model=model)
    assert built(tmp_path, "beside", "--jobs", "2", data="x-*.tar", model=model) == alone
    text = (tmp_path / "beside" / "report.json").read_text("utf-8")
    assert "What follows in the file is not read" in text


def test_a_folder_in_a_store_is_read_by_workers_and_what_is_kept_of_it_is_found_again(
    tmp_path, model, monkeypatch
):
    """Each build copies it anew; the files are told apart by what the store says of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    system = fsspec.filesystem("memory")
    for key, png, label in datasets.samples(1500):
        system.pipe_file(f"/pictures/{label}/{key}.png", png)
    build = ["build", str(model), "--data", "memory://pictures", "--cache", "kept", *SECTIONS]
    assert cli.run([*build, "-o", "beside", "--jobs", "2"]) == 0
    kept = [path.name for path in (tmp_path / "kept").rglob("*.npz")]
    assert cli.run([*build, "-o", "alone"]) == 0
    assert [path.name for path in (tmp_path / "kept").rglob("*.npz")] == kept
    assert len(kept) == 1
    assert pages.tree(tmp_path / "alone") == pages.tree(tmp_path / "beside")
    system.rm("/pictures", recursive=True)
