"""All that the user gave beside the model, in one record that is whole before TensorFlow starts."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.errors import InputError, error_text
from reportgen.files import open_regular
from reportgen.inputs.card import read_card
from reportgen.inputs.data_source import list_data
from reportgen.inputs.history import read_history
from reportgen.inputs.labels import read_classes
from reportgen.inputs.listing import list_images
from reportgen.inputs.notes import read_notes
from reportgen.nets.custom_objects import import_from_here
from reportgen.report.content.overview import ModelFile
from reportgen.settings import BLOCK
from reportgen.wording import readable_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from reportgen.inputs.data_source import DataSource
    from reportgen.inputs.history import History
    from reportgen.inputs.listing import Listing
    from reportgen.inputs.notes import GivenNotes
    from reportgen.report.card import ModelCard
    from reportgen.settings import Settings


class Inputs(NamedTuple):
    """What the user gave; images are listed and not yet read.

    Attributes:
        classes: class names, empty where none were given.
        probes: what may be shown; images of the data set where only that was given; None without either.
        data: the data set to evaluate on, None where none was given.
        history: of the training, likewise.
        preprocess: the user's function, from (n, H, W, C) float32 in 0..255; None without one.
        file: the model's file, None for a live model.
        command: that makes this report, file names only.
        probes_from_data: whether the probes are images of the data set.
        notes: of the user, with their pictures.
        card: what only the model's authors know.
        deadline: by ``time.monotonic``: what would end behind it is not begun.
    """

    settings: Settings
    classes: tuple[str, ...] = ()
    probes: Listing | None = None
    data: DataSource | None = None
    history: History | None = None
    preprocess: Callable[[Any], Any] | None = None
    file: ModelFile | None = None
    command: str = ""
    probes_from_data: bool = False
    notes: GivenNotes | None = None
    card: ModelCard | None = None
    deadline: float = math.inf

    @property
    def images_at_once(self) -> int:
        """How many images the network is run on at once."""
        if self.data is not None or self.probes is None:
            return BLOCK
        return min(self.probes.size or BLOCK, self.settings.max_probes)


def read_inputs(
    model: Any,
    *,
    probes: Any,
    data: Any,
    history: Any,
    settings: Settings,
    preprocess: Callable[[Any], Any] | None,
    command: str,
    begun: float,
    copied: bool = False,
) -> Inputs:
    """Read what the user gave, as far as that needs no network.

    Args:
        model: its file is described where it is one.
        probes: as ``build_report`` takes them.
        data: likewise.
        history: likewise.
        settings: the options.
        preprocess: the user's function; what ``settings.preprocess`` names is imported without one.
        command: that makes this report.
        begun: when the build began, by ``time.monotonic``.
        copied: whether the data is a copy of what a store holds.

    Raises:
        InputError: something that was given cannot be used; its subclass says what.
    """
    classes = read_classes(settings.classes)
    source = list_data(data, settings, copied=copied) if data is not None else None
    listing = list_images(probes, settings) if probes is not None else None
    if listing is None and source is not None:
        listing = source.listing.with_single_labels()
    return Inputs(
        settings=settings,
        classes=classes,
        probes=listing,
        data=source,
        history=read_history(history),
        preprocess=preprocess or imported_function(settings.preprocess),
        file=file_facts(Path(model), settings) if isinstance(model, str | Path) else None,
        command=command,
        probes_from_data=probes is None and source is not None,
        notes=read_notes(Path(settings.notes)) if settings.notes else None,
        card=read_card(Path(settings.card)) if settings.card else None,
        deadline=math.inf if settings.budget is None else begun + settings.budget,
    )


def imported_function(mode: str | None) -> Callable[[Any], Any] | None:
    """Import ``module:function``, on the user's word."""
    if mode is None or ":" not in mode:
        return None
    dotted, _, name = mode.partition(":")
    try:
        function: Any = import_from_here(dotted)
        for part in name.split("."):
            function = getattr(function, part)
    except Exception as error:
        raise InputError(
            f"--preprocess {mode}: it cannot be imported ({error_text(error)})."
        ) from error
    if not callable(function):
        raise InputError(f"--preprocess {mode}: it is no function.")
    return function  # type: ignore[no-any-return]


def file_facts(path: Path, settings: Settings) -> ModelFile:
    """Return name, size and digest; of a folder over the names and the bytes of all that it holds."""
    hasher, size = hashlib.sha256(), 0
    parts = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for part in parts:
        if part != path:
            hasher.update(f"{part.relative_to(path).as_posix()}\0".encode("utf-8", "replace"))
        with open_regular(part) as file:
            while block := file.read(1 << 20):
                hasher.update(block)
                size += len(block)
    name = str(path.resolve()) if settings.show_paths else path.name
    return ModelFile(readable_name(name), size, hasher.hexdigest())
