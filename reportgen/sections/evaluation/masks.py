"""A class for every pixel: intersection over union and Dice of every class, and the worst images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.errors import DataError
from reportgen.inputs.images import fit_mask
from reportgen.numerics import finite_number, probabilities_of, six_digits
from reportgen.report.content.evaluation import MaskRow, Segmented
from reportgen.sections.evaluation import metrics
from reportgen.sections.evaluation.decisions import EXAMPLES
from reportgen.sections.evaluation.folds import Notable, OutputFold
from reportgen.wording import number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

IGNORED = 255
"""Pixels of this value in a mask of classes are left out, as in Pascal VOC (Everingham et al. 2010)."""
VOID = -1
"""What they are here, where 255 may be a class too."""


class MaskFold(OutputFold):
    """Counts pixels by true and decided class, over all images and for each.

    Masks of two classes that hold 0 and 255 alone are black and white, or of a thing (1) that is not there,
    with 255 left out: the data set decides it as one. Both readings are counted; where any mask holds a 1, 255
    is void.
    """

    def update(self, outputs: NDArray[Any], labels: Sequence[Any], places: NDArray[Any]) -> None:
        """Take in one block.

        Raises:
            DataError: a label that is no mask, or holds a class that the output has not.
        """
        decided = decide(outputs, self.about.task.scale, self.about.threshold)
        resized, ones = 0, 0
        found: dict[str, list[NDArray[Any]]] = {"white": [], "void": []}
        for label, place, said in zip(labels, places.tolist(), decided, strict=True):
            has_one = bool((np.asarray(label) == 1).any())
            ones += has_one
            resized += np.asarray(label).shape[:2] != said.shape
            found["void"].append(self._counted(label, place, said, void=True))
            either = self.about.classes.count == 2 and not has_one
            found["white"].append(
                self._counted(label, place, said, void=False) if either else found["void"][-1]
            )
        self.keep(place=places)
        self.count(resized=np.array(resized), ones=np.array(ones), pixels=np.array(decided.size))
        for reading, matrices in found.items():
            self.keep(**{f"iou_{reading}": np.array([mean_iou(matrix) for matrix in matrices])})
            self.count(**{f"matrix_{reading}": np.sum(matrices, axis=0)})

    def _counted(self, label: Any, place: int, said: NDArray[Any], *, void: bool) -> NDArray[Any]:
        mask = self.truth(label, place, said.shape, void=void)
        some = mask != VOID
        return metrics.confusion(mask[some], said[some], self.about.classes.count)

    @property
    def void(self) -> bool:
        """Whether 255 in masks of 0 and 255 alone is left out."""
        return self.about.classes.count != 2 or bool(self.counted("ones"))

    @property
    def iou(self) -> NDArray[Any]:
        """The mean intersection over union of each image."""
        return self.column("iou_void" if self.void else "iou_white")

    @property
    def matrix(self) -> NDArray[Any]:
        """Pixels by true and decided class."""
        return self.counted("matrix_void" if self.void else "matrix_white")

    def truth(self, label: Any, place: int, shape: tuple[int, int], *, void: bool) -> NDArray[Any]:
        """Return a label as (height, width) classes of the output's size, ``VOID`` where it says nothing.

        Args:
            label: (height, width) classes, or a channel a class.
            place: of the image.
            shape: of the output.
            void: whether 255 is left out in a mask of two classes without a 1.

        Raises:
            DataError: it is no mask, or holds a class that the output has not.
        """
        mask, classes = np.asarray(label), self.about.classes.count
        if mask.ndim == 3 and mask.shape[2] == 1:
            mask = mask[..., 0]
        elif mask.ndim == 3 and mask.shape[2] == classes:
            mask = mask.argmax(axis=2)
        if mask.ndim != 2 or mask.dtype.kind not in "fiub":
            what = "is no mask (height, width), which a picture is held against by"
            raise self.about.wrong(label, place, what)
        if classes == 2 and mask.size and _two_valued(mask, void=void):
            mask = (mask > (int(mask.max()) // 2 if mask.max() > 1 else 0.5)).astype(np.int64)
        mask = mask.astype(np.int64)
        if classes <= IGNORED:
            mask = np.where(mask == IGNORED, VOID, mask)
        mask = fit_mask(mask, shape, self.about.resize, VOID)
        beyond = (mask != VOID) & ((mask < 0) | (mask >= classes))
        if beyond.any():
            left_out = f", and {IGNORED} is left out" if classes <= IGNORED else ""
            raise DataError(
                f"--data: the mask of {self.about.named(place)} holds the class {int(mask[beyond][0])}; "
                f"the output {self.about.task.output!r} has 0 to {classes - 1}{left_out}."
            )
        return mask

    def worst(self) -> list[Notable]:
        """Return the images with the least mean intersection over union."""
        iou = self.iou
        rows = np.argsort(np.where(np.isfinite(iou), iou, np.inf), kind="stable")[:EXAMPLES]
        return [
            Notable(
                int(self.column("place")[row]),
                "mask",
                f"IoU {number_text(float(iou[row]))}",
                float(iou[row]),
            )
            for row in rows.tolist()
            if np.isfinite(iou[row])
        ]


def _two_valued(mask: NDArray[Any], *, void: bool) -> bool:
    """Return whether a mask for two classes is black and white, or grey between them, not 0, 1 and left out."""
    values = set(np.unique(mask).tolist())
    return not values <= {0, 1, IGNORED} or (values <= {0, IGNORED} and not void)


def decide(outputs: NDArray[Any], scale: str, threshold: float) -> NDArray[Any]:
    """Return the class of every pixel, (n, height, width): of one channel whether it reaches the threshold."""
    clean = np.nan_to_num(outputs)
    if clean.shape[-1] > 1:
        decided: NDArray[Any] = clean.argmax(axis=-1)
        return decided
    p = probabilities_of(clean[..., 0], scale)
    return (p >= threshold).astype(np.int64)


def mean_iou(matrix: NDArray[Any]) -> float:
    """Return the mean intersection over union of the classes that are there or were said; NaN without any."""
    right = np.diag(matrix)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - right
    there = union > 0
    return float((right[there] / union[there]).mean()) if there.any() else float("nan")


def segmented(fold: MaskFold) -> Segmented:
    """Return the metrics of all pixels."""
    matrix = fold.matrix
    right, total = np.diag(matrix), max(int(matrix.sum()), 1)
    support, said = matrix.sum(axis=1), matrix.sum(axis=0)
    rows = []
    for index in range(len(matrix)):
        both, union = int(right[index]), int(support[index] + said[index] - right[index])
        rows.append(
            MaskRow(
                index=index,
                name=fold.about.classes.name(index),
                pixels=int(support[index]),
                predicted=int(said[index]),
                iou=six_digits(both / union) if union else None,
                dice=six_digits(2 * both / (union + both)) if union else None,
                colour=fold.about.classes.slot(index),
            )
        )
    some = [row for row in rows if row.iou is not None]
    iou = fold.iou
    return Segmented(
        accuracy=finite_number(int(right.sum()) / total),
        majority=finite_number(int(support.max()) / total),
        mean_iou=six_digits(float(np.mean([row.iou for row in some]))) if some else None,
        mean_dice=six_digits(float(np.mean([row.dice for row in some]))) if some else None,
        classes=tuple(rows),
        ignored=int(fold.counted("pixels")) - int(matrix.sum()),
        resized=int(fold.counted("resized")),
        threshold=fold.about.threshold if fold.about.facts.shape[-1] == 1 else None,
        counts=tuple(int(n) for n in np.histogram(iou[np.isfinite(iou)], bins=20, range=(0, 1))[0]),
        worst=(),
    )
