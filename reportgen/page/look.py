"""Where templates, style, script and logo come from: the package, and a folder of the user in front of it.

The user's templates are the user's code: they run in Jinja's sandbox, and say all that the page says.
"""

from __future__ import annotations

import contextlib
import os
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import TemplateNotFound, TemplateSyntaxError
from jinja2.loaders import split_template_path

from reportgen.errors import TemplateError, error_text
from reportgen.files import read_regular, reason_of
from reportgen.settings import MAX_STATIC_BYTES
from reportgen.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from importlib.resources.abc import Traversable

STATIC = {"css": "report.css", "js": "report.js", "icon": "icon.svg"}
INDEX_STATIC = {**STATIC, "js": "index.js"}
"""Of the page over many reports."""
THEME = "static/theme.css"
"""Follows our style sheet: where colours are changed."""
LOGOS = ("logo.svg", "logo.png", "logo.webp")
OURS = "reportgen/"
"""In front of a name: the package's own template, which the user's may extend."""
_MOST_FILES = 1_000
_LOADS = re.compile(r"@import|\b(?:url|src|image|(?:-webkit-)?image-set)\(|</", re.IGNORECASE)
_ESCAPED = re.compile(r"\\(?:([0-9a-f]{1,6})[ \t\n]?|([^\n]))", re.IGNORECASE)


class Look(NamedTuple):
    """How a report looks, and where it will lie.

    Attributes:
        folder: of the user's templates.
        files: the user's by their name; empty for the package's own look.
        base_url: the report's address on the web, which ``summary.md`` leads to; empty where nobody said.
    """

    folder: Path = Path()
    files: Mapping[str, bytes] = {}
    base_url: str = ""

    def source(self, name: str) -> tuple[str, str, Callable[[], bool]]:
        """Return a template's text, its file, and that it stays as it is.

        Raises:
            TemplateNotFound: there is none of this name.
        """
        if name in self.files:
            return self.files[name].decode("utf-8"), str(self.folder / name), _stays
        path = template_root().joinpath(*split_template_path(name.removeprefix(OURS)))
        if not path.is_file():  # nothing goes up from there
            raise TemplateNotFound(name)
        return path.read_text("utf-8"), str(path), _stays

    def static(self, names: Mapping[str, str] = STATIC) -> dict[str, bytes]:
        """Return style sheet, script and icon."""
        found = {}
        for key, name in names.items():
            own = self.files.get(f"static/{name}")
            found[key] = own or (template_root() / "static" / name).read_bytes()
        theme = self.files.get(THEME)
        return {**found, "css": found["css"] + b"\n" + theme} if theme else found

    def logo(self) -> tuple[bytes, str] | None:
        """Return the picture of the logo and its ending."""
        name = next((name for name in LOGOS if name in self.files), None)
        return (self.files[name], name.rpartition(".")[2]) if name else None

    def own_names(self) -> list[str]:
        """Return the names of all that the package brings along."""
        return sorted(_known())

    def templates(self) -> list[str]:
        """Return the names of the user's templates."""
        return [name for name in self.files if name.endswith((".html", ".md"))]


OWN = Look()
"""The package's own look."""


def _stays() -> bool:
    return True


@cache
def template_root() -> Traversable:
    """Return the folder of the templates: inside the installed package, or beside it in a checkout."""
    inside = files("reportgen") / "templates"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "templates"


def read_look(folder: str | Path | None, base_url: str | None = None) -> Look:
    """Read the user's templates; without a folder the look is the package's.

    Files of our names stand in for ours; ``static/theme.css`` follows our style sheet; one of ``LOGOS`` is
    the logo; ``own/*.html`` may be included.

    Raises:
        TemplateError: the folder or a file cannot be read, a file would stand in for nothing, or a style
            sheet loads something.
    """
    if folder is None:
        return Look(base_url=base_url or "")
    place = Path(folder)
    if not place.is_dir():
        raise TemplateError(f"--templates {place}: there is no such folder.")
    known, found = _known(), {}
    for name in _names(place):
        if (
            name.endswith((".html", ".css", ".js"))
            and not name.startswith("own/")
            and name not in known
        ):
            near = did_you_mean(name, known)
            raise TemplateError(
                f"{place / name} stands in for none of reportgen's templates{near or '.'} Put what you include "
                "yourself into own/."
            )
        if name in known or name.startswith("own/"):
            found[name] = _read(place / name, name)
    return Look(place, found, base_url or "")


def _known() -> set[str]:
    names, waiting = {THEME, *LOGOS}, [("", template_root())]
    while waiting:
        before, folder = waiting.pop()
        for path in folder.iterdir():
            name = f"{before}{path.name}"
            if path.is_dir():
                waiting.append((f"{name}/", path))
            else:
                names.add(name)
    return names


def _names(folder: Path) -> list[str]:
    """Return the files below a folder by their relative names, hidden ones left out."""
    found: list[str] = []
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        shown = (Path(place) / name for name in names if not name.startswith("."))
        found += [path.relative_to(folder).as_posix() for path in shown]
        if len(found) > _MOST_FILES:
            raise TemplateError(f"--templates {folder} holds more than {_MOST_FILES:,} files.")
    return sorted(found)


def _read(path: Path, name: str) -> bytes:
    try:
        data = read_regular(path, MAX_STATIC_BYTES)
        if name not in LOGOS:
            _check_text(data.decode("utf-8"), path)
    except OSError as error:
        raise TemplateError(f"{path} cannot be read: {reason_of(error)}.") from None
    except UnicodeDecodeError:
        raise TemplateError(f"{path} is no text in UTF-8.") from None
    return data


def _check_text(text: str, path: Path) -> None:
    """Refuse a style sheet that loads something, and what would end its element in a page that is one file."""
    if path.suffix == ".css":
        plain = _ESCAPED.sub(_unescaped, text)
        match = _LOADS.search(plain)
    else:
        plain = text
        match = re.search("</script", text, re.IGNORECASE) if path.suffix == ".js" else None
    if match:
        line = plain.count("\n", 0, match.start()) + 1
        raise TemplateError(
            f"{path}, line {line}: {match[0]!r} may not stand there; a report loads nothing else."
        )


def _unescaped(match: re.Match[str]) -> str:
    code = int(match[1], 16) if match[1] else 0
    return chr(code) if 0 < code < 0x110000 else match[2] or "\ufffd"


@contextlib.contextmanager
def blaming_templates(look: Look) -> Iterator[None]:
    """Blame a template of the user for what goes wrong in it, with file and line.

    Raises:
        TemplateError: in place of an error that went through one of them.
    """
    try:
        yield
    except TemplateSyntaxError as error:
        if not error.name or error.name not in look.files:
            raise
        where = f"{look.folder / error.name}, line {error.lineno}"
        raise TemplateError(f"{where}: {error.message or 'it cannot be read'}.") from error
    except Exception as error:
        where = _where(error, {str(look.folder / name) for name in look.files})
        if not where:
            raise
        if isinstance(error, RecursionError):
            hint = f"it extends or includes itself; reportgen's own is called '{OURS}NAME'"
            raise TemplateError(f"{where}: {hint}.") from None
        raise TemplateError(f"{where}: {error_text(error).rstrip('.')}.") from error


def _where(error: Exception, own: set[str]) -> str:
    """Return the innermost place of a traceback that lies in one of these files; empty for none."""
    where, at = "", error.__traceback__
    while at is not None:
        file = at.tb_frame.f_code.co_filename
        where = f"{file}, line {at.tb_lineno}" if file in own else where
        at = at.tb_next
    return where
