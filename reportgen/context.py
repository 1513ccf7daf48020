"""What a section may look at: what was given, and what the network makes of it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
import PIL

from reportgen.cache import Cache, key_of
from reportgen.drawing.assets import AssetStore, LeftOut
from reportgen.errors import InputError
from reportgen.inputs.classes import ClassNames, as_numbers, classes_of, index_of, label_of_value
from reportgen.inputs.dataset import DataSet
from reportgen.inputs.fitting import image_input, shapes_of
from reportgen.inputs.preprocessing import feeder, prepare
from reportgen.inputs.probes import read_probes
from reportgen.inputs.streams import first_images
from reportgen.network.samples import sample_of
from reportgen.network.tasks import class_count, guess_tasks
from reportgen.report.leaves import Notice
from reportgen.slabs import digest_of
from reportgen.terminal import Silence
from reportgen.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.inputs.data_source import DataSource
    from reportgen.inputs.fitting import InputShape
    from reportgen.inputs.given import Inputs
    from reportgen.inputs.listing import Listing
    from reportgen.inputs.preprocessing import Prepared
    from reportgen.inputs.probes import ProbeSet
    from reportgen.network.protocol import Network
    from reportgen.network.samples import Sample
    from reportgen.network.tasks import Task
    from reportgen.settings import Settings

_ON_PROBES = {"probes", "activations", "relevance", "features"}
"""Sections that look at probes."""


class Progress(Protocol):
    """Told what is being done; draws it or not."""

    def stage(self, text: str, total: int | None = None) -> None:
        """Begin a stage of ``total`` steps, where they can be counted."""

    def advance(self, steps: int = 1) -> None:
        """Count steps of the current stage."""


class Tools(NamedTuple):
    """What sections work with.

    Attributes:
        store: takes their pictures of the network and of numbers.
        progress: told what a section does that takes long.
        cache: finished pieces of long work, None where none are kept.
        identity: gives the digest of the network's calls and weights.
        left_out: which images no picture may show.
        workers: fold the data set; None where this process does.
        stopped: whether nobody waits any more for what is being made; asked by long work beside other work.
    """

    store: AssetStore
    progress: Progress = Silence()
    cache: Cache | None = None
    identity: Callable[[], str] = str
    left_out: frozenset[Literal["probes", "data"]] = frozenset()
    workers: Workers | None = None
    stopped: Callable[[], bool] = lambda: False

    @property
    def images(self) -> AssetStore:
        """Takes pictures that show probes, or what the network makes of them."""
        return self._unless("probes")

    @property
    def data_images(self) -> AssetStore:
        """Takes pictures that show images of the data set."""
        return self._unless("data")

    def _unless(self, what: Literal["probes", "data"]) -> AssetStore:
        return LeftOut(self.store) if what in self.left_out else self.store


class Probes(NamedTuple):
    """The probes.

    Attributes:
        set: read and fitted, before preprocessing.
        prepared: as the network receives them.
        feed: preprocesses further images alike.
    """

    set: ProbeSet
    prepared: Prepared
    feed: Callable[[NDArray[Any]], NDArray[Any]]


class Data(NamedTuple):
    """The data set to evaluate on.

    Attributes:
        set: its images in order, before preprocessing.
        feed: preprocesses them.
        way: how they are read and preprocessed, for who has to do the same.
    """

    set: DataSet
    feed: Callable[[NDArray[Any]], NDArray[Any]]
    way: DataWay


class DataWay(NamedTuple):
    """How a data set is read and preprocessed, as a sample of it has shown.

    Attributes:
        mode: of preprocessing.
        white: full scale of the images; None where there is none.
        classes: names that labels of digits were held against.
    """

    mode: str
    white: float | None
    classes: tuple[str, ...]


class Piece(NamedTuple):
    """A shard to fold on a worker.

    Attributes:
        number: of the shard.
        identity: digest of its images and labels.
    """

    number: int
    shard: range
    identity: str | None


class Driver(NamedTuple):
    """What this process does while workers fold.

    Attributes:
        keep: puts a shard's piece into the cache as it comes, by its number; tells whether that was done.
        kept: gives it back; None where it is lost.
        fold: folds a shard here, and gives its piece as a worker does.
    """

    keep: Callable[[int, bytes], bool]
    kept: Callable[[int], dict[str, NDArray[Any]] | None]
    fold: Callable[[Piece], bytes]


class Workers(Protocol):
    """Fold shards of the data set in other processes."""

    def worth(self, count: int) -> bool:
        """Tell whether so many shards are worth starting them."""

    def fold(
        self,
        context: Context,
        kinds: Sequence[str],
        pieces: Sequence[Piece],
        driver: Driver,
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield what each shard gave, in the order of ``pieces``.

        Args:
            context: with the data set.
            kinds: of the sections that fold.
            pieces: the shards.
            driver: what this process does for them.

        Raises:
            ReportgenError: what the fold of a shard raised, or its worker was lost too often.
        """


