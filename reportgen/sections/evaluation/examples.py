"""Images that stand out, read again and shown: with what they are, what was said, and what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from reportgen.drawing.pictures import as_rgb, lossless, overlay, own_window, photograph, shrunk
from reportgen.drawing.series import series_figure
from reportgen.inputs.dataset import Row
from reportgen.numerics import resize_bilinear, six_digits
from reportgen.report.content.evaluation import Classified, Example, Regressed, Segmented
from reportgen.sections.evaluation.decisions import DecisionFold
from reportgen.sections.evaluation.masks import MaskFold, decide
from reportgen.sections.evaluation.quantities import QuantityFold
from reportgen.sections.relevance.explaining import explain_decisions, outputs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.context import Context
    from reportgen.report.leaves import Figure
    from reportgen.sections.evaluation.folds import Notable, OutputFold

Result = Any


def with_examples(context: Context, fold: OutputFold, result: Result) -> Result:
    """Return a result with the images that stand out."""
    if isinstance(fold, DecisionFold) and isinstance(result, Classified):
        return _decisions(context, fold, result)
    if isinstance(fold, QuantityFold) and isinstance(result, Regressed):
        worst = fold.worst()
        rows = _read(context, [one.place for one in worst])
        pictures = {place: _picture(context, row, place) for place, row in rows.items()}
        shown = tuple(_example(context, one, pictures, scored=True) for one in worst)
        return msgspec.structs.replace(result, worst=shown)
    if isinstance(fold, MaskFold) and isinstance(result, Segmented):
        return msgspec.structs.replace(result, worst=_masks(context, fold))
    return result


def _decisions(context: Context, fold: DecisionFold, result: Classified) -> Classified:
    mistakes, hesitant = fold.mistakes(), fold.hesitant()
    seen = [*mistakes, *hesitant]
    rows = _read(context, [one.place for one in seen])
    inputs = {place: _fed(context, row) for place, row in rows.items()}
    names = [_name(context, place) for place in inputs]
    about = fold.about
    found = explain_decisions(context, about.task, about.facts, list(inputs.values()), names)
    maps = dict(zip(inputs, found.maps, strict=True)) if found else {}
    drawn = context.data is not None and context.data.set.series  # a band lies along its series
    pictures = {
        place: _picture(context, row, place)
        for place, row in rows.items()
        if not (drawn and maps.get(place))
    }
    return msgspec.structs.replace(
        result,
        mistakes=tuple(_example(context, one, pictures, maps) for one in mistakes),
        hesitant=tuple(_example(context, one, pictures, maps) for one in hesitant),
        explained_by=found.method if found else "",
    )


def _read(context: Context, places: Sequence[int]) -> dict[int, Row]:
    """Read images again; those that changed meanwhile are left out."""
    if context.data is None:
        return {}
    rows = context.data.set.rows(sorted(set(places)))
    return {row.place: row for row in rows if isinstance(row, Row)}


def _fed(context: Context, row: Row) -> dict[str, NDArray[Any]]:
    """Return one image as the network receives it, without the batch dimension."""
    if context.data is None:
        return {}
    data, feed = context.data.set, context.data.feed
    arrays = data.inputs([row])
    fed = {**arrays, data.image: feed(arrays[data.image])}
    return {name: array[0] for name, array in fed.items()}


def _name(context: Context, place: int) -> str:
    return (
        context.data.set.name(place)
        if context.data is not None
        else f"{context.sample.one} {place}"
    )


def _bytes(context: Context, row: Row) -> NDArray[Any] | None:
    pixels = row.arrays.get(context.data.set.image if context.data else "")
    if (
        pixels is None
        or (context.data and context.data.set.series)
        or pixels.ndim not in {2, 3}
        or min(pixels.shape[:2]) < 4
    ):
        return None
    return own_window(pixels, context.settings.bands)


def _picture(context: Context, row: Row, place: int) -> Figure | None:
    store, alt = context.tools.data_images, f"{_name(context, place)}."
    if context.data is not None and context.data.set.series:
        series = row.arrays.get(context.data.set.image)
        return None if series is None or series.ndim != 2 else series_figure(store, series, alt)
    image = _bytes(context, row)
    return None if image is None else photograph(store, image, alt, whole=True)


def _example(
    context: Context,
    one: Notable,
    pictures: dict[int, Figure | None],
    maps: dict[int, Figure | None] | None = None,
    *,
    scored: bool = False,
) -> Example:
    return Example(
        index=one.place,
        name=_name(context, one.place),
        truth=one.truth,
        predicted=one.predicted,
        probability=None if scored else six_digits(one.value),
        figure=pictures.get(one.place),
        score=six_digits(one.value) if scored else None,
        relevance=(maps or {}).get(one.place),
    )


def _masks(context: Context, fold: MaskFold) -> tuple[Example, ...]:
    """Return the worst images beside their true and their decided masks."""
    worst, data = fold.worst(), context.data
    rows = _read(context, [one.place for one in worst])
    pictures: dict[int, Figure | None] = {}
    if data is not None and rows:
        fed = [_fed(context, row) for row in rows.values()]
        outputs = outputs_of(context, fold.about.task.output, fed)
        for (place, row), output in zip(rows.items(), outputs, strict=True):
            pictures[place] = _beside(context, fold, row, output)
    return tuple(_example(context, one, pictures, scored=True) for one in worst)


def _beside(context: Context, fold: MaskFold, row: Row, output: NDArray[Any]) -> Figure | None:
    image, about = _bytes(context, row), fold.about
    if image is None:
        return None
    said = decide(output[None], about.task.scale, about.threshold)[0]
    truth = fold.truth(row.label, row.place, said.shape, void=fold.void)
    below = np.rint(np.clip(resize_bilinear(image, *said.shape), 0, 255)).astype(np.uint8)
    classes = about.classes
    slots = {k: slot for k in range(classes.count) if (slot := classes.slot(k)) is not None}
    gap = np.full((said.shape[0], max(2, said.shape[1] // 50), 3), 128, np.uint8)
    parts = [as_rgb(below), gap, overlay(below, truth, slots), gap, overlay(below, said, slots)]
    sheet = np.concatenate(parts, axis=1)
    name = _name(context, row.place)
    painted = ", ".join(classes.name(k) for k in np.unique(said).tolist() if k in slots)
    alt = f"{name}: the image, its true mask, and the decided one ({painted or 'nothing painted'})."
    return lossless(context.tools.data_images, shrunk(sheet), alt)
