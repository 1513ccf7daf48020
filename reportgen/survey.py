"""The data set through the network, once: shard by shard, what is finished kept in the cache."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.cache import key_of, packed
from reportgen.context import Driver, Piece
from reportgen.errors import DataError, ReportgenError
from reportgen.inputs.dataset import Row
from reportgen.inputs.listing import Listing
from reportgen.inputs.preprocessing import is_function
from reportgen.inputs.probes import LEFT_OUT, read_probes
from reportgen.inputs.streams import first_notice
from reportgen.report.leaves import Notice
from reportgen.shards import ShardResult, fold_shard, problems_as_arrays, restored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.context import Context
    from reportgen.observe import Fold

log = logging.getLogger("reportgen")

_KIND = "survey"


def run_survey(context: Context, folds: Mapping[str, Fold], problems: dict[str, Exception]) -> None:
    """Fold the whole data set.

    Every shard is folded by itself and merged, whether it comes from the cache, from the network or from a
    worker; the bytes are the same. A finished data set is one piece in the cache, in place of its shards.

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
    identities = [data.identity(shard) for shard in shards]
    keys = [_key(context, folds, shard, one) for shard, one in zip(shards, identities, strict=True)]
    pieces = [Piece(*one) for one in zip(range(len(shards)), shards, identities, strict=True)]
    whole = key_of(*keys) if all(keys) else None
    held = cache.read(_KIND, whole) if cache and whole else None
    if held is not None and (kept := restored(held, folds)) is not None:
        kept.merge_into(folds, problems, data)
        context.tools.progress.advance(data.total or 0)
        return
    read = 0
    for result in _results(context, folds, problems, pieces, keys):
        result.merge_into(folds, problems, data)
        read += result.read
        if folds.keys() <= problems.keys():  # nobody looks any more
            return
    failed = folds.keys() & problems.keys()
    if not read and not failed:
        reasons = "; ".join(f"{data.name(b.place)}: {b.reason}" for b in data.broken[:3])
        raise DataError(f"--data: none of the {data.broken_count} images can be read ({reasons}).")
    if cache and whole and not failed:
        result = ShardResult(
            dict(folds), {}, read, tuple(data.broken), data.broken_count, tuple(data.tagged)
        )
        cache.write(_KIND, whole, result.arrays())
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
    kept = [n for n in probes.set.notices if n != before and not n.text.startswith(LEFT_OUT)]
    notices = (Notice("info", text), *kept)
    found = found._replace(total=chosen.images, notices=notices, chosen=True)
    fed = dict(found.inputs)
    if found.image_input is not None:
        fed[found.image_input] = data.feed(fed[found.image_input])
    prepared = probes.prepared._replace(inputs=fed)
    return context._replace(probes=probes._replace(set=found, prepared=prepared))


def _results(
    context: Context,
    folds: Mapping[str, Fold],
    problems: Mapping[str, Exception],
    pieces: Sequence[Piece],
    keys: Sequence[str | None],
) -> Iterator[ShardResult]:
    """Yield what each shard gives, in their order: from the cache, a worker or the network."""
    cache, progress = context.tools.cache, context.tools.progress
    away = _away(context, folds, pieces, keys)
    for piece, key in zip(pieces, keys, strict=True):
        if piece.number in away.numbers:
            given = restored(next(away.found), folds)
            if given is None:
                raise ValueError("a worker gave a piece that cannot be read")
            yield given
            continue
        held = cache.read(_KIND, key) if cache and key else None
        if held is not None and (kept := restored(held, folds)) is not None:
            progress.advance(kept.read + kept.broken_count)
            yield kept
            continue
        wanted = {kind: fold for kind, fold in folds.items() if kind not in problems}
        result = fold_shard(context, wanted, piece.shard, piece.identity, progress.advance)
        if cache and key and wanted.keys() == folds.keys() and not result.problems:
            cache.write(_KIND, key, result.arrays())
        yield result


class _Away(NamedTuple):
    """Shards that workers fold.

    Attributes:
        numbers: of the shards.
        found: what each gave, in their order.
    """

    numbers: frozenset[int] = frozenset()
    found: Iterator[dict[str, NDArray[Any]]] = iter(())


def _away(
    context: Context,
    folds: Mapping[str, Fold],
    pieces: Sequence[Piece],
    keys: Sequence[str | None],
) -> _Away:
    """Give the shards that are in no cache to the workers; none where this process folds them."""
    workers, cache = context.tools.workers, context.tools.cache
    wanted = [
        piece
        for piece, key in zip(pieces, keys, strict=True)
        if not (cache and key and cache.holds(_KIND, key))
    ]

    def keep(number: int, piece: bytes) -> bool:
        key = keys[number]
        return bool(cache and key and cache.keep(_KIND, key, piece))

    def kept(number: int) -> dict[str, NDArray[Any]] | None:
        key = keys[number]
        return cache.read(_KIND, key) if cache and key else None

    def fold(piece: Piece) -> bytes:
        try:
            result = fold_shard(context, folds, piece.shard, piece.identity, lambda _: None)
            return packed(result.arrays())
        except ReportgenError as error:
            return packed(problems_as_arrays({"": error}))

    if workers is None or not workers.worth(len(wanted)):
        if workers is not None and wanted and len(pieces) == 1:
            log.warning(
                "--jobs: the data set is one part, so it runs through the network in this process alone; a "
                ".tar or TFRecord file is not divided, nor is a small data set"
            )
        return _Away()
    found = workers.fold(context, tuple(folds), wanted, Driver(keep, kept, fold))
    return _Away(frozenset(piece.number for piece in wanted), found)


def _key(
    context: Context, folds: Mapping[str, Fold], shard: range, identity: str | None
) -> str | None:
    """Return the key of a shard's piece: all that it depends on; None where that cannot be told."""
    data, settings = context.data, context.settings
    if data is None or identity is None or context.tools.cache is None:
        return None
    if is_function(data.way.mode):
        return None
    return key_of(
        context.tools.identity(), context.network.block, identity, data.way.mode, data.way.white,
        sorted(folds), settings.resize, settings.orientation,
        settings.threshold, settings.device, context.classes, dict(context.shapes),
        [(task.output, task.kind, task.scale) for task in context.tasks], shard.start,
    )  # fmt: skip
