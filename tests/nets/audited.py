"""Run model files and all that they may name with an audit hook armed; prints what was seen as JSON.

    python audited.py FOLDER [FILE …]

Loads, traces and runs each file as a build does. Then everything in Keras' public modules that a file may name
is made from a configuration, traced and run on small inputs. Only ``FOLDER`` may be written to.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import inspect
import json
import os
import sys
import tempfile
from pathlib import Path

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
NEVER = (
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.startfile", "pty.spawn",
    "socket.__new__", "socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request", "ftplib.connect",
    "webbrowser.open", "shutil.move", "pickle.find_class", "code.__new__",
)  # fmt: skip
PATHS = (
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "shutil.rmtree",
)
CHILDREN = Path(importlib.util.find_spec("reportgen").origin).with_name("children.py")
LIBRARY = tuple({str(Path(os.__file__).parent), str(Path(sys.prefix)), str(Path(sys.base_prefix))})
READERS = (
    "/autograph/",
    "/ast.py",
    "/typing.py",
    "/dataclasses.py",
    "/collections/__init__.py",
    "/inspect.py",
)
"""Parts of the libraries that read source or write classes as text; autograph runs what it has rewritten."""


class Watch:
    """Notes every event that a network has no need of."""

    def __init__(self, folder: Path) -> None:
        self.armed = False
        self.seen: list[str] = []
        own = (f"{tempfile.gettempdir()}/{name}" for name in ("__autograph", "reportgen-"))
        self.free = (str(folder.resolve()), *own)

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.armed and self._harms(event, arguments):
            self.seen.append(f"{event} {arguments!r}"[:300])

    def _harms(self, event: str, arguments: tuple) -> bool:
        if event == "open":
            path, mode, flags = arguments
            writes = any(c in (mode or "") for c in "wax+") or (flags or 0) & WRITES
            return bool(writes) and not self._free(path)
        if event in PATHS:
            return not self._free(placed(arguments))
        if event in {"compile", "exec"}:
            file = arguments[1] if event == "compile" else arguments[0].co_filename
            return not (
                self._free(file) or str(file).startswith(("<frozen", *LIBRARY)) or self._made()
            )
        if event == "marshal.loads":
            return not inspect.currentframe().f_back.f_back.f_code.co_filename.startswith("<frozen")
        if event == "subprocess.Popen" and str(CHILDREN) in arguments[1]:
            return False  # our own child, which reads the file first
        return event.startswith(NEVER)

    def _free(self, path: object) -> bool:
        if isinstance(path, int):
            return True
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else str(path)
        nowhere = {
            os.devnull,
            tempfile.gettempdir(),
        }  # a folder is opened for the file that goes into it
        return text.startswith(self.free) or "__pycache__" in text or text in nowhere

    def _made(self) -> bool:
        frame = inspect.currentframe()
        for _ in range(12):
            if frame and any(part in frame.f_code.co_filename for part in READERS):
                return True
            frame = frame and frame.f_back
        return False


def placed(arguments: tuple) -> object:
    """Return the path of an event; where it is told from an open folder, from there."""
    path, folder = arguments[0], arguments[-1]
    if len(arguments) < 2 or not isinstance(folder, int) or folder < 0 or isinstance(path, int):
        return path
    return Path(f"/proc/self/fd/{folder}").readlink() / os.fsdecode(path)


def state() -> dict:
    """Return what a file must not change.

    Python's own random numbers are left out: Keras draws the seeds of Dropout from them.
    """
    import keras
    import numpy as np

    found = {
        name: repr(getattr(keras.config, name)())
        for name in (
            "backend", "epsilon", "floatx", "image_data_format", "dtype_policy", "is_nnx_enabled",
            "is_interactive_logging_enabled", "is_traceback_filtering_enabled", "is_flash_attention_enabled",
        )
        if hasattr(keras.config, name)
    }  # fmt: skip
    generator = np.random.get_state()  # noqa: NPY002 - the one that is shared
    return found | {
        "numpy": hash(generator[1].tobytes()),
        "custom": sorted(keras.saving.get_custom_objects()),
        "safe": repr(keras.src.saving.serialization_lib.in_safe_mode()),
        "environment": hash(tuple(sorted(os.environ.items()))),
        "path": tuple(sys.path),
        "builtins": len(vars(builtins)),
    }


SCALARS = {
    "axis": -1, "axes": 1, "axis1": 0, "axis2": 1, "num_classes": 3, "shape": [2, 2], "newshape": [-1], "k": 1,
    "new_shape": [-1], "size": [4, 4], "pad_width": 1, "repeats": 2, "dtype": "float32", "num": 3, "n": 2,
    "pool_size": 2, "strides": 1, "min_val": 0.0, "max_val": 1.0, "x_min": 0.0, "x_max": 1.0, "lower": 0,
    "upper": 1, "source": 0, "destination": 1, "units": 3, "filters": 2, "kernel_size": 2, "rate": 0.25,
    "input_dim": 9, "output_dim": 3, "num_heads": 1, "head_dim": 2, "num_query_heads": 2,
    "num_key_value_heads": 1,
    "key_dim": 2, "target_shape": [-1], "dims": [2, 1], "factor": 0.2, "height": 6, "width": 6,
    "target_height": 6,
    "target_width": 6, "scale": 0.5, "num_tokens": 9, "num_bins": 7, "equation": "ab,bc->ac", "stddev": 0.1,
    "max_value": 1.0, "bin_boundaries": [1.0, 3.0], "height_factor": 0.1, "width_factor": 0.1, "groups": 1,
    "value_range": [0.0, 255.0], "sequence_length": 4, "num_outputs": 2, "sections": 1,
    "indices_or_sections": 1,
    "depth": 3, "multiples": [1, 1], "reps": 2, "start": 0, "stop": 4, "decimals": 1, "shift": 1, "p": 0.5,
    "subscripts": "ab,ab->a", "mask_value": 0.0, "layers": [], "max_tokens": 9, "N": 3, "M": 3, "q": 0.5,
    "fft_length": 4, "sequence_stride": 2, "perm": [1, 0], "seed": 1, "rank": 2, "alpha": 0.3, "max_length": 4,
    "transform": [1, 0, 0, 0, 1, 0, 0, 0], "dimension": 1, "total_length": 4, "start_indices": [0, 0],
    "kernel_regularizer": None, "target_size": [6, 6], "num_segments": 3, "num_samples": 2, "order": 1,
    "activation": "relu", "name": "one", "mode": "constant", "output_shape": [3], "dilation_rate": 1,
}  # fmt: skip

LAYERS = {
    "Normalization": {"axis": None, "mean": 1.0, "variance": 4.0, "invert": False},
    "Rescaling": {"scale": 0.5, "offset": 0.0},
    "IntegerLookup": {"vocabulary": [1, 2, 3]},
    "StringLookup": {"vocabulary": ["a", "b"]},
    "TextVectorization": {"vocabulary": ["a", "b"]},
    "CategoryEncoding": {"num_tokens": 9, "output_mode": "multi_hot"},
    "Discretization": {"bin_boundaries": [1.0, 3.0], "num_bins": None},
    "HashedCrossing": {"num_bins": 5},
    "GroupNormalization": {"groups": 1},
    "MelSpectrogram": {"fft_length": 8, "sequence_stride": 4, "num_mel_bins": 4},
    "STFTSpectrogram": {"frame_length": 4, "frame_step": 2, "fft_length": 4},
    "RandomPosterization": {"factor": 4},
    **{
        f"Adaptive{kind}Pooling{rank}D": {"output_size": 2}
        for kind in ("Average", "Max")
        for rank in (1, 2, 3)
    },
}


def tensor(values: object, kind: str = "float32") -> dict:
    return {"class_name": "__numpy__", "config": {"value": values, "dtype": kind}}


def function_of(name: str) -> dict:
    module, _, bare = name.rpartition(".")
    return {"module": module, "class_name": "function", "config": bare, "registered_name": bare}


def lambda_of(name: str, thing: object) -> dict:
    """Return the configuration of a Lambda around a function, with the arguments that it must have."""
    arguments = {}
    for position, given in enumerate(inspect.signature(thing).parameters.values()):
        needed = given.default is inspect.Parameter.empty and given.kind not in (2, 4)
        if position == 0 or not needed:
            continue
        if given.name in SCALARS:
            arguments[given.name] = SCALARS[given.name]
        elif given.name in {"f", "fn", "body_fun", "false_fn", "true_fn", "cond_fun"}:
            arguments[given.name] = function_of("keras.ops.relu")
        else:
            arguments[given.name] = tensor([[1.0, 2.0], [3.0, 4.0]])
    config = {"name": "tried", "function": function_of(name), "arguments": arguments}
    return {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": config,
        "registered_name": None,
    }


def layer_of(name: str, thing: type) -> dict:
    """Return the configuration of an object with the arguments that it must have."""
    import keras

    module, _, bare = name.rpartition(".")
    dense = {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"units": 2},
        "registered_name": None,
    }
    cell = {**dense, "class_name": "LSTMCell"}
    special = {
        "layer": dense,
        "cell": cell,
        "cells": [cell],
        "function": function_of("keras.ops.relu"),
    }
    if bare == "Bidirectional":
        special["layer"] = {**dense, "class_name": "LSTM"}
    config = {"name": "float32"} if issubclass(thing, keras.DTypePolicy) else {}
    for given in inspect.signature(thing).parameters.values():
        if given.default is inspect.Parameter.empty and given.kind not in (2, 4):
            config[given.name] = special.get(given.name, SCALARS.get(given.name, 1))
    config |= LAYERS.get(bare, {})
    return {"module": module, "class_name": bare, "config": config, "registered_name": None}


def inputs() -> list:
    import numpy as np

    steps = np.arange(1, 25, dtype=np.float32)
    square = np.array([[4.0, 1.0], [1.0, 3.0]], np.float32)
    return [
        square, steps[:8].reshape(2, 4), steps.reshape(2, 4, 3), steps[:16].reshape(1, 4, 4, 1),
        np.ones((1, 8, 8, 3), np.float32), np.ones((1, 3, 6, 6, 2), np.float32), [square, square],
        [steps.reshape(2, 4, 3), steps.reshape(2, 4, 3)], np.array([[1, 2], [3, 0]]), np.array([["a"], ["b"]]),
        steps[:4], steps[0], (steps[:4], steps[:4]), (np.array([1, 2]), np.array([3, 4])), steps.reshape(1, 24),
    ]  # fmt: skip


def ways(made: object, one: object) -> list:
    """Return how an object may be called."""
    import keras

    if isinstance(made, keras.Metric):
        return [lambda: made.update_state(one, one), lambda: made.update_state(one)]
    if isinstance(made, keras.Initializer):
        return [lambda: made((2, 2))]
    if isinstance(made, keras.Loss):
        return [lambda: made(one, one)]
    if isinstance(made, keras.layers.Lambda) or not isinstance(made, keras.Layer):
        return [lambda: made(one)]  # its arguments are given
    return [lambda: made(one), lambda: made(one, one)]


def try_out(config: dict, given: list) -> bool:
    """Make what a configuration names, trace it and run it; return whether it ran on any input."""
    import keras
    import tensorflow as tf

    from reportgen.nets.trust import refuse_untrusted

    refuse_untrusted(config, {}, Path("tried.keras"))
    for one in given:
        try:
            made = keras.saving.deserialize_keras_object(
                json.loads(json.dumps(config)), safe_mode=True
            )
        except Exception:  # noqa: BLE001 - what cannot be made does nothing
            return False
        if not callable(made):
            return True
        tensors = tf.nest.map_structure(tf.constant, one)
        for way in ways(made, tensors):
            try:
                way()
                tf.function(way, autograph=False)()
            except Exception:  # noqa: BLE001, S112 - the next way or input may fit
                continue
            return True
    return False


def build(path: str) -> str:
    """Load, trace and run a file as a build does; return what was said."""
    import numpy as np

    from reportgen.errors import NotBuiltError, ReportgenError
    from reportgen.nets.keras_network import KerasNetwork
    from reportgen.nets.loading import load_model
    from reportgen.nets.stored import read_stored
    from reportgen.nets.stored_network import StoredNetwork

    try:
        network = KerasNetwork(load_model(Path(path)).model)
        given = {
            t.name: np.ones((2, *network.input_shape(t.name)), np.float32)
            for t in network.facts.inputs
        }
        for _ in network.forward(given):
            pass
    except NotBuiltError as error:
        stored = StoredNetwork(Path(path), read_stored(Path(path)), "not built")
        for _ in stored.variables():
            pass
        return str(error)
    except ReportgenError as error:
        return str(error)
    return "ran"


def allowed() -> dict:
    """Return everything in Keras' public modules that a file may name, by its first name."""
    import keras
    from keras.src.api_export import REGISTERED_NAMES_TO_OBJS

    from reportgen.nets.trust import may_be_named

    abstract = {keras.Layer, keras.Operation, keras.Model}
    return {
        name: thing
        for name, thing in REGISTERED_NAMES_TO_OBJS.items()
        if may_be_named(thing) and thing not in abstract and not name.startswith("keras._legacy")
    }


