"""Make a report of each of many architectures, and hold it against what Keras and TensorFlow say.

    .venv-zoo/bin/python benchmarks/zoo.py [--only NAME ...] [-o TABLE.md|TABLE.csv] [--keep FOLDER]

Families of keras.applications and architectures of keras-hub at a small size, all with random weights. Each
is built in a process of its own, with limits on time and memory: a failure costs its row only.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # a child is started where nothing can be imported by accident

SECONDS, MEMORY = 600, 6 * 2**30
PROBES = 4
TOLERANCE = 0.02
COLUMNS = (
    "network",
    "verdict",
    "sections",
    "failed",
    "CPU s",
    "MiB",
    "parameters",
    "FLOPs",
    "of the profiler's",
    "not counted",
    "tasks",
    "findings",
    "problem",
)


def measure(name: str, output: Path) -> dict[str, Any]:
    """Return what one report holds beside what Keras and TensorFlow say of the same network."""
    from zoo_networks import NETWORKS, shapes

    from reportgen import build_report

    model = NETWORKS[name]()
    given = shapes(name, model)
    probes = _random(model, given)
    start = time.process_time()
    folder = build_report(model, probes=probes, output=output, quick=True)
    row: dict[str, Any] = {
        "CPU s": round(time.process_time() - start, 1),
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "failed": " ".join(folder.failed),
    }
    row.update(_content(folder.report))
    row["parameters equal"] = row["parameters"] == model.count_params()
    try:
        from flops import profiled

        row["profiler"] = profiled(model, given)
    except Exception as error:  # noqa: BLE001 - the profiler is private API, and not what is measured
        row["profiler problem"] = repr(error)
    return row


def _random(model: Any, given: dict[str, tuple[int, ...]]) -> Any:
    import numpy as np

    generator = np.random.default_rng(0)
    arrays = {}
    for tensor in model.inputs:
        size = (PROBES, *given[tensor.name])
        if str(tensor.dtype).startswith("int"):
            most = 2 if "mask" in tensor.name or "segment" in tensor.name else 100
            arrays[tensor.name] = generator.integers(1 if most == 100 else 0, most, size)
            if "mask" in tensor.name:
                arrays[tensor.name][...] = 1
        else:
            arrays[tensor.name] = generator.uniform(0, 1, size).astype(np.float32)
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def _content(report: Any) -> dict[str, Any]:
    made = {section.kind: section for section in report.sections if section.content is not None}
    notices = [
        f"{section.kind}: {notice.text}"
        for section in report.sections
        for notice in section.notices
        if notice.level in {"error", "warning"} and not notice.text.startswith("--quick left out")
    ]
    row: dict[str, Any] = {"sections": " ".join(made), "notices": notices}
    if "overview" in made:
        content = made["overview"].content
        row["parameters"], row["FLOPs"] = content.parameters, content.flops
        row["not counted"] = " ".join(content.uncounted)
        row["tasks"] = " ".join(task.kind for task in content.tasks)
    counts: dict[str, int] = {}
    for finding in report.findings:
        counts[f"{finding.severity[0].upper()} {finding.rule}"] = (
            counts.get(f"{finding.severity[0].upper()} {finding.rule}", 0) + 1
        )
    row["findings"] = ", ".join(f"{rule} ×{count}" for rule, count in counts.items())
    return row


def judged(row: dict[str, Any]) -> dict[str, Any]:
    """Add the ratio to the profiler's count and a verdict to a row."""
    theirs, ours = row.get("profiler"), row.get("FLOPs")
    ratio = ours / theirs if ours is not None and theirs else None
    row["of the profiler's"] = "–" if ratio is None else f"{ratio:.3f}"
    wrong = []
    if "parameters" not in row:
        wrong.append("no report")
    elif not row["parameters equal"]:
        wrong.append("parameters")
    if row.get("failed"):
        wrong.append("sections")
    if ours is None or (
        ratio is not None and abs(ratio - 1) > TOLERANCE and not row["not counted"]
    ):
        wrong.append("FLOPs")
    row["verdict"] = ", ".join(wrong) or "ok"
    problems = [row.get("problem", ""), row.get("profiler problem", ""), *row.get("notices", ())]
    row["problem"] = "; ".join(problem for problem in problems if problem)
    return row


def in_child(name: str, keep: Path | None) -> dict[str, Any]:
    """Return the row of a network, measured in a process of its own."""
    from reportgen.children import ChildError, run_file

    with tempfile.TemporaryDirectory() as folder:
        place = (keep or Path(folder)) / name.replace("/", "-")
        try:
            answer = run_file(
                Path(__file__).resolve(), "--one", name, str(place), seconds=SECONDS, memory=MEMORY
            )
        except ChildError as error:
            return {"problem": str(error)}
    lines = answer.out.strip().splitlines()
    if answer.code or not lines:
        return {"problem": answer.problem or f"exit {answer.code}"}
    return json.loads(lines[-1])


def write(rows: list[dict[str, Any]], output: Path) -> None:
    """Write a table, by the suffix of its file."""
    output.parent.mkdir(parents=True, exist_ok=True)
    cells = [[str(row.get(column, "")) for column in COLUMNS] for row in rows]
    if output.suffix == ".csv":
        with output.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *cells])
        return
    lines = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS)]
    lines += [
        " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in cells
    ]
    output.write_text("".join(f"| {line} |\n" for line in lines), encoding="utf-8")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the reports here")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        try:
            row = measure(given.one[0], Path(given.one[1]))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the row says
            frame = traceback.extract_tb(error.__traceback__)[-1]
            row = {"problem": f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"}
        print(json.dumps(row))
        return
    rows = []
    for name in given.only or _names():
        row = judged({"network": name, **in_child(name, given.keep)})
        rows.append(row)
        print(" | ".join(str(row.get(column, "")) for column in COLUMNS), flush=True)
        if given.output:
            write(rows, given.output)
    wrong = sum(row["verdict"] != "ok" for row in rows)
    print(f"{len(rows) - wrong} of {len(rows)} as they should be")
    sys.exit(1 if wrong else 0)


def _names() -> list[str]:
    from zoo_networks import NETWORKS

    return list(NETWORKS)


if __name__ == "__main__":
    main()
