"""What the decisions rest on: relevance maps of every probe, each with the evidence for it."""

from __future__ import annotations

from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.choosing import choose_features
from reportgen.content.leaves import Notice
from reportgen.content.relevance import (
    Agreement,
    AttentionLayer,
    Contrast,
    Evidence,
    MethodFacts,
    Peak,
    RelevanceContent,
    RelevanceMap,
    SanityStage,
    TargetFacts,
)
from reportgen.errors import NotApplicable
from reportgen.labels import resolve
from reportgen.network import Aim
from reportgen.numerics import six
from reportgen.observe import Collected, SectionMaker
from reportgen.pictures import (
    diverging_palette,
    exact,
    palette_picture,
    photograph,
    relevance_overlay,
    to_bytes,
    viridis_palette,
    window_of,
)
from reportgen.relevance import evidence as ev
from reportgen.relevance import sanity
from reportgen.relevance.methods import METHODS, Question, attention_distances
from reportgen.relevance.targets import check_output, choose_output, find_index, find_targets
from reportgen.tasks import class_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from reportgen.content.leaves import Figure
    from reportgen.content.overview import Task
    from reportgen.network import Batch, OutputFacts, Passes, Sample
    from reportgen.observe import Context
    from reportgen.relevance.methods import Map, Method
    from reportgen.relevance.targets import Target

HESITATES = 0.2
"""Below this difference between the two best probabilities the two classes are contrasted."""


class Asked(NamedTuple):
    """A question with its probe and target."""

    probe: int
    target: Target
    question: Question
    output: NDArray[Any]


class Made(NamedTuple):
    """One method's map of one asked question, before it is drawn.

    Attributes:
        flat: whether there is nothing to see.
        curves: None for flat maps, and where the evidence is left out.
        kept: score of the image faded by the map.
    """

    asked: Asked
    method: Method
    map: Map
    flat: bool
    curves: ev.Curves | None = None
    kept: float | None = None


class OutputObserver:
    """Keeps the explained output of every probe."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._kept: list[NDArray[Any]] = []

    def update(self, batch: Batch) -> None:
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
    if context.probes.image_input is None:
        raise NotApplicable("No input takes images, so there is no picture to lay a map over.")
    task, facts, texts = _explained(context)
    for text in texts:
        find_index(text, task, facts, _names(context, task, facts))
    _layer(context, task.output)
    return OutputObserver(task.output)


def _names(context: Context, task: Task, facts: OutputFacts) -> tuple[str, ...]:
    return context.classes if len(context.classes) == class_count(task, facts) else ()


def _layer(context: Context, name: str) -> str | None:
    """Return the call whose features the CAM family weighs."""
    facts = context.network.facts
    image = context.probes.image_input if context.probes else None
    output = next(o for o in facts.outputs if o.name == name)
    return choose_features(
        facts.calls,
        output.layer,
        image or "",
        context.input_shapes[image or ""],
        context.settings.relevance_layer,
    )


def _explained(context: Context) -> tuple[Task, OutputFacts, tuple[str, ...]]:
    """Return the output that is explained, and the classes of it that are asked for."""
    wanted, asked = choose_output(context.settings.target, context.tasks, context.classes)
    name = wanted or context.tasks[0].output
    task = next(task for task in context.tasks if task.output == name)
    facts = next(facts for facts in context.network.facts.outputs if facts.name == name)
    check_output(facts)
    return task, facts, asked


def collect(context: Context, outputs: list[NDArray[Any]]) -> Collected:
    """Return every method's maps of every probe with their evidence."""
    notices: list[Notice] = []
    asked = _ask(context, outputs, notices)
    passes, layer = _passes(context, asked[0].target)
    methods, layer = _methods(context, layer, notices)
    made = _run(context, passes, methods, asked, notices)
    if not made:
        raise NotApplicable("No method could make a map: " + " ".join(n.text for n in notices))
    tested = _test(context, passes, made, notices)
    made = _prove(context, passes, made)
    content = RelevanceContent(
        output=asked[0].target.output,
        methods=tuple(_facts(method, layer, made, tested) for method in methods),
        maps=(),
        agreements=_agreements(made),
        contrasts=_contrasts(context, passes, asked, methods),
        attention=_attention(passes, asked, methods),
        baseline=context.prepared.black_words if context.prepared else "",
        quick=context.settings.quick,
        seed=context.settings.seed,
    )
    content = _with_maps(context, content, made)
    return Collected(content, _sentence(content), (*notices, *_notices(context, content)))


# -- what is asked ----------------------------------------------------------------------------------


