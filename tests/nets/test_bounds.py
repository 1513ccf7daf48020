"""What a model file may ask for: more weights than it stores, tensors without end, or time."""

from __future__ import annotations

import contextlib
import json
import resource
import time
import zipfile
from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

import reportgen
from reportgen.errors import ModelError
from reportgen.nets import loading
from reportgen.nets.bounds import bounded_weights, in_time
from reportgen.nets.loading import load_model


def changed(path, change):
    """Rewrite the configuration of a saved model."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config["config"]["layers"])
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def saved(path, *inner):
    keras.Sequential([keras.Input((1_000,)), *inner, layers.Dense(4, name="wide")]).save(path)
    return path


def of(stored, name):
    return next(layer["config"] for layer in stored if layer["config"].get("name") == name)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_weights_that_are_declared_and_not_stored_are_refused_before_they_are_made(tmp_path):
    path = saved(tmp_path / "wide.keras")
    changed(path, lambda stored: of(stored, "wide").update(units=1_000_000))
    before, began = peak(), time.monotonic()
    with pytest.raises(ModelError, match=r"wide.keras is not built: it declares weights of 3,8"):
        load_model(path)
    assert peak() - before < 500 * 2**20
    assert time.monotonic() - began < 30


def test_many_small_declarations_add_up(tmp_path):
    path = saved(tmp_path / "many.keras", *(layers.Dense(8, name=f"d{k}") for k in range(40)))

    def widen(stored):
        for layer in stored[1:]:
            layer.pop("build_config", None)
            if layer["config"]["name"] != "wide":
                layer["config"]["units"] = 4_000

    changed(path, widen)
    with pytest.raises(ModelError, match="declares weights of"):
        load_model(path)


def test_a_file_that_stores_in_a_smaller_type_is_loaded(tmp_path):
    """Half floats and eight-bit kernels take less in the file than in memory."""
    big = keras.Sequential([layers.Dense(6_000)])
    big.build((None, 4_000))
    big.layers[0].quantize("int8")
    big.save(tmp_path / "int8.keras")
    assert load_model(tmp_path / "int8.keras").model.count_params() > 24_000_000


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (layers.RepeatVector(3, name="odd"), "'odd' gives 1,000,000,000,000 values for one image"),
        (layers.ZeroPadding1D(1, name="odd"), "'odd' gives"),
    ],
)
def test_tensors_without_end_are_refused(tmp_path, layer, said):
    path = tmp_path / "long.keras"
    start = [layers.Reshape((1_000, 1))] if "Padding" in type(layer).__name__ else []
    model = keras.Sequential([keras.Input((1_000,)), *start, layer, layers.GlobalMaxPooling1D()])
    model.save(path)
    huge = {"n": 10**9} if "Repeat" in type(layer).__name__ else {"padding": [10**10, 10**10]}
    changed(path, lambda stored: of(stored, "odd").update(huge))
    with pytest.raises(ModelError, match=said):
        load_model(path)


@pytest.mark.parametrize("shape", [[None, 10**9, 10**3], [10**12, 1_000]])
def test_inputs_without_end_are_refused(tmp_path, shape):
    path = saved(tmp_path / "input.keras")
    changed(path, lambda stored: stored[0]["config"].update(batch_shape=shape))
    with pytest.raises(ModelError, match=r"its batch_shape .* has more than"):
        load_model(path)


def test_tracing_without_end_is_given_up(tmp_path, monkeypatch):
    """An unrolled LSTM of fifty thousand steps is that many copies of its graph."""
    path = tmp_path / "unrolled.keras"
    keras.Sequential([keras.Input((4, 2)), layers.LSTM(2, unroll=True)]).save(path)
    changed(path, lambda stored: stored[0]["config"].update(batch_shape=[None, 50_000, 2]))
    monkeypatch.setattr(loading, "BUILD_SECONDS", 2)
    began = time.monotonic()
    with pytest.raises(ModelError, match="Tracing the network took longer than"):
        reportgen.build_report(path, output=tmp_path / "out")
    assert time.monotonic() - began < 60
    assert not (tmp_path / "out").exists()


def test_live_weights_made_meanwhile_by_nobody_else_are_as_before():
    original = keras.Variable.__init__
    with pytest.raises(ModelError, match="declares weights"), bounded_weights(0):
        layers.Dense(10**9).build((None, 10**3))
    assert keras.Variable.__init__ is original
    layer = layers.Dense(3)
    layer.build((None, 2))
    assert layer.kernel.shape == (2, 3)


def wait_for_ever():
    while True:
        time.sleep(0.01)


def test_a_block_in_time_is_left_alone_and_nothing_is_raised_later():
    assert in_time(0.2, "it", np.arange(10).sum) == 45
    time.sleep(0.4)
    with pytest.raises(ModelError, match="waiting took longer than 0 seconds"):
        in_time(0.1, "waiting", wait_for_ever)
    assert sum(range(1_000)) == 499_500


def test_a_limit_that_falls_on_the_end_of_its_block_is_an_error_of_ours_or_none():
    for k in range(400):
        with contextlib.suppress(ModelError):
            in_time(0.0005, "it", partial(time.sleep, 0.0003 + k % 40 * 1e-5))
