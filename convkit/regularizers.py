"""Penalties on weights, part of the loss that is reported and of the gradient, as in Keras.

A layer's `kernel_regularizer="l2"` puts one on its kernel's variable (`Variable.regularizer`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convkit import _check
from convkit._config import Configurable

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2"]


class Regularizer(Configurable):
    """The penalty l1 sum(|w|) + l2 sum(w^2). Call it with an array to get the number."""

    l1 = 0.0
    l2 = 0.0

    def _number(self, name: str, value: Any) -> float:
        number = _check.number(type(self).__name__, name, 0.0 if value is None else value)
        if number < 0:
            raise ValueError(
                f"{type(self).__name__}: {name} must not be negative, got {name}={value!r}"
            )
        return number

    def __call__(self, x: ArrayLike) -> float:
        """Compute the penalty of an array."""
        w = np.asarray(x, np.float64)
        return float(self.l1 * np.abs(w).sum() + self.l2 * (w * w).sum())


class L1(Regularizer):
    """l1 sum(|w|): pulls weights to exactly zero."""

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = self._number("l1", 0.01 if l1 is None else l1)


class L2(Regularizer):
    """l2 sum(w^2): pulls weights towards zero, large ones more (weight decay of plain SGD)."""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = self._number("l2", 0.01 if l2 is None else l2)


class L1L2(Regularizer):
    """Both penalties. Source: Zou and Hastie, 2005 (elastic net)."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = self._number("l1", l1), self._number("l2", l2)


l1, l2, l1_l2 = L1, L2, L1L2

NAMES: dict[str, type[Regularizer]] = {"l1": L1, "l1_l2": L1L2, "l2": L2}


def get(identifier: Any) -> Regularizer | None:
    """Return a regularizer from a name, class name, config or instance; None stays None.

    "l1_l2" by name has both factors at 0.01, as in Keras. A wrong name suggests the nearest.
    """
    if identifier is None or isinstance(identifier, Regularizer):
        return identifier
    if isinstance(identifier, dict):
        return _from_dict(identifier)
    names = {**NAMES, **{cls.__name__: cls for cls in NAMES.values()}}
    cls = names[_check.one_of("regularizers.get", "regularizer", identifier, names)]
    return cls(0.01, 0.01) if cls is L1L2 and identifier == "l1_l2" else cls()


def _from_dict(value: dict[str, Any]) -> Regularizer:
    classes = {cls.__name__: cls for cls in NAMES.values()}
    name = _check.one_of("regularizers.get", "class_name", value.get("class_name"), classes)
    return classes[name].from_config(value.get("config", {}))


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, __all__)
