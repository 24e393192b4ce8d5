"""Rewrite a list of ops into a shorter one that computes the same: drop and fuse.

A pass takes the ops in order, copies of a graph's which may be changed, and returns them in order.
`kept` are the tensors that somebody asks for after the run: they are never fused away. Results are
the same bits for any number of threads; which tensors are kept may change how sums by channel are
rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from convkit.graph import Graph
from convkit.ops.base import Op
from convkit.passes._ops import Kept, uses_of
from convkit.passes.activation import (
    derive_from_output,
    fuse_activation,
    merge_softmax,
    sink_below_max_pool,
)
from convkit.passes.addition import add_in_convolution, add_in_norm
from convkit.passes.gradient import activate_in_gradient, sum_in_gradient
from convkit.passes.images import fuse_gather
from convkit.passes.normalization import (
    fuse_norm,
    normalize_in_convolution,
    pool_in_norm,
    take_statistics,
)
from convkit.passes.pooling import fuse_max_pool, fuse_max_pool_gradient

__all__ = ["optimize"]


def optimize(
    graph: Graph, kept: Kept, targets: Sequence[Op] | None = None, batch: int = 1
) -> list[Op]:
    """Return the ops that compute `kept` and run `targets` (default: all ops that write state)."""
    ops = [op.clone() for op in _live_ops(graph.ops, kept, targets)]
    for rewrite in (
        fuse_gather,
        merge_softmax,
        normalize_in_convolution,
        fuse_norm,
        add_in_norm,
        add_in_convolution,
        pool_in_norm,
        derive_from_output,
        sink_below_max_pool,
        fuse_activation,
        fuse_max_pool,
        fuse_max_pool_gradient,
        partial(take_statistics, batch=batch),
        activate_in_gradient,
        partial(sum_in_gradient, batch=batch),
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
