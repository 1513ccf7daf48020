"""What the network says about the probes: each image as given, as received and as judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from reportgen.drawing.pictures import (
    COLOURS,
    Window,
    own_window,
    photograph,
    shown_bands,
    window_of,
)
from reportgen.drawing.series import drawn_channels, series_figure
from reportgen.errors import NotApplicable
from reportgen.inputs.classes import ClassNames
from reportgen.inputs.preprocessing import match_normalization
from reportgen.numerics import finite_number, six_digits, wilson
from reportgen.observe import Collected, SectionMaker
from reportgen.report.content.probes import (
    BinaryResult,
    ClassificationResult,
    Control,
    OtherReading,
    ProbeResult,
    ProbesContent,
    ReceivedInput,
)
from reportgen.report.leaves import Notice
from reportgen.sections.probes.predictions import read_output
from reportgen.wording import percent_text, plural

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from reportgen.context import Context, Probes
    from reportgen.drawing.assets import AssetStore
    from reportgen.inputs.probes import Probe, ProbeSet
    from reportgen.network.protocol import Batch
    from reportgen.network.tasks import Task
    from reportgen.report.content.probes import OutputResult, Score
    from reportgen.report.leaves import Figure, ProbeLabel

_RESIZE = {
    "stretch": "stretched to the input's size, bilinear without antialias, as Keras's loaders do",
    "crop": "cropped centrally to the input's aspect ratio, then resized bilinearly without antialias",
    "pad": "padded with zeros to the input's aspect ratio, then resized bilinearly without antialias",
}


class ProbeObserver:
    """Turns each block's outputs into results, so that no output outlives its block."""

    def __init__(self, context: Context, probes: ProbeSet) -> None:
        self._context = context
        self._probes = probes
        self._results: list[ProbeResult] = []
        self._kinds = {spec.name: spec.kind for spec in context.specs}
        self._series = {spec.name for spec in context.specs if spec.series}

    def show(self, batch: Batch) -> None:
        """Judge one block of probes."""
        count = len(next(iter(batch.outputs.values())))
        for row in range(count):
            inputs = {name: array[row] for name, array in batch.inputs.items()}
            outputs = {name: array[row] for name, array in batch.outputs.items()}
            logits = {name: array[row] for name, array in batch.logits.items()}
            self._results.append(self._judged(batch.first + row, inputs, outputs, logits))

    def _judged(
        self,
        index: int,
        inputs: dict[str, NDArray[Any]],
        outputs: dict[str, NDArray[Any]],
        logits: dict[str, NDArray[Any]],
    ) -> ProbeResult:
        context, probe = self._context, self._probes.probes[index]
        hidden = context.settings.hide_names
        name = f"probe {index + 1}" if hidden else probe.name
        received = tuple(self._received(key, array, name) for key, array in inputs.items())
        image = self._picture_below(inputs)
        results, label = [], None
        for task in context.tasks:
            resolved = self._label(probe, task)
            label = label or resolved
            results.append(
                read_output(
                    task,
                    outputs[task.output],
                    classes=context.class_names(task),
                    label=probe.label,
                    context=context,
                    image=image,
                    source=inputs.get(self._probes.image_input or ""),
                    logits=logits.get(task.output),
                )
            )
        return ProbeResult(
            index=index,
            name=name,
            size=probe.size,
            kind=probe.kind,
            label=label,
            given=_given(context.tools.images, probe, name),
            received=received,
            outputs=tuple(results),
            notes=probe.notes,
        )

    def _label(self, probe: Probe, task: Task) -> ProbeLabel | None:
        if probe.label is None:
            return None
        classes = self._context.class_names(task)
        judged = task.kind in {"classification", "binary"}
        return (classes if judged else ClassNames(0)).shown(probe.label)

    def _received(self, name: str, array: NDArray[Any], probe: str) -> ReceivedInput:
        zeros = name in self._probes.zero_inputs
        finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
        low = float(finite.min()) if finite.size else None
        high = float(finite.max()) if finite.size else None
        figure, window = None, None
        bands: tuple[int, ...] = ()
        lines: tuple[int, ...] = ()
        if not zeros and name in self._series:
            lines = drawn_channels(array)
            figure = _series_figure(self._context.tools.images, array, name, probe, low, high)
        elif not zeros and self._is_picture(name, array):
            figure, window = _received_picture(self._context, array, name, probe, low, high)
            channels = array.shape[2] if array.ndim == 3 else 1
            if channels > COLOURS or self._context.settings.bands:
                bands = shown_bands(channels, self._context.settings.bands)
        return ReceivedInput(
            input=name,
            figure=figure,
            shape=tuple(array.shape),
            low=six_digits(low),
            high=six_digits(high),
            window=window,
            bands=bands,
            lines=lines,
            zeros=zeros,
            non_finite=int(array.size - finite.size),
        )

    def _picture_below(self, inputs: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
        name = self._probes.image_input or ""
        array = inputs.get(name)
        if array is None or not self._is_picture(name, array):
            return None
        return own_window(array, self._context.settings.bands)

    def _is_picture(self, name: str, array: NDArray[Any]) -> bool:
        if array.ndim == 2:
            return min(array.shape) >= 8 and self._kinds[name] == "unknown"
        return array.ndim == 3 and min(array.shape[:2]) >= 4

    def result(self) -> list[ProbeResult]:
        """Return the results in the order of the probes."""
        return self._results


def _series_figure(
    store: AssetStore,
    array: NDArray[Any],
    name: str,
    probe: str,
    low: float | None,
    high: float | None,
) -> Figure:
    steps, channels = array.shape
    alt = (
        f"{probe} as the network receives it at {name}: a series of {steps} steps by {channels} "
        f"{'channel' if channels == 1 else 'channels'}, {_values(low, high)}."
    )
    return series_figure(store, array, alt)


def _values(low: float | None, high: float | None) -> str:
    known = low is not None and high is not None
    return f"values {low:.4g} to {high:.4g}" if known else "no finite values"


def _received_picture(
    context: Context,
    array: NDArray[Any],
    name: str,
    probe: str,
    low: float | None,
    high: float | None,
) -> tuple[Figure, tuple[float, float] | None]:
    shape = " by ".join(str(n) for n in array.shape[:2])
    alt = f"{probe} as the network receives it at {name}: {shape} pixels, {_values(low, high)}."
    seen = own_window(array, context.settings.bands)
    figure = photograph(context.tools.images, seen, alt, whole=True)
    window = window_of(array)
    if window == Window(0.0, 255.0) or (array.ndim == 3 and array.shape[2] > COLOURS):
        return figure, None
    return figure, (finite_number(window.low), finite_number(window.high))


def _given(store: AssetStore, probe: Probe, name: str) -> Figure | None:
    if probe.given is None:
        return None
    size = f", {probe.size[0]} by {probe.size[1]} pixels" if probe.size else ""
    return photograph(store, probe.given, f"{name} as given{size}.")


def observe(context: Context) -> ProbeObserver:
    """Return the observer of the probes.

    Raises:
        NotApplicable: no probes were given.
    """
    if context.probes is None:
        raise NotApplicable(
            "No probes were given: --probes PATH shows what the network says about "
            f"{context.sample.many}."
        )
    return ProbeObserver(context, context.probes.set)


def collect(context: Context, results: list[ProbeResult]) -> Collected:
    """Return the probes' results with how they were prepared."""
    if context.probes is None:
        raise NotApplicable("No probes were given.")
    probes, prepared, _ = context.probes
    results = _with_other_readings(context, context.probes, results)
    judged = [r.outputs[0] for r in results if r.outputs]
    verdicts = [bool(v) for o in judged if (v := getattr(o, "correct", None)) is not None]
    content = ProbesContent(
        probes=tuple(results),
        total=probes.total,
        preprocessing=prepared.facts,
        resize=_RESIZE[context.settings.resize] if probes.resized else None,
        normalization=match_normalization(prepared.inputs, probes.image_input, context.network)
        if probes.image_input
        else None,
        controls=_controls(context, context.probes, results),
        labelled=len(verdicts),
        correct=sum(verdicts),
        interval=_interval(verdicts, chosen=probes.chosen),
        chosen=probes.chosen,
        different=_different(prepared.inputs),
    )
    notices = (*probes.notices, *prepared.notices, *_notices(probes, results))
    return Collected(content, _sentence(content), notices)


def _interval(verdicts: list[bool], *, chosen: bool) -> tuple[float, float] | None:
    """Return the interval of the share that is right; None without any, or where they were chosen by it."""
    if chosen or not verdicts:
        return None
    low, high = wilson(sum(verdicts), len(verdicts))
    return finite_number(low), finite_number(high)


def _different(inputs: Mapping[str, NDArray[Any]], most: int = 4) -> int:
    """Count inputs that differ from those before by more than a thousandth of their range, up to ``most``."""
    found: list[list[NDArray[Any]]] = []
    for row in range(len(next(iter(inputs.values())))):
        if len(found) == most:
            break
        values = [
            np.nan_to_num(array[row].astype(np.float64), posinf=0, neginf=0)
            for array in inputs.values()
            if array.size
        ]
        if not any(all(map(_alike, values, held)) for held in found):
            found.append(values)
    return len(found)


def _alike(one: NDArray[Any], other: NDArray[Any]) -> bool:
    span = max(one.max(), other.max()) - min(one.min(), other.min())
    return bool(np.abs(one - other).max() <= span / 1000)


def _with_other_readings(
    context: Context, probes: Probes, results: list[ProbeResult]
) -> list[ProbeResult]:
    """Add what is decided for another class where its image is cropped or turned."""
    name, task, variants = probes.set.image_input, context.tasks[0], probes.set.variants
    if name is None or not variants or task.kind not in {"classification", "binary"}:
        return results
    rows = [variant.probe for variant in variants]
    inputs = {key: fed[rows] for key, fed in probes.prepared.inputs.items()}
    inputs[name] = probes.feed(np.stack([variant.array for variant in variants]))
    found = list(results)
    for batch in context.network.forward(inputs):
        for row, values in enumerate(batch.outputs[task.output]):
            probe, reading, _ = variants[batch.first + row]
            now, other = _decision(results[probe].outputs[0]), _decision(_read(context, values))
            if now is not None and other is not None and now.index != other.index:
                more = (*found[probe].otherwise, OtherReading(reading, other))
                found[probe] = msgspec.structs.replace(found[probe], otherwise=more)
    return found


def _decision(result: OutputResult) -> Score | None:
    if isinstance(result, ClassificationResult):
        return result.top[0] if result.top else None
    return result.decision if isinstance(result, BinaryResult) else None


def _read(
    context: Context, values: NDArray[Any], logits: NDArray[Any] | None = None
) -> OutputResult:
    """Read the first output for an image that is no probe."""
    task = context.tasks[0]
    classes = context.class_names(task)
    return read_output(
        task, values, classes=classes, label=None, context=context, image=None, source=None, logits=logits
    )  # fmt: skip


def _controls(context: Context, probes: Probes, results: list[ProbeResult]) -> tuple[Control, ...]:
    """Show the network artificial inputs where it says one class to all probes."""
    name, prepared = probes.set.image_input, probes.prepared
    decided = [o for r in results for o in r.outputs[:1] if isinstance(o, ClassificationResult)]
    classes = {o.top[0].index for o in decided if o.top}
    if name is None or len(decided) < 4 or len(classes) != 1:
        return ()
    inputs = {
        key: np.repeat(array[:1], len(_CONTROLS), axis=0) for key, array in prepared.inputs.items()
    }
    inputs[name] = control_inputs(prepared.inputs[name], context.settings.seed)
    found: list[Control] = []
    task = context.tasks[0]
    for batch in context.network.forward(inputs):
        for row, values in enumerate(batch.outputs[task.output]):
            logits = batch.logits.get(task.output)
            result = _read(context, values, logits[row] if logits is not None else None)
            if isinstance(result, ClassificationResult) and result.top:
                kind = _CONTROLS[batch.first + row]
                found.append(Control(kind, result.top[0].index, result.logit_gap))
    return tuple(found)


_CONTROLS = ("black", "white", "noise", "ramp", "halves")


def control_inputs(fed: NDArray[Any], seed: int) -> NDArray[Any]:
    """Return five artificial images over the range of what was fed: see ``_CONTROLS``.

    Args:
        fed: (n, height, width) or (n, height, width, channels).
        seed: of the noise.
    """
    low, high = float(np.nanmin(fed)), float(np.nanmax(fed))
    shape = fed.shape[1:]
    noise = np.random.default_rng(seed).uniform(low, high, shape)
    across = np.linspace(low, high, shape[1]).reshape((1, shape[1]) + (1,) * (len(shape) - 2))
    halves = np.full(shape, low)
    halves[: shape[0] // 2] = high
    images = [
        np.full(shape, low),
        np.full(shape, high),
        noise,
        np.broadcast_to(across, shape),
        halves,
    ]
    return np.stack(images).astype(fed.dtype)


def _sentence(content: ProbesContent) -> str:
    shown = len(content.probes)
    of = plural(shown, "probe")
    if content.total > shown:
        of = f"{shown:,} of {plural(content.total, 'probe')}"
    if content.chosen:
        wrong = content.labelled - content.correct
        return f"{of}: {wrong} with a wrong and {content.correct} with a correct prediction were chosen."
    if content.labelled:
        return f"{of}: {content.correct:,} of {content.labelled:,} with a known label are correct."
    sure = [
        o.top[0].probability
        for probe in content.probes
        for o in probe.outputs[:1]
        if isinstance(o, ClassificationResult) and o.top and o.top[0].probability is not None
    ]
    if sure:
        median = percent_text(float(np.median(sure)))
        return f"{of}: the median probability of the best class is {median}; no labels were given."
    return f"{of}."


def _notices(probes: ProbeSet, results: list[ProbeResult]) -> list[Notice]:
    notices = []
    if probes.zero_inputs:
        names = ", ".join(probes.zero_inputs)
        notices.append(
            Notice(
                "warning",
                f"Not all inputs were given: the further inputs ({names}) were filled with zeros, "
                "so the "
                "outputs say little. An .npz with an array for each input feeds them all.",
            )
        )
    broken = [r.name for r in results if any(getattr(o, "non_finite", 0) for o in r.outputs)]
    if broken:
        notices.append(
            Notice(
                "warning",
                f"The network answers NaN or infinity to {len(broken)} of {len(results)} probes.",
            )
        )
    unknown = sorted(
        {r.label.text for r in results if r.label is not None and r.label.index is None}
    )
    if unknown and any(isinstance(o, ClassificationResult) for r in results for o in r.outputs):
        listed = ", ".join(repr(text) for text in unknown[:5])
        notices.append(
            Notice(
                "info", f"Labels that name no class of the model ({listed}) are shown, not judged."
            )
        )
    first = results[0].outputs[0] if results and results[0].outputs else None
    if (
        isinstance(first, ClassificationResult)
        and first.top
        and all(score.name == f"class {score.index}" for score in first.top)
    ):
        notices.append(
            Notice("info", "The classes have no names and are numbered; --classes FILE names them.")
        )
    return notices


SECTION = SectionMaker("probes", "Probes", collect, observe)
