"""Training history in: CSVLogger files, ``History.history`` as JSON or mapping, TSV, TensorBoard events."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.errors import HistoryError
from reportgen.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_EPOCH = ("epoch", "epochs", "step")
_VALIDATION = ("val_", "validation_", "valid_", "test_", "eval_")
_TRAIN = ("train_", "training_")
_RATE = re.compile(r"(lr|lear?n?ing_?rate)(/.*)?", re.IGNORECASE)
_LOSSES = ("loss", "cost", "total_loss", "objective")
_HIGHER = re.compile(
    r"acc|auc|precision|recall|f1|f_?beta|iou|dice|top_?\w*k|r2|kappa|psnr|ssim|similarity|sensitiv|specific",
    re.IGNORECASE,
)
MOST_BYTES = 64 * 2**20


class Series(NamedTuple):
    """One metric: training and validation, a value an epoch; empty where not logged."""

    name: str
    higher: bool
    train: tuple[float, ...]
    validation: tuple[float, ...]


class History(NamedTuple):
    """A training history.

    Attributes:
        source: file name and format.
        epochs: from 1.
        series: the loss first.
        learning_rate: a value an epoch, empty where it was not logged.
        left_out: columns that hold no numbers.
        restarts: epochs after which the log counts anew, as ``CSVLogger(append=True)`` does.
    """

    source: str
    epochs: tuple[int, ...]
    series: tuple[Series, ...]
    loss: str | None
    learning_rate: tuple[float, ...]
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
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
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
        return {name: [row.get(name) for row in data] for name in names}
    if not isinstance(data, dict):
        raise HistoryError(
            f"--history {path}: JSON must map names to lists of values, as json.dump(history.history) does."
        )
    return data


def _table(text: str, path: Path) -> dict[str, Any]:
    """Read a table with a header; what separates the columns is found in the header."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise HistoryError(f"--history {path}: the file is empty.")
    separator = max(",\t;", key=lines[0].count)
    if lines[0].count(separator) == 0:
        raise HistoryError(
            f"--history {path}: the first line is no header of columns ({lines[0][:60]!r}). CSVLogger, TSV, "
            "JSON and TensorBoard folders are read."
        )
    try:
        rows = list(csv.reader(lines, delimiter=separator))
    except csv.Error as error:
        raise HistoryError(f"--history {path}: it is no table ({error}).") from None
    header = [name.strip() for name in rows[0]]
    if all(_number(name) is not None for name in header):
        raise HistoryError(
            f"--history {path}: the first line must name the columns, it holds numbers."
        )
    body = [
        row for row in rows[1:] if row != rows[0]
    ]  # CSVLogger repeats it where training resumed
    short = next((k for k, row in enumerate(body, 2) if len(row) != len(header)), None)
    if short == len(body) + 1 and len(body) > 1:
        body.pop()  # the last line of a training that was killed
    elif short is not None:
        raise HistoryError(
            f"--history {path}: line {short} has {len(body[short - 2])} columns, the header {len(header)}."
        )
    columns = list(zip(*body, strict=True)) or [()] * len(header)
    return dict(zip(header, columns, strict=True))


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
    numbers: dict[str, tuple[float, ...]] = {}
    left_out = []
    for key, values in columns.items():
        column = _column(values)
        if column is None:
            left_out.append(str(key))
        else:
            numbers[str(key)] = column
    epochs = next((numbers.pop(n) for n in list(numbers) if n.lower() in _EPOCH), None)
    rate = next((numbers.pop(n) for n in list(numbers) if _RATE.fullmatch(n)), ())
    count = max((len(column) for column in numbers.values()), default=0)
    if not numbers or not count:
        names = ", ".join(map(str, columns)) or "none"
        raise HistoryError(
            f"--history: {where} holds no epochs of a metric (columns: {names}). Keras's CSVLogger or "
            "json.dump(history.history) write what is read."
        )
    series = _series({name: (*c, *(math.nan,) * (count - len(c))) for name, c in numbers.items()})
    loss = next((s.name for s in series if s.name.lower() in _LOSSES), None)
    loss = loss or next((s.name for s in series if not s.higher), None)
    ordered = sorted(series, key=lambda one: one.name != loss)
    counted, restarts = _counted(epochs, count)
    return History(
        source,
        counted,
        tuple(ordered),
        loss,
        tuple(rate)[:count],
        tuple(left_out),
        restarts,
    )


def _counted(logged: Sequence[float] | None, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the epochs from 1 on, and those after which the log counts anew: there it is counted on."""
    if logged is None or len(logged) != count or not _whole(logged):
        return tuple(range(1, count + 1)), ()
    shift = 1 - int(logged[0]) if logged[0] in {0, 1} else 0
    counted: list[int] = []
    restarts = []
    for value in map(int, logged):
        if counted and value + shift <= counted[-1]:
            restarts.append(counted[-1])
            shift = counted[-1] + 1 - value
        counted.append(value + shift)
    return tuple(counted), tuple(restarts)


def _whole(values: Iterable[float]) -> bool:
    return all(math.isfinite(v) and v == int(v) for v in values)


def _column(values: Any) -> tuple[float, ...] | None:
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        return None
    values = list(values)
    try:
        return tuple(map(float, values)) or None  # a million epochs in a moment
    except (TypeError, ValueError, OverflowError):
        pass
    found = [_number(value) for value in values]
    known = [value for value in found if value is not None]
    return tuple(known) if found and len(known) == len(found) else None


def _number(value: Any) -> float | None:
    """Return a logged value; NaN for an empty one, None for what is no number."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _series(columns: Mapping[str, tuple[float, ...]]) -> list[Series]:
    train: dict[str, tuple[float, ...]] = {}
    validation: dict[str, tuple[float, ...]] = {}
    for key, values in columns.items():
        prefix = next((p for p in _VALIDATION if key.lower().startswith(p)), None)
        if prefix is not None and len(key) > len(prefix):
            validation[key[len(prefix) :]] = values
            continue
        start = next((p for p in _TRAIN if key.lower().startswith(p)), "")
        train[key[len(start) :] or key] = values
    names = dict.fromkeys([*train, *validation])
    return [
        Series(name, bool(_HIGHER.search(name)), train.get(name, ()), validation.get(name, ()))
        for name in names
    ]
