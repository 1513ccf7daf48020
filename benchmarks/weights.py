"""CPU seconds a million parameters, and memory above the loaded network, of the section Weights.

    python benchmarks/weights.py [NAME…]

Names are those of ``keras.applications``; their weights are random, which is the dearest case: every value is
held against the places of a random generator.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NAMES = ("EfficientNetB0", "NASNetMobile", "ResNet50", "InceptionResNetV2", "VGG16")


def resident() -> float:
    """Return the resident memory of this process in MiB."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE") / 2**20


class Peak(threading.Thread):
    """Follows the memory until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.highest, self.done = 0.0, threading.Event()

    def run(self) -> None:
        """Look every five milliseconds."""
        while not self.done.wait(0.005):
            self.highest = max(self.highest, resident())


def measure(name: str) -> str:
    """Return a line about one network."""
    import keras

    from reportgen import pipeline
    from reportgen.build import build_report
    from reportgen.sections.weights.section import SECTION

    model = getattr(keras.applications, name)(weights=None)
    found: dict[str, float] = {}

    def timed(context: Any, observed: Any) -> Any:
        loaded, watch, begun = resident(), Peak(), time.process_time()
        watch.start()
        result = SECTION.collect(context, observed)
        watch.done.set()
        found.update(seconds=time.process_time() - begun, memory=watch.highest - loaded)
        return result

    pipeline.SECTIONS = (SECTION._replace(collect=timed),)
    build_report(model, sections="weights")
    millions = model.count_params() / 1e6
    largest = max(v.numpy().nbytes for v in model.weights) / 2**20
    return (
        f"{name}: {millions:.1f} M parameters, {found['seconds']:.1f} CPU s, "
        f"{found['seconds'] / millions:.3f} s a million; {found['memory']:.0f} MiB above the loaded network, "
        f"largest tensor {largest:.0f} MiB"
    )


if __name__ == "__main__":
    for wanted in sys.argv[1:] or NAMES:
        print(measure(wanted), flush=True)
