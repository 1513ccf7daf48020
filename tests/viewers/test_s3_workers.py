"""A data set in S3 that workers read, each its own files: the bytes of one process, and of the files here."""

from __future__ import annotations

import keras
import pytest
from datasets import WRITERS, samples
from keras import layers
from surveys import built, cluster

FILES = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    keras.utils.set_random_seed(3)
    start = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(start))
    path = tmp_path_factory.mktemp("model") / "small.keras"
    keras.Model(start, layers.Dense(3, activation="softmax")(layers.Flatten()(x))).save(path)
    return path


def put_files(system, place, kind):
    """Put the files of a data set into the store; those that lie here are the same."""
    for number in range(FILES):
        made = WRITERS[f"x.{kind}"](place / f"x-{number}.{kind}", samples(40, seed=number))
        system.pipe_file(f"bucket/large/{made.name}", made.read_bytes())
    return f"s3://bucket/large/x-*.{kind}"


@pytest.mark.parametrize("kind", ["tar", "parquet", "tfrecord"])
def test_workers_read_their_files_from_the_store(bucket, tmp_path, model, kind):
    there = put_files(bucket, tmp_path, kind)
    beside = built(tmp_path, "beside", "--jobs", 2, data=there, model=model)
    assert beside == built(tmp_path, "alone", data=there, model=model)
    assert beside == built(tmp_path, "here", data=f"x-*.{kind}", model=model)
    assert b'"images":160' in beside["report.json"]


@pytest.mark.parametrize("kind", ["tar", "parquet", "tfrecord"])
@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_workers_at_an_address_read_their_files_from_the_store(
    bucket, tmp_path, model, engine, kind, monkeypatch
):
    there = put_files(bucket, tmp_path, kind)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with cluster(engine) as address:
        at = ("--engine", engine, "--address", address)
        found = built(tmp_path, "away", *at, data=there, model=model)
    assert found == built(tmp_path, "here", data=f"x-*.{kind}", model=model)


SWAPS = """
import fsspec

calls = 0

def prepare(images):
    global calls
    calls += 1
    if calls == 3:
        system = fsspec.filesystem("s3")
        for path in system.find("bucket/large"):
            held = system.cat_file(path)
            system.pipe_file(path, held[:-1] + b"?")
    return images
"""


def test_a_file_that_is_replaced_in_the_store_while_it_is_read_is_refused(bucket, tmp_path, model):
    there = put_files(bucket, tmp_path, "tar")
    (tmp_path / "swaps.py").write_text(SWAPS)
    prepare = ("--preprocess", "swaps:prepare")
    code, err = built(tmp_path, "out", *prepare, data=there, model=model, check=False)
    assert code == 6, err
    assert "--data: what follows x-" in err
    assert "is not what was there when the build began" in err
