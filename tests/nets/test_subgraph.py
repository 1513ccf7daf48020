"""What is cut out of a traced function computes what it computed there."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from reportgen.nets.subgraph import Subgraph, cut_out
from reportgen.nets.tensorflow_internals import exchange_captures, run_flat

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def traced(function, *specs):
    return tf.compat.v1.wrap_function(
        function, [tf.TensorSpec(shape, tf.float32) for shape in specs]
    )


def run(function, *arrays):
    return run_flat(function, [tf.constant(array, tf.float32) for array in arrays])


def test_fetches_come_back_in_their_own_form_and_what_they_do_not_need_is_not_asked():
    weight = tf.Variable(3.0)

    def network(x, y):
        return {"product": x * weight, "both": [x + y, y], "sum": tf.reduce_sum(y)}

    whole = traced(network, (2, 3), (2, 3))
    given = whole.inputs[:2]
    made = whole.structured_outputs
    cut = cut_out(whole, given, {"both": made["both"], "product": made["product"]})
    found = run(cut, X, X + 1)
    np.testing.assert_array_equal(found["product"], 3 * X)
    np.testing.assert_array_equal(found["both"][0], 2 * X + 1)
    np.testing.assert_array_equal(found["both"][1], X + 1, "an input is handed through")
    alone = cut_out(whole, given, [made["sum"]])
    np.testing.assert_array_equal(run(alone, np.full((2, 3), np.nan), X)[0], X.sum())
    assert [len(one.captured_inputs) for one in (cut, alone)] == [1, 0]


def test_what_was_added_to_the_graph_later_is_cut_out_too():
    weight = tf.Variable([[1.0], [2.0], [-1.0]])
    whole = traced(lambda x: tf.nn.relu(x @ weight), (2, 3))
    with whole.graph.as_default():
        gradient = tf.gradients(whole.outputs[0], [whole.inputs[0]])[0]
    found = run(cut_out(whole, whole.inputs[:1], [gradient]), X)[0]
    on = (X @ weight.numpy() > 0).astype(np.float32)
    np.testing.assert_array_equal(found, on * weight.numpy().T)


def test_control_flow_brings_its_functions_along():
    def network(x):
        return tf.while_loop(
            lambda k, _: k < 5, lambda k, y: (k + 1, y + x), (0, tf.zeros_like(x))
        )[1]

    whole = traced(network, (2, 3))
    cut = cut_out(whole, whole.inputs[:1], whole.outputs)
    np.testing.assert_array_equal(run(cut, X)[0], 5 * X)


def test_variables_are_read_when_it_runs_and_can_be_exchanged():
    weight, other = tf.Variable(2.0), tf.Variable(-1.0)
    whole = traced(lambda x: x * weight, (2, 3))
    cut = cut_out(whole, whole.inputs[:1], whole.outputs)
    weight.assign(5.0)
    np.testing.assert_array_equal(run(cut, X)[0], 5 * X)
    exchange_captures(cut, [other.handle])
    np.testing.assert_array_equal(run(cut, X)[0], -X)
    np.testing.assert_array_equal(run(whole, X), 5 * X, "the whole reads its own")


def test_operations_bound_to_the_place_of_one_that_stays_behind():
    def network(x):
        left = tf.sin(x, name="stays")
        with tf.compat.v1.colocate_with(left):
            return {"left": left, "taken": tf.abs(x)}

    whole = traced(network, (2, 3))
    assert whole.structured_outputs["taken"].op.colocation_groups() == [b"loc:@stays"]
    cut = cut_out(whole, whole.inputs[:1], [whole.structured_outputs["taken"]])
    np.testing.assert_array_equal(run(cut, -X)[0], X)


def test_a_part_does_not_go_where_its_shapes_do_not_fit():
    whole = traced(lambda x: tf.reshape(x, (3, 2)) @ tf.ones((2, 1)), (2, 3))
    part = Subgraph(whole, whole.outputs)

    def larger(x):
        return part.put({whole.inputs[0].name: x})

    with pytest.raises(ValueError, match="reshape"):
        traced(larger, (4, 3))
