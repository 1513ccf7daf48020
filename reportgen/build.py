"""From a model to a report folder: the order of the stages is read here."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import logging
import os
import shutil
import tempfile
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from reportgen.cache import Cache, key_of
from reportgen.drawing.assets import AssetStore
from reportgen.errors import InputError, UsageError
from reportgen.findings.judge import check_options, judge
from reportgen.inputs.dataset import DataSet, gather_data
from reportgen.inputs.history import read_history
from reportgen.inputs.labels import read_classes
from reportgen.inputs.preprocessing import feeder, prepare
from reportgen.inputs.probes import gather, read, shapes_of
from reportgen.nets.engine import import_keras, on_device
from reportgen.nets.loading import check_model_file, import_from_here, load_model
from reportgen.network.calls import choose_calls
from reportgen.network.tasks import class_count, guess_tasks
from reportgen.numerics import digest
from reportgen.observe import Context, Silence
from reportgen.page.publish import check_folder, locked, publish
from reportgen.page.summary import summarise
from reportgen.pipeline import make_sections, said
from reportgen.report.content.overview import ModelFile
from reportgen.report.leaves import Notice
from reportgen.report.model import SCHEMA_MAJOR, SCHEMA_MINOR, Report, ReportFolder
from reportgen.settings import BLOCK, Settings, make_settings
from reportgen.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reportgen.inputs.dataset import Given
    from reportgen.inputs.history import History
    from reportgen.inputs.preprocessing import Prepared
    from reportgen.inputs.probes import Offer, ProbeSet
    from reportgen.nets.keras_network import KerasNetwork
    from reportgen.network.protocol import Network
    from reportgen.observe import Progress
    from reportgen.pipeline import Made

log = logging.getLogger("reportgen")


class _Sources(NamedTuple):
    """What is read beside the model and the probes."""

    history: History | None
    data: Any


class Built(NamedTuple):
    """A report before it is written.

    Attributes:
        files: pictures by name.
        failed: kinds of sections that failed.
    """

    report: Report
    files: dict[str, bytes]
    failed: tuple[str, ...]


def build_report(
    model: Any,
    *,
    probes: Any = None,
    history: Any = None,
    data: Any = None,
    output: str | Path | None = None,
    progress: Progress | None = None,
    command: str | None = None,
    **options: Any,
) -> ReportFolder:
    """Make a report about a trained model and write it to a folder.

    Args:
        model: a ``keras.Model``, or the path of a ``.keras`` or ``.h5`` file.
        probes: images to try the model on: a path, folder or glob (or several), arrays of shape (n,
            height, width, channels) or (n, height, width), PIL images, an ``(images, labels)``
            pair, a mapping from input name to array, or a ``tf.data.Dataset``. None leaves the
            probes out.
        history: how the training went: a CSVLogger file, ``History.history`` as JSON, a TensorBoard folder,
            a ``keras.callbacks.History`` or a mapping from name to values.
        data: a labelled data set to evaluate on: a folder of class folders, a CSV of ``file,label``, an
            ``.npz`` with x and y, an ``(x, y)`` pair or a ``tf.data.Dataset``. Probes are drawn from it where
            none are given.
        output: the report folder; None makes a temporary one.
        progress: told what is being done.
        command: the command line that the overview shows.
        **options: as on the command line; see ``reportgen.settings.Settings``. ``preprocess`` may
            also be a function from (n, height, width, channels) float32 in 0..255.

    Returns:
        The folder, with ``.path``, ``.report`` (the data), ``.failed`` and ``.open()``.

    Raises:
        ReportgenError: what the user can mend; the subclasses and exit codes are in
            ``reportgen.errors``.
    """
    function = options["preprocess"] if callable(options.get("preprocess")) else None
    if function is not None:
        options["preprocess"] = (
            f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', 'function')}"
        )
    settings = make_settings({k: v for k, v in options.items() if v is not None})
    check_options(settings.ignore, settings.thresholds)
    with _place(output) as folder:
        check_folder(folder, force=settings.force)
        if isinstance(model, str | Path):
            check_model_file(Path(model))
        with locked(folder):
            built = _build(
                model,
                probes,
                _Sources(read_history(history), data),
                settings,
                function,
                progress or Silence(),
                command or _call(model, settings),
            )
            (progress or Silence()).stage("Writing the report")
            publish(built.report, folder, built.files)
    return ReportFolder(folder, built.report, failed=built.failed)


@contextlib.contextmanager
def _place(output: str | Path | None) -> Iterator[Path]:
    """Give the report's folder; a temporary one goes again on failure."""
    if output is not None:
        yield Path(output)
        return
    folder = Path(tempfile.mkdtemp(prefix="reportgen-"))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _call(model: Any, settings: Settings) -> str:
    """Return the Python call that makes the report, with file names only."""
    name = repr(Path(model).name) if isinstance(model, str | Path) else "model"
    defaults = Settings()
    shown = [
        f"{field}={getattr(settings, field)!r}"
        for field in ("resize", "input_size", "preprocess", "max_probes", "threshold", "seed")
        if getattr(settings, field) != getattr(defaults, field)
    ]
    return f"reportgen.build_report({', '.join([name, *shown])})"


