"""From a model to a report folder: the order of the stages is read here."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from msgspec.structs import replace

from reportgen.configuration import call_text
from reportgen.context import make_context
from reportgen.engines.places import is_remote
from reportgen.errors import (
    ConfigurationError,
    SectionError,
)
from reportgen.findings.judge import check_options, judge
from reportgen.importing import importing_ahead
from reportgen.inputs.given import read_inputs
from reportgen.inputs.images import quiet_decoders
from reportgen.nets.loading import check_model_file
from reportgen.opened import asked_of, opened
from reportgen.page.folder import ReportFolder
from reportgen.page.look import read_look
from reportgen.page.output import check_output, check_temporary, destination
from reportgen.page.publish import publish
from reportgen.page.render import check_templates, compile_templates
from reportgen.page.single import LARGE
from reportgen.page.summary import summarise
from reportgen.pipeline import make_sections
from reportgen.remote.fetching import Sources, fetched
from reportgen.remote.sending import outgoing
from reportgen.report.model import SCHEMA_MAJOR, SCHEMA_MINOR, Report
from reportgen.settings import make_settings
from reportgen.terminal import Silence
from reportgen.version import __version__
from reportgen.wording import bytes_text
from reportgen.workers.drive import chosen_workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from reportgen.context import Context, Progress, Workers
    from reportgen.inputs.given import Inputs
    from reportgen.page.look import Look
    from reportgen.pipeline import SectionResults
    from reportgen.settings import BuildOptions, Settings


class Built(NamedTuple):
    """A report before it is written.

    Attributes:
        files: pictures by name.
        failed: kinds of sections, and ids of rules, that failed.
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
    **options: Unpack[BuildOptions],
) -> ReportFolder:
    """Make a report about a trained model and write it to a folder.

    Args:
        model: a ``keras.Model``, or the path of a ``.keras`` or ``.h5`` file. It, the probes, the history, the
            data and the output may be addresses in object stores, as in ``s3://bucket/model.keras``.
        probes: images to try the model on: a path, folder or glob (or several), arrays of shape (n,
            height, width, channels) or (n, height, width), PIL images, an ``(images, labels)``
            pair, a mapping from input name to array, or a ``tf.data.Dataset``. None leaves the
            probes out.
        history: how the training went: a CSVLogger file, ``History.history`` as JSON, a TensorBoard folder,
            a ``keras.callbacks.History`` or a mapping from name to values.
        data: a labelled data set to evaluate on: a folder of class folders, a CSV of ``file,label``, an
            ``.npz`` with x and y, an ``(x, y)`` pair, a ``tf.data.Dataset``, or files of many images (``.tar``,
            ``.tfrecord``, ``.parquet``). Probes are drawn from it where none are given.
        output: the report folder, or a name that ends in ``.html`` for the page alone as one file; None makes a
            temporary folder.
        progress: told what is being done.
        command: the command line that the overview shows.
        **options: as on the command line; see ``reportgen.BuildOptions``.

    Returns:
        The folder, with ``.path``, ``.report`` (the data), ``.failed`` and ``.open()``; of one that was sent
        to a store ``.url`` says where, and ``.path`` is a copy that goes with this object.

    Raises:
        ReportgenError: what the user can mend; the subclasses and exit codes are in
            ``reportgen.errors``.
    """
    shown = progress or Silence()
    function = _named_function(options)
    settings = make_settings({k: v for k, v in options.items() if v is not None})
    created, begun = _created(), time.monotonic()
    check_options(settings.ignore, settings.thresholds)
    look = read_look(settings.templates, settings.base_url)
    check_templates(look)
    check_temporary()
    with outgoing(output, settings, shown) as outbox, contextlib.ExitStack() as stack:
        _check_place(outbox.local, settings)
        given = stack.enter_context(fetched(Sources(model, probes, data, history), shown))
        reached = data if is_remote(settings.address) else given.data
        workers = chosen_workers(settings, given.model, reached, function)
        if isinstance(given.model, str | Path):
            _check_model(Path(given.model), settings)
        with destination(outbox.local) as place:
            inputs = read_inputs(
                given.model,
                probes=given.probes,
                data=given.data,
                history=given.history,
                settings=settings if given.model is model else replace(settings, show_paths=False),
                preprocess=function,
                command=command or call_text(model, settings),
                begun=begun,
                copied=given.data is not data,
            )
            with quiet_decoders():
                built = _build(given.model, inputs, shown, created, workers, look)
            shown.stage("Writing the report")
            size = publish(built.report, place, built.files, single=settings.single_file, look=look)
    if size > LARGE:
        shown.stage(f"The single file takes {bytes_text(size)}: viewers take seconds to show it")
    _say_overrun(settings.budget, time.monotonic() - begun, shown)
    return ReportFolder(place, built.report, built.failed, look, outbox.url, outbox)


def _say_overrun(budget: float | None, taken: float, progress: Progress) -> None:
    if budget is not None and taken > budget:
        whole = "what --budget does not cut takes longer; --quick or --sections leaves more out"
        progress.stage(f"The build took {taken:.1f} s, not the {budget:g} s of --budget: {whole}")


def _check_model(file: Path, settings: Settings) -> None:
    """Look into the file in a limited child, and import meanwhile what its network needs."""
    waited_for = _is_there(file) and not settings.weights_only
    with importing_ahead() if waited_for else contextlib.nullcontext():
        check_model_file(file, settings.architecture, settings.like)


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):  # no name of a file: whoever opens it says so
        return False


def _check_place(place: str | Path | None, settings: Settings) -> None:
    single, card = settings.single_file, settings.card is not None
    check_output(place, force=settings.force, single=single, card=card)


def _named_function(options: BuildOptions) -> Callable[[Any], Any] | None:
    """Return the user's function that prepares images, and put its name in its place."""
    function = options.get("preprocess")
    if not callable(function):
        return None
    name = getattr(function, "__qualname__", "function")
    options["preprocess"] = f"{getattr(function, '__module__', '')}:{name}"
    return function


def _build(
    model: Any,
    inputs: Inputs,
    progress: Progress,
    created: str,
    workers: Workers | None,
    look: Look,
) -> Built:
    with opened(model, inputs.settings, asked_of(inputs), progress) as network:
        context = make_context(network, inputs, progress, workers)
        made = make_sections(context, partial(compile_templates, look))
        return _assemble(context, made, created)


def _assemble(context: Context, made: SectionResults, created: str) -> Built:
    settings = context.settings
    judged = judge(made.sections, settings.ignore, settings.thresholds)
    if judged.failed and settings.strict:
        raise SectionError(f"The rule {judged.failed[0]} failed.")
    summary = summarise(
        made.sections,
        context.network.facts,
        settings.title,
        judged,
        created=created,
        failed=(*made.failed, *judged.failed),
        file=context.inputs.file,
    )
    notes, own = context.inputs.notes or (None, {})
    files = dict(sorted({**context.tools.store.files, **own}.items()))
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
        notes=notes,
        card=context.inputs.card,
    )
    return Built(report, files, (*made.failed, *judged.failed))


def _created() -> str:
    """Return the time of this report; ``SOURCE_DATE_EPOCH`` makes builds repeatable."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    try:
        moment = dt.datetime.fromtimestamp(int(epoch) if epoch else time.time(), dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise ConfigurationError(
            f"SOURCE_DATE_EPOCH takes seconds since 1970, not {epoch[:40]!r}."
        ) from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
