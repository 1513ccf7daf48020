"""Whether the weights look as weights should: statistics and a histogram of every variable."""

from __future__ import annotations

import contextlib
import gc
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from reportgen.drawing.depth import DepthPoint, depth_figure
from reportgen.drawing.pictures import diverging_palette, lossless, palette_picture, tiles
from reportgen.errors import NotApplicable
from reportgen.network.facts import VariableFacts
from reportgen.numerics import dtype_size, finite_number
from reportgen.observe import Collected, SectionMaker
from reportgen.report.content.weights import KernelPicture, RoleScale, Variable, WeightsContent
from reportgen.report.leaves import Notice
from reportgen.sections.weights.health import (
    Initials,
    batch_norm_health,
    declared_initial,
    fans_of,
    kernel_health,
)
from reportgen.settings import SLAB_BYTES
from reportgen.slabs import Slabs, digest_of, statistics_of
from reportgen.wording import plural, share_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from reportgen.context import Context
    from reportgen.drawing.assets import AssetStore
    from reportgen.network.facts import Source
    from reportgen.report.content.health import BatchNormHealth

_MOST_FILTERS = 256
_SCALE_QUANTILE = 0.9


def collect(context: Context, _: Any) -> Collected:
    """Walk over the variables once and return their statistics, the depth plot and the first kernels."""
    variables: list[Variable] = []
    kernels: KernelPicture | None = None
    norms: dict[str, dict[str, NDArray[Any]]] = {}
    first = _first_convolution(context)
    size, large, quantized, codes = 0, list[str](), list[VariableFacts](), list[str]()
    # On small matrices BLAS's threads wait for each other longer than they work.
    with threadpool_limits(1, "blas"), _heap_at_rest():
        for facts, array in context.network.variables():
            variables.append(_variable(facts, array))
            size += _stored_bytes(facts, array)
            if facts.quantized:
                quantized.append(facts)
            elif _is_codes(facts, array):
                codes.append(facts.path)
            if isinstance(array, Slabs):
                large.append(facts.path)
                continue
            if facts.layer_class == "BatchNormalization":
                norms.setdefault(facts.layer, {})[facts.role] = array
            if facts.layer == first and facts.role == "kernel" and kernels is None:
                kernels = _kernel_picture(context.tools.store, facts, array)
    if not variables:
        raise NotApplicable("The model has no variables.")
    content = WeightsContent(
        variables=tuple(variables),
        scales=_scales(variables),
        count=sum(v.count for v in variables),
        bytes=size,
        zeros=sum(v.zeros for v in variables),
        nan=sum(v.nan for v in variables),
        inf=sum(v.inf for v in variables),
        depth=_depth(context.tools.store, variables),
        kernels=kernels,
        batch_norms=_batch_norms(context, norms),
    )
    return Collected(
        content,
        _sentence(content),
        (*_notices(content), *_of_large(large), *_of_quantized(quantized), *_of_codes(codes)),
    )


@contextlib.contextmanager
def _heap_at_rest() -> Iterator[None]:
    """Keep the collector from walking the network's graph again and again for the few objects made here."""
    ours = gc.get_freeze_count() == 0  # else somebody else decides what stays frozen
    if ours:
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()


def _batch_norms(
    context: Context, norms: dict[str, dict[str, NDArray[Any]]]
) -> tuple[BatchNormHealth, ...]:
    readers: dict[str, list[str]] = {}
    activations = {layer.path: layer.activation for layer in context.network.facts.layers}
    layers: dict[Source, str] = {call.id: call.layer for call in context.network.facts.calls}
    for call in context.network.facts.calls:
        if call.leaf:
            kind = activations.get(call.layer) or call.class_name
            for source in call.inputs:
                readers.setdefault(layers.get(source, ""), []).append(kind)
    return tuple(
        batch_norm_health(
            layer, arrays, before_relu=set(readers.get(layer, ())) in ({"relu"}, {"relu6"})
        )
        for layer, arrays in norms.items()
    )


