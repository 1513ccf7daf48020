"""Labels that lie in files: tables of several columns, and folders of masks beside the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.errors import LabelError, ProbeError
from reportgen.inputs.images import SUFFIXES
from reportgen.inputs.labels import FILE_COLUMN, add_label, csv_rows
from reportgen.inputs.listing import Item
from reportgen.wording import readable_name

if TYPE_CHECKING:
    from pathlib import Path

MASK_FOLDERS = ("masks", "mask", "annotations", "segmentation")
IMAGE_FOLDERS = ("images", "image", "imgs", "photos")


def read_table(path: Path) -> dict[str, Any]:
    """Return the label of each file in a CSV: the text, or a mapping from column name to text.

    Args:
        path: lines of ``file,label`` or ``file,label,label …``; a first line that begins with ``file``,
            ``filename``, ``path``, ``image`` or ``name`` names the columns.

    Raises:
        LabelError: the file is missing, has lines of other lengths than its first, or two columns of one name.
    """
    rows = csv_rows(path)
    named = bool(rows) and rows[0][1][0].lower() in FILE_COLUMN
    if len(rows) <= named:
        raise LabelError(f"{path} holds no labels.")
    width = len(rows[0][1])
    if width < 2:
        raise LabelError(f"{path}, line 1: expected 'file,label', found {rows[0][1][0]!r}.")
    columns = rows[0][1][1:] if named else [str(k) for k in range(width - 1)]
    if len(set(columns)) < len(columns):
        raise LabelError(f"{path}, line 1: two columns of labels have the same name.")
    table: dict[str, Any] = {}
    for line, row in rows[named:]:
        if len(row) != width:
            raise LabelError(f"{path}, line {line}: {len(row)} columns, where line 1 has {width}.")
        label = row[1] if width == 2 else dict(zip(columns, row[1:], strict=True))
        add_label(table, row[0], label, f"{path}, line {line}")
    return table


def find_masks(folder: Path) -> tuple[Item, ...] | None:
    """Return images with the path of their mask, where a folder of masks lies beside the images.

    Args:
        folder: holds ``images`` and ``masks``, or is the images' folder with ``masks`` beside it. A mask has
            the image's name, any suffix, and may end in ``_mask`` or ``-mask``.

    Returns:
        None where there is no such folder.

    Raises:
        ProbeError: no image has a mask.
    """
    images, masks = _pair(folder)
    if images is None or masks is None:
        return None
    by_stem: dict[str, Path] = {}
    for path in sorted(masks.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            stem = path.relative_to(masks).with_suffix("").as_posix()
            for ending in ("_mask", "-mask"):
                stem = stem.removesuffix(ending)
            by_stem.setdefault(stem, path)
    found = sorted(path for path in images.rglob("*") if path.suffix.lower() in SUFFIXES)
    items = [
        Item(readable_name(path.name), path, by_stem.get(stem, masks / f"{stem}.png"))
        for path in found
        for stem in [path.relative_to(images).with_suffix("").as_posix()]
    ]
    if not any(str(item.label) in {str(path) for path in by_stem.values()} for item in items):
        raise ProbeError(f"none of the {len(items)} images in {images} has a mask in {masks}")
    return tuple(items)


def _pair(folder: Path) -> tuple[Path | None, Path | None]:
    inside = {path.name.lower(): path for path in _folders(folder)}
    image = next((inside[name] for name in IMAGE_FOLDERS if name in inside), None)
    mask = next((inside[name] for name in MASK_FOLDERS if name in inside), None)
    if image is not None and mask is not None and len(inside) == 2:
        return image, mask
    if inside or not folder.is_dir():
        return None, None
    beside = {path.name.lower(): path for path in _folders(folder.resolve().parent)}
    name = next((n for n in MASK_FOLDERS if n in beside and n != folder.name.lower()), None)
    return (folder, beside[name]) if name else (None, None)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
