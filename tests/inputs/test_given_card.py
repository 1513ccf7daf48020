"""Model cards: texts stay as they are written, and what a card may say is known."""

from __future__ import annotations

import os

import pytest

from reportgen.errors import CardError
from reportgen.inputs.card import read_card
from reportgen.report.card import TITLES, ModelCard


def read(tmp_path, text):
    path = tmp_path / "card.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_card(path)


def test_texts_stay_as_they_are_written(tmp_path):
    card = read(
        tmp_path,
        "version: 1.10\nlicense: no\ncontact: 2024-01-02\nintended_use: |\n  One\n  line.\n\n  Two.\n"
        "authors: [Ada, 'Grace: H']\ntags:\n",
    )
    assert card == ModelCard(
        version=("1.10",),
        license=("no",),
        contact=("2024-01-02",),
        intended_use=("One line.", "Two."),
        authors=("Ada", "Grace: H"),
    )
    assert [title for title, _ in card.texts()] == [
        "Intended use",
        "Authors",
        "Contact",
        "Version",
        "License",
    ]


def test_every_key_has_a_heading_and_an_empty_card_says_nothing(tmp_path):
    assert set(TITLES) == set(ModelCard.__struct_fields__)
    assert read(tmp_path, "").texts() == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("licence: MIT", r"line 1: unknown key 'licence'; did you mean 'license'\? The keys are intended_use,"),
        ("license: MIT\nlicense: BSD", "line 2: license stands there twice"),
        ("- a\n- b", "a model card is a mapping"),
        ("MIT", "a model card is a mapping"),
        ("authors:\n  name: Ada", "line 1: authors takes a text, or a list of texts"),
        ("authors: [[Ada]]", "authors takes a text"),
        ("? [a]\n: b", "unknown key '\\?'"),
        ("<<: {license: MIT}", "unknown key '<<'"),
        ("license: 'open", "line 1: while scanning a quoted scalar found unexpected end of stream"),
        ("license: [a, b", "line 1"),
        ("license: MIT\n---\nlicense: BSD", "line 2: expected a single document in the stream but found"),
        ("a: &x b", "line 1: anchors and aliases are not taken"),
        ("license: &x MIT", "line 1: anchors and aliases are not taken"),
        ("license: *x", "line 1: anchors and aliases are not taken"),
        ("license: \x00", "special characters are not allowed"),
        (b"license: \xff", "no text in UTF-8"),
        ("license: " + "[" * 20_000, "is no YAML|line 1"),
        ("license: " + "a" * 20_001, "license"),
        ("license: [" + "a, " * 201 + "]", "license"),
        ("license: " + "a" * 140_000, "larger than"),
    ],
)  # fmt: skip
def test_what_is_no_card_is_said_with_its_line(tmp_path, text, reason):
    with pytest.raises(CardError, match=reason):
        read(tmp_path, text)


def test_a_tag_makes_no_object(tmp_path):
    card = read(tmp_path, "license: !!python/object/apply:os.mkdir ['made']\nversion: !!int 3\n")
    assert (card.license, card.version) == (("made",), ("3",))
    assert not os.path.lexists("made")


def test_a_bomb_of_aliases_is_refused_at_once(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12)]
    with pytest.raises(CardError, match="anchors and aliases"):
        read(tmp_path, "\n".join(lines))


def test_a_folder_or_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in (".", "pipe", "missing.yaml"):
        with pytest.raises(CardError, match="cannot be read"):
            read_card(tmp_path / name)
