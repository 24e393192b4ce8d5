"""Losses of class probabilities: cross-entropy of numbers and of rows, and its focal form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convkit import _check, _pack, ops
from convkit._arrays import dense_array, look, result_type
from convkit.losses.base import Array, Loss, like_prediction
from convkit.losses.elementwise import MEAN

if TYPE_CHECKING:
    from convkit.graph import Tensor


class _CrossEntropy(Loss):
    """What the categorical losses share.

    y_pred are probabilities, scaled to sum 1 and clipped to [1e-7, 1 - 1e-7], or logits. In a
    model, a softmax before it is taken in: then nothing is clipped.
    """

    one_row = True
    label_smoothing = 0.0
    focal: tuple[float, float] | None = None

    def __init__(
        self, from_logits: bool, axis: int, reduction: str | None, name: str | None
    ) -> None:
        super().__init__(name, reduction)
        self.from_logits, self.axis = bool(from_logits), self._check_axis(axis)

    def emit(self, pred: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Emit the op."""
        return ops.softmax_cross_entropy(
            *(pred, labels, weights),
            label_smoothing=self.label_smoothing,
            from_logits=self.from_logits,
            focal=self.focal,
            reduction=self._emitted_reduction(),
        )

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the loss of every row of the last axis."""
        function = type(self).__name__
        pred, true = look(function, "y_pred", y_pred), look(function, "y_true", y_true)
        if pred.ndim == 0:
            raise ValueError(f"{function}: y_pred must be (..., classes), got one number")
        dtype = result_type(pred)
        pred = dense_array(pred, dtype)
        if self.label_kind == "integer":
            labels = dense_array(_class_numbers(function, true, pred.shape), np.int64)
        else:
            hint = "; class numbers go with SparseCategoricalCrossentropy"
            labels = dense_array(like_prediction(function, true, pred.shape, hint), dtype)
        rows = np.empty(pred.shape[:-1], dtype)
        alpha, gamma = self.focal or (0.0, 0.0)
        if pred.size:
            _pack.call(
                *("cross_entropy", rows.itemsize),
                **{"loss": rows, "x": pred, "labels": labels, "n": rows.size, "positions": 1},
                **{"classes": pred.shape[-1], "from_logits": int(self.from_logits)},
                **{"label_kind": int(self.label_kind != "integer")},
                **{"label_smoothing": self.label_smoothing, "focal": int(self.focal is not None)},
                **{"alpha": alpha, "gamma": gamma},
            )
        return rows


def _class_numbers(function: str, true: Array, shape: tuple[int, ...]) -> Array:
    """Return class numbers, one per row of the prediction."""
    if true.shape not in (shape[:-1], (*shape[:-1], 1)):
        raise ValueError(
            f"{function}: y_true must hold one class number per row of y_pred, got shape"
            f" {true.shape} for y_pred of shape {shape}; one-hot rows go with"
            " CategoricalCrossentropy"
        )
    numbers = true.reshape(shape[:-1])
    if numbers.dtype.kind == "f" and not np.array_equal(numbers, np.trunc(numbers)):
        raise ValueError(f"{function}: y_true must be whole class numbers, got fractions")
    check_class_numbers(function, numbers, shape[-1])
    return numbers


def check_class_numbers(function: str, labels: Any, classes: int) -> None:
    """Raise ValueError unless all labels lie in [0, classes)."""
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"{function}: labels must lie in [0, {classes}), the model's outputs, got values from"
            f" {labels.min()} to {labels.max()}"
        )


class SparseCategoricalCrossentropy(_CrossEntropy):
    """-log p of the right class; labels are class numbers.

    label_smoothing s gives every class s / K of the label and takes s from the right one.
    """

    label_kind = "integer"

    def __init__(
        self,
        from_logits: bool = False,
        *,
        label_smoothing: float = 0.0,
        reduction: str | None = MEAN,
        axis: int = -1,
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits, axis, reduction, name)
        self.label_smoothing = _check.fraction(
            type(self).__name__, "label_smoothing", label_smoothing
        )


class CategoricalCrossentropy(_CrossEntropy):
    """-sum t log p; labels are one-hot rows or probabilities t, which smoothing moves to 1/K."""

    label_kind = "probabilities"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits, axis, reduction, name)
        self.label_smoothing = _check.fraction(
            type(self).__name__, "label_smoothing", label_smoothing
        )


class CategoricalFocalCrossentropy(_CrossEntropy):
    """-alpha sum t (1 - p)^gamma log p: classes that are right already count little.

    Source: Lin et al., 2017.
    """

    label_kind = "probabilities"

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits, axis, reduction, name)
        function = "CategoricalFocalCrossentropy"
        self.label_smoothing = _check.fraction(function, "label_smoothing", label_smoothing)
        self.alpha = _check.at_least_zero(function, "alpha", alpha)
        self.gamma = _check.at_least_zero(function, "gamma", gamma)

    @property
    def focal(self) -> tuple[float, float]:  # type: ignore[override]
        """(alpha, gamma)."""
        return self.alpha, self.gamma
