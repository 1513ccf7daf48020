"""Rendering: words for numbers, anchors, sparklines, and text that stays text."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reportgen.page.markdown import markdown
from reportgen.page.render import anchor, flags
from reportgen.page.sparkline import bars, edges, sparkline
from reportgen.report.leaves import Histogram
from reportgen.wording import (
    bytes_text,
    count_text,
    flops_text,
    number_text,
    percent_text,
    share_text,
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (count_text(999), "999"),
        (count_text(25_610_269), "25.6 M"),
        (flops_text(7_760_000_000), "7.76 GFLOPs"),
        (flops_text(7_760_000_000, ["FFT"]), "at least 7.76 GFLOPs"),
        (bytes_text(18_776_096), "17.9 MiB"),
        (share_text(0, 10), "0 %"),
        (share_text(1, 1_000_000), "< 0.1 %"),
        (share_text(999_999, 1_000_000), "> 99.9 %"),
        (share_text(10, 10), "100 %"),
        (share_text(1, 8), "12.5 %"),
        (percent_text(0.93512), "93.5 %"),
        (percent_text(0.99999), "> 99.9 %"),
        (percent_text(1.0), "100.0 %"),
        (number_text(None), "–"),
        (number_text(0.0), "0"),
        (number_text(0.000123456), "1.235e-4"),
        (number_text(-3.14159), "-3.142"),
    ],
)
def test_numbers_are_said_as_a_reader_would(said, expected):
    assert re.sub(r"\s", " ", said) == expected


@given(st.text(), st.text())
def test_anchors_are_safe_and_tell_paths_apart(a, b):
    assert re.fullmatch(r"[A-Za-z0-9._/~-]*", anchor(a))
    plain = re.compile(r"[A-Za-z0-9._/-]*")
    if a != b and plain.fullmatch(a) and plain.fullmatch(b):
        assert anchor(a) != anchor(b)


@given(st.text())
def test_markdown_stays_on_its_line_and_opens_nothing(text):
    said = markdown(text)
    assert "\n" not in said
    assert not re.search(r"[<>\[\]`*_\\|~]", said)
    plain = html.unescape(said).replace("\u2060", "")
    assert plain == " ".join(text.split()).replace("\u2060", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pass --data PATH or -q", 'pass <code class="flag">--data PATH</code> or -q'),
        ("(--quick): <b>", '(<code class="flag">--quick</code>): &lt;b&gt;'),
        ("--history FILE takes", '<code class="flag">--history FILE</code> takes'),
        ("--labels The rest", '<code class="flag">--labels</code> The rest'),
        ("a -- b a--b", "a -- b a--b"),
    ],
)
def test_flags_stand_in_one_piece(text, expected):
    assert flags(text) == expected


HISTOGRAMS = st.builds(
    Histogram,
    first=st.integers(0, 400),
    counts=st.lists(st.integers(0, 1000), max_size=112).map(tuple),
)


@given(HISTOGRAMS, st.floats(-100, -1e-3), st.floats(1e-3, 100))
def test_bars_hold_every_value(histogram, low, high):
    heights = bars(histogram, low, high)
    assert sum(heights) == pytest.approx(sum(histogram.counts), rel=1e-9, abs=1e-9)
    assert min(heights) >= 0
    assert sparkline(histogram, low, high).startswith("M0 27")


def test_bars_stand_where_the_values_are():
    one = next(i for i, (a, b) in enumerate(zip(edges(), edges()[1:], strict=False)) if a <= 1 < b)
    heights = bars(Histogram(one, (10,)), -2, 2, count=4)
    assert heights == [0, 0, 0, 10]
    assert bars(Histogram(256, (7,)), -1, 3, count=4) == [0, 7, 0, 0]
