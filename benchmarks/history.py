"""Measure what a long training history costs: reading, the section with its figures, the rules.

    python benchmarks/history.py [--epochs N]

A CSVLogger file of a loss in training and validation is made, and read as ``reportgen build`` reads it; the
network takes no part in it. CPU seconds, and how much the peak of the resident memory grew.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from reportgen.drawing.assets import AssetStore
from reportgen.drawing.figures import Lines, lines_figure
from reportgen.findings.judge import judge
from reportgen.inputs.history import read_history
from reportgen.report.model import Section
from reportgen.sections.history.section import SECTION


def write_log(path: Path, epochs: int) -> None:
    """Write a log of falling, noisy losses."""
    generator = np.random.default_rng(0)
    loss = 2 * np.exp(-np.arange(epochs) / (epochs / 5)) + generator.normal(0, 0.01, epochs)
    held_out = loss + 0.1 * np.linspace(0, 1, epochs) + generator.normal(0, 0.02, epochs)
    with path.open("w") as file:
        file.write("epoch,loss,val_loss\n")
        rows = zip(range(epochs), loss.tolist(), held_out.tolist(), strict=True)
        file.writelines(f"{epoch},{one!r},{other!r}\n" for epoch, one, other in rows)


def main() -> None:
    """Print a line a stage."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "history.csv")
        write_log(path, parser.parse_args().epochs)
        lines_figure(
            AssetStore(), np.arange(2), [Lines("", np.arange(2.0))], "", ""
        )  # imports matplotlib
        before, start = peak(), time.process_time()
        history = read_history(path)
        tell("reading", start)
        context = SimpleNamespace(
            inputs=SimpleNamespace(history=history), tools=SimpleNamespace(store=AssetStore())
        )
        start = time.process_time()
        made = SECTION.collect(context, None)
        tell("section", start)
        start = time.process_time()
        judge([Section("history", "", content=made.content)])
        tell("rules", start)
    print(f"peak memory +{peak() - before:.0f} MiB on {before:.0f} MiB")


def peak() -> float:
    """Return the peak of the resident memory so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def tell(what: str, start: float) -> None:
    """Print what a stage took."""
    print(f"{what} {time.process_time() - start:.2f} CPU s")


if __name__ == "__main__":
    main()
