"""Activations by Keras's names, on arrays, on graph tensors, and on symbolic tensors.

On arrays they compute; on a tensor of a graph, in a layer's `call`, they add ops; on a symbolic
tensor they record a layer. Layers take them, or any function of one tensor, as `activation=`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from convkit import _arrays, _check, functional, ops
from convkit._arguments import named_arguments
from convkit._pack import call
from convkit.graph import Tensor
from convkit.ops.broadcast import UNARY_KINDS

# x is an array (or what makes one), a graph tensor or a symbolic tensor; so is the result.
Values = Any


# ---- arrays, tensors, symbols --------------------------------------------------------------------


def _symbolic(x: Values) -> bool:
    from convkit.layers.symbolic import SymbolicTensor  # layers use this module

    return isinstance(x, SymbolicTensor)


def _recorded(function: Callable[..., Any], x: Values, parameters: dict[str, Any]) -> Values:
    """Record an activation on a symbolic tensor, as a layer that can be saved where it has one."""
    from convkit import layers

    given = {name: value for name, value in parameters.items() if value is not None}
    if not given:
        return layers.Activation(function)(x)
    return layers.Activation(lambda tensor: function(tensor, **given))(x)


def _elementwise(name: str, x: Values, **parameters: Any) -> Values:
    """Apply an activation that kernels have under this name."""
    if _symbolic(x):
        kind, parameter = _check.ACTIVATIONS[name]
        changed = {k: v for k, v in parameters.items() if not parameter or v != parameter[1]}
        return _recorded(NAMES[name], x, changed if kind else {})
    if isinstance(x, Tensor):
        return ops.activation(x, name, **parameters)
    return getattr(functional, name)(x, **parameters)


def _unary(name: str, emit: Callable[..., Tensor], x: Values, **numbers: float) -> Values:
    """Apply one of the kernels' functions of single elements to an array or a tensor."""
    if isinstance(x, Tensor):
        return emit(x)
    array = _arrays.look(name, "x", x)
    dtype = _arrays.result_type(array)
    y = np.empty(array.shape, dtype)
    if y.size:
        dense = _arrays.dense_array(array, dtype)
        kind = UNARY_KINDS.index(name)
        call("unary_forward", y.itemsize, y=y, x=dense, count=y.size, kind=kind, **numbers)
    return y


def _exp(x: Values) -> Values:
    return _unary("exp", ops.exp, x)


def _sqrt(x: Values) -> Values:
    return _unary("sqrt", ops.sqrt, x)


def _clip(x: Values, low: float, high: float) -> Values:
    return _unary("clip", lambda t: ops.clip(t, low, high), x, low=low, high=high)


