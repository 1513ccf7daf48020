"""What speaks for the best class rather than the second best, where they lie close together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reportgen.errors import reason_text
from reportgen.numerics import finite_number
from reportgen.observe import probe_name
from reportgen.report.content.relevance import Contrast, Peak
from reportgen.report.leaves import Notice
from reportgen.sections.relevance import evidence as ev
from reportgen.sections.relevance.explaining import explained
from reportgen.sections.relevance.overlays import over_image, place_of
from reportgen.sections.relevance.proof import Explanation

if TYPE_CHECKING:
    from reportgen.context import Context
    from reportgen.inputs.classes import ClassNames
    from reportgen.network.protocol import Passes
    from reportgen.sections.relevance.methods import Map, Method, Question
    from reportgen.sections.relevance.proof import ProbeTarget

HESITATES = 0.2
"""Below this difference between the two best probabilities the two classes are contrasted."""


class _Pair(NamedTuple):
    """A probe between two classes.

    Attributes:
        second: index of the second best class.
        scores: of the best and the second best.
    """

    asked: ProbeTarget
    second: int
    scores: tuple[float, float]


def make_contrasts(
    context: Context,
    passes: Passes,
    asked: list[ProbeTarget],
    methods: list[Method],
    notices: list[Notice],
) -> tuple[Contrast, ...]:
    """Contrast the two best classes of the probes where they lie close together.

    Args:
        context: its seed is the method's.
        passes: towards the explained output.
        asked: what is explained of every probe.
        methods: that may be trusted to tell classes apart; the first is used.
        notices: told what could not be made; filled.
    """
    task, _, _ = explained(context)
    pairs = _close_pairs(asked) if task.kind == "classification" and methods else []
    if not pairs:
        return ()
    method = methods[0]
    questions: list[Question] = []
    for pair in pairs:
        weights = np.zeros(pair.asked.output.shape, np.float32)
        weights[pair.second] = 1
        questions += [pair.asked.question, pair.asked.question._replace(weights=weights)]
    try:
        maps = list(method.run(passes, questions, method.samples, context.settings.seed))
    except Exception as error:  # noqa: BLE001 - the contrast costs itself
        notices.append(Notice("warning", f"The contrasts could not be made: {reason_text(error)}."))
        return ()
    classes = context.class_names(task)
    made = (
        _contrast(context, method, pair, classes, best, second)
        for pair, best, second in zip(pairs, maps[::2], maps[1::2], strict=True)
    )
    return tuple(contrast for contrast in made if contrast is not None)


def _close_pairs(asked: list[ProbeTarget]) -> list[_Pair]:
    found = []
    for one in asked:
        if one.target.role != "predicted" or one.output.size < 2:
            continue
        first, second = (int(i) for i in np.argsort(-one.output, kind="stable")[:2])
        best, other = (
            one.target._replace(channel=index).read(one.output, one.question.pixels)
            for index in (first, second)
        )
        if best - other < HESITATES:
            found.append(_Pair(one, second, (best, other)))
    return found


def _contrast(
    context: Context, method: Method, pair: _Pair, classes: ClassNames, best: Map, second: Map
) -> Contrast | None:
    """Draw the difference of two maps; None where there is none."""
    values = best.values - second.values
    full = float(np.abs(values).max())
    if not np.isfinite(values).all() or full == 0:
        return None
    asked = pair.asked
    name, other = asked.target.name, classes.name(pair.second)
    probe = probe_name(context, asked.probe)
    x, y = ev.peak_of(values)
    signed = method._replace(signed=True)
    drawn = Explanation(asked, signed, best._replace(values=values), flat=False)
    alt = (
        f"{probe}: what speaks for {name} (red) rather than {other} (blue), most of it "
        f"{place_of(drawn, x, y)}."
    )
    return Contrast(
        asked.probe,
        probe,
        method.name,
        name,
        other,
        (finite_number(pair.scores[0]), finite_number(pair.scores[1])),
        over_image(context.tools.images, drawn, full, alt, context.settings.bands),
        Peak(finite_number(x), finite_number(y)),
    )
