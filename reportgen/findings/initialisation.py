"""Rules about what training left as it was created.

False-alarm rates are those that ``benchmarks/false_alarms.py`` measures; see ``findings.weights``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reportgen.findings.facts import NO_WEIGHTS, Hit, NotJudged, Rule, all_are
from reportgen.report.findings import Where
from reportgen.wording import plural

if TYPE_CHECKING:
    from reportgen.findings.facts import Facts, Judgement
    from reportgen.report.content.weights import Variable

LEAST_FOR_WARNING = 200
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
    max(``limit``, 2.2/√n) to the declared initializer, or under 1.63/√n to another standard one. Of fewer
    than 5,000 values a trained kernel can look so by chance: only the declared one counts, and not where
    what is trained with it has moved.

    Args:
        variable: a kernel or embeddings.
        limit: the rule's threshold.
        moved: whether its bias, or the normalisation behind it, is not as it was created.
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
    return fit.distance < _ONE_IN_100 / root and variable.count >= ALONE


def as_declared(facts: Facts) -> set[str]:
    """Return the paths of the kernels that still are what their layers declare to start with."""
    if facts.weights is None:
        return set()
    limit, moved = facts.thresholds["kernel-at-initialisation"], moved_layers(facts)
    return {
        v.path
        for v in facts.weights.variables
        if v.health
        and v.health.initial
        and v.health.initial.declared
        and is_fresh(v, limit, moved=v.layer in moved)
    }


def moved_layers(facts: Facts) -> set[str]:
    """Return the layers whose bias is not as it was created.

    All zero or, in an LSTM, of zeros and ones. For a layer without a bias the normalisation that follows it in
    the order of the layers says as much: γ of ones, β of zeros.
    """
    layers: dict[str, list[Variable]] = {}
    for v in facts.weights.variables if facts.weights else ():
        layers.setdefault(v.layer, []).append(v)
    names = list(layers)
    found = set()
    for name, follower in zip(names, [*names[1:], ""], strict=True):
        told = [v for v in layers[name] if v.role == "bias"]
        told = told or [v for v in layers.get(follower, ()) if v.role in {"gamma", "beta"}]
        if any(_moved(v) for v in told if v.initializer in {None, "zeros", "ones", "constant"}):
            found.add(name)
    return found


def _moved(variable: Variable) -> bool:
    if variable.min == variable.max:
        return variable.min not in {0, 1} and variable.initializer != "constant"
    ones = variable.count - variable.zeros
    binary = variable.min == 0 and variable.max == 1
    return not (binary and abs((variable.l2 or 0) ** 2 - ones) < 1e-3 * ones)


def kernel_at_initialisation(facts: Facts) -> Judgement:
    """Find kernels still at their initialisation: a warning from 200 values on, information from 100.

    Of 291 trained kernels of 200 to 8,192 values in 103 small networks that learned, and of 298 in 12
    published ones, none is warned of, and of those with 100 to 199 values none is mentioned; all of 306 and
    310 fresh ones of 200 values or more are found. What is missed: a kernel under 5,000 values that was
    drawn anew from a normal distribution beside a bias or normalisation that moved. Where all of four or more
    are fresh, the network was never trained: one finding.
    """
    if facts.weights is None:
        return NO_WEIGHTS
    judged = [v for v in facts.weights.variables if v.health and v.health.initial]
    if not judged:
        return NotJudged("no kernel has the 100 values that the test needs")
    limit = facts.thresholds["kernel-at-initialisation"]
    moved = moved_layers(facts)
    hits = []
    for v in judged:
        fit = v.health.initial if v.health else None
        if fit is not None and is_fresh(v, limit, moved=v.layer in moved):
            text = (
                f"distance {fit.distance:.3f} to {fit.initializer} over {plural(fit.sample, 'value')}, "
                + ("all where its generator puts them" if fit.drawn else "none outside its support")
            )
            hits.append(Hit(text, _at(v), "warning" if v.count >= LEAST_FOR_WARNING else "info"))
    warned = [hit for hit in hits if hit.severity == "warning"]
    if warned and len(hits) == len(judged) >= LEAST_OF_A_KIND:
        return [Hit(f"all {len(hits)} kernels: the network was never trained, or never loaded")]
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
            f"{all_are('zero', v.count)}, its kernel is not as initialised",
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
    paths = {row.path for row in facts.architecture.layers}
    sources = {
        source
        for row in facts.architecture.layers
        if "Normalization" in row.class_name
        for source in row.sources
    }
    # A further call is called path#2, and # is legal in a layer's own name.
    return {source if source in paths else source.rpartition("#")[0] for source in sources}


RULES = (
    Rule(
        "kernel-at-initialisation", "A kernel is still at its initialisation", "warning",
        kernel_at_initialisation,
        "off the places that a uniform generator draws; and a value outside of the support, or a Kolmogorov-"
        "Smirnov distance of at least max({limit}, 2.2/√n) to the declared initializer and 1.63/√n to standard "
        "ones, or, under 5,000 values, a bias or normalisation that moved",
        "The layer computes with random weights: it was not trained, or not loaded.",
        "Check that it is trainable and gets a gradient, and that all weights were loaded.",
        "Massey (1951); rates measured on trained and fresh kernels",
    ),
    Rule(
        "bias-at-initial-value", "A bias was never trained", "warning", bias_at_initial_value,
        "a trainable bias beside a trained kernel is not all zero",
        "It gets no gradient: frozen, or without effect.",
        "Leave it out (use_bias=False) or find out why nothing reaches it.",
        "Amazon SageMaker Debugger, rule UnchangedTensor",
    ),
)  # fmt: skip
"""All rules about what never moved."""
