"""A data set in files of many images: a place is the file's number above 32 bits, the number in it below."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

from reportgen.cache import key_of
from reportgen.errors import DataError
from reportgen.inputs.sources.features import read_features
from reportgen.inputs.sources.files import unchanged
from reportgen.inputs.sources.forward import Damage
from reportgen.inputs.sources.protocol import Broken, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reportgen.inputs.listing import Item
    from reportgen.inputs.sources.features import Features
    from reportgen.inputs.sources.files import Found, RecordFile

_BITS = 32
PLACES = 1 << _BITS
"""Of one file."""


class Unreadable(NamedTuple):
    """A record that gives no image, and why."""

    reason: str


class Format(Protocol):
    """What files of one kind hold."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that the files tell, in the order of their numbers."""

    def length(self, file: RecordFile) -> int | None:
        """Return how many records a file has; None where only reading tells."""

    def cuts(self, file: RecordFile, block: int) -> list[range]:
        """Return the numbers of the records of each shard in a file."""

    def read(self, file: RecordFile, span: range) -> Iterator[tuple[int, Item | Unreadable]]:
        """Yield records with their numbers, all of ``span`` among them.

        Raises:
            Damage: the rest of the file cannot be read.
        """


class RecordSource:
    """Images of a few large files, each read front to back.

    Args:
        files: in their order.
        form: what they hold.
        features: what their parts are called.

    Attributes:
        total: how many images the files say that they have; None where only reading tells.
    """

    pictures = True

    def __init__(self, files: Sequence[RecordFile], form: Format, features: Features) -> None:
        self._files, self._form, self._features = files, form, features
        self._names: dict[int, str] = {}
        self._begun: list[Item] = []
        lengths = [form.length(file) for file in files]
        self.total = None if None in lengths else sum(length or 0 for length in lengths)
        self.class_names = features.classes or form.class_names

    def name(self, place: int, *, hidden: bool = False) -> str:
        """Return what a record that was looked at is called, of others the file and the number in it."""
        number, inside = place >> _BITS, place % PLACES
        if hidden:
            return f"image {inside} of file {number}"
        return self._names.get(place) or f"{self._files[number].name}, image {inside}"

    def shards(self, block: int) -> list[range]:
        """Return the places of each shard: a file, or some row groups of one."""
        return [
            range(number << _BITS | cut.start, (number << _BITS) + cut.stop)
            for number, file in enumerate(self._files)
            for cut in self._form.cuts(file, block)
        ]

    def identity(self, places: range, *, anew: bool = False) -> str | None:
        """Return the digest of the file's name, size and times of change (in a store: its digest)."""
        file = self._files[places.start >> _BITS]
        if anew and not unchanged(file):
            return ""
        return key_of(file.name, file.state, list(self._features), places.start, places.stop)

    def read(self, places: Sequence[int]) -> Iterator[Sample | Broken]:
        """Yield the images at ``places``; of each file that is as far as it can be read."""
        if isinstance(places, range):
            yield from self._of_file(places.start >> _BITS, places)
            return
        by_file: dict[int, list[int]] = {}
        for place in places:
            by_file.setdefault(place >> _BITS, []).append(place)
        for number, inside in by_file.items():
            wanted = set(inside)
            whole = range(inside[0], inside[-1] + 1)
            for found in self._of_file(number, whole):
                if found.place in wanted:
                    if isinstance(found, Sample):
                        self._names[found.place] = found.item.name
                    yield found

    def _of_file(self, number: int, places: range) -> Iterator[Sample | Broken]:
        file, base = self._files[number], number << _BITS
        span = range(places.start - base, places.stop - base)
        following, reason = span.start, "the file has fewer images than it says"
        try:
            for inside, found in self._form.read(file, span):
                if inside >= span.stop:
                    return
                if inside not in span:
                    continue
                following = inside + 1
                if isinstance(found, Unreadable):
                    yield Broken(base + inside, found.reason)
                else:
                    yield Sample(base + inside, found)
            if self.total is None and following:
                return
            if not following and 0 in span:
                reason = "the file holds no image"
        except Damage as damage:
            reason = f"{damage}. What follows in the file is not read"
        # What is missing is counted where the file says how many there are; else it is one, with the reason.
        missing = range(following, span.stop)
        for inside in missing[:1] if self.total is None else missing:
            yield Broken(base + inside, reason)

    def first(self, count: int) -> list[Item]:
        """Return the first images that are records, at most ``count``."""
        if len(self._begun) < count:
            read = (one for shard in self.shards(1) for one in self.read(shard))
            items = (one.item for one in read if isinstance(one, Sample))
            self._begun = list(islice(items, count))
        return self._begun[:count]


def open_records(found: Found, description: str | None) -> RecordSource:
    """Open the files of a data set and look at the first image.

    Args:
        found: the files.
        description: the path of a ``features.toml`` that does not lie beside them.

    Raises:
        DataError: the files hold nothing that can be read, or it cannot be told what is the image.
    """
    features = read_features(description, found.folder)
    source = RecordSource(found.files, _form(found, features), features)
    if not source.first(1):
        first = next(iter(source.read(source.shards(1)[0])), None)
        reason = first.reason if isinstance(first, Broken) else "there is nothing in it"
        raise DataError(f"--data: {found.files[0].where}: no image can be read ({reason}).")
    return source


def _form(found: Found, features: Features) -> Format:
    if found.kind == "tar":
        from reportgen.inputs.sources.tar import TarFormat

        return TarFormat(features)
    if found.kind == "parquet":
        from reportgen.inputs.sources.parquet import ParquetFormat

        return ParquetFormat(found.files, features)
    from reportgen.inputs.sources.tfrecord import RecordFormat

    return RecordFormat(found.files[0], features)
