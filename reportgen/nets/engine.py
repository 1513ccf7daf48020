"""Import Keras on TensorFlow: quietly, on the right backend and on the right device."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from reportgen.engines.processors import processors
from reportgen.errors import ModelError, ReportgenError
from reportgen.importing import held_back_stderr, is_quiet, without_unused

if TYPE_CHECKING:
    from collections.abc import Iterator


log = logging.getLogger("reportgen")


def import_keras() -> Any:
    """Import Keras with the TensorFlow backend and return it.

    Where ``TF_CPP_MIN_LOG_LEVEL`` asks for silence, what native libraries print all the same while
    they load is held back too.

    Raises:
        ModelError: Keras was imported with another backend before.
        ReportgenError: TensorFlow is not installed.
    """
    if "keras" not in sys.modules:
        asked = os.environ.get("KERAS_BACKEND", "tensorflow")
        if asked != "tensorflow":
            log.warning("KERAS_BACKEND=%s is set; Keras is imported with TensorFlow here", asked)
        os.environ["KERAS_BACKEND"] = "tensorflow"
    quiet = is_quiet() and "tensorflow" not in sys.modules
    try:
        with held_back_stderr() if quiet else contextlib.nullcontext(), without_unused():
            import keras
            import tensorflow as tf
    except ImportError as error:
        raise ReportgenError(
            f"TensorFlow cannot be imported ({error}). Building a report needs it: "
            "pip install 'tensorflow>=2.18' on Python 3.11 to 3.13. "
            "An existing report can be rendered without it."
        ) from None
    if keras.backend.backend() != "tensorflow":
        raise ModelError(
            f"Keras was imported with the {keras.backend.backend()} backend; reportgen runs "
            "models on "
            "TensorFlow. Set KERAS_BACKEND=tensorflow before Keras is imported."
        )
    if quiet:
        tf.get_logger().setLevel("ERROR")
    return keras


@contextlib.contextmanager
def on_device(device: str) -> Iterator[None]:
    """Place TensorFlow's operations on ``cpu`` or ``gpu``.

    Raises:
        ModelError: a GPU was asked for and there is none.
    """
    import tensorflow as tf

    if device == "gpu" and not tf.config.list_logical_devices("GPU"):
        raise ModelError("--device gpu was asked for, but TensorFlow sees no GPU here.")
    with tf.device("/GPU:0" if device == "gpu" else "/CPU:0"):
        yield


def runs_side_by_side(device: str) -> bool:
    """Return whether blocks of images run side by side, each operation on one thread.

    ``TF_NUM_INTRAOP_THREADS=1``, which the command line sets before TensorFlow is imported, says so. A process
    that is not ours alone keeps its threads, and a GPU takes one block at a time.

    EfficientNet-Lite0 in blocks of 4, CPU milliseconds an image: 25 forward and 70 with gradients, where
    operations that take two threads, in blocks of 8, cost 36 and 94.
    """
    return device == "cpu" and os.environ.get("TF_NUM_INTRAOP_THREADS") == "1"


def lanes(device: str) -> int:
    """Return how many blocks run side by side: as many as this process has cores.

    ``OMP_NUM_THREADS``, which Ray and others set for processes that share a machine, is heeded.
    """
    if not runs_side_by_side(device):
        return 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(processors(), int(asked))) if asked.isdecimal() else processors()


tracing = threading.RLock()
"""Held while a graph is made: what it registers and what ``leaking`` says is the process's."""

_unoptimised = threading.Lock()
_unoptimised_by: list[bool] = []
"""One for each block that runs without the graph optimizer now: what the option was before."""


@contextlib.contextmanager
def without_graph_optimizer() -> Iterator[None]:
    """Run functions as traced: for a few calls the graph optimizer costs more than it saves.

    On EfficientNet-Lite0 it takes 0.5 CPU seconds at the first call and saves 0.05 a block of 8. The option is
    the process's: what runs side by side has to agree on it, or its last digits depend on who was first.
    """
    import tensorflow as tf

    key = "disable_meta_optimizer"
    with _unoptimised:  # the option is the process's, and blocks run side by side
        _unoptimised_by.append(tf.config.optimizer.get_experimental_options().get(key, False))
        tf.config.optimizer.set_experimental_options({key: True})
    try:
        yield
    finally:
        with _unoptimised:
            before = _unoptimised_by[0]
            _unoptimised_by.pop()
            # Each thread reads it again: it keeps what it read last.
            value = True if _unoptimised_by else before
            tf.config.optimizer.set_experimental_options({key: value})
