"""Pipes, devices and odd names in every place where a file is given: one line, at once."""

from __future__ import annotations

import os
import socket

import models
import pytest

from reportgen import build_report, cli
from reportgen.errors import ReportgenError
from reportgen.files import open_regular, read_regular

PLACES = {
    "model": (5, ["build", "ODD.keras", "-q", "-o", "out"]),
    "old model": (5, ["build", "ODD.h5", "-q", "-o", "out"]),
    "classes": (6, ["build", "MODEL", "-q", "-o", "out", "--classes", "ODD"]),
    "labels": (6, ["build", "MODEL", "-q", "-o", "out", "-p", "0.png", "--labels", "ODD"]),
    "history": (6, ["build", "MODEL", "-q", "-o", "out", "--history", "ODD"]),
    "probes": (6, ["build", "MODEL", "-q", "-o", "out", "-p", "ODD.npz"]),
    "image": (6, ["build", "MODEL", "-q", "-o", "out", "-p", "ODD.png"]),
    "data": (6, ["build", "MODEL", "-q", "-o", "out", "--data", "ODD.csv"]),
    "configuration": (6, ["build", "MODEL", "-q", "-o", "out", "--config", "ODD"]),
    "output": (7, ["build", "MODEL", "-q", "-o", "ODD"]),
    "report to render": (6, ["render", "report"]),
    "report to check": (6, ["check", "report"]),
}


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def a_socket(path):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path.name)
    server.close()


@pytest.mark.parametrize("make", [pipe, device, a_socket])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch, capsys, place, make):
    """Nobody writes to the pipe: whoever opened it as a file would wait for ever."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report").mkdir()
    models.write_image(tmp_path / "0.png")
    code, words = PLACES[place]
    odd = next((word for word in words if word.startswith("ODD")), "report/report.json")
    make(tmp_path / odd) if make is not a_socket or "/" not in odd else pipe(tmp_path / odd)
    arguments = [str(models.saved("binary")) if word == "MODEL" else word for word in words]
    assert cli.run(arguments) == code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert odd.removeprefix("report/") in line or "report" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", [name for name in PLACES if "report" not in name])
def test_names_that_are_too_long_are_refused(tmp_path, monkeypatch, capsys, place):
    monkeypatch.chdir(tmp_path)
    models.write_image(tmp_path / "0.png")
    code, words = PLACES[place]
    arguments = [str(models.saved("binary")) if word == "MODEL" else word for word in words]
    assert cli.run([word.replace("ODD", "n" * 300) for word in arguments]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "internal error" not in lines[0]


@pytest.mark.parametrize(
    "given", ["model", "classes", "labels", "history", "probes", "data", "output"]
)
def test_a_nul_in_a_name_is_refused(tmp_path, given):
    """No command line can hold one; Python and a CSV can."""
    options = {"probes": models.images(2), "output": tmp_path / "out"}
    odd = str(tmp_path / "with\0nul")
    model = f"{odd}.keras" if given == "model" else models.saved("binary")
    if given != "model":
        options[given] = odd
    with pytest.raises(ReportgenError):
        build_report(model, **options)
    assert not (tmp_path / "out").exists()


def test_a_link_to_a_file_is_a_file(tmp_path):
    (tmp_path / "real").write_bytes(b"text")
    (tmp_path / "link").symlink_to("real")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"text"


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    (tmp_path / "large").write_bytes(bytes(2**20 + 1))
    with pytest.raises(OSError, match="it is larger than 1 MiB"):
        read_regular(tmp_path / "large", 2**20)
    assert len(read_regular(tmp_path / "large")) == 2**20 + 1
