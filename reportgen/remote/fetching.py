"""Inputs from object stores: copied under their own names into a folder that lives as long as the build."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.addresses import is_address, parse_address
from reportgen.cache import key_of
from reportgen.errors import (
    DataError,
    HistoryError,
    InputError,
    ModelError,
    ProbeError,
    ReportgenError,
)
from reportgen.inputs.images import SUFFIXES
from reportgen.inputs.label_files import read_table
from reportgen.inputs.listing import natural
from reportgen.inputs.sources.files import find_files
from reportgen.settings import MAX_REMOTE_BYTES, MAX_REMOTE_FILES
from reportgen.stores import AT_ONCE, Store, state_of
from reportgen.wording import bytes_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from reportgen.addresses import Address
    from reportgen.context import Progress

    Wanted = Callable[[str], bool]


class Sources(NamedTuple):
    """What ``build_report`` was given to read."""

    model: Any
    probes: Any = None
    data: Any = None
    history: Any = None


@contextlib.contextmanager
def fetched(given: Sources, progress: Progress) -> Iterator[Sources]:
    """Give the same with paths in the place of addresses; the copies go when the block ends.

    Errors that name a copy name the address in its place.

    Raises:
        UsageError: an address that is none of ours.
        ReportgenError: the store fails, or holds more than the limits.
    """
    probes = given.probes if isinstance(given.probes, list | tuple) else [given.probes]
    if not any([is_address(one) for one in (given.model, given.data, given.history, *probes)]):  # noqa: C419 - each is looked at
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="reportgen-", ignore_cleanup_errors=True) as place:
        copies = _Copies(Path(place).resolve(), progress)
        try:
            yield Sources(
                copies.of_model(given.model),
                copies.of_probes(given.probes),
                copies.of_data(given.data),
                copies.of_history(given.history),
            )
        except ReportgenError as error:
            error.args = (copies.with_addresses(str(error)), *error.args[1:])
            raise


class _File(NamedTuple):
    """A file to copy.

    Attributes:
        origin: where it is.
        path: where it goes.
        size: bytes.
        state: what changes with it.
    """

    origin: Address
    path: Path
    size: int
    state: tuple[str, ...] = ()


def _file_of(origin: Address, path: Path, entry: Mapping[str, Any]) -> _File:
    return _File(origin, path, int(entry["size"] or 0), state_of(entry))


class _Copies:
    """Copies of what addresses name, each in a folder of its own below one.

    Args:
        place: that folder.
        progress: told what is fetched.
    """

    def __init__(self, place: Path, progress: Progress) -> None:
        self._place, self._progress = place, progress
        self._origins: dict[str, Address] = {}
        self._files = self._bytes = 0
        self._dated = False

    def with_addresses(self, text: str) -> str:
        """Return a text that names the addresses in the place of their copies."""
        for folder, address in reversed(self._origins.items()):
            text = text.replace(folder, str(address))
        return text

    def of_model(self, model: Any) -> Any:
        """Copy a model: a file, or all of a SavedModel."""
        return self._copy(model, ModelError, lambda _: True) if is_address(model) else model

    def of_history(self, history: Any) -> Any:
        """Copy a file, or the events of a folder of TensorBoard's."""
        if not is_address(history):
            return history
        return self._copy(history, HistoryError, lambda name: "tfevents" in name)

    def of_probes(self, probes: Any) -> Any:
        """Copy images, folders of images and what patterns match; paths stay as they are."""
        if is_address(probes):
            found = self._probe(probes)
            return found[0] if len(found) == 1 else found
        if isinstance(probes, list | tuple) and any(is_address(one) for one in probes):
            return [
                path for one in probes for path in (self._probe(one) if is_address(one) else [one])
            ]
        return probes

    def of_data(self, data: Any) -> Any:
        """Copy a folder of images, an array file, or a CSV with the files that it lists.

        Files of many images stay where they are: they are read front to back from there.
        """
        if not is_address(data) or find_files(data) is not None:
            return data
        self._dated = True
        path = self._copy(data, DataError, _is_image)
        if path.suffix.lower() == ".csv" and path.is_file():
            self._listed(parse_address(data).parent, path)
        return path

    def _probe(self, text: str) -> list[Path]:
        if not any(mark in text for mark in "*["):
            return [self._copy(text, ProbeError, _is_image)]
        address = parse_address(text)
        store = Store(address, ProbeError)
        found = sorted(store.matching(address).items(), key=lambda pair: natural(pair[0]))
        if not found:
            raise ProbeError(f"No file matches the pattern '{address}'.")
        fixed = address.path[: min(address.path.find(m) for m in "*[" if m in address.path)]
        root = address._replace(path=fixed.rpartition("/")[0])
        folder = self._folder(root)
        pairs, paths = [], []
        for whole, entry in found:
            path = folder.joinpath(
                *_regular(whole[len(root.path) :].lstrip("/"), address, ProbeError)
            )
            paths.append(path)
            if entry["type"] == "directory":
                pairs += self._below(store, address._replace(path=whole), path, _is_image)
            else:
                pairs.append(_file_of(address._replace(path=whole), path, entry))
        self._get(store, address, pairs)
        return paths

    def _copy(self, text: str, failure: type[ReportgenError], wanted: Wanted) -> Path:
        """Copy a file, or what is wanted of a folder."""
        address = parse_address(text)
        store = Store(address, failure)
        kind = store.kind(address)
        if not kind:
            raise failure(f"{address}: there is nothing of that name.")
        (name,) = _regular(address.name, address, failure)
        path = self._folder(address.parent) / name
        if kind == "directory":
            path.mkdir()
            self._get(store, address, self._below(store, address, path, wanted))
        else:
            self._get(store, address, [_File(address, path, store.size(address))])
        return path

    def _below(self, store: Store, address: Address, path: Path, wanted: Wanted) -> list[_File]:
        """List what is wanted of a folder, and make its folders: those without images count as classes too."""
        pairs = []
        for count, (inside, entry) in enumerate(store.below(address)):
            if count >= MAX_REMOTE_FILES:
                raise InputError(f"{address} holds more than {MAX_REMOTE_FILES:,} files.")
            parts = _regular(inside, address, InputError)
            folder = entry["type"] == "directory"
            target = path.joinpath(*parts)
            (target if folder else target.parent).mkdir(parents=True, exist_ok=True)
            if not folder and wanted(parts[-1]):
                pairs.append(_file_of(address / inside, target, entry))
        return pairs

    def _listed(self, folder: Address, csv: Path) -> None:
        """Copy the files that a CSV lists, and the masks, from below its folder; what is missing stays so."""
        try:
            table = read_table(csv)
        except InputError as error:
            raise DataError(f"--data: {error}") from error
        masks = [label for label in table.values() if isinstance(label, str) and _is_image(label)]
        wanted: dict[str, dict[str, tuple[str, ...]]] = {}
        for name in dict.fromkeys((*table, *masks)):
            parts = _regular(name.removeprefix("./"), folder / csv.name, DataError)
            wanted.setdefault("/".join(parts[:-1]), {})[parts[-1]] = parts
        store, pairs = Store(folder, DataError), []
        for inside, names in wanted.items():
            place = folder / inside if inside else folder
            there = store.within(place)
            for name, parts in names.items():
                if name in there and there[name]["type"] == "file":
                    target = csv.parent.joinpath(*parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    pairs.append(_file_of(place / name, target, there[name]))
        self._get(store, folder, pairs)

    def _folder(self, origin: Address) -> Path:
        """Make a folder for copies from one place."""
        folder = self._place / str(len(self._origins))
        folder.mkdir()
        self._origins[str(folder)] = origin
        return folder

    def _get(self, store: Store, address: Address, files: Sequence[_File]) -> None:
        """Copy files, some at a time, where they are not too many and not too large.

        Files of a data set are told apart by their time of change. That of a copy is made of what the store
        says, so that it is the same on each machine and in the next run.
        """
        self._files += len(files)
        self._bytes += sum(file.size for file in files)
        if self._files > MAX_REMOTE_FILES:
            raise InputError(
                f"{address}: a build fetches at most {MAX_REMOTE_FILES:,} files from stores."
            )
        if self._bytes > MAX_REMOTE_BYTES:
            raise InputError(
                f"{address}: a build fetches at most {bytes_text(MAX_REMOTE_BYTES)} from stores, and this "
                f"makes {bytes_text(self._bytes)}."
            )
        self._progress.stage(f"Fetching {address}", len(files))
        for start in range(0, len(files), AT_ONCE):
            part = files[start : start + AT_ONCE]
            for file in part:
                file.path.parent.mkdir(parents=True, exist_ok=True)
            store.get(address, [(file.origin, file.path) for file in part])
            for file in part if self._dated else ():
                if file.state and file.path.is_file():
                    stamp = int(key_of(*file.state)[:12], 16)
                    os.utime(file.path, ns=(stamp, stamp))
            self._progress.advance(len(part))


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _regular(inside: str, address: Address, failure: type[ReportgenError]) -> tuple[str, ...]:
    """Return the parts of a name below a folder, all of them names of this system.

    Raises:
        failure: it leads out of the folder, or would be another file here.
    """
    parts = tuple(inside.split("/"))
    plain: Iterable[bool] = (
        part not in {"", ".", ".."} and "\0" not in part and Path(part).name == part
        for part in parts
    )
    if not all(plain):
        raise failure(
            f"{address}: {inside[:200]!r} is no name below it; files are named from there, without '..' and "
            "without a slash at the beginning."
        )
    return parts
