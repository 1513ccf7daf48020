"""What is written into a folder that exists: nothing is followed out of it, nothing of others is touched."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import models
import numpy as np
import pages
import pytest

from reportgen import build_report, cli
from reportgen.errors import LockedError, OutputError
from reportgen.page.output import LOCK, locked

SECTIONS = ("overview", "probes", "weights")
"""Enough for every kind of file that a report has."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a report's folder; tests work on copies."""
    place = tmp_path_factory.mktemp("made") / "out"
    build_report(models.saved("binary"), probes=models.images(2), output=place, sections=SECTIONS)
    return place


@pytest.fixture
def precious(tmp_path):
    """Return a file outside of every report; it must stay as it is."""
    path = tmp_path / "precious"
    path.write_text("mine")
    yield path
    assert path.read_text() == "mine"


def copied(made, tmp_path):
    folder = tmp_path / "out"
    for name, content in pages.tree(made).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path, precious):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / ".reportgen.lock").symlink_to(precious)
    with (
        pytest.raises(OutputError, match=r"\.reportgen\.lock is no file that reportgen wrote"),
        locked(folder),
    ):
        pass
    assert (folder / ".reportgen.lock").is_symlink()


def test_a_lock_file_that_is_a_pipe_does_not_hang(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    os.mkfifo(folder / ".reportgen.lock")
    with pytest.raises(OutputError, match="no file that reportgen wrote"), locked(folder):
        pass


@pytest.mark.parametrize(
    "name", ["report.json", "summary.md", "index.html", "an asset", "a temporary file"]
)
def test_files_that_are_links_are_replaced_and_not_followed(made, tmp_path, precious, name):
    folder = copied(made, tmp_path)
    asset = next((folder / "assets").glob("*.css")).name
    path = {
        "an asset": folder / "assets" / asset,
        "a temporary file": folder / f".reportgen-{os.getpid()}-report.json.tmp",
    }.get(name, folder / name)
    precious.write_text("x" * path.stat().st_size if path.exists() else "mine")
    path.unlink(missing_ok=True)
    path.symlink_to(precious)
    text = precious.read_text()
    build_report(
        models.saved("binary"),
        probes=models.images(2),
        output=folder,
        sections=SECTIONS,
        force=True,
    )
    assert precious.read_text() == text
    precious.write_text("mine")
    assert not path.is_symlink()
    pages.check_page(folder)


def test_assets_that_lead_elsewhere_are_refused(made, tmp_path):
    folder, elsewhere = copied(made, tmp_path), tmp_path / "elsewhere"
    (folder / "assets").rename(elsewhere)
    (folder / "assets").symlink_to(elsewhere)
    before = pages.tree(elsewhere)
    with pytest.raises(OutputError, match="assets is a link"):
        build_report(models.saved("binary"), output=folder)
    assert cli.run(["render", str(folder)]) == 7
    assert pages.tree(elsewhere) == before


def test_junit_does_not_follow_a_link(made, tmp_path, precious, capsys):
    (tmp_path / "found.xml").symlink_to(precious)
    assert cli.run(["check", str(made), "--junit", str(tmp_path / "found.xml")]) == 7
    assert "found.xml cannot be written" in capsys.readouterr().err


def test_an_asset_of_the_right_size_and_wrong_bytes_is_mended(tmp_path):
    probes = np.zeros((1, 12, 12, 3), np.uint8)
    options = {"probes": probes, "output": tmp_path, "sections": ("probes",)}
    build_report(models.saved("classifier"), **options)
    asset = next((tmp_path / "assets").glob("*.png"))
    whole = asset.read_bytes()
    asset.write_bytes(bytes(len(whole)))
    build_report(models.saved("classifier"), **options)
    assert asset.read_bytes() == whole


class WindowsLocks:
    """``msvcrt`` by its documentation: bytes from the file's position on, against everybody else."""

    LK_NBLCK = 2

    def __init__(self):
        self.held = set()

    def locking(self, number, mode, count):
        assert (mode, count) == (self.LK_NBLCK, 1)
        place = (os.fstat(number).st_ino, os.lseek(number, 0, os.SEEK_CUR))
        if place in self.held:
            raise PermissionError(13, "Permission denied")
        self.held.add(place)


@pytest.fixture
def windows(monkeypatch):
    """Lock and remove files as Windows does."""
    locks, unlink = WindowsLocks(), Path.unlink

    def refuse_open(path, *, missing_ok=False):
        opened = (link.resolve() for link in Path("/proc/self/fd").iterdir())
        if path.resolve() in opened:
            raise PermissionError(13, "The process cannot access the file", str(path))
        unlink(path, missing_ok=missing_ok)
        locks.held.clear()  # with the file that was closed

    monkeypatch.setitem(sys.modules, "msvcrt", locks)
    monkeypatch.setattr("reportgen.page.output._WINDOWS", True)
    monkeypatch.setattr(Path, "unlink", refuse_open)
    return locks


def test_by_the_rules_of_windows_a_lock_holds_and_goes(windows, tmp_path):
    """The first build leaves nothing behind, the second is told who is there, the file stays readable."""
    with locked(tmp_path):
        assert len(windows.held) == 1
        with pytest.raises(LockedError, match=f"process {os.getpid()}"), locked(tmp_path):
            pass
        owner = json.loads((tmp_path / LOCK).read_text("utf-8"))
        (place,) = windows.held
        assert place[1] > (tmp_path / LOCK).stat().st_size  # bytes that are locked cannot be read
        assert owner["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()
    with locked(tmp_path):
        pass


def test_by_the_rules_of_windows_a_process_is_not_asked_by_a_signal(windows, tmp_path, monkeypatch):
    """There signal 0 is Ctrl-C: it would end what it asks about."""
    asked = []
    monkeypatch.setattr(os, "kill", lambda *args: asked.append(args))
    monkeypatch.setattr(windows, "locking", lambda *_: (_ for _ in ()).throw(OSError(38, "none")))
    (tmp_path / LOCK).write_text(json.dumps({"pid": 1, "host": socket.gethostname()}))
    with pytest.raises(LockedError, match="process 1 "), locked(tmp_path):
        pass
    assert not asked
