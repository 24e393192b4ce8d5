"""Compute convolutions, pooling, normalization, dense layers and activations on NumPy arrays.

x is (N, H, W, C) and w is (KH, KW, C/groups, K). Arrays may be anything that np.asarray takes; they
are never modified. Results are float64 if any float argument is, else float32, in fresh C-contiguous
arrays or in `out=`. Everything is checked before anything is allocated: ValueError for values,
TypeError for types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from convkit import _check, runtime
from convkit._arrays import (
    Array,
    check_rank,
    check_shape,
    dense_array,
    look,
    make_output,
    result_type,
)
from convkit._pack import call

__all__ = [
    "activation_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "conv2d",
    "conv2d_backward",
    "conv2d_transpose",
    "conv2d_transpose_backward",
    "dense",
    "dense_backward",
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "leaky_relu",
    "log_softmax",
    "max_pool2d",
    "max_pool2d_backward",
    "mish",
    "relu",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "swish",
    "tanh",
]

IntPair = int | Sequence[int]


def _needs(function: str, needs: Sequence[str]) -> set[str]:
    if isinstance(needs, str) or not hasattr(needs, "__iter__") or not set(needs) <= {*"xwb"}:
        raise ValueError(
            f"{function}: needs must be a collection of 'x', 'w' and 'b', got needs={needs!r}"
        )
    return set(needs)


# ---- convolution -----------------------------------------------------------------------------------


def conv2d(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    *,
    strides: IntPair = 1,
    padding: Any = "valid",
    dilation: IntPair = 1,
    groups: int = 1,
    activation: str | None = None,
    out: Array | None = None,
) -> Array:
    """Convolve images with filters (cross-correlation, as in every deep-learning library).

    y[n,p,q,k] = activation(b[k] + sum_ijc x[n, p sh + i dh - top, q sw + j dw - left, c] w[i,j,c,k]).
    x is (N, H, W, C), w (KH, KW, C/groups, K), b (K,); the result is (N, OH, OW, K) with
    OH = (H + top + bottom - (KH - 1) dh - 1) // sh + 1. padding is "valid", "same" (TensorFlow's
    rule: the odd row or column goes to the end), an int, a pair or ((top, bottom), (left, right)).

    Raises ValueError for shapes that do not fit, TypeError for dtypes that are not real numbers.
    """
    name = "conv2d"
    x, w = look(name, "x", x), look(name, "w", w)
    b = None if b is None else look(name, "b", b)
    check_rank(name, "x", x, 4, "(N, H, W, C)")
    check_rank(name, "w", w, 4, "(KH, KW, C/groups, K)")
    sizes = _check.conv2d_geometry(name, x.shape, w.shape, strides, padding, dilation, groups)
    kind, alpha = _check.activation(name, activation, {})
    if b is not None:
        check_shape(name, "b", b, (sizes["k"],))
    dtype = result_type(x, w, b)
    y = make_output(name, out, (sizes["n"], sizes["oh"], sizes["ow"], sizes["k"]), dtype, x, w, b)
    if y.size == 0:
        return y
    x, w = dense_array(x, dtype), dense_array(w, dtype)
    b = None if b is None else dense_array(b, dtype)
    call(
        *("conv2d_forward", y.itemsize),
        **{"y": y, "x": x, "w": w, "b": b, "activation": kind, "alpha": alpha},
        **{"algorithm": _algorithm(), **sizes},
    )
    return y


def conv2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    *,
    strides: IntPair = 1,
    padding: Any = "valid",
    dilation: IntPair = 1,
    groups: int = 1,
    needs: Sequence[str] = ("x", "w", "b"),
) -> tuple[Array | None, Array | None, Array | None]:
    """Compute the gradients (dx, dw, db) of conv2d without activation.

    dy is (N, OH, OW, K); shapes and arguments as in conv2d. What `needs` leaves out is None. An
    empty batch gives an empty dx and zero dw, db.

    Raises ValueError for shapes that do not fit, TypeError for dtypes that are not real numbers.
    """
    name = "conv2d_backward"
    dy, x, w = look(name, "dy", dy), look(name, "x", x), look(name, "w", w)
    check_rank(name, "x", x, 4, "(N, H, W, C)")
    check_rank(name, "w", w, 4, "(KH, KW, C/groups, K)")
    sizes = _check.conv2d_geometry(name, x.shape, w.shape, strides, padding, dilation, groups)
    check_rank(name, "dy", dy, 4, "(N, OH, OW, K)")
    check_shape(name, "dy", dy, (sizes["n"], sizes["oh"], sizes["ow"], sizes["k"]))
    wanted = _needs(name, needs)
    dtype = result_type(dy, x, w)
    dx = np.empty(x.shape, dtype) if "x" in wanted else None
    dw = np.zeros(w.shape, dtype) if "w" in wanted else None
    db = np.zeros(sizes["k"], dtype) if "b" in wanted else None
    if dy.size == 0:
        return dx, dw, db
    dy, x, w = (dense_array(a, dtype) for a in (dy, x, w))
    sizes["algorithm"] = _algorithm()
    if dx is not None:
        call("conv2d_backward_data", dy.itemsize, dx=dx, dy=dy, w=w, **sizes)
    if dw is not None or db is not None:
        call("conv2d_backward_weights", dy.itemsize, dw=dw, db=db, x=x, dy=dy, **sizes)
    return dx, dw, db


def conv2d_transpose(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    *,
    strides: IntPair = 1,
    padding: Any = "valid",
    dilation: IntPair = 1,
    groups: int = 1,
    output_padding: IntPair | None = None,
    out: Array | None = None,
) -> Array:
    """Spread each pixel of x over the output: the transpose of conv2d as a linear map, plus b.

    x is (N, H, W, C), w (KH, KW, K/groups, C) as in Keras, b (K,); the result is (N, OH, OW, K) with
    OH = (H - 1) sh + max((KH - 1) dh + 1, sh) for "valid" and H sh for "same".

    Raises ValueError for shapes that do not fit, TypeError for dtypes that are not real numbers.
    """
    name = "conv2d_transpose"
    x, w = look(name, "x", x), look(name, "w", w)
    b = None if b is None else look(name, "b", b)
    check_rank(name, "x", x, 4, "(N, H, W, C)")
    check_rank(name, "w", w, 4, "(KH, KW, K/groups, C)")
    sizes = _check.conv2d_transpose_geometry(
        name, x.shape, w.shape, strides, padding, dilation, groups, output_padding
    )
    if b is not None:
        check_shape(name, "b", b, (sizes["c"],))
    dtype = result_type(x, w, b)
    y = make_output(name, out, (sizes["n"], sizes["ih"], sizes["iw"], sizes["c"]), dtype, x, w, b)
    if y.size:
        x, w = dense_array(x, dtype), dense_array(w, dtype)
        call("conv2d_backward_data", y.itemsize, dx=y, dy=x, w=w, algorithm=_algorithm(), **sizes)
        if b is not None:
            y += b.astype(dtype, copy=False)
    return y


def conv2d_transpose_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    *,
    strides: IntPair = 1,
    padding: Any = "valid",
    dilation: IntPair = 1,
    groups: int = 1,
    output_padding: IntPair | None = None,
    needs: Sequence[str] = ("x", "w", "b"),
) -> tuple[Array | None, Array | None, Array | None]:
    """Compute the gradients (dx, dw, db) of conv2d_transpose.

    dy is (N, OH, OW, K); shapes and arguments as in conv2d_transpose. What `needs` leaves out is None.

    Raises ValueError for shapes that do not fit, TypeError for dtypes that are not real numbers.
    """
    name = "conv2d_transpose_backward"
    dy, x, w = look(name, "dy", dy), look(name, "x", x), look(name, "w", w)
    check_rank(name, "x", x, 4, "(N, H, W, C)")
    check_rank(name, "w", w, 4, "(KH, KW, K/groups, C)")
    sizes = _check.conv2d_transpose_geometry(
        name, x.shape, w.shape, strides, padding, dilation, groups, output_padding
    )
    check_rank(name, "dy", dy, 4, "(N, OH, OW, K)")
    check_shape(name, "dy", dy, (sizes["n"], sizes["ih"], sizes["iw"], sizes["c"]))
    wanted = _needs(name, needs)
    dtype = result_type(dy, x, w)
    dx = np.empty(x.shape, dtype) if "x" in wanted else None
    dw = np.zeros(w.shape, dtype) if "w" in wanted else None
    db = np.zeros(sizes["c"], dtype) if "b" in wanted else None
    if dy.size == 0:
        return dx, dw, db
    dy, x, w = (dense_array(a, dtype) for a in (dy, x, w))
    sizes["algorithm"] = _algorithm()
    if dx is not None:
        call("conv2d_forward", dy.itemsize, y=dx, x=dy, w=w, **sizes)
    if dw is not None:
        call("conv2d_backward_weights", dy.itemsize, dw=dw, x=dy, dy=x, **sizes)
    if db is not None:
        # The column sums of dy are a bias gradient: of a dense layer with dy's pixels as rows.
        pixels = dy.size // sizes["c"]
        call("dense_backward_weights", dy.itemsize, db=db, x=dy, dy=dy, m=pixels, c=1, k=sizes["c"])
    return dx, dw, db


def _algorithm() -> int:
    return 1 if runtime.get_algorithm() == "direct" else 0


# ---- pooling ---------------------------------------------------------------------------------------


def _argmax_type(sizes: dict[str, int]) -> DTypeLike:
    return np.uint8 if sizes["kh"] * sizes["kw"] <= 256 else np.int32


def _pooled_shape(sizes: dict[str, int]) -> tuple[int, int, int, int]:
    return sizes["n"], sizes["oh"], sizes["ow"], sizes["c"]


def max_pool2d(
    x: ArrayLike,
    pool_size: IntPair = 2,
    *,
    strides: IntPair | None = None,
    padding: Any = "valid",
    return_argmax: bool = False,
    out: Array | None = None,
) -> Any:
    """Take the maximum of each window, per channel.

    x is (N, H, W, C), the result (N, OH, OW, C); strides default to pool_size. The first maximum in
    row-major order wins, NaN wins over everything, the padding never wins. With return_argmax the
    result is (y, argmax): y's shape, the index within the window, uint8 (int32 above 256 cells), for
    max_pool2d_backward.

    Raises ValueError for shapes that do not fit or padding not smaller than the window.
    """
    name = "max_pool2d"
    x = look(name, "x", x)
    check_rank(name, "x", x, 4, "(N, H, W, C)")
    sizes = _check.pool2d_geometry(name, x.shape, pool_size, strides, padding)
    if return_argmax and out is not None:
        raise ValueError(f"{name}: out must be None with return_argmax=True, got both")
    dtype = result_type(x)
    y = make_output(name, out, _pooled_shape(sizes), dtype, x)
    argmax = np.empty(y.shape, _argmax_type(sizes)) if return_argmax else None
    if y.size:
        x = dense_array(x, dtype)
        kept = argmax.itemsize if argmax is not None else 0
        call("max_pool2d_forward", y.itemsize, y=y, x=x, argmax=argmax, argmax_bytes=kept, **sizes)
    return (y, argmax) if return_argmax else y


def _image_shape(name: str, x_shape: Sequence[int]) -> tuple[int, int, int, int]:
    if isinstance(x_shape, str) or not isinstance(x_shape, Sequence | np.ndarray):
        raise TypeError(f"{name}: x_shape must be four ints (N, H, W, C), got x_shape={x_shape!r}")
    if len(x_shape) != 4:
        raise ValueError(f"{name}: x_shape must be four ints (N, H, W, C), got x_shape={x_shape!r}")
    try:
        n, h, w, c = (_check.integer(name, "x_shape", size, 0) for size in x_shape)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{name}: x_shape must be four ints (N, H, W, C) that are not negative and below 2**31,"
            f" got x_shape={x_shape!r}"
        ) from None
    return n, h, w, c


def _pooling_of(
    name: str, dy: Array, x_shape: tuple[int, ...], pool_size: Any, strides: Any, padding: Any
) -> dict[str, int]:
    """Check that dy is a gradient of the pooling of an array of shape x_shape."""
    if min(x_shape[1:]) < 1:
        raise ValueError(
            f"{name}: sizes must be positive (only the batch may be empty), got x_shape={x_shape}"
        )
    sizes = _check.pool2d_geometry(name, x_shape, pool_size, strides, padding)
    if dy.shape != _pooled_shape(sizes):
        raise ValueError(
            f"{name}: dy must have shape {_pooled_shape(sizes)} for x_shape={x_shape}, got dy of"
            f" shape {dy.shape}"
        )
    return sizes


def max_pool2d_backward(
    dy: ArrayLike,
    argmax: ArrayLike,
    x_shape: Sequence[int],
    pool_size: IntPair = 2,
    *,
    strides: IntPair | None = None,
    padding: Any = "valid",
    out: Array | None = None,
) -> Array:
    """Give dy to the cell of x that won each window: the gradient of max_pool2d.

    dy and argmax are (N, OH, OW, C), argmax as max_pool2d returned it; the result has shape x_shape.

    Raises ValueError for shapes, an argmax dtype or an argmax index that do not fit.
    """
    name = "max_pool2d_backward"
    dy = look(name, "dy", dy)
    argmax = look(name, "argmax", argmax)
    shape = _image_shape(name, x_shape)
    sizes = _pooling_of(name, dy, shape, pool_size, strides, padding)
    check_shape(name, "argmax", argmax, _pooled_shape(sizes))
    expected = np.dtype(_argmax_type(sizes))
    if argmax.dtype != expected:
        raise ValueError(
            f"{name}: argmax must have dtype {expected} for a window of"
            f" {sizes['kh']}x{sizes['kw']}, got dtype {argmax.dtype}; pass what max_pool2d returned"
        )
    cells = sizes["kh"] * sizes["kw"]
    if argmax.size and (argmax.max() >= cells or argmax.min() < 0):
        raise ValueError(
            f"{name}: argmax must lie in [0, {cells}), got values from {argmax.min()} to"
            f" {argmax.max()}; pass what max_pool2d returned"
        )
    dtype = result_type(dy)
    dx = make_output(name, out, shape, dtype, dy, argmax)
    if dx.size:
        dy, argmax = dense_array(dy, dtype), dense_array(argmax, expected)
        call(
            *("max_pool2d_backward", dx.itemsize),
            **{"dx": dx, "dy": dy, "argmax": argmax, "argmax_bytes": argmax.itemsize, **sizes},
        )
    return dx


def avg_pool2d(
    x: ArrayLike,
    pool_size: IntPair = 2,
    *,
    strides: IntPair | None = None,
    padding: Any = "valid",
    count_include_pad: bool = False,
    out: Array | None = None,
) -> Array:
    """Take the mean of each window, per channel.

    x is (N, H, W, C), the result (N, OH, OW, C). Cells of the padding count as zeros with
    count_include_pad, else they are left out of the mean.

    Raises ValueError for shapes that do not fit or padding not smaller than the window.
    """
    name = "avg_pool2d"
    x = look(name, "x", x)
    check_rank(name, "x", x, 4, "(N, H, W, C)")
    sizes = _check.pool2d_geometry(name, x.shape, pool_size, strides, padding)
    dtype = result_type(x)
    y = make_output(name, out, _pooled_shape(sizes), dtype, x)
    if y.size:
        sizes["count_include_pad"] = bool(count_include_pad)
        call("avg_pool2d_forward", y.itemsize, y=y, x=dense_array(x, dtype), **sizes)
    return y


def avg_pool2d_backward(
    dy: ArrayLike,
    x_shape: Sequence[int],
    pool_size: IntPair = 2,
    *,
    strides: IntPair | None = None,
    padding: Any = "valid",
    count_include_pad: bool = False,
    out: Array | None = None,
) -> Array:
    """Spread dy evenly over each window: the gradient of avg_pool2d.

    dy is (N, OH, OW, C); the result has shape x_shape. Raises ValueError for shapes that do not fit.
    """
    name = "avg_pool2d_backward"
    dy = look(name, "dy", dy)
    shape = _image_shape(name, x_shape)
    sizes = _pooling_of(name, dy, shape, pool_size, strides, padding)
    dtype = result_type(dy)
    dx = make_output(name, out, shape, dtype, dy)
    if dx.size:
        sizes["count_include_pad"] = bool(count_include_pad)
        call("avg_pool2d_backward", dx.itemsize, dx=dx, dy=dense_array(dy, dtype), **sizes)
    return dx


# ---- batch normalization -----------------------------------------------------------------------------


def _norm_arguments(
    name: str, x: Array, epsilon: float, vectors: dict[str, Array | None]
) -> dict[str, Any]:
    """Check shapes; return rows, c and epsilon."""
    if x.ndim < 2:
        raise ValueError(
            f"{name}: x must have at least 2 axes, the last one the channels, got x of shape {x.shape}"
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


def batch_norm(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
) -> tuple[Array, Array, Array]:
    """Normalize each channel by the statistics of the batch; returns (y, mean, variance).

    y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, statistics over all axes but the last;
    the variance is the biased one. x is (..., C), gamma, beta, mean and variance are (C,). One value
    per channel gives y = beta. Source: Ioffe and Szegedy, 2015.

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
    y, mean, variance = np.empty(x.shape, dtype), *np.empty((2, numbers["c"]), dtype)
    mean, variance = mean.copy(), variance.copy()
    call(
        "batch_norm_forward", y.itemsize, y=y, mean=mean, variance=variance, x=x, **dense, **numbers
    )
    return y, mean, variance


