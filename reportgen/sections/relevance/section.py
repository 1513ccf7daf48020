"""What the decisions rest on: relevance maps of every probe, each with the evidence for it."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from reportgen.errors import NotApplicable
from reportgen.network.protocol import Aim
from reportgen.numerics import six_digits
from reportgen.observe import Collected, SectionMaker, probe_name
from reportgen.report.content.relevance import (
    Agreement,
    AttentionLayer,
    MethodFacts,
    RelevanceContent,
    RelevanceMap,
    SanityStage,
    TargetFacts,
)
from reportgen.report.leaves import Notice
from reportgen.sections.relevance import evidence as ev
from reportgen.sections.relevance.baselines import BASELINE_WORDS
from reportgen.sections.relevance.contrasts import make_contrasts
from reportgen.sections.relevance.explaining import (
    explained,
    layer_of,
    question_of,
    wanted_methods,
    with_similarities,
)
from reportgen.sections.relevance.making import explain, within_time
from reportgen.sections.relevance.methods import METHODS, attention_distances
from reportgen.sections.relevance.overlays import with_pictures
from reportgen.sections.relevance.proof import (
    ProbeTarget,
    by_question,
)
from reportgen.sections.relevance.sanity import FEWEST_CELLS, reacts
from reportgen.sections.relevance.sentences import lead_of
from reportgen.sections.relevance.targets import find_index, find_targets
from reportgen.sections.relevance.trials import verdict_of
from reportgen.values import RELEVANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reportgen.context import Context
    from reportgen.network.protocol import Batch, Passes
    from reportgen.sections.relevance.methods import Method
    from reportgen.sections.relevance.proof import (
        Explanation,
    )
    from reportgen.sections.relevance.sanity import Stage
    from reportgen.sections.relevance.targets import Target


class OutputObserver:
    """Keeps the explained output of every probe."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._kept: list[NDArray[Any]] = []

    def show(self, batch: Batch) -> None:
        """Take in one block."""
        self._kept += [row.copy() for row in batch.outputs[self._output]]

    def result(self) -> list[NDArray[Any]]:
        """Return the outputs in the order of the probes."""
        return self._kept


def observe(context: Context) -> OutputObserver:
    """Return the observer of the explained output.

    Raises:
        NotApplicable: there is nothing to explain.
    """
    if context.probes is None:
        raise NotApplicable("No probes were given: --probes PATH shows what decisions rest on.")
    if "none" in context.settings.relevance:
        raise NotApplicable("Left out by --relevance none.")
    if context.probes.set.image_input is None:
        raise NotApplicable(
            "No input takes images or series, so there is nothing to lay a map over."
        )
    task, facts, texts = explained(context)
    for text in texts:
        find_index(text, task, facts, context.class_names(task))
    layer_of(context, task.output)
    return OutputObserver(task.output)


def collect(context: Context, outputs: list[NDArray[Any]]) -> Collected:
    """Return every method's maps of every probe with their evidence."""
    notices: list[Notice] = []
    asked = _ask(context, outputs, notices)
    passes, layer = _passes(context, asked[0].target)
    methods, layer = _methods(context, asked[0].target.output, layer, notices)
    asked, unexplained = within_time(context, passes, methods, asked)
    made, tested = explain(context, passes, methods, asked, notices)
    content = RelevanceContent(
        output=asked[0].target.output,
        methods=tuple(_facts(method, layer, made, tested) for method in methods),
        maps=(),
        agreements=_agreements(made),
        contrasts=make_contrasts(context, passes, asked, _trusted(methods, tested, made), notices),
        attention=_attention(passes, asked, methods),
        baseline=_hidden_by(context, asked),
        quick=context.settings.quick,
        seed=context.settings.seed,
        unexplained=unexplained,
        series=context.probes.set.series if context.probes else False,
    )
    content = _with_maps(context, content, made)
    return Collected(content, lead_of(content), (*notices, *_notices(context, content)))


# -- what is asked ----------------------------------------------------------------------------------


