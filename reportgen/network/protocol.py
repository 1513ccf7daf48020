"""What a section knows about a network: facts without arrays, and the protocol it is asked through.

No TensorFlow here: ``nets.KerasNetwork`` is the real one, and tests hand sections a ten-line fake.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

CallId = str
"""Structural path of a layer; ``path#2`` is a shared layer's second call."""


class TensorFacts(msgspec.Struct, frozen=True):
    """An input or output of the network.

    Attributes:
        shape: with the batch dimension first; None where the model leaves a size open.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class OutputFacts(msgspec.Struct, frozen=True):
    """An output and the head that makes it.

    Attributes:
        shape: with the batch dimension first.
        layer: structural path of the layer that makes it, None where it is not known.
        activation: the last activation before the output (``softmax``, ``sigmoid``, ``linear`` …),
            None where it is not known.
        loss: name of the loss that the model was compiled with for this output.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    layer: str | None = None
    activation: str | None = None
    loss: str | None = None


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
        inputs: ids of the calls, or ``input:NAME`` of the inputs, whose outputs it reads.
        shapes: shapes of its outputs without the batch dimension.
        bytes: size of its outputs for one image, in the types they have.
        flops: floating-point operations for one image, two a multiply-add; its own, without inner
            calls'.
        leaf: whether no other recorded call happens inside it.
        merges: for a call that is no leaf and makes outputs itself: the calls inside it that these
            come from.
        folds: whether the first dimension of its output is not that of the images, as of windows.
    """

    id: CallId
    layer: str
    class_name: str
    parent: CallId | None
    inputs: tuple[CallId, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    bytes: int
    flops: int
    leaf: bool
    merges: tuple[CallId, ...] = ()
    folds: bool = False


class VariableFacts(msgspec.Struct, frozen=True):
    """A weight of the network.

    Attributes:
        path: the layer's path and the variable's name; unique.
        layer: path of the first layer that holds it.
        role: ``kernel``, ``bias``, ``gamma``, ``beta``, ``moving_mean``, ``moving_variance``,
            ``embeddings`` or ``other``.
        initializer: name of the declared initializer, as in ``glorot_uniform``.
        initializer_config: its numbers and words, as in ``scale``, ``mode``, ``stddev``.
        compute_dtype: the type that the layer computes in.
        shared_by: paths of further layers that hold the same variable.
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
    shared_by: tuple[str, ...] = ()


class NetworkFacts(msgspec.Struct, frozen=True):
    """What the network is, without its values.

    Attributes:
        layers: every layer at every depth.
        calls: the recorded forward pass; empty where it could not be traced.
        trace_problem: why it could not be traced.
        raw_input: path of a Rescaling or Normalization layer, which means that raw 0..255 images go
            in.
        versions: pairs of package and version.
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
    raw_input: str | None = None
    trace_problem: str | None = None
    versions: tuple[tuple[str, str], ...] = ()


class Moments(NamedTuple):
    """What is kept of a call's output for each image and channel, each (n, channels) float32.

    Attributes:
        mean: over the positions; as all, over finite values.
        mean_square: likewise.
        low: minimum; +infinity where no value is finite.
        high: maximum; -infinity where no value is finite.
        zeros: how many values are exactly zero.
        non_finite: how many are NaN or infinite.
        positions: values an image and channel.
    """

    mean: NDArray[Any]
    mean_square: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    zeros: NDArray[Any]
    non_finite: NDArray[Any]
    positions: int


class Batch(NamedTuple):
    """The outputs of one block of images, without padding.

    Attributes:
        first: index of its first image.
        inputs: by input name, each (n, …).
        outputs: by output name, each (n, …) float32.
        logits: what goes into the softmax or sigmoid of an output that ends in one, shaped alike.
        moments: by call, where activations are watched.
        maps: outputs of the calls that were asked for, each (n, …) float32.
        places: (n,) where each image stands in the data set, broken ones counted; None for probes.
        labels: of a data set's images, as given.
    """

    first: int
    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]]
    logits: Mapping[str, NDArray[Any]] = {}
    moments: Mapping[CallId, Moments] = {}
    maps: Mapping[CallId, NDArray[Any]] = {}
    places: NDArray[Any] | None = None
    labels: tuple[Any, ...] = ()


class NormalizationInput(NamedTuple):
    """What flows into the first BatchNormalization, and what it expects.

    Attributes:
        layer: its path.
        mean: (channels,) of the tensor in front of it, over images and positions.
        variance: (channels,).
        moving_mean: (channels,) as the layer stores it.
        moving_variance: (channels,).
    """

    layer: str
    mean: NDArray[Any]
    variance: NDArray[Any]
    moving_mean: NDArray[Any]
    moving_variance: NDArray[Any]


class Aim(NamedTuple):
    """What gradients are taken of, and towards what.

    Attributes:
        output: name of the output.
        kind: ``linear`` (the sum of a sample's weights times what stands in front of the output's
            softmax or sigmoid, the output itself where it ends in neither), ``norm`` (L2, of the
            output) or ``error`` (mean squared difference between output and image).
        image: name of the input that is explained; the others are held.
        features: the call whose output the CAM family weighs; None where there is none.
    """

    output: str
    kind: str
    image: str
    features: CallId | None = None


class Sample(NamedTuple):
    """One image for a pass.

    Attributes:
        inputs: by name, without the batch dimension.
        weights: of a ``linear`` aim, shaped as the output.
    """

    inputs: Mapping[str, NDArray[Any]]
    weights: NDArray[Any] | None = None


class Passes(Protocol):
    """Forward and gradient passes over streams of samples; at most a block of them is in memory."""

    def forward(self, samples: Iterable[Sample]) -> Iterator[tuple[float, NDArray[Any]]]:
        """Yield each sample's score and output, as the network gives it."""

    def gradients(self, samples: Iterable[Sample]) -> Iterator[tuple[float, NDArray[Any]]]:
        """Yield each sample's score and its gradient in the image, (H, W, C) float32."""

    def features(
        self, samples: Iterable[Sample]
    ) -> Iterator[tuple[float, NDArray[Any], NDArray[Any]]]:
        """Yield each sample's score, the features and the score's gradient in them, float32."""

    def attention(self, samples: Iterable[Sample]) -> Iterator[Mapping[CallId, NDArray[Any]]]:
        """Yield each sample's attention probabilities by call, (heads, queries, keys) float32."""

    def cascade(self, stages: int, seed: int, redraws: int = 0) -> Iterator[tuple[str, ...]]:
        """Randomise a copy of the weights from the output down while being iterated over.

        Yields the paths of the layers that were randomised at each stage; with the last stage all
        are, and drawn anew for each of ``redraws``. The passes use the copy until the iteration ends.
        """


