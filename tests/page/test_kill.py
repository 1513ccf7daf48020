"""Whenever a build is killed, the page is the old or the new report, whole."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import models
import pages
import pytest

from reportgen import build_report

# Publishes the two reports that are named, by turns, until it is killed.
LOOP = """
import sys
from pathlib import Path
from reportgen.page.output import locked
from reportgen.page.publish import publish
from reportgen.report.model import read_report

folder = Path(sys.argv[1])
sources = [Path(name) for name in sys.argv[2:]]
reports = [
    (read_report(s), {n: (s / "assets" / n).read_bytes() for n in read_report(s).assets})
    for s in sources
]
print("ready", flush=True)
while True:
    for report, files in reports:
        with locked(folder):
            publish(report, folder, files)
        print("published", flush=True)
"""


@pytest.fixture(scope="module")
def two_reports(tmp_path_factory):
    """Reports of two models that share no picture."""
    place = tmp_path_factory.mktemp("two")
    first, second = (
        build_report(
            models.saved(name),
            probes=models.images(8, size),
            output=place / name,
            skip=("features", "relevance"),
        )
        for name, size in (("segmentation", 16), ("classifier", 12))
    )
    assert min(len(made.report.assets) for made in (first, second)) > STEPS
    return first.path, second.path


def assert_whole(folder, *expected):
    """The page is one of the expected ones, byte for byte, and so is all that it shows."""
    page = (folder / "index.html").read_bytes()
    (source,) = [s for s in expected if (s / "index.html").read_bytes() == page]
    for name in re.findall(rb'(?:src|href)="(assets/[^"]+)"', page):
        shown = name.decode()
        assert (folder / shown).read_bytes() == (source / shown).read_bytes()
    return source


def moments(count, longest):
    """Return when to kill: seeded, spread over the time."""
    generator = random.Random(20)  # noqa: S311 - moments, no secrets
    return [longest * (number + generator.random()) / count for number in range(count)]


@pytest.mark.parametrize("moment", moments(12, 0.12))
def test_killed_while_publishing(tmp_path, two_reports, moment):
    first, second = two_reports
    folder = tmp_path / "out"
    build_copy(first, folder)
    child = subprocess.Popen(
        [sys.executable, "-c", LOOP, folder, second, first],
        env=models.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(moment)
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert_whole(folder, first, second)
    assert_mends(folder)
    build_report(models.saved("binary"), output=folder, sections=("overview",))
    pages.check_page(folder)  # nothing of the killed build is left


def build_copy(source, folder):
    for name, data in pages.tree(source).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def assert_mends(folder):
    """``render`` brings page and data together after a kill between the two."""
    from reportgen.page.output import locked
    from reportgen.page.publish import publish_again
    from reportgen.report.model import read_report

    with locked(folder):
        publish_again(read_report(folder), folder)
    pages.check_page(folder)


STEPS = 14


@pytest.mark.parametrize("step", range(STEPS))
def test_stopped_before_each_file(tmp_path, two_reports, monkeypatch, step):
    """The same at every single step, not only at those that a clock meets."""
    from reportgen.page import publish
    from reportgen.page.output import locked
    from reportgen.report.model import read_report

    first, second = two_reports
    folder = tmp_path / "out"
    build_copy(first, folder)
    report = read_report(second)
    files = {name: (second / "assets" / name).read_bytes() for name in report.assets}
    replaced = []

    class Killed(BaseException):
        pass

    def replace(source, target):
        where = at(len(replaced))
        replaced.append(target)
        if where:
            raise Killed
        original(source, target)

    total = len(files) + 3 - len(set(files) & set(read_report(first).assets))
    original = publish.os.replace

    def at(position):
        return position == step * total // STEPS

    monkeypatch.setattr(publish.os, "replace", replace)
    with pytest.raises(Killed):
        publish.publish(report, folder, files)
    monkeypatch.undo()
    assert assert_whole(folder, first, second) == first
    with locked(folder):
        publish.publish(report, folder, files)
    assert pages.tree(folder) == pages.tree(second)


# A test run in the background of a shell hands down that Ctrl-C is ignored.
HEEDFUL = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("reportgen", run_name="__main__")
"""


def start_build(folder, model="classifier"):
    return subprocess.Popen(
        [sys.executable, "-c", HEEDFUL, "build", models.saved(model), "-o", folder],
        env=models.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stopped_at(stage, folder, sent):
    """Build over ``folder``, send a signal when ``stage`` begins; return exit code and stderr."""
    with start_build(folder) as child:
        lines = []
        for line in child.stderr:
            lines.append(line)
            if line.startswith(f"reportgen: {stage}"):
                child.send_signal(sent)
                break
        lines.append(child.stderr.read())
    return child.returncode, "".join(lines)


def test_real_build_killed_at_its_stages(tmp_path, two_reports):
    first, _ = two_reports
    stages = ("TensorFlow", "Weights", "Writing the report")
    folders = [tmp_path / stage for stage in stages]
    for folder in folders:
        build_copy(first, folder)
    with ThreadPoolExecutor(2) as pool:
        codes = pool.map(
            lambda pair: stopped_at(*pair, signal.SIGKILL)[0], zip(stages, folders, strict=True)
        )
    assert list(codes) == [-signal.SIGKILL] * 3
    for folder in folders[:2]:
        assert_whole(folder, first)
        assert {
            n: d for n, d in pages.tree(folder).items() if n != ".reportgen.lock"
        } == pages.tree(first)
    for folder in folders:
        page = (folder / "index.html").read_text("utf-8")
        links = re.findall(r'(?:src|href)="(assets/[^"]+)"', page)
        assert links
        assert all((folder / link).is_file() for link in links)
        build_report(models.saved("binary"), output=folder, sections=("overview",))
        pages.check_page(folder)


@pytest.mark.parametrize(
    ("stage", "sent", "expected"),
    [
        ("Tracing the forward pass", signal.SIGINT, 130),
        ("Overview", signal.SIGINT, 130),
        ("Overview", signal.SIGTERM, 143),
    ],
)
def test_interrupted_build_says_so_and_the_old_report_stands(
    tmp_path, two_reports, stage, sent, expected
):
    first, _ = two_reports
    build_copy(first, tmp_path / "out")
    code, said = stopped_at(stage, tmp_path / "out", sent)
    assert code == expected
    assert "interrupted" in said
    assert "Traceback" not in said
    assert pages.tree(tmp_path / "out") == pages.tree(first)


def test_two_builds_at_once_do_not_mix(tmp_path, two_reports):
    """The second says who holds the folder; the first goes on."""
    first, _ = two_reports
    build_copy(first, tmp_path / "out")
    from reportgen.errors import LockedError

    with start_build(tmp_path / "out") as child:
        assert child.stderr.readline().startswith("reportgen: TensorFlow")
        with pytest.raises(LockedError, match=str(child.pid)):
            build_report(models.saved("binary"), output=tmp_path / "out")
        child.stderr.read()
    assert child.returncode == 0
    report = pages.check_page(tmp_path / "out")
    assert "classifier" in report["summary"]["sentence"]
