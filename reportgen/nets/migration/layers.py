"""Layers of Keras 2 as Keras 3 writes them, a step a cause; each returns a new layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reportgen.nets.migration.errors import MigrationError

if TYPE_CHECKING:
    from reportgen.nets.migration.keras1 import Layer

_RENAMED = {
    "Model": "Functional", "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization", "MaxPool1D": "MaxPooling1D", "MaxPool2D": "MaxPooling2D",
    "MaxPool3D": "MaxPooling3D", "AvgPool1D": "AveragePooling1D", "AvgPool2D": "AveragePooling2D",
    "AvgPool3D": "AveragePooling3D", "GlobalAvgPool1D": "GlobalAveragePooling1D",
    "GlobalAvgPool2D": "GlobalAveragePooling2D", "GlobalMaxPool1D": "GlobalMaxPooling1D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D", "SyncBatchNormalization": "BatchNormalization",
}  # fmt: skip
_NOTHING = (None, False)
_ONE = (1, None)
_ANY: tuple[Any, ...] = ()
_LEFT_OUT: dict[str, dict[str, tuple[Any, ...]]] = {
    "": {
        "batch_input_shape": _ANY, "input_length": _ANY, "weights": (None,), "implementation": _ANY,
        "time_major": _NOTHING, "ragged": _NOTHING, "zero_output_for_mask": _NOTHING, "build_input_shape": _ANY,
        "batch_size": _ANY, "rng_type": _ANY,
    },
    "BatchNormalization": {
        "renorm": _NOTHING, "fused": _ANY, "virtual_batch_size": (None,), "adjustment": (None,),
        "renorm_clipping": _ANY, "renorm_momentum": _ANY, "synchronized": _ANY,
    },
    "DepthwiseConv1D": {
        "groups": _ONE, "kernel_initializer": _ANY, "kernel_regularizer": _ANY, "kernel_constraint": _ANY,
        "filters": _ANY,
    },
    "DepthwiseConv2D": {
        "groups": _ONE, "kernel_initializer": _ANY, "kernel_regularizer": _ANY, "kernel_constraint": _ANY,
        "filters": _ANY,
    },
    "SeparableConv1D": {
        "groups": _ONE, "kernel_initializer": _ANY, "kernel_regularizer": _ANY, "kernel_constraint": _ANY,
    },
    "SeparableConv2D": {
        "groups": _ONE, "kernel_initializer": _ANY, "kernel_regularizer": _ANY, "kernel_constraint": _ANY,
    },
    "Conv1DTranspose": {"groups": _ONE},
    "Conv2DTranspose": {"groups": _ONE},
    "Conv3DTranspose": {"groups": _ONE},
    "Embedding": {"sparse": _NOTHING, "activity_regularizer": _ANY},
    "SpatialDropout1D": {"noise_shape": _ANY, "trainable": _ANY},
    "SpatialDropout2D": {"noise_shape": _ANY, "trainable": _ANY},
    "SpatialDropout3D": {"noise_shape": _ANY, "trainable": _ANY},
    "Attention": {"causal": _NOTHING},
    "AdditiveAttention": {"causal": _NOTHING},
    "MultiHeadAttention": {
        "query_shape": _ANY, "key_shape": _ANY, "value_shape": _ANY,
        "softmax_robust_masking": _NOTHING,
    },
}  # fmt: skip
"""Arguments that Keras 3 does not take, by class ("" for all), and the values with which they say nothing."""
_POLICIES = {"Policy", "PolicyV1", "DTypePolicy"}


def renamed(layer: Layer) -> Layer:
    """Give a layer the name that its class has in Keras 3."""
    return {**layer, "class_name": _RENAMED.get(layer["class_name"], layer["class_name"])}


def input_layer(layer: Layer) -> Layer:
    """Write an InputLayer with the arguments of Keras 3.

    Raises:
        MigrationError: its tensors are sparse or ragged.
    """
    if layer["class_name"] != "InputLayer":
        return layer
    old = layer["config"]
    if old.get("sparse") or old.get("ragged"):
        raise MigrationError(f"the input {old.get('name')!r} is sparse or ragged")
    shape = old.get("batch_input_shape", old.get("batch_shape"))
    config = {
        "name": old.get("name"),
        "batch_shape": shape,
        "dtype": old.get("dtype") or old.get("input_dtype") or "float32",
    }
    return {**layer, "config": config}


def dtype_policy(layer: Layer) -> Layer:
    """Write a policy by its name, as in ``mixed_float16``."""
    config, stored = layer["config"], layer["config"].get("dtype")
    if not isinstance(stored, dict) or stored.get("class_name") not in _POLICIES:
        return layer
    inner = stored.get("config")
    name = inner.get("name") if isinstance(inner, dict) else inner
    return {**layer, "config": {**config, "dtype": None if name == "_infer" else name}}


def plain_numbers(layer: Layer) -> Layer:
    """Take numbers out of the arrays that Keras 2.0 wrapped some in, as the slope of a LeakyReLU."""
    config = {
        key: value["value"] if isinstance(value, dict) and value.get("type") == "ndarray" else value
        for key, value in layer["config"].items()
    }
    return {**layer, "config": config}


def leaky_slope(layer: Layer) -> Layer:
    """Call the slope of a LeakyReLU what Keras 3 calls it; Keras 2's default was 0.3."""
    if layer["class_name"] != "LeakyReLU" or "negative_slope" in layer["config"]:
        return layer
    config = {**layer["config"], "negative_slope": layer["config"].get("alpha", 0.3)}
    return {**layer, "config": _without(config, "alpha")}


