"""How the model was trained, as far as it or its file says."""

from __future__ import annotations

from typing import Any

import numpy as np


def _config_name(value: Any) -> str | None:
    """Name an optimizer or loss from a stored configuration."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        inner = value.get("config")
        if value.get("class_name") == "function" and isinstance(inner, str):
            return inner
        if isinstance(value.get("class_name"), str):
            return str(value["class_name"])
        return ", ".join(f"{key}: {_config_name(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(_config_name(item)) for item in value)
    if value is None:
        return None
    return str(
        getattr(value, "__name__", None) or getattr(value, "name", None) or type(value).__name__
    )


def optimizer_name(model: Any, compiled: dict[str, Any]) -> str | None:
    """Name the optimizer of a live model or of its file."""
    live = getattr(model, "optimizer", None)
    return type(live).__name__ if live is not None else _config_name(compiled.get("optimizer"))


def learning_rate(model: Any, compiled: dict[str, Any]) -> float | None:
    """Return the learning rate, None where it is a schedule or not known."""
    live = getattr(model, "optimizer", None)
    value: Any = None
    if live is not None:
        schedule = callable(getattr(live, "_learning_rate", None))
        value = None if schedule else np.asarray(live.learning_rate).item()
    elif isinstance(compiled.get("optimizer"), dict):
        inner = compiled["optimizer"].get("config")
        value = inner.get("learning_rate") if isinstance(inner, dict) else None
    return float(value) if isinstance(value, int | float) else None


def loss_name(model: Any, compiled: dict[str, Any]) -> str | None:
    """Name the loss of a live model or of its file."""
    live = getattr(model, "loss", None)
    return _config_name(live) if live is not None else _config_name(compiled.get("loss"))
