"""Layers of several inputs."""

from __future__ import annotations

from functools import reduce
from typing import Any

from convkit import ops
from convkit.graph import Tensor
from convkit.layers.base import MergingLayer, Shape


def _check_list(layer: MergingLayer, shapes: Any) -> None:
    if not isinstance(shapes, list) or len(shapes) < 2:
        raise ValueError(
            f"{type(layer).__name__} {layer.name!r}: call it on a list of at least two tensors, got"
            f" {shapes}"
        )


class Add(MergingLayer):
    """The sum of several tensors of one shape, as in a residual connection."""

    def build(self, input_shape: Any) -> None:
        """Check the shapes."""
        _check_list(self, input_shape)
        if len(set(input_shape)) != 1:
            raise ValueError(f"Add {self.name!r}: shapes must be equal, got {input_shape}")

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of all inputs."""
        return input_shape[0]

    def call(self, x: list[Tensor], training: bool) -> Tensor:
        """Emit the sums."""
        return reduce(ops.add, x)


class Concatenate(MergingLayer):
    """Several tensors behind one another along an axis."""

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        """Check the shapes."""
        _check_list(self, input_shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the common shape with the sizes of the axis added up."""
        rank = len(input_shape[0])
        axis = self.axis % rank
        others = {(*s[:axis], *s[axis + 1 :]) for s in input_shape}
        if axis == 0 or len(others) != 1:
            raise ValueError(
                f"Concatenate {self.name!r}: shapes must agree on all axes but axis={self.axis},"
                f" which is not the batch, got {input_shape}"
            )
        size = sum(s[axis] for s in input_shape)
        return (*input_shape[0][:axis], size, *input_shape[0][axis + 1 :])

    def call(self, x: list[Tensor], training: bool) -> Tensor:
        """Emit the concatenation."""
        return ops.concatenate(x, self.axis)
