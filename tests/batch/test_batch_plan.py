"""Which reports a batch makes, and what its file may not say."""

from __future__ import annotations

import sys

import batches
import pytest

from reportgen import cli
from reportgen.batch.plan import Job, check_reach, plan
from reportgen.errors import ConfigurationError, ModelError, UsageError


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def names(*models):
    return [job.name for job in plan(models, {}, {})]


# -- patterns --------------------------------------------------------------------------------------


def test_a_report_is_named_after_its_place_in_the_pattern(tmp_path):
    for folder in ("runs/a", "runs/b/best", "runs"):
        batches.copies(tmp_path / folder, "model 10", "model 9")
    assert names("runs/*.keras") == ["model 9", "model 10"]
    assert names("runs/a/model 9.keras") == ["model 9"]
    assert names("runs/*/model 9.keras") == ["a/model 9"]
    assert names("runs/**/model 9.keras") == ["a/model 9", "b/best/model 9", "model 9"]
    assert names("runs/a/*", "runs/a/model 9.keras") == ["model 9", "model 10"]


def test_endings_of_models_are_left_out_and_others_stay(tmp_path):
    for name in ("a.weights.h5", "b.hdf5", "c.weights.json", "d.v2", "e.KERAS"):
        (tmp_path / name).touch()
    (tmp_path / "saved.1").mkdir()
    (tmp_path / "saved.1" / "saved_model.pb").touch()
    (tmp_path / "folder").mkdir()
    assert names("*") == ["a", "b", "c", "d.v2", "e", "saved.1"]


def test_two_reports_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        batches.copies(tmp_path / folder, "model")
    with pytest.raises(UsageError, match=r"both be reported in 'model'.*quote a pattern"):
        names("a/model.keras", "b/model.keras")


@pytest.mark.parametrize("name", ["assets", "index.html", "runs.jsonl", ".hidden", "a\\b", "a\nb"])
def test_names_that_a_report_cannot_have(tmp_path, name):
    batches.copies(tmp_path, name)
    with pytest.raises(UsageError, match="Name it in a TOML file"):
        names(f"{name.replace(chr(92), '?')}.keras")


def test_a_pattern_that_matches_nothing():
    with pytest.raises(ModelError, match=r"No model matches 'runs/\*\.keras'"):
        names("runs/*.keras")
    with pytest.raises(ModelError, match=r"There is no model none\.keras"):
        names("none.keras")


def test_a_model_beside_a_folder_of_its_name_keeps_its_ending(tmp_path):
    """Else its report would lie around theirs."""
    batches.copies(tmp_path / "runs", "a", "b")
    batches.copies(tmp_path / "runs" / "a", "model")
    assert names("runs/**/*.keras") == ["a.keras", "a/model", "b"]

    batches.copies(tmp_path / "runs", "a.keras")
    with pytest.raises(UsageError, match=r"'a\.keras' and 'a\.keras' would lie in one folder"):
        names("runs/**/*.keras")


@pytest.mark.parametrize("how", ["pattern", "file"])
def test_names_that_differ_by_case_alone_are_refused(tmp_path, how):
    batches.copies(tmp_path / "first", "Net")
    batches.copies(tmp_path / "second", "net")
    tables = '[Net]\nmodel = "first/Net.keras"\n[net]\nmodel = "second/net.keras"\n'
    (tmp_path / "spec.toml").write_text(tables)
    given = ["spec.toml"] if how == "file" else ["first/Net.keras", "second/net.keras"]
    with pytest.raises(UsageError, match="'Net' and 'net' would lie in one folder"):
        plan(given, {}, {})


def test_options_of_the_command_line_hold_for_all_and_count_from_here(tmp_path):
    batches.copies(tmp_path, "a")
    (job,) = plan(
        ["a.keras"], {"probes": ("photos", "more/*.png"), "quick": True}, {"seed": 3, "title": "x"}
    )
    assert job.model == str(tmp_path / "a.keras")
    shown = [str(tmp_path / "photos"), str(tmp_path / "more/*.png")]
    assert job.options == {"probes": shown, "quick": True, "seed": 3}


# -- a file ----------------------------------------------------------------------------------------


