"""CPU seconds and bytes of both diagrams of one keras.applications model, random weights.

python benchmarks/diagrams.py ResNet152
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras

from reportgen.context import Context, Tools
from reportgen.drawing.assets import AssetStore
from reportgen.inputs.given import Inputs
from reportgen.nets.keras_network import KerasNetwork
from reportgen.page.render import diagram_svg
from reportgen.sections.architecture.section import collect
from reportgen.settings import Settings


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main(name: str) -> None:
    """Print CPU seconds, the overview's nodes and the bytes of both drawings as JSON."""
    model = getattr(keras.applications, name)(weights=None)
    network = KerasNetwork(model, images=1)
    context = Context(network, Inputs(Settings()), Tools(AssetStore()), (), (), {})
    start = cpu_seconds()
    content = collect(context, None).content
    svgs = [
        diagram_svg(drawing, kind)
        for drawing, kind in ((content.overview, "overview"), (content.full, "full"))
    ]
    seconds = cpu_seconds() - start
    sizes = [len(svg.encode()) for svg in svgs]
    print(json.dumps({"cpu": seconds, "nodes": content.overview_nodes, "bytes": sizes}))


if __name__ == "__main__":
    main(sys.argv[1])