def _variable(facts: VariableFacts, array: NDArray[Any] | Slabs) -> Variable:
    found = statistics_of(array)
    p1, p25, p50, p75, p99 = found.percentiles
    return Variable(
        path=facts.path,
        layer=facts.layer,
        layer_class=facts.layer_class,
        name=facts.name,
        role=facts.role,
        shape=facts.shape,
        dtype=facts.dtype,
        trainable=facts.trainable,
        count=found.size,
        zeros=found.zeros,
        nan=found.nan,
        inf=found.inf,
        min=found.min,
        max=found.max,
        mean=found.mean,
        std=found.std,
        p1=p1,
        p25=p25,
        p50=p50,
        p75=p75,
        p99=p99,
        l2=found.l2,
        histogram=found.histogram,
        digest=digest_of(array),
        initializer=facts.initializer,
        compute_dtype=facts.compute_dtype,
        health=kernel_health(array, _initials(facts), facts.layer_class)
        if facts.role in {"kernel", "embeddings"}
        and not isinstance(array, Slabs)
        and not facts.quantized
        and not _is_codes(facts, array)
        else None,
        shared_by=facts.shared_by,
    )


def _initials(facts: VariableFacts) -> tuple[Initials, ...]:
    """Return what a kernel may have been drawn from: by its shape and, of some layers, by their equation."""
    if len(facts.shape) < 2:
        return ()
    fans = dict.fromkeys([fans_of(facts.shape), facts.fans or fans_of(facts.shape)])
    return tuple(
        Initials(declared_initial(facts.initializer, facts.initializer_config, pair), pair)
        for pair in fans
    )


def _scales(variables: Sequence[Variable]) -> tuple[RoleScale, ...]:
    """Return one axis a role: from the 1st to the 99th percentile of nine in ten of its variables.

    The widest tenth does not squeeze the others; what lies outside is counted in the outermost
    bars.
    """
    scales = []
    for role in dict.fromkeys(v.role for v in variables):
        of_role = [
            v for v in variables if v.role == role and v.p1 is not None and v.p99 is not None
        ]
        if not of_role:
            continue
        low = -_reach([-v.p1 for v in of_role if v.p1 is not None])
        high = _reach([v.p99 for v in of_role if v.p99 is not None])
        if role in {"kernel", "bias", "beta", "embeddings"}:
            high = max(abs(low), abs(high))
            low = -high
        else:
            low, high = min(low, 0.0), max(high, 0.0)
        if high <= low:
            low, high = low - 1, high + 1
        scales.append(RoleScale(role, finite_number(low), finite_number(high)))
    return tuple(scales)


def _reach(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(math.ceil(_SCALE_QUANTILE * len(ordered)), len(ordered)) - 1]


def _depth(store: AssetStore, variables: Sequence[Variable]) -> Any:
    points = [
        DepthPoint(v.layer, v.mean, v.std, v.l2 / math.sqrt(v.count))
        for v in variables
        if v.role == "kernel" and v.mean is not None and v.std is not None and v.l2 is not None
    ]
    if len(points) < 2:
        return None
    spread = [p.std for p in points]
    alt = (
        f"Mean, standard deviation and norm per element of {len(points)} kernels in the order "
        "of the layers; "
        f"the standard deviation lies between {min(spread):.3g} "
        f"({points[spread.index(min(spread))].layer}) "
        f"and {max(spread):.3g} ({points[spread.index(max(spread))].layer})."
    )
    return depth_figure(store, points, alt)


def _first_convolution(context: Context) -> str | None:
    """Return the first convolution that is called, or, untraced, the first in the layer tree."""
    facts = context.network.facts
    order = [(call.layer, call.class_name) for call in facts.calls] or [
        (layer.path, layer.class_name) for layer in facts.layers
    ]
    names = {"Conv2D", "DepthwiseConv2D", "SeparableConv2D"}
    return next((path for path, class_name in order if class_name in names), None)