class Context(NamedTuple):
    """What a section may look at.

    Attributes:
        inputs: what the user gave.
        classes: class names, given or the folders' own; empty where there are none.
        tasks: what each output is taken for.
        shapes: of the inputs by name, as the network is run, without the batch dimension.
        probes: None where no probes were given, or no section looks at them.
        data: None where no data set was given, or it is not evaluated.
        folds: what was folded of the survey, by section.
        made: content of the sections that are made already, by kind.
        folders: what the labels call the classes, in their order, where that differs from ``classes``.
    """

    network: Network
    inputs: Inputs
    tools: Tools
    classes: tuple[str, ...]
    tasks: tuple[Task, ...]
    shapes: Mapping[str, tuple[int, ...]]
    probes: Probes | None = None
    data: Data | None = None
    folds: Mapping[str, Any] = {}
    made: Mapping[str, Any] = {}
    folders: tuple[str, ...] = ()

    def class_names(self, task: Task) -> ClassNames:
        """Return the classes of an output: names, numbers, and what labels mean."""
        return classes_of(task, self.network.facts.output(task.output), self.classes, self.folders)

    @property
    def sample(self) -> Sample:
        """What the network's inputs are called."""
        facts = self.network.facts.inputs
        return sample_of(facts, [self.shapes[one.name] for one in facts])

    @property
    def settings(self) -> Settings:
        """The options."""
        return self.inputs.settings

    @property
    def specs(self) -> list[InputShape]:
        """The network's inputs, with the sizes that they are run with."""
        return shapes_of(self.network.facts.inputs, self.shapes)


def make_context(
    network: Network, inputs: Inputs, progress: Progress, workers: Workers | None = None
) -> Context:
    """Hold what was given against the network: tasks, class names, probes and data as it takes them.

    Raises:
        InputError: class names, probes or data do not fit the network.
    """
    settings = inputs.settings
    context = bare_context(network, inputs, progress)
    tools = context.tools._replace(
        cache=Cache(settings.cache, fresh=settings.fresh),
        left_out=_left_out(inputs),
        workers=workers,
    )
    context = context._replace(tools=tools)
    if "run" not in network.can:
        return context
    _check_bands(context)
    if inputs.probes is not None and _ON_PROBES & set(settings.chosen_sections):
        probes, context = _read(inputs.probes, context)
        context = context._replace(probes=probes)
    if inputs.data is not None and "evaluation" in settings.chosen_sections:
        context = _with_data(context, inputs.data)
    return context


def bare_context(network: Network, inputs: Inputs, progress: Progress) -> Context:
    """Return what is known before any image is read: neither probes nor data.

    Raises:
        LabelError: the class names fit no output.
    """
    file, device = _file_of(network, inputs), inputs.settings.device
    identity = functools.cache(functools.partial(identity_of, network, device, file))
    shapes = {tensor.name: network.input_shape(tensor.name) for tensor in network.facts.inputs}
    tasks = guess_tasks(network.facts, inputs.classes)
    tools = Tools(AssetStore(), progress, identity=identity)
    return Context(network, inputs, tools, inputs.classes, tasks, shapes)


def _file_of(network: Network, inputs: Inputs) -> str:
    """Return the digest of the file of a network whose calls do not tell what it computes."""
    return "" if inputs.file is None or "differentiate" in network.can else inputs.file.sha256


def _left_out(inputs: Inputs) -> frozenset[Literal["probes", "data"]]:
    """Return which images no picture of the report may show."""
    if not inputs.settings.images:
        return frozenset({"probes", "data"})
    if inputs.settings.data_images == "all":
        return frozenset()
    return frozenset({"probes", "data"} if inputs.probes_from_data else {"data"})


def _check_bands(context: Context) -> None:
    target, bands = image_input(context.specs), context.settings.bands
    channels = (*target.shape, 1)[2] if target is not None else 0
    if target is not None and bands and max(bands) >= channels:
        raise InputError(
            f"--bands {','.join(map(str, bands))}: the model's images have "
            f"{f'the channels 0 to {channels - 1}' if channels > 1 else 'one channel, 0'}."
        )


