"""How layers and variables are called in a report, whether they were built or are only stored."""

from __future__ import annotations

_ROLES = frozenset({
    "kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "embeddings",
})  # fmt: skip


def unique_path(name: str, parent: str | None, taken: set[str]) -> str:
    """Return ``parent/name``, made unique among ``taken``, and add it there."""
    base = name if parent is None else f"{parent}/{name}"
    path, number = base, 1
    while path in taken:
        number += 1
        path = f"{base}.{number}"
    taken.add(path)
    return path


def role_of(name: str) -> str:
    """Return what a variable of this name is for; ``other`` where its name does not say."""
    if name in _ROLES:
        return name
    if name.endswith("kernel"):
        return "kernel"
    return "bias" if name.endswith("bias") else "other"


def snake_case(class_name: str) -> str:
    """Return ``glorot_uniform`` for ``GlorotUniform``."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in class_name).lstrip("_")
