"""The same maps by tf-keras-vis and xplique, in traced passes of the same images; see relevance.py.

python benchmarks/peers.py MODEL.keras IMAGE IMAGE IMAGE IMAGE

Runs in an environment of its own, which ``run.py`` makes; a peer that fails is printed with its error.
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

ROUNDS = 3


def main(model_path: str, *paths: str) -> None:
    """Print the peers' ratios as JSON."""
    model = keras.models.load_model(model_path, compile=False)
    size = model.inputs[0].shape[1:3]
    x = np.stack(
        [keras.utils.img_to_array(keras.utils.load_img(p, target_size=size)) for p in paths[:4]]
    )
    best = np.asarray(model(x, training=False)).argmax(axis=1)
    one_hot = np.eye(int(model.outputs[0].shape[-1]), dtype=np.float32)[best]
    run = tf.function(lambda block: model(block, training=False), autograph=False)

    @tf.function(autograph=False)
    def gradient(block):  # noqa: ANN001, ANN202
        with tf.GradientTape() as tape:
            tape.watch(block)
            score = tf.reduce_sum(tf.reduce_max(model(block, training=False), axis=-1))
        return tape.gradient(score, block)

    block = tf.constant(x)
    units = {"FWD": cost(lambda: run(block)), "FB": cost(lambda: gradient(block))}
    ratios = {}
    for name, (unit, make) in tasks(model, x, best, one_hot).items():
        try:
            ratios[name] = [cost(make()) / units[unit], unit]
        except Exception as error:  # noqa: BLE001 - what a peer cannot do is a result
            ratios[name] = [f"{type(error).__name__}: {str(error)[:120]}", unit]
    print(json.dumps({"seconds": units, "ratios": ratios}))


def tasks(model, x, best, one_hot):  # noqa: ANN001, ANN201
    """Return what is measured: by name its unit and what makes the call."""

    def vis(kind, **options):  # noqa: ANN001, ANN003, ANN202
        from tf_keras_vis.gradcam import Gradcam
        from tf_keras_vis.saliency import Saliency
        from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
        from tf_keras_vis.utils.scores import CategoricalScore

        made = {"cam": Gradcam, "saliency": Saliency}[kind](
            model, model_modifier=ReplaceToLinear(), clone=True
        )
        score = CategoricalScore(best.tolist())
        return lambda: made(score, x, **options)

    def xplique(name, **options):  # noqa: ANN001, ANN003, ANN202
        from xplique import attributions

        made = getattr(attributions, name)(model, batch_size=4, **options)
        return lambda: made(x, one_hot)

    def deletion():  # noqa: ANN202
        from xplique.metrics import Deletion

        metric = Deletion(model, x, one_hot, batch_size=4, steps=10)
        maps = np.random.default_rng(0).random(x.shape[:3]).astype(np.float32)
        return lambda: metric(maps)

    return {
        "tf-keras-vis Grad-CAM": ("FWD", lambda: vis("cam", penultimate_layer=-1)),
        "tf-keras-vis SmoothGrad 50": (
            "FB", lambda: vis("saliency", smooth_samples=50, smooth_noise=0.15),
        ),
        "xplique Grad-CAM": ("FWD", lambda: xplique("GradCAM")),
        "xplique SmoothGrad 50": ("FB", lambda: xplique("SmoothGrad", nb_samples=50)),
        "xplique integrated gradients 50": ("FB", lambda: xplique("IntegratedGradients", steps=50)),
        "xplique deletion 10": ("FWD", deletion),
    }  # fmt: skip


def cost(run) -> float:  # noqa: ANN001
    """Return the median CPU seconds of a call, after one that warms it up."""
    run()
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
