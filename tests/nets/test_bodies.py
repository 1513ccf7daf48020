"""Weights of one file in the architecture of another: they fit, or the weight that does not is named."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pages
import pytest
import zoo

sys.path.insert(0, str(Path(__file__).with_name("migration")))
from old_files import drawn, layer, sequential, write_h5

from reportgen import build_report
from reportgen.errors import InputError, NotBuiltError, UsageError
from reportgen.nets.loading import load_model
from reportgen.nets.stored import read_stored

GIVEN = drawn(5, 4, seed=3)


def network(*units, use_bias=True):
    """Return Dense layers of these units, called d0, d1 …"""
    rows = [keras.layers.Dense(n, name=f"d{k}", use_bias=use_bias) for k, n in enumerate(units)]
    return keras.Sequential([keras.Input((4,)), *rows])


def two_files(folder, weights, body, ending="keras"):
    """Write the weights of one network and the whole of another; return both paths."""
    weights.save_weights(folder / "only.weights.h5")
    body.save(folder / f"body.{ending}")
    return folder / "only.weights.h5", str(folder / f"body.{ending}")


# -- they fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_weights_in_the_architecture_of_another_file_answer_as_their_own_model(tmp_path, ending):
    model = network(3, 2)
    path, body = two_files(tmp_path, model, network(3, 2), ending)
    loaded = load_model(path, like=body)
    np.testing.assert_allclose(loaded.model(GIVEN), model(GIVEN), rtol=1e-6)
    assert loaded.origin.notes == (f"Its architecture is that of body.{ending}",)


def test_weights_of_keras_2_take_the_architecture_of_keras_2_or_3(tmp_path):
    held = {"d0": {"d0/kernel:0": drawn(4, 3), "d0/bias:0": drawn(3)}}
    path = write_h5(tmp_path / "weights.h5", None, held, version="2.4.0")
    config = sequential(layer("Dense", "d0", units=3, batch_input_shape=[None, 4]))
    other = {"d0": {"d0/kernel:0": drawn(4, 3, seed=9), "d0/bias:0": drawn(3, seed=8)}}
    old = write_h5(tmp_path / "old.h5", config, other, version="2.4.0")
    network(3).save(tmp_path / "new.keras")
    for body in (old, tmp_path / "new.keras"):
        answer = load_model(path, like=str(body)).model(GIVEN)
        np.testing.assert_allclose(
            answer, GIVEN @ held["d0"]["d0/kernel:0"] + held["d0"]["d0/bias:0"], rtol=1e-5
        )


@pytest.mark.parametrize(
    "name",
    [name for name in zoo.ZOO if not name.startswith("subclassed") and name != "tied"],
)
def test_no_network_is_kept_from_its_own_weights(tmp_path, name):
    """Also not for the state of random layers or quantized weights; classes of ours cannot all be saved."""
    model = zoo.make(name)
    if not model.built:
        model.build((None, 8, 8, 3))
    path, body = two_files(tmp_path, model, model)
    try:
        whole = load_model(Path(body))
    except NotBuiltError:
        with pytest.raises(NotBuiltError):  # for the same reason, not for its weights
            load_model(path, like=body)
        return
    found = load_model(path, like=body).model.get_weights()
    for own, same in zip(whole.model.get_weights(), found, strict=True):
        np.testing.assert_array_equal(own, same)


# -- they do not ---------------------------------------------------------------------------------------

MISFITS = {
    "other shape": (network(3, 2), network(3, 5), r"'d1/kernel' has the shape \(3, 5\) there, and \(3, 2\) in"),
    "missing": (network(3), network(3, 2), r"holds no weight 'd1/kernel' of the shape \(3, 2\)"),
    "left over": (network(3, 2), network(3), r"holds a weight '[\w/]+' of the shape \(3, 2\), which it do"),
    "without a bias": (network(3), network(3, use_bias=False), r"a weight 'd0/[\w]+' of the shape \(3,\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_named_with_its_shapes(tmp_path, name):
    weights, body, phrase = MISFITS[name]
    path, like = two_files(tmp_path, weights, body)
    with pytest.raises(NotBuiltError, match=f"do not fit the architecture.*{phrase}"):
        load_model(path, like=like)


def test_weights_of_keras_2_that_do_not_fit_are_named_as_well(tmp_path):
    held = {"d0": {"d0/kernel:0": drawn(4, 3), "d0/bias:0": drawn(3)}}
    path = write_h5(tmp_path / "weights.h5", None, held, version="2.4.0")
    network(5).save(tmp_path / "new.keras")
    phrase = r"'kernel' of the layer 'd0' has the shape \(4, 5\), and \(4, 3\) in the file"
    with pytest.raises(NotBuiltError, match=f"do not fit the architecture.*{phrase}"):
        load_model(path, like=str(tmp_path / "new.keras"))


def test_a_page_is_made_all_the_same_and_says_it(tmp_path):
    path, like = two_files(tmp_path, network(3, 2), network(3, 5))
    build_report(path, output=tmp_path / "out", like=like)
    report = pages.check_page(tmp_path / "out")
    assert "(3, 5) there, and (3, 2) in the file" in report["sections"][0]["notices"][-1]["text"]
    assert pages.content(report, "weights")["count"] == 23


def test_an_architecture_that_is_not_theirs_says_nothing_on_the_page(tmp_path):
    """Nobody reads of layers that the weights do not belong to."""
    other = keras.Sequential([keras.Input((7,)), keras.layers.Dense(9, name="foreign")])
    path, like = two_files(tmp_path, network(3, 2), other)
    build_report(path, output=tmp_path / "out", like=like)
    text = pages.page_text(tmp_path / "out")
    assert "do not fit the architecture" in text
    report = pages.check_page(tmp_path / "out")
    shown = [row["path"] for row in pages.content(report, "architecture")["layers"]]
    assert not [path for path in shown if "foreign" in path]
    assert {row["layer"] for row in pages.content(report, "weights")["variables"]} == set(shown)


# -- none is trusted -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")
def test_an_architecture_with_code_is_refused(tmp_path):
    coded = keras.Sequential(
        [keras.Input((4,)), keras.layers.Lambda(lambda x: x), keras.layers.Dense(3)]
    )
    path, like = two_files(tmp_path, network(3), coded)
    with pytest.raises(NotBuiltError, match=r"carries Python code.*--allow-code"):
        load_model(path, like=like)


def test_what_gives_no_architecture_is_said(tmp_path):
    path, like = two_files(tmp_path, network(3), network(3))
    with pytest.raises(InputError, match="--like: There is no model file"):
        read_stored(path, like=str(tmp_path / "none.keras"))
    with pytest.raises(InputError, match="holds no architecture itself"):
        read_stored(path, like=str(path))
    with pytest.raises(UsageError, match="--like is for files that hold weights only"):
        read_stored(Path(like), like=like)
    with pytest.raises(UsageError, match="give one of them"):
        read_stored(path, "body.json", like)
