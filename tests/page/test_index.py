"""One page over many reports: its rows say what the reports say, whatever lies beside them."""

from __future__ import annotations

import hashlib
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import models
import numpy as np
import pages
import pytest
from axe_playwright_python.sync_playwright import Axe
from test_browser import JENKINS, LOAD_ALL, LOOKS, served, visited, words

from reportgen import build_report, cli
from reportgen.errors import LockedError, OutputError, ReportError
from reportgen.page.index import DEPTH, find_reports, write_index
from reportgen.page.output import locked
from reportgen.report.head import summary_of
from reportgen.report.model import read_report
from reportgen.report.runs import Run, append_run
from reportgen.wording import count_text, percent_text

SECTIONS = ("overview", "probes", "evaluation")
COLUMNS = [
    "Picture",
    "Name",
    "Verdict",
    "Date (UTC)",
    "Accuracy",
    "Parameters",
    "Errors",
    "Warnings",
]
HOSTILE = models.HOSTILE + "</td></table><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report with an accuracy and one without."""
    place = tmp_path_factory.mktemp("made")
    images, truth = models.images(40), np.arange(40) % 7
    build_report(
        models.saved("classifier"),
        probes=models.images(2),
        data=(images, truth),
        output=place / "classifier",
        sections=SECTIONS,
        meta={"commit": "3f2a91c", "seed": "10"},
        quick=True,
    )
    build_report(models.saved("vector"), output=place / "vector", sections=("overview",))
    return place


def copied(made, source, folder, /, **changed):
    """Copy a report, with another summary."""
    shutil.copytree(made / source, folder, dirs_exist_ok=True)
    path = folder / "report.json"
    data = json.loads(path.read_bytes())
    data["summary"] |= changed
    path.write_text(json.dumps(data))
    return folder


@pytest.fixture
def root(made, tmp_path):
    """Reports at several depths, with hostile names and two that cannot be read."""
    place = tmp_path / "reports"
    counts = {"error": 0, "warning": 0, "info": 0}
    good = {"counts": counts, "warned": 0, "unsupported": 0, "accuracy": 0.9, "state": "complete"}
    good |= {"verdict": "No errors, no warnings; 3 checks passed.", "interval": [0.8, 0.95]}
    copied(made, "classifier", place / "b")
    copied(made, "classifier", place / "team a" / "x%y#z?", name="alpha", **good)
    copied(made, "vector", place / "one" / "two" / "three" / "four", name="zeta")
    copied(
        made, "classifier", place / "<i>&", name=HOSTILE, meta=[[HOSTILE, HOSTILE], ["seed", "9"]]
    )
    broken(place / "broken", b'{"schema": [1, 4], "summary"')
    broken(place / "newer", b'{"schema": [2, 0], "summary": 1}')
    return place


def broken(folder, content):
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("<p>page</p>")
    (folder / "report.json").write_bytes(content)


class Table(HTMLParser):
    """Reads the table's cells as text, and each row's link and picture."""

    def __init__(self):
        super().__init__()
        self.rows, self.links, self.pictures, self.inside = [], [], [], False

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "tr":
            self.rows.append([])
            self.links.append(None)
            self.pictures.append(None)
        elif tag in {"td", "th"}:
            self.inside = True
            self.rows[-1].append("")
        elif tag == "a" and self.inside:
            self.links[-1] = attributes["href"]
        elif tag == "img" and self.inside:
            self.pictures[-1] = attributes["src"]

    def handle_endtag(self, tag):
        if tag in {"td", "th"}:
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def table_of(root):
    """Return the heading and the rows by the folder of the report."""
    table = Table()
    table.feed((root / "index.html").read_text("utf-8"))
    rows = [dict(zip(table.rows[0], row, strict=True)) for row in table.rows[1:]]
    return table.rows[0], dict(zip(table.links[1:], rows, strict=True)), table.pictures[1:]


def check_strict(root):
    page = pages.read_page(root)
    pages._check_ids(page)
    pages._check_strict(page)
    shown = pages._check_links(page, root)
    own = {name for name in shown if name.startswith("assets/")}
    assert own == {f"assets/{path.name}" for path in (root / "assets").iterdir()}


