"""A report in MLflow: files, numbers and verdict of a run (``pip install 'keras-reportgen[mlflow]'``)."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Any

from reportgen.errors import ReportgenError, UsageError, reason_text
from reportgen.integrations.tracked import as_folder, check_is_folder, extra, staged, tracked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reportgen.page.folder import ReportFolder

LONGEST_TAG = 5_000
"""Characters of a tag that every MLflow server takes."""

log = logging.getLogger("reportgen")


def log_report(
    report: ReportFolder | str | Path,
    artifact_path: str = "reportgen",
    run_id: str | None = None,
    tell: Callable[[str], object] = log.info,
) -> str:
    """Log a report to a run of MLflow.

    Artifacts below ``artifact_path``: ``report.html``, the page as one file, which MLflow's artifact view
    shows; ``summary.md``; ``report.json``; and the report folder as ``folder/``, for a download. Metrics begin
    with ``reportgen/``, tags with ``reportgen.``; see ``reportgen.integrations.tracked.tracked``.

    Args:
        report: a report folder, by its path or as ``build_report`` returned it.
        artifact_path: where in the run's artifacts.
        run_id: the run; None is the active one, or the one that ``MLFLOW_RUN_ID`` names.
        tell: is told, in a sentence, how many pictures go where before they do.

    Returns:
        The id of the run.

    Raises:
        UsageError: there is no such run, or none is active.
        ReportError: the report cannot be read.
        ReportgenError: MLflow is not installed, or it or its store refused something.
    """
    mlflow = _imported()
    folder = as_folder(report)
    found = tracked(folder.report)
    run = check_run(folder.path, run_id)
    with staged(folder) as files:
        try:
            client = mlflow.MlflowClient()
            tell(files.sentence(f"run {run} of MLflow"))
            client.log_artifacts(run, str(files.path), artifact_path)
            for name, value in found.numbers.items():
                client.log_metric(run, f"reportgen/{name}", value)
            for name, text in found.texts.items():
                client.set_tag(run, tag_name(name), text[:LONGEST_TAG])
        except (mlflow.exceptions.MlflowException, OSError) as error:
            raise ReportgenError(
                f"MLflow did not take the report for run {run}: {_reason(error)}."
            ) from None
    return run


def check_run(output: str | Path, run_id: str | None) -> str:
    """Return the run that a report will be logged to, before it is made.

    Args:
        output: where the report goes.
        run_id: the run; None is the active one, or the one that ``MLFLOW_RUN_ID`` names.

    Raises:
        UsageError: the report is to be a page alone, or no run is active.
        ReportgenError: MLflow is not installed, or does not know the run.
    """
    check_is_folder(output)
    mlflow = _imported()
    run = run_id or _active(mlflow)
    try:
        mlflow.MlflowClient().get_run(run)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ReportgenError(
            f"MLflow has no run {run} to take a report: {_reason(error)}."
        ) from None
    return str(run)


def tag_name(name: str) -> str:
    """Return a name as MLflow takes it: other characters than its own become ``_``, and 250 are kept."""
    return re.sub(r"[^\w./ :-]", "_", f"reportgen.{name}", flags=re.ASCII)[:250]


def _reason(error: Exception) -> str:
    """Return why MLflow failed; of an artifact store's own error the kind alone, of an address no password."""
    if isinstance(error, OSError):
        return f"its store failed with {type(error).__name__}"
    return re.sub(r"(?<=://)[^/@\s]*@", "", reason_text(error))


def _imported() -> Any:
    with extra("mlflow", "MLflow"):
        import mlflow
    return mlflow


def _active(mlflow: Any) -> str:
    run = mlflow.active_run()
    found = run.info.run_id if run is not None else os.environ.get("MLFLOW_RUN_ID", "")
    if not found:
        raise UsageError(
            "No run of MLflow is active: name one (--mlflow-run ID, run_id=…), set MLFLOW_RUN_ID, or call this "
            "within mlflow.start_run()."
        )
    return str(found)