def _ask(context: Context, outputs: list[NDArray[Any]], notices: list[Notice]) -> list[ProbeTarget]:
    task, facts, texts = explained(context)
    if context.probes is None:
        raise NotApplicable("No probes were given.")
    probes, prepared, _ = context.probes
    classes = context.class_names(task)
    asked, broken = [], 0
    for index, output in enumerate(outputs):
        if not np.isfinite(output).all():
            broken += 1
            continue
        inputs = {name: array[index] for name, array in prepared.inputs.items()}
        targets = find_targets(
            task,
            facts,
            output,
            classes=classes,
            true=classes.index(probes.probes[index].label),
            asked=texts,
            threshold=context.settings.threshold,
            image=tuple(context.shapes[probes.image_input or ""]),
        )
        for target in targets:
            question = question_of(context, inputs, target.weights)
            asked.append(ProbeTarget(index, target, question, output))
    if not asked:
        raise NotApplicable(
            "The network answers NaN or infinity to every probe: there is no decision to explain."
        )
    if broken:
        text = (
            f"{broken} of {len(outputs)} probes are left out: the network answers NaN or infinity."
        )
        notices.append(Notice("warning", text))
    return with_similarities(context, facts, asked)


def _hidden_by(context: Context, asked: list[ProbeTarget]) -> str:
    """Say what hides parts of the images, the most frequent first."""
    black = context.probes.prepared.black_words if context.probes else ""
    words = {"black": black, **BASELINE_WORDS}
    found = Counter(one.question.hidden_by for one in asked)
    return "; or ".join(words[kind] for kind, _ in found.most_common())


def _passes(context: Context, target: Target) -> tuple[Passes, str | None]:
    name = context.probes.set.image_input if context.probes else None
    layer = layer_of(context, target.output)
    aim = Aim(target.output, target.kind, name or "", layer)
    return context.network.passes(aim, context.tools.progress.advance), layer


def _methods(
    context: Context, output: str, layer: str | None, notices: list[Notice]
) -> tuple[list[Method], str | None]:
    """Return the methods that this network can be asked by."""
    settings = context.settings
    chosen = wanted_methods(context, output, layer)
    dropped = [n for n in settings.relevance if n in RELEVANCE and n not in chosen]
    if "differentiate" not in context.network.can:
        notices.append(Notice("info", _without_gradients(context)))
    elif dropped:
        notices.append(Notice("warning", f"--quick left out {', '.join(dropped)}."))
    attention = any("Attention" in c.class_name for c in context.network.facts.calls)
    kept = []
    for method in (m for m in METHODS if m.name in chosen):
        if method.needs == "features" and layer is None:
            why = _no_places(context)
            text = f"{method.title} needs features with places, and none reach this output: {why}"
            notices.append(Notice("info", text))
        elif method.needs == "attention" and not attention:
            if settings.relevance:
                notices.append(Notice("info", f"{method.title} needs attention layers."))
        else:
            kept.append(method.in_full() if settings.full else method)
    if not kept:
        raise NotApplicable(" ".join(n.text for n in notices) or "No method was chosen.")
    return kept, layer


def _without_gradients(context: Context) -> str:
    said = "The graph of a SavedModel is run as a whole, without gradients: occlusion is the one method for it"
    return f"{said}, which --quick leaves out." if context.settings.quick else f"{said}."


def _no_places(context: Context) -> str:
    series = context.probes is not None and context.probes.set.series
    kept = (
        "what is pooled or the state of a recurrent layer tells of many steps at once."
        if series
        else "the network keeps no map of the image."
    )
    return f"{kept} Gradient methods and occlusion need none."


# -- content ----------------------------------------------------------------------------------------


def _facts(
    method: Method, layer: str | None, made: list[Explanation], tested: dict[str, list[Stage]]
) -> MethodFacts:
    grids = [one.map.values.shape for one in made if one.method is method]
    stages = tested.get(method.name, [])
    return MethodFacts(
        name=method.name,
        title=method.title,
        source=method.source,
        signed=method.signed,
        layer=layer if method.needs == "features" else None,
        grid=(grids[0][0], grids[0][1]) if grids else None,
        samples=method.samples,
        stages=tuple(
            SanityStage(
                s.layers,
                s.down_to,
                six_digits(s.rank_correlation),
                six_digits(s.similarity),
                six_digits(s.magnitude) if method.signed else None,
            )
            for s in stages
        ),
        passes_sanity=reacts(stages, grids[0][0] * grids[0][1]) if grids else None,
    )


def _agreements(made: list[Explanation]) -> tuple[Agreement, ...]:
    found = []
    for group in by_question(made):
        for first, second in combinations([one for one in group.values() if not one.flat], 2):
            rho = ev.agreement(first.map.values, second.map.values)
            target = first.asked.target.name
            names = first.method.name, second.method.name
            found.append(Agreement(first.asked.probe, target, *names, six_digits(rho)))
    return tuple(found)


