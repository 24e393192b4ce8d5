"""Tasks in NumPy: an im2col, as a class would write it."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convkit.bench.tasks import Array, ConvData, NotOffered, OpData, Prepared, repeat


def set_threads(threads: int) -> None:
    """Do nothing: BLAS reads its number from the environment when NumPy is imported."""


def conv(library: str, data: ConvData, direction: str) -> Prepared:
    """A pass of a convolution: windows as rows of a matrix."""
    x, w, b, dy, s = data.x, data.w, data.b, data.dy, data.shape
    if s.groups > 1:
        raise NotOffered("groups are not written out in NumPy")
    n, rows = len(x), s.kernel**2 * s.c
    sides = ((0, 0), (s.pad, s.pad), (s.pad, s.pad), (0, 0))

    def columns() -> Array:
        windows = sliding_window_view(np.pad(x, sides), (s.kernel, s.kernel), (1, 2))
        strided = windows[:, :: s.stride, :: s.stride].transpose(0, 1, 2, 4, 5, 3)
        return strided.reshape(-1, rows)

    def fwd() -> Array:
        return (columns() @ w.reshape(rows, s.k) + b).reshape(dy.shape)

    def dx() -> Array:
        patches = (dy.reshape(-1, s.k) @ w.reshape(rows, s.k).T).reshape(
            n, s.oh, s.ow, s.kernel, s.kernel, s.c
        )
        padded = np.zeros((n, s.h + 2 * s.pad, s.w + 2 * s.pad, s.c), x.dtype)
        for i in range(s.kernel):
            for j in range(s.kernel):
                place = padded[:, i : i + s.stride * s.oh : s.stride]
                place[:, :, j : j + s.stride * s.ow : s.stride] += patches[:, :, :, i, j]
        return padded[:, s.pad : s.pad + s.h, s.pad : s.pad + s.w]

    def dw() -> Array:
        return (columns().T @ dy.reshape(-1, s.k)).reshape(w.shape)

    call = {"fwd": fwd, "dx": dx, "dw": dw}[direction]
    return Prepared(repeat(call), result=call)


def op(library: str, data: OpData, direction: str) -> Prepared:
    """A dense layer; the rest would be a line of NumPy that says nothing about libraries."""
    if data.name != "dense":
        raise NotOffered(f"{data.name} is not compared with NumPy")
    x, w, b, dy = data.x, data.w, data.b, data.dy

    def fwd() -> Array:
        return x @ w + b

    def both() -> Array:
        _ = fwd(), x.T @ dy, dy.sum(0)
        return dy @ w.T

    call = fwd if direction == "fwd" else both
    return Prepared(repeat(call), result=call)