def test_rows_say_what_report_json_says(root):
    write_index(root)
    heading, rows, _ = table_of(root)
    assert heading[: len(COLUMNS)] == COLUMNS
    assert set(heading[len(COLUMNS) :]) == {"commit", "seed", HOSTILE}
    for folder, href in ((root / "b", "b/index.html"), (root / "<i>&", "%3Ci%3E%26/index.html")):
        data = json.loads((folder / "report.json").read_bytes())
        overview, result = (pages.content(data, kind) for kind in ("overview", "evaluation"))
        row, counts = rows[href], data["summary"]["counts"]
        low, high = map(percent_text, result["result"]["interval"])
        accuracy = percent_text(result["result"]["accuracy"])
        assert row["Name"] == f"{data['summary']['name']} {folder.name}"
        assert row["Verdict"] == data["summary"]["verdict"].partition(";")[0]
        assert row["Date (UTC)"] == data["summary"]["created"][:16].replace("T", " ")
        assert row["Accuracy"] == f"{accuracy} {low} to {high}"
        assert row["Parameters"] == count_text(overview["parameters"])
        assert (row["Errors"], row["Warnings"]) == (str(counts["error"]), str(counts["warning"]))
    assert rows["b/index.html"]["commit"] == "3f2a91c"
    assert rows["%3Ci%3E%26/index.html"][HOSTILE] == HOSTILE
    assert rows["%3Ci%3E%26/index.html"]["commit"] == ""
    vector = rows["one/two/three/four/index.html"]
    assert vector["Accuracy"] == ""


def test_the_summary_holds_what_the_sections_hold(made):
    report = read_report(made / "classifier")
    probe = report.section("probes").content.probes[0]
    result = report.section("evaluation").content.result
    summary = summary_of((made / "classifier" / "report.json").read_bytes())
    assert summary == report.summary
    assert (summary.accuracy, summary.interval) == (result.accuracy, result.interval)
    assert summary.picture == probe.received[0].figure
    assert summary.meta == (("commit", "3f2a91c"), ("seed", "10"))
    bare = read_report(made / "vector").summary
    assert (bare.accuracy, bare.picture, bare.meta) == (None, None, ())
    assert bare.parameters == read_report(made / "vector").section("overview").content.parameters


def test_older_reports_have_their_numbers_as_text_only(made, root):
    path = root / "b" / "report.json"
    data = json.loads(path.read_bytes())
    write_index(root)
    new = table_of(root)[1]["b/index.html"]
    for name in ("accuracy", "interval", "parameters", "meta", "picture"):
        del data["summary"][name]
    path.write_text(json.dumps(data))
    write_index(root)
    old = table_of(root)[1]["b/index.html"]
    assert {name: old[name] for name in COLUMNS} == {name: new[name] for name in COLUMNS}
    assert (old["seed"], old["Accuracy"] != "") == ("", True)


def test_the_page_is_strict_and_every_link_resolves(root):
    write_index(root, title="<b>All & sundry</b>")
    check_strict(root)
    text = (root / "index.html").read_text("utf-8")
    assert "onerror=alert(1)>" not in text
    assert "<h1>&lt;b&gt;All &amp; sundry&lt;/b&gt;</h1>" in text
    assert str(root) not in text
    _, rows, pictures = table_of(root)
    assert sum(map(bool, pictures)) == 3  # the vector has none, nor those that cannot be read
    assert list(rows) == sorted(rows, key=lambda href: rows[href]["Name"].casefold())


def test_what_cannot_be_read_is_a_row_that_says_so(root):
    broken(root / "other", b'{"name": "another tool"}')
    broken(root / "damaged", b'{"schema": [1, 4], "summary": {"name": 3}}')
    broken(root / "deep", b"[" * 100_000)
    broken(root / "surrogate", b'{"schema": [1, 4], "summary": {"name": "\\ud800"}}')
    broken(root / "empty", b"")
    write_index(root)
    _, rows, _ = table_of(root)
    for name in ("broken", "other", "deep", "surrogate", "empty"):
        said = rows[f"{name}/index.html"]["Verdict"]
        assert said.startswith("Cannot be read report.json is "), name
    assert "expected" in rows["damaged/index.html"]["Verdict"].lower()
    assert rows["newer/index.html"]["Verdict"].startswith("Newer report Version 2 of the report")
    check_strict(root)


