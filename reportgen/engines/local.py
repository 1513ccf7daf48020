"""Threads of this process, for tasks that wait for child processes."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from reportgen.engines.engine import IN_FLIGHT, Engine

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def open_threads(jobs: int) -> Iterator[Engine]:
    """Open threads; when the block ends, running tasks are told to stop and waited for."""
    stop = threading.Event()
    pool = ThreadPoolExecutor(jobs, "reportgen-job")
    try:
        yield Engine(pool, jobs, IN_FLIGHT * jobs, stop.is_set)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
