"""Ray: a cluster that runs, or one of our own on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from reportgen.engines.engine import IN_FLIGHT, Engine, missing, unreachable
from reportgen.engines.places import check_listening, is_loopback_alone
from reportgen.engines.processors import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

_STORE = 256 * 2**20
"""Bytes of shared memory of a cluster of our own: what is passed here is small."""
_GRACE = 1.0
"""Seconds that running tasks have to end by themselves when nobody waits for them any more."""

_HINT = "One that asks for a token needs RAY_AUTH_MODE=token, and the token, in the environment."


@contextlib.contextmanager
def open_ray(jobs: int | None, address: str | None, retries: int) -> Iterator[Engine]:
    """Join the cluster at an address, or start one of our own that listens on loopback only."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is None or is_loopback_alone(address):  # read when Ray is imported
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # binds and asks at loopback anywhere
    if address is None:
        # Where memory runs out, Ray would end a worker and run its task again without end.
        os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    try:
        import ray
    except ImportError:
        raise missing("ray") from None
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init(
                "local",
                num_cpus=jobs or processors(),
                num_gpus=0,
                include_dashboard=False,
                object_store_memory=_STORE,
                **quiet,
            )
        else:
            check_listening(address)  # Ray itself tries for minutes
            ray.init(address, **quiet)
        workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
    except Exception as error:  # noqa: BLE001 - Ray raises many kinds
        ray.shutdown()
        raise unreachable("ray", address, error, _HINT) from None
    workers = min(jobs or workers, workers)
    pool = _RayExecutor(ray, retries)
    try:
        window = IN_FLIGHT * workers if jobs is None or address is None else jobs
        yield Engine(pool, workers, window, _never, ray.put)
    finally:
        pool.shutdown(cancel_futures=True)
        ray.shutdown()


def _called(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **kwargs)


def _never() -> bool:
    """A task whose driver is gone is ended by Ray."""
    return False


class _RayExecutor(Executor):
    """``ray.remote`` as an executor of the standard library.

    Args:
        ray: the module, initialised.
        retries: how often a task whose worker was lost is run again; one that raises is not.
    """

    def __init__(self, ray: Any, retries: int) -> None:
        self._ray = ray
        settings = {"num_cpus": 1, "max_retries": retries, "retry_exceptions": False}
        self._task = ray.remote(**settings)(_called)
        self._references: dict[Future[Any], Any] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function on a worker."""
        reference = self._task.remote(fn, *args, **kwargs)
        future: Future[Any] = reference.future()
        self._references[future] = reference
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: Future[Any]) -> None:
        self._references.pop(future, None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as it is there
        """Wait for what was submitted; or cancel it, and give what runs a moment to end."""
        left = list(self._references.items())
        if cancel_futures:
            for _, reference in left:
                with contextlib.suppress(Exception):
                    self._ray.cancel(reference, force=False, recursive=False)
        end = time.monotonic() + _GRACE
        for future, _ in left if wait else ():
            with contextlib.suppress(Exception):
                future.result(max(0.0, end - time.monotonic()) if cancel_futures else None)
