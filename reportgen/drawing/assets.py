"""The pictures of a report: content-addressed files that become Figure records."""

from __future__ import annotations

import hashlib

from reportgen.report.leaves import Figure


class AssetStore:
    """Holds the bytes of every picture until the report is published.

    A file's name is the hash of its content: the same picture is stored once, and the same inputs
    give the same names.
    """

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def add(
        self,
        data: bytes,
        suffix: str,
        *,
        width: int,
        height: int,
        alt: str,
        pixelated: bool = False,
    ) -> Figure:
        """Store an encoded picture and return its record.

        Args:
            data: the file's bytes.
            suffix: its ending, without the dot.
            width: in pixels.
            height: in pixels.
            alt: what the picture says.
            pixelated: whether its pixels are data.
        """
        name = asset_name(data, suffix)
        self._files[name] = data
        return Figure(f"assets/{name}", width, height, alt, pixelated)

    @property
    def files(self) -> dict[str, bytes]:
        """Every file by name, in the order of the names."""
        return dict(sorted(self._files.items()))


def asset_name(data: bytes, suffix: str) -> str:
    """Return the name of a file in ``assets/``: 20 hex digits of its SHA-256 and its ending."""
    return f"{hashlib.sha256(data).hexdigest()[:20]}.{suffix}"
