"""Rounds over the images: blocks flow through the network once, and observers fold them.

Also what a section is made of (``SectionMaker``) and what it gives back (``Collected``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from reportgen.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from reportgen.context import Context
    from reportgen.network.protocol import Batch
    from reportgen.report.leaves import Notice
    from reportgen.report.model import Content
    from reportgen.values import SectionKind


def probe_name(context: Context, index: int) -> str:
    """Return a probe's name; its number where names are hidden."""
    if context.settings.hide_names or context.probes is None:
        return f"probe {index + 1}"
    return context.probes.set.probes[index].name


class Collected(NamedTuple):
    """What a section found.

    Attributes:
        lead: one sentence that says it.
    """

    content: Content
    lead: str
    notices: tuple[Notice, ...] = ()


class Examples(NamedTuple):
    """Images of the survey that are worth showing as probes.

    Attributes:
        places: where they stand in the data set, ascending.
        wrong: those of them that are decided wrong.
        images: how many they are chosen of.
    """

    places: tuple[int, ...]
    wrong: frozenset[int]
    images: int


class Fold(Protocol):
    """What is kept of the survey, over any number of images, in bounded state.

    The survey is the whole data set, or the probes where no data set was given. A fold of some blocks,
    merged with one of the blocks that follow, is byte for byte the fold of all of them.
    """

    def examples(self, count: int) -> Examples | None:
        """Choose ``count`` images that are worth showing as probes; None where it cannot say."""

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
        after: sections whose content this one looks at, in ``context.made``.
        ahead: work that needs no answer to an image. Where the section is made beside another one, it is done
            beside the round over them; else, and where it fails, ``collect`` does it itself.
        beside: a section that takes as long as this one. Where both are made, this one is begun with the first
            of all, in a thread of its own: where one waits for Python, the other one computes. It looks at no
            other section, and asks ``context.tools.stopped`` now and then.
    """

    kind: SectionKind
    title: str
    collect: Callable[[Context, Any], Collected]
    observe: Callable[[Context], Observer] | None = None
    fold: Callable[[Context], Any] | None = None
    after: tuple[SectionKind, ...] = ()
    beside: SectionKind | None = None
    ahead: Callable[[Context], None] | None = None


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
            if takers.keys() <= problems.keys():
                return
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
