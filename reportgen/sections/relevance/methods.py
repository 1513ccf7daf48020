"""The methods: one small function each, over shared passes. A map is (rows, columns) float64.

A series is asked as a picture of height 1: (1, steps, channels), and its map is (1, steps).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from reportgen.network.calls import token_grid
from reportgen.network.protocol import Sample
from reportgen.settings import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.network.facts import CallId
    from reportgen.network.protocol import Passes
    from reportgen.report.content.relevance import Baseline

PATH_STEPS = 12
"""Points on the path of integrated gradients, twice as many with ``--full``.

Summed over the cells that evidence hides, the map of 128 points has rank correlations of 0.996 to 1.000 with
it (11 photographs, EfficientNet-Lite0 and ResNet8).
"""
NOISE_SAMPLES = 50
NOISE = 0.15
"""Standard deviation of SmoothGrad's noise as a part of the image's range (Smilkov et al. 2017: 10 to 20 %)."""
PATCHES = 8
"""Occlusion covers one of ``PATCHES`` by ``PATCHES`` tiles at a time."""


class Question(NamedTuple):
    """One image and what is asked about it.

    Attributes:
        inputs: the probe by input name, without the batch dimension.
        image: name of the input that is explained.
        weights: of the target.
        baseline: shaped as ``pixels``, in the model's own units: what hides parts of the image, and what
            integrated gradients start from.
        series: whether the image is a series, (steps, channels).
        hidden_by: what the baseline is.
    """

    inputs: Mapping[str, NDArray[Any]]
    image: str
    weights: NDArray[Any] | None
    baseline: NDArray[Any]
    series: bool = False
    hidden_by: Baseline = "black"

    @property
    def pixels(self) -> NDArray[Any]:
        """The image as fed, float32; a series as one row."""
        return self.laid_out(self.inputs[self.image].astype(np.float32, copy=False))

    def laid_out(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return what is shaped as the input as a picture: a series as one row."""
        return array[None] if self.series else array

    def sample(self, pixels: NDArray[Any] | None = None) -> Sample:
        """Return the question's sample with other ``pixels`` in place of its image."""
        if pixels is None:
            return Sample(self.inputs, self.weights)
        fed = pixels[0] if self.series else pixels
        return Sample({**self.inputs, self.image: fed}, self.weights)


class Map(NamedTuple):
    """What a method says about one image.

    Attributes:
        values: (rows, columns) float64; at least 0 where not signed.
        effect: what it stands for in units of the score, to first order: against it a map is flat.
        completeness: for integrated gradients, sum of the map minus the change of the score.
        change: of the score from the baseline to the image.
    """

    values: NDArray[Any]
    effect: float
    completeness: float | None = None
    change: float | None = None


class Method(NamedTuple):
    """A method and what a reader has to know of it.

    Attributes:
        run: from the passes, questions, a number of samples and a seed to maps.
        needs: what of the network it asks.
        source: the paper.
        signed: whether negative values speak against the target.
        samples: passes an image.
        sanity_samples: passes an image in the randomisation test.
        full_samples: passes an image with ``--full``; None where they are as many.
    """

    name: str
    title: str
    run: Callable[[Passes, Sequence[Question], int, int], Iterator[Map]]
    needs: Literal["features", "gradients", "attention", "forward"]
    source: str
    signed: bool = False
    samples: int = 1
    sanity_samples: int = 1
    full_samples: int | None = None

    def in_full(self) -> Method:
        """Return the method as ``--full`` runs it."""
        return self._replace(samples=self.full_samples or self.samples)


# -- from the features ------------------------------------------------------------------------------


def _weighed(
    passes: Passes,
    questions: Sequence[Question],
    weigh: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
) -> Iterator[Map]:
    shapes = (question.pixels.shape for question in questions)
    stream = passes.features(question.sample() for question in questions)
    for shape, (_, features, gradient) in zip(shapes, stream, strict=True):
        a, g = as_grid(features, shape), as_grid(gradient, shape)
        values = np.maximum(weigh(a.astype(np.float64), g.astype(np.float64)), 0)
        yield Map(values, float(values.sum()))


def as_grid(features: NDArray[Any], image: tuple[int, ...]) -> NDArray[Any]:
    """Return features as (rows, columns, channels): tokens as a grid, without a class token."""
    if features.ndim == 3:
        return features.reshape(1, -1, features.shape[-1]) if image[0] == 1 else features
    grid = token_grid(features.shape[0], image)
    if grid is None:
        raise ValueError(f"{features.shape[0]} tokens are no grid over {image}.")
    rows, columns, extra = grid
    return features[extra:].reshape(rows, columns, -1)


def gradcam(passes: Passes, questions: Sequence[Question], _n: int, _seed: int) -> Iterator[Map]:
    """Weigh each feature by its mean gradient (Grad-CAM, Selvaraju et al. 2017)."""
    return _weighed(passes, questions, lambda a, g: np.einsum("ijc,c->ij", a, g.mean(axis=(0, 1))))


