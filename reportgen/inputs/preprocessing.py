"""Preprocessing: the named modes, and which one this network was trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import InputError, ReportgenError
from reportgen.inputs.rescaling import expected_by
from reportgen.numerics import six_digits
from reportgen.report.content.probes import Candidate, NormalizationMatch, Preprocessing
from reportgen.report.leaves import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from reportgen.inputs.probes import ProbeSet
    from reportgen.network.facts import InputRescaling
    from reportgen.network.protocol import Network, NormalizationInput

FORMULAS = {
    "none": "raw values, 0..255",
    "unit": "x / 255",
    "symmetric": "x / 127.5 - 1",
    "caffe": "RGB to BGR, minus the ImageNet means (103.939, 116.779, 123.68)",
    "torch": "x / 255, minus (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225)",
    "uint16": "16-bit values, 0..65535",
}
"""What each mode does to an image x of 0..255; as ``keras.applications.imagenet_utils`` defines them."""

_FRACTIONS = {"unit", "symmetric", "caffe", "torch"}
"""Modes whose values are no integers."""
CANDIDATES = ("none", "unit", "symmetric", "caffe", "torch")
"""What is held against a BatchNormalization."""
DECIDES = 1.0
"""Largest distance at which the best candidate is believed."""
AHEAD = 0.8
"""The best candidate's distance must be below this part of the second's."""


class Prepared(NamedTuple):
    """Inputs as the network receives them.

    Attributes:
        inputs: by name, each (n, …).
        facts: what was done, with the evidence.
        black: a black image in the network's units, shaped as one image; None without images.
        black_words: how it was found.
    """

    inputs: dict[str, NDArray[Any]]
    facts: Preprocessing
    notices: tuple[Notice, ...]
    black: NDArray[Any] | None = None
    black_words: str = ""


def prepare(
    probes: ProbeSet,
    network: Network,
    mode: str | None,
    function: Callable[[NDArray[Any]], Any] | None = None,
) -> Prepared:
    """Preprocess the probes' image input by ``mode``, or by what the network shows that it expects.

    Args:
        probes: fitted, not preprocessed.
        network: is asked what it expects, for ``auto``.
        mode: a mode, ``module:function``, or None for the default: ``auto`` for image files and
            ``none`` for arrays and data sets.
        function: what ``module:function`` names, from (n, H, W, C) float32 in 0..255.

    Raises:
        InputError: the function fails or returns another shape.
    """
    prepared = _prepare(probes, network, mode, function)
    name = probes.image_input
    if name is None:
        return prepared
    black, words = _black(prepared.inputs[name], probes, prepared.facts.mode, function)
    return prepared._replace(black=black, black_words=words)


def feeder(
    mode: str, white: float | None, function: Callable[[NDArray[Any]], Any] | None
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return what preprocesses further images as a sample was, and keeps their type.

    Args:
        mode: of the sample.
        white: its full scale; None where it has none.
        function: what ``module:function`` names.
    """
    if function is not None:
        return lambda raw: _typed(_called(function, raw, mode), raw)
    if mode == "none" or white is None:
        return lambda raw: raw
    scale = np.float32(255 / white)
    return lambda raw: _typed(apply(mode, raw if white == 255 else raw * scale), raw)


def is_function(mode: str) -> bool:
    """Return whether a mode is code of the user's, of which a name does not tell what it does."""
    return mode not in FORMULAS


