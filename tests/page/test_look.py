"""Templates of the user: what they stand in for, what is said where they are wrong, and what stays whole."""

from __future__ import annotations

import re

import models
import pages
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from told import Told

import reportgen
from reportgen import cli
from reportgen.errors import TemplateError
from reportgen.page import render as rendering
from reportgen.page.look import THEME, read_look
from reportgen.page.render import check_templates, render, summary_text
from reportgen.report.model import read_report

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("made") / "out"
    kinds = ("overview", "weights")
    reportgen.build_report(models.saved("binary"), output=place, sections=kinds, single_file=True)
    return place


@pytest.fixture
def folder(made, tmp_path):
    """Return a copy of a report's folder."""
    copy = tmp_path / "out"
    for name, content in pages.tree(made).items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    return copy


@pytest.fixture
def own(tmp_path):
    """Return what writes the user's templates and returns their folder."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / "look" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "look"

    return write


def test_colours_logo_and_footer(folder, own):
    look = own(
        **{
            THEME: ":root { --accent: #a0522d; }",
            "logo.png": PNG,
            "parts/footer.html": "<p>ACME & {{ summary.name }}</p>",
        }
    )
    assert cli.run(["render", str(folder), "--templates", str(look)]) == 0
    page = (folder / "index.html").read_text("utf-8")
    assert "<p>ACME & binary</p>" in page
    assert "Made by reportgen" not in page
    (logo,) = re.findall(r'<img class="logo" src="(assets/[0-9a-f]{20}\.png)" alt="Logo">', page)
    assert (folder / logo).read_bytes() == PNG
    (style,) = re.findall(r'<link rel="stylesheet" href="([^"]*)">', page)
    assert (folder / style).read_text("utf-8").endswith(":root { --accent: #a0522d; }")
    alone = (folder / "report.html").read_text("utf-8")
    assert '<img class="logo" src="data:image/png;base64,' in alone
    assert "--accent: #a0522d" in alone
    page = pages.read_page(folder)
    pages._check_strict(page)
    assert cli.run(["render", str(folder)]) == 0  # and back again, with nothing left over
    assert "ACME" not in (folder / "index.html").read_text("utf-8")
    assert not (folder / logo).exists()
    pages.check_page(folder)


def test_a_template_may_extend_ours_and_include_its_own(folder, own):
    look = read_look(own(**{
        "report.html": '{% extends "reportgen/report.html" %}{% block footer %}{% include "own/end.html" %}'
        "{{ super() }}{% endblock %}",
        "own/end.html": "<p>{{ '<b>' }}</p>",
        "summary.md": "{{ summary.name }}!",
        "README.txt": "not looked at",
    }))  # fmt: skip
    report = read_report(folder)
    html = render(report, "0", look).html
    assert "<p>&lt;b&gt;</p>" in html
    assert "Made by reportgen" in html
    assert summary_text(report, look).strip() == "binary!"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"parts/footer.html": "a\nb\n{% if %}"}, r"footer\.html, line 3: Expected an expression"),
        ({"parts/footer.html": "a\n{% no %}"}, r"footer\.html, line 2: Encountered unknown tag 'no'"),
        ({"parts/footer.html": "a\n\n{{ nobody }}"}, r"footer\.html, line 3: UndefinedError: 'nobody' is"),
        ({"parts/footer.html": "\n{{ 1 / 0 }}"}, r"footer\.html, line 2: ZeroDivisionError"),
        ({"parts/footer.html": "{{ ''.__class__.__mro__ }}"}, r"footer\.html, line 1: SecurityError"),
        ({"parts/footer.html": "{% include 'own/x.html' %}"}, r"footer\.html, line 1: TemplateNotFound"),
        ({"parts/footer.html": "{% include '../../x' %}"}, r"footer\.html, line 1: TemplateNotFound"),
        ({"parts/footer.html": "{% include 'parts/footer.html' %}"}, r"footer\.html, line 1: it extends"),
        ({"report.html": "{% extends 'report.html' %}"}, r"report\.html, line 1: it extends or includes"),
        ({"own/a.html": "{{", "parts/footer.html": ""}, r"own/a\.html, line 1"),
        ({"summary.md": "{{ nobody }}"}, r"summary\.md, line 1"),
        ({"part/footer.html": ""}, r"part/footer\.html stands in for none .*did you mean 'parts/footer\.html'"),
        ({"parts/footer.html": b"\xff"}, r"footer\.html is no text in UTF-8"),
        ({THEME: "a\n@import 'x';"}, r"theme\.css, line 2: '@import' may not stand there"),
        ({THEME: "a { b: URL(x) }"}, r"theme\.css, line 1: 'URL\(' may not"),
        ({THEME: "a { b: \\75\nr\\6C (x) }"}, r"theme\.css, line 1: 'url\(' may not"),
        ({THEME: "a { b: image-set('x' 1x) }"}, r"'image-set\(' may not"),
        ({THEME: "</style><script>"}, r"'</' may not"),
        ({"static/report.js": "'</SCRIPT>'"}, r"'</SCRIPT' may not"),
        ({"logo.png": b"0" * 600_000}, r"logo\.png cannot be read: it is larger than"),
    ],
)  # fmt: skip
def test_a_broken_template_is_said_with_file_and_line_and_nothing_is_written(
    folder, own, capsys, files, reason
):
    before = pages.tree(folder)
    assert cli.run(["render", str(folder), "--templates", str(own(**files))]) == 6
    line = capsys.readouterr().err
    assert re.search(reason, line), line
    assert line.count("\n") == 1
    assert pages.tree(folder) == before


def test_a_build_looks_at_the_templates_before_it_begins(own, tmp_path, monkeypatch):
    monkeypatch.setattr("reportgen.build.read_inputs", lambda *_, **__: pytest.fail("too late"))
    look = own(**{"parts/footer.html": "{% if %}"})
    with pytest.raises(TemplateError, match=r"footer\.html, line 1"):
        reportgen.build_report(models.saved("binary"), output=tmp_path / "new", templates=look)
    with pytest.raises(TemplateError, match="there is no such folder"):
        reportgen.build_report(
            models.saved("binary"), output=tmp_path / "new", templates=tmp_path / "no"
        )
    assert not (tmp_path / "new").exists()


def test_hidden_files_and_endless_folders_are_not_read(own):
    look = own(**{".git/x.html": "{{", "parts/.footer.html": "{{"})
    assert not read_look(look).files
    for k in range(1_001):
        (look / f"{k}.txt").touch()
    with pytest.raises(TemplateError, match="more than 1,000 files"):
        read_look(look)


def test_ours_are_whole(own):
    check_templates(read_look(own(**{"parts/logo.html": ""})))
    assert read_look(None).files == {}


def test_all_templates_are_compiled_before_the_report_is_written(own, tmp_path, monkeypatch):
    compiled: list[tuple[str, str]] = []
    told = Told()

    class Watched(ImmutableSandboxedEnvironment):
        def compile(self, source, name=None, filename=None, **options):
            compiled.append((told.texts[-1] if told.texts else "", name))
            return super().compile(source, name, filename, **options)

    monkeypatch.setattr(rendering, "ImmutableSandboxedEnvironment", Watched)
    monkeypatch.setattr(
        rendering, "_COMPILED", {k: type(v)() for k, v in rendering._COMPILED.items()}
    )
    reportgen.build_report(
        models.saved("binary"),
        probes=models.images(2),
        output=tmp_path / "out",
        templates=own(**{"parts/logo.html": "mine"}),
        progress=told,
        sections=("overview", "probes", "weights"),
    )
    assert told.texts[-1] == "Writing the report"
    names = [name for _, name in compiled]
    assert {"index.html", "summary.md", "parts/logo.html"} <= set(names)
    assert len(names) == len(set(names)), "each once"
    assert [name for stage, name in compiled if stage == told.texts[-1]] == []
