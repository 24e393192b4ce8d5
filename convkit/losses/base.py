"""What all losses share: labels of the right shape, weights of samples, and the reduction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit import _check
from convkit._config import Configurable
from convkit.ops.loss import REDUCTIONS

if TYPE_CHECKING:
    from convkit.graph import Tensor

Array = NDArray[Any]


class Loss(Configurable):
    """loss(y_true, y_pred, sample_weight=None) -> float.

    The total is the mean over samples (and positions, such as pixels); with reduction="sum" the
    sum; with "mean_with_sample_weight" the weighted mean; with "none" there is one number each.

    A loss of your own defines `call(y_true, y_pred)`, which returns the loss of every row of the
    last axis, for use on arrays, and `emit(pred, labels, weights)`, which composes the same from
    `convkit.ops` and ends in `ops.mean_loss`, for training. `label_kind` says what labels are:
    "integer" (class numbers), "probabilities" (one-hot rows) or "values" (like the prediction).
    """

    label_kind = "values"
    one_row = False  # whether a prediction of one axis is one row, not one value per sample

    def __init__(self, name: str | None = None, reduction: str | None = REDUCTIONS[0]) -> None:
        self.name = name or _check.snake_case(type(self).__name__)
        self.reduction = reduction or "none"
        _check.one_of(type(self).__name__, "reduction", self.reduction, (*REDUCTIONS, "none"))

    def emit(self, pred: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Emit the mean loss of a batch."""
        raise TypeError(
            f"{type(self).__name__} must define emit(pred, labels, weights) to be trained on: ops"
            " of convkit.ops that end in ops.mean_loss(values, weights)"
        )

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the loss of every row of the last axis."""
        raise TypeError(f"{type(self).__name__} must define call(y_true, y_pred)")

    def __call__(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Any:
        """Compute the total of arrays. sample_weight is (N,), or has one number per row."""
        function = type(self).__name__
        pred, true = np.asarray(y_pred), np.asarray(y_true)
        if pred.ndim == 1 and not self.one_row:
            pred, true = pred[:, None], true.reshape(-1, 1)
        if pred.size == 0:
            raise ValueError(
                f"{function}: a mean needs at least one sample, got y_pred of shape {pred.shape}"
            )
        values = np.asarray(self.call(true, pred), np.float64)
        weights = row_weights(function, sample_weight, values)
        if weights is not None:
            values = values * weights
        if self.reduction == "none":
            return values
        total = float(values.sum())
        if self.reduction == "sum":
            return total
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            return total / (float(weights.sum()) or 1.0)
        return total / values.size

    def _emitted_reduction(self) -> str:
        if self.reduction == "none":
            raise ValueError(
                f"{type(self).__name__}: training needs one number, got reduction='none'; use one"
                f" of: {', '.join(REDUCTIONS)}"
            )
        return self.reduction

    def _check_axis(self, axis: int, what: str = "classes") -> int:
        if axis != -1:
            raise ValueError(
                f"{type(self).__name__}: {what} are the last axis, got axis={axis!r}; move them"
                " there with np.moveaxis"
            )
        return axis


def row_weights(function: str, sample_weight: ArrayLike | None, values: Array) -> Array | None:
    """Return weights that are as many as values; (N,), (N, 1) and one number per row are taken."""
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, np.float64)
    while weights.ndim > 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    if weights.shape != values.shape[: weights.ndim]:
        raise ValueError(
            f"{function}: sample_weight must have one number per sample, got shape {weights.shape}"
            f" for losses of shape {values.shape}"
        )
    missing = (1,) * (values.ndim - weights.ndim)
    return np.broadcast_to(weights.reshape(*weights.shape, *missing), values.shape)


def like_prediction(function: str, true: Array, shape: Sequence[int], hint: str = "") -> Array:
    """Return targets in the prediction's shape; as in Keras, a last axis of 1 may be missing."""
    shape = tuple(shape)
    if true.shape == shape:
        return true
    if (*true.shape, 1) == shape or true.shape == (*shape, 1):
        return true.reshape(shape)
    raise ValueError(f"{function}: y_true must have y_pred's shape {shape}, got {true.shape}{hint}")
