"""How the training went: curves of loss and metrics, and the best epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from reportgen.drawing.figures import Lines, lines_figure
from reportgen.errors import NotApplicable
from reportgen.findings.history import FEWEST
from reportgen.numerics import six_digits
from reportgen.observe import Collected, SectionMaker
from reportgen.report.content.history import Curve, HistoryContent
from reportgen.report.leaves import Notice
from reportgen.wording import number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.context import Context
    from reportgen.inputs.history import Series

MOST_FIGURES = 8


def collect(context: Context, _: Any) -> Collected:
    """Return the history's curves.

    Raises:
        NotApplicable: no history was given.
    """
    history = context.inputs.history
    if history is None:
        raise NotApplicable(
            "No training history was given, so over- and underfitting cannot be judged: --history FILE takes "
            "Keras's CSVLogger file, History.history as JSON, or a TensorBoard folder."
        )
    curves = tuple(
        _curve(context, one, history.epochs, number) for number, one in enumerate(history.series)
    )
    rate = tuple(six_digits(value) for value in history.learning_rate)
    content = HistoryContent(
        source=history.source,
        epochs=history.epochs,
        curves=curves,
        loss=history.loss,
        learning_rate=rate,
        learning_rate_figure=_rate_figure(context, history.epochs, rate),
    )
    return Collected(content, sentence(content), tuple(_notices(context, content)))


def _curve(context: Context, one: Series, epochs: Sequence[int], number: int) -> Curve:
    train = tuple(six_digits(value) for value in one.train)
    validation = tuple(six_digits(value) for value in one.validation)
    broken = sum(not math.isfinite(v) for v in (*one.train, *one.validation))
    best = best_epoch(
        validation if any(v is not None for v in validation) else train, higher=one.higher
    )
    alt = f"{one.name} over {len(epochs)} epochs{_ends(train, validation)}."
    figure = None
    if number < MOST_FIGURES and len(epochs) > 1:
        lines = [
            Lines(name, values)
            for name, values in (("training", train), ("validation", validation))
            if any(v is not None for v in values)
        ]
        mark = epochs[best] if best is not None else None
        figure = lines_figure(context.tools.store, epochs, lines, one.name, alt, mark=mark)
    return Curve(
        one.name, "higher" if one.higher else "lower", train, validation, best, broken, figure
    )


def best_epoch(values: Sequence[float | None], *, higher: bool) -> int | None:
    """Return the index of the best value, the first of equal ones."""
    known = [(index, value) for index, value in enumerate(values) if value is not None]
    if not known:
        return None
    return min(known, key=lambda pair: -pair[1] if higher else pair[1])[0]


def _ends(train: Sequence[float | None], validation: Sequence[float | None]) -> str:
    parts = [
        f"{name} from {number_text(values[0])} to {number_text(values[-1])}"
        for name, values in (("training", train), ("validation", validation))
        if values
    ]
    return ": " + ", ".join(parts) if parts else ""


def _rate_figure(context: Context, epochs: Sequence[int], rate: Sequence[float | None]) -> Any:
    if len(rate) < 2 or len(set(rate)) < 2 or len(rate) != len(epochs):
        return None
    alt = f"Learning rate from {number_text(rate[0])} to {number_text(rate[-1])}."
    lines = [Lines("learning rate", rate)]
    return lines_figure(context.tools.store, epochs, lines, "learning rate", alt, log=True)


def sentence(content: HistoryContent) -> str:
    """Say how long was trained, and what the loss came to."""
    count = len(content.epochs)
    parts = [f"{count} epoch{'' if count == 1 else 's'}"]
    for curve in content.curves[:2]:
        values = curve.validation or curve.train
        if curve.best is None or not values:
            continue
        kind = "validation" if curve.validation else "training"
        best, last = values[curve.best], values[-1]
        parts.append(
            f"{kind} {curve.name} best in epoch {content.epochs[curve.best]} ({number_text(best)}), "
            f"{number_text(last)} at the end"
        )
    return "; ".join(parts) + "."


def _notices(context: Context, content: HistoryContent) -> list[Notice]:
    notices = []
    if len(content.epochs) < FEWEST:
        text = (
            f"{len(content.epochs)} epochs are too few to see a trend: over- and underfitting cannot be judged "
            f"from fewer than {FEWEST}."
        )
        notices.append(Notice("warning", text))
    history = context.inputs.history
    if history is not None and history.left_out:
        names = ", ".join(history.left_out[:5])
        notices.append(Notice("info", f"Columns without numbers were left out: {names}."))
    if history is not None and history.restarts:
        after = ", ".join(map(str, history.restarts[:5]))
        text = (
            f"The log counts its epochs anew after epoch {after}, as a training does that was begun again "
            "with CSVLogger(append=True): they are counted on."
        )
        notices.append(Notice("info", text))
    hidden = len(content.curves) - MOST_FIGURES
    if hidden > 0:
        text = f"{hidden} further metrics are in the table, without a figure."
        notices.append(Notice("info", text))
    return notices


SECTION = SectionMaker("history", "Training history", collect)
