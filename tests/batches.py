"""What the tests of batches share: small models, files that break a build, which processes are left."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import models

MARK = "REPORTGEN_TEST_MARK"
# A test run in the background of a shell hands down that Ctrl-C is ignored.
HEEDFUL = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("reportgen", run_name="__main__")
"""
BREAKS = {
    "raises": "raise ValueError('bad <b>layer</b>')",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "segfault": "import ctypes\nctypes.string_at(0)",
    "memory": "held = []\nwhile True:\n    held.append(b'x' * 50_000_000)",
    "hangs": "import pathlib, re\n"
    "pathlib.Path(__file__ + '.begun').touch()\nre.match('(a+)+$', 'a' * 99 + 'b')",
}
"""Custom objects that end the process, or never end: the last holds Python's lock all the time."""
LIGHT = 'weights_only = true\nsections = ["overview"]\n'
"""Takes no TensorFlow."""


def copies(folder, *names):
    """Copy a small model under several names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(models.saved("binary"), folder / f"{name}.keras")
    return folder


def breaking(folder, *kinds):
    """Return the tables of reports that break, each by a file that it trusts."""
    text = ""
    for kind in kinds:
        (folder / f"{kind}.py").write_text(BREAKS[kind])
        copies(folder, kind)
        text += f'[{kind}]\nmodel = "{kind}.keras"\ncustom-objects = ["{kind}.py"]\nquick = true\n'
    return text


def light(folder, *names):
    """Return the tables of reports that are made in a moment."""
    copies(folder, *names)
    return "".join(f'[{name}]\nmodel = "{name}.keras"\n{LIGHT}' for name in names)


@contextmanager
def started(*arguments, cwd):
    """Start a batch; all that it starts carries a mark."""
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-c", HEEDFUL, "batch", *map(str, arguments)],
        env=models.environment(**{MARK: mark, "SOURCE_DATE_EPOCH": "1750000000"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
    )
    try:
        yield process, mark
    finally:
        process.kill()
        process.communicate()


def ran(*arguments, cwd):
    """Run a batch to its end; return its exit code, stdout and stderr, and see that nothing of it lives on."""
    with started(*arguments, cwd=cwd) as (process, mark):
        out, err = process.communicate(timeout=400)
    assert gone(mark, seconds=20) == []
    return process.returncode, out, err


def marked(mark):
    """List the command lines of the processes that carry a mark."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                if f"{MARK}={mark}".encode() in (place / "environ").read_bytes().split(b"\0"):
                    line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found.append(f"{place.name} {line[:200]}")
            except OSError:
                continue
    return found


def gone(mark, seconds):
    """Wait until nothing carries a mark any more, and return what does after that time."""
    end = time.monotonic() + seconds
    while (left := marked(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def wait_for(holds, seconds=120):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def lines(root):
    """Return the journal's lines."""
    path = root / "runs.jsonl"
    return (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )


def leftovers(root):
    """Return what only a batch in the middle of its work has."""
    return [p for p in root.rglob("*") if re.search(r"\.reportgen", p.name)]


def rows(root):
    """Return the folders' names on the index, in its order, as far as they are not made."""
    page = (root / "index.html").read_text("utf-8")
    return re.findall(r'<tr class="of-(\w+)">.*?<(?:bdi|a [^>]*)>([^<]*)<', page)


def tree(root):
    """Return the bytes of all reports by their paths, without the journal's."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "runs.jsonl"
    }
