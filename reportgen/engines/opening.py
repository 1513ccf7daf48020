"""One door to every engine: ``open_executor`` gives an ``Executor``, and what its user must know beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from reportgen.engines.processors import processors
from reportgen.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from reportgen.engines.engine import Engine

EngineName = Literal["local", "ray", "dask"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)


def open_executor(
    engine: EngineName,
    *,
    jobs: int | None,
    address: str | None,
    retries: int,
    processes: bool = False,
) -> AbstractContextManager[Engine]:
    """Open an engine; it is closed when the block ends, at once where that is by an exception.

    Args:
        engine: its name.
        jobs: tasks at once; None for as many as there are processors.
        address: of a cluster that runs already; None starts one on this machine, which listens to nobody else.
        retries: how often a task whose worker was lost is run again. A task that raises is not. The local
            engine leaves that to its caller.
        processes: whether local tasks run in processes that live for many of them, and return bytes; this
            process works beside them and is one of the jobs. Else they run in threads of this one.

    Raises:
        UsageError: the local engine has no address.
        ReportgenError: the engine is not installed, or the cluster does not answer.
    """
    if engine == "ray":
        from reportgen.engines.on_ray import open_ray

        return open_ray(jobs, address, retries)
    if engine == "dask":
        from reportgen.engines.on_dask import open_dask

        return open_dask(jobs, address, retries)
    if address is not None:
        raise UsageError("--address names a cluster: choose its --engine, ray or dask.")
    if processes:
        from reportgen.engines.processes import open_processes

        return open_processes(max(1, (jobs or processors()) - 1))
    from reportgen.engines.local import open_threads

    return open_threads(jobs or processors())
