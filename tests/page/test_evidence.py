"""What the page says about a relevance map, and where it draws the curves."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from reportgen.page.evidence import MOODS, evidence_curves, evidence_sentence, score_curve
from reportgen.report.content.relevance import (
    Evidence,
    MethodFacts,
    RelevanceMap,
    TargetFacts,
    Verdict,
)

TARGET = TargetFacts("class", 3, "cat", "predicted", 0.9, probability=True)


def a_map(verdict, maximum=1.0):
    return RelevanceMap(0, "a.png", TARGET, "gradcam", verdict, None, maximum, 0.0, (7, 7))


def a_method(name="gradcam", layer=None):
    return MethodFacts(name, "Grad-CAM", "Selvaraju et al.", False, layer, None, 1)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (
            "supported",
            "Hiding these areas lowers the score faster than hiding random ones or the middle of the picture.",
        ),
        (
            "weak",
            (
                "Hiding these areas lowers the score faster than hiding random ones, but not clearly "
                "faster than hiding the middle of the picture."
            ),
        ),
        (
            "no better than chance",
            "Hiding these areas lowers the score no faster than hiding random ones.",
        ),
        (
            "fails the sanity check",
            "The map stays the same when the network's weights are random.",
        ),
        ("cannot be told", "The scores of the changed images do not allow a verdict."),
        (None, "This map was not tested."),
    ],
)
def test_every_verdict_is_said_in_one_sentence(verdict, expected):
    assert evidence_sentence(a_map(verdict), a_method()) == expected


def test_of_a_series_steps_are_hidden_and_no_picture_is_named():
    for verdict in get_args(Verdict):
        said = evidence_sentence(a_map(verdict), a_method(), series=True)
        assert not re.search("areas|picture", said)
    assert "these steps" in evidence_sentence(a_map("supported"), a_method(), series=True)


def test_a_flat_map_says_why_it_is_flat():
    said = {
        evidence_sentence(a_map("flat"), a_method(layer="conv")),
        evidence_sentence(a_map("flat"), a_method("rollout")),
        evidence_sentence(a_map("flat"), a_method("saliency")),
        evidence_sentence(a_map("flat", maximum=None), a_method()),
    }
    assert len(said) == 4


def test_every_verdict_has_a_mark():
    assert MOODS.keys() == set(get_args(Verdict))


def points(path):
    return [tuple(map(float, part.split())) for part in re.split("[ML]", path)[1:]]


def test_curves_stand_over_their_steps():
    """Uneven steps: what is read at a tenth of the cells is drawn at a tenth of the width."""
    evidence = Evidence(
        0.2, 0.8, 0.5, 0.5, 0.0, 0.1, 0.6, 0.2, None,
        deletion_curve=(1.0, 0.5, 0.0), insertion_curve=(0.0, 0.5, 1.0),
        random_curve=(1.0, 0.8, 0.0), random_insertion_curve=(0.0, 0.2, 1.0), steps=(0.0, 0.1, 1.0),
    )  # fmt: skip
    curves = evidence_curves(evidence)
    assert points(curves.deletion) == [(0, 0), (20, 32), (200, 64)]
    assert points(curves.insertion) == [(0, 64), (20, 32), (200, 0)]
    assert (curves.low, curves.high) == (0.0, 1.0)


def test_curves_of_older_reports_stand_over_equal_steps_and_a_gap_breaks_the_line():
    assert points(score_curve((0.0, 1.0, 0.0), 0, 1)) == [(0, 64), (100, 0), (200, 64)]
    assert score_curve((0.0, None, 1.0), 0, 1).count("M") == 2
