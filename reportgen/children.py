"""Child processes: a file of ours by its path, in an empty folder, with limits on time and memory.

``run_file`` asks a short question; ``run_guarded`` runs long work, and says in the same words how it ended
wherever it ran.
"""

from __future__ import annotations

import contextlib
import math
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_EVERY = 0.05
"""Seconds between looks at a child's memory."""
_TAIL = 4_000
"""Bytes of what a child wrote last on stderr that are read."""


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


class Ended(NamedTuple):
    """How a guarded child ended.

    Attributes:
        reason: empty where it exited with 0; else ``exit 1: ValueError: …``, ``signal SIGKILL``, ``took longer
            than 60 s``, ``used more than 2,000 MB`` or ``cancelled``.
        seconds: that it ran.
    """

    reason: str
    seconds: float


def run_guarded(
    file: Path,
    given: bytes,
    *,
    folder: Path,
    seconds: float | None,
    memory: int | None,
    cancelled: Callable[[], bool],
    environment: Mapping[str, str],
) -> Ended:
    """Run a file of this package for long, in a process that ends with us.

    Its standard input holds one line, and stays open as long as we live: the child calls ``end_with_parent``.
    It leads a process group of its own, which a Ctrl-C of the terminal does not meet and which is ended whole.

    Args:
        file: the script.
        given: the line, without its end.
        folder: an empty one, where it starts.
        seconds: after which it is ended; None for no bound.
        memory: resident bytes above which it is ended, where the system tells them; None for no bound.
        cancelled: asked all the time whether it is to be ended.
        environment: variables that it has beside ours.
    """
    begun = time.monotonic()
    with tempfile.TemporaryFile() as problems:  # a pipe that nobody empties would stop it
        try:
            child = subprocess.Popen(  # noqa: S603 - our own file
                [sys.executable, "-P", str(file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=problems,
                cwd=folder,
                env={**os.environ, **environment, "PYTHONSAFEPATH": "1"},
                start_new_session=True,
            )
        except OSError as error:
            return Ended(f"could not be started: {error.strerror}", 0.0)
        with child:
            try:
                if child.stdin is not None:
                    with contextlib.suppress(OSError):  # it has ended already
                        child.stdin.write(given + b"\n")
                        child.stdin.flush()
                reason = _awaited(child, begun, seconds, memory, cancelled)
            finally:
                end_group(child)
        reason = reason or reason_of_end(child.returncode, problems)
    return Ended(reason, time.monotonic() - begun)


def _awaited(
    child: subprocess.Popen[bytes],
    begun: float,
    seconds: float | None,
    memory: int | None,
    cancelled: Callable[[], bool],
) -> str:
    """Wait until a child has ended, or say why it is to be ended."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_EVERY)
            return ""
        if cancelled():
            return "cancelled"
        if seconds is not None and time.monotonic() - begun > seconds:
            return f"took longer than {seconds:g} s"
        if memory is not None and (resident_bytes(child.pid) or 0) > memory:
            return f"used more than {memory / 1e6:,.0f} MB"


def reason_of_end(code: int, problems: IO[bytes]) -> str:
    """Say how a process ended: nothing where all was well, else a signal, or its code and its last line.

    Args:
        code: as ``subprocess`` returns it.
        problems: what it wrote on stderr, as a file.
    """
    if code < 0:
        return f"signal {_signal_name(-code)}"
    if not code:
        return ""
    problems.seek(max(0, problems.seek(0, os.SEEK_END) - _TAIL))
    lines = problems.read().decode("utf-8", "replace").strip().splitlines()
    return ": ".join([f"exit {code}", *lines[-1:]])


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child and its own children; what has ended already does not matter."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
    child.kill()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)


def end_with_parent() -> None:
    """Let this process, and its group, end when whoever holds the other end of its standard input is gone.

    Where the system can, it sends a signal by itself, which a loop in a library does not delay; elsewhere a
    thread waits for the end of the input.
    """
    if hasattr(os, "O_ASYNC"):
        import fcntl

        with contextlib.suppress(OSError):  # not every system does so for pipes
            fcntl.fcntl(0, fcntl.F_SETOWN, -os.getpgrp())
            fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_end_at_eof, daemon=True).start()


def _end_at_eof() -> None:
    while os.read(0, 1_000):
        pass
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGTERM)  # on Windows this ends the process


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