def hirescam(passes: Passes, questions: Sequence[Question], _n: int, _seed: int) -> Iterator[Map]:
    """Weigh each feature at each place by its gradient there (HiResCAM, Draelos and Carin 2020)."""
    return _weighed(passes, questions, lambda a, g: np.einsum("ijc,ijc->ij", a, g))


def layercam(passes: Passes, questions: Sequence[Question], _n: int, _seed: int) -> Iterator[Map]:
    """Weigh each feature at each place by its positive gradient there (LayerCAM, Jiang et al. 2021)."""
    return _weighed(passes, questions, lambda a, g: np.einsum("ijc,ijc->ij", a, np.maximum(g, 0)))


# -- from the pixels --------------------------------------------------------------------------------


def integrated_gradients(
    passes: Passes, questions: Sequence[Question], steps: int, _seed: int
) -> Iterator[Map]:
    """Integrate the gradient on the straight path from the baseline to the image (Sundararajan et al. 2017).

    By the midpoint rule; the map is the sum over channels, in units of the score.
    """

    def path() -> Iterator[Sample]:
        for question in questions:
            difference = question.pixels - question.baseline
            for step in range(steps):
                yield question.sample(
                    question.baseline + np.float32((step + 0.5) / steps) * difference
                )

    ends = passes.forward(
        question.sample(pixels)
        for question in questions
        for pixels in (question.pixels, question.baseline)
    )
    changes = [next(ends)[0] - next(ends)[0] for _ in questions]
    stream = passes.gradients(path())
    for question, change in zip(questions, changes, strict=True):
        mean = np.zeros(question.pixels.shape)
        for _, gradient in islice(stream, steps):
            mean += question.laid_out(gradient) / steps
        values = over_channels((question.pixels - question.baseline) * mean, np.sum)
        yield Map(values, float(np.abs(values).sum()), float(values.sum() - change), change)


def smoothgrad(
    passes: Passes, questions: Sequence[Question], samples: int, seed: int
) -> Iterator[Map]:
    """Average the gradients of noisy copies, then the largest magnitude over channels (Smilkov et al. 2017)."""
    for begun in range(0, len(questions), BLOCK):
        some = questions[begun : begun + BLOCK]
        sigmas = [np.float32(NOISE * _span(question)) for question in some]

        totals = [np.zeros(question.pixels.shape) for question in some]
        stream = passes.gradients(_noisy(some, sigmas, samples, seed))
        for number, (_, gradient) in enumerate(stream):
            totals[number % len(some)] += some[0].laid_out(gradient)
        for question, total in zip(some, totals, strict=True):
            yield _magnitude(question, total / samples)


def _noisy(
    questions: Sequence[Question], sigmas: Sequence[np.float32], samples: int, seed: int
) -> Iterator[Sample]:
    """Yield noisy copies of images of one shape; the noise is the same for all: it is dear to draw."""
    rng = np.random.default_rng(seed)
    for _ in range(samples):
        noise = rng.standard_normal(questions[0].pixels.shape, np.float32)
        for question, sigma in zip(questions, sigmas, strict=True):
            yield question.sample(question.pixels + sigma * noise)


def saliency(passes: Passes, questions: Sequence[Question], _n: int, _seed: int) -> Iterator[Map]:
    """Return the gradient's largest magnitude over channels (Simonyan et al. 2014)."""
    stream = passes.gradients(question.sample() for question in questions)
    for question, (_, gradient) in zip(questions, stream, strict=True):
        yield _magnitude(question, question.laid_out(gradient).astype(np.float64))


def _magnitude(question: Question, gradient: NDArray[Any]) -> Map:
    values = over_channels(np.abs(gradient), np.max)
    return Map(values, float(values.sum()) * _span(question))


def _span(question: Question) -> float:
    return float(question.pixels.max() - question.pixels.min())


def over_channels(values: NDArray[Any], reduce: Any) -> NDArray[Any]:
    """Reduce (H, W, C) over its channels; (H, W) stays."""
    wide = values.astype(np.float64)
    result: NDArray[Any] = reduce(wide, axis=-1) if values.ndim == 3 else wide
    return result


def occlusion(
    passes: Passes, questions: Sequence[Question], samples: int, _seed: int
) -> Iterator[Map]:
    """Cover one tile at a time with the baseline: how far the score falls (Zeiler and Fergus 2014).

    Needs no gradient and no layer: the reference for the others. ``samples`` tiles, in a square or in a row.
    """
    if not questions:
        return
    series = questions[0].pixels.shape[0] == 1
    side = samples if series else max(1, round(samples**0.5))

    def covered() -> Iterator[Sample]:
        for question in questions:
            yield question.sample()
            rows, columns = tiles(question.pixels.shape, side)
            for top, bottom in rows:
                for left, right in columns:
                    pixels = question.pixels.copy()
                    pixels[top:bottom, left:right] = question.baseline[top:bottom, left:right]
                    yield question.sample(pixels)

    stream = passes.forward(covered())
    for question in questions:
        whole, _ = next(stream)
        rows, columns = tiles(question.pixels.shape, side)
        count = len(rows) * len(columns)
        drops = [whole - score for score, _ in islice(stream, count)]
        values = np.array(drops, np.float64).reshape(len(rows), len(columns))
        yield Map(values, float(np.abs(values).max()))


