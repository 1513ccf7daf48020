"""The weights of a file as it stores them: HDF5 by itself or in a zip, opened without a copy in memory."""

from __future__ import annotations

import contextlib
import zipfile
from typing import TYPE_CHECKING, Any

from reportgen.nets.inspection import member
from reportgen.nets.shards import open_shards

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEIGHTS = "model.weights.h5"


@contextlib.contextmanager
def open_weights(path: Path, kind: str) -> Iterator[Any]:
    """Open the HDF5 file that holds the weights; it was read once in the limited child before.

    Args:
        path: of the model file.
        kind: ``hdf5``, ``zip`` with the HDF5 file inside, or ``shards`` with several that are read as one.
    """
    import h5py

    if kind == "shards":
        with open_shards(path) as merged:
            yield merged
        return
    if kind == "hdf5":
        with h5py.File(path, "r") as file:
            yield file
        return
    with (
        zipfile.ZipFile(path) as archive,
        path.open("rb") as raw,
        h5py.File(member(archive, archive.getinfo(WEIGHTS), raw), "r") as file,
    ):
        yield file
