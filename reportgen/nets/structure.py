"""Walk a model: structural paths of its layers, and every variable once."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import ModelError
from reportgen.nets.keras_internals import SEEN, inner_layers, layer_variables, raw_variable
from reportgen.network.facts import LayerFacts, VariableFacts
from reportgen.network.naming import role_of, snake_case, unique_path
from reportgen.numerics import dtype_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class Node(NamedTuple):
    """A layer or operation and its place in the tree."""

    path: str
    operation: Any
    parent: str | None


def walk(model: Any) -> list[Node]:
    """Return every layer and operation below ``model``, parents before children, each object once.

    ``variable.path`` and layer names are not unique (two backbones in one model), so a path is made
    of the names from the root down, with ``.2`` behind a name that a sibling has already.
    """
    nodes: list[Node] = []
    seen = {id(model)}
    taken: set[str] = set()

    def visit(operation: Any, parent: str | None) -> None:
        for child in children(operation):
            if id(child) in seen:
                continue
            seen.add(id(child))
            path = unique_path(child.name, parent, taken)
            nodes.append(Node(path, child, parent))
            visit(child, path)

    visit(model, None)
    return nodes


def children(operation: Any) -> list[Any]:
    """Return the operations directly inside a model or layer, in its own order.

    ``model.layers`` omits ``keras.ops`` nodes.
    """
    import keras

    inner = []
    if isinstance(operation, keras.Function):
        inner = list(operation.operations)
    elif isinstance(operation, keras.Sequential):
        inner = list(operation.layers)
    known = {id(child) for child in inner}
    return inner + [child for child in inner_layers(operation) if id(child) not in known]


def check_nothing_is_hidden(model: Any, nodes: list[Node]) -> None:
    """Hold what a walk shows against what Keras itself counts.

    After an upgrade of Keras a walk may find fewer layers or variables than there are, and a report would be
    silent about the rest. Seed generators' states, of ``model.variables``, are no weights and no part of it.

    Args:
        model: that was walked; called at least once.
        nodes: what ``walk`` has found.

    Raises:
        ModelError: the model has a layer, a variable or a parameter that the walk does not show.
    """
    import keras

    shown = {id(model), *(id(node.operation) for node in nodes)}
    operations = [model, *(node.operation for node in nodes)]
    held = {id(v): v for operation in operations for v in layer_variables(operation)}
    hidden = [f"the layer {x.name!r}" for x in _listed_layers(operations) if id(x) not in shown]
    hidden += [f"the variable {v.path!r}" for v in model.weights if id(v) not in held]
    counted = model.count_params() if model.built else 0
    if hidden or sum(_size(v) for v in held.values()) < counted:
        more = f" and {len(hidden) - 3} more" if len(hidden) > 3 else ""
        what = ", ".join(hidden[:3]) + more or f"some of its {counted:,} parameters"
        raise ModelError(
            f"{what} of the model {model.name!r} cannot be reached in Keras {keras.__version__}, and a report "
            f"would be silent about it. This reportgen knows Keras {SEEN[0]} to {SEEN[1]}: install one of them "
            f"(pip install 'keras>={SEEN[0]},<={SEEN[1]}') or a newer reportgen."
        )


def _listed_layers(operations: list[Any]) -> list[Any]:
    """Return the layers that models among the operations list themselves, and models among these."""
    import keras

    found: dict[int, Any] = {}
    waiting = [o for o in operations if isinstance(o, keras.Model)]
    while waiting:
        fresh = [layer for layer in waiting.pop().layers if id(layer) not in found]
        found.update({id(layer): layer for layer in fresh})
        waiting += [layer for layer in fresh if isinstance(layer, keras.Model)]
    return list(found.values())


def activation_name(operation: Any) -> str | None:
    """Return the name of a layer's activation function, None where it has none."""
    class_name = type(operation).__name__
    if class_name in {"Softmax", "ReLU", "LeakyReLU", "PReLU", "ELU", "Sigmoid", "Relu", "Tanh"}:
        return {"ReLU": "relu", "LeakyReLU": "leaky_relu", "PReLU": "prelu"}.get(
            class_name, class_name.lower()
        )
    activation = getattr(operation, "activation", None)
    if activation is None or isinstance(activation, str):  # some layers keep the name alone
        return activation
    name = getattr(activation, "__name__", None) or getattr(activation, "name", None)
    return str(name or type(activation).__name__).removeprefix(
        "keras_2_"
    )  # as files of Keras 2 say it


def layer_facts(nodes: list[Node]) -> tuple[LayerFacts, ...]:
    """Return the facts of every node; parameters are counted once within each."""
    inside: dict[str | None, list[Any]] = {}
    for node in nodes:
        inside.setdefault(node.parent, []).append(node)

    def variables(path: str | None, operation: Any) -> dict[int, Any]:
        found = {id(v): v for v in layer_variables(operation)}
        for child in inside.get(path, ()):
            found.update(variables(child.path, child.operation))
        return found

    facts = []
    for node in nodes:
        held = variables(node.path, node.operation).values()
        policy = getattr(node.operation, "dtype_policy", None)
        facts.append(
            LayerFacts(
                path=node.path,
                name=node.operation.name,
                class_name=type(node.operation).__name__,
                parent=node.parent,
                parameters=sum(_size(v) for v in held),
                trainable_parameters=sum(_size(v) for v in held if _trains(v, node.operation)),
                dtype_policy=str(getattr(policy, "name", "")),
                activation=activation_name(node.operation),
            )
        )
    return tuple(facts)


