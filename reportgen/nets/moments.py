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

    spans: dict[str, tuple[int, int]] = {}
    samples: dict[str, tuple[int, int]] = {}
    taken: list[Any] = []
    of_tensor: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
    columns: list[list[Any]] = [[] for _ in range(7 if exact else 5)]
    shared = _Constants(tf.constant(1), tf.constant(0.0))
    position = sample = 0
    for call in calls:
        if not call.layer or not call.outputs:
            continue
        tensor = before(call.outputs[0], {"Identity"})
        rank = tensor.shape.rank
        if not tensor.dtype.is_floating or rank is None or rank < 2:
            continue
        if tensor.shape[0] != size or tensor.shape[-1] is None:
            continue
        if tensor.name not in of_tensor:
            width = int(tensor.shape[-1])
            channels = (position, position + width)
            position += width
            single = tensor if tensor.dtype == tf.float32 else tf.cast(tensor, tf.float32)
            flat = single if rank == 3 else tf.reshape(single, (size, -1, width))
            for column, value in zip(columns, _reductions(flat, shared, exact=exact), strict=True):
                column.append(value)
            begun = sample
            axes = tensor.shape.as_list()[1:-1]
            if sampled and None not in axes:
                taken.append(_sampled(flat, axes, size))
                sample += int(taken[-1].shape[1])
            of_tensor[tensor.name] = channels, (begun, sample)
        spans[call.id], samples[call.id] = of_tensor[tensor.name]
    joined = [tf.concat(column, axis=1) for column in columns if column]
    return WatchedCalls(spans, samples), joined, tf.concat(taken, axis=1) if taken else None


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


def _reductions(flat: Any, shared: _Constants, *, exact: bool) -> list[Any]:
    """Reduce (batch, positions, channels) over the positions.

    Raw operations on shared constants: the wrappers would take longer to trace than the network.
    """
    import tensorflow as tf

    raw, axis = tf.raw_ops, shared.axis
    equal = raw.Equal(x=flat, y=shared.zero)
    zeros = raw.Sum(input=raw.Cast(x=equal, DstT=tf.float32), axis=axis)
    if not exact:
        return [
            raw.Mean(input=flat, axis=axis),
            raw.Mean(input=raw.Square(x=flat), axis=axis),
            raw.Min(input=flat, axis=axis),
            raw.Max(input=flat, axis=axis),
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


class _Constants(NamedTuple):
    """Constants that every reduction shares."""

    axis: Any
    zero: Any


def all_finite(columns: Sequence[NDArray[Any]]) -> bool:
    """Return whether no NaN or infinity went into the sums."""
    return bool(np.isfinite(columns[1]).all())
