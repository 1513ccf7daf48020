"""Progress in a pipe: a line a stage, and now and then how far a long one is."""

import pytest

from reportgen import terminal
from reportgen.terminal import LINE_EVERY, Bars, Lines, pace


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


def test_a_long_stage_says_now_and_then_how_far_it_is(clock, capsys):
    with Lines() as lines:
        lines.stage("Data through the network", 10_000)
        for _ in range(10):
            clock[0] += LINE_EVERY / 5
            lines.advance(300)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "reportgen: Data through the network (10,000)"
    assert said[1] == (
        "reportgen: Data through the network: 1,500 of 10,000, 100 a second, 1 min 25 s left"
    )
    assert len(said) == 3


def test_a_stage_without_a_total_has_a_pace_only(clock, capsys):
    with Lines() as lines:
        lines.stage("Data")
        clock[0] += LINE_EVERY
        lines.advance(30)
    assert capsys.readouterr().err.splitlines()[1] == "reportgen: Data: 30, 2.0 a second"


@pytest.mark.parametrize(
    ("done", "total", "seconds", "text"),
    [
        (0, 10, 5.0, "0.0 a second"),
        (5, 10, 5.0, "1.0 a second, 5 s left"),
        (2000, 4000, 4.0, "500 a second, 4 s left"),
        (10, 10, 1.0, "10 a second, 0 s left"),
        (10, None, 0.0, "0.0 a second"),
    ],
)
def test_pace(done, total, seconds, text):
    assert pace(done, total, seconds) == text


def test_bars_say_pace_and_time_left(clock):
    with Bars() as bars:
        bars.stage("Data", 100)
        clock[0] += 2
        bars.advance(50)
        assert bars._progress.tasks[0].fields["took"] == "25 a second, 2 s left"
