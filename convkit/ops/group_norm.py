"""Normalization of samples by themselves: layer, instance and group normalization."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from convkit import _check
from convkit.ops.base import Op, Struct, check_real, emit, one_sample, operands, product, sized

if TYPE_CHECKING:
    from convkit.graph import Tensor

GROUP_NORM = Struct(
    "ck_group_norm",
    "y mean inverse dx dgamma dbeta x gamma beta dy",
    "n pixels c groups activation",
    "epsilon alpha",
)


class GroupNormForward(Op):
    """y = activation(gamma * (x - mean) * inverse + beta) of each sample's groups of channels."""

    kernel = "group_norm_forward"
    struct = GROUP_NORM
    in_place = (("y", "x"),)
    fuses_activation = True

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Emit dx, dgamma and dbeta in one op."""
        inputs = {
            **{"x": self.inputs["x"], "dy": dy["y"], "gamma": self.inputs.get("gamma")},
            **{role: self.outputs[role] for role in ("mean", "inverse")},
        }
        backward = GroupNormBackward(inputs, self.numbers, self.per_sample)
        outputs = emit(backward, **{"d" + role: self.inputs[role].shape for role in sorted(needs)})
        return {role[1:]: tensor for role, tensor in outputs.items()}


class GroupNormBackward(Op):
    """dx, dgamma and dbeta; with an activation, z is computed again from x."""

    kernel = "group_norm_backward"
    struct = GROUP_NORM
    # A slab of dy and x is read a last time just before the same slab of dx is written.
    in_place = (("dx", "dy"), ("dx", "x"))
    optional = frozenset({"dx", "dgamma", "dbeta"})


def _emit(
    function: str,
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    epsilon: float,
    sizes: Mapping[str, tuple[int | None, ...]],
    groups: int,
) -> Tensor:
    x, gamma, beta = operands(x, gamma, beta)
    check_real(function, x=x, gamma=gamma, beta=beta)
    epsilon = _check.number(function, "epsilon", epsilon)
    if epsilon < 0:
        raise ValueError(f"{function}: epsilon must not be negative, got epsilon={epsilon!r}")
    channels = product(sizes["c"])
    for name, vector in (("gamma", gamma), ("beta", beta)):
        if vector is not None and math.prod(one_sample(vector.shape)) != channels:
            raise ValueError(
                f"{function}: {name} must have {channels} values, one for each of the axes"
                f" {sizes['c']} of x, got {name} of shape {vector.shape}"
            )
    op = GroupNormForward({"x": x, "gamma": gamma, "beta": beta}, **sized(**sizes))
    op.numbers |= {"epsilon": epsilon, "groups": groups}
    statistics = (*sizes["n"], groups)
    return emit(op, y=x.shape, mean=statistics, inverse=statistics)["y"]


def layer_norm(
    x: Tensor, gamma: Tensor | None, beta: Tensor | None, *, axes: int = 1, epsilon: float = 1e-3
) -> Tensor:
    """Emit normalization over the last `axes` axes, of whose sizes gamma and beta are.

    Source: Ba et al., 2016.
    """
    function = "layer_norm"
    axes = _check.integer(function, "axes", axes, 1, max(1, len(x.shape) - 1))
    sizes = {"n": x.shape[:-axes], "pixels": (), "c": x.shape[-axes:]}
    return _emit(function, x, gamma, beta, epsilon, sizes, 1)


def group_norm(
    x: Tensor, gamma: Tensor | None, beta: Tensor | None, *, groups: int, epsilon: float = 1e-3
) -> Tensor:
    """Emit normalization of groups of channels over all positions of a sample.

    x is (N, ..., C), gamma and beta are (C,); groups must divide C. Source: Wu and He, 2018;
    groups = C is instance normalization (Ulyanov et al., 2016).
    """
    function = "group_norm"
    if len(x.shape) < 2:
        raise ValueError(f"{function}: x must have at least 2 axes, got x of shape {x.shape}")
    channels = product(x.shape[-1:])
    groups = _check.integer(function, "groups", groups)
    if channels % groups:
        raise ValueError(
            f"{function}: groups must divide the {channels} channels of x, got groups={groups} for"
            f" x of shape {x.shape}"
        )
    sizes = {"n": x.shape[:1], "pixels": x.shape[1:-1], "c": x.shape[-1:]}
    return _emit(function, x, gamma, beta, epsilon, sizes, groups)