def test_numbers_that_no_report_has_break_nothing(made, root):
    huge = 10**400
    copied(made, "classifier", root / "c", accuracy=1e300, parameters=huge, counts={"error": -1})
    copied(
        made, "classifier", root / "d", name="n" * 10_000, meta=[[str(k), "v"] for k in range(99)]
    )
    write_index(root)
    heading, rows, _ = table_of(root)
    assert len(heading) == len(COLUMNS) + 24
    assert "keys left out" in (root / "index.html").read_text("utf-8")
    assert len(rows["d/index.html"]["Name"]) < 210
    check_strict(root)


def test_where_reports_are_looked_for(made, tmp_path):
    copied(made, "vector", tmp_path / "here")
    for place in (".hidden", "assets", "a/b/c/d/e"):
        copied(made, "vector", tmp_path / place)
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "index.html").write_text("a page that leads on")
    (tmp_path / "link").symlink_to(tmp_path / "here")
    (tmp_path / "linked").mkdir()
    for name in ("report.json", "index.html"):
        (tmp_path / "linked" / name).symlink_to(tmp_path / "here" / name)
    copied(made, "vector", tmp_path / "a/b/c/d")
    found = [path.relative_to(tmp_path).as_posix() for path in find_reports(tmp_path)]
    assert sorted(found) == ["a/b/c/d", "here"]
    assert DEPTH == 4


def test_the_index_follows_the_reports(made, root):
    assert write_index(root) == root / "index.html"
    before = pages.tree(root)
    write_index(root)
    assert pages.tree(root) == before
    copied(made, "vector", root / "added", name="added")
    shutil.rmtree(root / "b")
    stale = f"{hashlib.sha256(b'stale').hexdigest()[:20]}.css"
    (root / "assets" / stale).write_bytes(b"stale")
    (root / "assets" / "mine.txt").write_text("mine")
    write_index(root)
    _, rows, _ = table_of(root)
    assert "added/index.html" in rows
    assert "b/index.html" not in rows
    assert (root / "assets" / "mine.txt").read_text() == "mine"
    (root / "assets" / "mine.txt").unlink()
    check_strict(root)
    assert not list(root.glob(".reportgen*"))


def test_pages_of_others_are_kept(made, root):
    page = root / "index.html"
    page.write_text("mine")
    with pytest.raises(OutputError, match="no page of reportgen"):
        write_index(root)
    shutil.copy(made / "vector" / "index.html", page)  # ours, but a report's
    with pytest.raises(OutputError, match="but no index"):
        write_index(root)
    assert page.read_bytes() == (made / "vector" / "index.html").read_bytes()
    write_index(root, force=True)
    write_index(root)
    with pytest.raises(OutputError, match="is a report itself"):
        write_index(root / "b")
    (root / "assets").rename(root / "elsewhere")
    (root / "assets").symlink_to(root / "elsewhere")
    with pytest.raises(OutputError, match="is a link"):
        write_index(root)


def test_one_index_at_a_time(root):
    with locked(root), pytest.raises(LockedError):
        write_index(root)
    assert not (root / "index.html").exists()


def test_the_command(made, tmp_path, capsys):
    assert cli.run(["index", str(tmp_path)]) == 6
    assert "holds no report" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert cli.run(["index", str(tmp_path / "nowhere")]) == 6
    copied(made, "vector", tmp_path / "one")
    assert cli.run(["index", str(tmp_path), "--title", "Ours"]) == 0
    out = capsys.readouterr().out
    assert Path(out.strip()) == tmp_path / "index.html"
    assert "<title>Ours</title>" in (tmp_path / "index.html").read_text("utf-8")
    with pytest.raises(ReportError):
        write_index(tmp_path / "one" / "report.json")


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
@pytest.mark.parametrize("host", ["http", "file", "jenkins"])
def test_in_the_browser(browser, root, host, scheme, width):
    write_index(root)
    with served(root, JENKINS if host == "jenkins" else None) as address:
        url = (root / "index.html").as_uri() if host == "file" else address
        with visited(browser, url, scheme, width) as visit:
            visit.assert_fits()
            loaded = visit.page.evaluate(LOAD_ALL)
            assert len(loaded) == 3
            assert all(size > 0 for _, size in loaded)
            text = words(visit.page.locator("table").text_content())
            for said in ("alpha", HOSTILE, "Cannot be read", "Newer report", "3f2a91c"):
                assert said in text
            if host != "jenkins":
                visit.assert_quiet(url.rpartition("/")[0])
                visit.assert_accessible()


