"""The only writer of report folders: a commit protocol, not a swap.

Content-addressed assets come first, then ``report.json`` and ``summary.md``, ``index.html`` last,
each by ``os.replace``. Whenever this is killed, ``index.html`` shows the old or the new report
whole. Then files in ``assets/`` that reportgen wrote and that no page shows any more are removed;
other files are never touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from reportgen.errors import LockedError, OutputError, ReportError
from reportgen.files import open_regular, read_regular, reason_of
from reportgen.page.render import render, render_single, summary_text
from reportgen.report.model import (
    INDEX_HTML,
    REPORT_JSON,
    SINGLE_HTML,
    SUMMARY_MD,
    blaming,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from reportgen.report.model import Report

ASSETS = "assets"
LOCK = ".reportgen.lock"
_OURS = re.compile(r"(?P<hash>[0-9a-f]{20})\.(png|webp|svg|css|js)")
_ASSET = re.compile(r"assets/([0-9a-f]{20}\.(?:png|webp|svg|css|js))\b")
_LOCKED_BYTE = 2**30
"""Windows locks bytes, from the file's position on, against reading too: one far behind what the file says."""
_WINDOWS = os.name == "nt"
_TEMPORARY = re.compile(r"\.reportgen-[0-9]+-.*\.tmp")


def check_folder(folder: Path, *, force: bool) -> None:
    """Refuse to write into what is not a report.

    Raises:
        OutputError: a file stands there, or a folder that is no report and not empty.
    """
    try:
        there = folder.exists()
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made: {error.strerror}.") from None
    if not there:
        if folder.is_symlink():
            raise OutputError(f"{folder} is a link to a folder that does not exist.")
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file; -o takes a folder.")
    try:
        names = {path.name for path in folder.iterdir()} - {".DS_Store"}
    except OSError as error:
        raise OutputError(f"{folder} cannot be read: {error.strerror}.") from None
    if not names or force or LOCK in names or (REPORT_JSON in names and _is_report(folder)):
        return
    raise OutputError(
        f"{folder} is not empty and no report of reportgen. Choose another folder, or pass "
        "--force to write "
        "the report beside what is there."
    )


def is_page(path: Path) -> bool:
    """Tell whether a path names a page, not a folder."""
    return path.suffix.lower() == ".html"


def check_output(output: str | Path | None, *, force: bool) -> None:
    """Refuse to write over what is no report: a folder, or a page that is one file.

    Raises:
        OutputError: something else stands there.
    """
    if output is None:
        return
    path = Path(output)
    if not is_page(path):
        check_folder(path, force=force)
    elif path.is_dir():
        raise OutputError(f"{path} is a folder; a name that ends in {path.suffix} is a file.")
    elif (path.exists() or path.is_symlink()) and not force and not _is_our_page(path):
        raise OutputError(
            f"{path} is no page of reportgen. Choose another name, or pass --force to write over it."
        )


def _is_our_page(path: Path) -> bool:
    """Tell whether a plain file is a page that reportgen wrote."""
    try:
        with open_regular(path) as file:
            return (
                not path.is_symlink()
                and b'<meta name="generator" content="reportgen' in file.read(2_000)
            )
    except OSError:
        return False


@contextlib.contextmanager
def destination(output: str | Path | None) -> Iterator[Path]:
    """Give where the report goes: a folder, held by its lock, or the page that is one file."""
    if output is not None and is_page(Path(output)):
        yield Path(output)
        return
    with output_folder(output) as folder, locked(folder):
        yield folder


def _is_report(folder: Path) -> bool:
    try:
        with open_regular(folder / REPORT_JSON) as file:
            return b'"schema"' in file.read(200)
    except OSError:
        return False


@contextlib.contextmanager
def output_folder(output: str | Path | None) -> Iterator[Path]:
    """Give the report's folder; where none is named a temporary one, which goes again on failure."""
    if output is not None:
        yield Path(output)
        return
    folder = Path(tempfile.mkdtemp(prefix="reportgen-"))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock file, making the folder where it is missing; both go again on failure.

    The operating system's lock goes with its owner, so a dead build's file is taken over.

    Raises:
        LockedError: another build holds it; the message says which.
        OutputError: the folder cannot be made or written.
    """
    made = _make_folder(folder)
    path = folder / LOCK
    try:
        file = _acquire(path)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}.") from None
    try:
        yield
    finally:
        _release(file, path)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()


def _make_folder(folder: Path) -> list[Path]:
    """Make the folder and return the ones that were made, innermost first."""
    try:
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"The folder {str(folder)!r} cannot be made: {reason_of(error)}."
        ) from None
    return missing


def _acquire(path: Path) -> IO[str]:
    while True:
        file = _open_lock(path)
        try:
            if not _lock(file, path):
                raise LockedError(f"Another build is writing to {path.parent}: {_holder(path)}.")  # noqa: TRY301
            if not _WINDOWS and not _same_file(file, path):
                file.close()  # its owner removed it between our two calls
                continue
        except BaseException:
            file.close()
            raise
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
        file.flush()
        return file


def _release(file: IO[str], path: Path) -> None:
    """Remove the lock file and let go of it: in this order, lest another build gets a file that goes.

    Windows removes no file that is open; there another build may hold it by the time that it is closed.
    """
    if not _WINDOWS:
        path.unlink(missing_ok=True)
        file.close()
        return
    file.close()
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _open_lock(path: Path) -> IO[str]:
    """Open the lock file, making it where it is missing; a link or anything but a file is refused."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise OutputError(
            f"{path} is no file that reportgen wrote; remove it, or choose another folder."
        )
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.fdopen(os.open(path, flags, 0o666), "r+", encoding="utf-8")