class Recipe(NamedTuple):
    """How pictures are optimised.

    Attributes:
        method: ``fourier`` or ``maco``.
        steps: of Adam.
        diversity: whether the pictures of a batch, all for one unit, are kept apart.
        seed: of the noise and of the movement.
        strength: of the movement; 1 is Lucid's.
    """

    method: str = "fourier"
    steps: int = 128
    diversity: bool = False
    seed: int = 0
    strength: float = 1.0


class Summit(NamedTuple):
    """What a climb reached.

    Attributes:
        picture: (H, W, C) float32 in 0..1.
        curve: (steps,) the score at each step, while the picture is moved.
    """

    picture: NDArray[Any]
    curve: NDArray[Any]


class Range(NamedTuple):
    """How pixel values in 0..1 are fed: ``pixels @ matrix + offset``.

    Attributes:
        matrix: (C, C).
        offset: (C,) what black is fed as.
        words: how it was found.
    """

    matrix: NDArray[Any]
    offset: NDArray[Any]
    words: str


class Ascent(Protocol):
    """The network up to one tensor, for pictures of one size."""

    @property
    def frame(self) -> tuple[int, int, int]:
        """Height, width and channels of the canvas."""

    @property
    def channels(self) -> int:
        """How many channels the tensor has."""

    def answers(
        self, pictures: NDArray[Any], seed: int | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the tensor in front of its ReLU and behind it for (n, H, W, C) pictures in 0..1.

        With a ``seed`` the pictures are moved, scaled and turned a little.
        """

    def field(self) -> tuple[int, int]:
        """Return height and width of what the central place sees, in pixels."""

    def climb(
        self,
        kind: str,
        goals: NDArray[Any],
        seeds: Sequence[int],
        recipe: Recipe,
        advance: Callable[[int], None],
    ) -> list[Summit]:
        """Optimise one picture a goal; see ``nets.ascent.objective``.

        Raises:
            NotApplicable: the network has no gradient there.
        """


class Network(Protocol):
    """A network that answers in NumPy."""

    @property
    def facts(self) -> NetworkFacts:
        """What the network is."""

    def variables(self) -> Iterator[tuple[VariableFacts, NDArray[Any]]]:
        """Yield every weight once, in the order of the layers; one array in memory at a time."""

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[Batch]:
        """Run the network over ``inputs`` (by name, each (n, …)) in blocks, in inference mode."""

    @property
    def block(self) -> int:
        """How many images a pass of the survey takes."""

    def survey(self, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> Iterator[Batch]:
        """Run blocks of at most ``block`` images as they come: outputs and moments, without maps."""

    def normalization_input(self, inputs: Mapping[str, NDArray[Any]]) -> NormalizationInput | None:
        """Measure what flows into the first BatchNormalization; None where there is none."""

    def passes(self, aim: Aim, advance: Callable[[int], None]) -> Passes:
        """Return the passes towards ``aim``; ``advance`` is told how many samples each had.

        Raises:
            NotApplicable: the forward pass could not be traced.
        """

    def ascent(
        self,
        target: str,
        image: str,
        held: Mapping[str, NDArray[Any]],
        fed: Range,
        *,
        count: int,
        canvas: int | None = None,
    ) -> Ascent:
        """Cut the network behind a call, or in front of an output's softmax (``output:NAME``).

        Args:
            target: id of the call, or the output.
            image: name of the input that is optimised.
            held: the other inputs, without the batch dimension.
            fed: how pixel values become inputs.
            count: pictures at once.
            canvas: side of a smaller canvas where the cut network takes it; None for the input's size.

        Raises:
            NotApplicable: the network cannot be run, or cut there.
        """


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
        outputs: a layer that makes one makes it by its last call.
    """
    makers = makers_of(calls)
    layers = {call.layer: call.id for call in makers}
    kept = {layers.get(output.layer or "") for output in outputs}
    reads = [call.inputs if call.leaf else call.merges for call in makers]
    last = {source: step for step, sources in enumerate(reads) for source in sources}
    sizes = {f"input:{name}": 4 * prod(shape) for name, shape in inputs.items()}
    alive = sum(sizes.values())
    peak = alive
    for step, call in enumerate(makers):
        sizes[call.id] = call.bytes
        alive += call.bytes
        peak = max(peak, alive)
        for source in reads[step]:
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
