"""The facts of a Keras model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from reportgen.nets import structure
from reportgen.nets.failures import cause
from reportgen.nets.heads import output_facts
from reportgen.nets.own_range import input_rescaling
from reportgen.nets.signature import declared_outputs, symbolic_outputs
from reportgen.nets.training import learning_rate, loss_name, optimizer_name
from reportgen.network.facts import NetworkFacts, TensorFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.nets.blocks import ForwardBlocks
    from reportgen.nets.traceable import TraceableModel
    from reportgen.network.facts import OutputFacts

_NEAR_ONE = 1e-3
"""What float16 rounds off of a distribution."""


def network_facts(
    traceable: TraceableModel, blocks: ForwardBlocks, compiled: Mapping[str, Any]
) -> NetworkFacts:
    """Return what a model is.

    Args:
        traceable: the model, with its layers and what goes into it.
        blocks: its forward pass; where that cannot be traced, only what the model declares is known.
        compiled: the compile configuration of its file, where it is not compiled itself.
    """
    model, traced, problem = traceable.model, blocks.traced, blocks.problem
    calls = traced.calls if traced else ()
    outputs = declared_outputs(model)
    if traced:
        outputs = _without_batch_sizes(traced.outputs, traceable, blocks.size)
    outputs = output_facts(outputs, calls, traceable.nodes, model, compiled)
    parameters, trainable = structure.count_parameters(model)
    policy = getattr(model, "dtype_policy", None)
    return NetworkFacts(
        name=model.name,
        class_name=type(model).__name__,
        inputs=tuple(
            TensorFacts(name, shape, dtype, traceable.kinds.get(name, "unknown"))
            for name, (shape, dtype) in traceable.specs.items()
        ),
        outputs=_with_distributions(outputs, blocks),
        layers=structure.layer_facts(traceable.nodes),
        calls=calls,
        parameters=parameters,
        trainable_parameters=trainable,
        weight_bytes=structure.weight_bytes(model),
        dtype_policy=str(getattr(policy, "name", "float32")),
        optimizer=optimizer_name(model, compiled),
        learning_rate=learning_rate(model, compiled),
        loss=loss_name(model, compiled),
        rescaling=input_rescaling(traceable, traced, blocks.size)
        if traced and not problem
        else None,
        trace_problem=cause(problem) if problem and not traced else None,
        run_problem=cause(problem) if problem else None,
        versions=versions(),
        own_flops=traced.own.flops if traced else 0,
        own_uncounted=traced.own.uncounted if traced else (),
    )


def _without_batch_sizes(
    outputs: tuple[OutputFacts, ...], traceable: TraceableModel, size: int
) -> tuple[OutputFacts, ...]:
    """Leave open what follows the number of images, as the sides of a matrix of similarities.

    What equals the block's size, and is not fixed in a graph of layers, is traced again in another size.

    Args:
        outputs: of a trace.
        traceable: what was traced.
        size: images of the trace's block.
    """
    if traceable.fixed_batch or not any(size in output.shape[1:] for output in outputs):
        return outputs
    graph = symbolic_outputs(traceable.model)
    if graph and all(None not in tensor.shape[1:] for tensor in graph):
        return outputs
    again = traceable.trace(size + 1, None).outputs
    return tuple(
        replace(output, shape=_common(output.shape, other.shape))
        for output, other in zip(outputs, again, strict=True)
    )


def _with_distributions(
    outputs: tuple[OutputFacts, ...], blocks: ForwardBlocks
) -> tuple[OutputFacts, ...]:
    """Say which outputs are distributions though no softmax stands at their end, as a mean of several."""
    unknown = {o.name for o in outputs if o.activation is None and (o.shape[-1] or 0) > 1}
    values = blocks.outputs_of_noise() if unknown else {}
    return tuple(
        replace(o, distribution=sums_to_one(values[o.name]))
        if o.name in unknown and o.name in values
        else o
        for o in outputs
    )


def sums_to_one(values: NDArray[Any]) -> bool:
    """Tell whether values are at least 0 and sum to 1 along their last axis."""
    totals = values.sum(axis=-1, dtype=np.float64)
    return bool((values >= 0).all() and (np.abs(totals - 1) < _NEAR_ONE).all())


def _common(shape: Sequence[int | None], other: Sequence[int | None]) -> tuple[int | None, ...]:
    """Return a shape without the sizes that another one of its rank does not share."""
    if len(shape) != len(other):
        return tuple(shape)
    return tuple(a if a == b else None for a, b in zip(shape, other, strict=True))


def versions() -> tuple[tuple[str, str], ...]:
    """Return what a network is run with: pairs of package and version."""
    import keras
    import tensorflow as tf

    python = ".".join(str(n) for n in sys.version_info[:3])
    return (("Keras", keras.__version__), ("TensorFlow", tf.__version__), ("Python", python))
