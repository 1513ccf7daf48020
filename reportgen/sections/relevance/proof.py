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
    """Run the randomisation test for every method on the first probes whose maps are not flat."""
    stages = sanity.STAGES if settings.full else 1
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
    total = sum(
        sanity.passes_needed(methods, len(chosen), stages) for chosen, methods in groups.items()
    )
    progress.stage("Relevance: randomised weights", total)
    for chosen, methods in groups.items():
        questions = [asked[index].question for index in chosen]
        try:
            tested.update(
                sanity.randomisation_test(passes, methods, questions, settings.seed, stages)
            )
        except Exception as error:  # noqa: BLE001 - without the test the maps still have evidence
            text = f"The randomisation test could not be run: {reason_text(error)}."
            notices.append(Notice("warning", text))
    return tested


def by_question(made: list[Explanation]) -> list[dict[str, Explanation]]:
    """Group maps by their question, each group by method."""
    groups: dict[int, dict[str, Explanation]] = {}
    for one in made:
        groups.setdefault(id(one.asked), {})[one.method.name] = one
    return list(groups.values())
