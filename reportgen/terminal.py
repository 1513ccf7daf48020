"""What the terminal shows: progress (bars, plain lines where it is piped), findings and the outcome."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, Self

import click

from reportgen.importing import leave_out_unused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from reportgen.findings.judge import Judged
    from reportgen.page.folder import ReportFolder


_CLIENTS = (
    "adlfs", "aiobotocore", "aiohttp", "asyncio", "azure", "boto3", "botocore", "fsspec", "gcsfs", "google",
    "s3fs", "urllib3",
)  # fmt: skip
"""Loggers of what talks to object stores."""
LINE_EVERY = 15.0
"""Seconds between lines about a long stage."""


class Lines:
    """One line a stage on stderr, for logs and pipes; of long ones a line now and then."""

    def __init__(self) -> None:
        self._text, self._done = "", 0
        self._total: int | None = None
        self._started = self._said = 0.0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def stage(self, text: str, total: int | None = None) -> None:
        """Print the stage."""
        self._text, self._total, self._done = text, total, 0
        self._started = time.monotonic()
        self._print(f"{text} ({total:,})" if total else text)

    def advance(self, steps: int = 1) -> None:
        """Say from time to time how far it is: a line a step would drown the log."""
        self._done += steps
        if time.monotonic() - self._said >= LINE_EVERY:
            self._print(f"{self._text}: {self._far()}")

    def doing(self, text: str) -> None:
        """Say from time to time what is being done."""
        if time.monotonic() - self._said >= 4 * LINE_EVERY:
            self._print(f"{self._text}: {self._far()}; now {_printable(text, 200)}")

    def finished(self, text: str) -> None:
        """Say what has ended, and how far it is."""
        self._done += 1
        self._print(f"{_printable(text, 1_000)} ({self._far()})")

    def _far(self) -> str:
        far = f"{self._done:,} of {self._total:,}" if self._total else f"{self._done:,}"
        return f"{far}, {pace(self._done, self._total, time.monotonic() - self._started)}"

    def _print(self, text: str) -> None:
        self._said = time.monotonic()
        if sys.stderr is None:  # closed by whoever started us
            return
        with contextlib.suppress(OSError, ValueError):  # or read by nobody any more
            print(f"reportgen: {text}", file=sys.stderr, flush=True)  # noqa: T201


def _printable(text: str, most: int) -> str:
    """Return a text of somebody else in one line, of bounded length and without what steers a terminal."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def pace(done: int, total: int | None, seconds: float) -> str:
    """Say how fast a stage goes, and how long it takes still."""
    rate = done / seconds if seconds > 0 else 0.0
    fast = f"{rate:,.0f} a second" if rate >= 10 else f"{rate:.1f} a second"
    if 0 < rate < 0.3:
        fast = f"{60 * rate:.1f} a minute"
    if not total or not rate:
        return fast
    left = max(total - done, 0) / rate
    minutes, rest = divmod(round(left), 60)
    return f"{fast}, {minutes} min {rest} s left" if minutes else f"{fast}, {rest} s left"


class Bars:
    """A spinner or bar a stage, with its pace and the time left while it runs, and how long it took."""

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
        self._name = ""
        self._started = 0.0
        self._done = 0
        self._total: int | None = None

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
        self._done, self._total = 0, total
        self._name = text
        self._task = self._progress.add_task(text, total=total, took="")

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        if self._task is None:
            return
        self._done += steps
        seconds = time.monotonic() - self._started
        took = pace(self._done, self._total, seconds) if seconds > 1 else ""
        self._progress.update(self._task, advance=steps, took=took)

    def doing(self, text: str) -> None:
        """Show what is being done beside the bar's name."""
        if self._task is not None:
            self._progress.update(self._task, description=f"{self._name}: {_printable(text, 48)}")

    def finished(self, text: str) -> None:
        """Print what has ended above the bars, and move the bar."""
        self._progress.console.print(_printable(text, 1_000), markup=False, highlight=False)
        self.advance()

    def _finish(self) -> None:
        if self._task is None:
            return
        task = self._progress.tasks[self._task]
        total = task.total if task.total is not None else 1
        took = f"{time.monotonic() - self._started:.1f} s"
        self._progress.update(
            self._task, description=self._name, total=total, completed=total, took=took
        )


