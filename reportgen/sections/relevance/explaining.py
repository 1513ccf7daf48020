"""How this network can be explained: the output, the names, the layer and the methods that fit it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import NotApplicable
from reportgen.network.calls import averages_places, choose_features
from reportgen.network.protocol import Aim
from reportgen.report.content.relevance import RelevanceContent
from reportgen.sections.relevance.baselines import baseline_of
from reportgen.sections.relevance.methods import METHODS, Question
from reportgen.sections.relevance.overlays import full_colour, over_image
from reportgen.sections.relevance.proof import Explanation, ProbeTarget, flat
from reportgen.sections.relevance.targets import (
    check_output,
    choose_output,
    find_targets,
    similarities,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.context import Context
    from reportgen.network.facts import OutputFacts
    from reportgen.network.tasks import Task
    from reportgen.report.leaves import Figure
    from reportgen.sections.relevance.methods import Method


def explained(context: Context) -> tuple[Task, OutputFacts, tuple[str, ...]]:
    """Return the output that is explained, and the classes of it that are asked for.

    Raises:
        NotApplicable: the network does not say what it gives, or that decides nothing.
    """
    if not context.tasks:
        raise NotApplicable("The network does not say what it gives, so nothing can be explained.")
    wanted, asked = choose_output(context.settings.target, context.tasks, context.classes)
    name = wanted or context.tasks[0].output
    task = next(task for task in context.tasks if task.output == name)
    facts = context.network.facts.output(name)
    check_output(facts)
    return task, facts, asked


def layer_of(context: Context, name: str) -> str | None:
    """Return the call whose features the CAM family weighs; None where none keeps places."""
    facts = context.network.facts
    found = context.probes.set if context.probes else None
    image = (found.image_input if found else None) or ""
    shape = context.shapes[image]
    return choose_features(
        facts.calls,
        facts.output(name).call,
        image,
        (1, *shape) if found and found.series else shape,
        context.settings.relevance_layer,
    )


def wanted_methods(context: Context, output: str, layer: str | None) -> tuple[str, ...]:
    """Return the names of the methods to run; without gradients occlusion alone.

    Unless the user chose, HiResCAM in place of Grad-CAM where what follows the features does more than average
    them: there Grad-CAM shows places that the output does not depend on (Draelos and Carin 2020).

    Args:
        context: of the network.
        output: that is explained.
        layer: the call whose features the CAM family weighs.
    """
    names, probes = context.settings.relevance_methods, context.probes
    if "differentiate" not in context.network.can:
        forward = tuple(method.name for method in METHODS if method.needs == "forward")
        if context.settings.quick:
            return ()
        return tuple(n for n in names if n in forward) if context.settings.relevance else forward
    if context.settings.relevance or probes is None or probes.set.image_input is None:
        return names
    facts, shape = context.network.facts, context.shapes[probes.set.image_input]
    image = (1, *shape) if probes.set.series else shape
    if averages_places(facts.calls, layer, facts.output(output).call, image):
        return names
    return tuple("hirescam" if name == "gradcam" else name for name in names)


def question_of(
    context: Context, inputs: Mapping[str, NDArray[Any]], weights: NDArray[Any] | None
) -> Question:
    """Return what is asked about one image, or series, by input name without the batch dimension.

    Raises:
        NotApplicable: the probes have neither.
    """
    probes, wanted = context.probes, context.settings.relevance_baseline
    if probes is None or probes.set.image_input is None:
        raise NotApplicable("No probes were given.")
    series = probes.set.series
    asked = Question(inputs, probes.set.image_input, weights, _black(context), series)
    kind, pixels = baseline_of(asked.pixels, asked.baseline, wanted, series=series)
    return asked._replace(baseline=pixels, hidden_by=kind)


def _black(context: Context) -> NDArray[Any]:
    """Return black in the network's units, of a series its mean as one row."""
    probes = context.probes
    if probes is None or probes.prepared.black is None:
        raise NotApplicable("No probes were given.")
    return probes.prepared.black[None] if probes.set.series else probes.prepared.black


