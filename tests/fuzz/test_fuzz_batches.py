"""The files of a batch: a spec of any kind is refused in words, and an index is made of any journal."""

from __future__ import annotations

import json

import pytest
from fuzzing import LEAVES, bounded, cases, damaged, ending_in, trees
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz_configuration import DATES, NAMES, text, toml

from reportgen.batch.plan import plan
from reportgen.errors import ConfigurationError, OutputError, UsageError
from reportgen.page.index import write_index
from reportgen.report.runs import RUNS_JSONL, read_runs

SPECS = (
    (
        b'[defaults]\nquick = true\nmeta = { team = "x" }\n[a]\nmodel = "a.keras"\nprobes = ["p/*.png"]\n'
        b'["b c"]\nmodel = "s3://bucket/b.keras"\nmeta = { run = 2 }\nmax-probes = 3\n'
    ),
    b'[a]\nmodel = "a.keras"\n[a.thresholds]\ndead = 0.5\n[a.meta]\nday = 2026-01-01\n',
)
JOURNALS = (
    (
        b'{"name":"a","model":"a.keras","digest":"0f","ok":true,"reason":"","code":3,"seconds":1.5,"engine":"ray",'
        b'"where":"vm","finished":"2026-01-01T00:00:00Z"}\n{"name":"b","ok":false,"reason":"signal SIGKILL"}\n'
    ),
    b'{"name":"<b>","reason":"&"}\n\n{"name":"c"',
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    (folder / "a.keras").touch()
    return folder


def planned(place, content):
    (place / "spec.toml").write_bytes(content)
    with bounded(), ending_in(ConfigurationError, UsageError):
        for job in plan([str(place / "spec.toml")], {"seed": 1}, {"quick": False}):
            assert "/" not in job.name
            assert job.name not in {"", ".", "..", "assets"}
            assert job.options["seed"] == 1
            json.dumps(job.options, default=str)


def indexed(place, content):
    root = place / "root"
    root.mkdir(exist_ok=True)
    (root / RUNS_JSONL).write_bytes(content)
    runs = {}
    with bounded(), ending_in(OutputError):
        runs = read_runs(root)
    if any(not run.ok for run in runs.values()):
        with bounded():
            page = write_index(root).read_text("utf-8")
        assert page.count("<script") == 1
        assert "<b>" not in page


def test_the_corpus_is_read(place):
    assert [len(plan([str(put(place, spec))], {}, {})) for spec in SPECS] == [2, 1]
    for content, names in zip(JOURNALS, (["a", "b"], ["<b>"]), strict=True):
        indexed(place, content)
        assert list(read_runs(place / "root")) == names


def put(place, content):
    (place / "spec.toml").write_bytes(content)
    return place / "spec.toml"


@given(damaged(SPECS))
@cases(100, 8_000)
def test_damaged_specs(place, content):
    planned(place, content)


@given(
    st.text(max_size=8),
    st.dictionaries(st.sampled_from([*NAMES, "model"]), trees(LEAVES | DATES, 6), max_size=3),
    st.sampled_from(("defaults", "other")),
)
@cases(100, 8_000)
def test_tables_of_any_kind(place, name, options, second):
    tables = {name: {"model": "a.keras", **options}, second: options}
    lines = [
        f"[{text(key)}]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in table.items())
        for key, table in tables.items()
    ]
    planned(place, "".join(lines).encode())


@given(damaged(JOURNALS))
@cases(60, 8_000)
def test_damaged_journals(place, content):
    indexed(place, content)
