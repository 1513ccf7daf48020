"""What the decisions rest on, and whether the pictures may be believed."""

from __future__ import annotations

from typing import Literal

import msgspec

from reportgen.report.leaves import Figure

Role = Literal["predicted", "true", "asked"]
Verdict = Literal[
    "supported",
    "weak",
    "no better than chance",
    "flat",
    "fails the sanity check",
    "cannot be told",
]
Baseline = Literal["black", "blur", "border", "mean"]


class TargetFacts(msgspec.Struct, frozen=True):
    """What a map explains.

    Attributes:
        output: name of the output.
        index: of the class or unit; None for a whole output.
        name: of the class, or of the number that is explained.
        role: ``predicted``, ``true`` (the label, where it differs) or ``asked`` (``--target``).
        score: of the probe, as deletion and insertion read it: a probability where there is one.
        probability: whether it is one.
        region: part of the picture whose pixels are explained together, for a mask.
    """

    output: str
    index: int | None
    name: str
    role: Role
    score: float | None
    probability: bool = False
    region: float | None = None


class Peak(msgspec.Struct, frozen=True):
    """The most relevant place, as fractions of the image from its upper left corner."""

    x: float
    y: float


class Evidence(msgspec.Struct, frozen=True):
    """Deletion and insertion beside chance (Petsiuk et al. 2018), in the units of the target's score.

    Attributes:
        deletion: area under the score while the most relevant cells are hidden by the baseline; small is good.
        insertion: area under the score while they appear on the baseline; large is good.
        random_deletion: mean over random orders of the same cells.
        random_insertion: likewise.
        random_advantage: what random orders reach in the mean, insertion minus deletion: 0 by symmetry.
        random_spread: standard deviation of it.
        advantage: insertion minus deletion.
        needed: what the advantage has to exceed to beat chance.
        average_drop: part of the score that is lost where the image is faded by the map; None where the
            score is not positive.
        deletion_curve: score with the parts ``steps`` of the cells changed; as the others.
        middle_advantage: of a blob in the middle of the image, which knows no network; None where the map does
            not beat chance.
        middle_needed: what the advantage has to exceed to beat the middle; of a map that does not, the least
            that it can be by what was tried until that was certain.
        moved_advantages: of copies of the map: mirrored left to right, and upside down; empty where the map
            is not supported.
        steps: parts of the cells, from 0 to 1; empty in reports before 1.3: 0, 0.1 … 1.
        cells: rows and columns of the grid of cells, the same for all methods; None in reports before 1.3.
    """

    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float
    random_advantage: float
    random_spread: float
    advantage: float
    needed: float
    average_drop: float | None
    deletion_curve: tuple[float, ...]
    insertion_curve: tuple[float, ...]
    random_curve: tuple[float, ...]
    random_insertion_curve: tuple[float, ...]
    middle_advantage: float | None = None
    middle_needed: float | None = None
    moved_advantages: tuple[float, ...] = ()
    steps: tuple[float, ...] = ()
    cells: tuple[int, int] | None = None


class RelevanceMap(msgspec.Struct, frozen=True):
    """One method's map of one probe for one target.

    Attributes:
        probe: index of the probe.
        name: of the probe.
        method: name of the method.
        overlay: the map over the image; None for a flat one.
        alone: the map by itself, on its own grid.
        grid: rows and columns of the map as computed.
        peak: None for a flat map.
        raw_maximum: largest value before anything was scaled.
        raw_minimum: least value.
        full_colour: value at which the colours are full (99.5th percentile of the magnitudes where the map has
            pixels, else the largest); of the least for signed maps its negative.
        gini: sparseness of the magnitudes, 0 (even) to 1 (one place).
        in_tenth: share of the positive relevance within the most relevant tenth of the pixels.
        completeness_error: of integrated gradients, sum of the map minus the change of the score from black.
        completeness_share: its magnitude as a part of the change's.
        evidence: None for a flat map and where it was left out.
        verdict: None where the evidence was left out; ``weak`` where it beats chance but not the middle of the
            image; ``cannot be told`` where scores of the changed images are NaN or infinite.
        baseline: what hides parts of this image, and what integrated gradients start from: ``black``, the
            ``blur``red image, the colour of its ``border`` or its ``mean`` colour; None in reports before 1.3.
    """

    probe: int
    name: str
    target: TargetFacts
    method: str
    verdict: Verdict | None
    peak: Peak | None
    raw_maximum: float | None
    raw_minimum: float | None
    grid: tuple[int, int]
    overlay: Figure | None = None
    alone: Figure | None = None
    full_colour: float | None = None
    gini: float | None = None
    in_tenth: float | None = None
    completeness_error: float | None = None
    completeness_share: float | None = None
    evidence: Evidence | None = None
    baseline: Baseline | None = None


class SanityStage(msgspec.Struct, frozen=True):
    """One stage of the randomisation test, mean over the probes; None where no map was left.

    Attributes:
        layers: how many layers have random weights.
        down_to: path of the one farthest from the output.
        rank_correlation: Spearman's, with the map of the trained weights.
        similarity: SSIM with it.
        magnitude_correlation: rank correlation of the magnitudes alone, of signed maps.
    """

    layers: int
    down_to: str
    rank_correlation: float | None
    similarity: float | None
    magnitude_correlation: float | None = None


class MethodFacts(msgspec.Struct, frozen=True):
    """A method as it was run.

    Attributes:
        layer: the call whose features it weighs, None for the others.
        grid: rows and columns of its maps.
        samples: passes an image.
        stages: of the randomisation test; empty where it was left out.
        passes_sanity: whether the maps change with the weights; None where it was not tested.
    """

    name: str
    title: str
    source: str
    signed: bool
    layer: str | None
    grid: tuple[int, int] | None
    samples: int
    stages: tuple[SanityStage, ...] = ()
    passes_sanity: bool | None = None


class Agreement(msgspec.Struct, frozen=True):
    """Rank correlation of two methods' maps of one probe and target, on the coarser of their grids."""

    probe: int
    target: str
    first: str
    second: str
    rank_correlation: float | None


class Contrast(msgspec.Struct, frozen=True):
    """A map of the first class minus that of the second, where the network hesitates.

    Attributes:
        probe: index of the probe.
        probabilities: of the two classes.
    """

    probe: int
    name: str
    method: str
    first: str
    second: str
    probabilities: tuple[float, float]
    overlay: Figure
    peak: Peak


class AttentionLayer(msgspec.Struct, frozen=True):
    """Mean attention distance of every head, over the probes, as a part of the image's diagonal."""

    call: str
    distances: tuple[float | None, ...]


class RelevanceContent(msgspec.Struct, frozen=True, tag="relevance"):
    """The maps, with the evidence for them.

    Attributes:
        output: name of the explained output.
        methods: in the order of the columns.
        maps: every map; probes on which the methods disagree most come first, a probe's targets together.
        baseline: what parts of the images are hidden by, in words.
        quick: whether the evidence and all but the CAM family were left out.
        seed: of random maps, noise and randomised weights.
        unexplained: how many probes ``--budget`` left no time for.
        series: whether series are explained: maps are one row, of steps.
    """

    output: str
    methods: tuple[MethodFacts, ...]
    maps: tuple[RelevanceMap, ...]
    agreements: tuple[Agreement, ...]
    contrasts: tuple[Contrast, ...]
    attention: tuple[AttentionLayer, ...]
    baseline: str
    quick: bool
    seed: int
    series: bool = False
    unexplained: int = 0
