"""A report on disk, as Python and notebooks see it."""

from __future__ import annotations

import html
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from reportgen.errors import ReportError, ReportgenError
from reportgen.page.look import OWN
from reportgen.page.output import is_page
from reportgen.page.publish import picture_reader, single_page
from reportgen.page.render import render_display, render_short
from reportgen.report.model import INDEX_HTML, read_report

if TYPE_CHECKING:
    from reportgen.page.look import Look
    from reportgen.report.model import Report

LARGEST_DISPLAY = 500_000
"""Bytes that a display may add to a notebook, which keeps them."""


class ReportFolder:
    """A report on disk.

    Args:
        path: the folder that holds ``index.html`` and ``report.json``, or the page that is one file.
        report: its data, where they are at hand.
        failed: kinds of the sections, and ids of the rules, that failed when it was built.
        look: templates of the user that it was built with.
        url: where it was sent; ``path`` is then a copy, which lives as long as ``copy`` does.
        copy: what the copy goes with.

    Raises:
        ReportError: on first use of ``report``, where the folder holds none.
    """

    def __init__(
        self,
        path: str | Path,
        report: Report | None = None,
        failed: tuple[str, ...] = (),
        look: Look = OWN,
        url: str | None = None,
        copy: object = None,
    ) -> None:
        self.path = Path(path)
        self.url = url
        self._copy = copy
        self.failed = failed
        self._report = report
        self.look = look

    @property
    def report(self) -> Report:
        """The report's data, read on first use."""
        if self._report is None and is_page(self.path):
            raise ReportError(
                f"{self.path} is a page alone: the data of a report stand in the report.json of its folder."
            )
        if self._report is None:
            self._report = read_report(self.path)
        return self._report

    @property
    def index(self) -> Path:
        """The page; of a report that is one file, that."""
        return self.path if is_page(self.path) else self.path / INDEX_HTML

    @property
    def place(self) -> str:
        """The page for people: its path, or its address where it was sent."""
        if self.url is None or is_page(self.path):
            return self.url or str(self.index)
        return f"{self.url}/{INDEX_HTML}"

    def open(self) -> None:
        """Show the page in the system's browser."""
        webbrowser.open(self.index.resolve().as_uri())

    def show(self, height: int = 900) -> Display:
        """Return the whole page for a notebook, which keeps it: some megabytes.

        Args:
            height: of the frame, in pixels.

        Raises:
            ReportError: a picture is missing.
            OutputError: the page would be larger than viewers show.
        """
        if is_page(self.path):
            return Display(frame(self.path.read_text("utf-8"), height))
        return Display(frame(single_page(self.report, self.path, self.look), height))

    def __repr__(self) -> str:
        """Name the folder, or where it was sent."""
        return f"ReportFolder({(self.url or str(self.path))!r})"

    def _repr_html_(self) -> str:
        """Show verdict, numbers and the images in a notebook, at most ``LARGEST_DISPLAY`` bytes.

        What a notebook that is not trusted leaves of it stands in front of the frame.
        """
        if is_page(self.path):
            alone = html.escape(self.url or str(self.path))
            return (
                f"<p>{alone}</p>"
                if self._report is None
                else render_display(self.report, None, self.look)
            )
        read = picture_reader(self.path)
        try:
            plain = render_display(self.report, read, self.look)
            whole = plain + frame(render_short(self.report, read, self.look), 560)
        except (ReportgenError, OSError):  # pictures are gone: what the data say is left
            return render_display(self.report, None, self.look)
        return whole if len(whole) <= LARGEST_DISPLAY else plain


class Display:
    """What a notebook shows.

    Args:
        text: HTML.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        """Return the HTML."""
        return self._text


def frame(page: str, height: int) -> str:
    """Return a frame that shows a page which is one file, without an origin of its own."""
    return (
        f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(page, quote=True)}" width="100%" '
        f'height="{height}" style="border:0" title="Report"></iframe>'
    )
