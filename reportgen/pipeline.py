"""Run the rounds over the images and the sections: progress, and failures that become notices."""

from __future__ import annotations

import logging
import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from reportgen.errors import (
    InputError,
    NotApplicable,
    RunError,
    SectionError,
    UsageError,
    error_text,
)
from reportgen.observe import run_round
from reportgen.report.leaves import Notice
from reportgen.report.model import Section
from reportgen.sections import SECTIONS
from reportgen.survey import run_survey, with_chosen_probes
from reportgen.terminal import Unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from reportgen.context import Context, Progress
    from reportgen.observe import Collected, Fold, Observer, SectionMaker

log = logging.getLogger("reportgen")

Part = TypeVar("Part")

_RUN_THE_NETWORK = {"evaluation", "probes", "activations", "relevance", "features"}
"""Sections that say nothing of a network that cannot be run."""
_LOOK_INSIDE = {
    "activations": "This shows what the layers answer",
    "features": "This takes gradients",
}
"""Sections that say nothing of a graph that is run as a whole, and why."""


class SectionResults(NamedTuple):
    """The sections, and those that failed.

    Attributes:
        failed: kinds whose content is missing because something went wrong.
    """

    sections: tuple[Section, ...]
    failed: tuple[str, ...]


def make_sections(context: Context, meanwhile: Callable[[], None] = lambda: None) -> SectionResults:
    """Survey the images, observe the probes, and make every chosen section.

    Args:
        context: what the sections are made from.
        meanwhile: other work of the build, done beside them; what fails is done again by who needs it.

    Raises:
        SectionError: a section failed and the settings are strict.
        UsageError: a section was asked for something that the model does not have.
    """
    makers = [maker for maker in SECTIONS if maker.kind in context.settings.chosen_sections]
    problems = _without_a_run(makers, context)
    folds: dict[str, Fold] = _of_each(makers, lambda maker: maker.fold, context, problems)
    if folds and context.data is not None:
        run_survey(context, folds, problems)
        context = with_chosen_probes(context, folds, problems)
    context = context._replace(folds=folds)
    observers: dict[str, Observer] = _of_each(
        makers, lambda maker: maker.observe, context, problems
    )
    made: dict[str, Section] = {}
    failed: list[str] = []
    told = _told_by_overview(context)
    with _Beside() as beside:
        beside.prepare(_made_beside(makers, context, problems), context)
        _show(context, observers, folds if context.data is None else {}, problems)
        results = {kind: o.result() for kind, o in observers.items() if kind not in problems}
        beside.do(meanwhile)
        beside.begin(_made_beside(makers, context, problems), context, results)
        for maker in _in_order(makers):
            if not _is_missing(maker.kind, context, problems):
                context.tools.progress.stage(maker.title)
            collect = beside.collect(maker, context.tools.progress) or partial(
                maker.collect, context, results.get(maker.kind)
            )
            section, problem = _make(collect, maker, problems.get(maker.kind), told)
            made[maker.kind] = section
            context = context._replace(made={**context.made, maker.kind: section.content})
            if problem is not None:
                failed.append(maker.kind)
                if context.settings.strict:
                    raise SectionError(
                        f"The section {maker.title} failed: {error_text(problem)}"
                    ) from problem
    kinds = [maker.kind for maker in makers]
    return SectionResults(
        tuple(made[kind] for kind in kinds), tuple(kind for kind in kinds if kind in failed)
    )


class _Beside:
    """Makes sections in a thread of its own while others are made; where it is left, it ends."""

    def __init__(self) -> None:
        self._pool, self._left = ThreadPoolExecutor(1), Event()
        self._begun: dict[str, tuple[Future[Collected], Unseen]] = {}

    def __enter__(self) -> Self:
        """Begin with nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Tell what runs that nobody waits for it, and wait for its end."""
        self._left.set()
        self._pool.shutdown(cancel_futures=True)

    def prepare(self, makers: Sequence[SectionMaker], context: Context) -> None:
        """Do what sections can do before the round over the images; what fails fails again in ``begin``."""
        for maker in makers:
            if maker.ahead is not None:
                self._pool.submit(maker.ahead, context)

    def do(self, work: Callable[[], None]) -> None:
        """Do something that nobody waits for."""
        self._pool.submit(work)

    def begin(
        self, makers: Sequence[SectionMaker], context: Context, observed: Mapping[str, Any]
    ) -> None:
        """Begin sections; their progress is seen when somebody waits for them."""
        for maker in makers:
            unseen = Unseen()
            tools = context.tools._replace(progress=unseen, stopped=self._left.is_set)
            own = context._replace(tools=tools)
            found = self._pool.submit(maker.collect, own, observed.get(maker.kind))
            self._begun[maker.kind] = found, unseen

    def collect(self, maker: SectionMaker, progress: Progress) -> Callable[[], Collected] | None:
        """Return what waits for a section and shows how far it is, or None where it was not begun."""
        if maker.kind not in self._begun:
            return None
        begun, unseen = self._begun[maker.kind]

        def wait() -> Collected:
            unseen.show(progress)
            return begun.result()

        return wait


