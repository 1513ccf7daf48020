"""The driver: submits reports to an engine, and alone counts them, keeps the journal and draws the index."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import time
from concurrent.futures import FIRST_COMPLETED, wait
from typing import TYPE_CHECKING, NamedTuple, Protocol

from reportgen.batch.digest import digest_of, digest_of_file, state
from reportgen.batch.plan import check_reach
from reportgen.batch.task import PART, Order, Outcome, make_report
from reportgen.engines.opening import open_executor
from reportgen.engines.places import is_remote
from reportgen.engines.processors import processors
from reportgen.errors import (
    LockedError,
    OutputError,
    ReportgenError,
    error_text,
    without_folders,
    worst,
)
from reportgen.page.index import check_root, write_index
from reportgen.page.look import OWN
from reportgen.page.output import check_folder, locked
from reportgen.page.publish import is_complete, publish_files
from reportgen.report.model import INDEX_HTML, REPORT_JSON
from reportgen.report.runs import Run, append_run, read_runs
from reportgen.wording import plural, readable_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from reportgen.batch.plan import Job
    from reportgen.engines.engine import Engine
    from reportgen.engines.opening import EngineName
    from reportgen.page.look import Look

LOCK = ".reportgen-batch.lock"
_LOOK = 0.5
"""Seconds after which the driver looks up, also where nothing has ended."""
_DRAW = 2.0
"""Seconds between drawings of the index, at least."""
_DRAW_SHARE = 20
"""Times that a drawing took until the next: it takes a twentieth of the driver's time at most."""
_PATIENCE = 10.0
"""Seconds that the last drawing waits for another one."""


class Shown(Protocol):
    """What is told how far a batch is; see ``reportgen.terminal``."""

    def stage(self, text: str, total: int | None = None) -> None:
        """Begin a stage."""

    def doing(self, text: str) -> None:
        """Say what is being done."""

    def finished(self, text: str) -> None:
        """Say what has ended, and count it."""


class How(NamedTuple):
    """How reports are made.

    Attributes:
        jobs: at once; None for as many as there are processors, or as the cluster takes.
        seconds: after which a report is given up.
        memory: resident bytes above which a report is given up.
        retries: how often a report is begun again whose machine was lost.
        fresh: whether also those are made again that the journal has.
        force: whether an ``index.html`` that is none of ours is written over.
        title: heading of the index.
        look: of the index.
    """

    engine: EngineName = "local"
    address: str | None = None
    jobs: int | None = None
    seconds: float | None = None
    memory: int | None = None
    retries: int = 1
    fresh: bool = False
    force: bool = False
    title: str | None = None
    look: Look = OWN


class Tally(NamedTuple):
    """What became of a batch.

    Attributes:
        made: runs of this time that ended with a report.
        failed: those that ended without.
        kept: runs of an earlier time whose reports stand.
    """

    made: tuple[Run, ...]
    failed: tuple[Run, ...]
    kept: tuple[Run, ...]

    @property
    def exit_code(self) -> int:
        """What the command exits with: 3 where a report failed, else the worst of the reports'."""
        return worst([*(3 for _ in self.failed), *(run.code for run in (*self.made, *self.kept))])

    @property
    def sentence(self) -> str:
        """The counts in words."""
        parts = [f"{plural(len(self.made), 'report')} made"]
        parts += [f"{len(self.kept):,} unchanged"] * bool(self.kept)
        parts += [f"{len(self.failed):,} failed"] * bool(self.failed)
        return ", ".join(parts)


def run_batch(jobs: Sequence[Job], root: Path, how: How, shown: Shown) -> Tally:
    """Make reports below a folder, each in a child process of its own, and an index over them.

    Reports whose line stands in ``runs.jsonl`` with the same digest are not made again. Whenever this is
    killed, what is finished stands in the journal, and every folder holds a whole report.

    Args:
        jobs: the reports.
        root: the folder.
        how: they are made.
        shown: told how far it is.

    Raises:
        UsageError: files of this machine are named, and the workers may be others.
        OutputError: the folder cannot be written, or holds something else.
        LockedError: another batch writes to it.
        ReportgenError: the engine cannot be used.
    """
    check_reach(jobs, how.address)
    root = root.absolute()
    check_root(root, force=how.force)
    with locked(root, LOCK):
        _sweep(root)
        batch = _Batch(root, how, shown)
        try:
            return batch.run(jobs)
        finally:
            _sweep(root)


