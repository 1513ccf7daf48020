"""Questions answered by methods, and what is held against their maps: random weights and random maps."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import reason_text
from reportgen.numerics import finite_number, six_digits
from reportgen.report.content.relevance import Evidence
from reportgen.report.leaves import Notice
from reportgen.sections.relevance import evidence as ev
from reportgen.sections.relevance import sanity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from reportgen.context import Progress
    from reportgen.network.protocol import Passes, Sample
    from reportgen.sections.relevance.methods import Map, Method, Question
    from reportgen.sections.relevance.targets import Target


class ProbeTarget(NamedTuple):
    """A question with its probe and target."""

    probe: int
    target: Target
    question: Question
    output: NDArray[Any]


class Explanation(NamedTuple):
    """One method's map of one asked question, before it is drawn.

    Attributes:
        flat: whether there is nothing to see.
        curves: None for flat maps, and where the evidence is left out.
        kept: score of the image faded by the map.
        untold: how many scores of the evidence are NaN or infinite: nothing can be told by the others.
    """

    asked: ProbeTarget
    method: Method
    map: Map
    flat: bool
    curves: ev.Curves | None = None
    kept: float | None = None
    untold: int = 0


def flat(asked: ProbeTarget, made: Map) -> bool:
    """Return whether a map says nothing about its question."""
    target = asked.target
    weights = asked.target.weights
    size = 1.0
    if not target.decides:
        size = abs(target.read(asked.output, asked.question.pixels))
    elif weights is not None and target.scale in {"softmax", "sigmoid"}:
        size = abs(float((weights * asked.output).sum()))
    return ev.is_flat(made.values, made.effect, size, decides=target.decides)


def test_weights(
    passes: Passes, made: list[Explanation], seed: int, progress: Progress, notices: list[Notice]
) -> dict[str, list[sanity.Stage]]:
    """Run the randomisation test for every method on the first probes whose maps are not flat."""
    tested: dict[str, list[sanity.Stage]] = {}
    groups: dict[tuple[int, ...], list[Method]] = {}
    by_method: dict[str, list[int]] = {}
    asked = list({id(m.asked): m.asked for m in made}.values())
    places = {id(one): index for index, one in enumerate(asked)}
    for one in made:
        if not one.flat:
            by_method.setdefault(one.method.name, []).append(places[id(one.asked)])
    for method in {m.method.name: m.method for m in made}.values():
        chosen = tuple(by_method.get(method.name, ())[: sanity.PROBES])
        if chosen:
            groups.setdefault(chosen, []).append(method)
    total = sum(sanity.passes_needed(methods, len(chosen)) for chosen, methods in groups.items())
    progress.stage("Relevance: randomised weights", total)
    for chosen, methods in groups.items():
        questions = [asked[index].question for index in chosen]
        try:
            tested.update(sanity.randomisation_test(passes, methods, questions, seed))
        except Exception as error:  # noqa: BLE001 - without the test the maps still have evidence
            text = f"The randomisation test could not be run: {reason_text(error)}."
            notices.append(Notice("warning", text))
    return tested


def prove(
    passes: Passes, made: list[Explanation], seed: int, progress: Progress
) -> list[Explanation]:
    """Hold every map that is not flat against random ones, in one stream of passes."""
    inner = ev.STEPS - 1
    groups = [list(g.values()) for g in by_question(made)]
    shown = [[one for one in group if not one.flat] for group in groups]
    plans = [_Plan(group, _background(group[0].asked.question)) for group in shown if group]
    total = sum(
        2 + len(plan.group) * (2 * inner + 1) + len(_grids(plan.group)) * ev.SEEDS * inner
        for plan in plans
    )
    progress.stage("Relevance: evidence", total)
    stream = passes.forward(chain.from_iterable(_trials(plan, seed) for plan in plans))
    proven: dict[tuple[int, str], Explanation] = {}
    for plan in plans:
        target = plan.group[0].asked.target
        scores = (_read(target, score, output) for score, output in stream)
        for one in _judged(plan, scores, inner):
            proven[id(one.asked), one.method.name] = one
    return [proven.get((id(one.asked), one.method.name), one) for one in made]


class _Plan(NamedTuple):
    """The maps of one question, and which of its pixels are as good as black."""

    group: list[Explanation]
    background: NDArray[Any]


def _background(question: Question) -> NDArray[Any]:
    return ev.near_black(question.pixels, question.black)


def _judged(plan: _Plan, scores: Iterator[float], inner: int) -> Iterator[Explanation]:
    """Read the scores of one question's trials, in their order."""
    whole, black = next(scores), next(scores)
    chance = {
        grid: [_curve(whole, scores, inner, black) for _ in range(ev.SEEDS)]
        for grid in _grids(plan.group)
    }
    for one in plan.group:
        random = chance[one.map.values.shape]
        curves = ev.Curves(
            deletion=_curve(whole, scores, inner, black),
            insertion=_curve(black, scores, inner, whole),
            random=tuple(float(v) for v in np.mean(random, axis=0)),
            values=tuple(ev.area(curve) for curve in random),
            foreground=1 - float(plan.background.mean()),
        )
        kept = next(scores)
        every = np.array(
            [*curves.deletion, *curves.insertion, *curves.random, *curves.values, kept]
        )
        if untold := int((~np.isfinite(every)).sum()):
            yield one._replace(untold=untold)
        else:
            yield one._replace(curves=curves, kept=kept, flat=ev.never_moves(curves))


