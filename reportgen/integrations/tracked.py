"""What a tracker is told of a report: numbers, verdict, and the files to keep."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reportgen.errors import ReportgenError, UsageError
from reportgen.page.folder import ReportFolder
from reportgen.page.output import is_page
from reportgen.page.publish import ASSETS, picture_reader, shown_assets, single_page
from reportgen.report.content.evaluation import Classified, EvaluationContent, Labelled, Segmented
from reportgen.report.content.overview import OverviewContent
from reportgen.report.model import CARD_MD, INDEX_HTML, REPORT_JSON, SINGLE_HTML, SUMMARY_MD
from reportgen.wording import bytes_text, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reportgen.report.model import Report

FOLDER = "folder"
"""Where the report folder lies among the artifacts: its page needs what lies beside it, and a viewer that shows
single files would show it without styles and pictures."""
_KEPT = (INDEX_HTML, REPORT_JSON, SUMMARY_MD, CARD_MD)


class Tracked(NamedTuple):
    """What a tracker can chart, filter and compare.

    Attributes:
        numbers: by name, as in ``accuracy``, ``parameters`` or ``findings/error``; every value is finite.
        texts: by name: title, verdict and state of the report, and what ``--meta`` says.
    """

    numbers: dict[str, float]
    texts: dict[str, str]


def tracked(report: Report) -> Tracked:
    """Return the key numbers and texts of a report.

    ``accuracy`` and its 95 % interval (``accuracy_low``, ``accuracy_high``) are shares in [0, 1], of a data
    set that was evaluated; masks have ``mean_iou``, labels that are decided each for itself ``exact_match``,
    numbers ``mae`` and ``rmse``. ``findings/error``, ``findings/warning`` and ``findings/info`` count findings
    that are not accepted.
    """
    numbers: dict[str, float] = {}
    texts = {
        "title": report.summary.name,
        "verdict": report.summary.verdict,
        "state": report.summary.state,
        "reportgen": report.reportgen,
    }
    for section in report.sections:
        if isinstance(section.content, OverviewContent):
            numbers |= _of_overview(section.content)
            texts |= {f"meta/{name}": value for name, value in section.content.meta}
        if isinstance(section.content, EvaluationContent):
            numbers |= _of_evaluation(section.content)
    numbers |= {f"findings/{level}": count for level, count in report.summary.counts.items()}
    return Tracked({name: float(value) for name, value in numbers.items()}, texts)


def _of_overview(content: OverviewContent) -> dict[str, float]:
    found: dict[str, float] = {
        "parameters": content.parameters,
        "weight_bytes": content.weight_bytes,
    }
    if content.flops is not None:
        found["flops"] = content.flops
    return found


def _of_evaluation(content: EvaluationContent) -> dict[str, float]:
    result, found = content.result, {"images": float(content.images)}
    if isinstance(result, Classified):
        low, high = result.interval
        found |= {"accuracy": result.accuracy, "accuracy_low": low, "accuracy_high": high}
        if result.log_loss is not None:
            found["log_loss"] = result.log_loss
    elif isinstance(result, Labelled):
        found |= {"exact_match": result.exact}
    elif isinstance(result, Segmented):
        if result.mean_iou is not None:
            found["mean_iou"] = result.mean_iou
    else:
        found |= {"mae": result.mae, "rmse": result.rmse}
    return found


@contextlib.contextmanager
def extra(name: str, package: str) -> Iterator[None]:
    """Name the extra that installs what is imported in the block.

    Args:
        name: of the extra.
        package: how people call what it installs.

    Raises:
        ReportgenError: it cannot be imported.
    """
    try:
        yield
    except ImportError:
        raise ReportgenError(
            f"{package} is not installed: pip install 'keras-reportgen[{name}]'."
        ) from None


class Staged(NamedTuple):
    """The files of a report, laid out for a tracker.

    Attributes:
        path: a folder that is gone after the block: ``report.html``, ``summary.md``, ``report.json`` and below
            ``folder/`` the whole report folder.
        pictures: how many of its files are pictures.
        size: bytes of all files.
    """

    path: Path
    pictures: int
    size: int

    def sentence(self, place: str) -> str:
        """Say what leaves this machine."""
        many = plural(self.pictures, "picture")
        return f"Sending the report, {many} and {bytes_text(self.size)} in all, to {place}"


@contextlib.contextmanager
def staged(report: ReportFolder | str | Path) -> Iterator[Staged]:
    """Lay out the files of a report in a folder of their own, for the time of the block.

    Nothing else that lies in the report's folder comes along.

    Raises:
        UsageError: the report is a page alone.
        ReportError: it is no report, or a picture is missing.
        OutputError: the page as one file would be larger than viewers show.
    """
    folder = as_folder(report)
    check_is_folder(folder.path)
    page = single_page(folder.report, folder.path, folder.look)
    with tempfile.TemporaryDirectory(prefix="reportgen-") as made:
        path = Path(made)
        inner = path / FOLDER
        (inner / ASSETS).mkdir(parents=True)
        for name in _KEPT:
            if name != CARD_MD or folder.report.card:
                shutil.copyfile(folder.path / name, inner / name)
        for name in (SUMMARY_MD, REPORT_JSON):
            shutil.copyfile(inner / name, path / name)
        shown = shown_assets((inner / INDEX_HTML).read_bytes())
        read = picture_reader(folder.path)
        for name in sorted({*folder.report.assets, *shown}):
            (inner / ASSETS / name).write_bytes(read(name))
        (path / SINGLE_HTML).write_text(page, "utf-8")
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        yield Staged(path, len(folder.report.assets), size)


def check_is_folder(path: str | Path) -> None:
    """Refuse a page that is one file: its data do not stand in it.

    Raises:
        UsageError: the path names one.
    """
    if is_page(Path(path)):
        raise UsageError(f"{path} is a page alone: a tracker is sent a report folder.")


def as_folder(report: ReportFolder | str | Path) -> ReportFolder:
    """Return a report on disk, named by its path or as ``build_report`` returned it."""
    return report if isinstance(report, ReportFolder) else ReportFolder(report)
