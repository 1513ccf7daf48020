"""The options of a build, each declared once.

The command line, the files of options, ``make_settings``, the command that a report shows and the README's
table (``options_table``) are read from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from reportgen import values
from reportgen.engines.opening import ENGINES

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["text", "path", "switch", "whole", "number", "choice"]


def _no_file(_: str) -> str:
    return ""


def _python_file(text: str) -> str:
    return text if text.endswith(".py") else ""


def _direction_file(text: str) -> str:
    return text.partition(":direction=")[2]


class Option(NamedTuple):
    """One option, wherever it is given.

    Attributes:
        name: as Python and files write it.
        help: what it does, for the terminal and the README; code stands between backticks.
        kind: of one value on the command line; a switch has its opposite there.
        short: its letter.
        metavar: what stands for its value.
        choices: the values that it takes, of the kind ``choice``.
        several: whether it may be repeated.
        default: what holds without it, in words.
        more: further sentences for the README.
        normalised: turns what a user gives in Python or a file into what the settings hold.
        check: refuses what is out of range, told the flag and the value.
        in_command: whether the command that a report shows holds it.
        in_call: whether the Python call that a report shows holds it.
        named_only: whether a file must have been named to hold it: what runs code or writes elsewhere.
        named_only_with: a text in its value that makes it so.
        inside: whether a file that was found may name only what lies in its own folder.
        file_in: returns the end of a value that names a file, or nothing.
        has_flag: whether the command line has it.
        on: whether a switch is on without it.
        in_files: whether a file of options may hold it.
    """

    name: str
    help: str
    kind: Kind = "text"
    short: str = ""
    metavar: str = ""
    choices: tuple[str, ...] = ()
    several: bool = False
    default: str = ""
    more: str = ""
    normalised: Callable[[Any], Any] = values.unchanged
    check: Callable[[str, Any], None] | None = None
    in_command: bool = True
    in_call: bool = False
    named_only: bool = False
    named_only_with: str = ""
    inside: bool = False
    file_in: Callable[[str], str] = _no_file
    has_flag: bool = True
    on: bool = False
    in_files: bool = True

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def opposite(self) -> str:
        """What turns a switch off on the command line."""
        return f"--no-{self.flag[2:]}"

    def needs_trust(self, value: Any) -> bool:
        """Tell whether only a file that was named may hold this value."""
        text = self.named_only_with
        return self.named_only or (text != "" and text in str(value))

    def cut(self, text: str) -> tuple[str, str]:
        """Return what stands before the file that a value names, and that file; either may be empty."""
        file = text if self.kind == "path" else self.file_in(text)
        return text[: len(text) - len(file)], file

    def sentence(self) -> str:
        """Return what the option does and that it may be repeated."""
        return f"{self.help}; repeatable" if self.several else self.help


def _code(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words)


_TABLE = (
    Option(
        "output", "The report folder, or NAME.html for the page alone; required", "path", "o", "OUT",
        in_command=False, named_only=True,
        more="It, the model, `--probes`, `--data` and `--history` may be addresses such as `s3://bucket/name`",
    ),
    Option(
        "probes", "Image, folder, glob, `.npy` or `.npz` to try the model on", "path", "p", "PATH",
        several=True,
    ),
    Option(
        "data",
        "A labelled data set to evaluate on: folder of class folders, CSV of `file,label`, `.npz` of x and y, "
        "WebDataset `.tar`, `.tfrecord`, `.parquet`", "path", metavar="PATH",
        more="Also a folder of `images` and `masks`, and a CSV of `file,mask`; a CSV's paths count from its "
        "folder, and it may have a column for each output or number. Of the last three also"
        " a folder or a pattern",
    ),
    Option(
        "history",
        "How the training went: CSVLogger file, `History.history` as JSON, TensorBoard folder",
        "path", metavar="PATH",
        more="Also TSV; TensorBoard's needs `pip install 'keras-reportgen[tensorboard]'`",
    ),
    Option(
        "max_probes", "Probes to show, an even sample", "whole", metavar="N", default="8",
        check=values.at_least_one, in_call=True,
    ),
    Option(
        "classes", "Class names: one a line, or JSON", "path", metavar="FILE",
        normalised=values.class_names,
    ),
    Option(
        "labels", "True labels: CSV of `file,label`", "path", metavar="FILE", normalised=values.labels
    ),
    Option(
        "data_features", "Which feature, column or member holds image and label: a TOML",
        "path", metavar="FILE", normalised=values.path_text,
        more="`features.toml` beside the files needs no option",
    ),
    Option(
        "resize", "How images of another aspect ratio are fitted", "choice",
        choices=get_args(values.Resize), default="`stretch`", in_call=True,
        more="`stretch`, bilinear without antialias, is what Keras does",
    ),
    Option(
        "orientation", "Whether EXIF orientations turn image files", "choice",
        choices=get_args(values.Orientation), default="`keras`, whose loaders do not", in_call=True,
    ),
    Option(
        "bands", "The channels of images that are shown, from 0", metavar="R,G,B", default="`0,1,2`",
        normalised=values.bands, check=values.one_or_three_bands, in_call=True,
    ),
    Option(
        "input_size", "For models that leave their input size open", metavar="HxW",
        normalised=values.size, check=values.size_of_an_image, in_call=True,
    ),
    Option(
        "preprocess",
        "`none`, `unit` (x/255), `symmetric` (x/127.5 - 1), `caffe`, `torch`, `uint16`, `module:function` or "
        "`auto`",
        metavar="MODE", default="`auto` for image files, `none` for arrays",
        check=values.preprocess_mode, in_call=True, named_only_with=":",
    ),
    Option(
        "threshold", "Probability from which a label of sigmoid outputs counts as given", "number",
        metavar="P", default="0.5", check=values.probability, in_call=True,
    ),
    Option(
        "custom_objects",
        "Custom classes that the model needs; imported, so only from where you trust",
        metavar="MODULE[:NAME]|FILE.py", several=True, normalised=values.texts, named_only=True,
        file_in=_python_file,
    ),
    Option(
        "allow_code",
        "Let what the model file carries or names run: Lambdas, functions that are no part of a network, "
        "layers that read files, a SavedModel's graph",
        "switch", named_only=True,
    ),
    Option(
        "architecture",
        "The configuration of a file that holds weights only, as `model.to_json()` says it", "path",
        metavar="FILE.json", normalised=values.path_text,
    ),
    Option(
        "like",
        "Another model file, whose architecture a file that holds weights only is given", "path",
        metavar="MODEL", normalised=values.path_text,
    ),
    Option(
        "weights_only",
        "Build no network: show the layers and weights that the file stores, without TensorFlow", "switch",
        in_call=True,
    ),
    Option("title", "Heading of the page", metavar="TEXT", default="the file's name"),
    Option(
        "notes", "A section of your own, in Markdown; its pictures lie in the same folder", "path",
        metavar="FILE.md", normalised=values.path_text, inside=True,
        more="`render` takes it too, and keeps the pictures that the report has",
    ),
    Option(
        "card", "A model card of what only you know: intended use, limitations, license …", "path",
        metavar="FILE.yaml", normalised=values.path_text, inside=True,
        more="Shown in Details, and written as `model_card.md`",
    ),
    Option(
        "templates", "Your own templates, colours and logo in place of reportgen's; they run as your code",
        "path", metavar="DIR", normalised=values.path_text, named_only=True,
    ),
    Option("meta", "Shown in the overview", metavar="KEY=VALUE", several=True, normalised=values.pairs),
    Option("hide_names", "Number the probes in place of their file names", "switch"),
    Option(
        "show_paths", "Show the model's whole path, not its file name only", "switch",
        in_command=False,
    ),
    Option(
        "sections", "Sections to make, comma-separated", metavar="NAMES", several=True, default="all",
        more=f"They are {_code(*values.SECTIONS)}",
        normalised=values.names, check=values.section_names,
    ),
    Option(
        "skip", "Sections to leave out, comma-separated", metavar="NAMES", several=True,
        normalised=values.names, check=values.section_names,
    ),
    Option(
        "layers", "Layers whose feature maps are shown, as in `block*/out`", metavar="GLOB", several=True,
        default="the last of each resolution and ends of blocks", normalised=values.texts,
    ),
    Option(
        "relevance", f"{_code(*values.RELEVANCE)}, `all` or `none`, comma-separated", metavar="NAMES",
        several=True,
        default="`gradcam`, `integrated-gradients`, `rollout` where there is attention",
        normalised=values.method_names, check=values.relevance_methods,
    ),
    Option(
        "relevance_layer", "Whose features the CAM family weighs", metavar="LAYER",
        default="the last ones with places that reach the head",
    ),
    Option(
        "relevance_baseline",
        "What hides parts of an image, and what integrated gradients start from", "choice",
        choices=get_args(values.RelevanceBaseline),
        default="`auto`, the border's colour where it is constant, else the image blurred",
    ),
    Option(
        "target", "Explain a further class, or another output", metavar="CLASS|OUTPUT[:CLASS]",
        several=True, normalised=values.targets,
    ),
    Option(
        "units",
        "Units whose preferred pictures are shown; also `LAYER:INDEX@centre`, `LAYER:direction=FILE.npy`",
        metavar="LAYER:INDEX|LAYER:*|class:NAME", several=True,
        default="2 classes of the probes, 4 strong channels over the depth",
        normalised=values.texts, file_in=_direction_file,
    ),
    Option(
        "feature_method", "How these pictures are made", "choice",
        choices=get_args(values.FeatureMethod), default="`fourier`",
    ),
    Option(
        "feature_steps", "Of their optimisation", "whole", metavar="N", default="64, with `--full` 128",
        check=values.within(1, values.MOST_STEPS),
    ),
    Option(
        "diversity", "Different pictures of each unit", "whole", metavar="N", default="1",
        check=values.within(1, values.MOST_PICTURES),
    ),
    Option(
        "caricature", "Exaggerate what a layer sees in this probe (name or number)", metavar="PROBE"
    ),
    Option(
        "full",
        "Twice the units of features and the steps of pictures and paths; random weights layer by layer",
        "switch",
    ),
    Option(
        "budget",
        "What the build aims at: as many probes are explained, at least one, and units visualized as fit",
        "number", metavar="SECONDS", check=values.seconds,
        more="The page says what was cut; such a report is not the same twice",
    ),
    Option(
        "quick", "Skip the expensive parts: relevance is Grad-CAM without evidence", "switch",
        more="The page says so",
    ),
    Option(
        "single_file", "Also write `report.html`, the page as one file, for trackers and mail", "switch",
        in_command=False,
    ),
    Option(
        "images", "Whether pictures show probes and data; with `--no-images` none does, and numbers stay",
        "switch",
        on=True, in_call=True,
    ),
    Option(
        "data_images", "Whether pictures show images of the data set: `none` leaves numbers and indices",
        "choice", choices=get_args(values.DataImages), default="`all`", in_call=True,
    ),
    Option(
        "base_url", "Where the report will lie: summary.md links to it and shows its first picture",
        metavar="URL", in_command=False, check=values.web_address,
    ),
    Option(
        "fail_on", "Exit with 4 when a finding is as severe", "choice", choices=get_args(values.Gate)
    ),
    Option(
        "ignore", "Accept findings: shown, not counted", metavar="RULE[:LAYER-GLOB]", several=True,
        normalised=values.texts,
    ),
    Option(
        "thresholds", "Limits of rules by their names; in files and Python only", has_flag=False,
        default="as the rules say", in_command=False,
    ),
    Option(
        "junit", "Write the findings as JUnit XML", "path", metavar="FILE",
        in_command=False, named_only=True,
    ),
    Option(
        "mlflow", "Log the report to the run of MLflow that `MLFLOW_RUN_ID` names", "switch",
        in_command=False, named_only=True,
    ),
    Option(
        "mlflow_run", "Log the report to this run of MLflow", metavar="ID",
        in_command=False, named_only=True,
    ),
    Option(
        "seed", "For everything that samples", "whole", metavar="N", default="0",
        check=values.within(0, values.MOST_SEED), in_call=True,
    ),
    Option(
        "device", "Where the network runs", "choice", choices=get_args(values.Device),
        default="`cpu`, since training may hold the GPU", in_command=False,
    ),
    Option(
        "cache",
        "Where finished pieces of long work are kept, so that a run that was killed goes on",
        "path", metavar="DIR", default="the user's cache folder", normalised=values.path_text,
        in_command=False, named_only=True,
    ),
    Option("fresh", "Start over: use nothing that a run before has finished", "switch", in_command=False),
    Option(
        "jobs", "Processes that the data set runs through the network in, where that takes long",
        "whole", "j", "N", default="1; with an engine all", check=values.at_least_one, in_command=False,
        named_only=True,
    ),
    Option(
        "engine", "What runs them, however long it takes; a cluster needs the extra `[ray]` or `[dask]`",
        "choice", choices=ENGINES, default="`local`", in_command=False, named_only=True,
        more="See docs/scale.md",
    ),
    Option(
        "address", "A cluster of Ray or Dask that runs already; without it one is started on this machine",
        metavar="ADDRESS", in_command=False, named_only=True,
    ),
    Option(
        "retries", "How often a part of the data set is run again after its worker was lost", "whole",
        metavar="N", default="1", check=values.within(0, 100), in_command=False, named_only=True,
    ),
    Option("strict", "Write nothing when a section fails", "switch"),
    Option(
        "config", "Options in a TOML file that you trust, in place of `pyproject.toml`'s", "path",
        metavar="FILE", in_command=False, in_files=False,
    ),
    Option("force", "Write into a folder that is no report", "switch", in_command=False, named_only=True),
    Option("open", "Show the page in the browser", "switch", in_command=False),
    Option("quiet", "Print nothing but errors", "switch", "q", in_command=False),
    Option("verbose", "Print TensorFlow's log and tracebacks", "switch", "v", in_command=False),
)  # fmt: skip

OPTIONS: dict[str, Option] = {option.name: option for option in _TABLE}
"""Every option by its name, in the order of the help."""

BATCH_OPTIONS: dict[str, Option] = {option.name: option for option in (
    Option(
        "jobs", "Reports that are made at once", "whole", "j", "N",
        default="as many as there are processors; with `--address` what the cluster takes",
        check=values.at_least_one,
    ),
    Option("engine", "What runs them", "choice", choices=ENGINES, default="`local`"),
    Option(
        "address", "A cluster of Ray or Dask that runs already; without it one is started on this machine",
        metavar="ADDRESS",
    ),
    Option(
        "timeout", "Time after which a report is ended", "number", metavar="SECONDS", default="3600",
        check=values.seconds,
    ),
    Option(
        "memory", "Resident memory above which a report is ended (Linux only)", "whole", metavar="MB",
        default="no limit", check=values.at_least_one,
    ),
    Option(
        "retries", "How often a report is tried again after its worker was lost", "whole", metavar="N",
        default="1", check=values.within(0, 100),
    ),
)}  # fmt: skip
"""What only many reports need, in the order of the help; they are no settings of a report."""

NOT_IN_BATCH = (
    "output", "open", "junit", "mlflow", "mlflow_run", "quiet", "verbose", "fresh", "config", "jobs", "engine",
    "address", "retries",
)  # fmt: skip
"""Options of a build that a table of a batch does not have."""
NOT_FOR_ALL = (*NOT_IN_BATCH, "title", "base_url")
"""Options that would say the same of every report."""
