"""Rewrite a list of ops into a shorter one that computes the same: drop and fuse.

A pass takes the ops in order, copies of a graph's which may be changed, and returns them in order.
`kept` are the tensors that somebody asks for after the run: they are never fused away.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from convkit.graph import Graph, Tensor
from convkit.ops.activation import ActivationBackward, ActivationForward
from convkit.ops.augment import FILL_MODES, GatherImages, Remap
from convkit.ops.base import Op, one_sample, product
from convkit.ops.batch_norm import BatchNormBackward, BatchNormForward, BatchNormInference
from convkit.ops.conv2d import Conv2DBackwardData, Conv2DBackwardWeights, Conv2DForward
from convkit.ops.elementwise import Affine, Gather
from convkit.ops.group_norm import GroupNormBackward, GroupNormForward
from convkit.ops.loss import CrossEntropy
from convkit.ops.pool import MaxPool2DBackward, MaxPool2DForward
from convkit.ops.softmax import SoftmaxForward

Kept = frozenset[Tensor]

RELU, LEAKY_RELU = 1, 2  # enum ck_activation_kind

# Normalizations and their gradients, which compute z again from x.
NORMS = BatchNormForward | BatchNormInference | GroupNormForward
NORM_GRADIENTS = BatchNormBackward | GroupNormBackward


class Use(NamedTuple):
    """Where a tensor is read."""

    op: Op
    role: str


def uses_of(ops: Iterable[Op]) -> dict[Tensor, list[Use]]:
    """Return the readers of each tensor."""
    uses: dict[Tensor, list[Use]] = {}
    for op in ops:
        for role, tensor in op.inputs.items():
            uses.setdefault(tensor, []).append(Use(op, role))
    return uses


def producers_of(ops: Iterable[Op]) -> dict[Tensor, Op]:
    """Return the op that makes each tensor."""
    return {tensor: op for op in ops for tensor in op.outputs.values()}


def optimize(graph: Graph, kept: Kept, targets: Sequence[Op] | None = None) -> list[Op]:
    """Return the ops that compute `kept` and run `targets` (default: all ops that write state)."""
    ops = [op.clone() for op in _live_ops(graph.ops, kept, targets)]
    for rewrite in (
        fuse_gather,
        merge_softmax,
        normalize_in_convolution,
        fuse_norm,
        derive_from_output,
        sink_below_max_pool,
        fuse_activation,
        fuse_max_pool,
        fuse_max_pool_gradient,
    ):
        ops = rewrite(ops, kept)
    ops = drop_dead_outputs(ops, kept)
    return [*(op for op in ops if not op.writes), *(op for op in ops if op.writes)]


def _live_ops(ops: Sequence[Op], kept: Kept, targets: Sequence[Op] | None) -> list[Op]:
    wanted = {id(op) for op in (ops if targets is None else targets) if op.writes}
    needed = set(kept)
    live = []
    for op in reversed(ops):
        if id(op) in wanted or not needed.isdisjoint(op.outputs.values()):
            live.append(op)
            needed.update(op.inputs.values())
    return live[::-1]


def drop_dead_outputs(ops: list[Op], kept: Kept) -> list[Op]:
    """Make outputs that nobody reads null pointers, where the kernel allows it."""
    uses = uses_of(ops)
    for op in ops:
        for role in [r for r in op.outputs if r in op.optional]:
            if op.outputs[role] not in uses and op.outputs[role] not in kept:
                del op.outputs[role]
    return ops


# Elements of an image that are gathered as one row where no map moves them.
LONG_ROW = 4096


def fuse_gather(ops: list[Op], kept: Kept) -> list[Op]:
    """Move, rescale and normalize images while they are gathered and converted."""
    uses, makers = uses_of(ops), producers_of(ops)
    fused: dict[int, Op] = {}
    removed: set[int] = set()
    for op in ops:
        if type(op) is not Gather or op.outputs["y"].dtype != "real":
            continue
        y = op.outputs["y"]
        images = _gather_of(op)
        last: Op | None = None
        while y not in kept and len(uses.get(y, ())) == 1:
            reader = uses[y][0].op
            if not _absorb(images, reader, makers):
                break
            removed |= {id(op), id(reader)}
            last, y = reader, reader.outputs["y"]
        if last is None:
            continue
        images.outputs["y"] = y
        h, w, c = (images.numbers[key] for key in ("ih", "iw", "c"))
        if "map" not in images.inputs and h * w * c <= LONG_ROW:
            images.numbers |= {"ih": 1, "oh": 1, "iw": h * w, "ow": h * w}
        fused[id(last)] = images
    return [fused.get(id(op), op) for op in ops if id(op) in fused or id(op) not in removed]


def _gather_of(op: Gather) -> GatherImages:
    y = op.outputs["y"]
    *sizes, c = one_sample(y.shape[1:]) or (1,)
    h, w = sizes if len(sizes) == 2 else (1, product(sizes))
    images = GatherImages({}, {"ih": h, "iw": w, "oh": h, "ow": w, "c": c}, op.per_sample)
    images.source = y
    return images


def _absorb(images: Op, op: Op, makers: dict[Tensor, Op]) -> bool:
    """Let `images` do what `op` does after it, if it can; say whether it does."""
    numbers, inputs = images.numbers, images.inputs
    # What has been done so far: 1 rescaled, 2 normalized.
    stage = 2 if "variance" in inputs else 1 if "rescale" in numbers else 0
    if isinstance(op, Affine) and stage < 1:
        numbers |= {"rescale": 1, "scale": op.numbers["scale"], "offset": op.numbers["offset"]}
        return True
    if isinstance(op, BatchNormInference) and set(op.inputs) == {"x", "mean", "variance"}:
        if stage < 2:
            inputs |= {role: op.inputs[role] for role in ("mean", "variance")}
            numbers["epsilon"] = op.numbers["epsilon"]
        return stage < 2
    if not isinstance(op, Remap):
        return False
    draw = makers[op.inputs["map"]]
    if _leaves_image(draw):
        filling = {"fill": op.numbers["fill"], "fill_stage": stage}
        if "fill" in numbers and any(numbers[key] != filling[key] for key in filling):
            return False
        numbers |= filling
    if "map" in inputs:
        draw.inputs["base"] = inputs["map"]
    inputs["map"] = op.inputs["map"]
    numbers |= {"oh": op.numbers["oh"], "ow": op.numbers["ow"]}
    return True


def _leaves_image(draw: Op) -> bool:
    """Say whether a drawn map may ask for the fill value."""
    n = draw.numbers
    starts = ((n["top_low"], n["top_high"], "h"), (n["left_low"], n["left_high"], "w"))
    inside = all(
        low >= 0 and max(math.floor(low), math.ceil(high) - 1) + n["o" + axis] <= n["i" + axis]
        for low, high, axis in starts
    )
    return not inside and n["fill_mode"] == FILL_MODES["constant"]


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


def _same_function(a: Op, b: Op) -> bool:
    return all(a.numbers.get(key) == b.numbers.get(key) for key in ("activation", "alpha"))


def _set_activation(op: Op, activation: Op) -> None:
    op.numbers |= {key: activation.numbers[key] for key in ("activation", "alpha")}


def _is_linear(op: Op) -> bool:
    return not op.numbers.get("activation")


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
        if not _is_linear(norm):
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
            _set_activation(backward, op)
            fused.add(id(gradient))
        _set_activation(norm, op)
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
    if not _same_function(use.op, activation) or dz in kept or len(readers) != 1:
        return None
    backward, role = readers[0]
    mean = norm.outputs.get("mean", norm.inputs.get("mean"))
    matches = (
        isinstance(backward, NORM_GRADIENTS)
        and role == "dy"
        and _is_linear(backward)
        and backward.inputs["x"] is norm.inputs["x"]
        and backward.inputs["mean"] is mean
    )
    return backward if matches else None


def _known_from_output(op: Op) -> bool:
    """Say whether f'(z) follows from f(z): where f keeps the sign of z."""
    kind = op.numbers["activation"]
    return kind == RELU or (kind == LEAKY_RELU and op.numbers["alpha"] >= 0)


