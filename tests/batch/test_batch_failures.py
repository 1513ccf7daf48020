"""What breaks a build costs that report only, and reads the same whatever the engine."""

from __future__ import annotations

import signal
import time

import batches
import pages
import pytest

ENGINES = [
    "local",
    pytest.param("ray", marks=pytest.mark.engines),
    pytest.param("dask", marks=pytest.mark.engines),
]


@pytest.mark.parametrize("engine", ENGINES)
def test_five_ways_to_break_and_two_good_ones(tmp_path, engine):
    kinds = ("hangs", "raises", "killed", "segfault", "memory")
    spec = batches.breaking(tmp_path, *kinds) + batches.light(tmp_path, "good", "fine")
    (tmp_path / "spec.toml").write_text(spec)
    limits = ("--jobs", "2", "--timeout", "40", "--memory", "1200", "--engine", engine)
    code, out, err = batches.ran("spec.toml", "-o", "out", *limits, cwd=tmp_path)
    root = tmp_path / "out"
    assert code == 3, err
    assert out == "out/index.html\n"
    assert err.endswith("2 reports made, 5 failed.\n")
    assert "Traceback" not in err
    reasons = {line["name"]: line["reason"] for line in batches.lines(root)}
    assert reasons == {
        "hangs": "took longer than 40 s",
        "raises": "exit 6: --custom-objects …/raises.py: importing it failed (ValueError: bad <b>layer</b>).",
        "killed": "signal SIGKILL",
        "segfault": "signal SIGSEGV",
        "memory": "used more than 1,200 MB",
        "good": "",
        "fine": "",
    }
    codes = {line["name"]: line["code"] for line in batches.lines(root)}
    assert codes == {**dict.fromkeys(kinds, 1), "raises": 6, "good": 0, "fine": 0}
    assert all(line["ok"] is (line["reason"] == "") for line in batches.lines(root))
    assert {line["engine"] for line in batches.lines(root)} == {engine}
    assert all(line["where"] for line in batches.lines(root))
    for name in ("good", "fine"):
        pages.check_page(root / name)
    assert sorted(p.name for p in root.iterdir() if p.is_dir()) == ["assets", "fine", "good"]
    assert batches.leftovers(root) == []
    shown = batches.rows(root)
    assert [name for mood, name in shown if mood == "failed"] == sorted(kinds)
    assert [mood for mood, _ in shown[:5]] == ["failed"] * 5
    page = (root / "index.html").read_text("utf-8")
    assert "<li>2 reports</li>" in page
    assert "bad &lt;b&gt;layer&lt;/b&gt;" in page
    assert "<b>layer" not in page


@pytest.mark.parametrize("engine", ENGINES)
def test_ctrl_c_with_a_hung_report(tmp_path, engine):
    spec = batches.light(tmp_path, "good") + batches.breaking(tmp_path, "hangs")
    (tmp_path / "spec.toml").write_text(spec + batches.light(tmp_path, "later", "last"))
    root = tmp_path / "out"
    with batches.started("spec.toml", "-o", "out", "-j", "1", "--engine", engine, cwd=tmp_path) as (
        run,
        mark,
    ):
        batches.wait_for((tmp_path / "hangs.py.begun").exists)
        begun = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
        took = time.monotonic() - begun
        assert batches.gone(mark, 3) == []
    assert run.returncode == 130, err
    assert took < 5
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("reportgen: interrupted; finished reports stand")
    done = {line["name"] for line in batches.lines(root)}
    assert done <= {"good", "later", "last"}  # Ray begins them in an order of its own
    assert engine == "ray" or done == {"good"}
    assert all(line["ok"] for line in batches.lines(root))
    assert batches.leftovers(root) == []
    assert batches.rows(root) == [("good", name) for name in sorted(done)]


def test_a_scheduler_that_ends_a_batch_leaves_nothing_behind(tmp_path):
    spec = batches.light(tmp_path, "good") + batches.breaking(tmp_path, "hangs")
    (tmp_path / "spec.toml").write_text(spec)
    with batches.started("spec.toml", "-o", "out", "-j", "1", cwd=tmp_path) as (run, mark):
        batches.wait_for((tmp_path / "hangs.py.begun").exists)
        run.send_signal(signal.SIGTERM)
        _, err = run.communicate(timeout=60)
        assert batches.gone(mark, 3) == []
    assert run.returncode == 143, err
    assert err.splitlines()[-1].startswith("reportgen: interrupted; finished reports stand")
    assert batches.leftovers(tmp_path / "out") == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_driver_that_is_killed_goes_on(tmp_path, engine):
    """Nothing twice, nothing lost: the same bytes as from a run that nobody stopped."""
    names = [f"net {k}" for k in range(6)]
    batches.copies(tmp_path / "models", *names)
    command = ("models/*.keras", "--weights-only", "--sections", "overview", "-j", "2")
    root = tmp_path / "out"
    with batches.started(*command, "-o", "out", "--engine", engine, cwd=tmp_path) as (run, mark):
        batches.wait_for(lambda: len(batches.lines(root)) >= 2)
        run.kill()
        run.wait()
        left = batches.gone(mark, 10)
        assert [line for line in left if "Agent" not in line] == []
        assert engine == "ray" or left == []
        assert batches.gone(mark, 120) == []  # Ray's two agents end a minute after their node
    before = batches.lines(root)
    assert 2 <= len(before) < 6
    code, _, err = batches.ran(*command, "-o", "out", "--engine", engine, cwd=tmp_path)
    assert code == 0, err
    after = batches.lines(root)
    assert after[: len(before)] == before
    assert sorted(line["name"] for line in after) == names
    assert f"{len(before)} unchanged" in err
    assert batches.leftovers(root) == []
    batches.ran(*command, "-o", "whole", cwd=tmp_path)
    assert batches.tree(root) == batches.tree(tmp_path / "whole")
