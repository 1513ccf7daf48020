"""The user's own section of a report: Markdown as it was given, and the pictures that it names."""

from __future__ import annotations

from typing import Annotated

import msgspec

from reportgen.report.leaves import Figure

MAX_NOTES_CHARACTERS = 50_000
"""Of the Markdown of notes: a long article."""
MAX_NOTES_PICTURES = 100


class Notes(msgspec.Struct, frozen=True):
    """Notes in Markdown.

    Attributes:
        source: as it was given; what is shown is sanitised when the page is made.
        figures: the pictures by the name that the source gives them.
    """

    source: Annotated[str, msgspec.Meta(max_length=MAX_NOTES_CHARACTERS)]
    figures: dict[str, Figure] = {}