def derive_from_output(ops: list[Op], kept: Kept) -> list[Op]:
    """Let the gradient of ReLU read y instead of z, so that z need not be stored."""
    forward = {op.inputs["x"]: op for op in reversed(ops) if isinstance(op, ActivationForward)}
    for op in ops:
        if isinstance(op, ActivationBackward) and _known_from_output(op):
            twin = forward.get(op.inputs["x"])
            if twin is not None and _same_function(op, twin):
                op.inputs["x"] = twin.outputs["y"]
    return ops


def sink_below_max_pool(ops: list[Op], kept: Kept) -> list[Op]:
    """Apply the gradient of ReLU to the pooled map, which is smaller, before max pool's gradient.

    dz at a winner is dy relu'(y) with y the winner's value, which is the pooled value.
    """
    uses, makers = uses_of(ops), producers_of(ops)
    result = []
    removed = set()
    before: dict[int, Op] = {}
    for op in ops:
        if not isinstance(op, ActivationBackward) or not _known_from_output(op):
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
        if pool.inputs["x"] is not y or not _same_function(op, activation):
            continue
        pooled = pool.outputs["y"]
        small = Tensor(pooled.graph, pooled.shape)
        twin = ActivationBackward(
            {"dy": unpool.inputs["dy"], "x": pooled},
            op.numbers,
            {"count": product(pooled.shape)},
        )
        twin.outputs["dx"] = small
        unpool.inputs["dy"] = small
        unpool.outputs["dx"] = op.outputs["dx"]
        before[id(unpool)] = twin
        removed.add(id(op))
    for op in ops:
        if id(op) in before:
            result.append(before[id(op)])
        if id(op) not in removed:
            result.append(op)
    return result


