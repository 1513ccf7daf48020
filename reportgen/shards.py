"""One shard of a data set through the network, and what it gives: arrays that travel and are kept."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen import errors
from reportgen.inputs.dataset import MOST_BROKEN, Broken
from reportgen.observe import run_round

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from reportgen.context import Context
    from reportgen.inputs.dataset import Block, DataSet
    from reportgen.network.protocol import Batch
    from reportgen.observe import Fold


class ShardResult(NamedTuple):
    """What a shard gave.

    Attributes:
        parts: folds by section.
        problems: what a section's fold raised; its part is not to be used.
        read: images that were.
        broken: images that could not be, at most ``MOST_BROKEN``.
        broken_count: how many could not.
        tagged: places of images with an EXIF orientation.
    """

    parts: dict[str, Fold]
    problems: dict[str, Exception]
    read: int
    broken: tuple[Broken, ...]
    broken_count: int
    tagged: tuple[int, ...]

    def merge_into(
        self, folds: Mapping[str, Fold], problems: dict[str, Exception], data: DataSet
    ) -> None:
        """Add it to what was folded of the shards before."""
        data.broken = [*data.broken, *self.broken][:MOST_BROKEN]
        data.broken_count += self.broken_count
        data.tagged += self.tagged
        for kind, error in self.problems.items():
            problems.setdefault(kind, error)
        for kind, fold in folds.items():
            if kind not in problems:
                fold.merge(self.parts[kind])

    def arrays(self) -> dict[str, Any]:
        """Return it as arrays by name; ``restored`` reads them."""
        arrays: dict[str, Any] = {
            f"{kind}/{name}": array
            for kind, part in self.parts.items()
            if kind not in self.problems
            for name, array in part.state().items()
        }
        if self.problems:
            arrays |= problems_as_arrays(self.problems)
        return arrays | {
            "read": self.read,
            "broken": self.broken_count,
            "tagged": np.array(self.tagged, np.int64),
            "places": np.array([one.place for one in self.broken], np.int64),
            "reasons": np.array([one.reason for one in self.broken], np.str_),
        }


def fold_shard(
    context: Context,
    folds: Mapping[str, Fold],
    shard: range,
    identity: str | None,
    advance: Callable[[int], None],
) -> ShardResult:
    """Run the images of a shard through the network.

    Args:
        context: with the data set.
        folds: by section; new ones of their kinds are filled.
        shard: the images' places.
        identity: digest of what they are to be read from.
        advance: told how many images a block had.

    Raises:
        InputError: images or labels that cannot be used, or files that were changed meanwhile.
    """
    if context.data is None:
        raise ValueError("there is no data set")
    data = context.data.set
    held = data.broken, data.broken_count, data.tagged
    data.broken, data.broken_count, data.tagged = [], 0, []
    counts, problems = list[int](), dict[str, Exception]()
    parts = {kind: fold.empty() for kind, fold in folds.items()}
    takers = {kind: [part.update] for kind, part in parts.items()}

    def count(images: int) -> None:
        counts.append(images)
        advance(images)

    try:
        run_round(_batches(context, data, shard), takers, problems, count)
        told = tuple(data.broken), data.broken_count, tuple(data.tagged)
        data.check_unchanged(shard, identity)
    finally:
        data.broken, data.broken_count, data.tagged = held
    return ShardResult(parts, problems, sum(counts), *told)


def _batches(context: Context, data: DataSet, shard: range) -> Iterator[Batch]:
    """Run a shard's blocks, each with the places and labels of its images."""
    waiting: deque[Block] = deque()
    begun = 0
    for batch in context.network.survey(_blocks(context, data, shard, waiting)):
        count = len(next(iter(batch.inputs.values())))
        block = waiting[0]
        part = slice(begun, begun + count)
        yield batch._replace(places=block.places[part], labels=block.labels[part])
        begun += count
        if begun == len(block.places):
            waiting.popleft()
            begun = 0


def _blocks(
    context: Context, data: DataSet, shard: range, waiting: deque[Block]
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield preprocessed blocks; they wait in ``waiting`` until they were run."""
    feed = context.data.feed if context.data else None
    for block in data.blocks(shard, context.network.block):
        waiting.append(block)
        raw = block.arrays[data.image]
        yield {**block.arrays, data.image: feed(raw) if feed else raw}


def restored(held: Mapping[str, NDArray[Any]], folds: Mapping[str, Fold]) -> ShardResult | None:
    """Return what a piece holds; None where it cannot be used."""
    try:
        problems = problems_in(held)
        parts: dict[str, Fold] = {k: f.empty() for k, f in folds.items() if k not in problems}
        for kind, part in parts.items():
            start = f"{kind}/"
            state = {k.removeprefix(start): v for k, v in held.items() if k.startswith(start)}
            part.load(state)
        places, reasons = held["places"].tolist(), held["reasons"].tolist()
        broken = tuple(Broken(p, reason) for p, reason in zip(places, reasons, strict=True))
        tagged = tuple(held["tagged"].tolist())
        return ShardResult(parts, problems, int(held["read"]), broken, int(held["broken"]), tagged)
    except (KeyError, ValueError, IndexError, TypeError):
        return None


def problems_as_arrays(problems: Mapping[str, Exception]) -> dict[str, NDArray[Any]]:
    """Return errors by section as arrays of texts; the section is empty of what ends a build."""
    rows = [(kind, type(error).__name__, str(error)) for kind, error in problems.items()]
    return {"problems": np.array(rows, np.str_).reshape(-1, 3)}


def problems_in(held: Mapping[str, NDArray[Any]]) -> dict[str, Exception]:
    """Return the errors of a piece by section: our own of their class, foreign ones of their class's name."""
    rows = held["problems"].tolist() if "problems" in held else []
    return {kind: _error(name, text) for kind, name, text in rows}


def _error(name: str, text: str) -> Exception:
    found = getattr(errors, name, None)
    if isinstance(found, type) and issubclass(found, errors.ReportgenError):
        return found(text)
    foreign: type[Exception] = type(name, (Exception,), {})
    return foreign(text)
