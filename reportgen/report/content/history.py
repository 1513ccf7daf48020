"""How the training went."""

from __future__ import annotations

from typing import Literal

import msgspec

from reportgen.report.leaves import Figure


class Curve(msgspec.Struct, frozen=True):
    """A metric over the epochs; None where it is not finite or was not logged.

    Attributes:
        name: without ``val_``.
        better: ``lower`` or ``higher``.
        train: a value an epoch; empty where only validation was logged.
        validation: a value an epoch; empty without validation data.
        best: index of the best validation epoch, of training where there is no validation; None where no
            value is finite. The first of equal ones.
        non_finite: how many logged values are NaN or infinite, training and validation.
        figure: both over the epochs.
        skipped: epochs without validation, where it was done every k-th epoch alone.
    """

    name: str
    better: Literal["lower", "higher"]
    train: tuple[float | None, ...]
    validation: tuple[float | None, ...]
    best: int | None
    non_finite: int = 0
    figure: Figure | None = None
    skipped: int = 0


class HistoryContent(msgspec.Struct, frozen=True, tag="history"):
    """The training history; the loss first.

    Attributes:
        source: file name and format.
        epochs: those whose values are kept, counted from 1: all, or of a long training some.
        loss: name of the curve that the rules about fit rest on; None where none is a loss.
        learning_rate: a value an epoch; empty where it was not logged.
        logged: how many epochs were logged; absent where all are kept.
    """

    source: str
    epochs: tuple[int, ...]
    curves: tuple[Curve, ...]
    loss: str | None
    learning_rate: tuple[float | None, ...] = ()
    learning_rate_figure: Figure | None = None
    logged: int | msgspec.UnsetType = msgspec.UNSET

    @property
    def total(self) -> int:
        """How many epochs were logged."""
        return self.logged or len(self.epochs)
