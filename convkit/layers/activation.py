"""Activations as layers."""

from __future__ import annotations

from typing import Any

from convkit import _check, ops
from convkit.graph import Tensor
from convkit.layers.base import Layer


def check_activation(layer: str, activation: Any) -> str:
    """Return the name of an activation that a layer can apply."""
    if activation is None:
        return "linear"
    if callable(activation) and hasattr(activation, "__name__"):
        activation = activation.__name__
    return _check.one_of(layer, "activation", activation, (*_check.ACTIVATIONS, *SOFT))


SOFT = ("softmax", "log_softmax")


def apply(x: Tensor, activation: str) -> Tensor:
    """Emit an activation by name."""
    if activation in SOFT:
        return getattr(ops, activation)(x)
    return ops.activation(x, activation)


class Activation(Layer):
    """Apply an activation by name.

    Input shape:  (batch, ...). Output shape: the same.
    """

    def __init__(self, activation: Any, **options: Any) -> None:
        super().__init__(**options)
        self.activation = check_activation("Activation", activation)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the activation."""
        return apply(x, self.activation)


class ReLU(Layer):
    """max(x, 0); with negative_slope, that times x below zero."""

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if max_value is not None or threshold != 0.0:
            raise ValueError(
                f"ReLU: max_value and threshold are not supported, got max_value={max_value!r},"
                f" threshold={threshold!r}; use Activation('hard_sigmoid') or plain ReLU()"
            )
        self.max_value, self.threshold = max_value, threshold
        self.negative_slope = _check.number("ReLU", "negative_slope", negative_slope)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the activation."""
        if self.negative_slope:
            return ops.activation(x, "leaky_relu", negative_slope=self.negative_slope)
        return ops.activation(x, "relu")


class LeakyReLU(Layer):
    """x where x >= 0, else negative_slope x. Source: Maas et al., 2013."""

    def __init__(self, negative_slope: float = 0.3, **options: Any) -> None:
        super().__init__(**options)
        self.negative_slope = _check.number("LeakyReLU", "negative_slope", negative_slope)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the activation."""
        return ops.activation(x, "leaky_relu", negative_slope=self.negative_slope)


class Softmax(Layer):
    """Softmax over the last axis."""

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        if axis != -1:
            raise ValueError(f"Softmax: axis must be -1 (the channels), got axis={axis!r}")
        self.axis = axis

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the softmax."""
        return ops.softmax(x)
