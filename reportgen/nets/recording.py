"""Record every layer's calls while a model is traced: one mechanism for every shape of model.

``keras.layers.Layer.__call__`` (for ``keras.ops`` nodes ``keras.Operation.__call__``) is replaced
while a ``tf.function`` is traced. Nested, shared, Sequential and subclassed models all yield their
inner calls with the tensors that flow, and those tensors say which call feeds which.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reportgen.nets.flops import Cost, GraphCosts
from reportgen.nets.keras_internals import calls_handled
from reportgen.network.facts import CallFacts, InputRef
from reportgen.network.naming import unique_path
from reportgen.numerics import dtype_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from reportgen.network.facts import Source


class Call:
    """One call while it is traced.

    Attributes:
        arguments: what the operation was called with.
        inputs: the tensors given, flattened.
        outputs: the tensors returned, flattened.
    """

    def __init__(self, identifier: str, layer: str, operation: Any, parent: Call | None) -> None:
        self.id = identifier
        self.layer = layer
        self.operation = operation
        self.parent = parent
        self.leaf = True
        self.arguments: tuple[Any, Any] = ((), {})
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []


class Recorder:
    """Collects the calls of one trace.

    Args:
        paths: structural path by ``id`` of each known operation.
        before: called with each call before it runs; may raise to cut the trace short.

    Attributes:
        failed: the innermost layer whose call raised; empty where none did.
    """

    def __init__(
        self, paths: Mapping[int, str], before: Callable[[Call], None] | None = None
    ) -> None:
        self.paths = dict(paths)
        self.calls: list[Call] = []
        self.failed = ""
        self._before = before
        self._stack: list[Call] = []
        self._counts: dict[str, int] = {}
        self._taken = set(paths.values())
        self._producer: dict[str, Source] = {}
        self._graph: Any = None
        self._rows: int | None = None
        self._given: list[Any] = []
        self._spans: dict[Call, list[tuple[int, int]]] = {}
        self._mark = 0
        self._costs: dict[Call, Cost] | None = None

    def start(self, inputs: Mapping[str, Any], graph: Any) -> None:
        """Begin in ``graph``; ``inputs`` are its input tensors by name."""
        self._graph = graph
        self._rows = _rows(next(iter(inputs.values())))
        self._given = list(inputs.values())
        self._producer.update({tensor.name: InputRef(name) for name, tensor in inputs.items()})

    def run(self, operation: Any, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call ``original`` and record what went in and came out."""
        import tensorflow as tf

        if tf.compat.v1.get_default_graph() is not self._graph:
            return original(operation, *args, **kwargs)
        call = self._open(operation, args, kwargs)
        try:
            result = original(operation, *args, **kwargs)
        except Exception:
            self.failed = self.failed or call.layer
            raise
        finally:
            self._assign_operations()
            self._stack.pop()
        return self._close(call, result)

    def _assign_operations(self) -> None:
        """Give the operations that were made since the last time to the innermost call that runs."""
        made = self._graph.version
        if self._stack:
            self._spans.setdefault(self._stack[-1], []).append((self._mark, made))
        self._mark = made

    def _open(self, operation: Any, args: Any, kwargs: Any) -> Call:
        parent = self._stack[-1] if self._stack else None
        layer = self.paths.get(id(operation))
        if layer is None:
            name = getattr(operation, "name", type(operation).__name__)
            layer = unique_path(str(name), parent.layer if parent else None, self._taken)
            self.paths[id(operation)] = layer
        call = Call(self._identifier(layer), layer, operation, parent)
        call.arguments = (args, kwargs)
        call.inputs = self._tensors(call.arguments)
        if self._before is not None:
            self._before(call)
        if parent is not None:
            parent.leaf = False
        self._assign_operations()
        self._stack.append(call)
        self.calls.append(call)
        return call

    def _identifier(self, layer: str) -> str:
        """Return the path, from the second call on with the first number that makes no other layer's path."""
        number = self._counts.get(layer, 0) + 1
        while number > 1 and f"{layer}#{number}" in self._taken:
            number += 1
        self._counts[layer] = number
        return layer if number == 1 else f"{layer}#{number}"

    def _close(self, call: Call, result: Any) -> Any:
        import tensorflow as tf

        given = {tensor.name for tensor in call.inputs}

        def handed_on(value: Any) -> bool:
            name = getattr(value, "name", None)
            return tf.is_tensor(value) and (name in self._producer or name in given)

        if call.leaf and any(map(handed_on, self._tensors(result))):
            # A layer that hands its input through (Dropout at inference) gets a tensor of its own, also
            # where that input was made between layers.
            result = tf.nest.map_structure(
                lambda value: tf.identity(value) if handed_on(value) else value, result
            )
        call.outputs = self._tensors(result)
        if call.layer:  # what the model itself computes stands between layers
            for tensor in call.outputs:
                self._producer.setdefault(tensor.name, call.id)
        return result

    def _tensors(self, structure: Any) -> list[Any]:
        import tensorflow as tf

        return [
            leaf
            for leaf in tf.nest.flatten(structure)
            if tf.is_tensor(leaf) and getattr(leaf, "graph", None) is self._graph
        ]

    def sources(self, tensor: Any) -> list[Source]:
        """Return the calls or inputs that ``tensor`` comes from, through operations outside of layers."""
        found: list[Source] = []
        seen = set()
        queue = [tensor]
        while queue:
            current = queue.pop(0)
            if current.name in seen:
                continue
            seen.add(current.name)
            if current.name in self._producer:
                found.append(self._producer[current.name])
            else:
                queue.extend(current.op.inputs)
        return found

    def facts(self) -> tuple[CallFacts, ...]:
        """Return what was recorded, in the order of execution."""
        return tuple(self._fact(call) for call in self.calls)

    def own_cost(self) -> Cost:
        """Return what the model itself costs between its layers' calls."""
        costs = [self._cost(call) for call in self.calls if not call.layer]
        names = dict.fromkeys(name for cost in costs for name in cost.uncounted)
        return Cost(sum(cost.flops for cost in costs), tuple(names))

    def _cost(self, call: Call) -> Cost:
        """Return what a call's own operations cost for one image."""
        if self._costs is None:
            returned = [tensor for call in self.calls if not call.layer for tensor in call.outputs]
            graph = GraphCosts(self._graph.get_operations(), self._given, returned, self._rows or 1)
            self._costs = {at: graph.of_range(spans) for at, spans in self._spans.items()}
        return self._costs.get(call, Cost())

    def _fact(self, call: Call) -> CallFacts:
        shapes = tuple(_image_shape(tensor) for tensor in call.outputs)
        dtypes = tuple(tensor.dtype.name for tensor in call.outputs)
        inputs = dict.fromkeys(
            source for tensor in call.inputs for source in self.sources(tensor) if source != call.id
        )
        cost = self._cost(call)
        return CallFacts(
            id=call.id,
            layer=call.layer,
            class_name=type(call.operation).__name__,
            parent=call.parent.id if call.parent else None,
            inputs=tuple(inputs),
            shapes=shapes,
            dtypes=dtypes,
            bytes=sum(
                _elements(shape) * dtype_size(dtype)
                for shape, dtype in zip(shapes, dtypes, strict=True)
            ),
            flops=cost.flops,
            uncounted=cost.uncounted,
            leaf=call.leaf,
            merges=() if call.leaf else self._merges(call),
            splits_batch=bool(call.outputs) and _rows(call.outputs[0]) != self._rows,
        )

    def _merges(self, call: Call) -> tuple[Source, ...]:
        """Return where the outputs come from that a call with inner calls makes by itself."""
        own = [t for t in call.outputs if self._producer.get(t.name) == call.id]
        return tuple(
            dict.fromkeys(
                source
                for tensor in own
                for before in tensor.op.inputs
                for source in self.sources(before)
                if source != call.id
            )
        )


