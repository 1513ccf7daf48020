"""Rules about what training left as it was created.

False-alarm rates are those that ``benchmarks/false_alarms.py`` measures; see ``findings.weights``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reportgen.findings.facts import NO_WEIGHTS, Hit, NotJudged, Rule, plural
from reportgen.report.findings import Where

if TYPE_CHECKING:
    from reportgen.findings.facts import Facts, Judgement
    from reportgen.report.content.weights import Variable

LEAST_FOR_WARNING = 200
LEAST_ALIKE = 1_000
LEAST_OF_A_KIND = 4
ALONE = 5_000
"""Values from which a kernel's distribution counts even beside a bias that moved."""
_ONE_IN_8000 = 2.2
"""Kolmogorov-Smirnov distance times √n that one fresh kernel of 8,000 exceeds (Massey, 1951)."""
_ONE_IN_100 = 1.63


def _at(variable: Variable) -> Where:
    return Where(layer=variable.layer, variable=variable.path)


def is_fresh(variable: Variable, limit: float, *, moved: bool) -> bool:
    """Return whether a kernel's values are still those of an initializer.

    Certain where they stand on the places that a uniform generator draws from: every step of training
    takes them off. Else no value may lie outside of the support, and the distance must be under
    max(``limit``, 2.2/√n) to the declared initializer, or under 1.63/√n to another standard one, which of
    fewer than 1,000 values counts only where none is declared. Of fewer than 5,000 values a trained kernel
    can look so by chance: a bias of its layer that moved says that it was trained.

    Args:
        variable: a kernel or embeddings.
        limit: the rule's threshold.
        moved: whether the layer has a bias that is not as it was created.
    """
    fit = variable.health.initial if variable.health else None
    if fit is None:
        return False
    if fit.drawn:
        return True
    if fit.outside or (moved and variable.count < ALONE):
        return False
    root = math.sqrt(fit.sample)
    if fit.declared:
        return fit.distance < max(limit, _ONE_IN_8000 / root)
    told = variable.initializer is not None
    return fit.distance < _ONE_IN_100 / root and not (told and variable.count < LEAST_ALIKE)


def moved_biases(facts: Facts) -> set[str]:
    """Return the layers with a bias that is not as it was created: all zero, or of zeros and ones (LSTM)."""
    return {
        v.layer
        for v in (facts.weights.variables if facts.weights else ())
        if v.role == "bias" and v.initializer in {None, "zeros", "ones", "constant"} and _moved(v)
    }


def _moved(bias: Variable) -> bool:
    if bias.min == bias.max:
        return False
    ones = bias.count - bias.zeros
    binary = bias.min == 0 and bias.max == 1 and abs((bias.l2 or 0) ** 2 - ones) < 1e-3
    return not binary


def kernel_at_initialisation(facts: Facts) -> Judgement:
    """Find kernels still at their initialisation: a warning from 200 values on, information from 100.

    RATES
    """
    if facts.weights is None:
        return NO_WEIGHTS
    judged = [v for v in facts.weights.variables if v.health and v.health.initial]
    if not judged:
        return NotJudged("no kernel has the 100 values that the test needs")
    limit = facts.thresholds["kernel-at-initialisation"]
    moved = moved_biases(facts)
    hits = []
    for v in judged:
        fit = v.health.initial if v.health else None
        if fit is not None and is_fresh(v, limit, moved=v.layer in moved):
            text = (
                f"distance {fit.distance:.3f} to {fit.initializer} over {plural(fit.sample, 'value')}, "
                + ("all where its generator puts them" if fit.drawn else "none outside its support")
            )
            hits.append(Hit(text, _at(v), "warning" if v.count >= LEAST_FOR_WARNING else "info"))
    return hits


def bias_at_initial_value(facts: Facts) -> Judgement:
    """Find biases that are exactly zero beside a trained kernel; a fact.

    A bias in front of a BatchNormalization gets no gradient and is left out, and so is one beside a kernel
    of fewer than 100 values, of which nothing is said. Where all biases of a layer class are zero, of four
    or more, the class was trained without and the file's writer added them: information. (26 depthwise
    convolutions of one published network; the other 11 trained networks have none.)
    """
    if facts.weights is None:
        return NO_WEIGHTS
    limit = facts.thresholds["kernel-at-initialisation"]
    normalised = _in_front_of_normalisation(facts)
    trained = {
        v.layer
        for v in facts.weights.variables
        if v.role == "kernel"
        and v.trainable
        and v.health
        and v.health.initial
        and not is_fresh(v, limit, moved=False)
    }
    biases = [v for v in facts.weights.variables if v.role == "bias" and v.trainable]
    if not biases:
        return NotJudged("there is no trainable bias")
    kinds: dict[str, list[bool]] = {}
    for v in biases:
        kinds.setdefault(v.layer_class, []).append(v.zeros == v.count)
    added = {kind for kind, zero in kinds.items() if all(zero) and len(zero) >= LEAST_OF_A_KIND}
    return [
        Hit(
            f"all {plural(v.count, 'value')} are zero, its kernel is not as initialised",
            _at(v),
            "info" if v.layer_class in added else "warning",
        )
        for v in biases
        if v.zeros == v.count
        and v.layer in trained
        and v.layer not in normalised
        and v.initializer in {None, "zeros"}
    ]


def _in_front_of_normalisation(facts: Facts) -> set[str]:
    if facts.architecture is None:
        return set()
    return {
        source.partition("#")[0]
        for row in facts.architecture.layers
        if "Normalization" in row.class_name
        for source in row.sources
    }


RULES = (
    Rule(
        "kernel-at-initialisation", "A kernel is still at its initialisation", "warning",
        kernel_at_initialisation,
        "off the places that a uniform generator draws; and a value outside of the support, or a Kolmogorov-"
        "Smirnov distance of at least max({limit}, 2.2/√n) to the declared initializer and 1.63/√n to other "
        "standard ones, or, under 5,000 values, a bias that moved",
        "The layer computes with random weights: it was not trained, or not loaded.",
        "Check that it is trainable and gets a gradient, and that all weights were loaded.",
        "Massey (1951); rates measured on trained and fresh kernels",
    ),
    Rule(
        "bias-at-initial-value", "A bias never moved", "warning", bias_at_initial_value,
        "a trainable bias beside a trained kernel is not all zero",
        "It gets no gradient: frozen, or without effect.",
        "Leave it out (use_bias=False) or find out why nothing reaches it.",
        "Amazon SageMaker Debugger, rule UnchangedTensor",
    ),
)  # fmt: skip
"""All rules about what never moved."""