def _made_beside(
    makers: Sequence[SectionMaker], context: Context, problems: Mapping[str, Exception]
) -> list[SectionMaker]:
    """Return what is made beside the others: on several cores, and where nothing is to be cut for time.

    Code of the user's is called in this thread only: it may keep something from call to call, and what Keras
    keeps (its default precision) is the thread's.
    """
    inputs, settings = context.inputs, context.settings
    foreign = inputs.file is None or inputs.preprocess is not None or settings.custom_objects
    if foreign or settings.allow_code or context.network.lanes < 2 or inputs.deadline < math.inf:
        return []
    made = {
        maker.kind
        for maker in makers
        if maker.kind not in problems and not _is_missing(maker.kind, context, problems)
    }
    return [maker for maker in makers if maker.kind in made and maker.beside in made]


def _without_a_run(makers: Sequence[SectionMaker], context: Context) -> dict[str, Exception]:
    """Say of the sections that the network cannot be asked for why they are not made."""
    kinds = [maker.kind for maker in makers]
    if "differentiate" in context.network.can:
        return {}
    if "run" in context.network.can:
        whole = "and the graph of a SavedModel is run as a whole"
        return {
            kind: NotApplicable(f"{_LOOK_INSIDE[kind]}, {whole}.")
            for kind in kinds
            if kind in _LOOK_INSIDE
        }
    told = "overview" in context.settings.chosen_sections
    origin = context.network.facts.origin
    why = "" if told or origin is None else f": {origin.reason}"
    missing = NotApplicable(
        f"This takes a network that runs, and only what its file stores is known{why}."
    )
    return {kind: missing for kind in kinds if kind in _RUN_THE_NETWORK}


def _is_missing(kind: str, context: Context, problems: Mapping[str, Exception]) -> bool:
    """Tell whether a section says only that something was not given: that is no stage of a build."""
    given: dict[str, Any] = {
        "evaluation": context.data,
        "history": context.inputs.history,
        "probes": context.probes,
        "activations": context.probes,
        "relevance": context.probes,
    }
    return isinstance(problems.get(kind), NotApplicable) or given.get(kind, kind) is None


def _in_order(makers: Sequence[SectionMaker]) -> list[SectionMaker]:
    """Return the sections in the order of the page, but each behind those that it looks at."""
    waiting = list(makers)
    ordered: list[SectionMaker] = []
    while waiting:
        kinds = {maker.kind for maker in waiting}
        ready = next(maker for maker in waiting if not kinds & set(maker.after))
        waiting.remove(ready)
        ordered.append(ready)
    return ordered


def _of_each(
    makers: Sequence[SectionMaker],
    part: Callable[[SectionMaker], Callable[[Context], Part] | None],
    context: Context,
    problems: dict[str, Exception],
) -> dict[str, Part]:
    """Make the folds or the observers of the sections that have them."""
    found: dict[str, Part] = {}
    for maker in makers:
        make = part(maker)
        if make is None or maker.kind in problems:
            continue
        try:
            found[maker.kind] = make(context)
        except (UsageError, InputError):
            raise
        except Exception as error:  # noqa: BLE001 - a part that cannot be made is a part
            problems[maker.kind] = error
    return found


def _show(
    context: Context,
    observers: dict[str, Observer],
    folds: dict[str, Fold],
    problems: dict[str, Exception],
) -> None:
    """Run the probes through the network; they are the survey too where there is no data set."""
    if context.probes is None or not (observers or folds):
        return
    inputs, progress = context.probes.prepared.inputs, context.tools.progress
    progress.stage("Probes through the network", len(next(iter(inputs.values()))))
    takers: dict[str, list[Any]] = {}
    for kind, folded in folds.items():
        takers.setdefault(kind, []).append(folded.update)
    for kind, observer in observers.items():
        takers.setdefault(kind, []).append(observer.show)
    run_round(context.network.forward(inputs), takers, problems, progress.advance)


def _told_by_overview(context: Context) -> dict[str, str]:
    problem = context.network.facts.run_problem
    if problem is None or "overview" not in context.settings.chosen_sections:
        return {}
    return {str(RunError.of(problem)): "Overview"}


def _failure(error: Exception, title: str, told: dict[str, str]) -> str:
    """Say why a section failed; of a reason that another section tells, which one does.

    Args:
        error: the reason.
        title: of the section.
        told: titles of sections by the reason that they tell; filled.
    """
    reason = str(error) if isinstance(error, RunError) else error_text(error)
    teller = told.setdefault(reason, title)
    if teller != title:
        return f"This section could not be made; {teller} says why."
    return f"This section could not be made: {reason}"


def _make(
    collect: Callable[[], Collected],
    maker: SectionMaker,
    problem: Exception | None,
    told: dict[str, str],
) -> tuple[Section, Exception | None]:
    """Return the section, and what made it fail."""
    try:
        if problem is not None:
            raise problem  # noqa: TRY301 - the observer's failure is the section's
        collected = collect()
    except (UsageError, InputError):
        raise
    except NotApplicable as error:
        return Section(maker.kind, maker.title, notices=(Notice("info", str(error)),)), None
    except Exception as error:
        log.warning("The section %s failed", maker.title, exc_info=error)
        notice = Notice("error", _failure(error, maker.title, told))
        return Section(maker.kind, maker.title, notices=(notice,)), error
    return (
        Section(maker.kind, maker.title, collected.lead, collected.content, collected.notices),
        None,
    )
