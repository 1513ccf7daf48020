"""Load a model file, which is untrusted input: nothing in it is executed unless the user says so.

A file that Keras 1 or 2 wrote is built from its migrated configuration, any other by Keras itself.
"""

from __future__ import annotations

import copy
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.errors import ModelError, NotBuiltError, UnfitError, UsageError
from reportgen.nets.bodies import filled
from reportgen.nets.bounds import bounded_weights, check_shapes, check_tensors, in_time
from reportgen.nets.custom_objects import import_custom_objects
from reportgen.nets.failures import cause
from reportgen.nets.keras_internals import names_numbered_from_one
from reportgen.nets.migration.errors import AssignmentError, MigrationError, OperationError
from reportgen.nets.migration.versions import is_old, names_hard_sigmoid
from reportgen.nets.stored import SAVE_AGAIN, check_unchanged, named_by_content, read_stored
from reportgen.nets.trust import refuse_untrusted, unknown_objects
from reportgen.nets.weight_files import open_weights
from reportgen.nets.weight_sources import CheckpointWeights
from reportgen.network.facts import Origin
from reportgen.settings import BUILD_RATE, BUILD_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reportgen.nets.stored import Stored
    from reportgen.network.facts import Way


class LoadedModel(NamedTuple):
    """A Keras model and what its file says of its training.

    Attributes:
        compiled: the stored compile configuration, empty where there is none.
        seconds: that tracing it may take; None for a live model, which is trusted.
        origin: of which file, and in which way; None for a live model.
        unlike: why there is no copy with channels last of one that takes them first; empty elsewhere.
    """

    model: Any
    compiled: dict[str, Any]
    seconds: float | None = None
    origin: Origin | None = None
    unlike: str = ""


def open_model(
    model: Any,
    *,
    custom_objects: Sequence[str] = (),
    allow_code: bool = False,
    architecture: str | None = None,
    like: str | None = None,
) -> LoadedModel:
    """Return a live ``keras.Model`` as it is, and load a file; see ``load_model``.

    Raises:
        UsageError: it is neither.
    """
    import keras

    if isinstance(model, str | Path):
        return load_model(
            Path(model),
            custom_objects=custom_objects,
            allow_code=allow_code,
            architecture=architecture,
            like=like,
        )
    if isinstance(model, keras.Model):
        return LoadedModel(model, {})
    raise UsageError(f"The model must be a keras.Model or a path, not {type(model).__name__}.")


def runnable(loaded: LoadedModel, device: str) -> LoadedModel:
    """Return a model that TensorFlow can run on a device: on a processor, one with its channels last.

    Where no exact copy can be made the model is left as it is, with the reason: some of them run all the same.
    """
    from reportgen.nets.axes import takes_channels_first
    from reportgen.nets.channels_last import channels_last_copy
    from reportgen.nets.structure import walk

    if device != "cpu" or not takes_channels_first(n.operation for n in walk(loaded.model)):
        return loaded
    copy, reason = channels_last_copy(loaded.model)
    if copy is None:
        return loaded._replace(unlike=f"no exact copy with channels last can be made: {reason}")
    said = (
        "It takes channels first, which TensorFlow does not run on a processor: a copy with channels last, of "
        "the same weights and answers, is run"
    )
    before = loaded.origin or Origin("native")
    origin = Origin(before.way, before.version, (*before.notes, said))
    compiled = loaded.compiled or (loaded.model.compiled and loaded.model.get_compile_config())
    return loaded._replace(model=copy, compiled=compiled or {}, origin=origin)


def check_model_file(path: Path, architecture: str | None = None, like: str | None = None) -> None:
    """Raise ModelError where a file is plainly no model; in a moment, without TensorFlow."""
    read_stored(path, architecture, like)


