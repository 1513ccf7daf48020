"""Which units are visualized: those that are asked for, else classes of the probes and strong channels."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import InputError, UsageError
from reportgen.files import open_regular
from reportgen.network.calls import choose_calls
from reportgen.network.facts import OutputRef
from reportgen.numerics import even_sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.classes import ClassNames
    from reportgen.network.facts import CallFacts, NetworkFacts, UnitKind, UnitTensor
    from reportgen.network.tasks import Task

DEFAULT_CLASSES = 2
"""Most classes that are chosen by default."""
DEFAULT_LAYERS = 4
"""Most layers whose channels are chosen by default."""
DEFAULT_UNITS = 6
"""Units that are chosen by default."""
FULL = 2
"""Times as many classes and units are chosen by ``--full``."""


class Unit(NamedTuple):
    """One unit.

    Attributes:
        kind: what is optimised.
        target: the call, or the output.
        channel: None for a direction or a caricature.
        name: as the page calls it.
        vector: of a direction, (C,).
    """

    kind: UnitKind
    target: UnitTensor
    channel: int | None
    name: str
    vector: NDArray[Any] | None = None

    @property
    def id(self) -> str:
        """The anchor of the unit."""
        if self.kind == "logit":
            return f"class:{self.name}"
        if self.channel is None:
            return f"{self.target}:{self.name}"
        return f"{self.target}:{self.channel}{'@centre' if self.kind == 'neuron' else ''}"


def has_classes(task: Task) -> bool:
    """Return whether an output's units are classes or labels."""
    return task.kind in {"classification", "binary", "multilabel"}


def default_layers(calls: Sequence[CallFacts]) -> list[CallFacts]:
    """Return four calls spread over the depth, with channels and, where there are such, places."""
    by_id = {call.id: call for call in calls}
    chosen = [by_id[name] for name in choose_calls(calls)]
    usable = [
        call for call in chosen if not call.splits_batch and call.shapes and call.shapes[0][-1] > 1
    ]
    # The last of each resolution: neighbours see the same.
    places = {call.shapes[0][:-1]: call for call in usable if len(call.shapes[0]) > 1}
    candidates = [call for call in usable if call in places.values()] if len(places) > 2 else usable
    candidates = [c for c in candidates if len(c.shapes[0]) > 1] or candidates
    return [candidates[k] for k in even_sample(len(candidates), DEFAULT_LAYERS)]


def class_units(
    task: Task, classes: Sequence[int], names: ClassNames, most: int = DEFAULT_CLASSES
) -> list[Unit]:
    """Return the logits of the first different ``classes``."""
    first = list(dict.fromkeys(classes))[:most]
    if task.kind == "binary":
        first = first[:1] and [0]
    return [_logit(task, index, names) for index in first]


def _logit(task: Task, index: int, names: ClassNames) -> Unit:
    shown = index + 1 if task.kind == "binary" else index
    return Unit("logit", OutputRef(task.output), index, names.name(shown))


def asked_units(
    texts: Sequence[str], facts: NetworkFacts, classes: Mapping[Task, ClassNames]
) -> list[Unit]:
    """Read ``LAYER:INDEX``, ``LAYER:INDEX@centre``, ``LAYER:*``, ``class:NAME`` and ``LAYER:direction=FILE``.

    Raises:
        UsageError: a layer, an index or a class that there is not.
        InputError: a direction's file that cannot be read.
    """
    found: dict[str, Unit] = {}
    for text in texts:
        for unit in _read_units(text, facts, classes):
            found.setdefault(unit.id, unit)
    return list(found.values())


def _read_units(text: str, facts: NetworkFacts, classes: Mapping[Task, ClassNames]) -> list[Unit]:
    if text.startswith("class:"):
        return [_class(text, classes)]
    layer, sign, rest = text.rpartition(":")
    if "direction=" in text:
        layer, sign, rest = text.partition(":direction=")
        call = _call(layer, text, facts)
        return [Unit("direction", call.id, None, Path(rest).name, _vector(rest, call))]
    if not sign:
        raise UsageError(
            f"--units {text}: give LAYER:INDEX, LAYER:*, class:NAME or LAYER:direction=FILE.npy."
        )
    call = _call(layer, text, facts)
    channels = call.shapes[0][-1]
    if rest == "*":
        return [Unit("channel", call.id, k, f"channel {k}") for k in range(channels)]
    number, at, _ = rest.partition("@")
    if not number.isdecimal() or int(number) >= channels or (at and rest != f"{number}@centre"):
        raise UsageError(
            f"--units {text}: {call.id} has the channels 0 to {channels - 1}; {rest!r} is none of them."
        )
    kind: UnitKind = "neuron" if at else "channel"
    return [Unit(kind, call.id, int(number), f"channel {number}")]


def _call(layer: str, text: str, facts: NetworkFacts) -> CallFacts:
    usable = [c for c in facts.calls if c.shapes and c.shapes[0] and "float" in c.dtypes[0]]
    found = [c for c in usable if layer in (c.id, c.layer)]
    if not found:
        near = difflib.get_close_matches(layer, [c.id for c in usable], 1)
        hint = (
            f"did you mean {near[0]!r}?" if near else f"one is {usable[-1].id!r}." if usable else ""
        )
        raise UsageError(f"--units {text}: there is no layer {layer!r} with channels; {hint}")
    if found[0].splits_batch:
        raise UsageError(
            f"--units {text}: {layer} folds places into the batch; its rows are no images."
        )
    return found[0]


def _class(text: str, classes: Mapping[Task, ClassNames]) -> Unit:
    name = text.removeprefix("class:")
    for task, known in classes.items():
        index = known.index(name) if has_classes(task) else None
        if index is not None:
            return _logit(task, max(index - 1, 0) if task.kind == "binary" else index, known)
    names = [name for known in classes.values() for name in known.names]
    near = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise UsageError(f"--units {text}: no output has a class {name!r}{hint}")


def _vector(file: str, call: CallFacts) -> NDArray[Any]:
    channels = call.shapes[0][-1]
    try:
        with open_regular(file) as opened:
            vector = np.asarray(np.load(opened, allow_pickle=False), np.float32).reshape(-1)
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise InputError(f"--units: the direction {file} cannot be read ({error}).") from None
    if vector.size != channels or not np.isfinite(vector).all() or not vector.any():
        raise InputError(
            f"--units: the direction {file} must hold {channels} finite numbers, not all zero, as many as "
            f"{call.id} has channels; it holds {vector.size}."
        )
    return vector


def strongest_channels(energy: NDArray[Any], count: int) -> list[int]:
    """Return the channels of the largest energies."""
    order = np.argsort(-np.nan_to_num(energy, nan=-np.inf), kind="stable")
    return [int(k) for k in order[:count]]
