"""The parameter-randomisation test: does a method's map change with the weights (Adebayo et al. 2018)?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reportgen.sections.relevance.evidence import rank_correlation, structural_similarity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.network.protocol import Passes
    from reportgen.sections.relevance.methods import Map, Method, Question

STAGES = 5
"""Of the cascade from the last layer to all of them, which ``--full`` follows; all of them alone decide."""
PROBES = 3
"""Probes that are followed one by one until the maps of one can be compared: random weights may leave a map
constant. One tells: of 96 maps of four healthy networks none resembled the trained one by more than 0.66."""
DRAWS = 3
"""Draws of all weights that the last stage is the mean of where the first one still resembles: by chance?"""
UNMOVED = 0.7
"""A method whose maps with all weights random still correlate so with the trained ones does not react to the
weights; ``benchmarks/relevance_alarms.py`` measures what healthy methods reach."""

FEWEST_CELLS = 12
"""On coarser grids maps resemble each other by chance, and the test says nothing."""


class Stage(NamedTuple):
    """How far one method's maps have moved at one stage.

    Attributes:
        layers: that have random weights so far.
        down_to: path of the last one.
        rank_correlation: mean over the questions; a constant map resembles nothing and counts 0.
        similarity: mean SSIM, likewise.
        magnitude: rank correlation of the magnitudes, likewise: of a signed map the place alone.
        comparable: share of the maps that are neither constant nor broken with random weights.
    """

    layers: int
    down_to: str
    rank_correlation: float
    similarity: float
    magnitude: float = 0.0
    comparable: float = 1.0


def passes_needed(methods: Sequence[Method], questions: int, stages: int = 1) -> int:
    """Return how many passes the test takes, without the further draws that some maps need."""
    return (1 + stages) * questions * sum(method.sanity_samples for method in methods)


def randomisation_test(
    passes: Passes,
    methods: Sequence[Method],
    questions: Sequence[Question],
    seed: int,
    stages: int = STAGES,
) -> dict[str, list[Stage]]:
    """Randomise the weights from the output down and follow every method's maps.

    Returns:
        The stages by method, from the last layer alone to all layers; of one stage that of all layers.
    """
    trained = {m.name: _maps(passes, m, questions, seed) for m in methods}
    found: dict[str, list[Stage]] = {method.name: [] for method in methods}
    layers, deepest = 0, ""
    moved: dict[str, list[tuple[float, ...]]] = {method.name: [] for method in methods}
    redraws = iter(range(DRAWS - 1))

    def resembles() -> bool:
        unmoved = any(some[-1].rank_correlation >= UNMOVED for some in found.values())
        return unmoved and next(redraws, None) is not None

    with passes.randomised(stages, seed, resembles) as cascade:
        for paths in cascade:
            layers, deepest = layers + len(paths), paths[-1] if paths else deepest
            for method in methods:
                if paths:
                    moved[method.name] = []
                pairs = zip(
                    trained[method.name], _maps(passes, method, questions, seed), strict=True
                )
                moved[method.name] += [_resemblance(before, after) for before, after in pairs]
                means = (float(np.mean(column)) for column in zip(*moved[method.name], strict=True))
                stage = Stage(layers, deepest, *means)
                found[method.name] = [*found[method.name][: None if paths else -1], stage]
    return found


def _maps(passes: Passes, method: Method, questions: Sequence[Question], seed: int) -> list[Map]:
    return list(method.run(passes, questions, method.sanity_samples, seed))


def _resemblance(before: Map, after: Map) -> tuple[float, ...]:
    """Return rank correlation, SSIM, rank correlation of the magnitudes, and whether they can be compared."""
    a, b = before.values, after.values
    if not np.isfinite(b).all() or b.max() == b.min():
        return 0.0, 0.0, 0.0, 0.0
    found = (
        rank_correlation(a, b),
        structural_similarity(a, b),
        rank_correlation(np.abs(a), np.abs(b)),
    )
    known = [value for value in found if value is not None]
    return (*known, 1.0) if len(known) == len(found) else (0.0, 0.0, 0.0, 0.0)


def can_be_compared(stages: Sequence[Stage]) -> bool:
    """Return whether enough maps were neither constant nor broken once all weights were random."""
    return stages[-1].comparable >= 1 / 3


def reacts(stages: Sequence[Stage], cells: int) -> bool | None:
    """Return whether the maps changed once all weights were random; None where that cannot be told.

    Signed maps are compared with their signs, as they are shown.

    Args:
        stages: of one method.
        cells: of its maps.
    """
    if not stages or cells < FEWEST_CELLS or not can_be_compared(stages):
        return None
    return stages[-1].rank_correlation < UNMOVED
