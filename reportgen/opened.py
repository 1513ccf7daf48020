"""From a model to a network that answers: loaded, run where it is asked for, its forward pass traced."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reportgen.errors import NotBuiltError, UnfitError, UsageError, reason_text
from reportgen.nets.bounds import in_time
from reportgen.nets.engine import import_keras, on_device
from reportgen.nets.gpu import open_gpu
from reportgen.nets.loading import open_model, runnable
from reportgen.nets.stored import read_stored
from reportgen.network.calls import choose_calls
from reportgen.settings import BUILD_RATE, BUILD_SECONDS, CHECKPOINT_SECONDS, INSPECTION_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reportgen.context import Progress
    from reportgen.inputs.given import Inputs
    from reportgen.nets.graph_network import GraphNetwork
    from reportgen.nets.keras_network import KerasNetwork
    from reportgen.nets.loading import LoadedModel
    from reportgen.nets.stored_network import StoredNetwork
    from reportgen.network.protocol import Network
    from reportgen.network.shapes import GivenShapes
    from reportgen.settings import Settings


class Asked(NamedTuple):
    """What a network will be run on.

    Attributes:
        shapes: of the arrays, for what the model leaves open.
        images: at once.
        watched: whether what its layers answer is looked at.
        sampled: whether values of it are taken for quantiles: of a data set.
    """

    shapes: GivenShapes
    images: int
    watched: bool
    sampled: bool


def asked_of(inputs: Inputs) -> Asked:
    """Return what the user's inputs ask of the network."""
    probes = inputs.probes
    watched = probes is not None and "activations" in inputs.settings.chosen_sections
    shapes = probes.shapes if probes is not None else {}
    return Asked(shapes, inputs.images_at_once, watched, inputs.data is not None)


@contextlib.contextmanager
def opened(model: Any, settings: Settings, asked: Asked, progress: Progress) -> Iterator[Network]:
    """Give the network of a model, on its device; of a file of which none can be built what it stores.

    Args:
        model: a ``keras.Model``, or the path of its file.
        settings: say how it is loaded.
        asked: what it will be run on.
        progress: told what is being done.

    Raises:
        ModelError: it cannot be loaded.
        UsageError: weights alone were asked for of a model that is no file.
    """
    if settings.weights_only:
        yield _stored(model, settings, "--weights-only was asked for")
        return
    progress.stage("TensorFlow")
    import_keras()
    if settings.device == "gpu":
        progress.stage(f"On {open_gpu()}")
    progress.stage("Loading the model")
    try:
        loaded = open_model(
            model,
            custom_objects=settings.custom_objects,
            allow_code=settings.allow_code,
            architecture=settings.architecture,
            like=settings.like,
        )
    except NotBuiltError as error:
        unbuilt = _unbuilt(model, settings, asked, error, progress)
    else:
        with on_device(settings.device):
            yield _traced(model, runnable(loaded, settings.device), settings, asked, progress)
        return
    yield unbuilt


def _traced(
    model: Any, loaded: LoadedModel, settings: Settings, asked: Asked, progress: Progress
) -> Network:
    """Return a network that was traced; what its file stores where it cannot be run here."""
    progress.stage("Tracing the forward pass")
    network = _network(loaded, settings, asked)
    problem = network.facts.run_problem
    if loaded.unlike and problem and isinstance(model, str | Path):
        return _stored(model, settings, f"The network cannot be run here: {problem}")
    return network


def _unbuilt(
    model: Any, settings: Settings, asked: Asked, error: NotBuiltError, progress: Progress
) -> StoredNetwork | GraphNetwork:
    """Return what a file stores; of a SavedModel that is trusted its graph, where that can be run.

    Args:
        model: a file of which no network is built.
        settings: the options.
        asked: what the graph will be run on.
        error: why.
        progress: told what is being done.
    """
    from reportgen.nets.graph_network import GraphNetwork

    reason = reason_text(error)
    stored = _stored(model, settings, reason, alone=isinstance(error, UnfitError))
    if not settings.allow_code or not Path(model).is_dir():
        return stored
    progress.stage("Loading the graph")
    try:
        return GraphNetwork(
            Path(model),
            stored,
            input_size=settings.input_size,
            given=asked.shapes,
            images=asked.images,
            device=settings.device,
        )
    except NotBuiltError as refused:
        stored.explain(f"{reason}. {reason_text(refused)}")
        return stored


def _stored(model: Any, settings: Settings, reason: str, *, alone: bool = False) -> StoredNetwork:
    """Return what a file stores, for a reason.

    Args:
        model: the file.
        settings: name an architecture, where one was given for weights.
        reason: why it is not more.
        alone: without that architecture, which is not theirs.

    Raises:
        UsageError: the model is no file.
    """
    from reportgen.nets.stored_network import StoredNetwork

    if not isinstance(model, str | Path):
        raise UsageError("--weights-only reads a file; this model is none.")
    path = Path(model)
    given = (None, None) if alone else (settings.architecture, settings.like)
    stored = read_stored(path, *given)
    seconds = BUILD_SECONDS + stored.size / BUILD_RATE
    if (
        stored.kind == "savedmodel"
    ):  # TensorFlow copies its weights in a process with its own limits
        seconds += CHECKPOINT_SECONDS + stored.weights / INSPECTION_RATE
    return in_time(seconds, "Reading it", partial(StoredNetwork, path, stored, reason))


def _network(loaded: LoadedModel, settings: Settings, asked: Asked) -> KerasNetwork:
    """Trace the model at the size of the images, watching what the sections will look at."""
    from reportgen.nets.keras_network import KerasNetwork

    trace = partial(
        KerasNetwork,
        loaded.model,
        compiled=loaded.compiled,
        input_size=settings.input_size,
        given=asked.shapes,
        images=asked.images,
        device=settings.device,
        watch=partial(choose_calls, globs=settings.layers) if asked.watched else None,
        sampled=asked.sampled,
        origin=loaded.origin,
        unlike=loaded.unlike,
    )
    return in_time(loaded.seconds, "Tracing the network", trace) if loaded.seconds else trace()
