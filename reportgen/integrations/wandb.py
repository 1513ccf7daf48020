"""A report in Weights & Biases: page, files and numbers of a run (``pip install 'keras-reportgen[wandb]'``)."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from reportgen.errors import UsageError
from reportgen.integrations.tracked import FOLDER, as_folder, extra, staged, tracked
from reportgen.report.model import SINGLE_HTML

if TYPE_CHECKING:
    from pathlib import Path

    from reportgen.page.folder import ReportFolder

log = logging.getLogger("reportgen")


def log_report(report: ReportFolder | str | Path, name: str = "reportgen", run: Any = None) -> None:
    """Log a report to a run of Weights & Biases.

    The page as one file is logged as ``wandb.Html`` under ``name``, the report folder as an artifact of the
    type ``report``, numbers and texts go to the run's summary, as in ``reportgen/accuracy``; see
    ``reportgen.integrations.tracked.tracked``.

    Args:
        report: a report folder, by its path or as ``build_report`` returned it.
        name: of the panel and, with the run's id, of the artifact.
        run: as ``wandb.init`` returned it; None is the active one.

    Raises:
        UsageError: no run is active.
        ReportError: the report cannot be read.
        ReportgenError: wandb is not installed.
    """
    wandb = _imported()
    run = run or wandb.run
    if run is None:
        raise UsageError("No run of Weights & Biases is active: call this after wandb.init(…).")
    folder = as_folder(report)
    found = tracked(folder.report)
    with staged(folder) as files:
        log.info("%s", files.sentence(f"run {run.id} of Weights & Biases"))
        page = (files.path / SINGLE_HTML).read_text("utf-8")
        run.log({name: wandb.Html(page, inject=False)})  # injected, links would leave the frame
        artifact = wandb.Artifact(re.sub(r"[^\w.-]", "-", f"{name}-{run.id}"), type="report")
        artifact.add_dir(str(files.path / FOLDER))
        run.log_artifact(artifact)
    values: dict[str, float | str] = {**found.numbers, **found.texts}
    run.summary.update({f"reportgen/{key}": value for key, value in values.items()})


def _imported() -> Any:
    with extra("wandb", "wandb"):
        import wandb
    return wandb
