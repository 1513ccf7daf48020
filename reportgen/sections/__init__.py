"""THE list of sections, in the order of the page."""

from __future__ import annotations

from reportgen.sections import overview, probes, weights

SECTIONS = (overview.SECTION, weights.SECTION, probes.SECTION)