def _composed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make an activation of a formula that holds for arrays and for tensors."""

    signature = inspect.signature(function)

    @named_arguments
    @functools.wraps(function)
    def activation(*arguments: Any, **options: Any) -> Values:
        parameters = signature.bind(*arguments, **options).arguments
        x = parameters.pop("x")
        if _symbolic(x):
            return _recorded(activation, x, parameters)
        return function(x if isinstance(x, Tensor) else _floats(function.__name__, x), **parameters)

    return activation


def _floats(name: str, x: Values) -> Values:
    array = _arrays.look(name, "x", x)
    return array.astype(_arrays.result_type(array), copy=False)


# ---- activations ---------------------------------------------------------------------------------


@named_arguments
def linear(x: Values) -> Values:
    """Return x as it is."""
    return x


@named_arguments
def relu(
    x: Values,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Values:
    """Compute max(x, 0); or max_value from there on, negative_slope (x - threshold) below it."""
    if max_value is None and not threshold:
        if not negative_slope:
            return _elementwise("relu", x)
        return leaky_relu(x, negative_slope)
    if _symbolic(x):
        from convkit import layers

        return layers.ReLU(max_value, negative_slope, threshold)(x)
    return _unary(
        "bounded_relu",
        lambda t: ops.bounded_relu(t, max_value, negative_slope, threshold),
        x,
        alpha=negative_slope,
        low=threshold,
        high=np.inf if max_value is None else max_value,
    )


@named_arguments
def relu6(x: Values) -> Values:
    """Compute min(max(x, 0), 6). Source: Howard et al., 2017."""
    return relu(x, max_value=6.0)


@named_arguments
def leaky_relu(x: Values, negative_slope: float = 0.2) -> Values:
    """Compute x where x >= 0, else negative_slope x. Source: Maas et al., 2013."""
    return _elementwise("leaky_relu", x, negative_slope=negative_slope)


@named_arguments
def elu(x: Values, alpha: float = 1.0) -> Values:
    """Compute x where x >= 0, else alpha (exp(x) - 1). Source: Clevert et al., 2015."""
    return _elementwise("elu", x, alpha=alpha)


@named_arguments
def selu(x: Values) -> Values:
    """Compute 1.0507 elu(x, 1.6733). Source: Klambauer et al., 2017."""
    return _elementwise("selu", x)


@named_arguments
def gelu(x: Values, approximate: bool = False) -> Values:
    """Compute x Phi(x), Phi the normal distribution; or its tanh form. Source: Hendrycks, 2016."""
    if _symbolic(x):
        return _recorded(gelu, x, {"approximate": approximate or None})
    return _elementwise("gelu", x, approximate=approximate)


@named_arguments
def silu(x: Values) -> Values:
    """Compute x sigmoid(x), also called swish. Source: Ramachandran et al., 2017."""
    return _elementwise("silu", x)


@named_arguments
def sigmoid(x: Values) -> Values:
    """Compute 1 / (1 + exp(-x))."""
    return _elementwise("sigmoid", x)


@named_arguments
def tanh(x: Values) -> Values:
    """Compute the hyperbolic tangent."""
    return _elementwise("tanh", x)


@named_arguments
def softplus(x: Values) -> Values:
    """Compute log(1 + exp(x)) without overflow."""
    return _elementwise("softplus", x)


@named_arguments
def hard_sigmoid(x: Values) -> Values:
    """Compute relu6(x + 3) / 6. Source: Howard et al., 2019."""
    return _elementwise("hard_sigmoid", x)


@named_arguments
def hard_silu(x: Values) -> Values:
    """Compute x relu6(x + 3) / 6. Source: Howard et al., 2019."""
    return _elementwise("hard_silu", x)


@named_arguments
def mish(x: Values) -> Values:
    """Compute x tanh(softplus(x)). Source: Misra, 2019."""
    return _elementwise("mish", x)


def _over_axis(name: str, x: Values, axis: int) -> Values:
    if _symbolic(x):
        return _recorded(NAMES[name], x, {"axis": axis if axis != -1 else None})
    if not isinstance(x, Tensor):
        return getattr(functional, name)(x, axis)
    rank = len(x.shape)
    axis = _check.integer(name, "axis", axis, -rank, rank - 1) % rank
    if axis == rank - 1:
        return getattr(ops, name)(x)
    if axis == 0:
        raise ValueError(f"{name}: axis must not be the batch, got axis=0 for shape {x.shape}")
    order = [i for i in range(1, rank) if i != axis] + [axis]
    back = [order.index(i) + 1 for i in range(1, rank)]
    return ops.permute(getattr(ops, name)(ops.permute(x, order)), back)


@named_arguments
def softmax(x: Values, axis: int = -1) -> Values:
    """Compute exp(x) / sum(exp(x)) over an axis."""
    return _over_axis("softmax", x, axis)


@named_arguments
def log_softmax(x: Values, axis: int = -1) -> Values:
    """Compute the logarithm of the softmax over an axis, without cancellation."""
    return _over_axis("log_softmax", x, axis)


@_composed
def exponential(x: Values) -> Values:
    """Compute exp(x)."""
    return _exp(x)


@_composed
def softsign(x: Values) -> Values:
    """Compute x / (1 + |x|)."""
    return x / (abs(x) + 1.0)


@_composed
def squareplus(x: Values, b: float = 4.0) -> Values:
    """Compute (x + sqrt(x^2 + b)) / 2. Source: Barron, 2021."""
    return (x + _sqrt(x * x + b)) * 0.5


@_composed
def log_sigmoid(x: Values) -> Values:
    """Compute log(sigmoid(x)) without overflow."""
    return -softplus(-x)


@_composed
def tanh_shrink(x: Values) -> Values:
    """Compute x - tanh(x)."""
    return x - tanh(x)


@_composed
def soft_shrink(x: Values, threshold: float = 0.5) -> Values:
    """Compute x brought nearer to 0 by `threshold`, and 0 within it."""
    return x - _clip(x, -threshold, threshold)


@_composed
def hard_tanh(x: Values) -> Values:
    """Compute x brought into [-1, 1]."""
    return _clip(x, -1.0, 1.0)


@_composed
def sparse_sigmoid(x: Values) -> Values:
    """Compute (x + 1) / 2 brought into [0, 1]."""
    return _clip(x * 0.5 + 0.5, 0.0, 1.0)


@_composed
def celu(x: Values, alpha: float = 1.0) -> Values:
    """Compute x where x >= 0, else alpha (exp(x / alpha) - 1). Source: Barron, 2017."""
    return elu(x * (1 / alpha)) * alpha


swish, hard_swish = silu, hard_silu

NAMES: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (celu, elu, exponential, gelu, hard_sigmoid, hard_silu, hard_tanh)},
    **{f.__name__: f for f in (leaky_relu, linear, log_sigmoid, log_softmax, mish, relu, relu6)},
    **{f.__name__: f for f in (selu, sigmoid, silu, soft_shrink, softmax, softplus, softsign)},
    **{f.__name__: f for f in (sparse_sigmoid, squareplus, tanh, tanh_shrink)},
    **{"swish": silu, "hard_swish": hard_silu},
}


def get(identifier: Any) -> Callable[..., Any]:
    """Return an activation from its name or a function; None gives `linear`.

    Raises ValueError for a name that does not exist, with the nearest that does.
    """
    if identifier is None:
        return linear
    if callable(identifier):
        return identifier
    return NAMES[_check.one_of("activations.get", "activation", identifier, NAMES)]


def serialize(activation: Callable[..., Any]) -> Any:
    """Return the name of an activation, or the description of a function of the user's own."""
    from convkit import _config

    for name, function in NAMES.items():
        if function is activation:
            return name
    return _config.serialize(activation)


def deserialize(config: Any, custom_objects: Any = None) -> Callable[..., Any]:
    """Return the activation that `serialize` described."""
    from convkit import _config

    if isinstance(config, dict):
        return get(_config.deserialize(config, custom_objects))
    return get((custom_objects or {}).get(config, config))