def names_of(page):
    # The text of the document: a row that has not been laid out yet (content-visibility) has no inner text.
    return [
        words(text).split(" ")[0]
        for text in page.locator("tbody tr:visible th a").all_text_contents()
    ]


def test_without_javascript_the_table_is_whole_and_is_still_a_table(browser, root):
    write_index(root)
    url = (root / "index.html").as_uri()
    for width in (1440, 390):
        with visited(browser, url, width=width, java_script_enabled=False) as visit:
            assert len(names_of(visit.page)) == 6
            assert visit.page.locator("input, select, button").count() == 0
            assert "- table" in visit.page.locator("#reports").aria_snapshot()
            assert "- rowheader" in visit.page.locator("#reports").aria_snapshot()


def test_sorting_and_filtering(browser, root):
    write_index(root)
    with visited(browser, (root / "index.html").as_uri()) as visit:
        page = visit.page
        by_name = names_of(page)
        assert page.locator("[aria-sort]").inner_text().startswith("Name")
        page.get_by_role("button", name="Accuracy").click()
        assert names_of(page)[0] == "alpha"
        assert page.locator("th[aria-sort=descending]").inner_text().startswith("Accuracy")
        shown = page.locator("tbody td:nth-child(5)").all_text_contents()
        assert [text != "" for text in shown] == [True] * 3 + [False] * 3
        page.get_by_role("button", name="Accuracy").click()
        assert names_of(page)[2] == "alpha"  # what is not known stays last
        page.get_by_role("button", name="seed").click()
        seeds = page.locator("tbody td:nth-child(9)").all_text_contents()
        assert seeds == ["9", "10", "10", "", "", ""]  # as numbers, not as text
        page.get_by_role("button", name="Name").click()
        assert names_of(page) == by_name
        page.get_by_label("Filter").fill("ALPHA 90.0")
        assert names_of(page) == ["alpha"]
        assert "1 of 6 shown" in page.locator("output").inner_text()
        page.get_by_label("Filter").fill("")
        page.get_by_label("Verdict").select_option("Without problems")
        assert names_of(page) == ["alpha", "zeta"]
        page.get_by_label("Verdict").select_option("All")
        assert names_of(page) == by_name
        assert Axe().run(page).violations_count == 0


def test_paper_shows_every_row(browser, root):
    write_index(root)
    with visited(browser, (root / "index.html").as_uri()) as visit:
        visit.page.emulate_media(media="print")
        assert len(names_of(visit.page)) == 6
        assert not visit.page.get_by_label("Filter").is_visible()
        assert (
            visit.page.eval_on_selector("tbody tr", "e => getComputedStyle(e).display")
            == "table-row"
        )


# -- reports that a batch could not make -----------------------------------------------------------


def test_what_was_not_made_comes_first_with_its_reason(made, root):
    append_run(root, Run("zz", reason=f"exit 1: {HOSTILE}", finished="2026-01-01T10:00:00Z"))
    append_run(root, Run("made later", reason="signal SIGKILL"))
    append_run(root, Run("made later", ok=True))
    append_run(root, Run("b", reason="took longer than 60 s", finished="2999-01-01T10:00:00Z"))
    append_run(root, Run("team a/x%y#z?", reason="made since", finished="2001-01-01T10:00:00Z"))
    write_index(root)
    check_strict(root)
    table = Table()
    table.feed((root / "index.html").read_text("utf-8"))
    first, second, *others = table.rows[1:]
    assert first[1:4] == ["b", "Not made took longer than 60 s", "2999-01-01 10:00"]
    assert second[1:4] == ["zz", f"Not made exit 1: {HOSTILE}", "2026-01-01 10:00"]
    assert table.links[1:3] == [None, None]
    assert not any(row[2].startswith("Not made") for row in others)
    assert len(others) == 6  # the old report of b stands beside
    assert "onerror=alert(1)>" not in (root / "index.html").read_text("utf-8")


def test_an_index_of_nothing_but_failures(tmp_path):
    append_run(tmp_path, Run("a", reason="signal SIGSEGV"))
    write_index(tmp_path)
    check_strict(tmp_path)
    assert "signal SIGSEGV" in (tmp_path / "index.html").read_text("utf-8")


def test_a_foreign_journal_does_not_matter(root):
    (root / "runs.jsonl").write_text("mine")
    write_index(root)
    assert (root / "runs.jsonl").read_text() == "mine"
    check_strict(root)
