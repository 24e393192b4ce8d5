"""Layers that normalize each sample by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convkit import _check, ops
from convkit.graph import Tensor, Variable
from convkit.layers.base import Layer, variable_property


def _last_axes(layer: Layer, axis: int | Sequence[int], input_shape: Any) -> list[int]:
    """Return the axes that `axis` names, in order; raise ValueError unless they are the last."""
    rank = 0 if isinstance(input_shape, list) else len(input_shape)
    given = [axis] if isinstance(axis, int) else list(axis)
    axes = sorted({a % rank for a in given if -rank <= a < rank})
    if len(axes) < len(given) or axes != list(range(rank - len(axes), rank)) or axes[0] < 1:
        raise ValueError(
            f"{type(layer).__name__} {layer.name!r}: axis must name the last axes, and not the"
            f" batch, got axis={axis} for input {input_shape}"
        )
    return axes


class _SampleNormalization(Layer):
    """What layer and group normalization share: gamma, beta, epsilon."""

    gamma = variable_property("gamma")
    beta = variable_property("beta")

    def _keep(self, *, epsilon: Any, center: Any, scale: Any, **options: Any) -> None:
        kind = type(self).__name__
        self.epsilon = _check.number(kind, "epsilon", epsilon)
        if self.epsilon < 0:
            raise ValueError(f"{kind}: epsilon must not be negative, got epsilon={epsilon!r}")
        self.center, self.scale = center, scale
        self._keep_weight_options(**options)
        self._gamma: Variable | None = None
        self._beta: Variable | None = None

    def _make_weights(self, shape: Sequence[int]) -> None:
        if self.scale:
            self._gamma = self.add_weight("gamma", shape)
        if self.center:
            self._beta = self.add_weight("beta", shape)

    def _weights_in(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        graph = x.graph
        return (
            graph.variable(self._gamma) if self._gamma else None,
            graph.variable(self._beta) if self._beta else None,
        )


class LayerNormalization(_SampleNormalization):
    """Normalize each sample over its last axis, or its last axes, then scale and shift.

    y = (x - mean) / sqrt(variance + epsilon) * gamma + beta; gamma and beta have the sizes of the
    axes. Source: Ba et al., 2016.

    Input shape:  (batch, ...). Output shape: the same.
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis = _check.integers("LayerNormalization", "axis", axis, -_check.MAX_SIZE)
        self._keep(
            **{"epsilon": epsilon, "center": center, "scale": scale},
            **{"beta_initializer": beta_initializer, "gamma_initializer": gamma_initializer},
            **{"beta_regularizer": beta_regularizer, "gamma_regularizer": gamma_regularizer},
            **{"beta_constraint": beta_constraint, "gamma_constraint": gamma_constraint},
        )

    def build(self, input_shape: Any) -> None:
        """Make gamma and beta."""
        axes = _last_axes(self, self.axis, input_shape)
        self._axes = len(axes)
        self._make_weights([input_shape[a] for a in axes])

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the normalization."""
        return ops.layer_norm(x, *self._weights_in(x), axes=self._axes, epsilon=self.epsilon)


class GroupNormalization(_SampleNormalization):
    """Normalize groups of channels over all pixels of a sample, then scale and shift.

    Unlike batch normalization it does not depend on the batch. groups=-1 makes every channel a
    group: instance normalization. Source: Wu and He, 2018; Ulyanov et al., 2016.

    Input shape:  (batch, ..., channels). Output shape: the same.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.groups = (
            groups if groups == -1 else _check.integer("GroupNormalization", "groups", groups)
        )
        self.axis = _check.integer("GroupNormalization", "axis", axis, -_check.MAX_SIZE)
        self._keep(
            **{"epsilon": epsilon, "center": center, "scale": scale},
            **{"beta_initializer": beta_initializer, "gamma_initializer": gamma_initializer},
            **{"beta_regularizer": beta_regularizer, "gamma_regularizer": gamma_regularizer},
            **{"beta_constraint": beta_constraint, "gamma_constraint": gamma_constraint},
        )

    def build(self, input_shape: Any) -> None:
        """Make gamma and beta."""
        rank = 0 if isinstance(input_shape, list) else len(input_shape)
        if rank < 2 or self.axis not in (-1, rank - 1):
            raise ValueError(
                f"GroupNormalization {self.name!r}: axis must be the last one, the channels, got"
                f" axis={self.axis} for input {input_shape}"
            )
        channels = input_shape[-1]
        if self.groups != -1 and channels % self.groups:
            raise ValueError(
                f"GroupNormalization {self.name!r}: groups must divide the channels, got"
                f" groups={self.groups} for input {input_shape}; use -1 for one group a channel"
            )
        self._make_weights([channels])

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the normalization."""
        groups = (x.shape[-1] or 1) if self.groups == -1 else self.groups
        return ops.group_norm(x, *self._weights_in(x), groups=groups, epsilon=self.epsilon)


class RMSNormalization(Layer):
    """Divide by the root of the mean square over the last axis, or its last axes, then scale.

    y = x / sqrt(mean(x^2) + epsilon) * scale; scale has the sizes of the axes. Source: Zhang and
    Sennrich, 2019.

    Input shape:  (batch, ...). Output shape: the same.
    """

    scale = variable_property("scale")

    def __init__(
        self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **options: Any
    ) -> None:
        super().__init__(**options)
        self.axis = _check.integers("RMSNormalization", "axis", axis, -_check.MAX_SIZE)
        self.epsilon = _check.at_least_zero("RMSNormalization", "epsilon", epsilon)
        self._scale: Variable | None = None

    def build(self, input_shape: Any) -> None:
        """Make scale."""
        self._axes = _last_axes(self, self.axis, input_shape)
        self._scale = self.add_weight("scale", [input_shape[a] for a in self._axes], "ones")

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the root, the quotient and the product."""
        assert self._scale is not None
        mean = ops.reduce_mean(ops.square(x), self._axes, keepdims=True)
        return x / ops.sqrt(ops.affine(mean, 1.0, self.epsilon)) * x.graph.variable(self._scale)


class UnitNormalization(Layer):
    """Divide by the Euclidean norm over an axis or several, so that it is 1.

    Input shape:  (batch, ...). Output shape: the same.
    """

    def __init__(self, axis: int | Sequence[int] = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = _check.integers("UnitNormalization", "axis", axis, -_check.MAX_SIZE)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the norm, not below 1e-12, and the quotient."""
        return ops.normalize(x, self.axis)
