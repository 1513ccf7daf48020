"""Hold our FLOPs, counted from the traced graph, against TensorFlow's own profiler.

    python benchmarks/flops.py [NAME ...]

The names are those of keras.applications. The profiler is private API, takes seconds, knows no einsum and
does not look into functions and loops.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import tensorflow as tf
from tensorflow.python.ops import special_math_ops

from reportgen.nets.keras_network import KerasNetwork

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INTERPOLATION = 7
"""Four products and their sum: the profiler counts nothing for a picture that is made larger."""
NAMES = ("ResNet50", "EfficientNetB0", "ResNet152", "MobileNetV2", "DenseNet121")


@contextlib.contextmanager
def in_operations_that_the_profiler_knows() -> Iterator[None]:
    """Let TensorFlow make no functions, and of an einsum what its first version made of it."""
    einsum = special_math_ops._einsum_v2  # noqa: SLF001
    special_math_ops._einsum_v2 = lambda equation, *inputs, **_: special_math_ops._einsum_v1(  # noqa: SLF001
        equation, *inputs
    )
    tf.config.run_functions_eagerly(run_eagerly=True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(run_eagerly=False)
        special_math_ops._einsum_v2 = einsum  # noqa: SLF001


def profiled(model: keras.Model, shapes: Mapping[str, tuple[int, ...]] | None = None) -> int:
    """Return what TensorFlow's profiler counts for one image; no function is made on the way.

    Args:
        model: a graph of layers.
        shapes: of its inputs by name without the batch dimension, where the model leaves sizes open.
    """
    sizes = shapes or {tensor.name: tensor.shape[1:] for tensor in model.inputs}
    given = [
        tf.TensorSpec((1, *sizes[tensor.name]), tensor.dtype, tensor.name)
        for tensor in model.inputs
    ]

    def run(*tensors: tf.Tensor) -> object:
        packed = keras.tree.pack_sequence_as(model._inputs_struct, list(tensors))  # noqa: SLF001
        return model(packed, training=False)

    with in_operations_that_the_profiler_knows():
        function = tf.compat.v1.wrap_function(run, given)
    # Not frozen: large weights would be held several times over. Pruned: what does not run does not count.
    taken = function.inputs[: len(function.inputs) - len(function.captured_inputs)]
    graph = function.prune(taken, function.outputs).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    result = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    resized = sum(
        operation.outputs[0].shape.num_elements() or 0
        for operation in graph.get_operations()
        if operation.type == "ResizeBilinear"
    )
    return int(result.total_float_ops) + INTERPOLATION * resized


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
