"""What a network is, as facts without arrays."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CallId = str
"""Structural path of a layer; ``path#2`` is a shared layer's second call. No two calls have the same."""


class InputRef(msgspec.Struct, frozen=True):
    """An input of the network, where a call could stand too: every text is a legal name of a layer."""

    name: str

    def __str__(self) -> str:
        """Return the text that report.json has for it."""
        return f"input:{self.name}"


class OutputRef(msgspec.Struct, frozen=True):
    """An output of the network in front of its softmax or sigmoid, where a call could stand too."""

    name: str


Source = CallId | InputRef
"""What a call reads."""
UnitKind = Literal["channel", "neuron", "logit", "direction", "caricature"]
"""What a picture is optimised for."""
UnitTensor = CallId | OutputRef
"""What holds units: the output of a call, or the logits."""
InputKind = Literal["series", "other", "unknown"]
"""What a network does with an input of rank 2: reads it as steps by channels, as neither these nor a picture,
or nothing that would tell it from a grey picture."""


Way = Literal["native", "migrated", "graph", "stored"]
"""How a network was had from its file: read by Keras itself; built from a configuration that was migrated from
an older Keras; not at all, but the graph of a SavedModel is run as a whole; or not at all, so that only what
the file stores is known."""


class Origin(msgspec.Struct, frozen=True):
    """The file that a network comes from, beside its name.

    Attributes:
        version: of Keras that wrote it; empty where it does not say.
        notes: what is odd about the file and does no harm.
        reason: why no network was built, of the ways ``graph`` and ``stored``.
    """

    way: Way
    version: str = ""
    notes: tuple[str, ...] = ()
    reason: str = ""


class TensorFacts(msgspec.Struct, frozen=True):
    """An input or output of the network.

    Attributes:
        shape: with the batch dimension first; None where the model leaves a size open.
        kind: of an input of rank 2, by the layers that read it; where they do not tell its shape decides.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    kind: InputKind = "unknown"


class OutputFacts(msgspec.Struct, frozen=True):
    """An output and the head that makes it.

    Attributes:
        shape: with the batch dimension first; None where a further size follows the number of images.
        layer: structural path of the layer that makes it, None where it is not known.
        activation: the last activation before the output (``softmax``, ``sigmoid``, ``linear`` …),
            None where it is not known.
        loss: name of the loss that the model was compiled with for this output.
        call: that makes it: of a shared layer one of several; None where it is not known.
        sources: all calls that it is computed from directly.
        softmax_over: how many values each softmax at its end makes sum to 1, where it ends in one.
        from_logits: whether that loss takes what stands in front of a softmax; None where that is not known.
        distribution: whether its values were at least 0 and summed to 1 on random inputs; looked at where the
            activation is not known.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    layer: str | None = None
    activation: str | None = None
    loss: str | None = None
    call: CallId | None = None
    from_logits: bool | None = None
    distribution: bool = False
    sources: tuple[CallId, ...] = ()
    softmax_over: int | None = None

    @property
    def always_one(self) -> bool:
        """Whether every value is a softmax over itself alone."""
        over = self.shape[-1] if self.softmax_over is None else self.softmax_over
        return self.activation == "softmax" and over == 1


class LayerFacts(msgspec.Struct, frozen=True):
    """A layer, nested model or ``keras.ops`` operation, in the order of the structural walk.

    Attributes:
        path: names from the root down, joined by ``/``; unique.
        parent: path of the layer that holds it, None at the top.
        parameters: elements of its own and all inner weights, each counted once.
        trainable_parameters: those of them that training would change.
        activation: name of its activation function, where it has one.
    """

    path: str
    name: str
    class_name: str
    parent: str | None
    parameters: int
    trainable_parameters: int
    dtype_policy: str
    activation: str | None


