"""A real JupyterLab: a report at the end of a cell, trusted and not, and the page opened as a file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import nbformat
import pytest
from serving import assert_said, assert_shown, environment, free_port, served

TOKEN = "only-these-tests"  # noqa: S105 - of a server on loopback that ends with the tests


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    """Notebooks that were run and closed, beside the report."""
    place = tmp_path_factory.mktemp("jupyter")
    shutil.copytree(made.path, place / "report")
    book = nbformat.v4.new_notebook()
    book.cells = [
        nbformat.v4.new_code_cell("from reportgen import ReportFolder\nReportFolder('report')")
    ]
    nbformat.write(book, place / "fresh.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute"]
    subprocess.run(
        [*command, "fresh.ipynb", "--output", "untrusted.ipynb"],
        cwd=place,
        env=environment(),
        check=True,
        capture_output=True,
    )
    shutil.copy(place / "untrusted.ipynb", place / "trusted.ipynb")
    return place


@pytest.fixture(scope="module")
def url(folder):
    port = free_port()
    trust = [sys.executable, "-m", "jupyter", "trust", "trusted.ipynb"]
    subprocess.run(trust, cwd=folder, env=environment(), check=True, capture_output=True)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"]
    with served(command, f"http://127.0.0.1:{port}/api", folder):
        yield f"http://127.0.0.1:{port}"


def opened(page, url, name):
    page.goto(f"{url}/lab/tree/{name}?token={TOKEN}&reset")


def test_what_the_notebook_keeps_is_small(folder):
    book = json.loads((folder / "untrusted.ipynb").read_text())
    (output,) = book["cells"][0]["outputs"]
    assert len("".join(output["data"]["text/html"])) <= 500_000


def test_a_trusted_notebook_shows_the_report_after_reopening(url, made, page):
    opened(page, url, "trusted.ipynb")
    held = page.wait_for_selector(".jp-OutputArea iframe", timeout=90_000, state="attached")
    held.scroll_into_view_if_needed()
    frame = held.content_frame()
    frame.wait_for_selector("h1", timeout=30_000)
    assert_shown(frame, made)
    assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_untrusted_notebook_shows_verdict_numbers_and_a_picture(url, made, page):
    opened(page, url, "untrusted.ipynb")
    page.wait_for_selector(".jp-OutputArea h3, .jp-OutputArea h2", timeout=90_000)
    assert_said(page.locator(".jp-OutputArea").first.inner_text(), made)
    assert page.evaluate(
        "[...document.querySelectorAll('.jp-OutputArea img')].filter(i => i.naturalWidth > 0).length"
    )


def test_the_page_opens_as_a_file(url, made, page):
    opened(page, url, "report/report.html")
    held = page.wait_for_selector(".jp-HTMLViewer iframe", timeout=90_000, state="attached")
    frame = held.content_frame()
    frame.wait_for_selector("h1", timeout=30_000)
    assert_shown(frame, made)
