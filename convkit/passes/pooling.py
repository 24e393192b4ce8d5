"""Max pooling joins the convolution before it, and its gradient the gradients that read it."""

from __future__ import annotations

from convkit.graph import Tensor
from convkit.ops.activation import ActivationBackward
from convkit.ops.base import Op
from convkit.ops.conv2d import Conv2DBackwardData, Conv2DBackwardWeights, Conv2DForward
from convkit.ops.pool import MaxPool2DBackward, MaxPool2DForward
from convkit.passes._ops import (
    Kept,
    Use,
    activate_below,
    is_2x2,
    producers_of,
    replaced,
    same_function,
    uses_of,
)


def fuse_max_pool(ops: list[Op], kept: Kept) -> list[Op]:
    """Pool a convolution's map 2x2 while it is in cache; only winners are stored.

    The gradient of an activation that needs z moves below the pooling with it: dz at a winner is
    dy f'(z) with the winner's z, and elsewhere it is zero.
    """
    uses, makers = uses_of(ops), producers_of(ops)
    fused: set[int] = set()
    before: dict[int, Op] = {}
    for pool in ops:
        conv = makers.get(pool.inputs["x"]) if isinstance(pool, MaxPool2DForward) else None
        if not isinstance(conv, Conv2DForward) or not is_2x2(pool):
            continue
        y, z = conv.outputs["y"], conv.outputs.get("z")
        if y in kept or len(uses[y]) != 1 or "addend" in conv.inputs:
            continue
        if z is not None:
            gradient = _pooled_gradient(z, conv, pool, uses, makers, kept)
            if gradient is None:
                continue
            unpool, activation = gradient
            pooled = pool.outputs["y"]
            small_z = Tensor(pooled.graph, pooled.shape)
            before[id(unpool)] = activate_below(unpool, activation, small_z)
            fused.add(id(activation))
            conv.outputs["z"] = small_z
        conv.outputs["y"] = pool.outputs["y"]
        if "argmax" in pool.outputs:
            conv.outputs["argmax"] = pool.outputs["argmax"]
        conv.numbers["pool"] = 2
        fused.add(id(pool))
    return replaced(ops, fused, before)


def _pooled_gradient(
    z: Tensor,
    conv: Op,
    pool: Op,
    uses: dict[Tensor, list[Use]],
    makers: dict[Tensor, Op],
    kept: Kept,
) -> tuple[Op, Op] | None:
    """Return max pool's gradient and the activation's after it, if z is read by nothing else."""
    readers = uses.get(z, [])
    if z in kept or len(readers) != 1 or not isinstance(readers[0].op, ActivationBackward):
        return None
    activation, role = readers[0]
    dy = activation.inputs["dy"]
    unpool = makers.get(dy)
    matches = (
        role == "x"
        and same_function(activation, conv)
        and isinstance(unpool, MaxPool2DBackward)
        and unpool.inputs["argmax"] is pool.outputs.get("argmax")
        and dy not in kept
        and len(uses[dy]) == 1
    )
    return (unpool, activation) if matches and unpool is not None else None


# Several gradients that read one map spread it once each. Below these sizes they read it where it
# lies (csrc/lanes.inc).
FEW_INPUTS, FEW_OUTPUTS = 8, 16


def fuse_max_pool_gradient(ops: list[Op], kept: Kept) -> list[Op]:
    """Let a convolution's gradients read the gradient of its pooled map, which is small."""
    uses = uses_of(ops)
    fused = set()
    for unpool in ops:
        if not isinstance(unpool, MaxPool2DBackward) or not is_2x2(unpool):
            continue
        dz = unpool.outputs["dx"]
        readers = [use.op for use in uses.get(dz, ())]
        if dz in kept or unpool.numbers["argmax_bytes"] != 1 or not readers:
            continue
        if not all(isinstance(op, Conv2DBackwardWeights | Conv2DBackwardData) for op in readers):
            continue
        sizes = readers[0].numbers
        if len(readers) > 1 and (sizes["c"] > FEW_INPUTS or sizes["k"] > FEW_OUTPUTS):
            continue
        for op in readers:
            op.inputs |= {"dy": unpool.inputs["dy"], "argmax": unpool.inputs["argmax"]}
            op.numbers["pool"] = 2
        fused.add(id(unpool))
    return [op for op in ops if id(op) not in fused]