def load_model(
    path: Path,
    *,
    custom_objects: Sequence[str] = (),
    allow_code: bool = False,
    architecture: str | None = None,
    like: str | None = None,
) -> LoadedModel:
    """Load ``.keras`` or ``.h5`` without compiling and, by default, without running stored code.

    Args:
        path: the file.
        custom_objects: ``MODULE``, ``MODULE:NAME`` or ``FILE.py``, imported on the user's word.
        allow_code: let run what the file carries (Lambdas) or names (other functions, layers that read files).
        architecture: a JSON file with the configuration of a file that holds weights only.
        like: a model file that has that configuration.

    Raises:
        NotBuiltError: no network can be built from it, and what it stores can be shown.
        ModelError: no such file, no model, damaged, or over a limit.
        InputError: the custom objects cannot be imported.
    """
    stored = read_stored(path, architecture, like)
    if stored.config is None and stored.kind == "savedmodel":
        raise NotBuiltError(_of_graph(path, allow_code=allow_code))
    if stored.config is None:
        raise NotBuiltError(
            f"{path} holds weights only, without the architecture. --architecture FILE.json gives it one "
            "(what model.to_json() says), --like MODEL that of another model file; or save the whole model "
            "with model.save('NAME.keras')"
        )
    known = import_custom_objects(custom_objects)
    seconds = BUILD_SECONDS + stored.size / BUILD_RATE
    if stored.kind == "savedmodel":
        return _load_saved_model(path, stored, known, seconds, allow_code=allow_code)
    load = _load_old if is_old(stored.config, stored.version) else _load_native
    return load(path, stored, known, seconds, allow_code=allow_code)


def _of_graph(path: Path, reason: str = "", *, allow_code: bool) -> str:
    """Say why no network is built from a SavedModel, and which flag runs its graph."""
    why = reason or "it says nothing of its layers"
    whole = "For a whole report load it where it was made and save it with model.save('NAME.keras')"
    if allow_code:
        return f"No network can be built from {path}: {why}. {whole}"
    return (
        f"{path} is a TensorFlow SavedModel: its graph of operations may read and write files, and is not run. "
        f"No network can be built from its description: {why}. If you trust it, --allow-code runs the graph, "
        f"for predictions and occlusion maps. {whole}"
    )


def _load_saved_model(
    path: Path, stored: Stored, known: Mapping[str, Any], seconds: float, *, allow_code: bool
) -> LoadedModel:
    """Build a network from what Keras 2 wrote of its layers beside a graph, which is not run for it."""
    try:
        loaded = _load_migrated(path, stored, known, seconds, allow_code=allow_code)
    except MigrationError as error:
        raise NotBuiltError(_of_graph(path, str(error), allow_code=allow_code)) from None
    note = "It is built from what the SavedModel says of its layers; its graph is not run"
    return loaded._replace(origin=Origin("migrated", stored.version, (note,)))


def _load_native(
    path: Path, stored: Stored, known: Mapping[str, Any], seconds: float, *, allow_code: bool
) -> LoadedModel:
    """Let Keras build what its configuration says, and load its weights."""
    refuse_untrusted(stored.config, known, path, allow_code=allow_code)
    import keras

    load = partial(
        keras.models.load_model, custom_objects=known, compile=False, safe_mode=not allow_code
    )

    def build() -> Any:
        with named_by_content(path, stored) as file:
            return (
                load(file)
                if not stored.body
                else filled(path, stored, known, file, safe=not allow_code)
            )

    try:
        model = _build(path, stored, stored.config, seconds, build)
    except AssignmentError as error:
        raise UnfitError(_unfit(path, error)) from None
    return LoadedModel(model, stored.compiled, seconds, _origin(stored, "native"))


def _unfit(path: Path, error: AssignmentError) -> str:
    return (
        f"{path}: its weights do not fit the architecture that was given for them: {error}. Give it the one of "
        "the model whose weights they are."
    )


def _load_old(
    path: Path, stored: Stored, known: Mapping[str, Any], seconds: float, *, allow_code: bool
) -> LoadedModel:
    """Build a network from its migrated configuration; what cannot be migrated Keras may read itself."""
    try:
        return _load_migrated(path, stored, known, seconds, allow_code=allow_code)
    except OperationError as error:
        raise NotBuiltError(
            f"{path}: {error}, and nothing is looked up by a name that a file holds. For a whole report build "
            "the network anew with keras.ops, load its weights and save it with model.save('NAME.keras')."
        ) from None
    except MigrationError as error:
        if stored.body and isinstance(error, AssignmentError):
            raise UnfitError(_unfit(path, error)) from None
        reason, unfit = str(error), isinstance(error, AssignmentError)
    if unfit or names_hard_sigmoid(stored.config):
        # Keras 3 would leave weights out, or answer differently.
        raise NotBuiltError(
            f"{path}: Keras cannot load this model: {reason}. {_where_to_load(stored)}"
        )
    try:
        return _load_native(path, stored, known, seconds, allow_code=allow_code)
    except ModelError as error:
        if "--allow-code" in str(error) or "--custom-objects" in str(error):
            raise
        if not isinstance(error, NotBuiltError):  # it is over a limit
            raise
        raise NotBuiltError(
            f"{path}: Keras cannot load this model: {reason}. {_where_to_load(stored)}"
        ) from error


