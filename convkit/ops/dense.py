"""Dense layers: y = x w + b over the last axis, and the gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from convkit.ops.base import Op, Struct, check_rank, check_real, check_shape, emit, operands, sized

if TYPE_CHECKING:
    from convkit.graph import Tensor

DENSE = Struct("ck_dense", "y z dx dw db packed x w b dy", "m c k activation", "alpha")


class DenseForward(Op):
    """y = activation(z), z = x w + b."""

    kernel = "dense_forward"
    packs_by = "dense_pack"
    struct = DENSE
    fuses_activation = True
    keeps_z = True

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Emit dw and db in one op, dx in another, as far as they are needed."""
        x, w = self.inputs["x"], self.inputs["w"]
        result: dict[str, Tensor] = {}
        wanted = {"d" + role: self.inputs[role].shape for role in ("w", "b") if role in needs}
        if wanted:
            op = DenseBackwardWeights({"x": x, "dy": dy["y"]}, self.numbers, self.per_sample)
            result |= {role[1:]: tensor for role, tensor in emit(op, **wanted).items()}
        if "x" in needs:
            data = DenseBackwardData({"dy": dy["y"], "w": w}, self.numbers, self.per_sample)
            result["x"] = emit(data, dx=x.shape)["dx"]
        return result


class DenseBackwardData(Op):
    """dx = dy w^T."""

    kernel = "dense_backward_data"
    struct = DENSE


class DenseBackwardWeights(Op):
    """dw = x^T dy, db = column sums of dy."""

    kernel = "dense_backward_weights"
    struct = DENSE
    optional = frozenset({"dw", "db"})


def dense(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """Emit x w + b; x is (..., C), w (C, K), b (K,)."""
    x, w, b = operands(x, w, b)
    function = "dense"
    check_real(function, x=x, w=w, b=b)
    check_rank(function, "w", w, 2, "(C, K)")
    c, k = w.shape
    if len(x.shape) < 2 or x.shape[-1] != c:
        raise ValueError(
            f"{function}: x must be (..., C) with as many features as w has rows, got x of shape"
            f" {x.shape} and w of shape {w.shape}"
        )
    check_shape(function, "b", b, (k,))
    op = DenseForward({"x": x, "w": w, "b": b}, **sized(m=x.shape[:-1], c=(c,), k=(k,)))
    return emit(op, y=(*x.shape[:-1], k))["y"]
