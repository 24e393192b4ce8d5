"""Activations join the op before them; their gradients move to where less is to be read."""

from __future__ import annotations

from convkit.graph import Tensor
from convkit.ops.activation import ActivationBackward, ActivationForward
from convkit.ops.base import Op
from convkit.ops.loss import CrossEntropy
from convkit.ops.pool import MaxPool2DBackward, MaxPool2DForward
from convkit.ops.softmax import SoftmaxForward
from convkit.passes._ops import (
    Kept,
    activate_below,
    is_linear,
    known_from_output,
    producers_of,
    replaced,
    same_function,
    set_activation,
    uses_of,
)


def merge_softmax(ops: list[Op], kept: Kept) -> list[Op]:
    """Let a cross-entropy on logits give out the softmax that it computes anyway."""
    losses: dict[Tensor, Op] = {}
    for op in ops:
        if isinstance(op, CrossEntropy) and op.numbers["from_logits"]:
            losses.setdefault(op.inputs["x"], op)
    uses, position = uses_of(ops), {id(op): i for i, op in enumerate(ops)}
    merged = set()
    for op in ops:
        loss = losses.get(op.inputs["x"]) if isinstance(op, SoftmaxForward) else None
        if loss is None or "probabilities" in loss.outputs:
            continue
        y = op.outputs["y"]
        if all(position[id(use.op)] > position[id(loss)] for use in uses.get(y, ())):
            loss.outputs["probabilities"] = y
            merged.add(id(op))
    return [op for op in ops if id(op) not in merged]


def derive_from_output(ops: list[Op], kept: Kept) -> list[Op]:
    """Let the gradient of ReLU read y instead of z, so that z need not be stored."""
    forward = {op.inputs["x"]: op for op in reversed(ops) if isinstance(op, ActivationForward)}
    for op in ops:
        if isinstance(op, ActivationBackward) and known_from_output(op):
            twin = forward.get(op.inputs["x"])
            if twin is not None and same_function(op, twin):
                op.inputs["x"] = twin.outputs["y"]
    return ops


def sink_below_max_pool(ops: list[Op], kept: Kept) -> list[Op]:
    """Apply the gradient of ReLU to the pooled map, which is smaller, before max pool's gradient.

    dz at a winner is dy relu'(y) with y the winner's value, which is the pooled value.
    """
    uses, makers = uses_of(ops), producers_of(ops)
    removed: set[int] = set()
    before: dict[int, Op] = {}
    for op in ops:
        if not isinstance(op, ActivationBackward) or not known_from_output(op):
            continue
        dy, y = op.inputs["dy"], op.inputs["x"]
        unpool, activation = makers.get(dy), makers.get(y)
        if not isinstance(unpool, MaxPool2DBackward) or not isinstance(
            activation, ActivationForward
        ):
            continue
        pool = makers.get(unpool.inputs["argmax"])
        if dy in kept or len(uses[dy]) != 1 or not isinstance(pool, MaxPool2DForward):
            continue
        if pool.inputs["x"] is not y or not same_function(op, activation):
            continue
        before[id(unpool)] = activate_below(unpool, op, pool.outputs["y"])
        removed.add(id(op))
    return replaced(ops, removed, before)


def fuse_activation(ops: list[Op], kept: Kept) -> list[Op]:
    """Fuse an activation into the op before it; z is stored too where something else reads it."""
    uses, makers = uses_of(ops), producers_of(ops)
    fused = set()
    for op in ops:
        if not isinstance(op, ActivationForward):
            continue
        z = op.inputs["x"]
        maker = makers.get(z)
        if maker is None or not maker.fuses_activation or not is_linear(maker):
            continue
        if maker.numbers.get("pool"):  # its own activation would come before the pooling
            continue
        if maker.outputs.get("y") is not z:
            continue
        if z in kept or len(uses[z]) > 1:
            if not maker.keeps_z:
                continue
            maker.outputs["z"] = z
        maker.outputs["y"] = op.outputs["y"]
        set_activation(maker, op)
        fused.add(id(op))
    return [op for op in ops if id(op) not in fused]
