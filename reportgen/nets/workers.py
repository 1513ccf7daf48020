"""Which of several workers speaks for all."""

from __future__ import annotations

from typing import Any


def speaks_for_all(model: Any) -> bool:
    """Return whether this process writes what is written once: the chief of several, or the only one.

    The chief is the task of that type; without one it is the first worker (``TF_CONFIG``, as
    ``tf.distribute.MultiWorkerMirroredStrategy`` has it).

    Args:
        model: a compiled Keras model.
    """
    strategy = getattr(model, "distribute_strategy", None)
    return is_chief(getattr(strategy, "cluster_resolver", None))


def is_chief(resolver: Any) -> bool:
    """Return whether a cluster resolver names this process as the chief; None stands for no cluster."""
    if resolver is None:
        return True
    tasks = resolver.cluster_spec().as_dict()
    kind, number = resolver.task_type, resolver.task_id
    if not tasks or kind is None:
        return True
    chiefs = {"chief", "master"}
    return kind in chiefs or (kind == "worker" and not number and not chiefs & set(tasks))
