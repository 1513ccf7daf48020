"""Layers of Keras 1 as Keras 2 wrote them: classes and arguments were renamed, little else."""

from __future__ import annotations

from typing import Any

from reportgen.nets.migration.errors import MigrationError

Layer = dict[str, Any]
"""A stored layer: ``class_name``, ``config`` and, in a graph, ``name`` and ``inbound_nodes``."""

_CLASSES = {
    "Convolution1D": "Conv1D", "Convolution2D": "Conv2D", "Convolution3D": "Conv3D",
    "Deconvolution2D": "Conv2DTranspose", "Deconvolution3D": "Conv3DTranspose",
    "Convolution2DTranspose": "Conv2DTranspose", "Convolution3DTranspose": "Conv3DTranspose",
    "SeparableConvolution1D": "SeparableConv1D", "SeparableConvolution2D": "SeparableConv2D",
    "AtrousConvolution1D": "Conv1D", "AtrousConvolution2D": "Conv2D", "TimeDistributedDense": "Dense",
}  # fmt: skip
_EVERYWHERE = {
    "nb_filter": "filters", "subsample": "strides", "subsample_length": "strides", "border_mode": "padding",
    "bias": "use_bias", "init": "kernel_initializer", "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation", "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer", "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint", "U_constraint": "recurrent_constraint",
    "b_constraint": "bias_constraint", "dropout_W": "dropout", "dropout_U": "recurrent_dropout",
    "atrous_rate": "dilation_rate", "filter_length": "kernel_size", "pool_length": "pool_size",
    "stride": "strides", "sigma": "stddev", "p": "rate", "beta_init": "beta_initializer",
    "gamma_init": "gamma_initializer", "depthwise_init": "depthwise_initializer",
    "pointwise_init": "pointwise_initializer",
}  # fmt: skip
"""Arguments that mean the same in every layer that has them."""
_WITH_UNITS = {"Dense", "LSTM", "GRU", "SimpleRNN"}
_SIDES = (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3"))
_MERGES = {
    "sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate",
    "dot": "Dot", "cos": "Dot",
}  # fmt: skip
_ORDERINGS = {"th": "channels_first", "tf": "channels_last"}
_INITIAL = {"zero": "zeros", "one": "ones", "normal": "random_normal", "uniform": "random_uniform"}


def renamed_class(layer: Layer) -> Layer:
    """Give a layer the name that its class has had since Keras 2."""
    return {**layer, "class_name": _CLASSES.get(layer["class_name"], layer["class_name"])}


def renamed_arguments(layer: Layer) -> Layer:
    """Give the arguments of a layer the names that they have had since Keras 2."""
    names = dict(_EVERYWHERE)
    if layer["class_name"] in _WITH_UNITS:
        names["output_dim"] = "units"
    if layer["class_name"] == "UpSampling1D":
        names["length"] = "size"
    if layer["class_name"] == "Embedding":
        names |= {"init": "embeddings_initializer", "W_regularizer": "embeddings_regularizer"}
        names["W_constraint"] = "embeddings_constraint"
    config = {names.get(key, key): value for key, value in layer["config"].items()}
    ordering = config.pop("dim_ordering", None)
    if ordering in _ORDERINGS:
        config["data_format"] = _ORDERINGS[ordering]
    for names_of_sides in _SIDES:
        if all(name in config for name in names_of_sides):
            config["kernel_size"] = [config.pop(name) for name in names_of_sides]
    return {**layer, "config": config}


def merged(layer: Layer) -> Layer:
    """Turn ``Merge`` into the layer of its mode.

    Raises:
        MigrationError: it merges by a function, or holds the networks that it merges.
    """
    if layer["class_name"] != "Merge":
        return layer
    config, name = layer["config"], layer["config"].get("name")
    mode = config.get("mode")
    if config.get("layers") or not isinstance(mode, str) or mode not in _MERGES:
        raise MigrationError(f"the layer {name!r} merges in a way that only Keras 1 has")
    changed: dict[str, Any] = {"name": name, "trainable": config.get("trainable", True)}
    if mode == "concat":
        changed["axis"] = config.get("concat_axis", -1)
    elif mode in {"dot", "cos"}:
        axes = config.get("dot_axes", -1)
        flat = isinstance(axes, list) and all(isinstance(axis, list) for axis in axes)
        changed["axes"] = [axis[0] for axis in axes] if flat else axes
        changed["normalize"] = mode == "cos"
    return {**layer, "class_name": _MERGES[mode], "config": changed}


def named_initializers(layer: Layer) -> Layer:
    """Give initializers that are texts the names that they have had since Keras 2."""
    config = {
        key: _INITIAL.get(value, value)
        if key.endswith("_initializer") and isinstance(value, str)
        else value
        for key, value in layer["config"].items()
    }
    return {**layer, "config": config}


def penalties_and_constraints(layer: Layer) -> Layer:
    """Write regularizers and constraints as objects: Keras 1 had their arguments beside their names."""
    config = {
        key: _object(value) if key.endswith(("_regularizer", "_constraint")) else value
        for key, value in layer["config"].items()
    }
    return {**layer, "config": config}


def _object(value: Any) -> Any:
    if not isinstance(value, dict) or "class_name" in value or "name" not in value:
        return value
    inner = {key: item for key, item in value.items() if key != "name"}
    if "m" in inner:
        inner["max_value"] = inner.pop("m")
    penalty = str(value["name"]).endswith("Regularizer")
    return {"class_name": "L1L2" if penalty else value["name"], "config": inner}


def without_old_arguments(layer: Layer) -> Layer:
    """Leave out what Keras 1 stored and what has no meaning since.

    Raises:
        MigrationError: a BatchNormalization that normalises in another mode.
    """
    config = dict(layer["config"])
    if layer["class_name"] == "BatchNormalization" and config.pop("mode", 0) not in {0, 2}:
        raise MigrationError(
            f"the layer {config.get('name')!r} normalises each sample, which only Keras 1 does"
        )
    for key in ("consume_less", "forget_bias_init", "input_dtype", "layers"):
        if key in config and layer["class_name"] not in {"Sequential", "Functional", "InputLayer"}:
            config.pop(key)
    config.pop("dropout" if layer["class_name"] == "Embedding" else "input_dim", None)
    if layer["class_name"] == "Conv2DTranspose":
        config.pop("output_shape", None)
    return {**layer, "config": config}
