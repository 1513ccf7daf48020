"""A store as fsspec opens it; whatever it answers, an error is one sentence without secrets."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Any, BinaryIO

from reportgen.errors import InputError, ReportgenError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from reportgen.addresses import Address

_PACKAGES = {"s3": "", "gs": " gcsfs", "az": " adlfs", "abfs": " adlfs", "memory": ""}
"""What is installed beside the extra."""
_LOCAL = {errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG, errno.EROFS} if hasattr(errno, "EDQUOT") else {
    errno.ENOSPC, errno.ENAMETOOLONG, errno.EROFS
}  # fmt: skip
AT_ONCE = 64
"""Files that are asked for at once; fsspec sends fewer at a time where the system has few descriptors."""

_READ_AHEAD = 4 * 2**20
_MARKS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "created")
"""Where stores say that a file has changed."""


class Store:
    """The store of an address. Its credentials are fsspec's business: we neither take nor show any.

    Args:
        address: a place in it.
        failure: what its errors become.

    Raises:
        ReportgenError: a package is missing.
        failure: it cannot be opened.
    """

    def __init__(self, address: Address, failure: type[ReportgenError] = InputError) -> None:
        self._failure = failure
        with self.asked(address):
            try:
                from fsspec.core import url_to_fs

                self.system: Any = url_to_fs(str(address))[0]
            except ImportError:
                raise ReportgenError(
                    f"Addresses that begin with {address.scheme}:// need pip install "
                    f"'keras-reportgen[remote]'{_PACKAGES[address.scheme]}."
                ) from None
            self.system.invalidate_cache()  # instances are shared, and what they listed may have changed

    @contextlib.contextmanager
    def asked(self, address: Address) -> Iterator[None]:
        """Turn what the store answers about an address into a sentence; its own text may name secrets."""
        try:
            yield
        except ReportgenError:
            raise
        except Exception as error:  # noqa: BLE001 - each store has errors of its own, from several libraries
            raise self._failure(f"{address}: {_reason(error)}.") from None

    def kind(self, address: Address) -> str:
        """Return ``file``, ``directory`` or nothing."""
        with self.asked(address):
            try:
                return str(self.system.info(_path(address))["type"])
            except FileNotFoundError:
                return ""

    def lacks_bucket(self, address: Address) -> bool:
        """Tell whether the bucket is known not to exist: asked of S3 alone, where that has been tried."""
        if address.scheme != "s3":
            return False
        try:
            return not self.system.exists(address.path.partition("/")[0])
        except PermissionError:  # a key may be for some folders of it only
            return False

    def size(self, address: Address) -> int:
        """Return the bytes of a file."""
        with self.asked(address):
            return int(self.system.info(_path(address))["size"] or 0)

    def state(self, address: Address) -> tuple[str, ...]:
        """Return size and marks of a file, nothing where there is none."""
        with self.asked(address):
            try:
                return state_of(self.system.info(_path(address)))
            except FileNotFoundError:
                return ()

    def within(self, address: Address) -> dict[str, dict[str, Any]]:
        """Return what lies directly in a folder, by name; nothing where there is no folder."""
        with self.asked(address):
            try:
                found = self.system.ls(_path(address), detail=True)
            except FileNotFoundError:
                return {}
        here = address.path.strip("/")
        named = {entry["name"].strip("/"): entry for entry in found}
        return {path.rpartition("/")[2]: entry for path, entry in named.items() if path != here}

    def begin(self, address: Address, most: int) -> bytes | None:
        """Return the first bytes of a file, None where there is none."""
        with self.asked(address):
            try:
                size = min(int(self.system.info(_path(address))["size"] or 0), most)
                held = self.system.cat_file(_path(address), start=0, end=size) if size else b""
            except FileNotFoundError:
                return None
        return bytes(held)

    def open(self, address: Address) -> BinaryIO:
        """Open a file that is read front to back, a few mebibytes ahead."""
        with self.asked(address):
            opened: BinaryIO = self.system.open(
                _path(address), "rb", block_size=_READ_AHEAD, cache_type="readahead"
            )
        return opened

    def below(self, address: Address) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield all that lies below a folder: its path from there, and what the store says of it."""
        with self.asked(address):
            here = _path(address)
            for root, folders, files in self.system.walk(here, detail=True, on_error="raise"):
                inside = root[len(here) :].lstrip("/")
                for name, entry in (*folders.items(), *files.items()):
                    if name:  # a folder may be an object of its own, which has no name in it
                        yield f"{inside}/{name}" if inside else name, entry

    def matching(self, address: Address) -> dict[str, dict[str, Any]]:
        """Return what a pattern matches, by its path from the bucket or container on."""
        with self.asked(address):
            found = self.system.glob(_path(address), detail=True)
        return {path.strip("/"): entry for path, entry in found.items()}

    def states(self, address: Address) -> list[tuple[str, ...]]:
        """Return name, size and marks of each file that an address or a pattern names."""
        if any(sign in address.path for sign in "*["):
            found = self.matching(address)
        elif self.kind(address) == "directory":
            found = dict(self.below(address))
        else:
            with self.asked(address):
                found = {address.name: self.system.info(_path(address))}
        return [
            (name, *state_of(entry))
            for name, entry in sorted(found.items())
            if entry["type"] != "directory"
        ]

    def get(self, address: Address, pairs: Sequence[tuple[Address, Path]]) -> None:
        """Copy files to this machine, into folders that exist.

        Args:
            address: what they are part of, for the error.
            pairs: which file goes where.
        """
        with self.asked(address):
            self.system.get([_path(one) for one, _ in pairs], [str(path) for _, path in pairs])

    def put(self, address: Address, names: Sequence[str], folder: Path) -> None:
        """Copy files of a folder to the same names below an address."""
        with self.asked(address):
            for start in range(0, len(names), AT_ONCE):
                part = names[start : start + AT_ONCE]
                self.system.put([str(folder / n) for n in part], [_path(address / n) for n in part])

    def remove(self, address: Address, names: Sequence[str]) -> None:
        """Remove files below an address."""
        with self.asked(address):
            for name in names:
                self.system.rm_file(_path(address / name))


def state_of(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return size and marks of what a store says of a file: they change with it."""
    return (str(entry.get("size")), *(str(entry[key]) for key in _MARKS if key in entry))


def _path(address: Address) -> str:
    """Return an address as its own file system writes it."""
    return f"/{address.path}" if address.scheme == "memory" else address.path


def _reason(error: Exception) -> str:
    """Say why a store did not do what it was asked for; by the kind of the error, never by its text."""
    kind = type(error).__name__
    if isinstance(error, OSError) and error.errno in _LOCAL:
        return f"it cannot be kept on this machine ({error.strerror})"
    if isinstance(error, FileNotFoundError):
        bucket = "bucket does not exist" in str(error) or "NoSuchBucket" in str(error)
        return "there is no such bucket" if bucket else "there is nothing of that name"
    if isinstance(error, PermissionError) or "Denied" in kind or "Forbidden" in kind:
        return "access is denied, with the credentials that fsspec finds in the environment"
    if "Credential" in kind or "Auth" in kind or "Token" in kind:
        return "no credentials are found, or they are not accepted"
    unreachable = ("Connect", "Timeout", "Endpoint", "DNS")
    if isinstance(error, TimeoutError | ConnectionError) or any(w in kind for w in unreachable):
        return "the store does not answer"
    return f"the store failed with {kind}; what it needs stands in the environment or in fsspec's configuration"
