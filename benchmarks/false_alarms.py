"""False-alarm rates of the rules about weights, on trained and on freshly initialised kernels.

    python benchmarks/false_alarms.py

Trained: every distinct network known to be trained under ``REPORTGEN_MODELS``, and the example.
Fresh: keras.applications networks with random weights. The docstrings in ``reportgen/findings`` quote
what this prints.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras

from reportgen.context import Context, Tools
from reportgen.findings.judge import judge
from reportgen.inputs.given import Inputs
from reportgen.nets.keras_network import KerasNetwork
from reportgen.nets.loading import load_model
from reportgen.report.model import Section
from reportgen.sections.weights.section import collect
from reportgen.settings import Settings

if TYPE_CHECKING:
    from reportgen.report.content.weights import Variable, WeightsContent

HERE = Path(__file__).parent
FRESH = ("MobileNetV2", "ResNet50", "EfficientNetB0", "DenseNet121")


class Silent:
    """Takes pictures and keeps none."""

    def add(self, *_: object, **__: object) -> None:
        """Forget a picture."""


def weights_of(network: KerasNetwork) -> WeightsContent:
    """Return the section's content without its pictures."""
    context = Context(network, Inputs(Settings()), Tools(Silent()), (), (), {})
    return collect(context, None).content


def trained() -> list[Path]:
    """Return the files of trained networks."""
    shared = Path(os.environ.get("REPORTGEN_MODELS", HERE.parent.parent / "shared")) / "models"
    names = ("fashion_cnn2", "fashion_overfit", "fashion_mixed_float16", "fashion_vit")
    files = sorted(shared.glob("*.keras"))
    files += [shared / "trained" / name / "final.keras" for name in names]
    files += [shared / "odd" / "mnist_cnn_logits.keras", shared / "sick" / "resnet8__healthy.keras"]
    return [*files, HERE.parent / "examples" / "fashion" / "model.keras"]


def gain_ratios(variables: list[Variable]) -> list[float]:
    """Return how far each kernel's gain is from the median of its class, as a factor above 1."""
    kinds: dict[str, list[float]] = {}
    for v in variables:
        if v.health and v.l2 and v.role == "kernel":
            kinds.setdefault(f"{v.layer_class}/{v.name}", []).append(
                v.l2 / math.sqrt(v.count) * math.sqrt(v.health.each)
            )
    ratios = []
    for gains in kinds.values():
        if len(gains) >= 4:
            middle = sorted(gains)[len(gains) // 2]
            ratios += [max(g / middle, middle / g) for g in gains]
    return ratios


def report(name: str, contents: list[WeightsContent]) -> None:
    """Print the counts and extremes that the docstrings quote."""
    kernels = [v for c in contents for v in c.variables if v.health]
    fits = [v for v in kernels if v.health.initial]
    heads = [
        [v for v in c.variables if v.layer_class == "Dense" and v.health and v.health.spectrum]
        for c in contents
    ]
    ranks = [h[-1].health.spectrum.effective_rank for h in heads if h and h[-1].shape[-1] >= 3]
    large = [v.health.dominance or 0 for v in kernels if v.count >= 1000]
    alarms: dict[str, int] = {}
    for content in contents:
        for finding in judge([Section("weights", "Weights", content=content)]).findings:
            key = f"{finding.rule} ({finding.severity})"
            alarms[key] = alarms.get(key, 0) + 1
    ratios = [r for c in contents for r in gain_ratios(list(c.variables))]
    copies = [
        v.health.duplicates / v.health.filters
        for v in kernels
        if v.health.each >= 8 and "Depthwise" not in v.layer_class
    ]
    print(
        f"{name}: {len(contents)} networks, {len(kernels)} kernels, {len(fits)} of 100 values or more"
    )
    print(f"  least effective rank of a head {min(ranks):.2f}, of {len(ranks)}")
    print(
        f"  largest share of one value {max(large):.3f}, of {len(large)} kernels of 1,000 values or more"
    )
    print(f"  widest gain ratio {max(ratios):.1f}, of {len(ratios)}")
    print(f"  largest share of duplicate filters {max(copies):.3f}, of {len(copies)}")
    print(f"  findings: {alarms}")


def main() -> None:
    """Measure both kinds."""
    report("trained", [weights_of(KerasNetwork(load_model(path).model)) for path in trained()])
    fresh = [getattr(keras.applications, name)(weights=None) for name in FRESH]
    report("fresh", [weights_of(KerasNetwork(model, images=1)) for model in fresh])


if __name__ == "__main__":
    main()
