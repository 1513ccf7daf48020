"""Kernels that are stored in 8 or 4 bits, with the values that their layers compute with.

Keras packs two values of four bits into a byte, the lower half first. What it stores beside a kernel says how
the values come back; where that is not as Keras makes it, a kernel is left as it is stored.
"""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from reportgen.settings import SLAB_BYTES
from reportgen.slabs import Slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.network.facts import VariableFacts

    Pair = tuple[VariableFacts, NDArray[Any] | Slabs]
    Beside = Mapping[str, NDArray[Any]]
    Config = Mapping[str, Any]

_QUANTIZED = {
    "Dense": {"kernel"},
    "EinsumDense": {"kernel"},
    "Embedding": {"embeddings"},
    "ReversibleEmbedding": {"embeddings", "reverse_embeddings"},
}
"""Layers of Keras that are quantized, and what of them."""


class _Values(NamedTuple):
    """The values that are computed with, and in what they are stored."""

    array: NDArray[Any]
    kind: str


def dequantized(pairs: Iterable[Pair], config_of: Callable[[str], Config]) -> Iterator[Pair]:
    """Yield weights with the values that are computed with, and say of which type they are stored.

    Args:
        pairs: a layer's weights follow each other; those of a quantized one are held together.
        config_of: from the path of a layer to its configuration, as Keras stores it; empty where it has none.
    """
    held: list[Pair] = []
    for facts, array in pairs:
        if held and held[0][0].layer != facts.layer:
            yield from _of_layer(held, config_of(held[0][0].layer))
            held = []
        if held or _is_stored_small(facts, array):
            held.append((facts, array))
        else:
            yield facts, array
    if held:
        yield from _of_layer(held, config_of(held[0][0].layer))


def _is_stored_small(facts: VariableFacts, array: NDArray[Any] | Slabs) -> bool:
    return (
        not isinstance(array, Slabs)
        and array.dtype in {np.dtype(np.int8), np.dtype(np.uint8)}
        and array.ndim >= 2
        and 4 * array.size <= SLAB_BYTES
        and facts.name in _QUANTIZED.get(facts.layer_class, ())
    )


def _of_layer(held: Sequence[Pair], config: Config) -> Iterator[Pair]:
    """Yield a layer's weights, dequantized where its scales are what Keras makes."""
    beside = {f.name: array for f, array in held if not isinstance(array, Slabs)}
    for facts, stored in held:
        made = None
        if not isinstance(stored, Slabs) and _is_stored_small(facts, stored):
            made = _values(facts, stored, beside, config)
        if made is None or isinstance(stored, Slabs):
            yield facts, stored
            continue
        shape, size = made.array.shape, int(stored.nbytes)
        yield replace(facts, shape=shape, quantized=made.kind, stored_bytes=size), made.array


def _values(
    facts: VariableFacts, stored: NDArray[Any], beside: Beside, config: Config
) -> _Values | None:
    """Return the values of a kernel; nothing where something beside it is missing or of another shape."""
    scale = beside.get(f"{facts.name}_scale")
    if scale is None:
        return None
    scale = scale.astype(np.float32)
    if stored.dtype == np.uint8:
        return (
            _calibrated(stored, scale, beside, config) if stored.ndim == scale.ndim == 2 else None
        )
    match facts.name:
        case "embeddings":
            return _rows(stored, scale, beside, config)
        case "reverse_embeddings":
            return _turned_rows(stored, scale, beside, config)
    made = _columns(stored, scale, beside, config)
    if facts.layer_class == "Dense":
        return made
    if made is not None and _is_flat(stored, scale):
        return made._replace(array=_shaped(made.array, config))
    return _over_axes(stored, scale, config)


# -- of whole layers ---------------------------------------------------------------------------------


