"""The protocol through which everyone asks a network; its answers are NumPy.

No TensorFlow here: ``nets.KerasNetwork`` is the real one, and tests hand sections a ten-line fake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from reportgen.network.facts import CallId, NetworkFacts, UnitKind, UnitTensor, VariableFacts
    from reportgen.slabs import Slabs


class Moments(NamedTuple):
    """What is kept of a call's output for each image and channel, each (n, channels) float32.

    Attributes:
        mean: over the positions; as all, over finite values.
        mean_square: likewise.
        low: minimum; +infinity where no value is finite.
        high: maximum; -infinity where no value is finite.
        zeros: how many values are exactly zero.
        non_finite: how many are NaN or infinite.
        nan: how many of these are NaN.
        positions: values an image and channel.
    """

    mean: NDArray[Any]
    mean_square: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    zeros: NDArray[Any]
    non_finite: NDArray[Any]
    nan: NDArray[Any]
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
        settled: whether these have left the 0 and 1 that they start from.
    """

    layer: str
    mean: NDArray[Any]
    variance: NDArray[Any]
    moving_mean: NDArray[Any]
    moving_variance: NDArray[Any]
    settled: bool = True


AimKind = Literal["linear", "norm", "error"]
"""Of a score."""


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
    kind: AimKind
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
        """Yield each sample's score and its gradient in the image, (H, W, C) float32.

        Raises:
            NotApplicable: the score has no gradient in the image.
        """

    def features(
        self, samples: Iterable[Sample]
    ) -> Iterator[tuple[float, NDArray[Any], NDArray[Any]]]:
        """Yield each sample's score, the features and the score's gradient in them, float32.

        Raises:
            NotApplicable: the score has no gradient there.
        """

    def attention(self, samples: Iterable[Sample]) -> Iterator[Mapping[CallId, NDArray[Any]]]:
        """Yield each sample's attention probabilities by call, (heads, queries, keys) float32."""

    def randomised(
        self, stages: int, seed: int, redraw: Callable[[], bool] = lambda: False
    ) -> AbstractContextManager[Iterator[tuple[str, ...]]]:
        """Randomise a copy of the weights from the output down, stage by stage of the iterator.

        The passes use the copy until the block is left; the network itself keeps its weights.

        Args:
            stages: at most so many; the first randomises the last layer alone, with the last stage all are.
            seed: of the draw.
            redraw: asked behind the last stage, and behind each new draw, whether all weights are drawn anew.

        Returns:
            The paths of the layers that each stage randomised; nothing for a new draw.
        """


class Recipe(NamedTuple):
    """How pictures are optimised.

    Attributes:
        method: the parametrisation, ``fourier`` or ``maco``.
        steps: of Adam.
        diversity: whether the pictures of a batch, all for one unit, are kept apart.
        seed: of the noise and of the transforms.
        strength: of the transforms; 1 is Lucid's, 0 leaves pictures as they are.
    """

    method: str = "fourier"
    steps: int = 128
    diversity: bool = False
    seed: int = 0
    strength: float = 1.0


class OptimisedPicture(NamedTuple):
    """What an optimisation reached.

    Attributes:
        pixels: (H, W, C) float32 in 0..1.
        curve: (steps,) the score at each step, of the transformed picture.
    """

    pixels: NDArray[Any]
    curve: NDArray[Any]


class InputScaling(NamedTuple):
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
    def canvas(self) -> tuple[int, int, int]:
        """Height, width and channels of the canvas."""

    @property
    def channels(self) -> int:
        """How many channels the tensor has."""

    def answers(
        self, pictures: NDArray[Any], seed: int | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the tensor in front of its ReLU and behind it, each (n, …, channels) float32.

        Args:
            pictures: (n, H, W, C) in 0..1, of the canvas's size or of the input's.
            seed: of a random transform (moved, scaled and turned a little); None leaves them as they are.
        """

    def receptive_field(self) -> tuple[int, int]:
        """Return height and width of what the central place sees, in pixels; at most the input's size."""

    def optimise(
        self,
        kind: UnitKind,
        goals: NDArray[Any],
        seeds: Sequence[int],
        recipe: Recipe,
        advance: Callable[[int], None],
    ) -> list[OptimisedPicture]:
        """Optimise one picture a goal.

        Args:
            kind: of unit: ``channel``, ``logit``, ``neuron``, ``direction`` or ``caricature``.
            goals: (n, channels) the direction of each picture, of a caricature (n, …, channels); n is at
                most what the network was cut for.
            seeds: of the noise that each picture begins with.
            recipe: how.
            advance: told how many steps were done.

        Raises:
            NotApplicable: the network has no gradient there.
        """


class Network(Protocol):
    """A network that answers in NumPy."""

    @property
    def facts(self) -> NetworkFacts:
        """What the network is."""

    @property
    def can(self) -> frozenset[str]:
        """What may be asked of it.

        ``run``: its outputs. ``differentiate``: gradients, and what happens between inputs and outputs. A graph
        that is run as a whole has the first alone; where only weights are known there is neither.
        """

    def input_shape(self, name: str) -> tuple[int, ...]:
        """Return the size that an input is run with, without the batch dimension."""

    def variables(self) -> Iterator[tuple[VariableFacts, NDArray[Any] | Slabs]]:
        """Yield every weight once, in the order of the layers; one array in memory at a time.

        One that no memory need hold comes in slabs, which are read before the next is asked for.
        """

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[Batch]:
        """Run the network over ``inputs`` (by name, each (n, …)) in blocks, in inference mode.

        Raises:
            ModelError: the forward pass cannot be traced or run.
        """

    @property
    def lanes(self) -> int:
        """How many blocks, or batches of pictures that are optimised, run side by side."""

    @property
    def pictures_at_once(self) -> int:
        """How many pictures are best optimised in one batch; the same on machines with more cores."""

    @property
    def block(self) -> int:
        """How many images a pass of the survey takes."""

    def survey(self, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> Iterator[Batch]:
        """Run blocks of at most ``block`` images as they come: outputs and moments, without maps.

        Raises:
            ModelError: the forward pass cannot be traced or run.
        """

    def normalization_input(self, inputs: Mapping[str, NDArray[Any]]) -> NormalizationInput | None:
        """Measure what flows into the first BatchNormalization; None where there is none.

        Args:
            inputs: by name, each (n, …); all of one block at most.
        """

    def passes(self, aim: Aim, advance: Callable[[int], None]) -> Passes:
        """Return the passes towards ``aim``; ``advance`` is told how many samples each had.

        Raises:
            NotApplicable: the forward pass could not be traced.
        """

    def prepare_ascents(self, count: int) -> None:
        """Do what every ascent of ``count`` pictures begins with; the first one would do so itself.

        Raises:
            RunError: the network cannot be run.
        """

    def ascent(
        self,
        target: UnitTensor,
        image: str,
        held: Mapping[str, NDArray[Any]],
        scaling: InputScaling,
        *,
        count: int,
        canvas_side: int | None = None,
    ) -> Ascent:
        """Cut the network behind a call, or in front of an output's softmax.

        Args:
            target: the call, or the output.
            image: name of the input that is optimised.
            held: the other inputs, without the batch dimension.
            scaling: how pixel values become inputs.
            count: pictures at once; a network with a fixed batch keeps its own.
            canvas_side: side of a smaller canvas where the cut network takes it; None for the input's size.

        Raises:
            NotApplicable: the network cannot be run, or cut there.
        """
