"""How the model was trained, as far as it or its file says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.nets.keras_internals import is_scheduled

if TYPE_CHECKING:
    from collections.abc import Mapping

_CROSSENTROPY = "crossentropy"


def optimizer_name(model: Any, compiled: Mapping[str, Any]) -> str | None:
    """Name the optimizer of a live model or of its file."""
    live = getattr(model, "optimizer", None)
    if live is not None:
        return type(live).__name__
    stored = compiled.get("optimizer")
    name = stored.get("class_name") if isinstance(stored, dict) else stored
    return name if isinstance(name, str) else None


def learning_rate(model: Any, compiled: Mapping[str, Any]) -> float | None:
    """Return the learning rate, None where it is a schedule or not known."""
    live = getattr(model, "optimizer", None)
    value: Any = None
    if live is not None:
        value = None if is_scheduled(live) else np.asarray(live.learning_rate).item()
    elif isinstance(compiled.get("optimizer"), dict):
        inner = compiled["optimizer"].get("config")
        value = inner.get("learning_rate") if isinstance(inner, dict) else None
    return float(value) if isinstance(value, int | float) else None


def loss_name(model: Any, compiled: Mapping[str, Any]) -> str | None:
    """Name the loss of a live model or of its file; several by their outputs."""
    loss = stored_loss(model, compiled)
    if isinstance(loss, dict) and "class_name" not in loss:
        return ", ".join(f"{key}: {one_loss_name(item)}" for key, item in loss.items())
    if isinstance(loss, list | tuple):
        return ", ".join(one_loss_name(item) for item in loss)
    return one_loss_name(loss) if loss is not None else None


def stored_loss(model: Any, compiled: Mapping[str, Any]) -> Any:
    """Return the loss of a live model, or what its file stores of it."""
    live = getattr(model, "loss", None)
    return live if live is not None else compiled.get("loss")


def one_loss_name(loss: Any) -> str:
    """Return a loss in snake case: ``SparseCategoricalCrossentropy`` and its function are one name."""
    if isinstance(loss, dict):
        inner = loss.get("config")
        loss = inner if isinstance(inner, str) else str(loss.get("class_name", ""))
    text = loss if isinstance(loss, str) else getattr(loss, "__name__", None) or type(loss).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in text).lstrip("_")


def takes_logits(loss: Any) -> bool | None:
    """Return whether a crossentropy of Keras takes logits, live or as a file stores it; None of other losses.

    Named by a text or a function it takes probabilities, as its default is.
    """
    if loss is None or not one_loss_name(loss).endswith(_CROSSENTROPY):
        return None
    if isinstance(loss, dict):
        inner = loss.get("config")
        said = inner.get("from_logits") if isinstance(inner, dict) else False
    elif isinstance(loss, str):
        said = False
    elif hasattr(loss, "get_config"):
        said = loss.get_config().get("from_logits")
    else:
        said = False if str(getattr(loss, "__module__", "")).startswith("keras.") else None
    return said if isinstance(said, bool) else None
