"""Text for Markdown: names of others stay text, whoever renders it; addresses of what the page shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from reportgen.page.concerns import by_rule, places
from reportgen.page.joined import content_of
from reportgen.page.view import make_view
from reportgen.report.content.evaluation import Classified, EvaluationContent
from reportgen.report.content.overview import OverviewContent
from reportgen.report.model import INDEX_HTML, Number
from reportgen.wording import number_text

if TYPE_CHECKING:
    from typing import Any

    from reportgen.report.content.overview import ModelFile
    from reportgen.report.leaves import Figure
    from reportgen.report.model import Report

_MARKUP = re.compile(r"[\\`*_{}\[\]<>|&~]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_CALLS = re.compile(r"([@#!%$]|\bGH-)(?=\w)", re.IGNORECASE)
_JOINER = "\u2060"


def markdown(text: str) -> str:
    """Return text that no renderer of Markdown takes for markup, on one line.

    Characters that mean something are numeric references: not every renderer takes a backslash away. Behind
    what would call a person or an issue (``@team``, ``#7``, ``GH-7``) stands a word joiner, which nobody sees.
    """
    line = " ".join(text.split())
    calls_nobody = _CALLS.sub(rf"\1{_JOINER}", line)
    return _MARKUP.sub(lambda match: "".join(f"&#{ord(c)};" for c in match[0]), calls_nobody)


def marker(name: str) -> str:
    """Return a name as it stands in the hidden comment by which a bot finds its own text again."""
    return quote(name, safe=" ").replace("--", "%2D%2D").replace("->", "%2D>")


class Address(NamedTuple):
    """Where a report lies on the web.

    Attributes:
        page: address of the page; empty where nobody said.
    """

    page: str = ""

    def picture(self, figure: Figure) -> str:
        """Return the address of a picture; empty where the page is one file of another name."""
        folder, _, name = self.page.rpartition("/")
        return f"{folder}/{figure.src}" if name == INDEX_HTML else ""

    def of(self, anchor: str) -> str:
        """Return the address of a place in the page."""
        return f"{self.page}#{quote(anchor, safe='/~')}" if self.page else ""


def address_of(base_url: str) -> Address:
    """Return the address of a report in a folder of the web, or of the page itself."""
    if not base_url or base_url.lower().endswith(".html"):
        return Address(base_url)
    return Address(f"{base_url.rstrip('/')}/{INDEX_HTML}")


def summary_known(report: Report, base_url: str, *, html: bool) -> dict[str, Any]:
    """Return what the template of ``summary.md`` knows.

    Args:
        report: the data.
        base_url: where the report will lie; empty where nobody said.
        html: whether what renders it lets elements of HTML through.
    """
    view, overview = make_view(report), content_of(report, OverviewContent)
    pictures = [card.picture for card in view.probes]
    notes = [one for one in report.findings if one.severity == "info" and not one.accepted]
    return {
        "report": report,
        "summary": report.summary,
        "view": view,
        "numbers": _numbers(report),
        "facts": _facts(report, overview) if overview else [],
        "notes": [(group[0].title, places(group)) for group in by_rule(notes)],
        "address": address_of(base_url),
        "picture": next((p for p in pictures if p and not p.left_out), None),
        "html": html,
    }


def _numbers(report: Report) -> list[Number]:
    """Return the numbers of the first screen, and the loss behind the accuracy."""
    numbers = list(report.summary.numbers)
    evaluation = content_of(report, EvaluationContent)
    result = evaluation.result if evaluation else None
    if isinstance(result, Classified) and result.log_loss is not None:
        text = number_text(result.log_loss)
        numbers.insert(1, Number("log loss", text, text))
    return numbers


def _facts(report: Report, overview: OverviewContent) -> list[tuple[str, str]]:
    """Return what was looked at: model, data, and what the user said of them."""
    evaluation = content_of(report, EvaluationContent)
    facts = [("model", _file_text(overview.file))] if overview.file else []
    if evaluation:
        facts.append(("data", overview.sample.counted(evaluation.images)))
    return [
        *facts,
        *overview.meta,
        ("report", f"{report.summary.created}, reportgen {report.reportgen}"),
    ]


def _file_text(file: ModelFile) -> str:
    return f"{file.name}, SHA-256 {file.sha256[:12]}…"
