"""Arrays as a network's inputs take them: which input, which axes, which type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import LabelError, ProbeError
from reportgen.inputs.classes import label_of_value
from reportgen.network.samples import LEAST_SIDE, sample_of
from reportgen.network.shapes import channels_in_front, is_batch
from reportgen.report.leaves import Notice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.network.facts import InputKind, TensorFacts
    from reportgen.network.samples import Sample


class InputShape(NamedTuple):
    """An input of the network, with the size that it is run with (without the batch dimension)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: InputKind = "unknown"

    @property
    def series(self) -> bool:
        """Whether it is read as steps by channels, and has more than one step."""
        return self.kind == "series" and len(self.shape) == 2 and self.shape[0] > 1


def shapes_of(
    inputs: Sequence[TensorFacts], shapes: Mapping[str, tuple[int, ...]]
) -> list[InputShape]:
    """Return the network's inputs with the sizes, by name, that they are run with."""
    return [InputShape(one.name, shapes[one.name], one.dtype, one.kind) for one in inputs]


def called(inputs: Sequence[InputShape]) -> Sample:
    """Return what one of the network's inputs is called."""
    return sample_of(inputs, [spec.shape for spec in inputs])


def image_input(inputs: Sequence[InputShape]) -> InputShape | None:
    """Return the first input that takes images: (H, W, C) with up to four channels, or (H, W) grey."""
    for spec in inputs:
        if len(spec.shape) == 3 and spec.shape[2] <= 4:
            return spec
    for spec in inputs:
        if spec.kind == "unknown" and "int" not in spec.dtype and _like_grey(spec):
            return spec
    return next((spec for spec in inputs if len(spec.shape) == 3), None)


def _like_grey(spec: InputShape) -> bool:
    return len(spec.shape) == 2 and min(spec.shape) >= LEAST_SIDE


def main_input(inputs: Sequence[InputShape]) -> InputShape:
    """Return the input that the report is about: the images, else the first series, else the first of all."""
    series = next((spec for spec in inputs if spec.series), None)
    return image_input(inputs) or series or inputs[0]


def file_input(inputs: Sequence[InputShape]) -> InputShape | None:
    """Return the input that image files are read for: the images, else a series of picture rows."""
    series = next((spec for spec in inputs if spec.series and _like_grey(spec)), None)
    return image_input(inputs) or series


