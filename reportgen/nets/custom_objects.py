"""What the user names with ``--custom-objects``: imported on the user's word."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


def import_custom_objects(specifications: Sequence[str]) -> dict[str, Any]:
    """Return classes and functions by name.

    Args:
        specifications: ``MODULE``, ``MODULE:NAME`` or ``FILE.py``.

    Raises:
        InputError: one cannot be imported, or does not hold what it should.
    """
    objects: dict[str, Any] = {}
    for text in specifications:
        module, name = _import_module(text)
        if name:
            if not hasattr(module, name):
                raise InputError(f"--custom-objects {text}: the module has no {name!r}.")
            objects[name] = getattr(module, name)
            continue
        for key, value in vars(module).items():
            if key.startswith("_") or getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(value) or inspect.isfunction(value):
                objects[key] = value
    return objects


def _import_module(text: str) -> tuple[Any, str]:
    path, name = Path(text), ""
    if not text.endswith(".py"):
        text, _, name = text.partition(":")
    elif not path.is_file():
        raise InputError(f"--custom-objects {text}: there is no such file.")
    try:
        module = _run_file(path) if text.endswith(".py") else import_from_here(text)
    except Exception as error:
        raise InputError(
            f"--custom-objects {text}: importing it failed ({type(error).__name__}: {error})."
        ) from error
    return module, name


def _run_file(path: Path) -> Any:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise ImportError("it is no Python module")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def import_from_here(dotted: str) -> Any:
    """Import a module as ``python -m`` would, the current folder first."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(dotted)
    finally:
        if here in sys.path:
            sys.path.remove(here)
