"""The data set through the network, once: shard by shard, what is finished kept in the cache."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.cache import key_of
from reportgen.errors import DataError
from reportgen.inputs.dataset import MOST_BROKEN, Broken, Row
from reportgen.inputs.preprocessing import is_function
from reportgen.inputs.probes import Offer, read, shapes_of
from reportgen.observe import run_round
from reportgen.report.leaves import Notice
from reportgen.sections.evaluation.decisions import DecisionFold
from reportgen.sections.evaluation.folds import EvaluationFold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.dataset import Block, DataSet
    from reportgen.network.protocol import Batch
    from reportgen.observe import Context, Fold

_KIND = "survey"


def run_survey(context: Context, folds: Mapping[str, Fold], problems: dict[str, Exception]) -> None:
    """Fold the whole data set.

    Every shard is folded by itself and merged, whether it comes from the cache or from the network; the bytes
    are the same. A finished data set is one piece in the cache, in place of its shards.

    Args:
        context: with the data set.
        folds: by section; filled.
        problems: what was raised, by section; filled.

    Raises:
        DataError: no image can be read, or a label is not known.
    """
    data, cache = context.data, context.cache
    if data is None:
        return
    context.progress.stage("Data through the network", data.total)
    shards = data.shards(context.network.block)
    keys = [_key(context, folds, shard) for shard in shards]
    whole = key_of(*keys) if all(keys) else None
    held = cache.read(_KIND, whole) if cache and whole else None
    parts = _restored(held, data, folds)
    if parts is not None:
        for kind, fold in folds.items():
            fold.merge(parts[kind])
        context.progress.advance(data.total or 0)
        return
    read = 0
    for shard, key in zip(shards, keys, strict=True):
        read += _shard(context, folds, problems, shard, key)
    if not read:
        reasons = "; ".join(f"{data.name(b.place)}: {b.reason}" for b in data.broken[:3])
        raise DataError(f"--data: none of the {data.broken_count} images can be read ({reasons}).")
    if cache and whole and not problems:
        cache.write(_KIND, whole, _piece(folds, data.broken, data.broken_count, read))
        for key in keys:
            cache.remove(_KIND, key or "")


def with_chosen_probes(
    context: Context, folds: Mapping[str, Fold], problems: Mapping[str, Exception]
) -> Context:
    """Replace probes that were drawn from the data set by images that are decided wrong and right.

    Where the first output is no decision the even sample stays.
    """
    data, prepared, seen = context.data, context.prepared, folds.get("evaluation")
    if not context.drawn or data is None or prepared is None or "evaluation" in problems:
        return context
    first = seen.outputs[0] if isinstance(seen, EvaluationFold) else None
    if not isinstance(first, DecisionFold) or not first.images or context.probes is None:
        return context
    places = first.choose(context.settings.max_probes)
    rows = [row for row in data.rows(places) if isinstance(row, Row)]
    if not rows:
        return context
    offer = Offer(tuple(data.item(row) for row in rows), data.class_names)
    inputs = shapes_of(context.network.facts.inputs, context.input_shapes)
    probes = read(offer, inputs, context.settings)
    wrong = first.wrong_places()
    count = sum(row.place in wrong for row in rows)
    text = (
        f"The probes are drawn from the data set of {first.images:,} images: {count} that are decided wrong, "
        f"the surest mistake of each class in turn, and {len(rows) - count} that are decided right."
    )
    probes = probes._replace(
        total=first.images, notices=(Notice("info", text), *context.probes.notices)
    )
    name = probes.image_input
    fed = dict(probes.inputs)
    if name is not None and context.feed is not None:
        fed[name] = context.feed(fed[name])
    return context._replace(probes=probes, prepared=prepared._replace(inputs=fed))


def _shard(
    context: Context,
    folds: Mapping[str, Fold],
    problems: dict[str, Exception],
    shard: range,
    key: str | None,
) -> int:
    """Fold one shard, from the cache or through the network; return how many images it has."""
    data, cache, progress = context.data, context.cache, context.progress
    if data is None:
        return 0
    before, broken = data.broken_count, list(data.broken)
    held = cache.read(_KIND, key) if cache and key else None
    parts = _restored(held, data, folds)
    if held is not None and parts is not None:
        read = int(held["read"])
        progress.advance(len(shard))
    else:
        data.broken, counts = [], list[int]()
        parts = {kind: fold.empty() for kind, fold in folds.items()}
        takers = {kind: [part.update] for kind, part in parts.items()}

        def advance(images: int) -> None:
            counts.append(images)
            progress.advance(images)

        run_round(_batches(context, data, shard), takers, problems, advance)
        read = sum(counts)
        if cache and key and not problems:
            count = data.broken_count - before
            cache.write(_KIND, key, _piece(parts, data.broken, count, read))
    data.broken = [*broken, *data.broken][:MOST_BROKEN]
    for kind, fold in folds.items():
        if kind not in problems:
            fold.merge(parts[kind])
    return read


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
    feed = context.feed
    for block in data.blocks(shard, context.network.block):
        waiting.append(block)
        raw = block.arrays[data.image]
        yield {**block.arrays, data.image: feed(raw) if feed else raw}


def _key(context: Context, folds: Mapping[str, Fold], shard: range) -> str | None:
    """Return the key of a shard's piece: all that it depends on; None where that cannot be told."""
    data, prepared, settings = context.data, context.prepared, context.settings
    mode = prepared.facts.mode if prepared else ""
    identity = data.identity(shard) if data and not is_function(mode) else None
    if identity is None or context.cache is None:
        return None
    return key_of(
        context.identity(), context.network.block, identity, mode, sorted(folds), settings.resize,
        settings.threshold, settings.device, context.classes, dict(context.input_shapes),
        [(task.output, task.kind, task.scale) for task in context.tasks], shard.start,
    )  # fmt: skip


def _piece(
    folds: Mapping[str, Fold], broken: Sequence[Broken], count: int, read: int
) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        f"{kind}/{name}": array
        for kind, fold in folds.items()
        for name, array in fold.state().items()
    }
    return arrays | {
        "read": read,
        "broken": count,
        "places": np.array([one.place for one in broken], np.int64),
        "reasons": np.array([one.reason for one in broken], np.str_),
    }


def _restored(
    held: Mapping[str, NDArray[Any]] | None, data: DataSet, folds: Mapping[str, Fold]
) -> dict[str, Fold] | None:
    """Return what a piece holds as folds, and note its broken images; None where it cannot be used."""
    if held is None:
        return None
    parts: dict[str, Fold] = {kind: fold.empty() for kind, fold in folds.items()}
    try:
        for kind, part in parts.items():
            start = f"{kind}/"
            state = {k.removeprefix(start): v for k, v in held.items() if k.startswith(start)}
            part.load(state)
        places, reasons = held["places"].tolist(), held["reasons"].tolist()
        broken = [Broken(place, reason) for place, reason in zip(places, reasons, strict=True)]
        count, _ = int(held["broken"]), int(held["read"])
    except (KeyError, ValueError, IndexError, TypeError):
        return None
    data.broken, data.broken_count = broken, data.broken_count + count
    return parts
