"""Processes of our own that live for many tasks; one that is lost is replaced."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.children import end_group, reason_of_end
from reportgen.engines.child import read_frame, write_frame
from reportgen.engines.engine import Engine, LostError
from reportgen.engines.processors import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future


@contextlib.contextmanager
def open_processes(jobs: int) -> Iterator[Engine]:
    """Open processes beside this one; each begins with its first task, and all end with the block.

    All share the processors. Functions must return bytes: nothing that a process says is unpickled here.
    """
    share = str(max(1, processors() // (jobs + 1)))
    threads = {
        "OMP_NUM_THREADS": share,
        "TF_NUM_INTEROP_THREADS": share,
    }  # see ``nets.engine.lanes``
    own = {name: value for name, value in threads.items() if name not in os.environ}
    with tempfile.TemporaryDirectory(prefix="reportgen-", ignore_cleanup_errors=True) as empty:
        pool = _Processes(jobs, empty, {**own, "TF_FORCE_GPU_ALLOW_GROWTH": "true"})
        try:
            yield Engine(pool, jobs, 2 * jobs, _never)
        finally:
            pool.shutdown(cancel_futures=True)


def _never() -> bool:
    """A task that nobody waits for is ended with its process."""
    return False


class _Processes(Executor):
    """Threads that each call a process and wait.

    Args:
        jobs: processes.
        folder: an empty one, where they start.
        environment: variables that they have beside ours.
    """

    def __init__(self, jobs: int, folder: str, environment: dict[str, str]) -> None:
        self._folder, self._environment = folder, environment
        self._threads = ThreadPoolExecutor(jobs, "reportgen-worker")
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        """Run a function of a module that returns bytes, in the next process that is free."""
        call = pickle.dumps((fn.__module__, fn.__qualname__, args))
        return self._threads.submit(self._call, call)

    def _call(self, call: bytes) -> bytes:
        process = self._taken()
        try:
            answer = process.ask(call)
        except LostError:
            self._drop(process)
            raise
        with self._lock:
            self._idle.append(process)
        if answer[:1] == b"\0":
            return answer[1:]
        raise RuntimeError(answer[1:].decode("utf-8", "replace"))

    def _taken(self) -> _Process:
        with self._lock:
            if self._closed:
                raise LostError("it was ended")
            if self._idle:
                return self._idle.pop()
            process = _Process(self._folder, self._environment)
            self._all.add(process)
            return process

    def _drop(self, process: _Process) -> None:
        with self._lock:
            self._all.discard(process)
        process.end()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as it is there
        """Wait for what was submitted, or end what runs; then end all processes."""
        if not cancel_futures:
            self._threads.shutdown(wait=wait)
        with self._lock:
            self._closed = True
            left = list(self._all)
        for process in left:
            process.end()
        self._threads.shutdown(cancel_futures=True)


class _Process:
    """One process, which leads a group of its own: a Ctrl-C of the terminal does not meet it."""

    def __init__(self, folder: str, environment: dict[str, str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody empties would stop it
        try:
            self._child = subprocess.Popen(  # noqa: S603 - our own file
                [sys.executable, "-P", str(Path(__file__).with_name("child.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                cwd=folder,
                env={**os.environ, **environment, "PYTHONSAFEPATH": "1"},
                start_new_session=True,
            )
        except OSError as error:
            self._said.close()
            raise LostError(f"it could not be started: {error.strerror}") from None

    def ask(self, call: bytes) -> bytes:
        """Return the answer to a call.

        Raises:
            LostError: the process has ended.
        """
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None  # noqa: S101 - for the types
        assert stdout is not None  # noqa: S101 - for the types
        answer = None
        with contextlib.suppress(OSError, ValueError):
            write_frame(stdin, call)  # type: ignore[arg-type]
            answer = read_frame(stdout)  # type: ignore[arg-type]
        if answer is None:
            raise LostError(self._reason())
        return answer

    def _reason(self) -> str:
        """Say how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(5)
        code = self._child.returncode
        if code is None:
            return "it does not answer"
        with contextlib.suppress(OSError, ValueError):
            return reason_of_end(code, self._said) or "exit 0"
        return f"exit {code}"

    def end(self) -> None:
        """End it and what it has started."""
        end_group(self._child)
        self._child.wait()
        for stream in (self._child.stdin, self._child.stdout, self._said):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
