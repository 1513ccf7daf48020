"""The page as one file: nothing beside it, in a frame without an origin as MLflow has it, and in a notebook."""

from __future__ import annotations

import base64
import html
import re
import shutil

import models
import pages
import pytest

import reportgen
from reportgen import cli
from reportgen.errors import OutputError, ReportError
from reportgen.page import single

IN_FRAME = """text => {
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts";
  frame.width = 659; frame.height = 850;
  frame.src = URL.createObjectURL(new Blob([text], {type: "text/html"}));
  document.body.append(frame);
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("single") / "out"
    return reportgen.build_report(
        models.saved("classifier"),
        probes=models.images(),
        output=out,
        single_file=True,
        feature_steps=8,
    )


def text_of(page):
    """Return the words of a page, without style and script."""
    bare = re.sub(r"<(style|script)\b.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", bare)))


def test_nothing_leads_out_of_the_file(folder):
    page = (folder.path / "report.html").read_text("utf-8")
    links = re.findall(r'\b(?:href|src|srcset|action|data)="([^"]*)"', page)
    assert len(links) > 50
    assert {link[:1] for link in links if not link.startswith("data:image/")} == {"#"}
    assert set(re.findall(r"url\(.", page)) <= {"url(#"}
    assert "@import" not in page


def test_it_says_what_the_folder_says(folder):
    one = text_of((folder.path / "report.html").read_text("utf-8"))
    whole = text_of((folder.path / "index.html").read_text("utf-8"))
    for beside in (  # what only the folder has
        " · report.json",
        " The data of this page: report.json .",
        " reportgen check applies the rules again, without the model.",
    ):
        assert beside in whole
        whole = whole.replace(beside, "")
    assert one == whole
    assert "report.json" not in one


def test_every_picture_stands_once_and_as_it_was_written(folder):
    page = (folder.path / "report.html").read_text("utf-8")
    held = re.findall(r'"data:image/(?:webp|png|svg\+xml);base64,([^"]*)"', page)
    icon, *pictures = held
    assert b"<svg" in base64.b64decode(icon)
    assert len(set(pictures)) == len(pictures)
    files = {path.read_bytes() for path in (folder.path / "assets").iterdir()}
    assert {base64.b64decode(picture) for picture in pictures} <= files
    shown = set(
        re.findall(r'<img src="assets/([^"]*)"', (folder.path / "index.html").read_text("utf-8"))
    )
    assert len(pictures) == len(shown)
    used = re.findall(r'<use href="#picture-([0-9a-f]{20})"', page)
    assert len(used) > len(set(used)) > 0


def framed(browser, page, until="#search"):
    """Open a page in a frame of a blob address without an origin; what goes wrong is collected."""
    tab, wrong = browser.new_page(viewport={"width": 1500, "height": 900}), []
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto("about:blank")
    tab.evaluate(IN_FRAME, page)
    frame = tab.frames[-1]
    frame.wait_for_selector(until, state="attached")
    return tab, frame, wrong


def test_it_is_whole_in_a_frame_without_an_origin(folder, browser):
    page = (folder.path / "report.html").read_text("utf-8")
    tab, frame, wrong = framed(browser, page)
    assert frame.evaluate("self.origin") == "null"
    seen = frame.evaluate(
        """async () => {
          const seen = [];
          for (const image of document.images) {
            image.loading = "eager";
            await image.decode();
            seen.push(image.naturalWidth);
          }
          return seen;
        }"""
    )
    assert seen
    assert min(seen) > 0
    assert frame.evaluate("document.documentElement.scrollWidth") <= 659
    assert "system-ui" in frame.evaluate("getComputedStyle(document.body).fontFamily")
    picture = frame.locator(".tile svg.picture").first.bounding_box()
    assert picture["width"] > 50
    link = frame.locator('main a[href^="#layer/"]').first
    target = link.get_attribute("href")[1:]
    assert not frame.evaluate("id => document.getElementById(id).closest('details[open]')", target)
    link.click()
    frame.wait_for_function("id => document.getElementById(id).closest('details').open", arg=target)
    top = frame.evaluate("id => document.getElementById(id).getBoundingClientRect().top", target)
    assert 0 <= top < 850
    frame.locator(".zoom >> visible=true").first.click()
    assert frame.locator("dialog.viewer").get_attribute("open") is not None
    assert frame.locator("dialog.viewer :is(img, svg.picture)").count() == 1
    assert frame.url.startswith("blob:")
    assert wrong == []
    tab.close()


def test_a_page_alone_needs_no_folder(folder, tmp_path):
    out = tmp_path / "deep" / "alone.html"
    made = reportgen.build_report(
        models.saved("classifier"),
        probes=models.images(),
        output=out,
        sections=("overview", "probes"),
    )
    assert made.index == out
    assert [path.name for path in out.parent.iterdir()] == ["alone.html"]
    assert "data:image/" in out.read_text("utf-8")
    again = {"output": out, "sections": ("overview",)}
    reportgen.build_report(models.saved("classifier"), **again)
    assert "data:image/webp" not in out.read_text("utf-8")
    out.write_text("my own notes")
    with pytest.raises(OutputError, match="no page of reportgen"):
        reportgen.build_report(models.saved("classifier"), **again)
    assert out.read_text() == "my own notes"
    reportgen.build_report(models.saved("classifier"), force=True, **again)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        reportgen.build_report(models.saved("classifier"), output=tmp_path / "folder.html")


def test_rendering_again_writes_it_and_another_report_takes_it_away(folder, tmp_path):
    place = tmp_path / "copy"
    shutil.copytree(folder.path, place)
    before = (place / "report.html").read_bytes()
    (place / "report.html").unlink()
    assert cli.run(["render", str(place)]) == 0
    assert not (place / "report.html").exists()
    assert cli.run(["render", str(place), "--single-file"]) == 0
    assert (place / "report.html").read_bytes() == before
    assert cli.run(["render", str(place)]) == 0
    assert (place / "report.html").read_bytes() == before
    pages.check_page(place)
    reportgen.build_report(models.saved("classifier"), output=place, sections=("overview",))
    assert not (place / "report.html").exists()
    (place / "report.html").write_text("mine")
    reportgen.build_report(models.saved("classifier"), output=place, sections=("overview",))
    assert (place / "report.html").read_text() == "mine"


def test_what_no_viewer_shows_is_refused(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(single, "LARGEST", 20_000)
    assert cli.run(["render", str(folder.path), "--single-file"]) == 7
    said = capsys.readouterr().err
    assert "at most 19.5 KiB" in said
    assert "--skip features" in said


def test_a_notebook_keeps_at_most_half_a_megabyte(folder, browser):
    shown = folder._repr_html_()
    assert len(shown) < 500_000
    plain, _, frame = shown.partition("<iframe ")
    assert folder.report.summary.name in plain
    assert 'src="data:image/' in plain
    assert 'sandbox="allow-scripts"' in frame
    page = html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1])
    tab, inside, wrong = framed(browser, page, until=".tile")
    assert inside.locator(".tile").count() == len(models.images())
    assert wrong == []
    tab.close()
    assert "<a " not in page  # they would lead the frame to the notebook
    whole = folder.show()._repr_html_()
    inner = html.unescape(re.search(r'srcdoc="([^"]*)"', whole)[1])
    assert text_of(inner) == text_of((folder.path / "report.html").read_text("utf-8"))


def test_a_notebook_shows_the_words_where_pictures_are_gone(folder, tmp_path):
    place = tmp_path / "copy"
    shutil.copytree(folder.path, place)
    shutil.rmtree(place / "assets")
    shown = reportgen.ReportFolder(place)._repr_html_()
    assert folder.report.summary.name in shown
    assert "<img" not in shown
    assert "<iframe" not in shown


def test_what_is_not_ours_is_not_written_over(tmp_path):
    (tmp_path / "report.html").write_text("mine")
    model = models.saved("classifier")
    first = {"output": tmp_path, "sections": ("overview",), "force": True}
    reportgen.build_report(model, **first)
    assert (tmp_path / "report.html").read_text() == "mine"
    with pytest.raises(OutputError, match="no page of reportgen"):
        reportgen.build_report(model, output=tmp_path, sections=("overview",), single_file=True)
    assert cli.run(["render", str(tmp_path), "--single-file"]) == 7
    assert (tmp_path / "report.html").read_text() == "mine"
    long = tmp_path / ("a" * 300 + ".html")
    with pytest.raises(OutputError, match="cannot be written"):
        reportgen.build_report(model, output=long, sections=("overview",))


def test_a_link_among_the_pictures_is_not_followed(folder, tmp_path):
    place = tmp_path / "copy"
    shutil.copytree(folder.path, place)
    secret = tmp_path / "secret.webp"
    secret.write_bytes(b"secret")
    picture = next((place / "assets").glob("*.webp"))
    picture.unlink()
    picture.symlink_to(secret)
    with pytest.raises(ReportError, match="is no file"):
        reportgen.ReportFolder(place).show()
    assert base64.b64encode(b"secret").decode() not in reportgen.ReportFolder(place)._repr_html_()


def test_a_page_alone_has_no_data(tmp_path):
    out = tmp_path / "alone <b>.html"
    made = reportgen.build_report(models.saved("classifier"), output=out, sections=("overview",))
    assert made.report.summary.name in made._repr_html_()
    assert "<iframe" in made.show()._repr_html_()
    again = reportgen.ReportFolder(out)
    assert "alone &lt;b&gt;.html" in again._repr_html_()
    with pytest.raises(ReportError, match="page alone"):
        _ = again.report
