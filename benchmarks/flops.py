"""Hold our FLOPs, counted from the traced graph, against TensorFlow's own profiler.

    python benchmarks/flops.py [NAME ...]

The names are those of keras.applications. The profiler is private API, takes seconds, knows no einsum and
does not look into functions and loops.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from reportgen.nets.keras_network import KerasNetwork

NAMES = ("ResNet50", "EfficientNetB0", "ResNet152", "MobileNetV2", "DenseNet121")


def profiled(model: keras.Model) -> int:
    """Return what TensorFlow's profiler counts for one image of each input; no function is made on the way."""
    given = [tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]

    def run(*tensors: tf.Tensor) -> object:
        flat = list(tensors)
        packed = keras.tree.pack_sequence_as(model.input, flat) if len(flat) > 1 else flat[0]
        return model(packed, training=False)

    tf.config.run_functions_eagerly(run_eagerly=True)
    try:
        function = tf.compat.v1.wrap_function(run, given)
    finally:
        tf.config.run_functions_eagerly(run_eagerly=False)
    frozen = convert_variables_to_constants_v2(function)
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name="")
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        result = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    return int(result.total_float_ops)


def main() -> None:
    """Print both counts and their difference."""
    print("| network | ours, GFLOPs | profiler, GFLOPs | difference |\n|---|---|---|---|")
    for name in sys.argv[1:] or NAMES:
        model = getattr(keras.applications, name)(weights=None)
        ours = KerasNetwork(model, images=1).facts.flops or 0
        theirs = profiled(model)
        print(f"| {name} | {ours / 1e9:.3f} | {theirs / 1e9:.3f} | {ours / theirs - 1:+.1%} |")


if __name__ == "__main__":
    main()
