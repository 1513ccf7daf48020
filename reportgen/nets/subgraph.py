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
        fetched: names of those whose tensors are fetched.
    """

    def __init__(self, function: Any, fetches: Iterable[Any]) -> None:
        wanted = list(fetches)
        self._fetches = [tensor.name for tensor in wanted]
        self.fetched = frozenset(tensor.op.name for tensor in wanted)
        self.definition = function.graph.as_graph_def()
        captured = function.captured_inputs
        inside = function.inputs[len(function.inputs) - len(captured) :]
        self._captured = list(zip((tensor.name for tensor in inside), captured, strict=True))
        self.prune()
        for node in self.definition.node:
            node.attr.pop("_class", None)  # beside an operation that may not have been taken along

    def prune(self) -> None:
        """Leave out what is not needed, after a change too."""
        self._names = _needed(self.definition, self.fetched)
        kept = [
            node
            for node in self.definition.node
            if node.name in self._names
            and (
                node.op != "Placeholder" or node.name in self.fetched
            )  # it is given another tensor
        ]
        del self.definition.node[:]
        self.definition.node.extend(kept)
        self._captured = [pair for pair in self._captured if self.needs(pair[0])]

    def needs(self, name: str) -> bool:
        """Tell whether a tensor of the function's graph is among what was cut out."""
        return operation_of(name) in self._names

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
            return_elements=self._fetches,
            name="cut",
        )
        return list(found)


def _needed(definition: Any, wanted: Iterable[str]) -> set[str]:
    """Return the names of all operations that some are computed from, with these."""
    sources = {node.name: node.input for node in definition.node}
    needed: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += map(operation_of, sources.get(name, ()))
    return needed


def operation_of(name: str) -> str:
    """Return the name of the operation that makes what an operation reads."""
    return name.removeprefix("^").partition(":")[0]


def tensor_of(name: str) -> str:
    """Return the name of the tensor that an operation reads under a name."""
    return name if ":" in name else f"{name}:0"


def cut_out(function: Any, feeds: Sequence[Any], fetches: Any) -> Any:
    """Cut a pass out of a traced one: nothing of the model is called again.

    Args:
        function: of ``wrap_function``, whose graph may have been extended since.
        feeds: placeholders of its graph, in the order in which the pass takes them.
        fetches: tensors of its graph in lists and mappings, which the pass returns likewise.
    """
    import tensorflow as tf

    return as_function(Subgraph(function, tf.nest.flatten(fetches)), feeds, fetches)


def as_function(part: Subgraph, feeds: Sequence[Any], fetches: Any) -> Any:
    """Make a function of a part.

    Args:
        part: what the fetches need.
        feeds: with name in the part, shape and dtype, in the order in which the function takes them.
        fetches: see ``cut_out``.
    """
    import tensorflow as tf

    def run(*tensors: Any) -> Any:
        pairs = zip(feeds, tensors, strict=True)
        found = part.put({feed.name: tensor for feed, tensor in pairs if part.needs(feed.name)})
        return tf.nest.pack_sequence_as(fetches, found)

    signature = [tf.TensorSpec(feed.shape, feed.dtype) for feed in feeds]
    return tf.compat.v1.wrap_function(run, signature)
