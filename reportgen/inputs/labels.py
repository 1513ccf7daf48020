"""Class names and true labels as they lie in files; what a label means is decided in ``classes``."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from reportgen.errors import LabelError
from reportgen.files import read_regular
from reportgen.settings import MAX_NAME_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
FILE_COLUMN = frozenset({"file", "filename", "path", "image", "name"})
"""First cells that make a line of a CSV a header."""


def read_classes(source: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return class names in the order of the outputs.

    Args:
        source: the names, or the path of a text file with one name a line, or of a JSON file: a
            list of names or of objects with ``index`` and ``name``, or an object from index to name
            (or to ``[id, name]``, as ImageNet's index) or from name to index.

    Raises:
        LabelError: the file is missing, or no list of names.
    """
    if source is None:
        return ()
    if not isinstance(source, str):
        return tuple(source)
    text = read_text(Path(source), "class names")
    if source.lower().endswith(".json") or text.lstrip().startswith(("[", "{")):
        try:
            names = _names_of_json(json.loads(text))
        except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError):
            raise LabelError(
                f"{source}: the class names must be a JSON list of names, or an object from "
                "index to name."
            ) from None
    else:
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise LabelError(f"{source} holds no class names.")
    for place, name in enumerate(names):
        if problem := _no_name(name):
            raise LabelError(f"{source}: the class name {place} {problem}.")
    return names


def _no_name(text: str) -> str:
    """Say why a text can be no name; empty where it can."""
    if len(text) > MAX_NAME_CHARACTERS:
        return f"has {len(text):,} characters; at most {MAX_NAME_CHARACTERS:,} are read"
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        return "holds half of a surrogate pair, which is no character"
    return ""


def read_text(path: Path, what: str) -> str:
    """Return the text of a file of ``what``.

    Raises:
        LabelError: it is missing, or no UTF-8.
    """
    try:
        return read_regular(path).decode("utf-8-sig")
    except OSError as error:
        raise LabelError(
            f"The file of {what} {str(path)!r} cannot be read: {error.strerror}."
        ) from None
    except UnicodeDecodeError:
        raise LabelError(f"The file of {what} {str(path)!r} is not UTF-8 text.") from None


def _names_of_json(data: Any) -> tuple[str, ...]:
    if isinstance(data, dict):
        if all(isinstance(value, int) for value in data.values()):
            pairs = sorted((index, name) for name, index in data.items())
        else:
            pairs = sorted(((int(key), value) for key, value in data.items()), key=lambda p: p[0])
        if [index for index, _ in pairs] != list(range(len(pairs))):
            raise ValueError
        return tuple(_name_of_item(value) for _, value in pairs)
    if all(isinstance(item, dict) and "index" in item for item in data):
        data = sorted(data, key=lambda item: int(item["index"]))
    return tuple(_name_of_item(item) for item in data)


def _name_of_item(item: Any) -> str:
    if isinstance(item, dict):
        return str(item["name"])
    return str(item[-1]) if isinstance(item, list) else str(item)


def csv_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines of a CSV of labels that hold anything: their number and their cells without blanks.

    Raises:
        LabelError: the file is missing or no CSV, or a cell is too long for a name.
    """
    reader = csv.reader(io.StringIO(read_text(path, "labels"), newline=""))
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise LabelError(f"{path}, line {reader.line_num}: it is no CSV ({error}).") from None
    for line, cells in rows:
        if problem := next(filter(None, map(_no_name, cells)), None):
            raise LabelError(f"{path}, line {line}: a cell {problem}.")
    return [(line, cells) for line, cells in rows if any(cells)]


def read_labels(source: str) -> dict[str, str]:
    """Return the label of each file name in a CSV ``file,label`` (a header line is recognised).

    Raises:
        LabelError: the file is missing or has a line without two columns.
    """
    labels: dict[str, str] = {}
    for line, row in csv_rows(Path(source)):
        if len(row) < 2:
            raise LabelError(f"{source}, line {line}: expected 'file,label', found {row[0]!r}.")
        name, label = row[0], row[1]
        if not labels and name.lower() in FILE_COLUMN:
            continue
        add_label(labels, name, label, f"{source}, line {line}")
    if not labels:
        raise LabelError(f"{source} holds no labels.")
    return labels


def add_label(labels: dict[str, Any], name: str, label: Any, where: str) -> None:
    """Add the label of an image.

    Raises:
        LabelError: it has another one already.
    """
    if labels.setdefault(name, label) != label:
        raise LabelError(
            f"{where}: {name!r} has two labels. One line an image; several labels of one image are "
            "written as a|b."
        )


def label_of(path: Path, labels: Mapping[str, Any]) -> Any | None:
    """Return the label of a probe file: by its path as given, then by its last parts, then its name."""
    whole = path.as_posix()
    composed, parted = (unicodedata.normalize(form, whole) for form in FORMS)
    for posix in (whole, composed, parted):  # file systems compose or part accents
        parts = posix.split("/")
        keys = ["/".join(parts[start:]) for start in range(len(parts))]
        found = next((key for key in (*keys, Path(posix).stem) if key in labels), None)
        if found is not None:
            return labels[found]
    return None
