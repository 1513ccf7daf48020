"""What an output is taken for: guessed from its shape, activation and loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from reportgen.errors import LabelError
from reportgen.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reportgen.network.facts import NetworkFacts, OutputFacts

_DISTANCES = ("mean_squared", "mean_absolute", "mse", "mae", "huber", "log_cosh", "msle", "cosine")
SMALLEST_MASK = 8
"""Pixels a side from which an output of rank 3 is taken for a picture."""


class Task(msgspec.Struct, frozen=True):
    """What an output is taken for, guessed from the head.

    Attributes:
        output: name.
        kind: ``classification``, ``binary``, ``multilabel``, ``regression``, ``segmentation``,
            ``image`` or ``tensor``.
        scale: ``probabilities``, ``logits`` or ``values``.
        because: the reason in words.
    """

    output: str
    kind: str
    scale: str
    because: str


def guess_tasks(facts: NetworkFacts, classes: Sequence[str]) -> tuple[Task, ...]:
    """Return a guess for every output.

    Raises:
        LabelError: class names were given that fit no output.
    """
    tasks = tuple(_guess(output, facts, classes) for output in facts.outputs)
    if (
        classes
        and tasks
        and not any(class_count(t, o) == len(classes) for t, o in _pairs(tasks, facts))
    ):
        counts = ", ".join(
            f"{output.name}: {class_count(task, output) or 'none'}"
            for task, output in _pairs(tasks, facts)
        )
        raise LabelError(
            f"{len(classes)} class names were given, but the model's outputs have this many "
            "classes: "
            f"{counts}."
        )
    return tasks


def _pairs(tasks: Sequence[Task], facts: NetworkFacts) -> list[tuple[Task, OutputFacts]]:
    return list(zip(tasks, facts.outputs, strict=True))


def class_count(task: Task, output: OutputFacts) -> int:
    """Return how many class names fit an output; 0 where none do. One sigmoid unit has two classes."""
    size = int(output.shape[-1] or 0) if len(output.shape) > 1 else 0
    if task.kind == "binary":
        return 2
    if task.kind == "segmentation":
        return 2 if size == 1 else size
    return size if task.kind in {"classification", "multilabel", "regression"} else 0


def _guess(output: OutputFacts, facts: NetworkFacts, classes: Sequence[str]) -> Task:
    shape = tuple(n or 0 for n in output.shape[1:])
    if None in output.shape[1:]:
        return Task(output.name, "tensor", "values", "a size of it follows the number of images")
    if facts.trace_problem and output.activation is None and output.loss is None:
        return Task(output.name, "tensor", "values", "the forward pass could not be traced")
    over = output.softmax_over
    if over is not None and shape and over != shape[-1]:
        return Task(output.name, "tensor", "values", f"softmax over {plural(over, 'value')} each")
    if len(shape) == 1:
        kind, scale, because = _guess_vector(output, shape[0], classes)
    elif len(shape) == 3 and min(shape[:2]) >= SMALLEST_MASK:
        kind, scale, because = _guess_picture(output, shape, facts, classes)
    else:
        kind, scale, because = (
            "tensor",
            "values",
            f"an output of shape {shape} has no usual meaning",
        )
    return Task(output.name, kind, scale, because)


def _guess_vector(output: OutputFacts, size: int, classes: Sequence[str]) -> tuple[str, str, str]:
    activation = output.activation
    if output.distribution:
        return "classification", "probabilities", f"{size} values that sum to 1 on random inputs"
    if activation in {"softmax", "log_softmax"} and size > 1:
        scale = "probabilities" if activation == "softmax" else "logits"
        return "classification", scale, f"{activation} over {size} units"
    if activation == "softmax":
        return "binary", "probabilities", "softmax over one unit, which is always 1"
    if activation in {"sigmoid", "hard_sigmoid"}:
        if size == 1:
            return "binary", "probabilities", "one sigmoid unit"
        return "multilabel", "probabilities", f"{size} sigmoid units"
    return _guess_by_loss(output, size) or _guess_by_names(output, size, classes)


def _guess_by_loss(output: OutputFacts, size: int) -> tuple[str, str, str] | None:
    loss = output.loss or ""
    if "binary" in loss and "crossentropy" in loss:
        kind = "binary" if size == 1 else "multilabel"
        if output.from_logits is False:  # it cuts them to 0..1, and Keras decides by them
            return kind, "probabilities", f"compiled with {loss}, which takes probabilities"
        return kind, "logits", f"no activation, compiled with {loss}"
    if "crossentropy" in loss and size > 1:
        return "classification", "logits", f"no activation, compiled with {loss}"
    if any(name in loss for name in _DISTANCES):
        return "regression", "values", f"compiled with {loss}"
    return None


def _guess_by_names(output: OutputFacts, size: int, classes: Sequence[str]) -> tuple[str, str, str]:
    plain = output.activation in {None, "linear"}
    if plain and size > 1 and len(classes) == size:
        return "classification", "logits", f"no activation, and {size} class names were given"
    if plain and size == 1 and len(classes) == 2:
        return "binary", "logits", "one unit without activation, and two class names were given"
    if "logit" in output.name.lower() and size > 1:
        return "classification", "logits", f"the output is called {output.name}"
    units = "one unit" if size == 1 else f"{size} units"
    return "regression", "values", f"{units} with {output.activation or 'no'} activation"


def _guess_picture(
    output: OutputFacts, shape: tuple[int, ...], facts: NetworkFacts, classes: Sequence[str]
) -> tuple[str, str, str]:
    activation, loss, channels = output.activation, output.loss or "", shape[2]
    source = next((tensor.shape[3] for tensor in facts.inputs if len(tensor.shape) == 4), None)
    if output.distribution:
        return "segmentation", "probabilities", f"{channels} values that sum to 1 at every pixel"
    if activation == "softmax" and channels > 1:
        return "segmentation", "probabilities", f"softmax over {channels} classes at every pixel"
    if any(name in loss for name in _DISTANCES):
        return "image", "values", f"a picture, compiled with {loss}"
    if activation == "sigmoid" and channels == 1 and source == 1:
        joins = [layer.class_name for layer in facts.layers if layer.class_name == "Concatenate"]
        if not joins and "crossentropy" not in loss:
            return "image", "values", "one grey channel in and out, without skip connections"
        return "segmentation", "probabilities", "a sigmoid at every pixel"
    if activation == "sigmoid" and channels != source:
        return "segmentation", "probabilities", f"{channels} sigmoid at every pixel"
    if "crossentropy" in loss or (channels > 1 and len(classes) == channels):
        return (
            "segmentation",
            "logits",
            f"{channels} channels without activation, trained as classes",
        )
    if channels == source:
        return "image", "values", "as many channels out as in"
    if channels == 1 and activation not in {"softmax", "sigmoid"}:
        return "image", "values", f"a number at every pixel, with {activation or 'no'} activation"
    return "tensor", "values", f"{channels} channels with {activation or 'no'} activation"