def _load_migrated(
    path: Path, stored: Stored, known: Mapping[str, Any], seconds: float, *, allow_code: bool
) -> LoadedModel:
    """Build a network of Keras 1 or 2 by Keras 3, and put its weights into it.

    Raises:
        MigrationError: it has no counterpart in Keras 3, or its weights do not fit.
        ModelError: it is not trusted.
    """
    from reportgen.nets.migration.assignment import assign_weights
    from reportgen.nets.migration.checkpoint_assignment import assign_places
    from reportgen.nets.migration.configuration import migrate
    from reportgen.nets.migration.functions import OLD_FUNCTIONS

    config = migrate(stored.config)
    if stored.backend == "theano":
        raise MigrationError("Theano ran it, which turns the kernels of convolutions around")
    objects = {**OLD_FUNCTIONS, **known}
    refuse_untrusted(config, objects, path, allow_code=allow_code)
    import keras

    copied = CheckpointWeights(path, stored) if stored.kind == "savedmodel" else None

    def build() -> Any:
        try:
            with keras.saving.custom_object_scope(objects):
                model = keras.saving.deserialize_keras_object(
                    copy.deepcopy(config), custom_objects=objects, safe_mode=not allow_code
                )
        except Exception as error:
            raise MigrationError(cause(error)) from error
        if copied is not None:
            assign_places(model, config, copied.placed())
            return model
        with open_weights(path, stored.kind) as file:
            assign_weights(model, config, file, stored.weights_version or stored.version)
        return model

    model = _build(path, stored, config, seconds, build)
    return LoadedModel(model, stored.compiled, seconds, _origin(stored, "migrated"))


def _build(path: Path, stored: Stored, config: Any, seconds: float, make: Callable[[], Any]) -> Any:
    """Make a network within the limits on its weights, its tensors and the time.

    Raises:
        ModelError: it is over a limit, or Keras cannot make it.
        MigrationError: passed on.
    """
    check_unchanged(path, stored.stamp)
    try:
        check_shapes(config)
        with names_numbered_from_one(), bounded_weights(stored.weights):
            model = in_time(seconds, "building it", make)
        check_tensors(model)
    except ModelError as error:
        raise ModelError(f"{path} is not built: {error}. {SAVE_AGAIN}") from None
    except MigrationError:
        raise
    except Exception as error:
        raise _explain_error(error, path, stored) from error
    check_unchanged(path, stored.stamp)
    return model


def _origin(stored: Stored, way: Way) -> Origin:
    return Origin(way, stored.version, (stored.note,) if stored.note else ())


def _explain_error(error: Exception, path: Path, stored: Stored) -> NotBuiltError:
    text = str(error)
    unknown = re.search(
        r"(?:Could not locate class|Unknown layer:|Could not locate function) '?([\w>.]+)'?", text
    )
    if unknown:
        said = unknown_objects({unknown.group(1)}, path)
        return (
            NotBuiltError(f"{said} {_where_to_load(stored)}")
            if "cannot load" in str(said)
            else said
        )
    if "not a modeling function" in text or "Non-modeling APIs" in text:
        return NotBuiltError(f"{path}: Keras itself refuses what it names ({cause(error)}).")
    return NotBuiltError(
        f"{path}: Keras cannot load this model: {cause(error)}. {_where_to_load(stored)}"
    )


def _where_to_load(stored: Stored) -> str:
    """Say which Keras wrote a file, as far as it says it, and what to do."""
    import keras

    advice = "load it there and save it with model.save('NAME.keras')."
    if not stored.version:
        return f"If an older Keras wrote it, {advice}"
    if stored.version == keras.__version__:
        return f"It was written by this version, Keras {stored.version}, which cannot read all that it writes."
    return f"Keras {stored.version} wrote it, this is Keras {keras.__version__}: {advice}"
