"""The command line: parse, call one function, print, exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reportgen.addresses import is_address
from reportgen.click_options import options, typed
from reportgen.errors import (
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    ConfigurationError,
    ReportError,
    ReportgenError,
    UsageError,
    worst,
)
from reportgen.options import BATCH_OPTIONS, NOT_FOR_ALL, OPTIONS
from reportgen.terminal import say
from reportgen.version import __version__

if TYPE_CHECKING:
    from reportgen.report.model import Report


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="reportgen")
def cli() -> None:
    """Turn a trained Keras model into a static HTML report that opens anywhere."""


@cli.command()
@click.argument("model", type=str)
@options(*(option.name for option in OPTIONS.values() if option.has_flag))
def build(config: str | None, **given: Any) -> int:
    """Make a report about MODEL: .keras, .h5, a file of weights, or a SavedModel's folder."""
    return _build({**_configured(config), **typed(given)})


@cli.command()
@options("output", help="The report folder", default="`reportgen-demo`")
@options("force", "open", "quiet", "verbose", "single_file")
@click.option(
    "--example",
    type=click.Choice(["photographs", "fashion"]),
    default="photographs",
    help="Which one [default: photographs]",
)
def demo(*, example: str, **given: Any) -> int:
    """Make the report of an embedded example: an ImageNet network on photographs, or a small one on clothes."""
    from reportgen.examples_root import example_root

    root = example_root() / example
    examples: dict[str, dict[str, Any]] = {
        "photographs": {
            "labels": str(root / "labels.csv"),
            "units": ("class:espresso", "class:tripod"),  # the most expensive part of a build
            "title": "EfficientNet-Lite0 on photographs",
            "meta": ("weights=EfficientNet-Lite0, ImageNet, stored as float16",),
        },
        "fashion": {
            "history": str(root / "history.csv"),
            "title": "Fashion-MNIST example",
            "meta": ("data=Fashion-MNIST, test images",),
        },
    }
    files = {
        "model": str(root / "model.keras"),
        "output": "reportgen-demo",
        "probes": (str(root / "probes"),),
        "classes": str(root / "classes.txt"),
    }
    return _build({**files, **examples[example], **typed(given)})


@cli.command("render")
@click.argument("folder", type=Path)
@options("notes", "card", "templates", "base_url", "open", "single_file")
def render_again(folder: Path, **given: Any) -> int:
    """Make the page of FOLDER again from its report.json, without the model."""
    from reportgen.page.folder import ReportFolder
    from reportgen.page.look import read_look
    from reportgen.page.output import check_card, locked
    from reportgen.page.publish import publish_again
    from reportgen.page.render import check_templates
    from reportgen.report.model import read_report

    look = read_look(given["templates"], _checked("base_url", given["base_url"]))
    check_templates(look)
    with locked(folder):
        report = read_report(folder)
        told = _with_texts(report, given["notes"], given["card"])
        if told.card is not None:
            check_card(folder)
        single, changed = bool(given.get("single_file")), told is not report
        publish_again(told, folder, single=single, look=look, changed=changed)
    say(folder / "index.html")
    if given["open"]:
        ReportFolder(folder).open()
    return 0


@cli.command("index")
@click.argument("root", type=Path)
@options("title", help="Heading of the page", default="Model reports")
@options("templates")
@options("force", help="Write over an index.html that reportgen did not write")
def index_reports(root: Path, *, title: str | None, templates: str | None, force: bool) -> int:
    """Make one page over all reports in the folders below ROOT: ROOT/index.html."""
    from reportgen.page.index import write_index
    from reportgen.page.look import read_look

    look = read_look(templates)
    say(write_index(root, title=_checked("title", title), force=force, look=look))
    return 0


