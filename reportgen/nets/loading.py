"""Load a model file, which is untrusted input: nothing in it is executed unless the user says so."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import re
import sys
import zipfile
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.children import ChildError, run_file
from reportgen.errors import InputError, ModelError, UsageError
from reportgen.files import open_regular, reason_of
from reportgen.nets.bounds import bounded_weights, check_shapes, check_tensors, in_time
from reportgen.nets.failures import cause
from reportgen.nets.keras_internals import names_numbered_from_one
from reportgen.nets.trust import refuse_untrusted, unknown_objects
from reportgen.settings import (
    BUILD_RATE,
    BUILD_SECONDS,
    INSPECTION_MEMORY,
    INSPECTION_RATE,
    INSPECTION_SECONDS,
    MAX_INFLATION,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_ZIP_HEAD = b"PK\x03\x04"
_HDF5_HEAD = b"\x89HDF\r\n\x1a\n"
_LFS_POINTER = b"version https://git-lfs"
_SAVE_AGAIN = "Save it again with model.save('NAME.keras')."


class LoadedModel(NamedTuple):
    """A Keras model and what its file says of its training.

    Attributes:
        compiled: the stored compile configuration, empty where there is none.
        seconds: that tracing it may take; None for a live model, which is trusted.
    """

    model: Any
    compiled: dict[str, Any]
    seconds: float | None = None


class _Stored(NamedTuple):
    """What a file holds, before anything of it is built.

    Attributes:
        config: of the model.
        compiled: what it was trained with.
        size: bytes of the configuration.
        weights: bytes of all data sets.
        stamp: the state of the file before it was read.
    """

    config: Any
    compiled: dict[str, Any]
    size: int
    weights: int
    stamp: tuple[int, ...]


def open_model(
    model: Any, *, custom_objects: Sequence[str] = (), allow_code: bool = False
) -> LoadedModel:
    """Return a live ``keras.Model`` as it is, and load a file; see ``load_model``.

    Raises:
        UsageError: it is neither.
    """
    import keras

    if isinstance(model, str | Path):
        return load_model(Path(model), custom_objects=custom_objects, allow_code=allow_code)
    if isinstance(model, keras.Model):
        return LoadedModel(model, {})
    raise UsageError(f"The model must be a keras.Model or a path, not {type(model).__name__}.")


def load_model(
    path: Path, *, custom_objects: Sequence[str] = (), allow_code: bool = False
) -> LoadedModel:
    """Load ``.keras`` or ``.h5`` without compiling and, by default, without running stored code.

    Args:
        path: the file.
        custom_objects: ``MODULE``, ``MODULE:NAME`` or ``FILE.py``, imported on the user's word.
        allow_code: let run what the file carries (Lambdas) or names (other functions, layers that read files).

    Raises:
        ModelError: no such file, no model, damaged, or it needs what was not given.
        InputError: the custom objects cannot be imported.
    """
    stored = _read_config(path)
    known = _import_custom_objects(custom_objects)
    refuse_untrusted(stored.config, known, path, allow_code=allow_code)
    import keras

    _check_unchanged(path, stored.stamp)
    seconds = BUILD_SECONDS + stored.size / BUILD_RATE
    try:
        check_shapes(stored.config)
        load = partial(
            keras.models.load_model,
            path,
            custom_objects=known,
            compile=False,
            safe_mode=not allow_code,
        )
        with names_numbered_from_one(), bounded_weights(stored.weights):
            model = in_time(seconds, "building it", load)
        check_tensors(model)
    except ModelError as error:
        raise ModelError(f"{path} is not built: {error}. {_SAVE_AGAIN}") from None
    except Exception as error:
        raise _explain_error(error, path) from error
    _check_unchanged(path, stored.stamp)
    return LoadedModel(model, stored.compiled, seconds)


def _check_unchanged(path: Path, stamp: tuple[int, ...]) -> None:
    """Raise where the file is another one than was looked at: it would be loaded unseen."""
    if _stamp(path) != stamp:
        raise ModelError(f"{path} was changed while it was read. Try again when it is written.")


def check_model_file(path: Path) -> None:
    """Raise ModelError where a file is plainly no model; in a moment, without TensorFlow."""
    _read_config(path)


def _read_config(path: Path) -> _Stored:
    stamp = _stamp(path)
    kind = _check_format(path)
    if kind == "zip":
        config, compiled = _read_keras_config(path)
        weights = _inspect(path, kind, stamp)
    else:
        weights = _inspect(path, kind, stamp)
        config, compiled = _read_hdf5_config(path)
    return _Stored(config, compiled, len(json.dumps(config)), weights, stamp)


def _stamp(path: Path) -> tuple[int, ...]:
    """Tell one state of a file from another."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


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
            f"{path} is damaged: reading it once was given up, {error}. {_SAVE_AGAIN}"
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


