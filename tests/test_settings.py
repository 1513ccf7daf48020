"""Options: declared once, known everywhere, and the same from Python, from a file and on the command line."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections import UserDict
from pathlib import Path

import numpy as np
import pytest

import reportgen
from reportgen import cli
from reportgen.configuration import command_text
from reportgen.errors import UsageError
from reportgen.options import OPTIONS
from reportgen.options_table import with_table
from reportgen.settings import BuildOptions, Settings, make_settings
from reportgen.values import DEFAULT_RELEVANCE

ROOT = Path(__file__).parent.parent
SWITCHES = [option.name for option in OPTIONS.values() if option.kind == "switch"]


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Run ``reportgen build`` with a file of options and return what the build would be told."""
    monkeypatch.chdir(tmp_path)
    told = {}
    monkeypatch.setattr(cli, "_build", lambda options: told.update(options) or 0)

    def run(file, *arguments):
        Path("given.toml").write_text(file)
        told.clear()
        assert cli.run(["build", "m.keras", "--config", "given.toml", *arguments]) == 0
        return dict(told)

    return run


def test_every_option_is_known_everywhere():
    settings = set(Settings.__struct_fields__)
    assert set(BuildOptions.__annotations__) == settings
    own = set(inspect.signature(reportgen.build_report).parameters)
    only_here = {"config", "junit", "mlflow", "mlflow_run", "open", "quiet", "verbose"}
    assert set(OPTIONS) - settings == only_here | (
        own - {"model", "progress", "command", "options"}
    )
    on_the_command_line = {name for name, option in OPTIONS.items() if option.has_flag}
    assert {parameter.name for parameter in cli.build.params} == {"model"} | on_the_command_line


def test_the_defaults_of_the_help_are_those_that_hold():
    defaults = Settings()
    for name in Settings.__struct_fields__:
        value = getattr(defaults, name)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            assert OPTIONS[name].default.partition(",")[0].strip("`") == str(value), name
    assert tuple(re.findall("`(.*?)`", OPTIONS["relevance"].default)) == DEFAULT_RELEVANCE


def test_what_the_help_offers_is_taken():
    for name, option in OPTIONS.items():
        for choice in option.choices:
            assert getattr(make_settings({name: choice}), name) == choice


@pytest.mark.parametrize("name", SWITCHES)
def test_the_command_line_takes_a_switch_of_a_file_back(built, name):
    flag = name.replace("_", "-")
    assert built(f"{flag} = true")[name] is True
    assert built(f"{flag} = true", f"--no-{flag}")[name] is False
    assert built(f"{flag} = false", f"--{flag}")[name] is True
    assert name not in built("")


def test_only_what_is_typed_wins_over_a_file(built):
    file = 'title = "T"\nskip = ["weights"]\nseed = 4\nresize = "pad"'
    told = built(file, "--seed", "0", "--title", "")
    assert told == {
        "model": "m.keras",
        "title": "",
        "skip": ["weights"],
        "seed": 0,
        "resize": "pad",
    }


def test_the_command_of_a_report_names_no_folder_and_no_flag_that_there_is_not():
    shown = command_text(
        "/home/me/m.keras",
        {
            "probes": ("/home/me/a.png",),
            "custom_objects": ["/home/me/layers.py", "my.module"],
            "units": ["l:direction=/home/me/v.npy", "l:3"],
            "thresholds": {"overfitting": 0.2},
            "quick": True,
            "strict": False,
            "cache": "/home/me/kept",
        },
    )
    assert shown == (
        "reportgen build m.keras --custom-objects layers.py --custom-objects my.module --probes a.png "
        "--quick --units l:direction=v.npy --units l:3 -o OUT"
    )


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("sections", "overview, weights", ("overview", "weights")),
        ("skip", ["weights"], ("weights",)),
        ("relevance", "integrated_gradients", ("integrated-gradients",)),
        ("layers", "block*", ("block*",)),
        ("ignore", ["a", "b"], ("a", "b")),
        ("custom_objects", Path("a/layers.py"), ("a/layers.py",)),
        ("custom_objects", [Path("layers.py"), "m:C"], ("layers.py", "m:C")),
        ("target", 3, ("3",)),
        ("target", ["age", 3], ("age", "3")),
        ("meta", {"run": 7}, (("run", "7"),)),
        ("meta", ["run=7"], (("run", "7"),)),
        ("meta", [("run", 7)], (("run", "7"),)),
        ("bands", "3,2,1", (3, 2, 1)),
        ("bands", 2, (2,)),
        ("bands", [3, 2, 1], (3, 2, 1)),
        ("input_size", "12x16", (12, 16)),
        ("input_size", 12, (12, 12)),
        ("input_size", [12, 16], (12, 16)),
        ("classes", ["cat", "dog"], ("cat", "dog")),
        ("classes", np.array(["cat", "dog"]), ("cat", "dog")),
        ("classes", Path("names.txt"), "names.txt"),
        ("labels", Path("labels.csv"), "labels.csv"),
        ("labels", UserDict({"a.png": 1}), {"a.png": 1}),
        ("labels", np.array([1, 2]), (1, 2)),
        ("thresholds", UserDict({"overfitting": 1}), {"overfitting": 1.0}),
        ("caricature", 2, 2),
        ("cache", Path("kept"), "kept"),
    ],
)
def test_python_values_are_taken_as_they_come(name, given, stored):
    assert getattr(make_settings({name: given}), name) == stored