def test_a_table_a_report(tmp_path):
    place = batches.copies(tmp_path / "specs", "a", "b")
    (place / "spec.toml").write_text(
        '[defaults]\nprobes = "photos"\nquick = true\nseed = 1\nmeta = { team = "x", run = 0 }\n'
        '["net a"]\nmodel = "a.keras"\ntitle = "A"\nhistory = "a.csv"\nmeta = { run = 1 }\n'
        '[b]\nmodel = "b.keras"\nquick = false\nprobes = ["s3://bucket/p.png", "b.png"]\n'
        'data = "data"\ncustom-objects = ["own.py"]\nthresholds = { dead = 0.5 }\n'
    )
    first, second = plan(["specs/spec.toml"], {"seed": 2, "meta": ("commit=3f",)}, {"quick": False})
    assert first == Job(
        "net a",
        str(place / "a.keras"),
        {
            "probes": str(place / "photos"),
            "quick": True,
            "seed": 2,
            "meta": {"team": "x", "run": "1", "commit": "3f"},
            "title": "A",
            "history": str(place / "a.csv"),
        },
    )
    assert second.options["quick"] is False
    assert second.options["probes"] == ["s3://bucket/p.png", str(place / "b.png")]
    assert second.options["custom_objects"] == [str(place / "own.py")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a\n", r"spec\.toml cannot be read"),
        (
            'quick = true\n[a]\nmodel = "a.keras"',
            r"'quick' stands outside of a table.*\[defaults\]",
        ),
        ("[defaults]\nquick = true", "names no report"),
        ("[a]\nquick = true", r'\[a\] names no model, as in model = "a\.keras"'),
        ("[a]\nmodel = 3", r"\[a\] names no model"),
        ('[a]\nmodel = "gone.keras"', r"\[a\] model: there is no .*gone\.keras"),
        ('[a]\nmodel = "a.keras"\nprobez = "x"', r"\[a\] has the option 'probez'.*mean 'probes'"),
        (
            '[a]\nmodel = "a.keras"\nopen = true',
            r"\[a\] has the option 'open', which a batch does not take",
        ),
        ('[a]\nmodel = "a.keras"\noutput = "x"', r"'output', which a batch does not take"),
        ('[defaults]\nmodel = "a.keras"', r"\[defaults\] has the option 'model'"),
        ('[a]\nmodel = "a.keras"\nmax-probes = 0', r"\[a\]: --max-probes must be at least 1"),
        ('[a]\nmodel = "a.keras"\nresize = "x"', r"\[a\]: --resize takes stretch or crop or pad"),
        ('[a]\nmodel = "a.keras"\nprobes = 3', r"\[a\] probes cannot be 3"),
        ('["a/b"]\nmodel = "a.keras"', r"\[a/b\] cannot be a folder's name: it holds a '/'"),
        ('[".."]\nmodel = "a.keras"', r"\[\.\.\] cannot be a folder's name"),
        ('[assets]\nmodel = "a.keras"', r"\[assets\] cannot be a folder's name"),
        ('[""]\nmodel = "a.keras"', "cannot be a folder's name"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, capsys, text, said):
    batches.copies(tmp_path, "a")
    (tmp_path / "spec.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        plan(["spec.toml"], {}, {})
    assert cli.run(["batch", "spec.toml", "-o", "out"]) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_file_stands_alone(tmp_path):
    batches.copies(tmp_path, "a")
    with pytest.raises(UsageError, match=r"spec\.toml alone"):
        plan(["spec.toml", "a.keras"], {}, {})


# -- workers elsewhere -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, None),
        ({"probes": ["s3://b/p.png", "/home/x/p.png"]}, "--probes /home/x/p.png"),
        ({"history": "/h.csv"}, "--history /h.csv"),
        ({"custom_objects": ["/own.py"]}, "--custom-objects /own.py"),
        ({"custom_objects": ["installed.module"], "cache": "/cache"}, None),
    ],
)
def test_files_of_this_machine_are_refused_by_name(options, named):
    job = Job("a", "s3://bucket/a.keras", options)
    check_reach([job], "127.0.0.1:6379")
    if named is None:
        check_reach([job], "10.0.0.7:6379")
        return
    with pytest.raises(UsageError) as caught:
        check_reach([job], "10.0.0.7:6379")
    assert str(caught.value).startswith(f"{named} lies on this machine")
    assert "10.0.0.7:6379" in str(caught.value)


def test_a_model_of_this_machine_is_refused_before_anything_is_begun(tmp_path, capsys):
    batches.copies(tmp_path, "a")
    arguments = ["batch", "a.keras", "-o", "out", "--engine", "ray", "--address", "10.0.0.7:6379"]
    assert cli.run(arguments) == 2
    err = capsys.readouterr().err
    assert f"the model {tmp_path / 'a.keras'} lies on this machine" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_an_engine_that_is_not_installed_is_one_line(tmp_path, capsys, monkeypatch, engine):
    for module in ("ray", "dask", "distributed"):
        monkeypatch.setitem(sys.modules, module, None)
    batches.copies(tmp_path, "a")
    assert cli.run(["batch", "a.keras", "-o", "out", "-q", "--engine", engine]) == 1
    out, err = capsys.readouterr()
    said = f"needs what is not installed: pip install 'keras-reportgen[{engine}]'."
    assert (out, err) == ("", f"reportgen: --engine {engine} {said}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "s3://bucket/out"), "-o takes a folder of this machine"),
        ((), "Give the folder of all reports with -o ROOT"),
        (("-o", "out", "--jobs", "0"), "--jobs must be at least 1"),
        (("-o", "out", "--memory", "0"), "--memory must be at least 1"),
        (("-o", "out", "--timeout", "-1"), "--timeout takes seconds"),
        (("-o", "out", "--retries", "-1"), "--retries takes 0 to 100"),
        (("-o", "out", "--address", "10.0.0.7:1"), "lies on this machine"),
        (("-o", "out", "--address", "127.0.0.1:1"), "choose its --engine"),
        (("-o", "out", "--engine", "spark"), "'spark' is not one of"),
        (("-o", "out", "--seed", "-1"), "--seed takes 0 to"),
    ],
)
def test_usage(tmp_path, capsys, arguments, said):
    batches.copies(tmp_path, "a")
    assert cli.run(["batch", "a.keras", "-q", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
