"""What goes into a model and comes out of it: names, shapes and how its call takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.errors import ModelError
from reportgen.nets.keras_internals import built_shapes, producer
from reportgen.nets.structure import activation_name
from reportgen.network.facts import OutputFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def pack(model: Any, tensors: Mapping[str, Any]) -> Any:
    """Arrange input tensors as the model's call takes them."""
    import keras

    values = list(tensors.values())
    if isinstance(model, keras.Function):  # whose input is arranged as its maker arranged it
        return keras.tree.pack_sequence_as(model.input, values)
    if isinstance(built_shapes(model), dict):
        return dict(tensors)
    return values[0] if len(values) == 1 else values


def is_graph(model: Any) -> bool:
    """Return whether a model is a graph of layers that Keras knows, as Functional and built Sequential."""
    import keras

    return isinstance(model, keras.Function | keras.Sequential) and bool(symbolic_inputs(model))


def symbolic_inputs(model: Any) -> list[Any]:
    """Return the tensors that a graph of layers starts from; none of others, or where it is not built."""
    try:
        return list(model.inputs or ())
    except (AttributeError, ValueError):
        return []


def input_specs(
    model: Any, example: tuple[int, ...] | None
) -> dict[str, tuple[tuple[int | None, ...], str]]:
    """Return shape (batch first) and dtype of every input by name."""
    import keras

    if tensors := symbolic_inputs(model):
        names = [input_name(tensor, model) for tensor in tensors]
        return {
            name: (tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))
            for name, tensor in zip(names, tensors, strict=True)
        }
    stored = built_shapes(model)
    if _is_shape(stored):
        stored = {"input": stored}
    elif isinstance(stored, tuple | list):
        stored = {f"input_{index}": shape for index, shape in enumerate(stored)}
    if isinstance(stored, dict) and stored and all(_is_shape(s) for s in stored.values()):
        return {str(name): ((None, *shape[1:]), "float32") for name, shape in stored.items()}
    if example is not None:
        return {"input": ((None, *example), "float32")}
    raise ModelError(
        f"The model {model.name!r} ({type(model).__name__}) does not say what it takes. "
        "Call it once on your data before saving it, or give --input-size HxW."
    )


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(n is None or isinstance(n, int) for n in value)


def input_name(tensor: Any, model: Any) -> str:
    """Return an input's name: its layer's where the tensor has a number only, as in a saved file."""
    name = str(tensor.name)
    if not name.startswith("keras_tensor"):
        return name
    layer = producer(tensor, getattr(model, "operations", ()))
    return name if layer is None else str(layer.name)


def named_outputs(model: Any, result: Any) -> dict[str, Any]:
    """Return the model's outputs by name, in order: nested ones by their paths, as ``boxes/0``."""
    import keras

    found = dict(_leaves(result))
    if isinstance(result, dict) or any(len(path) > 1 for path in found):
        return {"/".join(path): tensor for path, tensor in found.items()}
    tensors = list(found.values())
    names = list(getattr(model, "output_names", ()) or ())
    if isinstance(model, keras.Sequential) and is_graph(model):  # which has no names itself
        names = [model.layers[-1].name]
    if len(names) != len(tensors) or len(set(names)) != len(names):
        names = ["output"] if len(tensors) == 1 else [f"output_{i}" for i in range(len(tensors))]
    return dict(zip(names, tensors, strict=True))


def _leaves(structure: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield path and tensor in the order that the model gives them, where ``keras.tree`` sorts by name."""
    if isinstance(structure, dict):
        pairs: Iterable[tuple[Any, Any]] = structure.items()
    elif isinstance(structure, list | tuple):
        pairs = enumerate(structure)
    else:
        yield path, structure
        return
    for key, inner in pairs:
        yield from _leaves(inner, (*path, str(key)))


def symbolic_outputs(model: Any) -> list[Any]:
    """Return the tensors that a graph of layers ends in; none of others."""
    try:
        return list(model.outputs or ())
    except (AttributeError, ValueError):
        return []


def declared_outputs(model: Any) -> tuple[OutputFacts, ...]:
    """Return what a model that cannot be traced says of its outputs."""
    operations = getattr(model, "operations", ())
    return tuple(
        OutputFacts(
            getattr(tensor, "name", f"output_{index}"),
            tuple(tensor.shape),
            str(tensor.dtype),
            activation=activation_name(producer(tensor, operations)),
        )
        for index, tensor in enumerate(symbolic_outputs(model))
    )
