"""Run the round over the images and the sections: progress, and failures that become notices."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.content.leaves import Notice
from reportgen.errors import NotApplicable, SectionError, UsageError
from reportgen.observe import run_round
from reportgen.report import Section
from reportgen.sections import SECTIONS

if TYPE_CHECKING:
    from reportgen.observe import Context, Observer, Progress, SectionMaker

log = logging.getLogger("reportgen")


class Made(NamedTuple):
    """The sections, and those that failed.

    Attributes:
        failed: kinds whose content is missing because something went wrong.
    """

    sections: tuple[Section, ...]
    failed: tuple[str, ...]


def make_sections(context: Context, progress: Progress) -> Made:
    """Observe the images once and make every chosen section.

    Raises:
        SectionError: a section failed and the settings are strict.
        UsageError: a section was asked for something that the model does not have.
    """
    makers = [maker for maker in SECTIONS if maker.kind in context.settings.chosen_sections]
    observers, problems = _observers(context, makers)
    results = _survey(context, observers, problems, progress)
    sections, failed = [], []
    for maker in makers:
        progress.stage(maker.title)
        section, problem = _make(context, maker, results.get(maker.kind), problems.get(maker.kind))
        sections.append(section)
        if problem is not None:
            failed.append(maker.kind)
            if context.settings.strict:
                raise SectionError(
                    f"The section {maker.title} failed: {said(problem)}"
                ) from problem
    return Made(tuple(sections), tuple(failed))


def _observers(
    context: Context, makers: list[SectionMaker]
) -> tuple[dict[str, Observer], dict[str, Exception]]:
    observers: dict[str, Observer] = {}
    problems: dict[str, Exception] = {}
    for maker in makers:
        if maker.observe is None:
            continue
        try:
            observers[maker.kind] = maker.observe(context)
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001 - a part that cannot be made is a part
            problems[maker.kind] = error
    return observers, problems


def _survey(
    context: Context,
    observers: dict[str, Observer],
    problems: dict[str, Exception],
    progress: Progress,
) -> dict[str, Any]:
    """Run the data set, where there is one, and the probes through the network, each once."""
    network, data = context.network, context.data
    if observers and data is not None and context.feed is not None:
        progress.stage("Data through the network", data.total)
        batches = network.survey(data.blocks(network.block, context.feed))
        run_round(batches, observers, problems, progress.advance, survey=True, show=False)
    if observers and context.prepared is not None:
        inputs = context.prepared.inputs
        progress.stage("Probes through the network", len(next(iter(inputs.values()))))
        batches = network.forward(inputs)
        alone = data is None
        run_round(batches, observers, problems, progress.advance, survey=alone, show=True)
    return {kind: o.result() for kind, o in observers.items() if kind not in problems}


def _make(
    context: Context, maker: SectionMaker, observed: Any, problem: Exception | None
) -> tuple[Section, Exception | None]:
    """Return the section, and what made it fail."""
    try:
        if problem is not None:
            raise problem  # noqa: TRY301 - the observer's failure is the section's
        collected = maker.collect(context, observed)
    except UsageError:
        raise
    except NotApplicable as error:
        return Section(maker.kind, maker.title, notices=(Notice("info", str(error)),)), None
    except Exception as error:
        log.warning("The section %s failed", maker.title, exc_info=error)
        notice = Notice("error", f"This section could not be made: {said(error)}")
        return Section(maker.kind, maker.title, notices=(notice,)), error
    return (
        Section(maker.kind, maker.title, collected.lead, collected.content, collected.notices),
        None,
    )


def said(error: Exception) -> str:
    """Return an error in one line; no traceback and no folders, because reports are shared."""
    text = re.sub(r"(?:/[\w.@+~-]+){2,}/", "…/", " ".join(str(error).split()))
    shown = text if len(text) <= 400 else text[:399] + "…"
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__