class Silence:
    """Progress that nobody sees."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def stage(self, text: str, total: int | None = None) -> None:
        """Pass over."""

    def advance(self, steps: int = 1) -> None:
        """Pass over."""

    def doing(self, text: str) -> None:
        """Pass over."""

    def finished(self, text: str) -> None:
        """Pass over."""


class Unseen:
    """Progress of what is made beside something else: nobody sees it until that is done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage: tuple[str, int | None] | None = None
        self._done = 0
        self._shown: Any = None

    def stage(self, text: str, total: int | None = None) -> None:
        """Begin a stage."""
        with self._lock:
            self._stage, self._done = (text, total), 0
            if self._shown is not None:
                self._shown.stage(text, total)

    def advance(self, steps: int = 1) -> None:
        """Count steps."""
        with self._lock:
            self._done += steps
            if self._shown is not None:
                self._shown.advance(steps)

    def show(self, shown: Any) -> None:
        """Let it be seen from now on, as far as it is."""
        with self._lock:
            self._shown = shown
            if self._stage is not None:
                shown.stage(*self._stage)
                if self._done:
                    shown.advance(self._done)


def progress(*, quiet: bool) -> Any:
    """Return what draws progress here: bars on a terminal, lines in a pipe, nothing when quiet."""
    if quiet:
        return Silence()
    return Bars() if sys.stderr is not None and sys.stderr.isatty() else Lines()


def quieten(options: Mapping[str, Any], *, verbose: bool = False, shared: bool = False) -> None:
    """Quieten the libraries before they are imported, and make them light; this process is ours alone.

    Args:
        options: of the build; where they name code of the user's, it may need any package.
        verbose: let them speak.
        shared: whether other programs' code runs here too, as a tracker's client; likewise.
    """
    import logging

    logging.basicConfig(level=logging.DEBUG if verbose else logging.CRITICAL, format="%(message)s")
    for noisy in ("matplotlib", "PIL", "tensorflow", "h5py", "absl"):
        logging.getLogger(noisy).setLevel(logging.WARNING if verbose else logging.CRITICAL)
    for client in _CLIENTS:  # they log headers that carry signatures, and keys
        logging.getLogger(client).setLevel(logging.CRITICAL)
    gc.set_threshold(50_000, 50, 100)  # tracing makes many objects, and few of them are garbage
    atexit.register(
        gc.freeze
    )  # else a process that ends looks once more for garbage: over a second
    named = ":" in str(options.get("preprocess") or "")  # MODULE:FUNCTION
    code = shared or named or options.get("custom_objects") or options.get("allow_code")
    leave_out_unused(wanted=not code)
    if options.get("device", "cpu") == "cpu":
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        # Blocks of images run side by side, which costs less than split operations (``nets.engine.lanes``).
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    else:
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as the driver counts cards
    if not verbose:
        warnings.simplefilter("ignore")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def say(text: object, *, err: bool = False) -> None:
    """Print a line where somebody reads it; a closed or broken output ends nothing."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, err=err)


def print_findings(judged: Judged) -> None:
    """Print a line for every error and warning that is not accepted, on stderr."""
    for finding in judged.findings:
        if finding.severity == "info" or finding.accepted:
            continue
        where = finding.where.variable or finding.where.layer
        place = f" in {' '.join(where.split())}" if where else ""
        say(f"{finding.severity}: {finding.title}{place}: {finding.observed}", err=True)


def print_outcome(folder: ReportFolder, judged: Judged) -> None:
    """Print findings, notices and the verdict on stderr, and where the page is on stdout."""
    print_findings(judged)
    for section in folder.report.sections:
        for notice in section.notices:
            if notice.level != "info":
                text = " ".join(notice.text.split())
                say(f"{notice.level}: {section.title}: {text}", err=True)
    say(folder.report.summary.verdict, err=True)
    say(folder.place)
