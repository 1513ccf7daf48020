"""What the tests of surveys on workers share: builds by the command line, and clusters that run already."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager

import batches
import models
import pages

SECTIONS = ("--sections", "overview,evaluation,activations", "--quiet")
CLUSTERS = {
    "ray": """
import sys
from ray.cluster_utils import Cluster

node = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
cluster.add_node(**node)
cluster.wait_for_nodes()
print("at", cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
""",
    "dask": """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    alone = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0, **alone) as cluster:
        print("at", cluster.scheduler_address, flush=True)
        sys.stdin.read()
""",
}


def built(folder, out, *arguments, data="data.npz", model=None, check=True):
    """Build as the command line does, and return the report's bytes; nothing that it started lives on."""
    with started(folder, out, *arguments, data=data, model=model) as (process, mark):
        _, err = process.communicate(timeout=300)
    assert batches.gone(mark, seconds=70) == []
    if not check:
        return process.returncode, err
    assert process.returncode == 0, err
    return pages.tree(folder / out)


@contextmanager
def started(folder, out, *arguments, data="data.npz", model=None):
    """Start a build; all that it starts carries a mark. With jobs an engine is asked for: sets are small."""
    if "--jobs" in arguments and "--engine" not in arguments:
        arguments += ("--engine", "local")
    mark = f"{time.monotonic_ns()}"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "reportgen", "build", model or models.saved("plain"), "-o", out,
            "--data", data, "--cache", f"kept-{out}", *SECTIONS, *map(str, arguments),
        ],
        env=models.environment(**{batches.MARK: mark, "SOURCE_DATE_EPOCH": "1750000000"}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    try:
        yield process, mark
    finally:
        process.kill()
        process.communicate()


@contextmanager
def cluster(engine):
    """Run a cluster of two workers on loopback while the block runs, and give its address."""
    quiet = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTERS[engine]], env=models.environment(**quiet), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            lines = iter(process.stdout.readline, "")
            yield next(line.split()[1] for line in lines if line.startswith("at "))
        finally:
            process.stdin.close()
            process.wait(60)
