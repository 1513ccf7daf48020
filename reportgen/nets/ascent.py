"""Gradient ascent on the input: pictures that a unit answers to most.

Lucid's recipe (Olah et al. 2017, Feature Visualization): the picture is held as a spectrum with decorrelated
colours, is moved, scaled and turned a little at every step, and climbs by Adam. MACO (Fel et al. 2023) keeps
the magnitudes of the spectrum and moves the phases only. The network is cut behind the unit, so that what
comes after never runs; all steps are one loop in one graph, traced once for all units of a tensor.
"""

from __future__ import annotations

import contextlib
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import NotApplicable
from reportgen.nets.engine import on_device
from reportgen.network.protocol import Summit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.nets.tracing import Traced
    from reportgen.network.protocol import Range, Recipe

COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]], np.float32)
"""Square root of the colour covariance of natural images (Lucid), a row a channel."""
LEARNING_RATE = 0.05
AT_ONCE = 16
"""Steps a call of the loop, so that an interruption is heeded soon."""
_RELU = frozenset({"Relu", "Relu6"})
LEAK = 0.1
"""Share of answers below zero that counts."""
WARM_UP = 16
"""Steps in which the last ReLUs leak for every unit; behind them for those that are off."""
_HANDS_ON = frozenset({"Identity", "Cast"})


class Frame(NamedTuple):
    """The canvas.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: of the input.
    """

    height: int
    width: int
    channels: int


# -- the parametrisation ---------------------------------------------------------------------------


def magnitudes(frame: Frame) -> NDArray[Any]:
    """Return the scale of each frequency, (H, W // 2 + 1) float32: one over it, as in natural images."""
    rows = np.fft.fftfreq(frame.height)[:, None]
    columns = np.fft.rfftfreq(frame.width)[None, :]
    least = 1 / max(frame.height, frame.width)
    scale = 1 / np.maximum(np.hypot(rows, columns), least)
    result: NDArray[Any] = (scale * np.sqrt(frame.height * frame.width)).astype(np.float32)
    return result


