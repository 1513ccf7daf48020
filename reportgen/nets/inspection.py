"""Read every group, attribute and data set of a model file once, in a process that may be ended.

    python -P inspection.py FILE hdf5|zip INFLATION > what_it_holds.json

One wrong byte makes libhdf5 loop for ever, deaf to signals: a file that is not ours is read here
first. Nothing of the package is imported.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from typing import Any

ROWS = 1 << 22
"""Elements of a data set that are read at once."""
SMALL = 1 << 20
"""Bytes that any data set may declare."""


class DamagedError(Exception):
    """The file cannot be trusted; the text says why."""


def inspect_hdf5(source: Any, inflation: int) -> dict[str, int]:
    """Read all that an HDF5 file holds.

    Args:
        source: path or file object.
        inflation: how many times what it stores a compressed data set may declare.

    Returns:
        ``bytes``: of all data sets, as they declare.

    Raises:
        DamagedError: a link leads out of the file, or a data set declares far more than it stores.
    """
    import h5py

    total = 0
    with h5py.File(source, "r") as file:
        waiting, seen = [file["/"]], set()
        while waiting:
            group = waiting.pop()
            _read_attributes(group)
            for name in group:
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise DamagedError(f"{name!r} is a link that leads elsewhere")
                item = group[name]
                place = h5py.h5o.get_info(item.id).addr
                if place in seen:
                    continue
                seen.add(place)
                if isinstance(item, h5py.Group):
                    waiting.append(item)
                elif isinstance(item, h5py.Dataset):
                    total += _read_data(item, inflation)
    return {"bytes": total}


def _read_attributes(item: Any) -> None:
    for name in item.attrs:
        item.attrs[name]


def _read_data(data: Any, inflation: int) -> int:
    _read_attributes(data)
    declared, stored = data.nbytes, data.id.get_storage_size()
    if data.is_virtual or data.external:
        raise DamagedError(f"{data.name!r} keeps its data in another file")
    if declared > SMALL and declared > inflation * stored:
        raise DamagedError(f"{data.name!r} declares {declared:,} bytes and stores {stored:,}")
    if data.shape is None or data.size == 0:
        return 0
    if not data.shape:
        data[()]
        return int(declared)
    step = max(1, ROWS * data.shape[0] // data.size)
    for start in range(0, data.shape[0], step):
        data[start : start + step]
    return int(declared)


def inspect_zip(path: str, inflation: int) -> dict[str, int]:
    """Read all members of a ``.keras`` file, and what its HDF5 members hold."""
    total = 0
    with zipfile.ZipFile(path) as archive, open(path, "rb") as raw:  # noqa: PTH123 - a path alone
        for info in archive.infolist():
            if info.filename.endswith(".h5"):
                total += inspect_hdf5(member(archive, info, raw), inflation)["bytes"]
    return {"bytes": total}


def member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, raw: Any) -> Any:
    """Return a member as a file that can be moved in: as Keras stores it without a copy in memory."""
    if info.compress_type != zipfile.ZIP_STORED:
        return io.BytesIO(archive.read(info))
    raw.seek(info.header_offset + 26)
    name, extra = (int.from_bytes(raw.read(2), "little") for _ in range(2))
    return Window(raw, info.header_offset + 30 + name + extra, info.file_size)


class Window(io.RawIOBase):
    """A part of a file as a file.

    Args:
        raw: the whole.
        start: where the part begins.
        size: its length in bytes.
    """

    def __init__(self, raw: Any, start: int, size: int) -> None:
        super().__init__()
        self._raw, self._start, self._size, self._at = raw, start, size, 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be moved in."""
        return True

    def tell(self) -> int:
        """Return the position in the part."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the position on."""
        view = memoryview(buffer).cast("B")
        self._raw.seek(self._start + self._at)
        content = self._raw.read(max(0, min(len(view), self._size - self._at)))
        view[: len(content)] = content
        self._at += len(content)
        return len(content)


def main(path: str, kind: str, inflation: str) -> None:
    """Print what the file holds as JSON, or why it cannot be trusted."""
    try:
        read = inspect_zip if kind == "zip" else inspect_hdf5
        found: dict[str, Any] = dict(read(path, int(inflation)))
    except Exception as error:  # noqa: BLE001 - libraries raise all sorts on damaged files
        found = {"problem": " ".join(str(error).split())[:300] or type(error).__name__}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:4])
