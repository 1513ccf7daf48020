"""The images of the data set that drive each shown channel most, as one sheet a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from PIL import Image

from reportgen.drawing.pictures import own_window, photograph_sheet, tiles
from reportgen.inputs.dataset import Row
from reportgen.numerics import six_digits
from reportgen.report.content.activations import TopImages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.context import Context
    from reportgen.network.facts import CallId
    from reportgen.report.content.activations import ShownCall
    from reportgen.sections.activations.activity import Activity

MOST_CHANNELS = 16
"""Channels of a layer whose images are shown."""
SIDE = 48
"""Pixels a side of the largest thumbnail."""


def with_top_images(
    context: Context, shown: Sequence[ShownCall], activity: Mapping[CallId, Activity]
) -> list[ShownCall]:
    """Add to each call the images of its channels' largest values.

    Args:
        context: with the data set; each image is read once more.
        shown: the calls.
        activity: of all calls.
    """
    if context.data is None:
        return list(shown)
    data = context.data.set
    if data.series:
        return list(shown)
    wanted = {
        int(place)
        for call in shown
        for place in activity[call.id].top_places[:, call.channels[:MOST_CHANNELS]].reshape(-1)
        if place >= 0
    }
    context.tools.progress.stage("The strongest images of every channel", len(wanted))
    thumbs: dict[int, NDArray[Any]] = {}
    for row in data.rows(sorted(wanted)):
        context.tools.progress.advance()
        if (
            isinstance(row, Row)
            and (thumb := _thumb(context, row.arrays.get(data.image))) is not None
        ):
            thumbs[row.place] = thumb
    if not thumbs:
        return list(shown)
    return [
        msgspec.structs.replace(call, top=_sheet(context, call, activity[call.id], thumbs))
        for call in shown
    ]


def _thumb(context: Context, pixels: NDArray[Any] | None) -> NDArray[Any] | None:
    if pixels is None or pixels.ndim not in {2, 3} or min(pixels.shape[:2]) < 4:
        return None
    image = own_window(pixels, context.settings.bands)
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).convert("RGB")
    return np.asarray(picture.resize(size, Image.Resampling.BOX))


def _sheet(
    context: Context, call: ShownCall, activity: Activity, thumbs: Mapping[int, NDArray[Any]]
) -> TopImages | None:
    """Lay the images out: a column a channel, the strongest above."""
    channels = list(call.channels[:MOST_CHANNELS])
    places = activity.top_places[:, channels]
    values = activity.top_values[:, channels]
    kept = [k for k, row in enumerate(places.tolist()) if any(place in thumbs for place in row)]
    if not kept:
        return None
    rows = places[kept].tolist()
    blank = np.full_like(next(iter(thumbs.values())), 128)
    pictures = np.stack([thumbs.get(place, blank) for row in rows for place in row])
    alt = (
        f"{call.id}: of {len(channels)} channels the {len(rows)} images with the largest values, a column a "
        "channel, the strongest above."
    )
    figure = photograph_sheet(
        context.tools.data_images, tiles(pictures, len(channels), 2, 128), alt
    )
    return TopImages(
        channels=tuple(channels),
        places=tuple(tuple(row) for row in rows),
        values=tuple(tuple(six_digits(float(v)) for v in row) for row in values[kept]),
        figure=figure,
    )
