"""Softmax and log-softmax over the last axis, and their gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from convkit.ops.base import Op, Struct, check_real, emit, sized

if TYPE_CHECKING:
    from convkit.graph import Tensor

SOFTMAX = Struct("ck_softmax", "y dx x dy", "rows cols")


class SoftmaxForward(Op):
    """y = exp(x) / sum(exp(x))."""

    kernel = "softmax_forward"
    struct = SOFTMAX

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Compute dx = y (dy - sum(dy y))."""
        y = self.outputs["y"]
        op = SoftmaxBackward({"dy": dy["y"], "y": y}, self.numbers, self.per_sample)
        return {"x": emit(op, dx=y.shape)["dx"]}


class SoftmaxBackward(Op):
    """dx from dy and y."""

    kernel = "softmax_backward"
    struct = SOFTMAX


class LogSoftmaxForward(Op):
    """y = x - log(sum(exp(x)))."""

    kernel = "log_softmax_forward"
    struct = SOFTMAX

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Compute dx = dy - exp(y) sum(dy)."""
        y = self.outputs["y"]
        op = LogSoftmaxBackward({"dy": dy["y"], "y": y}, self.numbers, self.per_sample)
        return {"x": emit(op, dx=y.shape)["dx"]}


class LogSoftmaxBackward(Op):
    """dx from dy and y."""

    kernel = "log_softmax_backward"
    struct = SOFTMAX


def _emit_rows(function: str, op: type[Op], x: Tensor) -> Tensor:
    check_real(function, x=x)
    if len(x.shape) < 2:
        raise ValueError(f"{function}: x must have at least 2 axes, got x of shape {x.shape}")
    return emit(op({"x": x}, **sized(rows=x.shape[:-1], cols=x.shape[-1:])), y=x.shape)["y"]


def softmax(x: Tensor) -> Tensor:
    """Emit softmax over the last axis."""
    return _emit_rows("softmax", SoftmaxForward, x)


def log_softmax(x: Tensor) -> Tensor:
    """Emit log-softmax over the last axis."""
    return _emit_rows("log_softmax", LogSoftmaxForward, x)
