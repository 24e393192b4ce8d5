"""Input gradients of convolutions go on to the gradient of what made the input."""

from __future__ import annotations

from convkit.graph import Tensor
from convkit.ops.activation import ActivationBackward
from convkit.ops.base import Op
from convkit.ops.batch_norm import BatchNormBackward, BatchNormBackwardData
from convkit.ops.conv2d import Conv2DBackwardData
from convkit.passes._ops import (
    Kept,
    is_dense,
    is_far,
    is_linear,
    known_from_output,
    producers_of,
    set_activation,
    uses_of,
)


def activate_in_gradient(ops: list[Op], kept: Kept) -> list[Op]:
    """Apply the gradient of ReLU before a convolution while dx is in cache: of its input, x."""
    uses, makers = uses_of(ops), producers_of(ops)
    fused = set()
    for op in ops:
        if not isinstance(op, ActivationBackward) or not known_from_output(op):
            continue
        dy = op.inputs["dy"]
        conv = makers.get(dy)
        if not isinstance(conv, Conv2DBackwardData) or not is_dense(conv) or not is_linear(conv):
            continue
        if dy in kept or len(uses[dy]) != 1:
            continue
        conv.inputs["x"] = op.inputs["x"]
        conv.outputs["dx"] = op.outputs["dx"]
        set_activation(conv, op)
        fused.add(id(op))
    return [op for op in ops if id(op) not in fused]


def sum_in_gradient(ops: list[Op], kept: Kept, batch: int) -> list[Op]:
    """Sum up what the gradient of a normalization before a convolution wants of a large dx."""
    uses, makers = uses_of(ops), producers_of(ops)
    result = []
    for op in ops:
        conv = makers.get(op.inputs["dy"]) if isinstance(op, BatchNormBackward) else None
        if not isinstance(conv, Conv2DBackwardData) or not _gives_sums(conv, op):
            result.append(op)
            continue
        dy = op.inputs["dy"]
        # With an activation, dx becomes the gradient of z.
        alone = dy not in kept and len(uses[dy]) == 1 and is_linear(conv)
        if not is_far(dy, batch) or not (is_linear(op) or alone):
            result.append(op)
            continue
        if not is_linear(op):
            set_activation(conv, op)
        conv.inputs |= {role: t for role, t in op.inputs.items() if role not in ("x", "dy")}
        conv.inputs["norm_x"] = op.inputs["x"]
        conv.numbers["epsilon"] = op.numbers["epsilon"]
        c = op.inputs["mean"].shape
        means = {role: Tensor(dy.graph, c) for role in ("mean_g", "mean_gx")}
        conv.outputs |= {role: t for role, t in op.outputs.items() if role != "dx"} | means
        if "dx" in op.outputs:
            inputs = {role: t for role, t in op.inputs.items() if role != "beta"} | means
            numbers = {**op.numbers, "activation": 0}
            data = BatchNormBackwardData(inputs, numbers, op.per_sample)
            data.outputs["dx"] = op.outputs["dx"]
            result.append(data)
    return result


def _gives_sums(conv: Op, norm: Op) -> bool:
    """Say whether an input gradient is made in one go, for a normalization that does not pool."""
    pools = norm.numbers.get("pool") or conv.numbers.get("pool")
    return is_dense(conv) and not pools and "norm_x" not in conv.inputs
