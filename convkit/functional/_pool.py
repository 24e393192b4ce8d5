"""Pooling on arrays, with its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit import _check
from convkit._arguments import named_arguments
from convkit._arrays import (
    Array,
    check_rank,
    check_shape,
    dense_array,
    look,
    make_output,
    new_array,
    result_type,
)
from convkit._pack import call
from convkit.ops.pool import argmax_dtype

Pair = int | Sequence[int]


def _pooled_shape(sizes: dict[str, int]) -> tuple[int, int, int, int]:
    return sizes["n"], sizes["oh"], sizes["ow"], sizes["c"]


def _images(
    name: str, x: ArrayLike, pool_size: Any, strides: Any, padding: Any
) -> tuple[Array, dict[str, int]]:
    """Return x as an array, and the sizes of its pooling."""
    x = look(name, "x", x)
    check_rank(name, "x", x, 4, "(N, H, W, C)")
    return x, _check.pool2d_geometry(name, x.shape, pool_size, strides, padding)


@named_arguments
def max_pool2d(
    x: ArrayLike,
    pool_size: Pair = 2,
    *,
    strides: Pair | None = None,
    padding: Any = "valid",
    return_argmax: bool = False,
    out: Array | None = None,
) -> Any:
    """Take the maximum of each window, per channel.

    x is (N, H, W, C), the result (N, OH, OW, C); strides default to pool_size. The first maximum in
    row-major order wins, NaN wins over everything, the padding never wins. With return_argmax the
    result is (y, argmax): y's shape, the index within the window, uint8 (int32 above 256 cells),
    for max_pool2d_backward.

    Raises ValueError for shapes that do not fit or padding not smaller than the window.
    """
    name = "max_pool2d"
    x, sizes = _images(name, x, pool_size, strides, padding)
    if return_argmax and out is not None:
        raise ValueError(f"{name}: out must be None with return_argmax=True, got both")
    dtype = result_type(x)
    y = make_output(name, out, _pooled_shape(sizes), dtype, x)
    argmax = new_array(y.shape, argmax_dtype(sizes)) if return_argmax else None
    if y.size:
        x = dense_array(x, dtype)
        sizes["argmax_bytes"] = 0 if argmax is None else argmax.itemsize
        call("max_pool2d_forward", y.itemsize, y=y, x=x, argmax=argmax, **sizes)
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


@named_arguments
def max_pool2d_backward(
    dy: ArrayLike,
    argmax: ArrayLike,
    x_shape: Sequence[int],
    pool_size: Pair = 2,
    *,
    strides: Pair | None = None,
    padding: Any = "valid",
    out: Array | None = None,
) -> Array:
    """Give dy to the cell of x that won each window: the gradient of max_pool2d.

    dy and argmax are (N, OH, OW, C), argmax as max_pool2d returned it; the result has shape
    x_shape.

    Raises ValueError for shapes, an argmax dtype or an argmax index that do not fit.
    """
    name = "max_pool2d_backward"
    dy = look(name, "dy", dy)
    argmax = look(name, "argmax", argmax)
    shape = _image_shape(name, x_shape)
    sizes = _pooling_of(name, dy, shape, pool_size, strides, padding)
    check_shape(name, "argmax", argmax, _pooled_shape(sizes))
    expected = np.dtype(argmax_dtype(sizes))
    if argmax.dtype.newbyteorder("=") != expected:
        raise ValueError(
            f"{name}: argmax must have dtype {expected} for a window of"
            f" {sizes['kh']}x{sizes['kw']}, got dtype {argmax.dtype}; pass what max_pool2d returned"
        )
    cells = sizes["kh"] * sizes["kw"]
    signed = argmax.dtype.kind == "i"
    if argmax.size and (argmax.max() >= cells or (signed and argmax.min() < 0)):
        raise ValueError(
            f"{name}: argmax must lie in [0, {cells}), got values from {argmax.min()} to"
            f" {argmax.max()}; pass what max_pool2d returned"
        )
    dtype = result_type(dy)
    dx = make_output(name, out, shape, dtype, dy, argmax)
    if dx.size:
        dy, argmax = dense_array(dy, dtype), dense_array(argmax, expected)
        sizes["argmax_bytes"] = argmax.itemsize
        call("max_pool2d_backward", dx.itemsize, dx=dx, dy=dy, argmax=argmax, **sizes)
    return dx


@named_arguments
def avg_pool2d(
    x: ArrayLike,
    pool_size: Pair = 2,
    *,
    strides: Pair | None = None,
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
    x, sizes = _images(name, x, pool_size, strides, padding)
    dtype = result_type(x)
    y = make_output(name, out, _pooled_shape(sizes), dtype, x)
    if y.size:
        sizes["count_include_pad"] = bool(count_include_pad)
        call("avg_pool2d_forward", y.itemsize, y=y, x=dense_array(x, dtype), **sizes)
    return y


@named_arguments
def avg_pool2d_backward(
    dy: ArrayLike,
    x_shape: Sequence[int],
    pool_size: Pair = 2,
    *,
    strides: Pair | None = None,
    padding: Any = "valid",
    count_include_pad: bool = False,
    out: Array | None = None,
) -> Array:
    """Spread dy evenly over each window: the gradient of avg_pool2d.

    dy is (N, OH, OW, C); the result has shape x_shape.

    Raises ValueError for shapes that do not fit.
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
