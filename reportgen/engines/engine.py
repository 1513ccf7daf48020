"""What an engine is to those who submit work to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.errors import ReportgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

IN_FLIGHT = 4
"""Tasks a worker that are submitted at once: none waits for us, and a long list is not kept twice."""


class LostError(Exception):
    """The worker of a task was lost; the text says how."""


def unchanged(value: Any) -> Any:
    """Return what is to be shared as it is: it travels with each task."""
    return value


class Engine(NamedTuple):
    """An engine that is open.

    Attributes:
        executor: takes functions of modules that the workers can import, and arguments that can be pickled.
        workers: tasks that run at once.
        window: tasks that are worth submitting at once.
        cancelled: for a task to ask, on its worker, whether nobody waits for it any more. Can be pickled where
            the executor needs that.
        share: takes a value that many tasks need and sends it to each worker once. What it returns is given to
            ``executor.submit`` as an argument of its own; the function gets the value.
    """

    executor: Executor
    workers: int
    window: int
    cancelled: Callable[[], bool]
    share: Callable[[Any], Any] = unchanged


def missing(engine: str) -> ReportgenError:
    """Return the error of an engine that is not installed."""
    return ReportgenError(
        f"--engine {engine} needs what is not installed: pip install 'keras-reportgen[{engine}]'."
    )


def unreachable(
    engine: str, address: str | None, error: Exception, hint: str = ""
) -> ReportgenError:
    """Return the error of a cluster that cannot be used, with a hint where it is one that runs already."""
    where = "started here" if address is None else f"reached at {address}"
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    more = f" {hint}" if hint and address is not None else ""
    return ReportgenError(
        f"--engine {engine}: no cluster can be {where} ({reason.rstrip('.')}).{more}"
    )
