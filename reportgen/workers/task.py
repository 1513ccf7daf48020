"""What a worker runs: one shard of the data set through the network, which it keeps for the next one."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from reportgen.cache import packed
from reportgen.context import bare_context, data_in_this_way
from reportgen.errors import DataError, ReportgenError
from reportgen.inputs.data_source import list_data
from reportgen.inputs.given import Inputs, file_facts, imported_function
from reportgen.inputs.images import quiet_decoders
from reportgen.opened import Asked, opened
from reportgen.remote.fetching import Sources, fetched
from reportgen.sections import SECTIONS
from reportgen.shards import fold_shard, problems_as_arrays
from reportgen.terminal import Silence, quieten
from reportgen.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from reportgen.context import Context, DataWay
    from reportgen.network.shapes import GivenShapes
    from reportgen.observe import Fold
    from reportgen.settings import Settings

MODEL_FILES = ("model", "architecture", "like")
"""What is read to load a model: its file, and what a file of weights is given."""


class Recipe(NamedTuple):
    """What a worker rebuilds the driver's folds from.

    Attributes:
        version: of reportgen.
        identity: digest of what the driver's network computes.
        data: path or address of the data set.
        names: class names as they were given; ``classes`` and ``folders`` as in ``Context``.
        shapes: as in ``Asked``; so is ``watched``.
        images: likewise.
        way: how the data is read and preprocessed.
        kinds: of the sections that fold.
        here: the driver's working folder, where modules are looked for; None on another machine.
        paths: model files by ``MODEL_FILES``, where the worker can read them; relative ones are in ``files``.
        copied: whether the data set's files are copies of a store's.
        files: folder below a temporary one, name and bytes of what was sent.
    """

    version: str
    identity: str
    data: str
    settings: Settings
    names: tuple[str, ...]
    classes: tuple[str, ...]
    folders: tuple[str, ...]
    shapes: GivenShapes
    images: int
    watched: bool
    way: DataWay
    kinds: tuple[str, ...]
    here: str | None
    paths: Mapping[str, str]
    copied: bool = False
    files: tuple[tuple[str, NDArray[Any]], ...] = ()


class _Surveyor:
    """A network and a data set that are open, as the driver has them."""

    def __init__(self, recipe: Recipe) -> None:
        self._open = contextlib.ExitStack()
        try:
            self._context, self._folds = self._prepared(recipe)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of all."""
        self._open.close()

    def _prepared(self, recipe: Recipe) -> tuple[Context, dict[str, Fold]]:
        where = socket.gethostname()
        if recipe.version != __version__:
            raise ReportgenError(
                f"The worker on {where} has reportgen {__version__}, and this is {recipe.version}: install the "
                "same version there."
            )
        settings, silent = recipe.settings, Silence()
        quieten({"device": settings.device}, shared=True)
        given = self._open.enter_context(fetched(Sources(None, data=recipe.data), silent))
        with contextlib.ExitStack() as while_loading:
            if recipe.here is not None:
                while_loading.enter_context(contextlib.chdir(recipe.here))
            place = Path(while_loading.enter_context(tempfile.TemporaryDirectory("", "reportgen-")))
            paths = {name: str(place / path) for name, path in recipe.paths.items()}
            _write(place, recipe.files)
            settings = replace(
                settings, architecture=paths.get("architecture"), like=paths.get("like")
            )
            model = Path(paths["model"])
            source = list_data(given.data, settings, copied=recipe.copied)
            inputs = Inputs(
                settings,
                recipe.names,
                source.listing.with_single_labels(),
                source,
                preprocess=imported_function(settings.preprocess),
                file=file_facts(model, settings),
            )
            asked = Asked(recipe.shapes, recipe.images, recipe.watched, sampled=True)
            # The scope of its device belongs to this thread; the network sets it again for what it runs.
            network = while_loading.enter_context(opened(model, settings, asked, silent))
        context = bare_context(network, inputs, silent)
        context = context._replace(classes=recipe.classes, folders=recipe.folders)
        context = context._replace(data=data_in_this_way(context, source, recipe.way))
        if context.tools.identity() != recipe.identity:
            raise ReportgenError(
                f"The network on the worker {where} is another than here: the model file was changed, or "
                "versions of TensorFlow, Keras, NumPy, Pillow or reportgen differ."
            )
        makers = {str(maker.kind): maker.fold for maker in SECTIONS if maker.fold is not None}
        return context, {kind: makers[kind](context) for kind in recipe.kinds}

    def fold(self, shard: range, identity: str | None) -> bytes:
        """Return a shard's piece.

        Raises:
            DataError: it is not what the driver has seen.
        """
        data = self._context.data
        if data is None or shard not in data.set.shards(self._context.network.block):
            raise _changed("its parts")
        if data.set.identity(shard) != identity:
            raise _changed(f"what follows {data.set.name(shard.start)}")
        with quiet_decoders():
            result = fold_shard(self._context, self._folds, shard, identity, lambda _: None)
        return packed(result.arrays())


def _changed(what: str) -> DataError:
    return DataError(
        f"--data: {what} is not what was there when the build began, as the worker on {socket.gethostname()} "
        "sees it. Nothing was written: build again when the data set does not change any more."
    )


def _write(place: Path, files: tuple[tuple[str, NDArray[Any]], ...]) -> None:
    for name, content in files:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(np.ascontiguousarray(content).data)


_lock = threading.Lock()
_held: dict[str, _Surveyor] = {}


def fold_on_worker(recipe: Recipe, digest: str, shard: range, identity: str | None) -> bytes:
    """Fold a shard; the network and the data set stay open for the next one of the same recipe.

    Args:
        recipe: what is rebuilt.
        digest: of the recipe.
        shard: the images' places.
        identity: of the shard, as the driver has it.

    Returns:
        The piece, packed. Where all of it failed the error stands in it for the section ``""``: what a worker
        raises itself is left to the engine, which knows of lost workers only.
    """
    with _lock:
        try:
            if digest not in _held:
                for other in _held.values():
                    other.close()
                _held.clear()
                _held[digest] = _Surveyor(recipe)
            return _held[digest].fold(shard, identity)
        except Exception as error:  # noqa: BLE001 - the driver raises it
            return packed(problems_as_arrays({"": error}))
