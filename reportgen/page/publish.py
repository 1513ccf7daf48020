"""The only writer of report folders: a commit protocol, not a swap.

Content-addressed assets come first, then ``report.json`` and ``summary.md``, ``index.html`` last,
each by ``os.replace``. Whenever this is killed, ``index.html`` shows the old or the new report
whole. Then files in ``assets/`` that reportgen wrote and that no page shows any more are removed;
other files are never touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from typing import TYPE_CHECKING

from reportgen.errors import OutputError, ReportError
from reportgen.files import read_regular, reason_of
from reportgen.page.look import OWN
from reportgen.page.output import check_page, is_our_card, is_our_page, is_page
from reportgen.page.render import card_text, render, render_single, summary_text
from reportgen.report.model import (
    CARD_MD,
    INDEX_HTML,
    REPORT_JSON,
    SINGLE_HTML,
    SUMMARY_MD,
    blaming,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from reportgen.page.look import Look
    from reportgen.page.render import Page
    from reportgen.report.model import Report

ASSETS = "assets"
_OURS = re.compile(r"(?P<hash>[0-9a-f]{20})\.(png|webp|svg|css|js)")
_ASSET = re.compile(r"assets/([0-9a-f]{20}\.(?:png|webp|svg|css|js))\b")
_TEMPORARY = re.compile(r"\.reportgen-[0-9]+-.*\.tmp")


def publish(
    report: Report,
    folder: Path,
    files: Mapping[str, bytes],
    *,
    single: bool = False,
    look: Look = OWN,
) -> int:
    """Write a report and its pictures; the caller holds the lock.

    Args:
        report: the data.
        folder: is there already; or the name of a page, which is written alone.
        files: pictures by name, as the report's sections show them.
        single: whether the folder also gets the page as one file.
        look: templates of the user in front of ours.

    Returns:
        The size in bytes of the page that is one file, 0 without it.

    Raises:
        OutputError: the folder cannot be written, or the one file would be too large.
        TemplateError: one of the user's templates failed.
    """
    data = to_json(report)
    page = render(report, digest(data), look)
    alone = b""
    if single or is_page(folder):  # what stands there was looked at before the work began
        alone = render_single(report, digest(data), files.__getitem__, page.html, look)
    if is_page(folder):
        return publish_page(folder, alone)
    named = {f"{ASSETS}/{name}": held for name, held in {**files, **page.files}.items()}
    named |= {REPORT_JSON: data, SUMMARY_MD: summary_text(report, look).encode()}
    named |= {CARD_MD: card_text(report, look).encode(), SINGLE_HTML: alone}
    publish_files(folder, named | {INDEX_HTML: page.html.encode()})
    return len(alone)


def publish_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a report; the caller holds the lock.

    Args:
        folder: is there already.
        files: all of the report's by their names in its folder; those without content are not written, and go
            where they are ours.

    Raises:
        OutputError: the folder cannot be written.
    """
    pictures = {name: held for name, held in files.items() if name.startswith(f"{ASSETS}/")}
    first = not (folder / INDEX_HTML).exists()
    new = [folder / name for name in files if first and not os.path.lexists(folder / name)]
    try:
        _make_assets(folder)
        for name, content in pictures.items():
            _put(folder / name, content, unless_there=True)
        for name in (REPORT_JSON, SUMMARY_MD):
            _put(folder / name, files[name])
        _put_ours(folder / CARD_MD, files.get(CARD_MD, b""), is_our_card)
        _put_ours(folder / SINGLE_HTML, files.get(SINGLE_HTML, b""), is_our_page)
        _put(folder / INDEX_HTML, files[INDEX_HTML])
        _prune(folder / ASSETS, keep={name.removeprefix(f"{ASSETS}/") for name in pictures})
        _remove_temporary(folder)
    except OSError as error:
        _take_back(folder, new)
        raise OutputError(
            f"The report cannot be written to {folder}: {error.strerror or error}."
        ) from error


def is_complete(names: Collection[str]) -> bool:
    """Tell whether names are those of a report's files, and no others."""
    needed = {REPORT_JSON, SUMMARY_MD, INDEX_HTML}
    texts = {name for name in names if not name.startswith(f"{ASSETS}/")}
    pictures = {name.removeprefix(f"{ASSETS}/") for name in names} - texts
    return needed <= texts <= needed | {CARD_MD, SINGLE_HTML} and all(map(is_asset, pictures))


def publish_page(path: Path, content: bytes) -> int:
    """Write a page that is one file, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, content)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    return len(content)


def publish_index(folder: Path, page: Page, *, prune: bool) -> None:
    """Write the page over many reports, ``index.html`` last; the caller holds the lock.

    Args:
        folder: that the reports lie in.
        page: as it was rendered.
        prune: whether what lies in ``assets/`` is ours, and goes where the page does not show it.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        _make_assets(folder)
        for name, content in page.files.items():
            _put(folder / ASSETS / name, content, unless_there=True)
        _put(folder / INDEX_HTML, page.html.encode())
        if prune:
            _prune(folder / ASSETS, keep=set(page.files))
        _remove_temporary(folder)
    except OSError as error:
        raise OutputError(
            f"The index cannot be written to {folder}: {error.strerror or error}."
        ) from error


def _put_ours(path: Path, content: bytes, ours: Callable[[Path], bool]) -> None:
    """Write a file that not every report has, or remove ours that would speak of another report."""
    if content:
        _put(path, content)
    elif ours(path):
        path.unlink()


