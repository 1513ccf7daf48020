"""What a build can be told: frozen settings with their defaults, and the limits of the house."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from reportgen.errors import UsageError
from reportgen.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Resize = Literal["stretch", "crop", "pad"]
Device = Literal["cpu", "gpu"]
Orientation = Literal["keras", "exif"]

SectionKind = Literal[
    "overview",
    "evaluation",
    "architecture",
    "weights",
    "probes",
    "activations",
    "relevance",
    "features",
    "history",
]
SECTIONS: tuple[SectionKind, ...] = get_args(SectionKind)
"""The names of all sections, in the order of the page."""

PREPROCESS_MODES = ("auto", "none", "unit", "symmetric", "caffe", "torch", "uint16")
RELEVANCE = (
    "gradcam",
    "hirescam",
    "layercam",
    "integrated-gradients",
    "smoothgrad",
    "saliency",
    "occlusion",
    "rollout",
)
"""The names of all relevance methods, in the order of the page's columns."""
CAM_FAMILY = ("gradcam", "hirescam", "layercam")
DEFAULT_RELEVANCE = ("gradcam", "integrated-gradients", "rollout")
"""Rollout exists for attention only."""
MOST_PICTURES = 8
"""Different pictures of one unit."""
MOST_STEPS = 10_000
MOST_SEED = 2**30
RESIZE_MODES = ("stretch", "crop", "pad")

# -- limits on what strangers may give; docs/security.md has them in a table -----------------------------

MAX_PIXELS = 100_000_000
"""Larger images are refused before they are decoded."""
MAX_DEEP_PIXELS = 16_000_000
"""Likewise of 16 bits a channel in colour, which are decoded in Python at five megapixels a second."""
MAX_INFLATION = 200
"""Keras does not compress: a file that unpacks to more than this many times its size is a trap."""
DECLARED_TIMES = 8
"""How often the bytes that a file stores its weights may take: it may hold them in a smaller type."""
DECLARED_BYTES = 64 * 2**20
"""Bytes of weights that any file may declare beside."""
MAX_TENSOR_VALUES = 2**30
"""Values of one layer's output for one image: four gibibytes of float32."""
BUILD_SECONDS = 30
"""Time that building a network from a file, and tracing it, may take each, beside ``BUILD_RATE``."""
BUILD_RATE = 2_000
"""Bytes a second of a stored configuration that are waited for; EfficientNet-Lite0's 150 kB take 3 seconds."""
INSPECTION_SECONDS = 10
"""Time that reading a model file once may take, beside ``INSPECTION_RATE``."""
INSPECTION_RATE = 20_000_000
"""Bytes a second of a model file that are waited for."""
INSPECTION_MEMORY = 512 * 2**20
"""Resident bytes of the process that reads a model file once, beside the file's size."""
MAX_NAME_CHARACTERS = 4_096
"""Of a file name, a label or a class name."""
MAX_HISTORY_BYTES = 64 * 2**20
"""Of a file of a training history."""
MAX_HISTORY_COLUMNS = 10_000
MAX_HISTORY_VALUES = 32_000_000
"""Columns by epochs; a file of ``MAX_HISTORY_BYTES`` holds no more, unless most of its columns are short."""
MAX_HISTORY_VALUE = 1e100
"""Magnitude: means, squares and the axes of figures overflow soon beyond it."""
MAX_EPOCH = 2**40

# -- bounds on what a pass takes ------------------------------------------------------------------------

