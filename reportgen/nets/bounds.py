"""What a model file may ask for while it is built and traced: weights, tensors, time."""

from __future__ import annotations

import contextlib
import ctypes
import math
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from reportgen.errors import ModelError
from reportgen.nets.keras_internals import graph_calls, variables_announced
from reportgen.nets.structure import walk
from reportgen.numerics import dtype_size
from reportgen.settings import DECLARED_BYTES, DECLARED_TIMES, MAX_TENSOR_VALUES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Made = TypeVar("Made")

_SHAPES = ("batch_shape", "batch_input_shape", "target_shape")
"""Arguments of layers that are shapes of whole tensors."""


class _WantsMoreError(BaseException):
    """A file asks for more weights than it stores; no Exception, so that Keras does not wrap it."""


@contextlib.contextmanager
def bounded_weights(stored: int) -> Iterator[None]:
    """Refuse weights that a file declares and does not store, before memory is taken for them.

    Args:
        stored: bytes of all data sets in the file. Weights may take ``DECLARED_TIMES`` of it, since the file
            may hold them in a smaller type, and ``DECLARED_BYTES`` beside.

    Raises:
        ModelError: the weights declared come to more.
    """
    import keras

    allowed, declared = DECLARED_BYTES + DECLARED_TIMES * stored, 0

    def count(initializer: Any, shape: Any, dtype: Any) -> None:
        nonlocal declared
        if callable(initializer):
            declared += _size(shape) * dtype_size(keras.backend.standardize_dtype(dtype))
            if declared > allowed:
                raise _WantsMoreError

    try:
        with variables_announced(count):
            yield
    except _WantsMoreError:
        asked, held = f"{declared / 2**20:,.0f} MiB", f"{stored / 2**20:,.1f} MiB"
        raise ModelError(f"it declares weights of {asked} or more, and stores {held}") from None


def _size(shape: Any) -> int:
    values = [shape] if isinstance(shape, int) else list(shape or ())
    return math.prod(int(n or 1) for n in values)


def check_shapes(config: Any) -> None:
    """Refuse shapes of whole tensors in a stored configuration that no memory holds.

    Raises:
        ModelError: naming the argument.
    """
    waiting = [config]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            for name in _SHAPES:
                _check_shape(node, name)
            waiting += node.values()


def _check_shape(node: Mapping[str, Any], name: str) -> None:
    sizes = node.get(name)
    if not isinstance(sizes, list) or not all(n is None or isinstance(n, int) for n in sizes):
        return
    if math.prod(abs(int(n or 1)) for n in sizes) > MAX_TENSOR_VALUES:
        raise ModelError(f"its {name} {sizes} has more than {MAX_TENSOR_VALUES:,} values")


def check_tensors(model: Any) -> None:
    """Refuse a model one of whose layers gives more values for one image than any memory holds.

    Args:
        model: built; a graph of layers.

    Raises:
        ModelError: naming the layer.
    """
    for node in walk(model):
        for call in graph_calls(node.operation):
            for tensor in call.outputs:
                values = math.prod(int(n) for n in tuple(tensor.shape)[1:] if n is not None)
                if values > MAX_TENSOR_VALUES:
                    raise ModelError(
                        f"the layer {node.path!r} gives {values:,} values for one image, more than "
                        f"the limit of {MAX_TENSOR_VALUES:,}"
                    )


class _TimeOutError(BaseException):
    """Raised in a thread whose time is over; no Exception, so that nothing on the way keeps it."""


def in_time(seconds: float, doing: str, work: Callable[[], Made]) -> Made:
    """Return what a piece of Python makes, or end it; what runs in a library ends before it is ended.

    Args:
        seconds: of wall clock.
        doing: for the message, as in ``building it``.
        work: is called.

    Raises:
        ModelError: it took longer.
    """
    thread, lock = threading.get_ident(), threading.Lock()
    state = {"done": False, "ended": False}
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def end() -> None:
        with lock:
            if not state["done"]:
                state["ended"] = True
                raise_in(ctypes.c_ulong(thread), ctypes.py_object(_TimeOutError))

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    # One frame for all: what another thread raises here may be delivered between any two steps.
    try:
        timer.start()
        try:
            return work()
        finally:
            timer.cancel()
            with lock:
                state["done"] = True
            if state["ended"]:
                _let_it_arrive()
    except _TimeOutError:
        raise ModelError(f"{doing} took longer than {seconds:,.0f} seconds") from None


def _let_it_arrive() -> None:
    """Run on for some steps of the interpreter: what another thread raised here is delivered between two."""
    for _ in range(10_000):
        pass
