"""One operation in each library, as a call without arguments on data made once.

The names of the libraries are "convkit", "torch" (NCHW tensors), "torch_channels_last" and "numpy"
(an im2col, as a class would write it). Data are the same numbers in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from shapes import ConvShape

LIBRARIES = ("convkit", "torch", "torch_channels_last", "numpy")
TORCH_LIBRARIES = ("torch", "torch_channels_last")

Call = Callable[[], Any]


def to_torch(array: np.ndarray, library: str) -> Any:
    """Return an NHWC array as a (N, C, H, W) tensor in the layout of `library`.

    Arrays of other ranks keep their axes. Memory is shared where the layouts agree.
    """
    import torch

    tensor = torch.from_numpy(array)
    if array.ndim != 4:
        return tensor
    layout = torch.channels_last if library == "torch_channels_last" else torch.contiguous_format
    return tensor.permute(0, 3, 1, 2).contiguous(memory_format=layout)


def from_torch(tensor: Any) -> np.ndarray:
    """Return a (N, C, H, W) tensor as an NHWC array, other ranks unchanged."""
    array = tensor.detach().numpy()
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if array.ndim == 4 else array


def weights_to_torch(w: np.ndarray, library: str) -> Any:
    """Return HWIO weights as an OIHW tensor in the layout of `library`."""
    return to_torch(w.transpose(3, 0, 1, 2), library)


def weights_from_torch(tensor: Any) -> np.ndarray:
    """Return an OIHW tensor as HWIO weights."""
    return tensor.detach().numpy().transpose(2, 3, 1, 0)


# ---- convolution -------------------------------------------------------------------------------


class ConvData:
    """Arrays of a convolution: input, weights, bias and the gradient of the output."""

    def __init__(self, shape: ConvShape, batch: int) -> None:
        rng = np.random.default_rng(0)
        s = shape
        fan_in = s.kernel**2 * s.c // s.groups
        self.shape = shape
        self.x = rng.standard_normal((batch, s.h, s.w, s.c), np.float32)
        self.w = rng.standard_normal((s.kernel, s.kernel, s.c // s.groups, s.k), np.float32)
        self.w *= np.float32((2 / fan_in) ** 0.5)
        self.b = rng.standard_normal(s.k, np.float32)
        self.dy = rng.standard_normal((batch, s.oh, s.ow, s.k), np.float32)


def conv_call(data: ConvData, library: str, direction: str) -> Call:
    """Return a call of the pass "fwd" (with bias), "dx" or "dw" (without the bias's gradient)."""
    if library == "convkit":
        return _convkit_conv(data, direction)
    if library == "numpy":
        return _numpy_conv(data, direction)
    x, dy = to_torch(data.x, library), to_torch(data.dy, library)
    w, b = weights_to_torch(data.w, library), to_torch(data.b, library)
    return _torch_conv(data.shape, direction, x, w, b, dy)


def _convkit_conv(data: ConvData, direction: str) -> Call:
    from convkit import functional as F

    x, w, b, dy, s = data.x, data.w, data.b, data.dy, data.shape
    options: dict[str, Any] = {"strides": s.stride, "padding": s.pad, "groups": s.groups}
    if direction == "fwd":
        return lambda: F.conv2d(x, w, b, **options)
    if direction == "dx":
        return lambda: F.conv2d_backward(dy, x, w, needs=("x",), **options)[0]
    return lambda: F.conv2d_backward(dy, x, w, needs=("w",), **options)[1]


def _torch_conv(s: ConvShape, direction: str, x: Any, w: Any, b: Any, dy: Any) -> Call:
    import torch

    if direction == "fwd":
        return lambda: torch.nn.functional.conv2d(x, w, b, s.stride, s.pad, 1, s.groups)
    sides = [s.stride] * 2, [s.pad] * 2, [1, 1], False, [0, 0], s.groups
    mask = [direction == "dx", direction == "dw", False]
    backward = torch.ops.aten.convolution_backward
    wanted = mask.index(True)
    return lambda: backward(dy, x, w, None, *sides, mask)[wanted]


def _numpy_conv(data: ConvData, direction: str) -> Call:
    x, w, b, dy, s = data.x, data.w, data.b, data.dy, data.shape
    n, rows = len(x), s.kernel**2 * s.c
    sides = ((0, 0), (s.pad, s.pad), (s.pad, s.pad), (0, 0))

    def windows(padded: np.ndarray) -> np.ndarray:
        view = sliding_window_view(padded, (s.kernel, s.kernel), (1, 2))
        return view[:, :: s.stride, :: s.stride].transpose(0, 1, 2, 4, 5, 3)

    def columns() -> np.ndarray:
        return windows(np.pad(x, sides)).reshape(-1, rows)

    def fwd() -> np.ndarray:
        return (columns() @ w.reshape(rows, s.k) + b).reshape(dy.shape)

    def dx() -> np.ndarray:
        patches = (dy.reshape(-1, s.k) @ w.reshape(rows, s.k).T).reshape(
            n, s.oh, s.ow, s.kernel, s.kernel, s.c
        )
        padded = np.zeros((n, s.h + 2 * s.pad, s.w + 2 * s.pad, s.c), x.dtype)
        for i in range(s.kernel):
            for j in range(s.kernel):
                place = padded[:, i : i + s.stride * s.oh : s.stride]
                place[:, :, j : j + s.stride * s.ow : s.stride] += patches[:, :, :, i, j]
        return padded[:, s.pad : s.pad + s.h, s.pad : s.pad + s.w]

    def dw() -> np.ndarray:
        return (columns().T @ dy.reshape(-1, s.k)).reshape(w.shape)

    return {"fwd": fwd, "dx": dx, "dw": dw}[direction]


def conv_exact(data: ConvData, direction: str) -> np.ndarray:
    """Compute a pass in float64 with PyTorch; return it in convkit's layout."""
    x, dy, w, b = (
        to_torch(array.astype(np.float64), "torch")
        for array in (data.x, data.dy, data.w.transpose(3, 0, 1, 2), data.b)
    )
    return conv_result(_torch_conv(data.shape, direction, x, w, b, dy)(), direction)


def conv_result(result: Any, direction: str) -> np.ndarray:
    """Return the result of a conv call of any library in convkit's layout."""
    if isinstance(result, np.ndarray):
        return result
    return weights_from_torch(result) if direction == "dw" else from_torch(result)


# ---- pooling, batch norm, dense ----------------------------------------------------------------


def max_pool_call(x: np.ndarray, library: str, direction: str) -> Call:
    """Return a call of 2x2 max-pooling: "fwd" as in training (keeps the places), or "bwd"."""
    if library == "convkit":
        from convkit import functional as F

        y, argmax = F.max_pool2d(x, 2, return_argmax=True)
        if direction == "fwd":
            return lambda: F.max_pool2d(x, 2, return_argmax=True)
        return lambda: F.max_pool2d_backward(y, argmax, x.shape, 2)
    import torch

    tx = to_torch(x, library)
    pool = torch.ops.aten.max_pool2d_with_indices
    ty, indices = pool(tx, [2, 2])
    if direction == "fwd":
        return lambda: pool(tx, [2, 2])
    backward = torch.ops.aten.max_pool2d_with_indices_backward
    return lambda: backward(ty, tx, [2, 2], [2, 2], [0, 0], [1, 1], False, indices)


def batch_norm_call(x: np.ndarray, library: str, direction: str) -> Call:
    """Return a call of batch normalization in training, "fwd" or "bwd"."""
    channels = x.shape[-1]
    gamma, beta = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    if library == "convkit":
        from convkit import functional as F

        _, mean, variance = F.batch_norm(x, gamma, beta)
        if direction == "fwd":
            return lambda: F.batch_norm(x, gamma, beta)
        return lambda: F.batch_norm_backward(x, x, mean, variance, gamma)
    import torch

    tx, tgamma, tbeta = (to_torch(array, library) for array in (x, gamma, beta))
    norm = torch.ops.aten.native_batch_norm
    if direction == "fwd":
        return lambda: norm(tx, tgamma, tbeta, None, None, True, 0.1, 1e-3)
    _, mean, inverse = norm(tx, tgamma, tbeta, None, None, True, 0.1, 1e-3)
    backward = torch.ops.aten.native_batch_norm_backward
    return lambda: backward(
        tx, tx, tgamma, None, None, mean, inverse, True, 1e-3, [True, True, True]
    )


def dense_call(x: np.ndarray, units: int, library: str, direction: str) -> Call:
    """Return a call of a dense layer: "fwd", or "bwd" with all three gradients."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((x.shape[1], units), np.float32)
    b = rng.standard_normal(units, np.float32)
    dy = rng.standard_normal((len(x), units), np.float32)
    if library == "convkit":
        from convkit import functional as F

        if direction == "fwd":
            return lambda: F.dense(x, w, b)
        return lambda: F.dense_backward(dy, x, w)
    if library == "numpy":
        if direction == "fwd":
            return lambda: x @ w + b
        return lambda: (dy @ w.T, x.T @ dy, dy.sum(0))
    import torch

    tx, tdy, tb = (to_torch(array, library) for array in (x, dy, b))
    tw = to_torch(np.ascontiguousarray(w.T), library)  # (units, inputs), as nn.Linear keeps it
    if direction == "fwd":
        return lambda: torch.nn.functional.linear(tx, tw, tb)
    return lambda: (tdy @ tw, tdy.t() @ tx, tdy.sum(0))
