"""The driver: hands shards out to an engine's workers, and takes what they give in order."""

from __future__ import annotations

import logging
import os
import pickle
import time
from collections import Counter, deque
from concurrent.futures import FIRST_COMPLETED, wait
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from reportgen.addresses import is_address
from reportgen.cache import names_in, unpacked
from reportgen.engines.opening import open_executor
from reportgen.engines.places import is_remote
from reportgen.engines.processors import processors
from reportgen.errors import ModelError, ReportgenError, UsageError, error_text
from reportgen.files import read_regular, reason_of
from reportgen.opened import asked_of
from reportgen.shards import problems_in
from reportgen.version import __version__
from reportgen.wording import plural
from reportgen.workers.task import MODEL_FILES, Recipe, fold_on_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from reportgen.context import Context, Driver, Piece
    from reportgen.engines.engine import Engine
    from reportgen.settings import Settings

log = logging.getLogger("reportgen")

_LOCAL = {None, "local"}
_TRIED = 2
"""Shards that this process folds at least before it says how long the rest would take."""
PAYS = 20.0
"""Seconds that the rest has to take in this process for workers to be started, unless an engine was asked for.

Each begins with some 6 CPU seconds: TensorFlow's import, loading, tracing.
"""


def chosen_workers(
    settings: Settings, model: Any, data: Any, function: Callable[[Any], Any] | None
) -> ShardWorkers | None:
    """Return the workers that the settings ask for; None where this process does all.

    What lies in this process's memory alone cannot travel: with ``--jobs`` a line of the log says so.

    Args:
        settings: the options.
        model: as it was given.
        data: likewise.
        function: of the user, that prepares images.

    Raises:
        UsageError: a cluster was asked for, and there is nothing that could be sent there.
    """
    local = settings.engine in _LOCAL
    if settings.address is not None and local:
        raise UsageError("--address names a cluster: choose its --engine, ray or dask.")
    jobs = settings.jobs or (1 if settings.engine is None else processors())
    if local and jobs < 2:
        return None
    if data is None:
        if not local:
            raise UsageError(
                f"--engine {settings.engine} folds a data set: there is none without --data."
            )
        return None
    if reason := _kept_here(model, data, function):
        if not local:
            raise UsageError(f"--engine {settings.engine}: {reason}, and workers cannot see it.")
        log.warning("--jobs: %s, so the data set runs through the network there alone", reason)
        return None
    if is_remote(settings.address):
        _check_reach(settings, data)
    path = str(data) if is_address(data) else str(Path(data).absolute())
    return ShardWorkers(settings, Path(model).absolute(), path)


def _kept_here(model: Any, data: Any, function: Callable[[Any], Any] | None) -> str:
    """Say what lies in this process's memory alone."""
    if not isinstance(model, str | Path):
        return "the model is an object of this process"
    if not isinstance(data, str | Path):
        return "the data set is an object of this process"
    return "" if function is None else "the function that prepares images is one of this process"


def _check_reach(settings: Settings, data: str | Path) -> None:
    """Refuse files of this machine where the workers may be others.

    Raises:
        UsageError: one is named.
    """
    named = [("--data", str(data))]
    named += [("--data-features", text) for text in [settings.data_features] if text]
    named += [
        ("--custom-objects", text) for text in settings.custom_objects if text.endswith(".py")
    ]
    instead = {
        "--data": "name it by an address such as s3://bucket/…",
        "--data-features": "a features.toml beside the files is read there.",
        "--custom-objects": "install it there as a module, and name that.",
    }
    for flag, path in named:
        if not is_address(path):
            raise UsageError(
                f"{flag} {path} lies on this machine, and workers at --address {settings.address} may not: "
                f"{instead[flag]}"
            )


def _folded_here(piece: Piece, driver: Driver) -> dict[str, NDArray[Any]]:
    """Fold a shard in this process, and keep what it gave.

    Raises:
        Exception: what the shard raised, as a worker's would be.
    """
    packed = driver.fold(piece)
    arrays = unpacked(packed)
    if (error := problems_in(arrays).get("")) is not None:
        raise error
    if "problems" not in arrays:
        driver.keep(piece.number, packed)
    return arrays


