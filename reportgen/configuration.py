"""Options from a file: ``[tool.reportgen]`` in pyproject.toml, or a file named with ``--config``.

The command line wins. A pyproject.toml is found, not named: it may come with a folder that somebody sent. So it
may not hold what runs code, writes elsewhere or contacts a host; a file that the user names may.
"""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.errors import ConfigurationError, UsageError
from reportgen.files import read_regular
from reportgen.settings import Settings, make_settings
from reportgen.wording import readable_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_FILES = {"probes", "classes", "labels", "history", "data", "output", "cache", "junit"}
_SWITCHES = {"quiet", "verbose", "open"}
_PATHS = ("probes", "classes", "labels", "history", "data")
_UNSHOWN = {
    "output",
    "quiet",
    "verbose",
    "open_page",
    "force",
    "model",
    "device",
    "show_paths",
    "junit",
    "cache",
    "fresh",
}
"""Options that do not shape the report."""
_NAMED_ONLY = ("custom_objects", "allow_code", "output", "force", "cache", "junit")
"""What is taken from the command line or a named file only, beside ``preprocess = "module:function"``."""


def read_configuration(
    start: Path, options: Collection[str], named: Path | None = None
) -> dict[str, Any]:
    """Return the options of the named file, or of the nearest pyproject.toml above ``start``.

    Relative paths in it count from the folder of the file. Without such a file there are none.

    Args:
        start: the folder to start from.
        options: the names that are known, with underscores.
        named: the file that the user named; its options stand in ``[tool.reportgen]`` or at its top.

    Raises:
        ConfigurationError: not TOML, no table, an unknown option, a path or switch that is none, or an
            option that a file which nobody named may not hold.
    """
    folders = (start, *start.parents)
    path = named or next((p for f in folders if (p := f / "pyproject.toml").is_file()), None)
    if path is None:
        return {}
    found = {}
    for key, value in _table(path, named=named is not None).items():
        name = key.replace("-", "_")
        if name not in options:
            raise ConfigurationError(f"{path}: [tool.reportgen] has the unknown option {key!r}.")
        if (name in _FILES and not _is_file(name, value)) or (
            name in _SWITCHES and not isinstance(value, bool)
        ):
            raise ConfigurationError(f"{path}: [tool.reportgen] {key} cannot be {value!r}.")
        if named is None and _needs_trust(name, value):
            flag = f"--{name.replace('_', '-')}"
            raise ConfigurationError(
                f"{path}: [tool.reportgen] may not hold {key!r}, since a folder from elsewhere may bring "
                f"such a file: pass {flag}, or name a file that you trust with --config FILE."
            )
        found[name] = _based(name, value, path.parent)
    try:
        make_settings({k: v for k, v in found.items() if k in Settings.__struct_fields__})
    except UsageError as error:
        raise ConfigurationError(f"{path}, [tool.reportgen]: {error}") from None
    return found


def _table(path: Path, *, named: bool) -> dict[str, Any]:
    try:
        data = tomllib.loads(read_regular(path).decode("utf-8"))
    except (
        OSError,
        ValueError,
        RecursionError,
    ) as error:  # a number of 5,000 digits is no TOML error
        raise ConfigurationError(f"{path} cannot be read: {error}.") from None
    tool = data.get("tool")
    table = tool.get("reportgen") if isinstance(tool, dict) else None
    if table is None:
        table = {key: value for key, value in data.items() if key != "tool"} if named else {}
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: tool.reportgen must be a table.")
    return table


def _needs_trust(name: str, value: Any) -> bool:
    return name in _NAMED_ONLY or (name == "preprocess" and ":" in str(value))


def _is_file(name: str, value: Any) -> bool:
    several = name == "probes" and isinstance(value, list)
    return all(isinstance(item, str) for item in (value if several else [value]))


def _based(name: str, value: Any, folder: Path) -> Any:
    """Let relative paths count from the folder of the file."""
    if isinstance(value, list):
        return [_based(name, item, folder) for item in value]
    if name == "units" and isinstance(value, str) and ":direction=" in value:
        unit, _, file = value.partition(":direction=")
        return f"{unit}:direction={folder / file}"
    is_path = name in _FILES or (name == "custom_objects" and str(value).endswith(".py"))
    return str(folder / value) if is_path and isinstance(value, str) else value


def command_text(model: str, options: Mapping[str, Any]) -> str:
    """Return the command with file names only and without what does not shape the report."""
    words = ["reportgen", "build", _name(model)]
    for key, value in sorted(options.items()):
        if key in _UNSHOWN or is_missing(value):
            continue
        flag = f"--{key.replace('_', '-')}"
        if value is True:
            words.append(flag)
            continue
        if isinstance(value, dict):
            value = [f"{name}={item}" for name, item in value.items()]  # noqa: PLW2901
        for item in value if isinstance(value, list | tuple) else [value]:
            text = str(item)
            if key == "probes" and options.get("hide_names"):
                text = "…"
            is_file = key in _PATHS or (key == "custom_objects" and text.endswith(".py"))
            words += [flag, _name(text) if is_file else text]
    return shlex.join([*words, "-o", "OUT"])


def _name(path: str) -> str:
    name = Path(path).name or Path(path).resolve().name
    return readable_name(name)


_SHOWN = (
    "resize", "orientation", "bands", "input_size", "preprocess", "max_probes", "threshold", "seed",
)  # fmt: skip
"""Options that a call is shown with."""


def call_text(model: Any, settings: Settings) -> str:
    """Return the Python call that makes the report, with file names only."""
    name = repr(Path(model).name) if isinstance(model, str | Path) else "model"
    defaults = Settings()
    shown = [
        f"{field}={getattr(settings, field)!r}"
        for field in _SHOWN
        if getattr(settings, field) != getattr(defaults, field)
    ]
    return f"reportgen.build_report({', '.join([name, *shown])})"


def is_missing(value: Any) -> bool:
    """Tell whether an option was not given: nothing, a switch that is off, or an empty list."""
    return value is None or value is False or value in ((), [])
