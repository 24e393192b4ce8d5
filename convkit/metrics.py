"""Metrics on plain arrays: update_state, result, reset_state, as in Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit import _check
from convkit._config import Configurable

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "get",
]

Array = NDArray[Any]


class Metric(Configurable):
    """The weighted mean over samples of `values(y_true, y_pred)`."""

    default_name = "metric"

    def __init__(self, name: str | None = None) -> None:
        self.name = name or self.default_name
        self.reset_state()

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return one number per sample."""
        raise TypeError(f"{type(self).__name__} must define values(y_true, y_pred)")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Count a batch in."""
        values = self.values(np.asarray(y_true), np.asarray(y_pred))
        if sample_weight is None:
            self._total += float(values.sum())
            self._count += values.size
        else:
            weights = np.broadcast_to(
                np.asarray(sample_weight, np.float64).reshape(-1), values.shape
            )
            self._total += float((values * weights).sum())
            self._count += float(weights.sum())

    def result(self) -> float:
        """Return the mean so far, 0.0 before the first batch."""
        return self._total / self._count if self._count else 0.0

    def reset_state(self) -> None:
        """Forget all batches."""
        self._total = 0.0
        self._count = 0.0


class Mean(Metric):
    """The mean of what it is given."""

    default_name = "mean"

    def update_state(  # type: ignore[override]
        self, values: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Count values in."""
        array = np.atleast_1d(np.asarray(values, np.float64))
        weights = np.ones(array.shape) if sample_weight is None else np.asarray(sample_weight)
        self._total += float((array * weights).sum())
        self._count += float(np.broadcast_to(weights, array.shape).sum())


class Accuracy(Metric):
    """How often y_pred equals y_true."""

    default_name = "accuracy"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return 1 where equal."""
        return (y_true.reshape(y_pred.shape) == y_pred).astype(np.float64)


class BinaryAccuracy(Metric):
    """How often y_pred falls on y_true's side of the threshold."""

    default_name = "binary_accuracy"

    def __init__(self, name: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = threshold

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the share of right sides per sample."""
        right = (y_pred > self.threshold) == (y_true.reshape(y_pred.shape) > 0.5)
        return right.reshape(len(right), -1).mean(axis=1)


def class_numbers(y: Array, pred: Array) -> Array:
    """Return class numbers (N,) of labels that are numbers (N,), (N, 1), or rows like pred's."""
    if y.ndim == pred.ndim and y.shape[-1] == pred.shape[-1] and pred.shape[-1] > 1:
        return y.argmax(axis=-1)
    return y.reshape(pred.shape[:-1])


class SparseCategoricalAccuracy(Metric):
    """How often the largest output is the right class."""

    default_name = "sparse_categorical_accuracy"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return 1 where right."""
        return y_pred.argmax(axis=-1) == class_numbers(y_true, y_pred)


class CategoricalAccuracy(SparseCategoricalAccuracy):
    """The same for one-hot labels."""

    default_name = "categorical_accuracy"


class SparseTopKCategoricalAccuracy(Metric):
    """How often the right class is among the k largest outputs."""

    default_name = "sparse_top_k_categorical_accuracy"

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

    default_name = "top_k_categorical_accuracy"


class MeanSquaredError(Metric):
    """The mean of (y_pred - y_true)^2."""

    default_name = "mean_squared_error"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the mean per sample."""
        difference = y_pred.astype(np.float64) - y_true.reshape(y_pred.shape)
        return (difference**2).reshape(len(difference), -1).mean(axis=1)


class MeanAbsoluteError(Metric):
    """The mean of |y_pred - y_true|."""

    default_name = "mean_absolute_error"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the mean per sample."""
        difference = np.abs(y_pred.astype(np.float64) - y_true.reshape(y_pred.shape))
        return difference.reshape(len(difference), -1).mean(axis=1)


_KINDS: tuple[type[Metric], ...] = (
    *(BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy),
    *(TopKCategoricalAccuracy, SparseTopKCategoricalAccuracy),
    *(MeanSquaredError, MeanAbsoluteError),
)
NAMES = {cls.default_name: cls for cls in _KINDS} | {
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
}


def get(value: Any, label_kind: str, outputs: int) -> Metric:
    """Return a metric from its name or instance; "accuracy" is chosen by labels and outputs."""
    if isinstance(value, Metric):
        return value
    if value in ("accuracy", "acc"):
        if label_kind == "values":
            cls: type[Metric] = BinaryAccuracy if outputs == 1 else CategoricalAccuracy
        else:
            cls = SparseCategoricalAccuracy if label_kind == "integer" else CategoricalAccuracy
        return cls(name=value)
    names = {**NAMES, **{cls.__name__: cls for cls in NAMES.values()}}
    return names[_check.one_of("compile", "metrics", value, (*names, "accuracy", "acc"))](
        name=value
    )
