"""Layers that enlarge, crop, reorder and repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convkit import _check, ops
from convkit.graph import Tensor
from convkit.layers.base import Layer, check_data_format, check_rank
from convkit.layers.conv import HINT
from convkit.layers.symbolic import Shape
from convkit.ops.resize import INTERPOLATIONS


class UpSampling2D(Layer):
    """Enlarge images by whole factors: pixels repeat ("nearest") or blend ("bilinear").

    Input shape:  (batch, height, width, channels)
    Output shape: (batch, height * size[0], width * size[1], channels)
    """

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        kind = "UpSampling2D"
        check_data_format(kind, data_format)
        self.size = _check.pair(kind, "size", size)
        self.interpolation = _check.one_of(kind, "interpolation", interpolation, INTERPOLATIONS)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, height * size[0], width * size[1], channels)."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)
        n, h, w, c = input_shape
        return (n, h * self.size[0], w * self.size[1], c)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the enlarging."""
        return ops.upsample2d(x, self.size, self.interpolation)


class Cropping2D(Layer):
    """Cut rows and columns off: an int, (rows, columns), or ((top, bottom), (left, right)).

    Input shape:  (batch, height, width, channels)
    Output shape: (batch, height - top - bottom, width - left - right, channels)
    """

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        check_data_format("Cropping2D", data_format)
        try:
            form = _check.explicit_padding("Cropping2D", cropping)
        except (TypeError, ValueError):
            form = "wrong"
        if isinstance(form, str):
            raise ValueError(
                "Cropping2D: cropping must be an int, a pair or ((top, bottom), (left, right)) of"
                f" ints that are not negative, got cropping={cropping!r}"
            )
        self.cropping = form

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, height - top - bottom, width - left - right, channels)."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)
        n, h, w, c = input_shape
        rows, columns = h - sum(self.cropping[0]), w - sum(self.cropping[1])
        if min(rows, columns) < 1:
            raise ValueError(
                f"Cropping2D {self.name!r}: cropping must leave at least one row and column, got"
                f" cropping={self.cropping} for input {input_shape}"
            )
        return (n, rows, columns, c)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the cropping."""
        return ops.crop2d(x, self.cropping)


class Permute(Layer):
    """Bring the axes of a sample into another order; dims counts from 1, the batch stays first.

    Permute((2, 1)) swaps the two axes of samples of rank 2.
    """

    def __init__(self, dims: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        if not _check.is_sequence(dims) or sorted(dims) != list(range(1, len(dims) + 1)):
            raise ValueError(
                f"Permute: dims must hold each of 1, 2, ... once, got dims={dims!r}; the batch is"
                " axis 0 and stays"
            )
        self.dims = tuple(int(d) for d in dims)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the sizes in their new order."""
        if isinstance(input_shape, list) or len(input_shape) != len(self.dims) + 1:
            raise ValueError(
                f"Permute {self.name!r}: dims must name every axis of a sample, got"
                f" dims={self.dims} for input {input_shape}"
            )
        return (input_shape[0], *(input_shape[d] for d in self.dims))

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the new order."""
        return ops.permute(x, self.dims)


class RepeatVector(Layer):
    """Repeat each sample's row n times. (batch, features) -> (batch, n, features)."""

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = _check.integer("RepeatVector", "n", n)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, n, features)."""
        check_rank(self, input_shape, 2, "(batch, features)", "use Flatten() before it")
        return (input_shape[0], self.n, input_shape[1])

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the repetition."""
        rows = ops.reshape(x, (None, 1, x.shape[1]))
        return ops.broadcast_to(rows, self.compute_output_shape(x.shape))
