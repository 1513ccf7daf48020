"""A real MLflow server: what is logged, and what its artifact view shows."""

from __future__ import annotations

import sys

import mlflow
import models
import pytest
from serving import assert_shown, free_port, served

from reportgen import cli
from reportgen.errors import ReportgenError, UsageError
from reportgen.integrations.mlflow import log_report
from reportgen.integrations.tracked import tracked
from reportgen.report.model import read_report


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    place, port = tmp_path_factory.mktemp("mlflow"), free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{place}/store.db", "--workers", "1"]
    command += ["--artifacts-destination", str(place / "artifacts")]
    with served(command, f"{url}/health", place):
        mlflow.set_tracking_uri(url)
        yield url


@pytest.fixture(scope="module")
def run(server, made):
    with mlflow.start_run() as active:
        assert log_report(made) == active.info.run_id
    return active.info


def test_numbers_and_texts_are_in_the_run(run, made):
    data, found = mlflow.get_run(run.run_id).data, tracked(made.report)
    assert data.metrics == {
        f"reportgen/{name}": pytest.approx(value) for name, value in found.numbers.items()
    }
    assert data.metrics["reportgen/accuracy"] in {k / 8 for k in range(9)}
    for name, text in found.texts.items():
        assert data.tags[f"reportgen.{name}"] == text


def test_artifacts_are_the_page_and_the_folder(run, made, tmp_path):
    got = mlflow.artifacts.download_artifacts(
        run_id=run.run_id, artifact_path="reportgen", dst_path=str(tmp_path)
    )
    assert read_report(tmp_path / "reportgen" / "folder") == made.report
    for path in made.path.rglob("*"):
        if path.is_file() and path.name != "report.html":
            inside = tmp_path / "reportgen" / "folder" / path.relative_to(made.path)
            assert inside.read_bytes() == path.read_bytes()
    assert (tmp_path / "reportgen" / "report.html").read_bytes() == (
        made.path / "report.html"
    ).read_bytes()
    assert got


def test_the_artifact_view_shows_words_styles_and_pictures(run, server, made, page):
    address = f"{server}/#/experiments/{run.experiment_id}/runs/{run.run_id}/artifacts/reportgen/report.html"
    page.goto(address)
    held = page.wait_for_selector("iframe", timeout=60_000)
    frame = held.content_frame()
    frame.wait_for_selector("#search", state="attached", timeout=60_000)
    assert held.get_attribute("src").startswith("blob:")
    assert_shown(frame, made)
    frame.locator("main a[href^='#']").first.click()
    page.wait_for_timeout(300)
    assert page.query_selector("iframe").content_frame().query_selector("#search")
    assert page.url == address


def test_what_cannot_be_logged_is_an_error_of_one_sentence(server, made):
    with pytest.raises(UsageError, match="No run of MLflow is active"):
        log_report(made)
    with pytest.raises(ReportgenError, match="MLflow has no run nothing"):
        log_report(made, run_id="nothing")


def test_the_command_line_logs_what_it_builds(server, monkeypatch, tmp_path, capfd):
    with mlflow.start_run() as active:
        pass
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    build = ["build", str(models.saved("binary")), "--sections", "overview", "-o"]
    assert cli.run([*build, str(tmp_path / "a"), "--mlflow-run", active.info.run_id]) == 0
    assert f"to run {active.info.run_id} of MLflow" in capfd.readouterr().out
    assert "reportgen/parameters" in mlflow.get_run(active.info.run_id).data.metrics
    assert cli.run([*build, str(tmp_path / "b"), "--mlflow-run", "nothing"]) == 1
    assert "MLflow has no run nothing" in capfd.readouterr().err
    assert cli.run([*build, str(tmp_path / "b"), "--mlflow"]) == 2
    assert cli.run([*build, str(tmp_path / "b.html"), "--mlflow-run", active.info.run_id]) == 2
    assert not (tmp_path / "b").exists()