def fuse_activation(ops: list[Op], kept: Kept) -> list[Op]:
    """Fuse an activation into the op before it; z is stored too where something else reads it."""
    uses, makers = uses_of(ops), producers_of(ops)
    fused = set()
    for op in ops:
        if not isinstance(op, ActivationForward):
            continue
        z = op.inputs["x"]
        maker = makers.get(z)
        if maker is None or not maker.fuses_activation or not _is_linear(maker):
            continue
        if maker.outputs.get("y") is not z:
            continue
        if z in kept or len(uses[z]) > 1:
            if not maker.keeps_z:
                continue
            maker.outputs["z"] = z
        maker.outputs["y"] = op.outputs["y"]
        _set_activation(maker, op)
        fused.add(id(op))
    return [op for op in ops if id(op) not in fused]


def _is_2x2(pool: Op) -> bool:
    wanted = {"kh": 2, "kw": 2, "stride_h": 2, "stride_w": 2, "pad_top": 0, "pad_left": 0}
    inside = all(
        2 * pool.numbers[out] <= pool.numbers[size] for out, size in (("oh", "ih"), ("ow", "iw"))
    )
    return inside and all(pool.numbers[key] == value for key, value in wanted.items())


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
        if not isinstance(conv, Conv2DForward) or not _is_2x2(pool):
            continue
        y, z = conv.outputs["y"], conv.outputs.get("z")
        if y in kept or len(uses[y]) != 1:
            continue
        if z is not None:
            gradient = _pooled_gradient(z, conv, pool, uses, makers, kept)
            if gradient is None:
                continue
            unpool, activation = gradient
            pooled = pool.outputs["y"]
            small_z, small_dz = (Tensor(pooled.graph, pooled.shape) for _ in range(2))
            twin = ActivationBackward(
                {"dy": unpool.inputs["dy"], "x": small_z},
                activation.numbers,
                {"count": product(pooled.shape)},
            )
            twin.outputs["dx"] = small_dz
            unpool.inputs["dy"] = small_dz
            unpool.outputs["dx"] = activation.outputs["dx"]
            before[id(unpool)] = twin
            fused.add(id(activation))
            conv.outputs["z"] = small_z
        conv.outputs["y"] = pool.outputs["y"]
        if "argmax" in pool.outputs:
            conv.outputs["argmax"] = pool.outputs["argmax"]
        conv.numbers["pool"] = 2
        fused.add(id(pool))
    result = []
    for op in ops:
        if id(op) in before:
            result.append(before[id(op)])
        if id(op) not in fused:
            result.append(op)
    return result


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
        and _same_function(activation, conv)
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
        if not isinstance(unpool, MaxPool2DBackward) or not _is_2x2(unpool):
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
