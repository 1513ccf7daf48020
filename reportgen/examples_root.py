"""Where the embedded example lies."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def example_root() -> Path:
    """Return the folder ``examples``: inside the installed package, or beside it in a checkout."""
    inside = Path(str(files("reportgen"))) / "examples"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "examples"
