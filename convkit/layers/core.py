"""Dense layers, dropout, and layers that change shapes or ranges."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from convkit import _check, ops
from convkit.graph import Tensor, Variable
from convkit.layers.activation import apply, check_activation
from convkit.layers.base import (
    Layer,
    check_data_format,
    check_rank,
    check_seed,
    random_source,
    variable_property,
)
from convkit.layers.conv import HINT
from convkit.layers.symbolic import Shape


class Dense(Layer):
    """activation(x kernel + bias) over the last axis.

    Input shape:  (batch, ..., features). Output shape: (batch, ..., units).
    """

    kernel = variable_property("kernel")
    bias = variable_property("bias")

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = _check.integer("Dense", "units", units)
        self.activation = check_activation("Dense", activation)
        self.use_bias = use_bias
        self._keep_weight_options(
            activity_regularizer,
            **{"kernel_initializer": kernel_initializer, "bias_initializer": bias_initializer},
            **{"kernel_regularizer": kernel_regularizer, "bias_regularizer": bias_regularizer},
            **{"kernel_constraint": kernel_constraint, "bias_constraint": bias_constraint},
        )
        self._kernel: Variable | None = None
        self._bias: Variable | None = None

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        if isinstance(input_shape, list) or len(input_shape) < 2:
            raise ValueError(
                f"Dense {self.name!r}: expected input (batch, ..., features),"
                f" got shape {input_shape}"
            )
        self._kernel = self.add_weight("kernel", (input_shape[-1], self.units))
        if self.use_bias:
            self._bias = self.add_weight("bias", (self.units,))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, ..., units)."""
        if self._kernel is not None and input_shape[-1] != self._kernel.value.shape[0]:
            raise ValueError(
                f"Dense {self.name!r}: expected {self._kernel.value.shape[0]} features, got shape"
                f" {input_shape}"
            )
        return (*input_shape[:-1], self.units)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the product and the activation."""
        assert self._kernel is not None
        bias = x.graph.variable(self._bias) if self._bias else None
        return apply(ops.dense(x, x.graph.variable(self._kernel), bias), self.activation)


class Flatten(Layer):
    """Make each sample one row of numbers. (batch, ...) -> (batch, product)."""

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        check_data_format("Flatten", data_format)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, product)."""
        return (input_shape[0], math.prod(input_shape[1:]))

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit a view."""
        return ops.reshape(x, (None, -1))


class Reshape(Layer):
    """Give each sample another shape; one size may be -1."""

    def __init__(self, target_shape: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.target_shape = tuple(target_shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, *target_shape) with -1 resolved."""
        rest, target = math.prod(input_shape[1:]), list(self.target_shape)
        known = math.prod(size for size in target if size != -1)
        if target.count(-1) > 1 or known < 1 or (rest % known if -1 in target else rest != known):
            raise ValueError(
                f"Reshape {self.name!r}: target_shape={self.target_shape} must hold the {rest}"
                f" values of a sample of shape {input_shape[1:]}"
            )
        if -1 in target:
            target[target.index(-1)] = rest // known
        return (input_shape[0], *target)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit a view."""
        return ops.reshape(x, self.compute_output_shape(x.shape))


class Dropout(Layer):
    """In training, set a share `rate` of the values to 0 and scale the rest by 1 / (1 - rate).

    The mask is a function of (seed, layer, step, element). Source: Srivastava et al., 2014.
    """

    _spatial = False

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        kind = type(self).__name__
        self.rate = _check.number(kind, "rate", rate)
        if not 0 <= self.rate < 1:
            raise ValueError(f"{kind}: rate must lie in [0, 1), got rate={rate!r}")
        if noise_shape is not None:
            raise ValueError(
                f"{kind}: noise_shape is not supported, got {noise_shape!r}; SpatialDropout2D drops"
                " whole channels"
            )
        self.noise_shape = noise_shape
        self.seed = check_seed(kind, seed)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit dropout in training, else nothing."""
        if not training or self.rate == 0:
            return x
        return ops.dropout(x, self.rate, spatial=self._spatial, **random_source(x, self.seed))


class SpatialDropout2D(Dropout):
    """In training, set whole channels of a sample to 0 and scale the rest by 1 / (1 - rate).

    Neighbouring pixels say much the same, so dropping single ones hides little. Source: Tompson et
    al., 2015.

    Input shape:  (batch, height, width, channels). Output shape: the same.
    """

    _spatial = True
    _unsaved = ("noise_shape",)  # of Dropout, not its own

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(rate, None, seed, **options)
        check_data_format("SpatialDropout2D", data_format)

    def build(self, input_shape: Any) -> None:
        """Check the input's shape."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)


class Identity(Layer):
    """x itself."""

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit a copy."""
        return ops.reshape(x, x.shape)


class Lambda(Layer):
    """function(x, **arguments), composed from `+ - * /` and convkit.ops on tensors.

    A model with it is saved where the function has a name; loading it takes custom_objects, or
    convkit.utils.register_serializable before.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        arguments: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not callable(function):
            raise TypeError(f"Lambda: function must be callable, got function={function!r}")
        self.function, self.arguments = function, dict(arguments or {})

    def call(self, x: Tensor, training: bool) -> Any:
        """Call the function, which emits ops."""
        return self.function(x, **self.arguments)


class Rescaling(Layer):
    """x * scale + offset, for instance Rescaling(1 / 255) on images of 0..255."""

    def __init__(self, scale: float, offset: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.scale = _check.number("Rescaling", "scale", scale)
        self.offset = _check.number("Rescaling", "offset", offset)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the affine map."""
        return ops.affine(x, self.scale, self.offset)


class ZeroPadding2D(Layer):
    """Put zeros around the rows and columns: an int, (rows, columns), or ((t, b), (l, r))."""

    def __init__(
        self, padding: Any = (1, 1), data_format: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        check_data_format("ZeroPadding2D", data_format)
        form = _check.explicit_padding("ZeroPadding2D", padding)
        if isinstance(form, str):
            raise ValueError(f"ZeroPadding2D: padding must be numbers, got padding={padding!r}")
        self.padding = form

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, height + top + bottom, width + left + right, channels)."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)
        n, h, w, c = input_shape
        return (n, h + sum(self.padding[0]), w + sum(self.padding[1]), c)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the padding."""
        return ops.zero_pad2d(x, self.padding)
