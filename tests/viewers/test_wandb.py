"""Weights & Biases in its offline mode: what it keeps to send, and the page in a frame as it has it."""

from __future__ import annotations

import json

import pytest
import wandb
from serving import assert_shown

from reportgen.errors import UsageError
from reportgen.integrations.tracked import tracked
from reportgen.integrations.wandb import log_report


@pytest.fixture(scope="module")
def kept(made, tmp_path_factory):
    """Log a report and return the folder of the run, its summary and the artifact's files."""
    place = tmp_path_factory.mktemp("wandb")
    with wandb.init(mode="offline", dir=str(place), project="tests") as run:
        log_report(made)
        summary = dict(run.summary)
    (folder,) = place.glob("wandb/offline-run-*")
    return folder, summary


def test_the_numbers_are_in_the_summary(kept, made):
    _, summary = kept
    found = tracked(made.report)
    for name, value in found.numbers.items():
        assert summary[f"reportgen/{name}"] == pytest.approx(value)
    assert summary["reportgen/verdict"] == made.report.summary.verdict
    json.dumps({key: summary[key] for key in summary if key.startswith("reportgen/")})


def test_the_page_is_kept_as_it_is_and_shows_in_a_frame(kept, made, page):
    folder, _ = kept
    (stored,) = folder.glob("files/media/html/reportgen_*.html")
    assert stored.read_bytes() == (made.path / "report.html").read_bytes()
    page.goto("about:blank")
    page.evaluate(
        """text => {
          const frame = document.createElement("iframe");
          frame.sandbox = "allow-scripts"; frame.width = 900; frame.height = 800;
          frame.srcdoc = text;
          document.body.append(frame);
        }""",
        stored.read_text("utf-8"),
    )
    frame = page.frames[-1]
    frame.wait_for_selector("#search", state="attached")
    assert_shown(frame, made)


def test_without_a_run_it_is_an_error_of_one_sentence(made):
    with pytest.raises(UsageError, match="No run of Weights & Biases is active"):
        log_report(made)
