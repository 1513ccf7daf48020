"""What a model file holds, read before anything of it is built: untrusted input, nothing in it is executed."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import stat
import tempfile
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.children import ChildError, run_file
from reportgen.errors import InputError, ModelError, UsageError
from reportgen.files import open_regular, read_regular, reason_of
from reportgen.nets.saved_models import checkpoint_files, describe, files_of
from reportgen.nets.shards import is_index, linked_shards, shard_files
from reportgen.settings import (
    INSPECTION_MEMORY,
    INSPECTION_RATE,
    INSPECTION_SECONDS,
    MAX_ARCHITECTURE_BYTES,
    MAX_INFLATION,
    MAX_MEMBERS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ZIP_HEAD = b"PK\x03\x04"
_HDF5_HEAD = b"\x89HDF\r\n\x1a\n"
_LFS_POINTER = b"version https://git-lfs"
_ENDINGS = {"zip": ".keras", "hdf5": ".h5"}
_FOREIGN = {".tflite": "a TensorFlow Lite model", ".onnx": "an ONNX model"}
SAVE_AGAIN = "Save it again with model.save('NAME.keras')."


class Stored(NamedTuple):
    """What a file holds.

    Attributes:
        kind: ``zip`` or ``hdf5``, by its content; ``savedmodel`` of a folder, ``shards`` of an index.
        config: of the model, as JSON gives it; None where the file holds weights only.
        compiled: what it was trained with, empty where nothing is said.
        size: characters of the configuration.
        weights: bytes of all data sets.
        stamp: the state of the file before it was read.
        version: of Keras that wrote it; empty where it does not say.
        backend: that Keras ran on when it wrote it; empty likewise.
        note: what is odd about the file and does no harm, as a wrong ending.
        body: whether the configuration comes from another file, which ``version`` is of then.
        weights_version: of Keras that wrote the weights, where the configuration comes from another file.
    """

    kind: str
    config: Any
    compiled: dict[str, Any]
    size: int
    weights: int
    stamp: tuple[int, ...]
    version: str = ""
    backend: str = ""
    note: str = ""
    body: bool = False
    weights_version: str = ""


def read_stored(path: Path, architecture: str | None = None, like: str | None = None) -> Stored:
    """Read what a file says of its model, in bounded time and memory.

    Args:
        path: of the file.
        architecture: a JSON file with the configuration of a file that holds weights only.
        like: a model file that has that configuration.

    Raises:
        ModelError: there is no such file, it is no model, or damaged.
        InputError: the architecture cannot be read, or the other file has none.
        UsageError: both are given, or the file has its own.
    """
    stored = _read(path)
    given = [("--architecture", architecture, _described), ("--like", like, _of_model)]
    bodies = [(flag, name, read) for flag, name, read in given if name is not None]
    if not bodies:
        return stored
    if len(bodies) > 1:
        raise UsageError(
            "Both --architecture and --like say what the network is; give one of them."
        )
    flag, name, read = bodies[0]
    if stored.config is not None:
        raise UsageError(f"{flag} is for files that hold weights only; {path} has its own network.")
    config, version = read(name)
    return stored._replace(
        config=config,
        size=len(json.dumps(config)),
        version=version or stored.version,
        note=stored.note or f"Its architecture is that of {Path(name).name}",
        body=True,
        weights_version=stored.version,
    )


def _of_model(like: str) -> tuple[Any, str]:
    """Return the configuration of another model file, which is all that is used, and the Keras of it."""
    try:
        other = _read(Path(like))
    except ModelError as error:
        raise InputError(f"--like: {error}") from None
    if other.config is None:
        raise InputError(f"--like {like}: it holds no architecture itself.")
    return other.config, other.version


def _described(architecture: str) -> tuple[Any, str]:
    """Return the configuration of a JSON file, which is untrusted like a model's own, and the Keras of it."""
    try:
        config = json.loads(read_regular(architecture, MAX_ARCHITECTURE_BYTES))
    except OSError as error:
        raise InputError(
            f"--architecture {architecture}: it cannot be read ({error.strerror})."
        ) from None
    except (ValueError, RecursionError):
        raise InputError(f"--architecture {architecture}: it is not JSON.") from None
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise InputError(
            f"--architecture {architecture}: it describes no network, as what model.to_json() says does."
        )
    config.pop("compile_config", None)
    version = _text(config.pop("keras_version", None))
    config.pop("backend", None)
    return config, version


