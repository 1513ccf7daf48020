"""A report with notes and a model card: on the page, in one file, as Markdown, and by ``render``."""

from __future__ import annotations

import json
import re

import models
import pages
import pytest
import yaml
from PIL import Image

import reportgen
from reportgen import cli
from reportgen.errors import OutputError
from reportgen.page.card import _LICENSES
from reportgen.report.model import SCHEMA_MINOR, read_report

HOSTILE = '<script>alert("x")</script> & ]( {{ 7 * 7 }}'
CARD = f"""
intended_use: Sorting in one warehouse.
out_of_scope: {json.dumps(HOSTILE)}
license: Apache-2.0
authors: [Ada, {json.dumps(HOSTILE)}]
version: 1.10
datasets: [org/clothes]
tags: ["a: b", "keras"]
"""


@pytest.fixture
def texts(tmp_path):
    Image.new("RGB", (50, 40), "green").save(tmp_path / "plot.png")
    (tmp_path / "notes.md").write_text(f"# Mine\n\n![A plot](plot.png)\n\n{HOSTILE}\n")
    (tmp_path / "card.yaml").write_text(CARD)
    return tmp_path


@pytest.fixture
def folder(texts):
    out = texts / "out"
    reportgen.build_report(
        models.saved("classifier"),
        data=(models.images(8), [0, 1, 2, 0, 1, 2, 0, 1]),
        output=out,
        sections=("overview", "evaluation"),
        notes=texts / "notes.md",
        card=str(texts / "card.yaml"),
        single_file=True,
    )
    return out


def head_of(folder):
    text = (folder / "model_card.md").read_text("utf-8")
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


def test_the_page_shows_both_and_escapes_them(folder):
    page = pages.read_page(folder)
    pages._check_ids(page)
    pages._check_links(page, folder)
    pages._check_strict(page)
    pages._check_images(page, folder)
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert {"notes", "card"} <= ids
    text = pages.page_text(folder)
    assert HOSTILE in text  # of the card, as text
    assert "Sorting in one warehouse." in text
    raw = (folder / "index.html").read_text("utf-8")
    assert raw.count("<script") == 1
    assert re.search(
        r'<img src="assets/[0-9a-f]{20}\.webp" width="50" height="40" alt="A plot"', raw
    )


def test_the_one_file_holds_the_picture_and_the_same_words(folder):
    alone = (folder / "report.html").read_text("utf-8")
    assert re.search(
        r'<img src="data:image/webp;base64,[^"]*" width="50" height="40" alt="A plot"', alone
    )
    assert alone.count("<script") == 1
    assert "model_card.md" not in alone


def test_hugging_face_reads_the_head_of_the_card(folder):
    head, body = head_of(folder)
    assert head["library_name"] == "keras"
    assert head["license"] == "apache-2.0"
    assert head["datasets"] == ["org/clothes"]
    assert head["tags"] == ["keras", "a: b"]
    assert head["pipeline_tag"] == "image-classification"
    (model,) = head["model-index"]
    accuracy = pages.content(json.loads((folder / "report.json").read_bytes()), "evaluation")[
        "result"
    ]["accuracy"]
    (result,) = model["results"]
    assert result["metrics"][0]["value"] == pytest.approx(accuracy)
    assert result["dataset"] == {"type": "org/clothes", "name": "org/clothes"}
    assert "## Intended use\n\nSorting in one warehouse.\n" in body
    assert "<script>" not in body
    assert "1.10" in body


def test_a_license_without_a_name_there_is_other(folder):
    (folder.parent / "card.yaml").write_text('license: "Mine: 1"')
    assert cli.run(["render", str(folder), "--card", str(folder.parent / "card.yaml")]) == 0
    head, _ = head_of(folder)
    assert (head["license"], head["license_name"]) == ("other", "Mine: 1")
    assert all(name == name.lower() for name in _LICENSES)


def test_render_takes_new_texts_and_opens_no_picture(folder, monkeypatch):
    notes = folder.parent / "new.md"
    notes.write_text("New ![A plot](plot.png) ![secret](/etc/hostname) ![other](other.png)")
    (folder.parent / "plot.png").unlink()
    assert cli.run(["render", str(folder), "--notes", str(notes)]) == 0
    report = read_report(folder)
    assert report.notes.source.startswith("New")
    assert list(report.notes.figures) == ["plot.png"]
    assert report.card.version == ("1.10",)  # what is not given stays
    assert report.schema[1] == SCHEMA_MINOR
    text = pages.page_text(folder)
    assert "[secret]" in text
    assert "2 pictures of the notes are not shown" in text
    alone = (folder / "report.html").read_text("utf-8")
    assert "2 pictures of the notes are not shown" in alone


def test_render_writes_no_report_of_a_newer_reportgen(folder, capsys):
    data = json.loads((folder / "report.json").read_bytes())
    data["schema"][1] = SCHEMA_MINOR + 1
    (folder / "report.json").write_text(json.dumps(data))
    before = pages.tree(folder)
    assert cli.run(["render", str(folder), "--card", str(folder.parent / "card.yaml")]) == 6
    assert "newer reportgen" in capsys.readouterr().err
    assert pages.tree(folder) == before


def test_a_model_card_of_others_is_not_touched(folder):
    mine = folder / "model_card.md"
    mine.write_text("---\nlicense: mit\n---\n")
    options = {"output": folder, "sections": "overview"}
    with pytest.raises(OutputError, match=r"model_card\.md was not written by reportgen"):
        reportgen.build_report(models.saved("binary"), card=folder.parent / "card.yaml", **options)
    reportgen.build_report(models.saved("binary"), **options)
    assert mine.read_text() == "---\nlicense: mit\n---\n"


def test_without_a_card_ours_goes(folder):
    reportgen.build_report(models.saved("binary"), output=folder, sections="overview")
    assert not (folder / "model_card.md").exists()
    pages.check_page(folder)


def test_old_reports_have_neither(folder):
    data = json.loads((folder / "report.json").read_bytes())
    del data["notes"], data["card"]
    data["schema"][1] = 3
    (folder / "report.json").write_text(json.dumps(data))
    assert cli.run(["render", str(folder)]) == 0
    ids = {attributes.get("id") for _, attributes in pages.read_page(folder).elements}
    assert not {"notes", "card"} & ids
    assert not (folder / "model_card.md").exists()
