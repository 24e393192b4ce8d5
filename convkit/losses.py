"""Losses: inside of a model they emit an op; alone they take plain arrays, as in Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit import _check, _pack, ops
from convkit._arrays import dense_array, look, result_type
from convkit._config import Configurable
from convkit.graph import Tensor

__all__ = [
    "CategoricalCrossentropy",
    "Loss",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "get",
]


class Loss(Configurable):
    """loss(y_true, y_pred, sample_weight=None) -> float, the mean over samples.

    label_kind says what labels are: "integer", "probabilities" (one-hot), or "values".
    """

    name = "loss"
    label_kind = "values"

    def emit(self, pred: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Emit the mean loss of a batch."""
        raise TypeError(f"{type(self).__name__} must define emit")

    def __call__(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Compute the mean loss of arrays."""
        function = type(self).__name__
        pred = look(function, "y_pred", y_pred)
        true = look(function, "y_true", y_true)
        if pred.ndim < 1 or pred.shape[0] == 0:
            raise ValueError(
                f"{function}: a mean needs at least one sample, got shape {pred.shape}"
            )
        dtype = result_type(pred)
        pred = dense_array(pred, dtype)
        weights = None
        if sample_weight is not None:
            weights = dense_array(np.asarray(sample_weight), dtype).reshape(-1)
            if weights.shape != pred.shape[:1]:
                raise ValueError(
                    f"{function}: sample_weight must have shape {pred.shape[:1]},"
                    f" got {weights.shape}"
                )
        mean = np.empty(1, np.float64)
        self._compute(function, mean, true, pred, weights)
        return float(mean[0])

    def _compute(self, function: str, mean: Any, true: Any, pred: Any, weights: Any) -> None:
        raise TypeError(f"{function} must define _compute")


class _CrossEntropy(Loss):
    """What the categorical losses share."""

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        self.from_logits = bool(from_logits)
        self.label_smoothing = _check.number(
            type(self).__name__, "label_smoothing", label_smoothing
        )
        if not 0 <= self.label_smoothing <= 1:
            raise ValueError(
                f"{type(self).__name__}: label_smoothing must lie in [0, 1],"
                f" got {label_smoothing!r}"
            )

    def emit(self, pred: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Emit the op; a softmax before it is taken in."""
        return ops.softmax_cross_entropy(
            *(pred, labels, weights),
            label_smoothing=self.label_smoothing,
            from_logits=self.from_logits,
        )

    def _compute(self, function: str, mean: Any, true: Any, pred: Any, weights: Any) -> None:
        classes = pred.shape[-1]
        if self.label_kind == "integer":
            labels = dense_array(true, np.int64).reshape(-1)
            if len(labels) != len(pred):
                raise ValueError(
                    f"{function}: y_true must hold one class number per sample,"
                    f" got shape {true.shape}"
                    f" for y_pred of shape {pred.shape}"
                )
            check_class_numbers(function, labels, classes)
        else:
            labels = dense_array(true, pred.dtype)
            if labels.shape != pred.shape:
                raise ValueError(
                    f"{function}: y_true must have y_pred's shape {pred.shape}, got {true.shape};"
                    " class numbers go with SparseCategoricalCrossentropy"
                )
        _pack.call(
            *("cross_entropy", pred.itemsize),
            **{"mean_loss": mean, "x": pred, "labels": labels, "weights": weights},
            **{"n": len(pred), "classes": classes, "from_logits": int(self.from_logits)},
            label_kind=int(self.label_kind != "integer"),
            label_smoothing=self.label_smoothing,
        )


def check_class_numbers(function: str, labels: Any, classes: int) -> None:
    """Raise ValueError unless all labels lie in [0, classes)."""
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"{function}: labels must lie in [0, {classes}), the model's outputs, got values from"
            f" {labels.min()} to {labels.max()}"
        )


class SparseCategoricalCrossentropy(_CrossEntropy):
    """-log p of the right class; labels are class numbers."""

    name = "sparse_categorical_crossentropy"
    label_kind = "integer"

    def __init__(self, from_logits: bool = False) -> None:
        super().__init__(from_logits)


class CategoricalCrossentropy(_CrossEntropy):
    """-sum q log p; labels are one-hot rows or probabilities q."""

    name = "categorical_crossentropy"
    label_kind = "probabilities"


class MeanSquaredError(Loss):
    """The mean of (y_pred - y_true)^2."""

    name = "mean_squared_error"

    def emit(self, pred: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Emit the op."""
        return ops.mean_squared_error(pred, labels, weights)

    def _compute(self, function: str, mean: Any, true: Any, pred: Any, weights: Any) -> None:
        if true.size != pred.size:
            raise ValueError(
                f"{function}: y_true must have y_pred's shape {pred.shape}, got {true.shape}"
            )
        _pack.call(
            *("mean_squared_error", pred.itemsize),
            **{"mean_loss": mean, "x": pred, "target": dense_array(true, pred.dtype)},
            **{"weights": weights, "n": len(pred), "cols": pred.size // len(pred)},
        )


NAMES: dict[str, type[Loss]] = {
    "categorical_crossentropy": CategoricalCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


def get(value: Any) -> Loss:
    """Return a loss from its name, class name or instance; a wrong name suggests the nearest."""
    if isinstance(value, Loss):
        return value
    names = {**NAMES, **{cls.__name__: cls for cls in NAMES.values()}}
    return names[_check.one_of("compile", "loss", value, names)]()
