"""Every weight of a file straight from HDF5, with what file and configuration say of it; one at a time.

Two layouts: a group for each layer with its weights by name, as ``.h5`` files have it, and a group
called after a layer's class with its weights by number, as ``.keras`` and ``.weights.h5`` have it.
"""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.network.facts import VariableFacts
from reportgen.network.naming import role_of, snake_case, unique_path
from reportgen.settings import SLAB_BYTES
from reportgen.slabs import Slabs, in_slabs, places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.nets.stored_layers import StoredLayer

_NOT_WEIGHTS = {
    "optimizer",
    "optimizer_weights",
    "metrics",
    "_metrics",
    "seed_generator",
    "_compile_metrics",
}
"""Groups whose arrays are no weights of the network."""
_CONTAINERS = {"layers", "_layer_checkpoint_dependencies", "model_weights", "vars"}
"""Groups that stand between a layer and the one that holds it."""
_KERNEL = ("kernel", "bias")
_RECURRENT = ("kernel", "recurrent_kernel", "bias")
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_ORDERS: dict[str, tuple[str, ...]] = {
    "Dense": _KERNEL, "EinsumDense": _KERNEL, "Conv1D": _KERNEL, "Conv2D": _KERNEL, "Conv3D": _KERNEL,
    "Conv1DTranspose": _KERNEL, "Conv2DTranspose": _KERNEL, "Conv3DTranspose": _KERNEL,
    "DepthwiseConv1D": _KERNEL, "DepthwiseConv2D": _KERNEL,
    "SeparableConv1D": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "LSTM": _RECURRENT, "GRU": _RECURRENT, "SimpleRNN": _RECURRENT, "LSTMCell": _RECURRENT,
    "GRUCell": _RECURRENT, "SimpleRNNCell": _RECURRENT, "ConvLSTM2D": _RECURRENT, "ConvLSTMCell": _RECURRENT,
    "BatchNormalization": _NORM, "LayerNormalization": ("gamma", "beta"),
    "GroupNormalization": ("gamma", "beta"),
    "Embedding": ("embeddings",), "ReversibleEmbedding": ("embeddings",),
    "PReLU": ("alpha",), "Normalization": ("mean", "variance", "count"),
}  # fmt: skip
"""Names of the weights of Keras's layers in the order in which they are stored."""
_BESIDE = {
    "int8": ("{}_scale",),
    "int4": ("{}_scale", "{}_zero", "g_idx"),
    "float8": (
        "inputs_scale", "inputs_amax_history", "kernel_scale", "kernel_amax_history",
        "outputs_grad_scale", "outputs_grad_amax_history",
    ),
}  # fmt: skip
"""What a quantized layer stores behind its own weights, by the beginning of its policy's name."""
_NOT_TRAINED = ("_scale", "_scales", "_zero", "zero_point", "_amax_history", "g_idx")
_STATISTICS = {"moving_mean", "moving_variance", "mean", "variance", "count"}


class StoredWeight(NamedTuple):
    """A weight and where it stands.

    Attributes:
        place: of its data set in the HDF5 file.
    """

    facts: VariableFacts
    place: str

    @property
    def elements(self) -> int:
        """Its elements."""
        return prod(self.facts.shape)


class _Found(NamedTuple):
    """A data set with the parts of its name, before it is known whose it is.

    Attributes:
        parts: names of layers from the root down.
        kinds: of each part the class that its group is called after, or nothing.
        name: of the weight; a number where the file counts.
        beside: how many data sets its group holds, itself included.
    """

    place: str
    parts: tuple[str, ...]
    kinds: tuple[str, ...]
    name: str
    shape: tuple[int, ...]
    dtype: str
    beside: int = 0


def stored_weights(file: Any, layers: Sequence[StoredLayer]) -> tuple[StoredWeight, ...]:
    """Return every weight of a file in its order; only their places and shapes are read.

    Args:
        file: the open HDF5 file.
        layers: of the stored configuration, empty where there is none.
    """
    group = file.get("model_weights", file)
    named = texts_of(group, "layer_names")
    found = _by_name(group, named) if named is not None else list(_by_number(file))
    known = {layer.path: layer for layer in layers}
    taken: set[str] = set()
    return tuple(_weight(one, known, taken) for one in found)


def weight_at(
    parts: Sequence[str],
    name: str,
    values: tuple[Sequence[int], str, str],
    layers: Sequence[StoredLayer],
    taken: set[str],
) -> StoredWeight:
    """Return a weight of which it is known by its place, or by the name of its variable, whose it is.

    Args:
        parts: names of layers from the root down, and of what they hold.
        name: of the weight.
        values: its shape, its type as it is stored, and where its values are.
        layers: of the stored configuration, empty where there is none.
        taken: paths that other weights have; grows.
    """
    shape, dtype, place = values
    kinds = tuple(part if n else "" for n, part in enumerate(parts))
    found = _Found(place, tuple(parts), kinds, name, tuple(int(n) for n in shape), dtype)
    return _weight(found, {layer.path: layer for layer in layers}, taken)


