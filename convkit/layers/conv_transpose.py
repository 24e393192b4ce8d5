"""The transposed convolution layer."""

from __future__ import annotations

from typing import Any

from convkit import _check, ops
from convkit.graph import Tensor, Variable
from convkit.layers.activation import apply, check_activation
from convkit.layers.base import Layer, check_data_format, check_rank, variable_property
from convkit.layers.conv import HINT
from convkit.layers.symbolic import Shape


class Conv2DTranspose(Layer):
    """Spread each pixel over a window by learned filters: a convolution run backwards.

    Input shape:  (batch, height, width, channels)
    Output shape: (batch, out_height, out_width, filters), out = (in - 1) strides + kernel (at least
    in strides) for padding="valid", in strides for "same"; with output_padding, (in - 1) strides +
    kernel + output_padding, for "same" less kernel // 2 on both sides. The kernel is
    (KH, KW, filters, channels). Source: Dumoulin and Visin, 2016.
    """

    kernel = variable_property("kernel")
    bias = variable_property("bias")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: Any = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
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
        kind = "Conv2DTranspose"
        check_data_format(kind, data_format)
        self.filters = _check.integer(kind, "filters", filters)
        self.kernel_size = _check.pair(kind, "kernel_size", kernel_size)
        self.strides = _check.pair(kind, "strides", strides)
        self.padding = _check.explicit_padding(
            kind, padding.lower() if isinstance(padding, str) else padding
        )
        self.dilation_rate = _check.pair(kind, "dilation_rate", dilation_rate)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{kind}: strides and dilation_rate must not both be above 1, got"
                f" strides={strides!r} and dilation_rate={dilation_rate!r}; set one of them to 1"
            )
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = _check.pair(kind, "output_padding", output_padding, 0)
            if any(p >= s for p, s in zip(self.output_padding, self.strides, strict=True)):
                raise ValueError(
                    f"{kind}: output_padding must be smaller than strides, got"
                    f" output_padding={output_padding!r} and strides={strides!r}"
                )
        self.activation = check_activation(kind, activation)
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
        self.compute_output_shape(input_shape)
        self._kernel = self.add_weight("kernel", (*self.kernel_size, self.filters, input_shape[-1]))
        if self.use_bias:
            self._bias = self.add_weight("bias", (self.filters,))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, out_height, out_width, filters)."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)
        n, *sizes = input_shape
        geometry = _check.conv2d_transpose_geometry(
            f"Conv2DTranspose {self.name!r}",
            (1, *sizes),
            (*self.kernel_size, self.filters, sizes[-1]),
            *(self.strides, self.padding, self.dilation_rate, 1, self.output_padding),
        )
        return (n, geometry["ih"], geometry["iw"], self.filters)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the transposed convolution and the activation."""
        assert self._kernel is not None
        y = ops.conv2d_transpose(
            x,
            x.graph.variable(self._kernel),
            x.graph.variable(self._bias) if self._bias else None,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation_rate,
            output_padding=self.output_padding,
        )
        return apply(y, self.activation)
