"""Maps and their evidence: of all probes at once, or of one after the other while there is time."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from reportgen.errors import NotApplicable, ReportgenError, reason_text
from reportgen.report.leaves import Notice
from reportgen.sections.relevance.proof import Explanation, flat, test_weights
from reportgen.sections.relevance.sanity import PROBES
from reportgen.sections.relevance.trials import prove
from reportgen.wording import plural

if TYPE_CHECKING:
    from reportgen.context import Context
    from reportgen.network.protocol import Passes
    from reportgen.sections.relevance.methods import Method
    from reportgen.sections.relevance.proof import ProbeTarget
    from reportgen.sections.relevance.sanity import Stage

SHARE = 0.6
"""Of the time that ``--budget`` leaves, where features are visualized too."""


def explain(
    context: Context,
    passes: Passes,
    methods: list[Method],
    asked: list[ProbeTarget],
    notices: list[Notice],
) -> tuple[list[Explanation], dict[str, list[Stage]]]:
    """Return the maps with their evidence, and what the randomisation test found.

    With a deadline probe after probe is explained while there is time; the test is never left out.
    """
    seed, progress = context.settings.seed, context.tools.progress
    if context.settings.quick:
        return _run(context, passes, methods, asked, notices), {}
    if context.inputs.deadline == math.inf:
        made = _run(context, passes, methods, asked, notices)
        tested = test_weights(passes, made, seed, progress, notices)
        return prove(passes, made, seed, progress), tested
    parts = [
        [one for one in asked if one.probe == k] for k in dict.fromkeys(a.probe for a in asked)
    ]
    end = _share_of_time(context)
    made, last = [], 0.0
    tested = {}
    for place, part in enumerate(parts):
        if place == PROBES:  # what the test takes has to be known before more is begun
            tested = test_weights(passes, made, seed, progress, notices)
        begun = time.monotonic()
        if made and begun + last > end:
            notices.append(_cut(place, len(parts)))
            break
        try:
            found = _run(context, passes, methods, part, notices)
        except (NotApplicable, ReportgenError):
            if not made:
                raise
            continue  # the notices say why
        made += prove(passes, found, seed, progress)
        last = time.monotonic() - begun
    return made, tested or test_weights(passes, made, seed, progress, notices)


def _share_of_time(context: Context) -> float:
    """Return until when probes may be explained: features get their part of what is left."""
    deadline = context.inputs.deadline
    part = SHARE if "features" in context.settings.chosen_sections else 1.0
    return deadline - (1 - part) * max(0.0, deadline - time.monotonic())


def _cut(explained: int, asked: int) -> Notice:
    text = (
        f"--budget left time to explain {explained} of {plural(asked, 'probe')}; without the option all are "
        "explained."
    )
    return Notice("info", text)


def _run(
    context: Context,
    passes: Passes,
    methods: list[Method],
    asked: list[ProbeTarget],
    notices: list[Notice],
) -> list[Explanation]:
    """Run every method over all questions.

    Raises:
        NotApplicable: none fits this network, or no map is finite.
        ReportgenError: none made a map, and some failed.
    """
    questions = [one.question for one in asked]
    total = sum(method.samples for method in methods) * len(asked)
    context.tools.progress.stage("Relevance: maps", total)
    made: list[Explanation] = []
    failed = False
    for method in list(methods):
        try:
            maps = list(method.run(passes, questions, method.samples, context.settings.seed))
        except Exception as error:  # noqa: BLE001 - a method that fails costs itself
            methods.remove(method)
            failed |= not isinstance(error, NotApplicable)
            text = f"{method.title} could not be made: {reason_text(error)}."
            notices.append(Notice("warning", text))
            continue
        finite = [(a, m) for a, m in zip(asked, maps, strict=True) if np.isfinite(m.values).all()]
        if len(finite) < len(maps):
            text = (
                f"{method.title}: {len(maps) - len(finite)} of {len(maps)} maps hold NaN or infinity and "
                "are not shown."
            )
            notices.append(Notice("warning", text))
        made += [Explanation(a, method, m, flat(a, m)) for a, m in finite]
    if not made:
        said = "No method made a map. " + " ".join(notice.text for notice in notices)
        raise ReportgenError(said) if failed else NotApplicable(said)
    return made