def thresholded_relu(layer: Layer) -> Layer:
    """Write a ThresholdedReLU, which Keras 3 does not export, as a ReLU: x above the threshold, else 0."""
    if layer["class_name"] != "ThresholdedReLU":
        return layer
    config = {**layer["config"], "threshold": layer["config"].get("theta", 1.0)}
    return {**layer, "class_name": "ReLU", "config": _without(config, "theta")}


def one_axis(layer: Layer) -> Layer:
    """Write the axis of a BatchNormalization as a number.

    Raises:
        MigrationError: it has several.
    """
    config = layer["config"]
    axis = config.get("axis")
    if layer["class_name"] != "BatchNormalization" or not isinstance(axis, list):
        return layer
    if len(axis) != 1:
        raise MigrationError(f"the layer {config.get('name')!r} normalises over several axes")
    return {**layer, "config": {**config, "axis": axis[0]}}


def gru_reset(layer: Layer) -> Layer:
    """Say that a GRU resets before the product where nothing is stored: Keras 3's default is the other way."""
    if layer["class_name"] not in {"GRU", "GRUCell"} or "reset_after" in layer["config"]:
        return layer
    return {**layer, "config": {**layer["config"], "reset_after": False}}


def cudnn(layer: Layer) -> Layer:
    """Write a recurrent layer of cuDNN as the one that computes the same; ``arrays`` turns its weights."""
    if layer["class_name"] not in {"CuDNNLSTM", "CuDNNGRU"}:
        return layer
    config = {
        **layer["config"],
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "use_bias": True,
    }
    if layer["class_name"] == "CuDNNGRU":
        config["reset_after"] = True
    return {**layer, "class_name": layer["class_name"].removeprefix("CuDNN"), "config": config}


def embedding_of_no_rows(layer: Layer) -> Layer:
    """Give an Embedding at least one row: Keras 3 builds none of none, and Keras 2 stored such.

    Raises:
        MigrationError: it has none, so nothing can be looked up in it.
    """
    if layer["class_name"] == "Embedding" and layer["config"].get("input_dim") == 0:
        raise MigrationError(
            f"the layer {layer['config'].get('name')!r} is an Embedding without rows"
        )
    return layer


def left_out(layer: Layer) -> Layer:
    """Leave out arguments that Keras 3 does not take, where their values say nothing.

    Raises:
        MigrationError: one says something.
    """
    table = {**_LEFT_OUT[""], **_LEFT_OUT.get(layer["class_name"], {})}
    config = {}
    for key, value in layer["config"].items():
        if key not in table:
            config[key] = value
        elif table[key] is not _ANY and value not in table[key]:
            name = layer["config"].get("name")
            raise MigrationError(
                f"the layer {name!r} has {key}={value!r}, which Keras 3 does not know"
            )
    return {**layer, "config": config}


def _without(config: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != key}
