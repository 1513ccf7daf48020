"""A real TensorBoard on the log of a report."""

from __future__ import annotations

import sys

import pytest
from serving import free_port, served

from reportgen.integrations.tensorboard import log_report


@pytest.fixture(scope="module")
def url(made, tmp_path_factory):
    place, port = tmp_path_factory.mktemp("tensorboard"), free_port()
    log_report(made, place / "logs" / "run")
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(place / "logs")]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with served(command, f"http://127.0.0.1:{port}/data/runs", place):
        yield f"http://127.0.0.1:{port}"


def test_the_summary_is_shown_without_stray_backslashes(url, made, page):
    page.goto(f"{url}/#text")
    page.wait_for_selector("text=Cats and dogs", timeout=90_000)
    text = page.evaluate("document.body.innerText")
    assert made.report.summary.verdict in text
    assert "\\" not in text


def test_the_probes_are_shown(url, page):
    page.goto(f"{url}/#images")
    page.wait_for_selector("img", timeout=90_000, state="attached")
    page.wait_for_function(
        "[...document.images].filter(i => i.src.includes('individualImage') && i.naturalWidth > 0).length > 1"
        " || document.querySelectorAll('img').length > 1",
        timeout=60_000,
    )
