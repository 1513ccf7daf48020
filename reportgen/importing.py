"""Importing Keras sooner: without what nothing here calls, and its libraries while this process waits."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_UNUSED = ("scipy", "sklearn")
"""What Keras and TensorFlow import where it is installed, for wrappers and an old training loop: a fifth of the
time that importing them takes."""
_AHEAD = ("h5py", "matplotlib.figure", "matplotlib.font_manager")
_LIBRARIES = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")
_left_out: list[str] = []
_holding = threading.Lock()


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
    """Import what a build needs, while the block waits for another process: Keras' libraries, and TensorFlow's.

    Those of C++ take 0.4 s, in which a call of ``dlopen`` holds up no Python; an import would.
    """
    if "keras" in sys.modules:
        yield
        return
    ahead = [threading.Thread(target=_import_modules)]
    with contextlib.ExitStack() as stack:
        if is_quiet():
            stack.enter_context(held_back_stderr(unless_failed=False))
            ahead.append(threading.Thread(target=_load_libraries))
        for thread in ahead:
            thread.start()
            stack.callback(thread.join)
        yield


def _import_modules() -> None:
    with contextlib.suppress(Exception):  # whoever needs it says what is wrong with it
        for name in _AHEAD:
            importlib.import_module(name)


def _load_libraries() -> None:
    """Load TensorFlow's libraries: an import finds them there."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(Exception):  # they are loaded, or missed, by the import
        found = importlib.util.find_spec("tensorflow")
        load = ctypes.CDLL(None).dlopen
        load.restype, load.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
        for place in (found and found.submodule_search_locations) or ():
            for name in _LIBRARIES:
                load(os.fsencode(f"{place}/{name}"), os.RTLD_NOW)


def is_quiet() -> bool:
    """Tell whether native libraries are asked to be silent; some print all the same while they load."""
    return os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "3"


@contextlib.contextmanager
def held_back_stderr(*, unless_failed: bool = True) -> Iterator[None]:
    """Collect what native code writes to file descriptor 2.

    The descriptor is the process's: while one block holds it, others leave it as it is.

    Args:
        unless_failed: give it out when the block fails.
    """
    if not _holding.acquire(blocking=False):
        yield
        return
    try:
        with _collected_stderr(unless_failed=unless_failed):
            yield
    finally:
        _holding.release()


@contextlib.contextmanager
def _collected_stderr(*, unless_failed: bool) -> Iterator[None]:
    try:
        sys.stderr.flush()
        file = tempfile.TemporaryFile()  # noqa: SIM115 - without a place for it nothing is held back
        saved = os.dup(2)
    except (OSError, AttributeError, ValueError):
        yield
        return
    with file as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(saved, 2)
            if unless_failed:
                sink.seek(0)
                os.write(2, sink.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
