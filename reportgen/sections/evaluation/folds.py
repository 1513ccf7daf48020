"""Folds over outputs and labels: a few numbers an image, counts that add up."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import DataError
from reportgen.inputs.classes import label_of_value, label_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.classes import ClassNames
    from reportgen.network.facts import OutputFacts
    from reportgen.network.protocol import Batch
    from reportgen.network.tasks import Task
    from reportgen.observe import Examples


_ABSENT = {"", "0", "0.0", "False", "false"}
"""Texts and numbers that say in a column of a label that it is not there."""


class About(NamedTuple):
    """What a fold knows of its output and its data set.

    Attributes:
        classes: of the output.
        named: gives an image's name by its place.
        resize: how images were fitted.
        known: classes by text, filled as labels are met.
    """

    task: Task
    facts: OutputFacts
    classes: ClassNames
    threshold: float
    named: Callable[[int], str]
    resize: str
    known: dict[str, int]

    def wrong(self, label: Any, place: int, what: str) -> DataError:
        """Return the error of a label that cannot be used."""
        text = label_text(label) if isinstance(label, tuple) else str(label)
        shown = text if len(text) <= 60 else text[:59] + "…"
        return DataError(
            f"--data: the label {shown!r} of {self.named(place)} {what} the output {self.task.output!r}."
        )

    def class_of(self, label: Any, place: int) -> int:
        """Return the class that a label means.

        Raises:
            DataError: it means none.
        """
        if isinstance(label, dict):
            raise self.wrong(label, place, f"has {len(label)} columns; one class has")
        value = label_of_value(label)
        if isinstance(value, str) and value in self.known:
            return self.known[value]
        found = self.classes.index(value)
        if found is None:
            raise self.wrong(label if value is None else value, place, self._no_class())
        if isinstance(value, str):
            self.known[value] = found
        return found

    def classes_in(self, label: Any, place: int) -> frozenset[int]:
        """Return all classes that a label means, of an output that decides each for itself.

        Args:
            label: as ``label_of_value`` takes it, or a mapping from class to whether it is there.
            place: of the image.

        Raises:
            DataError: a part means none.
        """
        if isinstance(label, dict):
            given = [name for name, there in label.items() if str(there).strip() not in _ABSENT]
            return frozenset(self.class_of(name, place) for name in given)
        value = label_of_value(label)
        found = self.classes.indices(value)
        if found is None:
            raise self.wrong(value, place, self._no_class())
        return found

    def _no_class(self) -> str:
        names, last = self.classes.known, self.classes.count - 1
        known = f"such as {names[0]!r}, or " if names else ""
        return f"names no class (classes are {known}0 to {last}; --classes gives names) of"


MOST_NAMED = 3
"""Images without a label that are named."""


class OutputFold:
    """What is kept of one output: columns with a row an image, and counts.

    Subclasses say which columns and counts in ``update``.
    """

    def __init__(self, about: About) -> None:
        self.about = about
        self.images = 0
        self.non_finite = 0
        self.unlabelled = 0
        self.without: tuple[int, ...] = ()  # places of the first that have no label
        self._columns: dict[str, list[NDArray[Any]]] = {}
        self._counts: dict[str, NDArray[Any]] = {}

    def update(self, outputs: NDArray[Any], labels: Sequence[Any], places: NDArray[Any]) -> None:
        """Take in the outputs of one block, float64, with their labels and places."""
        raise NotImplementedError

    def has_label(self, label: Any) -> bool:
        """Return whether an image has a label for this output: no empty text, no NaN, not None."""
        return not is_missing(label)

    def examples(self, count: int) -> Examples | None:  # noqa: ARG002 - for decisions alone
        """Choose ``count`` images that are worth showing; None where the output is no decision."""
        return None

    def keep(self, **columns: NDArray[Any]) -> None:
        """Append rows to columns."""
        for name, rows in columns.items():
            self._columns.setdefault(name, []).append(rows)

    def count(self, **counts: NDArray[Any]) -> None:
        """Add integer counts."""
        for name, more in counts.items():
            held = self._counts.get(name)
            self._counts[name] = more.astype(np.int64) if held is None else held + more

    def column(self, name: str) -> NDArray[Any]:
        """Return what was kept under a name, one row an image."""
        rows = self._columns[name]
        if len(rows) > 1:
            self._columns[name] = rows = [np.concatenate(rows)]
        return rows[0]

    def counted(self, name: str) -> NDArray[Any]:
        """Return what was counted under a name."""
        return self._counts[name]

    def lack(self, places: Sequence[int]) -> None:
        """Keep places of images without a label, a few of them."""
        self.without = (*self.without, *places)[:MOST_NAMED]

    def merge(self, later: OutputFold) -> None:
        """Take in what another one folded of the images that follow."""
        self.images += later.images
        self.non_finite += later.non_finite
        self.unlabelled += later.unlabelled
        self.lack(later.without)
        for name, rows in later._columns.items():
            self._columns.setdefault(name, []).extend(rows)
        self.count(**later._counts)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was folded as arrays."""
        columns = {f"column/{name}": self.column(name) for name in sorted(self._columns)}
        counts = {f"count/{name}": self._counts[name] for name in sorted(self._counts)}
        images = np.array([self.images, self.non_finite, self.unlabelled])
        return columns | counts | {"images": images, "without": np.array(self.without, np.int64)}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take ``state`` for what was folded."""
        self.images, self.non_finite, self.unlabelled = (int(n) for n in state["images"])
        self.without = tuple(state["without"].tolist())
        parts = [(name.partition("/"), array) for name, array in state.items()]
        self._columns = {name[2]: [array] for name, array in parts if name[0] == "column"}
        self._counts = {name[2]: array for name, array in parts if name[0] == "count"}


class EvaluationFold:
    """The folds of every output that has labels."""

    def __init__(self, outputs: Sequence[OutputFold]) -> None:
        self.outputs = tuple(outputs)

    def examples(self, count: int) -> Examples | None:
        """Choose of the first output's images; None where it is no decision."""
        return self.outputs[0].examples(count)

    def empty(self) -> EvaluationFold:
        """Return a fold of the same kind that has seen nothing."""
        return EvaluationFold([type(fold)(fold.about) for fold in self.outputs])

    def update(self, batch: Batch) -> None:
        """Take in one block.

        Raises:
            DataError: a label that the network does not know.
        """
        if batch.places is None:
            return
        for fold in self.outputs:
            labels = [_label_for(label, fold.about.task.output) for label in batch.labels]
            there = np.array([fold.has_label(label) for label in labels], bool)
            fold.unlabelled += int((~there).sum())
            fold.lack(batch.places[~there][:MOST_NAMED].tolist())
            if not there.any():
                continue
            outputs = batch.outputs[fold.about.task.output].astype(np.float64)[there]
            fold.images += len(outputs)
            finite = np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)
            fold.non_finite += int((~finite).sum())
            fold.update(outputs, list(compress(labels, there)), batch.places[there])

    def merge(self, later: EvaluationFold) -> None:
        """Take in what another one folded of the images that follow."""
        for fold, other in zip(self.outputs, later.outputs, strict=True):
            fold.merge(other)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was folded as arrays."""
        return {
            f"{index}/{name}": array
            for index, fold in enumerate(self.outputs)
            for name, array in fold.state().items()
        }

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take ``state`` for what was folded."""
        for index, fold in enumerate(self.outputs):
            start = f"{index}/"
            fold.load({k.removeprefix(start): v for k, v in state.items() if k.startswith(start)})


def is_missing(label: Any) -> bool:
    """Return whether a label says nothing: None, an empty text, NaN."""
    if label is None or isinstance(label, str | bytes):
        return label is None or not label.strip()
    if isinstance(label, dict):
        return False
    array = np.asarray(label)
    return array.dtype.kind == "f" and array.size > 0 and bool(np.isnan(array).all())


def _label_for(label: Any, output: str) -> Any:
    return label[output] if isinstance(label, dict) and output in label else label


class Notable(NamedTuple):
    """An image that stands out.

    Attributes:
        value: its probability, its prediction or its score.
    """

    place: int
    truth: str
    predicted: str
    value: float
