"""What a reviewer should take away from relevance, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reportgen.values import CAM_FAMILY
from reportgen.wording import plural

if TYPE_CHECKING:
    from reportgen.report.content.relevance import MethodFacts, RelevanceContent


def lead_of(content: RelevanceContent) -> str:
    """Say what a reviewer should take away, from the numbers alone."""
    if content.quick:
        flat = sum(one.verdict == "flat" for one in content.maps)
        some = f", {flat} of them flat" if flat else ""
        return f"{len(content.maps)} maps{some}, without evidence for them (--quick)."
    parts = [_of_method(content, method) for method in content.methods]
    known = [
        a.rank_correlation
        for a in content.agreements
        if a.rank_correlation is not None and not {a.first, a.second} <= set(CAM_FAMILY)
    ]
    if known:
        parts.append(_agreement_text(float(np.median(known))))
    if content.unexplained:
        parts.append(f"{plural(content.unexplained, 'further probe')} not explained, by --budget")
    text = "; ".join(part for part in parts if part)
    return f"{text[:1].upper()}{text[1:]}."


def _agreement_text(correlation: float) -> str:
    """Say how far the methods' maps agree, by their median rank correlation."""
    degree = (
        "agree" if correlation >= 0.6 else "agree in part" if correlation >= 0.3 else "hardly agree"
    )
    return f"the methods' maps {degree} (median rank correlation {correlation:.2f})"


def _of_method(content: RelevanceContent, method: MethodFacts) -> str:
    maps = [one for one in content.maps if one.method == method.name]
    if not maps:
        return ""
    if method.passes_sanity is False:
        return f"{method.title} fails the sanity check: its maps hardly depend on the weights"
    flat = sum(one.verdict == "flat" for one in maps)
    supported = sum(one.verdict == "supported" for one in maps)
    some = f", {flat} flat" if flat else ""
    if supported == 0 and flat == len(maps):
        place = "step" if content.series else "pixel"
        why = "nothing in its layer speaks for" if method.layer else f"no {place} has an effect on"
        return f"{method.title} is flat on every probe: {why} what is explained"
    return f"{method.title} is supported on {supported} of {len(maps)} maps{some}"
