"""Convolution and transposed convolution on arrays, with their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from convkit import _check
from convkit._arguments import named_arguments
from convkit._arrays import (
    Array,
    check_rank,
    check_shape,
    dense_array,
    look,
    make_gradients,
    make_output,
    result_type,
)
from convkit._pack import call
from convkit.ops.conv2d import algorithm_number

Pair = int | Sequence[int]

_TRANSPOSED = "(KH, KW, K/groups, C)"  # the filters of a transposed convolution


def _images_and_filters(
    name: str, x: ArrayLike, w: ArrayLike, axes: str = "(KH, KW, C/groups, K)"
) -> tuple[Array, Array]:
    x, w = look(name, "x", x), look(name, "w", w)
    check_rank(name, "x", x, 4, "(N, H, W, C)")
    check_rank(name, "w", w, 4, axes)
    return x, w


def _gradients(
    name: str, dy: Array, x: Array, w: Array, y_shape: tuple[int, ...], needs: Sequence[str]
) -> tuple[list[Array], tuple[Array | None, ...]]:
    """Check dy; return dy, x and w as kernels take them, and dx, dw and db to be filled."""
    check_rank(name, "dy", dy, 4, "(N, OH, OW, K)")
    check_shape(name, "dy", dy, y_shape)
    dtype = result_type(dy, x, w)
    shapes = x.shape, w.shape, y_shape[-1:]
    gradients = make_gradients(name, needs, dtype, *shapes, empty=dy.size == 0)
    return [dense_array(a, dtype) for a in (dy, x, w)], gradients


@named_arguments
def conv2d(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    *,
    strides: Pair = 1,
    padding: Any = "valid",
    dilation: Pair = 1,
    groups: int = 1,
    activation: str | None = None,
    out: Array | None = None,
) -> Array:
    """Convolve images with filters (cross-correlation, as in every deep-learning library).

    y[n,p,q,k] = f(b[k] + sum_ijc x[n, p sh + i dh - top, q sw + j dw - left, c] w[i,j,c,k]), f the
    activation: None or the name of an elementwise one.
    x is (N, H, W, C), w (KH, KW, C/groups, K), b (K,); the result is (N, OH, OW, K) with
    OH = (H + top + bottom - (KH - 1) dh - 1) // sh + 1. padding is "valid", "same" (TensorFlow's
    rule: the odd row or column goes to the end), an int, a pair or ((top, bottom), (left, right)).

    Raises ValueError for shapes that do not fit, TypeError for dtypes that are not real numbers.
    """
    name = "conv2d"
    x, w = _images_and_filters(name, x, w)
    b = None if b is None else look(name, "b", b)
    sizes = _check.conv2d_geometry(name, x.shape, w.shape, strides, padding, dilation, groups)
    kind, alpha = _check.activation(name, activation, {})
    if b is not None:
        check_shape(name, "b", b, (sizes["k"],))
    dtype = result_type(x, w, b)
    y = make_output(name, out, (sizes["n"], sizes["oh"], sizes["ow"], sizes["k"]), dtype, x, w, b)
    if y.size:
        sizes |= {"activation": kind, "algorithm": algorithm_number()}
        x, w = dense_array(x, dtype), dense_array(w, dtype)
        b = None if b is None else dense_array(b, dtype)
        call("conv2d_forward", y.itemsize, y=y, x=x, w=w, b=b, alpha=alpha, **sizes)
    return y


@named_arguments
def conv2d_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    *,
    strides: Pair = 1,
    padding: Any = "valid",
    dilation: Pair = 1,
    groups: int = 1,
    needs: Sequence[str] = ("x", "w", "b"),
) -> tuple[Array | None, Array | None, Array | None]:
    """Compute the gradients (dx, dw, db) of conv2d without activation.

    dy is (N, OH, OW, K); shapes and arguments as in conv2d. What `needs` leaves out is None. An
    empty batch gives an empty dx and zero dw, db.

    Raises ValueError for shapes that do not fit, TypeError for dtypes that are not real numbers.
    """
    name = "conv2d_backward"
    dy, (x, w) = look(name, "dy", dy), _images_and_filters(name, x, w)
    sizes = _check.conv2d_geometry(name, x.shape, w.shape, strides, padding, dilation, groups)
    y_shape = sizes["n"], sizes["oh"], sizes["ow"], sizes["k"]
    (dy, x, w), (dx, dw, db) = _gradients(name, dy, x, w, y_shape, needs)
    if dy.size == 0:
        return dx, dw, db
    sizes["algorithm"] = algorithm_number()
    if dx is not None:
        call("conv2d_backward_data", dy.itemsize, dx=dx, dy=dy, w=w, **sizes)
    if dw is not None or db is not None:
        call("conv2d_backward_weights", dy.itemsize, dw=dw, db=db, x=x, dy=dy, **sizes)
    return dx, dw, db


@named_arguments
def conv2d_transpose(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    *,
    strides: Pair = 1,
    padding: Any = "valid",
    dilation: Pair = 1,
    groups: int = 1,
    output_padding: Pair | None = None,
    out: Array | None = None,
) -> Array:
    """Spread each pixel of x over the output: the transpose of conv2d as a linear map, plus b.

    x is (N, H, W, C), w (KH, KW, K/groups, C) as in Keras, b (K,); the result is (N, OH, OW, K)
    with OH = (H - 1) sh + max((KH - 1) dh + 1, sh) for "valid" and H sh for "same".

    Raises ValueError for shapes that do not fit, TypeError for dtypes that are not real numbers.
    """
    name = "conv2d_transpose"
    x, w = _images_and_filters(name, x, w, _TRANSPOSED)
    b = None if b is None else look(name, "b", b)
    sizes = _check.conv2d_transpose_geometry(
        name, x.shape, w.shape, strides, padding, dilation, groups, output_padding
    )
    if b is not None:
        check_shape(name, "b", b, (sizes["c"],))
    dtype = result_type(x, w, b)
    y = make_output(name, out, (sizes["n"], sizes["ih"], sizes["iw"], sizes["c"]), dtype, x, w, b)
    if y.size:
        x, w = dense_array(x, dtype), dense_array(w, dtype)
        sizes["algorithm"] = algorithm_number()
        call("conv2d_backward_data", y.itemsize, dx=y, dy=x, w=w, **sizes)
        if b is not None:
            y += b.astype(dtype, copy=False)
    return y


@named_arguments
def conv2d_transpose_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    *,
    strides: Pair = 1,
    padding: Any = "valid",
    dilation: Pair = 1,
    groups: int = 1,
    output_padding: Pair | None = None,
    needs: Sequence[str] = ("x", "w", "b"),
) -> tuple[Array | None, Array | None, Array | None]:
    """Compute the gradients (dx, dw, db) of conv2d_transpose.

    dy is (N, OH, OW, K); shapes and arguments as in conv2d_transpose. What `needs` leaves out is
    None.

    Raises ValueError for shapes that do not fit, TypeError for dtypes that are not real numbers.
    """
    name = "conv2d_transpose_backward"
    dy, (x, w) = look(name, "dy", dy), _images_and_filters(name, x, w, _TRANSPOSED)
    sizes = _check.conv2d_transpose_geometry(
        name, x.shape, w.shape, strides, padding, dilation, groups, output_padding
    )
    y_shape = sizes["n"], sizes["ih"], sizes["iw"], sizes["c"]
    (dy, x, w), (dx, dw, db) = _gradients(name, dy, x, w, y_shape, needs)
    if dy.size == 0:
        return dx, dw, db
    sizes["algorithm"] = algorithm_number()
    if dx is not None:
        call("conv2d_forward", dy.itemsize, y=dx, x=dy, w=w, **sizes)
    if dw is not None:
        call("conv2d_backward_weights", dy.itemsize, dw=dw, x=dy, dy=x, **sizes)
    if db is not None:
        # The column sums of dy are a bias gradient: of a dense layer with dy's pixels as rows.
        pixels = dy.size // sizes["c"]
        call("dense_backward_weights", dy.itemsize, db=db, x=dy, dy=dy, m=pixels, c=1, k=sizes["c"])
    return dx, dw, db
