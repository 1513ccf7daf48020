"""The weights of a layer as Keras 1, or cuDNN, ordered and laid them out, as Keras 3 holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

Arrays = list["NDArray[Any]"]

_GATES = {"LSTM": 4, "GRU": 3}


def converted(
    class_name: str, config: Mapping[str, Any], stored: Sequence[NDArray[Any]], version: str
) -> Arrays:
    """Return the weights of a layer in the order and the layout of Keras 3.

    Args:
        class_name: of the layer, migrated.
        config: of the layer, migrated.
        stored: its arrays in the order of the file.
        version: of Keras that wrote them; empty counts as 1, which did not always say it.
    """
    arrays = list(stored)
    if class_name == "Bidirectional":
        inner, half = config["layer"], len(arrays) // 2
        parts = (arrays[:half], arrays[half:])
        return [
            array
            for part in parts
            for array in converted(inner["class_name"], inner["config"], part, version)
        ]
    if class_name == "TimeDistributed":
        inner = config["layer"]
        return converted(inner["class_name"], inner["config"], arrays, version)
    if not version or version.startswith("1."):
        arrays = _of_keras_1(class_name, config, arrays)
    if class_name in _GATES and len(arrays) == 3:
        arrays = _of_cudnn(arrays, _GATES[class_name])
    return arrays


def _of_keras_1(class_name: str, config: Mapping[str, Any], arrays: Arrays) -> Arrays:
    first = config.get("data_format") == "channels_first"
    if class_name == "LSTM" and len(arrays) == 12:  # i, c, f, o; three arrays each
        return _joined(arrays, (0, 2, 1, 3))
    if class_name == "GRU" and len(arrays) == 9:
        return _joined(arrays, (0, 1, 2))
    if not arrays:
        return arrays
    kernel = arrays[0]
    if class_name == "Conv1D" and kernel.ndim == 4:
        if kernel.shape[1] != 1:  # (filters, channels, steps, 1), of Keras 1.0 and 1.1
            kernel = kernel.transpose(2, 3, 1, 0)
        kernel = kernel[:, 0]
    elif class_name in {"Conv2D", "Conv3D"} and first:
        kernel = kernel.transpose(*range(2, kernel.ndim), 1, 0)
    elif class_name == "Conv2DTranspose":
        kernel = kernel.transpose(2, 3, 0, 1) if first else kernel.transpose(0, 1, 3, 2)
    return [kernel, *arrays[1:]]


def _joined(arrays: Arrays, order: Sequence[int]) -> Arrays:
    """Join the gates' kernels, recurrent kernels and biases."""
    return [
        np.concatenate([arrays[3 * gate + kind] for gate in order], axis=-1) for kind in range(3)
    ]


def _of_cudnn(arrays: Arrays, gates: int) -> Arrays:
    """Turn what cuDNN holds, known by its two biases in one row, into what a layer of Keras holds."""
    kernel, recurrent, bias = arrays
    units = recurrent.shape[0]
    if bias.shape != (2 * gates * units,):
        return arrays
    turned = _each_gate(kernel, gates, lambda part: part.T.reshape(part.shape, order="F"))
    back = _each_gate(recurrent, gates, lambda part: part.T)
    both = bias.reshape(2, -1)
    return [turned, back, both.sum(axis=0) if gates == 4 else both]


def _each_gate(
    kernel: NDArray[Any], gates: int, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> NDArray[Any]:
    return np.hstack([change(part) for part in np.hsplit(kernel, gates)])
