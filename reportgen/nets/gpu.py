"""The GPU that ``--device gpu`` asks for: whether there is one with free memory, and which it is."""

from __future__ import annotations

import os
import subprocess
from typing import Any, NamedTuple

from reportgen.errors import ModelError
from reportgen.wording import bytes_text

LEAST_FREE = 2**30
"""Bytes that have to be free: CUDA and its libraries alone take about half of it."""
_QUERY = ("--query-gpu=name,memory.free,memory.total", "--format=csv,noheader,nounits")
_SECONDS = 10


class Gpu(NamedTuple):
    """A GPU.

    Attributes:
        name: of the card.
        free: bytes; None where the driver does not say.
        total: bytes, likewise.
    """

    name: str
    free: int | None
    total: int | None

    def __str__(self) -> str:
        """Return name and memory in words."""
        if self.free is None or self.total is None:
            return self.name
        return f"{self.name}, {bytes_text(self.free)} of {bytes_text(self.total)} free"


def open_gpu() -> Gpu:
    """Return TensorFlow's first GPU, whose memory this process takes as it needs it.

    TensorFlow would take nearly all of it at once, and a training beside it may hold the rest.

    Raises:
        ModelError: TensorFlow sees none, or less than ``LEAST_FREE`` is free.
    """
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        raise ModelError(
            "--device gpu was asked for, but TensorFlow sees no GPU here. --device cpu needs none."
        )
    found = of_driver(_which()) or Gpu(_named(devices[0]), None, None)
    try:
        for device in devices:
            tf.config.experimental.set_memory_growth(device, True)  # noqa: FBT003
    except (RuntimeError, ValueError):
        return found  # a notebook has begun already, and what is not free may be its own
    if found.free is not None and found.free < LEAST_FREE:
        raise ModelError(
            f"--device gpu was asked for, but others hold its memory ({found}). --device cpu needs none of it; "
            "CUDA_VISIBLE_DEVICES chooses another card."
        )
    return found


def of_driver(which: str) -> Gpu | None:
    """Return what the driver says of a card, by ``nvidia-smi``; None where it says nothing.

    Args:
        which: the card's number, or its UUID.
    """
    command = ["nvidia-smi", f"--id={which}", *_QUERY]
    try:
        said = subprocess.run(  # noqa: S603 - a number or a UUID, no shell
            command, capture_output=True, text=True, timeout=_SECONDS, check=True
        ).stdout
        name, free, total = said.strip().splitlines()[0].rsplit(",", 2)
        return Gpu(name.strip(), int(free) * 2**20, int(total) * 2**20)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _which() -> str:
    """Return the card that is TensorFlow's first: the first that is visible."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"


def _named(device: Any) -> str:
    import tensorflow as tf

    details = tf.config.experimental.get_device_details(device)
    return str(details.get("device_name", device.name))