def _columns(
    stored: NDArray[Any], scale: NDArray[Any], beside: Beside, config: Config
) -> _Values | None:
    """Return a kernel: its columns divided by their scales, or groups of its rows by theirs."""
    if stored.ndim != 2 or scale.ndim not in {1, 2}:
        return None
    units = scale.shape[-1]
    packed = units > 1 and stored.shape[1] == (units + 1) // 2
    if stored.shape[1] != units and not packed:
        return None
    values = _unpacked(stored)[:, :units] if packed else stored
    kind = "int4" if packed else "int8"
    if scale.ndim == 1:
        if units > 1 and not packed and _mode(config).startswith("int4"):
            values, kind = _unpacked_along(stored, 0), "int4"
        return _Values(values / scale, kind)
    found = _by_groups(
        values.T, scale.T, beside.get("kernel_zero"), beside.get("g_idx"), turned=True
    )
    return None if found is None else _Values(found.T, kind)


def _rows(
    stored: NDArray[Any], scale: NDArray[Any], beside: Beside, config: Config
) -> _Values | None:
    """Return an Embedding's rows, each divided by its scale, or groups of its columns by theirs."""
    width, packed = _width(stored.shape[1], beside, config)
    if stored.ndim != 2 or not width:
        return None
    values, kind = (_unpacked(stored)[:, :width], "int4") if packed else (stored, "int8")
    if scale.shape == stored.shape[:1] and "embeddings_zero" not in beside:
        return _Values(values / scale[:, None], kind)
    found = _by_groups(values, scale, beside.get("embeddings_zero"), beside.get("g_idx"))
    return None if found is None else _Values(found, kind)


def _turned_rows(
    stored: NDArray[Any], scale: NDArray[Any], beside: Beside, config: Config
) -> _Values | None:
    """Return what an Embedding is read backwards by, laid out and packed the other way round."""
    names = {"embeddings_zero": "reverse_embeddings_zero", "g_idx": "g_idx"}
    turned = {new: beside[old] for new, old in names.items() if old in beside}
    if "embeddings_zero" in turned:
        turned["embeddings_zero"] = turned["embeddings_zero"].T
    found = _rows(stored.T, scale.T, turned, config)
    return None if found is None else found._replace(array=found.array.T)


def _width(columns: int, beside: Beside, config: Config) -> tuple[int, bool]:
    """Return how many values a row has and whether they are packed; 0 where that is not known."""
    groups = beside.get("g_idx")
    declared = config.get("output_dim")
    width = len(groups) if groups is not None else declared if isinstance(declared, int) else 0
    packed = columns == (width + 1) // 2 and (columns != width or _mode(config).startswith("int4"))
    return (width, packed) if packed or columns == width else (0, False)


def _calibrated(
    stored: NDArray[Any], scale: NDArray[Any], beside: Beside, config: Config
) -> _Values | None:
    """Return a kernel as GPTQ and AWQ store it, turned: (units, inputs) in groups along the inputs."""
    units, zero = len(scale), beside.get("kernel_zero", beside.get("zero_point"))
    packed = len(stored) != units
    if packed and len(stored) != (units + 1) // 2:
        return None
    values = _unpacked(stored.T).T[:units] if packed else stored
    found = _by_groups(values, scale, zero, beside.get("g_idx"))
    if found is None:
        return None
    kernel = found.T
    scales = beside.get("awq_scales")
    if scales is not None:
        if scales.shape != kernel.shape[:1]:
            return None
        kernel = kernel / scales.astype(np.float32)[:, None]
    kind = f"{'int4' if packed else 'int8'} ({'GPTQ' if scales is None else 'AWQ'})"
    return _Values(_shaped(kernel, config), kind)


def _by_groups(
    values: NDArray[Any],
    scale: NDArray[Any],
    zero: NDArray[Any] | None,
    groups: NDArray[Any] | None,
    *,
    turned: bool = False,
) -> NDArray[Any] | None:
    """Return values of which each row's columns are in groups, with a scale and a zero each.

    Args:
        values: (rows, columns).
        scale: (rows, groups).
        zero: likewise, or turned.
        groups: (columns,) which group each column is in.
        turned: whether ``zero`` is.
    """
    if zero is None or groups is None:
        return None
    zero = zero.T if turned else zero
    if zero.shape != scale.shape or groups.shape != values.shape[1:]:
        return None
    which = groups.astype(np.int64)
    if len(scale) != len(values) or not ((which >= 0) & (which < scale.shape[1])).all():
        return None
    found: NDArray[Any] = (values - zero.astype(np.float32)[:, which]) * scale[:, which]
    return found


