"""Adam on the spectra of pictures: all steps are one loop in one graph, traced once for a tensor's units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

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
STEPS_PER_CALL = 16
"""Steps a call of the loop, so that an interruption is heeded soon."""
LEAKING_STEPS = 16
"""Steps in which the last ReLUs leak for every unit; behind them for those that are off."""


class PictureOptimiser:
    """Optimises pictures for the units of one tensor; traced once, called every few steps.

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
        parts, *rest = spectrum_shape(canvas, recipe)
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
            score, gradient = self._score_and_gradient(spectrum, goal, tf.stack([seed, step]))
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

    def _score_and_gradient(self, spectrum: Any, goal: Any, seed: Any) -> tuple[Any, Any]:
        """Return each picture's score, and the gradient in the spectrum of what is made large."""
        import tensorflow as tf

        pictures = pictures_from_spectrum(spectrum, self._canvas, self._recipe.method)
        before, _ = self._cut.apply(
            transform_randomly(pictures, seed, self._canvas, self._recipe.strength)
        )
        score = objective(before, goal, self._kind)
        maximised = score
        if self._recipe.diversity:
            maximised -= tf.stop_gradient(tf.abs(score)) * mutual_similarity(before)
        with leaking(tf.where((seed[1] < LEAKING_STEPS) | (score <= 0), LEAK, 0.0)):
            gradient = tf.gradients(tf.reduce_sum(maximised), [spectrum])[0]
        if gradient is None:
            raise ValueError("The network has no gradient in its input.")
        return score, gradient

    def optimise(
        self, goals: NDArray[Any], seeds: Sequence[int], advance: Callable[[int], None]
    ) -> list[OptimisedPicture]:
        """Optimise pictures for as many goals as go through at once.

        Args:
            goals: of the shape that the loop was traced for; see ``objective``.
            seeds: of the noise that each begins with; the transforms depend on the recipe's seed only.
            advance: told how many steps were done.
        """
        import tensorflow as tf

        spectrum = tf.constant(initial_spectrum(self._canvas, self._recipe, seeds))
        m, v = tf.zeros_like(spectrum), tf.zeros_like(spectrum)
        gain, curves = tf.zeros((self._cut.count,)), []
        begun = 0
        while begun < self._recipe.steps:
            steps = min(STEPS_PER_CALL, self._recipe.steps - begun)
            with on_device(self._device), without_graph_optimizer():
                spectrum, m, v, gain, curve = self._loop(
                    spectrum, m, v, gain, tf.constant(goals, tf.float32),
                    tf.constant(begun), tf.constant(steps), tf.constant(self._recipe.seed),
                )  # fmt: skip
            curves.append(curve.numpy())
            begun += steps
            advance(steps)
        pictures = pictures_from_spectrum(spectrum, self._canvas, self._recipe.method).numpy()
        whole = np.concatenate(curves)
        return [OptimisedPicture(pictures[k], whole[:, k]) for k in range(self._cut.count)]
