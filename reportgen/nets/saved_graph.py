"""The graph of a SavedModel, run as a whole: it may read and write files, so only on the user's word.

It is loaded into a session, by which what Keras 2, Estimators and TensorFlow 1 wrote runs as well: the
interface for objects fails on some of them, as where an optimizer was stored.
"""

from __future__ import annotations

import contextlib
import tempfile
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.errors import NotBuiltError
from reportgen.nets.engine import on_device
from reportgen.nets.failures import cause
from reportgen.nets.graph_walks import HANDS_ON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Spec = tuple[tuple[int | None, ...], str]
    """A shape, the batch dimension first, and the name of a type."""
    Draw = Callable[[str, NDArray[Any]], NDArray[Any]]
    """From the key of a weight and its values to others."""

_SERVING, _DEFAULT = "serve", "serving_default"
_HEADS = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}
_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_MOST_STEPS = 1000
_MOST_NAMES = 5


class SavedGraph:
    """The serving signature of a SavedModel.

    Args:
        path: of the folder.
        device: ``cpu`` or ``gpu``.

    Attributes:
        inputs: shape and type by name.
        outputs: names, texts left out.
        texts: names of the outputs that hold texts.
        fixed_batch: how many samples it insists on; None where it takes any number.

    Raises:
        NotBuiltError: it cannot be loaded, or takes what no array of samples is.
    """

    def __init__(self, path: Path, device: str) -> None:
        import tensorflow as tf

        graph = tf.Graph()
        self._session = tf.compat.v1.Session(
            graph=graph, config=tf.compat.v1.ConfigProto(allow_soft_placement=True)
        )
        weakref.finalize(self, self._session.close)
        try:
            with graph.as_default(), on_device(device):
                meta = tf.compat.v1.saved_model.load(self._session, [_SERVING], str(path))
        except Exception as error:
            raise NotBuiltError(f"TensorFlow cannot load its graph: {cause(error)}") from error
        self._definition, self._saver = meta.graph_def, meta.saver_def
        self._prefix = str(path / "variables" / "variables")
        signature = meta.signature_def[_chosen(meta.signature_def)]
        given = {name: signature.inputs[name] for name in sorted(signature.inputs)}
        made = {name: signature.outputs[name] for name in sorted(signature.outputs)}
        self.inputs: dict[str, Spec] = {name: _input(name, info) for name, info in given.items()}
        self.fixed_batch = _fixed_batch(self.inputs)
        self.texts = tuple(
            n for n, info in made.items() if info.dtype == tf.string.as_datatype_enum
        )
        self.outputs = tuple(name for name in made if name not in self.texts)
        self._fed = {name: info.name for name, info in given.items()}
        self._fetched = {name: made[name].name for name in self.outputs}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the outputs by name; floating-point ones as float32.

        Args:
            inputs: by name, each (n, …); n is the fixed batch where there is one.
        """
        import tensorflow as tf

        types = {
            name: tf.dtypes.as_dtype(dtype).as_numpy_dtype
            for name, (_, dtype) in self.inputs.items()
        }
        feed = {self._fed[name]: np.asarray(inputs[name], types[name]) for name in self.inputs}
        found = self._session.run(self._fetched, feed)
        return {name: _plain(np.asarray(value)) for name, value in found.items()}

    def has_weights(self) -> bool:
        """Tell whether other weights can be read into it: none are where they are constants of the graph."""
        return bool(self._saver.restore_op_name)

    @contextlib.contextmanager
    def other_weights(self) -> Iterator[Callable[[Draw], None]]:
        """Give a function that changes the weights, as they are stored, for as long as the block lasts.

        They take the way that they came by: a checkpoint of the changed ones is written, and read in.
        """
        with tempfile.TemporaryDirectory(prefix="reportgen-") as folder:
            try:
                yield partial(self._change, f"{folder}/changed")
            finally:
                self._read(self._prefix)

    def _change(self, prefix: str, draw: Draw) -> None:
        import tensorflow as tf

        reader = tf.train.load_checkpoint(self._prefix)
        keys = sorted(reader.get_variable_to_shape_map())
        values = [reader.get_tensor(key) for key in keys]
        tensors = [
            tf.constant(draw(key, v) if getattr(v, "dtype", np.dtype(object)).kind == "f" else v)
            for key, v in zip(keys, values, strict=True)
        ]
        tf.raw_ops.SaveV2(
            prefix=prefix, tensor_names=keys, shape_and_slices=[""] * len(keys), tensors=tensors
        )
        self._read(prefix)

    def _read(self, prefix: str) -> None:
        """Let the graph read a checkpoint, as it did when it was loaded."""
        self._session.run(self._saver.restore_op_name, {self._saver.filename_tensor_name: prefix})

    def head(self, name: str) -> str | None:
        """Return the activation that an output ends in, ``softmax``, ``log_softmax`` or ``sigmoid``."""
        functions = {
            function.signature.name: function for function in self._definition.library.function
        }
        nodes = {node.name: node for node in self._definition.node}
        tensor, function = self._fetched[name], None
        for _ in range(_MOST_STEPS):
            source, _, place = tensor.partition(":")
            node = nodes.get(source)
            if node is None:  # an argument of a function
                return None
            if node.op in _CALLS and node.attr["f"].func.name in functions:
                function = functions[node.attr["f"].func.name]
                made = function.signature.output_arg[int(place.rpartition(":")[2] or 0)].name
                nodes, tensor = {one.name: one for one in function.node_def}, function.ret[made]
            elif node.op in HANDS_ON and node.input:
                tensor = node.input[0]
            else:
                return _HEADS.get(node.op)
        return None


def _chosen(signatures: Mapping[str, Any]) -> str:
    """Return the name of the signature to run: the default one, or the only one.

    Raises:
        NotBuiltError: there is no such.
    """
    if _DEFAULT in signatures:
        return _DEFAULT
    usable = sorted(name for name, signature in signatures.items() if signature.inputs)
    if len(usable) == 1:
        return usable[0]
    said = ", ".join(map(repr, usable[:_MOST_NAMES])) or "none"
    raise NotBuiltError(f"It has no signature {_DEFAULT!r} to run (its signatures: {said})")


def _input(name: str, info: Any) -> Spec:
    """Return what an input takes.

    Raises:
        NotBuiltError: no array of samples.
    """
    import tensorflow as tf

    if info.WhichOneof("encoding") != "name":
        raise NotBuiltError(
            f"Its input {name!r} takes sparse tensors, which no array of samples is"
        )
    dtype, shape = tf.dtypes.as_dtype(info.dtype), tf.TensorShape(info.tensor_shape)
    if dtype == tf.string:
        raise NotBuiltError(f"Its input {name!r} takes texts or encoded files, not arrays")
    if shape.rank is None:
        raise NotBuiltError(f"It does not say which shape its input {name!r} takes")
    if shape.rank == 0:
        raise NotBuiltError(
            f"Its input {name!r} takes one value for all samples, and nothing says which"
        )
    return tuple(shape.as_list()), dtype.name


def _fixed_batch(inputs: Mapping[str, Spec]) -> int | None:
    sizes = sorted({shape[0] for shape, _ in inputs.values() if shape[0] is not None})
    if len(sizes) > 1:
        said = " and ".join(map(str, sizes))
        raise NotBuiltError(f"Its inputs take different numbers of samples at once, {said}")
    return sizes[0] if sizes else None


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers and truth values as they are, all else as float32."""
    return values if values.dtype.kind in "iub" else values.astype(np.float32)


def stacked(samples: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return samples as arrays by input name."""
    return {name: np.stack([one[name] for one in samples]) for name in samples[0]}
