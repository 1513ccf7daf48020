"""What units look for: optimised pictures beside the probes that drive the same units most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.drawing.pictures import as_rgb, lossless, photograph
from reportgen.errors import NotApplicable, UsageError
from reportgen.inputs.fitting import image_input
from reportgen.network.facts import OutputRef
from reportgen.network.protocol import Recipe
from reportgen.numerics import resize_bilinear, six_digits
from reportgen.observe import Collected, SectionMaker, probe_name
from reportgen.report.content.features import FeaturesContent, ProbeCrop, UnitFeature
from reportgen.report.leaves import Notice
from reportgen.sections.features.input_scaling import find_input_scaling, to_pixels
from reportgen.sections.features.optimisation import (
    CANVAS_SIDE,
    Ascents,
    PictureCache,
    PictureFeed,
    UnitOptimiser,
    group_units,
)
from reportgen.sections.features.scoring import (
    MOST_CROPS,
    as_stored,
    crop_box,
    kept_curve,
    measured,
    verdict_of_unit,
)
from reportgen.sections.features.units import (
    DEFAULT_CLASSES,
    DEFAULT_UNITS,
    FULL,
    Unit,
    asked_units,
    class_units,
    default_layers,
    has_classes,
    strongest_channels,
)
from reportgen.settings import GROUP_SIZE
from reportgen.wording import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from reportgen.context import Context
    from reportgen.inputs.fitting import InputShape
    from reportgen.network.facts import NetworkFacts, UnitTensor
    from reportgen.network.protocol import Ascent, Batch, OptimisedPicture
    from reportgen.network.tasks import Task
    from reportgen.sections.features.optimisation import Group, OptimisedUnit
    from reportgen.sections.features.scoring import Measured

LOGIT_STRENGTH = 2.0
"""Logits see the whole picture: twice Lucid's transforms take the high frequencies out of it."""


class DecisionObserver:
    """Keeps which class each probe is taken for."""

    def __init__(self, task: Task | None) -> None:
        self._task = task
        self._found: list[int] = []

    def show(self, batch: Batch) -> None:
        """Take in one block of probes."""
        if self._task is not None:
            output = np.nan_to_num(batch.outputs[self._task.output])
            self._found += [int(k) for k in output.reshape(len(output), -1).argmax(axis=1)]

    def result(self) -> list[int]:
        """Return the classes in the order of the probes."""
        return self._found


def observe(context: Context) -> DecisionObserver:
    """Return the observer of the decisions.

    Raises:
        NotApplicable: there are no pictures to optimise.
        UsageError: units that the model does not have.
    """
    if context.settings.quick:
        raise NotApplicable("Left out by --quick: feature pictures are expensive.")
    if _image(context) is None:
        raise NotApplicable("No input takes images, so there is no picture to optimise.")
    if not _asked(context) and context.probes is None:
        raise NotApplicable(
            "No probes were given, so nothing says which units are strong: --probes PATH chooses, --units "
            "LAYER:INDEX asks for some."
        )
    return DecisionObserver(_class_task(context))


def _image(context: Context) -> InputShape | None:
    return image_input(context.specs)


def _class_task(context: Context) -> Task | None:
    return next((task for task in context.tasks if has_classes(task)), None)


def _asked(context: Context) -> list[Unit]:
    classes = {task: context.class_names(task) for task in context.tasks}
    return asked_units(context.settings.units, context.network.facts, classes)


def prepare(context: Context) -> None:
    """Trace the pass that pictures are made by, which takes as long as a round over a few probes."""
    context.network.prepare_ascents(context.settings.diversity * _units_at_once(context))


def _units_at_once(context: Context) -> int:
    """Return how many units are optimised in one batch; where each takes several pictures, one."""
    return 1 if context.settings.diversity > 1 else context.network.pictures_at_once


