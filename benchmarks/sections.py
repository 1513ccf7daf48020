"""CPU seconds of each stage and section of one build, and the bytes that each section adds.

python benchmarks/sections.py MODEL.keras OUT PROBES

All sections: the evaluation is of the probes' images with made-up labels, 32 of them, the history is made up.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # as the command line does
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import msgspec
import numpy as np
from PIL import Image

from reportgen import build_report, pipeline

# One after the other, or nobody could say which of two took the time.
pipeline.SECTIONS = tuple(maker._replace(beside=None) for maker in pipeline.SECTIONS)


class Stages:
    """Progress that notes the CPU time at the start of each stage."""

    def __init__(self) -> None:
        self.marks: list[tuple[str, float]] = []

    def stage(self, text: str, total: int | None = None) -> None:
        """Note the start of a stage."""
        del total
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = time.process_time() + children.ru_utime + children.ru_stime
        self.marks.append((text, seconds))

    def advance(self, steps: int = 1) -> None:
        """Count nothing."""


def labelled(probes: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return 32 images, at 224 by 224 pixels, and labels."""
    paths = sorted(Path(probes).iterdir())
    images = [
        Image.open(paths[k % len(paths)]).convert("RGB").resize((224, 224)) for k in range(32)
    ]
    return np.stack([np.asarray(image) for image in images]), np.arange(32)


def main(model: str, output: str, probes: str) -> None:
    """Print seconds by stage and bytes by section as JSON."""
    stages = Stages()
    loss = np.linspace(2, 1, 200)
    folder = build_report(
        model,
        output=output,
        probes=probes,
        data=labelled(probes),
        history={"loss": loss.tolist(), "val_loss": (loss + 0.1).tolist()},
        progress=stages,
        fresh=True,  # what an earlier run has kept costs nothing
    )
    stages.stage("end")
    pairs = zip(stages.marks, stages.marks[1:], strict=False)
    seconds = {name: end - start for (name, start), (_, end) in pairs}
    encoded = {s.kind: msgspec.json.encode(s) for s in folder.report.sections}
    assets = {a: (folder.path / "assets" / a).stat().st_size for a in folder.report.assets}
    sizes = {
        kind: len(text) + sum(size for name, size in assets.items() if name.encode() in text)
        for kind, text in encoded.items()
    }
    sizes["index.html"] = Path(folder.index).stat().st_size
    print(json.dumps({"seconds": seconds, "bytes": sizes}))


if __name__ == "__main__":
    main(*sys.argv[1:])
