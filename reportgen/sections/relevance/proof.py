"""Questions answered by methods, and whether their maps change with the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.errors import reason_text
from reportgen.report.leaves import Notice
from reportgen.sections.relevance import evidence as ev
from reportgen.sections.relevance import sanity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reportgen.context import Progress
    from reportgen.network.protocol import Passes
    from reportgen.sections.relevance.methods import Map, Method, Question
    from reportgen.sections.relevance.perturbation import Trials
    from reportgen.sections.relevance.targets import Target
    from reportgen.settings import Settings


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
        trials: None for flat maps, and where the evidence is left out.
        cells: rows and columns of the grid on which they were made.
        kept: score of the image faded by the map.
        untold: how many scores of the evidence are NaN or infinite: nothing can be told by the others.
    """

    asked: ProbeTarget
    method: Method
    map: Map
    flat: bool
    trials: Trials | None = None
    cells: tuple[int, int] | None = None
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
    passes: Passes,
    made: list[Explanation],
    settings: Settings,
    progress: Progress,
    notices: list[Notice],
) -> dict[str, list[sanity.Stage]]:
    """Run the randomisation test for every method on the first probe whose map is not flat.

    Where its maps cannot be compared, on the next ones, at most ``sanity.PROBES``.
    """
    stages = sanity.STAGES if settings.full else 1
    tested: dict[str, list[sanity.Stage]] = {}
    waiting: dict[str, list[Explanation]] = {}
    for one in made:
        if not one.flat:
            waiting.setdefault(one.method.name, []).append(one)
    first = [some[0].method for some in waiting.values()]
    progress.stage("Relevance: randomised weights", sanity.passes_needed(first, 1, stages))
    for turn in range(sanity.PROBES):
        groups: dict[int, list[Explanation]] = {}
        for some in waiting.values():
            for one in some[turn : turn + 1]:
                groups.setdefault(id(one.asked), []).append(one)
        for group in groups.values():
            methods, question = [one.method for one in group], group[0].asked.question
            try:
                found = sanity.randomisation_test(
                    passes, methods, [question], settings.seed, stages
                )
            except Exception as error:  # noqa: BLE001 - without the test the maps still have evidence
                text = f"The randomisation test could not be run: {reason_text(error)}."
                notices.append(Notice("warning", text))
                return tested
            tested.update(found)
        waiting = {
            name: some
            for name, some in waiting.items()
            if name in tested and not sanity.can_be_compared(tested[name])
        }
    return tested


def by_question(made: list[Explanation]) -> list[dict[str, Explanation]]:
    """Group maps by their question, each group by method."""
    groups: dict[int, dict[str, Explanation]] = {}
    for one in made:
        groups.setdefault(id(one.asked), {})[one.method.name] = one
    return list(groups.values())
