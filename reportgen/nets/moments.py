"""Channel moments inside the traced function: cheaper and smaller than fetching every map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.nets.graph_walks import before

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.nets.recording import Call


class WatchedCalls(NamedTuple):
    """Calls whose moments are taken, and where each stands in the concatenated channels.

    Attributes:
        spans: first and last channel (exclusive) by call id; calls that hand a tensor on share one.
        samples: first and last sample (exclusive) likewise.
    """

    spans: dict[str, tuple[int, int]]
    samples: dict[str, tuple[int, int]]


def reduce_calls(
    calls: Sequence[Call], size: int, *, exact: bool, sampled: bool = False
) -> tuple[WatchedCalls, list[Any], Any]:
    """Add the reductions of every call's first floating-point output to the graph.

    Args:
        calls: recorded in this graph.
        size: images in a block; a call inside of a layer that cuts its images into windows has other
            rows, and is left out.
        exact: leave NaN and infinity out of the sums and count them; three times as dear, and only
            needed where there are any.
        sampled: take values of every channel too, which a data set is worth.

    Returns:
        Where each call stands, and tensors (batch, channels of all calls): mean, mean square, minimum,
        maximum, zeros and, where exact, non-finite values and the NaN among them; and a tensor (batch, samples
        of all calls): all channels at a few positions, None where there are none.
    """
    import tensorflow as tf

    tensors = {call.id: tensor for call in calls if (tensor := _watched(call, size)) is not None}
    distinct = {tensor.name: tensor for tensor in tensors.values()}
    flats, columns = _reduced(list(distinct.values()), size, exact=exact)
    taken: list[Any] = []
    places: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
    channel = sample = 0
    for (name, tensor), flat in zip(distinct.items(), flats, strict=True):
        axes, width = tensor.shape.as_list()[1:-1], int(tensor.shape[-1])
        begun = sample
        if sampled and None not in axes:
            taken.append(_sampled(flat, axes, size))
            sample += int(taken[-1].shape[1])
        places[name] = (channel, channel + width), (begun, sample)
        channel += width
    watched = WatchedCalls(
        {call: places[tensor.name][0] for call, tensor in tensors.items()},
        {call: places[tensor.name][1] for call, tensor in tensors.items()},
    )
    joined = [tf.concat(column, axis=1) for column in columns if column]
    return watched, joined, tf.concat(taken, axis=1) if taken else None


def _watched(call: Call, size: int) -> Any | None:
    """Return the tensor whose moments are a call's; None of what has no channels of ``size`` images."""
    if not call.layer or not call.outputs:
        return None
    tensor = before(call.outputs[0], {"Identity"})
    rank = tensor.shape.rank
    if not tensor.dtype.is_floating or rank is None or rank < 2:
        return None
    return tensor if tensor.shape[0] == size and tensor.shape[-1] is not None else None


def _reduced(
    tensors: Sequence[Any], size: int, *, exact: bool
) -> tuple[list[Any], list[list[Any]]]:
    """Add the reductions of tensors to the graph.

    They are traced once, copied and imported: operation by operation they would take as long as the network.

    Args:
        tensors: with the batch first and the channels last.
        size: of the batch.
        exact: see ``reduce_calls``.

    Returns:
        The tensors as (batch, positions, channels), and of each reduction those of all tensors.
    """
    import tensorflow as tf

    if not tensors:
        return [], []
    with tf.Graph().as_default() as graph:
        shape = tf.compat.v1.placeholder(tf.int32, [3], "shape")
        tensor = tf.compat.v1.placeholder(tf.float32, None, "tensor")
        flat = tf.reshape(tensor, shape)
        made = [flat, *_reductions(flat, exact=exact)]
    once = graph.as_graph_def()
    constants = {node.name for node in once.node if node.op == "Const"}
    copies, given = tf.compat.v1.GraphDef(versions=once.versions), {}
    copies.node.extend(node for node in once.node if node.name in constants)
    shapes = {
        width: tf.constant([size, -1, width]) for width in {int(t.shape[-1]) for t in tensors}
    }
    for index, source in enumerate(tensors):
        given[f"{index}/{tensor.name}"] = tf.cast(source, tf.float32)
        given[f"{index}/{shape.name}"] = shapes[int(source.shape[-1])]
        for node in once.node:
            if node.op not in {"Const", "Placeholder"}:
                copy = copies.node.add()
                copy.CopyFrom(node)
                copy.name = f"{index}/{node.name}"
                copy.input[:] = [
                    name if name in constants else f"{index}/{name}" for name in node.input
                ]
    fetches = [f"{index}/{one.name}" for one in made for index in range(len(tensors))]
    found = tf.graph_util.import_graph_def(copies, given, fetches, name="moments")
    flats, *columns = (found[k : k + len(tensors)] for k in range(0, len(found), len(tensors)))
    return flats, columns


def _sampled(flat: Any, sides: Sequence[int], size: int) -> Any:
    """Return all channels at a fixed lattice of positions as (batch, samples): four of a picture.

    Two along each axis of a picture, four of a sequence; of vectors all. Rows of channels are copied: a strided
    slice computes the place of every value.

    Args:
        flat: (batch, positions, channels).
        sides: of what the positions were, none for vectors.
        size: of the batch.
    """
    import tensorflow as tf

    several = 4 if len(sides) == 1 else 2
    if math.prod(sides) > 1:
        along = [
            np.arange(min(n // (2 * several), n - 1), n, max(1, -(-n // several))) for n in sides
        ]
        places = np.ravel_multi_index(np.meshgrid(*along, indexing="ij"), tuple(sides)).ravel()
        flat = tf.raw_ops.GatherV2(params=flat, indices=places.astype(np.int32), axis=1)
    return tf.raw_ops.Reshape(tensor=flat, shape=[size, math.prod(flat.shape.as_list()[1:])])


def _reductions(flat: Any, *, exact: bool) -> list[Any]:
    """Reduce (batch, positions, channels) over the positions."""
    import tensorflow as tf

    zeros = tf.reduce_sum(tf.cast(tf.equal(flat, 0), tf.float32), axis=1)
    if not exact:
        return [
            tf.reduce_mean(flat, axis=1),
            tf.reduce_mean(tf.square(flat), axis=1),
            tf.reduce_min(flat, axis=1),
            tf.reduce_max(flat, axis=1),
            zeros,
        ]
    finite = tf.math.is_finite(flat)
    count = tf.reduce_sum(tf.cast(finite, tf.float32), axis=1)
    clean = tf.where(finite, flat, tf.zeros_like(flat))
    share = tf.maximum(count, 1)
    return [
        tf.reduce_sum(clean, axis=1) / share,
        tf.reduce_sum(clean * clean, axis=1) / share,
        tf.reduce_min(tf.where(finite, flat, tf.fill(tf.shape(flat), float("inf"))), axis=1),
        tf.reduce_max(tf.where(finite, flat, tf.fill(tf.shape(flat), float("-inf"))), axis=1),
        zeros,
        tf.cast(tf.shape(flat)[1], tf.float32) - count,
        tf.reduce_sum(tf.cast(tf.math.is_nan(flat), tf.float32), axis=1),
    ]


def all_finite(columns: Sequence[NDArray[Any]]) -> bool:
    """Return whether no NaN or infinity went into the sums."""
    return bool(np.isfinite(columns[1]).all())
