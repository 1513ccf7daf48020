"""TFRecord files of ``tf.train.Example``: framed records, each with a checksum of its length and of its bytes.

TensorFlow's own reader takes names of files that its own file systems know, and is imported behind all inputs;
a file that is streamed from a store needs another. The frame is five lines, the checksum Google's library.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from reportgen.errors import DataError, ReportgenError
from reportgen.inputs.images import Encoded, looks_like_image
from reportgen.inputs.listing import Item
from reportgen.inputs.sources.forward import Damage, Forward
from reportgen.inputs.sources.records import PLACES, Unreadable
from reportgen.inputs.sources.tar import as_label
from reportgen.nets.saved_model_reader import DamagedError, fields, number
from reportgen.settings import MAX_RECORD_BYTES
from reportgen.wording import bytes_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reportgen.inputs.sources.features import Features
    from reportgen.inputs.sources.files import RecordFile

Values = list[bytes] | list[int] | list[float]

_LABELS = ("image/class/label", "label", "labels", "class", "target")
"""Features that are the label where several could be."""
_BYTES, _FLOATS, _NUMBERS = 1, 2, 3


class RecordFormat:
    """Examples of TFRecord files.

    Args:
        first: the file whose first record says what features there are.
        features: names of features.

    Raises:
        DataError: it cannot be told which feature is meant.
        ReportgenError: the library of checksums is missing.
    """

    class_names: tuple[str, ...] = ()

    def __init__(self, first: RecordFile, features: Features) -> None:
        try:
            import google_crc32c  # noqa: F401 - asked for here, before anything is read
        except ImportError:
            raise ReportgenError(
                "TFRecord files need pip install 'keras-reportgen[tfrecord]'."
            ) from None
        self._image, self._label = features.image, features.label
        try:
            records = self.read(first, range(PLACES), chosen=False)
            found = next((one for _, one in records if isinstance(one, dict)), None)
        except Damage:
            return  # said where the first image is asked for
        if found is None:
            return
        self._image = self._image or _only_image(found, first)
        self._label = self._label or _only_label(found, self._image, first)
        missing = [name for name in (self._image, self._label) if name not in found]
        if missing:
            raise DataError(_unlike(first, f"there is no feature {missing[0]!r}", found))

    def length(self, file: RecordFile) -> int | None:  # noqa: ARG002 - the protocol's
        """Return None: records are not counted anywhere."""
        return None

    def cuts(self, file: RecordFile, block: int) -> list[range]:  # noqa: ARG002 - the protocol's
        """Return one shard."""
        return [range(PLACES)]

    def read(
        self, file: RecordFile, span: range, *, chosen: bool = True
    ) -> Iterator[tuple[int, Any]]:
        """Yield the images of a file, numbered; or the features of its records as they are."""
        with Forward(file) as forward:
            for at, (begun, content) in enumerate(_frames(forward)):
                if at >= span.stop:
                    return
                if at < span.start or isinstance(content, Unreadable):
                    yield at, content if isinstance(content, Unreadable) else Unreadable("")
                    continue
                try:
                    found = example(content)
                except (DamagedError, IndexError, struct.error) as error:
                    yield (
                        at,
                        Unreadable(
                            f"the record at byte {begun:,} is no tf.train.Example ({error})"
                        ),
                    )
                    continue
                yield at, self._item(found, f"{file.name}, image {at}") if chosen else found

    def _item(self, found: dict[str, Values], name: str) -> Item | Unreadable:
        image, label = found.get(self._image), found.get(self._label)
        if not image or not isinstance(image[0], bytes):
            return Unreadable(f"it has no bytes {self._image!r}")
        try:
            value = _label_of(label)
        except ValueError as error:
            return Unreadable(f"its label cannot be read ({error})")
        return Item(name, Encoded(name, image[0]), value)


def _label_of(values: Values | None) -> Any:
    if not values:
        return None
    if len(values) > 1:
        return values
    first = values[0]
    return as_label(first.decode("utf-8").strip()) if isinstance(first, bytes) else first


def _frames(forward: Forward) -> Iterator[tuple[int, bytes | Unreadable]]:
    """Yield where each record begins, and its bytes; one whose checksum fails is told and passed over.

    Raises:
        Damage: the file ends within a record, or a length is not what it was.
    """
    begun = 0
    while head := forward.read(12):
        if len(head) < 12:
            raise Damage(
                f"it ends at byte {forward.at:,}, within the record that begins at byte {begun:,}"
            )
        length, check = struct.unpack("<QI", head)
        if _masked(head[:8]) != check:
            raise Damage(f"the length of the record at byte {begun:,} fails its checksum")
        end = begun + 16 + length
        if length > MAX_RECORD_BYTES:
            yield (
                begun,
                Unreadable(
                    f"the record at byte {begun:,} has {bytes_text(length)}, more than the limit of "
                    f"{bytes_text(MAX_RECORD_BYTES)}"
                ),
            )
            forward.seek(end)
        else:
            content, tail = forward.read(length), forward.read(4)
            if len(tail) == 4 and struct.unpack("<I", tail)[0] != _masked(content):
                yield begun, Unreadable(f"the record at byte {begun:,} fails its checksum")
            elif len(tail) == 4:
                yield begun, content
        if forward.at < end:
            raise Damage(
                f"it ends at byte {forward.at:,}, within the record that begins at byte {begun:,}"
            )
        begun = end


def _masked(content: bytes) -> int:
    """Return the checksum as TFRecord stores it."""
    import google_crc32c

    check: int = google_crc32c.value(content)
    return ((check >> 15 | check << 17) + 0xA282EAD8) & 0xFFFFFFFF


def example(content: bytes) -> dict[str, Values]:
    """Return the features of a ``tf.train.Example``.

    Raises:
        DamagedError: it is none.
    """
    found: dict[str, Values] = {}
    for field, features in fields(memoryview(content)):
        for _, entry in fields(features) if field == 1 else ():
            parts = dict(fields(entry))
            name = bytes(parts.get(1, b"")).decode("utf-8", "replace")
            found[name] = _values(parts.get(2, memoryview(b"")))
    return found


def _values(feature: memoryview) -> Values:
    for kind, held in fields(feature):
        if kind == _BYTES:
            return [bytes(one) for field, one in fields(held) if field == 1]
        if kind == _NUMBERS:
            return _whole(held)
        if kind == _FLOATS:
            return _floats(held)
    return []


def _whole(held: memoryview) -> list[int]:
    """Return numbers of 64 bits, packed or one by one."""
    found: list[int] = []
    at = 0
    while at < len(held):
        key, at = number(held, at)
        if key == 1 << 3 | 2:
            size, at = number(held, at)
            end = min(at + size, len(held))
        elif key == 1 << 3:
            end = at + 1
        else:
            raise DamagedError("a list of numbers holds something else")
        while at < end:
            value, at = number(held, at)
            value &= (1 << 64) - 1
            found.append(value - (1 << 64) if value >> 63 else value)
    return found


def _floats(held: memoryview) -> list[float]:
    packed = [bytes(one) for field, one in fields(held) if field == 1]
    if not packed and len(held) % 5 == 0:  # one by one: a byte of the key, four of the number
        packed = [bytes(held[at + 1 : at + 5]) for at in range(0, len(held), 5)]
    return [value for part in packed for (value,) in struct.iter_unpack("<f", part)]


def _only_image(found: dict[str, Values], file: RecordFile) -> str:
    images = [
        name
        for name, values in found.items()
        if len(values) == 1 and isinstance(values[0], bytes) and looks_like_image(values[0])
    ]
    if len(images) != 1:
        what = "several features are images" if images else "no feature is an encoded image"
        raise DataError(_unlike(file, what, found))
    return images[0]


def _only_label(found: dict[str, Values], image: str, file: RecordFile) -> str:
    whole = [n for n, values in found.items() if values and isinstance(values[0], int)]
    if len(whole) == 1:
        return whole[0]
    known = [n for n in _LABELS if n in found and n != image]
    if not known:
        raise DataError(_unlike(file, "it cannot be told which feature is the label", found))
    return known[0]


def _unlike(file: RecordFile, what: str, found: dict[str, Values]) -> str:
    names = ", ".join(repr(name[:100]) for name in sorted(found)[:20]) or "none"
    return (
        f"--data: {file.name}: {what}. Its features are {names}. A features.toml beside the files names two of "
        'them: image = "image/encoded" and label = "image/class/label". Masks are not read from it.'
    )
