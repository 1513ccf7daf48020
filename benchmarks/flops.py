"""Hold our FLOPs, counted from shapes, against TensorFlow's own profiler.

    python benchmarks/flops.py [NAME ...]

The names are those of keras.applications. The profiler counts a frozen graph, so it sees what runs;
it is private API and takes seconds, the formula takes milliseconds.
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
    """Return what TensorFlow's profiler counts for one image."""
    shape = (1, *model.inputs[0].shape[1:])
    function = tf.function(lambda x: model(x, training=False), autograph=False)
    frozen = convert_variables_to_constants_v2(
        function.get_concrete_function(tf.TensorSpec(shape)), lower_control_flow=False
    )
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
        ours = sum(call.flops for call in KerasNetwork(model, images=1).facts.calls)
        theirs = profiled(model)
        print(f"| {name} | {ours / 1e9:.3f} | {theirs / 1e9:.3f} | {ours / theirs - 1:+.1%} |")


if __name__ == "__main__":
    main()