def _ask(context: Context, outputs: list[NDArray[Any]], notices: list[Notice]) -> list[Asked]:
    task, facts, texts = _explained(context)
    prepared, probes = context.prepared, context.probes
    if prepared is None or probes is None or prepared.black is None or not probes.image_input:
        raise NotApplicable("No probes were given.")
    count = class_count(task, facts)
    names = _names(context, task, facts)
    asked, broken = [], 0
    for index, output in enumerate(outputs):
        if not np.isfinite(output).all():
            broken += 1
            continue
        inputs = {name: array[index] for name, array in prepared.inputs.items()}
        pixels = inputs[probes.image_input]
        label = probes.probes[index].label
        known = resolve(label, names, count) if label is not None and count else None
        targets = find_targets(
            task,
            facts,
            output,
            classes=names,
            true=known.index if known else None,
            asked=texts,
            threshold=context.settings.threshold,
            image=tuple(pixels.shape),
        )
        for target in targets:
            question = Question(inputs, probes.image_input, target.weights, prepared.black)
            asked.append(Asked(index, target, question, output))
    if not asked:
        raise NotApplicable(
            "The network answers NaN or infinity to every probe: there is no decision to explain."
        )
    if broken:
        text = (
            f"{broken} of {len(outputs)} probes are left out: the network answers NaN or infinity."
        )
        notices.append(Notice("warning", text))
    return asked


def _passes(context: Context, target: Target) -> tuple[Passes, str | None]:
    name = context.probes.image_input if context.probes else None
    layer = _layer(context, target.output)
    aim = Aim(target.output, target.kind, name or "", layer)
    return context.network.passes(aim, context.progress.advance), layer


def _methods(
    context: Context, layer: str | None, notices: list[Notice]
) -> tuple[list[Method], str | None]:
    """Return the methods that this network can be asked by."""
    chosen = context.settings.relevance_methods
    attention = any("Attention" in c.class_name for c in context.network.facts.calls)
    kept = []
    for method in (m for m in METHODS if m.name in chosen):
        if method.needs == "features" and layer is None:
            text = (
                f"{method.title} needs features with places, and none reach this output: the network keeps "
                "no map of the image. Gradient methods and occlusion need none."
            )
            notices.append(Notice("info", text))
        elif method.needs == "attention" and not attention:
            if context.settings.relevance:
                notices.append(Notice("info", f"{method.title} needs attention layers."))
        else:
            kept.append(method)
    if not kept:
        raise NotApplicable(" ".join(n.text for n in notices) or "No method was chosen.")
    return kept, layer


# -- maps -------------------------------------------------------------------------------------------


def _run(
    context: Context,
    passes: Passes,
    methods: list[Method],
    asked: list[Asked],
    notices: list[Notice],
) -> list[Made]:
    questions = [one.question for one in asked]
    total = sum(method.samples for method in methods) * len(asked)
    context.progress.stage("Relevance: maps", total)
    made = []
    for method in list(methods):
        try:
            maps = list(method.run(passes, questions, method.samples, context.settings.seed))
        except Exception as error:  # noqa: BLE001 - a method that fails costs itself
            methods.remove(method)
            notices.append(Notice("warning", f"{method.title} could not be made: {error}"))
            continue
        finite = [(a, m) for a, m in zip(asked, maps, strict=True) if np.isfinite(m.values).all()]
        if len(finite) < len(maps):
            text = (
                f"{method.title}: {len(maps) - len(finite)} of {len(maps)} maps hold NaN or infinity and "
                "are not shown."
            )
            notices.append(Notice("warning", text))
        made += [Made(a, method, m, _flat(a, m)) for a, m in finite]
    return made


def _flat(asked: Asked, made: Map) -> bool:
    target = asked.target
    weights = asked.target.weights
    size = 1.0
    if not target.decides:
        size = abs(target.read(asked.output, asked.question.pixels))
    elif weights is not None and target.scale in {"softmax", "sigmoid"}:
        size = abs(float((weights * asked.output).sum()))
    return ev.is_flat(made.values, made.effect, size, decides=target.decides)


def _test(
    context: Context, passes: Passes, made: list[Made], notices: list[Notice]
) -> dict[str, list[sanity.Stage]]:
    """Run the randomisation test for every method on the first probes whose maps are not flat."""
    if context.settings.quick:
        return {}
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
    context.progress.stage("Relevance: randomised weights", total)
    for chosen, methods in groups.items():
        questions = [asked[index].question for index in chosen]
        try:
            tested.update(
                sanity.randomisation_test(passes, methods, questions, context.settings.seed)
            )
        except Exception as error:  # noqa: BLE001 - without the test the maps still have evidence
            text = f"The randomisation test could not be run: {error}"
            notices.append(Notice("warning", text))
    return tested


