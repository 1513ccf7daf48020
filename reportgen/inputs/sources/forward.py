"""A file of many images, read front to back: bounded reads, unpacked on the way, failures told apart.

A store or a disk that fails is an error, since the next run may succeed; what the bytes say wrong is damage,
and the images before it count.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from reportgen.errors import DataError
from reportgen.files import open_regular, reason_of
from reportgen.settings import MAX_INFLATION, MAX_RECORD_BYTES
from reportgen.stores import Store
from reportgen.wording import bytes_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from reportgen.inputs.sources.files import RecordFile

_STEP = 1 << 20
_SPARE = 64 * 2**20


class Damage(Exception):  # noqa: N818 - a fact about a file, which is counted
    """The rest of a file cannot be read; the text says why and where."""


class Guarded(io.RawIOBase):
    """The bytes of a file as they are stored; what its disk or store answers becomes a sentence."""

    _raw: Any = None

    def __init__(self, file: RecordFile) -> None:
        self._where = file.where
        self._store: Store | None = None
        if not isinstance(file.where, Path):
            self._store = Store(file.where, DataError)
            self._raw = self._store.open(file.where)
            return
        with self._asked():
            self._raw = open_regular(file.where)

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        if self._store is not None and not isinstance(self._where, Path):
            with self._store.asked(self._where):
                yield
            return
        try:
            yield
        except OSError as error:
            raise DataError(f"--data: {self._where}: {reason_of(error)}.") from None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, as any file does."""
        with self._asked():
            return int(self._raw.seek(offset, whence))

    def tell(self) -> int:
        """Return the position."""
        return int(self._raw.tell())

    def readinto(self, buffer: Any) -> int:
        """Read some bytes."""
        with self._asked():
            held = self._raw.read(len(buffer))
        buffer[: len(held)] = held
        return len(held)

    def close(self) -> None:
        """Close the file."""
        if not self.closed and self._raw is not None:
            self._raw.close()
        super().close()


class Forward:
    """A file that is read front to back, as ``tarfile`` takes one.

    Args:
        file: what is read; unpacked where its name ends in ``gz``.

    Attributes:
        at: how many bytes, unpacked, were read.
        last: what was read last.
    """

    def __init__(self, file: RecordFile) -> None:
        guarded = io.BufferedReader(Guarded(file), _STEP)
        self._held: BinaryIO = guarded
        packed = file.name.lower().endswith(("gz", ".gzip"))
        self._stream: Any = gzip.GzipFile(fileobj=guarded) if packed else guarded
        self._most = MAX_INFLATION * file.size + _SPARE if packed else None
        self.at = 0
        self.last = b""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._stream.close()
        self._held.close()

    def read(self, size: int) -> bytes:
        """Read ``size`` bytes, fewer at the end.

        Raises:
            Damage: it asks for more than one record may have, or cannot be unpacked.
            DataError: the disk or the store fails.
        """
        if not 0 <= size <= MAX_RECORD_BYTES + 4096:
            raise Damage(f"a part at byte {self.at:,} declares {size:,} bytes")
        parts, missing = [], size
        while missing:
            part = self._some(missing)
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        self.last = b"".join(parts)
        return self.last

    def _some(self, size: int) -> bytes:
        try:
            part: bytes = self._stream.read(min(size, _STEP))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Damage(f"it cannot be unpacked behind byte {self.at:,} ({error})") from None
        self.at += len(part)
        if self._most is not None and self.at > self._most:
            raise Damage(f"it unpacks to more than {bytes_text(self._most)}")
        return part

    def tell(self) -> int:
        """Return the position."""
        return self.at

    def seek(self, position: int) -> int:
        """Read on to a position, or to the end where that comes before.

        Raises:
            Damage: it lies behind, where nothing that is whole leads.
        """
        if position < self.at:
            raise Damage(f"a part at byte {self.at:,} leads back to byte {position:,}")
        while self.at < position and self._some(position - self.at):
            pass
        return self.at
