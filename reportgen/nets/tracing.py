"""The traced forward pass: outputs, channel moments and the maps that were asked for, in one function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from reportgen.nets.failures import noted
from reportgen.nets.heads import before_activation, operation_activation, softmax_width
from reportgen.nets.moments import reduce_calls
from reportgen.nets.recording import Recorder, recorded_by
from reportgen.nets.scaled_kernels import ScaledKernels
from reportgen.nets.signature import named_outputs
from reportgen.network.facts import OutputFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reportgen.nets.flops import Cost
    from reportgen.nets.moments import WatchedCalls
    from reportgen.nets.recording import Call
    from reportgen.nets.traceable import TraceableModel
    from reportgen.network.facts import CallFacts, CallId

    Watch = Callable[[tuple[CallFacts, ...]], tuple[CallId, ...]]


class Traced(NamedTuple):
    """A traced forward pass.

    Attributes:
        function: from input tensors, in the order of the signature, to ``outputs``, ``logits`` and
            ``maps`` by name and ``columns``.
        inputs: the graph's input tensors by name.
        pre_activations: the graph's tensor of each output in front of its softmax or sigmoid, float32,
            by name; the output itself where it ends in neither.
        recorded: the calls with their tensors of the graph, from which further passes are cut.
        calls: their facts, without the model's own.
        outputs: the facts of the outputs, without activation and loss where the graph does not say.
        watched: which channels of the columns are whose; None where activations are not watched.
        positions: values an image and channel, by call.
        exact: whether NaN and infinity are left out of the moments and counted.
        own: what the model itself costs between its layers' calls.
        kernels: of the function, with the scales behind them, for passes that are cut out of it.
    """

    function: Any
    inputs: dict[str, Any]
    pre_activations: dict[str, Any]
    recorded: list[Call]
    calls: tuple[CallFacts, ...]
    outputs: tuple[OutputFacts, ...]
    watched: WatchedCalls | None
    positions: dict[CallId, int]
    exact: bool
    own: Cost
    kernels: ScaledKernels


def trace_forward(
    traceable: TraceableModel,
    signature: Mapping[str, Any],
    watch: Watch | None,
    *,
    exact: bool = False,
    sampled: bool = False,
) -> Traced:
    """Trace a model in inference mode while its layers' calls are recorded.

    Args:
        traceable: is called once.
        signature: tensor specifications by input name.
        watch: from the recorded calls to those whose maps are wanted; None to watch nothing.
        exact: see ``Traced``.
        sampled: see ``moments.reduce_calls``.
    """
    import tensorflow as tf

    model, recorder = traceable.model, Recorder(traceable.paths)
    outputs: list[OutputFacts] = []
    watched: list[WatchedCalls] = []
    given: dict[str, Any] = {}
    pre_activations: dict[str, Any] = {}

    def run(*tensors: Any) -> dict[str, Any]:
        inputs = dict(zip(signature, tensors, strict=True))
        given.update(inputs)
        recorder.start(inputs, tf.compat.v1.get_default_graph())
        with recorded_by(recorder):
            result = traceable.call(inputs)
        named = named_outputs(model, result)
        outputs.extend(_output(name, tensor, recorder) for name, tensor in named.items())
        readable = {name: _readable(tensor) for name, tensor in named.items()}
        logits = _logits(named)
        pre_activations.update({**readable, **logits})
        returned: dict[str, Any] = {"outputs": readable, "logits": logits}
        if watch is not None:
            size = int(next(iter(signature.values())).shape[0])
            spans, returned["columns"], samples = reduce_calls(
                recorder.calls, size, exact=exact, sampled=sampled
            )
            if samples is not None:
                returned["samples"] = samples
            watched.append(spans)
            returned["maps"] = _maps(recorder, watch, spans)
        return returned

    function = _wrapped(run, signature, recorder)
    return Traced(
        function,
        given,
        pre_activations,
        recorder.calls,
        _inner(recorder),
        tuple(outputs),
        watched[0] if watched else None,
        {call.id: _positions(call.outputs[0]) for call in recorder.calls if call.outputs},
        exact,
        recorder.own_cost(),
        ScaledKernels(function),
    )


def _wrapped(run: Callable[..., Any], signature: Mapping[str, Any], recorder: Recorder) -> Any:
    """Trace a function; of a failure the layer is noted.

    Not by ``tf.function``: from this one further passes (gradients, parts) can be cut without a trace.
    """
    import tensorflow as tf

    try:
        return tf.compat.v1.wrap_function(run, list(signature.values()))
    except Exception as error:
        if recorder.failed:
            noted(error, recorder.failed)
        raise


def _logits(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes into the softmax or sigmoid of the outputs that end in one, float32."""
    import tensorflow as tf

    return {
        name: tf.cast(before, tf.float32)
        for name, tensor in named.items()
        if (before := before_activation(tensor)) is not None
    }


def _maps(recorder: Recorder, watch: Watch, watched: WatchedCalls) -> dict[str, Any]:
    """Return the outputs of the calls whose maps are wanted, float32."""
    import tensorflow as tf

    wanted = set(watch(_inner(recorder)))
    return {
        call.id: tf.cast(call.outputs[0], tf.float32)
        for call in recorder.calls
        if call.id in wanted and call.id in watched.spans
    }


def _inner(recorder: Recorder) -> tuple[CallFacts, ...]:
    """Return the recorded calls without the model's own."""
    return tuple(
        msgspec.structs.replace(call, parent=call.parent or None)
        for call in recorder.facts()
        if call.layer
    )


def _output(name: str, tensor: Any, recorder: Recorder) -> OutputFacts:
    sources = recorder.sources(tensor)
    return OutputFacts(
        name,
        (None, *(int(n or 0) for n in tensor.shape[1:])),
        tensor.dtype.name,
        call=sources[0] if sources and isinstance(sources[0], str) else None,
        sources=tuple(source for source in sources if isinstance(source, str)),
        activation=operation_activation(tensor),
        softmax_over=softmax_width(tensor),
    )


def _positions(tensor: Any) -> int:
    total = 1
    for size in tensor.shape[1:-1]:
        total *= int(size or 1)
    return total


def _readable(tensor: Any) -> Any:
    import tensorflow as tf

    return tf.cast(tensor, tf.float32) if tensor.dtype.is_floating else tensor