# -- evidence ---------------------------------------------------------------------------------------


def _prove(context: Context, passes: Passes, made: list[Made]) -> list[Made]:
    """Hold every map that is not flat against random ones, in one stream of passes."""
    if context.settings.quick:
        return made
    inner = ev.STEPS - 1
    groups = [list(g.values()) for g in _by_question(made)]
    shown = [[one for one in group if not one.flat] for group in groups]
    shown = [group for group in shown if group]
    total = sum(
        2 + len(group) * (2 * inner + 1) + len(_grids(group)) * ev.SEEDS * inner for group in shown
    )
    context.progress.stage("Relevance: evidence", total)
    stream = passes.forward(chain.from_iterable(_trials(context, group) for group in shown))
    proven: dict[tuple[int, str], Made] = {}
    for group in shown:
        target = group[0].asked.target
        scores = (_read(target, score, output) for score, output in stream)
        whole, black = next(scores), next(scores)
        chance = {
            grid: [_curve(whole, scores, inner, black) for _ in range(ev.SEEDS)]
            for grid in _grids(group)
        }
        for one in group:
            random = chance[one.map.values.shape]
            curves = ev.Curves(
                deletion=_curve(whole, scores, inner, black),
                insertion=_curve(black, scores, inner, whole),
                random=tuple(float(v) for v in np.mean(random, axis=0)),
                values=tuple(ev.area(curve) for curve in random),
            )
            proven[id(one.asked), one.method.name] = one._replace(
                curves=curves, kept=next(scores), flat=ev.never_moves(curves)
            )
    return [proven.get((id(one.asked), one.method.name), one) for one in made]


def _read(target: Target, score: float, output: NDArray[Any]) -> float:
    """Return the score of the curves: a pass's own where it needs the image that was fed."""
    return score if target.scale in {"norm", "error"} else target.read(output, output)


def _by_question(made: list[Made]) -> list[dict[str, Made]]:
    groups: dict[int, dict[str, Made]] = {}
    for one in made:
        groups.setdefault(id(one.asked), {})[one.method.name] = one
    return list(groups.values())


def _grids(group: list[Made]) -> list[tuple[int, int]]:
    return list(dict.fromkeys(one.map.values.shape for one in group))


def _curve(first: float, scores: Iterator[float], inner: int, last: float) -> tuple[float, ...]:
    return (first, *islice(scores, inner), last)


def _trials(context: Context, group: list[Made]) -> Iterator[Sample]:
    """Yield what the evidence of one question's maps takes, in the order in which it is read."""
    question = group[0].asked.question
    image, black = question.pixels, question.black
    yield question.sample(image)
    yield question.sample(black)
    for grid in _grids(group):
        for seed in range(ev.SEEDS):
            values = ev.random_map(grid, (context.settings.seed, group[0].asked.probe, seed))
            order = ev.order_of(values, image.shape)
            for changed in ev.perturbed(order, image, black, insert=False):
                yield question.sample(changed)
    for one in group:
        order = ev.order_of(one.map.values, image.shape)
        for insert in (False, True):
            for changed in ev.perturbed(order, image, black, insert=insert):
                yield question.sample(changed)
        yield question.sample(ev.masked(one.map.values, image, black))


def _evidence(made: Made) -> Evidence | None:
    curves = made.curves
    if curves is None:
        return None
    deletion, insertion = ev.area(curves.deletion), ev.area(curves.insertion)
    chance = float(np.mean(curves.values))
    drop = ev.average_drop(curves.deletion[0], made.kept) if made.kept is not None else None
    return Evidence(
        deletion=_six(deletion),
        insertion=_six(insertion),
        random_deletion=_six(chance),
        random_insertion=_six(chance),
        random_spread=_six(float(np.std(curves.values, ddof=1))),
        advantage=_six(insertion - deletion),
        average_drop=six(drop),
        deletion_curve=tuple(_six(v) for v in curves.deletion),
        insertion_curve=tuple(_six(v) for v in curves.insertion),
        random_curve=tuple(_six(v) for v in curves.random),
    )


def _six(value: float) -> float:
    return six(value) or 0.0


# -- content ----------------------------------------------------------------------------------------


def _facts(
    method: Method, layer: str | None, made: list[Made], tested: dict[str, list[sanity.Stage]]
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
            SanityStage(s.layers, s.down_to, six(s.rank_correlation), six(s.similarity))
            for s in stages
        ),
        passes_sanity=sanity.reacts(stages, grids[0][0] * grids[0][1]) if grids else None,
    )


