"""Operations of graphs that TensorFlow 2.0 to 2.3 stored as layers: a closed table, against NumPy."""

from __future__ import annotations

import base64

import numpy as np
import pages
import pytest
from old_files import drawn, graph, layer, node, write_h5

from reportgen import build_report
from reportgen.errors import NotBuiltError
from reportgen.nets.loading import load_model
from reportgen.nets.migration.errors import OperationError
from reportgen.nets.migration.operation_rules import RULES
from reportgen.nets.migration.raw_operations import OPERATIONS, as_function
from reportgen.nets.migration.versions import is_old
from reportgen.nets.stored import read_stored

FLOAT = {"type": "DT_FLOAT"}


def whole(value):
    return {"i": str(value)}


def text(value):
    return {"s": base64.b64encode(value.encode()).decode()}


def raw(op, attributes=None, constants=None, sources=("x",), name="f"):
    """Return an operation as a file holds it: the name in its configuration lacks what stands in front."""
    definition = {
        "name": name,
        "op": op,
        "input": ["…"],
        "attr": {"T": FLOAT, **(attributes or {})},
    }
    stored = layer(
        "TensorFlowOpLayer", name, dtype="float32", node_def=definition, constants=constants or {}
    )
    inbound = [[[source, 0, 0, {}] for source in sources]]
    return {**stored, "name": f"tf_op_layer_{name}", "inbound_nodes": inbound}


def network(*layers, output=None, shape=(4, 3), inputs=("x",)):
    entries = [
        node(layer("InputLayer", name, batch_input_shape=[None, *shape], dtype="float32"))
        for name in inputs
    ]
    return graph([*entries, *layers], list(inputs), [output or layers[-1]["name"]], "Functional")


def answer_of(folder, config, given):
    path = write_h5(folder / "raw.h5", config, {}, version="2.4.0-tf")
    loaded = load_model(path)
    assert loaded.origin.way == "migrated"
    return np.asarray(loaded.model(given, training=False))


# -- answers -------------------------------------------------------------------------------------------

