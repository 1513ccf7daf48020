"""How often maps are called supported: those that know no network, true ones, and each method's.

python benchmarks/relevance_alarms.py known
python benchmarks/relevance_alarms.py MODEL.keras IMAGE [IMAGE ...]
python benchmarks/relevance_alarms.py MODEL.keras DATA.npz:ARRAY:COUNT

Every map is judged as a report judges it (``reportgen.sections.relevance.trials``), for each baseline. A row of
the table: of how many maps, the share that beats chance, and the share that is supported, in percent.

False alarms: random maps as coarse as Grad-CAM's and as fine as gradients, blobs off the middle (those that lie
on what decides are left out where that is known). Power: on networks whose answer is known the true map; the
methods of the product, and three that it does not have: RISE (Petsiuk et al. 2018), SmoothGrad-squared
(Hooker et al. 2019) and VarGrad (Adebayo et al. 2018), each for about the passes of integrated gradients.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
from known_answers import KINDS, known

from reportgen.context import Silence
from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.calls import choose_features
from reportgen.network.protocol import Aim
from reportgen.numerics import averaged, resize_bilinear
from reportgen.sections.relevance.baselines import baseline_of
from reportgen.sections.relevance.methods import METHODS, NOISE, Map, Question
from reportgen.sections.relevance.perturbation import GRID, at_size
from reportgen.sections.relevance.proof import Explanation, ProbeTarget
from reportgen.sections.relevance.targets import Target
from reportgen.sections.relevance.trials import prove, verdict_of

RANDOM = 8
"""Random maps of each kind an image."""
OFF = (
    (0.2, 0.2),
    (0.2, 0.8),
    (0.8, 0.2),
    (0.8, 0.8),
    (0.5, 0.15),
    (0.5, 0.85),
    (0.15, 0.5),
    (0.85, 0.5),
)
"""Where the blobs off the middle lie."""
PASSES = 24
MASKS = 64
AHEAD = {"supported", "weak"}


def main(what: str, *images: str) -> None:
    """Print the table of each baseline."""
    if what == "known":
        for kind in KINDS:
            model, scenes, truths = known(kind, 8)
            report(kind, model, scenes, truths)
        return
    model = keras.models.load_model(what, compile=False)
    report(Path(what).parent.name + "/" + Path(what).stem, model, read(model, images), None)


def read(model, images):  # noqa: ANN001, ANN201
    """Return the images at the size of the network, float32 in 0..255."""
    shape = model.inputs[0].shape[1:]
    if images[0].rpartition(".npz:")[1]:
        path, array, count = images[0].rsplit(":", 2)
        stored = np.load(path)[array][: int(count)].astype(np.float32)
        return list(stored.reshape(len(stored), *shape))
    mode = "grayscale" if shape[2] == 1 else "rgb"
    loaded = (keras.utils.load_img(p, target_size=shape[:2], color_mode=mode) for p in images)
    return [keras.utils.img_to_array(image) for image in loaded]


def report(title, model, images, truths):  # noqa: ANN001, ANN201
    """Print one network's table."""
    network = KerasNetwork(model)
    facts = network.facts
    name, output = facts.inputs[0].name, facts.outputs[0]
    layer = choose_features(facts.calls, output.call, name, images[0].shape)
    passes = network.passes(Aim(output.name, "linear", name, layer))
    scale = "probability" if output.activation == "softmax" else "softmax"
    outputs = [np.asarray(model(image[None], training=False))[0] for image in images]
    names = {"auto", "black"} if truths is None else {"black", "blur"}
    tables = {}
    for wanted in sorted(names):
        made = []
        for number, (image, found) in enumerate(zip(images, outputs, strict=True)):
            best = int(np.argmax(found))
            weights = np.eye(found.size, dtype=np.float32)[best]
            black = np.zeros_like(image)
            baseline = baseline_of(image, black, wanted, series=False)
            hides = {"baseline": baseline.pixels, "hidden_by": baseline.kind}
            question = Question({name: image}, name, weights, **hides)
            target = Target(
                output.name, "linear", best, "", "predicted", weights, scale, channel=best
            )
            asked = ProbeTarget(number, target, question, found)
            truth = None if truths is None else truths[number]
            made += maps_of(passes, asked, layer, truth)
        counts = defaultdict(list)
        for one in prove(passes, made, 0, Silence()):
            counts[one.method.name.partition("#")[0]].append(verdict_of(one))
        tables[wanted] = counts
    rows = list(dict.fromkeys(row for table in tables.values() for row in table))
    print(f"\n{title}: {len(images)} images\n\n| map | {' | '.join(tables)} |")
    print("|---" * (len(tables) + 1) + "|")
    for row in rows:
        print(f"| {row} | {' | '.join(shares(table[row]) for table in tables.values())} |")


