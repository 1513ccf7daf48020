"""Throughput of an evaluation, against a bare loop with the same reductions and against predict one by one.

python benchmarks/evaluation.py MODEL.keras DATA.npz

The bare loop feeds blocks of the same size to the same traced function, fetches what it returns and keeps
nothing; all in one process, medians of five rounds, images a CPU second, as JSON. DATA.npz holds x and y.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

from reportgen.context import Context, Data, Tools
from reportgen.drawing.assets import AssetStore
from reportgen.inputs.data_source import list_data
from reportgen.inputs.dataset import DataSet
from reportgen.inputs.fitting import InputShape
from reportgen.inputs.given import Inputs
from reportgen.nets.keras_network import KerasNetwork
from reportgen.nets.tensorflow_internals import run_flat
from reportgen.network.tasks import guess_tasks
from reportgen.sections.activations.activity import ActivityFold
from reportgen.sections.evaluation import section as evaluation
from reportgen.settings import Settings
from reportgen.survey import run_survey

ROUNDS = 3


def main(model_path: str, data_path: str) -> None:
    """Print images a CPU second of the three loops."""
    model = keras.models.load_model(model_path, compile=False)
    network = KerasNetwork(model, watch=lambda _: ())
    facts, settings = network.facts, Settings()
    spec = InputShape(facts.inputs[0].name, network.input_shape(facts.inputs[0].name), "float32")
    data = DataSet(list_data(data_path, settings), [spec], settings)
    context = Context(
        network, Inputs(settings), Tools(AssetStore()), (), guess_tasks(facts, ()), {spec.name: spec.shape},
        data=Data(data, lambda raw: raw),
    )  # fmt: skip

    def ours() -> int:
        run_survey(context, {"a": ActivityFold(), "e": evaluation.fold(context)}, {})
        return data.total or 0

    x = np.load(data_path)["x"].reshape(-1, *spec.shape).astype(np.float32)

    def bare() -> int:
        blocks = network._blocks  # noqa: SLF001 - the very same pass
        function = blocks._survey_pass(blocks.traced).function  # noqa: SLF001
        for start in range(0, len(x) - network.block + 1, network.block):
            tf.nest.map_structure(
                np.asarray, run_flat(function, [tf.constant(x[start : start + network.block])])
            )
        return len(x)

    def one_by_one() -> int:
        for image in x[:100]:
            model.predict(image[None], verbose=0)
        return 100

    rates = {}
    for name, run in (("ours", ours), ("bare", bare), ("predict", one_by_one)):
        run()
        seconds = []
        for _ in range(ROUNDS):
            start = time.process_time()
            count = run()
            seconds.append((time.process_time() - start) / count)
        rates[name] = 1 / statistics.median(seconds)
    rates["ours / bare"] = rates["ours"] / rates["bare"]
    rates["ours / predict"] = rates["ours"] / rates["predict"]
    print(json.dumps(rates))


if __name__ == "__main__":
    main(*sys.argv[1:])
