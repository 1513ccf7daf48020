"""WebDataset's tar files: members that share a key are one sample, KEY.jpg and KEY.cls, KEY.json or KEY.txt.

Members are read in the order of the file and never written to disk; their names lead nowhere.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from reportgen.errors import DataError
from reportgen.inputs.classes import index_of
from reportgen.inputs.images import SUFFIXES, Encoded
from reportgen.inputs.listing import Item
from reportgen.inputs.sources.forward import Damage, Forward
from reportgen.inputs.sources.records import PLACES, Unreadable
from reportgen.settings import MAX_LABEL_BYTES, MAX_NAME_CHARACTERS, MAX_RECORD_BYTES
from reportgen.wording import bytes_text, readable_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reportgen.inputs.sources.features import Features
    from reportgen.inputs.sources.files import RecordFile

_LABELS = ("cls", "json", "txt")
"""Endings of members that are labels, the first that is there counts."""
_PICKLES = (".pyd", ".pkl", ".pickle", ".pth", ".pt", ".joblib")
"""Running code is what reading these can mean."""
_KEYS = ("label", "cls", "class", "class_id", "target", "category")
_MOST_PARTS = 32
_BLOCK = tarfile.BLOCKSIZE


class TarFormat:
    """Samples of tar files.

    Args:
        features: ``image`` is the ending of a member, ``label`` too, or ``json.KEY``.
    """

    class_names: tuple[str, ...] = ()

    def __init__(self, features: Features) -> None:
        self._features = features

    def length(self, file: RecordFile) -> int | None:  # noqa: ARG002 - the protocol's
        """Return None: a tar has no table of its members."""
        return None

    def cuts(self, file: RecordFile, block: int) -> list[range]:  # noqa: ARG002 - the protocol's
        """Return one shard."""
        return [range(PLACES)]

    def read(self, file: RecordFile, span: range) -> Iterator[tuple[int, Item | Unreadable]]:  # noqa: ARG002
        """Yield the samples of a file from its beginning, numbered."""
        with Forward(file) as forward:
            yield from enumerate(self._samples(forward, file))

    def _samples(self, forward: Forward, file: RecordFile) -> Iterator[Item | Unreadable]:
        key, parts = "", dict[str, bytes]()
        damage: Damage | None = None
        try:
            for name, content in _members(forward, file):
                if isinstance(content, Unreadable):
                    yield content
                    continue
                stem, ending = _key(name)
                if parts and (stem != key or ending in parts):
                    yield self._sample(key, parts, file)
                    parts = {}
                key = stem
                if len(parts) < _MOST_PARTS and sum(map(len, parts.values())) <= MAX_RECORD_BYTES:
                    parts[ending] = content
        except Damage as found:
            damage = found
        kinds = [_is_image(ending) for ending in parts]
        if parts and (
            damage is None or (any(kinds) and not all(kinds))
        ):  # else its label may be lost
            yield self._sample(key, parts, file)
        if damage is not None:
            raise damage

    def _sample(self, key: str, parts: dict[str, bytes], file: RecordFile) -> Item | Unreadable:
        images = [ending for ending in parts if _is_image(ending)]
        chosen = [e for e in images if e == self._features.image] or (
            [] if self._features.image else [e for e in images if "." not in e] or images
        )
        name = _shown(key)
        if not chosen:
            kinds = ", ".join(sorted(parts)) or "nothing"
            asked = (
                f" {self._features.image!r}, as features.toml says" if self._features.image else ""
            )
            return Unreadable(f"{name}: it has no image{asked} ({kinds})")
        if len(chosen) > 1:
            raise DataError(
                f"--data: {file.name}: {name} has several images ({', '.join(sorted(chosen))}). A features.toml"
                f" says which is meant: image = {chosen[0]!r}. Masks are not read from tar files; a folder of "
                "images and masks has them."
            )
        try:
            label = self._label(parts)
        except (ValueError, RecursionError) as error:
            return Unreadable(f"{name}: its label cannot be read ({error})")
        return Item(f"{name}.{chosen[0]}", Encoded(f"{name}.{chosen[0]}", parts[chosen[0]]), label)

    def _label(self, parts: dict[str, bytes]) -> Any:
        wanted = self._features.label
        ending, _, key = wanted.partition(".") if wanted.startswith("json.") else (wanted, "", "")
        if wanted and _is_image(wanted):
            raise DataError(
                f"--data: {wanted!r} would be a mask, which tar files are not read for; a folder of images and "
                "masks has them."
            )
        ending = ending or next((one for one in _LABELS if one in parts), "")
        if ending not in parts:
            if wanted:
                held = ", ".join(sorted(parts))
                raise ValueError(f"features.toml says {wanted!r}, and there is none: {held}")
            return None
        text = parts[ending].decode("utf-8").strip()
        if ending != "json":
            return as_label(text)
        held = json.loads(text)
        if not isinstance(held, dict):
            return _plain(held)
        key = key or next((one for one in _KEYS if one in held), "")
        if key not in held and held:
            some = ", ".join(map(repr, list(held)[:8]))
            first = next(iter(held))
            raise ValueError(
                f"its keys are {some}; features.toml says which: label = 'json.{first}'"[:300]
            )
        return _plain(held.get(key))


def as_label(text: str) -> int | str | None:
    """Return a text as a label: digits are the number of a class, an empty one is none.

    Raises:
        ValueError: it is too long for a name.
    """
    if len(text) > MAX_NAME_CHARACTERS:
        raise ValueError(f"{len(text):,} characters are no label")
    number = index_of(text)
    return number if number is not None else text or None


def _plain(value: Any) -> Any:
    """Return a label of JSON: one value, a list of numbers, or values by the name of an output."""
    if isinstance(value, dict):
        return {
            str(name): _plain(inner) for name, inner in value.items() if not isinstance(inner, dict)
        }
    if isinstance(value, list):
        if not all(isinstance(one, int | float) for one in value):
            raise ValueError("a list holds other things than numbers")
        return value
    return as_label(value.strip()) if isinstance(value, str) else value


def _members(forward: Forward, file: RecordFile) -> Iterator[tuple[str, bytes | Unreadable]]:
    """Yield the members of known types with their bytes.

    Raises:
        Damage: the file ends too soon, or is none of tar.
        DataError: it holds a pickle.
    """
    archive = _asked(lambda: tarfile.TarFile(fileobj=forward, errors="surrogateescape"), forward)  # type: ignore[arg-type]
    while (member := _asked(archive.next, forward)) is not None:
        name = readable_name(member.name)
        if name.lower().endswith(_PICKLES):
            raise DataError(
                f"--data: {file.name} holds {_shown(name)!r}, a pickle, which could run code: refused."
                " Labels are .cls, .json or .txt."
            )
        if not member.isreg() or member.issparse():
            if not member.isdir():
                yield (
                    name,
                    Unreadable(
                        f"{_shown(name)}: it is no regular file; links and devices are not read"
                    ),
                )
        elif (most := _most(_key(name)[1])) and member.size > most:
            yield (
                name,
                Unreadable(
                    f"{_shown(name)}: {bytes_text(member.size)}, more than the limit of {bytes_text(most)}"
                ),
            )
        elif most:
            forward.seek(member.offset_data)
            content = forward.read(member.size)
            if len(content) < member.size:
                raise Damage(f"it ends at byte {forward.at:,}, within {_shown(name)}")
            yield name, content
        archive.members.clear()  # it keeps all that it has seen
    yield from _end(forward)


def _asked(read: Any, forward: Forward) -> Any:
    """Let ``tarfile`` read; whatever it makes of strange bytes is damage."""
    try:
        return read()
    except (Damage, DataError):
        raise
    except tarfile.ReadError as error:
        text = "it ends" if "unexpected end" in str(error) else f"it is no tar file ({error})"
        raise Damage(f"{text} at byte {forward.at:,}") from None
    except Exception as error:  # noqa: BLE001 - headers of pax lead to errors of all sorts
        raise Damage(f"the header before byte {forward.at:,} is damaged ({error})") from None


def _end(forward: Forward) -> Iterator[tuple[str, Unreadable]]:
    """Tell an end that was meant from one that was not: ``tarfile`` takes both alike."""
    if len(forward.last) < _BLOCK:
        raise Damage(f"it ends at byte {forward.at:,} without the mark of a tar's end")
    if forward.last.strip(b"\0"):
        raise Damage(f"the header before byte {forward.at:,} is damaged")
    end = forward.at
    while rest := forward.read(1 << 16):
        if rest.strip(b"\0"):
            yield (
                "",
                Unreadable(f"more follows the end of the archive at byte {end:,}; it is not read"),
            )
            return


def _most(ending: str) -> int:
    """Return the bytes that a member may have; 0 of one that is not read."""
    if _is_image(ending):
        return MAX_RECORD_BYTES
    return MAX_LABEL_BYTES if ending in _LABELS else 0


def _is_image(ending: str) -> bool:
    return f".{ending.rpartition('.')[2]}" in SUFFIXES


def _key(name: str) -> tuple[str, str]:
    """Return the key and the ending of a member, as WebDataset cuts its name: at the last part's first dot.

    Names that begin with a dot are those of systems, and have no ending.
    """
    folder, slash, last = name.rpartition("/")
    if last.startswith("."):
        return name, ""
    stem, _, ending = last.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _shown(name: str) -> str:
    """Return a member's name without folders, as files are shown."""
    return PurePosixPath(name).name[-200:]