def read_array(file: Any, place: str) -> NDArray[Any] | Slabs:
    """Return a weight's values; bfloat16, which HDF5 does not know, as float32.

    A large one comes in slabs, which can be read while the file is open.
    """
    data = file[place]
    if data.size * data.dtype.itemsize <= SLAB_BYTES or not in_slabs(data.dtype):
        return _plain(np.asarray(data[()]))

    def pieces() -> Iterator[NDArray[Any]]:
        for where in places(data.shape):
            yield _plain(np.asarray(data[where]))

    shape = tuple(int(n) for n in data.shape)
    return Slabs(shape, _plain(np.empty(0, data.dtype)).dtype, pieces)


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "V" and array.dtype.itemsize == 2:
        return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array.view(np.uint8) if array.dtype.kind == "V" else array


def texts_of(group: Any, name: str) -> list[str] | None:
    """Return a list of texts that HDF5 may hold in several pieces; None where there is none."""
    if name in group.attrs:
        return _texts(group.attrs[name])
    pieces: list[str] = []
    number = 0
    while f"{name}{number}" in group.attrs:
        pieces += _texts(group.attrs[f"{name}{number}"])
        number += 1
    return pieces if number else None


def _texts(values: Any) -> list[str]:
    held = [values] if isinstance(values, str | bytes) else list(np.atleast_1d(values))
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in held]


def _by_name(group: Any, layers: Sequence[str]) -> list[_Found]:
    found = []
    for layer in layers:
        inner = group.get(layer)
        for name in (texts_of(inner, "weight_names") or ()) if inner is not None else ():
            data = inner.get(name)
            if not hasattr(data, "shape"):
                continue
            *scopes, last = name.partition(":")[0].split("/")
            below = scopes[scopes.index(layer) + 1 :] if layer in scopes else scopes
            parts = (layer, *below)
            shape = tuple(int(n) for n in data.shape)
            found.append(_Found(data.name, parts, ("",) * len(parts), last, shape, str(data.dtype)))
    return found


def _by_number(
    group: Any, parts: tuple[str, ...] = (), kinds: tuple[str, ...] = ()
) -> Iterator[_Found]:
    """Yield the data sets of the groups of a file, the numbered ones in their order."""
    held = [name for name in group if hasattr(group[name], "shape")]
    for key in sorted(group, key=_natural):
        item = group[key]
        if hasattr(item, "shape"):
            dtype = _text(item.attrs.get("dtype")) or str(item.dtype)
            shape = tuple(int(n) for n in item.shape)
            yield _Found(item.name, parts, kinds, key, shape, dtype, len(held))
            continue
        steps = [step for step in key.replace("\\", "/").split("/") if step]
        if _NOT_WEIGHTS & set(steps):
            continue
        more = [step for step in steps if step not in _CONTAINERS]
        classes = [re.sub(r"_\d+$", "", step) for step in more]
        if more and "vars" in item:
            said = _text(item["vars"].attrs.get("name"))
            more[-1] = said or more[-1]
        yield from _by_number(item, (*parts, *more), (*kinds, *classes))


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Order names with their numbers as numbers."""
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", text)
        if part
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


# -- whose they are ----------------------------------------------------------------------------------


def _weight(found: _Found, layers: Mapping[str, StoredLayer], taken: set[str]) -> StoredWeight:
    path, layer = _holder(found, layers)
    class_name = _class_of(found, layer, inside=layer is None or path != layer.path)
    order = _ORDERS.get(class_name, ())
    name = _named(order, found, layer) if found.name.isdecimal() else found.name
    if class_name.startswith("Depthwise") and name == "depthwise_kernel":  # as Keras 2 called it
        name = "kernel"
    initializer, numbers = _initializer(layer, name)
    return StoredWeight(
        VariableFacts(
            path=unique_path(name, path or None, taken),
            layer=path,
            layer_class=class_name,
            name=name,
            role=role_of(name),
            shape=found.shape,
            dtype=found.dtype,
            trainable=name not in _STATISTICS
            and not found.dtype.startswith(("int", "uint"))
            and not name.endswith(_NOT_TRAINED)
            and _trains(layer, layers),
            initializer=initializer,
            initializer_config=numbers,
            compute_dtype=layer.compute_dtype if layer is not None else "",
        ),
        found.place,
    )


def _holder(found: _Found, layers: Mapping[str, StoredLayer]) -> tuple[str, StoredLayer | None]:
    """Return the path of what holds a data set, and the layer of the configuration that it is or stands in."""
    at: str | None = None
    inside: list[str] = []
    for part in found.parts:
        wanted = part if at is None else f"{at}/{part}"
        if wanted in layers:
            at, inside = wanted, []
        elif at is None:
            inside.append(part)
        elif deeper := _below(at, part, layers):
            at, inside = deeper, []
        elif not re.fullmatch(rf"{re.escape(layers[at].name)}(_\d+)?", part):
            inside.append(
                part
            )  # what a layer makes itself, as a cell, and no scope of TensorFlow's
    path = "/".join([*([at] if at is not None else []), *inside])
    return path, layers[at] if at is not None else None


def _below(path: str, name: str, layers: Mapping[str, StoredLayer]) -> str:
    """Return the only layer of a name anywhere below another one, or nothing."""
    found = [p for p, layer in layers.items() if layer.name == name and p.startswith(f"{path}/")]
    return found[0] if len(found) == 1 else ""


def _class_of(found: _Found, layer: StoredLayer | None, *, inside: bool) -> str:
    """Return the class of what holds a data set: as configured, or by the names that Keras gives."""
    if layer is not None and not inside:
        return layer.class_name
    kind, part = found.kinds[-1] if found.kinds else "", found.parts[-1] if found.parts else ""
    if kind.lstrip("_") in {"query_dense", "key_dense", "value_dense", "output_dense"}:
        return "EinsumDense"
    if kind == "cell" and layer is not None:
        return f"{layer.class_name}Cell"
    for text in (kind, part.removeprefix("forward_").removeprefix("backward_")):
        plain = re.sub(r"_\d+$", "", text).replace("_", "").lower()
        if named := next((name for name in _ORDERS if name.lower() == plain), ""):
            return named
    return "BatchNormalization" if found.name in {"moving_mean", "moving_variance"} else ""


def _named(order: tuple[str, ...], found: _Found, layer: StoredLayer | None) -> str:
    """Return the name of a layer's weight by its number; what it does without is left out of the order."""
    number = int(found.name)
    if layer is not None:
        gone = {"bias": "use_bias", "gamma": "scale", "beta": "center"}
        order = tuple(n for n in order if layer.config.get(gone.get(n, "")) is not False)
        if layer.class_name == "EinsumDense" and layer.config.get("bias_axes") is None:
            order = order[:1]
        mode = next((m for m in _BESIDE if layer.dtype_policy.startswith(m)), "")
        order = (*order, *(name.format(order[0]) for name in _BESIDE.get(mode, ()) if order))
        if order and layer.dtype_policy.startswith(("gptq", "awq")):
            order = _calibrated(order, found.beside, layer)
        if layer.class_name == "ReversibleEmbedding" and layer.config.get("tie_weights") is False:
            order = _both_ways(mode, found.beside)
        inside = order == _KERNEL[: len(order)] and layer.class_name.endswith("Attention")
        if inside and found.beside > len(
            order
        ):  # what quantizes the layers of an attention stands elsewhere
            order = (*order, *(name.format("kernel") for name in _BESIDE["int4"]))
    return order[number] if number < len(order) else str(number)


