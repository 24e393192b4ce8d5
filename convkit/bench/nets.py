"""The nets that are measured, described once for every library, channels last.

Builders are in `in_convkit`, `in_torch` and `functional` (for TensorFlow and JAX). All have the
same layers and the same count of numbers (weights and batch-norm statistics, `count_numbers`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Conv:
    """A convolution; a frozen one is not trained."""

    filters: int
    kernel: int
    padding: str = "same"
    stride: int = 1
    bias: bool = True
    frozen: bool = False


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalization, with or without a scale."""

    scale: bool = True


@dataclass(frozen=True)
class Act:
    """An activation: relu, silu or gelu."""

    name: str


@dataclass(frozen=True)
class MaxPool:
    """Max pooling of windows next to each other."""

    size: int = 2


@dataclass(frozen=True)
class GlobalAvgPool:
    """The mean of each channel."""


@dataclass(frozen=True)
class Flatten:
    """All numbers of a sample in a row."""


@dataclass(frozen=True)
class Dropout:
    """Dropout in training."""

    rate: float


@dataclass(frozen=True)
class Dense:
    """A dense layer."""

    units: int
    bias: bool = True


@dataclass(frozen=True)
class Residual:
    """relu(body(x) + shortcut(x)); an empty shortcut is x itself."""

    body: Layers
    shortcut: Layers = ()


Layers: TypeAlias = "tuple[Any, ...]"


@dataclass(frozen=True)
class Net:
    """A classifier: the last layer gives logits."""

    name: str
    input_shape: tuple[int, int, int]
    layers: Layers = field(repr=False)
    classes: int = 10


def _conv_bn(filters: int, kernel: int = 3, stride: int = 1) -> Layers:
    return Conv(filters, kernel, stride=stride, bias=False), BatchNorm()


def _basic_block(filters: int, stride: int, project: bool) -> Residual:
    body = (*_conv_bn(filters, 3, stride), Act("relu"), *_conv_bn(filters))
    return Residual(body, _conv_bn(filters, 1, stride) if project else ())


def _airbench_group(filters: int) -> Layers:
    conv, norm = Conv(filters, 3, bias=False), BatchNorm(scale=False)
    return conv, MaxPool(), norm, GELU, conv, norm, GELU


RELU, SILU, GELU = Act("relu"), Act("silu"), Act("gelu")

LENET5 = Net(
    "lenet5",
    (28, 28, 1),
    (
        *(Conv(6, 5), SILU, MaxPool()),
        *(Conv(16, 5, "valid"), SILU, MaxPool()),
        *(Flatten(), Dense(120), SILU, Dense(84), SILU, Dense(10)),
    ),
)

# Two first nets of a course: convolutions of three and six filters, and the same with pooling.
CLASS_CONV = Net(
    "class_conv",
    (28, 28, 1),
    (
        *(Conv(3, 5, "valid"), SILU, Conv(6, 5, "valid"), SILU),
        *(Flatten(), Dense(84), SILU, Dense(10)),
    ),
)
CLASS_POOL = Net(
    "class_pool",
    (28, 28, 1),
    (
        *(Conv(3, 5, "valid"), SILU, MaxPool()),
        *(Conv(6, 5, "valid"), SILU, MaxPool()),
        *(Flatten(), Dense(84), SILU, Dense(10)),
    ),
)

# The "Simple MNIST convnet" of keras.io.
MNIST_CONVNET = Net(
    "mnist_convnet",
    (28, 28, 1),
    (
        *(Conv(32, 3, "valid"), RELU, MaxPool()),
        *(Conv(64, 3, "valid"), RELU, MaxPool()),
        *(Flatten(), Dropout(0.5), Dense(10)),
    ),
)

# The "Convolutional Neural Network (CNN)" tutorial of TensorFlow.
CIFAR_CNN = Net(
    "cifar_cnn",
    (32, 32, 3),
    (
        *(Conv(32, 3, "valid"), RELU, MaxPool()),
        *(Conv(64, 3, "valid"), RELU, MaxPool()),
        *(Conv(64, 3, "valid"), RELU),
        *(Flatten(), Dense(64), RELU, Dense(10)),
    ),
)

