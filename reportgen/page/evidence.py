"""The evidence for a relevance map: one sentence that a reviewer understands, and its curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.report.content.relevance import Evidence, MethodFacts, RelevanceMap

CURVE_WIDTH, CURVE_HEIGHT = 200, 64
MOODS = {
    "supported": "good",
    "weak": "note",
    "no better than chance": "warn",
    "flat": "note",
    "fails the sanity check": "bad",
    "cannot be told": "note",
}
"""How each verdict on a map is marked."""


class Curves(NamedTuple):
    """Deletion and insertion beside random orders, as SVG paths in a box of 200 by 64 on one axis.

    Attributes:
        low: score at the bottom.
        high: score at the top.
    """

    deletion: str
    insertion: str
    random_deletion: str
    random_insertion: str
    low: float
    high: float


def evidence_sentence(one: RelevanceMap, method: MethodFacts, *, series: bool = False) -> str:
    """Return what the evidence says about a map, for a reader who does not know deletion and insertion.

    Args:
        one: the map.
        method: that made it.
        series: whether steps of a series are hidden, in place of areas of a picture.
    """
    areas, whole = ("steps", "series") if series else ("areas", "picture")
    match one.verdict:
        case "supported":
            return (
                f"Hiding these {areas} lowers the score faster than hiding random ones or the middle of "
                f"the {whole}."
            )
        case "weak":
            return (
                f"Hiding these {areas} lowers the score faster than hiding random ones, but not clearly faster "
                f"than hiding the middle of the {whole}."
            )
        case "no better than chance":
            return f"Hiding these {areas} lowers the score no faster than hiding random ones."
        case "fails the sanity check":
            return "The map stays the same when the network's weights are random."
        case "cannot be told":
            return "The scores of the changed images do not allow a verdict."
        case "flat":
            return _why_flat(one, method, whole)
        case _:
            return "This map was not tested."


def _why_flat(one: RelevanceMap, method: MethodFacts, whole: str) -> str:
    if one.raw_maximum is None:
        return "There is no map: its values are NaN or infinite."
    if method.name == "rollout":
        return "There is nothing to see: attention is the same everywhere."
    if method.layer:
        return "There is nothing to see: no feature of this layer speaks for this result."
    return f"There is nothing to see: the score does not depend on the {whole}."


def evidence_curves(evidence: Evidence) -> Curves:
    """Return the curves of a map's evidence, drawn over ``evidence.steps``."""
    groups = (
        evidence.deletion_curve,
        evidence.insertion_curve,
        evidence.random_curve,
        evidence.random_insertion_curve,
    )
    values = [value for group in groups for value in group]
    low, high = min([*values, 0.0]), max(values, default=1.0)
    a, b, c, d = (score_curve(group, low, high, evidence.steps) for group in groups)
    return Curves(a, b, c, d, low, high)


def score_curve(
    values: Sequence[float | None], low: float, high: float, steps: Sequence[float] = ()
) -> str:
    """Return values as an SVG path in a box of 200 by 64; None breaks the line.

    Args:
        values: from left to right.
        low: value at the bottom.
        high: value at the top.
        steps: where each value stands, from 0 to 1; empty for equal steps.
    """
    span = (high - low) or 1.0
    last = max(len(values) - 1, 1)
    places = steps if len(steps) == len(values) else [index / last for index in range(len(values))]
    parts, begun = [], False
    for place, value in zip(places, values, strict=True):
        if value is not None:
            y = CURVE_HEIGHT * (1 - (value - low) / span)
            parts.append(f"{'L' if begun else 'M'}{place * CURVE_WIDTH:.1f} {y:.1f}")
        begun = value is not None
    return "".join(parts)
