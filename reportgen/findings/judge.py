"""Rules over the report's data: small pure functions, one list, no TensorFlow and no NumPy."""

from __future__ import annotations

import logging
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from reportgen.errors import ConfigurationError, error_text
from reportgen.findings import (
    activations,
    architecture,
    evaluation,
    history,
    initialisation,
    overview,
    probes,
    scales,
    weights,
)
from reportgen.findings.facts import DEFAULTS, NotJudged, make_facts
from reportgen.report.content.relevance import RelevanceContent
from reportgen.report.findings import Check, Finding
from reportgen.wording import did_you_mean, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reportgen.findings.facts import Hit, Rule
    from reportgen.network.samples import Sample
    from reportgen.report.findings import Severity
    from reportgen.report.model import Section
    from reportgen.values import SectionKind

log = logging.getLogger("reportgen")

_BY_SECTION: dict[SectionKind, tuple[Rule, ...]] = {
    "weights": (*weights.RULES, *initialisation.RULES, *scales.RULES),
    "activations": activations.RULES,
    "overview": overview.RULES,
    "probes": probes.RULES,
    "evaluation": evaluation.RULES,
    "history": history.RULES,
    "architecture": architecture.RULES,
}
"""Every rule, by the section that shows what it looks at."""
RULES: tuple[Rule, ...] = tuple(rule for rules in _BY_SECTION.values() for rule in rules)
"""THE list of rules."""
SECTION_OF: dict[str, SectionKind] = {
    rule.id: kind for kind, rules in _BY_SECTION.items() for rule in rules
}
"""The section that shows what a rule has looked at."""
RULE_FAILED = "the rule failed"
"""How the reason of a rule begins that failed."""
UNSUPPORTED = frozenset({"no better than chance", "fails the sanity check"})
"""Verdicts on a relevance map that say: do not rely on it."""
_SEVERE: tuple[Severity, ...] = ("error", "warning")
RANK = {"error": 0, "warning": 1, "info": 2}


class Judged(NamedTuple):
    """The outcome of all rules.

    Attributes:
        findings: the most severe first, in the order of the rules.
        failed: ids of rules that could not be applied because they failed.
    """

    findings: tuple[Finding, ...]
    passed: tuple[Check, ...]
    not_applicable: tuple[Check, ...]
    failed: tuple[str, ...] = ()

    def count(self, severity: Severity) -> int:
        """Count findings of a severity that are not accepted."""
        return sum(f.severity == severity and not f.accepted for f in self.findings)

    def reaches(self, gate: str | None) -> bool:
        """Return whether a finding that is not accepted is as severe as ``gate``."""
        if gate is None:
            return False
        return any(RANK[f.severity] <= RANK[gate] and not f.accepted for f in self.findings)


def check_options(ignore: Sequence[str], thresholds: Mapping[str, float]) -> None:
    """Raise ConfigurationError for rules that do not exist."""
    known = {rule.id for rule in RULES}
    for pattern in ignore:
        name = pattern.partition(":")[0]
        if name not in known:
            raise ConfigurationError(
                f"--ignore {pattern}: there is no rule {name!r}{did_you_mean(name, known)}."
            )
    for name in thresholds:
        if name not in DEFAULTS:
            raise ConfigurationError(
                f"There is no threshold {name!r}{did_you_mean(name, set(DEFAULTS))}; rules with one: "
                f"{', '.join(sorted(DEFAULTS))}."
            )


def judge(
    sections: Sequence[Section],
    ignore: Sequence[str] = (),
    thresholds: Mapping[str, float] | None = None,
) -> Judged:
    """Apply every rule to the sections of a report.

    Args:
        sections: with their content.
        ignore: ``RULE`` or ``RULE:LAYER-GLOB``; what they match is shown as accepted.
        thresholds: by rule, in place of the defaults.
    """
    facts = make_facts(sections, thresholds or {})
    findings: list[Finding] = []
    passed: list[Check] = []
    not_applicable: list[Check] = []
    failed: list[str] = []
    for rule in RULES:
        limit = facts.thresholds.get(rule.id)
        rule = _worded(rule, facts.sample, limit)  # noqa: PLW2901
        try:
            outcome = rule.judge(facts)
        except Exception as error:
            log.warning("The rule %s failed", rule.id, exc_info=error)
            failed.append(rule.id)
            outcome = NotJudged(f"{RULE_FAILED}: {error_text(error)}")
        if isinstance(outcome, NotJudged):
            not_applicable.append(
                Check(rule.id, rule.title, rule.threshold, rule.source, outcome.reason)
            )
        elif not outcome:
            passed.append(Check(rule.id, rule.title, rule.threshold, rule.source))
        hits = () if isinstance(outcome, NotJudged) else outcome
        findings += [_finding(rule, hit, ignore) for hit in hits]
    findings.sort(key=lambda f: (bool(f.accepted), RANK[f.severity]))
    return Judged(tuple(findings), tuple(passed), tuple(not_applicable), tuple(failed))


