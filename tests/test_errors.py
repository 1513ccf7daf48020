"""Texts of errors: folders of any machine stay out of what is shared, file names and sense stay in."""

from __future__ import annotations

import json
from pathlib import Path

import models
import numpy as np
import pytest

import reportgen
from reportgen.errors import ModelError, error_text, reason_text, without_folders
from reportgen.findings import judge as judging
from reportgen.sections.relevance import section as relevance


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot open /home/ann/secret/x.py", "cannot open …/x.py"),
        ("cannot open /home/ann lee/my work/x.py now", "cannot open …/x.py now"),
        ("cannot open /Users/ann lee/x.py", "cannot open …/x.py"),
        ("at '/srv/a folder/deep/x.npz': bad", "at '…/x.npz': bad"),
        (r"C:\Users\ann lee\work\x.py is gone", "…/x.py is gone"),
        (r"at 'D:\a b\x.py'", "at '…/x.py'"),
        (r"\\server\share\team\x.h5", "…/x.h5"),
        ("C:/Users/ann/x.py", "…/x.py"),
        ("/etc/passwd", "…/passwd"),
        ("file:///srv/a/b.h5", "…/b.h5"),
        ("OSError:/srv/a/b.h5", "OSError:…/b.h5"),
        ("on //srv/share/b.h5", "on …/b.h5"),
        ("file:/srv/team/b.h5 is gone", "…/b.h5 is gone"),
        ("/data/run(1)/a.h5", "…/a.h5"),
        ("/data/k=1,l=2/run(1)/a.h5", "…/a.h5"),
        (r"in ..\secret\a.py", "in …/a.py"),
        ("2 / 3 of a/b and 1/2", "2 / 3 of a/b and 1/2"),
        ("see https://keras.io/api/layers/ for more", "see https://keras.io/api/layers/ for more"),
        ("layer encoder/block_1/conv", "layer encoder/block_1/conv"),
        ("ratio 1:2, key: value", "ratio 1:2, key: value"),
    ],
)
def test_folders_stay_out_and_the_rest_stays(text, expected):
    assert without_folders(text) == expected


def test_our_own_sentence_stands_alone_and_a_foreign_error_has_its_type():
    assert reason_text(ModelError("It is damaged.")) == "It is damaged"
    assert reason_text(ValueError("bad")) == error_text(ValueError("bad")) == "ValueError: bad"


PLANTED = "/home/ann lee/secret project/plan.py"


def failing(*_args, **_kwargs):
    raise RuntimeError(f"cannot read {PLANTED}")


def pictures():
    return models.images(4).astype("float32")


def text_of(folder):
    return "".join(
        path.read_text("utf-8", "replace") for path in Path(folder).rglob("*") if path.is_file()
    )


@pytest.mark.parametrize(
    "place",
    [
        "reportgen.sections.relevance.contrasts._close_pairs",
        "reportgen.sections.relevance.sanity.randomisation_test",
        "reportgen.sections.activations.section._shown",
        "reportgen.sections.probes.section.read_output",
        "reportgen.sections.weights.section.statistics_of",
    ],
)
def test_no_folder_of_the_machine_is_on_the_page_whatever_fails(tmp_path, monkeypatch, place):
    monkeypatch.setattr(place, failing)
    made = reportgen.build_report(
        models.saved("classifier"), probes=pictures(), output=tmp_path / "out", skip=("features",)
    )
    text = text_of(tmp_path / "out")
    assert "secret project" not in text
    assert "ann lee" not in text
    assert "plan.py" in text
    assert made.report.summary.name


def test_a_section_whose_every_method_failed_has_failed(tmp_path, monkeypatch):
    broken = [method._replace(run=failing) for method in relevance.METHODS]
    monkeypatch.setattr(relevance, "METHODS", broken)
    made = reportgen.build_report(
        models.saved("classifier"),
        probes=pictures(),
        output=tmp_path,
        sections=("probes", "relevance"),
    )
    assert made.failed == ("relevance",)
    assert made.report.summary.state == "incomplete"
    assert "No method made a map" in made.report.section("relevance").notices[0].text


def test_a_rule_that_fails_costs_itself_and_the_report_is_incomplete(tmp_path, monkeypatch):
    first = judging.RULES[0]._replace(judge=failing)
    monkeypatch.setattr(judging, "RULES", (first, *judging.RULES[1:]))
    made = reportgen.build_report(
        models.saved("classifier"), output=tmp_path, sections=("weights",)
    )
    assert made.failed == (first.id,)
    assert made.report.summary.state == "incomplete"
    assert f"1 rule failed ({first.id})" in made.report.summary.verdict
    reasons = {check.rule: check.reason for check in made.report.not_applicable}
    assert reasons[first.id].startswith("the rule failed: RuntimeError")
    assert "secret" not in json.dumps(reasons)
    assert np.isfinite(len(made.report.passed))