def with_zeros(
    given: dict[str, NDArray[Any]], inputs: Sequence[InputShape]
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Fill inputs that were not given with zeros, and return their names."""
    count = len(next(iter(given.values())))
    zeros = tuple(spec.name for spec in inputs if spec.name not in given)
    arrays = {
        spec.name: given[spec.name]
        if spec.name in given
        else np.zeros((count, *spec.shape), spec.dtype if "float" not in spec.dtype else np.float32)
        for spec in inputs
    }
    return arrays, zeros


def typed(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return an array in an input's type; integers are rounded to.

    Raises:
        ProbeError: the type is none of numbers, or has no room for the values.
    """
    if "float" in dtype:
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
            return array.astype(np.float32, copy=False)
    try:
        kind = np.dtype(dtype)
    except TypeError:
        raise ProbeError(
            f"The model takes values of the type {dtype}, which probes cannot have."
        ) from None
    whole = np.rint(array) if array.dtype.kind == "f" else array
    if kind.kind in "iu" and array.dtype.kind != "b" and array.size:
        low, high, room = whole.min(), whole.max(), np.iinfo(kind)
        finite = np.isfinite(low) and np.isfinite(high)
        if not finite or int(low) < room.min or int(high) > room.max:
            raise ProbeError(
                f"The model takes values of the type {kind.name}, {room.min} to {room.max}; there are "
                f"values from {low:g} to {high:g}."
            )
    return whole.astype(kind)


def row_labels(labels: Any, count: int, *, single: bool) -> list[Any]:
    """Return one label a row, None for each without labels."""
    if labels is None:
        return [None] * count
    if single and count == 1:
        return [label_of_value(labels)]
    array = np.asarray(labels)
    if array.ndim == 0 and count == 1:
        array = array[None]
    if array.ndim == 0 or len(array) != count:
        have = len(array) if array.ndim else 1
        raise LabelError(f"There are {count} probes and {have} label{'' if have == 1 else 's'}.")
    return [label_of_value(row) for row in array]


def spec_of(inputs: Sequence[InputShape], name: str) -> InputShape:
    """Return the input of this name."""
    return next(spec for spec in inputs if spec.name == name)


def by_input(
    arrays: Mapping[str | None, NDArray[Any]], inputs: Sequence[InputShape], target: InputShape
) -> dict[str, NDArray[Any]]:
    """Return arrays by input name; one without a name is the target's."""
    names = {spec.name for spec in inputs}
    matching = {str(name): array for name, array in arrays.items() if name in names}
    if matching:
        return matching
    if None in arrays or len(arrays) == 1:
        return {target.name: arrays.get(None, next(iter(arrays.values())))}
    raise ProbeError(
        f"The arrays are called {', '.join(map(repr, arrays))}; the model's inputs are called "
        f"{', '.join(sorted(map(repr, names)))}. Name the arrays after the inputs."
    )


def with_channels_last(array: NDArray[Any], spec: InputShape) -> NDArray[Any]:
    """Move the channels of images behind, where they stand in front and can stand nowhere else.

    Args:
        array: (n, C, H, W), or one image of the input's own size, (C, H, W); others are returned as they are.
        spec: the input, (H, W, C).
    """
    return np.moveaxis(array, -3, -1) if channels_in_front(array.shape, spec.shape) else array


def one_by_input(source: Any, inputs: Sequence[InputShape]) -> dict[str, NDArray[Any]]:
    """Return the arrays of one image by input name, without the batch dimension, channels last.

    Raises:
        ProbeError: they do not fit the inputs.
    """
    named = by_input(source, inputs, main_input(inputs))
    specs = {spec.name: spec for spec in inputs}
    return {
        key: with_channels_last(array, specs[key])
        if array.ndim == len(specs[key].shape)
        else as_batch(array, specs[key])[0]
        for key, array in named.items()
    }


def as_batch(array: NDArray[Any], spec: InputShape) -> NDArray[Any]:
    """Give ``array`` a first axis that counts probes, and the input's rank behind it, channels last.

    Raises:
        ProbeError: it does not fit, or its probes hold no values.
    """
    array = with_channels_last(array, spec)
    batch = array if is_batch(array.shape, spec.shape) else array[None]
    if 0 in batch.shape[1:]:
        raise ProbeError(f"An array of shape {array.shape} holds no values: one of its axes is 0.")
    inner, rank = batch.shape[1:], len(spec.shape)
    if len(inner) == rank:
        return batch
    if len(inner) == 2 and rank == 3 and spec.shape[2] == 1:
        return batch[..., None]
    if len(inner) == 3 and rank == 2 and inner[2] == 1:
        return batch[..., 0]
    if np.prod(inner, dtype=np.int64) == np.prod(spec.shape, dtype=np.int64):
        return batch.reshape(len(batch), *spec.shape)
    raise ProbeError(
        f"An array of shape {array.shape} does not fit the input {spec.name!r}, which takes "
        f"(n, {', '.join(map(str, spec.shape))})."
    )


def white_of(arrays: Sequence[NDArray[Any]], notices: list[Notice]) -> float | None:
    """Return what counts as white in integer arrays: their type's maximum; None for floats."""
    if not arrays or arrays[0].dtype.kind == "f":
        return None
    kind = arrays[0].dtype
    if kind.kind == "b":
        return 1.0
    if kind.itemsize > 2 and max(int(a.max()) for a in arrays) <= 255:
        notices.append(
            Notice("info", f"Values of the type {kind.name} up to 255 are taken as 0..255.")
        )
        return 255.0
    return float(np.iinfo(kind).max)