def _unpacked(stored: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers of four bits, of which a byte holds two along the last axis, the lower first."""
    low = (stored << 4).astype(stored.dtype) >> 4
    return np.stack([low, stored >> 4], axis=-1).reshape(len(stored), -1)


def _unpacked_along(stored: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return whole numbers of four bits that Keras up to 3.13 packed along the axis that is summed over.

    Of an odd number the last half is empty, and is left out.
    """
    turned = np.moveaxis(stored, axis, -1)
    flat = _unpacked(turned.reshape(-1, turned.shape[-1]))
    flat = flat if flat[:, -1].any() else flat[:, :-1]
    return np.moveaxis(flat.reshape(*turned.shape[:-1], -1), -1, axis)


# -- of an equation ----------------------------------------------------------------------------------


def _mode(config: Config) -> str:
    """Return how a layer is quantized, by the name or the configuration of its policy."""
    stored = config.get("dtype")
    if isinstance(stored, dict):
        inner = stored.get("config")
        stored = inner.get("mode", "") if isinstance(inner, dict) else inner
    return stored if isinstance(stored, str) else ""


def _is_flat(stored: NDArray[Any], scale: NDArray[Any]) -> bool:
    """Tell whether an EinsumDense is stored as columns that are packed, in four bits."""
    return stored.ndim == 2 and stored.shape[1] == (scale.shape[-1] + 1) // 2 < scale.shape[-1]


def _terms(config: Config) -> tuple[str, str] | None:
    """Return the axes of an equation's kernel and of its output, a letter each; nothing if it is no such."""
    found = re.fullmatch(
        r"(?:\.{3})?[a-zA-Z]+(?:\.{3})?,([a-zA-Z]+)->(?:\.{3})?([a-zA-Z]+)(?:\.{3})?",
        str(config.get("equation")),
    )
    return (found.group(1), found.group(2)) if found else None


def _over_axes(stored: NDArray[Any], scale: NDArray[Any], config: Config) -> _Values | None:
    """Return a kernel of any rank, whose scales belong to the axes that stand in the output, in its order.

    Inside of an attention no equation is stored; there the last axes are those.
    """
    terms = _terms(config)
    if terms is None:
        kept = tuple(n for n in scale.shape if n > 1)
        others = tuple(range(stored.ndim - len(kept)))
        fits = not config and kept == stored.shape[len(others) :]
        # Each scale is that of the largest value, which becomes 127; what is packed has no such.
        fits = fits and set(np.abs(stored.astype(int)).max(axis=others).flat) <= {0, 127}
        return _Values(stored / scale.reshape(kept), "int8") if fits else None
    kernel, output = terms
    if len(kernel) != stored.ndim:
        return None
    kind, summed = "int8", [axis for axis, letter in enumerate(kernel) if letter not in output]
    if _mode(config).startswith("int4") and summed:
        kind, stored = "int4", _unpacked_along(stored, summed[0])
    axes = [kernel.index(letter) for letter in output if letter in kernel]
    sizes = [stored.shape[axis] for axis in axes]
    if prod(sizes) != scale.size:
        return None
    turned = scale.reshape(sizes).transpose(np.argsort(axes))
    whole = [n if axis in axes else 1 for axis, n in enumerate(stored.shape)]
    return _Values(stored / turned.reshape(whole), kind)


def _shaped(flat: NDArray[Any], config: Config) -> NDArray[Any]:
    """Return a kernel in its own shape, where its equation says it; else flat, (inputs, outputs)."""
    terms, declared = _terms(config), config.get("output_shape")
    sizes = [declared] if isinstance(declared, int) else declared
    if terms is None or not isinstance(sizes, list | tuple):
        return flat
    kernel, output = terms
    known = dict(zip(reversed(output), reversed(sizes), strict=False))
    kept = [known.get(letter) for letter in kernel if letter in output]
    summed = [letter for letter in kernel if letter not in output]
    outputs = prod(n for n in kept if isinstance(n, int))
    if (
        not all(isinstance(n, int) and n > 0 for n in kept)
        or len(summed) != 1
        or flat.size % outputs
    ):
        return flat
    known[summed[0]] = flat.size // outputs
    return flat.reshape([known[letter] for letter in kernel])
