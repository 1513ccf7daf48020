"""False-alarm rates of the rules about weights, on trained and on freshly initialised kernels.

    python benchmarks/false_alarms.py

Trained: every distinct network known to be trained under ``REPORTGEN_MODELS``, and the example.
Fresh: keras.applications networks with random weights. Small: ``small_networks.py``, trained and as
created. The docstrings in ``reportgen/findings`` quote what this prints.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
from small_networks import small_networks, untrained

from reportgen.context import Context, Tools
from reportgen.findings.judge import judge
from reportgen.findings.scales import LEAST_FOR_ONE, LEAST_VALUES, bias_ratios, gain_of
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
    models = shared() / "models"
    names = ("fashion_cnn2", "fashion_overfit", "fashion_mixed_float16", "fashion_vit")
    files = sorted(models.glob("*.keras"))
    files += [models / "trained" / name / "final.keras" for name in names]
    files += [models / "odd" / "mnist_cnn_logits.keras", models / "sick" / "resnet8__healthy.keras"]
    return [*files, HERE.parent / "examples" / "fashion" / "model.keras"]


def shared() -> Path:
    """Return the folder of models and images."""
    return Path(os.environ.get("REPORTGEN_MODELS", HERE.parent.parent / "shared"))


def gain_ratios(variables: list[Variable]) -> list[float]:
    """Return how far each kernel's gain is from the median of its class, as a factor above 1."""
    kinds: dict[str, list[float]] = {}
    for v in variables:
        if gain := gain_of(v):
            kinds.setdefault(f"{v.layer_class}/{v.name}", []).append(gain)
    ratios = []
    for gains in kinds.values():
        if len(gains) >= 4:
            middle = sorted(gains)[len(gains) // 2]
            ratios += [max(g / middle, middle / g) for g in gains]
    return ratios


def others(v: Variable) -> float:
    """Return the largest value of a kernel over the root mean square of all others."""
    share = v.health.dominance or 0
    return math.sqrt(share / (1 - share) * (v.count - 1))


def report(name: str, contents: list[WeightsContent]) -> None:
    """Print the counts and extremes that the docstrings quote."""
    kernels = [v for c in contents for v in c.variables if v.health]
    fits = [v for v in kernels if v.health.initial]
    print(
        f"{name}: {len(contents)} networks, {len(kernels)} kernels, {len(fits)} of 100 values or more, "
        f"{sum(v.count >= 200 for v in fits)} of 200"
    )
    heads = [
        [v for v in c.variables if v.layer_class == "Dense" and v.health and v.health.spectrum]
        for c in contents
    ]
    ranks = [h[-1].health.spectrum.effective_rank for h in heads if h and h[-1].shape[-1] >= 3]
    print(f"  least effective rank of a head {min(ranks):.2f}, of {len(ranks)}")
    large = [v.health.dominance or 0 for v in kernels if v.count >= LEAST_VALUES]
    if large:
        print(
            f"  largest share of one value {max(large):.3f}, of {len(large)} kernels of 1,000 or more"
        )
    some = [others(v) for v in kernels if LEAST_FOR_ONE <= v.count < LEAST_VALUES]
    print(f"  largest value over the others {max(some):.1f}, of {len(some)} smaller kernels")
    ratios = [r for c in contents for r in gain_ratios(list(c.variables))]
    gains = [gain for v in kernels if (gain := gain_of(v))]
    if ratios:
        print(f"  widest gain ratio {max(ratios):.1f}, of {len(ratios)}")
    print(f"  gains from {min(gains):.3g} to {max(gains):.3g}, of {len(gains)}")
    for role in ("bias", "beta"):
        over = [ratio for c in contents for v, ratio, _ in bias_ratios(c) if v.role == role]
        print(f"  largest {role} ratio {max(over, default=0):.3g}, of {len(over)}")
    copies = [
        v.health.duplicates / v.health.filters
        for v in kernels
        if v.health.each >= 8 and "Depthwise" not in v.layer_class
    ]
    print(f"  largest share of duplicate filters {max(copies):.3f}, of {len(copies)}")
    print(f"  on a grid: {sum(v.health.levels > 0 for v in kernels)}; findings: {alarms(contents)}")


def alarms(contents: list[WeightsContent]) -> dict[str, int]:
    """Return how often each rule speaks."""
    found: dict[str, int] = {}
    for content in contents:
        for finding in judge([Section("weights", "Weights", content=content)]).findings:
            key = f"{finding.rule} ({finding.severity})"
            found[key] = found.get(key, 0) + 1
    return found


def main() -> None:
    """Measure all kinds."""
    report("trained", [weights_of(KerasNetwork(load_model(path).model)) for path in trained()])
    fresh = [getattr(keras.applications, name)(weights=None) for name in FRESH]
    report("fresh", [weights_of(KerasNetwork(model, images=1)) for model in fresh])
    new = [weights_of(KerasNetwork(model, images=1)) for _, model, _, _ in untrained()]
    report("small and fresh", new)
    learned = small_networks(shared() / "images" / "data" / "fashion_mnist.npz")
    report("small and trained", [weights_of(KerasNetwork(s.model, images=1)) for s in learned])


if __name__ == "__main__":
    main()