class _Sent(NamedTuple):
    """What every task takes: the recipe as the engine shares it, and its digest."""

    recipe: Any
    digest: str


class ShardWorkers:
    """Workers of an engine; see ``context.Workers``.

    Args:
        settings: the options.
        model: path of the model.
        data: path or address of the data set.
    """

    def __init__(self, settings: Settings, model: Path, data: str) -> None:
        self._settings, self._model, self._data = settings, model, data

    def worth(self, count: int) -> bool:
        """Tell whether so many shards are worth starting workers: one is not, on this machine."""
        return count > (1 if self._settings.engine in _LOCAL else 0)

    def fold(
        self,
        context: Context,
        kinds: Sequence[str],
        pieces: Sequence[Piece],
        driver: Driver,
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield what each shard gave, in their order; see ``context.Workers``."""
        settings = self._settings
        if settings.engine is None:
            pieces = yield from self._tried(context, pieces, driver)
            if not pieces:
                return
        jobs = min(settings.jobs, len(pieces)) if settings.jobs else None
        recipe = self._recipe(context, tuple(kinds))
        digest = sha256(pickle.dumps(recipe)).hexdigest()
        with open_executor(
            settings.engine or "local",
            jobs=jobs,
            address=settings.address,
            retries=settings.retries,
            processes=True,
        ) as engine:
            here = settings.engine in _LOCAL
            count = engine.workers + here
            stage = f"Data through the network, on {plural(count, 'process', 'processes')}"
            context.tools.progress.stage(stage, context.data.set.total if context.data else None)
            run = _Run(engine, recipe, digest, settings.retries, driver, helping=here)
            for _, arrays in run.in_order(pieces):
                context.tools.progress.advance(int(arrays["read"]) + int(arrays["broken"]))
                yield arrays

    def _tried(
        self, context: Context, pieces: Sequence[Piece], driver: Driver
    ) -> Generator[dict[str, NDArray[Any]], None, Sequence[Piece]]:
        """Fold the first shards here, and all others where they are done before workers would pay.

        Returns:
            What is left for workers.
        """
        seconds = 0.0
        for number, piece in enumerate(pieces):
            rest = len(pieces) - number
            if number >= _TRIED and rest > 1 and seconds * rest > PAYS:
                return pieces[number:]
            begun = time.monotonic()
            arrays = _folded_here(piece, driver)
            seconds = time.monotonic() - begun  # of the last one: the first one also traces
            context.tools.progress.advance(int(arrays["read"]) + int(arrays["broken"]))
            yield arrays
        return ()

    def _recipe(self, context: Context, kinds: tuple[str, ...]) -> Recipe:
        """Return what workers rebuild; to a cluster the model's files are sent."""
        if context.data is None:
            raise ValueError("there is no data set")
        settings, local = context.settings, self._settings.engine in _LOCAL
        named = {"model": self._model}
        named |= {n: Path(p).absolute() for n in MODEL_FILES[1:] if (p := getattr(settings, n))}
        sent = [] if local else [_sent(name, path) for name, path in named.items()]
        return Recipe(
            version=__version__,
            identity=context.tools.identity(),
            data=self._data,
            settings=replace(
                settings, classes=None, labels=None, notes=None, card=None, cache=None
            ),
            names=context.inputs.classes,
            classes=context.classes,
            folders=context.folders,
            shapes=asked_of(context.inputs).shapes,
            images=asked_of(context.inputs).images,
            watched=asked_of(context.inputs).watched,
            way=context.data.way,
            kinds=kinds,
            here=None if is_remote(settings.address) else os.getcwd(),  # noqa: PTH109
            paths={n: str(p) if local else f"{n}/{p.name}" for n, p in named.items()},
            copied=context.inputs.data is not None and context.inputs.data.copied,
            files=tuple(file for files in sent for file in files),
        )


def _sent(folder: str, path: Path) -> list[tuple[str, NDArray[Any]]]:
    """Read a model's file, or all of its folder, to be sent.

    Raises:
        ModelError: one cannot be read.
    """
    inner = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    try:
        return [
            (
                f"{folder}/{file.relative_to(path.parent).as_posix()}",
                np.frombuffer(read_regular(file), np.uint8),
            )
            for file in inner
        ]
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {reason_of(error)}.") from None


class _Run:
    """Tasks of one survey.

    Args:
        engine: that is open.
        recipe: what workers rebuild.
        digest: of it.
        retries: how often a shard is run again whose worker was lost.
        driver: what this process does.
        helping: whether it folds shards too, while it waits.
        task: as ``fold_on_worker``.
    """

    def __init__(
        self,
        engine: Engine,
        recipe: Recipe,
        digest: str,
        retries: int,
        driver: Driver,
        *,
        helping: bool,
        task: Callable[..., bytes] = fold_on_worker,
    ) -> None:
        self._engine, self._retries, self._task = engine, retries, task
        self._driver, self._helping = driver, helping
        self._window = max(1, engine.window)
        self._recipe = recipe
        self._sent = _Sent(engine.share(recipe), digest)
        self._lost: Counter[int] = Counter()
        self._running: dict[Future[bytes], tuple[int, Piece]] = {}
        self._arrived: dict[int, bytes | None] = {}

    def in_order(self, pieces: Sequence[Piece]) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Yield the place of each piece in the list, and what it gave.

        At most a window of them is on its way, and as many wait in memory for an earlier one; the cache holds
        more.
        """
        waiting = deque(enumerate(pieces))
        for place, piece in enumerate(pieces):
            while place not in self._arrived:
                while waiting and self._fits and len(self._running) < self._window:
                    self._submit(*waiting.popleft())
                helps = self._helping and self._fits and bool(waiting)
                done = wait(self._running, 0 if helps else None, FIRST_COMPLETED).done
                for future in done:
                    self._settle(future, *self._running.pop(future))
                if helps and not done:
                    following, other = waiting.popleft()
                    self._take(following, other, self._driver.fold(other))
            arrays = self._given(piece, self._arrived.pop(place))
            if (error := problems_in(arrays).get("")) is not None:
                raise error
            yield place, arrays

    @property
    def _fits(self) -> bool:
        """Whether more than what is on its way may wait in memory."""
        return sum(packed is not None for packed in self._arrived.values()) < self._window

    def _given(self, piece: Piece, packed: bytes | None) -> dict[str, NDArray[Any]]:
        """Return a piece from memory or the cache; one that was lost there is folded here."""
        if packed is not None:
            return unpacked(packed)
        kept = self._driver.kept(piece.number)
        return kept if kept is not None else unpacked(self._driver.fold(piece))

    def _take(self, place: int, piece: Piece, packed: bytes) -> None:
        """Note a piece that has come; what the cache has is not kept in memory too."""
        kept = "problems" not in names_in(packed) and self._driver.keep(piece.number, packed)
        self._arrived[place] = None if kept else packed

    def _submit(self, place: int, piece: Piece) -> None:
        recipe, digest = self._sent
        future = self._engine.executor.submit(
            self._task, recipe, digest, piece.shard, piece.identity
        )
        self._running[future] = place, piece

    def _settle(self, future: Future[bytes], place: int, piece: Piece) -> None:
        """Take what a task gave; one whose worker was lost is run again."""
        try:
            packed = future.result()
        except Exception as error:  # noqa: BLE001 - engines have errors of their own
            self._lost[place] += 1
            if self._lost[place] > self._retries:
                raise ReportgenError(
                    f"The worker that had part {piece.number + 1} of the data set was lost "
                    f"({error_text(error)}). Run the same command again: what is finished is kept. --retries N "
                    "tries it more often."
                ) from None
            log.info("A worker was lost (%s)", error_text(error))
            # What was shared may have been lost with it.
            self._sent = _Sent(self._engine.share(self._recipe), self._sent.digest)
            self._submit(place, piece)
            return
        self._take(place, piece, packed)
