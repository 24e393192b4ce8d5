"""Take in and give out arrays: dtypes, ranks, shapes, `out=`. Used by the functional API."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convkit import _check, _core

Array = NDArray[Any]


def look(function: str, name: str, value: ArrayLike) -> Array:
    """Return value as an array of a numeric dtype, without converting an array that is one."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{function}: {name} must be a regular array; {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{function}: {name} must be an array of real numbers, got {name} of dtype"
            f" {array.dtype}"
        )
    return array


def result_type(*arrays: Array | None) -> DTypeLike:
    """Return float64 if any array is, else float32."""
    for array in arrays:
        if array is not None and array.dtype.kind == "f" and array.dtype.itemsize >= 8:
            return np.float64
    return np.float32


def dense_array(array: Array, dtype: DTypeLike) -> Array:
    """Return a C-contiguous, aligned array of native dtype: the same one where it is that."""
    flags = array.flags
    if array.dtype == dtype and flags.c_contiguous and flags.aligned:
        return array
    return np.require(array, dtype, ("C_CONTIGUOUS", "ALIGNED"))


def check_rank(function: str, name: str, array: Array, rank: int, axes: str) -> None:
    if array.ndim != rank:
        raise ValueError(
            f"{function}: {name} must have {rank} axes {axes}, got {name} of shape {array.shape};"
            f" reshape it, for one sample {name}[None]"
        )


def check_shape(function: str, name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != tuple(shape):
        raise ValueError(
            f"{function}: {name} must have shape {tuple(shape)}, got {name} of shape {array.shape}"
        )


# Smaller results are NumPy's: malloc has them at hand.
LARGE_BYTES = 32768


def new_array(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return a new array whose values are undefined; a large one begins a line of the cache.

    New memory costs far more than most of what is computed into it, as the kernel clears its pages
    one by one: large arrays use again what earlier results have left.
    """
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    if nbytes < LARGE_BYTES:
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, _core.result_memory(nbytes))


def make_gradients(
    function: str, needs: Sequence[str], dtype: DTypeLike, *shapes: tuple[int, ...], empty: bool
) -> tuple[Array | None, ...]:
    """Return new arrays for dx, dw and db of these shapes, None for what is not in `needs`.

    For an empty batch they are zeros: no kernel runs.
    """
    wanted = None if isinstance(needs, str) or not hasattr(needs, "__iter__") else list(needs)
    if wanted is None or any(name not in ("x", "w", "b") for name in wanted):
        raise ValueError(
            f"{function}: needs must be a collection of 'x', 'w' and 'b', got needs={needs!r}"
        )
    make = np.zeros if empty else new_array
    return tuple(
        make(shape, dtype) if name in wanted else None
        for name, shape in zip("xwb", shapes, strict=True)
    )


def make_output(
    function: str, out: Array | None, shape: Sequence[int], dtype: DTypeLike, *inputs: Array | None
) -> Array:
    """Return `out` after checking it, or a new array."""
    shape = tuple(shape)
    _check.product(function, "the output", shape)
    if out is None:
        return new_array(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{function}: out must be a NumPy array, got {type(out).__name__}")
    if out.shape != shape or out.dtype != np.dtype(dtype) or not out.dtype.isnative:
        raise ValueError(
            f"{function}: out must have shape {shape} and dtype {np.dtype(dtype)}, got out of shape"
            f" {out.shape} and dtype {out.dtype}"
        )
    if not (out.flags.c_contiguous and out.flags.writeable and out.flags.aligned):
        raise ValueError(f"{function}: out must be C-contiguous, aligned and writable")
    for array in inputs:
        if array is not None and np.may_share_memory(out, array):
            raise ValueError(f"{function}: out must not overlap an input; use a separate array")
    return out
