"""Adam on the spectra of pictures: a step is three calls of traced functions, one of them of the network."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.errors import NotApplicable
from reportgen.nets.engine import on_device, without_graph_optimizer
from reportgen.nets.objectives import LEAK, mutual_similarity, objective
from reportgen.nets.parametrisation import initial_spectrum, pictures_from_spectrum, spectrum_shape
from reportgen.nets.relu_gradients import leaking
from reportgen.nets.transforms import transform_randomly
from reportgen.network.protocol import OptimisedPicture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from reportgen.nets.cut_network import CutNetwork
    from reportgen.nets.parametrisation import Canvas
    from reportgen.network.protocol import Recipe

LEARNING_RATE = 0.05
LEAKING_STEPS = 16
"""Steps in which the last ReLUs leak for every unit; behind them for those that are off."""
STEPS_PER_ADVANCE = 16
"""Steps between two looks at the clock."""


class PictureOptimiser:
    """Optimises pictures for the units of one tensor.

    What the network does with pictures is traced for the tensor; how a spectrum becomes a picture and takes a
    step is the same for all tensors, and traced once.

    Args:
        cut: the network up to the tensor.
        canvas: of the pictures.
        kind: of ``objective``.
        recipe: how to optimise.
        device: ``cpu`` or ``gpu``.
        goals: the shape of the goals of all pictures at once; see ``objective``.

    Raises:
        NotApplicable: the network does not take such pictures, or has no gradient in them.
    """

    def __init__(
        self,
        cut: CutNetwork,
        canvas: Canvas,
        kind: str,
        recipe: Recipe,
        device: str,
        goals: Sequence[int],
    ) -> None:
        import tensorflow as tf

        self._cut, self._canvas, self._kind = cut, canvas, kind
        self._recipe, self._device = recipe, device
        shape = (cut.count, canvas.height, canvas.width, canvas.channels)
        pictures, goal = tf.TensorSpec(shape, tf.float32), tf.TensorSpec(goals, tf.float32)
        try:
            with on_device(device):
                self._spectra = _spectra(canvas, recipe.method, device)
                climb = tf.function(self._score_and_gradient, autograph=False)
                self._climb = climb.get_concrete_function(
                    pictures, goal, tf.TensorSpec((), tf.bool)
                )
        except (ValueError, TypeError, LookupError, tf.errors.OpError) as error:
            text = str(error).strip().partition("\n")[0][:200]
            raise NotApplicable(f"It cannot be optimised: {text}") from error

    def _score_and_gradient(self, pictures: Any, goal: Any, leak: Any) -> tuple[Any, Any]:
        """Return each picture's score, and the gradient in the pictures of what is made large."""
        import tensorflow as tf

        before, _ = self._cut.apply(pictures)
        score = objective(before, goal, self._kind)
        maximised = score
        if self._recipe.diversity:
            maximised -= tf.stop_gradient(tf.abs(score)) * mutual_similarity(before)
        with leaking(tf.where(leak | (score <= 0), LEAK, 0.0)):
            gradient = tf.gradients(tf.reduce_sum(maximised), [pictures])[0]
        if gradient is None:
            raise ValueError("The network has no gradient in its input.")
        return score, gradient

    def optimise(
        self, goals: NDArray[Any], seeds: Sequence[int], advance: Callable[[int], None]
    ) -> list[OptimisedPicture]:
        """Optimise pictures for as many goals as go through at once.

        Args:
            goals: of the shape that was traced; see ``objective``.
            seeds: of the noise that each begins with; the transforms depend on the recipe's seed only.
            advance: told how many steps were done.
        """
        import tensorflow as tf

        recipe, spectra = self._recipe, self._spectra
        with on_device(self._device), without_graph_optimizer():
            spectrum = tf.constant(initial_spectrum(self._canvas, recipe, seeds))
            m, v = tf.zeros_like(spectrum), tf.zeros_like(spectrum)
            gain, strength = tf.zeros((self._cut.count,)), tf.constant(float(recipe.strength))
            goal, curve = tf.constant(goals, tf.float32), []
            for step in range(recipe.steps):
                seed = tf.constant([recipe.seed, step])
                pictures = spectra.pictures(spectrum, seed, strength)
                score, gradient = self._climb(pictures, goal, tf.constant(step < LEAKING_STEPS))
                spectrum, m, v, gain = spectra.step(spectrum, m, v, gain, gradient, seed, strength)
                curve.append(score)
                if (done := len(curve) % STEPS_PER_ADVANCE) == 0 or step == recipe.steps - 1:
                    advance(done or STEPS_PER_ADVANCE)
            pictures = pictures_from_spectrum(spectrum, self._canvas, recipe.method).numpy()
            whole = tf.stack(curve).numpy()
        return [OptimisedPicture(pictures[k], whole[:, k]) for k in range(self._cut.count)]


class _Spectra(NamedTuple):
    """What is done with any number of spectra on one canvas, traced.

    Attributes:
        pictures: from spectrum, seed and strength to the transformed pictures.
        step: from spectrum, Adam's moments, gain, the gradient in the transformed pictures, seed and strength
            to the next spectrum, moments and gain.
    """

    pictures: Any
    step: Any


@lru_cache(maxsize=8)
def _spectra(canvas: Canvas, method: str, device: str) -> _Spectra:
    """Trace what is done with spectra, whatever network they are for."""
    import tensorflow as tf

    def transformed(spectrum: Any, seed: Any, strength: Any) -> Any:
        pictures = pictures_from_spectrum(spectrum, canvas, method)
        return transform_randomly(pictures, seed, canvas, strength)

    def step(
        spectrum: Any, m: Any, v: Any, gain: Any, upstream: Any, seed: Any, strength: Any
    ) -> Any:
        pictures = transformed(spectrum, seed, strength)
        gradient = tf.gradients(pictures, [spectrum], [upstream])[0]
        size = tf.reduce_max(tf.abs(gradient), axis=[0, 2, 3, 4])
        # Networks differ by many orders of magnitude; Adam's epsilon does not.
        gain = tf.where((gain == 0) & (size > 0), 1 / tf.maximum(size, 1e-37), gain)
        gradient *= gain[None, :, None, None, None]
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * tf.square(gradient)
        count = tf.cast(seed[1] + 1, tf.float32)
        up = (m / (1 - 0.9**count)) / (tf.sqrt(v / (1 - 0.999**count)) + 1e-8)
        return spectrum + LEARNING_RATE * up, m, v, gain

    parts, *rest = spectrum_shape(canvas, method)
    spectrum = tf.TensorSpec((parts, None, *rest), tf.float32)
    picture = tf.TensorSpec((None, canvas.height, canvas.width, canvas.channels), tf.float32)
    gain, seed = tf.TensorSpec((None,), tf.float32), tf.TensorSpec((2,), tf.int32)
    strength = tf.TensorSpec((), tf.float32)

    def traced(function: Any, *specs: Any) -> Any:
        return tf.function(function, autograph=False).get_concrete_function(*specs)

    with tf.init_scope(), on_device(device):  # it outlives what is being traced
        return _Spectra(
            traced(transformed, spectrum, seed, strength),
            traced(step, spectrum, spectrum, spectrum, gain, picture, seed, strength),
        )