def with_similarities(
    context: Context, facts: OutputFacts, asked: list[ProbeTarget]
) -> list[ProbeTarget]:
    """Ask for similarities where the norms of all outputs are the same; one probe is held against black.

    A single norm is held against that of the probe faded by half.

    Args:
        context: of the network.
        facts: of the explained output.
        asked: what was found to explain.
    """
    outputs = [one.output for one in asked]
    if asked[0].target.kind != "norm" or facts.activation in {"softmax", "sigmoid"}:
        return asked
    if len(asked) == 1:
        question, black = asked[0].question, _black(context)
        fed = [question.sample(one).inputs for one in ((question.pixels + black) / 2, black)]
        others = outputs_of(context, facts.name, fed)
        if not np.isfinite(others).all():
            return asked
        outputs += others
    targets = similarities([one.target for one in asked], outputs)
    if targets is None:
        return asked
    return [
        one._replace(target=target, question=one.question._replace(weights=target.weights))
        for one, target in zip(asked, targets, strict=True)
    ]


class Explained(NamedTuple):
    """Decisions and what they rest on.

    Attributes:
        method: in words.
        maps: one an image, None where there is nothing to see.
    """

    method: str
    maps: tuple[Figure | None, ...]


def explain_decisions(
    context: Context,
    task: Task,
    facts: OutputFacts,
    inputs: Sequence[Mapping[str, NDArray[Any]]],
    names: Sequence[str],
) -> Explained | None:
    """Lay what each decision rests on over its image, by the best-supported method of the page.

    Args:
        context: its settings choose the methods.
        task: of the output.
        facts: of the output.
        inputs: as the network receives them, by name, without the batch dimension.
        names: of the images, for their descriptions.

    Returns:
        None where the section Relevance is left out or no method fits.
    """
    settings = context.settings
    if "relevance" not in settings.chosen_sections or context.probes is None or not inputs:
        return None
    image = context.probes.set.image_input
    if image is None:
        return None
    try:
        layer = layer_of(context, task.output)
        method = _best(context, task.output, layer)
        if method is None:
            return None
        outputs = outputs_of(context, task.output, inputs)
        asked: list[ProbeTarget] = []
        for index, (fed, output) in enumerate(zip(inputs, outputs, strict=True)):
            target = find_targets(
                task, facts, output, classes=context.class_names(task), true=None, asked=(),
                threshold=settings.threshold, image=tuple(fed[image].shape),
            )[0]  # fmt: skip
            question = question_of(context, fed, target.weights)
            asked.append(ProbeTarget(index, target, question, output))
        aim = Aim(task.output, asked[0].target.kind, image, layer)
        passes = context.network.passes(aim, context.tools.progress.advance)
        questions = [one.question for one in asked]
        maps = list(method.run(passes, questions, method.samples, settings.seed))
    except NotApplicable:
        return None
    figures: list[Figure | None] = []
    for one, found, name in zip(asked, maps, names, strict=True):
        made = Explanation(one, method, found, flat=flat(one, found))
        if made.flat or not np.isfinite(found.values).all():
            figures.append(None)
            continue
        alt = f"{name}: {method.title} for {one.target.name}."
        full = full_colour(found.values)
        figures.append(over_image(context.tools.data_images, made, full, alt, settings.bands))
    return Explained(method.title, tuple(figures))


def _best(context: Context, output: str, layer: str | None) -> Method | None:
    """Return the method with most supported maps of those that fit; of several the cheapest.

    One with features is cheaper than one with a gradient.
    """
    chosen = wanted_methods(context, output, layer)
    fitting = [
        method
        for method in METHODS
        if method.name in chosen
        and method.needs != "attention"
        and (method.needs != "features" or layer is not None)
    ]
    content = context.made.get("relevance")
    maps = content.maps if isinstance(content, RelevanceContent) else ()
    supported = Counter(one.method for one in maps if one.verdict == "supported")
    fitting.sort(key=lambda method: (-supported[method.name], method.needs != "features"))
    return next(iter(fitting), None)


def outputs_of(
    context: Context, name: str, inputs: Sequence[Mapping[str, NDArray[Any]]]
) -> list[NDArray[Any]]:
    """Return an output of each image, float32; inputs by name, without the batch dimension."""
    stacked = {key: np.stack([one[key] for one in inputs]) for key in inputs[0]}
    return [
        row.astype(np.float32)
        for batch in context.network.forward(stacked)
        for row in batch.outputs[name]
    ]