def _rows(tensor: Any) -> int | None:
    return tensor.shape[0] if tensor.shape.rank else None


def _image_shape(tensor: Any) -> tuple[int, ...]:
    shape = tensor.shape
    return tuple(int(n or 0) for n in shape[1:]) if shape.rank else ()


def _elements(shape: tuple[int, ...]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total


def recorded_by(recorder: Recorder) -> AbstractContextManager[None]:
    """Record the calls of this thread for the length of a trace; those of others are as ever."""
    import keras

    def on_layer(original: Callable[..., Any], layer: Any, args: Any, kwargs: Any) -> Any:
        return recorder.run(layer, original, args, kwargs)

    def on_operation(original: Callable[..., Any], operation: Any, args: Any, kwargs: Any) -> Any:
        # A layer's Layer.__call__ is recorded already; an operation that a layer makes for the moment
        # (ZeroPadding2D does) is no part of the model.
        if isinstance(operation, keras.Layer) or id(operation) not in recorder.paths:
            return original(operation, *args, **kwargs)
        return recorder.run(operation, original, args, kwargs)

    return calls_handled(on_layer, on_operation, _graph_name)


def _graph_name(name: str) -> str:
    """Return a layer's name as a graph takes it: Keras allows every character but a slash."""
    cleaned = re.sub(r"[^A-Za-z0-9_./-]", "_", name)
    return cleaned if re.match(r"$|[A-Za-z0-9.]", cleaned) else f".{cleaned}"
