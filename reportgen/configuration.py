"""Options from a file: ``[tool.reportgen]`` in pyproject.toml, or a file named with ``--config``.

The command line wins. A pyproject.toml is found, not named: it may come with a folder that somebody sent. So it
may not hold what runs code, writes elsewhere or contacts a host; a file that the user names may.
"""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reportgen.addresses import is_address
from reportgen.errors import ConfigurationError, UsageError
from reportgen.files import read_regular, reason_of
from reportgen.options import OPTIONS
from reportgen.settings import Settings, make_settings
from reportgen.wording import readable_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from reportgen.options import Option


def read_configuration(start: Path, named: Path | None = None) -> dict[str, Any]:
    """Return the options of the named file, or of the nearest pyproject.toml above ``start``.

    Relative paths in it count from the folder of the file. Without such a file there are none.

    Args:
        start: the folder to start from.
        named: the file that the user named; its options stand in ``[tool.reportgen]`` or at its top.

    Raises:
        ConfigurationError: not TOML, no table, an unknown option, a path or switch that is none, or an
            option that a file which nobody named may not hold.
    """
    folders = (start, *start.parents)
    path = named or next((p for f in folders if (p := f / "pyproject.toml").is_file()), None)
    if path is None:
        return {}
    return read_options(path, _table(path, named=named is not None), named=named is not None)


def read_options(
    path: Path,
    table: Mapping[str, Any],
    *,
    where: str = "[tool.reportgen]",
    named: bool,
    but: Collection[str] = (),
) -> dict[str, Any]:
    """Return the options that a table of a file holds; relative paths count from the folder of the file.

    Args:
        path: of the file.
        table: as TOML has it.
        where: it stands in the file, for errors.
        named: whether the user named the file, and so trusts it.
        but: options that make no sense there.

    Raises:
        ConfigurationError: as ``read_configuration``.
    """
    found = {}
    for key, value in table.items():
        option = OPTIONS.get(key.replace("-", "_"))
        if option is None or not option.in_files or option.name in but:
            raise ConfigurationError(f"{path}: {where} has the unknown option {key!r}.")
        if not _may_be(option, value):
            raise ConfigurationError(f"{path}: {where} {key} cannot be {value!r}.")
        if not named:
            _check_untrusted(path, where, key, option, value)
        found[option.name] = based(option, value, path.parent)
        if not named and option.inside and not _lies_in(found[option.name], path.parent):
            raise ConfigurationError(
                f"{path}: {where} {key} may name a file in the same folder only, since it would "
                f"be shown in the report: pass {option.flag}, or name a file that you trust with --config FILE."
            )
    try:
        make_settings({k: v for k, v in found.items() if k in Settings.__struct_fields__})
    except UsageError as error:
        raise ConfigurationError(f"{path}, {where}: {error}") from None
    return found


def _check_untrusted(path: Path, where: str, key: str, option: Option, value: Any) -> None:
    """Refuse what a file that was found may not hold.

    Raises:
        ConfigurationError: it runs code, writes elsewhere or contacts a host.
    """
    if option.needs_trust(value):
        raise ConfigurationError(
            f"{path}: {where} may not hold {key!r}, since a folder from elsewhere may bring "
            f"such a file: pass {option.flag}, or name a file that you trust with --config FILE."
        )
    if _holds_address(option, value):
        raise ConfigurationError(
            f"{path}: {where} {key} may hold no address, since a folder from elsewhere may bring "
            f"such a file, and your credentials would be used: pass {option.flag}, or name a file that you "
            "trust with --config FILE."
        )


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        ConfigurationError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(read_regular(path).decode("utf-8"))
    except (
        OSError,
        ValueError,
        RecursionError,
    ) as error:  # a number of 5,000 digits is no TOML error
        reason = reason_of(error) if isinstance(error, OSError) else error
        raise ConfigurationError(f"{path} cannot be read: {reason}.") from None


def _table(path: Path, *, named: bool) -> dict[str, Any]:
    data = read_toml(path)
    tool = data.get("tool")
    table = tool.get("reportgen") if isinstance(tool, dict) else None
    if table is None:
        table = {key: value for key, value in data.items() if key != "tool"} if named else {}
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: tool.reportgen must be a table.")
    return table


def _may_be(option: Option, value: Any) -> bool:
    """Tell whether a path is text, and a switch that is no setting on or off; settings check themselves."""
    if option.kind == "path":
        several = option.several and isinstance(value, list)
        return all(isinstance(item, str) for item in (value if several else [value]))
    is_setting = option.name in Settings.__struct_fields__
    return is_setting or option.kind != "switch" or isinstance(value, bool)


def based(option: Option, value: Any, folder: Path) -> Any:
    """Return a value whose relative paths count from a folder."""
    if isinstance(value, list):
        return [based(option, item, folder) for item in value]
    if not isinstance(value, str):
        return value
    before, file = option.cut(value)
    if option.kind == "path" and is_address(value):
        return value
    return f"{before}{folder / file}" if file or option.kind == "path" else value


def _holds_address(option: Option, value: Any) -> bool:
    several = value if isinstance(value, list) else [value]
    return option.kind == "path" and any(is_address(item) for item in several)


def _lies_in(value: Any, folder: Path) -> bool:
    try:
        return Path(value).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError, TypeError):
        return False


def command_text(model: str, options: Mapping[str, Any]) -> str:
    """Return the command with file names only and without what does not shape the report."""
    words = ["reportgen", "build", _name(model)]
    for key, value in sorted(options.items()):
        option = OPTIONS[key]
        if (
            not option.in_command
            or value is None
            or (option.kind == "switch" and value is option.on)
        ):
            continue
        if value is False:
            words.append(option.opposite)
            continue
        if value is True:
            words.append(option.flag)
            continue
        if isinstance(value, dict):
            value = [f"{name}={item}" for name, item in value.items()]  # noqa: PLW2901
        for item in value if isinstance(value, list | tuple) else [value]:
            before, file = option.cut(str(item))
            text = before + (_name(file) if file else "")
            if key == "probes" and options.get("hide_names"):
                text = "…"
            words += [option.flag, text]
    return shlex.join([*words, "-o", "OUT"])


def _name(path: str) -> str:
    name = Path(path).name or Path(path).resolve().name
    return readable_name(name)


def call_text(model: Any, settings: Settings) -> str:
    """Return the Python call that makes the report, with file names only."""
    name = repr(Path(model).name) if isinstance(model, str | Path) else "model"
    defaults = Settings()
    shown = [
        f"{option.name}={getattr(settings, option.name)!r}"
        for option in OPTIONS.values()
        if option.in_call and getattr(settings, option.name) != getattr(defaults, option.name)
    ]
    return f"reportgen.build_report({', '.join([name, *shown])})"
