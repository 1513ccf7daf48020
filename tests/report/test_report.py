"""report.json: what is written is read again, older and newer versions, damaged files."""

from __future__ import annotations

import json
import shutil

import jinja2
import models
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reportgen import ReportFolder, build_report, cli
from reportgen.errors import ReportError
from reportgen.page.render import render
from reportgen.report.findings import Finding, Where
from reportgen.report.leaves import Notice
from reportgen.report.model import Number, Report, Section, Summary, from_json, json_schema, to_json
from reportgen.settings import SECTIONS

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
        st.builds(Section, kind=st.sampled_from(SECTIONS), title=TEXT, lead=TEXT, content=st.none(),
                  notices=st.tuples(NOTICES))
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


# -- reports that somebody sent --------------------------------------------------------------------


def changed(built, change):
    data = json.loads(to_json(built.report))
    change(data)
    return json.dumps(data).encode()


def section(kind):
    return lambda data: data["sections"][0].update(kind=kind)


HOSTILE = {
    "kind up": section("../../../../evil"),
    "kind beside": section("x/../../evil"),
    "kind unknown": section("evil"),
    "kind of another": section("weights"),
    "kind no text": section(7),
    "section twice": lambda data: data["sections"].append(data["sections"][0]),
    "asset up": lambda data: data["assets"].append("../../secret"),
    "asset absolute": lambda data: data["assets"].append("/etc/passwd"),
    "asset of another form": lambda data: data["assets"].append("secret.png"),
    "asset script": lambda data: data["assets"].append("0" * 20 + ".js"),
    "picture up": lambda data: picture(data).update(src="assets/../../secret.png"),
    "picture elsewhere": lambda data: picture(data).update(src="https://example.org/a.png"),
    "picture scheme": lambda data: picture(data).update(src="javascript:alert(1)"),
}


def picture(data):
    probes = next(s for s in data["sections"] if s["kind"] == "probes")
    return probes["content"]["probes"][0]["given"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_lead_out_of_the_report_are_refused(built, name):
    with pytest.raises(ReportError, match="damaged"):
        from_json(changed(built, HOSTILE[name]))


def test_a_template_beside_the_report_does_not_run(built, tmp_path, monkeypatch, capsys):
    """The names that once reached it, from the folder of the report and from above it."""
    folder = tmp_path / "out"
    shutil.copytree(built.path, folder)
    code = "{{ cycler.__init__.__globals__.os.system('touch ran') }}"
    for place in (tmp_path, folder):
        (place / "evil.html").write_text(code)
    monkeypatch.chdir(folder)
    up = "/".join([".."] * 20)
    for kind in (f"{up}{tmp_path}/evil", "../evil", f"{tmp_path}/evil"):
        (folder / "report.json").write_bytes(changed(built, section(kind)))
        assert cli.run(["render", "."]) == 6
        assert "damaged" in capsys.readouterr().err
    assert not (folder / "ran").exists()


def test_the_loader_reads_templates_alone(tmp_path):
    from reportgen.page.render import _environment

    (tmp_path / "evil.html").write_text("read")
    environment = _environment()
    for name in (
        f"{tmp_path}/evil.html",
        "../README.md",
        "sections/../../README.md",
        "sections/none.html",
    ):
        with pytest.raises(jinja2.TemplateNotFound):
            environment.get_template(name)


@pytest.mark.parametrize(
    "text",
    [
        "{{ report.__class__.__mro__ }}",
        "{{ render.__globals__ }}",
        "{{ [].append(1) }}",
        "{{ {}.update(a=1) }}",
    ],
)
def test_templates_run_in_a_sandbox(built, text):
    from reportgen.page.render import _environment

    template = _environment().from_string(text)
    with pytest.raises((jinja2.exceptions.SecurityError, jinja2.UndefinedError)):
        template.render(report=built.report, render=render)


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_picture_that_is_no_file_is_refused(built, tmp_path, capsys, kind):
    folder = tmp_path / "out"
    shutil.copytree(built.path, folder)
    name = built.report.assets[0]
    (tmp_path / "secret").write_text("secret")
    (folder / "assets" / name).unlink()
    if kind == "link":
        (folder / "assets" / name).symlink_to(tmp_path / "secret")
    else:
        (folder / "assets" / name).mkdir()
    assert cli.run(["render", str(folder)]) == 6
    assert f"{name} is no file" in capsys.readouterr().err


def test_a_section_of_a_newer_version_becomes_a_notice(built):
    data = json.loads(to_json(built.report))
    data["schema"] = [1, 99]
    new = {
        "kind": "robustness",
        "title": "Robust <b>ness",
        "lead": "",
        "content": {"kind": "robustness"},
    }
    data["sections"].insert(1, new)
    read = from_json(json.dumps(data).encode())
    assert read.sections == built.report.sections
    (notice,) = read.notices
    assert "'Robust <b>ness' is not shown: a newer reportgen" in notice.text
    assert "Robust &lt;b&gt;ness" in render(read, "0" * 32).html
    with pytest.raises(ReportError, match="damaged"):
        from_json(json.dumps(data | {"schema": [1, 1]}).encode())


def test_a_verdict_on_a_map_of_a_newer_version_cannot_be_told(built):
    data = json.loads(to_json(built.report))
    (relevance,) = (s["content"] for s in data["sections"] if s["kind"] == "relevance")
    relevance["maps"][0]["verdict"] = "certified"
    assert len(relevance["maps"]) > 1
    newer = from_json(json.dumps(data | {"schema": [1, 99]}).encode())
    first, *others = newer.section("relevance").content.maps
    assert first.verdict == "cannot be told"
    assert tuple(others) == built.report.section("relevance").content.maps[1:]
    with pytest.raises(ReportError, match="damaged"):
        from_json(json.dumps(data).encode())
