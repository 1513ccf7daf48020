"""Files of many images on workers: a file, or some row groups of one, is a part of its own."""

import datasets
import keras
import pages
import pytest
from keras import layers
from test_workers import built

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


def test_a_file_that_ends_too_soon_is_told_by_a_worker_as_without(tmp_path, model):
    for number in range(2):
        datasets.as_tar(tmp_path / f"x-{number}.tar", datasets.samples(40, seed=number))
    whole = (tmp_path / "x-1.tar").read_bytes()
    (tmp_path / "x-1.tar").write_bytes(whole[: len(whole) // 2 + 100])
    alone = built(tmp_path, "alone", data="x-*.tar", model=model)
    assert built(tmp_path, "beside", "--jobs", "2", data="x-*.tar", model=model) == alone
    text = (tmp_path / "beside" / "report.json").read_text("utf-8")
    assert "What follows in the file is not read" in text
