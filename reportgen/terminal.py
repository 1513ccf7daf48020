"""Progress on the terminal: a bar where it can be drawn, plain lines where it is piped."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType


class Lines:
    """One line a stage on stderr, for logs and pipes."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def stage(self, text: str, total: int | None = None) -> None:
        """Print the stage."""
        counted = f" ({total})" if total else ""
        print(f"reportgen: {text}{counted}", file=sys.stderr, flush=True)  # noqa: T201

    def advance(self, steps: int = 1) -> None:
        """Say nothing: a line a step would drown the log."""


class Bars:
    """A spinner or bar a stage, with how long each took."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[took]}"),
            console=Console(stderr=True),
        )
        self._task: Any = None
        self._started = 0.0

    def __enter__(self) -> Self:
        """Begin drawing."""
        self._progress.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing; a stage that was broken off stays unfinished."""
        if kind is None:
            self._finish()
        self._progress.__exit__(kind, error, trace)

    def stage(self, text: str, total: int | None = None) -> None:
        """Finish the stage before and begin this one."""
        self._finish()
        self._started = time.monotonic()
        self._task = self._progress.add_task(text, total=total, took="")

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.advance(self._task, steps)

    def _finish(self) -> None:
        if self._task is None:
            return
        task = self._progress.tasks[self._task]
        total = task.total if task.total is not None else 1
        took = f"{time.monotonic() - self._started:.1f} s"
        self._progress.update(self._task, total=total, completed=total, took=took)


def progress(*, quiet: bool) -> Any:
    """Return what draws progress here: bars on a terminal, lines in a pipe, nothing when quiet."""
    if quiet:
        from contextlib import nullcontext

        return nullcontext()
    return Bars() if sys.stderr.isatty() else Lines()
