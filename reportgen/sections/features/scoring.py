"""How far a unit gets: the stored picture, noise and the probes, all asked in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.network.calls import token_grid
from reportgen.numerics import even_sample, six_digits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from reportgen.network.protocol import Ascent, OptimisedPicture
    from reportgen.report.content.features import UnitVerdict
    from reportgen.sections.features.units import Unit

FRESH_TRANSFORMS = 4
"""Random transforms under which a unit is asked about a stored picture."""
FRESH_SEED = 1_000_003
"""Of the transforms; none of them was seen while the picture was optimised."""
MOST_POINTS = 32
"""Points of a curve that are kept."""
MOST_CROPS = 3
"""Probes of which each unit shows what it sees."""


class Answer(NamedTuple):
    """A unit's answer to one picture.

    Attributes:
        value: what is compared: of a channel the mean over the places, answers below zero as zero; of a
            neuron the largest; the logit.
        peak: the largest value of any place, in front of the ReLU where one follows: many places saturate it.
        place: where, as shares of height and width; None without places.
        fired: whether any value is above zero.
    """

    value: float
    peak: float
    place: tuple[float, float] | None
    fired: bool


def as_stored(picture: NDArray[Any]) -> NDArray[Any]:
    """Return a picture in 0..1 as it is stored: (H, W, C) uint8."""
    levels: NDArray[Any] = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return levels


def read_answers(
    unit: Unit,
    before: NDArray[Any],
    behind: NDArray[Any],
    goal: NDArray[Any],
    size: tuple[int, int] = (1, 1),
) -> list[Answer]:
    """Read a unit's answers off its tensor.

    Args:
        unit: which.
        before: (n, …, C) in front of the ReLU, where one follows.
        behind: (n, …, C) behind it.
        goal: of the unit; of a caricature shaped as one image's tensor.
        size: height and width of the pictures, for the grid of tokens.
    """
    if unit.channel is not None:
        per_place = behind[..., unit.channel].astype(np.float64).reshape(len(behind), -1)
        peaks = before[..., unit.channel].astype(np.float64).reshape(per_place.shape)
    else:
        front = before.astype(np.float64).reshape(len(behind), -1, behind.shape[-1])
        aim = goal.astype(np.float64).reshape(1, -1, behind.shape[-1])
        same = aim.shape[1] in {1, front.shape[1]}
        aim = aim if same else aim.mean(axis=1, keepdims=True)
        dot = (front * aim).sum(axis=2)
        norms = np.linalg.norm(front, axis=2) * np.linalg.norm(aim, axis=2) + 1e-6
        per_place = peaks = dot * np.maximum(0.1, dot / norms) ** 2
    spatial = behind.shape[1:-1] if behind.ndim > 2 else ()
    first, grid = 0, tuple(spatial)
    if len(spatial) == 1 and (found := token_grid(spatial[0], size)):
        first, grid = found[2], found[:2]
    rows = zip(per_place, peaks, strict=True)
    return [_answer(unit, row, front_row, grid, first) for row, front_row in rows]


def _answer(
    unit: Unit, row: NDArray[Any], front: NDArray[Any], spatial: Sequence[int], first: int
) -> Answer:
    """Read one answer; ``first`` tokens in front of the grid have no place."""
    best = int(np.argmax(front[first:])) + first
    place = None
    if len(spatial) == 2:
        y, x = divmod(best - first, spatial[1])
        place = ((y + 0.5) / spatial[0], (x + 0.5) / spatial[1])
    positive = np.maximum(row, 0) if unit.kind == "channel" and row.size > 1 else row
    value = float(row.max() if unit.kind == "neuron" else positive.mean())
    return Answer(value, float(front[best]), place, bool((row > 0).any()))


def ask_unit(
    ascent: Ascent, unit: Unit, pictures: NDArray[Any], goal: NDArray[Any], *, fresh: bool
) -> list[Answer]:
    """Ask a unit about (n, H, W, C) pictures in 0..1, under fresh transforms or as they stand."""
    seed = FRESH_SEED if fresh else None
    size = (int(pictures.shape[1]), int(pictures.shape[2]))
    return read_answers(unit, *ascent.answers(pictures, seed), goal, size)


def achieved_value(
    ascent: Ascent, unit: Unit, picture: NDArray[Any], goal: NDArray[Any]
) -> tuple[float, bool]:
    """Return what the stored picture reaches in the mean over fresh transforms, and whether it fires at all."""
    eight = as_stored(picture).astype(np.float32) / 255
    answers = []
    for transform in range(FRESH_TRANSFORMS):
        found = ascent.answers(eight[None], FRESH_SEED + transform)
        answers += read_answers(unit, *found, goal)
    return float(np.mean([one.value for one in answers])), any(one.fired for one in answers)


def noise_value(ascent: Ascent, unit: Unit, goal: NDArray[Any]) -> float:
    """Return the largest answer to four pictures of uniform noise, transformed likewise."""
    shape = (FRESH_TRANSFORMS, *ascent.canvas)
    noise = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    return max(one.value for one in ask_unit(ascent, unit, noise, goal, fresh=True))


class Measured(NamedTuple):
    """What a unit answers.

    Attributes:
        reached: to each of its pictures in the mean, and whether it fires at all.
        noise: the largest answer to noise.
        sees: height and width of what one of its places sees, in pixels.
        answers: to the probes.
    """

    reached: list[tuple[float, bool]]
    noise: float
    sees: tuple[int, int]
    answers: list[Answer]


def measured(
    ascent: Ascent,
    unit: Unit,
    pictures: Sequence[OptimisedPicture],
    goal: NDArray[Any],
    probes: NDArray[Any] | None,
) -> Measured:
    """Ask a unit about its optimised pictures, noise and the probes, (n, H, W, C) in 0..1."""
    return Measured(
        [achieved_value(ascent, unit, picture.pixels, goal) for picture in pictures],
        noise_value(ascent, unit, goal),
        ascent.receptive_field(),
        ask_unit(ascent, unit, probes, goal, fresh=False) if probes is not None else [],
    )


def verdict_of_unit(
    value: float, strongest: float | None, noise: float, *, fired: bool
) -> UnitVerdict:
    """Return what is said of a unit whose best picture reaches ``value``; ``strongest`` is of the probes."""
    if not fired:
        return "dead"
    if strongest is not None:
        return "beats every probe" if value > strongest else "does not beat the probes"
    return "beats noise" if value > noise else "no better than noise"


def kept_curve(curve: NDArray[Any]) -> tuple[float | None, ...]:
    """Return a curve of scores over the steps, thinned."""
    kept = even_sample(len(curve), MOST_POINTS)
    return tuple(six_digits(float(curve[k])) for k in kept)


def crop_box(
    place: tuple[float, float] | None, sees: tuple[int, int], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right of what a place sees, moved inside the image.

    Args:
        place: shares of height and width; None for the whole image.
        sees: height and width in pixels.
        size: of the image.
    """
    if place is None:
        return 0, 0, size[0], size[1]
    box = []
    for share, field, whole in zip(place, sees, size, strict=True):
        length = min(max(field, 8), whole)
        start = min(max(round(share * whole - length / 2), 0), whole - length)
        box.append((start, start + length))
    return box[0][0], box[1][0], box[0][1], box[1][1]
