"""Where a report goes: what may be written over, and the lock of a folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from reportgen.errors import LockedError, OutputError
from reportgen.files import open_regular, reason_of
from reportgen.page.card import MADE_BY
from reportgen.report.model import CARD_MD, REPORT_JSON, SINGLE_HTML

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import PurePath

LOCK = ".reportgen.lock"
_LOCKED_BYTE = 2**30
"""Windows locks bytes, from the file's position on, against reading too: one far behind what the file says."""
_WINDOWS = os.name == "nt"


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


def is_page(path: PurePath) -> bool:
    """Tell whether a path names a page, not a folder."""
    return path.suffix.lower() == ".html"


def check_output(
    output: str | Path | None, *, force: bool, single: bool = False, card: bool = False
) -> None:
    """Refuse to write over what is no report: a folder, or a page that is one file.

    Args:
        output: a folder, or the name of a page; None is a temporary folder.
        force: write over what is there.
        single: whether the folder also gets the page as one file.
        card: whether it gets a model card.

    Raises:
        OutputError: something else stands there.
    """
    if output is None:
        return
    path = Path(output)
    if is_page(path):
        check_page(path, force=force)
        return
    check_folder(path, force=force)
    if single:
        check_page(path / SINGLE_HTML, force=force)
    if card and not force:
        check_card(path)


def check_temporary() -> None:
    """Refuse to begin where no temporary file can be written: every build needs some.

    Raises:
        OutputError: no folder takes them.
    """
    try:
        tempfile.gettempdir()
    except OSError:
        raise OutputError(
            "No folder for temporary files can be written: name one in the variable TMPDIR."
        ) from None


def check_card(folder: Path) -> None:
    """Refuse to write over a model card that is none of ours.

    Raises:
        OutputError: one stands there.
    """
    path = folder / CARD_MD
    if os.path.lexists(path) and not is_our_card(path):
        raise OutputError(f"{path} was not written by reportgen: move it away.")


def begins_our_card(head: bytes) -> bool:
    """Tell whether these are the first bytes of a model card that reportgen wrote."""
    return head.startswith(f"---\n{MADE_BY}".encode())


def begins_our_page(head: bytes) -> bool:
    """Tell whether these are the first bytes of a page that reportgen wrote."""
    return b'<meta name="generator" content="reportgen' in head


def begins_our_report(head: bytes) -> bool:
    """Tell whether these are the first bytes of a report.json."""
    return b'"schema"' in head


def begins(path: Path, ours: Callable[[bytes], bool]) -> bool:
    """Tell whether a plain file, no link to one, begins as ours do."""
    try:
        with open_regular(path) as file:
            return not path.is_symlink() and ours(file.read(2_000))
    except OSError:
        return False


def is_our_card(path: Path) -> bool:
    """Tell whether a plain file is a model card that reportgen wrote."""
    return begins(path, begins_our_card)


def check_page(path: Path, *, force: bool = False) -> None:
    """Refuse to write over a file that is no page of ours.

    Raises:
        OutputError: it is none, or a folder.
    """
    try:
        there = os.path.lexists(path)
        if path.is_dir():
            raise OutputError(f"{path} is a folder; a name that ends in {path.suffix} is a file.")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from None
    if there and not force and not is_our_page(path):
        raise OutputError(f"{path} is no page of reportgen: move it away.")


def is_our_page(path: Path) -> bool:
    """Tell whether a plain file is a page that reportgen wrote."""
    return begins(path, begins_our_page)


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
            return begins_our_report(file.read(200))
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
def locked(folder: Path, name: str = LOCK) -> Iterator[None]:
    """Hold the folder's lock file, making the folder where it is missing; both go again on failure.

    The operating system's lock goes with its owner, so a dead build's file is taken over.

    Raises:
        LockedError: another build holds it; the message says which.
        OutputError: the folder cannot be made or written.
    """
    made = _make_folder(folder)
    path = folder / name
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
