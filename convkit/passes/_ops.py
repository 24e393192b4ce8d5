"""What passes ask about a list of ops: who reads, who makes, which functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from convkit.graph import Tensor
from convkit.ops.activation import ActivationBackward
from convkit.ops.base import Op, product

Kept = frozenset[Tensor]

RELU, LEAKY_RELU = 1, 2  # enum ck_activation_kind


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


def same_function(a: Op, b: Op) -> bool:
    return all(a.numbers.get(key) == b.numbers.get(key) for key in ("activation", "alpha"))


def set_activation(op: Op, activation: Op) -> None:
    op.numbers |= {key: activation.numbers[key] for key in ("activation", "alpha")}


def is_linear(op: Op) -> bool:
    return not op.numbers.get("activation")


def is_dense(conv: Op) -> bool:
    """Say whether an input gradient is made in one go, not class by class of a stride."""
    return conv.numbers["stride_h"] == conv.numbers["stride_w"] == 1


def known_from_output(op: Op) -> bool:
    """Say whether f'(z) follows from f(z): where f keeps the sign of z."""
    kind = op.numbers["activation"]
    return kind == RELU or (kind == LEAKY_RELU and op.numbers["alpha"] >= 0)


# A map of so many bytes is not read again from a shared cache at the cores' own speed. Sums that
# join a convolution then save a pass; of smaller maps they cost what the pass does.
FAR_BYTES = 16 << 20


def is_far(tensor: Tensor, batch: int) -> bool:
    """Say whether a map of a batch of samples is too large for the caches."""
    return batch * product(tensor.shape[1:]) * tensor.graph.dtype.itemsize >= FAR_BYTES


def is_2x2(pool: Op) -> bool:
    wanted = {"kh": 2, "kw": 2, "stride_h": 2, "stride_w": 2, "pad_top": 0, "pad_left": 0}
    inside = all(
        2 * pool.numbers[out] <= pool.numbers[size] for out, size in (("oh", "ih"), ("ow", "iw"))
    )
    return inside and all(pool.numbers[key] == value for key, value in wanted.items())


def activate_below(unpool: Op, activation: Op, z: Tensor) -> Op:
    """Move an activation's gradient, which reads max pool's gradient, to before that.

    There it reads `z`, of the pooled map's shape. Return its new op, which belongs before `unpool`.
    """
    moved = ActivationBackward(
        {"dy": unpool.inputs["dy"], "x": z}, activation.numbers, {"count": product(z.shape)}
    )
    moved.outputs["dx"] = unpool.inputs["dy"] = Tensor(z.graph, z.shape)
    unpool.outputs["dx"] = activation.outputs["dx"]
    return moved


def replaced(ops: Iterable[Op], removed: set[int], before: Mapping[int, Op]) -> list[Op]:
    """Return ops without the removed ones, others put before those that are named by id."""
    result = []
    for op in ops:
        if id(op) in before:
            result.append(before[id(op)])
        if id(op) not in removed:
            result.append(op)
    return result
