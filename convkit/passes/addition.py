"""Sums of two maps join the op that makes one of them: residual blocks, and gradients that meet."""

from __future__ import annotations

from convkit.graph import Tensor
from convkit.ops.base import Op
from convkit.ops.batch_norm import BatchNormForward, BatchNormInference
from convkit.ops.conv2d import Conv2DBackwardData, Conv2DForward
from convkit.ops.elementwise import Add
from convkit.passes._ops import Kept, Use, is_dense, is_linear, producers_of, uses_of


def add_in_norm(ops: list[Op], kept: Kept) -> list[Op]:
    """Add the shortcut of a residual block while normalizing; the activation joins later."""
    uses, makers = uses_of(ops), producers_of(ops)
    position = {id(op): i for i, op in enumerate(ops)}
    instead: dict[int, Op | None] = {}  # what stands in the place of an op
    for op in ops:
        if not isinstance(op, Add):
            continue
        for norm, residual in _operands(op, makers, uses, kept):
            if not isinstance(norm, BatchNormForward | BatchNormInference) or not is_linear(norm):
                continue
            if "residual" in norm.inputs or not _may_move(norm, position[id(op)], uses, position):
                continue
            instead[id(norm)], instead[id(op)] = None, norm
            norm.inputs["residual"] = residual
            norm.outputs["y"] = op.outputs["y"]
            break
    return [new for op in ops if (new := instead.get(id(op), op)) is not None]


def add_in_convolution(ops: list[Op], kept: Kept) -> list[Op]:
    """Add another map to a convolution's, or another gradient to its input's, while in cache."""
    uses, makers = uses_of(ops), producers_of(ops)
    instead: dict[int, Op | None] = {}
    for op in ops:
        if not isinstance(op, Add):
            continue
        for conv, addend in _operands(op, makers, uses, kept):
            if not isinstance(conv, Conv2DForward | Conv2DBackwardData) or not is_linear(conv):
                continue
            if isinstance(conv, Conv2DBackwardData) and not is_dense(conv):
                continue
            if "addend" in conv.inputs:
                continue
            instead[id(conv)], instead[id(op)] = None, conv
            conv.inputs["addend"] = addend
            conv.outputs["y" if isinstance(conv, Conv2DForward) else "dx"] = op.outputs["y"]
            makers[op.outputs["y"]] = conv
            break
    return [new for op in ops if (new := instead.get(id(op), op)) is not None]


def _operands(
    op: Op, makers: dict[Tensor, Op], uses: dict[Tensor, list[Use]], kept: Kept
) -> list[tuple[Op, Tensor]]:
    """Return (maker, the other operand) where an op made one operand for this sum alone."""
    a, b = op.inputs["a"], op.inputs["b"]
    return [
        (makers[one], other)
        for one, other in ((b, a), (a, b))
        if one in makers and one not in kept and len(uses[one]) == 1
    ]


def _may_move(norm: Op, to: int, uses: dict[Tensor, list[Use]], position: dict[int, int]) -> bool:
    """Say whether all that read the statistics of a normalization come after a position."""
    statistics = (t for role, t in norm.outputs.items() if role != "y")
    readers = (use.op for t in statistics for use in uses.get(t, ()))
    return all(op.writes or position[id(op)] > to for op in readers)
