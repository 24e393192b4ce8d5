"""Tasks in PyTorch: "torch" is NCHW, the layout of the other two is channels last."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from convkit.bench import nets
from convkit.bench.tasks import (
    EPSILON,
    LEARNING_RATE,
    MOMENTUM,
    Array,
    ConvData,
    NotOffered,
    OpData,
    Prepared,
    repeat,
)

aten: Any = torch.ops.aten


def set_threads(threads: int) -> None:
    """Use this many threads, and flush subnormals as convkit does."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def layout(library: str) -> Any:
    """Return the memory format of a library's images."""
    return torch.contiguous_format if library == "torch" else torch.channels_last


def to_torch(array: Array, library: str) -> Any:
    """Return an NHWC array as an (N, C, H, W) tensor in the layout of `library`.

    Arrays of other ranks keep their axes. Memory is shared where the layouts agree.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if array.ndim != 4:
        return tensor
    return tensor.permute(0, 3, 1, 2).contiguous(memory_format=layout(library))


def from_torch(tensor: Any) -> Array:
    """Return an (N, C, H, W) tensor as an NHWC array, other ranks unchanged."""
    array = tensor.detach().numpy()
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if array.ndim == 4 else array


# ---- single operations ---------------------------------------------------------------------------


def conv(library: str, data: ConvData, direction: str) -> Prepared:
    """A pass of a convolution; "dw" is without the gradient of the bias."""
    if library == "torch_compile":
        raise NotOffered("torch.compile calls the same convolutions")
    s = data.shape
    x, dy, b = (to_torch(array, library) for array in (data.x, data.dy, data.b))
    w = to_torch(data.w.transpose(3, 0, 1, 2), library)
    sides = [s.stride] * 2, [s.pad] * 2, [1, 1], False, [0, 0], s.groups
    mask = [direction == "dx", direction == "dw", False]

    def forward() -> Any:
        return nn.functional.conv2d(x, w, b, s.stride, s.pad, 1, s.groups)

    def backward() -> Any:
        return aten.convolution_backward(dy, x, w, None, *sides, mask)[mask.index(True)]

    call = forward if direction == "fwd" else backward

    def result() -> Array:
        array = call().numpy()
        return array.transpose(2, 3, 1, 0) if direction == "dw" else array.transpose(0, 2, 3, 1)

    return Prepared(repeat(call), result=result)


def op(library: str, data: OpData, direction: str) -> Prepared:
    """An operation by the calls that autograd makes, without its bookkeeping."""
    if library == "torch_compile":
        raise NotOffered("single operations are not compiled")
    if data.name in ("sgd", "adam"):
        return _optimizer(data)
    call = _OPS[data.name](library, data, direction == "both")

    def result() -> Array:
        return from_torch(call())

    return Prepared(repeat(call), result=result)


def _max_pool(library: str, data: OpData, both: bool) -> Any:
    x, dy = to_torch(data.x, library), to_torch(data.dy, library)

    def call() -> Any:
        y, places = aten.max_pool2d_with_indices(x, [2, 2])
        if not both:
            return y
        window = [2, 2], [2, 2], [0, 0], [1, 1]
        return aten.max_pool2d_with_indices_backward(dy, x, *window, False, places)

    return call


def _batch_norm_relu(library: str, data: OpData, both: bool) -> Any:
    x, dy, gamma, beta = (to_torch(a, library) for a in (data.x, data.dy, data.gamma, data.beta))

    def call() -> Any:
        z, mean, inverse = aten.native_batch_norm(x, gamma, beta, None, None, True, 0.1, EPSILON)
        y = torch.relu_(z)
        if not both:
            return y
        dz = aten.threshold_backward(dy, y, 0)
        sides = None, None, mean, inverse, True, EPSILON, [True] * 3
        return aten.native_batch_norm_backward(dz, x, gamma, *sides)[0]

    return call


def _add_relu(library: str, data: OpData, both: bool) -> Any:
    a, b, dy = (to_torch(array, library) for array in (data.x, data.other, data.dy))

    def call() -> Any:
        y = torch.relu_(a + b)
        return aten.threshold_backward(dy, y, 0) if both else y

    return call


def _dense(library: str, data: OpData, both: bool) -> Any:
    if library != "torch":
        raise NotOffered("matrices have one layout")
    x, dy, b = (to_torch(array, library) for array in (data.x, data.dy, data.b))
    w = to_torch(data.w.T, library)  # (units, inputs), as nn.Linear keeps it

    def call() -> Any:
        y = nn.functional.linear(x, w, b)
        if not both:
            return y
        _ = dy.t() @ x, dy.sum(0)
        return dy @ w

    return call


_OPS = {
    "max_pool": _max_pool,
    "batch_norm_relu": _batch_norm_relu,
    "add_relu": _add_relu,
    "dense": _dense,
}


def _optimizer(data: OpData) -> Prepared:
    parameter = nn.Parameter(torch.from_numpy(data.x.copy()))
    parameter.grad = torch.from_numpy(data.dy)
    return Prepared(repeat(_make_optimizer(data.name, [parameter]).step))


def _make_optimizer(name: str, parameters: Any) -> Any:
    if name == "adam":
        return torch.optim.Adam(parameters, LEARNING_RATE, fused=True)
    return torch.optim.SGD(parameters, LEARNING_RATE, momentum=MOMENTUM, fused=True)


# ---- nets ----------------------------------------------------------------------------------------


def build(net: nets.Net) -> Any:
    """Build a module that ends in logits, as PyTorch users write it."""
    return _chain(net.layers, net.input_shape)


class _Residual(nn.Module):
    def __init__(self, body: Any, shortcut: Any) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Any) -> Any:
        return torch.relu_(self.body(x) + self.shortcut(x))


def _chain(layers: nets.Layers, shape: tuple[int, ...]) -> Any:
    return nn.Sequential(*(m for place in nets.walk(layers, shape) for m in _modules(*place)))


def _modules(layer: Any, before: tuple[int, ...], after: tuple[int, ...]) -> list[Any]:
    match layer:
        case nets.Conv():
            # At stride 2 Keras pads the bottom and the right only: same size, same work.
            pad = (layer.kernel - 1) // 2 if layer.padding == "same" else 0
            made: Any = nn.Conv2d(
                before[-1],
                layer.filters,
                layer.kernel,
                stride=layer.stride,
                padding=pad,
                bias=layer.bias,
            )
            return [made.requires_grad_(not layer.frozen)]
        case nets.BatchNorm():
            made = nn.BatchNorm2d(before[-1])
            made.weight.requires_grad_(layer.scale)
            return [made]
        case nets.Act():
            return [
                {"relu": nn.ReLU(inplace=True), "silu": nn.SiLU(), "gelu": nn.GELU()}[layer.name]
            ]
        case nets.MaxPool():
            return [nn.MaxPool2d(layer.size)]
        case nets.GlobalAvgPool():
            return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        case nets.Flatten():
            return [nn.Flatten()]
        case nets.Dropout():
            return [nn.Dropout(layer.rate)]
        case nets.Dense():
            return [nn.Linear(prod(before), layer.units, bias=layer.bias)]
        case nets.Residual():
            return [_Residual(_chain(layer.body, before), _chain(layer.shortcut, before))]
    raise TypeError(f"build: no module for {layer!r}")


def count_numbers(model: Any) -> int:
    """Count weights and statistics; batch norm without a scale has one all the same, of ones."""
    ones = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad
    )
    numbers = (v.numel() for v in model.state_dict().values() if v.is_floating_point())
    return sum(numbers) - ones


def _compiled(model: Any, library: str) -> Any:
    """Compile a model for its one batch size, where the library is the compiler."""
    if library != "torch_compile":
        return model
    torch.compiler.reset()  # or another batch size than the last net's makes sizes variable
    return torch.compile(model, dynamic=False)


def train(library: str, net: nets.Net, x: Array, y: Array, batch: int) -> Prepared:
    """Training steps over batches that were shuffled and laid out beforehand."""
    model = build(net).to(memory_format=layout(library)).train()
    optimizer = _make_optimizer("sgd", [p for p in model.parameters() if p.requires_grad])
    forward = _compiled(model, library)
    images, labels = to_torch(x, library).split(batch), to_torch(y, library).split(batch)

    def work(n: int) -> None:
        for step in range(n):
            k = step % len(images)
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(forward(images[k]), labels[k]).backward()
            optimizer.step()

    return Prepared(work, {"numbers": count_numbers(model)})


def predict(library: str, net: nets.Net, x: Array, y: Array, batch: int) -> Prepared:
    """Probabilities of one batch, in inference mode."""
    model = build(net).to(memory_format=layout(library)).eval()
    forward = _compiled(model, library)
    images = to_torch(x, library)

    def call() -> Any:
        with torch.inference_mode():
            return torch.softmax(forward(images), -1)

    return Prepared(repeat(call), {"numbers": count_numbers(model)}, lambda: from_torch(call()))
