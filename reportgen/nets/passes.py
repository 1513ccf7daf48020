"""Forward and gradient passes towards one target, cut from the traced forward pass: nothing is traced again."""

from __future__ import annotations

import contextlib
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.errors import ModelError, NotApplicable
from reportgen.lanes import in_order
from reportgen.nets.engine import on_device, tracing, without_graph_optimizer
from reportgen.nets.keras_internals import layer_variables, raw_variable
from reportgen.nets.structure import to_numpy
from reportgen.nets.subgraph import Subgraph, as_function
from reportgen.nets.tensorflow_internals import exchange_captures, run_flat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from reportgen.nets.scaled_kernels import Recipe
    from reportgen.nets.structure import Node
    from reportgen.nets.tracing import Traced
    from reportgen.network.facts import CallId
    from reportgen.network.protocol import Aim, Sample

_FLOAT16_SCALE = 1024.0
"""Scores of float16 networks are scaled by it, so that their gradients do not underflow."""
_ATTENTION = frozenset({"MultiHeadAttention", "GroupedQueryAttention"})


class KerasPasses:
    """Passes over streams of samples, in blocks of the traced size; the last block is padded.

    Args:
        traced: the forward pass; its graph is extended, the model is not touched.
        aim: what gradients are taken of.
        nodes: the model's layers, for the order of the cascade.
        block: images a pass.
        lanes: blocks side by side.
        device: ``cpu`` or ``gpu``.
        advance: told how many samples a pass had.

    Raises:
        NotApplicable: the score cannot be made or differentiated.
    """

    def __init__(
        self,
        traced: Traced,
        aim: Aim,
        nodes: Sequence[Node],
        block: int,
        lanes: int,
        device: str,
        advance: Callable[[int], None],
    ) -> None:
        self._traced = traced
        self._aim = aim
        self._nodes = nodes
        self._block = block
        self._lanes = lanes
        self._device = device
        self._advance = advance
        self._functions: dict[str, Any] = {}
        self._captured: dict[str, list[Any]] = {}
        self._copies: dict[int, Any] = {}
        self._kernels = traced.kernels
        self._recipes: dict[str, list[Recipe]] = {}
        half = any("float16" in dtype for call in traced.calls for dtype in call.dtypes)
        self._scale = _FLOAT16_SCALE if half else 1.0
        self._weights: Any = None
        with tracing, traced.function.graph.as_default():
            self._score = self._make_score()

    # -- the graph -------------------------------------------------------------------------------

    def _make_score(self) -> Any:
        """Return the score of each sample, (block,) float32."""
        import tensorflow as tf

        output = tf.cast(
            self._traced.function.structured_outputs["outputs"][self._aim.output], tf.float32
        )
        axes = list(range(1, output.shape.rank))
        if self._aim.kind == "norm":
            return tf.sqrt(tf.reduce_sum(tf.square(output), axes) + 1e-30)
        if self._aim.kind == "error":
            image = tf.cast(self._traced.inputs[self._aim.image], tf.float32)
            return tf.reduce_mean(tf.square(output - image), axes)
        end = tf.cast(self._traced.pre_activations[self._aim.output], tf.float32)
        self._weights = tf.compat.v1.placeholder(tf.float32, end.shape)
        return tf.reduce_sum(self._weights * end, list(range(1, end.shape.rank)))

    def _gradient(self, tensor: Any) -> Any:
        """Return the gradient of each sample's score in ``tensor``, float32."""
        import tensorflow as tf

        try:
            found = tf.gradients(self._score * self._scale, [tensor])[0]
        except LookupError as error:
            raise NotApplicable(
                f"The network has a step without a gradient ({error}), so only occlusion can be used."
            ) from error
        if found is None:
            what = (
                "takes integers" if not tensor.dtype.is_floating else "has no gradient path to it"
            )
            raise NotApplicable(
                f"There is no gradient: the network {what}, so only the CAM family and occlusion can be used."
            )
        return tf.cast(tf.convert_to_tensor(found), tf.float32) / self._scale

    def _fetches(self, name: str) -> Any:
        import tensorflow as tf

        if name == "forward":
            return [
                self._score,
                self._traced.function.structured_outputs["outputs"][self._aim.output],
            ]
        if name == "gradients":
            return [self._score, self._gradient(self._traced.inputs[self._aim.image])]
        if name == "features":
            tensor = self._call(self._aim.features).outputs[0]
            self._check_batch(tensor, str(self._aim.features))
            return [self._score, tf.cast(tensor, tf.float32), self._gradient(tensor)]
        return [tf.cast(scores, tf.float32) for scores in self._attention_scores().values()]

    def _call(self, identifier: CallId | None) -> Any:
        return next(call for call in self._traced.recorded if call.id == identifier)

    def _attention_scores(self) -> dict[CallId, Any]:
        """Call every attention layer again on what it was called with, asking for its probabilities."""
        found = {}
        for call in self._traced.recorded:
            if type(call.operation).__name__ in _ATTENTION:
                args, kwargs = call.arguments
                wanted = {**kwargs, "return_attention_scores": True}
                found[call.id] = call.operation(*args, **wanted)[1]
                self._check_batch(found[call.id], call.id)
        return found

    def _check_batch(self, tensor: Any, name: str) -> None:
        """Refuse tensors whose rows are not the images, as windows of attention."""
        if tensor.shape[0] != self._block:
            raise NotApplicable(
                f"{name} folds places into the batch dimension ({tensor.shape[0]} rows for {self._block} "
                "images), so its rows belong to no image."
            )

    def _function(self, name: str) -> Any:
        """Cut a pass out of the graph, once."""
        if name not in self._functions:
            wrapped = self._traced.function
            feeds = [*self._traced.inputs.values()]
            if self._weights is not None and name != "attention":
                feeds.append(self._weights)
            with tracing, on_device(self._device):
                with wrapped.graph.as_default():
                    fetches = self._fetches(name)
                part = Subgraph(wrapped, fetches)
                folded = self._kernels.fold(part)
                function = as_function(part, [*feeds, *folded], fetches)
            self._recipes[name] = [feed.recipe for feed in folded]
            self._functions[name] = function
            self._captured[name] = list(function.captured_inputs)
            self._use_copies()
        return self._functions[name]

    # -- running it ------------------------------------------------------------------------------

    def forward(self, samples: Iterable[Sample]) -> Iterator[tuple[float, NDArray[Any]]]:
        """Run the block's forward pass alone; no gradient is added to the graph."""
        for score, output in self._run("forward", samples):
            yield float(score), output

    def gradients(self, samples: Iterable[Sample]) -> Iterator[tuple[float, NDArray[Any]]]:
        """Differentiate in the graph's input; float16 scores are scaled so that nothing underflows."""
        for score, gradient in self._run("gradients", samples):
            yield float(score), gradient

    def features(
        self, samples: Iterable[Sample]
    ) -> Iterator[tuple[float, NDArray[Any], NDArray[Any]]]:
        """Differentiate in the recorded output of the aimed call."""
        for score, features, gradient in self._run("features", samples):
            yield float(score), features, gradient

    def attention(self, samples: Iterable[Sample]) -> Iterator[dict[CallId, NDArray[Any]]]:
        """Call Keras's attention layers again, asking them for their probabilities."""
        names = [c.id for c in self._traced.recorded if type(c.operation).__name__ in _ATTENTION]
        for scores in self._run("attention", samples):
            yield dict(zip(names, scores, strict=True))

    def _run(self, name: str, samples: Iterable[Sample]) -> Iterator[list[NDArray[Any]]]:
        """Run blocks of samples side by side and yield what each sample has, in their order."""
        function = self._function(name)
        kernels = self._kernels.values(self._recipes[name])

        def work(block: list[Sample]) -> tuple[int, list[NDArray[Any]]]:
            return len(block), self._answered(name, function, block, kernels)

        for count, fetched in in_order(work, in_blocks(samples, self._block), self._lanes):
            self._advance(count)
            for row in range(count):
                yield [array[row] for array in fetched]

    def _answered(
        self, name: str, function: Any, block: list[Sample], kernels: list[Any]
    ) -> list[NDArray[Any]]:
        import tensorflow as tf

        padded = [*block, *(block[-1:] * (self._block - len(block)))]
        with on_device(self._device), without_graph_optimizer():
            tensors = [
                tf.constant(np.stack([sample.inputs[key] for sample in padded]), tensor.dtype)
                for key, tensor in self._traced.inputs.items()
            ]
            if self._weights is not None and name != "attention":
                weights = np.stack([weights_of(sample) for sample in padded])
                tensors.append(tf.constant(weights, tf.float32))
            try:
                return [np.asarray(tensor) for tensor in run_flat(function, [*tensors, *kernels])]
            except (tf.errors.OpError, ValueError, TypeError) as error:
                text = str(error).strip().partition("\n")[0][:300]
                raise ModelError(f"A {name} pass failed: {text}") from error

    # -- the randomised copy ---------------------------------------------------------------------

    @contextlib.contextmanager
    def randomised(
        self, stages: int, seed: int, redraw: Callable[[], bool] = lambda: False
    ) -> Iterator[Iterator[tuple[str, ...]]]:
        """Randomise the copy layer by layer, the one called last first.

        Kernels are drawn from a normal distribution of the same root mean square, all other values
        (biases, normalization, quantised kernels) are permuted within their tensor. The functions' captured
        variables are exchanged for the copies, so that nothing is traced again.
        """
        try:
            yield self._cascade(stages, seed, redraw)
        finally:
            self._copies = {}
            self._use_copies()

    def _cascade(
        self, stages: int, seed: int, redraw: Callable[[], bool]
    ) -> Iterator[tuple[str, ...]]:
        layers = self._from_the_output()
        count = min(stages, len(layers))
        ends = [1 + round(k * (len(layers) - 1) / max(count - 1, 1)) for k in range(count)]
        ends[-1:] = [len(layers)]
        begun = 0
        for end in ends:
            self._draw(layers, range(begun, end), seed, 0)
            yield tuple(path for path, _ in layers[begun:end])
            begun = end
        again = 0
        while redraw():
            again += 1
            self._draw(layers, range(len(layers)), seed, again)
            yield ()

    def _draw(
        self, layers: list[tuple[str, list[Any]]], which: range, seed: int, again: int
    ) -> None:
        """Give the passes random copies of some layers' variables."""
        import tensorflow as tf

        def draw(place: tuple[int, int, Any]) -> NDArray[Any]:
            index, number, variable = place
            rng = np.random.default_rng([seed, index, number, again])
            return random_like(to_numpy(raw_variable(variable)), variable.name, rng)

        places = [(i, k, v) for i in which for k, v in enumerate(layers[i][1])]
        drawn = in_order(draw, places, self._lanes)
        for (_, _, variable), values in zip(places, drawn, strict=True):
            original = raw_variable(variable)
            with on_device(self._device):
                copy = tf.Variable(tf.cast(values, original.dtype), trainable=False)
            self._copies[id(original.handle)] = copy
        self._use_copies()

    def _use_copies(self) -> None:
        """Point every cut function at the copies, or back at the model's variables."""

        def read(handle: Any) -> Any:
            copy = self._copies.get(id(handle))
            return handle if copy is None else copy.handle

        for name, function in self._functions.items():
            exchange_captures(function, list(map(read, self._captured[name])))
        kernels = self._traced.kernels
        self._kernels = kernels.of_others(read) if self._copies else kernels

    def _from_the_output(self) -> list[tuple[str, list[Any]]]:
        """Return the layers that hold weights, the one called last first."""
        last: dict[str, int] = {}
        for step, call in enumerate(self._traced.recorded):
            path = call.layer
            while path:
                last[path] = step
                path = path.rpartition("/")[0]
        held: list[tuple[int, str, list[Any]]] = []
        seen: set[int] = set()
        for node in self._nodes:
            variables = [v for v in layer_variables(node.operation) if id(v) not in seen]
            seen.update(id(v) for v in variables)
            called = next((last[p] for p in _path_and_parents(node.path) if p in last), None)
            if variables and called is not None:
                held.append((called, node.path, variables))
        held.sort(key=lambda entry: -entry[0])
        return [(path, variables) for _, path, variables in held]


def in_blocks(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    """Yield samples in blocks of a size; the last one may be smaller."""
    rest = iter(samples)
    while block := list(islice(rest, size)):
        yield block


def weights_of(sample: Sample) -> NDArray[Any]:
    """Return what a linear aim weighs a sample's output by.

    Raises:
        ValueError: the sample has no weights.
    """
    if sample.weights is None:
        raise ValueError("A linear aim needs every sample's weights.")
    return sample.weights


def _path_and_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition("/")[0]


def random_like(values: NDArray[Any], name: str, rng: np.random.Generator) -> NDArray[Any]:
    """Return random values in place of ``values``, of the same scale and type.

    Args:
        values: of a variable.
        name: of the variable; kernels are drawn, all other values permuted.
        rng: draws.
    """
    drawn = name.endswith(("kernel", "embeddings")) or values.ndim > 1
    if drawn and values.dtype.kind == "f" and np.isfinite(values).all():
        scale = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
        return rng.normal(0.0, scale, values.shape).astype(values.dtype)
    return rng.permutation(values.reshape(-1)).reshape(values.shape)
