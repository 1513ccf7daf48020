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
from reportgen.errors import ProbeError
from reportgen.inputs.fitting import InputShape
from reportgen.inputs.listing import list_images
from reportgen.inputs.probes import read_probes
from reportgen.page import publish
from reportgen.settings import Settings

DEEP = "[" * 100_000 + "]" * 100_000
LONG = "9" * 400
ENDLESS = "9" * 5_000
"""More digits than Python makes an integer of."""


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
    assert "internal error" not in line
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
    assert "damaged" in line or "no archive that Keras wrote" in line
    assert not Path("out").exists()


TEXTS = {
    "deep history": ("--history", "h.json", DEEP),
    "deep history object": ("--history", "h.json", '{"loss": ' + DEEP + "}"),
    "deep classes": ("--classes", "c.json", DEEP),
    "large class index": ("--classes", "c.json", '{"a": ' + LONG + ', "b": 1}'),
    "long field of a history": ("--history", "h.csv", "epoch,loss\n0," + "1" * 200_000 + "\n"),
    "long field of labels": ("--labels", "l.csv", "0.png," + "a" * 200_000 + "\n"),
    "endless label": ("--labels", "l.csv", f"0.png,{ENDLESS}\n"),
    "endless label of data": ("--data", "d.csv", f"0.png,{ENDLESS}\n"),
    "endless class index": ("--classes", "c.json", f'{{"{ENDLESS}": "a"}}'),
    "endless index of a class": ("--classes", "c.json", f'[{{"index": {ENDLESS}, "name": "a"}}]'),
    "endless class name": ("--classes", "c.txt", "a\n" * 6 + ENDLESS),
    "endless number of a history": ("--history", "h.json", f'{{"loss": [1, {ENDLESS}]}}'),
    "endless number of a configuration": ("--config", "r.toml", f"seed = {ENDLESS}"),
    "deep configuration": ("--config", "r.toml", "title = " + DEEP),
    "half a character in a class name": ("--classes", "c.json", '["\\ud800", 1, 2, 3, 4, 5, 6]'),
    "half a character in a history": ("--history", "h.json", '{"\\ud800": [1, 2]}'),
    "huge loss": ("--history", "h.csv", "epoch,loss\n0,1e308\n1,-1e308\n2,1e308\n"),
    "huge learning rate": ("--history", "h.csv", "loss,lr\n1,1e308\n2,-1e308\n"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_go_on_for_ever_are_refused(tmp_path, capsys, name):
    option, file, text = TEXTS[name]
    models.write_image(tmp_path / "0.png")
    Path(file).write_text(text)
    build = ("build", models.saved("classifier"), "-o", "out", "-q", "-p", "0.png")
    assert file in refused(capsys, 6, *build, option, file)
    assert not Path("out").exists()


def numbers(label):
    return {"x": models.images(2), "y": np.array([label, label if np.isnan(label) else 1.0])}


LABELS = {
    "columns for a class": ("classifier", "d.csv", "file,a,b\n0.png,1,2\n", "2 columns"),
    "columns for a decision": ("binary", "d.csv", "file,a,b\n0.png,1,2\n", "2 columns"),
    "two columns of one name": ("regression", "d.csv", "file,a,a\n0.png,1,2\n", "same name"),
    "another digit": ("classifier", "d.csv", "0.png,²\n", "names no class"),
    "another digit for a number": ("regression", "d.csv", "0.png,²\n", "is no number"),
    "empty columns": ("classifier", "d.csv", ",\n,\n", "no labels"),
    "empty labels": ("classifier", "d.csv", "0.png,\n", "has a label"),
    "NaN for a class": ("classifier", "d.npz", numbers(np.nan), "has a label"),
    "NaN for a number": ("regression", "d.npz", numbers(np.nan), "has a label"),
    "infinity for a number": ("regression", "d.csv", "0.png,inf\n", "is no number"),
    "what no network says": ("regression", "d.npz", numbers(1e300), "is no number up to"),
    "texts of endless digits": ("classifier", "d.npz", {"x": models.images(1), "y": [ENDLESS]},
                                "names no class"),
    "one label for all": ("classifier", "d.npz", {"x": models.images(4), "y": 3}, "4 probes and 1 label"),
    "labels without values": ("classifier", "d.npz", {"x": models.images(4), "y": np.zeros((4, 0))},
                              "names no class"),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_data_that_mean_nothing_are_refused(capsys, name):
    model, file, given, said = LABELS[name]
    models.write_image(Path("0.png"))
    Path(file).write_text(given) if isinstance(given, str) else np.savez(file, **given)
    build = ("build", models.saved(model), "-o", "out", "-q", "--data", file)
    assert said in refused(capsys, 6, *build)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "shape", [(), (4, 0, 12, 3), (4, 12, 0, 3), (4, 12, 12, 0), (0, 12, 12, 3), (0, 12, 3), (0,)]
)
@pytest.mark.parametrize("option", ["probes.npy", "probes.npz", "data.npz"])
@pytest.mark.parametrize("model", ["classifier", "open_size"])
def test_arrays_that_hold_no_image_are_refused(capsys, shape, option, model):
    array = np.zeros(shape, np.uint8)
    count = shape[0] if shape else 1
    if option.endswith("y"):
        np.save(option, array)
    else:
        np.savez(option, x=array, y=np.zeros(count, int))
    build = ("build", models.saved(model), "-o", "out", "-q", f"--{option[:-4]}", option)
    refused(capsys, 6, *build)
    assert not Path("out").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e30])
def test_values_that_the_input_has_no_room_for_are_refused(value):
    inputs = [InputShape("picture", (12, 12, 3), "uint8")]
    listing = list_images(np.full((2, 12, 12, 3), value, np.float32), Settings())
    with pytest.raises(ProbeError, match="the type uint8, 0 to 255"):
        read_probes(listing, inputs, Settings())


def test_one_image_may_have_one_label(capsys):
    np.savez("one.npz", x=models.images(1), y=3)
    build = ["build", str(models.saved("classifier")), "-o", "out", "-q", "--data", "one.npz"]
    assert cli.run([*build, "--sections", "evaluation"]) == 0


WRONG = {
    "junit": "5", "output": "5", "cache": "[1]", "meta": "[{ a = 1 }]", "quiet": '"yes"', "seed": "-1",
    "thresholds": "{ overfitting = true }", "title": "1979-05-27", "max-probes": "1.5", "ignore": "5",
    "input-size": "[]", "fail-on": "7", "probes": "[1]", "labels": "{ a = 1 }", "threshold": "nan",
}  # fmt: skip


@pytest.mark.parametrize("key", WRONG)
@pytest.mark.parametrize("file", ["pyproject.toml", "given.toml"])
def test_options_of_a_wrong_type_in_a_file_are_refused(capsys, key, file):
    Path(file).write_text(f"[tool.reportgen]\n{key} = {WRONG[key]}\n")
    build = ["build", models.saved("binary"), "-q"]
    build += [] if key == "output" else ["-o", "out"]
    build += [] if file == "pyproject.toml" else ["--config", file]
    assert file in refused(capsys, 6, *build)
    assert not Path("out").exists()


def test_a_nul_in_the_name_of_a_results_file(capsys):
    Path("given.toml").write_text('junit = "a\\u0000b"\n')
    build = ("build", models.saved("binary"), "-o", "out", "-q", "--sections", "overview")
    assert "NUL" in refused(capsys, 7, *build, "--config", "given.toml")


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