def _with_maps(
    context: Context, content: RelevanceContent, made: list[Explanation]
) -> RelevanceContent:
    failing = {m.name for m in content.methods if m.passes_sanity is False}
    least: dict[int, float] = {}
    for entry in content.agreements:
        if entry.rank_correlation is not None:
            held = least.get(entry.probe, 2.0)
            least[entry.probe] = min(held, entry.rank_correlation)
    groups = sorted(by_question(made), key=lambda g: _place(g, least))
    maps = [_map(context, one, failing) for group in groups for one in group.values()]
    return msgspec.structs.replace(content, maps=tuple(maps))


def _place(group: dict[str, Explanation], least: dict[int, float]) -> tuple[float, int]:
    probe = next(iter(group.values())).asked.probe
    return least.get(probe, 2.0), probe


def _map(context: Context, made: Explanation, failing: set[str]) -> RelevanceMap:
    values, asked = made.map.values, made.asked
    name = probe_name(context, asked.probe)
    target = asked.target
    score = six_digits(target.read(asked.output, asked.question.pixels))
    region = six_digits(float(target.region.mean())) if target.region is not None else None
    facts = TargetFacts(
        target.output, target.unit, target.name, target.role, score, target.decides, region
    )
    one = RelevanceMap(
        probe=asked.probe,
        name=name,
        target=facts,
        method=made.method.name,
        verdict=_verdict(made, failing),
        peak=None,
        raw_maximum=six_digits(float(values.max())),
        raw_minimum=six_digits(float(values.min())),
        grid=(values.shape[0], values.shape[1]),
        baseline=asked.question.hidden_by,
    )
    if made.flat:
        return one
    return with_pictures(context.tools.images, made, one, context.settings.bands)


def _verdict(made: Explanation, failing: set[str]) -> Any:
    if made.method.name in failing and not made.untold and not made.flat:
        return "fails the sanity check"
    return verdict_of(made)


def _trusted(
    methods: list[Method], tested: dict[str, list[Stage]], made: list[Explanation]
) -> list[Method]:
    """Return the methods that tell classes apart and do not fail the randomisation test, the best first."""
    failing = [name for name, stages in tested.items() if reacts(stages, FEWEST_CELLS) is False]
    supported = Counter(one.method.name for one in made if verdict_of(one) == "supported")
    fitting = [m for m in methods if m.needs != "attention" and m.name not in failing]
    return sorted(fitting, key=lambda method: -supported[method.name])


def _attention(
    passes: Passes, asked: list[ProbeTarget], methods: list[Method]
) -> tuple[AttentionLayer, ...]:
    """Return the mean attention distances, over the probes."""
    if not any(method.needs == "attention" for method in methods):
        return ()
    once = list({one.probe: one for one in asked}.values())
    shape = once[0].question.pixels.shape
    found: dict[str, list[NDArray[Any]]] = {}
    for layers in passes.attention(one.question.sample() for one in once):
        for call, heads in attention_distances(layers, shape).items():
            found.setdefault(call, []).append(heads)
    return tuple(
        AttentionLayer(call, tuple(six_digits(float(v)) for v in np.mean(rows, axis=0)))
        for call, rows in found.items()
    )


def _notices(context: Context, content: RelevanceContent) -> list[Notice]:
    notices = []
    others = [task.output for task in context.tasks if task.output != content.output]
    if others:
        text = (
            f"The output {content.output} is explained. --target {others[0]} explains another one of "
            f"{len(others) + 1}."
        )
        notices.append(Notice("info", text))
    held = [
        name for name in context.shapes if context.probes and name != context.probes.set.image_input
    ]
    if held and context.probes:
        text = (
            f"The input {context.probes.set.image_input} is explained, {', '.join(held)} held at the probe's "
            "own values."
        )
        notices.append(Notice("info", text))
    if content.quick:
        text = (
            "The pixel-level maps, deletion and insertion, and the randomisation test were left out (--quick): "
            "nothing here shows whether these maps can be trusted."
        )
        notices.append(Notice("warning", text))
    if content.unexplained:
        text = (
            f"--budget left no time to explain {context.sample.counted(content.unexplained)}: what these "
            "decisions rest on was not tested."
        )
        notices.append(Notice("warning", text))
    return notices


SECTION = SectionMaker("relevance", "Relevance", collect, observe)