def _read(path: Path) -> Stored:
    kind, note = _check_format(path)
    stamp = stamp_of(path)
    if kind == "savedmodel":
        return _of_saved_model(path, stamp)
    if kind == "shards":
        weights = sum(_inspect(part, "hdf5", stamp_of(part)) for part in shard_files(path))
        return Stored(kind, None, {}, 0, weights, stamp)
    if kind == "zip":
        config, compiled, written = _read_keras_config(path)
        weights = _inspect(path, kind, stamp)
    else:
        weights = _inspect(path, kind, stamp)
        config, compiled, written = _read_hdf5_config(path)
    return Stored(
        kind,
        config,
        compiled,
        len(json.dumps(config)),
        weights,
        stamp,
        version=_text(written.get("keras_version")),
        backend=_text(written.get("backend")),
        note=note,
    )


def _of_saved_model(path: Path, stamp: tuple[int, ...]) -> Stored:
    size = sum(part.stat().st_size for part in checkpoint_files(path))
    config, compiled, written, note = describe(path, stamp)
    said = len(json.dumps(config))
    versions = _text(written.get("keras_version")), _text(written.get("backend"))
    return Stored("savedmodel", config, compiled, said, size, stamp, *versions, note)


def check_unchanged(path: Path, stamp: tuple[int, ...]) -> None:
    """Raise where the file is another one than was looked at: it would be loaded unseen."""
    if stamp_of(path) != stamp:
        raise ModelError(f"{path} was changed while it was read. Try again when it is written.")


def stamp_of(path: Path) -> tuple[int, ...]:
    """Tell one state of a file from another."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ()
    state = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    folder = stat.S_ISDIR(found.st_mode)
    parts = files_of(path) if folder else shard_files(path) if is_index(path) else []
    return state + tuple(n for part in parts for n in stamp_of(part))


@contextlib.contextmanager
def named_by_content(path: Path, stored: Stored) -> Iterator[Path]:
    """Give a file the ending that Keras reads its kind by, for a while and in a folder of our own."""
    if stored.kind == "shards":
        with linked_shards(path) as index:
            yield index
        return
    if not stored.note:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="reportgen-") as folder:
        link = Path(folder) / f"model{'.weights' if stored.body else ''}{_ENDINGS[stored.kind]}"
        try:
            link.symlink_to(path.resolve())
        except OSError:  # a system or a user without links
            shutil.copyfile(path, link)
        yield link


@lru_cache(maxsize=64)
def _inspect(path: Path, kind: str, stamp: tuple[int, ...]) -> int:
    """Read the whole file in a process of its own, before HDF5 sees it here; once for each state of a file.

    Returns:
        Bytes of all its data sets.

    Raises:
        ModelError: it cannot be read to its end, in bounded time and memory.
    """
    size = stamp[2]
    try:
        answer = run_file(
            Path(__file__).with_name("inspection.py"),
            str(path.resolve()),
            kind,
            str(MAX_INFLATION),
            seconds=INSPECTION_SECONDS + size / INSPECTION_RATE,
            memory=INSPECTION_MEMORY + size,
        )
    except ChildError as error:
        raise ModelError(
            f"{path} is damaged: reading it once was given up, {error}. {SAVE_AGAIN}"
        ) from None
    try:
        found = json.loads(answer.out)
    except ValueError:
        found = {"problem": answer.problem or f"reading it ended with code {answer.code}"}
    if problem := found.get("problem"):
        raise ModelError(
            f"{path} is truncated or damaged ({problem}). Copy it again, or save the model again."
        )
    return int(found["bytes"])


def _check_format(path: Path) -> tuple[str, str]:
    """Return the kind and what is odd about the ending, or say what the file is instead."""
    try:
        there, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The model file {str(path)!r} cannot be read: {reason_of(error)}."
        ) from None
    if not there:
        raise ModelError(f"There is no model file {str(path)!r}.")
    if is_folder:
        if (path / "saved_model.pb").is_file():
            if not checkpoint_files(path):
                raise ModelError(
                    f"{path} is a TensorFlow SavedModel without variables/variables.index: copy it again."
                )
            return "savedmodel", ""
        raise ModelError(f"{path} is a folder, not a .keras or .h5 file, and no SavedModel.")
    try:
        with open_regular(path) as file:
            head = file.read(64)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from None
    return _format_of(path, head)


def _format_of(path: Path, head: bytes) -> tuple[str, str]:
    if not head:
        raise ModelError(f"{path} is empty (0 bytes). {SAVE_AGAIN}")
    if head.startswith(_LFS_POINTER):
        raise ModelError(
            f"{path} is a git LFS pointer, not the model itself. Run 'git lfs pull' first."
        )
    if is_index(path):
        return "shards", ""
    suffix = path.suffix.lower()
    if suffix in _FOREIGN:
        raise ModelError(
            f"{path} is {_FOREIGN[suffix]}, and reportgen reads Keras models. Netron (https://netron.app) "
            "shows it; for a report save the Keras model that it was made from with model.save('NAME.keras')."
        )
    if suffix not in {".keras", ".h5", ".hdf5"}:
        raise ModelError(f"{path} does not end in .keras, .h5 or .hdf5. {_instead(suffix)}")
    heads = {"zip": _ZIP_HEAD, "hdf5": _HDF5_HEAD}
    kind = next((kind for kind, mark in heads.items() if head.startswith(mark)), None)
    if kind is None:
        what = "a zip file, as .keras files are" if suffix == ".keras" else "an HDF5 file"
        raise ModelError(f"{path} is not {what}: it is damaged or something else. {SAVE_AGAIN}")
    expected = "zip" if suffix == ".keras" else "hdf5"
    if kind == expected:
        return kind, ""
    is_a = {"zip": "a zip file", "hdf5": "an HDF5 file"}[kind]
    return kind, f"The file ends in {suffix} and is {is_a}, whose ending is {_ENDINGS[kind]}"


def _instead(suffix: str) -> str:
    """Say what to do about a file whose ending is no model's."""
    if suffix == ".json":
        return (
            "If it describes a network (model.to_json()), name the file of its weights as the model, and this "
            "one by --architecture."
        )
    return "Name a Keras model, or save one with model.save('NAME.keras')."


