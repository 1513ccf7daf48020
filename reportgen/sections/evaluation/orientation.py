"""Images with an EXIF orientation, decided once more the other way up."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from reportgen.inputs.dataset import Row
from reportgen.numerics import even_sample
from reportgen.report.content.evaluation import Turned
from reportgen.sections.evaluation.decisions import DecisionFold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reportgen.context import Context
    from reportgen.network.protocol import Batch
    from reportgen.sections.evaluation.folds import EvaluationFold

MOST = 256
"""Images that are decided both ways."""


def turned(context: Context, seen: EvaluationFold) -> Turned | None:
    """Decide an even sample of the images with an EXIF orientation the other way up.

    Args:
        context: with the data set.
        seen: the survey's fold, ascending places.

    Returns:
        How often the first output is right both ways; None where there is no such image, or it is no decision.
    """
    first = seen.outputs[0]
    if context.data is None or not context.data.set.tagged or not isinstance(first, DecisionFold):
        return None
    tagged = sorted(context.data.set.tagged)
    places = [tagged[k] for k in even_sample(len(tagged), MOST)]
    other = seen.empty()
    for batch in _batches(context, places):
        other.update(batch)
    again = other.outputs[0]
    if not again.images or not isinstance(again, DecisionFold):
        return None
    right_turned = again.right
    right = first.right[np.searchsorted(first.column("place"), again.column("place"))]
    return Turned(
        images=len(right),
        orientation="keras" if context.settings.orientation == "exif" else "exif",
        correct=int(right.sum()),
        correct_turned=int(right_turned.sum()),
        gained=int((right_turned & ~right).sum()),
        lost=int((right & ~right_turned).sum()),
    )


def _batches(context: Context, places: list[int]) -> Iterator[Batch]:
    """Run images the other way up, a block at a time, each batch with their places and labels."""
    if context.data is None:
        return
    data, feed = context.data.set, context.data.feed
    rows = (row for row in data.turned(places) if isinstance(row, Row))
    while read := list(islice(rows, context.network.block)):
        inputs = data.inputs(read)
        for batch in context.network.forward({**inputs, data.image: feed(inputs[data.image])}):
            count = len(next(iter(batch.outputs.values())))
            here = read[batch.first : batch.first + count]
            here_at = np.array([row.place for row in here], np.int64)
            yield batch._replace(places=here_at, labels=tuple(row.label for row in here))
