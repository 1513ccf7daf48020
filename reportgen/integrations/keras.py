"""A report when training ends, or every few epochs: a callback of Keras."""

from __future__ import annotations

import math
import string
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack
from urllib.parse import quote

import keras
import numpy as np

from reportgen.addresses import is_address
from reportgen.build import build_report
from reportgen.errors import OutputError, UsageError, reason_text
from reportgen.nets.engine import import_keras
from reportgen.nets.workers import speaks_for_all
from reportgen.page.output import check_page, is_page
from reportgen.page.publish import publish_page
from reportgen.page.render import render_latest
from reportgen.report.model import INDEX_HTML
from reportgen.settings import make_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from reportgen.page.folder import ReportFolder
    from reportgen.settings import BuildOptions

LATEST = "latest"


class ReportWarning(UserWarning):
    """A report that could not be made; the training goes on."""


class ReportCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Makes a report of the model while, or once, it is trained.

    Weights, the optimizer's state, random seeds and what is trainable are afterwards as they were, also where
    a report fails, which is a ``ReportWarning``. The history is what the callback itself sees: what another
    callback adds to the logs, as the learning rate, is in it where that one stands before it. Of several
    workers the chief alone makes reports.

    Ctrl-C ends a training without telling its callbacks. As a context manager this one still makes a report::

        with ReportCallback("reports/{epoch:03d}", probes="holdout/") as report:
            model.fit(images, labels, epochs=20, callbacks=[report])

    or call ``finish()``.

    Args:
        output: the report folder, or a name that ends in ``.html``, formatted with ``epoch`` (from 1) and the
            logs of the epoch, as in ``reports/{epoch:03d}-{val_loss:.2f}``. Where it is formatted,
            ``latest/index.html`` in the folder above leads to the newest report.
        probes: as in ``reportgen.build_report``.
        data: likewise.
        every: epochs between reports; None makes none before the training ends.
        on: ``train_end`` makes a report when training ends; with ``epoch_end`` there is none but those of
            ``every``, which is 1 where it is not given.
        **options: as in ``reportgen.build_report``.

    Attributes:
        reports: that were made, the newest last.

    Raises:
        UsageError: an argument that cannot be.
        ModelError: Keras runs on another backend than TensorFlow.
    """

    def __init__(
        self,
        output: str | Path = "reports/{epoch:03d}",
        *,
        probes: Any = None,
        data: Any = None,
        every: int | None = None,
        on: Literal["train_end", "epoch_end"] = "train_end",
        **options: Unpack[BuildOptions],
    ) -> None:
        super().__init__()
        import_keras()
        if on not in {"train_end", "epoch_end"}:
            raise UsageError(f"on takes 'train_end' or 'epoch_end', not {on!r}.")
        if every is not None and (isinstance(every, bool) or every < 1):
            raise UsageError(f"every takes a number of epochs from 1, not {every!r}.")
        plain = {name: value for name, value in options.items() if not callable(value)}
        make_settings({name: value for name, value in plain.items() if value is not None})
        self.reports: list[ReportFolder] = []
        if is_address(str(output)):
            raise UsageError(
                "ReportCallback writes to a folder of this machine; build_report also sends to an address."
            )
        self._output, self._every = str(output), every or (1 if on == "epoch_end" else None)
        self._fields = _fields(self._output)
        self._at_end = on == "train_end"
        self._given = {"probes": probes, "data": data, **options}
        self._logs: list[dict[str, float]] = []
        self._reported = 0
        self._making = False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras's signature
        """Begin a new history."""
        self._logs, self._reported = [], 0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note what was logged, and make a report where one is due."""
        self._logs.append({"epoch": epoch, **_numbers(logs or {})})
        if self._every and (epoch + 1) % self._every == 0:
            self.finish()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras's signature
        """Make the report of the trained model."""
        if self._at_end:
            self.finish()

    def finish(self) -> ReportFolder | None:
        """Make a report of the model as it is now, as of a training that was interrupted.

        The last epoch gets one report, however often this is called.

        Returns:
            The report; None where none was due or it failed.
        """
        epoch = int(self._logs[-1]["epoch"]) + 1 if self._logs else 0
        if not self._logs or self._reported == epoch or not speaks_for_all(self.model):
            return None
        self._making = True  # a Ctrl-C from here on is meant for the report
        try:
            made = self._made(epoch)
        except Exception as error:  # noqa: BLE001 - whatever it is, hours of training go on
            text = f"No report of epoch {epoch}: {reason_text(error)}."
            warnings.warn(text, ReportWarning, stacklevel=2)
            made = None
        self._making = False
        self._reported = epoch
        return made

    def __enter__(self) -> Self:
        """Make a report also of a training that is interrupted in the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Make the report of an interrupted training."""
        if kind is not None and not self._making:
            self.finish()

    def _made(self, epoch: int) -> ReportFolder:
        path = self._path(epoch)
        made = build_report(self.model, output=path, history=self._history(), **self._given)
        self.reports.append(made)
        if self._fields:
            _lead_to(made, self._folder_of_all())
        return made

    def _path(self, epoch: int) -> Path:
        try:
            return Path(self._output.format(**{**self._logs[-1], "epoch": epoch}))
        except (KeyError, ValueError) as error:
            raise UsageError(f"output cannot be formatted: {error}.") from None

    def _history(self) -> dict[str, list[float]]:
        """Return what was logged by name, NaN where an epoch did not log it."""
        names = dict.fromkeys(name for one in self._logs for name in one)
        return {name: [one.get(name, math.nan) for one in self._logs] for name in names}

    def _folder_of_all(self) -> Path:
        """Return the folder below which all reports lie."""
        parts = Path(self._output).parts
        first = next(i for i, part in enumerate(parts) if _fields(part))
        return Path(*parts[:first])


def _numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Return what is a number of what was logged: metrics of several values (an F1 a class) are left out."""
    arrays = {name: np.asarray(value) for name, value in logs.items()}
    return {
        name: float(array.reshape(()))
        for name, array in arrays.items()
        if array.size == 1 and array.dtype.kind in "fiub"
    }


def _fields(text: str) -> list[str]:
    """Return the names that a text is formatted with.

    Raises:
        UsageError: it cannot be formatted.
    """
    try:
        found = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise UsageError(f"output {text!r} cannot be formatted: {error}.") from None
    if wrong := [name for name in found if not name.isidentifier()]:
        raise UsageError(
            f"output {text!r} cannot be formatted: {{{wrong[0]}}} names neither epoch nor a log."
        )
    return found


def _lead_to(report: ReportFolder, folder: Path) -> None:
    """Write ``latest/index.html``, which leads to a report."""
    page, index = folder / LATEST / INDEX_HTML, report.index
    check_page(page)
    try:
        inner = index.relative_to(folder)
    except ValueError:
        raise OutputError(f"{index} lies outside of {folder}.") from None
    name = str(inner if is_page(inner) and inner.name != INDEX_HTML else inner.parent)
    text = render_latest(quote(f"../{inner.as_posix()}"), name, report.look)
    publish_page(page, text.encode())
