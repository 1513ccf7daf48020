"""The floor: import TensorFlow, load, one forward pass with all outputs, one pass over the weights.

python benchmarks/floor.py MODEL.keras IMAGE [IMAGE ...]
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf


def main(model_path: str, *images: str) -> None:
    """Touch everything that a report about the model has to touch, and nothing else."""
    model = keras.models.load_model(model_path, compile=False)
    height, width = model.inputs[0].shape[1:3]
    x = np.stack(
        [
            keras.utils.img_to_array(keras.utils.load_img(path, target_size=(height, width)))
            for path in images
        ]
    )
    outputs = [layer.output for layer in model.layers[1:]]
    every = keras.Model(model.inputs, outputs)
    run = tf.function(lambda block: every(block, training=False), autograph=False)
    for start in range(0, len(x), 8):
        _ = [np.asarray(tensor) for tensor in run(tf.constant(x[start : start + 8]))]
    total = sum(float(np.asarray(weight).sum()) for weight in model.weights)
    print(f"{len(x)} images, {len(outputs)} outputs, sum of the weights {total:.6g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
