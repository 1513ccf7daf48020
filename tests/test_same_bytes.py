"""The same inputs give the same bytes, in another process and another folder."""

from __future__ import annotations

import subprocess
import sys

import models
import numpy as np
import pages
from PIL import Image


def test_two_processes_in_two_folders_write_the_same_bytes(tmp_path):
    """One runs its blocks one after the other, the other side by side."""
    trees = []
    for number in range(2):
        here = tmp_path / f"place {number}"
        (here / "probes").mkdir(parents=True)
        for index, picture in enumerate(models.images(6, size=100)):
            Image.fromarray(picture).save(here / "probes" / f"{index}.png")
        (here / "model.keras").write_bytes(models.saved("classifier").read_bytes())
        command = [sys.executable, "-m", "reportgen", "build", "model.keras"]
        done = subprocess.run(
            [
                *command,
                "-o",
                "out",
                "-p",
                "probes",
                "-q",
                "--meta",
                "run=1",
                "--feature-steps",
                "8",
            ],
            cwd=here,
            env=models.environment(
                SOURCE_DATE_EPOCH="1700000000",
                PYTHONHASHSEED=str(number),
                OMP_NUM_THREADS=str(1 + 3 * number),
            ),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        pages.check_page(here / "out")
        trees.append(pages.tree(here / "out"))
    assert trees[0] == trees[1]
    assert b"2023-11-14T22:13:20Z" in trees[0]["report.json"]


def test_page_is_the_same_when_built_again_over_another(tmp_path, monkeypatch):
    """What a folder held before leaves no trace in it."""
    from reportgen import build_report

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    probes = np.zeros((2, 12, 12, 3), np.uint8)
    brief = {"probes": probes, "feature_steps": 2, "units": ("class:1",)}
    fresh = build_report(models.saved("classifier"), output=tmp_path / "fresh", **brief)
    build_report(models.saved("segmentation"), output=tmp_path / "used", skip=("features",))
    used = build_report(models.saved("classifier"), output=tmp_path / "used", **brief)
    assert pages.tree(used.path) == pages.tree(fresh.path)