def _all_dense(vectors: dict[str, Array | None], dtype: DTypeLike) -> dict[str, Array | None]:
    return {k: None if v is None else dense_array(v, dtype) for k, v in vectors.items()}


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
    dx = np.empty(x.shape, dtype)
    dgamma, dbeta = np.empty(numbers["c"], dtype), np.empty(numbers["c"], dtype)
    call(
        *("batch_norm_backward", dx.itemsize),
        **{"dx": dx, "dgamma": dgamma, "dbeta": dbeta, "dy": dy, "x": x, **dense, **numbers},
    )
    return dx, dgamma, dbeta


# ---- dense ---------------------------------------------------------------------------------------------


def _dense_sizes(name: str, x: Array, w: Array) -> dict[str, int]:
    if x.ndim < 2:
        raise ValueError(f"{name}: x must have at least 2 axes (..., C), got x of shape {x.shape}")
    check_rank(name, "w", w, 2, "(C, K)")
    c, k = w.shape
    if x.shape[-1] != c:
        raise ValueError(
            f"{name}: w must have as many rows as x has features, got x of shape {x.shape} and w of"
            f" shape {w.shape}"
        )
    if min(c, k, *x.shape[1:]) < 1:
        raise ValueError(f"{name}: sizes must be positive, got x {x.shape} and w {w.shape}")
    rows = _check.product(name, "x", x.shape) // c
    _check.product(name, "the output", (rows, k))
    return {"m": rows, "c": c, "k": k}


