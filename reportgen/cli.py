"""The command line: parse, call one function, print, exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reportgen.errors import (
    EXIT_INTERRUPTED,
    ConfigurationError,
    ReportgenError,
    UsageError,
    worst,
)
from reportgen.terminal import say
from reportgen.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable


log = logging.getLogger("reportgen")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="reportgen")
def cli() -> None:
    """Turn a trained Keras model into a static HTML report that opens anywhere."""


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that build and demo have in common."""
    options = [
        click.option("--force", is_flag=True, help="Write into a folder that is no report."),
        click.option("--open", "open_page", is_flag=True, help="Show the page in the browser."),
        click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
        click.option(
            "-v", "--verbose", is_flag=True, help="Print TensorFlow's log and tracebacks."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


_config = click.option(
    "--config",
    type=Path,
    metavar="FILE",
    help="Options in a TOML file that you trust, in place of pyproject.toml's.",
)


@cli.command()
@click.argument("model", type=str)
@click.option("-o", "--output", type=str, help="The report folder.  [required]")
@click.option(
    "-p",
    "--probes",
    multiple=True,
    metavar="PATH",
    help="Image, folder, glob, .npy or .npz to try the model on; repeatable.",
)
@click.option(
    "--data",
    metavar="PATH",
    help="A labelled data set to evaluate on: folder of class folders, CSV of file,label, .npz of x and y.",
)
@click.option(
    "--history",
    metavar="PATH",
    help="How the training went: CSVLogger file, History.history as JSON, TensorBoard folder.",
)
@click.option("--max-probes", type=int, help="Probes to show, an even sample.  [default: 8]")
@click.option("--classes", metavar="FILE", help="Class names: one a line, or JSON.")
@click.option("--labels", metavar="FILE", help="True labels: CSV of file,label.")
@click.option(
    "--resize",
    type=click.Choice(["stretch", "crop", "pad"]),
    help="How images of another aspect ratio are fitted.  [default: stretch]",
)
@click.option(
    "--orientation",
    type=click.Choice(["keras", "exif"]),
    help="Whether EXIF orientations turn image files.  [default: keras, whose loaders do not]",
)
@click.option(
    "--bands",
    metavar="R,G,B",
    help="The channels of images that are shown, from 0.  [default: 0,1,2]",
)
@click.option("--input-size", metavar="HxW", help="For models that leave their input size open.")
@click.option(
    "--preprocess",
    metavar="MODE",
    help="none, unit, symmetric, caffe, torch, uint16, module:function or auto.  "
    "[default: auto for image files, none for arrays]",
)
@click.option("--threshold", type=float, help="Of sigmoid outputs.  [default: 0.5]")
@click.option(
    "--custom-objects",
    multiple=True,
    metavar="MODULE[:NAME]|FILE.py",
    help="Custom classes that the model needs; imported, so only from where you trust.",
)
@click.option(
    "--allow-code",
    is_flag=True,
    help="Let what the model file carries or names run: Lambdas, functions that are no part of a network, "
    "layers that read files.",
)
@click.option("--title", help="Heading of the page.")
@click.option(
    "--meta", multiple=True, metavar="KEY=VALUE", help="Shown in the overview; repeatable."
)
@click.option("--hide-names", is_flag=True, help="Number the probes in place of their file names.")
@click.option(
    "--show-paths", is_flag=True, help="Show the model's whole path, not its file name only."
)
@click.option(
    "--sections", multiple=True, metavar="NAMES", help="Sections to make, comma-separated."
)
@click.option(
    "--skip", multiple=True, metavar="NAMES", help="Sections to leave out, comma-separated."
)
@click.option(
    "--layers",
    multiple=True,
    metavar="GLOB",
    help="Layers whose feature maps are shown, as in 'block*/out'; repeatable.",
)
@click.option(
    "--relevance",
    multiple=True,
    metavar="NAMES",
    help="gradcam, hirescam, layercam, integrated-gradients, smoothgrad, saliency, occlusion, rollout, "
    "all or none; repeatable.  [default: gradcam, integrated-gradients, rollout where there is attention]",
)
@click.option(
    "--relevance-layer", metavar="LAYER", help="Features of the CAM family, in place of the choice."
)
@click.option(
    "--target",
    multiple=True,
    metavar="CLASS|OUTPUT[:CLASS]",
    help="Explain a further class, or another output; repeatable.",
)
@click.option(
    "--units",
    multiple=True,
    metavar="LAYER:INDEX|LAYER:*|class:NAME",
    help="Units whose preferred pictures are shown; also LAYER:INDEX@centre, LAYER:direction=FILE.npy; "
    "repeatable.  [default: 4 classes of the probes, 8 strong channels over the depth]",
)
@click.option(
    "--feature-method",
    type=click.Choice(["fourier", "maco"]),
    help="How these pictures are made.  [default: fourier]",
)
@click.option("--feature-steps", type=int, help="Of their optimisation.  [default: 128]")
@click.option("--diversity", type=int, help="Different pictures of each unit.  [default: 1]")
@click.option(
    "--caricature",
    metavar="PROBE",
    help="Exaggerate what a layer sees in this probe (name or number).",
)
@click.option(
    "--feature-budget", type=float, metavar="SECONDS", help="Begin no further unit after so long."
)
@click.option(
    "--quick", is_flag=True, help="Leave out what is dear: relevance is Grad-CAM without evidence."
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    help="Exit with 4 when a finding is as severe.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="RULE[:LAYER-GLOB]",
    help="Accept findings: shown, not counted; repeatable.",
)
@click.option("--junit", type=str, metavar="FILE", help="Write the findings as JUnit XML.")
@click.option("--seed", type=int, help="For everything that samples.  [default: 0]")
@click.option(
    "--device",
    type=click.Choice(["cpu", "gpu"]),
    help="Where the network runs.  [default: cpu, since training may hold the GPU]",
)
@click.option(
    "--cache",
    metavar="DIR",
    help="Where finished pieces of long work are kept, so that a run that was killed goes on.  "
    "[default: the user's cache folder]",
)
@click.option(
    "--fresh", is_flag=True, help="Start over: use nothing that a run before has finished."
)
@click.option("--strict", is_flag=True, help="Write nothing when a section fails.")
@_config
@_shared
def build(config: Path | None, **given: Any) -> int:  # fmt: skip
    """Make a report about MODEL (.keras or .h5)."""
    from reportgen.configuration import is_missing

    options = {name: value for name, value in given.items() if not is_missing(value)}
    configured = _configured(config)
    if "open" in configured:
        configured["open_page"] = configured.pop("open")
    return _build({**configured, **options})


@cli.command()
@click.option("-o", "--output", type=str, default="reportgen-demo", show_default=True)
@_shared
def demo(**given: Any) -> int:
    """Make the report of the embedded example: a small CNN on photographs of clothes."""
    from reportgen.examples_root import example_root

    root = example_root() / "fashion"
    example = {
        "model": str(root / "model.keras"),
        "probes": (str(root / "probes"),),
        "classes": str(root / "classes.txt"),
        "history": str(root / "history.csv"),
        "title": "Fashion-MNIST example",
        "meta": ("data=Fashion-MNIST, test images",),
    }
    return _build({**example, **given})


@cli.command("render")
@click.argument("folder", type=Path)
@click.option("--open", "open_page", is_flag=True, help="Show the page in the browser.")
def render_again(folder: Path, *, open_page: bool) -> int:
    """Make the page of FOLDER again from its report.json, without the model."""
    from reportgen.page.publish import locked, publish_again
    from reportgen.report.model import ReportFolder, read_report

    report = read_report(folder)
    with locked(folder):
        publish_again(report, folder)
    say(folder / "index.html")
    if open_page:
        ReportFolder(folder).open()
    return 0


@cli.command()
@click.argument("folder", type=Path)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    help="Exit with 4 when a finding is as severe.",
)
@click.option(
    "--ignore", multiple=True, metavar="RULE[:LAYER-GLOB]", help="Accept findings; repeatable."
)
@click.option("--junit", type=str, metavar="FILE", help="Write the findings as JUnit XML.")
@_config
@click.option("-q", "--quiet", is_flag=True, help="Print the verdict only.")
def check(
    folder: Path,
    *,
    fail_on: str | None,
    ignore: tuple[str, ...],
    junit: str | None,
    config: Path | None,
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


def _configured(file: Path | None) -> dict[str, Any]:
    """Return the options of the named or the project's file."""
    from reportgen.configuration import read_configuration

    known = {parameter.name or "" for parameter in build.params} - {"model", "config", "open_page"}
    try:
        here = Path.cwd()
    except OSError:
        raise ConfigurationError("The working directory does not exist any more.") from None
    return read_configuration(here, known | {"thresholds", "open"}, file)


def _build(options: dict[str, Any]) -> int:
    model = options.pop("model")
    output = options.pop("output", None)
    quiet, verbose = options.pop("quiet", False), options.pop("verbose", False)
    open_page, junit = options.pop("open_page", False), options.pop("junit", None)
    if not output:
        raise UsageError("Where to? Give the report folder with -o OUT.")
    from reportgen.terminal import print_outcome, progress, quieten

    quieten(verbose=verbose, device=options.get("device", "cpu"))
    from reportgen.build import build_report
    from reportgen.configuration import command_text
    from reportgen.findings.judge import Judged
    from reportgen.findings.junit import write_junit

    probes, history = options.pop("probes", None), options.pop("history", None)
    data = options.pop("data", None)
    command = command_text(model, {**options, "probes": probes, "history": history, "data": data})
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
    if open_page:
        folder.open()
    return worst([3 if folder.failed else 0, 4 if judged.reaches(gate) else 0])


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code, also where nobody reads what it printed."""
    code = run(arguments)
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python tries once more, and says so
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are one line on stderr."""
    try:
        code = cli.main(args=arguments, prog_name="reportgen", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        say("reportgen: interrupted; nothing was changed.", err=True)
        return EXIT_INTERRUPTED
    except ReportgenError as error:
        say(f"reportgen: {' '.join(str(error).split())}", err=True)
        return error.exit_code
    except Exception as error:
        log.debug("Traceback of the error below", exc_info=error)
        text = " ".join(str(error).split())
        traced = {"build", "demo"} & set(sys.argv[1:] if arguments is None else arguments)
        hint = " (-v shows the traceback)" if traced else ""
        say(
            f"reportgen: an error that should not happen: {type(error).__name__}: {text}{hint}",
            err=True,
        )
        return 1
    return int(code or 0)
