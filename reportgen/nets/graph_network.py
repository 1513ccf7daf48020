"""A SavedModel of which no Keras network can be built, behind the Network protocol: its graph, run as a whole.

Layers and weights are those that its checkpoint stores. Nothing between the inputs and the outputs is known,
and no gradient is taken.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from msgspec.structs import replace

from reportgen.errors import NotApplicable, NotBuiltError, RunError
from reportgen.nets.facts import sums_to_one, versions
from reportgen.nets.failures import cause
from reportgen.nets.passes import in_blocks, random_like, weights_of
from reportgen.nets.saved_graph import SavedGraph, stacked
from reportgen.network.facts import Origin, OutputFacts, TensorFacts
from reportgen.network.protocol import Batch
from reportgen.network.shapes import closed_shapes
from reportgen.settings import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from reportgen.nets.saved_graph import Draw
    from reportgen.nets.stored_network import StoredNetwork
    from reportgen.network.facts import VariableFacts
    from reportgen.network.protocol import Aim, Sample
    from reportgen.network.shapes import GivenShapes
    from reportgen.slabs import Slabs

_AS_A_WHOLE = "The graph of a SavedModel is run as a whole, without gradients and without its layers' outputs."


_CONSTANT = "What the graph answers does not rest on weights that can be exchanged."
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
"""How TensorFlow 2 ends the keys of a checkpoint."""


class GraphNetwork:
    """A SavedModel's graph that answers in NumPy.

    Args:
        path: of the SavedModel; its graph runs, so it is trusted.
        stored: what it stores of its layers and weights.
        input_size: height and width for inputs that leave them open.
        given: shapes of the arrays that it will be run on.
        images: how many images will be run; a block is not larger.
        device: ``cpu`` or ``gpu``.

    Raises:
        NotBuiltError: the graph cannot be loaded, or not run on arrays of samples.
    """

    can: frozenset[str] = frozenset({"run"})
    lanes = pictures_at_once = 1

    def __init__(
        self,
        path: Path,
        stored: StoredNetwork,
        *,
        input_size: tuple[int, int] | None = None,
        given: GivenShapes | None = None,
        images: int = BLOCK,
        device: str = "cpu",
    ) -> None:
        self._stored = stored
        self._graph = SavedGraph(path, device)
        taken = {name: shape[1:] for name, (shape, _) in self._graph.inputs.items()}
        if not taken:
            raise NotBuiltError("Its signature takes nothing")
        self._shapes = closed_shapes(taken, given or {}, input_size)
        self.block = self._graph.fixed_batch or max(1, min(BLOCK, images))
        values = self._tried()
        self._names = tuple(values)
        self.facts = replace(
            stored.facts,
            class_name="SavedModel"
            if stored.facts.class_name == "weights only"
            else stored.facts.class_name,
            inputs=tuple(TensorFacts(name, *spec) for name, spec in self._graph.inputs.items()),
            outputs=tuple(self._output(name, array) for name, array in values.items()),
            calls=(),
            versions=versions(),
            origin=self._origin(),
        )

    def _tried(self) -> dict[str, NDArray[Any]]:
        """Run random inputs; of a graph that was made for one sample, as its shapes need not say, one alone.

        Returns:
            The outputs that have a row for each sample.

        Raises:
            NotBuiltError: it cannot be run, or no output has.
        """
        problem = ""
        for size in dict.fromkeys((self.block, self._graph.fixed_batch or 1)):
            try:
                values = self._graph.run(self._noise(size))
            except Exception as error:  # noqa: BLE001 - an operation may fail in any way
                problem = problem or f"Its graph cannot be run: {cause(error)}"
                continue
            rows = {name: array for name, array in values.items() if array.shape[:1] == (size,)}
            if rows:
                self.block = size
                return rows
            shapes = ", ".join(f"{name!r}: {array.shape}" for name, array in values.items())
            problem = problem or (
                f"None of its outputs has a row for each of {size} samples ({shapes or 'they are texts'})"
            )
        raise NotBuiltError(problem)

    def _noise(self, size: int) -> dict[str, NDArray[Any]]:
        rng = np.random.default_rng(0)
        return {
            name: rng.normal(size=(size, *shape))
            if "float" in self._graph.inputs[name][1]
            else rng.integers(0, 2, (size, *shape))
            for name, shape in self._shapes.items()
        }

    def _output(self, name: str, values: NDArray[Any]) -> OutputFacts:
        head, shape = self._graph.head(name), values.shape[1:]
        several = bool(shape) and shape[-1] > 1
        return OutputFacts(
            name,
            (None, *shape),
            str(values.dtype),
            activation=head,
            distribution=head is None and several and sums_to_one(values),
            softmax_over=shape[-1] if head in {"softmax", "log_softmax"} and shape else None,
        )

    def _origin(self) -> Origin:
        """Say what is run, and what of it is left out."""
        before, notes = self._stored.facts.origin, []
        if self._graph.fixed_batch is None and self.block == 1 < BLOCK:
            notes.append("It is run on one sample at a time")
        if rest := [name for name in self._graph.outputs if name not in self._names]:
            notes.append(f"Outputs without a row for each sample are left out: {', '.join(rest)}")
        if self._graph.texts:
            notes.append(f"Outputs that hold texts are left out: {', '.join(self._graph.texts)}")
        reason = before.reason if before else ""
        told = before.notes if before else ()
        return Origin("graph", before.version if before else "", (*told, *notes), reason)

    @property
    def weighted(self) -> tuple[str, ...]:
        """The paths of what holds weights: layers, or the weights themselves."""
        return tuple(dict.fromkeys(one.layer or one.path for one in self._stored.weights))

    @contextlib.contextmanager
    def other_weights(self) -> Iterator[Callable[[Draw], None]]:
        """Give a function that changes the weights for as long as the block lasts; see ``SavedGraph``.

        Raises:
            NotApplicable: its answers do not change with them, as where they are constants of the graph.
        """
        if not self._graph.has_weights():
            raise NotApplicable(_CONSTANT)
        noise = self._noise(self.block)
        before = self.run(noise)

        def changed(draw: Draw) -> None:
            change(draw)
            after = self.run(noise)
            if all(np.array_equal(before[name], after[name]) for name in before):
                raise NotApplicable(_CONSTANT)

        with self._graph.other_weights() as change:
            yield changed

    def input_shape(self, name: str) -> tuple[int, ...]:
        """Return the size that an input is run with, without the batch dimension."""
        return self._shapes[name]

    def variables(self) -> Iterator[tuple[VariableFacts, NDArray[Any] | Slabs]]:
        """Read one weight of the checkpoint after the other."""
        return self._stored.variables()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the outputs of at most a block of samples; a fixed batch is filled up with the last.

        Raises:
            RunError: the graph fails on them.
        """
        import tensorflow as tf

        count = len(next(iter(inputs.values())))
        if self._graph.fixed_batch:
            more = self._graph.fixed_batch - count
            inputs = {
                n: np.concatenate([a, np.repeat(a[-1:], more, axis=0)]) for n, a in inputs.items()
            }
        try:
            found = self._graph.run(inputs)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise RunError(f"Running the graph failed: {cause(error)}.") from error
        return {name: found[name][:count] for name in self._names}

    def forward(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[Batch]:
        """Run the graph over arrays in blocks; nothing but its outputs is known."""
        return self.survey([inputs])

    def survey(self, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> Iterator[Batch]:
        """Run the graph over blocks as they come."""
        first = 0
        for block in blocks:
            count = min(len(array) for array in block.values())
            for begun in range(0, count, self.block):
                part = {
                    name: a[begun : min(begun + self.block, count)] for name, a in block.items()
                }
                yield Batch(first + begun, part, self.run(part))
            first += count

    def normalization_input(self, _: Any) -> None:
        """Measure nothing: no layer is known."""

    def passes(self, aim: Aim, advance: Callable[[int], None] = lambda _: None) -> GraphPasses:
        """Return the forward passes towards ``aim``."""
        return GraphPasses(self, aim, advance)

    def ascent(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: there is no gradient."""
        raise NotApplicable(_AS_A_WHOLE)

    prepare_ascents = ascent


class GraphPasses:
    """Forward passes over streams of samples.

    A linear aim weighs the output itself: what stands in front of a softmax is not known.
    """

    def __init__(self, network: GraphNetwork, aim: Aim, advance: Callable[[int], None]) -> None:
        self._network, self._aim, self._advance = network, aim, advance

    def forward(self, samples: Iterable[Sample]) -> Iterator[tuple[float, NDArray[Any]]]:
        """Run a block of samples at a time."""
        for block in in_blocks(samples, self._network.block):
            outputs = self._network.run(stacked([sample.inputs for sample in block]))
            values = outputs[self._aim.output].astype(np.float32)
            self._advance(len(block))
            for sample, output in zip(block, values, strict=True):
                yield self._score(sample, output), output

    def _score(self, sample: Sample, output: NDArray[Any]) -> float:
        if self._aim.kind == "norm":
            return float(np.sqrt(np.sum(np.square(output)) + np.float32(1e-30)))
        if self._aim.kind == "error":
            return float(np.mean(np.square(output - sample.inputs[self._aim.image])))
        return float(np.sum(weights_of(sample).astype(np.float32) * output))

    def gradients(self, _: Any) -> NoReturn:
        """Refuse: there is none."""
        raise NotApplicable(_AS_A_WHOLE)

    features: Any = gradients
    attention: Any = gradients

    @contextlib.contextmanager
    def randomised(
        self, _stages: int, seed: int, redraw: Callable[[], bool] = lambda: False
    ) -> Iterator[Iterator[tuple[str, ...]]]:
        """Randomise all weights at once: of which layer is called last nothing is known.

        Raises:
            NotApplicable: its answers do not rest on weights that could be exchanged.
        """
        with self._network.other_weights() as change:
            yield self._draws(change, seed, redraw)

    def _draws(
        self, change: Callable[[Draw], None], seed: int, redraw: Callable[[], bool]
    ) -> Iterator[tuple[str, ...]]:
        again = 0
        while not again or redraw():
            change(partial(_drawn, np.random.default_rng([seed, again])))
            yield () if again else self._network.weighted
            again += 1


def _drawn(rng: np.random.Generator, key: str, values: NDArray[Any]) -> NDArray[Any]:
    return random_like(values, key.removesuffix(_VALUE), rng)
