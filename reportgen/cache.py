"""Finished pieces of long work, kept in the user's cache folder so that a run that was killed goes on."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import msgspec
import numpy as np
import platformdirs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

KEPT_DAYS = 30
"""Pieces that nobody asked for as long are removed."""


class Cache:
    """Pieces by key: arrays in ``.npz`` files, written whole or not at all.

    What cannot be read or written is as if it were not there: a cache never makes a run fail.

    Args:
        folder: None for ``reportgen`` in the user's cache folder.
        fresh: whether nothing is read but what was kept by this object.
    """

    def __init__(self, folder: str | Path | None = None, *, fresh: bool = False) -> None:
        self.folder = Path(folder or platformdirs.user_cache_dir("reportgen", appauthor=False))
        self.fresh, self._own = fresh, set[Path]()
        self._prune()

    def read(self, kind: str, key: str) -> dict[str, NDArray[Any]] | None:
        """Return a piece, or None where there is none that can be read."""
        path = self._path(kind, key)
        if self.fresh and path not in self._own:
            return None
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            os.utime(path)
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):
            return None
        return arrays

    def write(self, kind: str, key: str, arrays: Mapping[str, Any]) -> None:
        """Keep a piece: arrays and numbers by name."""
        self.keep(kind, key, packed(arrays))

    def keep(self, kind: str, key: str, piece: bytes) -> bool:
        """Keep a piece that is packed already, and tell whether that could be done."""
        path = self._path(kind, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(piece)
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError:
            return False
        self._own.add(path)
        return True

    def holds(self, kind: str, key: str) -> bool:
        """Tell whether there is a piece; whether it can be read shows in reading."""
        path = self._path(kind, key)
        return path.is_file() and (not self.fresh or path in self._own)

    def remove(self, kind: str, key: str) -> None:
        """Remove a piece, where there is one."""
        with contextlib.suppress(OSError):
            self._path(kind, key).unlink(missing_ok=True)

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / f"{key}.npz"

    def _prune(self) -> None:
        """Remove our own files that have not been used for long."""
        oldest = time.time() - KEPT_DAYS * 86_400
        with contextlib.suppress(OSError):
            for pattern in ("*/*.npz", "*/.part-*"):
                for path in self.folder.glob(pattern):
                    if path.stat().st_mtime < oldest:
                        path.unlink(missing_ok=True)


def packed(arrays: Mapping[str, Any]) -> bytes:
    """Return arrays and numbers by name as the bytes of an ``.npz`` file."""
    buffer = io.BytesIO()
    named: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    np.savez(buffer, **named)
    return buffer.getvalue()


def names_in(piece: bytes) -> list[str]:
    """Return the names of what was packed, without reading it."""
    with np.load(io.BytesIO(piece), allow_pickle=False) as file:
        return list(file.files)


def unpacked(piece: bytes) -> dict[str, NDArray[Any]]:
    """Return what was packed; no object is made but arrays of numbers and texts.

    Raises:
        ValueError: it is no such file.
    """
    try:
        with np.load(io.BytesIO(piece), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, EOFError, KeyError, BadZipFile) as error:
        raise ValueError(str(error)) from None


def key_of(*parts: Any) -> str:
    """Return the key of what ``parts`` determine: texts, numbers, tuples, mappings and arrays."""
    hasher = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            hasher.update(f"array {part.dtype} {part.shape}".encode())
            hasher.update(np.ascontiguousarray(part).view(np.uint8).data if part.size else b"")
        else:
            hasher.update(msgspec.json.encode(part, order="sorted"))
        hasher.update(b"\0")
    return hasher.hexdigest()