def _agreements(made: list[Made]) -> tuple[Agreement, ...]:
    found = []
    for group in _by_question(made):
        for first, second in _pairs([one for one in group.values() if not one.flat]):
            rho = ev.agreement(first.map.values, second.map.values)
            target = first.asked.target.name
            names = first.method.name, second.method.name
            found.append(Agreement(first.asked.probe, target, *names, six(rho)))
    return tuple(found)


def _pairs(group: list[Made]) -> Iterator[tuple[Made, Made]]:
    for index, first in enumerate(group):
        for second in group[index + 1 :]:
            yield first, second


def _with_maps(context: Context, content: RelevanceContent, made: list[Made]) -> RelevanceContent:
    import msgspec

    failing = {m.name for m in content.methods if m.passes_sanity is False}
    least: dict[int, float] = {}
    for entry in content.agreements:
        if entry.rank_correlation is not None:
            held = least.get(entry.probe, 2.0)
            least[entry.probe] = min(held, entry.rank_correlation)
    groups = sorted(_by_question(made), key=lambda g: _place(g, least))
    maps = [_map(context, one, failing) for group in groups for one in group.values()]
    return msgspec.structs.replace(content, maps=tuple(maps))


def _place(group: dict[str, Made], least: dict[int, float]) -> tuple[float, int]:
    probe = next(iter(group.values())).asked.probe
    return least.get(probe, 2.0), probe


def _map(context: Context, made: Made, failing: set[str]) -> RelevanceMap:
    values, asked = made.map.values, made.asked
    name = _probe_name(context, asked.probe)
    target = asked.target
    score = six(target.read(asked.output, asked.question.pixels))
    region = six(float(target.region.mean())) if target.region is not None else None
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
        raw_maximum=six(float(values.max())),
        raw_minimum=six(float(values.min())),
        grid=(values.shape[0], values.shape[1]),
    )
    if made.flat:
        return one
    return _drawn(context, made, one)


def _verdict(made: Made, failing: set[str]) -> Any:
    if made.flat:
        return "flat"
    if made.method.name in failing:
        return "fails the sanity check"
    if made.curves is None:
        return None
    return "supported" if ev.beats_chance(made.curves) else "no better than chance"


def _drawn(context: Context, made: Made, one: RelevanceMap) -> RelevanceMap:
    import msgspec

    values = made.map.values
    x, y = ev.peak_of(values)
    tenth = ev.in_brightest_tenth(values, made.asked.question.pixels.shape)
    where = ev.place_in_words(x, y)
    said = f"{tenth:.0%} within the brightest tenth" if tenth is not None else "all of it against"
    alt = f"{made.method.title} for {one.target.name}, {one.name}: relevance strongest {where}, {said}."
    full = full_colour(values)
    picture, alone = _pictures(context, made, full, alt)
    change = made.map.change
    error = made.map.completeness
    return msgspec.structs.replace(
        one,
        overlay=picture,
        alone=alone,
        peak=Peak(_six(x), _six(y)),
        full_colour=six(full),
        gini=six(ev.gini(values)),
        in_tenth=six(tenth),
        completeness_error=six(error),
        completeness_share=six(abs(error / change)) if error is not None and change else None,
        evidence=_evidence(made),
    )


def full_colour(values: NDArray[Any]) -> float:
    """Return the magnitude at which colours are full: the largest, of fine maps the 99.5th percentile."""
    magnitudes = np.abs(values)
    if values.size > 32 * 32:
        full = float(np.percentile(magnitudes, 99.5))
        if full > 0:
            return full
    return float(magnitudes.max())


def _pictures(context: Context, made: Made, full: float, alt: str) -> tuple[Figure, Figure]:
    pixels = made.asked.question.pixels
    scaled = np.clip(made.map.values / full, -1, 1)
    signed = made.method.signed
    palette = diverging_palette() if signed else viridis_palette()
    painted = relevance_overlay(
        _below(pixels), ev.at_size(scaled, pixels.shape), palette, signed=signed
    )
    store = context.store
    shown = (photograph if max(painted.shape[:2]) > 96 else exact)(store, painted, alt)
    levels = np.rint(((scaled + 1) / 2 if signed else scaled) * 254).astype(np.uint8)
    rows, columns = levels.shape
    by = f"The same map alone, {rows} by {columns}."
    return shown, palette_picture(store, levels, palette, by)


def _below(pixels: NDArray[Any]) -> NDArray[Any]:
    image = to_bytes(pixels, window_of(pixels))
    image = image if image.ndim == 3 else image[..., None]
    return image[..., :1] if image.shape[2] < 3 else image[..., :3]


