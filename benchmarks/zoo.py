"""Make a report of each of many architectures, and hold it against what Keras and TensorFlow say.

    .venv-zoo/bin/python benchmarks/zoo.py [--only NAME ...] [-o TABLE.md|TABLE.csv [--resume]] [--keep FOLDER]

Families of keras.applications and architectures of keras-hub at a small size, all with random weights. Each
is built in a process of its own, with limits on time and memory: a failure costs its row only. The run fails,
and names the networks, where a section fails, where shapes, parameters, the batch axis or the numbers differ
from Keras, FLOPs from the profiler, tasks and findings from ``zoo_expected.py``, or a row costs too much. What
was measured stands beside the table (``.jsonl``), and ``--resume`` goes on from there. ``--expected`` prints
what was found as lines of ``zoo_expected.py``, to be judged by hand.
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
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # a child is started where nothing can be imported by accident

SECONDS, MEMORY = 600, 6 * 2**30
PROBES = 4
TOLERANCE = 0.02
SMALL, MOST_SECONDS, MOST_MIB = 25e6, 30, 2048
"""Parameters up to which a report may cost so many CPU seconds and, with all that is loaded, so much memory."""
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
    import keras
    from zoo_networks import NETWORKS, shapes

    from reportgen import build_report

    keras.utils.set_random_seed(0)
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
    row["differs"] = _differences(folder.report, model, given, probes)
    try:
        from flops import profiled

        row["profiler"] = profiled(model, given)
    except Exception as error:  # noqa: BLE001 - the profiler is private API, and not what is measured
        row["profiler problem"] = repr(error)
    return row


def _differences(
    report: Any, model: Any, given: dict[str, tuple[int, ...]], probes: Any
) -> list[str]:
    """Return what differs from Keras: parameters, shapes, the batch axis, probabilities of classes."""
    import keras
    import numpy as np

    made = {section.kind: section.content for section in report.sections}
    overview, shown = made["overview"], made["probes"]
    wrong = [] if overview.parameters == model.count_params() else ["parameters"]
    declared = [tuple(tensor.shape) for tensor in model.inputs]
    taken = tuple(given[tensor.name] for tensor in model.inputs)
    if [tuple(one.shape) for one in overview.inputs] != declared or overview.input_shapes != taken:
        wrong.append("input shapes")
    answers = [np.asarray(one) for one in keras.tree.flatten(model(probes, training=False))]
    ours = sorted(tuple(PROBES if n is None else n for n in one.shape) for one in overview.outputs)
    if ours != sorted(answer.shape for answer in answers):
        wrong.append("output shapes")
    if shown is None or len(shown.probes) != PROBES:
        return [*wrong, "batch axis"]
    if len(answers) == 1 and overview.tasks[0].kind == "classification":
        answer = answers[0].astype(np.float64)
        if overview.tasks[0].scale == "logits":
            answer = np.exp(answer - answer.max(axis=-1, keepdims=True))
        best = (answer / answer.sum(axis=-1, keepdims=True)).max(axis=-1)
        top = [probe.outputs[0].top[0].probability for probe in shown.probes]
        if not np.allclose(best, top, rtol=1e-3):
            wrong.append("probabilities")
    return wrong


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
    counts = Counter(f"{one.severity[0].upper()} {one.rule}" for one in report.findings)
    row["findings"] = ", ".join(f"{rule} ×{count}" for rule, count in counts.items())
    row["rules"] = sorted(counts)
    return row


def judged(row: dict[str, Any], expected: tuple[str, str] | None) -> dict[str, Any]:
    """Add the ratio to the profiler's count and a verdict to a row.

    Args:
        row: measured.
        expected: tasks and rules that are listed for the network; None where it is not listed.
    """
    theirs, ours = row.get("profiler"), row.get("FLOPs")
    ratio = ours / theirs if ours is not None and theirs else None
    row["of the profiler's"] = "–" if ratio is None else f"{ratio:.3f}"
    wrong = list(row.get("differs", ["no report"]))
    if row.get("failed"):
        wrong.append(f"failed: {row['failed']}")
    if ours is None or (
        ratio is not None and abs(ratio - 1) > TOLERANCE and not row["not counted"]
    ):
        wrong.append("FLOPs")
    if row.get("parameters", SMALL + 1) <= SMALL:
        wrong += ["seconds"] if row["CPU s"] > MOST_SECONDS else []
        wrong += ["memory"] if row["MiB"] > MOST_MIB else []
    if "rules" in row:
        wrong += _unexpected(row, expected)
    row["verdict"] = ", ".join(wrong) or "ok"
    problems = [row.get("problem", ""), row.get("profiler problem", ""), *row.get("notices", ())]
    row["problem"] = "; ".join(problem for problem in problems if problem)
    return row


def _unexpected(row: dict[str, Any], expected: tuple[str, str] | None) -> list[str]:
    """Return how tasks and findings differ from the list: ``+`` is raised and not listed, ``-`` the reverse."""
    if expected is None:
        return ["not listed"]
    tasks, rules = expected
    listed, raised = set(filter(None, rules.split(", "))), set(row["rules"])
    wrong = [] if row["tasks"] == tasks else [f"tasks {row['tasks']}"]
    wrong += [f"+{rule}" for rule in sorted(raised - listed)]
    return wrong + [f"-{rule}" for rule in sorted(listed - raised)]


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
    parser.add_argument(
        "--resume", action="store_true", help="keep rows that the last run measured"
    )
    parser.add_argument("--expected", action="store_true", help="print lines for zoo_expected.py")
    given = parser.parse_args()
    if given.resume and not given.output:
        parser.error("--resume goes on from what stands beside the table of -o")
    if given.one:
        try:
            row = measure(given.one[0], Path(given.one[1]))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the row says
            frame = traceback.extract_tb(error.__traceback__)[-1]
            row = {"problem": f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"}
        print(json.dumps(row))
        return
    rows = run(given.only or _names(), given)
    if given.expected:
        for row in rows:
            if "rules" in row:
                print(f'    "{row["network"]}": ("{row["tasks"]}", "{", ".join(row["rules"])}"),')
    wrong = [f"{row['network']}: {row['verdict']}" for row in rows if row["verdict"] != "ok"]
    print("\n".join([*wrong, f"{len(rows) - len(wrong)} of {len(rows)} as they should be"]))
    sys.exit(1 if wrong else 0)


def run(names: Sequence[str], given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of networks, each printed and written as soon as it is there."""
    from zoo_expected import EXPECTED

    kept = given.output.with_suffix(".jsonl") if given.output else None
    known: dict[str, Any] = {}
    if given.resume and kept.is_file():
        lines = kept.read_text("utf-8").splitlines()
        known = {row["network"]: row for row in map(json.loads, lines)}
    rows = []
    for name in names:
        measured = known.get(name) or {"network": name, **in_child(name, given.keep)}
        known[name] = measured
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text("".join(f"{json.dumps(row)}\n" for row in known.values()), "utf-8")
        rows.append(judged(dict(measured), EXPECTED.get(name)))
        print(" | ".join(str(rows[-1].get(column, "")) for column in COLUMNS), flush=True)
        if given.output:
            write(rows, given.output)
    return rows


def _names() -> list[str]:
    from zoo_networks import NETWORKS

    return list(NETWORKS)


if __name__ == "__main__":
    main()