def _read(listing: Listing, context: Context) -> tuple[Probes, Context]:
    """Read and preprocess a sample; without class names the folders' are taken where they fit."""
    network, inputs = context.network, context.inputs
    listing = _with_class_numbers(first_images(listing, context.specs, inputs.settings), context)
    found = read_probes(listing, context.specs, inputs.settings)
    if not context.classes and (names := _fitting_names(listing, context)):
        text = (
            "The class names are those of the data set, or of the folders in alphabetical order, as "
            "image_dataset_from_directory numbers them. --classes gives others."
        )
        found = found._replace(notices=(*found.notices, Notice("info", text)))
        context = context._replace(classes=names)
    elif context.classes and _other_names(listing.class_names, context):
        folders = listing.class_names
        more = ", …" if len(folders) > 3 else ""
        text = (
            f"The folders or the data set call the classes {', '.join(folders[:3])}{more}; in their "
            f"order they are read as the class names given: {folders[0]!r} is {context.classes[0]!r}."
        )
        found = found._replace(notices=(*found.notices, Notice("info", text)))
        context = context._replace(folders=folders)
    prepared = prepare(found, network, inputs.settings.preprocess, inputs.preprocess)
    feed = feeder(prepared.facts.mode, found.full_scale, inputs.preprocess)
    return Probes(found, prepared, feed), context


def _with_class_numbers(listing: Listing, context: Context) -> Listing:
    """Read labels that are texts of digits, and say how where classes are called by digits."""
    given = [item.label for item in listing.items]
    column = given[0] if len(given) == 1 and isinstance(given[0], np.ndarray) else None
    if column is not None:  # one array of all labels
        given = [label_of_value(one) for one in column] if column.dtype.kind in "US" else []
    labels, said = as_numbers(given, context.classes)
    if not said:
        return listing
    listing = listing._replace(notices=(*listing.notices, Notice("info", said)))
    if column is not None:
        whole = np.empty(len(labels), object)
        whole[:] = labels
        labels = [whole]
    pairs = zip(listing.items, labels, strict=True)
    return listing._replace(items=tuple(item._replace(label=label) for item, label in pairs))


def _fitting_names(listing: Listing, context: Context) -> tuple[str, ...]:
    """Return the folders' or data set's class names where they are as many as an output has."""
    counts = [
        class_count(task, output)
        for task, output in zip(context.tasks, context.network.facts.outputs, strict=True)
        if task.kind in {"classification", "binary"}
    ]
    return listing.class_names if len(listing.class_names) in counts else ()


def _other_names(folders: tuple[str, ...], context: Context) -> bool:
    """Return whether folders are as many as the classes and none of them is called as one."""
    classes = ClassNames(len(context.classes), context.classes)
    named = [folder for folder in folders if index_of(folder) is None]
    return len(folders) == len(context.classes) and all(
        classes.index(folder) is None for folder in named
    )


def _with_data(context: Context, source: DataSource) -> Context:
    """Add the data set, preprocessed as a sample of it asks for."""
    numbered, before = _numbered(context, source), context.classes
    sample, context = _read(numbered.listing.with_single_labels(), context)
    way = DataWay(sample.prepared.facts.mode, sample.set.full_scale, before)
    data = DataSet(numbered, context.specs, context.settings)
    return context._replace(data=Data(data, sample.feed, way))


def _numbered(context: Context, source: DataSource) -> DataSource:
    first = first_images(source.listing, context.specs, context.settings)
    return source._replace(listing=_with_class_numbers(first, context))


def data_in_this_way(context: Context, source: DataSource, way: DataWay) -> Data:
    """Return a data set read and preprocessed as another process does it.

    Args:
        context: without it.
        source: the data set as it was listed.
        way: of the other process.
    """
    numbered = _numbered(context._replace(classes=way.classes), source)
    data = DataSet(numbered, context.specs, context.settings)
    return Data(data, feeder(way.mode, way.white, context.inputs.preprocess), way)


def identity_of(network: Network, device: str, file: str = "") -> str:
    """Return the digest of what a network computes, as far as can be told: its calls, its weights and where.

    Of a graph that is run as a whole the file's digest stands for its calls. This package's own code is part
    of it. A custom layer whose code changes while its name, its calls and its
    weights stay is not noticed.
    """
    facts = network.facts
    described = (facts.layers, facts.calls, facts.inputs, facts.outputs, facts.versions)
    root = Path(__file__).parent
    code = {
        path.relative_to(root).as_posix(): path.read_text("utf-8") for path in root.rglob("*.py")
    }
    return key_of(
        (__version__, np.__version__, PIL.__version__, device, file),
        code,
        msgspec.to_builtins(described),
        *((variable.path, digest_of(array)) for variable, array in network.variables()),
    )
