"""The head of a report: verdict and the numbers of the first screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reportgen.findings.judge import verdict, warned
from reportgen.report.content.evaluation import Classified, EvaluationContent, Labelled, Segmented
from reportgen.report.content.overview import OverviewContent
from reportgen.report.content.probes import ProbesContent
from reportgen.report.content.weights import WeightsContent
from reportgen.report.model import Number, Summary
from reportgen.wording import (
    bytes_text,
    count_text,
    flops_text,
    number_text,
    percent_text,
    share_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.findings.judge import Judged
    from reportgen.network.facts import NetworkFacts
    from reportgen.report.model import Section


def summarise(
    sections: Sequence[Section],
    facts: NetworkFacts,
    title: str | None,
    judged: Judged,
    *,
    created: str,
    failed: Sequence[str],
) -> Summary:
    """Return the head of a report over ``sections``, from their content and findings alone."""
    overview = next((s for s in sections if isinstance(s.content, OverviewContent)), None)
    return Summary(
        name=title or facts.name,
        created=created,
        sentence=overview.lead if overview else "",
        verdict=full_verdict(judged, sections, failed),
        state="incomplete" if failed else "complete",
        counts={severity: judged.count(severity) for severity in ("error", "warning", "info")},
        warned=len(warned(sections)),
        numbers=_numbers(sections),
    )


def full_verdict(judged: Judged, sections: Sequence[Section], failed: Sequence[str]) -> str:
    """Return the verdict on findings and notices, and which sections failed."""
    missing = [section.title for section in sections if section.kind in failed]
    if not missing:
        return f"{'Incomplete: ' if failed else ''}{verdict(judged, sections)}."
    many = f"{len(missing)} of {len(sections)} sections failed ({', '.join(missing)})"
    return f"Incomplete: {many}. {verdict(judged, sections)}."


def _numbers(sections: Sequence[Section]) -> tuple[Number, ...]:
    numbers: list[Number] = []
    for section in sections:
        content = section.content
        if isinstance(content, OverviewContent):
            numbers += _of_overview(content)
        elif isinstance(content, WeightsContent):
            broken = content.nan + content.inf
            numbers.append(Number("NaN or infinite", f"{broken:,}", f"{broken:,} values"))
            zeros = share_text(content.zeros, content.count)
            numbers.append(Number("zero weights", zeros, f"{content.zeros:,} of {content.count:,}"))
        elif isinstance(content, EvaluationContent):
            numbers += _of_evaluation(content)
        elif isinstance(content, ProbesContent):
            shown = len(content.probes)
            if content.labelled and not content.chosen:
                text = f"{content.correct} of {content.labelled}"
                numbers.append(Number("probes right", text, f"{text} labelled probes"))
            else:
                numbers.append(Number("probes", str(shown), f"{shown} of {content.total} shown"))
    return tuple(numbers)


def _of_evaluation(content: EvaluationContent) -> list[Number]:
    result = content.result
    on = f"on {content.images:,} images"
    if isinstance(result, Classified):
        exact = f"{result.correct:,} of {content.images:,} images"
        return [Number("accuracy", percent_text(result.accuracy), exact)]
    if isinstance(result, Labelled):
        return [Number("all labels right", percent_text(result.exact), on)]
    if isinstance(result, Segmented):
        return [Number("mean IoU", percent_text(result.mean_iou), on)]
    return [Number("mean absolute error", number_text(result.mae), on)]


def _of_overview(content: OverviewContent) -> list[Number]:
    numbers = [
        Number("parameters", count_text(content.parameters), f"{content.parameters:,}"),
        Number("layers", f"{content.layers:,}", f"{content.layers:,} at every depth"),
    ]
    if content.flops is not None:
        exact = f"{content.flops:,} for one image, 2 a multiply-add"
        if content.uncounted:
            exact = f"at least {exact}; not counted: {', '.join(content.uncounted)}"
        text = flops_text(content.flops, content.uncounted)
        numbers.append(Number("FLOPs an image", text, exact))
    exact = f"{content.weight_bytes:,} bytes"
    numbers.append(Number("weights", bytes_text(content.weight_bytes), exact))
    return numbers
