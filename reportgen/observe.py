"""Rounds over the images: blocks flow through the network once, and observers fold them.

Also what a section is handed (``Context``) and what it gives back (``Collected``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from reportgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from reportgen.assets import AssetStore
    from reportgen.cache import Cache
    from reportgen.content.leaves import Notice
    from reportgen.content.overview import ModelFile, Task
    from reportgen.dataset import DataSet
    from reportgen.history import History
    from reportgen.network import Batch, Network
    from reportgen.preprocessing import Prepared
    from reportgen.probes import ProbeSet
    from reportgen.report import Content
    from reportgen.settings import Settings


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
        cache: finished pieces of long work.
        identity: gives the digest of the network's calls and weights.
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
    cache: Cache | None = None
    identity: Callable[[], str] = str


class Collected(NamedTuple):
    """What a section found.

    Attributes:
        lead: one sentence that says it.
    """

    content: Content
    lead: str
    notices: tuple[Notice, ...] = ()


class Observer(Protocol):
    """A fold over blocks of images with bounded state.

    ``update`` sees the survey: the whole data set, or the probes where no data set was given.
    ``show`` sees the probes, with the maps that were asked for.
    """

    def update(self, batch: Batch) -> None:
        """Take in one block of the survey; blocks come in the order of the images."""

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
        observe: makes the observer; raises NotApplicable where there is nothing to observe.
    """

    kind: str
    title: str
    collect: Callable[[Context, Any], Collected]
    observe: Callable[[Context], Observer] | None = None


def run_round(
    batches: Iterable[Batch],
    observers: Mapping[str, Observer],
    problems: dict[str, Exception],
    advance: Callable[[int], None],
    *,
    survey: bool,
    show: bool,
) -> None:
    """Hand every block to every observer once.

    Args:
        batches: the blocks, run as they are asked for.
        observers: by section; one that raises is left out from there on.
        problems: what was raised, by section; filled.
        advance: told how many images a block had.
        survey: whether the blocks count as the survey.
        show: whether they hold the probes.

    Raises:
        InputError: images or labels that cannot be used.
    """
    try:
        for batch in batches:
            for kind, observer in observers.items():
                if kind not in problems:
                    _hand_over(batch, kind, observer, problems, survey=survey, show=show)
            advance(len(next(iter(batch.inputs.values()))))
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - without a forward pass no observer has a result
        for kind in observers:
            problems.setdefault(kind, error)


def _hand_over(
    batch: Batch,
    kind: str,
    observer: Observer,
    problems: dict[str, Exception],
    *,
    survey: bool,
    show: bool,
) -> None:
    try:
        if survey:
            observer.update(batch)
        if show:
            observer.show(batch)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - an observer costs only its own section
        problems[kind] = error
