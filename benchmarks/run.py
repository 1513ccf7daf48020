"""Measure reportgen against the floor and against the notebook glue that it replaces.

    python benchmarks/run.py [--rounds N] [--write] [--without glue peers relevance]
    python benchmarks/run.py --check [--rounds N]
    python benchmarks/run.py --again [--write]

Everything is a ratio of whole-process CPU seconds (user and system, children included) or of peak memory,
taken in one run: in every round each command runs once, so that the machine's mood meets all of them, and
the median over the rounds counts. ``--check`` runs the floor and the sections alone and fails where a section
is slower, in floors, than ``results.json`` says by more than a tenth; ``--write`` keeps that file and the
tables in README.md. What every command took lies in ``.cache/bench.json``; ``--again`` draws the tables from
there. ``REPORTGEN_MODELS`` names the folder with the models and images.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
SECTIONS = "overview,architecture,weights,probes,activations"
MARK = "<!-- results -->"
KEPT = HERE / "results.json"
RAW = HERE.parent / ".cache" / "bench.json"
SLOWER = 1.10
"""Times its kept cost that a section may take."""
NOISE = 0.02
"""Floors that do not count: a section of a tenth of a second differs so from round to round."""
SELDOM = {"glue": 1, "peers": 1, "relevance": 2, "default": 3, "gpu": 3, "sections": 3}
"""Rounds of the dear commands; all of it takes less than 20 minutes on two cores."""


class Cost(NamedTuple):
    """What one command took: CPU and wall seconds, peak memory in MiB, and what it printed last."""

    cpu: float
    wall: float
    memory: float
    said: str


def run(command: list[str]) -> Cost:
    """Run a command to its end, with nothing in its cache, and return its cost.

    Raises:
        RuntimeError: it failed.
    """
    with (
        tempfile.TemporaryFile("w+") as sink,
        tempfile.TemporaryFile("w+") as errors,
        tempfile.TemporaryDirectory() as cache,
    ):
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "XDG_CACHE_HOME": cache}
        environment["MPLCONFIGDIR"] = str(RAW.parent / "matplotlib")  # the fonts that it has found
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # modules are compiled once, as installed
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=sink, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        sink.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            raise RuntimeError(f"{command} failed: {errors.read()[-2000:]}")
        lines = sink.read().strip().splitlines()
    said = lines[-1] if lines else ""
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, said)


def copies(images: list[Path], count: int, folder: Path) -> Path:
    """Fill a folder with ``count`` images, repeating them under other names."""
    folder.mkdir()
    for index in range(count):
        source = images[index % len(images)]
        shutil.copy(source, folder / f"{index:03d}{source.suffix.lower()}")
    return folder


def commands(
    shared: Path, work: Path, glue: Path | None, *, peers: bool = True
) -> dict[str, list[str]]:
    """Return the commands by name, those of peers where they are wanted and can be installed."""
    python = sys.executable
    model = str(shared / "models" / "efficientnet_lite0.keras")
    images = sorted((shared / "images" / "photos").iterdir())
    images += sorted((shared / "images" / "imagenet").iterdir())
    eight, many = copies(images, 8, work / "eight"), copies(images, 64, work / "many")
    build = [python, "-m", "reportgen", "build", model, "-q", "--sections", SECTIONS]
    whole = [python, "-m", "reportgen", "build", model, "-q", "-p", str(eight)]
    found = {
        "floor": [python, str(HERE / "floor.py"), model, *map(str, sorted(eight.iterdir()))],
        "build": [*build, "-o", str(work / "out8"), "-p", str(eight)],
        "build 64": [
            *build, "-o", str(work / "out64"), "-p", str(many), "--max-probes", "64",
        ],
        "start-up": [python, "-m", "reportgen", "build", model, "-q", "-o", str(work / "out0"),
                     "--sections", "overview,architecture,weights"],
        "diagrams": [python, str(HERE / "diagrams.py"), "ResNet152"],
        "sections": [python, str(HERE / "sections.py"), model, str(work / "sections"), str(eight)],
        "quick": [*whole, "-o", str(work / "quick"), "--quick"],
        "default": [*whole, "-o", str(work / "default")],
        "relevance": [python, str(HERE / "relevance.py"), model, *map(str, sorted(eight.iterdir())[:4])],
        "render": [python, "-m", "reportgen", "render", str(work / "out8")],
        "--help": [python, "-m", "reportgen", "--help"],
    }  # fmt: skip
    if shutil.which("nvidia-smi"):
        found["gpu"] = [*whole, "-o", str(work / "gpu"), "--device", "gpu"]
    theirs = peers_python() if peers else None
    if theirs is not None:
        four = map(str, sorted(eight.iterdir())[:4])
        found["peers"] = [theirs, str(HERE / "peers.py"), model, *four]
    if glue is not None:
        photos = [str(path) for path in sorted(eight.iterdir())]
        found["glue"] = [python, str(glue), model, str(work / "glue"), *photos]
    return found


def peers_python() -> str | None:
    """Return the interpreter of an environment with the peers, made where pip can; else None."""
    place = HERE.parent / ".venv-peers"
    python = place / "bin" / "python"
    try:
        if not python.is_file():
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            wanted = ["tensorflow", "tf-keras-vis", "xplique", "matplotlib", "pydot"]
            subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The peers could not be installed: {error}", file=sys.stderr)
        shutil.rmtree(place, ignore_errors=True)
        return None
    return str(python)


def measure(
    found: dict[str, list[str]], rounds: int, seldom: Mapping[str, int]
) -> dict[str, list[Cost]]:
    """Run every command once a round; the ones in ``seldom`` in so many rounds alone."""
    costs: dict[str, list[Cost]] = {name: [] for name in found}
    for number in range(rounds):
        for name, command in found.items():
            if number >= seldom.get(name, rounds):
                continue
            costs[name].append(run(command))
            print(f"round {number + 1}: {name}: {costs[name][-1].cpu:.2f} CPU s", file=sys.stderr)
            RAW.parent.mkdir(exist_ok=True)
            RAW.write_text(json.dumps(costs), "utf-8")
    return costs


def measured_before() -> dict[str, list[Cost]]:
    """Return what the last run measured, as far as it came."""
    kept = json.loads(RAW.read_text("utf-8"))
    return {name: [Cost(*cost) for cost in costs] for name, costs in kept.items()}


def cpu(costs: list[Cost]) -> float:
    """Return the median CPU seconds."""
    return statistics.median(cost.cpu for cost in costs)


def memory(costs: list[Cost]) -> float:
    """Return the median peak memory in MiB."""
    return statistics.median(cost.memory for cost in costs)


def clock(costs: list[Cost]) -> float:
    """Return the median share that the wall clock is of the CPU time."""
    return statistics.median(cost.wall / cost.cpu for cost in costs)


def machine() -> str:
    """Return what this was measured on, and when."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    model = next(names, platform.machine())
    today = dt.datetime.now(dt.UTC).date()
    load = os.getloadavg()[2]
    return f"{today}, {os.cpu_count()} cores of {model}, load {load:.1f} over the last quarter of an hour"


