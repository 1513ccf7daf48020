"""The notes of the user: which pictures they may show, and where those come from."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from reportgen.errors import NotesError
from reportgen.inputs.notes import read_notes, read_source, renewed
from reportgen.report.notes import MAX_NOTES_CHARACTERS, MAX_NOTES_PICTURES, Notes


@pytest.fixture
def folder(tmp_path):
    """Return the notes' folder, beside which a picture lies that they may not show."""
    inside = tmp_path / "notes"
    (inside / "plots").mkdir(parents=True)
    Image.new("RGB", (40, 20), "red").save(inside / "plots" / "a b.png")
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "secret.png")
    return inside


def written(folder, text):
    path = folder / "notes.md"
    path.write_text(text, "utf-8")
    return path


def test_a_picture_of_the_folder_becomes_one_of_the_report(folder):
    given = read_notes(
        written(folder, "![A red *box*](<plots/a b.png>) ![again](plots/a%20b.png)\n")
    )
    ((name, figure),) = given.notes.figures.items()
    assert (name, figure.alt) == ("plots/a%20b.png", "A red box")
    assert (figure.width, figure.height) == (40, 20)
    assert figure.src.removeprefix("assets/") in given.files
    assert given.notes.source.startswith("![A red")


def test_a_photograph_is_made_smaller_and_what_is_transparent_white(folder):
    noise = np.random.default_rng(0).integers(0, 256, (50, 3200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "wide.png")
    Image.new("RGBA", (30, 30), (0, 0, 0, 0)).save(folder / "clear.png")
    given = read_notes(written(folder, "![w](wide.png)\n\n![c](clear.png)"))
    figures = given.notes.figures
    assert (figures["wide.png"].width, figures["wide.png"].height) == (1600, 25)
    stored = folder / "stored.webp"
    stored.write_bytes(given.files[figures["clear.png"].src.removeprefix("assets/")])
    with Image.open(stored) as image:
        assert image.convert("RGB").getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "plots/../../secret.png", "%2e%2e/secret.png", "/etc/hostname", "link.png",
     "away/secret.png", "..\\secret.png"],
)  # fmt: skip
def test_nothing_outside_of_the_folder_is_read(folder, name):
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "away").symlink_to(folder.parent)
    with pytest.raises(
        NotesError, match=r"notes\.md, line 3: the picture .* outside|cannot be read"
    ):
        read_notes(written(folder, f"# Head\n\n![x](<{name}>)\n"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.png", "No such file"),
        ("plots", "folder"),
        ("pipe.png", "pipe"),
        ("text.png", "no image of a known format"),
        ("plots/a%00b.png", "no name of a file"),
    ],
)
def test_what_is_no_picture_is_said_with_its_line(folder, name, reason):
    os.mkfifo(folder / "pipe.png")
    (folder / "text.png").write_text("<svg onload='x()'/>")
    with pytest.raises(NotesError, match=rf"line 2: the picture .*{reason}"):
        read_notes(written(folder, f"\n![x]({name})\n"))


def test_pictures_from_the_network_are_left_out(folder):
    text = "![a](https://example.org/a.png) ![b](//example.org/b.png) ![c](data:image/png;base64,AA==) ![d](file:///x)"
    given = read_notes(written(folder, text))
    assert (given.notes.figures, given.files) == ({}, {})


def test_notes_and_their_pictures_have_a_bound(folder):
    with pytest.raises(NotesError, match="50,001 characters"):
        read_source(written(folder, "a" * (MAX_NOTES_CHARACTERS + 1)))
    for k in range(MAX_NOTES_PICTURES + 1):
        Image.new("L", (2, 2)).save(folder / f"{k}.png")
    many = "\n".join(f"![x]({k}.png)" for k in range(MAX_NOTES_PICTURES + 1))
    with pytest.raises(NotesError, match="more than 100 pictures"):
        read_notes(written(folder, many))


def test_a_file_that_is_no_text_is_refused(folder):
    (folder / "notes.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NotesError, match="no text in UTF-8"):
        read_source(folder / "notes.md")
    with pytest.raises(NotesError, match="it is a folder"):
        read_source(folder)


def test_new_notes_keep_the_pictures_that_are_there_and_open_none(folder):
    old = read_notes(written(folder, "![a](<plots/a b.png>)")).notes
    (folder / "plots" / "a b.png").unlink()
    new = renewed(old, "# New\n\n![a](<plots/a b.png>) ![b](other.png)")
    assert new.figures == old.figures
    assert renewed(None, "![b](other.png)") == Notes("![b](other.png)")
