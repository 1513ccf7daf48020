"""What the network is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from reportgen.network.facts import peak_bytes
from reportgen.observe import Collected, SectionMaker
from reportgen.report.content.overview import OverviewContent
from reportgen.report.leaves import Notice
from reportgen.version import __version__
from reportgen.wording import size_text

if TYPE_CHECKING:
    from reportgen.context import Context
    from reportgen.network.facts import NetworkFacts, Origin
    from reportgen.settings import Settings

_TASKS = {
    "classification": "classifier",
    "binary": "binary classifier",
    "multilabel": "multi-label classifier",
    "regression": "regression network",
    "segmentation": "segmentation network",
    "image": "image-to-image network",
    "tensor": "network",
}


def collect(context: Context, _: Any) -> Collected:
    """Return the network's facts as the overview's content."""
    facts = context.network.facts
    traced = bool(facts.calls) and facts.executable
    content = OverviewContent(
        name=facts.name,
        class_name=facts.class_name,
        tasks=context.tasks,
        inputs=facts.inputs,
        outputs=facts.outputs,
        layers=len(facts.layers),
        parameters=facts.parameters,
        trainable_parameters=facts.trainable_parameters,
        non_trainable_parameters=facts.parameters - facts.trainable_parameters,
        weight_bytes=facts.weight_bytes,
        flops=facts.flops,
        activation_bytes=(
            peak_bytes(facts.calls, context.shapes, facts.outputs) if traced else None
        ),
        input_shapes=tuple(context.shapes.values()),
        dtype_policy=_policies(facts),
        optimizer=facts.optimizer,
        learning_rate=facts.learning_rate,
        loss=facts.loss,
        file=context.inputs.file,
        versions=(("reportgen", __version__), *facts.versions),
        command=context.inputs.command,
        seed=context.settings.seed,
        meta=context.settings.meta,
        classes=context.classes,
        uncounted=facts.uncounted,
        origin=facts.origin,
    )
    return Collected(content, _sentence(content), _notices(context))


def _policies(facts: NetworkFacts) -> str:
    """Name the policies that the layers compute in, the most common first.

    The model's own says little: it stays ``float32`` where all of its layers are ``mixed_float16``.
    """
    parents = {layer.parent for layer in facts.layers}
    counts = Counter(
        layer.dtype_policy
        for layer in facts.layers
        if layer.path not in parents and layer.class_name != "InputLayer" and layer.dtype_policy
    )
    return ", ".join(name for name, _ in counts.most_common()) or facts.dtype_policy


def _sentence(content: OverviewContent) -> str:
    kinds = list(dict.fromkeys(_TASKS[task.kind] for task in content.tasks)) or ["network"]
    kind = " and ".join(kinds)
    counts = [
        f"{size} {'classes' if task.kind == 'classification' else 'labels'}"
        for task, output in zip(content.tasks, content.outputs, strict=True)
        if task.kind in {"classification", "multilabel"} and (size := output.shape[-1])
    ]
    of = f" with {' and '.join(counts)}" if counts else ""
    article = "An" if kind[0] in "aeiou" else "A"
    sizes = " and ".join("×".join(str(n) for n in shape) for shape in content.input_shapes)
    takes = f" for inputs of {sizes}" if sizes else ""
    layers = f", {content.layers} layers" if content.layers else ""  # a graph may name none
    return f"{article} {kind}{of}{takes}{layers}."


def _notices(context: Context) -> tuple[Notice, ...]:
    facts, settings = context.network.facts, context.settings
    notices = _on_the_file(facts.origin)
    if context.tools.left_out:
        whose = "images" if "probes" in context.tools.left_out else "images of the data set"
        notices.append(
            Notice("info", f"Pictures of {whose} are left out of this report, as was asked.")
        )
    if not facts.executable:
        return tuple(notices)
    if facts.trace_problem:
        text = "The forward pass could not be traced: no FLOPs, no memory, and no input can be run"
        notices.append(Notice("error", f"{text}. {facts.trace_problem}."))
    elif facts.run_problem:
        text = "No input can be run through this network here"
        notices.append(Notice("error", f"{text}: {facts.run_problem}."))
    for tensor in facts.inputs:
        if any(n is None for n in tensor.shape[1:]):
            shape = context.shapes[tensor.name]
            text = (
                f"The model leaves the size of its input {tensor.name} open; it was run at {shape}."
            )
            notices.append(Notice("info", text + _hint(settings)))
    size, taken = settings.input_size, context.shapes.values()
    if size is not None and not any(size in (one[:2], one[1:]) for one in taken):
        asked, own = "x".join(map(str, size)), " and ".join(map(size_text, taken))
        text = (
            f"--input-size {asked} was not heeded: the model takes {own}, and leaves no size open."
        )
        notices.append(Notice("warning", text))
    return tuple(notices)


def _on_the_file(origin: Origin | None) -> list[Notice]:
    """Say in which way a network was had from its file, where that is not the usual one."""
    if origin is None:
        return []
    notices = [Notice("info", f"{note}.") for note in origin.notes]
    writer = f"Keras {origin.version}" if origin.version else "an older Keras"
    if origin.way == "migrated":
        text = (
            f"This file was written by {writer}. Its configuration was migrated to Keras 3, and its weights "
            "were assigned by name and order with every shape compared."
        )
        notices.append(Notice("info", text))
    if origin.way == "graph":
        text = (
            "The SavedModel's graph was run as a whole (--allow-code), for predictions and occlusion maps. "
            f"Layers and weights are shown as stored. {origin.reason}."
        )
        notices.append(Notice("info", text))
    if origin.way == "stored":
        asked = origin.reason.startswith("--weights-only")
        text = (
            "No network was built: the page shows the layers and the weights that the file stores, and nothing "
            f"was run. {origin.reason}."
        )
        notices.append(Notice("info" if asked else "warning", text))
    return notices


def _hint(settings: Settings) -> str:
    return "" if settings.input_size else " --input-size HxW chooses another."


SECTION = SectionMaker("overview", "Overview", collect)
