"""The journal of a batch: ``runs.jsonl``, a line a report that was made or failed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from reportgen.errors import OutputError
from reportgen.files import read_regular, reason_of

if TYPE_CHECKING:
    from pathlib import Path

RUNS_JSONL = "runs.jsonl"
MOST_BYTES = 256 * 2**20
"""Of a journal that is read."""
_BEGINS = b'{"name":'


class Run(msgspec.Struct, frozen=True):
    """How making one report ended.

    Attributes:
        name: of its folder, relative to the folder of the journal.
        model: the file's name.
        digest: of the model, its options and the version of reportgen.
        ok: whether the report was made.
        reason: why not.
        code: what ``build`` exits with: 3 where a section failed, 4 where a finding reached the gate.
        seconds: that it took.
        engine: that ran it.
        where: the machine.
        finished: UTC.
        report: digest of the ``report.json`` that was made; another one there is another report.
    """

    name: str
    model: str = ""
    digest: str = ""
    ok: bool = False
    reason: str = ""
    code: int = 0
    seconds: float = 0.0
    engine: str = ""
    where: str = ""
    finished: str = ""
    report: str = ""


def read_runs(root: Path) -> dict[str, Run]:
    """Return the last run of each report, by its name.

    Lines that are none (of a newer version, or cut off by a crash) are passed over: what has no line is made
    again.

    Raises:
        OutputError: what stands there is no journal, or cannot be read.
    """
    path = root / RUNS_JSONL
    if not os.path.lexists(path):
        return {}
    try:
        data = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {reason_of(error)}.") from None
    if data and not data.startswith(_BEGINS):
        raise OutputError(f"{path} is no journal of reportgen: move it away.")
    runs: dict[str, Run] = {}
    for line in data.splitlines():
        try:
            run = msgspec.json.decode(line, type=Run)
        except (msgspec.DecodeError, ValueError, RecursionError):
            continue
        runs[run.name] = run
    return runs


def append_run(root: Path, run: Run) -> None:
    """Append a line to the journal in one write; a line that a crash cut off is ended first.

    Raises:
        OutputError: it cannot be written.
    """
    path = root / RUNS_JSONL
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            size = os.fstat(descriptor).st_size
            os.lseek(descriptor, max(0, size - 1), os.SEEK_SET)
            torn = size > 0 and os.read(descriptor, 1) != b"\n"
            os.write(descriptor, b"\n" * torn + msgspec.json.encode(run) + b"\n")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from None
