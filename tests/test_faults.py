"""Faults of files, the environment and the outputs: the right exit code, one line, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import models
import numpy as np
import pages
import pytest

from reportgen import cli
from reportgen.page import publish

DEEP = "[" * 100_000 + "]" * 100_000
LONG = "9" * 400


def encrypted(path):
    """Set the flag of encryption on every member."""
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(mark, at + 1)
    path.write_bytes(content)


def oddly_compressed(path):
    """Name a method of compression that nobody knows."""
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset : at + offset + 2] = struct.pack("<H", 98)
            at = content.find(mark, at + 1)
    path.write_bytes(content)


def deflated_and_cut(path):
    with zipfile.ZipFile(path) as source:
        members = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    content = bytearray(path.read_bytes())
    at = content.find(b"PK\x03\x04") + 60
    content[at : at + 200] = bytes(200)
    path.write_bytes(content)


def refused(capsys, code, *arguments):
    capsys.readouterr()
    assert cli.run([str(argument) for argument in arguments]) == code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert "should not happen" not in line
    return line


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("damage", [encrypted, oddly_compressed, deflated_and_cut])
def test_a_zip_in_any_state_is_a_damaged_model(tmp_path, capsys, damage):
    path = tmp_path / "odd.keras"
    path.write_bytes(models.saved("binary").read_bytes())
    damage(path)
    line = refused(capsys, 5, "build", path, "-o", "out", "-q")
    assert "damaged" in line
    assert not Path("out").exists()


TEXTS = {
    "deep history": ("--history", "h.json", DEEP),
    "deep history object": ("--history", "h.json", '{"loss": ' + DEEP + "}"),
    "deep classes": ("--classes", "c.json", DEEP),
    "large class index": ("--classes", "c.json", '{"a": ' + LONG + ', "b": 1}'),
    "long field of a history": ("--history", "h.csv", "epoch,loss\n0," + "1" * 200_000 + "\n"),
    "long field of labels": ("--labels", "l.csv", "0.png," + "a" * 200_000 + "\n"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_go_on_for_ever_are_refused(tmp_path, capsys, name):
    option, file, text = TEXTS[name]
    models.write_image(tmp_path / "0.png")
    Path(file).write_text(text)
    build = ("build", models.saved("classifier"), "-o", "out", "-q", "-p", "0.png")
    assert file in refused(capsys, 6, *build, option, file)
    assert not Path("out").exists()


def test_a_number_of_400_digits_in_a_history_is_no_number(tmp_path, capsys):
    Path("h.json").write_text('{"loss": [1, 2], "steps": [' + LONG + ", 1]}")
    build = ("build", models.saved("binary"), "-o", "out", "-q", "--sections", "history")
    assert cli.run([*map(str, build), "--history", "h.json"]) == 0
    assert "steps" in pages.page_text(tmp_path / "out")


@pytest.mark.parametrize(
    "text", [DEEP, '{"schema": [1, 1], "sections": ' + DEEP + "}", '{"schema": [' + LONG + "]}"]
)
@pytest.mark.parametrize("command", ["render", "check"])
def test_a_report_json_that_goes_on_for_ever_is_refused(tmp_path, capsys, text, command):
    Path("out").mkdir()
    Path("out/report.json").write_text(text)
    refused(capsys, 6, command, "out")


@pytest.mark.parametrize("epoch", ["²", "-1e9", "9" * 30, "soon"])
def test_a_clock_that_cannot_be_is_refused_before_the_work(tmp_path, capsys, monkeypatch, epoch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    assert "SOURCE_DATE_EPOCH" in refused(capsys, 6, "build", "no such file", "-o", "out", "-q")


def test_a_folder_that_was_removed_under_us(tmp_path, capsys, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    line = refused(capsys, 6, "build", models.saved("binary"), "-o", tmp_path / "out", "-q")
    assert "working directory" in line


def test_what_may_not_be_read_or_written_has_the_code_of_its_place(tmp_path, capsys, monkeypatch):
    """The user may be anyone but root, so the refusal of the system is made here."""
    model = tmp_path / "model.keras"
    model.write_bytes(models.saved("binary").read_bytes())
    opened = os.open

    def denied(path, *arguments, **more):
        if str(path).endswith("model.keras"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", denied)
        patch.setattr(os, "access", lambda *_, **__: False)
        assert "Permission denied" in refused(capsys, 5, "build", model, "-o", "out", "-q")
    with monkeypatch.context() as patch:
        patch.setattr(
            Path,
            "mkdir",
            lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied")),
        )
        assert "Permission denied" in refused(capsys, 7, "build", model, "-o", "out", "-q")


# -- outputs that nobody reads -----------------------------------------------------------------------


@pytest.mark.parametrize("way", [">&- 2>&-", "2>&1 | head -1"])
def test_the_report_is_built_whoever_reads_what_is_said(tmp_path, way):
    program = f"{sys.executable} -P -m reportgen build {models.saved('binary')} -o out --sections overview"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{program} {way}"],  # noqa: S607
        capture_output=True, text=True, check=False, env=models.environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    pages.check_page(tmp_path / "out")


# -- a full disk, and reports without a manifest -----------------------------------------------------


def test_a_first_build_on_a_full_disk_leaves_nothing(tmp_path, capsys, monkeypatch):
    def full(path, content, **more):
        if path.name == "report.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        put(path, content, **more)

    put = publish._put
    build = ("build", models.saved("binary"), "-o", "out", "-q", "--sections", "weights")
    with monkeypatch.context() as patch:
        patch.setattr(publish, "_put", full)
        assert "No space left" in refused(capsys, 7, *build)
    assert not Path("out").exists()
    assert cli.run([str(word) for word in build]) == 0


def test_what_stood_there_before_a_first_build_failed_is_not_taken_back(
    tmp_path, capsys, monkeypatch
):
    """--force writes beside files of others, and a full disk is no reason to remove them."""

    def full(path, content, **more):
        if path.name == "report.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        put(path, content, **more)

    put = publish._put
    Path("out").mkdir()
    for name in ("summary.md", "report.json", "notes.txt"):
        Path("out", name).write_text("mine")
    monkeypatch.setattr(publish, "_put", full)
    build = ("build", models.saved("binary"), "-o", "out", "-q", "--sections", "weights", "--force")
    refused(capsys, 7, *build)
    assert dict(pages.tree(tmp_path / "out")) == dict.fromkeys(
        ("summary.md", "report.json", "notes.txt"), b"mine"
    )


def test_render_keeps_the_pictures_of_a_report_without_a_manifest(tmp_path):
    np.save("probes.npy", models.images(2))
    build = ["build", str(models.saved("binary")), "-o", "out", "-q", "-p", "probes.npy", "--quick"]
    assert cli.run(build) == 0
    before = pages.tree(tmp_path / "out")
    report = json.loads(before["report.json"])
    assert len(report.pop("assets")) > 3
    Path("out/report.json").write_text(json.dumps(report))
    assert cli.run(["render", "out"]) == 0
    after = pages.tree(tmp_path / "out")
    pictures = {name for name in before if name.endswith((".png", ".webp"))}
    assert pictures == {name for name in after if name.endswith((".png", ".webp"))}
