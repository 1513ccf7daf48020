"""The user's notes, Markdown to HTML: what is not plain text, structure or one of their pictures goes."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

    from reportgen.report.leaves import Figure
    from reportgen.report.notes import Notes

_TAGS = frozenset((
    "p", "h3", "h4", "h5", "h6", "em", "strong", "del", "s", "a", "ul", "ol", "li", "blockquote", "code",
    "pre", "hr", "br", "table", "thead", "tbody", "tr", "th", "td", "sub", "sup", "kbd", "dl", "dt", "dd",
    "details", "summary",
))  # fmt: skip
_WITH_CONTENT = frozenset((
    "script", "style", "title", "svg", "math", "iframe", "object", "template", "noscript", "textarea", "xmp",
))  # fmt: skip
"""Elements that go with all that they hold."""
_ADDRESS = re.compile(r"(?:https?://|mailto:|#)[^\s]*", re.IGNORECASE)
_NUMBERS = re.compile(r"text-align:\s*right")


class Named(NamedTuple):
    """A picture that notes name.

    Attributes:
        name: as the source gives it, percent-encoded.
        line: of its paragraph, from 1.
    """

    name: str
    alt: str
    line: int


def named_pictures(source: str) -> list[Named]:
    """Return the pictures that notes name, each once, in their order."""
    found: dict[str, Named] = {}
    for token in _parser().parse(source):
        for child in _images(token):
            name, line = str(child.attrs.get("src", "")), (token.map or [0])[0] + 1
            found.setdefault(name, Named(name, _plain(child), line))
    return list(found.values())


def notes_markup(notes: Notes, picture: Callable[[Figure, str, bool], Markup]) -> Markup:
    """Return notes as HTML without a script, a style, or an address that is loaded.

    Args:
        notes: the source and its pictures.
        picture: shows one; told whether it may be enlarged. Within a link it may not.
    """
    import nh3

    mark = f"picture-{hashlib.sha256(notes.source.encode('utf-8', 'replace')).hexdigest()}-"
    parser, shown = _parser(), []
    tokens = parser.parse(notes.source)
    for token in tokens:
        linked = False
        for child in token.children or ():
            linked = child.type == "link_open" or (linked and child.type != "link_close")
            if child.type == "image":
                shown.append((child, notes.figures.get(str(child.attrs.get("src"))), not linked))
                child.type, child.content = "text", f"{mark}{len(shown) - 1}-"
        _fit(token)
    html = nh3.clean(
        parser.renderer.render(tokens, parser.options, {}),
        tags=set(_TAGS),
        clean_content_tags=set(_WITH_CONTENT),
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        allowed_classes={"td": {"n"}, "th": {"n"}},
        attribute_filter=_kept,
        link_rel="noopener noreferrer",
        url_schemes={"http", "https", "mailto"},
    )

    def put(match: re.Match[str]) -> str:
        token, figure, zoom = shown[int(match[1])]
        if figure is None:
            return str(Markup('<span class="soft">[{}]</span>').format(_plain(token) or "picture"))
        return str(picture(replace(figure, alt=_plain(token) or figure.alt), "", zoom))

    return Markup(re.sub(f"{mark}([0-9]+)-", put, _scrolling(html)))  # noqa: S704 - sanitised above


def left_out(notes: Notes) -> tuple[str, ...]:
    """Return the names of pictures that are not shown."""
    return tuple(one.name for one in named_pictures(notes.source) if one.name not in notes.figures)


def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": 20})
    return parser.enable(["table", "strikethrough"])


def _images(token: Token) -> Iterator[Token]:
    return (child for child in token.children or () if child.type == "image")


def _plain(image: Token) -> str:
    """Return the alternative text of a picture, in one line."""
    parts = [child.content for child in image.children or () if child.type in {"text", "image"}]
    return " ".join(" ".join(parts).split())[:400]


def _fit(token: Token) -> None:
    """Put headings below the page's own, and turn a style that aligns numbers into our class."""
    if token.type in {"heading_open", "heading_close"}:
        token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
    style: Any = token.attrs.pop("style", "")
    if _NUMBERS.search(str(style)):
        token.attrs["class"] = "n"


def _kept(tag: str, name: str, value: str) -> str | None:
    if (tag, name) == ("a", "href"):
        return value if _ADDRESS.fullmatch(value) else None
    return value


def _scrolling(html: str) -> str:
    """Let a table that is wider than the page scroll alone."""
    count = 0

    def opened(_: re.Match[str]) -> str:
        nonlocal count
        count += 1
        label = f"Table {count} of the notes"
        return f'<div class="wide" role="region" aria-label="{label}" tabindex="0"><table class="data">'

    return re.sub("<table>", opened, html).replace("</table>", "</table></div>")
