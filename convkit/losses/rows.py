"""Losses of whole rows, composed from ops: the angle between rows, the categorical hinge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convkit import ops
from convkit._arrays import look, result_type
from convkit.losses.base import Array, Loss, like_prediction
from convkit.losses.elementwise import MEAN

if TYPE_CHECKING:
    from convkit.graph import Tensor


class _RowLoss(Loss):
    """A loss of a row of targets and a row of predictions: `rows` of tensors, `of` of arrays."""

    one_row = True

    def rows(self, true: Tensor, pred: Tensor) -> Tensor:
        """Emit the loss of every row, (N, ..., 1)."""
        raise NotImplementedError

    def of(self, true: Array, pred: Array) -> Array:
        """Compute the loss of every row in float64."""
        raise NotImplementedError

    def emit(self, pred: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Emit the rows and their mean."""
        reduction = self._emitted_reduction()
        return ops.mean_loss(self.rows(labels, pred), weights, reduction=reduction)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the loss of every row of the last axis."""
        function = type(self).__name__
        pred, true = look(function, "y_pred", y_pred), look(function, "y_true", y_true)
        if pred.ndim == 0:
            raise ValueError(f"{function}: y_pred must be rows (..., K), got one number")
        true = like_prediction(function, true, pred.shape)
        rows = self.of(true.astype(np.float64), pred.astype(np.float64))
        return rows.astype(result_type(pred))


class CosineSimilarity(_RowLoss):
    """Minus the cosine of the angle between y_true and y_pred: -1 where they point the same way.

    Rows are divided by their Euclidean norms; a row of zeros gives 0.
    """

    def __init__(
        self, axis: int = -1, reduction: str | None = MEAN, name: str | None = None
    ) -> None:
        super().__init__(name, reduction)
        self.axis = self._check_axis(axis, "rows")

    def rows(self, true: Tensor, pred: Tensor) -> Tensor:
        """Emit the product of both rows, each of norm 1."""
        product = ops.normalize(true) * ops.normalize(pred)
        return ops.affine(ops.reduce_sum(product, -1, keepdims=True), -1.0, 0.0)

    def of(self, true: Array, pred: Array) -> Array:
        """Compute the product of both rows over that of their norms."""
        sizes = np.linalg.norm(true, axis=-1) * np.linalg.norm(pred, axis=-1)
        products = (true * pred).sum(-1)
        return -np.divide(products, sizes, out=np.zeros_like(products), where=sizes > 0)


class CategoricalHinge(_RowLoss):
    """max(1 + wrong - right, 0): right is y_pred of the class, wrong the largest of all others.

    y_true are one-hot rows; for other rows right is sum(y_true y_pred), and wrong the maximum of
    (1 - y_true) y_pred. Source: Crammer and Singer, 2001.
    """

    label_kind = "probabilities"

    def __init__(self, reduction: str | None = MEAN, name: str | None = None) -> None:
        super().__init__(name, reduction)

    def rows(self, true: Tensor, pred: Tensor) -> Tensor:
        """Emit both sums and the hinge."""
        right = ops.reduce_sum(true * pred, -1, keepdims=True)
        wrong = ops.row_max(ops.affine(true, -1.0, 1.0) * pred)
        return ops.activation(ops.affine(wrong - right, 1.0, 1.0), "relu")

    def of(self, true: Array, pred: Array) -> Array:
        """Compute both and the hinge."""
        right = (true * pred).sum(-1)
        wrong = ((1 - true) * pred).max(-1)
        return np.maximum(1 + wrong - right, 0)
