"""Normalizations join the convolutions before them and the activations and pooling after them."""

from __future__ import annotations

from convkit.graph import Tensor
from convkit.ops.activation import ActivationBackward, ActivationForward
from convkit.ops.base import Op
from convkit.ops.batch_norm import BatchNormBackward, BatchNormForward, BatchNormInference
from convkit.ops.conv2d import Conv2DForward
from convkit.ops.group_norm import GroupNormBackward, GroupNormForward
from convkit.ops.pool import MaxPool2DBackward, MaxPool2DForward
from convkit.passes._ops import (
    Kept,
    Use,
    is_2x2,
    is_far,
    is_linear,
    producers_of,
    same_function,
    set_activation,
    uses_of,
)

# Normalizations and their gradients, which compute z again from x.
NORMS = BatchNormForward | BatchNormInference | GroupNormForward
NORM_GRADIENTS = BatchNormBackward | GroupNormBackward


def normalize_in_convolution(ops: list[Op], kept: Kept) -> list[Op]:
    """Let a convolution normalize its map by given statistics while it is in cache."""
    uses, makers = uses_of(ops), producers_of(ops)
    fused = set()
    for norm in ops:
        if not isinstance(norm, BatchNormInference):
            continue
        z = norm.inputs["x"]
        conv = makers.get(z)
        if not isinstance(conv, Conv2DForward) or "variance" in conv.inputs:
            continue
        if z in kept or len(uses[z]) != 1 or len(z.shape) != 4:
            continue
        conv.inputs |= {role: t for role, t in norm.inputs.items() if role != "x"}
        conv.numbers["epsilon"] = norm.numbers["epsilon"]
        conv.outputs["y"] = norm.outputs["y"]
        fused.add(id(norm))
    return [op for op in ops if id(op) not in fused]


def fuse_norm(ops: list[Op], kept: Kept) -> list[Op]:
    """Fuse an activation after a normalization into it, and its gradient into that one's gradient.

    The backward kernel computes z again from x, so z is not stored.
    """
    uses, makers = uses_of(ops), producers_of(ops)
    fused = set()
    for op in ops:
        if not isinstance(op, ActivationForward):
            continue
        z = op.inputs["x"]
        norm = makers.get(z)
        if z in kept or not isinstance(norm, NORMS):
            continue
        if not is_linear(norm):
            continue
        others = [use for use in uses[z] if use.op is not op]
        pairs = [(use.op, _norm_gradient(use, op, norm, uses, kept)) for use in others]
        if any(backward is None for _gradient, backward in pairs):
            continue
        for gradient, backward in pairs:
            assert backward is not None
            backward.inputs["dy"] = gradient.inputs["dy"]
            if "beta" in norm.inputs:
                backward.inputs["beta"] = norm.inputs["beta"]
            set_activation(backward, op)
            fused.add(id(gradient))
        set_activation(norm, op)
        norm.outputs["y"] = op.outputs["y"]
        fused.add(id(op))
    return [op for op in ops if id(op) not in fused]


def _norm_gradient(
    use: Use, activation: Op, norm: Op, uses: dict[Tensor, list[Use]], kept: Kept
) -> Op | None:
    """Return the backward op of `norm` if `use` is the gradient of `activation` for it alone."""
    if not isinstance(use.op, ActivationBackward) or use.role != "x":
        return None
    dz = use.op.outputs["dx"]
    readers = uses.get(dz, [])
    if not same_function(use.op, activation) or dz in kept or len(readers) != 1:
        return None
    backward, role = readers[0]
    mean = norm.outputs.get("mean", norm.inputs.get("mean"))
    matches = (
        isinstance(backward, NORM_GRADIENTS)
        and role == "dy"
        and is_linear(backward)
        and backward.inputs["x"] is norm.inputs["x"]
        and backward.inputs["mean"] is mean
    )
    return backward if matches else None


def _in_even_windows(pool: Op) -> bool:
    """Say whether 2x2 windows cover a map whole."""
    return is_2x2(pool) and pool.numbers["ih"] % 2 == pool.numbers["iw"] % 2 == 0


def pool_in_norm(ops: list[Op], kept: Kept) -> list[Op]:
    """Pool a normalized map 2x2 as it is made, and read the pooled gradient where it lies.

    Neither the whole map nor its gradient, mostly zeros, is stored.
    """
    uses, makers = uses_of(ops), producers_of(ops)
    fused = set()
    for op in ops:
        if isinstance(op, MaxPool2DForward):
            whole = op.inputs["x"]
            norm = makers.get(whole)
            fits = isinstance(norm, BatchNormForward | BatchNormInference)
        elif isinstance(op, MaxPool2DBackward) and len(uses.get(op.outputs["dx"], ())) == 1:
            whole = op.outputs["dx"]
            norm, role = uses[whole][0]
            fits = isinstance(norm, BatchNormBackward) and role == "dy"
        else:
            continue
        if not fits or whole in kept or len(uses[whole]) != 1 or not _in_even_windows(op):
            continue
        assert norm is not None
        if "residual" in norm.inputs:
            continue
        norm.numbers |= {"pool": 2, "width": op.numbers["iw"]}
        if isinstance(op, MaxPool2DForward):
            norm.outputs |= op.outputs
        else:
            norm.inputs |= op.inputs
        fused.add(id(op))
    return [op for op in ops if id(op) not in fused]


def take_statistics(ops: list[Op], kept: Kept, batch: int) -> list[Op]:
    """Let a convolution take the statistics of a large map, for the normalization after it.

    Of several normalizations of one map the first is served. Sums are taken of other blocks than
    apart: other roundings of the same terms.
    """
    makers = producers_of(ops)
    result = []
    for op in ops:
        conv = makers.get(op.inputs["x"]) if isinstance(op, BatchNormForward) else None
        if not _gives_statistics(conv, op) or not is_far(op.inputs["x"], batch):
            result.append(op)
            continue
        assert conv is not None
        mean, variance = op.outputs["mean"], op.outputs["variance"]
        conv.outputs |= {"batch_mean": mean, "batch_variance": variance}
        given = {**op.inputs, "mean": mean, "variance": variance}
        norm = BatchNormInference(given, op.numbers, op.per_sample)
        norm.outputs = {role: t for role, t in op.outputs.items() if role in ("y", "argmax")}
        result.append(norm)
    return result


def _gives_statistics(conv: Op | None, norm: Op) -> bool:
    """Say whether a normalization reads a convolution's z, and is the first that does."""
    if not isinstance(conv, Conv2DForward) or "batch_mean" in conv.outputs:
        return False
    z = conv.outputs.get("z", conv.outputs["y"] if is_linear(conv) else None)
    return z is norm.inputs["x"]