def _read(target: Target, score: float, output: NDArray[Any]) -> float:
    """Return the score of the curves: a pass's own where it needs the image that was fed."""
    return score if target.scale in {"norm", "error"} else target.read(output, output)


def by_question(made: list[Explanation]) -> list[dict[str, Explanation]]:
    """Group maps by their question, each group by method."""
    groups: dict[int, dict[str, Explanation]] = {}
    for one in made:
        groups.setdefault(id(one.asked), {})[one.method.name] = one
    return list(groups.values())


def _grids(group: list[Explanation]) -> list[tuple[int, int]]:
    return list(dict.fromkeys(one.map.values.shape for one in group))


def _curve(first: float, scores: Iterator[float], inner: int, last: float) -> tuple[float, ...]:
    return (first, *islice(scores, inner), last)


def _trials(plan: _Plan, seed: int) -> Iterator[Sample]:
    """Yield what the evidence of one question's maps takes, in the order in which it is read."""
    group, background = plan
    question = group[0].asked.question
    image, black = question.pixels, question.black
    yield question.sample(image)
    yield question.sample(black)
    for grid in _grids(group):
        for number in range(ev.SEEDS):
            values = ev.random_map(grid, (seed, group[0].asked.probe, number))
            values = np.where(background, -1.0, ev.at_size(values, image.shape))
            order = ev.order_of(values, image.shape)
            for changed in ev.perturbed(order, image, black, insert=False):
                yield question.sample(changed)
    for one in group:
        order = ev.order_of(one.map.values, image.shape)
        for insert in (False, True):
            for changed in ev.perturbed(order, image, black, insert=insert):
                yield question.sample(changed)
        yield question.sample(ev.masked(one.map.values, image, black))


def evidence_of(made: Explanation) -> Evidence | None:
    """Return the numbers of a map's curves; None where it has none."""
    curves = made.curves
    if curves is None:
        return None
    deletion, insertion = ev.area(curves.deletion), ev.area(curves.insertion)
    by_chance, spread = ev.chance_of(curves)
    inserted = ev.random_insertion(curves)
    drop = ev.average_drop(curves.deletion[0], made.kept) if made.kept is not None else None
    return Evidence(
        deletion=finite_number(deletion),
        insertion=finite_number(insertion),
        random_deletion=finite_number(float(np.mean(curves.values))),
        random_insertion=finite_number(ev.area(inserted)),
        random_advantage=finite_number(by_chance),
        random_spread=finite_number(spread),
        advantage=finite_number(insertion - deletion),
        needed=finite_number(ev.gain_needed(curves)),
        average_drop=six_digits(drop),
        deletion_curve=tuple(finite_number(v) for v in curves.deletion),
        insertion_curve=tuple(finite_number(v) for v in curves.insertion),
        random_curve=tuple(finite_number(v) for v in curves.random),
        random_insertion_curve=tuple(finite_number(v) for v in inserted),
    )
