"""Batch normalization on arrays, with its gradient."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, DTypeLike

from convkit import _check
from convkit._arguments import named_arguments
from convkit._arrays import (
    Array,
    check_shape,
    dense_array,
    look,
    make_output,
    new_array,
    result_type,
)
from convkit._pack import call


def _norm_arguments(
    name: str, x: Array, epsilon: float, vectors: dict[str, Array | None]
) -> dict[str, Any]:
    """Check shapes; return rows, c and epsilon."""
    if x.ndim < 2:
        raise ValueError(
            f"{name}: x must have at least 2 axes, the last one the channels, got x of shape"
            f" {x.shape}"
        )
    c = x.shape[-1]
    if min(x.shape[1:]) < 1:
        raise ValueError(f"{name}: sizes of x must be positive, got x of shape {x.shape}")
    for label, vector in vectors.items():
        if vector is not None:
            check_shape(name, label, vector, (c,))
    epsilon = _check.number(name, "epsilon", epsilon)
    if epsilon < 0:
        raise ValueError(f"{name}: epsilon must not be negative, got epsilon={epsilon!r}")
    rows = _check.product(name, "x", x.shape) // c
    return {"rows": rows, "c": c, "epsilon": epsilon}


def _look_at(name: str, **values: ArrayLike | None) -> dict[str, Array | None]:
    return {k: None if v is None else look(name, k, v) for k, v in values.items()}


@named_arguments
def batch_norm(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
) -> tuple[Array, Array, Array]:
    """Normalize each channel by the statistics of the batch; returns (y, mean, variance).

    y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, statistics over all axes but the
    last; the variance is the biased one. x is (..., C), gamma, beta, mean and variance are (C,).
    One value per channel gives y = beta. Source: Ioffe and Szegedy, 2015.

    Raises ValueError for an empty batch or shapes that do not fit.
    """
    name = "batch_norm"
    x = look(name, "x", x)
    vectors = _look_at(name, gamma=gamma, beta=beta)
    numbers = _norm_arguments(name, x, epsilon, vectors)
    if numbers["rows"] == 0:
        raise ValueError(f"{name}: training needs at least one sample, got x of shape {x.shape}")
    dtype = result_type(x, *vectors.values())
    x, dense = dense_array(x, dtype), _all_dense(vectors, dtype)
    y, mean, variance = (new_array(shape, dtype) for shape in (x.shape, x.shape[-1:], x.shape[-1:]))
    results = {"y": y, "mean": mean, "variance": variance}
    call("batch_norm_forward", y.itemsize, x=x, **results, **dense, **numbers)
    return y, mean, variance


def _all_dense(vectors: dict[str, Array | None], dtype: DTypeLike) -> dict[str, Array | None]:
    return {k: None if v is None else dense_array(v, dtype) for k, v in vectors.items()}


@named_arguments
def batch_norm_inference(
    x: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
    out: Array | None = None,
) -> Array:
    """Normalize each channel by the given statistics.

    y = (x - mean) / sqrt(variance + epsilon) * gamma + beta; x is (..., C), the rest (C,).

    Raises ValueError for shapes that do not fit.
    """
    name = "batch_norm_inference"
    x = look(name, "x", x)
    mean, variance = look(name, "mean", mean), look(name, "variance", variance)
    vectors = _look_at(name, mean=mean, variance=variance, gamma=gamma, beta=beta)
    numbers = _norm_arguments(name, x, epsilon, vectors)
    dtype = result_type(x, *vectors.values())
    y = make_output(name, out, x.shape, dtype, x, *vectors.values())
    if y.size:
        x, dense = dense_array(x, dtype), _all_dense(vectors, dtype)
        call("batch_norm_inference", y.itemsize, y=y, x=x, **dense, **numbers)
    return y


@named_arguments
def batch_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
) -> tuple[Array, Array, Array]:
    """Compute the gradients (dx, dgamma, dbeta) of batch_norm, from what it returned.

    dy and x are (..., C), the rest (C,). Source: Ioffe and Szegedy, 2015.

    Raises ValueError for an empty batch or shapes that do not fit.
    """
    name = "batch_norm_backward"
    dy, x = look(name, "dy", dy), look(name, "x", x)
    mean, variance = look(name, "mean", mean), look(name, "variance", variance)
    vectors = _look_at(name, mean=mean, variance=variance, gamma=gamma)
    numbers = _norm_arguments(name, x, epsilon, vectors)
    check_shape(name, "dy", dy, x.shape)
    if numbers["rows"] == 0:
        raise ValueError(f"{name}: training needs at least one sample, got x of shape {x.shape}")
    dtype = result_type(dy, x, *vectors.values())
    dy, x, dense = dense_array(dy, dtype), dense_array(x, dtype), _all_dense(vectors, dtype)
    dx, dgamma, dbeta = (new_array(shape, dtype) for shape in (x.shape, x.shape[-1:], x.shape[-1:]))
    results = {"dx": dx, "dgamma": dgamma, "dbeta": dbeta}
    call("batch_norm_backward", dx.itemsize, dy=dy, x=x, **results, **dense, **numbers)
    return dx, dgamma, dbeta