def collect(context: Context, classes: list[int] | None) -> Collected:
    """Return the pictures of the chosen units."""
    settings, spec = context.settings, _image(context)
    if spec is None:
        raise NotApplicable("No input takes images.")
    feed, held_words = _feed(context, spec)
    probes = _pixels(context, feed)
    chosen = _asked(context) or _default_units(context, feed, probes, classes or [])
    chosen += _caricatures(context)
    groups = group_units(chosen, _units_at_once(context))
    ascents = Ascents(feed, _counts(groups, settings.diversity))
    context.tools.progress.stage("Feature visualization", len(chosen))
    held: dict[str, NDArray[Any]] = {}

    def goal(unit: Unit, ascent: Ascent) -> NDArray[Any]:
        if unit.id not in held:
            held[unit.id] = _goal(unit, ascent, probes)
        return held[unit.id]

    optimiser = _optimiser(context, feed, ascents, goal, probes)
    outcome = optimiser.optimise(groups, context.inputs.deadline)
    uncut = {t.name if isinstance(t, OutputRef) else t: why for t, why in outcome.uncut.items()}
    notices = [
        Notice("warning", f"{what}: {reason}")
        for what, reason in (*uncut.items(), *outcome.refused.items())
    ]
    if not outcome.optimised and not outcome.left_out:
        raise NotApplicable(" ".join(notice.text for notice in notices) or "No unit was chosen.")
    units = tuple(_unit(context, one, probes) for one in outcome.optimised)
    content = FeaturesContent(
        units=units,
        method=settings.feature_method,
        steps=settings.steps_of_features,
        seed=settings.seed,
        diversity=settings.diversity,
        input=feed.scaling.words,
        held=held_words,
        left_out=tuple(unit.id for unit in outcome.left_out),
    )
    return Collected(content, _sentence(content), (*notices, *_notices(content)))


def _optimiser(
    context: Context,
    feed: PictureFeed,
    ascents: Ascents,
    goal: Callable[[Unit, Ascent], NDArray[Any]],
    probes: NDArray[Any] | None,
) -> UnitOptimiser:
    tools, side = context.tools, min(context.shapes[feed.image][:2])

    def measure(unit: Unit, ascent: Ascent, pictures: Sequence[OptimisedPicture]) -> Measured:
        return measured(ascent, unit, pictures, goal(unit, ascent), probes)

    return UnitOptimiser(
        ascents, PictureCache(tools.cache, tools.identity, feed),
        lambda group: _recipe(context, group, side), goal, measure, context.settings.diversity,
        context.network.lanes, tools.progress.advance, tools.stopped,
    )  # fmt: skip


# -- what is optimised ------------------------------------------------------------------------------


def _feed(context: Context, spec: InputShape) -> tuple[PictureFeed, str]:
    """Return how pictures are fed, and what the other inputs are held at, in words."""
    probes, prepared = context.probes[:2] if context.probes else (None, None)
    channels = spec.shape[2] if len(spec.shape) > 2 else 1
    own, function = context.network.facts.rescaling, context.inputs.preprocess
    scaling = find_input_scaling(prepared, probes, own, channels, function)
    held, words = {}, ""
    for tensor in context.network.facts.inputs:
        if tensor.name == spec.name:
            continue
        shape = context.shapes[tensor.name]
        if prepared is not None and tensor.name in prepared.inputs:
            held[tensor.name] = prepared.inputs[tensor.name][0]
            words = "the first probe's values"
        else:
            kind = tensor.dtype if "float" not in tensor.dtype else "float32"
            held[tensor.name] = np.zeros(shape, kind)
            words = words or "zeros"
    names = ", ".join(held)
    feed = PictureFeed(context.network, spec.name, held, scaling)
    return feed, f"{names} held at {words}" if held else ""


def _pixels(context: Context, feed: PictureFeed) -> NDArray[Any] | None:
    """Return the probes as pixel values in 0..1, (n, H, W, C)."""
    if context.probes is None or not context.probes.set.image_input:
        return None
    fed = context.probes.prepared.inputs[context.probes.set.image_input]
    fed = fed if fed.ndim == 4 else fed[..., None]
    finite = np.isfinite(fed.reshape(len(fed), -1)).all(axis=1)
    black = feed.scaling.offset
    return to_pixels(np.where(finite[:, None, None, None], fed, black), feed.scaling)


def _default_units(
    context: Context, feed: PictureFeed, probes: NDArray[Any] | None, classes: Sequence[int]
) -> list[Unit]:
    """Return at most two classes of the probes and the strongest channels of four layers, or twice that."""
    task, times = _class_task(context), FULL if context.settings.full else 1
    units = _of_probes(context, task, classes, DEFAULT_CLASSES * times) if task else []
    layers = default_layers(context.network.facts.calls)
    if not layers:
        return units
    rest = np.arange(DEFAULT_UNITS * times - len(units))
    each = [len(part) for part in np.array_split(rest, len(layers))]
    fold = context.folds.get("activations")
    activity = fold.result() if fold is not None else {}
    for call, count in zip(layers, each, strict=True):
        if context.tools.stopped():
            break
        known = activity.get(call.id)
        energy = known.variance if known else _energy(feed, call.id, probes)
        if energy is not None:
            units += [
                Unit("channel", call.id, k, f"channel {k}")
                for k in sorted(strongest_channels(energy, count))
            ]
    return units