# He et al. 2015, section 4.2 (n = 3), with projections where the shape changes (their option B).
RESNET20 = Net(
    "resnet20",
    (32, 32, 3),
    (
        *(*_conv_bn(16), RELU),
        *(
            _basic_block(filters, stride if block == 0 else 1, block == 0 and stride == 2)
            for filters, stride in ((16, 1), (32, 2), (64, 2))
            for block in range(3)
        ),
        *(GlobalAvgPool(), Dense(10)),
    ),
)

VGG_SMALL = Net(
    "vgg_small",
    (32, 32, 3),
    (
        *(*_conv_bn(64), RELU, *_conv_bn(64), RELU, MaxPool()),
        *(*_conv_bn(128), RELU, *_conv_bn(128), RELU, MaxPool()),
        *(*_conv_bn(256), RELU, *_conv_bn(256), RELU, MaxPool()),
        *(Flatten(), Dense(10)),
    ),
)

# The net of Jordan's "94% on CIFAR-10 in 3.29 seconds on a single GPU" (2024): its whitening layer
# is frozen after a few epochs, and batch norm has no scale.
AIRBENCH94 = Net(
    "airbench94",
    (32, 32, 3),
    (
        *(Conv(24, 2, "valid", frozen=True), GELU),
        *(*_airbench_group(64), *_airbench_group(256), *_airbench_group(256)),
        *(MaxPool(3), Flatten(), Dense(10, bias=False)),
    ),
)

NETS = {
    net.name: net
    for net in (
        *(LENET5, CLASS_CONV, CLASS_POOL, MNIST_CONVNET, CIFAR_CNN),
        *(RESNET20, VGG_SMALL, AIRBENCH94),
    )
}


def output_shape(layers: Layers, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a chain of layers makes of a sample of `shape`."""
    return next((after for *_, after in reversed(list(walk(layers, shape)))), shape)


def walk(
    layers: Layers, shape: tuple[int, ...]
) -> Iterator[tuple[Any, tuple[int, ...], tuple[int, ...]]]:
    """Yield each layer of a chain with the shapes of a sample before and after it.

    Residual layers are yielded whole.
    """
    for layer in layers:
        before = shape
        match layer:
            case Conv():
                pad = layer.kernel - 1 if layer.padding == "same" else 0
                h, w = ((n + pad - layer.kernel) // layer.stride + 1 for n in shape[:2])
                shape = (h, w, layer.filters)
            case MaxPool():
                shape = (shape[0] // layer.size, shape[1] // layer.size, shape[2])
            case GlobalAvgPool():
                shape = shape[-1:]
            case Flatten():
                shape = (prod(shape),)
            case Dense():
                shape = (layer.units,)
            case Residual():
                shape = output_shape(layer.body, shape)
        yield layer, before, shape


def flops(net: Net, training: bool) -> int:
    """Return the additions and multiplications per image that a net asks for, convolved directly.

    Convolutions and dense layers only, as the rest is bound by memory. Training adds the gradients
    of the weights that are trained, and of the inputs with something trained before them.
    """
    return _flops(net.layers, net.input_shape, training, below=False)[0]


def _flops(layers: Layers, shape: tuple[int, ...], training: bool, below: bool) -> tuple[int, bool]:
    """Return a chain's flops, and whether anything in it or `below` it is trained."""
    total = 0
    for layer, before, after in walk(layers, shape):
        if isinstance(layer, Residual):
            sides = [_flops(side, before, training, below) for side in (layer.body, layer.shortcut)]
            total += sum(count for count, _ in sides)
            below = any(trained for _, trained in sides)
            continue
        if isinstance(layer, Conv):
            own = 2 * prod(after) * layer.kernel**2 * before[-1]
        elif isinstance(layer, Dense):
            own = 2 * before[0] * after[0]
        else:
            continue
        trained = not (isinstance(layer, Conv) and layer.frozen)
        total += own * (1 + (training and trained) + (training and below))
        below = below or trained
    return total, below
