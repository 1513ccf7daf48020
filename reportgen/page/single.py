"""The page as one file: style, script and pictures within it, and no link that leaves it.

It opens from a ``blob:`` address in a frame without an origin, as MLflow's artifact view has it. A picture that
is shown several times stands once in the file, referred to by SVG's ``use``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from reportgen.errors import OutputError
from reportgen.wording import bytes_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from reportgen.report.leaves import Figure

LARGE = 25 * 2**20
"""Bytes above which viewers take seconds to show a page."""
LARGEST = 50 * 2**20
"""Bytes above which MLflow shows no preview."""
_SHOWN = re.compile(r'<img src="assets/([0-9a-f]{20}\.(?:png|webp|svg))"')
_TYPES = {"png": "image/png", "webp": "image/webp", "svg": "image/svg+xml"}


class Place(NamedTuple):
    """Where a page finds a picture.

    Attributes:
        href: of the file, or its bytes as a ``data:`` address; empty where ``shared``.
        shared: the name under which the page holds a picture that it shows several times.
        within: whether the page is one file.
    """

    href: str
    shared: str = ""
    within: bool = False


class SharedPicture(NamedTuple):
    """A picture that stands once in the page."""

    href: str
    width: int
    height: int


class Inline(NamedTuple):
    """What a page that is one file holds beside its text.

    Attributes:
        css: the style sheet.
        js: the script.
        icon: as a ``data:`` address.
        policy: the content security policy: this script, styles, pictures within the page, nothing else.
    """

    css: Markup
    js: Markup
    icon: str
    policy: str


def inline(css: bytes, js: bytes, icon: bytes) -> Inline:
    """Return style, script and icon as they stand within a page."""
    script = js.decode("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    own = Markup(css.decode("utf-8")), Markup(script)  # noqa: S704 - our own files: no escaping within them
    return Inline(*own, data_address(icon, "svg"), policy)


def data_address(data: bytes, suffix: str) -> str:
    """Return the bytes of a picture as a ``data:`` address."""
    return f"data:{_TYPES[suffix]};base64,{base64.b64encode(data).decode()}"


class Pictures:
    """Finds the pictures of a page; those within it are read once each.

    Args:
        read: returns the bytes of a file of ``assets/`` by its name; None where they stay files.
        page: the same page with its pictures as files, which tells how often it shows each.
    """

    def __init__(self, read: Callable[[str], bytes] | None = None, page: str = "") -> None:
        self._read = read
        self._shown = Counter(_SHOWN.findall(page))
        self.shared: dict[str, SharedPicture] = {}

    def place_of(self, figure: Figure) -> Place:
        """Return where a page finds a figure's picture."""
        if self._read is None:
            return Place(figure.src)
        name = figure.src.rpartition("/")[2]
        stem, _, suffix = name.partition(".")
        if self._shown[name] < 2:
            return Place(data_address(self._read(name), suffix), within=True)
        if stem not in self.shared:
            href = data_address(self._read(name), suffix)
            self.shared[stem] = SharedPicture(href, figure.width, figure.height)
        return Place("", stem, within=True)


def checked(page: str) -> bytes:
    """Return a page as bytes.

    Raises:
        OutputError: viewers would not show it.
    """
    data = page.encode()
    if len(data) > LARGEST:
        raise OutputError(
            f"The single file would take {bytes_text(len(data))}, and viewers show at most "
            f"{bytes_text(LARGEST)}: leave out the most expensive parts (--skip features, fewer --max-probes, "
            "fewer --layers), or share the folder."
        )
    return data
