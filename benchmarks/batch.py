"""What ``reportgen batch`` costs beside the reports that it makes, on each engine; see README.md.

    python benchmarks/batch.py [--models 10 100 200] [--ray-models 40] [--engines local ray dask] [--jobs 2]

Makes as many models of one layer, and a report of each with ``--quick``. *Overhead* is what the whole tree of
processes took in CPU seconds beyond the children that make the reports: each process counts with what it was
last seen with, 20 times a second. It fails where local takes over 5 % or Ray over 30 %. Linux only.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
BOUNDS = {"local": 0.05, "ray": 0.30}
"""Overhead over the bare reports; of Dask none is promised."""
TICKS = os.sysconf("SC_CLK_TCK")
MAKE = """
import sys, keras
for k in range(int(sys.argv[2])):
    keras.utils.set_random_seed(k)
    entry = keras.Input((12, 12, 3))
    made = keras.layers.Dense(4, "softmax")(keras.layers.Flatten()(entry))
    keras.Model(entry, made).save(f"{sys.argv[1]}/net{k:03}.keras")
"""


class Cost(NamedTuple):
    """What a batch took.

    Attributes:
        bare: CPU seconds of the children that made reports.
        whole: of all processes, these included.
    """

    bare: float
    whole: float
    wall: float

    @property
    def overhead(self) -> float:
        """What came beside the reports, as a share of them."""
        return self.whole / self.bare - 1


def environment() -> dict[str, str]:
    """Return the environment of what is measured."""
    return {**os.environ, "PYTHONPATH": str(HERE.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}


class Tree:
    """Counts the processes of a batch, with the CPU seconds that each was last seen with.

    A report's child leads a session of its own, in which its own children are too.
    """

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], tuple[float, str]] = {}
        self._reports: set[str] = set()

    def look(self, mark: bytes) -> None:
        """Look at every process that carries a mark in its environment."""
        for place in Path("/proc").iterdir():
            if not place.name.isdigit():
                continue
            try:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
                key = (place.name, fields[19])  # and when it began: numbers come again
                if key not in self._seconds and mark not in (place / "environ").read_bytes():
                    continue
                if b"batch/child.py" in (place / "cmdline").read_bytes():
                    self._reports.add(place.name)
            except (OSError, IndexError):
                continue
            self._seconds[key] = ((int(fields[11]) + int(fields[12])) / TICKS, fields[3])

    def cost(self, wall: float) -> Cost:
        """Return what has been seen."""
        found = self._seconds.values()
        bare = sum(seconds for seconds, session in found if session in self._reports)
        return Cost(bare, sum(seconds for seconds, _ in found), wall)


def measure(models: Path, engine: str, jobs: int, place: Path) -> Cost:
    """Make all reports in a batch and return what that took.

    Raises:
        RuntimeError: a report failed.
    """
    mark = f"REPORTGEN_BENCH={os.getpid()}-{time.monotonic_ns()}"
    name, _, value = mark.partition("=")
    command = [sys.executable, "-m", "reportgen", "batch", f"{models}/*.keras", "-o", str(place)]
    command += ["--quick", "-q", "--jobs", str(jobs), "--engine", engine]
    tree, begun = Tree(), time.perf_counter()
    process = subprocess.Popen(command, env={**environment(), name: value})
    while process.poll() is None:
        tree.look(mark.encode())
        time.sleep(0.05)
    wall = time.perf_counter() - begun
    if process.returncode:
        raise RuntimeError(f"The batch on {engine} exited with {process.returncode}.")
    runs = [json.loads(line) for line in (place / "runs.jsonl").read_text("utf-8").splitlines()]
    assert all(run["ok"] for run in runs)
    return tree.cost(wall)


def main() -> None:
    """Measure and print a row a batch; fail beyond a bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, nargs="+", default=[10, 100, 200])
    parser.add_argument("--ray-models", type=int, default=40)
    parser.add_argument("--engines", nargs="+", default=["local", "ray", "dask"])
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    sizes = [
        (e, n)
        for e in given.engines
        for n in (given.models if e == "local" else [given.ray_models])
    ]
    print(
        f"{dt.datetime.now(dt.UTC).date()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(
        "| engine | models | wall s | CPU s of the reports | CPU s of all | overhead |\n"
        "|---|---|---|---|---|---|"
    )
    over = False
    for engine, count in sizes:
        with tempfile.TemporaryDirectory(prefix="reportgen-bench-") as name:
            folder = Path(name, "models")
            folder.mkdir()
            subprocess.run(
                [sys.executable, "-c", MAKE, folder, str(count)],
                check=True,
                env=environment(),
                stderr=subprocess.DEVNULL,
            )
            cost = measure(folder, engine, given.jobs, Path(name, "out"))
        print(
            f"| {engine} | {count} | {cost.wall:.1f} | {cost.bare:.1f} | {cost.whole:.1f} "
            f"| {100 * cost.overhead:.1f} % |",
            flush=True,
        )
        over |= cost.overhead > BOUNDS.get(engine, float("inf"))
    sys.exit(over)


if __name__ == "__main__":
    main()
