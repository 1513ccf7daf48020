"""report.json: what is written is read again, older and newer versions, damaged files."""

from __future__ import annotations

import json

import models
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reportgen import ReportFolder, build_report
from reportgen.content.findings import Finding, Where
from reportgen.content.leaves import Notice
from reportgen.errors import ReportError
from reportgen.report import Number, Report, Section, Summary, from_json, json_schema, to_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NOTICES = st.builds(Notice, level=st.sampled_from(["info", "warning", "error"]), text=TEXT)
FINDINGS = st.builds(
    Finding, rule=TEXT, severity=st.sampled_from(["error", "warning", "info"]), title=TEXT,
    where=st.builds(Where, layer=TEXT, channels=st.tuples(st.integers(0, 99))), observed=TEXT,
    threshold=TEXT, why=TEXT, action=TEXT, source=TEXT, accepted=TEXT,
)  # fmt: skip
REPORTS = st.builds(
    Report,
    schema=st.just((1, 0)),
    reportgen=TEXT,
    summary=st.builds(
        Summary, name=TEXT, created=TEXT, sentence=TEXT, verdict=TEXT,
        state=st.sampled_from(["complete", "incomplete"]), counts=st.dictionaries(TEXT, st.integers(0, 9)),
        numbers=st.tuples(st.builds(Number, label=TEXT, text=TEXT, exact=TEXT)),
    ),
    sections=st.tuples(
        st.builds(Section, kind=TEXT, title=TEXT, lead=TEXT, content=st.none(), notices=st.tuples(NOTICES))
    ),
    findings=st.tuples(FINDINGS),
)  # fmt: skip


@given(REPORTS)
def test_what_is_written_is_read_again(report):
    assert from_json(to_json(report)) == report


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "out"
    return build_report(models.model("classifier"), probes=models.images(), output=out)


def test_a_whole_report_is_read_again(built):
    assert ReportFolder(built.path).report == built.report
    assert to_json(built.report) == (built.path / "report.json").read_bytes()


def test_newer_minor_versions_are_read_without_their_fields(built):
    data = json.loads(to_json(built.report))
    data["schema"] = [1, 99]
    data["of the future"] = {"a": 1}
    data["sections"][0]["content"]["new"] = 3
    read = from_json(json.dumps(data).encode())
    assert read == msgspec.structs.replace(built.report, schema=(1, 99))


def test_newer_major_versions_are_refused_with_what_to_do(built):
    data = json.loads(to_json(built.report))
    data["schema"] = [2, 0]
    with pytest.raises(ReportError, match="Install a newer reportgen"):
        from_json(json.dumps(data).encode())


def test_fields_that_were_added_have_defaults(built):
    data = json.loads(to_json(built.report))
    for field in ("findings", "passed", "not_applicable", "ignore", "thresholds"):
        data.pop(field)
    assert from_json(json.dumps(data).encode()).findings == ()


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"schema": []}', b'{"schema": [1, 0]}', b"\xff\xfe", b"7"]
)
def test_what_is_no_report_is_refused(data):
    with pytest.raises(ReportError):
        from_json(data)


def test_the_schema_names_every_section():
    text = json.dumps(json_schema())
    for kind in ("overview", "architecture", "weights", "probes", "activations"):
        assert f'"{kind}"' in text
