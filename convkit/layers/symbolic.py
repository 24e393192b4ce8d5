"""Symbolic tensors, the calls of layers that made them, and Input.

A layer that is called on a symbolic tensor records the call; models replay recorded calls.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit import _check
from convkit._arguments import named_arguments

if TYPE_CHECKING:
    from convkit.layers.base import Layer

Shape = tuple[int | None, ...]

_counts: dict[str, int] = {}


def unique_name(kind: str) -> str:
    """Return "conv2d", "conv2d_1", ... as Keras numbers its layers."""
    name = re.sub(r"(?<=\d)_d(?=_|$)", "d", _check.snake_case(kind))
    count = _counts.get(name, 0)
    _counts[name] = count + 1
    return f"{name}_{count}" if count else name


def reset_names() -> None:
    """Begin anew to number layers."""
    _counts.clear()


class Call:
    """A recorded call of a layer: the tensors that went in (`many`: as a list) and came out."""

    def __init__(self, layer: Layer, inputs: Sequence[SymbolicTensor], many: bool) -> None:
        self.layer, self.inputs, self.many = layer, list(inputs), many
        self.outputs: list[SymbolicTensor] = []


class SymbolicTensor:
    """An input of models, or a result of a recorded call.

    `+ - *` of two, and `+ - * /` of one and a number, record the layers that compute them: Add,
    Subtract, Multiply and Rescaling.
    """

    __array_ufunc__ = None  # arrays on the left of an operator leave it to the tensor

    def __init__(self, shape: Shape, dtype: str, name: str, call: Call | None = None) -> None:
        self.shape, self.dtype, self.name, self.call = shape, dtype, name, call

    @property
    def layer(self) -> Layer | None:
        """The layer that made it, None for an input."""
        return self.call.layer if self.call else None

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """What that layer was called on."""
        return self.call.inputs if self.call else []

    def __repr__(self) -> str:
        """Show shape, dtype and name."""
        return f"<SymbolicTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"

    def _merged(self, kind: str, other: Any) -> Any:
        """Record a merging layer, None where `other` is no symbolic tensor."""
        from convkit.layers import merging

        if not isinstance(other, SymbolicTensor):
            return None
        return getattr(merging, kind)(dtype=self.dtype)([self, other])

    def _rescaled(self, other: Any, scale: Any, offset: Any) -> Any:
        """Record x * scale + offset, functions of the number that `other` must be."""
        from convkit.layers.core import Rescaling

        if not isinstance(other, int | float | np.generic) or isinstance(other, bool):
            return NotImplemented
        number = float(other)
        return Rescaling(scale(number), offset(number), dtype=self.dtype)(self)

    def __add__(self, other: Any) -> Any:
        return self._merged("Add", other) or self._rescaled(other, lambda n: 1.0, lambda n: n)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._merged("Subtract", other) or self._rescaled(other, lambda n: 1.0, lambda n: -n)

    def __rsub__(self, other: Any) -> Any:
        return self._rescaled(other, lambda n: -1.0, lambda n: n)

    def __mul__(self, other: Any) -> Any:
        return self._merged("Multiply", other) or self._rescaled(other, lambda n: n, lambda n: 0.0)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        return self._rescaled(other, lambda n: 1 / n, lambda n: 0.0)

    def __neg__(self) -> Any:
        return self * -1


@named_arguments
def Input(
    shape: Sequence[int] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    name: str | None = None,
    *,
    batch_shape: Sequence[int | None] | None = None,
) -> SymbolicTensor:
    """Make the input of a model: `shape` is that of one sample, without the batch.

    batch_shape may be given instead, with the batch (None) in front. Batches of any size go in,
    whatever batch_size is.
    """
    if batch_shape is not None:
        if shape is not None:
            raise ValueError(
                f"Input: give shape or batch_shape, not both, got shape={shape!r} and"
                f" batch_shape={batch_shape!r}"
            )
        shape = tuple(batch_shape)[1:]  # type: ignore[assignment]
    if shape is None or isinstance(shape, int | str):
        fix = f"; write shape=[{shape}]" if isinstance(shape, int) else ""
        raise ValueError(f"Input: shape must be a tuple or list of ints, got shape={shape!r}{fix}")
    if None in shape:
        raise ValueError(
            f"Input: sizes must be known, got shape={shape!r}; make a model for each size, with the"
            " same layers or weights"
        )
    sizes = tuple(_check.integer("Input", "shape", size) for size in shape)
    return SymbolicTensor((None, *sizes), dtype or "float32", name or unique_name("InputLayer"))


@named_arguments
def InputLayer(
    shape: Sequence[int] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    *,
    batch_shape: Sequence[int | None] | None = None,
    input_shape: Sequence[int] | None = None,
    name: str | None = None,
) -> SymbolicTensor:
    """Make the input of a model, as `Input` does: input_shape is its older name for shape."""
    shape = input_shape if shape is None else shape
    return Input(shape, batch_size, dtype, name, batch_shape=batch_shape)


def names_text(tensors: Sequence[SymbolicTensor]) -> str:
    """Name tensors in one line."""
    return ", ".join(tensor.name for tensor in tensors)


def calls_between(
    inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]
) -> list[Call]:
    """Return the recorded calls that lead from inputs to outputs, in an order to run them in."""
    calls: list[Call] = []
    seen: set[int] = set()
    # An explicit stack: chains of layers may be longer than Python's recursion goes deep.
    stack: list[tuple[SymbolicTensor, bool]] = [(end, False) for end in reversed(outputs)]
    starts = {id(tensor) for tensor in inputs}
    while stack:
        tensor, ready = stack.pop()
        call = tensor.call
        if id(tensor) in starts:
            seen.add(id(tensor))
        elif call is None:
            raise ValueError(
                f"Model: outputs depend on another input, {tensor}, than the given"
                f" {names_text(inputs)}"
            )
        elif id(call) in seen:
            continue
        elif ready:
            seen.add(id(call))
            calls.append(call)
        else:
            stack.append((tensor, True))
            stack.extend((source, False) for source in reversed(call.inputs))
    unused = [tensor for tensor in inputs if id(tensor) not in seen]
    if unused:
        raise ValueError(f"Model: outputs do not depend on inputs {names_text(unused)}")
    return calls