def _both_ways(mode: str, count: int) -> tuple[str, ...]:
    """Return the weights of an Embedding that is read backwards by others."""
    beside = {"int8": ("_scale",), "int4": ("_scale", "_zero")}.get(mode, ())
    if count == 4:  # rows with one scale each
        beside = ("_scale",)
    groups = ["g_idx"] if "_zero" in beside else []
    first, second = (
        [name, *(f"{name}{end}" for end in beside)] for name in ("embeddings", "reverse_embeddings")
    )
    return (*first, *groups, *second)


def _calibrated(order: tuple[str, ...], count: int, layer: StoredLayer) -> tuple[str, ...]:
    """Return the weights of a layer that GPTQ or AWQ quantized; Keras up to 3.15 does not save the zeros."""
    zero = "zero_point" if layer.class_name == "EinsumDense" else "kernel_zero"
    scales = ["awq_scales"] if layer.dtype_policy.startswith("awq") else []
    bias = [name for name in order if name == "bias"]
    whole = [*bias, "kernel", "kernel_scale", zero, *scales, "g_idx"]
    return tuple(name for name in whole if count == len(whole) or name != zero)


def _trains(layer: StoredLayer | None, layers: Mapping[str, StoredLayer]) -> bool:
    """Tell whether training changes a layer: none of those that hold it is frozen."""
    while layer is not None:
        if not layer.trainable:
            return False
        layer = layers.get(layer.parent or "")
    return True


def _initializer(layer: StoredLayer | None, name: str) -> tuple[str | None, dict[str, float | str]]:
    """Return the declared initializer of a weight: its name in snake case, and its numbers and words."""
    if layer is None:
        return None, {}
    key = "depthwise" if layer.class_name.startswith("Depthwise") and name == "kernel" else name
    names = (f"{key}_initializer", f"{key.removesuffix('_kernel')}_initializer")
    stored = next((layer.config[n] for n in names if n in layer.config), None)
    if isinstance(stored, str):
        return stored, {}
    if not isinstance(stored, dict) or not isinstance(stored.get("class_name"), str):
        return None, {}
    class_name = stored["class_name"]
    inner = stored.get("config")
    items = inner.items() if isinstance(inner, dict) else ()
    kept = {
        str(k): v
        for k, v in items
        if isinstance(v, float | int | str)
        and not isinstance(v, bool)
        and k not in {"seed", "dtype"}
    }
    return snake_case(class_name), kept
