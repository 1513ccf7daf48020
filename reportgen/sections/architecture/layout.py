"""DOT in, coordinates out: Graphviz in a process of its own, because its assertions kill the process.

    python -P layout.py < graph.dot > coordinates.json

The wheel of pygraphviz carries Graphviz as a library; the system's ``dot`` is the second choice.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from typing import Any


def lay_out(dot: str) -> dict[str, Any]:
    """Return the coordinates of a graph in points, the origin at the lower left.

    Returns:
        ``engine``, ``bb`` (left, bottom, right, top), ``nodes`` (name to centre), ``edges`` (tail, head
        and Graphviz's ``pos``) and ``clusters`` (name to bb).

    Raises:
        RuntimeError: there is no Graphviz, or it failed.
    """
    try:
        import pygraphviz
    except ImportError:
        program = shutil.which("dot")
        if program is None:
            raise RuntimeError("neither pygraphviz nor Graphviz's dot is installed") from None
        done = subprocess.run(  # noqa: S603 - dot from the user's own PATH
            [program, "-Tjson0"], input=dot, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            raise RuntimeError(
                f"Graphviz's dot failed ({said[-1] if said else done.returncode})"
            ) from None
        return {"engine": f"Graphviz ({_version(program)})", **_from_json(json.loads(done.stdout))}
    graph = pygraphviz.AGraph(string=dot)
    graph.layout(prog="dot")
    return {
        "engine": f"Graphviz (pygraphviz {pygraphviz.__version__})",
        "bb": _numbers(graph.graph_attr["bb"]),
        "nodes": {str(node): _numbers(node.attr["pos"]) for node in graph.nodes()},
        "edges": [[str(e[0]), str(e[1]), e.attr["pos"]] for e in graph.edges()],
        "clusters": _clusters(graph),
    }


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _clusters(graph: Any) -> dict[str, list[float]]:
    found = {}
    for inner in graph.subgraphs():
        if inner.graph_attr["bb"]:
            found[str(inner.name)] = _numbers(inner.graph_attr["bb"])
        found.update(_clusters(inner))
    return found


def _from_json(data: dict[str, Any]) -> dict[str, Any]:
    objects = data.get("objects", [])
    names = {item["_gvid"]: item["name"] for item in objects}
    return {
        "bb": _numbers(data["bb"]),
        "nodes": {o["name"]: _numbers(o["pos"]) for o in objects if "pos" in o},
        "edges": [[names[e["tail"]], names[e["head"]], e["pos"]] for e in data.get("edges", [])],
        "clusters": {o["name"]: _numbers(o["bb"]) for o in objects if "bb" in o},
    }


def _version(program: str) -> str:
    done = subprocess.run([program, "-V"], capture_output=True, text=True, check=False)  # noqa: S603
    match = re.search(r"version (\S+)", done.stderr)
    return match[1] if match else "dot"


if __name__ == "__main__":
    json.dump(lay_out(sys.stdin.read()), sys.stdout)
