"""How the training went: curves of loss and metrics, and the best epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from reportgen.drawing.figures import Lines, lines_figure
from reportgen.errors import NotApplicable
from reportgen.findings.history import FEWEST
from reportgen.inputs.history import skipped
from reportgen.numerics import six_digits_each
from reportgen.observe import Collected, SectionMaker
from reportgen.report.content.history import Curve, HistoryContent
from reportgen.report.leaves import Notice
from reportgen.sections.history.keeping import best_epoch, kept_epochs
from reportgen.wording import number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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
    rounded = [
        one._replace(train=six_digits_each(one.train), validation=six_digits_each(one.validation))
        for one in history.series
    ]
    best = [
        best_epoch(
            one.train if np.isnan(one.validation).all() else one.validation, higher=one.higher
        )
        for one in rounded
    ]
    kept = kept_epochs(len(history.epochs), rounded, best, history.loss)
    rate = six_digits_each(history.learning_rate)
    content = HistoryContent(
        source=history.source,
        epochs=tuple(history.epochs[kept].tolist()),
        curves=tuple(
            _curve(context, one, history.epochs, number, found, kept)
            for number, (one, found) in enumerate(zip(rounded, best, strict=True))
        ),
        loss=history.loss,
        learning_rate=_stored(rate, kept),
        learning_rate_figure=_rate_figure(context, history.epochs, rate),
        logged=len(history.epochs) if len(kept) < len(history.epochs) else msgspec.UNSET,
    )
    return Collected(content, sentence(content), tuple(_notices(context, content)))


def _curve(
    context: Context,
    one: Series,
    epochs: NDArray[Any],
    number: int,
    best: int | None,
    kept: NDArray[Any],
) -> Curve:
    train, validation = _stored(one.train, kept), _stored(one.validation, kept)
    alt = f"{one.name} over {len(epochs)} epochs{_ends(train, validation)}."
    figure = None
    if number < MOST_FIGURES and len(epochs) > 1:
        lines = [
            Lines(name, values, joined=name == "validation" and bool(skipped(values)))
            for name, values in (("training", one.train), ("validation", one.validation))
            if not np.isnan(values).all()
        ]
        mark = int(epochs[best]) if best is not None else None
        figure = lines_figure(context.tools.store, epochs, lines, one.name, alt, mark=mark)
    left_out = skipped(one.validation)
    missing = int(np.isnan(one.train).sum() + np.isnan(one.validation).sum())
    return Curve(
        name=one.name,
        better="higher" if one.higher else "lower",
        train=train,
        validation=validation,
        best=int(np.searchsorted(kept, best)) if best is not None else None,
        non_finite=missing - left_out,
        figure=figure,
        skipped=left_out,
    )


def _stored(values: NDArray[Any], kept: NDArray[Any]) -> tuple[float | None, ...]:
    """Return the values of the epochs that are kept, as far as there are any; None for NaN."""
    known = values[kept[kept < len(values)]].tolist()
    return tuple(None if math.isnan(value) else value for value in known)


def _last(values: Sequence[float | None], *, gaps: bool) -> float | None:
    """Return the last value; where epochs without validation lie between, that of the last validated one."""
    logged = (value for value in reversed(values) if value is not None)
    return next(logged, None) if gaps else values[-1]


def _ends(train: Sequence[float | None], validation: Sequence[float | None]) -> str:
    parts = [
        f"{name} from {number_text(values[0])} to {number_text(values[-1])}"
        for name, values in (("training", train), ("validation", validation))
        if values
    ]
    return ": " + ", ".join(parts) if parts else ""


def _rate_figure(context: Context, epochs: NDArray[Any], rate: NDArray[Any]) -> Any:
    if len(rate) < 2 or len(rate) != len(epochs) or len(np.unique(rate)) < 2:
        return None
    ends = _stored(rate, np.array([0, len(rate) - 1]))
    alt = f"Learning rate from {number_text(ends[0])} to {number_text(ends[1])}."
    lines = [Lines("learning rate", rate)]
    return lines_figure(
        context.tools.store, epochs, lines, "learning rate", alt, log=bool((rate > 0).any())
    )


def sentence(content: HistoryContent) -> str:
    """Say how long was trained, and what the loss came to."""
    count = content.total
    parts = [f"{count} epoch{'' if count == 1 else 's'}"]
    for curve in content.curves[:2]:
        validated = any(value is not None for value in curve.validation)
        values = curve.validation if validated else curve.train
        if curve.best is None or not values:
            continue
        kind = "validation" if validated else "training"
        best, last = values[curve.best], _last(values, gaps=bool(curve.skipped))
        parts.append(
            f"{kind} {curve.name} best in epoch {content.epochs[curve.best]} ({number_text(best)}), "
            f"{number_text(last)} in the last {'validated ' if curve.skipped else ''}epoch"
        )
    return "; ".join(parts) + "."


def _notices(context: Context, content: HistoryContent) -> list[Notice]:
    notices = []
    left_out = max((curve.skipped for curve in content.curves), default=0)
    if left_out:
        text = (
            f"Validation was logged in {content.total - left_out} of {content.total} epochs; they are read "
            "as evenly spaced ones, as validation_freq makes them."
        )
        notices.append(Notice("info", text))
    if len(content.epochs) < FEWEST:
        text = (
            f"{len(content.epochs)} epochs are too few to see a trend: over- and underfitting cannot be judged "
            f"from fewer than {FEWEST}."
        )
        notices.append(Notice("warning", text))
    if content.logged:
        text = (
            f"Of {content.total:,} epochs {len(content.epochs):,} are kept: the first, the last, the best of "
            "every metric, and the others evenly. The figures are drawn from all."
        )
        notices.append(Notice("info", text))
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
