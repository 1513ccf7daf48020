"""summary.md: what a reviewer reads in a pull request, rendered as GitHub and TensorBoard render it."""

from __future__ import annotations

import re

import models
import numpy as np
import pytest
from markdown_it import MarkdownIt

from reportgen import build_report, cli
from reportgen.page.look import Look
from reportgen.page.markdown import markdown, marker
from reportgen.page.render import summary_text
from reportgen.page.view import make_view

BASE = "https://ci.example.org/runs/7"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    images = models.images(8)
    return build_report(
        models.saved("classifier"),
        probes=images,
        data=(images, np.arange(8) % 2),
        meta={"commit": "a_b*c", "owner": "@team", "issue": "#7", "at": "https://example.org|x"},
        title="Run <b>1</b> -- of @many",
        skip=("features", "relevance"),
        output=tmp_path_factory.mktemp("summary") / "report",
    )


def rendered(text):
    """Text as a strict renderer shows it, with tables and automatic links as GitHub has them."""
    return MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)


def words(page):
    import html

    text = re.sub(r"<!--.*?-->|<[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(text).replace("\u2060", "").split())


def test_it_says_verdict_problems_numbers_model_data_and_meta_in_this_order(made):
    shown = words(rendered(summary_text(made.report)))
    view = make_view(made.report)
    parts = [
        "Run <b>1</b> -- of @many",
        view.headline,
        view.concerns[0].text,
        "accuracy",
        "log loss",
        "parameters 819",
        "FLOPs per image",
        "model classifier.keras",
        "data 8 images",
        "commit a_b*c",
        "owner @team",
        "issue #7",
        "at https://example.org|x",
    ]
    places = [shown.index(part) for part in parts]
    assert places == sorted(places)
    assert "\\" not in shown


def test_without_an_address_nothing_leads_anywhere(made):
    page = rendered(summary_text(made.report))
    assert "<a " not in page
    assert "<img" not in page


def test_with_an_address_every_problem_leads_to_its_evidence_and_there_is_a_picture(made):
    page = rendered(summary_text(made.report, Look(base_url=BASE)))
    index = (made.path / "index.html").read_text()
    links = re.findall(r'href="([^"]*)"', page)
    assert links[0] == f"{BASE}/index.html"
    assert len(links) == 1 + len(make_view(made.report).concerns)
    for link in links[1:]:
        address, _, anchor = link.partition("#")
        assert address == f"{BASE}/index.html"
        assert f'id="{anchor}"' in index
    (picture,) = re.findall(r'<img src="([^"]*)"', page)
    assert (made.path / picture.removeprefix(f"{BASE}/")).is_file()


def test_the_address_of_a_page_that_is_one_file_has_no_picture_beside_it(made):
    page = rendered(summary_text(made.report, Look(base_url="https://example.org/a/report.html")))
    assert 'href="https://example.org/a/report.html"' in page
    assert "<img" not in page


def test_a_bot_finds_its_comment_and_people_are_left_alone(made):
    text = summary_text(made.report)
    assert text.startswith("<!-- reportgen:Run %3Cb%3E1%3C%2Fb%3E %2D%2D of %40many -->\n")
    assert "@team" not in text
    assert "#7" not in text
    assert "https:" not in text.replace("%3A", "")
    assert marker("a-->b") == "a%2D%2D%3Eb"


@pytest.mark.parametrize(
    "text", ["<script>", "a|b", "![x](y)", "`c`", "~~d~~", "\\e", "_f_", "&lt;"]
)
def test_names_stay_text(text):
    page = rendered(f"- {markdown(text)}")
    assert words(page) == text
    assert set(re.findall(r"</?(\w+)", page)) <= {"ul", "li", "p"}


@pytest.mark.parametrize(
    "text",
    [
        "ftp://a.example/x",
        "HTTPS://a.example",
        "WWW.a.example",
        "me@a.example",
        "org/repo#7",
        "GH-7",
    ],
)
def test_no_service_makes_a_link_or_a_mention_of_a_name(text):
    """As the services read them: an address, www., a mail address, an issue here or elsewhere."""
    said = markdown(f"see {text} there")
    for pattern in (r"\w+://", r"(?i)www\.", r"\w@\w", r"#\d", r"(?i)gh-\d"):
        assert not re.search(pattern, re.sub(r"&#\d+;", "&", said)), said
    assert words(said) == f"see {text} there"


def test_plain_markdown_has_no_html(made):
    text = summary_text(made.report, html=False)
    assert not re.search(r"<[a-z!/]", text)


def test_comment_prints_it_and_refuses_what_is_no_address(made, capsys):
    assert cli.run(["comment", str(made.path)]) == 0
    assert capsys.readouterr().out == (made.path / "summary.md").read_text()
    assert cli.run(["comment", str(made.path), "--base-url", f"{BASE}/"]) == 0
    assert f"{BASE}/index.html#" in capsys.readouterr().out
    for wrong in (
        "javascript:alert(1)",
        "https://a b",
        "https://a/)[x](http://b",
        "ftp://a",
        "//a",
    ):
        assert cli.run(["comment", str(made.path), "--base-url", wrong]) == 2
        assert "--base-url takes an address" in capsys.readouterr().err


def test_render_and_build_take_the_address_too(made, tmp_path):
    folder = tmp_path / "out"
    build_report(models.saved("binary"), sections=("overview",), base_url=BASE, output=folder)
    assert BASE in (folder / "summary.md").read_text()
    assert cli.run(["render", str(folder)]) == 0
    assert BASE not in (folder / "summary.md").read_text()
    assert cli.run(["render", str(folder), "--base-url", BASE]) == 0
    assert BASE in (folder / "summary.md").read_text()


def test_every_chapter_problem_layer_and_probe_has_a_link_to_itself(made):
    """Links into reports are for ever; where they are taken from is seen."""
    page = (made.path / "index.html").read_text()
    links = set(
        re.findall(r'<a class="perma" href="#([^"]*)" aria-label="Link to [^"]+">¶</a>', page)
    )
    anchors = set(re.findall(r'\bid="([^"]*)"', page))
    assert links <= anchors
    layers = [row.path for row in made.report.section("architecture").content.layers]
    probes = made.report.section("probes").content.probes
    rules = {a for a in anchors if a.startswith("rule/")}
    wanted = {"findings", "performance", "predictions", "network", "layers", "details", *rules}
    wanted |= {f"layer/{path}" for path in layers} | {f"probe/{k}" for k in range(len(probes))}
    assert wanted <= links
