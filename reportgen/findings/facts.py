"""What a rule may look at, and what it gives back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from reportgen.network.samples import IMAGE
from reportgen.report.content.activations import ActivationsContent
from reportgen.report.content.architecture import ArchitectureContent
from reportgen.report.content.evaluation import EvaluationContent
from reportgen.report.content.history import HistoryContent
from reportgen.report.content.overview import OverviewContent
from reportgen.report.content.probes import ProbesContent
from reportgen.report.content.weights import WeightsContent
from reportgen.report.findings import Where

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reportgen.network.samples import Sample
    from reportgen.report.findings import Severity
    from reportgen.report.model import Section

DEFAULTS: dict[str, float] = {
    "kernel-at-initialisation": 0.045,
    "moving-variance": 0.10,
    "zero-filters": 0.10,
    "duplicate-filters": 0.10,
    "near-zero-filters": 0.05,
    "dominant-weight": 0.5,
    "scale-out-of-line": 100.0,
    "bias-out-of-line": 100.0,
    "int8-friendliness": 20.0,
    "head-rank": 1.5,
    "units-cannot-fire": 0.10,
    "silent-units": 0.5,
    "saturated-units": 0.01,
    "activation-growth": 1000.0,
    "input-range": 2.5,
    "channel-order": 0.6,
    "confidently-wrong": 0.95,
    "over-confident-head": 50.0,
    "parameters-in-one-layer": 0.8,
    "overfitting": 0.10,
    "generalisation-gap": 0.10,
    "underfitting": 0.05,
    "plateau": 0.02,
    "noisy-validation": 0.10,
    "miscalibrated": 0.10,
    "imbalance": 10.0,
}
"""Every threshold that ``[tool.reportgen.thresholds]`` may change, by rule."""


class Facts(NamedTuple):
    """The sections' content, None where a section is missing.

    Attributes:
        thresholds: by rule.
    """

    overview: OverviewContent | None
    architecture: ArchitectureContent | None
    weights: WeightsContent | None
    probes: ProbesContent | None
    activations: ActivationsContent | None
    thresholds: Mapping[str, float]
    history: HistoryContent | None = None
    evaluation: EvaluationContent | None = None

    @property
    def sample(self) -> Sample:
        """What the network's inputs are called."""
        return self.overview.sample if self.overview is not None else IMAGE


class Hit(NamedTuple):
    """One thing that a rule found; ``severity`` overrides the rule's."""

    observed: str
    where: Where = Where()
    severity: Severity | None = None


class NotJudged(NamedTuple):
    """Why a rule does not apply."""

    reason: str


Judgement = list[Hit] | NotJudged


class Rule(NamedTuple):
    """A check.

    Attributes:
        id: stable, in kebab case.
        threshold: in words; ``{limit}`` stands for the threshold's value. In this and the other texts
            ``{image}`` and ``{images}`` stand for what the network's inputs are called.
    """

    id: str
    title: str
    severity: Severity
    judge: Callable[[Facts], Judgement]
    threshold: str
    why: str
    action: str
    source: str


def make_facts(sections: Sequence[Section], thresholds: Mapping[str, float]) -> Facts:
    """Return the facts in ``sections``, with defaults for thresholds that are not given."""
    contents = [section.content for section in sections]

    return Facts(
        overview=next((c for c in contents if isinstance(c, OverviewContent)), None),
        architecture=next((c for c in contents if isinstance(c, ArchitectureContent)), None),
        weights=next((c for c in contents if isinstance(c, WeightsContent)), None),
        probes=next((c for c in contents if isinstance(c, ProbesContent)), None),
        activations=next((c for c in contents if isinstance(c, ActivationsContent)), None),
        thresholds={**DEFAULTS, **thresholds},
        history=next((c for c in contents if isinstance(c, HistoryContent)), None),
        evaluation=next((c for c in contents if isinstance(c, EvaluationContent)), None),
    )


NO_WEIGHTS = NotJudged("the section Weights is missing")
NO_PROBES = NotJudged("no probes were run")
NO_ACTIVATIONS = NotJudged("no activations were measured")
NO_ARCHITECTURE = NotJudged("the section Architecture is missing")


def channels_of(layer: str, listed: tuple[int, ...], count: int, variable: str = "") -> Where:
    """Return the place of ``count`` channels, of which the first are listed."""
    return Where(layer, variable, listed, more=count - len(listed))


def head_of(facts: Facts, output: str | None = None) -> Where:
    """Return the layer that makes an output, the first without a name."""
    known = facts.overview.outputs if facts.overview else ()
    layer = next((one.layer for one in known if output in {None, one.name}), None)
    return Where(layer=layer or "")


def all_are(what: str, count: int) -> str:
    """Return ``all 3 values are zero``, or ``its one value is zero``."""
    return f"its one value is {what}" if count == 1 else f"all {count:,} values are {what}"
