"""Losses as metrics, and what else is a mean over samples."""

from __future__ import annotations

import numpy as np

from convkit import losses
from convkit.losses.base import Loss
from convkit.metrics.base import Array, MeanMetric


class _LossMetric(MeanMetric):
    """The mean of a loss's rows."""

    def _loss(self) -> Loss:
        raise TypeError(f"{type(self).__name__} must define _loss")

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the loss of every row."""
        if y_pred.ndim == 1 and not self._loss().one_row:
            y_true, y_pred = y_true.reshape(-1, 1), y_pred[:, None]
        return np.atleast_1d(self._loss().call(y_true, y_pred)).astype(np.float64)


class MeanSquaredError(_LossMetric):
    """The mean of (y_true - y_pred)^2."""

    def _loss(self) -> Loss:
        return losses.MeanSquaredError()


class RootMeanSquaredError(MeanSquaredError):
    """The square root of the mean of (y_true - y_pred)^2."""

    def result(self) -> float:
        """Return the root of the mean so far."""
        return float(np.sqrt(super().result()))


class MeanAbsoluteError(_LossMetric):
    """The mean of |y_true - y_pred|."""

    def _loss(self) -> Loss:
        return losses.MeanAbsoluteError()


class MeanAbsolutePercentageError(_LossMetric):
    """100 times the mean of |y_true - y_pred| / |y_true|."""

    def _loss(self) -> Loss:
        return losses.MeanAbsolutePercentageError()


class MeanSquaredLogarithmicError(_LossMetric):
    """The mean of (log(y_true + 1) - log(y_pred + 1))^2."""

    def _loss(self) -> Loss:
        return losses.MeanSquaredLogarithmicError()


class LogCoshError(_LossMetric):
    """The mean of log(cosh(y_pred - y_true))."""

    default_name = "logcosh"

    def _loss(self) -> Loss:
        return losses.LogCosh()


class Poisson(_LossMetric):
    """The mean of y_pred - y_true log(y_pred)."""

    def _loss(self) -> Loss:
        return losses.Poisson()


class Hinge(_LossMetric):
    """The mean of max(1 - y_true y_pred, 0)."""

    def _loss(self) -> Loss:
        return losses.Hinge()


class SquaredHinge(_LossMetric):
    """The mean of max(1 - y_true y_pred, 0)^2."""

    def _loss(self) -> Loss:
        return losses.SquaredHinge()


class KLDivergence(_LossMetric):
    """The mean over rows of sum y_true log(y_true / y_pred)."""

    def _loss(self) -> Loss:
        return losses.KLDivergence()


class _CrossEntropyMetric(_LossMetric):
    def __init__(
        self, name: str | None = None, from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(name)
        self.from_logits, self.label_smoothing = bool(from_logits), label_smoothing
        self._loss()  # raises for a wrong smoothing


class BinaryCrossentropy(_CrossEntropyMetric):
    """The mean of binary cross-entropy."""

    def _loss(self) -> Loss:
        return losses.BinaryCrossentropy(self.from_logits, self.label_smoothing)


class CategoricalCrossentropy(_CrossEntropyMetric):
    """The mean of cross-entropy; labels are one-hot rows or probabilities."""

    def _loss(self) -> Loss:
        return losses.CategoricalCrossentropy(self.from_logits, self.label_smoothing)


class SparseCategoricalCrossentropy(_LossMetric):
    """The mean of cross-entropy; labels are class numbers."""

    def __init__(self, name: str | None = None, from_logits: bool = False) -> None:
        super().__init__(name)
        self.from_logits = bool(from_logits)

    def _loss(self) -> Loss:
        return losses.SparseCategoricalCrossentropy(self.from_logits)


class CategoricalHinge(_LossMetric):
    """The mean of max(1 + wrong - right, 0); labels are one-hot rows."""

    def _loss(self) -> Loss:
        return losses.CategoricalHinge()


class CosineSimilarity(_LossMetric):
    """The mean over rows of the cosine of the angle between y_true and y_pred."""

    def _loss(self) -> Loss:
        return losses.CosineSimilarity()

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the cosine of every row; 0 where one of both is 0."""
        return -super().values(y_true, y_pred)
