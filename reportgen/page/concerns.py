"""The verdict: all that speaks against the network or this report, the worst first, with its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from reportgen.findings.judge import RULE_FAILED, SECTION_OF, unsupported, weak_maps
from reportgen.wording import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from reportgen.report.findings import Check, Finding
    from reportgen.report.model import Report, Section

Level = Literal["error", "warning"]
SHORT = 48
"""Characters of what is wrong, at most."""


class Concern(NamedTuple):
    """One reason against an unreserved verdict.

    Attributes:
        text: what is wrong, in a few words.
        detail: what was measured.
        target: id of the evidence on the page.
        action: what to do; empty where the detail says it.
    """

    level: Level
    text: str
    detail: str
    target: str
    action: str = ""

    @property
    def rule(self) -> str:
        """The rule that found it; empty where it is no finding."""
        return self.target.split("/")[1] if self.target.startswith("rule/") else ""


def concerns(report: Report) -> tuple[Concern, ...]:
    """Return all concerns about a report, errors first.

    Findings that are not accepted count once a rule; warnings and failures of sections, rules that failed and
    relevance maps without support count as they do.
    """
    found = [
        *_of_findings(report.findings),
        *_of_sections(report.sections),
        *_of_rules(report.not_applicable),
        *_of_maps(report.sections),
    ]
    return tuple(sorted(found, key=lambda concern: concern.level != "error"))


def by_rule(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Group findings of one rule and severity, in the order of the first of each."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.rule, finding.severity), []).append(finding)
    return list(groups.values())


def _of_findings(findings: Sequence[Finding]) -> list[Concern]:
    counted = [f for f in findings if not f.accepted and f.severity != "info"]
    return [
        Concern(
            "error" if group[0].severity == "error" else "warning",
            group[0].title,
            places(group),
            f"rule/{group[0].rule}/{group[0].severity}",
            group[0].action,
        )
        for group in by_rule(counted)
    ]


def places(group: Sequence[Finding]) -> str:
    """Return where a rule found something and what it measured there: the first place of several."""
    first, others = group[0], len(group) - 1
    where = first.where.variable or first.where.layer
    said = f"{where}: {first.observed}" if where else first.observed
    return f"{said}; {plural(others, 'more place')}" if others else said


def _of_sections(sections: Sequence[Section]) -> list[Concern]:
    return [
        Concern(
            "error" if notice.level == "error" else "warning",
            *_headed(section.title, notice.text),
            section.kind,
        )
        for section in sections
        for notice in section.notices
        if notice.level != "info"
    ]


def _headed(title: str, text: str) -> tuple[str, str]:
    """Return what is wrong and the rest of a notice; one without a short beginning has its section's title."""
    head, colon, rest = text.partition(": ")
    return (head, rest) if colon and len(head) <= SHORT and "." not in head else (title, text)


def _of_rules(checks: Sequence[Check]) -> list[Concern]:
    failed = [check for check in checks if check.reason.startswith(RULE_FAILED)]
    return [Concern("error", f"The check {c.rule} failed", c.reason, "checks") for c in failed]


def _of_maps(sections: Sequence[Section]) -> list[Concern]:
    bad, total = unsupported(sections)
    if not bad:
        return []
    verb = "is" if bad == 1 else "are"
    text = f"{bad:,} of {plural(total, 'relevance map')} {verb} not to be trusted"
    detail = "no better than chance, or the same for random weights"
    if weak := weak_maps(sections):
        verb = "is" if weak == 1 else "are"
        detail += f"; {weak:,} more {verb} weak: not clearly better than the middle of the picture"
    return [Concern("warning", text, detail, "relevance")]


def evidence_target(
    finding: Finding, layers: Collection[str], probes_shown: Collection[int], kinds: Collection[str]
) -> str:
    """Return the id of what a finding rests on: its layer's card, its probe's, or its section.

    Args:
        finding: what was found.
        layers: paths of the layers that have a card.
        probes_shown: numbers of the probes that have one.
        kinds: of the sections that the page has.
    """
    where = finding.where
    if where.layer in layers:
        return f"layer/{where.layer}"
    if where.probe in probes_shown:
        return f"probe/{where.probe}"
    kind = SECTION_OF.get(finding.rule, "")
    return kind if kind in kinds else "summary"
