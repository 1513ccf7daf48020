"""A network that takes channels first, as a copy with channels last: TensorFlow runs no other on a processor.

The copy is made where it is exact: of a graph of layers that each have a counterpart with channels last, whose
weights are laid out alike. Its inputs and outputs stay as they are; tensors of height and width are turned
behind the ones and in front of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.nets.axes import channels_first_layer
from reportgen.nets.failures import cause
from reportgen.nets.signature import input_name
from reportgen.nets.structure import walk

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIRST, _LAST = "channels_first", "channels_last"
_TO_LAST, _TO_FIRST = (2, 3, 1), (3, 1, 2)
_PLACED = frozenset({
    "Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D", "AveragePooling2D",
    "GlobalMaxPooling2D", "GlobalAveragePooling2D", "ZeroPadding2D", "Cropping2D", "UpSampling2D",
    "SpatialDropout2D",
})  # fmt: skip
"""Layers that say by their data format where the channels are, with the same weights for both."""
_ALONG = {
    "BatchNormalization": "axis",
    "LayerNormalization": "axis",
    "Concatenate": "axis",
    "Softmax": "axis",
}
_AXES = {0: 0, 1: 3, 2: 1, 3: 2, -1: 2, -2: 1, -3: 3, -4: 0}
"""Of (batch, channels, height, width), where each stands in (batch, height, width, channels)."""
_ELEMENTWISE = frozenset({
    "Activation", "ReLU", "LeakyReLU", "ELU", "Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout",
    "ActivityRegularization", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Identity",
})  # fmt: skip
_OVER_WIDTH = frozenset({"softmax", "log_softmax", "sparsemax", "glu"})
"""Activations that take the last axis together."""
_MAP = 4


class UnlikeError(Exception):
    """A layer has no counterpart with channels last; the text names it."""


def channels_last_copy(model: Any) -> tuple[Any | None, str]:
    """Return a copy that answers the same with its channels last inside, or nothing and the reason.

    Args:
        model: built; it is not changed.
    """
    import keras

    if type(model) not in {keras.Model, keras.Sequential} and type(model).__name__ != "Functional":
        return None, "it is no plain graph of layers"
    try:
        graph = keras.Model(model.inputs, model.outputs, name=model.name)
        turning = _Turning()
        copy = keras.models.clone_model(
            graph,
            input_tensors=[_same_input(tensor, model) for tensor in graph.inputs],
            clone_function=turning.cloned,
            call_function=turning.called,
        )
        outputs = [turning.turned_back(tensor) for tensor in copy.outputs]
        copy = keras.Model(copy.inputs, outputs, name=model.name)
        for layer in graph.layers:
            if layer.weights and not _is_network(layer):  # whose copy has its weights
                copy.get_layer(layer.name).set_weights(layer.get_weights())
    except UnlikeError as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - whatever Keras cannot do anew
        return None, cause(error)
    if copy.count_params() != model.count_params():
        return None, "networks inside of it share layers"
    kept = channels_first_layer(node.operation for node in walk(copy))
    if kept is not None:
        return None, f"the layer {kept.name!r} ({type(kept).__name__}) has no counterpart there"
    return copy, ""


def _same_input(tensor: Any, model: Any) -> Any:
    """Return a new input of the same name: Keras would give it a number."""
    import keras

    name = input_name(tensor, model)
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)


def _is_network(layer: Any) -> bool:
    return bool(getattr(layer, "layers", None))


class _Turning:
    """Clones the layers of a graph, and calls them on turned tensors."""

    def __init__(self) -> None:
        self._kept: list[Any] = []
        self._last: dict[int, Any] = {}
        self._formats: dict[str, Any] = {}
        self._permutations = 0

    def cloned(self, layer: Any) -> Any:
        """Return a new layer with its channels last, or the same of one that has no places.

        A network inside becomes its own copy, which takes and gives what it did.

        Raises:
            UnlikeError: it is somebody's own, or a network of which no copy can be made.
        """
        kind = type(layer).__name__
        if _is_network(layer):
            copy, reason = channels_last_copy(layer)
            if copy is None:
                raise UnlikeError(f"{reason} (in {layer.name!r})")
            return copy
        if not type(layer).__module__.startswith("keras."):
            raise UnlikeError(f"the layer {layer.name!r} ({kind}) is copied only by its own code")
        config = layer.get_config()
        self._formats[layer.name] = config.get("data_format")
        if kind in _PLACED or kind == "Flatten":
            config["data_format"] = _LAST
        elif kind in _ALONG and _is_map(layer.output):
            config["axis"] = _axis(layer.name, config["axis"])
        return type(layer).from_config(config)

    def called(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a cloned layer.

        Raises:
            UnlikeError: on maps it is not known to do the same with channels last.
        """
        from keras import tree

        if _is_network(layer):
            args, kwargs = tree.map_structure(self.turned_back, (args, kwargs))
            return layer(*args, **kwargs)
        given = [tensor for tensor in tree.flatten((args, kwargs)) if hasattr(tensor, "shape")]
        maps = [tensor for tensor in given if _is_map(tensor)]
        if not maps:
            made = layer(*args, **kwargs)
            if any(_is_map(tensor) for tensor in tree.flatten(made)):
                raise UnlikeError(f"the layer {layer.name!r} makes maps of what is none")
            return made
        self._check(layer, len(maps) == len(given))
        if type(layer).__name__ == "Flatten" and self._formats[layer.name] != _FIRST:
            return layer(self.turned_back(self._turned(maps[0])))
        args, kwargs = tree.map_structure(
            lambda one: self._turned(one) if hasattr(one, "shape") and _is_map(one) else one,
            (args, kwargs),
        )
        made = layer(*args, **kwargs)
        if _is_map(made):
            self._keep(made, made)
        return made

    def turned_back(self, tensor: Any) -> Any:
        """Return a tensor with the axes that it has in the original."""
        last = tensor is not None and self._last.get(id(tensor)) is tensor
        return self._permuted(tensor, _TO_FIRST) if last else tensor

    def _turned(self, tensor: Any) -> Any:
        """Return a tensor with its channels last: an input's is turned once."""
        if id(tensor) not in self._last:
            made = self._permuted(tensor, _TO_LAST)
            self._keep(tensor, made)
            self._keep(made, made)
        return self._last[id(tensor)]

    def _permuted(self, tensor: Any, order: tuple[int, int, int]) -> Any:
        from keras import layers

        self._permutations += 1  # the names of a network are the same in every process
        return layers.Permute(order, name=f"turned_{self._permutations}")(tensor)

    def _keep(self, tensor: Any, made: Any) -> None:
        self._kept += [tensor, made]  # an id is that of a tensor as long as it lives
        self._last[id(tensor)] = made

    def _check(self, layer: Any, only_maps: bool) -> None:  # noqa: FBT001 - of this module alone
        kind, config = type(layer).__name__, layer.get_config()
        known = (
            kind in _PLACED
            or kind in _ALONG
            or kind in _ELEMENTWISE
            or kind in {"Flatten", "Rescaling"}
        )
        numbers = all(isinstance(config.get(key, 0), int | float) for key in ("scale", "offset"))
        if kind == "Rescaling" and not numbers:
            known = False
        if kind in _PLACED and self._formats[layer.name] != _FIRST:
            known = False
        if _activation(config) in _OVER_WIDTH or not only_maps:
            known = False
        if not known:
            raise UnlikeError(
                f"the layer {layer.name!r} ({kind}) is not known to do the same there"
            )


def _is_map(tensor: Any) -> bool:
    shape = getattr(tensor, "shape", None)
    return shape is not None and len(shape) == _MAP


def _axis(name: str, axis: Any) -> int:
    if isinstance(axis, list | tuple) and len(axis) == 1:
        axis = axis[0]
    if not isinstance(axis, int) or axis not in _AXES:
        raise UnlikeError(f"the layer {name!r} goes along several axes")
    return _AXES[axis]


def _activation(config: Mapping[str, Any]) -> str:
    stored = config.get("activation")
    stored = stored.get("config") if isinstance(stored, dict) else stored
    return stored if isinstance(stored, str) else ""