MAX_ACTIVATION_BYTES = 512 * 2**20
"""Bound on the activations in flight during a forward pass."""
MAX_GRADIENT_BYTES = 2**30
"""Bound on what a gradient pass keeps: the outputs of all layers."""
BLOCK = 8
"""Images a forward pass: batches of 2 to 8 are the cheapest and smallest on a CPU."""
LARGEST_BLOCK = 64
"""Images a pass of the survey where the network is small."""
MAX_BLOCK_BYTES = 16 * 2**20
"""Outputs of all layers up to which such a pass grows: on a CPU larger ones are no cheaper an image."""
DEFAULT_INPUT_SIZE = (224, 224)
"""Height and width for models that leave them open."""
DEFAULT_LENGTH = 64
"""Of sequences and volumes that leave theirs open."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that shapes a report beside the model and the probes.

    Attributes:
        max_probes: how many probes are shown, at least 1.
        classes: class names in the order of the outputs, or the path of a file of them.
        labels: path of a CSV ``file,label``, or a mapping from probe name to label, or a sequence
            with one label a probe.
        resize: how an image of another aspect ratio is fitted.
        orientation: ``keras`` reads image files as they are stored, ``exif`` turns them as their tag says.
        bands: the channels of images that are shown, one as grey or three as red, green and blue, counted from
            0; the first ones when empty.
        input_size: height and width for models that leave them open.
        preprocess: a mode of ``PREPROCESS_MODES``, ``module:function``, or None: ``auto`` for image
            files and ``none`` for arrays and data sets.
        threshold: probability from which a label of a multi-label or binary head counts as given.
        custom_objects: ``MODULE``, ``MODULE:NAME`` or ``FILE.py`` texts, imported before loading.
        allow_code: whether Python code stored in the model file may run.
        title: heading of the page; the model's name without it.
        meta: pairs shown in the overview.
        hide_names: whether probes are numbered in place of their file names.
        show_paths: whether paths are shown whole; otherwise file names only.
        sections: the sections to make; all when empty.
        skip: sections to leave out.
        relevance: methods of ``RELEVANCE``, ``all`` or ``none``; ``DEFAULT_RELEVANCE`` when empty.
        relevance_layer: the layer whose features the CAM family weighs, in place of the choice.
        target: what is explained beside the predicted class: ``CLASS``, ``INDEX``, ``OUTPUT`` or
            ``OUTPUT:CLASS``.
        units: units whose preferred pictures are shown: ``LAYER:INDEX``, ``LAYER:INDEX@centre``, ``LAYER:*``,
            ``class:NAME`` or ``LAYER:direction=FILE.npy``; a choice when empty.
        feature_method: ``fourier`` (Lucid) or ``maco``.
        feature_steps: of the optimisation.
        diversity: how many different pictures of each unit.
        caricature: name or number of the probe whose features are exaggerated.
        feature_budget: seconds after which no further unit is begun.
        quick: whether what is dear is left out: evidence, randomisation test, pixel-level maps.
        layers: patterns for the layers whose maps are shown; a choice over the depth when empty.
        ignore: ``RULE`` or ``RULE:LAYER-GLOB``: findings that are accepted.
        thresholds: of rules, in place of their defaults.
        fail_on: severity from which a finding makes the build fail (exit code 4).
        seed: for everything that samples.
        device: where the network runs.
        cache: folder for finished pieces of long work; the user's cache folder when None.
        fresh: whether pieces that lie there are ignored.
        strict: whether a section that fails stops the build.
        force: whether a folder that is no report may be written into.
    """

    max_probes: int = 8
    classes: tuple[str, ...] | str | None = None
    labels: str | dict[str, Any] | tuple[Any, ...] | None = None
    resize: Resize = "stretch"
    orientation: Orientation = "keras"
    bands: tuple[int, ...] = ()
    input_size: tuple[int, int] | None = None
    preprocess: str | None = None
    threshold: float = 0.5
    custom_objects: tuple[str, ...] = ()
    allow_code: bool = False
    title: str | None = None
    meta: tuple[tuple[str, str], ...] = ()
    hide_names: bool = False
    show_paths: bool = False
    sections: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    relevance: tuple[str, ...] = ()
    relevance_layer: str | None = None
    target: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    feature_method: Literal["fourier", "maco"] = "fourier"
    feature_steps: int = 128
    diversity: int = 1
    caricature: str | int | None = None
    feature_budget: float | None = None
    quick: bool = False
    ignore: tuple[str, ...] = ()
    thresholds: dict[str, float] = {}
    fail_on: Literal["error", "warning"] | None = None
    seed: int = 0
    device: Device = "cpu"
    cache: str | None = None
    fresh: bool = False
    strict: bool = False
    force: bool = False

    @property
    def relevance_methods(self) -> tuple[str, ...]:
        """The names of the relevance methods that are run, in the order of ``RELEVANCE``."""
        if "none" in self.relevance:
            return ()
        wanted = RELEVANCE if "all" in self.relevance else self.relevance or DEFAULT_RELEVANCE
        allowed = CAM_FAMILY if self.quick else RELEVANCE
        return tuple(name for name in RELEVANCE if name in wanted and name in allowed)

    @property
    def chosen_sections(self) -> tuple[SectionKind, ...]:
        """The names of the sections to make, in the order of the page."""
        wanted = self.sections or SECTIONS
        return tuple(name for name in SECTIONS if name in wanted and name not in self.skip)


def make_settings(options: Mapping[str, Any]) -> Settings:
    """Check ``options`` and return them as settings.

    Raises:
        UsageError: an unknown option, a value of the wrong kind or out of range, or an unknown
            section.
    """
    try:
        options = {name: _normalised(name, _plain(value)) for name, value in options.items()}
    except (TypeError, LookupError) as error:
        raise UsageError(f"An option has a value that it cannot take: {error}.") from None
    known = Settings.__struct_fields__
    for name in options:
        if name not in known:
            raise UsageError(f"There is no option {name!r}{did_you_mean(name, known) or '.'}")
    try:
        settings = msgspec.convert(options, Settings)
    except msgspec.ValidationError as error:
        raise UsageError(f"An option has a value that it cannot take: {error}.") from None
    _check_ranges(settings)
    return settings


