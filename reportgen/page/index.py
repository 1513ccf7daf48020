"""One static page over many reports: a row a report, from the heads of their report.json alone.

Reports that a batch could not make come first, with the reason that its journal has.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from reportgen.errors import OutputError, ReportError
from reportgen.page.look import OWN
from reportgen.page.output import begins, begins_our_page, check_page, locked
from reportgen.page.publish import ASSETS, is_plain, publish_index
from reportgen.page.render import render_index
from reportgen.report.head import NewerError, read_head
from reportgen.report.model import INDEX_HTML, REPORT_JSON
from reportgen.report.runs import read_runs
from reportgen.wording import count_text, percent_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from reportgen.page.look import Look
    from reportgen.report.leaves import Figure
    from reportgen.report.model import Number, Summary

DEPTH = 4
"""Folders below the root in which a report is looked for."""
MOST_KEYS = 24
"""Columns of ``--meta``; rarer keys are left out, and the page says so."""
LONGEST = 200
"""Characters of a text in a cell: a report is somebody else's file."""
TITLE = "Model reports"
MARKER = b'<meta name="report-index"'
_ACCURACY = re.compile(r"accuracy \((.+) to (.+)\) on ")
_MEASURES = ("all labels correct", "mean IoU", "mean absolute error")


class Picture(NamedTuple):
    """The first picture of a report, as the index shows it; ``href`` is relative to the index."""

    href: str
    alt: str
    pixelated: bool


class Row(NamedTuple):
    """A report in the index.

    Attributes:
        folder: relative to the root, as text.
        href: of its page, relative to the index; empty where it has none.
        mood: ``good``, ``warn`` or ``bad``; ``broken`` or ``newer`` where it cannot be read; ``failed`` where a
            batch could not make it.
        verdict: in words.
        reason: why it cannot be read, or was not made.
        accuracy: in [0, 1]; None where it is not known.
        interval: of the accuracy, in words; or what else was measured.
        parameters: as text with the exact number; empty where it is not known.
    """

    name: str
    folder: str
    href: str
    mood: str
    verdict: str
    reason: str = ""
    created: str = ""
    accuracy: float | None = None
    measured: str = ""
    interval: str = ""
    parameters: int | None = None
    size: str = ""
    errors: int | None = None
    warnings: int | None = None
    picture: Picture | None = None
    meta: Mapping[str, str] = {}


def write_index(
    root: Path, *, title: str | None = None, force: bool = False, look: Look = OWN
) -> Path:
    """Write ``index.html`` over all reports below a folder, and return its path.

    Args:
        root: the folder; reports lie at most ``DEPTH`` folders below it.
        title: the page's heading.
        force: write over an ``index.html`` that is no index of ours.
        look: templates of the user in front of ours.

    Raises:
        ReportError: there is no such folder, it is a report itself, or there is no report below it.
        OutputError: something else stands there, or it cannot be written.
        TemplateError: one of the user's templates failed.
    """
    if not root.is_dir():
        raise ReportError(f"{root} is no folder; an index is made of a folder that reports lie in.")
    check_root(root, force=force)
    page = root / INDEX_HTML
    known = is_our_index(page)
    folders = list(find_reports(root))
    failed = list(_failures(root))
    if not folders and not failed:
        raise ReportError(
            f"{root} holds no report: no folder below it (at most {DEPTH} deep) has both {REPORT_JSON} and "
            f"{INDEX_HTML}."
        )
    with locked(root):
        rows = sorted((read_row(root, folder) for folder in folders), key=_by_name)
        newest = {row.folder: row.created for row in rows}
        left = [row for row in failed if row.created >= newest.get(row.folder, "")]
        made = render_index(
            _context([*sorted(left, key=_by_name), *rows], _plain(title or TITLE)), look
        )
        publish_index(root, made, prune=known or not os.path.lexists(page))
    return page


def check_root(root: Path, *, force: bool) -> None:
    """Refuse to write an index where something else stands.

    Raises:
        OutputError: the folder is a report itself, or holds a page that is no index of ours.
    """
    if os.path.lexists(root / REPORT_JSON):
        raise OutputError(
            f"{root} is a report itself: an index would take the place of its page. Name the folder above it."
        )
    if not is_our_index(root / INDEX_HTML):
        check_free(root / INDEX_HTML, force=force)


def is_our_index(path: Path) -> bool:
    """Tell whether a plain file is an index that reportgen wrote."""
    return begins(path, lambda head: MARKER in head and begins_our_page(head))


def check_free(page: Path, *, force: bool) -> None:
    """Refuse to write over a page that is no index of ours.

    Raises:
        OutputError: there is one, or a folder.
    """
    check_page(page, force=force)
    if os.path.lexists(page) and not force:
        raise OutputError(
            f"{page} is a page of reportgen, but no index: move it away, or pass --force to write over it."
        )


