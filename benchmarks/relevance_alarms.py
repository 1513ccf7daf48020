"""How often a random map is called supported, and how far healthy methods' maps resemble random weights'.

python benchmarks/relevance_alarms.py MODEL.keras IMAGE [IMAGE ...]

Prints, for a coarse grid and for single pixels, the share of random maps that beat chance by the rule of
``relevance.evidence`` at several factors, and the quantiles of (insertion - deletion) / spread.
"""

from __future__ import annotations

import os
import sys
from itertools import islice

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np

from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.protocol import Aim, Sample
from reportgen.numerics import softmax
from reportgen.sections.relevance import evidence as ev

MAPS = 20


def main(model_path: str, *images: str) -> None:
    """Draw random maps for every image and judge them as methods' maps are judged."""
    model = keras.models.load_model(model_path, compile=False)
    network = KerasNetwork(model)
    shape = network.input_shape(network.facts.inputs[0].name)
    mode = "grayscale" if shape[2] == 1 else "rgb"
    x = [
        keras.utils.img_to_array(keras.utils.load_img(p, target_size=shape[:2], color_mode=mode))
        for p in images
    ]
    name, output = network.facts.inputs[0].name, network.facts.outputs[0].name
    passes = network.passes(Aim(output, "linear", name))
    classes = int(network.facts.outputs[0].shape[-1])
    linear = network.facts.outputs[0].activation != "softmax"
    for grid in ((7, 7), shape[:2]):
        rates = [
            measured(passes, name, image, grid, classes, linear, k) for k, image in enumerate(x)
        ]
        ratios = np.concatenate([r for r, _ in rates])
        called = np.concatenate([c for _, c in rates])
        print(f"{grid}: {ratios.size} maps, called supported {called.mean():.3f}")
        for factor in (2, 3, 4, 5, 6, 8):
            print(f"  over {factor} spreads: {(ratios > factor).mean():.3f}")
        print("  quantiles", np.round(np.quantile(ratios, (0.5, 0.9, 0.95, 0.99)), 2))


def measured(passes, name, image, grid, classes, linear, number):  # noqa: ANN001, ANN201
    """Return (insertion - deletion) / spread of random maps of one image, and whether each is supported."""
    black = np.zeros_like(image)
    weights = np.zeros(classes, np.float32)

    def samples():  # noqa: ANN202
        for pixels in (image, black):
            yield Sample({name: pixels}, weights)
        for seed in range(ev.SEEDS + MAPS):
            order = ev.order_of(ev.random_map(grid, (number, seed)), image.shape)
            for insert in (False, True)[: 1 if seed < ev.SEEDS else 2]:
                for changed in ev.perturbed(order, image, black, insert=insert):
                    yield Sample({name: changed}, weights)

    best = None
    scores = []
    for _, out in passes.forward(samples()):
        p = softmax(out) if linear else out
        best = int(np.argmax(p)) if best is None else best
        scores.append(float(p[best]))
    stream = iter(scores)
    whole, nothing = next(stream), next(stream)
    inner = ev.STEPS - 1
    random = [(whole, *islice(stream, inner), nothing) for _ in range(ev.SEEDS)]
    values = tuple(ev.area(curve) for curve in random)
    mean = tuple(np.mean(random, axis=0))
    ratios, called = [], []
    for _ in range(MAPS):
        deletion = (whole, *islice(stream, inner), nothing)
        insertion = (nothing, *islice(stream, inner), whole)
        gain = ev.area(insertion) - ev.area(deletion)
        ratios.append(gain / max(float(np.std(values, ddof=1)), 1e-12))
        called.append(ev.beats_chance(ev.Curves(deletion, insertion, mean, values)))
    return np.array(ratios), np.array(called)


if __name__ == "__main__":
    main(*sys.argv[1:])
