"""Findings as JUnit XML, which CI systems show as test results."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from reportgen.errors import OutputError
from reportgen.files import reason_of
from reportgen.findings.judge import RANK

if TYPE_CHECKING:
    from reportgen.findings.judge import Judged
    from reportgen.report.findings import Finding

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: str | None, judged: Judged, name: str, gate: str | None) -> None:
    """Write ``junit_xml`` to a file, through no link; nothing without a path.

    Raises:
        OutputError: it cannot be written.
    """
    if path is None:
        return
    text = junit_xml(judged, name, gate)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(path, flags, 0o666), "w", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        raise OutputError(f"--junit {path} cannot be written: {reason_of(error)}.") from None


def junit_xml(judged: Judged, name: str, gate: str | None) -> str:
    """Return one test case a finding and check.

    Args:
        judged: the outcome of all rules.
        name: of the test suite.
        gate: findings of this severity and above are failures; None for errors only.
    """
    cases = [_finding_case(finding, gate or "error") for finding in judged.findings]
    cases += [f"<testcase {_name(check.rule, '')}/>" for check in judged.passed]
    cases += [
        f"<testcase {_name(check.rule, '')}><skipped message={_quoted(check.reason)}/></testcase>"
        for check in judged.not_applicable
    ]
    failures = sum("<failure" in case for case in cases)
    body = "\n".join(cases)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name={_quoted(name)} tests="{len(cases)}" failures="{failures}" '
        f'skipped="{sum("<skipped" in case for case in cases)}">\n{body}\n</testsuite>\n'
    )


def _finding_case(finding: Finding, gate: str) -> str:
    where = finding.where.variable or finding.where.layer
    text = f"{finding.title}: {finding.observed} (expected: {finding.threshold})"
    if finding.accepted:
        inner = f"<skipped message={_quoted(f'accepted by {finding.accepted}: {text}')}/>"
    elif RANK[finding.severity] <= RANK[gate]:
        inner = (
            f"<failure type={_quoted(finding.severity)} message={_quoted(text)}>"
            f"{escape(_clean(finding.action))}</failure>"
        )
    else:
        inner = f"<system-out>{escape(_clean(f'{finding.severity}: {text}'))}</system-out>"
    return f"<testcase {_name(finding.rule, where)}>{inner}</testcase>"


def _name(rule: str, where: str) -> str:
    return f'classname="reportgen" name={_quoted(f"{rule}: {where}" if where else rule)}'


def _quoted(text: str) -> str:
    return quoteattr(_clean(text))


def _clean(text: str) -> str:
    """Take out what XML 1.0 cannot hold."""
    return _FORBIDDEN.sub("\ufffd", text)
