"""``[tool.reportgen]`` in pyproject.toml: every option of ``build``; the command line wins."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from reportgen.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_FILES = {"probes", "classes", "labels", "history", "data", "output"}
_SWITCHES = {"quiet", "verbose", "open"}


def read_configuration(start: Path, options: Collection[str]) -> dict[str, Any]:
    """Return the table of the nearest pyproject.toml above ``start``; empty where there is none.

    Relative paths in it count from the folder of the file.

    Args:
        start: the folder to start from.
        options: the names that are known, with underscores.

    Raises:
        ConfigurationError: not TOML, no table, an unknown option, or a path or switch that is none.
    """
    path = next((p for f in (start, *start.parents) if (p := f / "pyproject.toml").is_file()), None)
    if path is None:
        return {}
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from None
    tool = data.get("tool")
    table = tool.get("reportgen", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: tool.reportgen must be a table.")
    found = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in options:
            raise ConfigurationError(f"{path}: [tool.reportgen] has the unknown option {key!r}.")
        if (name in _FILES and not _is_file(name, value)) or (
            name in _SWITCHES and not isinstance(value, bool)
        ):
            raise ConfigurationError(f"{path}: [tool.reportgen] {key} cannot be {value!r}.")
        found[name] = _based(value, path.parent) if name in _FILES else value
    return found


def _is_file(name: str, value: Any) -> bool:
    several = name == "probes" and isinstance(value, list)
    return all(isinstance(item, str) for item in (value if several else [value]))


def _based(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_based(item, folder) for item in value]
    return str(folder / value) if isinstance(value, str) else value
