"""How fast a data set goes through the network, and in how much memory, alone and on workers; see README.md.

    python benchmarks/scale.py [--images 10000 100000 1000000] [--jobs 1 2] [--engine local] [--model FILE]

Pictures of 28×28 values in an ``.npz``, through a small convolutional network (or a model of such pictures), in
``reportgen build --sections evaluation,activations``. *Images a second* is over the stage of the survey, with
the start of workers; *CPU* and *memory* (resident, summed, looked at 10 times a second) are of the whole tree
of processes. It fails where the reports differ. Linux only.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from batch import TICKS, environment

PAGE = os.sysconf("SC_PAGE_SIZE")
MAKE = """
import sys, keras
keras.utils.set_random_seed(0)
start = keras.Input((28, 28, 1))
x = keras.layers.Rescaling(1 / 255)(start)
for width in (16, 32):
    x = keras.layers.Conv2D(width, 3, activation="relu")(x)
    x = keras.layers.MaxPooling2D(2)(x)
x = keras.layers.Dense(64, "relu")(keras.layers.Flatten()(x))
keras.Model(start, keras.layers.Dense(10, "softmax")(x)).save(sys.argv[1])
"""
DATA = """
import sys, numpy as np
rng, count = np.random.default_rng(0), int(sys.argv[2])
np.savez(sys.argv[1], x=rng.integers(0, 256, (count, 28, 28, 1), np.uint8), y=rng.integers(0, 10, count))
"""


class Cost(NamedTuple):
    """What a build took.

    Attributes:
        survey: seconds of the survey.
        cpu: seconds of all processes.
        peak: bytes of resident memory of all processes.
        digest: of the report.
    """

    survey: float
    wall: float
    cpu: float
    peak: int
    digest: str


class Tree:
    """Sums what the processes take that carry a mark in their environment."""

    def __init__(self, mark: bytes) -> None:
        self._mark, self._seconds = mark, dict[tuple[str, str], float]()
        self.peak = 0

    def look(self) -> None:
        """Look once."""
        resident = 0
        for place in Path("/proc").iterdir():
            if not place.name.isdigit():
                continue
            try:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
                key = (place.name, fields[19])
                if key not in self._seconds and self._mark not in (place / "environ").read_bytes():
                    continue
                resident += PAGE * int(fields[21])
                self._seconds[key] = (int(fields[11]) + int(fields[12])) / TICKS
            except (OSError, IndexError):
                continue
        self.peak = max(self.peak, resident)

    @property
    def seconds(self) -> float:
        """CPU seconds, each process with what it was last seen with."""
        return sum(self._seconds.values())


def measure(model: Path, data: Path, place: Path, jobs: int, engine: str) -> Cost:
    """Build a report and return what that took.

    Raises:
        RuntimeError: the build failed.
    """
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    command = [
        sys.executable,
        "-m",
        "reportgen",
        "build",
        str(model),
        "--data",
        str(data),
        "-o",
        str(place),
    ]
    command += ["--sections", "evaluation,activations", "--fresh", "--cache", f"{place}-cache"]
    if jobs > 1 or engine != "local":
        command += ["--jobs", str(jobs), "--engine", engine]
    tree, begun = Tree(mark.encode()), time.perf_counter()
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env={**environment(), "REPORTGEN_BENCH": mark, "SOURCE_DATE_EPOCH": "0"},
    )  # fmt: skip
    lines: list[tuple[float, str]] = []

    def listen() -> None:
        lines.extend((time.perf_counter(), line) for line in process.stderr or ())

    listener = threading.Thread(target=listen)
    listener.start()
    while process.poll() is None:
        tree.look()
        time.sleep(0.1)
    wall = time.perf_counter() - begun
    listener.join()
    if process.returncode:
        raise RuntimeError("".join(line for _, line in lines))
    stage = "reportgen: Data through the network"
    first = next(k for k, (_, line) in enumerate(lines) if line.startswith(stage))
    after = next(k for k in range(first, len(lines)) if not lines[k][1].startswith(stage))
    report = hashlib.sha256((place / "report.json").read_bytes()).hexdigest()
    return Cost(lines[after][0] - lines[first][0], wall, tree.seconds, tree.peak, report)


def main() -> None:
    """Measure and print a row a build."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--engine", default="local")
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    print(
        f"{dt.datetime.now(dt.UTC).date()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(
        "| images | jobs | images a second | wall s | CPU s | memory MB |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory(prefix="reportgen-bench-") as name:
        folder = Path(name)
        model = given.model or folder / "model.keras"
        if given.model is None:
            subprocess.run([sys.executable, "-c", MAKE, model], check=True, env=environment())
        for count in given.images:
            data = folder / f"{count}.npz"
            subprocess.run([sys.executable, "-c", DATA, data, str(count)], check=True)
            digests = set()
            for jobs in given.jobs:
                engine = given.engine if jobs > 1 else "local"
                cost = measure(model, data, folder / f"{count}-{jobs}", jobs, engine)
                digests.add(cost.digest)
                print(
                    f"| {count:,} | {jobs} | {count / cost.survey:,.0f} | {cost.wall:.1f} | {cost.cpu:.1f} "
                    f"| {cost.peak / 1e6:,.0f} |",
                    flush=True,
                )
            data.unlink()
            if len(digests) > 1:
                sys.exit("The reports differ.")


if __name__ == "__main__":
    main()