def _contrasts(
    context: Context, passes: Passes, asked: list[Asked], methods: list[Method]
) -> tuple[Contrast, ...]:
    """Contrast the two best classes of the probes where they lie close together."""
    task, facts, _ = _explained(context)
    if task.kind != "classification" or not methods or methods[0].needs == "attention":
        return ()
    names = _names(context, task, facts)
    found = []
    for one in asked:
        if one.target.role != "predicted" or one.output.size < 2:
            continue
        scores = [
            one.target._replace(channel=int(i)).read(one.output, one.question.pixels)
            for i in np.argsort(-one.output, kind="stable")[:2]
        ]
        if scores[0] - scores[1] < HESITATES:
            found.append((one, int(np.argsort(-one.output, kind="stable")[1]), scores))
    if not found:
        return ()
    questions: list[Question] = []
    for one, second, _ in found:
        weights = np.zeros(one.output.shape, np.float32)
        weights[second] = 1
        questions += [one.question, one.question._replace(weights=weights)]
    method = methods[0]
    maps = list(method.run(passes, questions, method.samples, context.settings.seed))
    contrasts = []
    for (one, second, scores), (a, b) in zip(found, _twos(maps), strict=True):
        values = a.values - b.values
        full = float(np.abs(values).max())
        if not np.isfinite(values).all() or full == 0:
            continue
        name, other = one.target.name, names[second] if names else f"class {second}"
        probe = _probe_name(context, one.probe)
        x, y = ev.peak_of(values)
        alt = (
            f"{probe}: what speaks for {name} (red) rather than {other} (blue), most of it "
            f"{ev.place_in_words(x, y)}."
        )
        drawn = Made(one, method._replace(signed=True), a._replace(values=values), flat=False)
        overlay, _ = _pictures(context, drawn, full, alt)
        pair = (_six(scores[0]), _six(scores[1]))
        peak = Peak(_six(x), _six(y))
        contrasts.append(Contrast(one.probe, probe, method.name, name, other, pair, overlay, peak))
    return tuple(contrasts)


def _twos(maps: list[Map]) -> Iterator[tuple[Map, Map]]:
    for index, pair in enumerate(pairwise(maps)):
        if index % 2 == 0:
            yield pair


def _attention(
    passes: Passes, asked: list[Asked], methods: list[Method]
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
        AttentionLayer(call, tuple(six(float(v)) for v in np.mean(rows, axis=0)))
        for call, rows in found.items()
    )


def _probe_name(context: Context, index: int) -> str:
    if context.settings.hide_names or context.probes is None:
        return f"probe {index + 1}"
    return context.probes.probes[index].name


# -- in words ---------------------------------------------------------------------------------------


def _sentence(content: RelevanceContent) -> str:
    """Say what a reviewer should take away, from the numbers alone."""
    if content.quick:
        flat = sum(one.verdict == "flat" for one in content.maps)
        some = f", {flat} of them flat" if flat else ""
        return f"{len(content.maps)} maps{some}, without evidence for them (--quick)."
    parts = [_of_method(content, method) for method in content.methods]
    known = [a.rank_correlation for a in content.agreements if a.rank_correlation is not None]
    if known:
        parts.append(
            f"the methods' maps agree by a rank correlation of {np.median(known):.2f} in the median"
        )
    text = "; ".join(part for part in parts if part)
    return f"{text[:1].upper()}{text[1:]}."


def _of_method(content: RelevanceContent, method: MethodFacts) -> str:
    maps = [one for one in content.maps if one.method == method.name]
    if not maps:
        return ""
    if method.passes_sanity is False:
        return f"{method.title} fails the sanity check: its maps hardly depend on the weights"
    flat = sum(one.verdict == "flat" for one in maps)
    supported = sum(one.verdict == "supported" for one in maps)
    some = f", {flat} flat" if flat else ""
    if supported == 0 and flat == len(maps):
        return f"{method.title} is flat on every probe: the score hardly depends on the image there"
    return f"{method.title} is supported on {supported} of {len(maps)} maps{some}"


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
        name
        for name in context.input_shapes
        if context.probes and name != context.probes.image_input
    ]
    if held and context.probes:
        text = (
            f"The input {context.probes.image_input} is explained, {', '.join(held)} held at the probe's "
            "own values."
        )
        notices.append(Notice("info", text))
    if content.quick:
        text = (
            "--quick left out the pixel-level maps, deletion and insertion, and the randomisation test: "
            "nothing here says whether these maps may be believed."
        )
        notices.append(Notice("warning", text))
    return notices


SECTION = SectionMaker("relevance", "Relevance", collect, observe)
