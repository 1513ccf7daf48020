"""Training history in: CSVLogger files, ``History.history`` as JSON or mapping, TSV, TensorBoard events."""

from __future__ import annotations

import csv
import json
import math
import re
from collections import Counter
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from reportgen.errors import HistoryError
from reportgen.files import read_regular
from reportgen.settings import (
    MAX_EPOCH,
    MAX_HISTORY_BYTES,
    MAX_HISTORY_COLUMNS,
    MAX_HISTORY_VALUE,
    MAX_HISTORY_VALUES,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

_EPOCH = ("epoch", "epochs", "step")
_VALIDATION = ("val_", "validation_", "valid_", "test_", "eval_")
_TRAIN = ("train_", "training_")
_RATE = re.compile(r"(lr|lear?n?ing_?rate)(/.*)?", re.IGNORECASE)
_LOSSES = ("loss", "cost", "total_loss", "objective")
_LOWER = re.compile(
    r"(?:^|[\W_])(?:loss|cost|err|error|errors|distance|divergence|perplexity|mse|mae|rmse)(?=[\W_\d]|$)",
    re.IGNORECASE,
)
_HIGHER = re.compile(
    r"(?:^|[\W_])(?:acc|accuracy|auc|precision|recall|f1|f_?beta|io_?u|dice|top_?\d*_?k|top_?\d+|r2|kappa|psnr"
    r"|ssim|similarity|sensitivity|specificity|jaccard|mcc|matthews)(?=[\W_\d]|$)",
    re.IGNORECASE,
)
_ABSENT = {"", "na", "n/a", "none", "null"}
"""Texts of values that were not logged; CSVLogger writes NA for epochs without validation."""
_ROWS = 20_000
"""Rows of a table that are held as texts at once."""
_PIECE = 1 << 20
"""Characters of a text that are cut into lines at once."""
_NONE: NDArray[Any] = np.empty(0)


class Series(NamedTuple):
    """One metric: training and validation, float64 with a value an epoch; empty where not logged."""

    name: str
    higher: bool
    train: NDArray[Any]
    validation: NDArray[Any]


class History(NamedTuple):
    """A training history.

    Attributes:
        source: file name and format.
        epochs: int64, from 1.
        series: the loss first.
        learning_rate: a value an epoch, empty where it was not logged.
        left_out: columns that hold no numbers.
        restarts: epochs after which the log counts anew, as ``CSVLogger(append=True)`` does.
    """

    source: str
    epochs: NDArray[Any]
    series: tuple[Series, ...]
    loss: str | None
    learning_rate: NDArray[Any]
    left_out: tuple[str, ...] = ()
    restarts: tuple[int, ...] = ()


def read_history(source: Any) -> History | None:
    """Read a training history; None for None.

    Args:
        source: a file (CSVLogger, TSV, JSON of ``History.history``), a folder of TensorBoard events, a
            ``keras.callbacks.History`` or a mapping from name to values.

    Raises:
        HistoryError: it cannot be read or holds no metric.
    """
    if source is None:
        return None
    if hasattr(source, "history") and isinstance(source.history, dict):
        return _from_columns(source.history, "History", "the History object")
    if hasattr(source, "items"):
        return _from_columns(dict(source), "mapping", "the mapping")
    path = Path(source)
    try:
        if path.is_dir():
            return _from_columns(_events(path), f"{path.name}, TensorBoard", str(path))
        text = read_regular(path, MAX_HISTORY_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise HistoryError(f"--history {path}: there is no such file or folder.") from None
    except OSError as error:
        raise HistoryError(f"--history {path}: it cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise HistoryError(f"--history {path}: it cannot be read as text ({error}).") from None
    if "tfevents" in path.name:
        raise HistoryError(f"--history {path}: give the folder that holds the TensorBoard events.")
    if text.lstrip()[:1] in {"{", "["}:
        return _from_columns(_json(text, path), f"{path.name}, JSON", str(path))
    return _from_columns(_table(text, path), f"{path.name}, table", str(path))


def _json(text: str, path: Path) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HistoryError(f"--history {path}: it is no JSON ({error}).") from None
    if isinstance(data, dict) and isinstance(data.get("history"), dict):
        data = data["history"]
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
        names = dict.fromkeys(name for row in data for name in row)
        _check_extent(len(names), len(data), str(path))
        return {name: [row.get(name) for row in data] for name in names}
    if not isinstance(data, dict):
        raise HistoryError(
            f"--history {path}: JSON must map names to lists of values, as json.dump(history.history) does."
        )
    return data


def _check_extent(columns: int, epochs: int, where: str) -> None:
    """Raise where a few bytes would become a large table."""
    if columns > MAX_HISTORY_COLUMNS or columns * epochs > MAX_HISTORY_VALUES:
        raise HistoryError(
            f"--history: {where} has {columns:,} columns over {epochs:,} epochs; at most "
            f"{MAX_HISTORY_COLUMNS:,} "
            f"columns and {MAX_HISTORY_VALUES:,} values are read. Leave out the columns that are no metrics."
        )


def _table(text: str, path: Path) -> dict[str, Any]:
    """Read a table with a header; what separates the columns is found in the header."""
    lines = _lines(text)
    first = next(lines, None)
    if first is None:
        raise HistoryError(f"--history {path}: the file is empty.")
    separator = max(",\t;", key=first.count)
    if first.count(separator) == 0:
        raise HistoryError(
            f"--history {path}: the first line is no header of columns ({first[:60]!r}). CSVLogger, TSV, "
            "JSON and TensorBoard folders are read."
        )
    try:
        head = next(csv.reader(chain([first], lines), delimiter=separator))  # takes no line more
        header = [name.strip() for name in head]
        if all(_number(name) is not None for name in header):
            raise HistoryError(
                f"--history {path}: the first line must name the columns, it holds numbers."
            )
        if twice := [name for name, count in Counter(header).items() if name and count > 1]:
            raise HistoryError(
                f"--history {path}: the column {twice[0]!r} stands there more than once; each name may "
                "stand once."
            )
        columns = _columns(lines, head, separator, path)
    except csv.Error as error:
        raise HistoryError(f"--history {path}: it is no table ({error}).") from None
    return dict(zip(header, columns, strict=True))


def _lines(text: str) -> Iterator[str]:
    """Yield the lines that are not blank, without holding all of them."""
    start = 0
    while start < len(text):
        stop = text.find("\n", start + _PIECE) + 1 or len(text)
        yield from filter(str.strip, text[start:stop].splitlines())
        start = stop


def _columns(
    lines: Iterator[str], head: list[str], separator: str, path: Path
) -> list[NDArray[Any] | None]:
    """Return the columns of a table's body as numbers; None for one that holds none.

    Blocks of plain numbers are read by NumPy, in half the time; from the first other one on by ``csv``.
    """
    parts: list[list[NDArray[Any] | None]] = [[] for _ in head]
    count = 0
    while block := list(islice(lines, _ROWS)):
        numbers = _plain(block, len(head), separator)
        if numbers is None:
            _read_rows(chain(block, lines), head, separator, parts, count, path)
            break
        count += len(block)
        _check_extent(len(head), count, str(path))
        for part, column in zip(parts, numbers.T, strict=True):
            part.append(column)
    return [_joined(part) for part in parts]


def _plain(block: list[str], width: int, separator: str) -> NDArray[Any] | None:
    """Return a block in which every cell is a number, (rows, columns); None for any other."""
    if max(map(len, block)) > csv.field_size_limit():
        return None
    try:
        found = np.loadtxt(block, np.float64, comments=None, delimiter=separator, ndmin=2)
    except ValueError:
        return None
    return found if found.shape == (len(block), width) else None


def _read_rows(
    lines: Iterator[str],
    head: list[str],
    separator: str,
    parts: list[list[NDArray[Any] | None]],
    count: int,
    path: Path,
) -> None:
    """Append rows of any cells to ``parts``, where ``count`` rows are already.

    Raises:
        HistoryError: a row of another width, unless it is the last: of a training that was killed.
    """
    # CSVLogger repeats the header where training resumed.
    rows = (row for row in csv.reader(lines, delimiter=separator) if row != head)
    while block := list(islice(rows, _ROWS)):
        short = next((place for place, row in enumerate(block) if len(row) != len(head)), None)
        if short is not None:
            last = short == len(block) - 1 and next(rows, None) is None
            if not last or count + short == 0:
                raise HistoryError(
                    f"--history {path}: line {count + short + 2} has {len(block[short])} columns, "
                    f"the header {len(head)}."
                )
            block.pop()
        count += len(block)
        _check_extent(len(head), count, str(path))
        for part, column in zip(parts, zip(*block, strict=True), strict=False):
            part.append(_column(column))


def _joined(parts: list[NDArray[Any] | None]) -> NDArray[Any] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known and len(known) == len(parts) else None


def _events(path: Path) -> dict[str, Any]:
    """Read TensorBoard's scalars: ``train`` and ``validation`` folders as Keras writes them, or one."""
    files = sorted(path.rglob("*tfevents*"))
    if not files:
        raise HistoryError(
            f"--history {path}: the folder holds no TensorBoard events (*tfevents*)."
        )
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError:
        raise HistoryError(
            f"--history {path}: TensorBoard events need the package tensorboard: "
            "pip install 'keras-reportgen[tensorboard]'."
        ) from None
    columns: dict[str, dict[int, float]] = {}
    for folder in dict.fromkeys(file.parent for file in files):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        validation = folder.name.lower() in {"validation", "val", "valid", "test", "eval"}
        for tag in sorted(events.Tags()["scalars"]):
            name = _tag_name(tag, validation=validation)
            columns.setdefault(name, {}).update({e.step: e.value for e in events.Scalars(tag)})
        for tag in sorted(events.Tags()["tensors"]):
            found = {e.step: make_ndarray(e.tensor_proto) for e in events.Tensors(tag)}
            numbers = {
                step: float(v) for step, v in found.items() if v.ndim == 0 and v.dtype.kind in "fiu"
            }
            if numbers and not tag.startswith(("evaluation_", "batch_")):
                columns.setdefault(_tag_name(tag, validation=validation), {}).update(numbers)
    steps = sorted({step for column in columns.values() for step in column})
    return {name: [column.get(step) for step in steps] for name, column in columns.items()}


def _tag_name(tag: str, *, validation: bool) -> str:
    name = tag.removeprefix("epoch_")
    return f"val_{name}" if validation and not name.startswith(_VALIDATION) else name


def _from_columns(columns: Mapping[str, Any], source: str, where: str) -> History:
    """Sort columns into metrics, the learning rate, epochs and what is no number."""
    numbers: dict[str, NDArray[Any]] = {}
    left_out = []
    for key, values in columns.items():
        column = _column(values)
        name = _name(key, where)
        if column is None:
            left_out.append(name)
        else:
            numbers[name] = column
    epochs = next((numbers.pop(n) for n in list(numbers) if n.lower() in _EPOCH), None)
    _check_values(numbers, where)
    rates = [numbers.pop(name) for name in list(numbers) if _RATE.fullmatch(name)]
    rate = rates[0] if rates else _NONE
    count = max((len(column) for column in numbers.values()), default=0)
    if not numbers:
        names = ", ".join(map(str, islice(columns, 20))) or "none"
        raise HistoryError(
            f"--history: {where} holds no epochs of a metric (columns: {names}). Keras's CSVLogger or "
            "json.dump(history.history) write what is read."
        )
    _check_extent(len(numbers), count, where)
    series = _series({name: _padded(name, column, count) for name, column in numbers.items()})
    loss = next((s.name for s in series if s.name.lower() in _LOSSES), None)
    loss = loss or next((s.name for s in series if not s.higher), None)
    ordered = sorted(series, key=lambda one: one.name != loss)
    counted, restarts = _counted(epochs, count)
    return History(source, counted, tuple(ordered), loss, rate[:count], tuple(left_out), restarts)


def _name(key: Any, where: str) -> str:
    name = str(key)
    if any("\ud800" <= sign <= "\udfff" for sign in name):
        raise HistoryError(f"--history: {where} has a column whose name is no text ({name!a}).")
    return name


def _check_values(numbers: Mapping[str, NDArray[Any]], where: str) -> None:
    """Raise where a finite value is too large to be calculated with."""
    for name, column in numbers.items():
        large = np.flatnonzero(np.isfinite(column) & (np.abs(column) > MAX_HISTORY_VALUE))
        if large.size:
            raise HistoryError(
                f"--history: {where} holds {column[large[0]]:g} in row {large[0] + 1} of the column "
                f"{name[:60]!r}; numbers up to ±{MAX_HISTORY_VALUE:g}, NaN and infinity are read. "
                "Correct it, or leave the column out."
            )


def _padded(name: str, column: NDArray[Any], count: int) -> NDArray[Any]:
    """Return a column with a value an epoch, NaN where none was logged.

    Keras's ``History`` holds validation only of the epochs that had one, every k-th by ``validation_freq=k``.
    Of several k that it may be, one that divides the epochs is taken, else the least.
    """
    if len(column) == count:
        return column
    padded = np.full(count, math.nan)
    known = max(len(column), 1)
    spacings = range(count // (known + 1) + 1, count // known + 1)
    every = min(spacings, key=lambda k: (count % k != 0, k), default=1)
    if name.lower().startswith(_VALIDATION) and every > 1 and count // every == len(column):
        padded[every - 1 :: every] = column
    else:
        padded[: len(column)] = column
    return padded


def skipped(validation: NDArray[Any]) -> int:
    """Return how many epochs had no validation, where it was done every k-th epoch alone; else 0."""
    there = np.flatnonzero(~np.isnan(validation))
    if not there.size or there.size == len(validation) or there[0] == 0:
        return 0
    regular = np.array_equal(there, np.arange(there[0], len(validation), there[0] + 1))
    return int(len(validation) - there.size) if regular else 0


def _counted(logged: NDArray[Any] | None, count: int) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Return the epochs from 1 on, and those after which the log counts anew: there it is counted on."""
    if logged is None or len(logged) != count or not _whole(logged):
        return np.arange(1, count + 1), ()
    given = logged.astype(np.int64)
    steps = np.diff(given)
    shift = 1 - given[0] if given[0] in {0, 1} else 0
    anew = np.where(steps > 0, 0, 1 - steps)
    counted = given + shift + np.concatenate([[0], np.cumsum(anew)])
    return counted, tuple(counted[:-1][anew > 0].tolist())


def _whole(values: NDArray[Any]) -> bool:
    return bool(np.all((np.abs(values) <= MAX_EPOCH) & (values == np.rint(values))))


def _column(values: Any) -> NDArray[Any] | None:
    """Return logged values as float64; None where there is none, or one that is no number."""
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        return None
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype == np.float64:
        return values if values.size else None
    values = list(values) if not isinstance(values, np.ndarray | tuple) else values
    if not len(values):
        return None
    try:
        return np.fromiter(map(float, values), np.float64, len(values))
    except (TypeError, ValueError, OverflowError):
        pass
    found = [_number(value) for value in values]
    known = [value for value in found if value is not None]
    return np.array(known) if len(known) == len(found) else None


def _number(value: Any) -> float | None:
    """Return a logged value; NaN for one that was not logged, None for what is no number."""
    if value is None or (isinstance(value, str) and value.strip().lower() in _ABSENT):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def is_better_higher(name: str) -> bool:
    """Return whether more of a metric is better, by the words of its name: ``dice`` but not ``dice_loss``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return not _LOWER.search(words) and bool(_HIGHER.search(words))


def _series(columns: Mapping[str, NDArray[Any]]) -> list[Series]:
    train: dict[str, NDArray[Any]] = {}
    validation: dict[str, NDArray[Any]] = {}
    for key, values in columns.items():
        prefix = next((p for p in _VALIDATION if key.lower().startswith(p)), None)
        if prefix is not None and len(key) > len(prefix):
            validation[key[len(prefix) :]] = values
            continue
        start = next((p for p in _TRAIN if key.lower().startswith(p)), "")
        train[key[len(start) :] or key] = values
    names = dict.fromkeys([*train, *validation])
    return [
        Series(name, is_better_higher(name), train.get(name, _NONE), validation.get(name, _NONE))
        for name in names
    ]