def find_reports(root: Path) -> Iterator[Path]:
    """Find the folders below a root that hold a report: ``report.json`` beside ``index.html``.

    Links are not followed; hidden folders and the pictures of reports are passed over, and so is what cannot be
    listed.

    Raises:
        OutputError: the root itself cannot be listed.
    """
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if not depth:
                raise OutputError(f"{root} cannot be read: {error.strerror}.") from None
            continue
        files = {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
        if depth and {REPORT_JSON, INDEX_HTML} <= files:
            yield folder
        if depth < DEPTH:
            waiting += [
                (folder / entry.name, depth + 1)
                for entry in entries
                if entry.is_dir(follow_symlinks=False)
                and not entry.name.startswith(".")
                and entry.name != ASSETS
            ]


def read_row(root: Path, folder: Path) -> Row:
    """Return the row of the report in a folder; one that cannot be read says so."""
    inner = folder.relative_to(root)
    shown, address = _plain(inner.as_posix()), quote(os.fsencode(inner.as_posix()))
    href = f"{address}/{INDEX_HTML}"
    try:
        summary = read_head(folder)
    except NewerError as error:
        return Row(shown, shown, href, "newer", "Newer report", _plain(str(error)))
    except ReportError as error:
        return Row(shown, shown, href, "broken", "Cannot be read", _plain(str(error)))
    accuracy, measured, interval = _accuracy(summary)
    parameters = _counted(_parameters(summary))
    return Row(
        name=_plain(summary.name) or shown,
        folder=shown,
        href=href,
        mood=_mood(summary),
        verdict=_plain(summary.verdict.partition(";")[0].rstrip(".")),
        created=_plain(summary.created),
        accuracy=accuracy,
        measured=_plain(measured),
        interval=_plain(interval),
        parameters=parameters,
        size="" if parameters is None else count_text(parameters),
        errors=_counted(summary.counts.get("error", 0)),
        warnings=_counted(summary.counts.get("warning", 0)),
        picture=_picture(summary.picture, folder, address),
        meta={_plain(key): _plain(value) for key, value in summary.meta},
    )


def _failures(root: Path) -> Iterator[Row]:
    """Yield a row for each report that a batch could not make, where it keeps its journal here."""
    with contextlib.suppress(OutputError):  # a file of that name that is none
        for run in read_runs(root).values():
            if not run.ok:
                name = _plain(run.name)
                yield Row(
                    name, name, "", "failed", "Not made", _plain(run.reason), _plain(run.finished)
                )


def _mood(summary: Summary) -> str:
    """Return the mood of a verdict, as the report's own page has it."""
    if summary.counts.get("error") or summary.state == "incomplete":
        return "bad"
    warned = summary.counts.get("warning") or summary.warned or summary.unsupported
    return "warn" if warned else "good"


def _accuracy(summary: Summary) -> tuple[float | None, str, str]:
    """Return the accuracy, what stands for it in the table, and its interval or what else it is.

    Reports of older versions have it among the numbers of their first screen only, as text.
    """
    if summary.accuracy is not None and 0 <= summary.accuracy <= 1:
        low, high = summary.interval or (None, None)
        known = "" if low is None else f"{percent_text(low)} to {percent_text(high)}"
        return summary.accuracy, percent_text(summary.accuracy), known
    for number in summary.numbers:
        if match := _ACCURACY.match(number.label):
            return _share(number), number.text, f"{match[1]} to {match[2]}"
        if number.label.startswith(_MEASURES):
            return None, number.text, number.label
    return None, "", ""


def _share(number: Number) -> float | None:
    """Return the share that ``93.5 %`` says."""
    match = re.search(r"\d+(?:\.\d+)?", number.text)
    return float(match[0]) / 100 if match else None


def _parameters(summary: Summary) -> int | None:
    """Return how many parameters a network has; reports of older versions have them as text."""
    if summary.parameters is not None:
        return summary.parameters
    exact = next((n.exact for n in summary.numbers if n.label == "parameters"), "")
    return int(exact.replace(",", "")) if re.fullmatch(r"[0-9][0-9,]{,24}", exact) else None


def _counted(number: int | None) -> int | None:
    """Return a number that can be a count; None for what only a file written by hand holds."""
    return number if number is not None and 0 <= number < 2**63 else None


def _picture(figure: Figure | None, folder: Path, address: str) -> Picture | None:
    """Return the first picture where its file is there."""
    if figure is None or not is_plain(folder / figure.src):
        return None
    return Picture(f"{address}/{figure.src}", _plain(figure.alt), figure.pixelated)


def _plain(text: str) -> str:
    """Return a text as a cell can show it: of bounded length, of characters that UTF-8 has."""
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return " ".join(cut.encode("utf-8", "replace").decode("utf-8").split())


def _by_name(row: Row) -> tuple[str, str]:
    return row.name.casefold(), row.folder


def _context(rows: Sequence[Row], title: str) -> dict[str, object]:
    """Return what the page's template knows."""
    found = Counter(key for row in rows for key in row.meta)
    moods = Counter(row.mood for row in rows)
    keys = [key for key, _ in found.most_common(MOST_KEYS)]
    return {
        "title": title,
        "rows": rows,
        "keys": keys,
        "left_keys": len(found) - len(keys),
        "moods": {
            mood: moods[mood] for mood in ("failed", "bad", "warn", "good", "newer", "broken")
        },
    }
