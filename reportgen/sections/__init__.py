"""THE list of sections, in the order of the page."""

from __future__ import annotations

from reportgen.sections import (
    activations,
    architecture,
    evaluation,
    features,
    history,
    overview,
    probes,
    relevance,
    weights,
)

SECTIONS = (
    overview.SECTION,
    evaluation.SECTION,
    architecture.SECTION,
    weights.SECTION,
    probes.SECTION,
    activations.SECTION,
    relevance.SECTION,
    features.SECTION,
    history.SECTION,
)
