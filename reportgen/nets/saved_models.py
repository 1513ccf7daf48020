"""What lies in a SavedModel's folder, and what it says of its layers."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.children import ChildError, run_file
from reportgen.settings import (
    INSPECTION_MEMORY,
    INSPECTION_RATE,
    INSPECTION_SECONDS,
    MAX_ARCHITECTURE_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reportgen.nets.stored_layers import StoredLayer

_DESCRIPTIONS = ("saved_model.pb", "keras_metadata.pb")


class Description(NamedTuple):
    """What a SavedModel says of its network.

    Attributes:
        config: None where it says nothing.
        note: why it cannot be read, of a damaged one.
    """

    config: Any
    compiled: dict[str, Any]
    written: Mapping[str, Any]
    note: str = ""


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the files of a SavedModel's checkpoint; none where it has none."""
    inside = folder / "variables"
    if not (inside / "variables.index").is_file():
        return []
    return sorted(part for part in inside.iterdir() if part.is_file())


def files_of(folder: Path) -> list[Path]:
    """Return all files that are read of a SavedModel."""
    described = [folder / name for name in _DESCRIPTIONS if (folder / name).is_file()]
    return [*described, *checkpoint_files(folder)]


@lru_cache(maxsize=16)
def describe(folder: Path, _stamp: tuple[int, ...]) -> Description:
    """Read what a SavedModel says of its layers, in a limited process; once for each state of it.

    A damaged description is a note: the weights can be shown without it.
    """
    sizes = [(folder / name).stat().st_size for name in _DESCRIPTIONS if (folder / name).is_file()]
    size = max(sizes, default=0)
    try:
        answer = run_file(
            Path(__file__).with_name("saved_model_reader.py"),
            str(folder.resolve()),
            str(MAX_ARCHITECTURE_BYTES),
            seconds=INSPECTION_SECONDS + size / INSPECTION_RATE,
            memory=INSPECTION_MEMORY + 2 * size,
        )
        found = json.loads(answer.out)
    except ChildError as error:
        found = {"problem": f"reading it was given up, {error}"}
    except ValueError:
        found = {"problem": answer.problem or f"reading it ended with code {answer.code}"}
    if problem := found.get("problem"):
        said = f"What it says of its layers is damaged ({problem}), so that they are named after their weights"
        return Description(None, {}, {}, said)
    compiled = found.get("compiled")
    if not isinstance(compiled, dict):
        return Description(found.get("config"), {}, found)
    compiled.setdefault("optimizer", compiled.get("optimizer_config"))
    return Description(found.get("config"), compiled, found)


def layer_at(
    place: Sequence[str], layers: Sequence[StoredLayer], class_name: str
) -> tuple[list[StoredLayer], list[str]]:
    """Follow a place in a checkpoint, as ``layer-2/layer-0/cell/kernel``, through a stored configuration.

    Keras 2 counts the layers of a network in their order; a Sequential leaves its InputLayer out.

    Args:
        place: its steps.
        layers: all of the configuration.
        class_name: of the network.

    Returns:
        The layers from the outermost to the innermost, and the steps that are left.
    """
    chain: list[StoredLayer] = []
    rest = list(place)
    while rest and (number := re.fullmatch(r"layer-(\d{1,6})", rest[0])):
        parent = chain[-1].path if chain else None
        kind = chain[-1].class_name if chain else class_name
        inside = [layer for layer in layers if layer.parent == parent]
        if kind == "Sequential":
            inside = [layer for layer in inside if layer.class_name != "InputLayer"]
        if int(number.group(1)) >= len(inside):
            break
        chain.append(inside[int(number.group(1))])
        rest.pop(0)
    return chain, rest
