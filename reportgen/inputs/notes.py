"""Read the user's notes; the pictures that they name are read when a report is built, never later."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from reportgen.errors import NotesError, ProbeError
from reportgen.files import read_regular, reason_of
from reportgen.page.notes import named_pictures
from reportgen.report.notes import MAX_NOTES_CHARACTERS, MAX_NOTES_PICTURES, Notes
from reportgen.settings import MAX_NOTES_BYTES

if TYPE_CHECKING:
    from reportgen.drawing.assets import AssetStore
    from reportgen.report.leaves import Figure

_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


class GivenNotes(NamedTuple):
    """Notes and the files of their pictures, by the name in ``assets/``."""

    notes: Notes
    files: dict[str, bytes]


def read_source(path: Path) -> str:
    """Return the Markdown of a file.

    Raises:
        NotesError: it cannot be read, is no text, or too long.
    """
    try:
        text = read_regular(path, MAX_NOTES_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise NotesError(f"{path} cannot be read: {reason_of(error)}.") from None
    except UnicodeDecodeError:
        raise NotesError(f"{path} is no text in UTF-8.") from None
    if len(text) > MAX_NOTES_CHARACTERS:
        raise NotesError(
            f"{path} has {len(text):,} characters; notes have at most {MAX_NOTES_CHARACTERS:,}."
        )
    return text


def read_notes(path: Path) -> GivenNotes:
    """Return the notes of a file with the pictures that lie in its folder.

    Pictures from the network are left out: a report loads nothing from elsewhere.

    Raises:
        NotesError: as ``read_source``, or a picture cannot be used.
    """
    from reportgen.drawing.assets import AssetStore

    source, store = read_source(path), AssetStore()
    figures: dict[str, Figure] = {}
    folder = path.absolute().parent.resolve()
    for one in named_pictures(source):
        if not one.name or _ELSEWHERE.match(one.name):
            continue
        if len(figures) == MAX_NOTES_PICTURES:
            raise NotesError(f"{path} names more than {MAX_NOTES_PICTURES} pictures.")
        where = f"{path}, line {one.line}: the picture {unquote(one.name)!r}"
        file = _within(folder, one.name, where)
        figures[one.name] = _stored(store, file, one.alt or file.stem, where)
    return GivenNotes(Notes(source, figures), store.files)


def _within(folder: Path, name: str, where: str) -> Path:
    """Return the file that a name leads to, which lies in the folder also when its links are followed."""
    text = unquote(re.split(r"[?#]", name, maxsplit=1)[0])
    try:
        file = (folder / text).resolve()
        inside = file.is_relative_to(folder) and not Path(text).is_absolute()
    except (OSError, ValueError, RuntimeError):
        raise NotesError(f"{where} is no name of a file.") from None
    if not inside:
        raise NotesError(f"{where} lies outside of the notes' folder; copy it there.")
    return file


def _stored(store: AssetStore, file: Path, alt: str, where: str) -> Figure:
    from reportgen.drawing.pictures import illustration
    from reportgen.files import open_regular
    from reportgen.inputs.images import decode

    try:
        open_regular(file).close()
        return illustration(store, decode(file, upright=True).array, alt)
    except OSError as error:
        raise NotesError(f"{where} cannot be read: {reason_of(error)}.") from None
    except ProbeError as error:
        raise NotesError(f"{where} cannot be shown ({error}).") from None


def renewed(old: Notes | None, source: str) -> Notes:
    """Return new notes with those pictures that the report holds already: no file is opened for them."""
    known = old.figures if old else {}
    return Notes(
        source, {one.name: known[one.name] for one in named_pictures(source) if one.name in known}
    )
