"""The head of ``model_card.md``: what Hugging Face reads of a model card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.page.joined import content_of
from reportgen.report.content.evaluation import Classified, EvaluationContent
from reportgen.report.content.overview import OverviewContent

if TYPE_CHECKING:
    from reportgen.report.card import ModelCard
    from reportgen.report.model import Report

MADE_BY = "# Written by reportgen"
"""In the head of a card that we may write over."""
_PIPELINES = {
    "classification": "image-classification",
    "binary": "image-classification",
    "multilabel": "image-classification",
    "segmentation": "image-segmentation",
    "image": "image-to-image",
}
_LICENSES = frozenset((
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m",
    "bigscience-bloom-rail-1.0", "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd",
    "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0",
    "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0",
    "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0",
    "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "agpl-3.0", "gfdl", "gpl",
    "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "lppl-1.3c", "ms-pl", "mpl-2.0", "odc-by",
    "odbl", "openrail++", "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl",
    "lgpl-lr", "other",
))  # fmt: skip
"""The licenses that Hugging Face knows by name; any other is ``other`` with its own name."""


def metadata(report: Report) -> str:
    """Return the YAML between the two lines of dashes at the head of a model card."""
    import yaml

    overview = content_of(report, OverviewContent)
    task = _PIPELINES.get(overview.tasks[0].kind, "") if overview and overview.tasks else ""
    if overview and not any(len(tensor.shape) == 4 for tensor in overview.inputs):
        task = ""  # no images
    card = report.card
    said: dict[str, Any] = {"library_name": "keras"}
    if card is not None:
        said |= _of_card(card)
    said["tags"] = list(dict.fromkeys(["keras", *(card.tags if card else ())]))
    if task:
        said["pipeline_tag"] = task
    if results := _results(report, task):
        said["model-index"] = [{"name": report.summary.name, "results": [results]}]
    text: str = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=112)
    return f"{MADE_BY}\n{text}".rstrip("\n")


def _of_card(card: ModelCard) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if card.license:
        name = card.license[0]
        known = name.lower()
        said["license"] = known if known in _LICENSES else "other"
        if known not in _LICENSES:
            said["license_name"] = name
    if card.datasets:
        said["datasets"] = list(card.datasets)
    return said


def _results(report: Report, task: str) -> dict[str, Any]:
    """Return the accuracy that was measured, as ``model-index`` holds it; empty without one."""
    evaluation = content_of(report, EvaluationContent)
    if not task or evaluation is None or not isinstance(evaluation.result, Classified):
        return {}
    named = report.card.datasets[0] if report.card and report.card.datasets else "custom"
    value = round(evaluation.result.accuracy, 6)
    return {
        "task": {"type": task},
        "dataset": {"type": named, "name": named},
        "metrics": [{"type": "accuracy", "value": value, "name": "Accuracy"}],
    }