def dense(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    *,
    activation: str | None = None,
    out: Array | None = None,
) -> Array:
    """Compute activation(x w + b).

    x is (..., C), w (C, K), b (K,); the result is (..., K). Raises ValueError for shapes that do not
    fit.
    """
    name = "dense"
    x, w = look(name, "x", x), look(name, "w", w)
    b = None if b is None else look(name, "b", b)
    sizes = _dense_sizes(name, x, w)
    kind, alpha = _check.activation(name, activation, {})
    if b is not None:
        check_shape(name, "b", b, (sizes["k"],))
    dtype = result_type(x, w, b)
    y = make_output(name, out, (*x.shape[:-1], sizes["k"]), dtype, x, w, b)
    if y.size:
        x, w = dense_array(x, dtype), dense_array(w, dtype)
        b = None if b is None else dense_array(b, dtype)
        call(
            *("dense_forward", y.itemsize),
            **{"y": y, "x": x, "w": w, "b": b, "activation": kind, "alpha": alpha, **sizes},
        )
    return y


def dense_backward(
    dy: ArrayLike, x: ArrayLike, w: ArrayLike, *, needs: Sequence[str] = ("x", "w", "b")
) -> tuple[Array | None, Array | None, Array | None]:
    """Compute the gradients (dx, dw, db) of dense without activation.

    dy is (..., K), x (..., C), w (C, K). What `needs` leaves out is None.

    Raises ValueError for shapes that do not fit.
    """
    name = "dense_backward"
    dy, x, w = look(name, "dy", dy), look(name, "x", x), look(name, "w", w)
    sizes = _dense_sizes(name, x, w)
    check_shape(name, "dy", dy, (*x.shape[:-1], sizes["k"]))
    wanted = _needs(name, needs)
    dtype = result_type(dy, x, w)
    dx = np.empty(x.shape, dtype) if "x" in wanted else None
    dw = np.zeros(w.shape, dtype) if "w" in wanted else None
    db = np.zeros(sizes["k"], dtype) if "b" in wanted else None
    if dy.size == 0:
        return dx, dw, db
    dy, x, w = (dense_array(a, dtype) for a in (dy, x, w))
    if dx is not None:
        call("dense_backward_data", dy.itemsize, dx=dx, dy=dy, w=w, **sizes)
    if dw is not None or db is not None:
        call("dense_backward_weights", dy.itemsize, dw=dw, db=db, x=x, dy=dy, **sizes)
    return dx, dw, db