def in_floors(costs: dict[str, list[Cost]]) -> dict[str, float]:
    """Return what each stage and section costs, in floors."""
    runs = [json.loads(cost.said)["seconds"] for cost in costs["sections"]]
    floor = cpu(costs["floor"])
    return {name: statistics.median(run[name] for run in runs) / floor for name in runs[0]}


def slower(now: dict[str, float], kept: dict[str, float]) -> list[str]:
    """Return a line on each stage or section that costs more than it did."""
    return [
        f"{name}: {now[name]:.3f} floors, kept {before:.3f}"
        for name, before in kept.items()
        if name in now and now[name] > max(before * SLOWER, before + NOISE)
    ]


def check(found: dict[str, list[str]], rounds: int) -> int:
    """Hold the sections against the kept costs; return the exit code."""
    if not KEPT.is_file():
        print(
            f"No run is kept ({KEPT.name}): benchmarks/run.py --write on an idle machine keeps one."
        )
        return 2
    kept = json.loads(KEPT.read_text("utf-8"))["sections"]
    now = in_floors(measure({name: found[name] for name in ("floor", "sections")}, rounds, {}))
    for name, value in now.items():
        print(f"{name}: {value:.3f} floors, kept {kept.get(name, float('nan')):.3f}")
    worse = slower(now, kept)
    if worse:
        print("\nSlower by more than a tenth:", *worse, sep="\n")
    return 1 if worse else 0


