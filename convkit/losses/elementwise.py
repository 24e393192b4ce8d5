"""Losses of single elements: squared error and its like, binary cross-entropy, KL divergence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convkit import _check, _pack, ops
from convkit._arrays import dense_array, look, result_type
from convkit.losses.base import Array, Loss, like_prediction
from convkit.ops.loss import ELEMENT_LOSSES, REDUCTIONS

if TYPE_CHECKING:
    from convkit.graph import Tensor

MEAN = REDUCTIONS[0]


class ElementLoss(Loss):
    """A loss that one kernel computes element by element; `kind` is its name there."""

    kind = ""

    def numbers(self) -> dict[str, float]:
        """Return the kernel's numbers: label_smoothing, alpha, gamma."""
        return {}

    def emit(self, pred: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Emit the op."""
        reduction = self._emitted_reduction()
        return ops.element_loss(
            self.kind, pred, labels, weights, reduction=reduction, **self.numbers()
        )

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Compute the loss of every row of the last axis."""
        function = type(self).__name__
        pred, true = look(function, "y_pred", y_pred), look(function, "y_true", y_true)
        if pred.ndim == 0:
            pred = pred[None]
        true = like_prediction(function, true, pred.shape)
        dtype = result_type(pred)
        pred, true = dense_array(pred, dtype), dense_array(true, dtype)
        rows = np.empty(pred.shape[:-1], dtype)
        if pred.size:
            _pack.call(
                *("element_loss", rows.itemsize),
                **{"loss": rows, "x": pred, "target": true, "n": rows.size, "positions": 1},
                **{"cols": pred.shape[-1], "kind": ELEMENT_LOSSES.index(self.kind)},
                **self.numbers(),
            )
        return rows


class _Plain(ElementLoss):
    def __init__(self, reduction: str | None = MEAN, name: str | None = None) -> None:
        super().__init__(name, reduction)


class MeanSquaredError(_Plain):
    """The mean of (y_true - y_pred)^2."""

    kind = "mean_squared_error"


class MeanAbsoluteError(_Plain):
    """The mean of |y_true - y_pred|."""

    kind = "mean_absolute_error"


class MeanAbsolutePercentageError(_Plain):
    """100 times the mean of |y_true - y_pred| / |y_true|."""

    kind = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(_Plain):
    """The mean of (log(y_true + 1) - log(y_pred + 1))^2."""

    kind = "mean_squared_logarithmic_error"


class LogCosh(_Plain):
    """The mean of log(cosh(y_pred - y_true)): a square near zero, an absolute value far away."""

    kind = "log_cosh"


class Poisson(_Plain):
    """The mean of y_pred - y_true log(y_pred), for counts."""

    kind = "poisson"


class Hinge(_Plain):
    """The mean of max(1 - y_true y_pred, 0); labels are -1 and 1, or 0 and 1."""

    kind = "hinge"


class SquaredHinge(_Plain):
    """The mean of max(1 - y_true y_pred, 0)^2; labels are -1 and 1, or 0 and 1."""

    kind = "squared_hinge"


class KLDivergence(_Plain):
    """The sum over the last axis of y_true log(y_true / y_pred), both clipped to [1e-7, 1]."""

    kind = "kl_divergence"
    one_row = True


class Huber(ElementLoss):
    """Half the square up to delta, linear beyond. Source: Huber, 1964."""

    kind = "huber"

    def __init__(
        self, delta: float = 1.0, reduction: str | None = MEAN, name: str | None = None
    ) -> None:
        super().__init__(name, reduction)
        self.delta = _check.number("Huber", "delta", delta)
        if self.delta <= 0:
            raise ValueError(f"Huber: delta must be positive, got delta={delta!r}")

    def numbers(self) -> dict[str, float]:
        """Return delta, as alpha."""
        return {"alpha": self.delta}


class BinaryCrossentropy(ElementLoss):
    """The mean of -(t log p + (1 - t) log(1 - p)) over outputs; t goes towards 1/2 by smoothing.

    y_pred are probabilities, clipped to [1e-7, 1 - 1e-7], or logits if from_logits. In a model, a
    sigmoid before it is taken in: then nothing is clipped.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = None,
    ) -> None:
        super().__init__(name, reduction)
        self.from_logits, self.axis = bool(from_logits), self._check_axis(axis)
        self.label_smoothing = _check.fraction(
            type(self).__name__, "label_smoothing", label_smoothing
        )

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kernel's name of it."""
        return "binary_crossentropy_logits" if self.from_logits else "binary_crossentropy"

    def numbers(self) -> dict[str, float]:
        """Return the smoothing."""
        return {"label_smoothing": self.label_smoothing}


class BinaryFocalCrossentropy(BinaryCrossentropy):
    """Binary cross-entropy times (1 - p_t)^gamma, p_t being the probability of the right answer.

    With apply_class_balancing, ones count alpha and zeros 1 - alpha times. Source: Lin et al.,
    2017.
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name)
        self.apply_class_balancing = bool(apply_class_balancing)
        self.alpha = _check.fraction("BinaryFocalCrossentropy", "alpha", alpha)
        self.gamma = _check.at_least_zero("BinaryFocalCrossentropy", "gamma", gamma)

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kernel's name of it."""
        return "binary_focal_crossentropy" + ("_logits" if self.from_logits else "")

    def numbers(self) -> dict[str, Any]:
        """Return the smoothing, the balance and the exponent."""
        alpha = self.alpha if self.apply_class_balancing else -1.0
        return {**super().numbers(), "alpha": alpha, "gamma": self.gamma}
