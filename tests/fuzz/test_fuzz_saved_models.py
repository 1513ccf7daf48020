"""SavedModels and weights in several files: whatever their bytes are, they are read or refused."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import shutil
import sys
from pathlib import Path

import keras
import models
from fuzzing import SECONDS, bounded, cases, damaged, ending_in
from hypothesis import given
from hypothesis import strategies as st

from reportgen.errors import ModelError, NotBuiltError
from reportgen.nets.loading import load_model
from reportgen.nets.saved_model_reader import main
from reportgen.nets.stored import read_stored
from reportgen.nets.stored_network import StoredNetwork

sys.path.insert(0, str(Path(__file__).parents[1] / "nets"))
from saved_files import as_graph, described, node, write_saved_model

DENSE = {"name": "d", "units": 2, "batch_input_shape": [None, 3]}
CONFIG = {
    "class_name": "Sequential",
    "config": {"name": "s", "layers": [{"class_name": "Dense", "config": DENSE}]},
}
DESCRIPTION = node("root", "_tf_keras_sequential", described(CONFIG))


@given(damaged([DESCRIPTION]), damaged([as_graph(described(CONFIG))]))
@cases(60, 20_000)
def test_damaged_descriptions(tmp_path_factory, metadata, graph):
    """What is printed is JSON: a description, nothing, or the reason."""
    folder = tmp_path_factory.getbasetemp() / "described"
    folder.mkdir(exist_ok=True)
    for name, content in (("saved_model.pb", graph), ("keras_metadata.pb", metadata)):
        for other in folder.iterdir():
            other.unlink()
        (folder / name).write_bytes(content)
        with bounded(), contextlib.redirect_stdout(io.StringIO()) as printed:
            main(str(folder), "100000")
        said = json.loads(printed.getvalue())
        assert said == {} or said.keys() & {"config", "problem"}


@functools.cache
def saved():
    """Return the folder of a small SavedModel."""
    values = {"kernel": [[0.5, 1.0]] * 3, "bias": [0.0, 1.0]}
    return write_saved_model(models.place() / "fuzzed_saved", CONFIG, [values])


def read_or_refuse(path, seconds):
    with bounded(seconds), ending_in(ModelError):
        try:
            load_model(path)
        except NotBuiltError:  # then what it stores is shown
            for _ in StoredNetwork(path, read_stored(path), "fuzzed").variables():
                pass


def test_the_saved_model_of_the_corpus_is_built():
    assert load_model(saved()).model.count_params() == 8


@given(st.data())
@cases(3, 200)
def test_damaged_saved_models(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "saved"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(saved(), folder)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    path = folder / data.draw(st.sampled_from(files))
    path.write_bytes(data.draw(damaged([path.read_bytes()])))
    read_or_refuse(folder, 12 * SECONDS)  # TensorFlow is imported twice


@functools.cache
def sharded():
    """Return the bytes of the files of a small network's weights, by name."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    folder = models.place() / "fuzzed_shards"
    folder.mkdir()
    model.save_weights(folder / "w.weights.json", max_shard_size=1e-7)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@given(st.data())
@cases(5, 400)
def test_damaged_weights_in_several_files(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "shards"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in sharded().items():
        (folder / name).write_bytes(content)
    path = folder / data.draw(st.sampled_from(sorted(sharded())))
    path.write_bytes(data.draw(damaged([path.read_bytes()])))
    read_or_refuse(folder / "w.weights.json", 4 * SECONDS)