@cli.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL… | SPEC.toml")
@options("output", help="The folder that all reports go into; required", metavar="ROOT")
@options(*BATCH_OPTIONS, table=BATCH_OPTIONS)
@options("fresh", help="Make all reports again, also those that are unchanged")
@options("title", help="Heading of the index", default="Model reports")
@options("quiet", "config")
@options(*(name for name, option in OPTIONS.items() if option.has_flag and name not in NOT_FOR_ALL))
def batch(
    models: tuple[str, ...], output: str | None, title: str | None, config: str | None, **given: Any
) -> int:
    """Make a report of each MODEL, several at once, and an index over them: ROOT/index.html.

    MODEL is a path, a pattern such as 'runs/*/model.keras', or an address. A SPEC.toml has a table for each
    report, with its model and the options of build; [defaults] holds those of all. Each report is made in a
    process of its own: what crashes or hangs there costs that report only. ROOT/runs.jsonl says how each one
    ended. Run the same command again to make what is missing or has changed.
    """
    if not output:
        raise UsageError("Where to? Give the folder of all reports with -o ROOT.")
    if is_address(output):
        raise UsageError("-o takes a folder of this machine: the journal and the index lie there.")
    from reportgen.batch.drive import How, run_batch
    from reportgen.batch.plan import plan
    from reportgen.page.look import read_look
    from reportgen.terminal import progress

    said = typed(given)
    own = {name: said.pop(name, None) for name in (*BATCH_OPTIONS, "fresh", "quiet")}
    configured = _configured(config)
    jobs = plan(models, said, configured)
    how = How(
        engine=own["engine"] or "local",
        address=own["address"],
        jobs=_checked("jobs", own["jobs"]),
        seconds=3600.0 if own["timeout"] is None else _checked("timeout", own["timeout"]),
        memory=1_000_000 * _checked("memory", own["memory"]) if own["memory"] is not None else None,
        retries=1 if own["retries"] is None else _checked("retries", own["retries"]),
        fresh=bool(own["fresh"]),
        force=bool(said.get("force")),
        title=_checked("title", title),
        look=read_look(said.get("templates") or configured.get("templates")),
    )
    quiet = bool(own["quiet"] or (own["quiet"] is None and configured.get("quiet")))
    try:
        with progress(quiet=quiet) as shown:
            tally = run_batch(jobs, Path(output), how, shown)
    except KeyboardInterrupt as stop:
        say("reportgen: interrupted; finished reports stand. The same command goes on.", err=True)
        return _code_of(stop)
    if not quiet:
        say(f"{tally.sentence}.", err=True)
        say(Path(output) / "index.html")
    return tally.exit_code


@cli.command()
@click.argument("folder", type=Path)
@options("base_url")
def comment(folder: Path, base_url: str | None) -> int:
    """Print the summary of the report in FOLDER as Markdown, for a comment on a pull request."""
    from reportgen.page.look import Look
    from reportgen.page.render import summary_text
    from reportgen.report.model import blaming, read_report

    look = Look(base_url=_checked("base_url", base_url) or "")
    report = read_report(folder)
    with blaming(folder):
        click.echo(summary_text(report, look), nl=False)
    return 0


def _checked(name: str, value: Any) -> Any:
    """Return a value of the command line as the settings would take it."""
    from reportgen.settings import make_settings

    if name in BATCH_OPTIONS:
        check = BATCH_OPTIONS[name].check
        if check is not None and value is not None:
            check(BATCH_OPTIONS[name].flag, value)
        return value
    return None if value is None else getattr(make_settings({name: value}), name)


def _with_texts(report: Report, notes: str | None, card: str | None) -> Report:
    """Return a report with other notes and another card, where they are given."""
    from msgspec.structs import replace

    from reportgen.inputs.card import read_card
    from reportgen.inputs.notes import read_source, renewed
    from reportgen.report.model import SCHEMA_MAJOR, SCHEMA_MINOR

    if notes is None and card is None:
        return report
    if report.schema[1] > SCHEMA_MINOR:
        raise ReportError(
            "A newer reportgen made this report, and writing it here would lose what it added: install that."
        )
    if notes is not None:
        report = replace(report, notes=renewed(report.notes, read_source(Path(notes))))
    if card is not None:
        report = replace(report, card=read_card(Path(card)))
    return replace(report, schema=(SCHEMA_MAJOR, SCHEMA_MINOR))


@cli.command()
@click.argument("folder", type=Path)
@options("fail_on", "ignore", "junit", "config")
@options("quiet", help="Print the verdict only")
def check(
    folder: Path,
    *,
    fail_on: str | None,
    ignore: tuple[str, ...],
    junit: str | None,
    config: str | None,
    quiet: bool,
) -> int:
    """Judge the report in FOLDER again, without the model; writes nothing but --junit."""
    from reportgen.findings.judge import check_options, judge, verdict
    from reportgen.findings.junit import write_junit
    from reportgen.report.model import blaming, read_report
    from reportgen.settings import make_settings
    from reportgen.terminal import print_findings

    report = read_report(folder)
    configured = _configured(config)
    names = ("ignore", "thresholds", "fail_on")
    settings = make_settings({name: configured[name] for name in names if name in configured})
    accepted = (*report.ignore, *settings.ignore, *ignore)
    thresholds = {**report.thresholds, **settings.thresholds}
    check_options(accepted, thresholds)
    with blaming(folder):
        judged = judge(report.sections, accepted, thresholds)
    gate = fail_on or settings.fail_on
    write_junit(junit or configured.get("junit"), judged, report.summary.name, gate)
    if not quiet:
        print_findings(judged)
    say(f"{verdict(judged, report.sections)}.")
    return 4 if judged.reaches(gate) else 0


