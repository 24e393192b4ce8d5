"""Dense layers on arrays, with their gradients."""

from __future__ import annotations

from collections.abc import Sequence

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


@named_arguments
def dense(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    *,
    activation: str | None = None,
    out: Array | None = None,
) -> Array:
    """Compute activation(x w + b).

    x is (..., C), w (C, K), b (K,); the result is (..., K).

    Raises ValueError for shapes that do not fit, TypeError for dtypes that are not real numbers.
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
        sizes["activation"] = kind
        call("dense_forward", y.itemsize, y=y, x=x, w=w, b=b, alpha=alpha, **sizes)
    return y


@named_arguments
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
    dtype = result_type(dy, x, w)
    dx, dw, db = make_gradients(
        *(name, needs, dtype, x.shape, w.shape, (sizes["k"],)), empty=dy.size == 0
    )
    if dy.size == 0:
        return dx, dw, db
    dy, x, w = dense_array(dy, dtype), dense_array(x, dtype), dense_array(w, dtype)
    if dx is not None:
        call("dense_backward_data", dy.itemsize, dx=dx, dy=dy, w=w, **sizes)
    if dw is not None or db is not None:
        call("dense_backward_weights", dy.itemsize, dw=dw, db=db, x=x, dy=dy, **sizes)
    return dx, dw, db
