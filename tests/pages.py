"""Check a whole report folder; every page that an end-to-end test makes passes through here."""

from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

_VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


class Reader(HTMLParser):
    """Collects every element with its attributes, the text, and the header's numbers."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.numbers: list[tuple[str, str]] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag == "dt" and "header" in self.open:
            self.numbers.append(("", ""))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag):
        if tag not in _VOID:
            assert self.open, f"</{tag}> closes nothing"
            assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] in {"script", "style"} and data.strip():
            self.inline.append(data)
        if "header" in self.open and self.open[-1] == "dt":
            self.numbers[-1] = (data, "")
        if "header" in self.open and self.open[-1] == "dd":
            self.numbers[-1] = (self.numbers[-1][0], data)


def read_page(folder: Path) -> Reader:
    """Parse ``index.html``."""
    reader = Reader()
    reader.feed((folder / "index.html").read_text("utf-8"))
    reader.close()
    assert not reader.open, f"never closed: {reader.open}"
    return reader


def page_text(folder: Path) -> str:
    """Return the page's text in one line."""
    return " ".join(" ".join(read_page(folder).text).split())


def check_page(folder: Path) -> dict:
    """Assert that the report in ``folder`` is whole and strict; return its report.json."""
    page = read_page(folder)
    report = json.loads((folder / "report.json").read_bytes())
    _check_ids(page)
    shown = _check_links(page, folder)
    _check_strict(page)
    _check_images(page, folder)
    _check_files(folder, shown, report)
    summary = [(n["label"], n["text"]) for n in report["summary"]["numbers"]]
    assert page.numbers == summary
    head = {a["name"]: a["content"] for tag, a in page.elements if tag == "meta" and "name" in a}
    digest = hashlib.sha256((folder / "report.json").read_bytes()).hexdigest()
    assert digest.startswith(head["report-digest"])
    return report


def _check_ids(page: Reader) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), sorted(i for i in ids if ids.count(i) > 1)
    assert all(re.fullmatch(r"[A-Za-z0-9._/~-]+", i) for i in ids), ids
    for _, attributes in page.elements:
        for key in ("aria-labelledby", "aria-describedby", "for"):
            assert all(word in ids for word in attributes.get(key, "").split())


def _check_links(page: Reader, folder: Path) -> set[str]:
    """Every href and src leads to a file of the report or an id of the page."""
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    files = set()
    for _tag, attributes in page.elements:
        for key in ("href", "src", "srcset", "data", "poster", "action", "xlink:href"):
            if key not in attributes:
                continue
            link = urlsplit(attributes[key])
            assert not link.scheme, attributes
            assert not link.netloc, attributes
            if link.path:
                assert (folder / unquote(link.path)).is_file(), attributes
                files.add(unquote(link.path))
            else:
                assert unquote(link.fragment) in ids, attributes
    return files


def _check_strict(page: Reader) -> None:
    assert not page.inline, page.inline
    for tag, attributes in page.elements:
        assert tag not in {"style", "iframe", "object", "embed", "base", "form"}, tag
        assert "style" not in attributes, (tag, attributes)
        assert not [key for key in attributes if key.startswith("on")], (tag, attributes)
        assert tag != "script" or "src" in attributes
        for value in attributes.values():
            assert not value.strip().lower().startswith(("javascript:", "data:", "http"))


def _check_images(page: Reader, folder: Path) -> None:
    for tag, attributes in page.elements:
        if tag != "img":
            continue
        assert attributes.get("alt", "").strip(), attributes
        size = (int(attributes["width"]), int(attributes["height"]))
        path = folder / attributes["src"]
        if path.suffix == ".svg":
            assert _svg_size(path) == size, attributes
        else:
            with Image.open(path) as image:
                image.load()
                assert image.size == size, attributes
                assert not {"exif", "icc_profile", "xmp"} & set(image.info), attributes


def _svg_size(path: Path) -> tuple[int, int]:
    head = re.search(r"<svg[^>]*>", path.read_text("utf-8"))[0]
    found = [re.search(rf'\b{key}="([\d.]+)pt"', head)[1] for key in ("width", "height")]
    return tuple(round(float(points) * 96 / 72) for points in found)


def _as_given(report: dict) -> set[str]:
    """Return the pictures of the probes as they were given."""
    probes = [
        s["content"]["probes"] for s in report["sections"] if s["kind"] == "probes" and s["content"]
    ]
    return {one["given"]["src"] for several in probes for one in several if one["given"]}


def _check_files(folder: Path, shown: set[str], report: dict) -> None:
    """The folder holds what the page shows, and nothing else of ours."""
    stored = {f"assets/{path.name}" for path in (folder / "assets").iterdir()}
    seen = {name for name in shown if name.startswith("assets/")}
    assert seen <= stored
    assert stored - seen <= _as_given(report)  # the page shows an image as given where it says more
    assert {f"assets/{name}" for name in report["assets"]} <= stored
    names = {path.name for path in folder.iterdir() if not path.name.startswith("mine")}
    assert names - {"report.html", "model_card.md"} == {
        "assets",
        "index.html",
        "report.json",
        "summary.md",
    }
    for path in (folder / "assets").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.stem)


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below ``folder`` by its relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def section(report: dict, kind: str) -> dict:
    """Return a section of report.json."""
    return next(s for s in report["sections"] if s["kind"] == kind)


def content(report: dict, kind: str) -> dict:
    """Return a section's content."""
    return section(report, kind)["content"]


def outputs(report: dict, position: int = 0) -> list[dict]:
    """Return one output's result for every probe."""
    return [probe["outputs"][position] for probe in content(report, "probes")["probes"]]


def notices(report: dict, kind: str = "probes", level: str | None = None) -> str:
    """Return a section's notices as one text."""
    found = section(report, kind)["notices"]
    return " ".join(n["text"] for n in found if level in {None, n["level"]})
