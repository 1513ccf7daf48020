"""What a model file may name: classes and functions of Keras that only compute.

A configuration names classes and functions, and Keras calls what they name while the model is built and
traced. So everything that is named is held against a list made from Keras' own registries before Keras sees
the file. What this process has registered itself, or was handed on the user's word, is allowed too.
"""

from __future__ import annotations

import inspect
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.errors import NotBuiltError
from reportgen.nets.keras_internals import modules_of_layers, registered_symbol, symbol_in_module

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_VALUE_NAMES = {
    "__keras_tensor__",
    "__tensor__",
    "__numpy__",
    "__bytes__",
    "__ellipsis__",
    "__slice__",
}
"""Names that Keras gives to what is no object: numbers and texts."""
_FOREIGN_LAYERS = {"TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper"}
"""Layers that run a program of another framework, most of them from a file beside the model."""
_OBJECT_BUILDERS = {"get", "serialize", "deserialize"}
"""Functions in the registries that make objects out of their arguments."""
_FILE_ARGUMENTS = ("vocabulary", "vocabulary_file", "proto", "merges", "preset", "filepath")
"""Arguments of layers that are read from a file or address where they are one text."""
_IMPORTED_PACKAGES = {"keras", "keras_hub", "keras_cv", "keras_nlp"}
"""Packages from which Keras imports what a file names."""
_LOOKUP_MODULES = (
    "activations", "initializers", "regularizers", "constraints", "losses",
    "metrics", "optimizers", "optimizers.schedules", "dtype_policies", "quantizers",
)  # fmt: skip
"""Modules of Keras in which old files and built-in functions are looked up by their bare name, beside those of
layers."""
_COMPUTING_MODULES = (
    "activations", "losses", "metrics", "ops", "ops.image", "ops.linalg", "ops.nn", "ops.numpy",
)  # fmt: skip
"""Modules of Keras whose functions take tensors and return tensors."""


class _Named(NamedTuple):
    """What one object of a configuration names.

    Attributes:
        place: the module; None in old files and for what is built in.
        name: of the class or function.
        key: under which Keras looks among the registered custom objects.
    """

    place: str | None
    name: str
    key: str


def refuse_untrusted(
    config: Any, known: Mapping[str, Any], path: Path, *, allow_code: bool = False
) -> None:
    """Raise where a configuration names what may do more than compute, or what nobody knows.

    Args:
        config: the stored configuration, as JSON gives it.
        known: custom objects by name.
        path: of the file, for the message.
        allow_code: whether the user trusts what the file carries and names.

    Raises:
        NotBuiltError: it carries Python code, names a function of Keras that is no part of a network, reads
            files, or names what nobody has imported.
    """
    unknown, gone = set[str](), set[str]()
    for node, layer in _stored_objects(config):
        if node["class_name"] in _VALUE_NAMES:
            continue
        named = _named(node)
        harm = "" if allow_code else _harm_of(node, named, known)
        if harm:
            raise NotBuiltError(
                f"{path}: the layer {layer!r} {harm} would run on this machine. "
                "If you trust the file, pass --allow-code."
            )
        if _carries_code(node) or _registered(named, known) or _find(named) is not None:
            continue
        if named.place and named.place.split(".")[0] == "keras":
            gone.add(f"{named.place}.{named.name}")
        else:
            unknown.add(named.name)
    if unknown:
        raise unknown_objects(unknown, path)
    if gone:
        raise NotBuiltError(
            f"{path} names {', '.join(sorted(gone))}, which this version of Keras does not have: it cannot "
            "load this model. If an older Keras wrote it, load it there and save it with "
            "model.save('NAME.keras')."
        )


def may_be_named(thing: Any) -> bool:
    """Tell whether a class or function of Keras only computes, so that any file may name it."""
    if inspect.isclass(thing):
        ours = thing.__module__.startswith("keras.") and thing.__name__ not in _FOREIGN_LAYERS
        return ours and issubclass(thing, _computing_classes())
    return inspect.isfunction(thing) and thing in _computing_functions()


@cache
def _computing_classes() -> tuple[type, ...]:
    import keras

    return (
        keras.Operation, keras.Initializer, keras.Regularizer, keras.constraints.Constraint,
        keras.Loss, keras.Metric, keras.Optimizer, keras.optimizers.schedules.LearningRateSchedule,
        keras.DTypePolicy, keras.dtype_policies.DTypePolicyMap, keras.Quantizer,
        keras.quantizers.QuantizationConfig, keras.random.SeedGenerator,
    )  # fmt: skip


@cache
def _computing_functions() -> frozenset[Any]:
    """Return the functions that only compute: operations, activations, losses, metrics, input scalings."""
    import keras

    found = {
        value
        for module in _COMPUTING_MODULES
        for name, value in vars(sys.modules[f"keras.{module}"]).items()
        if inspect.isfunction(value) and name not in _OBJECT_BUILDERS
    }
    scalings = (getattr(m, "preprocess_input", None) for m in vars(keras.applications).values())
    return frozenset(found.union(filter(inspect.isfunction, scalings)))