def _kernel_picture(
    store: AssetStore, facts: VariableFacts, array: NDArray[Any]
) -> KernelPicture | None:
    """Draw kernels (h, w, in, out) of one or three input channels, all on one scale around zero."""
    if array.ndim != 4 or array.shape[2] not in {1, 3} or array.dtype.kind != "f":
        return None
    filters = np.moveaxis(array.astype(np.float32), -1, 0)
    shown = filters[:_MOST_FILTERS]
    known = np.abs(shown[np.isfinite(shown)])
    reach = float(np.percentile(known, 99.5)) if known.size else 0.0
    reach = reach or float(known.max(initial=0)) or 1.0
    levels = np.rint(np.clip((np.nan_to_num(shown) / reach + 1) * 127.5, 0, 255)).astype(np.uint8)
    zoom = max(1, round(24 / max(levels.shape[1:3])))
    levels = levels.repeat(zoom, axis=1).repeat(zoom, axis=2)
    columns = min(16, len(levels))
    total = len(filters)
    dead = int((np.abs(shown).max(axis=(1, 2, 3)) == 0).sum())
    alt = (
        f"The {len(levels)} kernels of {facts.layer}, {array.shape[0]} by {array.shape[1]} "
        "pixels each" + (f"; {dead} of them are all zero." if dead else ".")
    )
    if array.shape[2] == 3:
        figure = lossless(store, tiles(levels, columns, 2, 128), alt)
        colours = (
            "red, green and blue are the weights of the three input channels, mid grey is zero"
        )
    else:
        sheet = tiles(levels, columns, 2, 128)[..., 0]
        figure = palette_picture(store, sheet, diverging_palette(), alt)
        colours = "blue is negative, red is positive, white is zero"
    low, high = finite_number(-reach), finite_number(reach)
    return KernelPicture(facts.layer, figure, len(levels), total, low, high, colours)


def _sentence(content: WeightsContent) -> str:
    broken = content.nan + content.inf
    health = (
        f"{plural(broken, 'value')} {'is' if broken == 1 else 'are'} NaN or infinite"
        if broken
        else "all values are finite"
    )
    return (
        f"{len(content.variables)} variables with {content.count:,} values: {health}, "
        f"{share_text(content.zeros, content.count)} are exactly zero."
    )


def _notices(content: WeightsContent) -> tuple[Notice, ...]:
    broken = [v.path for v in content.variables if v.nan or v.inf]
    if not broken:
        return ()
    more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
    return (Notice("warning", f"NaN or infinite values in {', '.join(broken[:5])}{more}."),)


def _of_large(paths: Sequence[str]) -> tuple[Notice, ...]:
    if not paths:
        return ()
    said = f"{paths[0]} and {len(paths) - 1} more are" if len(paths) > 1 else f"{paths[0]} is"
    limit = f"{SLAB_BYTES / 2**20:.0f} MiB"
    text = f"{said} larger than {limit} and measured slab by slab: their filters are not examined."
    return (Notice("info", text),)


def _of_quantized(found: Sequence[VariableFacts]) -> tuple[Notice, ...]:
    if not found:
        return ()
    kinds = " and ".join(sorted({facts.quantized for facts in found}))
    said = (
        f"{found[0].path} and {len(found) - 1} more are"
        if len(found) > 1
        else f"{found[0].path} is"
    )
    text = f"{said} stored in {kinds}: the numbers are those of the dequantised values."
    return (Notice("info", text),)


def _is_codes(facts: VariableFacts, array: NDArray[Any] | Slabs) -> bool:
    """Tell a kernel of whole numbers, of which nothing says which values they stand for."""
    return facts.role in {"kernel", "embeddings"} and array.dtype.kind in "iu"


def _of_codes(paths: Sequence[str]) -> tuple[Notice, ...]:
    if not paths:
        return ()
    said = f"{paths[0]} and {len(paths) - 1} more are" if len(paths) > 1 else f"{paths[0]} is"
    text = f"{said} stored in whole numbers, and the file does not say which values they stand for (Keras up "
    text += (
        "to 3.15 saves no zero points of GPTQ and AWQ): the numbers are those of the whole numbers."
    )
    return (Notice("warning", text),)


def _stored_bytes(facts: VariableFacts, array: NDArray[Any] | Slabs) -> int:
    return facts.stored_bytes or array.size * dtype_size(facts.dtype)


SECTION = SectionMaker("weights", "Weights", collect)
