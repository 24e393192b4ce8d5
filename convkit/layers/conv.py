"""Convolution layers."""

from __future__ import annotations

from typing import Any

from convkit import _check, ops
from convkit.graph import Tensor, Variable
from convkit.layers.activation import apply, check_activation
from convkit.layers.base import Layer, check_data_format, check_rank, variable_property
from convkit.layers.symbolic import Shape

HINT = "add the channel axis with x.reshape(-1, H, W, 1) or Reshape((H, W, C))"


class Conv2D(Layer):
    """Convolve images with learned filters: one filter makes one feature map.

    Input shape:  (batch, height, width, channels)
    Output shape: (batch, out_height, out_width, filters), out = (in - kernel) // strides + 1 for
    padding="valid", ceil(in / strides) for "same". The kernel is
    (KH, KW, channels / groups, filters).
    """

    kernel = variable_property("kernel")
    bias = variable_property("bias")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        groups: int = 1,
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
        kind = type(self).__name__
        check_data_format(kind, data_format)
        self.filters = _check.integer(kind, "filters", filters)
        self.kernel_size = _check.pair(kind, "kernel_size", kernel_size)
        self.strides = _check.pair(kind, "strides", strides)
        self.padding = _check.explicit_padding(
            kind, padding.lower() if isinstance(padding, str) else padding
        )
        self.dilation_rate = _check.pair(kind, "dilation_rate", dilation_rate)
        self.groups = _check.integer(kind, "groups", groups)
        if self.filters % self.groups:
            raise ValueError(
                f"{kind}: groups must divide filters, got groups={groups} and filters={filters}"
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

    def _geometry(self, shape: Shape) -> dict[str, int]:
        channels = shape[-1]
        assert channels is not None
        if channels % self.groups:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: groups={self.groups} must divide the"
                f" {channels} channels of the input {shape}"
            )
        w_shape = (*self.kernel_size, channels // self.groups, self.filters)
        return _check.conv2d_geometry(
            f"{type(self).__name__} {self.name!r}",
            (1, *[size or 0 for size in shape[1:]]),
            w_shape,
            self.strides,
            self.padding,
            self.dilation_rate,
            self.groups,
        )

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)
        self._geometry(input_shape)
        shape = (*self.kernel_size, input_shape[-1] // self.groups, self.filters)
        self._kernel = self.add_weight("kernel", shape)
        if self.use_bias:
            self._bias = self.add_weight("bias", (self.filters,))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, out_height, out_width, filters)."""
        sizes = self._geometry(input_shape)
        return (input_shape[0], sizes["oh"], sizes["ow"], sizes["k"])

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit convolution and activation."""
        assert self._kernel is not None
        y = ops.conv2d(
            x,
            x.graph.variable(self._kernel),
            x.graph.variable(self._bias) if self._bias else None,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation_rate,
            groups=self.groups,
        )
        return apply(y, self.activation)


class DepthwiseConv2D(Conv2D):
    """Convolve each channel with filters of its own, depth_multiplier of them.

    Input shape:  (batch, height, width, channels)
    Output shape: (batch, out_height, out_width, channels * depth_multiplier). The kernel is
    (KH, KW, 1, channels * depth_multiplier).
    """

    # Of Conv2D, not its own:
    _unsaved = (
        *("filters", "groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
    )

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: Any = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            *(
                1,
                kernel_size,
                strides,
                padding,
                data_format,
                dilation_rate,
                1,
                activation,
                use_bias,
            ),
            *(depthwise_initializer, bias_initializer),
            *(depthwise_regularizer, bias_regularizer, activity_regularizer),
            *(depthwise_constraint, bias_constraint),
            **options,
        )
        for kind in ("initializer", "regularizer", "constraint"):
            setattr(self, f"depthwise_{kind}", getattr(self, f"kernel_{kind}"))
        self.depth_multiplier = _check.integer(
            "DepthwiseConv2D", "depth_multiplier", depth_multiplier
        )

    def build(self, input_shape: Any) -> None:
        """Make kernel and bias."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)
        self._set_channels(input_shape)
        super().build(input_shape)

    def _set_channels(self, input_shape: Shape) -> None:
        channels = input_shape[-1]
        assert channels is not None
        self.groups, self.filters = channels, channels * self.depth_multiplier

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, out_height, out_width, channels * depth_multiplier)."""
        self._set_channels(input_shape)
        return super().compute_output_shape(input_shape)


class SeparableConv2D(Layer):
    """Convolve each channel with filters of its own, then mix the channels pixel by pixel.

    Input shape:  (batch, height, width, channels)
    Output shape: (batch, out_height, out_width, filters), sizes as of Conv2D. depthwise_kernel is
    (KH, KW, 1, channels * depth_multiplier), pointwise_kernel (1, 1, channels * depth_multiplier,
    filters). Source: Chollet, 2017.
    """

    depthwise_kernel = variable_property("depthwise_kernel")
    pointwise_kernel = variable_property("pointwise_kernel")
    bias = variable_property("bias")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        kind = "SeparableConv2D"
        # A depthwise layer checks the arguments and knows the sizes; it makes no weights.
        self._depthwise = DepthwiseConv2D(
            *(kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate),
            name=self.name,
            dtype=self.dtype,
        )
        self.filters = _check.integer(kind, "filters", filters)
        for name in ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier"):
            setattr(self, name, getattr(self._depthwise, name))
        self.activation = check_activation(kind, activation)
        self.use_bias = use_bias
        self._keep_weight_options(
            activity_regularizer,
            depthwise_initializer=depthwise_initializer,
            pointwise_initializer=pointwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            pointwise_regularizer=pointwise_regularizer,
            bias_regularizer=bias_regularizer,
            depthwise_constraint=depthwise_constraint,
            pointwise_constraint=pointwise_constraint,
            bias_constraint=bias_constraint,
        )
        self._depthwise_kernel: Variable | None = None
        self._pointwise_kernel: Variable | None = None
        self._bias: Variable | None = None

    def build(self, input_shape: Any) -> None:
        """Make both kernels and the bias."""
        self.compute_output_shape(input_shape)
        channels = input_shape[-1] * self._depthwise.depth_multiplier
        for part, shape in (
            ("depthwise", (*self._depthwise.kernel_size, 1, channels)),
            ("pointwise", (1, 1, channels, self.filters)),
        ):
            kinds = ("initializer", "regularizer", "constraint")
            options = {kind: getattr(self, f"{part}_{kind}") for kind in kinds}
            variable = self.add_weight(f"{part}_kernel", shape, **options)
            setattr(self, f"_{part}_kernel", variable)
        if self.use_bias:
            self._bias = self.add_weight("bias", (self.filters,))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, out_height, out_width, filters)."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)
        return (*self._depthwise.compute_output_shape(input_shape)[:-1], self.filters)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit both convolutions and the activation."""
        assert self._depthwise_kernel is not None and self._pointwise_kernel is not None
        graph = x.graph
        y = ops.conv2d(
            x,
            graph.variable(self._depthwise_kernel),
            strides=self._depthwise.strides,
            padding=self._depthwise.padding,
            dilation=self._depthwise.dilation_rate,
            groups=x.shape[-1] or 1,
        )
        bias = graph.variable(self._bias) if self._bias else None
        return apply(ops.conv2d(y, graph.variable(self._pointwise_kernel), bias), self.activation)
