"""Intersection over union: how well the pixels of classes are found, for segmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from convkit import _check
from convkit.losses.base import row_weights
from convkit.metrics.base import Array
from convkit.metrics.confusion import ConfusionMatrix


class IoU(ConfusionMatrix):
    """The mean over target_class_ids of tp / (tp + fp + fn), the intersection over the union.

    y_true and y_pred are class numbers of any one shape, or rows along `axis`, of which the largest
    counts, where sparse_y_true or sparse_y_pred is False. Labels of ignore_class do not count, nor
    do classes that are neither in y_true nor in y_pred.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        function = type(self).__name__
        super().__init__(num_classes, name)
        ids = target_class_ids if _check.is_sequence(target_class_ids) else []
        self.target_class_ids = [_check.integer(function, "target_class_ids", i, 0) for i in ids]
        if not ids or max(self.target_class_ids) >= self.num_classes:
            raise ValueError(
                f"{function}: target_class_ids must be numbers below num_classes={num_classes}, got"
                f" target_class_ids={target_class_ids!r}"
            )
        self.ignore_class = (
            None
            if ignore_class is None
            else _check.integer(function, "ignore_class", ignore_class, -_check.MAX_SIZE)
        )
        self.sparse_y_true, self.sparse_y_pred = bool(sparse_y_true), bool(sparse_y_pred)
        self.axis = _check.integer(function, "axis", axis, -_check.MAX_SIZE)

    def _numbers(self, name: str, y: ArrayLike, sparse: bool) -> Array:
        array = np.asarray(y)
        if not sparse:
            return array.argmax(axis=self.axis)
        if array.dtype.kind == "f" and not np.array_equal(array, np.trunc(array)):
            raise ValueError(
                f"{type(self).__name__}: {name} must be class numbers, got fractions in"
                f" {name} of shape {array.shape}; for rows of outputs pass sparse_{name}=False"
            )
        return array.astype(np.int64)

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Count a batch in."""
        function = type(self).__name__
        true = self._numbers("y_true", y_true, self.sparse_y_true)
        pred = self._numbers("y_pred", y_pred, self.sparse_y_pred)
        if true.size != pred.size:
            raise ValueError(
                f"{function}: there must be as many labels as predictions, got class numbers of"
                f" shapes {true.shape} and {pred.shape}"
            )
        weights = row_weights(function, sample_weight, true)
        kept = np.ones(true.size, bool) if self.ignore_class is None else true != self.ignore_class
        kept = kept.reshape(-1)
        true, pred = true.reshape(-1)[kept], pred.reshape(-1)[kept]
        for name, numbers in (("y_true", true), ("y_pred", pred)):
            if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.num_classes:
                raise ValueError(
                    f"{function}: {name} must lie in [0, {self.num_classes}), got values from"
                    f" {numbers.min()} to {numbers.max()}; ignore_class leaves out a label for"
                    " pixels of no class"
                )
        super().update_state(true, pred, None if weights is None else weights.reshape(-1)[kept])

    def result(self) -> float:  # type: ignore[override]
        """Return the mean so far, 0.0 before the first batch."""
        right = np.diagonal(self._cells)
        union = self._cells.sum(0) + self._cells.sum(1) - right
        ids = [i for i in self.target_class_ids if union[i] > 0]
        return float(np.mean(right[ids] / union[ids])) if ids else 0.0


class MeanIoU(IoU):
    """The mean of the intersection over union of all classes; arguments as IoU's."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        ids = range(_check.integer("MeanIoU", "num_classes", num_classes))
        super().__init__(
            *(num_classes, list(ids), name, ignore_class, sparse_y_true, sparse_y_pred, axis)
        )
