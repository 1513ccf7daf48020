"""The head of a report: verdict and the numbers of the first screen."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from reportgen.findings.judge import unsupported, verdict, warned
from reportgen.network.samples import IMAGE
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
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.findings.judge import Judged
    from reportgen.network.facts import NetworkFacts
    from reportgen.network.samples import Sample
    from reportgen.report.content.overview import ModelFile
    from reportgen.report.leaves import Figure
    from reportgen.report.model import Section

_MADE_UP = re.compile(r"(functional|model|sequential)(_\d+)?")
"""Names that Keras gives to models that were given none."""
NUMBERS = 6
"""Of the first screen, at most."""


def summarise(
    sections: Sequence[Section],
    facts: NetworkFacts,
    title: str | None,
    judged: Judged,
    *,
    created: str,
    failed: Sequence[str],
    file: ModelFile | None = None,
) -> Summary:
    """Return the head of a report over ``sections``, from their content and findings alone."""
    overview = next((s for s in sections if isinstance(s.content, OverviewContent)), None)
    about = overview.content if overview and isinstance(overview.content, OverviewContent) else None
    judged_on = _classified(sections)
    return Summary(
        name=title or _name(facts.name, file, overview.lead if overview else ""),
        created=created,
        sentence=overview.lead if overview else "",
        verdict=full_verdict(judged, sections, failed),
        state="incomplete" if failed else "complete",
        counts={severity: judged.count(severity) for severity in ("error", "warning", "info")},
        warned=len(warned(sections)),
        unsupported=unsupported(sections)[0],
        numbers=first_numbers(sections),
        accuracy=judged_on.accuracy if judged_on else None,
        interval=judged_on.interval if judged_on else None,
        parameters=about.parameters if about else None,
        meta=about.meta if about else (),
        picture=_first_picture(sections),
    )


def _classified(sections: Sequence[Section]) -> Classified | None:
    """Return how well the classes of a data set are told apart; None where that was not evaluated."""
    results = [s.content.result for s in sections if isinstance(s.content, EvaluationContent)]
    return next((result for result in results if isinstance(result, Classified)), None)


def _first_picture(sections: Sequence[Section]) -> Figure | None:
    """Return the first image as the network received it, or as it was given; None where none is shown."""
    contents = [s.content for s in sections if isinstance(s.content, ProbesContent)]
    for probe in (probe for content in contents for probe in content.probes):
        shown = next((one.figure for one in probe.received if one.figure), probe.given)
        if shown and not shown.left_out:
            return shown
    return None


def _name(name: str, file: ModelFile | None, sentence: str) -> str:
    """Return what a model without a title is called: its file, its name, or what it is.

    Args:
        name: that Keras knows it by.
        file: it was read from.
        sentence: what it is, as in ``A classifier with 10 classes for inputs of 28×28×1, 9 layers.``
    """
    if file is not None:
        return PurePath(file.name).stem or name
    if not _MADE_UP.fullmatch(name):
        return name
    what = sentence.partition(" for inputs of ")[0].removeprefix("An ").removeprefix("A ")
    return what[:1].upper() + what[1:] or name


def full_verdict(judged: Judged, sections: Sequence[Section], failed: Sequence[str]) -> str:
    """Return the verdict on findings and notices, and which sections failed."""
    missing = [section.title for section in sections if section.kind in failed]
    if not missing:
        return f"{'Incomplete: ' if failed else ''}{verdict(judged, sections)}."
    many = f"{len(missing)} of {len(sections)} sections failed ({', '.join(missing)})"
    return f"Incomplete: {many}. {verdict(judged, sections)}."


def first_numbers(sections: Sequence[Section]) -> tuple[Number, ...]:
    """Return the numbers of the first screen, at most six: how good the network is, then how large."""
    contents = [section.content for section in sections]
    numbers: list[Number] = []
    sample = next((c.sample for c in contents if isinstance(c, OverviewContent)), IMAGE)
    for content in contents:
        if isinstance(content, EvaluationContent):
            numbers += _of_evaluation(content, sample)
    ran = any(isinstance(content, ProbesContent) for content in contents)
    if ran and not any(isinstance(content, EvaluationContent) for content in contents):
        numbers.append(
            Number(
                "performance on test data", "not measured", "No data set with labels was evaluated."
            )
        )
    for content in contents:
        if isinstance(content, ProbesContent) and content.labelled and not content.chosen:
            numbers.append(_of_probes(content))
    for content in contents:
        if isinstance(content, WeightsContent) and content.nan + content.inf:
            broken = content.nan + content.inf
            numbers.append(Number("NaN or infinite weights", f"{broken:,}", f"{broken:,} values"))
    for content in contents:
        if isinstance(content, OverviewContent):
            numbers += _of_overview(content)
    return tuple(numbers[:NUMBERS])


def _of_evaluation(content: EvaluationContent, sample: Sample) -> list[Number]:
    result = content.result
    on = f"on {sample.counted(content.images)}"
    if isinstance(result, Classified):
        low, high = result.interval
        exact = (
            f"{result.correct:,} of {sample.counted(content.images)}; 95 % interval "
            f"{percent_text(low)} to {percent_text(high)} (Wilson)"
        )
        # the interval stands in the label, so that the number itself stays one
        label = f"accuracy ({percent_text(low)} to {percent_text(high)}) {on}"
        return [Number(label, percent_text(result.accuracy), exact)]
    if isinstance(result, Labelled):
        return [Number(f"all labels correct {on}", percent_text(result.exact), on)]
    if isinstance(result, Segmented):
        return [Number(f"mean IoU {on}", percent_text(result.mean_iou), on)]
    return [Number(f"mean absolute error {on}", number_text(result.mae), on)]


def _of_probes(content: ProbesContent) -> Number:
    """Return how many of a few labelled images are right, and how little that says."""
    text = f"{content.correct:,} of {content.labelled:,}"
    if content.interval is None:
        return Number("labelled probes correct", text, f"{text} labelled probes")
    low, high = (percent_text(share) for share in content.interval)
    exact = f"{text} labelled probes; 95 % interval {low} to {high} (Wilson)"
    return Number(f"labelled probes correct (95 %: {low} to {high})", text, exact)


def _of_overview(content: OverviewContent) -> list[Number]:
    one = content.sample.one
    numbers = [Number("parameters", count_text(content.parameters), f"{content.parameters:,}")]
    if content.flops is not None:
        exact = f"{content.flops:,} per {one}, counting a multiply-add as 2"
        if content.uncounted:
            exact = f"at least {exact}; not counted: {', '.join(content.uncounted)}"
        text = flops_text(content.flops, content.uncounted)
        numbers.append(Number(f"FLOPs per {one}", text, exact))
    exact = f"{content.weight_bytes:,} bytes"
    numbers.append(Number("weights in memory", bytes_text(content.weight_bytes), exact))
    if content.activation_bytes is not None:
        exact = (
            f"{content.activation_bytes:,} bytes of layer outputs alive at one moment, per {one}"
        )
        numbers.append(Number("peak activations", bytes_text(content.activation_bytes), exact))
    return numbers
