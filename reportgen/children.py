"""Child processes: a file of ours by its path, in an empty folder, with limits on time and memory."""

from __future__ import annotations

import contextlib
import math
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

_EVERY = 0.05
"""Seconds between looks at a child's memory."""


class ChildError(Exception):
    """A child could not be started, or had to be ended; the text says why."""


class Answer(NamedTuple):
    """What a child said.

    Attributes:
        code: its exit code.
        out: its output, text.
        problem: the last line that it wrote on stderr.
    """

    code: int
    out: str
    problem: str


def run_file(
    file: Path, *arguments: str, given: str = "", seconds: float, memory: int | None = None
) -> Answer:
    """Run a file of this package in a process of its own.

    Nothing of the folder where the user calls us can be imported: the file is named by its path, the child
    starts in an empty folder, and neither is on its path. Its processor time is bounded by the system too: it
    ends by itself where we were killed.

    Args:
        file: the script.
        arguments: its arguments.
        given: its standard input.
        seconds: after which it is ended.
        memory: resident bytes above which it is ended, where the system tells them; None for no bound.

    Raises:
        ChildError: it could not be started, or went over a limit.
    """
    with tempfile.TemporaryDirectory(prefix="reportgen-") as empty:
        try:
            child = subprocess.Popen(  # noqa: S603 - our own file
                [sys.executable, "-P", __file__, str(file), f"{seconds:g}", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=empty,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
            )
        except OSError as error:
            raise ChildError(f"it could not be started ({error.strerror})") from None
        watch = _Watch(child, memory)
        try:
            out, problems = child.communicate(given, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise ChildError(f"it took longer than {seconds:g} seconds") from None
        finally:
            if child.poll() is None:
                child.kill()
                child.communicate()
            watch.end()
    if watch.exceeded:
        raise ChildError(f"it took more than {(memory or 0) / 2**20:,.0f} MiB of memory")
    lines = problems.strip().splitlines()
    return Answer(child.returncode, out, lines[-1] if lines else "")


class _Watch:
    """Ends a child whose resident memory exceeds a bound; an address space would be bounded too early."""

    def __init__(self, child: subprocess.Popen[str], memory: int | None) -> None:
        self.exceeded = False
        self._child, self._memory = child, memory
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        if memory is not None:
            self._thread.start()

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        if self._memory is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(_EVERY):
            held = resident_bytes(self._child.pid)
            if held is None:
                return
            if held > (self._memory or 0):
                self.exceeded = True
                self._child.kill()
                return


def _run_here(file: str, seconds: str, *arguments: str) -> None:
    """Be the child."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        most = math.ceil(float(seconds)) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    sys.argv = [file, *arguments]
    runpy.run_path(file, run_name="__main__")


def resident_bytes(process: int) -> int | None:
    """Return the resident memory of a process; None where the system does not tell, or it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    _run_here(*sys.argv[1:])
