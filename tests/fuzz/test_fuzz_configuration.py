"""Options in files: whatever a TOML file holds, a build refuses it in one line and writes nothing."""

from __future__ import annotations

import json

import pytest
from fuzzing import LEAVES, bounded, cases, damaged, trees
from hypothesis import given
from hypothesis import strategies as st

from reportgen import cli

WHOLE = """
# all kinds of options
[tool.reportgen]
probes = ["a/*.png", "b"]
max-probes = 4
classes = ["cat", "dog"]
input-size = "12x12"
threshold = 0.25
hide-names = true
title = "T"
ignore = ["plateau", "near-zero-filters:conv*"]
fail-on = "warning"
sections = ["overview", "weights"]
budget = 1.5

[tool.reportgen.thresholds]
overfitting = 0.2

[tool.reportgen.meta]
data = "test"
"""
CORPUS = (
    WHOLE.encode(),
    WHOLE.replace("[tool.reportgen]", "").replace("tool.reportgen.", "").encode(),
    b'[project]\nname = "other"\n[tool.ruff]\nline-length = 100\n[[tool.mypy.overrides]]\nmodule = "x"\n',
    b"tool.reportgen.seed = 0x10\ntool.reportgen.target = [1, 2.5]\n",
    b"units = ['a:1@centre', \"conv:direction=f.npy\"]\nmeta = [['a', 'b']]\ncache = '.'\njunit = 'j.xml'\n",
)
NAMES = [parameter.name.replace("_", "-") for parameter in cli.build.params] + [
    "thresholds",
    "open",
]
DATES = st.dates() | st.times() | st.datetimes()


def toml(value):
    """Write a value as TOML does; what it has no form for becomes a text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text(k)} = {toml(v)}" for k, v in value.items()) + "}"
    return value.isoformat() if hasattr(value, "isoformat") else text(str(value))


def text(value):
    return json.dumps(value.encode("utf-8", "replace").decode()).replace("\x7f", "\\u007f")


def refused(capsys, folder, content, file):
    """The model is missing: whatever the file says, no build gets further."""
    path = folder / file
    path.write_bytes(content)
    named = [] if file == "pyproject.toml" else ["--config", file]
    capsys.readouterr()
    with bounded():
        code = cli.run(["build", "missing.keras", "-o", "out", "-q", *named])
    said = capsys.readouterr().err.strip()
    assert code in {5, 6}, said
    assert len(said.splitlines()) == 1
    assert [one.name for one in folder.iterdir()] == [file]
    path.unlink()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    return tmp_path


FILES = st.sampled_from(("pyproject.toml", "given.toml"))


@pytest.mark.parametrize("file", ["pyproject.toml", "given.toml"])
def test_the_corpus_is_read(folder, capsys, file):
    for content in CORPUS:
        refused(capsys, folder, content, file)


@given(damaged(CORPUS), FILES)
@cases(60, 8_000)
def test_damaged_configurations(folder, capsys, content, file):
    refused(capsys, folder, content, file)


@given(st.dictionaries(st.sampled_from(NAMES), trees(LEAVES | DATES, 6), max_size=3), FILES)
@cases(100, 8_000)
def test_options_of_any_kind(folder, capsys, options, file):
    lines = [f"{name} = {toml(value)}" for name, value in options.items()]
    refused(capsys, folder, "\n".join(["[tool.reportgen]", *lines]).encode(), file)