def _worded(rule: Rule, sample: Sample, limit: float | None) -> Rule:
    """Return a rule with its limit and the network's inputs in its texts."""
    words = {"limit": limit, "image": sample.one, "images": sample.many}
    return rule._replace(
        title=rule.title.format(**words),
        threshold=rule.threshold.format(**words),
        why=rule.why.format(**words),
        action=rule.action.format(**words),
    )


def _finding(rule: Rule, hit: Hit, ignore: Sequence[str]) -> Finding:
    return Finding(
        rule=rule.id,
        severity=hit.severity or rule.severity,
        title=rule.title,
        where=hit.where,
        observed=hit.observed,
        threshold=rule.threshold,
        why=rule.why,
        action=rule.action,
        source=rule.source,
        accepted=_accepted(rule.id, hit.where.layer, ignore),
    )


def _accepted(rule: str, layer: str, ignore: Sequence[str]) -> str:
    for pattern in ignore:
        name, _, glob = pattern.partition(":")
        if name == rule and (not glob or fnmatchcase(layer, glob)):
            return pattern
    return ""


def warned(sections: Sequence[Section]) -> list[str]:
    """Return the titles of the sections that have warnings of their own, once for each warning."""
    return [s.title for s in sections for n in s.notices if n.level == "warning"]


def unsupported(sections: Sequence[Section]) -> tuple[int, int]:
    """Count the relevance maps that are no better than chance or fail the sanity check, and all of them."""
    contents = [s.content for s in sections if isinstance(s.content, RelevanceContent)]
    maps = [one for content in contents for one in content.maps]
    return sum(one.verdict in UNSUPPORTED for one in maps), len(maps)


def weak_maps(sections: Sequence[Section]) -> int:
    """Count the relevance maps that beat chance, but not the middle of the picture."""
    contents = [s.content for s in sections if isinstance(s.content, RelevanceContent)]
    return sum(one.verdict == "weak" for content in contents for one in content.maps)


def _counted(judged: Judged, severity: Severity) -> str:
    """Return ``1 error in 148 places``: rules count once, as on the page."""
    rules = {f.rule for f in judged.findings if f.severity == severity and not f.accepted}
    places = judged.count(severity)
    said = plural(len(rules), severity)
    return f"{said} in {places:,} places" if places > len(rules) else said


def verdict(judged: Judged, sections: Sequence[Section] = ()) -> str:
    """Return ``2 errors in 5 places, 1 warning, a warning in Probes; 23 checks passed, 4 not applicable``.

    Args:
        judged: the findings.
        sections: whose notices count too.
    """
    parts = [_counted(judged, severity) for severity in _SEVERE if judged.count(severity)]
    noticed = warned(sections)
    if noticed:
        titles = list(dict.fromkeys(noticed))
        count = "a warning" if len(noticed) == 1 else f"{len(noticed)} warnings"
        parts.append(
            f"{count} in {' and '.join(filter(None, (', '.join(titles[:-1]), titles[-1])))}"
        )
    bad, maps = unsupported(sections)
    if bad:
        parts.append(f"{bad:,} of {plural(maps, 'relevance map')} not supported")
    if judged.failed:
        parts.append(f"{plural(len(judged.failed), 'rule')} failed ({', '.join(judged.failed)})")
    found = ", ".join(parts) or "No errors, no warnings"
    checks = len(judged.passed)
    return (
        f"{found}; {checks} check{'' if checks == 1 else 's'} passed, "
        f"{len(judged.not_applicable)} not applicable"
    )
