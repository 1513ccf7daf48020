"""Where the weights of a network that is not built come from: HDF5, or a SavedModel's checkpoint."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from reportgen.children import ChildError, run_file
from reportgen.errors import ModelError
from reportgen.nets.saved_models import layer_at
from reportgen.nets.stored import check_unchanged
from reportgen.nets.stored_weights import read_array, stored_weights, weight_at
from reportgen.nets.weight_files import open_weights
from reportgen.settings import CHECKPOINT_MEMORY, CHECKPOINT_SECONDS, INSPECTION_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.nets.stored import Stored
    from reportgen.nets.stored_layers import StoredLayer
    from reportgen.nets.stored_weights import StoredWeight
    from reportgen.slabs import Slabs


_DAMAGE = (TypeError, ValueError, LookupError, AttributeError, OSError, RuntimeError)
"""What h5py raises where a file is another one than it says."""


class WeightSource(Protocol):
    """The weights of one file."""

    def weights(self, layers: Sequence[StoredLayer]) -> tuple[StoredWeight, ...]:
        """Return what there is, without its values."""

    def arrays(self, weights: Sequence[StoredWeight]) -> Iterator[NDArray[Any] | Slabs]:
        """Yield the values of weights, one in memory at a time."""


def _damaged(path: Path, error: Exception) -> ModelError:
    said = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    return ModelError(
        f"{path} is damaged: its weights are not where it says that they are ({said})."
    )


class Hdf5Weights:
    """Weights of an HDF5 file, or of the one in a zip.

    Args:
        path: of the file.
        stored: what was read of it.
    """

    def __init__(self, path: Path, stored: Stored) -> None:
        self._path, self._stored = path, stored

    def weights(self, layers: Sequence[StoredLayer]) -> tuple[StoredWeight, ...]:
        """Return what there is.

        Raises:
            ModelError: the file was changed since it was looked at.
        """
        check_unchanged(self._path, self._stored.stamp)
        try:
            with open_weights(self._path, self._stored.kind) as file:
                return stored_weights(file, layers)
        except _DAMAGE as error:
            raise _damaged(self._path, error) from error

    def arrays(self, weights: Sequence[StoredWeight]) -> Iterator[NDArray[Any] | Slabs]:
        """Yield the values.

        Raises:
            ModelError: the file was changed since it was looked at.
        """
        check_unchanged(self._path, self._stored.stamp)
        try:
            with open_weights(self._path, self._stored.kind) as file:
                for weight in weights:
                    yield read_array(file, weight.place)
        except _DAMAGE as error:
            raise _damaged(self._path, error) from error
        check_unchanged(self._path, self._stored.stamp)


class CheckpointWeights:
    """Weights of a SavedModel, copied out of its checkpoint by TensorFlow in a limited process.

    Args:
        path: of the folder.
        stored: what was read of it.

    Raises:
        ModelError: the checkpoint is damaged, or takes too long or too much memory.
    """

    def __init__(self, path: Path, stored: Stored) -> None:
        check_unchanged(path, stored.stamp)
        self._copies = tempfile.mkdtemp(prefix="reportgen-")
        weakref.finalize(self, shutil.rmtree, self._copies, ignore_errors=True)
        try:
            answer = run_file(
                Path(__file__).with_name("checkpoint_reader.py"),
                str(path.resolve()),
                self._copies,
                seconds=CHECKPOINT_SECONDS + stored.weights / INSPECTION_RATE,
                memory=CHECKPOINT_MEMORY + 2 * stored.weights,
            )
            found = json.loads(answer.out)
        except ChildError as error:
            raise ModelError(f"{path}: reading its checkpoint was given up, {error}.") from None
        except ValueError:
            found = {"problem": answer.problem or f"reading it ended with code {answer.code}"}
        if problem := found.get("problem"):
            raise ModelError(f"{path}: its checkpoint is damaged or incomplete ({problem}).")
        self._found = found["weights"]
        config = stored.config
        self._class_name = str(config["class_name"]) if isinstance(config, dict) else ""

    def weights(self, layers: Sequence[StoredLayer]) -> tuple[StoredWeight, ...]:
        """Return what there is, by their places in the network, or by the names of the variables."""
        taken: set[str] = set()
        return tuple(
            weight_at(
                *self._owner(one, layers), (one["shape"], one["dtype"], one["file"]), layers, taken
            )
            for one in self._found
        )

    def _owner(
        self, one: Mapping[str, Any], layers: Sequence[StoredLayer]
    ) -> tuple[list[str], str]:
        """Return the names on the way to a weight, and its own."""
        chain, rest = layer_at(one["place"], layers, self._class_name)
        if chain and rest:
            names = [layer.path.removeprefix(f"{layer.parent}/") for layer in chain]
            return [*names, *rest[:-1]], rest[-1]
        *parts, last = one["name"].partition(":")[0].split("/")
        return parts, last

    def arrays(self, weights: Sequence[StoredWeight]) -> Iterator[NDArray[Any] | Slabs]:
        """Yield the values."""
        for weight in weights:
            yield self._values(weight.place)

    def placed(self) -> Iterator[tuple[list[str], NDArray[Any]]]:
        """Yield the steps to every weight through the layers, and its values."""
        for one in self._found:
            yield one["place"] or one["name"].split("/"), self._values(one["file"])

    def _values(self, file: str) -> NDArray[Any]:
        found: NDArray[Any] = np.load(Path(self._copies) / file, allow_pickle=False)
        return found


def weight_source(path: Path, stored: Stored) -> WeightSource:
    """Return the weights of what was read."""
    source = CheckpointWeights if stored.kind == "savedmodel" else Hdf5Weights
    return source(path, stored)
