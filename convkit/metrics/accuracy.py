"""How often predictions are right: the accuracies and their top-k forms."""

from __future__ import annotations

import numpy as np

from convkit import _check
from convkit.losses.base import like_prediction
from convkit.metrics.base import Array, MeanMetric


def class_numbers(y: Array, pred: Array) -> Array:
    """Return class numbers (...) of labels that are numbers (...), (..., 1), or rows like pred."""
    if y.shape == pred.shape and pred.shape[-1] > 1:
        return y.argmax(axis=-1)
    return y.reshape(pred.shape[:-1])


class Accuracy(MeanMetric):
    """How often y_pred equals y_true."""

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return 1 where equal."""
        return like_prediction("Accuracy", y_true, y_pred.shape) == y_pred


class BinaryAccuracy(MeanMetric):
    """How often y_pred falls on y_true's side of the threshold."""

    def __init__(self, name: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = _check.fraction("BinaryAccuracy", "threshold", threshold)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the share of right sides per row."""
        true = like_prediction("BinaryAccuracy", y_true, y_pred.shape)
        right = (y_pred > self.threshold) == (true > 0.5)
        return right if right.ndim < 2 else right.mean(axis=-1)


class SparseCategoricalAccuracy(MeanMetric):
    """How often the largest output is the right class."""

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return 1 where right."""
        return y_pred.argmax(axis=-1) == class_numbers(y_true, y_pred)


class CategoricalAccuracy(SparseCategoricalAccuracy):
    """The same for one-hot labels."""


class SparseTopKCategoricalAccuracy(MeanMetric):
    """How often the right class is among the k largest outputs."""

    def __init__(self, k: int = 5, name: str | None = None) -> None:
        super().__init__(name)
        self.k = _check.integer(type(self).__name__, "k", k)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return 1 where fewer than k outputs are larger than the right one."""
        labels = class_numbers(y_true, y_pred).astype(np.int64)
        own = np.take_along_axis(y_pred, labels[..., None], axis=-1)
        return (y_pred > own).sum(axis=-1) < self.k


class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """The same for one-hot labels."""
