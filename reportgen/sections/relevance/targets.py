"""Targets: which number of the output a map explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from reportgen.errors import NotApplicable, UsageError
from reportgen.inputs.classes import ClassNames
from reportgen.numerics import probabilities_of, sigmoid, softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.network.facts import OutputFacts
    from reportgen.network.protocol import AimKind
    from reportgen.network.tasks import Task
    from reportgen.report.content.relevance import Role


Scale = Literal["softmax", "probability", "sigmoid", "value", "norm", "error", "similarity"]
STEADY = 0.01
"""Norms that differ by less than this part of their mean are made the same, as by a LayerNormalization."""


class Target(NamedTuple):
    """What a map explains.

    Attributes:
        output: name of the output.
        kind: of the aim.
        unit: index of the class or unit, None for a whole output.
        name: of the class, or what the score is.
        role: why it is explained.
        weights: of a linear aim, shaped as the output; else None.
        scale: how the score of deletion and insertion is read.
        sign: -1 for the negative class of one sigmoid unit.
        region: (height, width) of a mask's pixels that are explained.
        channel: of the output that the score is read from; None for all.
    """

    output: str
    kind: AimKind
    unit: int | None
    name: str
    role: Role
    weights: NDArray[Any] | None
    scale: Scale
    sign: Literal[1, -1] = 1
    region: NDArray[Any] | None = None
    channel: int | None = None

    @property
    def decides(self) -> bool:
        """Whether the score is a probability, so that effects on its logit have an absolute size."""
        return self.scale in {"softmax", "probability", "sigmoid"}

    def read(self, output: NDArray[Any], image: NDArray[Any]) -> float:
        """Return the score of deletion and insertion: a probability where the output has them.

        Args:
            output: as the network gives it, without the batch dimension.
            image: what was fed, for the error of a reconstruction.
        """
        if self.scale == "norm":
            return float(np.sqrt(np.sum(np.square(output, dtype=np.float64))))
        if self.scale == "similarity" and self.weights is not None:
            return float(np.sum(self.weights * output.astype(np.float64)))
        if self.scale == "error":
            difference = output.astype(np.float64) - image
            return float(np.mean(difference**2))
        if self.scale == "softmax":
            output = softmax(output)
        elif self.scale == "sigmoid":
            output = sigmoid(output)
        picked = output[..., self.channel] if self.channel is not None else output
        value = float(picked[self.region].mean() if self.region is not None else np.mean(picked))
        return value if self.sign > 0 else 1 - value


def choose_output(
    wanted: Sequence[str], tasks: Sequence[Task], classes: Sequence[str]
) -> tuple[str | None, tuple[str, ...]]:
    """Read ``--target`` texts: ``CLASS``, ``INDEX``, ``OUTPUT``, ``OUTPUT:CLASS`` or ``OUTPUT:INDEX``.

    Returns:
        The output that they name, None where none does, and the classes or indices asked for.

    Raises:
        UsageError: they name several outputs.
    """
    names = [task.output for task in tasks]
    outputs: list[str] = []
    rest: list[str] = []
    for text in wanted:
        named = [name for name in names if text == name or text.startswith(f"{name}:")]
        if text in classes:
            rest.append(text)
        elif named:
            output = max(named, key=len)
            outputs.append(output)
            rest += [text[len(output) + 1 :]] if text != output else []
        elif ":" in text:
            raise UsageError(
                f"--target {text}: there is no output {text.rpartition(':')[0]!r}. "
                f"The outputs are {', '.join(names)}."
            )
        else:
            rest.append(text)
    if len(set(outputs)) > 1:
        raise UsageError("--target names several outputs; a report explains one of them.")
    return (outputs[0] if outputs else None), tuple(rest)


def check_output(output: OutputFacts) -> None:
    """Refuse what decides nothing.

    Raises:
        NotApplicable: a softmax over one unit.
    """
    if output.always_one:
        raise NotApplicable(
            f"The output {output.name!r} is a softmax over a single class, which is always 1: nothing is "
            "decided, so nothing can be explained."
        )


def find_targets(
    task: Task,
    facts: OutputFacts,
    output: NDArray[Any],
    *,
    classes: ClassNames,
    true: int | None,
    asked: Sequence[str],
    threshold: float,
    image: tuple[int, ...],
) -> list[Target]:
    """Return what is explained of a probe: the predicted class, a true one that differs, those asked for.

    Args:
        task: what the output is taken for.
        facts: of the output.
        output: the probe's, without the batch dimension; finite.
        classes: of the output.
        true: index of the true class, None without one.
        asked: classes or indices of ``--target``.
        threshold: of sigmoid outputs.
        image: shape of what was fed.

    Raises:
        UsageError: an asked class or index that the output does not have.
    """
    indices = list(dict.fromkeys(find_index(text, task, facts, classes) for text in asked))
    if task.kind == "classification":
        return _of_classes(task, output, classes, true, indices)
    if task.kind == "binary":
        return _of_sigmoid(task, output, classes, true, indices, threshold)
    if task.kind == "segmentation":
        chosen: list[int | None] = [*indices] or [None]
        return [_of_mask(task, output, classes, index, threshold) for index in chosen]
    if task.kind == "multilabel":
        best = int(np.argmax(output))
        scale: Scale = "sigmoid" if task.scale == "logits" else "probability"
        wanted = _wanted(best, None, indices)
        return [_unit(task, output, i, classes.name(i), r, scale) for i, r in wanted.items()]
    if indices or (output.ndim == 1 and output.size == 1):
        return [
            _unit(
                task,
                output,
                i,
                classes.name(i) if classes.names else f"unit {i}",
                "asked" if indices else "predicted",
                "value",
            )
            for i in indices or [0]
        ]
    if task.kind == "image" and output.shape == image:
        return [
            Target(task.output, "error", None, "reconstruction error", "predicted", None, "error")
        ]
    return [Target(task.output, "norm", None, "norm of the output", "predicted", None, "norm")]


def similarities(targets: Sequence[Target], outputs: Sequence[NDArray[Any]]) -> list[Target] | None:
    """Return what to explain in place of a norm that says nothing: likeness to each probe's own output.

    The score is the component of an output in the direction in which the probe's own one differs from their
    mean. A cosine with the own output would have no gradient at the probe itself, where it is largest.

    Args:
        targets: one a probe.
        outputs: of the probes in their order, and further ones to compare with; finite.

    Returns:
        None where the targets are no norms, or these differ; one of 0 is that of an input that says nothing.
    """
    if any(target.kind != "norm" for target in targets):
        return None
    wide = np.stack(outputs).astype(np.float64)
    norms = np.sqrt(np.square(wide).reshape(len(wide), -1).sum(axis=1))
    known = norms[norms > STEADY * norms.max()]
    if not known.size or float(np.ptp(known)) >= STEADY * float(known.mean()):
        return None
    name = "similarity to its own output, against the mean of the probes' outputs"
    found = []
    for target, away in zip(targets, wide - wide.mean(axis=0), strict=False):
        length = float(np.sqrt(np.square(away).sum()))
        weights = (away / length if length > 0 else away).astype(np.float32)
        found.append(target._replace(kind="linear", name=name, weights=weights, scale="similarity"))
    return found


def find_index(text: str, task: Task, facts: OutputFacts, classes: ClassNames) -> int:
    """Return the class or unit that a ``--target`` names.

    Raises:
        UsageError: the output has none of that name or number.
    """
    known = classes if classes.count else ClassNames(int(facts.shape[-1] or 0))
    index = known.index(text)
    if index is not None:
        return index
    names = known.known
    such = f"names such as {names[0]!r} or " if names else ""
    hint = "" if names else " (names need --classes)"
    raise UsageError(
        f"--target {text}: the output {task.output!r} has no such class. It takes {such}0 to "
        f"{known.count - 1}{hint}."
    )


def _unit(
    task: Task, output: NDArray[Any], index: int, name: str, role: Role, scale: Scale
) -> Target:
    weights = np.zeros(output.shape, np.float32)
    weights[..., index] = 1
    return Target(task.output, "linear", index, name, role, weights, scale, channel=index)


def _wanted(predicted: int, true: int | None, asked: Sequence[int]) -> dict[int, Role]:
    """Return the classes to explain, each once, with the first reason for it."""
    wanted: dict[int, Role] = {predicted: "predicted"}
    if true is not None:
        wanted.setdefault(true, "true")
    for index in asked:
        wanted.setdefault(index, "asked")
    return wanted


def _of_classes(
    task: Task,
    output: NDArray[Any],
    classes: ClassNames,
    true: int | None,
    asked: Sequence[int],
) -> list[Target]:
    wanted = _wanted(int(np.argmax(output)), true, asked)
    scale: Scale = "softmax" if task.scale == "logits" else "probability"
    return [_unit(task, output, i, classes.name(i), role, scale) for i, role in wanted.items()]


def _of_sigmoid(
    task: Task,
    output: NDArray[Any],
    classes: ClassNames,
    true: int | None,
    asked: Sequence[int],
    threshold: float,
) -> list[Target]:
    scale: Scale = "sigmoid" if task.scale == "logits" else "probability"
    value = float(probabilities_of(output, task.scale)[0])
    wanted = _wanted(int(value >= threshold), true, asked)
    return [
        Target(
            task.output,
            "linear",
            index,
            classes.name(index),
            role,
            np.full(output.shape, 1 if index else -1, np.float32),
            scale,
            sign=1 if index else -1,
        )
        for index, role in wanted.items()
    ]


def _of_mask(
    task: Task,
    output: NDArray[Any],
    classes: ClassNames,
    asked: int | None,
    threshold: float,
) -> Target:
    """Explain the mean score of a class over the pixels that were decided for it."""
    single = output.shape[2] == 1
    p = output.astype(np.float64)
    if task.scale == "logits":
        p = sigmoid(p) if single else softmax(p)
    decided = (p[..., 0] >= threshold).astype(int) if single else p.argmax(axis=-1)
    index = asked
    if index is None:
        found, counts = np.unique(decided[decided > 0], return_counts=True)
        index = int(found[np.argmax(counts)]) if found.size else 0
    region = decided == index
    if not region.any():
        region = np.ones(decided.shape, bool)
    sign: Literal[1, -1] = -1 if single and index == 0 else 1
    scale: Scale = "probability"
    if task.scale == "logits":
        scale = "sigmoid" if single else "softmax"
    channel = 0 if single else index
    weights = np.zeros(output.shape, np.float32)
    weights[..., channel] = sign * region / region.sum()
    return Target(
        task.output,
        "linear",
        index,
        classes.name(index),
        "predicted" if asked is None else "asked",
        weights,
        scale,
        sign=sign,
        region=region,
        channel=channel,
    )
