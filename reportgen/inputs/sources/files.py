"""Files of many images, here or in a store: one, those that a pattern matches, or those in a folder."""

from __future__ import annotations

import contextlib
import filecmp
import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from reportgen.addresses import Address, is_address, parse_address
from reportgen.errors import DataError
from reportgen.files import state_here
from reportgen.inputs.images import SUFFIXES
from reportgen.inputs.listing import natural
from reportgen.report.leaves import Notice
from reportgen.stores import Store, state_of
from reportgen.wording import readable_name

if TYPE_CHECKING:
    from collections.abc import Sequence


Kind = Literal["tar", "tfrecord", "parquet"]

_PART = r"(-\d+-of-\d+)?"
_KINDS: dict[Kind, re.Pattern[str]] = {
    "tar": re.compile(r"\.(tar(\.gz)?|tgz)$"),
    "tfrecord": re.compile(rf"\.tfrecords?(\.gz)?{_PART}(\.gz)?$"),
    "parquet": re.compile(r"\.parquet$"),
}
_SPLITS = ("train", "validation", "valid", "val", "dev", "test", "eval")
_MARKS = "*?["
_DIGEST = re.compile(r"[0-9a-f]{32}(-\d+)?$|[A-Za-z0-9+/]{22}==$")
"""MD5 as S3's ETag and as Google's md5Hash; other marks of stores are no digests."""


class RecordFile(NamedTuple):
    """A file of many images.

    Attributes:
        where: on this machine, or in a store.
        name: its last part.
        size: bytes.
        state: what changes with it.
    """

    where: Path | Address
    name: str
    size: int
    state: tuple[str, ...]


_Listed = tuple[list[RecordFile], Path | Address, bool]
"""Files, where they lie, and whether they (and not their folder) were named."""


class Found(NamedTuple):
    """The files of a data set, in their order.

    Attributes:
        folder: where a description may lie beside them.
    """

    kind: Kind
    files: tuple[RecordFile, ...]
    folder: Path | Address
    notices: tuple[Notice, ...] = ()


def kind_of(name: str) -> Kind | None:
    """Return what a file of many images is, by its name; None for other files."""
    return next((kind for kind, ending in _KINDS.items() if ending.search(name.lower())), None)


def find_files(source: str | Path) -> Found | None:
    """List the files of many images that a path, pattern, folder or address names; None where it names others.

    Raises:
        DataError: nothing is there, one is empty or stands twice, or they are of several kinds or splits.
    """
    listed = _in_store(parse_address(str(source))) if is_address(source) else _here(Path(source))
    files, folder, named = listed
    kinds = {kind_of(file.name) for file in files}
    if not files or kinds == {None}:
        return None
    if len(kinds) > 1:
        names = ", ".join(sorted(ending or "others" for ending in kinds))
        raise DataError(
            f"--data: {source}: its files are of several kinds ({names}); a pattern names one."
        )
    (kind,) = kinds
    files = sorted(files, key=lambda file: natural(str(file.where)))
    if not named:
        _check_splits(source, files)
    _check_each(files)
    notices = () if named and len(files) == 1 else _missing(files)
    return Found(kind, tuple(files), folder, notices) if kind else None


def _here(path: Path) -> _Listed:
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        path = path if path.exists() else path.expanduser()
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if not p.name.startswith("."))
            paths = [p for p in inside if kind_of(p.name) and p.is_file()]
            shown = [] if paths and _has_images(path) else paths
            return [_file_here(p) for p in shown], path, False
        if path.exists():
            return [_file_here(path)], path.parent, True
        if any(mark in str(path) for mark in _MARKS):
            paths = [Path(p) for p in glob.glob(str(path), recursive=True)]  # noqa: PTH207 - absolute too
            return [_file_here(p) for p in paths if p.is_file()], path.parent, True
    if kind_of(path.name):
        what = (
            "No file matches the pattern"
            if any(m in path.name for m in _MARKS)
            else "There is no file"
        )
        raise DataError(f"--data: {what} {str(path)!r}.")
    return [], path, True