# ---- activations ---------------------------------------------------------------------------------------


def _activate(name: str, x: ArrayLike, out: Array | None, **parameters: Any) -> Array:
    array = look(name, "x", x)
    kind, alpha = _check.activation(name, name, parameters)
    dtype = result_type(array)
    y = make_output(name, out, array.shape, dtype, array)
    if y.size:
        x = dense_array(array, dtype)
        call("activation_forward", y.itemsize, y=y, x=x, count=y.size, activation=kind, alpha=alpha)
    return y


def relu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute max(x, 0) of an array of any shape; NaN stays."""
    return _activate("relu", x, out)


def leaky_relu(x: ArrayLike, negative_slope: float = 0.2, *, out: Array | None = None) -> Array:
    """Compute x where x >= 0, else negative_slope x. Source: Maas et al., 2013."""
    return _activate("leaky_relu", x, out, negative_slope=negative_slope)


def elu(x: ArrayLike, alpha: float = 1.0, *, out: Array | None = None) -> Array:
    """Compute x where x >= 0, else alpha (exp(x) - 1). Source: Clevert et al., 2015."""
    return _activate("elu", x, out, alpha=alpha)


def selu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute 1.0507 elu(x, 1.6733). Source: Klambauer et al., 2017."""
    return _activate("selu", x, out)