def _build(
    model: Any,
    source: Any,
    sources: _Sources,
    settings: Settings,
    function: Callable[[Any], Any] | None,
    progress: Progress,
    command: str,
) -> Built:
    classes = read_classes(settings.classes)
    whole = gather_data(sources.data, settings) if sources.data is not None else None
    offer = (
        gather(source, settings)
        if source is not None
        else _of_labels(whole.offer)
        if whole
        else None
    )
    progress.stage("TensorFlow")
    import_keras()
    progress.stage("Loading the model")
    loaded, compiled, file = _load(model, settings)
    with on_device(settings.device):
        progress.stage("Tracing the forward pass")
        images = BLOCK if whole is not None else min(_count(offer) or BLOCK, settings.max_probes)
        network = _network(loaded, compiled, offer, settings, images)
        context = _context(network, offer, classes, settings, function, file, command)
        context = context._replace(
            progress=progress,
            history=sources.history,
            cache=Cache(settings.cache, fresh=settings.fresh),
            identity=cache(partial(identity, network)),
        )
        if whole is not None and "evaluation" in settings.chosen_sections:
            context = _with_data(context, whole, function)._replace(drawn=source is None)
        made = make_sections(context, progress)
    return _assemble(context, made, settings)


def _load(model: Any, settings: Settings) -> tuple[Any, dict[str, Any], ModelFile | None]:
    import keras

    if isinstance(model, str | Path):
        path = Path(model)
        loaded = load_model(
            path, custom_objects=settings.custom_objects, allow_code=settings.allow_code
        )
        return loaded.model, loaded.compiled, _file_facts(path, settings)
    if isinstance(model, keras.Model):
        return model, {}, None
    raise UsageError(f"The model must be a keras.Model or a path, not {type(model).__name__}.")


def _file_facts(path: Path, settings: Settings) -> ModelFile:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    name = str(path.resolve()) if settings.show_paths else path.name
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return ModelFile(shown, path.stat().st_size, hasher.hexdigest())


def _network(
    model: Any, compiled: dict[str, Any], offer: Offer | None, settings: Settings, images: int
) -> KerasNetwork:
    from reportgen.nets.keras_network import KerasNetwork

    example = _example_shape(offer, settings)
    size = settings.input_size or (example[:2] if example and len(example) == 3 else None)
    watch = None
    if offer is not None and "activations" in settings.chosen_sections:
        watch = partial(choose_calls, globs=settings.layers)
    return KerasNetwork(
        model,
        compiled=compiled,
        input_size=(size[0], size[1]) if size else None,
        example=example,
        images=images,
        device=settings.device,
        watch=watch,
    )


def identity(network: Network) -> str:
    """Return the digest of what a network computes, as far as can be told: its calls and its weights.

    This package's own code is part of it. A custom layer whose code changes while its name, its calls and its
    weights stay is not noticed.
    """
    facts = network.facts
    described = (facts.layers, facts.calls, facts.inputs, facts.outputs, facts.versions)
    root = Path(__file__).parent
    code = {
        path.relative_to(root).as_posix(): path.read_text("utf-8") for path in root.rglob("*.py")
    }
    return key_of(
        __version__,
        code,
        msgspec.to_builtins(described),
        *((variable.path, digest(array)) for variable, array in network.variables()),
    )


def _example_shape(offer: Offer | None, settings: Settings) -> tuple[int, ...] | None:
    """Return the shape of one probe where arrays say it, or what ``--input-size`` says."""
    if offer is not None and isinstance(offer.items[0].source, dict):
        shape = tuple(next(iter(offer.items[0].source.values())).shape)
        whole = len(offer.items) == 1 and len(shape) > 2
        shape = shape[1:] if whole and (len(shape) == 4 or shape[-1] > 4) else shape
        return (*shape, 1) if len(shape) == 2 else shape
    return (*settings.input_size, 3) if settings.input_size else None