@pytest.mark.parametrize(
    "given",
    [
        {"sections": 7},
        {"meta": 7},
        {"labels": 7},
        {"quick": "x"},
        {"threshold": "0.5"},
        {"seed": 1.5},
        {"seed": None},
        {"custom_objects": [7]},
    ],
)
def test_values_of_another_kind_are_usage_errors(given):
    with pytest.raises(UsageError, match="a value that it cannot take"):
        make_settings(given)


def test_an_option_that_there_is_not_is_said_with_the_nearest():
    with pytest.raises(UsageError, match="no option 'quik'; did you mean 'quick'"):
        make_settings({"quik": True})


def test_a_type_checker_knows_the_options_of_a_call(tmp_path):
    (tmp_path / "right.py").write_text(
        "from pathlib import Path\n\nimport numpy as np\nimport reportgen\n\n"
        'options: reportgen.BuildOptions = {"quick": True, "title": None, "sections": ["overview"]}\n'
        'folder = reportgen.build_report("m.keras", output=Path("report"), **options)\n'
        "reportgen.build_report(\n"
        '    "m.keras", labels=np.zeros(3), preprocess=lambda x: x / 2, input_size=(12, 12), meta={"run": 7},\n'
        '    custom_objects=Path("layers.py"), resize="pad", cache=Path("kept"), classes=["cat", "dog"],\n'
        ")\n"
        "folder.open()\n"
    )
    (tmp_path / "wrong.py").write_text(
        "import reportgen\n\n"
        'reportgen.build_report("m.keras", quik=True)\n'
        'reportgen.build_report("m.keras", quick="x")\n'
        'reportgen.build_report("m.keras", resize="squash")\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", tmp_path / "right.py", tmp_path / "wrong.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"(right|wrong)\.py:(\d+): error: .*\[(.*)\]", done.stdout)
    assert found == [
        ("wrong", "3", "call-arg"),
        ("wrong", "4", "arg-type"),
        ("wrong", "5", "arg-type"),
    ], done.stdout + done.stderr


def test_the_readme_holds_the_table_of_the_options():
    """``python -m reportgen.options README.md`` writes it."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert with_table(text) == text
    for option in OPTIONS.values():
        shown = option.opposite if option.on else option.flag
        assert not option.has_flag or f"`{shown}" in text


def test_what_only_a_named_file_may_hold_is_documented():
    guarded = {option.name for option in OPTIONS.values() if option.needs_trust("module:function")}
    for file in ("README.md", "docs/security.md"):
        text = (ROOT / file).read_text("utf-8")
        (said,) = re.findall(r"`custom-objects`, .*?`junit`", text, re.DOTALL)
        named = {name.replace("-", "_") for name in re.findall(r"`([a-z-]+)(?: = .*?)?`", said)}
        assert named == guarded, file


def test_sequences_of_any_kind_are_options():
    made = make_settings(
        {"bands": np.array([2, 1, 0]), "classes": range(3), "target": np.arange(2)}
    )
    assert (made.bands, made.classes, made.target) == ((2, 1, 0), ("0", "1", "2"), ("0", "1"))
    assert make_settings({"input_size": np.array([8, 9])}).input_size == (8, 9)
    with pytest.raises(UsageError, match="classes takes names, or a file of them, not dict"):
        make_settings({"classes": {"a": 1}})


def test_a_value_that_is_no_choice_is_told_the_choices():
    with pytest.raises(UsageError, match="--fail-on takes error or warning, not 'eror'"):
        make_settings({"fail_on": "eror"})
