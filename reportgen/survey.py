"""The data set through the network, once: shard by shard, what is finished kept in the cache."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.cache import key_of
from reportgen.errors import DataError
from reportgen.inputs.dataset import MOST_BROKEN, Broken, Row
from reportgen.inputs.listing import Listing
from reportgen.inputs.preprocessing import is_function
from reportgen.inputs.probes import read_probes
from reportgen.inputs.streams import first_notice
from reportgen.observe import run_round
from reportgen.report.leaves import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.context import Context
    from reportgen.inputs.dataset import Block, DataSet
    from reportgen.network.protocol import Batch
    from reportgen.observe import Fold

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
    if context.data is None:
        return
    data, cache = context.data.set, context.tools.cache
    context.tools.progress.stage("Data through the network", data.total)
    shards = data.shards(context.network.block)
    keys = [_key(context, folds, shard) for shard in shards]
    whole = key_of(*keys) if all(keys) else None
    held = cache.read(_KIND, whole) if cache and whole else None
    parts = _restored(held, data, folds)
    if parts is not None:
        for kind, fold in folds.items():
            fold.merge(parts[kind])
        context.tools.progress.advance(data.total or 0)
        return
    read = 0
    for shard, key in zip(shards, keys, strict=True):
        if folds.keys() <= problems.keys():  # nobody looks any more
            return
        read += _shard(context, folds, problems, shard, key)
    failed = folds.keys() & problems.keys()
    if not read and not failed:
        reasons = "; ".join(f"{data.name(b.place)}: {b.reason}" for b in data.broken[:3])
        raise DataError(f"--data: none of the {data.broken_count} images can be read ({reasons}).")
    if cache and whole and not failed:
        piece = _piece(folds, data.broken, data.broken_count, read, data.tagged)
        cache.write(_KIND, whole, piece)
        for key in keys:
            cache.remove(_KIND, key or "")


def with_chosen_probes(
    context: Context, folds: Mapping[str, Fold], problems: Mapping[str, Exception]
) -> Context:
    """Replace probes that were drawn from the data set by those that a fold chooses.

    Where none can say, the even sample stays.
    """
    data, probes = context.data, context.probes
    if not context.inputs.probes_from_data or data is None or probes is None:
        return context
    asked = (fold for kind, fold in folds.items() if kind not in problems)
    answers = (fold.examples(context.settings.max_probes) for fold in asked)
    chosen = next((found for found in answers if found is not None), None)
    if chosen is None:
        return context
    rows = [row for row in data.set.rows(chosen.places) if isinstance(row, Row)]
    if not rows:
        return context
    listing = Listing(tuple(data.set.item(row) for row in rows), data.set.class_names)
    listing = listing.with_single_labels()
    found = read_probes(listing, context.specs, context.settings)
    count = sum(row.place in chosen.wrong for row in rows)
    text = (
        f"The probes are drawn from the data set of {context.sample.counted(chosen.images)}: {count} that are "
        "decided wrong, the surest mistake of each class in turn, and "
        f"{len(rows) - count} that are decided right."
    )
    before = first_notice(len(probes.set.probes))
    kept = (notice for notice in probes.set.notices if notice != before)
    notices = (Notice("info", text), *kept)
    found = found._replace(total=chosen.images, notices=notices, chosen=True)
    fed = dict(found.inputs)
    if found.image_input is not None:
        fed[found.image_input] = data.feed(fed[found.image_input])
    prepared = probes.prepared._replace(inputs=fed)
    return context._replace(probes=probes._replace(set=found, prepared=prepared))


def _shard(
    context: Context,
    folds: Mapping[str, Fold],
    problems: dict[str, Exception],
    shard: range,
    key: str | None,
) -> int:
    """Fold one shard, from the cache or through the network; return how many images it has."""
    if context.data is None:
        return 0
    data, cache, progress = context.data.set, context.tools.cache, context.tools.progress
    before, broken, tagged = data.broken_count, list(data.broken), len(data.tagged)
    held = cache.read(_KIND, key) if cache and key else None
    parts = _restored(held, data, folds)
    if held is not None and parts is not None:
        read = int(held["read"])
        progress.advance(read + int(held["broken"]))
    else:
        data.broken, counts = [], list[int]()
        parts = {kind: fold.empty() for kind, fold in folds.items()}
        takers = {kind: [part.update] for kind, part in parts.items()}

        def advance(images: int) -> None:
            counts.append(images)
            progress.advance(images)

        run_round(_batches(context, data, shard), takers, problems, advance)
        read = sum(counts)
        if cache and key and not folds.keys() & problems.keys():
            count = data.broken_count - before
            piece = _piece(parts, data.broken, count, read, data.tagged[tagged:])
            cache.write(_KIND, key, piece)
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
    feed = context.data.feed if context.data else None
    for block in data.blocks(shard, context.network.block):
        waiting.append(block)
        raw = block.arrays[data.image]
        yield {**block.arrays, data.image: feed(raw) if feed else raw}


def _key(context: Context, folds: Mapping[str, Fold], shard: range) -> str | None:
    """Return the key of a shard's piece: all that it depends on; None where that cannot be told."""
    data, probes, settings = context.data, context.probes, context.settings
    mode = probes.prepared.facts.mode if probes else ""
    identity = data.set.identity(shard) if data and not is_function(mode) else None
    if identity is None or context.tools.cache is None:
        return None
    return key_of(
        context.tools.identity(), context.network.block, identity, mode, sorted(folds), settings.resize,
        settings.orientation,
        settings.threshold, settings.device, context.classes, dict(context.shapes),
        [(task.output, task.kind, task.scale) for task in context.tasks], shard.start,
    )  # fmt: skip


def _piece(
    folds: Mapping[str, Fold],
    broken: Sequence[Broken],
    count: int,
    read: int,
    tagged: Sequence[int],
) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        f"{kind}/{name}": array
        for kind, fold in folds.items()
        for name, array in fold.state().items()
    }
    return arrays | {
        "read": read,
        "broken": count,
        "tagged": np.array(tagged, np.int64),
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
        count, _, tagged = int(held["broken"]), int(held["read"]), held["tagged"].tolist()
    except (KeyError, ValueError, IndexError, TypeError):
        return None
    data.broken, data.broken_count = broken, data.broken_count + count
    data.tagged += tagged
    return parts
