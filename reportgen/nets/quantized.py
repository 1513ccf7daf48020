"""Kernels that are stored in 8 or 4 bits, with the values that their layers compute with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from reportgen.settings import SLAB_BYTES
from reportgen.slabs import Slabs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.network.facts import VariableFacts

    Pair = tuple[VariableFacts, NDArray[Any] | Slabs]

_QUANTIZED = {"Dense": "kernel", "Embedding": "embeddings"}
"""Layers whose scales belong to rows or columns, and what of them is quantized."""


def dequantized(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield weights with the values that are computed with, and say of which type they are stored.

    Args:
        pairs: a layer's weights follow each other; those of a quantized one are held together.
    """
    held: list[Pair] = []
    for facts, array in pairs:
        if held and held[0][0].layer != facts.layer:
            yield from _of_layer(held)
            held = []
        if held or _is_stored_small(facts, array):
            held.append((facts, array))
        else:
            yield facts, array
    yield from _of_layer(held)


def _is_stored_small(facts: VariableFacts, array: NDArray[Any] | Slabs) -> bool:
    plain = not isinstance(array, Slabs) and array.dtype == np.int8 and array.ndim == 2
    return (
        plain and 4 * array.size <= SLAB_BYTES and _QUANTIZED.get(facts.layer_class) == facts.name
    )


def _of_layer(held: Sequence[Pair]) -> Iterator[Pair]:
    """Yield a layer's weights, the first of them dequantized where its scales are what Keras makes."""
    if not held:
        return
    facts, stored = held[0]
    beside = {f.name: array for f, array in held if not isinstance(array, Slabs)}
    values, kind = None, ""
    if not isinstance(stored, Slabs):
        values, kind = (_rows if facts.name == "embeddings" else _columns)(stored, beside)
    if values is None:
        yield from held
        return
    yield replace(facts, shape=values.shape, quantized=kind), values
    yield from held[1:]


def _rows(
    stored: NDArray[Any], beside: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[Any] | None, str]:
    """Return an Embedding's rows, each divided by its scale; of packed ones the width is not known."""
    scale = beside.get("embeddings_scale")
    if scale is None or scale.shape != stored.shape[:1] or "embeddings_zero" in beside:
        return None, ""
    return stored / _float(scale)[:, None], "int8"


def _columns(
    stored: NDArray[Any], beside: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[Any] | None, str]:
    """Return a Dense's kernel: its columns divided by their scales, or groups of its rows by theirs."""
    scale = beside.get("kernel_scale")
    if scale is None or scale.ndim not in {1, 2}:
        return None, ""
    units = scale.shape[-1]
    packed = units > 1 and stored.shape[1] == (units + 1) // 2
    if stored.shape[1] != units and not packed:
        return None, ""
    values = _unpacked(stored, units) if packed else stored
    kind = "int4" if packed else "int8"
    if scale.ndim == 1:
        return values / _float(scale), kind
    zero, groups = beside.get("kernel_zero"), beside.get("g_idx")
    if zero is None or groups is None or zero.shape != scale.shape:
        return None, ""
    if groups.shape != stored.shape[:1] or not ((groups >= 0) & (groups < len(scale))).all():
        return None, ""
    which = groups.astype(np.int64)
    return (values - _float(zero)[which]) * _float(scale)[which], kind


def _unpacked(stored: NDArray[Any], units: int) -> NDArray[Any]:
    """Return whole numbers of four bits, of which a byte holds two along the last axis, the lower first."""
    both = np.stack([(stored << 4).astype(np.int8) >> 4, stored >> 4], axis=-1)
    return both.reshape(len(stored), -1)[:, :units]


def _float(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float32)
