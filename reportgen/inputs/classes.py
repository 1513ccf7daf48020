"""The classes of an output and the labels that mean them: the one place that decides which class is meant.

A label is normalised once, by ``label_of_value``: a class's number is an int and never goes through names, a
text is a text, several classes of one image are a tuple.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from reportgen.drawing.pictures import MASK_COLOURS
from reportgen.network.tasks import class_count
from reportgen.report.leaves import ProbeLabel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.network.facts import OutputFacts
    from reportgen.network.tasks import Task

Label = int | float | str | tuple[int, ...]
"""A class by number, a number, a name (or several, ``a|b``), or the numbers of several classes."""

_BACKGROUNDS = {"background", "unlabeled", "unlabelled", "class 0"}


def label_of_value(value: Any) -> Label | None:
    """Return what a label means, from whatever holds it.

    Args:
        value: a scalar of any type, bytes, or a row: one-hot, several-hot, or one value; a label as it is.

    Returns:
        An int for integers, booleans and one-hot rows (of two entries or more), a tuple for several-hot rows.
        NaN and None are None, no label, and so is a row of other numbers.
    """
    if value is None or isinstance(value, tuple):  # several classes already
        return value
    if isinstance(value, str):
        return str(value)  # NumPy's texts too
    array = np.asarray(value)
    if array.ndim == 0 or array.size == 1:
        return _scalar(array.reshape(-1)[0].item())
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        return None
    row = array.astype(np.float64)
    if np.isclose(row.sum(), 1) and np.isclose(row.max(), 1):
        return int(row.argmax())
    return tuple(int(k) for k in np.flatnonzero(row)) if set(row.tolist()) <= {0.0, 1.0} else None


def _scalar(item: Any) -> Label | None:
    if item is None:
        return None
    if isinstance(item, bytes):
        return item.decode("utf-8", "replace")
    if isinstance(item, float):
        if np.isnan(item):
            return None
        return int(item) if item.is_integer() and abs(item) < 2**53 else item
    return int(item) if isinstance(item, int) else str(item)


def as_numbers(labels: Sequence[Any], names: Sequence[str]) -> tuple[list[Any], str]:
    """Return texts that can only be numbers of classes as numbers, and in words how they were read.

    A table of 0, 1 and 2 numbers classes that are called 1, 2 and 3: not all of its labels are names. Blanks
    say nothing about it; of ``a|b`` each part does.

    Args:
        labels: of a data set; others than texts are returned as they are.
        names: of the classes.

    Returns:
        The labels, and a sentence where texts of digits meet names of digits; else an empty one.
    """
    texts = {label for label in labels if isinstance(label, str) and label.strip()}
    parts = {part.strip() for text in texts for part in text.split("|") if part.strip()}
    if not parts or not names or None in {index_of(part) for part in parts}:
        return list(labels), ""
    if not any(index_of(name) is not None for name in names):
        return list(labels), ""
    if parts <= set(names):
        return list(labels), "The labels are read as the names of classes, not as their numbers."
    return [
        _label_number(label) for label in labels
    ], "The labels are read as the numbers of classes."


def _label_number(label: Any) -> Any:
    if not isinstance(label, str) or not label.strip():
        return label
    found = tuple(index_of(part.strip()) or 0 for part in label.split("|") if part.strip())
    return found[0] if len(found) == 1 else found


def label_text(label: Label) -> str:
    """Return a label as it is shown."""
    return "|".join(map(str, label)) if isinstance(label, tuple) else str(label)


def index_of(text: str) -> int | None:
    """Return the number that a text of ASCII digits is, ``2.0`` too; None for others and beyond 18 digits."""
    found = re.fullmatch(r"([0-9]{1,18})(?:\.0+)?", text)
    return int(found[1]) if found else None


class ClassNames(msgspec.Struct, frozen=True):
    """The classes of one output.

    Attributes:
        count: how many there are; 0 where the output has none.
        names: in the order of the outputs; empty where none were given that fit.
        spare: what they are called without names: two for a sigmoid.
        folders: other names of the same classes in the same order, as the folders of the labels have them.
    """

    count: int
    names: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        """The names that the page uses; empty where classes are numbered."""
        return self.names or self.spare

    def name(self, index: int) -> str:
        """Return the name of a class, ``class 7`` where it has none; with its number where two have it."""
        known = self.known
        if index >= len(known):
            return f"class {index}"
        return known[index] if known.count(known[index]) == 1 else f"{known[index]} ({index})"

    def index(self, label: Label | None) -> int | None:
        """Return the class that a label means; None where it means none, or two classes have its name.

        A number is the class's own. A text is a name as it stands, then without regard to case, blanks, ``_``
        and ``-``, then a folder's, then a number.
        """
        if isinstance(label, str):
            return self._of_text(unicodedata.normalize("NFC", label))
        if isinstance(label, float) and label.is_integer():
            label = int(label)
        return label if isinstance(label, int) and 0 <= label < self.count else None

    def _of_text(self, text: str) -> int | None:
        for names in (self.known, self.folders):
            for fold in (_composed, _folded):
                places = [k for k, name in enumerate(names) if fold(name) == fold(text)]
                if places:
                    return places[0] if len(places) == 1 else None
        number = index_of(text)
        return number if number is not None and number < self.count else None

    def indices(self, label: Label | None) -> frozenset[int] | None:
        """Return all classes that a label means, ``a|b`` or several numbers; None where a part means none."""
        if label is None:
            return frozenset()
        if isinstance(label, tuple):
            parts: Sequence[Label] = label
        elif isinstance(label, str) and self.index(label) is None:
            parts = [part.strip() for part in label.split("|") if part.strip()]
        else:
            parts = [label]
        found = [self.index(part) for part in parts]
        return None if None in found else frozenset(index for index in found if index is not None)

    def shown(self, label: Label) -> ProbeLabel:
        """Return a label as the page shows it: as given, with the class that it means."""
        index = self.index(label)
        name = self.name(index) if index is not None and index < len(self.known) else None
        return ProbeLabel(label_text(label), index, name)

    @property
    def background(self) -> int | None:
        """The class of a mask that stays unpainted: the first, unless its name says that it is something."""
        if not self.count:
            return None
        name = self.name(0).casefold()
        return 0 if not self.names or name in _BACKGROUNDS or "background" in name else None

    def slot(self, index: int) -> int | None:
        """Return which of ``MASK_COLOURS`` a class of a mask is painted in; None for the background."""
        if index == self.background:
            return None
        return (index - (self.background is not None)) % len(MASK_COLOURS)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(name).casefold().replace("_", " ").replace("-", " ").strip()


def classes_of(
    task: Task, facts: OutputFacts, names: Sequence[str], folders: Sequence[str] = ()
) -> ClassNames:
    """Return the classes of an output.

    Args:
        task: what it is taken for.
        facts: of the output.
        names: class names; taken where they are as many as the output has classes.
        folders: of the labels, likewise; they number the classes where they have other names.
    """
    count = class_count(task, facts)
    spare: tuple[str, ...] = ()
    if task.kind == "binary":
        spare = ("negative", "positive")
    elif task.kind == "segmentation" and count == 2:
        spare = ("background", "mask")
    fitting = tuple(names) if len(names) == count else ()
    return ClassNames(count, fitting, spare, tuple(folders) if len(folders) == count else ())
