"""The report as data: versioned, typed, free of arrays, HTML and Keras objects."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from reportgen.errors import ReportError, ReportgenError, error_text
from reportgen.files import read_regular
from reportgen.report.card import ModelCard
from reportgen.report.content.activations import ActivationsContent
from reportgen.report.content.architecture import ArchitectureContent
from reportgen.report.content.evaluation import EvaluationContent
from reportgen.report.content.features import FeaturesContent
from reportgen.report.content.history import HistoryContent
from reportgen.report.content.overview import OverviewContent
from reportgen.report.content.probes import ProbesContent
from reportgen.report.content.relevance import RelevanceContent, Verdict
from reportgen.report.content.weights import WeightsContent
from reportgen.report.findings import Check, Finding
from reportgen.report.leaves import AssetName, Figure, Notice
from reportgen.report.notes import Notes
from reportgen.values import SECTIONS, SectionKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA_MAJOR = 1
SCHEMA_MINOR = 5

Content = (
    OverviewContent
    | ArchitectureContent
    | WeightsContent
    | ProbesContent
    | ActivationsContent
    | RelevanceContent
    | FeaturesContent
    | HistoryContent
    | EvaluationContent
)

REPORT_JSON = "report.json"
INDEX_HTML = "index.html"
SUMMARY_MD = "summary.md"
CARD_MD = "model_card.md"
SINGLE_HTML = "report.html"
"""The page as one file."""


class Number(msgspec.Struct, frozen=True):
    """One number of the first screen.

    Attributes:
        label: what it is.
        text: as a reader would say it.
        exact: the exact value with its unit.
    """

    label: str
    text: str
    exact: str


class Summary(msgspec.Struct, frozen=True):
    """What an index of many reports needs, at the head of report.json.

    Attributes:
        name: the report's title.
        created: UTC, ISO 8601, from ``SOURCE_DATE_EPOCH`` where set.
        sentence: what the network is.
        verdict: one sentence over the whole report.
        state: ``complete`` or ``incomplete`` (a section or a rule failed).
        counts: of findings that are not accepted, by severity.
        warned: how many notices of the sections are warnings.
        numbers: of the first screen, the weightiest first.
        unsupported: relevance maps that are no better than chance or fail the sanity check.
        accuracy: on the evaluated data set, in [0, 1]; None where there is none or it is no classification.
        interval: 95 % confidence interval of the accuracy.
        parameters: of the network.
        meta: what the user wrote with ``--meta``.
        picture: the first image as the network received it.
    """

    name: str
    created: str
    sentence: str
    verdict: str
    state: Literal["complete", "incomplete"]
    counts: dict[str, int]
    numbers: tuple[Number, ...]
    warned: int = 0
    unsupported: int = 0
    accuracy: float | None = None
    interval: tuple[float, float] | None = None
    parameters: int | None = None
    meta: tuple[tuple[str, str], ...] = ()
    picture: Figure | None = None


class Section(msgspec.Struct, frozen=True):
    """A section of the page.

    Attributes:
        kind: its tag, file, template and anchor.
        title: its heading.
        lead: one sentence that says what was found.
        content: None where it failed or does not apply; otherwise of the section's kind.
    """

    kind: SectionKind
    title: str
    lead: str = ""
    content: Content | None = None
    notices: tuple[Notice, ...] = ()

    def __post_init__(self) -> None:
        """Refuse content of another kind."""
        if self.content is not None and self.content.__struct_config__.tag != self.kind:
            raise ValueError(f"the section {self.kind!r} holds content of another kind")


class Report(msgspec.Struct, frozen=True):
    """A whole report.

    Attributes:
        schema: major and minor version of this structure.
        assets: the names of all files in ``assets/`` that the sections show.
        findings: what the rules found, the most severe first, accepted ones last.
        passed: the rules that found nothing.
        not_applicable: the rules that could not be applied, with the reason.
        ignore: the patterns that accept findings.
        thresholds: those that differ from the defaults, by rule.
        notes: the user's own section.
        card: what only the model's authors know.
    """

    schema: tuple[int, int]
    reportgen: str
    summary: Summary
    sections: tuple[Section, ...]
    notices: tuple[Notice, ...] = ()
    assets: tuple[AssetName, ...] = ()
    findings: tuple[Finding, ...] = ()
    passed: tuple[Check, ...] = ()
    not_applicable: tuple[Check, ...] = ()
    ignore: tuple[str, ...] = ()
    thresholds: dict[str, float] = {}
    notes: Notes | None = None
    card: ModelCard | None = None

    def __post_init__(self) -> None:
        """Refuse two sections of one kind: each is an anchor of the page."""
        kinds = [section.kind for section in self.sections]
        if len(set(kinds)) < len(kinds):
            raise ValueError("a section stands there twice")

    def section(self, kind: str) -> Section | None:
        """Return the section of this kind, or None."""
        return next((section for section in self.sections if section.kind == kind), None)


def to_json(report: Report) -> bytes:
    """Encode ``report`` as UTF-8 JSON, always the same bytes for the same report."""
    return msgspec.json.encode(report) + b"\n"


def from_json(data: bytes, origin: str = REPORT_JSON) -> Report:
    """Decode a report of this or an older version.

    Of a newer minor version unknown fields are ignored, and a notice takes the place of an unknown section.

    Raises:
        ReportError: not JSON, not a report, or of a newer major version.
    """
    try:
        head: Any = msgspec.json.decode(data)
        schema = head["schema"]
        major, minor = int(schema[0]), int(schema[1])
    except (  # msgspec's own is no ValueError in older releases
        msgspec.DecodeError, ValueError, KeyError, TypeError, IndexError, RecursionError, OverflowError
    ):  # fmt: skip
        raise ReportError(f"{origin} is not a report of reportgen.") from None
    if major > SCHEMA_MAJOR:
        raise ReportError(
            f"{origin} has version {schema[0]} of the report format; this reportgen reads up to "
            "version "
            f"{SCHEMA_MAJOR}. Install a newer reportgen."
        )
    try:
        return msgspec.convert(_known(head) if minor > SCHEMA_MINOR else head, Report)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ReportError(f"{origin} is damaged: {error}.") from None


def _known(head: Any) -> Any:
    """Put a notice in the place of each section that a newer minor version has added.

    A verdict on a map that is not known is read as ``cannot be told``.
    """
    sections, noticed = head.get("sections"), head.get("notices", [])
    if not isinstance(sections, list) or not isinstance(noticed, list):
        return head
    kinds = [section.get("kind") if isinstance(section, dict) else None for section in sections]
    kept = [section for section, kind in zip(sections, kinds, strict=True) if kind in SECTIONS]
    notices = [
        {
            "level": "info",
            "text": f"The section {section.get('title')!r} is not shown: a newer reportgen has made it.",
        }
        for section, kind in zip(sections, kinds, strict=True)
        if isinstance(kind, str) and kind not in SECTIONS
    ]
    for section in kept:
        content = section.get("content")
        maps = content.get("maps") if isinstance(content, dict) else None
        for one in maps if isinstance(maps, list) and section["kind"] == "relevance" else ():
            if isinstance(one, dict) and isinstance(one.get("verdict"), str):
                known = one["verdict"] in get_args(Verdict)
                one["verdict"] = one["verdict"] if known else "cannot be told"
    return {**head, "sections": kept, "notices": [*noticed, *notices]}


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of report.json."""
    schema = msgspec.json.schema(Report)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


@contextlib.contextmanager
def blaming(folder: Path) -> Iterator[None]:
    """Blame the report for what goes wrong with it: each part was checked, not how they fit together.

    An index beyond a list, an axis of no length: what judges and shows a report that was built here need not
    think of them, and one that was written by hand can hold them.

    Raises:
        ReportError: in place of any error that is not the project's own.
    """
    try:
        yield
    except ReportgenError:
        raise
    except Exception as error:
        raise ReportError(
            f"{folder / REPORT_JSON} is damaged: its parts do not fit together ({error_text(error)}). "
            "Make it again with 'reportgen build MODEL -o OUT'."
        ) from error


def read_report(folder: Path) -> Report:
    """Read ``report.json`` of a report folder.

    Raises:
        ReportError: there is none, or it cannot be read.
    """
    path = folder / REPORT_JSON
    try:
        data = read_regular(path)
    except OSError as error:
        raise ReportError(
            f"{folder} holds no readable {REPORT_JSON} ({error.strerror}); "
            "make the report with 'reportgen build MODEL -o OUT'."
        ) from None
    return from_json(data, str(path))
