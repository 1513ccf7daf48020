"""Reports that somebody sent: whatever report.json holds, ``render`` and ``check`` end in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fuzzing import altered, bounded, cases, damaged
from hypothesis import given
from hypothesis import strategies as st

from reportgen import cli

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

CORPUS = tuple(path.read_bytes() for path in sorted(Path(__file__).parent.glob("corpus/*.json")))
"""Reports with every kind of section, as they were written; see ``test_the_corpus_is_shown``."""
TREES = tuple(json.loads(content) for content in CORPUS)
HEADS = tuple(tree["summary"] for tree in TREES)
SECTIONS = tuple(section for tree in TREES for section in tree["sections"])


def ends_well(capsys, folder, content):
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_bytes(content)
    codes = []
    for command in (["render"], ["check", "-q", "--junit", str(folder / "junit.xml")]):
        capsys.readouterr()
        with bounded():
            code = cli.run([command[0], str(folder), *command[1:]])
        said = capsys.readouterr().err.strip()
        assert code in {0, 6}, said
        assert len(said.splitlines()) == (code != 0), said
        codes.append(code)
    return codes


@pytest.mark.parametrize("content", CORPUS)
def test_the_corpus_is_shown(tmp_path, capsys, content):
    assert ends_well(capsys, tmp_path, content) == [0, 0]


def test_the_corpus_holds_every_section():
    shown = {section["kind"] for section in SECTIONS if section["content"] is not None}
    from reportgen.settings import SECTIONS as KINDS

    assert shown == set(KINDS)


def indexed(folder, content):
    """Make an index over one report, which must be a row whatever it holds."""
    report = folder / "report"
    report.mkdir(parents=True, exist_ok=True)
    (report / "index.html").write_text("a page")
    (report / "report.json").write_bytes(content)
    with bounded():
        assert cli.run(["index", str(folder)]) == 0
    assert (folder / "index.html").read_text("utf-8").count("<tr ") == 1


@given(damaged(CORPUS))
@cases(25, 2_500)
def test_an_index_over_damaged_reports(tmp_path_factory, content):
    indexed(tmp_path_factory.getbasetemp() / "indexed", content)


@given(st.sampled_from(TREES), altered(HEADS))
@cases(50, 5_000)
def test_an_index_over_altered_heads(tmp_path_factory, tree, head):
    indexed(
        tmp_path_factory.getbasetemp() / "heads", json.dumps({**tree, "summary": head}).encode()
    )


@given(damaged(CORPUS))
@cases(25, 2_500)
def test_damaged_reports(tmp_path_factory, capsys, content):
    ends_well(capsys, tmp_path_factory.getbasetemp() / "damaged", content)


@given(st.sampled_from(TREES), altered(SECTIONS))
@cases(25, 2_500)
def test_reports_with_an_altered_section(tmp_path_factory, capsys, tree, section):
    content = json.dumps({**tree, "sections": [section]}).encode()
    ends_well(capsys, tmp_path_factory.getbasetemp() / "section", content)


@given(altered([{**tree, "sections": tree["sections"][:1]} for tree in TREES]))
@cases(25, 2_500)
def test_altered_reports(tmp_path_factory, capsys, tree):
    ends_well(capsys, tmp_path_factory.getbasetemp() / "altered", json.dumps(tree).encode())
