"""Which kind of source a data set is, once the network's inputs are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reportgen.inputs.images import Picture
from reportgen.inputs.sources.listed import ListedSource
from reportgen.inputs.sources.records import RecordSource
from reportgen.inputs.sources.stacked import StackedSource
from reportgen.inputs.sources.streamed import StreamedSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.inputs.data_source import DataSource
    from reportgen.inputs.fitting import InputShape
    from reportgen.inputs.sources.protocol import Source


def open_source(given: DataSource, inputs: Sequence[InputShape]) -> Source:
    """Return the source of a data set's images.

    Args:
        given: from ``list_data``.
        inputs: of the network.

    Raises:
        DataError: arrays that do not fit the inputs.
    """
    if isinstance(given.stream, RecordSource):
        return given.stream
    if given.stream is not None:
        return StreamedSource(given.stream, inputs)
    items = given.listing.items
    if len(items) > 1 or isinstance(items[0].source, Picture):
        return ListedSource(items, inputs, copied=given.copied)
    return StackedSource(items[0], inputs)
