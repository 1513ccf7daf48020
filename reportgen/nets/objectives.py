"""What is made large: the objective of each kind of unit, and how alike pictures are."""

from __future__ import annotations

from typing import Any

LEAK = 0.1
"""Share of answers below zero that counts."""


def objective(values: Any, goal: Any, kind: str) -> Any:
    """Return each picture's score, (n,).

    Of a channel with places, answers below zero count a tenth: what drives a unit are its positive answers, a
    unit that is off still has a way up, and the mean of a filter without a constant part is no goal.

    Args:
        values: (n, …, C).
        goal: (n, C) the direction of each, of a ``caricature`` (n, …, C).
        kind: ``channel`` or ``logit`` (mean over the places), ``neuron`` (the central place), ``direction`` or
            ``caricature`` (dot product times the cosine to the power of two, mean over the places).
    """
    import tensorflow as tf

    count, channels = values.shape[0], values.shape[-1]
    if kind == "neuron" and values.shape.rank > 2:
        middle = [size // 2 for size in values.shape[1:-1]]
        for size in middle:
            values = values[:, size]
    flat = tf.reshape(values, (count, -1, channels))
    if kind in {"channel", "neuron", "logit"}:
        flat = tf.where(flat > 0, flat, LEAK * flat) if flat.shape[1] > 1 else flat
        return tf.reduce_sum(tf.reduce_mean(flat, axis=1) * goal, axis=1)
    aim = tf.reshape(goal, (count, -1, channels))
    dot = tf.reduce_sum(flat * aim, axis=2)
    norms = tf.norm(flat, axis=2) * tf.norm(aim, axis=2) + 1e-6
    return tf.reduce_mean(dot * tf.maximum(0.1, dot / norms) ** 2, axis=1)


def mutual_similarity(values: Any) -> Any:
    """Return how alike each picture is to the others, (n,): mean cosine between their channels' covariances."""
    import tensorflow as tf

    count, channels = values.shape[0], values.shape[-1]
    flat = tf.reshape(values, (count, -1, channels))
    # What all pictures share, the channels' means, would hide how they differ.
    flat -= tf.reduce_mean(flat, axis=1, keepdims=True) if flat.shape[1] > 1 else 0.0
    gram = tf.reshape(tf.matmul(flat, flat, transpose_a=True), (count, -1))
    gram = tf.math.l2_normalize(gram, axis=1, epsilon=1e-20)
    alike = tf.matmul(gram, gram, transpose_b=True)
    return (tf.reduce_sum(alike, axis=1) - 1) / max(int(count) - 1, 1)
