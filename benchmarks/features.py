"""What feature visualization costs and reaches, and the sheet of pictures in examples/.

python benchmarks/features.py cost MODEL.keras [tf-keras-vis]
python benchmarks/features.py sheet MODEL.keras IMAGES OUT.webp

``cost`` prints as JSON, in CPU seconds of one process, medians of three: one class image of 200 steps at the
model's size, one of four that share a batch, 200 bare forward and backward passes of one image, 200 steps for a
unit of an early layer, and in an environment that has it tf-keras-vis's ActivationMaximization. ``sheet``
optimises 32 units over four layers, says how many beat every probe and noise, and lays the pictures out.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

STEPS = 200
ROUNDS = 3
EARLY = "block2a_expand_activation"
LAYERS = (EARLY, "block3b_add", "block4c_activation", "block6b_expand_activation")


def seconds(run: object) -> float:
    """Return the median CPU seconds of a call, after one that warms up."""
    run()  # type: ignore[operator]
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run()  # type: ignore[operator]
        found.append(time.process_time() - start)
    return statistics.median(found)


def cost(path: str) -> None:
    """Print what a class image and an early unit cost beside bare passes."""
    from reportgen.nets.keras_network import KerasNetwork
    from reportgen.network.protocol import InputScaling, Recipe

    model = keras.models.load_model(path, compile=False)
    network = KerasNetwork(model, images=1)
    name, output = network.facts.inputs[0].name, network.facts.outputs[0].name
    fed = InputScaling(np.eye(3, dtype=np.float32) * 255, np.zeros(3, np.float32), "")

    def optimise(target: str, canvas_side: int | None, count: int = 1) -> object:
        ascent = network.ascent(target, name, {}, fed, count=count, canvas_side=canvas_side)
        channels = ascent.answers(np.zeros((1, *ascent.canvas), np.float32))[0].shape[-1]
        goals = np.eye(channels, dtype=np.float32)[5 : 5 + count]
        recipe = Recipe(steps=STEPS)
        return lambda: ascent.optimise("channel", goals, range(count), recipe, lambda _: None)

    shape = (1, *network.input_shape(name))
    traced = network._blocks.traced  # noqa: SLF001 - the very same graph
    assert traced is not None
    end, wrapped = traced.pre_activations[output], traced.function
    with wrapped.graph.as_default():
        gradient = tf.gradients(end[:, 5], [traced.inputs[name]])[0]
    backward = wrapped.prune([traced.inputs[name]], [gradient])
    picture = tf.constant(np.random.default_rng(0).uniform(0, 255, shape), tf.float32)

    def bare() -> None:
        for _ in range(STEPS):
            backward._call_flat([picture], backward.captured_inputs)  # noqa: SLF001

    found = {
        "class image": seconds(optimise(f"output:{output}", None)),
        "one of four class images at once": seconds(optimise(f"output:{output}", None, 4)) / 4,
        "early unit": seconds(optimise(EARLY, 128)),
        "bare passes": seconds(bare),
    }
    found["class image / bare passes"] = found["class image"] / found["bare passes"]
    found["class image / early unit"] = found["class image"] / found["early unit"]
    print(json.dumps(found))


def peer(path: str) -> None:
    """Print what tf-keras-vis takes for one class image of as many steps."""
    from tf_keras_vis.activation_maximization import ActivationMaximization
    from tf_keras_vis.utils.model_modifiers import ReplaceToLinear

    model = keras.models.load_model(path, compile=False)
    visualizer = ActivationMaximization(model, ReplaceToLinear(), clone=True)
    start = time.process_time()
    visualizer(lambda outputs: outputs[:, 5], steps=STEPS)
    print(json.dumps({"tf-keras-vis": time.process_time() - start}))


def sheet(path: str, images: str, out: str) -> None:
    """Optimise 32 units, say how many beat probes and noise, and lay their pictures out."""
    from PIL import Image

    import reportgen

    with tempfile.TemporaryDirectory() as folder:
        made = reportgen.build_report(
            path, probes=images, output=Path(folder) / "report", sections=("features",),
            units=tuple(f"{layer}:{k}" for layer in LAYERS for k in range(3, 11)),
        )  # fmt: skip
        units = made.report.sections[0].content.units
        won = [u for u in units if u.achieved[0] > max(u.strongest, u.noise)]
        print(json.dumps({"units": len(units), "beat probes and noise": len(won)}))
        side = 128
        whole = Image.new("RGB", (8 * side + 7 * 4, 4 * side + 3 * 4), "white")
        for index, unit in enumerate(units):
            with Image.open(Path(folder) / "report" / unit.images[0].src) as picture:
                row, column = divmod(index, 8)
                whole.paste(picture.convert("RGB"), (column * (side + 4), row * (side + 4)))
        whole.save(out, "WEBP", quality=85)


if __name__ == "__main__":
    if sys.argv[1] == "sheet":
        sheet(*sys.argv[2:5])
    elif "tf-keras-vis" in sys.argv[3:]:
        peer(sys.argv[2])
    else:
        cost(sys.argv[2])