def _stored_objects(config: Any) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield every object of a stored configuration with the name of the layer that it belongs to."""
    stack = [(config, "")]
    while stack:
        node, layer = stack.pop()
        if isinstance(node, list):
            stack.extend((item, layer) for item in node)
        elif isinstance(node, dict):
            name = node.get("class_name")
            if isinstance(name, str):
                layer = _layer_name(node) or layer or name
                yield node, layer
            stack.extend((value, layer) for value in node.values())


def _layer_name(node: Mapping[str, Any]) -> str:
    inner = node.get("config")
    name = inner.get("name") if isinstance(inner, dict) else None
    return str(name or node.get("name") or "")


def _named(node: Mapping[str, Any]) -> _Named:
    """Say what Keras would look up; a form that it does not know is named as it stands."""
    name, inner, registered = node["class_name"], node.get("config"), node.get("registered_name")
    place = node.get("module")
    place = place if isinstance(place, str) and place != "builtins" else None
    if name == "function":
        return _Named(place, str(inner), str(inner))
    if name == "__typespec__":
        return _Named(None, f"{place}.{node.get('spec_name')}", "")
    return _Named(place, name, registered if isinstance(registered, str) else name)


def _harm_of(node: Mapping[str, Any], named: _Named, known: Mapping[str, Any]) -> str:
    """Say what an object would do beside computing, or nothing."""
    if _carries_code(node):
        return "carries Python code (a Lambda), which"
    if _registered(named, known):
        return ""
    found = _find(named)
    if found is not None and not may_be_named(found):
        what = f"{named.place}.{named.name}" if named.place else named.name
        return f"names {what}, which is no part of a network and"
    if named.place is None and (builder := _builder_by_name(node)):
        return f"names {builder}, which is no part of a network and"
    read = _file_argument(node)
    return f"reads its {read}, which" if read else ""


def _registered(named: _Named, known: Mapping[str, Any]) -> bool:
    """Tell whether this process registered it, or the user named it."""
    import keras

    # What Keras does not find by its key it imports from these packages; elsewhere the name will do.
    imports = named.place is not None and named.place.split(".")[0] in _IMPORTED_PACKAGES
    keys = {named.key} if imports else {named.key, named.name}
    return any(keras.saving.get_registered_object(key, known) is not None for key in keys)


def _find(named: _Named) -> Any:
    """Return what Keras would find, as Keras looks for it; nothing is imported."""
    if named.place is None:
        others = (sys.modules.get(f"keras.{module}") for module in _LOOKUP_MODULES)
        modules = (*modules_of_layers(), *others)
        found = (vars(module).get(named.name) for module in modules if module)
        return next((thing for thing in found if callable(thing)), None)
    if named.place.split(".")[0] != "keras":
        return None
    symbol = registered_symbol(named.place, named.name)
    return symbol if symbol is not None else symbol_in_module(named.place, named.name)


def _carries_code(node: Mapping[str, Any]) -> bool:
    """Tell stored byte code: Lambda layers in their three forms, and ``__lambda__`` objects anywhere."""
    inner = node.get("config")
    if node["class_name"] == "__lambda__":
        return True
    if node["class_name"] != "Lambda" or not isinstance(inner, dict):
        return False
    kinds = ("function_type", "output_shape_type")
    stored = (inner.get("function"), inner.get("output_shape"))
    return isinstance(stored[0], list) or any(inner.get(kind) == "lambda" for kind in kinds)


def _builder_by_name(node: Mapping[str, Any]) -> str:
    """Return what an old file names as a bare text: Keras takes it for the function of that name."""
    inner = node.get("config")
    texts = inner.items() if isinstance(inner, dict) else ()
    found = (text for key, text in texts if key != "name" and isinstance(text, str))
    return next((text for text in found if text in _OBJECT_BUILDERS), "")


def _file_argument(node: Mapping[str, Any]) -> str:
    """Return the argument for which a layer would read a file, or nothing."""
    inner = node.get("config")
    texts = (
        key
        for key in _FILE_ARGUMENTS
        if isinstance(inner, dict) and isinstance(inner.get(key), str)
    )
    return next(texts, "")


def unknown_objects(names: set[str], path: Path) -> NotBuiltError:
    """Return the error for classes or functions that nobody has imported."""
    operations = sorted(names & _operation_names())
    if layers := ", ".join(map(repr, sorted(names & _layer_names()))):
        said = f"it stores {layers} in a form that this version does not read"
        return NotBuiltError(f"{path}: Keras cannot load this model: {said}.")
    if operations:
        return NotBuiltError(
            f"{path} uses the operation {operations[0]!r} of keras.ops, which .h5 files cannot hold. "
            "Save the model where it was made with model.save('NAME.keras')."
        )
    plural = "classes or functions" if len(names) > 1 else "class or function"
    return NotBuiltError(
        f"{path} uses the custom {plural} {', '.join(map(repr, sorted(names)))}, which Keras does not know. "
        "Pass the module or file that defines it: --custom-objects package.module or "
        "--custom-objects path/to/layers.py."
    )


def _operation_names() -> set[str]:
    """Return the names of the operations that are no layers."""
    import keras

    return {kind.__name__ for kind in _kinds(keras.Operation) if not issubclass(kind, keras.Layer)}


def _layer_names() -> set[str]:
    import keras

    return {kind.__name__ for kind in _kinds(keras.Layer)}


def _kinds(base: type) -> set[type]:
    """Return the classes of Keras that derive from one."""
    found: set[type] = set()
    queue: list[type] = [base]
    while queue:
        kind = queue.pop()
        if kind.__module__.startswith("keras."):
            found.add(kind)
            queue.extend(type.__subclasses__(kind))
    return found
