"""Which reports a batch makes: from patterns of models, or from a TOML file with a table a report."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.addresses import is_address, parse_address
from reportgen.configuration import based, read_options, read_toml
from reportgen.engines.places import is_remote
from reportgen.errors import ConfigurationError, ModelError, UsageError
from reportgen.inputs.listing import natural
from reportgen.options import NOT_FOR_ALL, NOT_IN_BATCH, OPTIONS
from reportgen.page.index import DEPTH
from reportgen.page.publish import ASSETS
from reportgen.report.model import INDEX_HTML
from reportgen.report.runs import RUNS_JSONL
from reportgen.settings import Settings, make_settings
from reportgen.values import pairs
from reportgen.wording import did_you_mean, readable_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reportgen.options import Option

DEFAULTS = "defaults"
"""The table that stands under all others."""
_MAGIC = re.compile(r"[*?\[]")
_RESERVED = {ASSETS, INDEX_HTML, RUNS_JSONL}
_LONGEST = 200
_SAVED_MODEL = "saved_model.pb"


class Job(NamedTuple):
    """A report to make.

    Attributes:
        name: of its folder below the root; parts between slashes.
        model: an absolute path, or an address.
        options: of the build, as a file or the command line gives them; paths are absolute.
    """

    name: str
    model: str
    options: Mapping[str, Any]


def plan(
    models: Sequence[str], given: Mapping[str, Any], configured: Mapping[str, Any]
) -> list[Job]:
    """Return the reports to make, in the order of their names or tables.

    Args:
        models: paths, patterns and addresses of models; or one TOML file.
        given: options of the command line, which win.
        configured: options of the configuration, which everything else wins over.

    Raises:
        UsageError: two reports would have one name, or there is none.
        ModelError: a pattern matches nothing.
        ConfigurationError: the TOML file cannot be used; the message names table and key.
    """
    base = {k: v for k, v in configured.items() if k not in NOT_FOR_ALL}
    here = Path.cwd()
    over = {k: based(OPTIONS[k], _listed(v), here) for k, v in given.items()}
    make_settings({k: v for k, v in over.items() if k in Settings.__struct_fields__})
    tables = [text for text in models if text.endswith(".toml") and not is_address(text)]
    if not tables:
        return [Job(name, model, _merged(base, over)) for name, model in _named(models)]
    if len(models) > 1:
        raise UsageError(f"A batch is {tables[0]} alone, or models without it.")
    return list(_of_tables(Path(tables[0]), base, over))


def check_reach(jobs: Sequence[Job], address: str | None) -> None:
    """Refuse files of this machine where the workers may be others.

    Raises:
        UsageError: one is named.
    """
    if not is_remote(address):
        return
    for job in jobs:
        for flag, path in (("the model", job.model), *paths_of(job)):
            if not is_address(path):
                raise UsageError(
                    f"{flag} {path} lies on this machine, and workers at --address {address} may not: "
                    "name it by an address such as s3://bucket/…"
                )


def paths_of(job: Job) -> Iterator[tuple[str, str]]:
    """Yield the flags and paths of all that a report reads beside its model."""
    for key, value in job.options.items():
        option = OPTIONS[key]
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, str) and key != "cache" and (path := _path_in(option, item)):
                yield option.flag, path


def _path_in(option: Option, item: str) -> str:
    return item if option.kind == "path" else option.file_in(item)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay options over each other; of ``meta`` and ``thresholds`` the single keys."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            held = dict(pairs(value)) if key == "meta" else value
            both = isinstance(held, dict) and isinstance(merged.get(key), dict)
            merged[key] = {**merged[key], **held} if both else held
    return merged


# -- a table a report --------------------------------------------------------------------------------------


def _of_tables(path: Path, base: Mapping[str, Any], over: Mapping[str, Any]) -> Iterator[Job]:
    path = path.absolute()
    tables = read_toml(path)
    stray = [key for key, table in tables.items() if not isinstance(table, dict)]
    if stray:
        raise ConfigurationError(
            f"{path}: {stray[0]!r} stands outside of a table; options of all reports stand in [{DEFAULTS}]."
        )
    shared = _options(path, DEFAULTS, tables.pop(DEFAULTS, {}))
    if not tables:
        raise ConfigurationError(f"{path} names no report: each has a table with its model.")
    _check_apart(tables)
    for name, table in tables.items():
        model = table.pop("model", None)
        if not isinstance(model, str):
            raise ConfigurationError(
                f'{path}: [{name}] names no model, as in model = "{name}.keras".'
            )
        model = model if is_address(model) else str(path.parent / model)
        if not is_address(model) and not os.path.lexists(model):
            raise ConfigurationError(f"{path}: [{name}] model: there is no {model}.")
        problem = _problem(name) or ("it holds a '/'" if "/" in name else "")
        if problem:
            raise ConfigurationError(f"{path}: [{name}] cannot be a folder's name: {problem}.")
        yield Job(name, model, _merged(base, shared, _options(path, name, table), over))


def _options(path: Path, name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    known = [key for key, option in OPTIONS.items() if option.in_files and key not in NOT_IN_BATCH]
    for key in table:
        if key.replace("-", "_") not in known:
            hint = did_you_mean(key, [*known, "model"])
            reason = " does not take" if key.replace("-", "_") in NOT_IN_BATCH else " does not know"
            raise ConfigurationError(
                f"{path}: [{name}] has the option {key!r}, which a batch{reason}{hint or '.'}"
            )
    return read_options(path, table, where=f"[{name}]", named=True, but=NOT_IN_BATCH)


def _problem(name: str) -> str:
    """Say why a report's folder cannot have a name; nothing where it can."""
    parts = name.split("/")
    if len(parts) > DEPTH:
        return f"it is deeper than {DEPTH} folders, and an index looks no deeper"
    if {"", ".", ".."} & set(parts) or any(part.startswith(".") for part in parts):
        return "a part of it is empty or begins with a dot"
    if parts[0] in _RESERVED or ASSETS in parts:
        return "it is a name of our own"
    if "\\" in name or not name.isprintable() or len(name) > _LONGEST:
        return f"it has a backslash, a control character, or more than {_LONGEST} characters"
    return ""


