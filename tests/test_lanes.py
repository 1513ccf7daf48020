"""Work side by side keeps its order, its bounds and its failures."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from reportgen.lanes import in_order


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_results_come_in_the_order_of_the_pieces(lanes):
    def work(piece):
        time.sleep(0.002 * (7 - piece % 7))
        return piece * piece

    assert list(in_order(work, range(30), lanes)) == [piece * piece for piece in range(30)]


def test_pieces_run_side_by_side():
    both = threading.Barrier(2, timeout=20)
    assert list(in_order(lambda _piece: both.wait() < 2, range(4), 2)) == [True] * 4


@pytest.mark.parametrize("lanes", [1, 3])
def test_few_pieces_are_drawn_ahead(lanes):
    drawn = []
    results = in_order(lambda piece: piece, (drawn.append(k) or k for k in range(1000)), lanes)
    with closing(results):
        assert next(results) == 0
        assert len(drawn) <= lanes + 2


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_piece_that_fails_ends_the_rest(lanes):
    done = []

    def work(piece):
        if piece == 3:
            raise ValueError("the fourth")
        done.append(piece)

    with pytest.raises(ValueError, match="the fourth"):
        list(in_order(work, range(1000), lanes))
    assert set(range(3)) <= set(done) <= set(range(3 + lanes + 2))


def test_who_closes_it_waits_for_what_runs_and_says_that_it_may_stop():
    stop, begun, ended = threading.Event(), threading.Event(), []

    def work(piece):
        if piece:
            begun.set()
            assert stop.wait(20)
            ended.append(piece)
        return piece

    results = in_order(work, range(100), 2, stop)
    with closing(results):
        assert next(results) == 0
        assert begun.wait(20)
    assert ended
    assert max(ended) <= 4
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPoolExecutor")]
