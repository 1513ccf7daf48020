"""A process that lives for many tasks: the program of a worker of the local engine.

    python -P child.py < calls > replies

Calls and replies are frames: eight bytes of length, then as many bytes. A call is a pickled function, by its
module and name, with arguments; a reply is a zero and the bytes that the function gave, or a one and why it
failed. What the function prints goes to stderr. It ends when whoever calls is gone.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing import Never

LENGTH = struct.Struct("<Q")


def read_frame(stream: BinaryIO) -> bytes | None:
    """Return the next frame; None where the other end is gone."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    body = stream.read(size)
    return body if len(body) == size else None


def write_frame(stream: BinaryIO, *parts: bytes) -> None:
    """Write a frame of several parts."""
    stream.write(LENGTH.pack(sum(map(len, parts))))
    stream.writelines(parts)
    stream.flush()


def main() -> Never:
    """Answer calls one after the other, until nobody calls any more."""
    import importlib
    import pickle

    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a model's code prints is no reply
    calls: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, calls), daemon=True).start()
    while True:
        module, name, arguments = pickle.loads(calls.get())  # noqa: S301 - our parent's word
        try:
            found = getattr(importlib.import_module(module), name)(*arguments)
            write_frame(replies, b"\0", found)
        except Exception as error:  # noqa: BLE001 - the caller decides
            write_frame(replies, b"\1", f"{type(error).__name__}: {error}".encode())


def _listen(stream: BinaryIO, calls: SimpleQueue[bytes]) -> None:
    """Hand on calls; where the caller is gone, end this process and what it has started."""
    while (call := read_frame(stream)) is not None:
        calls.put(call)
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGTERM)  # on Windows this ends the process


if __name__ == "__main__":
    sys.path.append(
        str(Path(__file__).parents[2])
    )  # behind all else: where it is installed, that counts
    main()
