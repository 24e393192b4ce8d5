"""Layers of several inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from convkit import ops
from convkit.graph import Tensor
from convkit.layers.base import MergingLayer
from convkit.layers.symbolic import Shape


def _check_list(layer: MergingLayer, shapes: Any) -> None:
    if not isinstance(shapes, list) or len(shapes) < 2:
        raise ValueError(
            f"{type(layer).__name__} {layer.name!r}: call it on a list of at least two tensors, got"
            f" {shapes}"
        )


class _Elementwise(MergingLayer):
    """Combine tensors element by element; an axis of size 1 repeats to the others' size."""

    _combine: Callable[[Any, Any], Tensor]

    def build(self, input_shape: Any) -> None:
        """Check the shapes."""
        _check_list(self, input_shape)
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape that all inputs repeat to."""
        if len({len(shape) for shape in input_shape}) == 1:
            sizes = [set(axis) - {1} or {1} for axis in zip(*input_shape, strict=True)]
            if all(len(axis) == 1 for axis in sizes):
                return tuple(axis.pop() for axis in sizes)
        raise ValueError(
            f"{type(self).__name__} {self.name!r}: shapes must be equal, or 1 where they differ,"
            f" got {input_shape}"
        )

    def call(self, x: list[Tensor], training: bool) -> Tensor:
        """Emit the op for the first two, then for the result and the next."""
        return reduce(type(self)._combine, x)


class Add(_Elementwise):
    """The sum of several tensors, as in a residual connection."""

    _combine = staticmethod(ops.add)


class Subtract(_Elementwise):
    """The first tensor minus the second."""

    _combine = staticmethod(ops.subtract)

    def build(self, input_shape: Any) -> None:
        """Check the shapes."""
        if not isinstance(input_shape, list) or len(input_shape) != 2:
            raise ValueError(
                f"Subtract {self.name!r}: call it on a list of two tensors, got {input_shape}"
            )
        super().build(input_shape)


class Multiply(_Elementwise):
    """The product of several tensors, element by element, as of maps and their weights."""

    _combine = staticmethod(ops.multiply)


class Average(_Elementwise):
    """The mean of several tensors, element by element."""

    _combine = staticmethod(ops.add)

    def call(self, x: list[Tensor], training: bool) -> Tensor:
        """Emit the sums and the division."""
        return ops.affine(super().call(x, training), 1 / len(x), 0.0)


class Maximum(_Elementwise):
    """The greatest of several tensors, element by element; of equals, the first gets gradients."""

    _combine = staticmethod(ops.maximum)


class Minimum(_Elementwise):
    """The smallest of several tensors, element by element; of equals, the first gets gradients."""

    _combine = staticmethod(ops.minimum)


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


def _function(name: str, kind: type[MergingLayer]) -> Callable[..., Any]:
    """Make a function that calls a new layer on a list of tensors."""

    def merge(inputs: Any, **options: Any) -> Any:
        return kind(**options)(inputs)

    merge.__name__ = merge.__qualname__ = name
    merge.__doc__ = f"Call a new {kind.__name__} layer on a list of tensors; options are its own."
    return merge


add = _function("add", Add)
average = _function("average", Average)
concatenate = _function("concatenate", Concatenate)
maximum = _function("maximum", Maximum)
minimum = _function("minimum", Minimum)
multiply = _function("multiply", Multiply)
subtract = _function("subtract", Subtract)