def _same_file(file: IO[str], path: Path) -> bool:
    try:
        there, here = path.stat(), os.fstat(file.fileno())
    except OSError:
        return False
    return (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev)


def _lock(file: IO[str], path: Path) -> bool:
    """Try to lock; on file systems without locks fall back to whether the named process lives."""
    try:
        if _WINDOWS:
            import msvcrt

            os.lseek(file.fileno(), _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return not _alive(path)
    return True


def _alive(path: Path) -> bool:
    owner = _owner(path)
    if not owner:
        return False
    if owner.get("host") != socket.gethostname() or _WINDOWS:
        return True  # there signal 0 is Ctrl-C
    try:
        os.kill(int(owner.get("pid", 0)), 0)
    except (OSError, ValueError):
        return False
    return True


def _owner(path: Path) -> dict[str, Any]:
    try:
        owner = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _holder(path: Path) -> str:
    owner = _owner(path)
    if not owner:
        return "an unknown process"
    return f"process {owner.get('pid')} on {owner.get('host')}"


def publish(
    report: Report, folder: Path, files: Mapping[str, bytes], *, single: bool = False
) -> int:
    """Write a report and its pictures; the caller holds the lock.

    Args:
        report: the data.
        folder: is there already; or the name of a page, which is written alone.
        files: pictures by name, as the report's sections show them.
        single: whether the folder also gets the page as one file.

    Returns:
        The size in bytes of the page that is one file, 0 without it.

    Raises:
        OutputError: the folder cannot be written, or the one file would be too large.
    """
    data = to_json(report)
    page = render(report, digest(data))
    alone = b""
    if single or is_page(folder):
        alone = render_single(report, digest(data), files.__getitem__, page.html)
    if is_page(folder):
        return _publish_page(folder, alone)
    pictures = {folder / ASSETS / name: held for name, held in {**files, **page.files}.items()}
    texts = {folder / REPORT_JSON: data, folder / SUMMARY_MD: summary_text(report).encode()}
    first = not (folder / INDEX_HTML).exists()
    new = [path for path in (*pictures, *texts) if first and not os.path.lexists(path)]
    try:
        _make_assets(folder)
        for path, content in pictures.items():
            _put(path, content, unless_there=True)
        for path, content in texts.items():
            _put(path, content)
        _put_single(folder, alone)
        _put(folder / INDEX_HTML, page.html.encode())
        _prune(folder / ASSETS, keep={*files, *page.files})
        _remove_temporary(folder)
    except OSError as error:
        _take_back(folder, new)
        raise OutputError(
            f"The report cannot be written to {folder}: {error.strerror or error}."
        ) from error
    return len(alone)


def _publish_page(path: Path, content: bytes) -> int:
    """Write a page that is one file, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, content)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    return len(content)


def _put_single(folder: Path, content: bytes) -> None:
    """Write the page that is one file, or remove ours that would show another report."""
    path = folder / SINGLE_HTML
    if content:
        _put(path, content)
    elif _is_our_page(path):
        path.unlink()


def publish_again(report: Report, folder: Path, *, single: bool = False) -> None:
    """Write the page again from a report whose pictures are in place; the caller holds the lock.

    The page as one file is written again too, where it is there or ``single`` asks for it.

    Raises:
        ReportError: a picture of the report is no file, or its parts do not fit together.
        OutputError: the folder cannot be written.
    """
    for name in report.assets:
        path = folder / ASSETS / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise ReportError(f"{path} is no file, as a picture of a report is: remove it.")
    data = (folder / REPORT_JSON).read_bytes()
    with blaming(folder):
        page = render(report, digest(data))
        html, summary = page.html.encode(), summary_text(report).encode()
        alone = b""
        if single or _is_our_page(folder / SINGLE_HTML):
            alone = render_single(report, digest(data), picture_reader(folder), page.html)
    shown = _shown_before(folder)
    try:
        _make_assets(folder)
        for name, content in page.files.items():
            _put(folder / ASSETS / name, content, unless_there=True)
        _put(folder / SUMMARY_MD, summary)
        _put_single(folder, alone)
        _put(folder / INDEX_HTML, html)
        named = _ASSET.findall(data.decode("utf-8", "replace"))
        _prune(folder / ASSETS, keep={*report.assets, *named, *page.files}, among=shown)
        _remove_temporary(folder)
    except OSError as error:
        raise OutputError(
            f"The page cannot be written to {folder}: {error.strerror or error}."
        ) from error


def picture_reader(folder: Path) -> Callable[[str], bytes]:
    """Return what reads a picture of a report by its name."""

    def read(name: str) -> bytes:
        try:
            return read_regular(folder / ASSETS / name)
        except OSError as error:
            raise ReportError(
                f"{folder / ASSETS / name} cannot be read: {reason_of(error)}."
            ) from None

    return read


def single_page(report: Report, folder: Path) -> str:
    """Return the page of a report in a folder as one file.

    Raises:
        ReportError: a picture is missing.
        OutputError: it would be larger than viewers show.
    """
    stamp = digest(to_json(report))
    return render_single(report, stamp, picture_reader(folder), render(report, stamp).html).decode()


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


def _shown_before(folder: Path) -> set[str]:
    """Return the names of the files in ``assets/`` that the page which stands there shows."""
    try:
        return set(_ASSET.findall(read_regular(folder / INDEX_HTML).decode("utf-8", "replace")))
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
        match = _OURS.fullmatch(path.name)
        spared = path.name in keep or (among is not None and path.name not in among)
        if match is None or spared or not is_plain(path):
            continue
        if hashlib.sha256(path.read_bytes()).hexdigest()[:20] == match["hash"]:
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
