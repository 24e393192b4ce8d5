"""Softmax on arrays, its gradient, and cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit import _check
from convkit._arguments import named_arguments
from convkit._arrays import (
    Array,
    check_rank,
    dense_array,
    look,
    make_output,
    new_array,
    result_type,
)
from convkit._pack import call


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
        result = y if last else new_array(rows.shape, dtype)
        cols = rows.shape[-1]
        call(f"{function}_forward", y.itemsize, y=result, x=rows, rows=y.size // cols, cols=cols)
        if not last:
            y[...] = np.moveaxis(result, -1, axis)
    return y


@named_arguments
def softmax(x: ArrayLike, axis: int = -1, *, out: Array | None = None) -> Array:
    """Compute exp(x) / sum(exp(x)) along an axis, without overflow."""
    return _softmax("softmax", x, axis, out)


@named_arguments
def log_softmax(x: ArrayLike, axis: int = -1, *, out: Array | None = None) -> Array:
    """Compute x - log(sum(exp(x))) along an axis, without overflow."""
    return _softmax("log_softmax", x, axis, out)


def softmax_backward(
    function: str, dy: Array, x: Array, name: str, out: Array | None, parameters: dict[str, Any]
) -> Array:
    """Compute dx of softmax or log_softmax (`name`) for activation_backward (`function`)."""
    if parameters.keys() - {"axis"}:
        raise TypeError(f"{function}: {name} takes axis, got {', '.join(parameters)}")
    axis = _softmax_axis(function, x, parameters.get("axis", -1))
    dtype = result_type(dy, x)
    dx = make_output(function, out, x.shape, dtype, dy, x)
    if dx.size:
        y = dense_array(np.moveaxis(_softmax(name, x.astype(dtype), axis, None), axis, -1), dtype)
        rows_dy = dense_array(np.moveaxis(dy, axis, -1), dtype)
        result, cols = new_array(y.shape, dtype), y.shape[-1]
        sizes = {"rows": y.size // cols, "cols": cols}
        call(f"{name}_backward", dx.itemsize, dx=result, dy=rows_dy, y=y, **sizes)
        dx[...] = np.moveaxis(result, -1, axis)
    return dx


@named_arguments
def softmax_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, *, label_smoothing: float = 0.0
) -> tuple[float, Array]:
    """Compute the mean cross-entropy of softmax(logits) and its gradient: (mean_loss, dlogits).

    logits is (N, K); labels are class numbers (N,) or probabilities (N, K). Smoothing turns a
    target q into q (1 - s) + s / K. loss = S log(sum(exp(x))) - sum(q x), S = sum(q);
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
        dtype = result_type(logits)
        logits = dense_array(logits, dtype)  # what memory cannot hold fails before labels are read
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(
                f"{name}: labels must lie in [0, {classes}), got values from {labels.min()} to"
                f" {labels.max()}"
            )
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
    dlogits, mean = new_array(logits.shape, dtype), np.empty(1, np.float64)
    arrays = {"mean_loss": mean, "dx": dlogits, "x": logits, "labels": labels}
    sizes = {"n": n, "positions": 1, "classes": classes, "label_kind": kind, "from_logits": 1}
    call("cross_entropy", dlogits.itemsize, label_smoothing=smoothing, **arrays, **sizes)
    return float(mean[0]), dlogits