def tiles(shape: tuple[int, ...], side: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the (start, end) of at most ``side`` tiles over the rows and over the columns."""

    def spans(size: int) -> list[tuple[int, int]]:
        count = min(side, size)
        return [(k * size // count, (k + 1) * size // count) for k in range(count)]

    return spans(shape[0]), spans(shape[1])


# -- from attention ---------------------------------------------------------------------------------


def rollout(passes: Passes, questions: Sequence[Question], _n: int, _seed: int) -> Iterator[Map]:
    """Follow attention through all layers (attention rollout, Abnar and Zuidema 2020).

    Half attention, half skip connection in every layer, heads averaged; read from the class token,
    without one averaged over the tokens. The same for every class.
    """
    stream = passes.attention(question.sample() for question in questions)
    for question, layers in zip(questions, stream, strict=True):
        flow = rolled(list(layers.values()))
        tokens = flow.shape[0]
        grid = token_grid(tokens, question.pixels.shape)
        if grid is None:
            raise ValueError(f"{tokens} tokens are no grid over the image.")
        rows, columns, extra = grid
        read = flow[0] if extra else flow.mean(axis=0)
        values = read[extra:].reshape(rows, columns)
        values = values - values.min()  # what every token has is no evidence
        yield Map(values, float(values.sum()))


def rolled(layers: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the (tokens, tokens) rollout of attention probabilities, each (heads, tokens, tokens)."""
    tokens = layers[-1].shape[-1]
    flow = np.eye(tokens)
    for attention in layers:
        if attention.shape[-2:] != (tokens, tokens):
            continue  # attention between sets of tokens, or in another stage
        mixed = attention.mean(axis=0, dtype=np.float64) / 2 + np.eye(tokens) / 2
        flow = (mixed / mixed.sum(axis=-1, keepdims=True)) @ flow
    return flow


def attention_distances(
    layers: Mapping[CallId, NDArray[Any]], image: tuple[int, ...]
) -> dict[CallId, NDArray[Any]]:
    """Return the mean attention distance of every head, as a part of the image's diagonal.

    The distance between a token and what it attends to, weighed by the attention, averaged over
    tokens (Dosovitskiy et al. 2021, appendix D.7); class tokens are left out.
    """
    found = {}
    for call, attention in layers.items():
        grid = token_grid(attention.shape[-1], image)
        if grid is None or attention.shape[-1] != attention.shape[-2]:
            continue
        rows, columns, extra = grid
        y, x = np.divmod(np.arange(rows * columns), columns)
        place = np.stack([(y + 0.5) / rows * image[0], (x + 0.5) / columns * image[1]], axis=1)
        between = np.sqrt(((place[:, None] - place[None]) ** 2).sum(axis=-1))
        between /= np.hypot(image[0], image[1])
        a = attention[:, extra:, extra:].astype(np.float64)
        share = a / np.maximum(a.sum(axis=-1, keepdims=True), 1e-30)
        found[call] = (share * between).sum(axis=-1).mean(axis=-1)
    return found


METHODS = (
    Method("gradcam", "Grad-CAM", gradcam, "features", "Selvaraju et al. 2017"),
    Method("hirescam", "HiResCAM", hirescam, "features", "Draelos and Carin 2020"),
    Method("layercam", "LayerCAM", layercam, "features", "Jiang et al. 2021"),
    Method(
        "integrated-gradients",
        "Integrated gradients",
        integrated_gradients,
        "gradients",
        "Sundararajan et al. 2017",
        signed=True,
        samples=PATH_STEPS,
        sanity_samples=10,
        full_samples=2 * PATH_STEPS,
    ),
    Method(
        "smoothgrad",
        "SmoothGrad",
        smoothgrad,
        "gradients",
        "Smilkov et al. 2017",
        samples=NOISE_SAMPLES,
        sanity_samples=10,
    ),
    Method("saliency", "Saliency", saliency, "gradients", "Simonyan et al. 2014"),
    Method(
        "occlusion",
        "Occlusion",
        occlusion,
        "forward",
        "Zeiler and Fergus 2014",
        signed=True,
        samples=PATCHES**2,
        sanity_samples=16,
    ),
    Method("rollout", "Attention rollout", rollout, "attention", "Abnar and Zuidema 2020"),
)
"""All methods, in the order of the page's columns."""
