"""Rules about the heads: what the loss takes and what they give."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from reportgen.findings.facts import Hit, NotJudged, Rule, head_of

if TYPE_CHECKING:
    from reportgen.findings.facts import Facts, Judgement
    from reportgen.network.facts import OutputFacts

_NO_OVERVIEW = NotJudged("the section Overview is missing")
_SQUASHED = frozenset({"softmax", "sigmoid"})


def loss_against_head(facts: Facts) -> Judgement:
    """Find a crossentropy that takes logits of a head with a softmax, or probabilities of one without."""
    if facts.overview is None:
        return _NO_OVERVIEW
    outputs = [output for output in facts.overview.outputs if output.from_logits is not None]
    if not outputs:
        return NotJudged("no output has a crossentropy that says what it takes")
    return [hit for output in outputs for hit in _mismatch(facts, output)]


def _mismatch(facts: Facts, output: OutputFacts) -> list[Hit]:
    where = head_of(facts, output.name)
    if output.from_logits and output.distribution:
        said = f"{output.loss} takes logits (from_logits=True), the outputs are probabilities"
        return [Hit(said, where)]
    if output.from_logits and output.activation in _SQUASHED:
        said = (
            f"{output.loss} takes logits (from_logits=True), the head ends in a {output.activation}; Keras "
            "reads the values before it and warns, other code does not"
        )
        return [Hit(said, where, severity="info")]
    if not output.from_logits and output.activation == "linear" and not output.distribution:
        said = f"{output.loss} takes probabilities (from_logits=False), the head has no activation"
        return [Hit(said, where)]
    return []


def one_class_softmax(facts: Facts) -> Judgement:
    """Find a softmax over a single unit."""
    if facts.overview is None:
        return _NO_OVERVIEW
    heads = [output for output in facts.overview.outputs if output.activation == "softmax"]
    if not heads:
        return NotJudged("no output ends in a softmax")
    return [
        Hit(f"{_units(output)}: always 1, whatever the input", head_of(facts, output.name))
        for output in heads
        if output.always_one
    ]


def _units(output: OutputFacts) -> str:
    count = prod(size or 1 for size in output.shape[1:])
    return "one unit" if count == 1 else f"{count} units, a softmax over each alone"


RULES = (
    Rule(
        "one-class-softmax", "A softmax runs over one unit", "error", one_class_softmax,
        "two units or more under a softmax",
        "The output is always 1 and has no gradient: nothing can be learned.",
        "Use a sigmoid for one unit, or one unit a class.",
        "by definition",
    ),
    Rule(
        "loss-against-head", "The loss does not fit the head", "warning", loss_against_head,
        "logits into a loss with from_logits=True, probabilities into one without",
        "A second softmax flattens the loss; a loss of probabilities cuts logits off at 0 and 1.",
        "Give the head its softmax or sigmoid, or the loss from_logits=True, not both.",
        "by definition",
    ),
)  # fmt: skip
"""All rules about heads."""
