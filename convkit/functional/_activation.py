"""Elementwise activations on arrays, and their gradient."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from convkit import _check
from convkit._arguments import named_arguments
from convkit._arrays import Array, check_shape, dense_array, look, make_output, result_type
from convkit._pack import call
from convkit.functional._softmax import softmax_backward


def _activate(name: str, x: ArrayLike, out: Array | None, **parameters: Any) -> Array:
    array = look(name, "x", x)
    kind, alpha = _check.activation(name, name, parameters)
    dtype = result_type(array)
    y = make_output(name, out, array.shape, dtype, array)
    if y.size:
        x = dense_array(array, dtype)
        call("activation_forward", y.itemsize, y=y, x=x, count=y.size, activation=kind, alpha=alpha)
    return y


@named_arguments
def relu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute max(x, 0) of an array of any shape; NaN stays."""
    return _activate("relu", x, out)


@named_arguments
def leaky_relu(x: ArrayLike, negative_slope: float = 0.2, *, out: Array | None = None) -> Array:
    """Compute x where x >= 0, else negative_slope x. Source: Maas et al., 2013."""
    return _activate("leaky_relu", x, out, negative_slope=negative_slope)


@named_arguments
def elu(x: ArrayLike, alpha: float = 1.0, *, out: Array | None = None) -> Array:
    """Compute x where x >= 0, else alpha (exp(x) - 1). Source: Clevert et al., 2015."""
    return _activate("elu", x, out, alpha=alpha)


@named_arguments
def selu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute 1.0507 elu(x, 1.6733). Source: Klambauer et al., 2017."""
    return _activate("selu", x, out)


@named_arguments
def gelu(x: ArrayLike, approximate: bool = False, *, out: Array | None = None) -> Array:
    """Compute x Phi(x), Phi the normal distribution; or its tanh form. Source: Hendrycks, 2016."""
    return _activate("gelu", x, out, approximate=approximate)


@named_arguments
def silu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute x sigmoid(x), also called swish. Source: Ramachandran et al., 2017."""
    return _activate("silu", x, out)


swish = silu


@named_arguments
def sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute 1 / (1 + exp(-x))."""
    return _activate("sigmoid", x, out)


@named_arguments
def tanh(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute the hyperbolic tangent."""
    return _activate("tanh", x, out)


@named_arguments
def softplus(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute log(1 + exp(x)) without overflow."""
    return _activate("softplus", x, out)


@named_arguments
def hard_sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute relu6(x + 3) / 6. Source: Howard et al., 2019."""
    return _activate("hard_sigmoid", x, out)


@named_arguments
def hard_silu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute x relu6(x + 3) / 6. Source: Howard et al., 2019."""
    return _activate("hard_silu", x, out)


@named_arguments
def mish(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute x tanh(softplus(x)). Source: Misra, 2019."""
    return _activate("mish", x, out)


@named_arguments
def activation_backward(
    dy: ArrayLike, x: ArrayLike, name: str, *, out: Array | None = None, **parameters: Any
) -> Array:
    """Compute dy f'(x) for the activation `name` with its parameters.

    dy and x have the same shape, any. "softmax" and "log_softmax" act on the last axis.

    Raises ValueError for an unknown name or shapes that differ.
    """
    function = "activation_backward"
    dy, x = look(function, "dy", dy), look(function, "x", x)
    check_shape(function, "dy", dy, x.shape)
    dtype = result_type(dy, x)
    if isinstance(name, str) and name in ("softmax", "log_softmax"):
        return softmax_backward(function, dy, x, name, out, parameters)
    kind, alpha = _check.activation(function, name, parameters, "name")
    dx = make_output(function, out, x.shape, dtype, dy, x)
    if dx.size:
        dy, x = dense_array(dy, dtype), dense_array(x, dtype)
        numbers = {"count": dx.size, "activation": kind, "alpha": alpha}
        call("activation_backward", dx.itemsize, dx=dx, dy=dy, x=x, **numbers)
    return dx
