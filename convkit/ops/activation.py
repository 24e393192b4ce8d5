"""Elementwise activations and their gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from convkit import _check
from convkit.ops.base import Op, Struct, check_real, emit, sized

if TYPE_CHECKING:
    from convkit.graph import Tensor

ACTIVATION = Struct("ck_activation", "y dx x dy", "count activation", "alpha")


class ActivationForward(Op):
    """y = f(x)."""

    kernel = "activation_forward"
    struct = ACTIVATION
    in_place = (("y", "x"),)

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Compute dx = dy f'(x)."""
        x = self.inputs["x"]
        op = ActivationBackward({"dy": dy["y"], "x": x}, self.numbers, self.per_sample)
        return {"x": emit(op, dx=x.shape)["dx"]}


class ActivationBackward(Op):
    """dx = dy f'(x)."""

    kernel = "activation_backward"
    struct = ACTIVATION
    in_place = (("dx", "dy"), ("dx", "x"))


def activation(x: Tensor, name: str | None, **parameters: Any) -> Tensor:
    """Emit an elementwise activation by its name; "linear" and None emit nothing."""
    kind, alpha = _check.activation("activation", name, parameters)
    check_real("activation", x=x)
    if kind == 0:
        return x
    op = ActivationForward({"x": x}, **sized(count=x.shape))
    op.numbers |= {"activation": kind, "alpha": alpha}
    return emit(op, y=x.shape)["y"]
