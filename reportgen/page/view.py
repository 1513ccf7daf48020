"""What the page shows, in the order of a reviewer's questions: a report in, all that templates need out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from reportgen.findings.judge import SECTION_OF
from reportgen.page.concerns import concerns
from reportgen.page.joined import content_of, layer_cards, probe_cards
from reportgen.page.summary import first_numbers
from reportgen.report.content.evaluation import EvaluationContent
from reportgen.report.content.features import FeaturesContent
from reportgen.report.content.history import HistoryContent
from reportgen.report.content.probes import (
    BinaryResult,
    ClassificationResult,
    MultilabelResult,
    ProbesContent,
    RegressionResult,
    SegmentationResult,
)
from reportgen.report.content.relevance import RelevanceContent
from reportgen.wording import number_text, percent_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reportgen.page.concerns import Concern
    from reportgen.page.joined import LayerCard, ProbeCard
    from reportgen.report.content.probes import OutputResult, ProbeResult
    from reportgen.report.model import Number, Report, Section

CHAPTERS = {
    "performance": ("Performance", ("evaluation", "history")),
    "predictions": ("Predictions", ("probes", "relevance")),
    "network": ("Network", ("architecture", "weights", "activations")),
    "features": ("Features", ("features",)),
    "notes": ("Notes", ()),
    "details": ("Details", ("overview",)),
}
"""The page's chapters behind the summary: title, and the kinds of sections that each shows."""
_COLOURED = frozenset({"RGB", "RGBA", "palette", "PA", "CMYK", "YCbCr", "LAB", "HSV"})
"""Kinds of pictures that lose their colours in one channel."""
_MARKS = {"error": "bad", "warning": "warn"}


class Chapter(NamedTuple):
    """A chapter of the page.

    Attributes:
        sections: those with content, or with a notice that is more than information, by kind.
        held: how many cards it holds; empty for none.
        mark: ``bad`` or ``warn`` where concerns have their evidence in it; else empty.
        worries: how many concerns that are.
    """

    kind: str
    title: str
    sections: Mapping[str, Section]
    held: str
    mark: str
    worries: int


class Answer(NamedTuple):
    """What the first output says about a probe, in a few words.

    Attributes:
        share: its probability, or the share of the picture, as text; empty without one.
        correct: None where that is not known.
    """

    text: str
    share: str
    correct: bool | None


class View(NamedTuple):
    """The page's view of a report.

    Attributes:
        mood: ``good``, ``warn`` or ``bad``: that of the worst concern.
        headline: the verdict in words, in front of its reasons.
        chapters: by kind, those that show something.
        not_judged: what could not be judged, with the reason.
        missing: sections that show nothing, which Details lists, those with one reason together.
        unexplained: how many probes ``--budget`` left no time for.
    """

    concerns: tuple[Concern, ...]
    mood: str
    headline: str
    numbers: tuple[Number, ...]
    chapters: dict[str, Chapter]
    probes: tuple[ProbeCard, ...]
    layers: tuple[LayerCard, ...]
    not_judged: tuple[str, ...]
    missing: tuple[tuple[Section, ...], ...]
    unexplained: int


def make_view(report: Report) -> View:
    """Return everything that the templates need beside the report itself."""
    found, relevance = concerns(report), content_of(report, RelevanceContent)
    probes, layers = probe_cards(report), layer_cards(report)
    counts = {"predictions": len(probes), "network": len(layers), "features": _units(report)}
    chapters: dict[str, Chapter] = {}
    for kind, (title, kinds) in CHAPTERS.items():
        shown = {str(s.kind): s for s in report.sections if s.kind in kinds and _shows(s)}
        if shown or kind == "details" or (kind == "notes" and report.notes):
            inside = [concern for concern in found if _chapter_of(concern) == kind]
            mark = next((_MARKS[concern.level] for concern in inside), "")
            count = f"{counts[kind]:,}" if counts.get(kind) else ""
            chapters[kind] = Chapter(kind, title, shown, count, mark, len(inside))
    return View(
        concerns=found,
        mood=_MARKS[found[0].level] if found else "good",
        headline=_headline(found, incomplete=report.summary.state == "incomplete"),
        numbers=first_numbers(report.sections),
        chapters=chapters,
        probes=probes,
        layers=layers,
        not_judged=_not_judged(report),
        missing=_missing(report.sections),
        unexplained=relevance.unexplained if relevance else 0,
    )


def _missing(sections: Sequence[Section]) -> tuple[tuple[Section, ...], ...]:
    groups: dict[tuple[str, ...], list[Section]] = {}
    for section in sections:
        if not _shows(section):
            groups.setdefault(tuple(n.text for n in section.notices), []).append(section)
    return tuple(map(tuple, groups.values()))


def _shows(section: Section) -> bool:
    return section.content is not None or any(n.level != "info" for n in section.notices)


def _units(report: Report) -> int:
    features = content_of(report, FeaturesContent)
    return len(features.units) if features else 0


def _chapter_of(concern: Concern) -> str:
    """Return the chapter that shows a concern's evidence."""
    target = concern.target
    section = SECTION_OF.get(concern.rule, "") if concern.rule else target
    return next((kind for kind, (_, kinds) in CHAPTERS.items() if section in kinds), "details")


def _headline(found: tuple[Concern, ...], *, incomplete: bool) -> str:
    counts = {level: sum(c.level == level for c in found) for level in ("error", "warning")}
    said = [f"{n} {level}{'' if n == 1 else 's'}" for level, n in counts.items() if n]
    head = " and ".join(said) or "No problems found"
    return f"Incomplete report: {head}" if incomplete else head


def _not_judged(report: Report) -> tuple[str, ...]:
    said = []
    if content_of(report, EvaluationContent) is None:
        said.append("accuracy (no labelled data set)")
    if content_of(report, HistoryContent) is None:
        said.append("training (no history)")
    if content_of(report, ProbesContent) is None:
        said.append("predictions (no images)")
    return tuple(said)


def answer(output: OutputResult) -> Answer:
    """Return what an output says, for the strip of probes and the head of a card."""
    match output:
        case ClassificationResult(top=(best, *_)):
            return Answer(best.name, percent_text(best.probability), output.correct)
        case BinaryResult(decision=decision) if decision:
            return Answer(decision.name, percent_text(decision.probability), output.correct)
        case MultilabelResult():
            names = ", ".join(score.name for score in output.given) or "no label"
            return Answer(names, "", output.correct)
        case RegressionResult(values=(value, *_)):
            more = ", …" if output.size > 1 else ""
            return Answer(f"{number_text(value)}{more}", "", None)
        case SegmentationResult():
            painted = next((entry for entry in output.legend if entry.colour is not None), None)
            return (
                Answer(painted.name, percent_text(painted.share), None)
                if painted
                else Answer("nothing marked", "", None)
            )
        case _:
            return Answer(output.output, "", None)


def given_differs(probe: ProbeResult) -> bool:
    """Return whether the picture as given shows more than the one that the network received.

    That is so where something was done to it beside a change of size: it was stretched, cropped or padded, lost
    its colours, was turned, or is shown otherwise than it was fed.
    """
    pictures = [one for one in probe.received if one.figure]
    if not pictures or probe.notes or probe.size is None:
        return True
    shape, (width, height) = pictures[0].shape, probe.size
    if len(shape) != 3 or pictures[0].window or pictures[0].bands:
        return True
    stretched = abs(shape[1] * height - shape[0] * width) > 0.02 * shape[0] * width
    return stretched or (shape[2] == 1 and probe.kind.rpartition(", ")[2] in _COLOURED)