def _read_keras_config(path: Path) -> tuple[Any, dict[str, Any], Mapping[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            _check_members(archive, path)
            _check_inflation(archive, path)
            config = json.loads(archive.read("config.json")) if "config.json" in names else None
            broken = archive.testzip() if "model.weights.h5" in names else None
            written = _metadata(archive) if "metadata.json" in names else {}
    except ModelError:
        raise
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ModelError(f"{path} is damaged: its config.json is not JSON. {SAVE_AGAIN}") from None
    except Exception as error:  # noqa: BLE001 - zip files are encrypted, and packed in many ways
        raise ModelError(
            f"{path} is truncated or damaged ({error or type(error).__name__}). Copy it again, or save the "
            "model again."
        ) from None
    if config is None or "model.weights.h5" not in names:
        raise ModelError(
            f"{path} is a zip file, but no Keras model: config.json or weights are missing."
        )
    if broken:
        raise ModelError(
            f"{path} is damaged: {broken!r} inside it fails its checksum. Copy it again."
        )
    # Apart from the model: what it was trained with is told, never deserialized.
    compiled = config.pop("compile_config", None) if isinstance(config, dict) else None
    return config, compiled if isinstance(compiled, dict) else {}, written


def _metadata(archive: zipfile.ZipFile) -> Mapping[str, Any]:
    try:
        found = json.loads(archive.read("metadata.json"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive that no Keras writes: names that lead out of it, one name twice, encrypted members."""
    members = archive.infolist()
    names = [member.filename for member in members]
    leading = [n for n in names if n.startswith("/") or ".." in n.replace("\\", "/").split("/")]
    twice = len(set(names)) < len(names)
    problem = (
        f"{leading[0]!r} leads out of it"
        if leading
        else "two of its members have one name"
        if twice
        else "its members are encrypted"
        if any(member.flag_bits & 1 for member in members)
        else f"it has more than {MAX_MEMBERS:,} members"
        if len(names) > MAX_MEMBERS
        else ""
    )
    if problem:
        raise ModelError(f"{path} is no archive that Keras wrote: {problem}. {SAVE_AGAIN}")


def _check_inflation(archive: zipfile.ZipFile, path: Path) -> None:
    if sum(i.file_size for i in archive.infolist()) > MAX_INFLATION * path.stat().st_size:
        raise ModelError(
            f"{path} unpacks to more than {MAX_INFLATION} times its size, which no model "
            f"does: it is not opened. {SAVE_AGAIN}"
        )


def _read_hdf5_config(path: Path) -> tuple[Any, dict[str, Any], Mapping[str, Any]]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            stored, training = file.attrs.get("model_config"), file.attrs.get("training_config")
            group = file.get("model_weights", file)
            written = {
                key: file.attrs.get(key, group.attrs.get(key))
                for key in ("keras_version", "backend")
            }
    except OSError as error:
        raise ModelError(
            f"{path} is truncated or damaged ({error}). Copy it again, or save the model again."
        ) from None
    if stored is None:
        return None, {}, written
    try:
        config = json.loads(stored)
        compiled = json.loads(training) if training is not None else {}
    except (ValueError, TypeError, RecursionError):
        raise ModelError(
            f"{path} is damaged: its stored configuration is not JSON. {SAVE_AGAIN}"
        ) from None
    if not isinstance(compiled, dict):
        return config, {}, written
    compiled.setdefault("optimizer", compiled.get("optimizer_config"))
    return config, compiled, written


def _text(value: Any) -> str:
    """Return what a file says as one short word of plain characters, or nothing."""
    said = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    return said if re.fullmatch(r"[\w.+-]{1,30}", said, re.ASCII) else ""
