"""What an engine runs: it starts the child that makes one report, and says how that ended in the same words."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.children import run_guarded
from reportgen.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PART = ".reportgen-part-"
"""Begins the name of the folder that a report is made in; it is hidden from an index."""
MOST_BYTES = 512 * 2**20
"""Of a report that is sent back."""


class Order(NamedTuple):
    """A report to make, as it goes to a worker.

    Attributes:
        root: where reports lie; None where the worker may be another machine, which sends the report back.
        name: of its folder there.
        seconds: after which it is given up; None for no bound.
        memory: resident bytes above which it is given up; None for no bound.
        threads: that TensorFlow takes; None leaves that to the worker.
    """

    root: str | None
    name: str
    model: str
    options: Mapping[str, Any]
    seconds: float | None
    memory: int | None
    threads: int | None


class Outcome(NamedTuple):
    """How it ended.

    Attributes:
        reason: why there is no report; empty where there is one.
        code: what ``build`` exits with where there is one.
        where: the machine.
        files: of a report that is sent back, by their names within its folder.
    """

    reason: str
    code: int
    seconds: float
    where: str
    files: tuple[tuple[str, bytes], ...] = ()


def make_report(order: Order, cancelled: Callable[[], bool]) -> Outcome:
    """Make one report in a child process. Raises nothing: what a child does wrong costs its report only."""
    try:
        part = Path(tempfile.mkdtemp(prefix=PART, dir=order.root))
    except OSError as error:
        return Outcome(f"no folder can be made: {error.strerror}", 0, 0.0, socket.gethostname())
    try:
        return _made_in(part, order, cancelled)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _made_in(part: Path, order: Order, cancelled: Callable[[], bool]) -> Outcome:
    here, temporary, made = part / "here", part / "tmp", part / "report"
    here.mkdir()
    temporary.mkdir()
    target = Path(order.root, order.name) if order.root is not None else None
    again = target is not None and os.path.lexists(target)  # a report there is replaced in place
    given = {
        "version": __version__,
        "model": order.model,
        "options": order.options,
        "output": str(target if again else made),
        "result": str(part / "result"),
    }
    ended = run_guarded(
        Path(__file__).with_name("child.py"),
        json.dumps(given, default=str).encode("ascii"),  # file names may be no UTF-8
        folder=here,
        seconds=order.seconds,
        memory=order.memory,
        cancelled=cancelled,
        environment={"TMPDIR": str(temporary), **_threads(order.threads)},
    )
    where = socket.gethostname()
    try:
        code = int((part / "result").read_text("ascii"))
    except (OSError, ValueError):
        return Outcome(ended.reason or "ended without a report", 0, ended.seconds, where)
    files: tuple[tuple[str, bytes], ...] = ()
    try:
        if target is None:
            files = _read(made)
        elif not again:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.rename(target)
    except OSError as error:
        return Outcome(f"the report cannot be kept: {error.strerror}", 0, ended.seconds, where)
    return Outcome("", code, ended.seconds, where, files)


def _threads(count: int | None) -> dict[str, str]:
    """Return the variables that keep children from taking each other's processors; what the user set stands."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTEROP_THREADS")  # see ``nets.engine.lanes``
    return {} if count is None else {n: str(count) for n in names if n not in os.environ}


def _read(folder: Path) -> tuple[tuple[str, bytes], ...]:
    """Return a report's files, to be sent back.

    Raises:
        OSError: one cannot be read, or they are too large.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if sum(path.stat().st_size for path in paths) > MOST_BYTES:
        raise OSError(0, f"it is larger than {MOST_BYTES / 1e6:,.0f} MB")
    return tuple((path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths)
