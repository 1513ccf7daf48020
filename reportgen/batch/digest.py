"""What a report was made of, as one digest: a report whose digest is in the journal is not made again."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.addresses import is_address, parse_address
from reportgen.batch.plan import paths_of
from reportgen.errors import ModelError
from reportgen.files import open_regular, reason_of
from reportgen.options import OPTIONS
from reportgen.version import __version__

if TYPE_CHECKING:
    from reportgen.batch.plan import Job

_UNSHAPING = {"cache", "force"}
"""Options that change nothing about a report."""


def digest_of(job: Job) -> str:
    """Return the digest of a model's content, of all options and of the version.

    Files that options name count by name, size and time of change: a data set may be large. What lies in a
    store counts by what the store says of it.

    Raises:
        ModelError: the model cannot be read.
    """
    options = {
        key: _without_folders(key, value)
        for key, value in job.options.items()
        if key not in _UNSHAPING
    }
    parts = [__version__, job.model.rpartition("/")[2], content(job.model), options]
    parts.append([(flag, state(path)) for flag, path in paths_of(job)])
    if job.options.get("show_paths"):
        parts.append(job.model)
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def _without_folders(key: str, value: Any) -> Any:
    """Return an option without the folders of its paths: they stand in no report."""
    if isinstance(value, list | tuple):
        return [_without_folders(key, item) for item in value]
    if not isinstance(value, str):
        return value
    before, file = OPTIONS[key].cut(value)
    return before + file.rpartition("/")[2]


def content(model: str) -> Any:
    """Return the digest of a model: of its file, or of all files of its folder."""
    if is_address(model):
        return state(model)
    path = Path(model)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    hasher = hashlib.sha256()
    try:
        for file in files:
            hasher.update(os.fsencode(file.relative_to(path)) + b"\0" + digest_of_file(file))
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {reason_of(error)}.") from None
    return hasher.hexdigest()


def digest_of_file(path: Path) -> bytes:
    """Return the SHA-256 of a regular file.

    Raises:
        OSError: it is none, or cannot be read.
    """
    with open_regular(path) as opened:
        return hashlib.file_digest(opened, "sha256").digest()  # type: ignore[arg-type]


@lru_cache(maxsize=4_096)  # many models share their probes and data
def state(path: str) -> tuple[tuple[str, ...], ...]:
    """Return what a path names: name, size and time of change of each file."""
    if is_address(path):
        from reportgen.stores import Store

        address = parse_address(path)
        return tuple(Store(address, ModelError).states(address))
    names = [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))  # noqa: PTH207
    found: list[tuple[str, ...]] = []
    for root in map(Path, names):
        files = sorted(root.rglob("*")) if root.is_dir() else [root]
        for file in files:
            try:
                told = file.stat()
            except OSError:
                found.append((file.name, "missing"))
                continue
            if not file.is_dir():
                inner = file.relative_to(root.parent).as_posix()
                found.append((inner, str(told.st_size), str(told.st_mtime_ns)))
    return tuple((os.fsencode(name).hex(), *rest) for name, *rest in found)