def _black(
    fed: NDArray[Any],
    probes: ProbeSet,
    mode: str,
    function: Callable[[NDArray[Any]], Any] | None,
) -> tuple[NDArray[Any], str]:
    """Return a black image in the units that are fed, and how it was found."""
    zeros = np.zeros((1, *fed.shape[1:]), np.float32)
    if function is not None:
        return _called(function, zeros, mode)[0], f"black (0), as {mode} maps it"
    if mode != "none":
        return apply(mode, zeros)[0], f"black (0), as {mode} maps it"
    if probes.full_scale is not None:
        return zeros[0], "black (0)"
    if probes.series:
        mean = np.nanmean(np.where(np.isfinite(fed), fed, np.nan), axis=(0, 1))
        nothing = np.nan_to_num(zeros[0] + mean).astype(np.float32)
        return nothing, "the mean of each channel over the probes"
    finite = fed[np.isfinite(fed)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low >= 0:
        return zeros[0], "0, read as black since no value is negative"
    if low >= -1 and high <= 1:
        return zeros[0] - 1, "-1, read as black since the values lie in [-1, 1]"
    axes = tuple(range(3)) if fed.ndim == 4 else None
    least = np.nanmin(np.where(np.isfinite(fed), fed, np.nan), axis=axes)
    words = "the least value of each channel, read as black"
    return (zeros[0] + least).astype(np.float32), words


def _prepare(
    probes: ProbeSet,
    network: Network,
    mode: str | None,
    function: Callable[[NDArray[Any]], Any] | None,
) -> Prepared:
    name = probes.image_input
    if name is None:
        facts = Preprocessing("none", "fed as given", "default", "No input takes images.")
        return Prepared(probes.inputs, facts, ())
    chosen = mode or ("auto" if probes.sources == "files" else "none")
    raw = probes.inputs[name]
    if raw.dtype.kind in "iu" and chosen in _FRACTIONS:
        raise InputError(
            f"--preprocess {chosen} makes fractions, and the model's input takes {raw.dtype.name}: they would "
            "be rounded away. --preprocess none feeds it the values as they are."
        )
    if raw.dtype.kind in "iu" and chosen == "auto":
        because = f"The model's input takes {raw.dtype.name}, which no scaling fits."
        return Prepared(probes.inputs, Preprocessing("none", FORMULAS["none"], "auto", because), ())
    if function is not None:
        facts = Preprocessing(chosen, "the function's", "given", "Chosen by the user.")
        return Prepared({**probes.inputs, name: _called(function, raw, chosen)}, facts, ())
    if chosen == "none":
        return Prepared(probes.inputs, _fed_as_is(probes, given=mode == "none"), ())
    if probes.full_scale is None:
        return _own_units(probes, chosen)
    scaled = raw if probes.full_scale == 255 else raw * np.float32(255 / probes.full_scale)
    if chosen != "auto":
        facts = Preprocessing(chosen, FORMULAS[chosen], "given", "Chosen by the user.")
        return Prepared({**probes.inputs, name: apply(chosen, scaled)}, facts, ())
    facts, notices = _choose({**probes.inputs, name: scaled}, name, network)
    inputs = {**probes.inputs, name: _typed(apply(facts.mode, scaled), raw)}
    return Prepared(inputs, facts, notices)


def _typed(array: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    return array.astype(like.dtype, copy=False)


def _called(function: Callable[[NDArray[Any]], Any], raw: NDArray[Any], name: str) -> NDArray[Any]:
    try:
        result = np.asarray(function(raw.copy()))
    except Exception as error:
        raise InputError(
            f"--preprocess {name}: the function failed ({type(error).__name__}: {error})."
        ) from error
    if result.shape != raw.shape or result.dtype.kind not in "fiu":
        raise InputError(
            f"--preprocess {name}: the function got {raw.shape} and returned {result.shape} of "
            "the type "
            f"{result.dtype}; it must keep the shape (n, height, width, channels)."
        )
    return result.astype(np.float32)


def _fed_as_is(probes: ProbeSet, *, given: bool) -> Preprocessing:
    formula = FORMULAS["none"] if probes.sources == "files" else "values fed as they are"
    if given:
        return Preprocessing("none", formula, "given", "Chosen by the user.")
    return Preprocessing(
        "none", formula, "default", "Arrays and data sets are taken in the model's own units."
    )


def _own_units(probes: ProbeSet, mode: str) -> Prepared:
    text = (
        "The probes are floating-point arrays, which are taken in the model's own units: "
        f"--preprocess {mode} "
        "was not applied. Give integers (0..255 as uint8) to have them preprocessed."
    )
    facts = Preprocessing(
        "none", "values fed as they are", "default", "Floats are the model's own units."
    )
    return Prepared(probes.inputs, facts, (Notice("warning", text),))


def apply(mode: str, images: NDArray[Any]) -> NDArray[Any]:
    """Apply a named mode.

    Args:
        mode: a key of ``FORMULAS``.
        images: (n, H, W, C) or (n, H, W), 0..255.

    Returns:
        float32 of the same shape. Without three channels, ``caffe`` and ``torch`` use the mean of
        the channels' constants.
    """
    x = images.astype(np.float32, copy=False)
    if mode == "uint16":
        whole: NDArray[Any] = np.rint(x * np.float32(257))
        return whole
    if mode == "unit":
        return x / np.float32(255)
    if mode == "symmetric":
        return x / np.float32(127.5) - np.float32(1)
    three = x.ndim == 4 and x.shape[3] == 3
    if mode == "caffe":
        means = np.array([103.939, 116.779, 123.68], np.float32)
        return x[..., ::-1] - means if three else x - means.mean()
    if mode == "torch":
        means = np.array([0.485, 0.456, 0.406], np.float32)
        stds = np.array([0.229, 0.224, 0.225], np.float32)
        if not three:
            means, stds = means.mean(), stds.mean()
        return (x / np.float32(255) - means) / stds
    return x


def _choose(
    inputs: dict[str, NDArray[Any]], name: str, network: Network
) -> tuple[Preprocessing, tuple[Notice, ...]]:
    if network.facts.rescaling is not None:
        return _of_own_layer(network.facts.rescaling, inputs[name])
    if inputs[name].dtype.kind in "iu":
        because = "The model's input takes integers."
        return Preprocessing("none", FORMULAS["none"], "auto", because), ()
    candidates, normalization = _candidates(inputs, name, network)
    if not candidates:
        why = (
            "the model has neither a Rescaling or Normalization layer nor a BatchNormalization "
            "to hold "
            "the candidates against"
            if normalization is None
            else "the first BatchNormalization has learned no statistics that could be compared"
        )
        return _undecided(why, (), normalization)
    best = candidates[0]
    second = candidates[1] if len(candidates) > 1 else None
    if best.distance > DECIDES:
        return _undecided(
            "no candidate comes near what the first BatchNormalization expects",
            candidates,
            normalization,
        )
    if second is not None and best.distance > AHEAD * second.distance:
        return _undecided(
            f"{best.mode} and {second.mode} match the first BatchNormalization about equally well",
            candidates,
            normalization,
        )
    because = (
        f"Of the {len(candidates)} candidates its statistics before {normalization} are "
        "nearest to the "
        "moving mean and variance that the layer learned."
    )
    facts = Preprocessing(
        best.mode, FORMULAS[best.mode], "auto", because, layer=normalization, candidates=candidates
    )
    return facts, ()


def _of_own_layer(
    rescaling: InputRescaling, images: NDArray[Any]
) -> tuple[Preprocessing, tuple[Notice, ...]]:
    """Feed what the model's own first layer expects; say so where its numbers leave it open."""
    found = expected_by(rescaling, images)
    facts = Preprocessing(
        found.mode, FORMULAS[found.mode], "auto", found.because, layer=rescaling.layer
    )
    if not found.also:
        return facts, ()
    text = (
        f"{found.also}: {FORMULAS[found.mode]} was fed. If the model was trained on the other range, the "
        "predictions shown are meaningless: give --preprocess."
    )
    return facts, (Notice("warning", text),)


def _undecided(
    why: str, candidates: tuple[Candidate, ...], layer: str | None
) -> tuple[Preprocessing, tuple[Notice, ...]]:
    text = (
        f"How images were preprocessed in training cannot be told: {why}. x / 255 (unit) was "
        "used. If the "
        "model was trained on other values, all predictions shown are meaningless: give "
        "--preprocess."
    )
    facts = Preprocessing(
        "unit", FORMULAS["unit"], "undecided", why, layer=layer, candidates=candidates
    )
    return facts, (Notice("warning", text),)


def _candidates(
    inputs: dict[str, NDArray[Any]], name: str, network: Network
) -> tuple[tuple[Candidate, ...], str | None]:
    """Measure every mode's distance from what the first BatchNormalization learned, nearest first."""
    found = []
    layer = None
    for mode in CANDIDATES:
        try:
            measured = network.normalization_input({**inputs, name: apply(mode, inputs[name])})
        except ReportgenError:
            return (), layer
        if measured is None:
            return (), None
        layer = measured.layer
        if _untouched(measured):
            return (), layer  # still as created
        distance = six_digits(_distance(measured))
        if distance is not None:
            found.append(Candidate(mode, distance))
    return tuple(sorted(found, key=lambda candidate: candidate.distance)), layer


def match_normalization(
    inputs: dict[str, NDArray[Any]], name: str, network: Network
) -> NormalizationMatch | None:
    """Hold what is fed against what the first BatchNormalization learned.

    Args:
        inputs: preprocessed, by name.
        name: of the image input.
        network: is run up to that layer.

    Returns:
        None where there is none, or it has learned nothing.
    """
    fed = _match(inputs, network)
    if fed is None:
        return None
    images = inputs[name]
    swapped = None
    if images.ndim == 4 and images.shape[3] == 3:
        reverse = _match({**inputs, name: np.ascontiguousarray(images[..., ::-1])}, network)
        swapped = reverse[1] if reverse else None
    return NormalizationMatch(fed[0], fed[1], swapped)


def _match(inputs: dict[str, NDArray[Any]], network: Network) -> tuple[str, float] | None:
    try:
        measured = network.normalization_input(inputs)
    except ReportgenError:
        return None
    if measured is None or _untouched(measured):
        return None
    distance = six_digits(_distance(measured))
    return None if distance is None else (measured.layer, distance)


def _untouched(measured: NormalizationInput) -> bool:
    fresh = not measured.moving_mean.any() and bool((measured.moving_variance == 1).all())
    return fresh or not measured.settled


def _distance(measured: NormalizationInput) -> float:
    """Return the mean over channels of |difference of means| / pooled std + |ln ratio of stds|."""
    std = np.sqrt(np.maximum(measured.variance, 0))
    learned = np.sqrt(np.maximum(measured.moving_variance, 0))
    alive = (std > 0) & (learned > 1e-6 * max(float(learned.max(initial=0.0)), 1e-12))
    if not alive.any():
        return float("nan")
    std, learned = std[alive], learned[alive]
    shift = np.abs(measured.mean[alive] - measured.moving_mean[alive])
    pooled = np.sqrt((std**2 + learned**2) / 2)
    return float(np.mean(shift / pooled + np.abs(np.log(std / learned))))
