"""Pieces of work side by side on a few threads, their results in the order of the pieces."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future
    from threading import Event

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Piece], Result],
    pieces: Iterable[Piece],
    lanes: int,
    stop: Event | None = None,
) -> Generator[Result]:
    """Yield ``work`` of every piece, in their order, whatever order they end in.

    Pieces are drawn in the thread that asks, at most two more than there are lanes ahead of it, so memory stays
    bounded. Where the iterator is closed or a piece fails, what has not begun never does, and what has is
    waited for.

    Args:
        work: runs in the lanes; NumPy and TensorFlow let other threads run meanwhile.
        pieces: drawn one after the other.
        lanes: threads; one runs everything where it is asked.
        stop: is set where nothing more is wanted, for long work that looks at it.
    """
    if lanes < 2:
        yield from map(work, pieces)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(lanes) as pool:
        try:
            for piece in pieces:
                waiting.append(pool.submit(work, piece))
                if len(waiting) > lanes + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            if stop is not None:
                stop.set()
