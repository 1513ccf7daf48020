"""Importing sooner: what is loaded ahead, what nobody is told of it, and what is left out for a while."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import tempfile

import pytest

from reportgen import build_report, importing
from reportgen.errors import OutputError

QUIET = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def run(script, **variables):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    made = subprocess.run(
        [sys.executable, "-c", script],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return made.stdout.split(), made.stderr


AHEAD = """
import sys
from pathlib import Path
from reportgen.importing import importing_ahead
with importing_ahead():
    print("waiting")
print(*(name for name in ("h5py", "matplotlib.figure", "tensorflow", "keras") if name in sys.modules))
if Path("/proc/self/maps").exists():
    print("libtensorflow_cc.so" in Path("/proc/self/maps").read_text())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc loads them without Python")
def test_what_a_build_needs_is_there_after_the_block_and_nothing_is_printed():
    assert run(AHEAD, **QUIET) == (["waiting", "h5py", "matplotlib.figure", "True"], "")
    assert run(AHEAD) == (["waiting", "h5py", "matplotlib.figure", "False"], ""), "not asked"


def test_an_error_of_the_block_comes_through_without_what_libraries_print():
    script = AHEAD.replace('print("waiting")', "raise OSError('damaged')")
    script = (
        f"try:\n    exec({script!r})\nexcept OSError as error:\n    print(error, file=sys.stderr)"
    )
    assert run(f"import sys\n{script}", **QUIET) == ([], "damaged\n")


def test_a_program_without_tensorflow_goes_on():
    script = "import sys; sys.modules['tensorflow'] = None; sys.modules['h5py'] = None\n" + AHEAD
    printed, problem = run(script.replace('"tensorflow", "keras"', '"keras"'), **QUIET)
    assert printed[0] == "waiting"
    assert not problem


def test_packages_that_are_left_out_read_as_missing_while_others_are_imported(monkeypatch):
    monkeypatch.setattr(importing, "_UNUSED", ("colorsys", "sys"))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    importing.leave_out_unused(wanted=True)
    try:
        with importing.without_unused():
            with pytest.raises(ImportError):
                importlib.import_module("colorsys")
            assert importlib.import_module("sys") is sys, "it was imported before"
        assert importlib.import_module("colorsys").rgb_to_hsv(0, 0, 0) == (0, 0, 0)
        importing.leave_out_unused(wanted=False)
        monkeypatch.delitem(sys.modules, "colorsys")
        with importing.without_unused():
            importlib.import_module("colorsys")
    finally:
        importing.leave_out_unused(wanted=False)


def test_what_is_held_back_comes_out_where_the_block_fails(capfd):
    with importing.held_back_stderr():
        os.write(2, b"of no interest\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(ValueError, match="broken"), importing.held_back_stderr():
        speak_and_fail()
    assert capfd.readouterr().err == "why\n"
    silent = importing.held_back_stderr(unless_failed=False)
    with pytest.raises(ValueError, match="broken"), silent:
        speak_and_fail()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_blocks_of_two_threads_leave_stderr_as_it_was(capfd):
    first, second = importing.held_back_stderr(), importing.held_back_stderr()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    os.write(2, b"said\n")
    second.__exit__(None, None, None)
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "said\nafter\n"


@contextlib.contextmanager
def no_temporary_files():
    """No folder takes them, as in a container whose file system may only be read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", None)
        patch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
        yield


def test_without_temporary_files_nothing_is_held_back(capfd):
    with no_temporary_files(), importing.held_back_stderr():
        os.write(2, b"said\n")
    assert capfd.readouterr().err == "said\n"


@pytest.mark.parametrize("output", [None, "report", "memory://bucket/report"])
def test_a_build_without_temporary_files_says_what_to_do(tmp_path, output):
    place = tmp_path / output if output == "report" else output
    problem = pytest.raises(OutputError, match="written: name one in the variable TMPDIR")
    with no_temporary_files(), problem:
        build_report(tmp_path / "model.keras", output=place)
    assert not any(tmp_path.iterdir())


def speak_and_fail():
    os.write(2, b"why\n")
    raise ValueError("broken")
