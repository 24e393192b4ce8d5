"""Where weights must lie after every step, as in Keras.

A layer's `kernel_constraint="max_norm"` puts one on its kernel's variable (`Variable.constraint`);
it is applied within the update, so a step that is interrupted changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit import _check, ops
from convkit._config import Configurable

if TYPE_CHECKING:
    from convkit.graph import Tensor

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "unit_norm",
]

EPSILON = 1e-7  # added to norms, so that zero weights stay zero


class Constraint(Configurable):
    """Call it with an array to get the array that obeys it."""

    def __call__(self, w: ArrayLike) -> NDArray[Any]:
        """Return a weight that obeys the constraint."""
        raise TypeError(f"{type(self).__name__} must define __call__(w)")

    def emit(self, w: Tensor) -> None:
        """Emit the op that does the same to a variable."""
        raise TypeError(f"{type(self).__name__} must define emit(w)")


class MinMaxNorm(Constraint):
    """Norms over `axis` from min_value to max_value; a `rate` below 1 goes that share of the way.

    axis is what is summed over: 0 for a dense kernel (C, K), [0, 1, 2] for filters (KH, KW, C, K).
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ) -> None:
        kind = type(self).__name__
        self.min_value = _check.number(kind, "min_value", min_value)
        self.max_value = _check.number(kind, "max_value", max_value)
        self.rate = _check.number(kind, "rate", rate)
        if not 0 <= self.min_value <= self.max_value:
            raise ValueError(
                f"{kind}: norms must have 0 <= min_value <= max_value, got min_value={min_value!r}"
                f" and max_value={max_value!r}"
            )
        if not 0 <= self.rate <= 1:
            raise ValueError(f"{kind}: rate must lie in [0, 1], got rate={rate!r}")
        listed = list(axis) if _check.is_sequence(axis) else [axis]  # type: ignore[arg-type]
        self.axis = [_check.integer(kind, "axis", a, -4, 3) for a in listed]

    def __call__(self, w: ArrayLike) -> NDArray[Any]:
        """Return a weight that obeys the constraint."""
        array = np.asarray(w)
        axes = tuple(self.axis)
        norm = np.sqrt((array.astype(np.float64) ** 2).sum(axis=axes, keepdims=True))
        clipped = np.clip(norm, self.min_value, self.max_value)
        wanted = self.rate * clipped + (1 - self.rate) * norm
        result: NDArray[Any] = (array * (wanted / (EPSILON + norm))).astype(array.dtype)
        return result

    def emit(self, w: Tensor) -> None:
        """Emit the op."""
        ops.constrain(w, self.axis, low=self.min_value, high=self.max_value, rate=self.rate)


class MaxNorm(MinMaxNorm):
    """Norms over `axis` of at most max_value. Source: Srivastava et al., 2014."""

    def __init__(self, max_value: float = 2.0, axis: int | Sequence[int] = 0) -> None:
        super().__init__(0.0, max_value, 1.0, axis)


class UnitNorm(MinMaxNorm):
    """Norms over `axis` of 1."""

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        super().__init__(1.0, 1.0, 1.0, axis)


class NonNeg(Constraint):
    """No weight below zero."""

    def __call__(self, w: ArrayLike) -> NDArray[Any]:
        """Return a weight that obeys the constraint."""
        array = np.asarray(w)
        return np.where(array < 0, np.zeros((), array.dtype), array)

    def emit(self, w: Tensor) -> None:
        """Emit the op."""
        ops.constrain(w, non_negative=True)


max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm

NAMES: dict[str, type[Constraint]] = {
    "max_norm": MaxNorm,
    "min_max_norm": MinMaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
}


def get(identifier: Any) -> Constraint | None:
    """Return a constraint from a name, class name, config or instance; None stays None.

    A wrong name suggests the nearest.
    """
    if identifier is None or isinstance(identifier, Constraint):
        return identifier
    classes = {cls.__name__: cls for cls in NAMES.values()}
    if isinstance(identifier, dict):
        name = _check.one_of("constraints.get", "class_name", identifier.get("class_name"), classes)
        return classes[name].from_config(identifier.get("config", {}))
    names = {**NAMES, **classes}
    return names[_check.one_of("constraints.get", "constraint", identifier, names)]()


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, __all__)
