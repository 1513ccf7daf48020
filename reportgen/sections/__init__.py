"""THE list of sections, in the order of the page."""

from __future__ import annotations

from reportgen.sections.activations.section import SECTION as ACTIVATIONS
from reportgen.sections.architecture.section import SECTION as ARCHITECTURE
from reportgen.sections.evaluation.section import SECTION as EVALUATION
from reportgen.sections.features.section import SECTION as FEATURES
from reportgen.sections.history.section import SECTION as HISTORY
from reportgen.sections.overview.section import SECTION as OVERVIEW
from reportgen.sections.probes.section import SECTION as PROBES
from reportgen.sections.relevance.section import SECTION as RELEVANCE
from reportgen.sections.weights.section import SECTION as WEIGHTS

SECTIONS = (
    OVERVIEW,
    EVALUATION,
    ARCHITECTURE,
    WEIGHTS,
    PROBES,
    ACTIVATIONS,
    RELEVANCE,
    FEATURES,
    HISTORY,
)
