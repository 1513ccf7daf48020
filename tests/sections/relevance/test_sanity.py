"""The randomisation test: one probe tells, and the next one where its maps cannot be compared."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from reportgen.context import Silence
from reportgen.sections.relevance import proof
from reportgen.sections.relevance.methods import METHODS, Map, Question
from reportgen.sections.relevance.proof import Explanation, ProbeTarget
from reportgen.sections.relevance.sanity import DRAWS, reacts

SETTINGS = SimpleNamespace(full=False, seed=0)


class Weights:
    """Passes whose network is trained or random, nothing more."""

    def __init__(self):
        self.random = False
        self.asked, self.draws = [], 0

    @contextlib.contextmanager
    def randomised(self, _stages, _seed, redraw):
        def cascade():
            self.random = True
            self.draws += 1
            yield ("layer",)
            while redraw():
                self.draws += 1
                yield ()

        yield cascade()
        self.random = False


def method(constant, *, moves=True):
    """Return a method whose maps are constant with random weights for the probes ``constant``."""

    def run(passes, questions, _samples, _seed):
        for question in questions:
            probe = int(question.pixels[0, 0])
            passes.asked.append((probe, passes.random))
            rng = np.random.default_rng((probe, passes.random and moves))
            values = rng.random((8, 8))
            yield Map(np.ones((8, 8)) if passes.random and probe in constant else values, 1.0)

    return METHODS[0]._replace(run=run)


def made(some, flat=()):
    found = []
    for probe in range(4):
        image = np.full((8, 8), probe, np.float32)
        question = Question({"image": image}, "image", None, np.zeros((8, 8), np.float32))
        target = ProbeTarget(probe, None, question, np.ones(1))
        found.append(Explanation(target, some, Map(image, 1.0), flat=probe in flat))
    return found


@pytest.mark.parametrize(
    ("constant", "flat", "followed", "told"),
    [
        ((), (), [0], True),
        ((), (0,), [1], True),
        ((0, 1), (), [0, 1, 2], True),
        ((0, 1, 2, 3), (), [0, 1, 2], None),
    ],
)
def test_the_first_probe_whose_maps_can_be_compared_tells(constant, flat, followed, told):
    passes, notices = Weights(), []
    maps = made(method(constant), flat)
    found = proof.test_weights(passes, maps, SETTINGS, Silence(), notices)
    (stages,) = found.values()
    assert [probe for probe, random in passes.asked if not random] == followed
    assert reacts(stages, 64) is told
    assert passes.draws == len(followed), "maps that have moved need no further draw"
    assert not notices


def test_a_method_that_does_not_look_at_the_weights_fails_on_one_probe():
    passes = Weights()
    ((stage,),) = proof.test_weights(
        passes, made(method((), moves=False)), SETTINGS, Silence(), []
    ).values()
    assert stage.rank_correlation == pytest.approx(1)
    assert reacts([stage], 64) is False
    assert {probe for probe, _ in passes.asked} == {0}
    assert passes.draws == DRAWS
