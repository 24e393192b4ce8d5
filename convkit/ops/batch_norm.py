"""Batch normalization in training, in inference, and the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from convkit import _check
from convkit.ops.base import Op, Struct, check_real, check_shape, emit, operands, sized

if TYPE_CHECKING:
    from convkit.graph import Tensor

BATCH_NORM = Struct(
    "ck_batch_norm",
    "y argmax mean variance dx dgamma dbeta x gamma beta residual dy mean_g mean_gx",
    "rows c activation pool width",
    "epsilon alpha",
)


def _emit_backward(
    op: Op, dy: Tensor, statistics: Mapping[str, Tensor], needs: set[str]
) -> dict[str, Tensor]:
    """Emit the backward op of a batch normalization; return the gradients by input role."""
    x, gamma = op.inputs["x"], op.inputs.get("gamma")
    inputs = {"x": x, "dy": dy, "gamma": gamma, **statistics}
    backward = BatchNormBackward(inputs, op.numbers, op.per_sample)
    outputs = emit(backward, **{"d" + role: op.inputs[role].shape for role in sorted(needs)})
    return {role[1:]: tensor for role, tensor in outputs.items()}


class BatchNormForward(Op):
    """y = activation(gamma * (x - mean) / sqrt(variance + epsilon) + beta), of the batch.

    With `residual`, that is added before the activation; with `pool`, y is the 2x2 max pool.
    """

    kernel = "batch_norm_forward"
    struct = BATCH_NORM
    in_place = (("y", "residual"),)
    optional = frozenset({"argmax"})
    fuses_activation = True

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Emit dx, dgamma and dbeta in one op."""
        statistics = {role: self.outputs[role] for role in ("mean", "variance")}
        return _emit_backward(self, dy["y"], statistics, needs)


class BatchNormInference(Op):
    """The same, given statistics."""

    kernel = "batch_norm_inference"
    struct = BATCH_NORM
    in_place = (("y", "x"), ("y", "residual"))
    optional = frozenset({"argmax"})
    fuses_activation = True

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Emit dgamma and dbeta; dx = dy gamma / sqrt(variance + epsilon): statistics stay."""
        statistics = {role: self.inputs[role] for role in ("mean", "variance")}
        result = {}
        if needs - {"x"}:
            result = _emit_backward(self, dy["y"], statistics, needs - {"x"})
        if "x" in needs:
            zero = dy["y"].graph.constant(np.zeros(int(self.numbers["c"])))
            inputs = {**self.inputs, "x": dy["y"], "mean": zero}
            inputs.pop("beta", None)
            op = BatchNormInference(inputs, self.numbers, self.per_sample)
            result["x"] = emit(op, y=dy["y"].shape)["y"]
        return result


class BatchNormBackward(Op):
    """dx, dgamma and dbeta; with an activation, z is computed again from x.

    With `pool`, dy is that of the pooled map.
    """

    kernel = "batch_norm_backward"
    struct = BATCH_NORM
    # Rows of dy and x are read a last time just before the same rows of dx are written.
    in_place = (("dx", "dy"), ("dx", "x"))
    optional = frozenset({"dx", "dgamma", "dbeta"})


class BatchNormBackwardData(Op):
    """dx alone, given the means over the rows of g and of g xhat."""

    kernel = "batch_norm_backward_data"
    struct = BATCH_NORM
    in_place = (("dx", "dy"), ("dx", "x"))


def _check_norm(function: str, x: Tensor, epsilon: float, **vectors: Tensor | None) -> float:
    check_real(function, x=x, **vectors)
    if len(x.shape) < 2:
        raise ValueError(f"{function}: x must have at least 2 axes, got x of shape {x.shape}")
    for name, vector in vectors.items():
        check_shape(function, name, vector, x.shape[-1:])
    epsilon = _check.number(function, "epsilon", epsilon)
    if epsilon < 0:
        raise ValueError(f"{function}: epsilon must not be negative, got epsilon={epsilon!r}")
    return epsilon


def batch_norm(
    x: Tensor, gamma: Tensor | None, beta: Tensor | None, *, epsilon: float = 1e-3
) -> tuple[Tensor, Tensor, Tensor]:
    """Emit normalization by the batch's statistics: (y, mean, variance)."""
    x, gamma, beta = operands(x, gamma, beta)
    epsilon = _check_norm("batch_norm", x, epsilon, gamma=gamma, beta=beta)
    inputs = {"x": x, "gamma": gamma, "beta": beta}
    op = BatchNormForward(inputs, **sized(rows=x.shape[:-1], c=x.shape[-1:]))
    op.numbers["epsilon"] = epsilon
    outputs = emit(op, y=x.shape, mean=x.shape[-1:], variance=x.shape[-1:])
    return outputs["y"], outputs["mean"], outputs["variance"]


def batch_norm_inference(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    *,
    epsilon: float = 1e-3,
) -> Tensor:
    """Emit normalization by given statistics."""
    x, mean, variance, gamma, beta = operands(x, mean, variance, gamma, beta)
    vectors = {"mean": mean, "variance": variance, "gamma": gamma, "beta": beta}
    epsilon = _check_norm("batch_norm_inference", x, epsilon, **vectors)
    op = BatchNormInference({"x": x, **vectors}, **sized(rows=x.shape[:-1], c=x.shape[-1:]))
    op.numbers["epsilon"] = epsilon
    return emit(op, y=x.shape)["y"]