def table(costs: dict[str, list[Cost]], rounds: int) -> str:
    """Return the results as Markdown."""
    build, many, floor = cpu(costs["build"]), cpu(costs["build 64"]), cpu(costs["floor"])
    start = cpu(costs["start-up"])
    first, later = (build - start) / 8, (many - build) / 56
    diagrams = [json.loads(cost.said) for cost in costs["diagrams"]]
    drawn = statistics.median(d["cpu"] for d in diagrams)
    size = sum(diagrams[0]["bytes"]) / 1000
    few = ", ".join(f"{name} {min(n, rounds)}" for name, n in SELDOM.items() if name in costs)
    rows = [
        ("build / floor, CPU", build / floor, "1.31"),
        ("build / floor, peak memory", memory(costs["build"]) / memory(costs["floor"]), "1.3"),
        ("64 probes / 8 probes, CPU", many / build, "2.5"),
        (
            "64 probes / 8 probes, peak memory",
            memory(costs["build 64"]) / memory(costs["build"]),
            "1.2",
        ),
        ("a probe after the eighth / one of the first eight, CPU", later / first, "1.2"),
        ("ResNet152, both diagrams, CPU s", drawn, "3"),
        ("ResNet152, nodes of the overview", diagrams[0]["nodes"], "40"),
        ("ResNet152, both SVGs, kB", size, "400"),
        ("default build (with relevance) / floor, CPU", cpu(costs["default"]) / floor, "6"),
        ("default build, wall clock / CPU", clock(costs["default"]), "0.6"),
        ("--quick / floor, CPU", cpu(costs["quick"]) / floor, "1.5"),
        (
            "default build, peak memory / floor's",
            memory(costs["default"]) / memory(costs["floor"]),
            "1.3",
        ),
        *(method_rows(costs["relevance"]) if "relevance" in costs else []),
        ("render, CPU s", cpu(costs["render"]), "0.5"),
        ("--help, CPU s", cpu(costs["--help"]), "0.3"),
    ]
    if "gpu" in costs:
        walls = (statistics.median(c.wall for c in costs[name]) for name in ("gpu", "default"))
        on_gpu, on_cpu = walls
        rows.append(("default build on the GPU / on the CPU, wall clock", on_gpu / on_cpu, "1"))
    if "glue" in costs:
        rows.insert(0, ("glue / build, CPU (at least)", cpu(costs["glue"]) / build, "10"))
    head = (
        f"{machine()}. Medians of {rounds} rounds ({few}), EfficientNet-Lite0, 8 photographs: "
        f"build {build:.2f} CPU s and "
        f"{memory(costs['build']):.0f} MiB, floor {floor:.2f} CPU s and {memory(costs['floor']):.0f} MiB."
    )
    lines = [
        head,
        "",
        "| what | measured | bound |",
        "|---|---|---|",
        *(f"| {name} | {value:.3g} | {bound} |" for name, value, bound in rows),
        "",
        *peer_table(costs.get("peers", [])),
        *section_table([json.loads(cost.said) for cost in costs["sections"]]),
    ]
    return "\n".join(lines)


def method_rows(costs: list[Cost]) -> list[tuple[str, float, str]]:
    """Return what relevance methods cost in plain passes of the same images, and the bounds."""
    runs = [json.loads(cost.said)["ratios"] for cost in costs]
    bounds = {
        "gradcam": "1.1",
        "integrated-gradients": "52",
        "smoothgrad": "52",
        "curves": "1.15",
    }
    return [
        (f"{name} / {runs[0][name][1]}", statistics.median(run[name][0] for run in runs), bound)
        for name, bound in bounds.items()
    ]


def peer_table(costs: list[Cost]) -> list[str]:
    """Return the peers' costs for the same maps, in the same units, measured in their own process."""
    if not costs:
        return ["The peers were not run, or could not be installed.", ""]
    runs = [json.loads(cost.said)["ratios"] for cost in costs]
    lines = ["| peer | passes | unit |", "|---|---|---|"]
    for name, (first, unit) in runs[0].items():
        numbers = [run[name][0] for run in runs if not isinstance(run[name][0], str)]
        shown = f"{statistics.median(numbers):.3g}" if numbers else first
        lines.append(f"| {name} | {shown} | {unit} |")
    return [*lines, ""]


def section_table(runs: list[dict[str, dict[str, float]]]) -> list[str]:
    """Return CPU seconds by stage and bytes by section; later changes are held against them."""
    lines = ["| stage or section | CPU s | kB with pictures |", "|---|---|---|"]
    sizes = {name.lower(): size for name, size in runs[0]["bytes"].items()}
    for name in runs[0]["seconds"]:
        seconds = statistics.median(r["seconds"][name] for r in runs)
        key = "index.html" if name.startswith("Writing") else name.lower()
        size = f"{sizes[key] / 1000:.0f}" if key in sizes else ""
        lines.append(f"| {name} | {seconds:.2f} | {size} |")
    return lines


def main() -> None:
    """Measure, print, and with ``--write`` keep the results in README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--glue", type=Path, help="the script to be held against")
    parser.add_argument("--write", action="store_true", help="keep the results")
    parser.add_argument("--check", action="store_true", help="hold the sections against them")
    parser.add_argument("--without", nargs="+", default=[], choices=["glue", "peers", "relevance"])
    parser.add_argument("--again", action="store_true", help="what the last run measured")
    options = parser.parse_args()
    shared = Path(os.environ.get("REPORTGEN_MODELS", HERE.parent.parent / "shared"))
    glue = options.glue or (shared / "bench" / "glue.py")
    if options.again:
        costs = measured_before()
    else:
        with tempfile.TemporaryDirectory() as folder:
            known = glue if glue.is_file() else None
            found = commands(
                shared, Path(folder), known, peers=not (options.check or "peers" in options.without)
            )
            if options.check:
                sys.exit(check(found, options.rounds))
            chosen = {k: v for k, v in found.items() if k not in options.without}
            costs = measure(chosen, options.rounds, SELDOM)
    rounds = len(costs["floor"])
    results = table(costs, rounds)
    print(results)
    if options.write:
        kept = {"machine": machine(), "rounds": rounds, "sections": in_floors(costs)}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
        readme = HERE / "README.md"
        head = readme.read_text("utf-8").split(MARK)[0]
        readme.write_text(f"{head}{MARK}\n\n{results}\n", "utf-8")


if __name__ == "__main__":
    main()
