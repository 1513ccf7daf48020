"""What the fuzz targets share: damaged bytes, damaged trees, and the bounds of one case.

A target may end in the project's own errors only, within 10 seconds and a gigabyte. ``make test`` tries a
corpus and a few cases, always the same; ``make soak`` (``REPORTGEN_SOAK=1``) tries many, others each time.
"""

from __future__ import annotations

import contextlib
import copy
import os
import resource
import signal
import string
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SOAK = bool(os.environ.get("REPORTGEN_SOAK"))
SECONDS = 10
MEMORY = 2**30


def cases(few: int, many: int):
    """Return how often a target is tried: ``few`` times in ``make test``, ``many`` in ``make soak``."""
    return settings(
        max_examples=many if SOAK else few,
        derandomize=not SOAK,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def bounded(seconds=SECONDS):
    """Fail a case that takes too long or too much memory; far beyond it the system says no."""

    def late(*_):
        raise TimeoutError(f"a case took longer than {seconds} seconds")

    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 3 * MEMORY, hard))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    peak = _peak()
    try:
        yield
        assert _peak() - peak < MEMORY
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def ending_in(*kinds):
    """Let a case end in one of these errors, with a sentence."""
    try:
        yield
    except kinds as error:
        if not str(error).strip():
            raise


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# -- bytes -------------------------------------------------------------------------------------------

ODD = (
    b"\0",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\xff" * 8,
    b"\0" * 16,
    b"9" * 40,
    b"\n",
    b'"',
    b"-",
)


@st.composite
def damaged(draw, corpus):
    """Draw a file of ``corpus`` after a few flips, cuts, repetitions, insertions and splices."""
    whole = list(corpus)
    content = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(("flip", "flip", "cut", "repeat", "insert", "splice", "end")))
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        length = draw(st.integers(1, 64))
        if kind == "flip" and content:
            content[at] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del content[at : at + length]
        elif kind == "repeat":
            content[at:at] = content[at : at + length] * draw(st.integers(1, 20))
        elif kind == "insert":
            odd = draw(st.sampled_from(ODD) | st.binary(max_size=16))
            content[at : at + draw(st.sampled_from((0, len(odd))))] = odd
        elif kind == "splice":
            other = draw(st.sampled_from(whole))
            content[at:] = other[draw(st.integers(0, len(other))) :]
        else:
            del content[at:]
    return bytes(content)


# -- trees -------------------------------------------------------------------------------------------

NUMBERS = (
    st.integers(-3, 40)
    | st.sampled_from((2**31, 2**53, 2**63, 2**64, -(2**63), 10**30, 10**400))
    | st.floats()
)
TEXTS = st.text(max_size=12) | st.text(string.printable, max_size=12)
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS


def trees(leaves=LEAVES, most=12):
    """Draw any tree of lists and objects."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=most,
    )


def _places(tree, path=()):
    """Yield the path of every node."""
    yield path
    pairs = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in pairs:
        yield from _places(value, (*path, key))


@st.composite
def altered(draw, originals, leaves=LEAVES):
    """Draw one of some trees in which a few nodes were replaced, removed, repeated or renamed."""
    tree = {"": copy.deepcopy(draw(st.sampled_from(list(originals))))}
    for _ in range(draw(st.integers(1, 4))):
        *way, last = draw(st.sampled_from([path for path in _places(tree) if path]))
        parent = tree
        for step in way:
            parent = parent[step]
        kind = draw(st.sampled_from(("replace", "leaf", "remove", "repeat", "move")))
        if kind in {"remove", "move"} and way:
            value = parent.pop(last)
            if kind == "move" and isinstance(parent, dict):
                parent[draw(TEXTS | st.sampled_from(sorted(map(str, parent)) or ["x"]))] = value
        elif kind == "repeat" and isinstance(parent, list):
            parent[last:last] = [parent[last]] * draw(st.integers(1, 5))
        elif kind == "leaf":
            parent[last] = draw(leaves)
        else:
            parent[last] = draw(trees(leaves))
    return tree[""]
