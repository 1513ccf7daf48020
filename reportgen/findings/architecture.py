"""Rules about the model's shape: information, never more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reportgen.findings.facts import (
    NO_ARCHITECTURE,
    NO_WEIGHTS,
    Hit,
    NotJudged,
    Rule,
)
from reportgen.report.findings import Where
from reportgen.wording import share_text

if TYPE_CHECKING:
    from reportgen.findings.facts import (
        Facts,
        Judgement,
    )

_TRAIN_ONLY = re.compile(
    "Random(Brightness|ColorDegeneration|ColorJitter|Contrast|Crop|ElasticTransform|Erasing|Flip|GaussianBlur|"
    "Grayscale|Height|Hue|Invert|Perspective|Posterization|Rotation|Saturation|Sharpness|Shear|Translation|"
    "Width|Zoom)|AugMix|CutMix|MixUp|RandAugment|GaussianNoise|ActivityRegularization|AutoContrast"
)
_NAMES = {
    "conv2d": "Conv2D",
    "depthwise_conv2d": "DepthwiseConv2D",
    "separable_conv2d": "SeparableConv2D",
    "dense": "Dense",
    "batch_normalization": "BatchNormalization",
    "max_pooling2d": "MaxPooling2D",
    "global_average_pooling2d": "GlobalAveragePooling2D",
    "dropout": "Dropout",
    "flatten": "Flatten",
}


def parameters_in_one_layer(facts: Facts) -> Judgement:
    """Report a layer that holds most parameters."""
    if facts.architecture is None:
        return NO_ARCHITECTURE
    total = facts.architecture.parameters
    if not total:
        return NotJudged("the model has no parameters")
    holders = [row.path for row in facts.architecture.layers]
    inner = {path.rpartition("/")[0] for path in holders}
    limit = facts.thresholds["parameters-in-one-layer"]
    return [
        Hit(
            f"{row.parameters:,} of {total:,} ({share_text(row.parameters, total)})",
            Where(layer=row.path),
        )
        for row in facts.architecture.layers
        if row.path not in inner and row.parameters > limit * total
    ]


def train_only_layers(facts: Facts) -> Judgement:
    """Report layers that do something in training only."""
    if facts.architecture is None:
        return NO_ARCHITECTURE
    return [
        Hit(row.class_name, Where(layer=row.path))
        for row in facts.architecture.layers
        if _TRAIN_ONLY.fullmatch(row.class_name)
    ]


def double_precision(facts: Facts) -> Judgement:
    """Report weights in float64."""
    if facts.weights is None:
        return NO_WEIGHTS
    wide = [v for v in facts.weights.variables if v.dtype == "float64"]
    return [Hit("float64", Where(layer=v.layer, variable=v.path)) for v in wide]


def nothing_trainable(facts: Facts) -> Judgement:
    """Report a model without trainable weights."""
    if facts.overview is None:
        return NotJudged("the section Overview is missing")
    if not facts.overview.parameters:
        return NotJudged("the model has no parameters")
    if facts.overview.trainable_parameters:
        return []
    return [Hit(f"none of {facts.overview.parameters:,} parameters is trainable")]


def misleading_names(facts: Facts) -> Judgement:
    """Report layers that are named after another class."""
    if facts.architecture is None:
        return NO_ARCHITECTURE
    hits = []
    for row in facts.architecture.layers:
        named = _NAMES.get(re.sub(r"_\d+$", "", row.name))
        if named is not None and named != row.class_name:
            hits.append(Hit(f"called {row.name}, is a {row.class_name}", Where(layer=row.path)))
    return hits


RULES = (
    Rule(
        "parameters-in-one-layer", "Most parameters sit in one layer", "info", parameters_in_one_layer,
        "no layer holds more than {limit:.0%} of the parameters",
        "Often a Dense layer behind a Flatten; it overfits first.",
        "Pool globally before the head.",
        "Lin et al. (2014), Network in Network",
    ),
    Rule(
        "train-only-layers", "Layers for training are left in", "info", train_only_layers,
        "no augmentation or noise layer",
        "They do nothing at inference but have to be carried along.",
        "Export the model without them.",
        "no accepted threshold",
    ),
    Rule(
        "double-precision", "Weights are float64", "info", double_precision,
        "float32 or narrower",
        "Twice the memory, and slow on most accelerators.",
        "Convert to float32.",
        "no accepted threshold",
    ),
    Rule(
        "nothing-trainable", "Nothing is trainable", "info", nothing_trainable,
        "at least one trainable parameter",
        "Fine for an export, a mistake before fine-tuning.",
        "Set layer.trainable before training on.",
        "by definition",
    ),
    Rule(
        "misleading-names", "Names suggest another class", "info", misleading_names,
        "a layer is not named after another class",
        "Readers look for it in the wrong place.",
        "Rename the layer.",
        "no accepted threshold",
    ),
)  # fmt: skip
"""All rules about the model's shape."""
