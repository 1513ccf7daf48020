"""Why Keras or TensorFlow failed: the sentence that says it, out of what they print around it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from reportgen.nets.failures import cause
from reportgen.nets.keras_network import KerasNetwork


@keras.saving.register_keras_serializable("test_failures")
class Broken(layers.Layer):
    """Fails whenever it is called with values."""

    def call(self, x):  # noqa: ARG002 - fails before it looks
        """Ask for a key that is not there."""
        raise KeyError("/home/someone/secret/table.csv: no such column")

    def compute_output_spec(self, x):
        """Promise the input's shape."""
        return keras.KerasTensor(x.shape, x.dtype)


def test_a_layer_that_fails_in_a_nested_model_says_its_own_words_and_where():
    inner_start = keras.Input((4,))
    inner = keras.Model(inner_start, Broken(name="lookup")(inner_start), name="encoder")
    start = keras.Input((4,), name="row")
    network = KerasNetwork(keras.Model(start, layers.Dense(2)(inner(start))))
    said = network.facts.run_problem
    assert said.endswith("(KeyError in the layer 'encoder/lookup')")
    assert "table.csv: no such column" in said
    assert "someone" not in said
    assert "Arguments received" not in said
    assert "\x1b" not in said
    assert network.facts.trace_problem == said


def test_shapes_that_do_not_fit_are_said_with_both_numbers():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="head")])
    with pytest.raises(ValueError, match="Exception encountered") as raised:
        model(np.zeros((1, 5), "float32"))
    said = cause(raised.value)
    assert "expected axis -1 of input shape to have value 4" in said
    assert "(1, 5)" in said


def test_a_layer_whose_shape_keras_cannot_infer_says_the_error_behind_it():
    class Unsaid(layers.Layer):
        def call(self, x):  # noqa: ARG002 - fails before it looks
            raise ArithmeticError("the scale is zero")

    with pytest.raises(ArithmeticError) as raised:
        Unsaid()(keras.Input((4,)))
    assert cause(raised.value) == "the scale is zero (ArithmeticError)"


def test_a_graph_that_fails_says_its_last_sentence_and_its_node():
    text = (
        "Graph execution error:\n\nDetected at node m_1/c1_1/convolution defined at (most recent call last):\n"
        '  File "/x/y.py", line 8, in <module>\n\n  File "/x/z.py", line 2, in run\n\n'
        "The Conv2D op currently only supports the NHWC tensor format on the CPU.\n"
        "\t [[{{node m_1/c1_1/convolution}}]] [Op:__inference_1]"
    )
    said = cause(ValueError(text))
    assert said == (
        "The Conv2D op currently only supports the NHWC tensor format on the CPU. "
        "(ValueError in m_1/c1_1/convolution)"
    )


@pytest.mark.parametrize(("text", "said"), [("", "ValueError"), ("x" * 900, None)])
def test_an_error_without_words_or_with_too_many(text, said):
    found = cause(ValueError(text))
    assert found == said if said else len(found) < 450
