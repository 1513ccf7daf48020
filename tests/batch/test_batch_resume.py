"""What a batch makes, what it leaves alone the next time, and what its journal says."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import batches
import keras
import models
import pages
import pytest
from PIL import Image

from reportgen import build_report, cli
from reportgen.errors import LockedError
from reportgen.page.output import locked
from reportgen.report.runs import Run, append_run

LIGHT = ("--weights-only", "--sections", "overview")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    monkeypatch.setenv("PYTHONPATH", models.environment()["PYTHONPATH"])


def batch(capsys, *arguments):
    """Run a batch in this process; return its exit code and the names that its journal has got since."""
    before = len(batches.lines(batches.Path("out")))
    capsys.readouterr()
    code = cli.run(["batch", *map(str, arguments), "-o", "out"])
    return code, sorted(line["name"] for line in batches.lines(batches.Path("out"))[before:])


def test_three_models_become_the_reports_that_build_makes(tmp_path, capsys):
    names = ("binary", "classifier", "vector")
    for name in names:
        (tmp_path / "models").mkdir(exist_ok=True)
        shutil.copy(models.saved(name), tmp_path / "models" / f"{name}.keras")
    (tmp_path / "photos").mkdir()
    for k, picture in enumerate(models.images(3)):
        Image.fromarray(picture).save(tmp_path / "photos" / f"{k}.png")
    (tmp_path / "spec.toml").write_text(
        '[defaults]\nquick = true\nprobes = "photos"\nmeta = { team = "x" }\n'
        '[binary]\nmodel = "models/binary.keras"\n'
        '[classifier]\nmodel = "models/classifier.keras"\nmeta = { run = 7 }\n'
        '[vector]\nmodel = "models/vector.keras"\nprobes = []\n'
    )
    assert batch(capsys, "spec.toml", "-j", "2") == (0, list(names))
    for name in names:
        pages.check_page(tmp_path / "out" / name)
    run = ["build", "models/classifier.keras", "-o", "alone", "-q", "--quick", "-p", "photos"]
    assert cli.run([*run, "--meta", "team=x", "--meta", "run=7"]) == 0
    alone, together = pages.tree(tmp_path / "alone"), pages.tree(tmp_path / "out" / "classifier")
    assert alone.keys() == together.keys()
    assert alone == together
    assert [name for _, name in batches.rows(tmp_path / "out")] == list(names)
    assert "Model reports" in (tmp_path / "out" / "index.html").read_text("utf-8")


def test_what_is_unchanged_is_left_alone_and_what_changed_is_made_again(tmp_path, capsys):
    batches.copies(tmp_path / "models", "a", "b", "c")
    (tmp_path / "history.csv").write_text("epoch,loss\n0,1.0\n1,0.5\n")
    command = ("models/*.keras", *LIGHT, "--history", "history.csv")
    assert batch(capsys, *command) == (0, ["a", "b", "c"])
    before = pages.tree(tmp_path / "out" / "b")
    assert batch(capsys, *command) == (0, [])
    assert capsys.readouterr().err.splitlines()[-1] == "0 reports made, 3 unchanged."
    assert batch(capsys, *command, "--seed", "1") == (0, ["a", "b", "c"])  # another option
    assert batch(capsys, *command) == (0, ["a", "b", "c"])
    shutil.copy(models.saved("vector"), tmp_path / "models" / "a.keras")  # another model
    assert batch(capsys, *command) == (0, ["a"])
    (tmp_path / "models" / "b.keras").touch()  # the same bytes at another time
    assert batch(capsys, *command) == (0, [])
    shutil.rmtree(tmp_path / "out" / "b")  # the report is gone
    assert batch(capsys, *command) == (0, ["b"])
    (tmp_path / "history.csv").write_text("epoch,loss\n0,1.0\n1,0.25\n")  # what else it reads
    assert batch(capsys, *command) == (0, ["a", "b", "c"])
    assert batch(capsys, *command, "--fresh") == (0, ["a", "b", "c"])
    batches.copies(tmp_path / "models", "d")  # a further one
    assert batch(capsys, *command) == (0, ["d"])
    (tmp_path / "history.csv").write_text("epoch,loss\n0,1.0\n1,0.5\n")
    assert batch(capsys, *command) == (0, ["a", "b", "c", "d"])
    assert pages.tree(tmp_path / "out" / "b") == before  # replaced in place, time and again
    assert batches.leftovers(tmp_path / "out") == []


def test_another_report_in_a_folder_is_not_taken_for_the_batchs_own(tmp_path, capsys):
    batches.copies(tmp_path / "models", "a", "b")
    assert batch(capsys, "models/*.keras", *LIGHT) == (0, ["a", "b"])
    before = pages.tree(tmp_path / "out" / "b")
    build_report(
        tmp_path / "models" / "b.keras",
        output=tmp_path / "out" / "b",
        title="another",
        skip="features",
    )
    assert batch(capsys, "models/*.keras", *LIGHT) == (0, ["b"])
    assert pages.tree(tmp_path / "out" / "b") == before


def test_where_the_models_lie_does_not_matter(tmp_path, capsys):
    batches.copies(tmp_path / "models", "a")
    assert batch(capsys, "models/*.keras", *LIGHT) == (0, ["a"])
    (tmp_path / "models").rename(tmp_path / "moved")
    assert batch(capsys, "moved/*.keras", *LIGHT) == (0, [])


def test_a_file_name_that_is_no_text(tmp_path, capsys):
    batches.copies(tmp_path / "models", "a")
    path = tmp_path / "models" / "a.keras"
    path.rename(path.with_name(os.fsdecode(b"\xff.keras")))
    assert batch(capsys, "models/*.keras", *LIGHT) == (0, ["\ufffd"])
    pages.check_page(tmp_path / "out" / "\ufffd")
    assert batch(capsys, "models/*.keras", *LIGHT) == (0, [])


def test_another_version_makes_all_again(tmp_path, capsys, monkeypatch):
    from reportgen.batch import digest

    batches.copies(tmp_path / "models", "a")
    assert batch(capsys, "models/*.keras", *LIGHT) == (0, ["a"])
    monkeypatch.setattr(digest, "__version__", "0.0.1")
    assert batch(capsys, "models/*.keras", *LIGHT) == (0, ["a"])


def test_a_report_that_failed_is_tried_again_and_its_row_goes(tmp_path, capsys):
    folder = batches.copies(tmp_path / "models", "a", "b")
    (folder / "b.keras").write_bytes(b"no model")
    assert batch(capsys, "models/*.keras", *LIGHT) == (3, ["a", "b"])
    root = tmp_path / "out"
    assert batches.rows(root) == [("failed", "b"), ("good", "a")]
    reason = batches.lines(root)[-1]["reason"] or batches.lines(root)[-2]["reason"]
    assert reason.startswith("exit 5: ")
    assert str(tmp_path) not in reason
    assert batch(capsys, "models/*.keras", *LIGHT) == (3, ["b"])
    batches.copies(folder, "b")
    assert batch(capsys, "models/*.keras", *LIGHT) == (0, ["b"])
    assert [mood for mood, _ in batches.rows(root)] == ["good", "good"]
    shutil.copy(models.saved("vector"), folder / "b.keras")
    (folder / "b.keras").write_bytes((folder / "b.keras").read_bytes()[:900])
    old = pages.tree(root / "b")
    assert batch(capsys, "models/*.keras", *LIGHT) == (3, ["b"])
    assert pages.tree(root / "b") == old  # what stood there stands
    assert batches.rows(root)[0] == ("failed", "b")


def test_a_gate_counts_and_a_broken_report_counts_more(tmp_path, capsys):
    """Exit 4 where a finding reached the gate, also when the report is unchanged; 3 where one failed."""
    network = keras.models.load_model(models.saved("binary"), compile=False)
    kernel = network.layers[-1]
    kernel.set_weights([w * float("nan") for w in kernel.get_weights()])
    (tmp_path / "models").mkdir()
    network.save(tmp_path / "models" / "nan.keras")
    command = (
        "models/*.keras",
        "--weights-only",
        "--sections",
        "overview,weights",
        "--fail-on",
        "error",
    )
    assert batch(capsys, *command) == (4, ["nan"])
    assert batch(capsys, *command) == (4, [])
    (tmp_path / "models" / "broken.keras").write_bytes(b"no model")
    assert batch(capsys, *command) == (3, ["broken"])


def test_a_journal_that_a_crash_cut_off_goes_on(tmp_path, capsys):
    batches.copies(tmp_path / "models", "a", "b")
    assert batch(capsys, "models/*.keras", *LIGHT, "-j", "1") == (0, ["a", "b"])
    journal = tmp_path / "out" / "runs.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    assert cli.run(["batch", "models/*.keras", *LIGHT, "-o", "out"]) == 0
    whole = [line for line in journal.read_text().splitlines() if line.endswith("}")]
    assert len(whole) == 2
    assert cli.run(["batch", "models/*.keras", *LIGHT, "-o", "out"]) == 0
    assert len([line for line in journal.read_text().splitlines() if line.endswith("}")]) == 2


def test_what_killed_children_left_is_swept(tmp_path, capsys):
    batches.copies(tmp_path / "models", "a")
    (tmp_path / "out" / ".reportgen-part-abc" / "report").mkdir(parents=True)
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert batch(capsys, "models/*.keras", *LIGHT) == (0, ["a"])
    assert batches.leftovers(tmp_path / "out") == []
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["index.html", "runs.jsonl", "report.json", "a/other.txt"])
def test_what_is_not_ours_is_not_touched(tmp_path, capsys, name):
    batches.copies(tmp_path / "models", "a")
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / name).write_text("mine")
    code = cli.run(["batch", "models/*.keras", *LIGHT, "-o", "out"])
    err = capsys.readouterr().err
    assert (tmp_path / "out" / name).read_text() == "mine"
    if name == "a/other.txt":  # one report's folder costs that report
        assert code == 3
        assert "exit 7: " in err
    else:
        assert code == 7
        assert not (tmp_path / "out" / "a" / "index.html").exists()


def test_two_batches_do_not_mix(tmp_path, capsys):
    from reportgen.batch.drive import LOCK

    batches.copies(tmp_path / "models", "a")
    with locked(tmp_path / "out", LOCK):
        assert cli.run(["batch", "models/*.keras", *LIGHT, "-o", "out"]) == LockedError.exit_code
    assert f"process {os.getpid()}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_long_list_is_not_submitted_at_once(tmp_path, monkeypatch):
    from reportgen.batch import drive
    from reportgen.batch.plan import plan
    from reportgen.engines.engine import Engine
    from reportgen.terminal import Silence

    class Counted(ThreadPoolExecutor):
        futures, most = [], 0

        def submit(self, *arguments):
            self.futures.append(super().submit(*arguments))
            self.most = max(self.most, sum(not future.done() for future in self.futures))
            return self.futures[-1]

    pool = Counted(1)
    opened = contextlib.nullcontext(Engine(pool, 1, 2, lambda: False))
    monkeypatch.setattr(drive, "open_executor", lambda *_, **__: opened)
    monkeypatch.setattr(drive, "_LOOK", 0.05)
    batches.copies(tmp_path / "models", *"abcde")
    jobs = plan(["models/*.keras"], {"weights_only": True, "sections": ("overview",)}, {})
    tally = drive.run_batch(jobs, tmp_path / "out", drive.How(), Silence())
    assert [len(part) for part in tally] == [5, 0, 0]
    assert pool.most == 2


def test_an_index_that_somebody_makes_meanwhile_ends_no_batch(tmp_path, capsys, monkeypatch):
    from reportgen.batch import drive

    monkeypatch.setattr(drive, "_DRAW", 0.0)
    batches.copies(tmp_path / "models", *"abc")
    held = contextlib.ExitStack()
    held.enter_context(locked(tmp_path / "out"))
    threading.Timer(9, held.close).start()
    assert batch(capsys, "models/*.keras", *LIGHT, "-j", "1") == (0, ["a", "b", "c"])
    assert [name for _, name in batches.rows(tmp_path / "out")] == ["a", "b", "c"]


def test_quiet_prints_nothing(tmp_path, capsys):
    batches.copies(tmp_path / "models", "a")
    assert batch(capsys, "models/*.keras", *LIGHT, "-q") == (0, ["a"])
    assert capsys.readouterr() == ("", "")


def test_lines_of_a_pipe_say_what_ended_where_and_how_long_the_rest_takes(tmp_path, capsys):
    batches.copies(tmp_path / "models", "a", "b\x1b[31m")
    assert batch(capsys, "models/*.keras", *LIGHT)[0] == 2  # a name that steers terminals is none
    (tmp_path / "models" / "b\x1b[31m.keras").unlink()
    assert batch(capsys, "models/*.keras", *LIGHT) == (0, ["a"])
    out, err = capsys.readouterr()
    assert out == "out/index.html\n"
    assert "a: made in " in err
    assert " s left)" in err


def test_reports_that_a_worker_sends_back(tmp_path):
    """Workers elsewhere write nothing here: the report comes as bytes, and stands whole or not at all."""
    from reportgen.batch.drive import _receive
    from reportgen.batch.task import Order, make_report
    from reportgen.errors import OutputError

    model = str(models.saved("binary"))
    options = {"weights_only": True, "sections": ["overview"]}
    order = Order(None, "x/a", model, options, 100.0, None, 1)
    outcome = make_report(order, lambda: False)
    assert outcome.reason == ""
    build_report(model, output=tmp_path / "alone", **options)
    root = tmp_path / "root"
    root.mkdir()
    for _ in range(2):  # the second takes the place of the first
        _receive(root, "x/a", outcome.files, force=False)
        assert sorted(pages.tree(root / "x" / "a")) == sorted(pages.tree(tmp_path / "alone"))
        pages.check_page(root / "x" / "a")
    (root / "x" / "a" / "notes.txt").write_text("mine")
    _receive(root, "x/a", outcome.files, force=False)
    assert (root / "x" / "a" / "notes.txt").read_text() == "mine"
    (root / "x" / "a" / "notes.txt").unlink()
    pages.check_page(root / "x" / "a")
    for name in ("../evil", "/evil", "a/../../evil", "..\\evil"):
        with pytest.raises(OutputError, match="The worker sent files that are no report"):
            _receive(root, "b", [*outcome.files, (name, b"x")], force=False)
    with pytest.raises(OutputError, match="The worker sent files that are no report"):
        _receive(root, "b", outcome.files[:1], force=False)
    assert sorted(path.name for path in root.iterdir()) == ["x"]
    assert not (tmp_path / "evil").exists()


def test_a_task_that_nobody_waits_for_ends_its_child_at_once(tmp_path):
    from reportgen.batch.task import Order, make_report

    begun = time.monotonic()
    order = Order(str(tmp_path), "a", str(models.saved("binary")), {}, None, None, None)
    outcome = make_report(order, lambda: time.monotonic() - begun > 0.5)
    assert outcome.reason == "cancelled"
    assert time.monotonic() - begun < 5
    assert list(tmp_path.iterdir()) == []


def test_the_journal_keeps_the_last_run_of_each_report(tmp_path):
    from reportgen.report.runs import read_runs

    assert read_runs(tmp_path) == {}
    for run in (Run("a", ok=True), Run("b", reason="signal SIGKILL"), Run("a", reason="exit 1: x")):
        append_run(tmp_path, run)
    with (tmp_path / "runs.jsonl").open("ab") as file:
        file.write(b'[1]\n{"name": 3}\n{"name":"c","new":1}\n\xff\n{"name":"d"')
    append_run(tmp_path, Run("e"))
    assert list(read_runs(tmp_path)) == ["a", "b", "c", "e"]
    assert read_runs(tmp_path)["a"].reason == "exit 1: x"