def _of_probes(context: Context, task: Task, classes: Sequence[int], most: int) -> list[Unit]:
    names = context.class_names(task)
    given = context.probes.set.probes if context.probes else ()
    labels = [names.index(probe.label) for probe in given]
    known = [index for index in labels if index is not None] if task.kind != "binary" else []
    return class_units(task, [*known, *classes], names, most)


def _energy(feed: PictureFeed, call: str, probes: NDArray[Any] | None) -> NDArray[Any] | None:
    """Return how strongly each channel answers to the probes, else to noise, about its mean.

    A channel that is always on looks for nothing.
    """
    try:
        ascent = Ascents(feed, {call: GROUP_SIZE}).of(call)
    except NotApplicable:
        return None
    if probes is None:
        probes = np.random.default_rng(0).uniform(0, 1, (GROUP_SIZE, *ascent.canvas))
    _, behind = ascent.answers(probes.astype(np.float32))
    found: NDArray[Any] = behind.astype(np.float64).reshape(-1, behind.shape[-1]).var(axis=0)
    return found


def _caricatures(context: Context) -> list[Unit]:
    """Return the caricature of a probe, of the last but one of the layers spread over the depth."""
    if context.settings.caricature is None:
        return []
    wanted = str(context.settings.caricature)
    given = context.probes.set.probes if context.probes else ()
    names = [probe.name for probe in given]
    if wanted not in names and not (wanted.isdecimal() and int(wanted) < len(names)):
        raise UsageError(
            f"--caricature {wanted}: there is no such probe; give a name or a number from 0 to "
            f"{len(names) - 1}."
        )
    index = names.index(wanted) if wanted in names else int(wanted)
    layers = [c for c in default_layers(context.network.facts.calls) if len(c.shapes[0]) > 1]
    if not layers:
        raise NotApplicable("--caricature needs a layer whose features have places.")
    call = layers[max(len(layers) - 2, 0)]
    shown = f"probe {index + 1}" if context.settings.hide_names else names[index]
    return [Unit("caricature", call.id, None, f"caricature of {shown}", np.array([index]))]


def _counts(groups: Sequence[Group], diversity: int) -> dict[UnitTensor, int]:
    """Return how many pictures of each tensor are optimised at once."""
    counts: dict[UnitTensor, int] = {}
    for group in groups:
        counts[group.target] = max(counts.get(group.target, 1), diversity * len(group.units))
    return counts


def _recipe(context: Context, group: Group, side: int) -> Recipe:
    settings = context.settings
    return Recipe(
        settings.feature_method, settings.steps_of_features, settings.diversity > 1, settings.seed,
        LOGIT_STRENGTH if group.kind == "logit" and side >= CANVAS_SIDE else 1.0,
    )  # fmt: skip


def _goal(unit: Unit, ascent: Ascent, probes: NDArray[Any] | None) -> NDArray[Any]:
    """Return the direction of a unit, (C,), or of a caricature the features of its probe."""
    if unit.kind == "caricature" and unit.vector is not None and probes is not None:
        probe = probes[int(unit.vector[0])][None]
        before, _ = ascent.answers(_sized(probe, ascent.canvas))
        found: NDArray[Any] = before[0]
        return found
    if unit.vector is not None:
        return unit.vector
    goal = np.zeros(ascent.channels, np.float32)
    goal[unit.channel or 0] = 1
    return goal


def _sized(pictures: NDArray[Any], canvas: tuple[int, int, int]) -> NDArray[Any]:
    if pictures.shape[1:3] == canvas[:2]:
        return pictures.astype(np.float32)
    return np.stack([resize_bilinear(one, canvas[0], canvas[1]) for one in pictures]).astype(
        np.float32
    )


# -- what is shown ----------------------------------------------------------------------------------


def _tensor_names(facts: NetworkFacts, tensor: UnitTensor) -> tuple[str, str]:
    """Return the name of a tensor and the path of the layer that makes it."""
    if isinstance(tensor, OutputRef):
        return tensor.name, facts.output(tensor.name).layer or ""
    return tensor, next(call.layer for call in facts.calls if call.id == tensor)


