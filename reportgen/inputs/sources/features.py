"""``features.toml``: which feature, column or member of a record is the image, and which the label."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reportgen.errors import DataError
from reportgen.files import read_regular, reason_of
from reportgen.settings import MAX_LABEL_BYTES, MAX_NAME_CHARACTERS
from reportgen.stores import Store

if TYPE_CHECKING:
    from reportgen.addresses import Address

FEATURES = "features.toml"


class Features(NamedTuple):
    """What a record's parts are called.

    Attributes:
        image: nothing where there is only one that can be meant; so of the label.
        classes: names of the classes, in the order of their numbers.
    """

    image: str = ""
    label: str = ""
    classes: tuple[str, ...] = ()


def read_features(given: str | None, folder: Path | Address) -> Features:
    """Read a description of records.

    Args:
        given: the path of one.
        folder: where one may lie beside the records, called ``features.toml``.

    Raises:
        DataError: it cannot be read, or says something else.
    """
    where = given or str(folder / FEATURES)
    try:
        if given or isinstance(folder, Path):
            if not given and not Path(where).is_file():
                return Features()
            content = read_regular(Path(where), MAX_LABEL_BYTES)
        else:
            there = folder / FEATURES
            held = Store(there, DataError).begin(there, MAX_LABEL_BYTES)
            if held is None:
                return Features()
            content = held
        found = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise DataError(f"{where}: {reason_of(error)}.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: it is no TOML ({error}).") from None
    return _checked(found, where)


def _checked(found: dict[str, object], where: str) -> Features:
    unknown = sorted(found.keys() - set(Features._fields))
    if unknown:
        raise DataError(f"{where}: {unknown[0]!r} is not known; image, label and classes are.")
    image, label, classes = found.get("image", ""), found.get("label", ""), found.get("classes", [])
    if not isinstance(image, str) or not isinstance(label, str):
        raise DataError(f"{where}: image and label are texts, the name of a feature each.")
    names = classes if isinstance(classes, list) else [None]
    if not all(isinstance(name, str) and len(name) <= MAX_NAME_CHARACTERS for name in names):
        raise DataError(f"{where}: classes is a list of names.")
    return Features(image, label, tuple(map(str, names)))
