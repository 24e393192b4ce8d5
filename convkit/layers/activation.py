"""Activations as layers, and as the last step of other layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convkit import _check, activations, ops
from convkit.graph import Tensor, Variable
from convkit.layers.base import Layer, variable_property

# A function of these packages is known by its name.
KERAS = ("convkit", "keras", "tensorflow", "tf_keras")


def check_activation(layer: str, activation: Any) -> Any:
    """Return what a layer can apply: a name, a function of one tensor, or a layer without weights.

    Raises ValueError for a name that does not exist, with the nearest that does.
    """
    if activation is None:
        return "linear"
    if isinstance(activation, Layer):
        if isinstance(activation, PReLU) or activation.variables:
            raise ValueError(
                f"{layer}: activation must have no weights, got {type(activation).__name__}; call"
                " it as the next layer"
            )
        return activation
    if callable(activation):
        name = getattr(activation, "__name__", "")
        package = str(getattr(activation, "__module__", "")).split(".")[0]
        return name if package in KERAS and name in activations.NAMES else activation
    return _check.one_of(layer, "activation", activation, activations.NAMES)


def apply(x: Tensor, activation: Any) -> Tensor:
    """Emit what check_activation returned."""
    if isinstance(activation, Layer):
        return activation.call(x, False)
    y = activations.get(activation)(x)
    if not isinstance(y, Tensor) or y.graph is not x.graph:
        raise TypeError(
            f"activation: a function must return a tensor made of its argument by convkit.ops, got"
            f" {type(y).__name__} from {activation!r}"
        )
    return y


class Activation(Layer):
    """Apply an activation: a name, or a function of one tensor.

    Input shape:  (batch, ...). Output shape: the same.
    """

    def __init__(self, activation: Any, **options: Any) -> None:
        super().__init__(**options)
        self.activation = check_activation("Activation", activation)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the activation."""
        return apply(x, self.activation)


class ReLU(Layer):
    """max(x, 0); max_value from there on; below the threshold, negative_slope (x - threshold).

    Input shape:  (batch, ...). Output shape: the same.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        given = {"negative_slope": negative_slope, "threshold": threshold}
        if max_value is not None:
            given["max_value"] = max_value
        for name, value in given.items():
            if _check.number("ReLU", name, value) < 0:
                raise ValueError(f"ReLU: {name} must not be negative, got {name}={value!r}")
        self.max_value = None if max_value is None else float(max_value)
        self.negative_slope, self.threshold = float(negative_slope), float(threshold)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the activation."""
        return activations.relu(x, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(Layer):
    """x where x >= 0, else negative_slope x. Source: Maas et al., 2013."""

    def __init__(self, negative_slope: float = 0.3, **options: Any) -> None:
        super().__init__(**options)
        self.negative_slope = _check.number("LeakyReLU", "negative_slope", negative_slope)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the activation."""
        return ops.activation(x, "leaky_relu", negative_slope=self.negative_slope)


class ELU(Layer):
    """x where x >= 0, else alpha (exp(x) - 1). Source: Clevert et al., 2015."""

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.alpha = _check.number("ELU", "alpha", alpha)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the activation."""
        return ops.activation(x, "elu", alpha=self.alpha)


class PReLU(Layer):
    """x where x >= 0, else alpha x with learned alphas: one per value of a sample.

    Axes in shared_axes (1 is the first after the batch) share an alpha: [1, 2] gives one per
    channel of an image. Source: He et al., 2015.

    Input shape:  (batch, ...). Output shape: the same.
    """

    alpha = variable_property("alpha")

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: int | Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._keep_weight_options(
            alpha_initializer=alpha_initializer,
            alpha_regularizer=alpha_regularizer,
            alpha_constraint=alpha_constraint,
        )
        axes = _check.integers("PReLU", "shared_axes", [] if shared_axes is None else shared_axes)
        self.shared_axes = axes if isinstance(axes, list) else [axes]
        self._alpha: Variable | None = None

    def build(self, input_shape: Any) -> None:
        """Make the alphas."""
        rank = len(input_shape)
        if any(axis >= rank for axis in self.shared_axes):
            raise ValueError(
                f"PReLU {self.name!r}: shared_axes must lie in 1 to {rank - 1} for input"
                f" {input_shape}, got shared_axes={self.shared_axes}"
            )
        shape = [1 if i in self.shared_axes else s for i, s in enumerate(input_shape) if i]
        self._alpha = self.add_weight("alpha", shape)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the activation."""
        return ops.prelu(x, self._alpha)


class Softmax(Layer):
    """Softmax over an axis, by default the last.

    Input shape:  (batch, ...). Output shape: the same.
    """

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = _check.integer("Softmax", "axis", axis, -_check.MAX_SIZE)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the softmax."""
        return activations.softmax(x, self.axis)