def _count(offer: Offer | None) -> int:
    if offer is None:
        return 0
    first = offer.items[0].source
    if isinstance(first, dict) and len(offer.items) == 1:
        return len(next(iter(first.values())))
    return len(offer.items)


def _context(
    network: KerasNetwork,
    offer: Offer | None,
    classes: tuple[str, ...],
    settings: Settings,
    function: Callable[[Any], Any] | None,
    file: ModelFile | None,
    command: str,
) -> Context:
    facts = network.facts
    shapes = {tensor.name: network.input_shape(tensor.name) for tensor in facts.inputs}
    tasks = guess_tasks(facts, classes)
    probes: ProbeSet | None = None
    prepared: Prepared | None = None
    if offer is not None and {"probes", "activations", "relevance", "features"} & set(
        settings.chosen_sections
    ):
        inputs = shapes_of(facts.inputs, shapes)
        probes = read(offer, inputs, settings)
        if not classes:
            classes, probes = _classes_of_folders(offer, tasks, network, probes)
        function = function or _imported_function(settings.preprocess)
        prepared = prepare(probes, network, settings.preprocess, function)
    return Context(
        network=network,
        settings=settings,
        store=AssetStore(),
        classes=classes,
        tasks=tasks,
        input_shapes=shapes,
        probes=probes,
        prepared=prepared,
        file=file,
        command=command,
        preprocess=function,
    )


def _with_data(context: Context, whole: Given, function: Callable[[Any], Any] | None) -> Context:
    """Add the data set, preprocessed as a sample of it asks for."""
    network, settings = context.network, context.settings
    inputs = shapes_of(network.facts.inputs, context.input_shapes)
    offer = _of_labels(whole.offer)
    sample = read(offer, inputs, settings)
    classes = context.classes
    if not classes:
        classes, _ = _classes_of_folders(offer, context.tasks, network, sample)
    function = function or _imported_function(settings.preprocess)
    prepared = prepare(sample, network, settings.preprocess, function)
    feed = feeder(prepared, sample, function)
    return context._replace(data=DataSet(whole, inputs, settings), feed=feed, classes=classes)


def _of_labels(offer: Offer) -> Offer:
    """Return an offer whose labels are none where they are no single ones."""
    plain = [
        item if not isinstance(item.label, Path | dict) else item._replace(label=None)
        for item in offer.items
    ]
    return offer._replace(items=tuple(plain))


def _classes_of_folders(
    offer: Offer, tasks: Sequence[Any], network: Network, probes: ProbeSet
) -> tuple[tuple[str, ...], ProbeSet]:
    """Take the folders' or data set's class names where they are as many as the output has."""
    names = offer.class_names
    counts = [
        class_count(task, output)
        for task, output in zip(tasks, network.facts.outputs, strict=True)
        if task.kind in {"classification", "binary"}
    ]
    if not names or len(names) not in counts:
        return (), probes
    text = (
        "The class names are those of the folders or the data set in alphabetical order, as "
        "image_dataset_from_directory numbers them. --classes gives others."
    )
    return names, probes._replace(notices=(*probes.notices, Notice("info", text)))


def _imported_function(mode: str | None) -> Callable[[Any], Any] | None:
    """Import ``module:function``, on the user's word."""
    if mode is None or ":" not in mode:
        return None
    dotted, _, name = mode.partition(":")
    try:
        function: Any = import_from_here(dotted)
        for part in name.split("."):
            function = getattr(function, part)
    except Exception as error:
        raise InputError(f"--preprocess {mode}: it cannot be imported ({said(error)}).") from error
    if not callable(function):
        raise InputError(f"--preprocess {mode}: it is no function.")
    return function  # type: ignore[no-any-return]


def _assemble(context: Context, made: Made, settings: Settings) -> Built:
    judged = judge(made.sections, settings.ignore, settings.thresholds)
    summary = summarise(
        made.sections,
        context.network.facts,
        settings.title,
        judged,
        created=_created(),
        failed=made.failed,
    )
    files = context.store.files
    report = Report(
        schema=(SCHEMA_MAJOR, SCHEMA_MINOR),
        reportgen=__version__,
        summary=summary,
        sections=made.sections,
        assets=tuple(files),
        findings=judged.findings,
        passed=judged.passed,
        not_applicable=judged.not_applicable,
        ignore=settings.ignore,
        thresholds=settings.thresholds,
    )
    return Built(report, files, made.failed)


def _created() -> str:
    """Return the time of this report; ``SOURCE_DATE_EPOCH`` makes builds repeatable."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    seconds = int(epoch) if epoch.isdigit() else time.time()
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
