"""Model cards and notes: whatever they hold, a card is read or refused, and notes end in known elements."""

from __future__ import annotations

from fuzzing import bounded, cases, damaged, ending_in
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from reportgen.errors import CardError, NotesError
from reportgen.inputs.card import read_card
from reportgen.inputs.notes import read_notes
from reportgen.page.notes import notes_markup
from reportgen.report.notes import MAX_NOTES_CHARACTERS

CARDS = (
    b"license: MIT\nauthors: [Ada, Grace]\nversion: 1.10\n",
    b"intended_use: |\n  One.\n\n  Two.\ntags:\n- a\n- 'b: c'\n",
    b'---\ncontact: "\\u00e4 \\x41"\ndatasets: {a: b}\n...\n',
)
NOTES = (
    b"# A\n\n![p](p.png) [x](https://x.y 'z') <b>c</b>\n\n| a | b |\n|--|--:|\n| 1 | 2 |\n",
    b"- a\n  - b\n\n> c\n\n```py\nd\n```\n\n[1]: <e f> 'g'\n\n![h][1] &amp; `i`\n",
)
REPEATED = (
    "[", "![", "*a_ ", "**a ", "> ", "- ", "<", "<div>", "<sub>", "[a](", "<!--", "a|b\n-|-\nx|y\n", "[[]",
    "`", "\\", "&#65;", "<a ", "x\n",
)  # fmt: skip


def try_notes(place, content):
    path = place / "notes.md"
    path.write_bytes(content)
    with bounded(), ending_in(NotesError):
        html = str(notes_markup(read_notes(path).notes, lambda *_: Markup("")))
        assert "<script" not in html
        assert " style=" not in html.replace("&quot;", "")


def try_card(place, content):
    path = place / "card.yaml"
    path.write_bytes(content)
    with bounded(), ending_in(CardError):
        assert all(text for _, text in read_card(path).texts())


def test_long_notes_of_one_kind_end_in_time(tmp_path):
    for part in REPEATED:
        try_notes(tmp_path, (part * MAX_NOTES_CHARACTERS)[:MAX_NOTES_CHARACTERS].encode())


@given(damaged(NOTES))
@cases(60, 10_000)
def test_damaged_notes(tmp_path_factory, content):
    try_notes(tmp_path_factory.getbasetemp(), content)


@given(damaged(CARDS))
@cases(100, 10_000)
def test_damaged_cards(tmp_path_factory, content):
    try_card(tmp_path_factory.getbasetemp(), content)


@given(st.sampled_from(("[", "{", "- ", "? ", "a: ", "!!x ", "&a ", "|", "'", "#")))
@cases(10, 10)
def test_long_cards_of_one_kind(tmp_path_factory, part):
    try_card(tmp_path_factory.getbasetemp(), ("license: " + part * 60_000).encode()[:120_000])
