"""What relevance costs, in traced forward (FWD) and traced gradient (FB) passes of the same images.

python benchmarks/relevance.py MODEL.keras IMAGE IMAGE IMAGE IMAGE

FWD and FB are measured here, as plain traced functions of four images, in the same process and in the same
rounds as what is held against them; the medians are printed as JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

from reportgen.nets.keras_network import KerasNetwork
from reportgen.network.calls import choose_features
from reportgen.network.protocol import Aim
from reportgen.sections.relevance import perturbation as pt
from reportgen.sections.relevance.methods import METHODS, Question

ROUNDS = 3


def main(model_path: str, *paths: str) -> None:
    """Print the ratios of every method to its passes as JSON."""
    model = keras.models.load_model(model_path, compile=False)
    size = model.inputs[0].shape[1:3]
    x = np.stack(
        [keras.utils.img_to_array(keras.utils.load_img(p, target_size=size)) for p in paths[:4]]
    )
    network = KerasNetwork(model, images=4)
    facts = network.facts
    name = facts.inputs[0].name
    layer = choose_features(facts.calls, facts.outputs[0].layer, name, x.shape[1:])
    passes = network.passes(Aim(facts.outputs[0].name, "linear", name, layer))
    weights = np.eye(int(facts.outputs[0].shape[-1]), dtype=np.float32)
    best = np.asarray(model(x, training=False)).argmax(axis=1)
    black = np.zeros_like(x[0])
    questions = [
        Question({name: image}, name, weights[k], black) for image, k in zip(x, best, strict=True)
    ]
    forward, gradient = plain(model, x.shape)
    tasks = {"FWD": lambda: forward(tf.constant(x)), "FB": lambda: gradient(tf.constant(x))}
    for method in METHODS:
        if method.needs != "attention":
            count = 50 if method.samples > 1 and method.needs == "gradients" else method.samples
            tasks[method.name] = lambda m=method, n=count: list(m.run(passes, questions, n, 0))
    maps = [m.values for m in next(iter(METHODS)).run(passes, questions, 1, 0)]
    tasks["curves"] = lambda: list(passes.forward(perturbed(questions, maps)))
    for task in tasks.values():
        task()  # traced and warm
    costs = {task: [] for task in tasks}
    for _ in range(ROUNDS):
        for task, run in tasks.items():
            repeats = (
                8 if task in {"FWD", "FB", "gradcam", "saliency", "hirescam", "layercam"} else 1
            )
            start = time.process_time()
            for _ in range(repeats):
                run()
            costs[task].append((time.process_time() - start) / repeats)
    medians = {task: statistics.median(seconds) for task, seconds in costs.items()}
    units = {"FWD": medians["FWD"], "FB": medians["FB"]}
    wanted = {"gradients": "FB"}
    ratios = {
        m.name: (medians[m.name] / units[wanted.get(m.needs, "FWD")], wanted.get(m.needs, "FWD"))
        for m in METHODS
        if m.name in medians
    }
    steps = sum(1 for _ in perturbed(questions, maps)) / len(x)
    ratios["curves"] = (medians["curves"] / units["FWD"] / steps, "FWD a step")
    print(json.dumps({"seconds": units, "ratios": ratios}))


def plain(model, shape):  # noqa: ANN001, ANN201
    """Return a traced forward pass and a traced gradient of the largest output, as anybody writes them."""
    run = tf.function(lambda block: model(block, training=False), autograph=False)

    @tf.function(autograph=False)
    def gradient(block):  # noqa: ANN001, ANN202
        with tf.GradientTape() as tape:
            tape.watch(block)
            score = tf.reduce_sum(tf.reduce_max(model(block, training=False), axis=-1))
        return tape.gradient(score, block)

    spec = tf.TensorSpec(shape, tf.float32)
    return run.get_concrete_function(spec), gradient.get_concrete_function(spec)


def perturbed(questions, maps):  # noqa: ANN001, ANN201
    """Return the samples of the deletion and insertion curves of every question's map."""
    for question, values in zip(questions, maps, strict=True):
        image, baseline = question.pixels, question.baseline
        cells = pt.cells_of(image, baseline, (0,))
        order = pt.order_of(pt.on_cells(values, image.shape, cells.grid), cells)
        for changed in (
            image,
            pt.empty(image, baseline, cells),
            *pt.perturbed(order, image, baseline, cells),
        ):
            yield question.sample(changed)


if __name__ == "__main__":
    main(*sys.argv[1:])