def _has_images(folder: Path) -> bool:
    return any(
        Path(name).suffix.lower() in SUFFIXES for _, _, names in os.walk(folder) for name in names
    )


def _file_here(path: Path) -> RecordFile:
    state = state_here(path)
    return RecordFile(path, readable_name(path.name), state[0], tuple(map(str, state)))


def _in_store(address: Address) -> _Listed:
    store = Store(address, DataError)
    if any(mark in address.path for mark in _MARKS):
        found = {
            path: entry
            for path, entry in store.matching(address).items()
            if entry["type"] != "directory"
        }
        if not found and kind_of(address.name):
            raise DataError(f"--data: No file matches the pattern '{address}'.")
        return (
            [_file_there(address._replace(path=p), e) for p, e in found.items()],
            address.parent,
            True,
        )
    kind = store.kind(address)
    if kind == "directory":
        within = store.within(address)
        named = {n: e for n, e in within.items() if kind_of(n) and e["type"] != "directory"}
        images = named and any(Path(name).suffix.lower() in SUFFIXES for name in within)
        found = {} if images else named
        return [_file_there(address / n, e) for n, e in found.items()], address, False
    if not kind_of(address.name):
        return [], address, True
    if not kind:
        raise DataError(f"--data: {address}: there is nothing of that name.")
    entry = store.within(address.parent).get(address.name) or {"size": store.size(address)}
    return [_file_there(address, entry)], address.parent, True


def _file_there(address: Address, entry: dict[str, Any]) -> RecordFile:
    return RecordFile(
        address, readable_name(address.name), int(entry.get("size") or 0), state_of(entry)
    )


def _check_splits(source: str | Path, files: Sequence[RecordFile]) -> None:
    """Refuse a folder that holds the files of several splits: their mean means nothing."""
    words = [re.split(r"[^a-z]+", file.name.lower()) for file in files]
    splits = sorted({word for found in words for word in found if word in _SPLITS})
    if len(splits) > 1:
        some = str(source).rstrip("/")
        raise DataError(
            f"--data: {source} holds several data sets ({', '.join(splits)}). A pattern names one, as in "
            f"'{some}/{splits[0]}*'."
        )


def _check_each(files: Sequence[RecordFile]) -> None:
    """Refuse what would be read in vain, or counted twice."""
    sizes: dict[int, list[RecordFile]] = {}
    for file in files:
        if not file.size:
            raise DataError(f"--data: {file.where}: the file is empty (0 bytes).")
        for other in sizes.setdefault(file.size, []):
            if file.where == other.where or _same(file, other):
                raise DataError(
                    f"--data: {other.where} and {file.where} are the same; each image counts once."
                )
        sizes[file.size].append(file)


def _same(one: RecordFile, other: RecordFile) -> bool:
    """Tell whether two files of one size hold the same bytes; of a store by its digests alone."""
    if isinstance(one.where, Path) and isinstance(other.where, Path):
        return filecmp.cmp(one.where, other.where, shallow=False)  # ends at the first difference
    return bool(_digests(one.state) & _digests(other.state))


def _digests(state: tuple[str, ...]) -> set[str]:
    return {mark for mark in (one.strip('"') for one in state) if _DIGEST.match(mark)}


def unchanged(file: RecordFile) -> bool:
    """Tell whether a file is what was listed; in a store by its size, and where there are some by its digests.

    Stores do not write their other marks alike when they list files and when one is asked for.

    Raises:
        DataError: the store fails.
    """
    if isinstance(file.where, Path):
        try:
            return _file_here(file.where) == file
        except OSError:
            return False
    state = Store(file.where, DataError).state(file.where)
    return state[:1] == file.state[:1] and _digests(state) == _digests(file.state)


def _missing(files: Sequence[RecordFile]) -> tuple[Notice, ...]:
    """Say where names tell of more files than there are."""
    parts = [re.search(r"(\d+)-of-(\d+)", file.name) for file in files]
    told = {int(part[2]) for part in parts if part}
    if len(told) != 1 or not all(parts) or len(files) >= max(told):
        return ()
    text = f"The data set is {len(files)} of the {max(told)} files that their names tell of."
    return (Notice("warning", text),)
