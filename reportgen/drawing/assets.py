"""The pictures of a report: content-addressed files that become Figure records."""

from __future__ import annotations

import hashlib

from reportgen.report.leaves import LEFT_OUT, Figure


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


class LeftOut(AssetStore):
    """Takes pictures of images that are to stay out of a report: in their place stands a grey one.

    Args:
        store: of the report.
    """

    def __init__(self, store: AssetStore) -> None:
        super().__init__()
        self._store = store

    def add(
        self,
        data: bytes,  # noqa: ARG002 - it goes nowhere
        suffix: str,  # noqa: ARG002
        *,
        width: int,
        height: int,
        alt: str,
        pixelated: bool = False,  # noqa: ARG002
    ) -> Figure:
        """Return the record of a grey picture of the same size."""
        return self._store.add(_GREY, "svg", width=width, height=height, alt=f"{LEFT_OUT}{alt}")


_GREY = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="120" height="90" viewBox="0 0 120 90" '
    b'preserveAspectRatio="none"><rect width="120" height="90" fill="#888" fill-opacity=".25"/></svg>\n'
)


def asset_name(data: bytes, suffix: str) -> str:
    """Return the name of a file in ``assets/``: 20 hex digits of its SHA-256 and its ending."""
    return f"{hashlib.sha256(data).hexdigest()[:20]}.{suffix}"