# -- patterns ----------------------------------------------------------------------------------------------


def _named(models: Sequence[str]) -> list[tuple[str, str]]:
    """Return names and models: a name is the path from where the pattern begins, without its ending.

    A model keeps its ending where its name would be the folder of others.
    """
    found: dict[str, str] = {}
    for pattern in models:
        for inside, model in _matches(pattern):
            name = readable_name(_without_ending(inside))
            if problem := _problem(name):
                raise UsageError(
                    f"{model} would be reported in {name!r}: {problem}. Name it in a TOML file."
                )
            if found.setdefault(name, model) != model:
                raise UsageError(
                    f"{found[name]} and {model} would both be reported in {name!r}: quote a pattern such as "
                    "'runs/*/model.keras', whose folders then count, or name them in a TOML file."
                )
    above = {str(parent) for name in found for parent in PurePosixPath(name).parents}
    named = [(f"{n}{PurePosixPath(m).suffix}" if n in above else n, m) for n, m in found.items()]
    _check_apart(name for name, _ in named)
    return sorted(named, key=lambda pair: natural(pair[0]))


def _check_apart(names: Iterable[str]) -> None:
    """Refuse reports of which one would lie in another's folder, or in the same one on some systems.

    Raises:
        UsageError: two would.
    """
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.get(name.casefold())) is not None:
            raise UsageError(
                f"The reports {other!r} and {name!r} would lie in one folder, since the case of letters does "
                "not count everywhere: give one of the models another name."
            )
        seen[name.casefold()] = name
    for name in seen.values():
        inside = [str(p) for p in PurePosixPath(name).parents if str(p).casefold() in seen]
        if inside:
            raise UsageError(
                f"The report {name!r} would lie in that of {inside[0]!r}: name them in a TOML file."
            )


def _matches(pattern: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each model from where a pattern begins, and the model."""
    if is_address(pattern):
        yield from _remote_matches(pattern)
        return
    if os.path.lexists(pattern):
        yield Path(pattern).absolute().name, str(Path(pattern).absolute())
        return
    if not _MAGIC.search(pattern):
        raise ModelError(f"There is no model {pattern}.")
    parts = Path(pattern).absolute().parts
    fixed = next(k for k, part in enumerate(parts) if _MAGIC.search(part))
    root = Path(*parts[:fixed])
    paths = [Path(name) for name in glob.glob(str(Path(*parts)), recursive=True)]  # noqa: PTH207 - absolute
    models = [p for p in paths if p.is_file() or (p / _SAVED_MODEL).is_file()]
    if not models:
        raise ModelError(f"No model matches {pattern!r}.")
    yield from ((path.relative_to(root).as_posix(), str(path)) for path in models)


def _remote_matches(pattern: str) -> Iterator[tuple[str, str]]:
    address = parse_address(pattern.replace("?", "[!/]"))
    if not _MAGIC.search(pattern):
        yield address.name, pattern
        return
    from reportgen.stores import Store

    found = Store(address, ModelError).matching(address)
    if not found:
        raise ModelError(f"No model matches {pattern!r}.")
    fixed = address.path[: _MAGIC.search(address.path).start()].rpartition("/")[0]  # type: ignore[union-attr]
    for path in found:
        yield path[len(fixed) :].lstrip("/"), f"{address.scheme}://{path}"


def _without_ending(path: str) -> str:
    inner = PurePosixPath(path)
    return str(
        inner.with_name(re.sub(r"(?i)(?<=.)(\.weights)?\.(keras|h5|hdf5|json)$", "", inner.name))
    )
