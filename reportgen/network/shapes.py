"""Shapes of arrays beside those that a network takes: whether a batch is meant, and how open sizes are closed.

Shapes that a network takes are without the batch dimension, with the channels last, and None where it leaves
a size open.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from reportgen.settings import DEFAULT_INPUT_SIZE, DEFAULT_LENGTH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Sizes = Sequence[int | None]
    GivenShapes = Mapping[str | None, tuple[tuple[int | None, ...], bool]]
    """By input name, None where nothing says it: the shape of an array, and whether it may be a batch."""

_CHANNELS = frozenset({1, 3, 4})
"""What the last axis of an image counts, where nothing else says it."""


def is_batch(shape: Sizes, taken: Sizes) -> bool:
    """Return whether an array is a batch of what an input takes; the rank decides wherever it can.

    Args:
        shape: of the array, None where a size is open.
        taken: by the input. Images may be of another size, grey ones without their axis of channels, and
            anything may be flattened.
    """
    if not shape:
        return False
    size = _count(taken)
    if len(shape) > len(taken):
        grey_alone = len(taken) == 2 and len(shape) == 3 and shape[2] == 1 != taken[1]
        flattened = size is not None and _count(shape) == size and not _fits(shape[1:], taken)
        return not ((grey_alone and _fits(shape[:2], taken)) or flattened)
    if len(shape) == len(taken) == 3 and taken[2] is None:
        return shape[2] not in {*_CHANNELS, None}
    if _fits(shape, taken):
        return False
    if len(shape) == len(taken) == 3:
        if shape[2] in _CHANNELS:  # channels, but of images that are as narrow
            return taken[2] == 1 and tuple(shape[1:]) == tuple(taken[:2])
        return taken[2] == 1 and shape[2] is not None
    return len(shape) <= 2 and size is not None and _count(shape[1:]) == size


def channels_in_front(shape: Sizes, taken: Sizes) -> bool:
    """Return whether the channels of images stand in front, and can stand nowhere else.

    Args:
        shape: (n, C, H, W), or one image of the input's own size, (C, H, W).
        taken: by the input, (H, W, C).
    """
    if len(taken) != 3:
        return False
    height, width, channels = taken
    if len(shape) == 3:
        return tuple(shape) == (channels, height, width) != tuple(taken)
    known = _CHANNELS | {channels}
    return len(shape) == 4 and shape[3] not in known and shape[1] in known


def closed_shapes(
    taken: Mapping[str, Sizes], given: GivenShapes, input_size: tuple[int, int] | None
) -> dict[str, tuple[int, ...]]:
    """Close the sizes that a network leaves open: by what the user says, by the arrays, else by a default.

    An input without an array takes the sizes of one with an array, since a network may have to add the two.

    Args:
        taken: by input name.
        given: the arrays.
        input_size: height and width of images, as the user says.
    """
    nameless = given.get(None)
    unnamed = next((name for name, sizes in taken.items() if _is_image(sizes)), next(iter(taken)))
    known: dict[str, Sizes] = {}
    for name, sizes in taken.items():
        held = given.get(name) or (nameless if name == unnamed else None)
        own = _sample_shape(*held, sizes) if held is not None else None
        if input_size is not None and len(sizes) == 3:
            own = (*input_size, own[2] if own else None)
        if own is not None:
            known[name] = own
    return {
        name: _closed(sizes, known.get(name) or _borrowed(name, taken, known))
        for name, sizes in taken.items()
    }


def _borrowed(name: str, taken: Mapping[str, Sizes], known: Mapping[str, Sizes]) -> Sizes | None:
    """Return the sizes of the first input that leaves the same axes open, as a mask of tokens has their length.

    Of two images the channels are not asked for; a mask of steps or pixels lacks the axis of channels.
    """
    sizes = taken[name]
    for extra in (0, 1):
        for other, own in known.items():
            theirs = taken[other]
            if len(theirs) == len(sizes) + extra and _both_open(sizes, theirs):
                pairs = zip(theirs[: len(sizes)], own, strict=False)
                return tuple(size if wanted is None else None for wanted, size in pairs)
    return None


def _both_open(sizes: Sizes, others: Sizes) -> bool:
    return any(a is None and b is None for a, b in zip(sizes, others, strict=False))


def image_shape(given: GivenShapes) -> tuple[int, ...] | None:
    """Guess the shape of one image, for a network that does not say what it takes; None where it is open."""
    held = given.get(None) or next(iter(given.values()), None)
    if held is None:
        return None
    shape, several = held
    if several and (len(shape) == 4 or (len(shape) == 3 and shape[2] not in _CHANNELS)):
        shape = shape[1:]
    shape = (*shape, 1) if len(shape) == 2 else shape
    known = tuple(n for n in shape if n)
    return known if len(known) == len(shape) > 0 else None


def _sample_shape(shape: Sizes, several: bool, taken: Sizes) -> Sizes | None:  # noqa: FBT001
    """Return the shape of one sample in an array, of the input's rank; None where it has another."""
    if channels_in_front(shape, taken):
        shape = (*shape[:-3], *shape[-2:], shape[-3])
    inner = shape[1:] if several and is_batch(shape, taken) else shape
    if len(inner) == 2 and len(taken) == 3:
        inner = (*inner, 1)
    return inner if len(inner) == len(taken) else None


def _closed(taken: Sizes, own: Sizes | None) -> tuple[int, ...]:
    if len(taken) == 3:
        default: Sizes = (*DEFAULT_INPUT_SIZE, 3)
    else:
        default = (DEFAULT_LENGTH,) * len(taken)
    found = own or default
    return tuple(
        int(size or mine or fallback)  # type: ignore[arg-type]
        for size, mine, fallback in zip(taken, found, default, strict=True)
    )


def _is_image(taken: Sizes) -> bool:
    return len(taken) == 3 and (taken[2] is None or taken[2] <= 4)


def _fits(shape: Sizes, taken: Sizes) -> bool:
    return len(shape) == len(taken) and all(
        wanted is None or size == wanted for size, wanted in zip(shape, taken, strict=True)
    )


def _count(shape: Sizes) -> int | None:
    known = [size for size in shape if size is not None]
    return prod(known) if len(known) == len(shape) else None
