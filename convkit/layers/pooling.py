"""Pooling layers."""

from __future__ import annotations

from typing import Any

from convkit import _check, ops
from convkit.graph import Tensor
from convkit.layers.base import Layer, check_data_format, check_rank
from convkit.layers.conv import HINT
from convkit.layers.symbolic import Shape


class _Pooling2D(Layer):
    """What max and average pooling share."""

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: Any = "valid",
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        kind = type(self).__name__
        check_data_format(kind, data_format)
        self.pool_size = _check.pair(kind, "pool_size", pool_size)
        self.strides = self.pool_size if strides is None else _check.pair(kind, "strides", strides)
        self.padding = _check.explicit_padding(
            kind, padding.lower() if isinstance(padding, str) else padding
        )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, out_height, out_width, channels)."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)
        sizes = _check.pool2d_geometry(
            f"{type(self).__name__} {self.name!r}",
            (1, *input_shape[1:]),
            self.pool_size,
            self.strides,
            self.padding,
        )
        return (input_shape[0], sizes["oh"], sizes["ow"], sizes["c"])


class MaxPooling2D(_Pooling2D):
    """Keep the maximum of each window: smaller maps that still say where a feature stands out.

    Input shape:  (batch, height, width, channels)
    Output shape: (batch, (height - pool) // strides + 1, ..., channels) for padding="valid".
    """

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit max pooling."""
        return ops.max_pool2d(x, self.pool_size, self.strides, self.padding)


class AveragePooling2D(_Pooling2D):
    """Keep the mean of each window; cells of the padding do not count.

    Input and output shapes as for MaxPooling2D.
    """

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit average pooling."""
        return ops.avg_pool2d(x, self.pool_size, self.strides, self.padding)


class _GlobalPooling2D(Layer):
    """Pool whole maps to one number per channel."""

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        check_data_format(type(self).__name__, data_format)
        self.keepdims = keepdims

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, channels), or (None, 1, 1, channels) with keepdims."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)
        batch, channels = input_shape[0], input_shape[-1]
        return (batch, 1, 1, channels) if self.keepdims else (batch, channels)

    def _shaped(self, y: Tensor) -> Tensor:
        return y if self.keepdims else ops.reshape(y, (None, y.shape[-1]))


class GlobalAveragePooling2D(_GlobalPooling2D):
    """The mean of each map. (batch, height, width, channels) -> (batch, channels)."""

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit average pooling with a window as large as the map."""
        return self._shaped(ops.avg_pool2d(x, x.shape[1:3]))


class GlobalMaxPooling2D(_GlobalPooling2D):
    """The maximum of each map. (batch, height, width, channels) -> (batch, channels)."""

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit max pooling with a window as large as the map."""
        return self._shaped(ops.max_pool2d(x, x.shape[1:3]))


class _AdaptivePooling2D(Layer):
    """What max and average pooling to a given size share."""

    def __init__(self, output_size: Any, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        check_data_format(type(self).__name__, data_format)
        self.output_size = _check.pair(type(self).__name__, "output_size", output_size)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, *output_size, channels)."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)
        if any(k > n for k, n in zip(self.output_size, input_shape[1:3], strict=True)):
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: output_size must not be larger than the map,"
                f" got output_size={self.output_size} for input {input_shape}"
            )
        return (input_shape[0], *self.output_size, input_shape[3])


class AdaptiveMaxPooling2D(_AdaptivePooling2D):
    """The maxima of output_size windows that cover the map, whatever its size.

    Window r of R covers the rows from floor(r H / R) to ceil((r + 1) H / R), as in PyTorch.

    Input shape:  (batch, height, width, channels)
    Output shape: (batch, *output_size, channels)
    """

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the pooling."""
        return ops.adaptive_max_pool2d(x, self.output_size)


class AdaptiveAveragePooling2D(_AdaptivePooling2D):
    """The means of output_size windows that cover the map, those of AdaptiveMaxPooling2D."""

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the pooling."""
        return ops.adaptive_avg_pool2d(x, self.output_size)