def _check_format(path: Path) -> str:  # noqa: C901 - one message a way to be no model
    """Return ``zip`` or ``hdf5``, or say what the file is instead."""
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
            raise ModelError(
                f"{path} is a TensorFlow SavedModel, which holds no Keras layers. "
                "Load it where it was made and save it with model.save('NAME.keras')."
            )
        raise ModelError(f"{path} is a folder, not a .keras or .h5 file.")
    try:
        with open_regular(path) as file:
            head = file.read(64)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from None
    if not head:
        raise ModelError(f"{path} is empty (0 bytes). {_SAVE_AGAIN}")
    if head.startswith(_LFS_POINTER):
        raise ModelError(
            f"{path} is a git LFS pointer, not the model itself. Run 'git lfs pull' first."
        )
    suffix = path.suffix.lower()
    if suffix == ".keras" and head.startswith(_HDF5_HEAD):
        raise ModelError(f"{path} is an HDF5 file with the wrong ending; rename it to .h5.")
    if suffix in {".h5", ".hdf5"} and head.startswith(_ZIP_HEAD):
        raise ModelError(f"{path} is a zip file with the wrong ending; rename it to .keras.")
    if suffix == ".keras" and head.startswith(_ZIP_HEAD):
        return "zip"
    if suffix in {".h5", ".hdf5"} and head.startswith(_HDF5_HEAD):
        return "hdf5"
    if suffix not in {".keras", ".h5", ".hdf5"}:
        raise ModelError(f"{path} does not end in .keras, .h5 or .hdf5. {_SAVE_AGAIN}")
    what = "a zip file, as .keras files are" if suffix == ".keras" else "an HDF5 file"
    raise ModelError(f"{path} is not {what}: it is damaged or something else. {_SAVE_AGAIN}")


def _read_keras_config(path: Path) -> tuple[Any, dict[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            _check_inflation(archive, path)
            config = json.loads(archive.read("config.json")) if "config.json" in names else None
            broken = archive.testzip() if "model.weights.h5" in names else None
    except ModelError:
        raise
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ModelError(f"{path} is damaged: its config.json is not JSON. {_SAVE_AGAIN}") from None
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
    return config, compiled if isinstance(compiled, dict) else {}


def _check_inflation(archive: zipfile.ZipFile, path: Path) -> None:
    if sum(i.file_size for i in archive.infolist()) > MAX_INFLATION * path.stat().st_size:
        raise ModelError(
            f"{path} unpacks to more than {MAX_INFLATION} times its size, which no model "
            f"does: it is not opened. {_SAVE_AGAIN}"
        )


def _read_hdf5_config(path: Path) -> tuple[Any, dict[str, Any]]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            stored, training = file.attrs.get("model_config"), file.attrs.get("training_config")
    except OSError as error:
        raise ModelError(
            f"{path} is truncated or damaged ({error}). Copy it again, or save the model again."
        ) from None
    if stored is None:
        raise ModelError(
            f"{path} holds weights only, without the architecture. "
            "Save the whole model with model.save('NAME.keras')."
        )
    try:
        config = json.loads(stored)
        compiled = json.loads(training) if training is not None else {}
    except (ValueError, TypeError, RecursionError):
        raise ModelError(
            f"{path} is damaged: its stored configuration is not JSON. {_SAVE_AGAIN}"
        ) from None
    if not isinstance(compiled, dict):
        return config, {}
    compiled.setdefault("optimizer", compiled.get("optimizer_config"))
    return config, compiled


def _explain_error(error: Exception, path: Path) -> ModelError:
    text = str(error)
    unknown = re.search(
        r"(?:Could not locate class|Unknown layer:|Could not locate function) '?([\w>.]+)'?", text
    )
    if unknown:
        said = unknown_objects({unknown.group(1)}, path)
        return ModelError(f"{said} {_where_to_load(path)}") if "cannot load" in str(said) else said
    if "not a modeling function" in text or "Non-modeling APIs" in text:
        return ModelError(f"{path}: Keras itself refuses what it names ({cause(error)}).")
    return ModelError(
        f"{path}: Keras cannot load this model: {cause(error)}. {_where_to_load(path)}"
    )


def _where_to_load(path: Path) -> str:
    """Say which Keras wrote a file, as far as it says it, and what to do."""
    import keras

    written = _written_by(path)
    advice = "load it there and save it with model.save('NAME.keras')."
    if not written:
        return f"If an older Keras wrote it, {advice}"
    if written == keras.__version__:
        return f"It was written by this version, Keras {written}, which cannot read all that it writes."
    return f"Keras {written} wrote it, this is Keras {keras.__version__}: {advice}"


def _written_by(path: Path) -> str:
    """Return the version of Keras that a file says it was written by; empty where it does not."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found = json.loads(archive.read("metadata.json")).get("keras_version")
        else:
            import h5py

            with h5py.File(path, "r") as file:
                found = file.attrs.get("keras_version")
    except (OSError, KeyError, ValueError, AttributeError, RecursionError, zipfile.BadZipFile):
        return ""
    version = found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found or "")
    return version if re.fullmatch(r"[\w.+-]{1,30}", version) else ""


def _import_custom_objects(specifications: Sequence[str]) -> dict[str, Any]:
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
