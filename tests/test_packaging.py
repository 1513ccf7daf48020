"""The wheel and the sdist carry what is needed: installed elsewhere, the demo runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pages

ROOT = Path(__file__).parent.parent


def run(*command, cwd, **environment):
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_installed_wheel_runs_the_demo(tmp_path):
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, tracked):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    run("-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", source, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("keras_reportgen-*.whl")
    (sdist,) = (tmp_path / "dist").glob("keras_reportgen-*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"reportgen/py.typed", "reportgen/templates/report.html"} <= names
    for example in ("fashion", "photographs"):
        assert f"reportgen/examples/{example}/model.keras" in names
    assert "reportgen/examples/report.html" not in names  # for visitors of the repository
    assert wheel.stat().st_size < 12 * 2**20
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("templates/static/report.css") for name in archive.getnames())
    site = tmp_path / "site"
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target")
    run(*pip, site, wheel, cwd=tmp_path)
    where = run(
        "-c", "import reportgen; print(reportgen.__file__)", cwd=tmp_path, PYTHONPATH=str(site)
    )
    assert Path(where.strip()).is_relative_to(site)
    run(
        "-m",
        "reportgen",
        "demo",
        "--example",
        "fashion",
        "-q",
        "-o",
        "demo",
        cwd=tmp_path,
        PYTHONPATH=str(site),
    )
    report = pages.check_page(tmp_path / "demo")
    assert pages.content(report, "probes")["labelled"] == 8
    run("-m", "reportgen", "render", "demo", cwd=tmp_path, PYTHONPATH=str(site))