class _Batch:
    """One run of a batch: the only writer of journal and index."""

    def __init__(self, root: Path, how: How, shown: Shown) -> None:
        self.root, self.how, self.shown = root, how, shown
        self.before = read_runs(root)
        self.made: list[Run] = []
        self.failed: list[Run] = []
        self.index = _Index(root, how)

    def run(self, jobs: Sequence[Job]) -> Tally:
        """Make what is missing."""
        self.shown.stage("Looking for what is unchanged")
        state.cache_clear()
        kept = {} if self.how.fresh else {j.name: r for j in jobs if (r := self._kept(j))}
        missing = [job for job in jobs if job.name not in kept]
        try:
            if missing:
                self._make(missing)
        except KeyboardInterrupt:
            self.index.draw(hurried=True)
            raise
        self.index.draw(last=True)
        return Tally(tuple(self.made), tuple(self.failed), tuple(kept.values()))

    def _kept(self, job: Job) -> Run | None:
        """Return the run that made a report which is unchanged and still there."""
        run, folder = self.before.get(job.name), self.root / job.name
        if run is None or not run.ok or not run.report:
            return None
        if not (folder / INDEX_HTML).is_file() or _digest(folder) != run.report:
            return None  # removed, or another report, which somebody made there meanwhile
        try:
            return run if digest_of(job) == run.digest else None
        except ReportgenError:
            return None

    def _make(self, jobs: Sequence[Job]) -> None:
        how = self.how
        self.shown.stage(f"Starting {how.engine}")
        with open_executor(
            how.engine, jobs=how.jobs, address=how.address, retries=how.retries
        ) as engine:
            self.shown.stage(f"Reports, {engine.workers} at once on {how.engine}", len(jobs))
            waiting = iter(jobs)
            running: dict[Future[Outcome], tuple[Job, str]] = {}
            while True:
                while len(running) < engine.window and (job := next(waiting, None)):
                    if submitted := self._submit(job, engine):
                        running[submitted[0]] = submitted[1]
                if not running:
                    return
                names = [job.name for job, _ in running.values()][: engine.workers]
                self.shown.doing(", ".join(names))
                for future in wait(running, _LOOK, FIRST_COMPLETED).done:
                    self._settle(future, *running.pop(future))
                self.index.draw()

    def _submit(self, job: Job, engine: Engine) -> tuple[Future[Outcome], tuple[Job, str]] | None:
        how, away = self.how, is_remote(self.how.address)
        try:
            digest = digest_of(job)  # before it is read: what changes in between is made again
        except ReportgenError as error:
            self._keep(
                job,
                "",
                Outcome(f"exit {error.exit_code}: {without_folders(str(error))}", 0, 0.0, ""),
            )
            return None
        order = Order(
            root=None if away else str(self.root),
            name=job.name,
            model=job.model,
            options={**job.options, "force": how.force, "fresh": how.fresh},
            seconds=how.seconds,
            memory=how.memory,
            threads=None if how.address else max(1, processors() // engine.workers),
        )
        return engine.executor.submit(make_report, order, engine.cancelled), (job, digest)

    def _settle(self, future: Future[Outcome], job: Job, digest: str) -> None:
        """Count what has ended; a report that was sent back is kept first."""
        try:
            outcome = future.result()
        except Exception as error:  # noqa: BLE001 - engines have errors of their own: the machine was lost
            outcome = Outcome(f"the worker was lost: {error_text(error)}", 0, 0.0, "")
        if outcome.files and not outcome.reason:
            try:
                _receive(self.root, job.name, outcome.files, force=self.how.force)
            except OutputError as error:
                reason = f"exit {error.exit_code}: {without_folders(str(error))}"
                outcome = outcome._replace(reason=reason)
        self._keep(job, digest, outcome)

    def _keep(self, job: Job, digest: str, outcome: Outcome) -> None:
        run = Run(
            name=job.name,
            model=readable_name(job.model.rpartition("/")[2]),
            digest=digest,
            ok=not outcome.reason,
            reason=readable_name(outcome.reason),
            code=_exit_code(outcome),
            seconds=round(outcome.seconds, 2),
            engine=self.how.engine,
            where=outcome.where,
            finished=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            report="" if outcome.reason else _digest(self.root / job.name),
        )
        append_run(self.root, run)
        (self.made if run.ok else self.failed).append(run)
        there = f" on {run.where}" if run.where else ""
        made, failed = f"made in {run.seconds:.1f} s{there}", f"failed{there}: {run.reason}"
        self.shown.finished(f"{run.name}: {made if run.ok else failed}")
        self.index.stale = True


def _exit_code(outcome: Outcome) -> int:
    """Return what ``build`` would exit with: of what was killed, or lost, that of anything else."""
    if not outcome.reason:
        return outcome.code
    found = re.match(r"exit (\d+)\b", outcome.reason)
    return int(found[1]) if found else 1


def _digest(folder: Path) -> str:
    """Return the digest of a folder's ``report.json``; nothing where there is none to read."""
    try:
        return digest_of_file(folder / REPORT_JSON).hex()[:32]
    except OSError:
        return ""


class _Index:
    """The page over all reports, drawn again from time to time."""

    def __init__(self, root: Path, how: How) -> None:
        self.stale = False
        self._root, self._how = root, how
        self._drawn = self._took = 0.0

    def draw(self, *, last: bool = False, hurried: bool = False) -> None:
        """Draw it where that is due: at last always, in a hurry where it took no time before."""
        due = self.stale and time.monotonic() - self._drawn > max(_DRAW, _DRAW_SHARE * self._took)
        if not (last or due or (hurried and self.stale and self._took < 1)):
            return
        begun = time.monotonic()
        while True:  # somebody else may make an index here
            try:
                how = self._how
                write_index(self._root, title=how.title, force=how.force, look=how.look)
                break
            except LockedError:
                if not last:
                    return
                if time.monotonic() - begun > _PATIENCE:
                    raise
                time.sleep(_LOOK)
        self._drawn = time.monotonic()
        self._took, self.stale = self._drawn - begun, False


def _sweep(root: Path) -> None:
    """Remove the folders of children that were killed; we hold the lock, so none of them lives."""
    for part in root.glob(f"{PART}*"):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)


def _receive(root: Path, name: str, files: Sequence[tuple[str, bytes]], *, force: bool) -> None:
    """Keep a report that a worker sent back: as ``build`` writes it, beside what else lies there.

    Raises:
        OutputError: something else stands there, it cannot be written, or what was sent is no report.
    """
    target, sent = root / name, dict(files)
    if not is_complete(sent):
        raise OutputError(
            f"The worker sent files that are no report: {', '.join(sorted(sent)[:3])}."
        )
    check_folder(target, force=force)
    with locked(target):
        publish_files(target, sent)
