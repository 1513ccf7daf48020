"""Importing Keras sooner: without what nothing here calls, and libraries of its while this process waits."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_UNUSED = ("scipy", "sklearn")
"""What Keras and TensorFlow import where it is installed, for wrappers and an old training loop: a fifth of the
time that importing them takes."""
_AHEAD = ("h5py", "matplotlib.figure", "matplotlib.font_manager")
_left_out: list[str] = []


def leave_out_unused(*, wanted: bool) -> None:
    """Say whether Keras may be imported without packages that only code of others needs."""
    _left_out[:] = _UNUSED if wanted else ()


@contextlib.contextmanager
def without_unused() -> Iterator[None]:
    """Let packages that are left out read as not installed while the block imports others."""
    hidden = [name for name in _left_out if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden, cast("ModuleType", None)))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def importing_ahead() -> Iterator[None]:
    """Import what a build needs with Keras, while the block waits for another process."""
    if "keras" in sys.modules:
        yield
        return
    ahead = threading.Thread(target=_import_ahead)
    ahead.start()
    try:
        yield
    finally:
        ahead.join()


def _import_ahead() -> None:
    with contextlib.suppress(Exception):  # whoever needs it says what is wrong with it
        for name in _AHEAD:
            importlib.import_module(name)
