"""What a build can be told: frozen settings with their defaults, and the limits of the house."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from reportgen.engines.opening import EngineName
from reportgen.errors import UsageError
from reportgen.options import OPTIONS
from reportgen.values import (
    CAM_FAMILY,
    DEFAULT_RELEVANCE,
    RELEVANCE,
    SECTIONS,
    DataImages,
    Device,
    FeatureMethod,
    Gate,
    Orientation,
    RelevanceBaseline,
    Resize,
)
from reportgen.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from os import PathLike

    from reportgen.values import SectionKind

# -- limits on what strangers may give; docs/security.md has them in a table -----------------------------

MAX_PIXELS = 100_000_000
"""Larger images are refused before they are decoded."""
MAX_DEEP_PIXELS = 16_000_000
"""Likewise of 16 bits a channel in colour, which are decoded in Python at five megapixels a second."""
MAX_INFLATION = 200
"""Keras does not compress: a file that unpacks to more than this many times its size is a trap."""
MAX_MEMBERS = 100_000
"""Of the archive that a ``.keras`` file is."""
MAX_SHARDS = 256
"""Files that an index of weights may name."""
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
CHECKPOINT_SECONDS = 180
"""Time that copying a SavedModel's weights may take, with TensorFlow's import, beside ``INSPECTION_RATE``."""
CHECKPOINT_MEMORY = 1536 * 2**20
"""Resident bytes of the process that copies them, beside twice their size."""
MAX_ARCHITECTURE_BYTES = 64 * 2**20
"""Of a file that describes a network."""
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
MAX_CARD_BYTES = 128 * 2**10
"""Of a model card."""
MAX_NOTES_BYTES = 4 * 2**20
"""Of a file of notes, whose characters are counted once they are read."""
MAX_STATIC_BYTES = 512 * 2**10
"""Of a template, a style sheet or a logo of the user."""
MAX_REMOTE_FILES = 200_000
"""That one build fetches from stores."""
MAX_REMOTE_BYTES = 64 * 2**30

MAX_RECORD_BYTES = 64 * 2**20
"""Of one image, and of one record, in a tar, a TFRecord or a Parquet file."""
MAX_LABEL_BYTES = 2**20
"""Of a label that is a member of a tar, and of a ``features.toml``."""

SLAB_BYTES = 256 * 2**20
"""A stored weight that is larger is read and measured slab by slab."""

# -- bounds on what a pass takes ------------------------------------------------------------------------

MAX_ACTIVATION_BYTES = 512 * 2**20
"""Bound on the activations in flight during a forward pass."""
MAX_GRADIENT_BYTES = 2**30
"""Bound on what a gradient pass keeps: the outputs of all layers."""
BLOCK = 4
"""Images a forward pass: of 2, 4 and 8 the cheapest on a CPU where networks are large, and the smallest."""
GROUP_SIZE = 4
"""Most pictures that are optimised in one batch."""
LARGEST_BLOCK = 64
"""Images a pass of the survey where the network is small."""
MAX_BLOCK_BYTES = 16 * 2**20
"""Outputs of all layers up to which such a pass grows: on a CPU larger ones are no cheaper an image."""
DEFAULT_INPUT_SIZE = (224, 224)
"""Height and width for models that leave them open."""
DEFAULT_LENGTH = 64
"""Of sequences and volumes that leave theirs open."""

FEATURE_STEPS = 64
"""Of a feature picture: ``benchmarks/README.md`` has what more of them add."""
FULL_FEATURE_STEPS = 128


class BuildOptions(TypedDict, total=False):
    """What ``build_report`` takes beside the model and the images; ``reportgen build --help`` explains it.

    What may be repeated on the command line is a sequence here, or one value. ``classes`` are names in the
    order of the outputs, or a file of them; ``labels`` a file, a mapping from the name of a probe, or one label
    a probe; ``preprocess`` is a mode, ``module:function``, or a function from (n, height, width, channels)
    float32 in 0..255; ``meta`` are pairs or a mapping; ``thresholds`` are limits of rules by their names. None
    stands for the default.
    """

    max_probes: int | None
    classes: str | PathLike[str] | Sequence[str] | None
    labels: str | PathLike[str] | Mapping[str, Any] | Iterable[Any] | None
    data_features: str | PathLike[str] | None
    resize: Resize | None
    orientation: Orientation | None
    bands: int | str | Sequence[int] | None
    input_size: int | str | Sequence[int] | None
    preprocess: str | Callable[[Any], Any] | None
    threshold: float | None
    custom_objects: str | PathLike[str] | Sequence[str | PathLike[str]] | None
    allow_code: bool | None
    architecture: str | PathLike[str] | None
    like: str | PathLike[str] | None
    weights_only: bool | None
    title: str | None
    notes: str | PathLike[str] | None
    card: str | PathLike[str] | None
    templates: str | PathLike[str] | None
    meta: Mapping[str, Any] | Sequence[str | tuple[str, Any]] | None
    hide_names: bool | None
    show_paths: bool | None
    sections: str | Sequence[str] | None
    skip: str | Sequence[str] | None
    layers: str | Sequence[str] | None
    relevance: str | Sequence[str] | None
    relevance_layer: str | None
    relevance_baseline: RelevanceBaseline | None
    target: str | int | Sequence[str | int] | None
    units: str | Sequence[str] | None
    feature_method: FeatureMethod | None
    feature_steps: int | None
    diversity: int | None
    caricature: str | int | None
    full: bool | None
    budget: float | None
    quick: bool | None
    single_file: bool | None
    ignore: str | Sequence[str] | None
    thresholds: Mapping[str, float] | None
    images: bool | None
    data_images: DataImages | None
    base_url: str | None
    fail_on: Gate | None
    seed: int | None
    device: Device | None
    cache: str | PathLike[str] | None
    fresh: bool | None
    jobs: int | None
    engine: EngineName | None
    address: str | None
    retries: int | None
    strict: bool | None
    force: bool | None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that shapes a report beside the model and the probes; ``reportgen.options`` says what each is.

    Attributes:
        classes: names in the order of the outputs, or the path of a file of them.
        labels: the path of a file, a mapping from the name of a probe, or one label a probe.
        bands: all that the image has when empty.
        preprocess: None is ``auto`` for image files and ``none`` for arrays and data sets.
        sections: all when empty.
        relevance: ``DEFAULT_RELEVANCE`` when empty.
        layers: a choice over the depth when empty; so are ``units``.
        cache: the user's cache folder when None.
    """

    max_probes: int = 8
    classes: tuple[str, ...] | str | None = None
    labels: str | dict[str, Any] | tuple[Any, ...] | None = None
    data_features: str | None = None
    resize: Resize = "stretch"
    orientation: Orientation = "keras"
    bands: tuple[int, ...] = ()
    input_size: tuple[int, int] | None = None
    preprocess: str | None = None
    threshold: float = 0.5
    custom_objects: tuple[str, ...] = ()
    allow_code: bool = False
    architecture: str | None = None
    like: str | None = None
    weights_only: bool = False
    title: str | None = None
    notes: str | None = None
    card: str | None = None
    templates: str | None = None
    meta: tuple[tuple[str, str], ...] = ()
    hide_names: bool = False
    show_paths: bool = False
    sections: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    relevance: tuple[str, ...] = ()
    relevance_layer: str | None = None
    relevance_baseline: RelevanceBaseline = "auto"
    target: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    feature_method: FeatureMethod = "fourier"
    feature_steps: int | None = None
    diversity: int = 1
    caricature: str | int | None = None
    full: bool = False
    budget: float | None = None
    quick: bool = False
    single_file: bool = False
    ignore: tuple[str, ...] = ()
    thresholds: dict[str, float] = {}
    images: bool = True
    data_images: DataImages = "all"
    base_url: str | None = None
    fail_on: Gate | None = None
    seed: int = 0
    device: Device = "cpu"
    cache: str | None = None
    fresh: bool = False
    jobs: int | None = None
    engine: EngineName | None = None
    address: str | None = None
    retries: int = 1
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
    def steps_of_features(self) -> int:
        """How many steps a picture is optimised: as wanted, else fewer than in full."""
        return self.feature_steps or (FULL_FEATURE_STEPS if self.full else FEATURE_STEPS)

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
    known = Settings.__struct_fields__
    for name in options:
        if name not in known:
            raise UsageError(f"There is no option {name!r}{did_you_mean(name, known) or '.'}")
    for name, value in options.items():
        option = OPTIONS[name]
        if option.choices and isinstance(value, str) and value not in option.choices:
            raise UsageError(f"{option.flag} takes {' or '.join(option.choices)}, not {value!r}.")
    try:
        settings = msgspec.convert(
            {name: OPTIONS[name].normalised(_plain(value)) for name, value in options.items()},
            Settings,
        )
    except (TypeError, LookupError, msgspec.ValidationError) as error:
        raise UsageError(f"An option has a value that it cannot take: {error}.") from None
    for name in known:
        option, value = OPTIONS[name], getattr(settings, name)
        if option.check is not None and value is not None:
            option.check(option.flag, value)
    if not settings.chosen_sections:
        raise UsageError("--sections and --skip leave no section to make.")
    return settings


def _plain(value: Any) -> Any:
    """Return NumPy's numbers as Python's."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
