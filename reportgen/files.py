"""Files that somebody gave: opened only where they are regular, so that no pipe or device is waited for."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file, or a link to one, for reading.

    Raises:
        OSError: it cannot be opened, or is a folder, pipe, socket or device; ``strerror`` says which.
    """
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # the first: a pipe answers at once
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:
        raise OSError(errno.EINVAL, reason_of(error), str(path)) from None
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        what = "a folder" if stat.S_ISDIR(kind) else "a pipe, socket or device"
        raise OSError(errno.EINVAL, f"it is {what}, no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def reason_of(error: OSError | ValueError) -> str:
    """Say why a path cannot be used: what the system says, or that its name cannot be one."""
    return getattr(error, "strerror", None) or "its name holds a NUL"


def read_regular(path: str | Path, most: int | None = None) -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: of the file.
        most: bytes; a larger file is refused.

    Raises:
        OSError: as ``open_regular``, or it is too large.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            limit = f"{most / 2**20:,.0f} MiB"
            raise OSError(errno.EFBIG, f"it is larger than {limit}", str(path))
        return file.read()


def state_here(path: Path) -> tuple[int, int, int]:
    """Return size and times of change of a file.

    The first time can be set, as by whatever unpacks or copies files; the second one the system alone sets,
    when content or name change.

    Raises:
        OSError: there is none.
    """
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
