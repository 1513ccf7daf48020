"""Dask: a cluster that runs, or one of our own on this machine."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from reportgen.engines.engine import IN_FLIGHT, Engine, missing, unreachable
from reportgen.engines.processors import processors

if TYPE_CHECKING:
    from collections.abc import Iterator

_ANSWERS = 30
"""Seconds in which a cluster answers."""


@contextlib.contextmanager
def open_dask(jobs: int | None, address: str | None, retries: int) -> Iterator[Engine]:
    """Join the cluster at an address, or start one of our own that listens on loopback only.

    How often a task is run again whose worker was lost the scheduler decides: of a cluster that runs already
    its ``allowed-failures`` counts.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise missing("dask") from None
    for talker in ("distributed", "asyncio"):  # they report every task that is cancelled
        logging.getLogger(talker).setLevel(logging.CRITICAL + 1)
    settings = {
        "distributed.scheduler.allowed-failures": retries,
        "distributed.admin.system-monitor.gil.enabled": False,
    }
    with dask.config.set(settings), contextlib.ExitStack() as stack:
        try:
            if address is None:
                cluster = LocalCluster(
                    n_workers=jobs or processors(),
                    threads_per_worker=1,
                    memory_limit=0,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    silence_logs=logging.CRITICAL,
                )
                stack.enter_context(cluster)
            client = stack.enter_context(
                Client(address or cluster, timeout=_ANSWERS, set_as_default=False)
            )
            workers = max(1, sum(client.nthreads().values()))
        except Exception as error:  # noqa: BLE001 - Dask raises many kinds
            raise unreachable("dask", address, error) from None
        workers = min(jobs or workers, workers)
        pool = client.get_executor(pure=False)  # its retries are for tasks that raise
        window = IN_FLIGHT * workers if jobs is None or address is None else jobs
        try:
            yield Engine(pool, workers, window, is_cancelled, partial(_shared, client))
        finally:
            pool.shutdown(wait=False)  # it cancels what is left


def _shared(client: Any, value: Any) -> Any:
    """Copy a value to all workers, so that it is not lost with one of them."""
    return client.scatter(value, broadcast=True, hash=False)


def is_cancelled() -> bool:
    """Tell, within a task, whether its client is gone or has cancelled it: Dask itself ends no running task."""
    from distributed import get_worker
    from distributed.worker import thread_state

    with contextlib.suppress(Exception):
        task = get_worker().state.tasks.get(thread_state.key)
        return task is None or task.state == "cancelled"
    return False
