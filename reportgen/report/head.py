"""The head of a report.json: enough for an index of many reports, without decoding the sections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from reportgen.errors import ReportError
from reportgen.files import read_regular, reason_of
from reportgen.report.model import REPORT_JSON, SCHEMA_MAJOR, Summary

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 256 * 2**20
"""Of a report.json that an index reads."""
_DAMAGED = (msgspec.DecodeError, ValueError, RecursionError)
"""The first is no ``ValueError`` in older releases."""


class NewerError(ReportError):
    """A report of a newer major version."""


class _Head(msgspec.Struct, frozen=True):
    """What is decoded; the rest is passed over, but must be JSON."""

    schema: tuple[int, int]
    summary: msgspec.Raw


def read_head(folder: Path) -> Summary:
    """Read the summary of the report in a folder.

    Raises:
        NewerError: this reportgen cannot read it.
        ReportError: it cannot be read or is no report; the message names no folder.
    """
    try:
        data = read_regular(folder / REPORT_JSON, MOST_BYTES)
    except OSError as error:
        raise ReportError(f"{REPORT_JSON} cannot be read: {reason_of(error)}.") from None
    return summary_of(data)


def summary_of(data: bytes) -> Summary:
    """Decode the summary of a report.json.

    Raises:
        NewerError: it is of a newer major version.
        ReportError: it is no report, or damaged.
    """
    try:
        head = msgspec.json.decode(data, type=_Head)
    except _DAMAGED:
        raise ReportError(f"{REPORT_JSON} is not a report of reportgen.") from None
    if head.schema[0] > SCHEMA_MAJOR:
        raise NewerError(
            f"Version {head.schema[0]} of the report format; this reportgen reads up to version "
            f"{SCHEMA_MAJOR}. Install a newer reportgen."
        )
    try:
        return msgspec.json.decode(head.summary, type=Summary)
    except _DAMAGED as error:
        raise ReportError(f"{REPORT_JSON} is damaged: {error}.") from None