def spectrum_shape(frame: Frame, recipe: Recipe) -> tuple[int, ...]:
    """Return the shape of one picture's spectrum: real and imaginary parts, or phases only, and the rest."""
    parts = 1 if recipe.method == "maco" else 2
    return (parts, frame.channels, frame.height, frame.width // 2 + 1)


def first_spectrum(frame: Frame, recipe: Recipe, seeds: Sequence[int]) -> NDArray[Any]:
    """Return where the climb begins, for each seed: (2 or 1, n, C, H, W // 2 + 1) float32 noise."""
    shape, maco = spectrum_shape(frame, recipe), recipe.method == "maco"
    pictures = []
    for seed in seeds:
        noise = np.random.default_rng(seed)
        values = noise.uniform(-np.pi, np.pi, shape) if maco else noise.normal(0, 0.01, shape)
        pictures.append(values.astype(np.float32))
    return np.stack(pictures, axis=1)


def picture_of(spectrum: Any, frame: Frame, method: str) -> Any:
    """Return the pictures of spectra, (n, H, W, C) in 0..1, differentiable."""
    import tensorflow as tf

    if method == "maco":
        # Magnitudes of a picture with the contrast that the free spectrum reaches in a hundred steps.
        phase = spectrum[0]
        flat = _inverse(tf.stack([tf.cos(phase), tf.sin(phase)]), frame)
    else:
        flat = _inverse(spectrum, frame) / 4
    flat = tf.transpose(flat, [0, 2, 3, 1])
    if frame.channels == 3:
        longest = float(np.linalg.norm(COLOURS, axis=0).max())
        flat = tf.einsum("nhwc,dc->nhwd", flat, tf.constant(COLOURS / longest))
    return tf.sigmoid(flat)


def _inverse(parts: Any, frame: Frame) -> Any:
    """Return the inverse Fourier transform of (2, n, C, H, W // 2 + 1) scaled real and imaginary parts.

    The gradient is the forward transform, each frequency that stands for two counted twice; TensorFlow's own
    takes three times as long.
    """
    import tensorflow as tf

    scale = magnitudes(frame)
    twice = np.full(frame.width // 2 + 1, 2.0, np.float32)
    twice[0] = 1
    if frame.width % 2 == 0:
        twice[-1] = 1
    back_scale = tf.constant(scale * twice / (frame.height * frame.width))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def transform(parts: Any) -> tuple[Any, Any]:
        def back(upstream: Any) -> Any:
            found = tf.signal.rfft2d(upstream)
            return tf.stack([tf.math.real(found), tf.math.imag(found)]) * back_scale

        scaled = parts * tf.constant(scale)
        values = tf.complex(scaled[0], scaled[1])
        return tf.signal.irfft2d(values, [frame.height, frame.width]), back

    return transform(parts)


# -- robustness ------------------------------------------------------------------------------------


def moved(pictures: Any, seed: Any, frame: Frame, strength: float = 1.0) -> Any:
    """Move, scale and turn pictures together by one random affine map, bilinearly; grey comes in at the edges.

    Jitter of 8 and 4 pixels, a scale of 0.9 to 1.1 and a turn of up to 10 degrees, on canvases under 128
    pixels the jitter in proportion.

    Args:
        pictures: (n, H, W, C) in 0..1.
        seed: (2,) int32.
        frame: theirs.
        strength: 0 leaves them as they are.
    """
    import tensorflow as tf

    u = tf.random.stateless_uniform([6], seed, -1.0, 1.0) * strength
    share = min(1.0, min(frame.height, frame.width) / 128)
    # Two jitters, one before and one behind the turn, as offsets in pixels.
    first, second = u[0:2] * 8.0 * share, u[2:4] * 4.0 * share
    scale, angle = 1 + 0.1 * u[4], u[5] * (np.pi / 18)
    rows, columns = np.meshgrid(
        np.arange(frame.height) - (frame.height - 1) / 2,
        np.arange(frame.width) - (frame.width - 1) / 2,
        indexing="ij",
    )
    y = tf.constant(rows.reshape(-1), tf.float32) - second[0]
    x = tf.constant(columns.reshape(-1), tf.float32) - second[1]
    cos, sin = tf.cos(angle) / scale, tf.sin(angle) / scale
    source_y = cos * y + sin * x - first[0] + (frame.height - 1) / 2
    source_x = cos * x - sin * y - first[1] + (frame.width - 1) / 2
    return _sampled(pictures, source_y, source_x, frame)


def _sampled(pictures: Any, y: Any, x: Any, frame: Frame) -> Any:
    """Sample pictures at (H·W,) places, with the exact gradient in the pictures."""
    import tensorflow as tf

    height, width = frame.height, frame.width
    count = pictures.shape[0]
    top, left = tf.floor(y), tf.floor(x)
    places, weights = [], []
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, column = tf.cast(top, tf.int32) + down, tf.cast(left, tf.int32) + right
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        share = (1 - tf.abs(y - tf.cast(row, tf.float32))) * (
            1 - tf.abs(x - tf.cast(column, tf.float32))
        )
        weights.append(tf.where(inside, share, 0.0))
        places.append(
            tf.clip_by_value(row, 0, height - 1) * width + tf.clip_by_value(column, 0, width - 1)
        )
    size = count * frame.channels

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def gather(flat: Any) -> tuple[Any, Any]:
        taps = [w[:, None] * tf.gather(flat, p) for w, p in zip(weights, places, strict=True)]

        def back(upstream: Any) -> Any:
            shares = tf.concat([w[:, None] * upstream for w in weights], axis=0)
            return tf.math.unsorted_segment_sum(shares, tf.concat(places, 0), height * width)

        return tf.add_n(taps), back

    # All pictures move alike, so that a place is one row of all of them.
    flat = tf.reshape(tf.transpose(pictures, [1, 2, 0, 3]), (height * width, size))
    grey = 0.5 * (1 - tf.add_n(weights))[:, None]
    found = tf.reshape(gather(flat) + grey, (height, width, count, frame.channels))
    return tf.transpose(found, [2, 0, 1, 3])


# -- the cut network -------------------------------------------------------------------------------


class Cut:
    """The network up to one tensor, on a canvas of any size that it takes.

    Args:
        traced: the forward pass for blocks of as many images as are climbed at once.
        image: name of the input that is optimised.
        tensor: what units are taken of.
        held: the other inputs by name, without the batch dimension.
        matrix: (C, C) from pixel values in 0..1 to those that the network is fed.
        offset: (C,) what black is fed as.
    """

    def __init__(
        self,
        traced: Traced,
        image: str,
        tensor: Any,
        held: Mapping[str, NDArray[Any]],
        matrix: NDArray[Any],
        offset: NDArray[Any],
    ) -> None:
        pruned = traced.function.prune(list(traced.inputs.values()), [before_relu(tensor), tensor])
        self.channels = int(tensor.shape[-1])
        self._definition = pruned.graph.as_graph_def()
        soften(self._definition, pruned.outputs[0].op.name)
        self._names = [t.name for t in pruned.graph.inputs]
        self._outputs = [t.name for t in pruned.outputs]
        self._captured = list(pruned.captured_inputs)
        self._fed = {name: self._names[k] for k, name in enumerate(traced.inputs)}
        self._image, self._held = image, dict(held)
        self._spec = traced.inputs[image]
        self._count = int(self._spec.shape[0])
        self._matrix, self._offset = matrix.astype(np.float32), offset.astype(np.float32)

    @property
    def count(self) -> int:
        """How many pictures go through at once."""
        return self._count

    def apply(self, pictures: Any) -> tuple[Any, Any]:
        """Return the tensor in front of its ReLU and behind it, float32, for (n, H, W, C) in 0..1.

        Raises:
            ValueError: the network does not take pictures of this size.
        """
        import tensorflow as tf

        graph = tf.compat.v1.get_default_graph()
        fed = tf.einsum("nhwc,cd->nhwd", pictures, tf.constant(self._matrix)) + self._offset
        if self._spec.shape.rank == 3:
            fed = fed[..., 0]
        given = {self._fed[self._image]: tf.cast(fed, self._spec.dtype)}
        for name, array in self._held.items():
            tiled = np.repeat(array[None], self._count, axis=0)
            given[self._fed[name]] = tf.constant(tiled)
        waiting = self._names[len(self._fed) :]
        for name, tensor in zip(waiting, self._captured, strict=True):
            given[name] = graph.capture(tensor)
        before, behind = tf.graph_util.import_graph_def(
            self._definition, input_map=given, return_elements=self._outputs, name="cut"
        )
        if before.shape.rank is None or before.shape[0] != self._count:
            raise ValueError("The batch is not kept.")
        return tf.cast(before, tf.float32), tf.cast(behind, tf.float32)


def soften(definition: Any, target: str) -> None:
    """Let gradients through a graph that is copied.

    Gradients that a function brought along (``tf.custom_gradient``, as in ``tf.nn.silu``) know only the graph
    that they were made in; the copy has its own by the chain rule. The last ReLUs in front of the target leak
    where a unit is off (Lucid's redirected gradient).
    """
    nodes = {node.name: node for node in definition.node}
    for node in definition.node:
        if "_gradient_op_type" in node.attr:
            del node.attr["_gradient_op_type"]
    seen, queue = {target}, [target]
    while queue:
        node = nodes.get(queue.pop())
        if node is None:
            continue
        if node.op in _RELU:
            node.attr["_gradient_op_type"].s = _leaky(node.op)
            continue
        for source in node.input:
            name = source.removeprefix("^").partition(":")[0]
            if name not in seen:
                seen.add(name)
                queue.append(name)


_LEAKS: list[Any] = []
"""The leak of each picture, (n,), while gradients are being added to a graph."""


@cache
def _leaky(kind: str) -> bytes:
    """Register the gradient of a ReLU that leaks, and return its name."""
    import tensorflow as tf

    name = f"Reportgen{kind}"

    @tf.RegisterGradient(name)  # type: ignore[untyped-decorator]
    def gradient(op: Any, upstream: Any) -> Any:
        x = op.inputs[0]
        on = (x > 0) & (x < 6) if kind == "Relu6" else x > 0
        if not _LEAKS:
            return tf.where(on, upstream, tf.zeros_like(upstream))
        leak = tf.cast(_LEAKS[-1], upstream.dtype)
        leak = tf.reshape(leak, [-1, *([1] * (upstream.shape.rank - 1))])
        return upstream * tf.where(on, tf.ones_like(leak), leak)

    return name.encode()


def before_relu(tensor: Any) -> Any:
    """Return what a ReLU that makes ``tensor`` reads: a unit that is off has a gradient there."""
    current = tensor
    while current.op.type in _HANDS_ON:
        current = current.op.inputs[0]
    return current.op.inputs[0] if current.op.type in _RELU else tensor


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


def likeness(values: Any) -> Any:
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


# -- the climb -------------------------------------------------------------------------------------


class Climber:
    """Climbs for the units of one tensor; traced once, called every few steps.

    Args:
        cut: the network up to the tensor.
        frame: the canvas.
        kind: of ``objective``.
        recipe: how to climb.
        device: ``cpu`` or ``gpu``.
        goals: the shape of the goals of all pictures at once.

    Raises:
        NotApplicable: the network does not take such pictures, or has no gradient in them.
    """

    def __init__(
        self,
        cut: Cut,
        frame: Frame,
        kind: str,
        recipe: Recipe,
        device: str,
        goals: Sequence[int],
    ) -> None:
        import tensorflow as tf

        self._cut, self._frame, self._kind = cut, frame, kind
        self._recipe, self._device = recipe, device
        parts, *rest = spectrum_shape(frame, recipe)
        spectrum = tf.TensorSpec((parts, cut.count, *rest), tf.float32)
        scalar = tf.TensorSpec((), tf.int32)
        gain = tf.TensorSpec((cut.count,), tf.float32)
        goal = tf.TensorSpec(goals, tf.float32)
        try:
            with on_device(device):
                run = tf.function(self._run, autograph=False)
                self._loop = run.get_concrete_function(
                    spectrum, spectrum, spectrum, gain, goal, scalar, scalar, scalar
                )
        except (ValueError, TypeError, LookupError, tf.errors.OpError) as error:
            text = str(error).strip().partition("\n")[0][:200]
            raise NotApplicable(f"It cannot be optimised: {text}") from error

    def _run(
        self, spectrum: Any, m: Any, v: Any, gain: Any, goal: Any, begun: Any, steps: Any, seed: Any
    ) -> Any:
        import tensorflow as tf

        def body(step: Any, spectrum: Any, m: Any, v: Any, gain: Any, curve: Any) -> Any:
            score, gradient = self._slope(spectrum, goal, tf.stack([seed, step]))
            size = tf.reduce_max(tf.abs(gradient), axis=[0, 2, 3, 4])
            # Networks differ by many orders of magnitude; Adam's epsilon does not.
            gain = tf.where((gain == 0) & (size > 0), 1 / tf.maximum(size, 1e-37), gain)
            gradient *= gain[None, :, None, None, None]
            m = 0.9 * m + 0.1 * gradient
            v = 0.999 * v + 0.001 * tf.square(gradient)
            count = tf.cast(step + 1, tf.float32)
            up = (m / (1 - 0.9**count)) / (tf.sqrt(v / (1 - 0.999**count)) + 1e-8)
            spectrum += LEARNING_RATE * up
            return step + 1, spectrum, m, v, gain, curve.write(step - begun, score)

        curve = tf.TensorArray(tf.float32, size=steps, element_shape=(self._cut.count,))
        _, spectrum, m, v, gain, curve = tf.while_loop(
            lambda step, *_: step < begun + steps,
            body,
            [begun, spectrum, m, v, gain, curve],
            parallel_iterations=1,
        )
        return spectrum, m, v, gain, curve.stack()

    def _slope(self, spectrum: Any, goal: Any, seed: Any) -> tuple[Any, Any]:
        """Return each picture's score, and the gradient of what is climbed in the spectrum."""
        import tensorflow as tf

        pictures = picture_of(spectrum, self._frame, self._recipe.method)
        before, _ = self._cut.apply(moved(pictures, seed, self._frame, self._recipe.strength))
        score = objective(before, goal, self._kind)
        climbed = score
        if self._recipe.diversity:
            climbed -= tf.stop_gradient(tf.abs(score)) * likeness(before)
        _LEAKS.append(tf.where((seed[1] < WARM_UP) | (score <= 0), LEAK, 0.0))
        try:
            gradient = tf.gradients(tf.reduce_sum(climbed), [spectrum])[0]
        finally:
            _LEAKS.pop()
        if gradient is None:
            raise ValueError("The network has no gradient in its input.")
        return score, gradient

    def climb(self, goals: NDArray[Any], seeds: Sequence[int], advance: Any) -> list[Summit]:
        """Climb for as many goals as go through at once.

        Args:
            goals: of the shape that was said.
            seeds: of the noise that each begins with; what moves the pictures depends on the recipe's only.
            advance: told how many steps were done.
        """
        import tensorflow as tf

        spectrum = tf.constant(first_spectrum(self._frame, self._recipe, seeds))
        m, v = tf.zeros_like(spectrum), tf.zeros_like(spectrum)
        gain, curves = tf.zeros((self._cut.count,)), []
        begun = 0
        while begun < self._recipe.steps:
            steps = min(AT_ONCE, self._recipe.steps - begun)
            with on_device(self._device):
                spectrum, m, v, gain, curve = self._loop(
                    spectrum, m, v, gain, tf.constant(goals, tf.float32),
                    tf.constant(begun), tf.constant(steps), tf.constant(self._recipe.seed),
                )  # fmt: skip
            curves.append(curve.numpy())
            begun += steps
            advance(steps)
        pictures = picture_of(spectrum, self._frame, self._recipe.method).numpy()
        whole = np.concatenate(curves)
        return [Summit(pictures[k], whole[:, k]) for k in range(self._cut.count)]


class Scorer:
    """Runs pictures through the cut network: what a unit answers, where, and how far it sees.

    Args:
        cut: the network up to the tensor.
        frame: the canvas.
        device: ``cpu`` or ``gpu``.

    Raises:
        NotApplicable: the network does not take such pictures.
    """

    def __init__(self, cut: Cut, frame: Frame, device: str) -> None:
        import tensorflow as tf

        self._cut, self._frame, self._device = cut, frame, device
        shape = (cut.count, frame.height, frame.width, frame.channels)
        pictures, seed = tf.TensorSpec(shape, tf.float32), tf.TensorSpec((2,), tf.int32)
        strength = tf.TensorSpec((), tf.float32)
        try:
            with on_device(device):
                self._answers = tf.function(self._answer, autograph=False).get_concrete_function(
                    pictures, seed, strength
                )
                self._sees = tf.function(self._field, autograph=False).get_concrete_function(
                    pictures
                )
        except (ValueError, TypeError, LookupError, tf.errors.OpError) as error:
            text = str(error).strip().partition("\n")[0][:200]
            raise NotApplicable(f"Pictures of this size cannot be fed: {text}") from error

    def _answer(self, pictures: Any, seed: Any, strength: Any) -> Any:
        return self._cut.apply(moved(pictures, seed, self._frame, strength))

    def answers(
        self, pictures: NDArray[Any], seed: int | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the tensor in front of its ReLU and behind it for (n, H, W, C) pictures in 0..1.

        Args:
            pictures: any number.
            seed: of the movement; None leaves them where they are.
        """
        import tensorflow as tf

        size = self._cut.count
        found: list[tuple[Any, Any]] = []
        for first in range(0, len(pictures), size):
            block = pictures[first : first + size]
            padded = np.concatenate([block, np.repeat(block[-1:], size - len(block), axis=0)])
            with on_device(self._device):
                before, behind = self._answers(
                    tf.constant(padded, tf.float32), tf.constant([seed or 0, first], tf.int32),
                    tf.constant(0.0 if seed is None else 1.0),
                )  # fmt: skip
            found.append((before.numpy()[: len(block)], behind.numpy()[: len(block)]))
        return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])

    def _field(self, pictures: Any) -> Any:
        import tensorflow as tf

        before, _ = self._cut.apply(pictures)
        middle = before
        for size in before.shape[1:-1]:
            middle = middle[:, size // 2]
        ramp = tf.linspace(1.0, 2.0, int(middle.shape[-1]))
        gradient = tf.gradients(tf.reduce_sum(middle * ramp), [pictures])[0]
        if gradient is None:
            raise ValueError("The network has no gradient in its input.")
        return tf.reduce_max(tf.abs(gradient), axis=[0, 3])

    def field(self, seed: int) -> tuple[int, int]:
        """Return height and width of what the central place sees, in pixels: where noise moves it."""
        import tensorflow as tf

        frame = self._frame
        shape = (self._cut.count, frame.height, frame.width, frame.channels)
        noise = np.random.default_rng(seed).uniform(0, 1, shape)
        with on_device(self._device):
            found = self._sees(tf.constant(noise, tf.float32)).numpy() > 0
        rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
        if not rows.size:
            return frame.height, frame.width
        return int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


class KerasAscent:
    """The network up to one tensor, for pictures of one size.

    Args:
        traced: the forward pass for blocks of as many pictures as go through at once.
        target: id of a call, or ``output:NAME``.
        image: name of the input that is optimised.
        held: the other inputs, without the batch dimension.
        fed: how pixel values become inputs.
        device: ``cpu`` or ``gpu``.
        size: of the input: height, width and, where it has them, channels.
        canvas: side of a smaller canvas where the cut network takes it.

    Raises:
        NotApplicable: it cannot be cut there.
    """

    def __init__(
        self,
        traced: Traced,
        target: str,
        image: str,
        held: Mapping[str, NDArray[Any]],
        fed: Range,
        device: str,
        size: Sequence[int],
        canvas: int | None,
    ) -> None:
        tensor = _tensor(traced, target)
        if tensor.shape[0] != traced.inputs[image].shape[0]:
            raise NotApplicable(
                f"{target} folds places into the batch, so its rows are no pictures."
            )
        self._device = device
        self._cut = Cut(traced, image, tensor, held, fed.matrix, fed.offset)
        self._whole = Frame(size[0], size[1], size[2] if len(size) > 2 else 1)
        self._frame = self._whole
        self._scorers: dict[Frame, Scorer] = {}
        self._seen: tuple[int, int] | None = None
        self._climbers: dict[tuple[str, Recipe], Climber] = {}
        if canvas and min(self._whole.height, self._whole.width) > canvas:
            smaller = Frame(canvas, canvas, self._whole.channels)
            with contextlib.suppress(NotApplicable):
                self._scorer(smaller)
                self._frame = smaller
        self._scorer(self._frame)

    def _scorer(self, frame: Frame) -> Scorer:
        if frame not in self._scorers:
            self._scorers[frame] = Scorer(self._cut, frame, self._device)
        return self._scorers[frame]

    @property
    def frame(self) -> tuple[int, int, int]:
        """Height, width and channels of the canvas."""
        return self._frame

    @property
    def channels(self) -> int:
        """How many channels the tensor has."""
        return self._cut.channels

    def answers(
        self, pictures: NDArray[Any], seed: int | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the tensor in front of its ReLU and behind it for (n, H, W, C) pictures in 0..1.

        Args:
            pictures: of the canvas's size, or of the input's.
            seed: moves, scales and turns them a little; None leaves them as they are.
        """
        frame = Frame(*(int(n) for n in pictures.shape[1:4]))
        return self._scorer(frame).answers(pictures, seed)

    def field(self) -> tuple[int, int]:
        """Return height and width of what the central place sees, in pixels; at most the input's size."""
        if self._seen is None:
            self._seen = self._scorer(self._frame).field(0)
        seen, frame, whole = self._seen, self._frame, self._whole
        full = seen[0] >= frame.height or seen[1] >= frame.width
        return (whole.height, whole.width) if full else seen

    def climb(
        self,
        kind: str,
        goals: NDArray[Any],
        seeds: Sequence[int],
        recipe: Recipe,
        advance: Callable[[int], None],
    ) -> list[Summit]:
        """Optimise one picture a goal, as many as go through at once; fewer are filled up.

        Raises:
            NotApplicable: the network has no gradient there.
        """
        missing = self._cut.count - len(goals)
        filled = np.concatenate([goals, np.repeat(goals[-1:], missing, axis=0)])
        begun = [*seeds, *([seeds[-1]] * missing)]
        key = (kind, recipe)
        if key not in self._climbers:
            self._climbers[key] = Climber(
                self._cut, self._frame, kind, recipe, self._device, filled.shape
            )
        return self._climbers[key].climb(filled, begun, advance)[: len(goals)]


def _tensor(traced: Traced, target: str) -> Any:
    if target.startswith("output:"):
        return traced.ends[target.removeprefix("output:")]
    found = next((call for call in traced.recorded if call.id == target and call.outputs), None)
    if found is None or not found.outputs[0].dtype.is_floating:
        raise NotApplicable(f"{target} has no floating-point output.")
    return found.outputs[0]
