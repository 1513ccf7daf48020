"""What the value of an option may be: closed sets of names, what texts and Python values become, and ranges."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from reportgen.errors import UsageError
from reportgen.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Resize = Literal["stretch", "crop", "pad"]
Device = Literal["cpu", "gpu"]
Orientation = Literal["keras", "exif"]
RelevanceBaseline = Literal["auto", "black", "blur", "mean"]
FeatureMethod = Literal["fourier", "maco"]
DataImages = Literal["all", "none"]
Gate = Literal["error", "warning"]
"""How severe a finding must be for a build to fail."""

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


# -- what was given becomes what is stored ---------------------------------------------------------------


def unchanged(value: Any) -> Any:
    """Return the value as it is."""
    return value


def _listed(value: Any) -> Any:
    """Return an array, a range or another sequence of values as a list; anything else as it is."""
    if hasattr(value, "tolist"):
        return value.tolist()
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    return list(value) if several else value


def path_text(value: Any) -> Any:
    """Return a path as text."""
    return str(value) if hasattr(value, "__fspath__") else value


def texts(value: Any) -> tuple[Any, ...]:
    """Return one text or path, or several, as a tuple of texts."""
    several = () if value is None else value
    if isinstance(value, str) or hasattr(value, "__fspath__"):
        several = (value,)
    return tuple(path_text(item) for item in several)


def names(value: Any) -> tuple[str, ...]:
    """Return names that may be joined by commas, one by one."""
    parts = (part.strip() for text in texts(value) for part in str(text).split(","))
    return tuple(part for part in parts if part)


def method_names(value: Any) -> tuple[str, ...]:
    """Return names of methods, which Python writes with underscores."""
    return tuple(name.replace("_", "-") for name in names(value))


def targets(value: Any) -> tuple[str, ...]:
    """Return classes and outputs, by name or number, as texts."""
    listed = _listed(value)
    return tuple(str(item) for item in (listed if isinstance(listed, list | tuple) else [listed]))


def pairs(value: Any) -> tuple[tuple[str, str], ...]:
    """Return a mapping, pairs or ``KEY=VALUE`` texts as pairs."""
    if hasattr(value, "items"):
        return tuple((str(key), str(text)) for key, text in value.items())
    found = []
    for item in (value,) if isinstance(value, str) else value or ():
        if isinstance(item, str):
            key, sign, text = item.partition("=")
            if not sign or not key.strip():
                raise UsageError(f"--meta takes KEY=VALUE, not {item!r}.")
            found.append((key.strip(), text.strip()))
        else:
            found.append((str(item[0]), str(item[1])))
    return tuple(found)


def bands(value: Any) -> Any:
    """Read ``3,2,1``; one number is one band."""
    if isinstance(value, int):
        return (value,)
    if not isinstance(value, str):
        return _listed(value)
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise UsageError(f"--bands takes R,G,B, as in 3,2,1, or one band, not {value!r}.") from None


def size(value: Any) -> Any:
    """Read ``224x224``; one number is height and width."""
    if isinstance(value, int):
        return (value, value)
    if not isinstance(value, str):
        return _listed(value)
    height, _, width = value.lower().replace("\u00d7", "x").partition("x")
    try:
        return int(height), int(width or height)
    except ValueError:
        raise UsageError(
            f"--input-size takes HEIGHTxWIDTH, as in 224x224, not {value!r}."
        ) from None


def class_names(value: Any) -> Any:
    """Return names as texts, or the path of a file of them."""
    if isinstance(value, str) or hasattr(value, "__fspath__"):
        return str(value)
    listed = _listed(value)
    if not isinstance(listed, list | tuple):
        raise UsageError(f"classes takes names, or a file of them, not {type(value).__name__}.")
    return tuple(str(text) for text in listed)


def labels(value: Any) -> Any:
    """Return the path of a file, labels by name, or one label a probe."""
    value = path_text(value)
    if isinstance(value, str):
        return value
    if hasattr(value, "items"):
        return dict(value.items())
    return tuple(label.tolist() if hasattr(label, "tolist") else label for label in value)


# -- ranges ----------------------------------------------------------------------------------------------


def at_least_one(flag: str, value: float) -> None:
    """Refuse what is below 1."""
    if value < 1:
        raise UsageError(f"{flag} must be at least 1, not {value}.")


def within(low: int, high: int) -> Callable[[str, int], None]:
    """Return a check that refuses what does not lie between the two, which may be taken."""

    def check(flag: str, value: int) -> None:
        if not low <= value <= high:
            raise UsageError(f"{flag} takes {low} to {high:,}, not {value}.")

    return check


def seconds(flag: str, value: float) -> None:
    """Refuse negative times and NaN."""
    if not value >= 0:
        raise UsageError(f"{flag} takes seconds, at least 0.")


def web_address(flag: str, value: str) -> None:
    """Refuse what is no address of a folder on the web, or would not stand in a link as it is."""
    if not re.fullmatch(r"https?://[A-Za-z0-9.\-]+(:\d+)?(/[A-Za-z0-9._~%/+@=:,-]*)?", value):
        raise UsageError(
            f"{flag} takes an address as https://example.org/reports/7/, without blanks, ? and #."
        )


def probability(flag: str, value: float) -> None:
    """Refuse what does not lie between 0 and 1."""
    if not 0 < value < 1:
        raise UsageError(f"{flag} must lie between 0 and 1, not {value}.")


def one_or_three_bands(flag: str, value: Sequence[int]) -> None:
    """Refuse what makes no picture."""
    if len(value) not in {0, 1, 3} or any(band < 0 for band in value):
        raise UsageError(f"{flag} takes one band or three, R,G,B, counted from 0.")


def size_of_an_image(flag: str, value: Sequence[int]) -> None:
    """Refuse images without pixels."""
    if min(value) < 1:
        raise UsageError(f"{flag} must be at least 1x1.")


def preprocess_mode(flag: str, value: str) -> None:
    """Refuse what is neither a mode nor ``module:function``."""
    if value not in PREPROCESS_MODES and ":" not in value:
        modes = ", ".join(PREPROCESS_MODES)
        raise UsageError(f"{flag} takes {modes} or module:function, not {value!r}.")


def section_names(_: str, value: Sequence[str]) -> None:
    """Refuse names of no section."""
    for name in value:
        if name not in SECTIONS:
            raise UsageError(
                f"There is no section {name!r}{did_you_mean(name, SECTIONS) or '.'} "
                f"The sections are {', '.join(SECTIONS)}."
            )


def relevance_methods(flag: str, value: Sequence[str]) -> None:
    """Refuse names of no method, and ``none`` beside others."""
    if "none" in value and len(value) > 1:
        raise UsageError(f"{flag} none leaves everything out; it takes no further methods.")
    known = (*RELEVANCE, "all", "none")
    for name in value:
        if name not in known:
            raise UsageError(
                f"There is no relevance method {name!r}{did_you_mean(name, known) or '.'} "
                f"The methods are {', '.join(known)}."
            )
