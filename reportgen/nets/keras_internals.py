"""Everything that this package knows of Keras beside its documented interface.

One function a name, and no such name anywhere else; TensorFlow's stand in ``tensorflow_internals``. An upgrade
of Keras is read against this module. Each function says why the documented way does not do, in which versions
the name was seen, and what stands in for it where it is gone. ``structure.check_nothing_is_hidden`` raises
where what stands in finds less.

What changes Keras for a while does so for the thread that asks, and takes it back.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SEEN = ("3.13.2", "3.15.1")
"""The oldest and the newest Keras in which every name below was seen."""

_GONE: Any = object()
_CALLS_LOCK, _VARIABLES_LOCK = threading.RLock(), threading.RLock()
"""Who replaces what Keras calls waits until the other thread has put it back."""


# -- what a layer holds ------------------------------------------------------------------------------


def inner_layers(layer: Any) -> list[Any]:
    """Return the layers directly inside a layer, by ``Layer._layers``, in the order they were set.

    Only models list theirs (``Model.layers``): wrappers, recurrent and attention layers, and whatever a user
    writes, hold layers without a documented way to them.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: a model's own list, in which a Sequential leaves out what stands
    for its input, and of other layers the attributes.
    """
    import keras

    if not isinstance(layer, keras.Layer):
        return []
    held = getattr(layer, "_layers", None)
    return list(held) if held is not None else _layers_by_attributes(layer)


def _layers_by_attributes(layer: Any) -> list[Any]:
    import keras

    if isinstance(layer, keras.Model):
        return list(layer.layers)
    found: dict[int, Any] = {}
    waiting = [value for name, value in vars(layer).items() if name != "_layers"]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, keras.Layer):
            found.setdefault(id(value), value)
        elif isinstance(value, list | tuple | set):
            waiting[:0] = value
        elif isinstance(value, dict):
            waiting[:0] = value.values()
    return list(found.values())


def layer_variables(layer: Any) -> list[Any]:
    """Return a layer's own variables, by ``_trainable_variables`` and ``_non_trainable_variables``.

    The documented ``weights`` are those of the layer and of all inside it, in one list; a variable that a layer
    shares with one inside it would stand at one of them only.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: the weights without those of the layers inside.
    """
    import keras

    if not isinstance(layer, keras.Layer):
        return []
    trainable = getattr(layer, "_trainable_variables", None)
    others = getattr(layer, "_non_trainable_variables", None)
    if trainable is None or others is None:
        return _weights_without_inner(layer)
    return [*trainable, *others]


def _weights_without_inner(layer: Any) -> list[Any]:
    inside = {id(v) for inner in inner_layers(layer) for v in inner.weights}
    return [v for v in layer.weights if id(v) not in inside]


def raw_variable(variable: Any) -> Any:
    """Return the ``tf.Variable`` behind a Keras variable, by ``Variable._value``.

    The documented ``value`` is cast where a layer of a mixed policy is being called, and then is no variable.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: ``value``, the same outside of such calls.
    """
    import keras

    if not isinstance(variable, keras.Variable):
        return variable
    held = getattr(variable, "_value", None)
    return held if held is not None else _public_value(variable)


def _public_value(variable: Any) -> Any:
    return variable.value


def built_shapes(layer: Any) -> Any:
    """Return what a layer was built on, by ``Layer._build_shapes_dict``: a shape, or several arranged; or None.

    The documented ``get_build_config`` says the same, but a class may give it another meaning.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: ``get_build_config``.
    """
    shapes = getattr(layer, "_build_shapes_dict", _GONE)
    if shapes is _GONE:
        return _shapes_of_build_config(layer)
    return next(iter((shapes or {}).values()), None)


def _shapes_of_build_config(layer: Any) -> Any:
    config = layer.get_build_config() or {}
    several = config.get("shapes_dict") or {}
    return config.get("input_shape", next(iter(several.values()), None))


# -- the graph of layers -----------------------------------------------------------------------------


class GraphCall(NamedTuple):
    """A call of an operation in a graph of layers.

    Attributes:
        operation: that is called.
        inputs: its symbolic tensors, flattened.
        outputs: likewise.
    """

    operation: Any
    inputs: list[Any]
    outputs: list[Any]


def producer(tensor: Any, among: Iterable[Any]) -> Any | None:
    """Return the operation that makes a symbolic tensor, by ``KerasTensor._keras_history``.

    There is no documented way back from a tensor.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: the operation one of whose first outputs it is.

    Args:
        tensor: of a graph of layers.
        among: the operations of the graph.
    """
    history = getattr(tensor, "_keras_history", None)
    return history.operation if history is not None else _producer_by_outputs(tensor, among)


def _producer_by_outputs(tensor: Any, among: Iterable[Any]) -> Any | None:
    for operation in among:
        if any(made is tensor for call in _first_call(operation) for made in call.outputs):
            return operation
    return None


def graph_calls(operation: Any) -> list[GraphCall]:
    """Return the calls of an operation in graphs of layers, by ``Operation._inbound_nodes``.

    The documented ``input`` and ``output`` are those of the first call only.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: the first call; of a nested model none, whose ``input`` and
    ``output`` are those inside it.
    """
    nodes = getattr(operation, "_inbound_nodes", None)
    return _first_call(operation) if nodes is None else [_call_of(node) for node in nodes]


def calls_behind(operation: Any, among: Iterable[Any]) -> list[GraphCall]:
    """Return the calls that take what an operation makes, by ``Operation._outbound_nodes``.

    There is no documented way forward from an operation.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: the first calls that take its first outputs.

    Args:
        operation: of a graph of layers.
        among: the operations of the graph.
    """
    nodes = getattr(operation, "_outbound_nodes", None)
    return _calls_by_inputs(operation, among) if nodes is None else [_call_of(n) for n in nodes]


def _call_of(node: Any) -> GraphCall:
    import keras

    flat = keras.tree.flatten
    return GraphCall(node.operation, flat(node.input_tensors), flat(node.output_tensors))


def _first_call(operation: Any) -> list[GraphCall]:
    import keras

    flat = keras.tree.flatten
    if isinstance(operation, keras.Function):
        return []
    try:
        outputs = flat(operation.output)
    except (AttributeError, ValueError):  # never called in a graph
        return []
    try:
        inputs = flat(operation.input)
    except (AttributeError, ValueError):  # takes none
        inputs = []
    return [GraphCall(operation, inputs, outputs)]


def _calls_by_inputs(operation: Any, among: Iterable[Any]) -> list[GraphCall]:
    made = {id(t) for call in _first_call(operation) for t in call.outputs}
    calls = [call for other in among if other is not operation for call in _first_call(other)]
    return [call for call in calls if any(id(t) in made for t in call.inputs)]


# -- training, names and registries ------------------------------------------------------------------


def is_scheduled(optimizer: Any) -> bool:
    """Tell whether the learning rate follows a schedule, by ``Optimizer._learning_rate``.

    The documented ``learning_rate`` is its value of the moment.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: the configuration, which holds a schedule's own.
    """
    rate = getattr(optimizer, "_learning_rate", _GONE)
    return _scheduled_by_config(optimizer) if rate is _GONE else callable(rate)


def _scheduled_by_config(optimizer: Any) -> bool:
    return not isinstance(optimizer.get_config().get("learning_rate"), float | int)


@contextlib.contextmanager
def names_numbered_from_one() -> Iterator[None]:
    """Let Keras name the nameless as in a fresh process, by its global ``object_name_uids``.

    The layers inside a MultiHeadAttention, for one, are numbered through the process, and a file's second load
    would not say the same. The documented ``keras.backend.reset_uids`` loses the numbers of the user's own
    layers.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: nothing; the numbers go on, and names differ between loads.
    """
    try:
        from keras.src.backend.common import global_state
    except ImportError:
        yield
        return
    kept = global_state.get_global_attribute("object_name_uids")
    global_state.set_global_attribute("object_name_uids", None)
    try:
        yield
    finally:
        global_state.set_global_attribute("object_name_uids", kept)


def registered_symbol(place: str, name: str) -> Any | None:
    """Return what Keras exports as a name of a module, by ``keras.src.api_export``; nothing is imported.

    Keras looks there first for what a file names, and the canonical names there are more than the documented
    modules show.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: the modules; what is not found is refused.
    """
    try:
        from keras.src.api_export import get_symbol_from_name
    except ImportError:
        return symbol_in_module(place, name)
    return get_symbol_from_name(f"{place}.{name}")


def place_of_graphs() -> str:
    """Return the module that files name for ``Functional``, which Keras does not export.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: nothing; files that name another one are refused.
    """
    return "keras.src.models.functional"


def module_of_operation(area: str, name: str) -> str | None:
    """Return the module that files name for an operation that is no layer; None where it has none of the name.

    Keras exports its operations as functions only, and writes the classes of a graph by their own modules.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: nothing; networks with such an operation are refused.

    Args:
        area: the module of ``keras.src.ops``, as in ``numpy``.
        name: of the class.
    """
    place = f"keras.src.ops.{area}"
    return place if hasattr(sys.modules.get(place), name) else None


def holds_operations(place: str) -> bool:
    """Tell a module that ``module_of_operation`` names.

    Seen in Keras 3.13.2 to 3.15.1. Stands in: nothing, as there.
    """
    return place.startswith("keras.src.ops.")


def symbol_in_module(place: str, name: str) -> Any | None:
    """Return what a module that is imported holds under a name."""
    module = sys.modules.get(place)
    return vars(module).get(name) if module is not None else None


def modules_of_layers() -> tuple[Any, ...]:
    """Return the modules in which Keras looks a layer of an old file up by its bare name.

    ``keras.src.layers`` and ``keras.src.models`` hold more than the documented modules.

    Seen in Keras 3.13.2 to 3.15.1. Stand in: ``keras.layers`` and ``keras.models``; what is not found is
    refused.
    """
    private = [sys.modules.get(f"keras.src.{name}") for name in ("layers", "models")]
    return tuple(private) if all(private) else _public_layer_modules()


def _public_layer_modules() -> tuple[Any, ...]:
    import keras

    return keras.layers, keras.models


# -- replaced for a while ----------------------------------------------------------------------------


@contextlib.contextmanager
def calls_handled(
    on_layer: Callable[[Callable[..., Any], Any, Any, Any], Any],
    on_operation: Callable[[Callable[..., Any], Any, Any, Any], Any],
    graph_name: Callable[[str], str],
) -> Iterator[None]:
    """Replace the ``__call__`` of ``keras.Layer`` and ``keras.Operation``, and ``tf.Graph.name_scope``.

    Neither library tells of the calls that are made while a function is traced, and TensorFlow refuses names
    of layers that Keras takes. Other threads' calls go straight through to what was there before.

    Seen in Keras 3.13.2 to 3.15.1 and TensorFlow 2.18 to 2.21, where every call goes through these; nothing
    stands in.

    Args:
        on_layer: is called with the method it stands for, the layer, its arguments and its named ones.
        on_operation: likewise, for every operation; of a layer, inside of its own call.
        graph_name: from a name to one that a graph takes.
    """
    import keras
    import tensorflow as tf

    thread = threading.get_ident()
    with _CALLS_LOCK:
        layer_call, operation_call = keras.Layer.__call__, keras.Operation.__call__
        name_scope = tf.Graph.name_scope

        def layer(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread:
                return layer_call(self, *args, **kwargs)
            return on_layer(layer_call, self, args, kwargs)

        def operation(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread:
                return operation_call(self, *args, **kwargs)
            return on_operation(operation_call, self, args, kwargs)

        def scope(self: Any, name: Any) -> Any:
            ours = threading.get_ident() == thread and isinstance(name, str)
            return name_scope(self, graph_name(name) if ours else name)

        keras.Layer.__call__, keras.Operation.__call__ = layer, operation
        tf.Graph.name_scope = scope
        try:
            yield
        finally:
            keras.Layer.__call__, keras.Operation.__call__ = layer_call, operation_call
            tf.Graph.name_scope = name_scope


@contextlib.contextmanager
def variables_announced(announce: Callable[[Any, Any, Any], None]) -> Iterator[None]:
    """Replace the constructor of ``keras.Variable``: each variable is announced before memory is taken for it.

    Keras makes the variables of a file while it builds the layers, and asks nobody. Other threads' variables
    are not announced.

    Seen in Keras 3.13.2 to 3.15.1; nothing stands in.

    Args:
        announce: is called with the initializer, the shape and the dtype; may raise.
    """
    import keras

    thread = threading.get_ident()
    with _VARIABLES_LOCK:
        original = keras.Variable.__init__

        def announced(
            self: Any, initializer: Any, shape: Any = None, dtype: Any = None, **options: Any
        ) -> None:
            if threading.get_ident() == thread:
                announce(initializer, shape, dtype)
            original(self, initializer, shape, dtype, **options)

        keras.Variable.__init__ = announced
        try:
            yield
        finally:
            keras.Variable.__init__ = original