def main() -> None:
    folder, files = Path(sys.argv[1]), sys.argv[2:]
    watch = Watch(folder)
    sys.addaudithook(watch)
    import keras
    import numpy as np
    import tensorflow as tf

    from reportgen.nets.keras_network import KerasNetwork

    later = ("assignment", "checkpoint_assignment", "configuration")
    for name in ("loading", "stored_network", *(f"migration.{name}" for name in later)):
        importlib.import_module(f"reportgen.nets.{name}")
    warm = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1)]
    )  # imports what is imported late
    network = KerasNetwork(warm)
    list(network.forward({t.name: np.ones((1, 2), np.float32) for t in network.facts.inputs}))
    tf.function(keras.ops.relu)(tf.ones(2))
    keras.config.disable_traceback_filtering()  # errors are many here, and dear with it
    before = state()
    watch.armed = True
    said = {file: build(file) for file in files}
    ran = dict.fromkeys(allowed(), False) if not files else {}
    given = inputs() if ran else []
    for name, thing in allowed().items() if ran else ():
        make = layer_of if inspect.isclass(thing) else lambda_of
        ran[name] = try_out(make(name, thing), given)
    watch.armed = False
    after = state()
    changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    json.dump(
        {"seen": watch.seen, "said": said, "ran": ran, "changed": changed}, sys.stdout, default=str
    )


if __name__ == "__main__":
    main()
