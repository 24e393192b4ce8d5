"""A loss by functions on NumPy arrays: it runs between two parts of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convkit import ops
from convkit.losses.base import Array, Loss

if TYPE_CHECKING:
    from convkit.graph import Tensor


class NumpyLoss(Loss):
    """A loss whose formula no op has; slower than ops, but anything goes.

    Subclasses define `call(y_true, y_pred)`, the loss of every row of the last axis, and
    `gradient(y_true, y_pred)`, the derivative of every row's loss by y_pred, in y_pred's shape.
    Both get read-only arrays that are valid during the call. Labels are values or probabilities.
    """

    def gradient(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the derivative of every row's loss by y_pred."""
        raise TypeError(f"{type(self).__name__} must define gradient(y_true, y_pred)")

    def emit(self, pred: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Emit calls of both functions."""

        def forward(y_pred: Array, y_true: Array) -> Array:
            return self.call(y_true, y_pred)

        def backward(dy: Array, y_pred: Array, y_true: Array) -> tuple[Array, Array]:
            slope = np.asarray(self.gradient(y_true, y_pred))
            return dy[..., None] * slope, np.zeros_like(y_true)

        name = type(self).__name__
        rows = ops.numpy_function(forward, backward, [pred, labels], pred.shape[:-1], name)
        return ops.mean_loss(rows, weights, reduction=self._emitted_reduction())