def gelu(x: ArrayLike, approximate: bool = False, *, out: Array | None = None) -> Array:
    """Compute x Phi(x), Phi the normal distribution; or its tanh form. Source: Hendrycks, 2016."""
    return _activate("gelu", x, out, approximate=approximate)


def silu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute x sigmoid(x), also called swish. Source: Ramachandran et al., 2017."""
    return _activate("silu", x, out)


swish = silu


def sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute 1 / (1 + exp(-x))."""
    return _activate("sigmoid", x, out)


def tanh(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute the hyperbolic tangent."""
    return _activate("tanh", x, out)


def softplus(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute log(1 + exp(x)) without overflow."""
    return _activate("softplus", x, out)


def hard_sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute relu6(x + 3) / 6. Source: Howard et al., 2019."""
    return _activate("hard_sigmoid", x, out)


def hard_silu(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute x relu6(x + 3) / 6. Source: Howard et al., 2019."""
    return _activate("hard_silu", x, out)


def mish(x: ArrayLike, *, out: Array | None = None) -> Array:
    """Compute x tanh(softplus(x)). Source: Misra, 2019."""
    return _activate("mish", x, out)


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
        return _softmax_backward(function, dy, x, name, out, parameters)
    kind, alpha = _check.activation(function, name, parameters, "name")
    dx = make_output(function, out, x.shape, dtype, dy, x)
    if dx.size:
        dy, x = dense_array(dy, dtype), dense_array(x, dtype)
        call(
            *("activation_backward", dx.itemsize),
            **{"dx": dx, "dy": dy, "x": x, "count": dx.size, "activation": kind, "alpha": alpha},
        )
    return dx


def _softmax_axis(function: str, x: Array, axis: Any) -> int:
    axis = _check.integer(function, "axis", axis, -_check.MAX_SIZE)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(
            f"{function}: axis must be an axis of x, got axis={axis} and shape {x.shape}"
        )
    return axis % x.ndim


def _softmax(function: str, x: ArrayLike, axis: int, out: Array | None) -> Array:
    array = look(function, "x", x)
    axis = _softmax_axis(function, array, axis)
    dtype = result_type(array)
    y = make_output(function, out, array.shape, dtype, array)
    if y.size:
        last = axis == array.ndim - 1
        rows = dense_array(array if last else np.moveaxis(array, axis, -1), dtype)
        result = y if last else np.empty(rows.shape, dtype)
        cols = rows.shape[-1]
        call(f"{function}_forward", y.itemsize, y=result, x=rows, rows=y.size // cols, cols=cols)
        if not last:
            y[...] = np.moveaxis(result, -1, axis)
    return y


def softmax(x: ArrayLike, axis: int = -1, *, out: Array | None = None) -> Array:
    """Compute exp(x) / sum(exp(x)) along an axis, without overflow."""
    return _softmax("softmax", x, axis, out)


def log_softmax(x: ArrayLike, axis: int = -1, *, out: Array | None = None) -> Array:
    """Compute x - log(sum(exp(x))) along an axis, without overflow."""
    return _softmax("log_softmax", x, axis, out)


def _softmax_backward(
    function: str, dy: Array, x: Array, name: str, out: Array | None, parameters: dict[str, Any]
) -> Array:
    if parameters.keys() - {"axis"}:
        raise TypeError(f"{function}: {name} takes axis, got {', '.join(parameters)}")
    axis = _softmax_axis(function, x, parameters.get("axis", -1))
    dtype = result_type(dy, x)
    dx = make_output(function, out, x.shape, dtype, dy, x)
    if dx.size:
        y = dense_array(np.moveaxis(_softmax(name, x.astype(dtype), axis, None), axis, -1), dtype)
        rows_dy = dense_array(np.moveaxis(dy, axis, -1), dtype)
        result, cols = np.empty(y.shape, dtype), y.shape[-1]
        call(
            *(f"{name}_backward", dx.itemsize),
            **{"dx": result, "dy": rows_dy, "y": y, "rows": y.size // cols, "cols": cols},
        )
        dx[...] = np.moveaxis(result, -1, axis)
    return dx


# ---- loss ------------------------------------------------------------------------------------------------


def softmax_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, *, label_smoothing: float = 0.0
) -> tuple[float, Array]:
    """Compute the mean cross-entropy of softmax(logits) and its gradient: (mean_loss, dlogits).

    logits is (N, K); labels are class numbers (N,) or probabilities (N, K). Smoothing turns a target
    q into q (1 - s) + s / K. loss = S log(sum(exp(x))) - sum(q x), S = sum(q);
    dlogits = (S softmax(x) - q) / N.

    Raises ValueError for an empty batch, shapes that do not fit, or class numbers out of range.
    """
    name = "softmax_cross_entropy"
    logits, labels = look(name, "logits", logits), look(name, "labels", labels)
    check_rank(name, "logits", logits, 2, "(N, K)")
    n, classes = logits.shape
    if n == 0 or classes == 0:
        raise ValueError(
            f"{name}: a mean needs at least one sample and one class, got logits of shape"
            f" {logits.shape}"
        )
    smoothing = _check.number(name, "label_smoothing", label_smoothing)
    if not 0 <= smoothing <= 1:
        raise ValueError(f"{name}: label_smoothing must lie in [0, 1], got {label_smoothing!r}")
    if labels.shape == (n,):
        if labels.dtype.kind not in "iu":
            raise TypeError(
                f"{name}: labels of shape (N,) must be class numbers, got dtype {labels.dtype};"
                " probabilities have shape (N, K)"
            )
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(
                f"{name}: labels must lie in [0, {classes}), got values from {labels.min()} to"
                f" {labels.max()}"
            )
        dtype = result_type(logits)
        labels = dense_array(labels, np.int64)
        kind = 0
    else:
        if labels.shape != logits.shape:
            raise ValueError(
                f"{name}: labels must be class numbers (N,) or probabilities (N, K), got labels of"
                f" shape {labels.shape} for logits of shape {logits.shape}"
            )
        dtype = result_type(logits, labels)
        labels = dense_array(labels, dtype)
        kind = 1
    logits = dense_array(logits, dtype)
    dlogits, mean = np.empty(logits.shape, dtype), np.empty(1, np.float64)
    call(
        *("cross_entropy", dlogits.itemsize),
        **{"mean_loss": mean, "dx": dlogits, "x": logits, "labels": labels, "n": n},
        **{"classes": classes, "label_kind": kind, "from_logits": 1, "label_smoothing": smoothing},
    )
    return float(mean[0]), dlogits