class CallFacts(msgspec.Struct, frozen=True):
    """One call of a layer in the forward pass, in the order of execution.

    Attributes:
        id: the layer's path, with ``#k`` from the second call on.
        layer: the layer's path.
        parent: id of the call that it happens inside of, None at the top.
        inputs: the calls whose outputs it reads, and the inputs.
        shapes: shapes of its outputs without the batch dimension.
        bytes: size of its outputs for one image, in the types they have.
        flops: floating-point operations for one image, two a multiply-add; its own, without inner
            calls'.
        leaf: whether no other recorded call happens inside it.
        merges: for a call that is no leaf and makes outputs itself: the calls inside it that these
            come from.
        splits_batch: whether the first dimension of its output is not that of the images, as of windows.
        uncounted: TensorFlow's types of its own operations that ``flops`` leaves out, each once.
    """

    id: CallId
    layer: str
    class_name: str
    parent: CallId | None
    inputs: tuple[Source, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    bytes: int
    flops: int
    leaf: bool
    merges: tuple[Source, ...] = ()
    splits_batch: bool = False
    uncounted: tuple[str, ...] = ()

    @property
    def reads(self) -> tuple[Source, ...]:
        """What the tensors that it makes are computed from directly."""
        return self.inputs if self.leaf else self.merges


class VariableFacts(msgspec.Struct, frozen=True):
    """A weight of the network.

    Attributes:
        path: the layer's path and the variable's name; unique.
        layer: path of the first layer that holds it.
        role: ``kernel``, ``bias``, ``gamma``, ``beta``, ``moving_mean``, ``moving_variance``,
            ``embeddings`` or ``other``.
        initializer: name of the declared initializer, as in ``glorot_uniform``.
        initializer_config: its numbers and words, as in ``scale``, ``mode``, ``stddev``.
        fans: fan-in and fan-out by the axes of its equation, as Keras draws an EinsumDense from 3.14 on; None
            of others, and before.
        compute_dtype: the type that the layer computes in.
        shared_by: paths of further layers that hold the same variable.
        quantized: what its values are stored in, as ``int8``, ``int4`` or ``int4 (GPTQ)``, where they are given
            as those that are computed with; else empty.
        stored_bytes: that they take there; 0 where they are given as they are stored.
    """

    path: str
    layer: str
    layer_class: str
    name: str
    role: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool
    initializer: str | None = None
    initializer_config: dict[str, float | str] = {}
    compute_dtype: str = ""
    fans: tuple[int, int] | None = None
    shared_by: tuple[str, ...] = ()
    quantized: str = ""
    stored_bytes: int = 0


class InputRescaling(msgspec.Struct, frozen=True):
    """A Rescaling or Normalization in front of the first weights: ``x * scale + offset``.

    Attributes:
        layer: its path.
        scale: of each channel, or of all.
        offset: likewise.
        adapted: whether the numbers are those of a data set (Normalization).
    """

    layer: str
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    adapted: bool = False


class NetworkFacts(msgspec.Struct, frozen=True):
    """What the network is, without its values.

    Attributes:
        layers: every layer at every depth.
        calls: the recorded forward pass; empty where it could not be traced.
        own_flops: what the model computes itself, between its layers, for one image.
        own_uncounted: like a call's.
        trace_problem: why it could not be traced.
        run_problem: why no image can be run through it here.
        rescaling: of the input by a layer of the network's own, in front of its first weights.
        versions: pairs of package and version.
        origin: of which file it is, and in which way; None of a live model.
    """

    name: str
    class_name: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[OutputFacts, ...]
    layers: tuple[LayerFacts, ...]
    calls: tuple[CallFacts, ...]
    parameters: int
    trainable_parameters: int
    weight_bytes: int
    dtype_policy: str
    optimizer: str | None = None
    learning_rate: float | None = None
    loss: str | None = None
    rescaling: InputRescaling | None = None
    trace_problem: str | None = None
    run_problem: str | None = None
    versions: tuple[tuple[str, str], ...] = ()
    own_flops: int = 0
    own_uncounted: tuple[str, ...] = ()
    origin: Origin | None = None

    @property
    def flops(self) -> int | None:
        """Floating-point operations for one image, two a multiply-add; None where they are not known."""
        if not self.calls or not self.executable:
            return None
        return self.own_flops + sum(call.flops for call in self.calls)

    @property
    def executable(self) -> bool:
        """Whether there is a network that could be run, and not only what a file stores of one."""
        return self.origin is None or self.origin.way != "stored"

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Types of operations that ``flops`` leaves out: where there are any, it is a lower bound."""
        named = (*self.own_uncounted, *(name for call in self.calls for name in call.uncounted))
        return tuple(dict.fromkeys(named))

    def output(self, name: str) -> OutputFacts:
        """Return the output of this name."""
        return next(output for output in self.outputs if output.name == name)


def peak_bytes(
    calls: Sequence[CallFacts],
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Sequence[OutputFacts] = (),
) -> int:
    """Return the largest sum of tensors that are alive at one moment of the forward pass, for one image.

    A tensor lives from the call that makes it to the last call that reads it; a network's outputs
    live to the end. Inputs (float32) count; the inner working memory of a layer does not.

    Args:
        calls: in the order of execution.
        inputs: shapes by input name, without the batch dimension.
        outputs: with the calls that make them.
    """
    makers = makers_of(calls)
    kept = {output.call for output in outputs}
    last = {source: step for step, call in enumerate(makers) for source in call.reads}
    sizes: dict[Source, int] = {InputRef(name): 4 * prod(shape) for name, shape in inputs.items()}
    alive = sum(sizes.values())
    peak = alive
    for step, call in enumerate(makers):
        sizes[call.id] = call.bytes
        alive += call.bytes
        peak = max(peak, alive)
        for source in call.reads:
            if last[source] == step and source not in kept:
                alive -= sizes.pop(source, 0)
    return peak


def makers_of(calls: Sequence[CallFacts]) -> list[CallFacts]:
    """Return the calls that make tensors themselves, in the order in which they are done."""
    done: list[CallFacts] = []
    running: list[CallFacts] = []
    for call in calls:
        while running and running[-1].id != call.parent:
            done.append(running.pop())
        running.append(call)
    done.extend(reversed(running))
    return [call for call in done if call.leaf or call.merges]