def _plain(value: Any) -> Any:
    """Return NumPy's numbers as Python's."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _normalised(name: str, value: Any) -> Any:
    if name in {"sections", "skip", "relevance"} and value is not None:
        values = [value] if isinstance(value, str) else value
        return tuple(
            part.strip().replace("_", "-") if name == "relevance" else part.strip()
            for text in values
            for part in str(text).split(",")
            if part.strip()
        )
    if name in {"custom_objects", "layers", "ignore", "units"}:
        return (value,) if isinstance(value, str) else tuple(value or ())
    if name == "target" and value is not None:
        return tuple(str(item) for item in (value if isinstance(value, list | tuple) else [value]))
    if name == "meta":
        return _pairs(value or ())
    if name in _FROM_TEXT and isinstance(value, str):
        return _FROM_TEXT[name](value)
    if name == "input_size" and isinstance(value, int):
        return (value, value)
    if name == "classes" and value is not None and not isinstance(value, str):
        return tuple(str(text) for text in value) if isinstance(value, list | tuple) else str(value)
    if name in {"labels", "cache"} and hasattr(value, "__fspath__"):
        return str(value)
    if name == "labels" and value is not None and not isinstance(value, str | dict):
        return tuple(label.tolist() if hasattr(label, "tolist") else label for label in value)
    return value


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    if hasattr(value, "items"):
        return tuple((str(key), str(text)) for key, text in value.items())
    pairs = []
    for item in value:
        if isinstance(item, str):
            key, sign, text = item.partition("=")
            if not sign or not key.strip():
                raise UsageError(f"--meta takes KEY=VALUE, not {item!r}.")
            pairs.append((key.strip(), text.strip()))
        else:
            pairs.append((str(item[0]), str(item[1])))
    return tuple(pairs)


def _bands(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--bands takes R,G,B, as in 3,2,1, or one band, not {text!r}.") from None


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().replace("\u00d7", "x").partition("x")
    try:
        return int(height), int(width or height)
    except ValueError:
        raise UsageError(f"--input-size takes HEIGHTxWIDTH, as in 224x224, not {text!r}.") from None


_FROM_TEXT: dict[str, Callable[[str], tuple[int, ...]]] = {"bands": _bands, "input_size": _size}


def _check_ranges(settings: Settings) -> None:
    if settings.max_probes < 1:
        raise UsageError(f"--max-probes must be at least 1, not {settings.max_probes}.")
    _check_features(settings)
    if not 0 <= settings.seed <= MOST_SEED:
        raise UsageError(f"--seed takes 0 to {MOST_SEED:,}, not {settings.seed}.")
    if not 0 < settings.threshold < 1:
        raise UsageError(f"--threshold must lie between 0 and 1, not {settings.threshold}.")
    if len(settings.bands) not in {0, 1, 3} or any(band < 0 for band in settings.bands):
        raise UsageError("--bands takes one band or three, R,G,B, counted from 0.")
    if settings.input_size and min(settings.input_size) < 1:
        raise UsageError("--input-size must be at least 1x1.")
    mode = settings.preprocess
    if mode is not None and mode not in PREPROCESS_MODES and ":" not in mode:
        modes = ", ".join(PREPROCESS_MODES)
        raise UsageError(f"--preprocess takes {modes} or module:function, not {mode!r}.")
    for name in (*settings.sections, *settings.skip):
        if name not in SECTIONS:
            raise UsageError(
                f"There is no section {name!r}{did_you_mean(name, SECTIONS) or '.'} "
                f"The sections are {', '.join(SECTIONS)}."
            )
    _check_relevance(settings.relevance)
    if not settings.chosen_sections:
        raise UsageError("--sections and --skip leave no section to make.")


def _check_features(settings: Settings) -> None:
    if not 1 <= settings.diversity <= MOST_PICTURES:
        raise UsageError(f"--diversity takes 1 to {MOST_PICTURES}, not {settings.diversity}.")
    if not 1 <= settings.feature_steps <= MOST_STEPS:
        raise UsageError(
            f"--feature-steps takes 1 to {MOST_STEPS:,}, not {settings.feature_steps}."
        )
    if settings.feature_budget is not None and not settings.feature_budget >= 0:
        raise UsageError("--feature-budget takes seconds, at least 0.")


def _check_relevance(names: tuple[str, ...]) -> None:
    if "none" in names and len(names) > 1:
        raise UsageError("--relevance none leaves everything out; it takes no further methods.")
    known = (*RELEVANCE, "all", "none")
    for name in names:
        if name not in known:
            raise UsageError(
                f"There is no relevance method {name!r}{did_you_mean(name, known) or '.'} "
                f"The methods are {', '.join(known)}."
            )
