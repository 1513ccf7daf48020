"""Every error that a user can cause, and its exit code.

    ReportgenError            1   anything that has no class of its own
    ├── UsageError            2   an option or argument that cannot be
    ├── SectionError          3   a section failed and ``--strict`` was given
    ├── ModelError            5   the model file or object
    ├── InputError            6   any other input
    │   ├── ProbeError            images and arrays to probe with
    │   ├── LabelError            class names and labels
    │   ├── HistoryError          a training history
    │   ├── DataError             a data set to evaluate on
    │   ├── ConfigurationError    ``[tool.reportgen]`` in pyproject.toml
    │   ├── NotesError            the user's own section
    │   ├── CardError             a model card
    │   ├── TemplateError         templates of the user
    │   └── ReportError           a report.json that cannot be read
    ├── OutputError           7   the report folder
    │   └── LockedError           another build writes to it
    └── NotApplicable         -   a part that this model or run does not have; becomes an info
    notice

Messages say what, where and what to do; no traceback is shown for these.
"""

from __future__ import annotations

import re


class ReportgenError(Exception):
    """Base of all errors whose message is meant for the user.

    Attributes:
        exit_code: what the command line exits with.
    """

    exit_code = 1


class UsageError(ReportgenError):
    """An option or argument that cannot be."""

    exit_code = 2


class SectionError(ReportgenError):
    """A section failed in a strict run; nothing was written."""

    exit_code = 3


class ModelError(ReportgenError):
    """The model cannot be loaded or run."""

    exit_code = 5


class NotBuiltError(ModelError):
    """No network is built from a file, and what it stores can be shown all the same; the text says why."""


class UnfitError(NotBuiltError):
    """The architecture that was given for weights is not theirs: it says nothing of them."""


class InputError(ReportgenError):
    """An input other than the model cannot be used."""

    exit_code = 6


class RunError(ModelError):
    """No image can be run through the network here; the weights can be reported all the same."""

    @classmethod
    def of(cls, problem: str) -> RunError:
        """Return the error of a network that cannot be run at all, for a reason."""
        return cls(f"The network cannot be run: {problem}.")


class ProbeError(InputError):
    """Images or arrays that cannot be fed to the model."""


class LabelError(InputError):
    """Class names or labels that do not fit the model or the probes."""


class HistoryError(InputError):
    """A training history that cannot be used."""


class DataError(InputError):
    """A data set that cannot be evaluated on."""


class ConfigurationError(InputError):
    """A ``[tool.reportgen]`` table that cannot be used."""


class NotesError(InputError):
    """Notes that cannot be read, or a picture that they name."""


class CardError(InputError):
    """A model card that cannot be used."""


class TemplateError(InputError):
    """A template of the user that cannot be used."""


class ReportError(InputError):
    """A report.json that cannot be read."""


class OutputError(ReportgenError):
    """The report folder cannot be written."""

    exit_code = 7


class LockedError(OutputError):
    """Another build holds the report folder's lock."""


class NotApplicable(ReportgenError):  # noqa: N818 - not an error: the absence of a part
    """This part does not exist for this model or run; shown as an info notice in its place."""


EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


def worst(codes: list[int]) -> int:
    """Return the exit code that wins: 7 > 5 > 6 > 3 > 4 > anything else > 0."""
    order = {7: 6, 5: 5, 6: 4, 3: 3, 4: 2, 0: 0}
    return max(codes, key=lambda code: order.get(code, 1), default=0)


_HOMES = re.compile(r"/(?:home|Users)/[^/\n'\"]+/(?:[\w.@+~ -]+/)*")
_POSIX = re.compile(r"(?:(?<![\w.:/])/{1,2}|(?<=:)/)(?:[^\s/'\":<>|]+/)+")
_FILE = re.compile(r"\bfile:(?://[^/\s]*)?(?=/)")
_QUOTED = re.compile(r"""(?<=['"])(?:[A-Za-z]:)?[/\\][^'"\n]*[/\\](?=[^/\\'"\n]*['"])""")
_WINDOWS = re.compile(
    r"""(?:(?<![A-Za-z])[A-Za-z]:|\\\\[\w.$-]+|(?<![\w.])\.{1,2}(?=\\))[\\/](?![\\/])(?:[^\\/:*?"'<>|\n]+[\\/])*"""
)


def without_folders(text: str) -> str:
    """Return a text without the folders of its paths, because reports are shared; file names stay.

    Known are POSIX and Windows paths, with blanks where they are quoted, under a home or with a drive.
    """
    text = _FILE.sub("", text)
    for pattern in (_QUOTED, _WINDOWS, _HOMES, _POSIX):
        text = pattern.sub("…/", text)
    return text


def error_text(error: Exception) -> str:
    """Return an error in one line; no traceback and no folders, because reports are shared."""
    text = without_folders(" ".join(str(error).split()))
    shown = text if len(text) <= 400 else text[:399] + "…"
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


def reason_text(error: Exception) -> str:
    """Return why something failed, for a notice: our own sentence as it is, a foreign error with its type."""
    if isinstance(error, ReportgenError):
        return without_folders(str(error)).rstrip(".")
    return error_text(error)
