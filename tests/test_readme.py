"""What the README says is true: its Python runs as it stands, and its command lines are understood."""

from __future__ import annotations

import re
import shlex
import webbrowser
from functools import partial
from pathlib import Path

import click
import keras
import models
import numpy as np
import pytest
import tensorflow as tf
import yaml

import reportgen
from reportgen import cli
from reportgen.inputs.card import read_card
from reportgen.report.card import TITLES
from reportgen.report.model import read_report

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
CALLS, CALLBACK, _ = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^reportgen (.*?)(?: +#.*)?$", README.replace("\\\n", " "), re.MULTILINE)


def two_headed():
    """A network with the two outputs that the README names, whose training is over at once."""
    entry = keras.Input((12, 12, 3))
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu")(entry))
    kind = keras.layers.Dense(2, "softmax", name="kind")(x)
    made = keras.Model(entry, {"kind": kind, "age": keras.layers.Dense(1, name="age")(x)})
    made.fit = lambda *_: {"loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}
    return made


def test_the_calls_from_python(tmp_path, monkeypatch):
    """Few sections, so that it takes seconds; the code is the README's."""
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    kinds = ("overview", "evaluation", "probes", "history")
    monkeypatch.setattr(reportgen, "build_report", partial(reportgen.build_report, sections=kinds))
    pictures, labels = models.images(10), np.arange(10) % 2
    names = {
        "model": two_headed(),
        "x_test": pictures,
        "y_test": labels,
        "y1": labels,
        "y2": np.linspace(20, 60, 10),
        "images": pictures[:4],
        "labels": labels[:4],
        "dataset": tf.data.Dataset.from_tensor_slices(pictures).batch(4),
    }
    names["model"].save("model.keras")
    exec(CALLS, names)  # noqa: S102 - it is the README's
    assert len(read_report(tmp_path / "report").sections) == len(kinds)
    assert opened == [names["folder"].index.resolve().as_uri()]


def test_the_callback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = keras.Input((12, 12, 3))
    made = keras.Model(entry, keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(entry)))
    made.compile("sgd", "sparse_categorical_crossentropy")
    made.fit = partial(made.fit, verbose=0)
    pictures, labels = models.images(10) / np.float32(255), np.arange(10) % 2
    given = {"model": made, "x_test": pictures[:2], "x_train": pictures, "y_train": labels}
    exec(CALLBACK, given)  # noqa: S102 - it is the README's
    assert [one.path.name for one in given["report"].reports] == ["002", "003"]
    assert (tmp_path / "reports" / "latest" / "index.html").is_file()


def test_the_files_of_services_are_yaml_and_call_what_there_is():
    """``docs/attach.md``: what runs nowhere here is at least well formed."""
    text = (Path(__file__).parent.parent / "docs" / "attach.md").read_text("utf-8")
    for block in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        assert yaml.safe_load(block)
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        compile(block, "attach.md", "exec")
    lines = re.findall(r"^ +(?:- )?reportgen (.*?)(?: >> .*)?$", text, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        test_the_command_lines_are_understood(line.replace('"$PAGES"', "https://example.org"))


@pytest.mark.parametrize("line", COMMANDS)
def test_the_command_lines_are_understood(line):
    name, *arguments = shlex.split(line)
    command = cli.cli.commands[name]
    with command.make_context(name, arguments) as context:
        assert isinstance(context, click.Context)


def test_the_model_card_is_one_and_names_every_key(tmp_path):
    (text,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "card.yaml").write_text(text, "utf-8")
    card = read_card(tmp_path / "card.yaml")
    assert len(card.texts()) == len(TITLES)
    assert card.version == ("1.10",)