X = drawn(5, 4, 3)
MASKS = {
    f"{name}_mask": whole(0) for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
}
MATRIX = drawn(2, 3)
CASES = {
    "a constant behind": (raw("AddV2", constants={"1": 2.0}), X + 2),
    "a constant in front": (raw("Sub", constants={"0": [1.0, 2.0, 3.0]}), np.array([1, 2, 3]) - X),
    "an array as Keras 2.12 wrote it": (
        raw("Mul", constants={"1": {"class_name": "__numpy__", "config": {"value": [1.0, 2.0, 3.0]}}}),
        X * [1, 2, 3],
    ),
    "an activation": (raw("Relu6"), np.clip(X, 0, 6)),
    "a number": (raw("LeakyRelu", {"alpha": {"f": 0.5}}), np.where(X > 0, X, X / 2)),
    "axes": (raw("Mean", {"keep_dims": {"b": True}}, {"1": [1, 2]}), X.mean((1, 2), keepdims=True)),
    "a matrix": (raw("BatchMatMulV2", {"adj_x": {"b": False}, "adj_y": {"b": True}}, {"1": MATRIX.tolist()}),
                 X @ MATRIX.T),
    "a text": (raw("MirrorPad", {"mode": text("REFLECT")}, {"1": [[0, 0], [1, 1], [0, 0]]}),
               np.pad(X, [(0, 0), (1, 1), (0, 0)], "reflect")),
    "a list": (raw("Squeeze", {"squeeze_dims": {"list": {}}}), X),
    "a type": (raw("Cast", {"SrcT": FLOAT, "DstT": {"type": "DT_INT32"}}), X.astype(np.int32)),
    "several tensors": (raw("ConcatV2", {"N": whole(3)}, {"1": [[[9.0] * 3]] * 5, "3": -2}, ("x", "x")),
                        np.concatenate([X, np.full((5, 1, 3), 9), X], -2)),
    "a slice": (raw("StridedSlice", MASKS | {"begin_mask": whole(3), "end_mask": whole(1)},
                    {"1": [0, 9], "2": [0, 2], "3": [1, 1]}), X[:, :2]),
    "one of an axis": (raw("StridedSlice", MASKS | {"ellipsis_mask": whole(1), "shrink_axis_mask": whole(2)},
                           {"1": [0, 1], "2": [0, 2], "3": [1, 1]}), X[..., 1]),
    "a new axis": (raw("StridedSlice", MASKS | {"begin_mask": whole(1), "end_mask": whole(1),
                                                "new_axis_mask": whole(2)},
                       {"1": [0, 0], "2": [0, 0], "3": [1, 1]}), X[:, None]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_operation_answers_as_it_did(tmp_path, name):
    stored, expected = CASES[name]
    found = answer_of(tmp_path, network(stored), X)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_each_tensor_that_an_operation_makes_can_be_read(tmp_path):
    halves = raw("Split", {"num_split": whole(2)}, {"0": 1}, name="halves")
    less = raw("Sub", sources=("tf_op_layer_halves", "tf_op_layer_halves"), name="less")
    less["inbound_nodes"][0][1][2] = 1
    found = answer_of(tmp_path, network(halves, less), X)
    np.testing.assert_allclose(found, X[:, :2] - X[:, 2:], rtol=1e-6)


def test_names_with_slashes_and_a_chain_of_operations(tmp_path):
    first = raw("Mul", constants={"1": 3.0}, name="block/scale")
    second = raw("Tanh", sources=("tf_op_layer_block/scale",), name="block/end")
    np.testing.assert_allclose(
        answer_of(tmp_path, network(first, second), X), np.tanh(3 * X), rtol=1e-5
    )


def test_weights_behind_an_operation_are_put_in_their_places(tmp_path):
    dense = node(layer("Dense", "head", units=2, use_bias=False), "tf_op_layer_f")
    config, kernel = network(raw("Neg"), dense), drawn(3, 2)
    path = write_h5(
        tmp_path / "m.h5", config, {"head": {"head/kernel:0": kernel}}, version="2.4.0-tf"
    )
    np.testing.assert_allclose(load_model(path).model(X), -X @ kernel, rtol=1e-4, atol=1e-5)


# -- the table -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OPERATIONS)
def test_every_operation_leads_to_a_function_of_the_table(kind):
    assert OPERATIONS[kind].name in RULES


def test_a_file_that_holds_one_was_written_before_keras_3():
    assert is_old(network(raw("Neg")), "")


REFUSED = {
    "another operation": (raw("WriteFile"), "is TensorFlow's operation WriteFile, which has no counterpart"),
    "no operation": (raw(None), "operation None, which has no counterpart"),
    "a list as operation": (raw(["Neg"]), "which has no counterpart"),
    "no definition": ({**raw("Neg"), "config": {"name": "f"}}, "does not say which operation it is"),
    "a definition as text": ({**raw("Neg"), "config": {"name": "f", "node_def": "CgNOZWc="}}, "does not say"),
    "called on nothing": ({**raw("Neg"), "inbound_nodes": []}, "on nothing"),
    "called on a text": ({**raw("Neg"), "inbound_nodes": [["x"]]}, "which is no layer's"),
    "a tensor too many": (raw("Neg", sources=("x", "x")), "is called on 2 tensors"),
    "a constant too many": (raw("Neg", constants={"1": 1.0}), "is called on 2 tensors"),
    "a place that is none": (raw("Add", constants={"7": 1.0}), "holds the constants 7"),
    "a place that is no number": (raw("Add", constants={"y": 1.0}), "holds the constants y"),
    "an attribute that counts": (raw("Neg", {"strange": {"b": True}}), "has the attribute 'strange'"),
    "an attribute of no form": (raw("LeakyRelu", {"alpha": 3}), "has the attribute '3'"),
    "a text that is none": (raw("MirrorPad", {"mode": {"s": "é"}}, {"1": [[0, 0]]}), "has the attribute"),
    "complex numbers": (raw("BatchMatMul", {"T": {"type": "DT_COMPLEX64"}}, sources=["x"] * 2), "DT_COMPLEX64"),
    "edges of pixels": (raw("ResizeBilinear", constants={"1": [2, 2]}), "has not the attribute 'half_pix"),
    "corners": (raw("ResizeBilinear", {"half_pixel_centers": {"b": True}, "align_corners": {"b": True}},
                    {"1": [2, 2]}), "has the attribute 'align_corners'"),
    "a computed index": (raw("StridedSlice", MASKS, {"2": [1], "3": [1]}, ("x", "x")), "begin is computed"),
    "uneven indices": (raw("StridedSlice", MASKS, {"1": [0, 0], "2": [1], "3": [1]}), "of several lengths"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_in_the_table_is_refused_by_name(name):
    stored, phrase = REFUSED[name]
    with pytest.raises(OperationError, match="the layer 'tf_op_layer_f'") as raised:
        as_function(stored)
    assert phrase in str(raised.value)


def test_what_its_function_does_not_take_is_refused_by_name(tmp_path):
    stored = raw("Cumsum", {"reverse": {"b": True}}, {"1": 1})
    path = write_h5(tmp_path / "m.h5", network(stored), {}, version="2.4.0-tf")
    with pytest.raises(
        NotBuiltError, match=r"'tf_op_layer_f' calls tf\.math\.cumsum, which is called with reverse"
    ):
        load_model(path)


def test_a_file_that_would_write_is_shown_and_writes_nothing(tmp_path):
    mark = tmp_path / "written"
    stored = raw("WriteFile", constants={"0": str(mark), "1": "theirs"})
    path = write_h5(tmp_path / "bad.h5", network(stored), {}, version="2.4.0-tf")
    build_report(path, output=tmp_path / "out", probes=X, allow_code=True)
    report = pages.check_page(tmp_path / "out")
    assert "TensorFlow's operation WriteFile" in report["sections"][0]["notices"][-1]["text"]
    rows = pages.content(report, "architecture")["layers"]
    assert [row["class_name"] for row in rows] == ["InputLayer", "TensorFlowOpLayer"]
    assert read_stored(path).version == "2.4.0-tf"
    assert not mark.exists()