@cli.command()
def schema() -> int:
    """Print the JSON schema of report.json."""
    import json

    from reportgen.report.model import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
    return 0


def _configured(file: str | None) -> dict[str, Any]:
    """Return the options of the named or the project's file."""
    from reportgen.configuration import read_configuration

    try:
        here = Path.cwd()
    except OSError:
        raise ConfigurationError("The working directory does not exist any more.") from None
    return read_configuration(here, Path(file) if file is not None else None)


def _build(options: dict[str, Any]) -> int:
    model = options.pop("model")
    output = options.pop("output", None)
    quiet, verbose = options.pop("quiet", False), options.pop("verbose", False)
    open_page, junit = options.pop("open", False), options.pop("junit", None)
    run, to_mlflow = options.pop("mlflow_run", None), options.pop("mlflow", False)
    if not output:
        raise UsageError("Where to? Give the report folder with -o OUT.")
    if open_page and is_address(output):
        raise UsageError("--open shows a page of this machine, and -o names an address.")
    from reportgen.terminal import print_outcome, progress, quieten

    quieten(options, verbose=verbose, shared=bool(run or to_mlflow))
    from reportgen.build import build_report
    from reportgen.configuration import command_text
    from reportgen.findings.judge import Judged
    from reportgen.findings.junit import write_junit

    probes, history, data = (options.pop(n, None) for n in ("probes", "history", "data"))
    command = command_text(model, {**options, "probes": probes, "history": history, "data": data})
    if run or to_mlflow:
        from reportgen.integrations.mlflow import check_run, log_report

        run = check_run(output, run)  # before the work, not after it
    with progress(quiet=quiet) as shown:
        folder = build_report(
            model,
            probes=[probes] if isinstance(probes, str) else list(probes) if probes else None,
            history=history,
            data=data,
            output=output,
            progress=shown,
            command=command,
            **options,
        )
    report = folder.report
    judged = Judged(report.findings, report.passed, report.not_applicable)
    gate = options.get("fail_on")
    write_junit(junit, judged, report.summary.name, gate)
    if not quiet:
        print_outcome(folder, judged)
    if run:
        log_report(folder, run_id=run, tell=logging.getLogger("reportgen").info if quiet else say)
    if open_page:
        folder.open()
    return worst([3 if folder.failed else 0, 4 if judged.reaches(gate) else 0])


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code, also where nobody reads what it printed."""
    signal.signal(signal.SIGTERM, _terminate)
    code = run(arguments)
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python tries once more, and says so
    sys.exit(code)


class _TerminatedError(KeyboardInterrupt):
    """A scheduler, or the system, asks this process to end: it does as after Ctrl-C."""


def _code_of(stop: BaseException) -> int:
    """Return the exit code of an interruption, which click hands on as the cause of its own."""
    terminated = isinstance(stop.__cause__ or stop, _TerminatedError)
    return EXIT_TERMINATED if terminated else EXIT_INTERRUPTED


def _terminate(_signal: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: this process ends
    raise _TerminatedError


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are one line on stderr."""
    try:
        code = cli.main(args=arguments, prog_name="reportgen", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except click.ClickException as error:
        error.show()
        if "unexpected extra argument" in error.format_message():
            say(
                "A pattern is quoted, so that the shell leaves it alone: 'x-*.tar'; several images are given "
                "one by one: -p A.png -p B.png.",
                err=True,
            )
        return 2
    except (KeyboardInterrupt, click.Abort) as stop:
        say("reportgen: interrupted; nothing was changed.", err=True)
        return _code_of(stop)
    except ReportgenError as error:
        say(f"reportgen: {' '.join(str(error).split())}", err=True)
        return error.exit_code
    except Exception as error:
        logging.getLogger("reportgen").debug("Traceback of the error below", exc_info=error)
        text = " ".join(str(error).split())
        traced = {"build", "demo"} & set(sys.argv[1:] if arguments is None else arguments)
        hint = " (-v shows the traceback)" if traced else ""
        say(
            f"reportgen: internal error (please report it): {type(error).__name__}: {text}{hint}",
            err=True,
        )
        return 1
    return int(code or 0)
