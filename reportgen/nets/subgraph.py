"""Parts of a traced function, cut out of its graph and put into others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.nets.tensorflow_internals import captured_here

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Subgraph:
    """What some tensors of a traced function are computed from.

    ``WrappedFunction.prune`` cuts too, but copies one operation after the other in Python: ten times as slow.

    Args:
        function: is as it was afterwards.
        fetches: tensors of its graph.

    Attributes:
        definition: the operations; may be changed before it is put anywhere.
    """

    def __init__(self, function: Any, fetches: Iterable[Any]) -> None:
        import tensorflow as tf

        self._fetches = [(tensor.name, tensor.op.name) for tensor in fetches]
        wanted = list(dict.fromkeys(operation for _, operation in self._fetches))
        whole = function.graph.as_graph_def()
        self.definition = tf.compat.v1.graph_util.extract_sub_graph(whole, wanted)
        for node in self.definition.node:
            node.attr.pop("_class", None)  # beside an operation that may not have been taken along
        self._names = {node.name for node in self.definition.node}
        captured = function.captured_inputs
        inside = function.inputs[len(function.inputs) - len(captured) :]
        pairs = zip(inside, captured, strict=True)
        self._captured = [(mine.name, theirs) for mine, theirs in pairs if self.needs(mine)]

    def needs(self, tensor: Any) -> bool:
        """Tell whether a tensor of the function's graph is among what was cut out."""
        return tensor.op.name in self._names

    def put(self, given: Mapping[str, Any]) -> list[Any]:
        """Put the part into the function that is being traced, and return what was fetched there.

        Args:
            given: tensors of that function in place of tensors that the part needs, by their names in the part.

        Raises:
            ValueError: an operation does not take what it is given.
        """
        import tensorflow as tf

        outside = {name: captured_here(theirs) for name, theirs in self._captured}
        found = tf.graph_util.import_graph_def(
            self.definition,
            input_map={**outside, **given},
            return_elements=[name for name, _ in self._fetches],
            name="cut",
        )
        return list(found)


def cut_out(function: Any, feeds: Sequence[Any], fetches: Any) -> Any:
    """Cut a pass out of a traced one: nothing of the model is called again.

    Args:
        function: of ``wrap_function``, whose graph may have been extended since.
        feeds: placeholders of its graph, in the order in which the pass takes them.
        fetches: tensors of its graph in lists and mappings, which the pass returns likewise.
    """
    import tensorflow as tf

    part = Subgraph(function, tf.nest.flatten(fetches))

    def run(*tensors: Any) -> Any:
        pairs = zip(feeds, tensors, strict=True)
        found = part.put({feed.name: tensor for feed, tensor in pairs if part.needs(feed)})
        return tf.nest.pack_sequence_as(fetches, found)

    signature = [tf.TensorSpec(feed.shape, feed.dtype) for feed in feeds]
    return tf.compat.v1.wrap_function(run, signature)
