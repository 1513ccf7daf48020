"""The facts of a Keras model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.nets import structure
from reportgen.nets.failures import cause
from reportgen.nets.heads import output_facts
from reportgen.nets.signature import declared_outputs
from reportgen.nets.training import learning_rate, loss_name, optimizer_name
from reportgen.network.facts import InputRescaling, NetworkFacts, TensorFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reportgen.nets.structure import Node
    from reportgen.nets.traceable import TraceableModel
    from reportgen.nets.tracing import Traced
    from reportgen.network.facts import CallFacts


def network_facts(
    traceable: TraceableModel,
    traced: Traced | None,
    problem: Exception | None,
    compiled: Mapping[str, Any],
) -> NetworkFacts:
    """Return what a model is.

    Args:
        traceable: the model, with its layers and what goes into it.
        traced: its forward pass; without one, only what it declares is known.
        problem: why it cannot be traced or run.
        compiled: the compile configuration of its file, where it is not compiled itself.
    """
    model = traceable.model
    calls = traced.calls if traced else ()
    outputs = traced.outputs if traced else declared_outputs(model)
    parameters, trainable = structure.count_parameters(model)
    policy = getattr(model, "dtype_policy", None)
    return NetworkFacts(
        name=model.name,
        class_name=type(model).__name__,
        inputs=tuple(
            TensorFacts(name, shape, dtype) for name, (shape, dtype) in traceable.specs.items()
        ),
        outputs=output_facts(outputs, calls, traceable.nodes, model, compiled),
        layers=structure.layer_facts(traceable.nodes),
        calls=calls,
        parameters=parameters,
        trainable_parameters=trainable,
        weight_bytes=structure.weight_bytes(model),
        dtype_policy=str(getattr(policy, "name", "float32")),
        optimizer=optimizer_name(model, compiled),
        learning_rate=learning_rate(model, compiled),
        loss=loss_name(model, compiled),
        rescaling=_input_rescaling(calls, traceable.nodes),
        trace_problem=cause(problem) if problem and not traced else None,
        run_problem=cause(problem) if problem else None,
        versions=_versions(),
        own_flops=traced.own.flops if traced else 0,
        own_uncounted=traced.own.uncounted if traced else (),
    )


def _input_rescaling(calls: tuple[CallFacts, ...], nodes: Sequence[Node]) -> InputRescaling | None:
    """Return what the Rescaling or Normalization in front of the first weights does."""
    layers = {node.path: node.operation for node in nodes}
    for call in calls:
        if not call.leaf:
            continue
        if call.layer not in layers:  # made while it was called
            continue
        if call.class_name == "Rescaling":
            scale, offset = (
                _numbers(getattr(layers[call.layer], name)) for name in ("scale", "offset")
            )
            return InputRescaling(call.layer, scale, offset)
        if call.class_name == "Normalization":
            return _of_normalization(call.layer, layers[call.layer])
        if "Conv" in call.class_name or call.class_name in {"Dense", "EinsumDense"}:
            return None
    return None


def _of_normalization(path: str, layer: Any) -> InputRescaling:
    mean = np.array(_numbers(layer.mean))
    std = np.maximum(np.sqrt(np.array(_numbers(layer.variance))), 1e-7)  # Keras's own floor
    inverted = bool(getattr(layer, "invert", False))
    scale, offset = (std, mean) if inverted else (1 / std, -mean / std)
    return InputRescaling(path, tuple(scale.tolist()), tuple(offset.tolist()), adapted=True)


def _numbers(value: Any) -> tuple[float, ...]:
    array = np.asarray(value, np.float64)
    return tuple(array.reshape(-1).tolist())


def _versions() -> tuple[tuple[str, str], ...]:
    import keras
    import tensorflow as tf

    python = ".".join(str(n) for n in sys.version_info[:3])
    return (("Keras", keras.__version__), ("TensorFlow", tf.__version__), ("Python", python))
