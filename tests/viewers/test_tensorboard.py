"""A real TensorBoard on the log of a report."""

from __future__ import annotations

import sys

import pytest
from serving import assert_said, free_port, served

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
    title = page.get_by_role("heading", name="Cats and dogs")
    title.wait_for(timeout=90_000)
    text = title.locator("xpath=..").inner_text()
    assert_said(text, made)
    assert "\\" not in text
    assert "<" not in text


def test_the_probes_are_shown(url, page):
    page.goto(f"{url}/#images")
    group = page.get_by_text("probe", exact=False).first
    group.wait_for(timeout=90_000)
    shown = page.locator("img[src*='individualImage']").first
    shown.wait_for(timeout=60_000)
    assert shown.evaluate("async i => { await i.decode(); return i.naturalWidth; }") >= 12