def publish_again(
    report: Report,
    folder: Path,
    *,
    single: bool = False,
    look: Look = OWN,
    changed: bool = False,
) -> None:
    """Write the page again from a report whose pictures are in place; the caller holds the lock.

    The page as one file is written again too, where it is there or ``single`` asks for it.

    Args:
        report: the data.
        folder: holds it.
        single: whether the folder also gets the page as one file.
        look: templates of the user in front of ours.
        changed: whether the data differ from those in the folder, and are written too.

    Raises:
        ReportError: a picture of the report is no file, or its parts do not fit together.
        OutputError: the folder cannot be written.
        TemplateError: one of the user's templates failed.
    """
    for name in report.assets:
        path = folder / ASSETS / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise ReportError(f"{path} is no file, as a picture of a report is: remove it.")
    data = to_json(report) if changed else (folder / REPORT_JSON).read_bytes()
    with blaming(folder):
        page = render(report, digest(data), look)
        html, summary = page.html.encode(), summary_text(report, look).encode()
        card, alone = card_text(report, look).encode(), b""
        if single:
            check_page(folder / SINGLE_HTML)
        if single or is_our_page(folder / SINGLE_HTML):
            read = picture_reader(folder)
            alone = render_single(report, digest(data), read, page.html, look)
    shown = _shown_before(folder)
    try:
        _make_assets(folder)
        for name, content in page.files.items():
            _put(folder / ASSETS / name, content, unless_there=True)
        if changed:
            _put(folder / REPORT_JSON, data)
        _put(folder / SUMMARY_MD, summary)
        _put_ours(folder / CARD_MD, card, is_our_card)
        _put_ours(folder / SINGLE_HTML, alone, is_our_page)
        _put(folder / INDEX_HTML, html)
        named = shown_assets(data)
        _prune(folder / ASSETS, keep={*report.assets, *named, *page.files}, among=shown)
        _remove_temporary(folder)
    except OSError as error:
        raise OutputError(
            f"The page cannot be written to {folder}: {error.strerror or error}."
        ) from error


def picture_reader(folder: Path) -> Callable[[str], bytes]:
    """Return what reads a picture of a report by its name."""

    def read(name: str) -> bytes:
        path = folder / ASSETS / name
        if path.is_symlink() or path.parent.is_symlink():
            raise ReportError(f"{path} is no file, as a picture of a report is: remove it.")
        try:
            return read_regular(path)
        except OSError as error:
            raise ReportError(f"{path} cannot be read: {reason_of(error)}.") from None

    return read


def single_page(report: Report, folder: Path, look: Look = OWN) -> str:
    """Return the page of a report in a folder as one file.

    Raises:
        ReportError: a picture is missing.
        OutputError: it would be larger than viewers show.
    """
    stamp = digest(to_json(report))
    page = render(report, stamp, look).html
    return render_single(report, stamp, picture_reader(folder), page, look).decode()


def _make_assets(folder: Path) -> None:
    """Make the folder of the pictures; a link would lead what is written and pruned elsewhere."""
    assets = folder / ASSETS
    if assets.is_symlink():
        raise OutputError(f"{assets} is a link; remove it, or choose another folder.")
    assets.mkdir(exist_ok=True)


def digest(data: bytes) -> str:
    """Return the digest of a report.json that its page carries."""
    return hashlib.sha256(data).hexdigest()[:32]


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a plain file holds these very bytes: a name that is a hash may have been written to."""
    return is_plain(path) and path.stat().st_size == len(content) and path.read_bytes() == content


def _put(path: Path, content: bytes, *, unless_there: bool = False) -> None:
    """Write a file whole or not at all."""
    if unless_there and _holds(path, content):
        return
    temporary = path.with_name(f".reportgen-{os.getpid()}-{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # never through a link that waits under this name
            file.write(content)
        os.replace(temporary, path)  # noqa: PTH105 - the one call that the protocol rests on
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_plain(path: Path) -> bool:
    """Tell whether a regular file stands there itself, no link to one."""
    return path.is_file() and not path.is_symlink()


def shown_assets(page: bytes) -> set[str]:
    """Return the names of the files in ``assets/`` that a page or its data name."""
    return set(_ASSET.findall(page.decode("utf-8", "replace")))


def is_asset(name: str) -> bool:
    """Tell whether a name is of the form that we give to pictures, style sheets and scripts."""
    return _OURS.fullmatch(name) is not None


def named_by_content(name: str, content: bytes) -> bool:
    """Tell whether a name is the hash of a content, as those are that we wrote."""
    match = _OURS.fullmatch(name)
    return match is not None and hashlib.sha256(content).hexdigest()[:20] == match["hash"]


def _shown_before(folder: Path) -> set[str]:
    """Return the names of the files in ``assets/`` that the page which stands there shows."""
    try:
        return shown_assets(read_regular(folder / INDEX_HTML))
    except OSError:
        return set()


def _prune(folder: Path, keep: set[str], among: set[str] | None = None) -> None:
    """Remove pictures that nothing shows any more: those whose name is the hash of their content.

    Args:
        folder: of the pictures.
        keep: names of those that are shown.
        among: names that may go; any when None.
    """
    for path in folder.iterdir():
        spared = path.name in keep or (among is not None and path.name not in among)
        if spared or not is_asset(path.name) or not is_plain(path):
            continue
        if named_by_content(path.name, path.read_bytes()):
            path.unlink()


def _take_back(folder: Path, paths: list[Path]) -> None:
    """Remove what a first build wrote before it failed, so that the folder is as it was."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (folder / ASSETS).rmdir()


def _remove_temporary(folder: Path) -> None:
    """Remove what killed builds left behind; we hold the lock, so none of them lives."""
    for place in (folder, folder / ASSETS):
        for path in place.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)
