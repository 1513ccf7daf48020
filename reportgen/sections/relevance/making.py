"""Maps and their evidence: of all probes, or of as many as there is time for."""

from __future__ import annotations

import contextlib
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from reportgen.errors import NotApplicable, ReportgenError, reason_text
from reportgen.inputs.fitting import image_input
from reportgen.report.leaves import Notice
from reportgen.sections.relevance.proof import Explanation, flat, test_weights
from reportgen.sections.relevance.sanity import passes_needed
from reportgen.sections.relevance.trials import prove
from reportgen.settings import BLOCK

if TYPE_CHECKING:
    from reportgen.context import Context
    from reportgen.network.protocol import Passes
    from reportgen.sections.relevance.methods import Method, Question
    from reportgen.sections.relevance.proof import ProbeTarget
    from reportgen.sections.relevance.sanity import Stage

SHARE = 0.6
"""Of the time that ``--budget`` leaves, where features are visualized too."""
PASSES = 150
"""Forward passes of the evidence for two maps of an image; fewer where a map does not beat chance."""


def explain(
    context: Context,
    passes: Passes,
    methods: list[Method],
    asked: list[ProbeTarget],
    notices: list[Notice],
) -> tuple[list[Explanation], dict[str, list[Stage]]]:
    """Return the maps with their evidence, and what the randomisation test found."""
    settings, progress = context.settings, context.tools.progress
    made = _run(context, passes, methods, asked, notices)
    if settings.quick:
        return made, {}
    tested = test_weights(passes, made, settings, progress, notices)
    return prove(passes, made, settings.seed, progress), tested


def within_time(
    context: Context, passes: Passes, methods: list[Method], asked: list[ProbeTarget]
) -> tuple[list[ProbeTarget], int]:
    """Return what is asked of as many probes as fit in front of the deadline, and how many are left out.

    One is explained in any case.
    """
    probes = list(dict.fromkeys(one.probe for one in asked))
    if context.settings.quick or context.inputs.deadline == math.inf or len(probes) == 1:
        return asked, 0
    context.tools.progress.stage("Relevance: what a probe takes")
    shared = "features" in context.settings.chosen_sections and image_input(context.specs)
    maps, forward = _measured(passes, methods, asked[0].question, context.settings.seed)
    samples = sum(method.samples for method in methods)
    test = maps * passes_needed(methods, 1) / samples
    each = maps * len(asked) / len(probes) + forward * PASSES
    left = (SHARE if shared else 1.0) * (context.inputs.deadline - time.monotonic())
    kept = probes[: max(1, int((left - test) / each))]
    return [one for one in asked if one.probe in kept], len(probes) - len(kept)


def _measured(
    passes: Passes, methods: list[Method], question: Question, seed: int
) -> tuple[float, float]:
    """Return the seconds that all maps of a question take, and a forward pass of one image.

    The first run traces, the second is measured; a method that fails says so when it is run for good.
    """
    taken = (0.0, 0.0)
    for _ in range(2):
        begun = time.monotonic()
        for method in methods:
            with contextlib.suppress(Exception):
                list(method.run(passes, [question], method.samples, seed))
        between = time.monotonic()
        list(passes.forward([question.sample()] * BLOCK))
        taken = between - begun, (time.monotonic() - between) / BLOCK
    return taken


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
