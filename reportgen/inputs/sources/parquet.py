"""Parquet files with the bytes of images, as Hugging Face keeps data sets; read a few rows at a time."""

from __future__ import annotations

import io
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.errors import DataError, ReportgenError
from reportgen.inputs.images import Encoded
from reportgen.inputs.listing import Item
from reportgen.inputs.sources.forward import Damage, Guarded
from reportgen.inputs.sources.protocol import SHARD
from reportgen.inputs.sources.records import Unreadable
from reportgen.inputs.sources.tar import as_label
from reportgen.settings import MAX_RECORD_BYTES
from reportgen.wording import bytes_text, readable_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reportgen.inputs.sources.features import Features
    from reportgen.inputs.sources.files import RecordFile

_AT_ONCE = 16
"""Rows that are decoded at once."""
_IMAGES = ("image", "img", "jpg", "png")
_LABELS = ("label", "labels", "class", "target", "fine_label")


class _Columns(NamedTuple):
    """Which columns are read, and the names of the classes."""

    image: str
    label: str
    classes: tuple[str, ...]


class ParquetFormat:
    """Rows of Parquet files.

    Args:
        files: all of them; the first one's schema counts.
        features: names of columns.

    Raises:
        DataError: a file is none of Parquet or has no rows, or it cannot be told which column is meant.
        ReportgenError: pyarrow is missing.
    """

    def __init__(self, files: Sequence[RecordFile], features: Features) -> None:
        try:
            import pyarrow.parquet  # noqa: F401 - asked for here, before anything is read
        except ImportError:
            raise ReportgenError(
                "Parquet files need pip install 'keras-reportgen[parquet]'."
            ) from None
        self._groups: dict[RecordFile, tuple[int, ...]] = {}
        columns: _Columns | None = None
        for file in files:
            try:
                with _opened(file) as opened:
                    held = opened.metadata
                    groups = (held.row_group(k).num_rows for k in range(held.num_row_groups))
                    self._groups[file] = tuple(groups)
                    columns = columns or _columns(opened.schema_arrow, features, file)
            except Damage as damage:
                raise DataError(
                    f"--data: {file.where}: {damage}: it was cut off, or is no Parquet file."
                ) from None
            if not sum(self._groups[file]):
                raise DataError(f"--data: {file.where}: the file has no rows.")
        self._columns = columns or _Columns("", "", ())
        self.class_names = self._columns.classes

    def length(self, file: RecordFile) -> int | None:
        """Return how many rows a file has."""
        return sum(self._groups[file])

    def cuts(self, file: RecordFile, block: int) -> list[range]:
        """Return some row groups at a time."""
        found, start, end = [], 0, 0
        for rows in self._groups[file]:
            end += rows
            if end - start >= SHARD * block:
                found.append(range(start, end))
                start = end
        return [*found, range(start, end)] if end > start else found

    def read(self, file: RecordFile, span: range) -> Iterator[tuple[int, Item | Unreadable]]:
        """Yield the rows of ``span``, reading the row groups that hold them."""
        at, begun, groups = 0, 0, list[int]()
        for group, rows in enumerate(self._groups[file]):
            if at < span.stop and at + rows > span.start:
                begun = begun if groups else at
                groups.append(group)
            at += rows
        with _opened(file) as opened:
            for batch in _batches(opened, groups, self._columns):
                for row in range(len(batch)):
                    if begun + row in span:
                        yield (
                            begun + row,
                            self._item(batch, row, f"{file.name}, image {begun + row}"),
                        )
                begun += len(batch)

    def _item(self, batch: Any, row: int, name: str) -> Item | Unreadable:
        value = batch.column(self._columns.image)[row].as_py()
        path = value.get("path") if isinstance(value, dict) else None
        content = value.get("bytes") if isinstance(value, dict) else value
        if isinstance(path, str) and path:
            name = readable_name(PurePosixPath(path).name)[-200:]
        if not isinstance(content, bytes):
            return Unreadable(f"{name}: its bytes are not in the file")
        if len(content) > MAX_RECORD_BYTES:
            most = bytes_text(MAX_RECORD_BYTES)
            return Unreadable(f"{name}: {bytes_text(len(content))}, more than the limit of {most}")
        try:
            label = batch.column(self._columns.label)[row].as_py()
            label = as_label(label.strip()) if isinstance(label, str) else label
        except ValueError as error:
            return Unreadable(f"{name}: its label cannot be read ({error})")
        return Item(name, Encoded(name, content), label)


class _opened:  # noqa: N801 - read as a verb
    """A Parquet file, open; what Arrow says of its bytes is damage."""

    def __init__(self, file: RecordFile) -> None:
        self._raw = io.BufferedReader(Guarded(file), 1 << 20)

    def __enter__(self) -> Any:
        from pyarrow.parquet import ParquetFile

        try:
            return _asked(lambda: ParquetFile(self._raw, pre_buffer=False, buffer_size=1 << 20))
        except BaseException:
            self._raw.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._raw.close()


def _asked(read: Any) -> Any:
    """Let Arrow read; whatever it makes of strange bytes is damage."""
    try:
        return read()
    except (DataError, StopIteration):
        raise
    except Exception as error:  # noqa: BLE001 - Arrow has errors of its own, and those of Python
        text = " ".join(str(error).split())[:200]
        raise Damage(f"it cannot be read ({text or type(error).__name__})") from None


def _batches(opened: Any, groups: list[int], columns: _Columns) -> Iterator[Any]:
    names = [columns.image, columns.label]
    rows = _asked(
        lambda: opened.iter_batches(_AT_ONCE, row_groups=groups, columns=names, use_threads=False)
    )
    while True:
        try:
            batch = _asked(lambda: next(rows))
        except StopIteration:
            return
        yield batch


def _columns(schema: Any, features: Features, file: RecordFile) -> _Columns:
    """Choose the columns: as described, as Hugging Face's metadata say, by their types, by their names."""
    from pyarrow import types

    told = _told(schema.metadata)
    holds = {
        field.name
        for field in schema
        if types.is_binary(field.type)
        or types.is_large_binary(field.type)
        or (types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0)
    }
    images = [n for n in schema.names if n in holds and told.get(n, {}).get("_type") == "Image"]
    images = images or [name for name in schema.names if name in holds]
    images = [n for n in images if n in _IMAGES] if len(images) > 1 else images
    labels = [
        n for n, one in told.items() if one.get("_type") == "ClassLabel" and n in schema.names
    ]
    labels = labels if len(labels) == 1 else [n for n in _LABELS if n in schema.names][:1]
    image = features.image or (images[0] if len(images) == 1 else "")
    label = features.label or (labels[0] if labels else "")
    if image not in holds or label not in schema.names or image == label:
        what = "image" if image not in holds else "label"
        given = features.image if what == "image" else features.label
        wrong = f" features.toml says {given!r}, which is none." if given else ""
        names = ", ".join(repr(name[:100]) for name in schema.names[:20])
        raise DataError(
            f"--data: {file.name}: it cannot be told which column is the {what}.{wrong} Its columns are "
            f"{names}. A "
            'features.toml beside the files names two: image = "image" (bytes of image files, or a struct with '
            'them) and label = "label". Masks are not read from it.'
        )
    classes = told.get(label, {}).get("names")
    known = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    return _Columns(image, label, tuple(classes) if known and classes else ())


def _told(metadata: Any) -> dict[str, dict[str, Any]]:
    """Return what Hugging Face's metadata say of each column; nothing where there are none that can be read."""
    try:
        found = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {name: one for name, one in found.items() if isinstance(one, dict)}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
