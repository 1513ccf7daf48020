"""How fast and in how much memory ``--weights-only`` reads a large file.

    python benchmarks/weights_only.py FOLDER [GIGABYTES]

A file of that size is written, half of it one tensor and the rest tensors of 64 MiB, and a report is built of
it in a process of its own. Promised are 25 MB a second and a gigabyte of memory, of all processes together.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np

LEAST_RATE, MOST_MEMORY = 25.0, 1024
_ROWS, _COLUMNS = 4096, 4096
_EVERY = 0.02


def write(path: Path, gigabytes: float) -> int:
    """Write the file; return its bytes."""
    block = np.random.default_rng(0).normal(size=(_ROWS, _COLUMNS)).astype(np.float32)
    blocks = max(2, round(gigabytes * 1e9 / block.nbytes))
    with h5py.File(path, "w") as file:
        large = file.create_dataset(
            "layers/dense/vars/0", (blocks // 2 * _ROWS, _COLUMNS), np.float32
        )
        for number in range(blocks // 2):
            large[number * _ROWS : (number + 1) * _ROWS] = block
        for number in range(blocks - blocks // 2):
            file[f"layers/dense_{number + 1}/vars/0"] = block
    return path.stat().st_size


def memory_of(process: int) -> int:
    """Return the resident bytes of a process and all that it started, without pages of files."""
    total, waiting = 0, [process]
    while waiting:
        one = waiting.pop()
        try:
            waiting += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
            resident, shared = Path(f"/proc/{one}/statm").read_text().split()[1:3]
        except OSError:
            continue
        total += (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    return total


def main() -> None:
    """Write, build and print what it took."""
    folder, gigabytes = Path(sys.argv[1]), float((sys.argv[2:] or ["2"])[0])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "large.weights.h5"
    size = write(path, gigabytes)
    command = [sys.executable, "-m", "reportgen", "build", str(path), "--weights-only", "--force"]
    start = time.perf_counter()
    child = subprocess.Popen([*command, "-o", str(folder / "report")])
    peak = 0

    def look() -> None:
        nonlocal peak
        while child.poll() is None:
            peak = max(peak, memory_of(child.pid))
            time.sleep(_EVERY)

    watch = threading.Thread(target=look)
    watch.start()
    child.wait()
    watch.join()
    seconds = time.perf_counter() - start
    rate, held = size / 1e6 / seconds, peak / 2**20
    print(
        f"{size / 1e9:.2f} GB in {seconds:.0f} s: {rate:.0f} MB/s, {held:.0f} MiB, code {child.returncode}"
    )
    path.unlink()
    sys.exit(0 if rate >= LEAST_RATE and held <= MOST_MEMORY and not child.returncode else 1)


if __name__ == "__main__":
    main()