def shares(verdicts):  # noqa: ANN001, ANN201
    """Return of how many, which part beats chance and which is supported."""
    ahead = sum(verdict in AHEAD for verdict in verdicts)
    supported = verdicts.count("supported")
    count = len(verdicts)
    return f"{count}: {ahead / count:.0%}, {supported / count:.0%}" if count else "–"


def maps_of(passes, asked, layer, truth):  # noqa: ANN001, ANN201
    """Return one image's maps, each under the name of its row, those of one row told apart behind ``#``."""
    question, shape = asked.question, asked.question.pixels.shape
    found = {}
    random = np.random.default_rng((asked.probe, 77))
    for number in range(RANDOM):
        found[f"random, 7×7#{number}"] = random.random((7, 7))
        found[f"random, pixels#{number}"] = random.random(shape[:2])
    y, x = ((np.arange(n) + 0.5) / n for n in shape[:2])
    for down, across in OFF:
        place = int(down * shape[0]), int(across * shape[1])
        if truth is None or not truth[near(place[0]), near(place[1])].any():
            blob = 2 - ((y[:, None] - down) ** 2 + (x[None] - across) ** 2)
            found[f"blob off the middle#{down}{across}"] = blob
    found["blob in the middle"] = 2 - ((y[:, None] - 0.5) ** 2 + (x[None] - 0.5) ** 2)
    if truth is not None:
        found["the true map"] = truth
    for method in METHODS:
        fits = method.needs != "attention" and (method.needs != "features" or layer is not None)
        if fits:
            (one,) = method.run(passes, [question], method.samples, 0)
            found[method.title] = one.values
            if method.signed:
                found[f"{method.title}, by magnitude"] = np.abs(one.values)
                found[f"{method.title}, by sums"] = sums(one.values, shape)
    found.update(noisy(passes, question))
    found["RISE"] = rise(passes, question, asked.target)
    signed = METHODS[0]
    return [
        Explanation(
            asked, signed._replace(name=row), Map(np.ascontiguousarray(values), 1.0), flat=False
        )
        for row, values in found.items()
        if np.ptp(values) > 0
    ]


def sums(values, shape):  # noqa: ANN001, ANN201
    """Return the signed sums over the cells, lifted so that none is negative: their order is what counts."""
    grid = tuple(min(size, GRID) for size in shape[:2])
    means = averaged(at_size(values, shape), grid)
    return np.repeat(
        np.repeat(means - means.min(), -(-shape[0] // grid[0]), 0), -(-shape[1] // grid[1]), 1
    )


def near(middle):  # noqa: ANN001, ANN201
    """Return the pixels around one."""
    return slice(max(middle - 14, 0), middle + 14)


def noisy(passes, question):  # noqa: ANN001, ANN201
    """Return SmoothGrad-squared and VarGrad from ``PASSES`` noisy gradients."""
    random = np.random.default_rng(0)
    sigma = np.float32(NOISE * np.ptp(question.pixels))
    copies = (
        question.sample(
            question.pixels + sigma * random.standard_normal(question.pixels.shape, np.float32)
        )
        for _ in range(PASSES)
    )
    gradients = np.stack([g.astype(np.float64) for _, g in passes.gradients(copies)])
    return {
        "SmoothGrad-squared": (gradients**2).mean(axis=0).sum(axis=-1),
        "VarGrad": gradients.var(axis=0).sum(axis=-1),
    }


def rise(passes, question, target):  # noqa: ANN001, ANN201
    """Return the mean of random masks, 7 by 7 and moved, weighed by the score of what they leave."""
    random, (height, width) = np.random.default_rng(0), question.pixels.shape[:2]
    step = -(-height // 7), -(-width // 7)
    masks = []
    for _ in range(MASKS):
        coarse = (random.random((8, 8, 1)) < 0.5).astype(np.float32)
        wide = resize_bilinear(coarse, 8 * step[0], 8 * step[1])[..., 0]
        top, left = random.integers(step[0]), random.integers(step[1])
        masks.append(wide[top : top + height, left : left + width])
    difference = question.pixels - question.baseline
    left = passes.forward(
        question.sample(question.baseline + m[..., None] * difference) for m in masks
    )
    scores = [target.read(out, out) for _, out in left]
    return sum(score * mask for score, mask in zip(scores, masks, strict=True)) / MASKS


if __name__ == "__main__":
    main(*sys.argv[1:])
