"""The evidence for maps: each is held against random orders, then against the middle of the image."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from reportgen.numerics import finite_number, six_digits
from reportgen.report.content.relevance import Evidence
from reportgen.sections.relevance import evidence as ev
from reportgen.sections.relevance import perturbation as pt
from reportgen.sections.relevance.proof import by_question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from reportgen.context import Progress
    from reportgen.network.protocol import Passes
    from reportgen.report.content.relevance import Verdict
    from reportgen.sections.relevance.proof import Explanation, ProbeTarget


def prove(
    passes: Passes, made: list[Explanation], seed: int, progress: Progress
) -> list[Explanation]:
    """Hold every map that is not flat against its opponents.

    Random orders first; where a map beats them, a blob in the middle of the image, which all maps of an image
    share, then the blobs beside it, one after the other, as long as a map can still beat them all; and where it
    is supported, its own copies mirrored. No verdict needs what is left out so.
    """
    shown = [[one for one in group.values() if not one.flat] for group in by_question(made)]
    first = [_against_chance(group, seed) for group in shown if group]
    progress.stage("Relevance: evidence", sum(len(trial) for trial in first))
    tried = [
        [_judged(one, trial, found) for one in trial.group]
        for trial, found in zip(first, _scored(passes, first), strict=True)
    ]
    proven = {_key(one): one for group in tried for one in group}
    heats: list[tuple[str, _OrdersOf, Callable[[Explanation], bool]]] = [
        (title, _blob(number), _may_be_supported) for number, title in enumerate(_BLOBS)
    ]
    for title, orders_of, is_ahead in (*heats, ("maps mirrored", _mirrored, _is_supported)):
        ahead = [
            _Trial(better, trial.cells, orders, _ends(better))
            for trial in first
            if (better := [proven[_key(one)] for one in trial.group if is_ahead(proven[_key(one)])])
            and (orders := orders_of(trial.cells, better))
        ]
        if ahead:
            progress.stage(f"Relevance: {title}", sum(len(trial) for trial in ahead))
        for trial, found in zip(ahead, _scored(passes, ahead), strict=True):
            proven.update((_key(one), _compared(one, found)) for one in trial.group)
    return [proven.get(_key(one), one) for one in made]


def _key(one: Explanation) -> tuple[int, str]:
    return id(one.asked), one.method.name


def verdict_of(made: Explanation) -> Verdict | None:
    """Return what the evidence says; None where it was left out."""
    if made.untold:
        return "cannot be told"
    if made.flat:
        return "flat"
    if made.trials is None:
        return None
    if not _beats_chance(made):
        return "no better than chance"
    return "supported" if _is_supported(made) else "weak"


RANDOM, MIDDLE = "random", "middle"
_BLOBS = (
    "the middle of the images",
    *(f"beside the middle, blob {number}" for number in range(1, len(pt.MIDDLES))),
)
"""The blobs, one after the other, as stages of the work."""
_OrdersOf: TypeAlias = "Callable[[pt.Cells, list[Explanation]], list[tuple[str, NDArray[Any]]]]"


class _Trial(NamedTuple):
    """What is run of one question.

    Attributes:
        group: the maps of it that are tried.
        cells: of its image.
        orders: whose curves are read, with what they are of: ``RANDOM``, ``MIDDLE`` or a method.
        ends: scores of the image and of the empty one, where they are known; else they are asked first, then
            the image faded by each map.
    """

    group: list[Explanation]
    cells: pt.Cells
    orders: list[tuple[str, NDArray[Any]]]
    ends: tuple[float, float] | None = None

    @property
    def asked(self) -> ProbeTarget:
        return self.group[0].asked

    def __len__(self) -> int:
        """Return how many passes it takes."""
        ends = 2 + len(self.group) if self.ends is None else 0
        return ends + len(self.orders) * 2 * pt.INNER

    def images(self) -> Iterator[NDArray[Any]]:
        question = self.asked.question
        image, baseline = question.pixels, question.baseline
        if self.ends is None:
            yield image
            yield pt.empty(image, baseline, self.cells)
            for one in self.group:
                yield ev.masked(one.map.values, image, baseline)
        for _, order in self.orders:
            yield from pt.perturbed(order, image, baseline, self.cells)


class _Found(NamedTuple):
    """The scores of a trial.

    Attributes:
        ends: of the image and of the empty one.
        kept: of the image faded by each map of the group; empty where they were not asked.
        curves: by what the orders were of.
    """

    ends: tuple[float, float]
    kept: list[float]
    curves: dict[str, list[pt.Curves]]


def _against_chance(group: list[Explanation], seed: int) -> _Trial:
    question, probe = group[0].asked.question, group[0].asked.probe
    cells = pt.cells_of(question.pixels, question.baseline, (seed, probe))
    orders = [(RANDOM, order) for order in pt.random_orders(cells, (seed, probe, 1))]
    orders += [(one.method.name, pt.order_of(_on_cells(one, cells), cells)) for one in group]
    return _Trial(group, cells, orders)


def _blob(number: int) -> _OrdersOf:
    def orders_of(cells: pt.Cells, _better: list[Explanation]) -> list[tuple[str, NDArray[Any]]]:
        return [(MIDDLE, order) for order in pt.middle_orders(cells)[number : number + 1]]

    return orders_of


def _mirrored(cells: pt.Cells, better: list[Explanation]) -> list[tuple[str, NDArray[Any]]]:
    return [
        (one.method.name, pt.order_of(copy, cells))
        for one in better
        for copy in pt.moved(_on_cells(one, cells))
    ]


def _ends(better: list[Explanation]) -> tuple[float, float] | None:
    """Return the scores of the image and of the empty one, which its maps share."""
    trials = better[0].trials
    return (trials.own.deletion[0], trials.own.deletion[-1]) if trials else None


def _on_cells(one: Explanation, cells: pt.Cells) -> NDArray[Any]:
    return pt.on_cells(one.map.values, one.asked.question.pixels.shape, cells.grid)


def _scored(passes: Passes, trials: Sequence[_Trial]) -> Iterator[_Found]:
    """Run all trials in one stream of passes and yield what each found."""
    stream = passes.forward(
        trial.asked.question.sample(image) for trial in trials for image in trial.images()
    )
    for trial in trials:
        target = trial.asked.target
        own = target.scale in {"norm", "error"}  # it needs the image that was fed
        scores = (score if own else target.read(out, out) for score, out in stream)
        ends = trial.ends or (next(scores), next(scores))
        kept = [] if trial.ends else list(islice(scores, len(trial.group)))
        whole, empty = ends
        curves: dict[str, list[pt.Curves]] = {}
        for name, _ in trial.orders:
            deletion = (whole, *islice(scores, pt.INNER), empty)
            insertion = (empty, *islice(scores, pt.INNER), whole)
            curves.setdefault(name, []).append(pt.Curves(deletion, insertion))
        yield _Found(ends, kept, curves)


def _judged(one: Explanation, trial: _Trial, found: _Found) -> Explanation:
    """Return a map with its curves and those of chance."""
    kept = found.kept[[id(other) for other in trial.group].index(id(one))]
    own, random = found.curves[one.method.name][0], tuple(found.curves[RANDOM])
    if untold := _not_finite([own, *random], kept):
        return one._replace(untold=untold)
    trials = pt.Trials(own, random, blobs=len(pt.middles_of(trial.cells)))
    nothing = pt.never_moves(trials, ev.FLAT)
    return one._replace(trials=trials, cells=trial.cells.grid, kept=kept, flat=nothing)


def _compared(one: Explanation, found: _Found) -> Explanation:
    """Return a map that is ahead with the curves of what it was held against now."""
    middle, moved = found.curves.get(MIDDLE, []), found.curves.get(one.method.name, [])
    if untold := _not_finite([*middle, *moved]):
        return one._replace(untold=untold)
    if one.trials is None:
        return one
    trials = one.trials._replace(
        middle=(*one.trials.middle, *middle), moved=(*one.trials.moved, *moved)
    )
    return one._replace(trials=trials)


def _not_finite(curves: Sequence[pt.Curves], *more: float) -> int:
    """Return how many scores are NaN or infinite."""
    every = [*more, *(value for both in curves for curve in both for value in curve)]
    return int((~np.isfinite(every)).sum())


def _beats_chance(one: Explanation) -> bool:
    trials = one.trials
    if trials is None or one.flat or one.untold:
        return False
    return trials.own.advantage > pt.needed_for_chance(trials)


def _may_be_supported(one: Explanation) -> bool:
    """Return whether a map beats chance, and more than the least that beating the middle will ask for."""
    trials = one.trials
    if trials is None or not _beats_chance(one):
        return False
    needed = pt.needed_for_middle(trials)
    return needed is None or trials.own.advantage > needed


def _is_supported(one: Explanation) -> bool:
    trials = one.trials
    tried = trials is not None and len(trials.middle) == trials.blobs
    return tried and _may_be_supported(one)


def evidence_of(made: Explanation) -> Evidence | None:
    """Return the numbers of a map's curves; None where it has none."""
    trials = made.trials
    if trials is None:
        return None
    random = pt.mean_curves(trials.random)
    middle, needed = trials.middle, pt.needed_for_middle(trials)
    drop = None if made.kept is None else ev.average_drop(trials.own.deletion[0], made.kept)
    return Evidence(
        deletion=finite_number(pt.area(trials.own.deletion)),
        insertion=finite_number(pt.area(trials.own.insertion)),
        random_deletion=finite_number(pt.area(random.deletion)),
        random_insertion=finite_number(pt.area(random.insertion)),
        random_advantage=finite_number(random.advantage),
        random_spread=finite_number(pt.chance_spread(trials)),
        advantage=finite_number(trials.own.advantage),
        needed=finite_number(pt.needed_for_chance(trials)),
        average_drop=six_digits(drop),
        deletion_curve=tuple(map(finite_number, trials.own.deletion)),
        insertion_curve=tuple(map(finite_number, trials.own.insertion)),
        random_curve=tuple(map(finite_number, random.deletion)),
        random_insertion_curve=tuple(map(finite_number, random.insertion)),
        middle_advantage=finite_number(pt.mean_curves(middle[:1]).advantage) if middle else None,
        middle_needed=six_digits(needed),
        moved_advantages=tuple(finite_number(copy.advantage) for copy in trials.moved),
        steps=pt.STEPS,
        cells=made.cells,
    )
