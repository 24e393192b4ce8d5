"""Normalization layers."""

from __future__ import annotations

from typing import Any

from convkit import _check, ops
from convkit.graph import Tensor, Variable
from convkit.layers.base import Layer, variable_property


class BatchNormalization(Layer):
    """Normalize each channel to mean 0 and variance 1 over the batch, then scale and shift.

    y = (x - mean) / sqrt(variance + epsilon) * gamma + beta. Training uses the batch's statistics
    and moves the moving ones towards them, moving = momentum * moving + (1 - momentum) * batch
    (biased variance); inference uses the moving ones. Source: Ioffe and Szegedy, 2015.

    Input shape:  (batch, ..., channels). Output shape: the same.
    """

    gamma = variable_property("gamma")
    beta = variable_property("beta")
    moving_mean = variable_property("moving_mean")
    moving_variance = variable_property("moving_variance")

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        kind = "BatchNormalization"
        if axis not in (-1, 3, 1):
            raise ValueError(f"{kind}: axis must be -1 (the channels), got axis={axis!r}")
        self.axis = axis
        self.momentum = _check.number(kind, "momentum", momentum)
        self.epsilon = _check.number(kind, "epsilon", epsilon)
        if not 0 <= self.momentum <= 1 or self.epsilon < 0:
            raise ValueError(
                f"{kind}: momentum must lie in [0, 1] and epsilon must not be negative, got"
                f" momentum={momentum!r}, epsilon={epsilon!r}"
            )
        self.center, self.scale = center, scale
        self._keep_weight_options(
            **{"gamma_initializer": gamma_initializer, "beta_initializer": beta_initializer},
            **{"gamma_regularizer": gamma_regularizer, "beta_regularizer": beta_regularizer},
            **{"gamma_constraint": gamma_constraint, "beta_constraint": beta_constraint},
            moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer,
        )
        self._gamma: Variable | None = None
        self._beta: Variable | None = None
        self._moving_mean: Variable | None = None
        self._moving_variance: Variable | None = None

    def build(self, input_shape: Any) -> None:
        """Make gamma, beta and the moving statistics."""
        if isinstance(input_shape, list) or self.axis % len(input_shape) != len(input_shape) - 1:
            raise ValueError(
                f"BatchNormalization {self.name!r}: axis must be the last one, got axis={self.axis}"
                f" for input shape {input_shape}"
            )
        shape = (input_shape[-1],)
        names = [*(["gamma"] if self.scale else []), *(["beta"] if self.center else [])]
        for name in (*names, "moving_mean", "moving_variance"):
            moving = name.startswith("moving")
            setattr(self, "_" + name, self.add_weight(name, shape, trainable=not moving))

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the normalization, in training with the update of the moving statistics."""
        graph = x.graph
        gamma = graph.variable(self._gamma) if self._gamma else None
        beta = graph.variable(self._beta) if self._beta else None
        assert self._moving_mean is not None and self._moving_variance is not None
        mean, variance = graph.variable(self._moving_mean), graph.variable(self._moving_variance)
        if not training or not self.trainable:
            return ops.batch_norm_inference(x, mean, variance, gamma, beta, epsilon=self.epsilon)
        y, batch_mean, batch_variance = ops.batch_norm(x, gamma, beta, epsilon=self.epsilon)
        ops.moving_average(mean, batch_mean, self.momentum)
        ops.moving_average(variance, batch_variance, self.momentum)
        return y
