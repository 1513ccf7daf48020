"""Rounds over the images: blocks flow through the network once, and observers fold them.

Also what a section is handed (``Context``) and what it gives back (``Collected``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from reportgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.cache import Cache
    from reportgen.drawing.assets import AssetStore
    from reportgen.inputs.dataset import DataSet
    from reportgen.inputs.history import History
    from reportgen.inputs.preprocessing import Prepared
    from reportgen.inputs.probes import ProbeSet
    from reportgen.network.protocol import Batch, Network
    from reportgen.network.tasks import Task
    from reportgen.report.content.overview import ModelFile
    from reportgen.report.leaves import Notice
    from reportgen.report.model import Content
    from reportgen.settings import SectionKind, Settings


class Progress(Protocol):
    """Told what is being done; draws it or not."""

    def stage(self, text: str, total: int | None = None) -> None:
        """Begin a stage of ``total`` steps, where they can be counted."""

    def advance(self, steps: int = 1) -> None:
        """Count steps of the current stage."""


class Silence:
    """Progress that nobody sees."""

    def stage(self, text: str, total: int | None = None) -> None:
        """Ignore a stage."""

    def advance(self, steps: int = 1) -> None:
        """Ignore steps."""


class Context(NamedTuple):
    """What a section may look at.

    Attributes:
        classes: class names, empty where there are none.
        tasks: what each output is taken for.
        input_shapes: by input name, as the network is run, without the batch dimension.
        probes: None where no probes were given.
        prepared: the probes as the network receives them.
        command: the command that makes this report, file names only.
        progress: told what a section does that takes long.
        history: of the training, None where none was given.
        data: the data set to evaluate on, None where none was given.
        feed: preprocesses its images.
        preprocess: the user's function, from (n, H, W, C) in 0..255; None without one.
        cache: finished pieces of long work.
        identity: gives the digest of the network's calls and weights.
        folds: what was folded of the survey, by section.
        drawn: whether the probes are drawn from the data set.
    """

    network: Network
    settings: Settings
    store: AssetStore
    classes: tuple[str, ...]
    tasks: tuple[Task, ...]
    input_shapes: Mapping[str, tuple[int, ...]]
    probes: ProbeSet | None
    prepared: Prepared | None
    file: ModelFile | None
    command: str
    progress: Progress = Silence()
    history: History | None = None
    data: DataSet | None = None
    feed: Callable[[Any], Any] | None = None
    preprocess: Callable[[Any], Any] | None = None
    cache: Cache | None = None
    identity: Callable[[], str] = str
    folds: Mapping[str, Any] = {}
    drawn: bool = False


def probe_name(context: Context, index: int) -> str:
    """Return a probe's name; its number where names are hidden."""
    if context.settings.hide_names or context.probes is None:
        return f"probe {index + 1}"
    return context.probes.probes[index].name


class Collected(NamedTuple):
    """What a section found.

    Attributes:
        lead: one sentence that says it.
    """

    content: Content
    lead: str
    notices: tuple[Notice, ...] = ()


class Fold(Protocol):
    """What is kept of the survey, over any number of images, in bounded state.

    The survey is the whole data set, or the probes where no data set was given. A fold of some blocks,
    merged with one of the blocks that follow, is byte for byte the fold of all of them.
    """

    def empty(self) -> Self:
        """Return a fold of the same kind that has seen nothing."""

    def update(self, batch: Batch) -> None:
        """Take in one block; blocks come in the order of the images."""

    def merge(self, later: Self) -> None:
        """Take in what another one folded of the images that follow."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was folded as arrays."""

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take ``state`` for what was folded."""


class Observer(Protocol):
    """Sees the probes, with the maps that were asked for."""

    def show(self, batch: Batch) -> None:
        """Take in one block of probes, in their order."""

    def result(self) -> Any:
        """Return what was observed."""


class SectionMaker(NamedTuple):
    """A section: what it observes of the round over the images, and how its content is made.

    Attributes:
        kind: its tag, file, template and anchor.
        title: its heading.
        collect: makes the content from the context and the observer's result (None without one).
        observe: makes the observer of the probes; raises NotApplicable where there is nothing to observe.
        fold: makes the fold of the survey, likewise; ``context.folds`` holds it when content is made.
    """

    kind: SectionKind
    title: str
    collect: Callable[[Context, Any], Collected]
    observe: Callable[[Context], Observer] | None = None
    fold: Callable[[Context], Any] | None = None


def run_round(
    batches: Iterable[Batch],
    takers: Mapping[str, Sequence[Callable[[Batch], None]]],
    problems: dict[str, Exception],
    advance: Callable[[int], None],
) -> None:
    """Hand every block to everybody who takes it.

    Args:
        batches: the blocks, run as they are asked for.
        takers: by section; one that raises is left out from there on.
        problems: what was raised, by section; filled.
        advance: told how many images a block had.

    Raises:
        InputError: images or labels that cannot be used.
    """
    try:
        for batch in batches:
            for kind, take in takers.items():
                if kind not in problems:
                    _hand_over(batch, kind, take, problems)
            advance(len(next(iter(batch.inputs.values()))))
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - without a forward pass nothing is observed
        for kind in takers:
            problems.setdefault(kind, error)


def _hand_over(
    batch: Batch,
    kind: str,
    takers: Sequence[Callable[[Batch], None]],
    problems: dict[str, Exception],
) -> None:
    try:
        for take in takers:
            take(batch)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - an observer costs only its own section
        problems[kind] = error