def count_parameters(model: Any) -> tuple[int, int]:
    """Return all and trainable elements of the model's weights, each variable once, as Keras counts."""
    weights = {id(v): v for v in model.weights}.values()
    trainable = {id(v): v for v in model.trainable_weights}.values()
    return sum(_size(v) for v in weights), sum(_size(v) for v in trainable)


def _size(variable: Any) -> int:
    return int(np.prod(variable.shape, dtype=np.int64))


def _trains(variable: Any, layer: Any) -> bool:
    return bool(variable.trainable) and bool(getattr(layer, "trainable", True))


def weight_bytes(model: Any) -> int:
    """Return the bytes of the model's weights in the types they are stored in."""
    return sum(_bytes(v) for v in {id(v): v for v in model.weights}.values())


def _bytes(variable: Any) -> int:
    return _size(variable) * dtype_size(str(variable.dtype))


def variables(model: Any, nodes: list[Node]) -> Iterator[tuple[VariableFacts, NDArray[Any]]]:
    """Yield every variable once, in the order of the layers, as facts and array.

    Tied variables are yielded at the first layer that holds them, with ``shared_by`` naming the
    others.
    """
    holders: dict[int, list[Node]] = {}
    root = Node("", model, None)
    for node in [*nodes, root]:
        for variable in layer_variables(node.operation):
            holders.setdefault(id(variable), []).append(node)
    taken: set[str] = set()
    trainable = {id(v) for v in model.trainable_weights}
    for node in [*nodes, root]:
        for variable in layer_variables(node.operation):
            first, *others = holders[id(variable)]
            if first is not node:
                continue
            initializer = _initializer(node.operation, variable.name)
            yield (
                VariableFacts(
                    path=unique_path(variable.name, node.path or None, taken),
                    layer=node.path,
                    layer_class=type(node.operation).__name__,
                    name=variable.name,
                    role=role_of(variable.name),
                    shape=tuple(int(n) for n in variable.shape),
                    dtype=str(variable.dtype),
                    trainable=id(variable) in trainable,
                    initializer=_initializer_name(initializer),
                    initializer_config=_initializer_config(initializer),
                    fans=_fans(node.operation, variable.name, initializer),
                    compute_dtype=str(getattr(node.operation, "compute_dtype", "")),
                    shared_by=tuple(other.path for other in others),
                ),
                to_numpy(variable),
            )


def _initializer(layer: Any, name: str) -> Any | None:
    """Return the initializer of a variable; not every kernel's is called so there."""
    if name == "kernel" and hasattr(layer, "depthwise_initializer"):
        return layer.depthwise_initializer
    own = getattr(layer, f"{name}_initializer", None)
    own = own or getattr(layer, f"{name.removesuffix('_kernel')}_initializer", None)
    if own is None and role_of(name) in {"kernel", "embeddings"}:  # a layer of one weight has one
        only = getattr(layer, "initializer", None)
        return only if hasattr(only, "get_config") and len(layer_variables(layer)) == 1 else None
    return own


def _initializer_name(initializer: Any | None) -> str | None:
    if initializer is None:
        return None
    return snake_case(type(initializer).__name__)


def _initializer_config(initializer: Any | None) -> dict[str, float | str]:
    if initializer is None or not hasattr(initializer, "get_config"):
        return {}
    config = initializer.get_config()
    return {
        key: item
        for key, item in config.items()
        if isinstance(item, float | int | str) and not isinstance(item, bool) and key != "seed"
    }


def _fans(layer: Any, name: str, initializer: Any | None) -> tuple[int, int] | None:
    """Return fan-in and fan-out of an EinsumDense by its equation, where this Keras draws by them."""
    equation = getattr(layer, "equation", None)
    if name != "kernel" or not isinstance(equation, str) or not hasattr(initializer, "input_axes"):
        return None
    left, _, result = equation.replace("...", "").partition("->")
    inputs, _, kernel = left.partition(",")
    shape = tuple(int(n) for n in layer.kernel.shape)
    if len(shape) != len(kernel):  # stored flat, by GPTQ or AWQ
        return None
    sizes = dict(zip(kernel, shape, strict=True))
    fan_in = prod(sizes[axis] for axis in kernel if axis in inputs and axis not in result)
    return fan_in, prod(sizes[axis] for axis in kernel if axis in result and axis not in inputs)


def to_numpy(value: Any) -> NDArray[Any]:
    """Return a variable or tensor as a NumPy array, on a CPU without a copy; bfloat16 and float8 as float32."""
    raw = raw_variable(value)
    # Not read_value, which runs a second operation for its control dependencies alone.
    array = np.asarray(raw.value() if hasattr(raw, "read_value") else raw)
    return array if array.dtype.kind in "fiub" else array.astype(np.float32)
