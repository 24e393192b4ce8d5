"""What all metrics are: update_state, result, reset_state; and means of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit import _check
from convkit._config import Configurable
from convkit._state import Stateful
from convkit.losses.base import row_weights

Array = NDArray[Any]


class Metric(Configurable, Stateful):
    """A number (or an array) over all batches since reset_state.

    A metric of your own defines `update_state(y_true, y_pred, sample_weight=None)`, `result()` and
    `reset_state()`, which __init__ calls. Where it is a mean of one number per sample, a function
    (y_true, y_pred) -> numbers does, or `values` of a MeanMetric.
    """

    default_name = ""

    def __init__(self, name: str | None = None) -> None:
        self.name = name or self.default_name or _check.snake_case(type(self).__name__)
        self.reset_state()

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Count a batch in."""
        raise TypeError(f"{type(self).__name__} must define update_state")

    def result(self) -> Any:
        """Return the metric of all batches so far."""
        raise TypeError(f"{type(self).__name__} must define result")

    def reset_state(self) -> None:
        """Forget all batches."""
        raise TypeError(f"{type(self).__name__} must define reset_state")

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Count a batch in and return the result."""
        self.update_state(*arguments, **options)
        return self.result()


class _Total(Metric):
    """A sum of numbers and of their weights."""

    def reset_state(self) -> None:
        """Forget all batches."""
        self._total = 0.0
        self._count = 0.0

    def _add(self, values: Array, sample_weight: ArrayLike | None) -> None:
        weights = row_weights(type(self).__name__, sample_weight, values)
        if weights is None:
            self._total += float(values.sum())
            self._count += values.size
        else:
            self._total += float((values * weights).sum())
            self._count += float(weights.sum())


class Mean(_Total):
    """The weighted mean of what it is given."""

    def update_state(  # type: ignore[override]
        self, values: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Count values in, with a weight each or none."""
        self._add(np.atleast_1d(np.asarray(values, np.float64)), sample_weight)

    def result(self) -> float:
        """Return the mean so far, 0.0 before the first batch."""
        return self._total / self._count if self._count else 0.0


class Sum(Mean):
    """The weighted sum of what it is given."""

    def result(self) -> float:
        """Return the sum so far."""
        return self._total


class MeanMetric(_Total):
    """The weighted mean of `values(y_true, y_pred)`, one number per row of the last axis."""

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return one number per row."""
        raise TypeError(f"{type(self).__name__} must define values(y_true, y_pred)")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Count a batch in."""
        self._add(self.values(np.asarray(y_true), np.asarray(y_pred)), sample_weight)

    def result(self) -> float:
        """Return the mean so far, 0.0 before the first batch."""
        return self._total / self._count if self._count else 0.0


class MeanMetricWrapper(MeanMetric):
    """The mean of a function's numbers: fn(y_true, y_pred) gives one per sample, or one a batch."""

    def __init__(self, fn: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(name or getattr(fn, "__name__", None))
        self.fn = fn

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the function's numbers."""
        return np.atleast_1d(np.asarray(self.fn(y_true, y_pred), np.float64))
