"""Ops on weights beside the optimizer's step: penalties in the loss, constraints, averages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from convkit import _check
from convkit.ops.base import Op, Struct, check_real, emit, product, sized

if TYPE_CHECKING:
    from convkit.graph import Tensor

PENALTY = Struct("ck_penalty", "total dw mean_loss w", "count", "l1 l2")
CONSTRAIN = Struct("ck_constrain", "w", "n0 n1 n2 n3 axes non_negative", "low high rate")
WEIGHT_AVERAGE = Struct(
    "ck_weight_average", "average w step hyper", "count period overwrite from_first"
)


# ---- losses --------------------------------------------------------------------------------------


class Penalty(Op):
    """total = mean_loss + l1 sum(|w|) + l2 sum(w^2), with the gradient of what it adds."""

    kernel = "penalty"
    struct = PENALTY
    optional = frozenset({"dw"})
    is_loss = True

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Return dw, and pass the gradient of the total on."""
        passed = dy.get("total", self.outputs["total"])
        found = {"w": self.outputs["dw"], "mean_loss": passed}
        return {role: found[role] for role in needs}


def penalty(mean_loss: Tensor, w: Tensor, l1: float = 0.0, l2: float = 0.0) -> Tensor:
    """Emit mean_loss + l1 sum(|w|) + l2 sum(w^2), which is a mean loss again."""
    function = "penalty"
    if mean_loss.op is None or not mean_loss.op.is_loss:
        raise ValueError(f"{function}: mean_loss must be the result of a loss, got {mean_loss!r}")
    check_real(function, w=w)
    op = Penalty({"mean_loss": mean_loss, "w": w}, **sized(count=w.shape))
    op.numbers |= {
        "l1": _check.number(function, "l1", l1),
        "l2": _check.number(function, "l2", l2),
    }
    total = emit(op, total=((1,), "float64"), dw=w.shape)["total"]
    total.per_sample = mean_loss.per_sample
    return total


# ---- constraints ---------------------------------------------------------------------------------


class Constrain(Op):
    """Bring a weight back to where it must lie."""

    kernel = "constrain"
    struct = CONSTRAIN


def constrain(
    w: Tensor,
    axes: Sequence[int] = (),
    *,
    low: float = 0.0,
    high: float = float("inf"),
    rate: float = 1.0,
    non_negative: bool = False,
) -> None:
    """Emit a constraint on a variable: w >= 0, or a range for its norms over `axes`.

    A norm moves to rate * clip(norm, low, high) + (1 - rate) * norm.
    """
    function = "constrain"
    check_real(function, w=w)
    if w.variable is None or len(w.shape) > 4:
        raise ValueError(f"{function}: w must be a variable of at most 4 axes, got {w!r}")
    rank = len(w.shape)
    places = {_check.integer(function, "axis", a, -rank, rank - 1) % rank for a in axes}
    sizes = [1] * (4 - rank) + [size or 1 for size in w.shape]
    numbers: dict[str, float] = {f"n{i}": size for i, size in enumerate(sizes)}
    numbers["axes"] = sum(1 << (4 - rank + place) for place in places)
    numbers |= {"non_negative": int(non_negative), "low": low, "high": high, "rate": rate}
    emit(Constrain({"w": w}, numbers, writes=("w",)))


# ---- averages ------------------------------------------------------------------------------------


class WeightAverage(Op):
    """Move an average of a weight towards it, and at times the weight to the average."""

    kernel = "weight_average"
    struct = WEIGHT_AVERAGE


def weight_average(
    average: Tensor,
    w: Tensor,
    step: Tensor,
    hyper: Tensor,
    *,
    period: int = 1,
    overwrite: int = 0,
    from_first: bool = True,
) -> None:
    """Emit, every `period` steps, average = momentum * average + (1 - momentum) * w.

    step is the counter of steps done; hyper are an optimizer's numbers, of which the momentum is
    one. With from_first the average is w after the first step. Every `overwrite` steps, if not 0, w
    takes the average's value. Emit it after the update of w.
    """
    function = "weight_average"
    check_real(function, average=average, w=w)
    if average.variable is None or w.variable is None or average.shape != w.shape:
        raise ValueError(
            f"{function}: average and w must be variables of one shape, got {average!r} and {w!r}"
        )
    numbers = {
        "count": product(w.shape),
        "period": _check.integer(function, "period", period),
        "overwrite": _check.integer(function, "overwrite", overwrite, 0),
        "from_first": int(from_first),
    }
    inputs = {"average": average, "w": w, "step": step, "hyper": hyper}
    emit(WeightAverage(inputs, numbers, writes=("average", "w") if overwrite else ("average",)))