def _unit(context: Context, optimised: OptimisedUnit, probes: NDArray[Any] | None) -> UnitFeature:
    """Return what is shown of a unit."""
    unit, ascent, pictures, (reached, noise, sees, answers) = optimised
    best = max(range(len(answers)), key=lambda k: answers[k].value) if answers else None
    value = max(value for value, _ in reached)
    fired = any(fired for _, fired in reached) or any(one.fired for one in answers)
    strongest = answers[best].value if best is not None else None
    name, layer = _tensor_names(context.network.facts, unit.target)
    images = tuple(_image_of(context, unit, one.pixels, k) for k, one in enumerate(pictures))
    return UnitFeature(
        id=unit.id,
        kind=unit.kind,
        call=name,
        layer=layer,
        index=unit.channel,
        name=unit.name,
        canvas=(ascent.canvas[0], ascent.canvas[1]),
        images=images,
        achieved=tuple(six_digits(value) for value, _ in reached),
        strongest=six_digits(strongest) if strongest is not None else None,
        strongest_probe=probe_name(context, best) if best is not None else "",
        noise=six_digits(noise),
        verdict=verdict_of_unit(value, strongest, noise, fired=fired),
        curve=kept_curve(pictures[0].curve),
        crops=_crops(context, unit, answers, sees, probes),
        sees=sees if unit.kind != "logit" else None,
    )


def _image_of(context: Context, unit: Unit, picture: NDArray[Any], copy: int) -> Any:
    eight = as_rgb(as_stored(picture), context.settings.bands)
    which = f", picture {copy + 1}" if copy else ""
    tools = context.tools
    return lossless(
        tools.images if unit.kind == "caricature" else tools.store,  # an exaggerated probe
        eight,
        f"What {unit.id} looks for{which}: an optimised picture.",
    )


def _crops(
    context: Context,
    unit: Unit,
    answers: Sequence[Any],
    sees: tuple[int, int],
    probes: NDArray[Any] | None,
) -> tuple[ProbeCrop, ...]:
    """Return what the unit sees of the probes with the largest answers."""
    if probes is None or unit.kind == "caricature":
        return ()
    order = sorted(range(len(answers)), key=lambda k: (-answers[k].peak, k))[:MOST_CROPS]
    crops = []
    for k in order:
        size = (probes.shape[1], probes.shape[2])
        place = None if unit.kind == "logit" else answers[k].place
        top, left, bottom, right = crop_box(place, sees, size)
        piece = as_rgb(as_stored(probes[k][top:bottom, left:right]), context.settings.bands)
        name = probe_name(context, k)
        where = f"rows {top} to {bottom}, columns {left} to {right}"
        alt = f"{name}, {where}: {unit.id} answers {answers[k].peak:.4g}."
        crops.append(
            ProbeCrop(
                k,
                name,
                six_digits(answers[k].peak),
                photograph(context.tools.images, piece, alt, whole=True),
            )
        )
    return tuple(crops)


def _sentence(content: FeaturesContent) -> str:
    made = f"Pictures for {plural(len(content.units), 'unit')}: {', '.join(_tally(content))}"
    left = f"; {plural(len(content.left_out), 'unit')} left out, by --budget"
    return f"{made if content.units else 'No unit was optimised'}{left * bool(content.left_out)}."


def _tally(content: FeaturesContent) -> list[str]:
    """Return how many pictures have each verdict, in words."""
    words = {
        "beats every probe": ("stronger than every probe", ""),
        "does not beat the probes": ("weaker than the strongest probe", ""),
        "beats noise": ("stronger than noise", ""),
        "no better than noise": ("no better than noise", ""),
        "dead": ("of a dead unit", "of dead units"),
    }
    said = []
    for verdict, (one, many) in words.items():
        count = sum(unit.verdict == verdict for unit in content.units)
        if count:
            said.append(f"{count} is {one}" if count == 1 else f"{count} are {many or one}")
    return said


def _notices(content: FeaturesContent) -> list[Notice]:
    notices = []
    if content.held:
        notices.append(Notice("info", f"One input is optimised; {content.held}."))
    if content.left_out:
        text = (
            f"--budget left no time for {', '.join(content.left_out[:12])}"
            f"{' …' if len(content.left_out) > 12 else ''}: without the option all are made."
        )
        notices.append(Notice("warning", text))
    return notices


SECTION = SectionMaker("features", "Features", collect, observe, beside="relevance", ahead=prepare)
