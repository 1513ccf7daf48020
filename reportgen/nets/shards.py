"""Weights in several HDF5 files with an index, as ``save_weights(…, max_shard_size=…)`` writes them.

The index is JSON and names files. What it names is untrusted: only plain names of regular files beside it are
opened, and each is read once in the limited child like any other HDF5 file.
"""

from __future__ import annotations

import contextlib
import json
import re
import stat
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError
from reportgen.files import read_regular
from reportgen.settings import MAX_ARCHITECTURE_BYTES, MAX_SHARDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ENDING = ".weights.json"
_PLAIN = re.compile(r"[^/\\\0]{1,200}\.weights\.h5")
_FIRST = "model_00000.weights.h5"
"""The shard that Keras opens before it looks into an index called ``model.weights.json``."""


def is_index(path: Path) -> bool:
    """Tell an index by its name."""
    return path.name.lower().endswith(ENDING)


def shard_files(path: Path) -> list[Path]:
    """Return the files that an index names, in the order of their names.

    Raises:
        ModelError: it is no index, or what it names is no plain file beside it.
    """
    found = sorted({name for names in _weight_map(path).values() for name in names})
    if not 0 < len(found) <= MAX_SHARDS:
        raise ModelError(f"{path} names {len(found):,} files; from 1 to {MAX_SHARDS} are read.")
    for name in found:
        problem = _problem_of(path, name)
        if problem:
            raise ModelError(f"{path} names the file {name[:80]!r}, {problem}.")
    return [path.with_name(name) for name in found]


def _problem_of(path: Path, name: str) -> str:
    """Say why a named file is not opened, or nothing."""
    if not _PLAIN.fullmatch(name):
        return "which is no plain name that ends in .weights.h5"
    try:
        kind = path.with_name(name).lstat().st_mode
    except (OSError, ValueError):
        return "which is not there: copy all files of the weights into one folder"
    return "" if stat.S_ISREG(kind) else "which is no regular file"


def _weight_map(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Return the names of the files that hold each group."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        raise ModelError(f"There is no model file {str(path)!r}.") from None
    return _read_map(path, (found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=16)
def _read_map(path: Path, _state: tuple[int, ...]) -> Mapping[str, tuple[str, ...]]:
    try:
        index = json.loads(read_regular(path, MAX_ARCHITECTURE_BYTES))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise ModelError(f"{path} is damaged: it is not JSON.") from None
    stored = index.get("weight_map") if isinstance(index, dict) else None
    found = {
        key: tuple(names) if isinstance(names, list) else (names,)
        for key, names in (stored.items() if isinstance(stored, dict) else ())
    }
    if not found or not all(isinstance(name, str) for names in found.values() for name in names):
        raise ModelError(
            f"{path} is no index of weights that Keras wrote: its weight_map is missing."
        )
    return found


@contextlib.contextmanager
def open_shards(path: Path) -> Iterator[MergedGroup]:
    """Open the files of an index as one; they were read once in the limited child before.

    Raises:
        KeyError: no file holds what the index says.
    """
    import h5py

    with contextlib.ExitStack() as stack:
        merged = MergedGroup(
            [stack.enter_context(h5py.File(file, "r")) for file in shard_files(path)]
        )
        for key in _weight_map(path):
            if key not in merged:
                raise KeyError(f"no file holds {key[:80]!r}")
        yield merged


class MergedGroup:
    """Groups of one name in several files as one group.

    Args:
        groups: at least one.
    """

    def __init__(self, groups: Sequence[Any]) -> None:
        self._groups = groups

    @property
    def attrs(self) -> dict[str, Any]:
        """All attributes; of two of one name that of the first file."""
        return {k: value for group in reversed(self._groups) for k, value in group.attrs.items()}

    def __iter__(self) -> Iterator[str]:
        """Yield the names inside, each once."""
        yield from dict.fromkeys(name for group in self._groups for name in group)

    def __contains__(self, name: str) -> bool:
        """Tell whether any file has it."""
        return any(name in group for group in self._groups)

    def __getitem__(self, name: str) -> Any:
        """Return what all files hold under a name.

        Raises:
            KeyError: none does.
            ValueError: several hold a data set.
        """
        found = [group[name] for group in self._groups if name in group]
        if not found:
            raise KeyError(name)
        if not any(hasattr(item, "shape") for item in found):
            return MergedGroup(found)
        if len(found) > 1:
            raise ValueError(f"{name[:80]!r} stands in several files")
        return found[0]

    def get(self, name: str, default: Any = None) -> Any:
        """Return what all files hold under a name, or something else."""
        if name not in self:
            return default
        return self[name]


@contextlib.contextmanager
def linked_shards(path: Path) -> Iterator[Path]:
    """Name an index and its files as Keras looks for them, for a while and in a folder of our own."""
    with tempfile.TemporaryDirectory(prefix="reportgen-") as folder:
        files = shard_files(path)
        for file in files:
            (Path(folder) / file.name).symlink_to(file.resolve())
        first = Path(folder) / _FIRST
        if not first.exists():
            first.symlink_to(files[0].resolve())
        index = Path(folder) / f"model{ENDING}"
        index.symlink_to(path.resolve())
        yield index
