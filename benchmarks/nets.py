"""The nets that are trained, described once, and built for each library from that description.

Channels last in the description. Both builds have the same layers and the same number of weights
and statistics (`count_numbers`); each is written as users of its library write it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any


@dataclass(frozen=True)
class Conv:
    filters: int
    kernel: int
    padding: str = "same"
    stride: int = 1
    bias: bool = True


@dataclass(frozen=True)
class BatchNorm:
    pass


@dataclass(frozen=True)
class Act:
    name: str


@dataclass(frozen=True)
class MaxPool:
    size: int = 2


@dataclass(frozen=True)
class GlobalAvgPool:
    pass


@dataclass(frozen=True)
class Flatten:
    pass


@dataclass(frozen=True)
class Dropout:
    rate: float


@dataclass(frozen=True)
class Dense:
    units: int


@dataclass(frozen=True)
class Residual:
    """relu(body(x) + shortcut(x)); an empty shortcut is x itself."""

    body: tuple[Any, ...]
    shortcut: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Net:
    """A classifier: the last layer gives logits."""

    name: str
    input_shape: tuple[int, int, int]
    layers: tuple[Any, ...] = field(repr=False)
    classes: int = 10


def _conv_bn(filters: int, kernel: int = 3, stride: int = 1) -> tuple[Any, ...]:
    return Conv(filters, kernel, stride=stride, bias=False), BatchNorm()


def _basic_block(filters: int, stride: int, project: bool) -> Residual:
    body = (*_conv_bn(filters, 3, stride), Act("relu"), *_conv_bn(filters))
    return Residual(body, _conv_bn(filters, 1, stride) if project else ())


RELU, SILU = Act("relu"), Act("silu")

LENET5 = Net(
    "lenet5",
    (28, 28, 1),
    (
        *(Conv(6, 5), SILU, MaxPool()),
        *(Conv(16, 5, "valid"), SILU, MaxPool()),
        *(Flatten(), Dense(120), SILU, Dense(84), SILU, Dense(10)),
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

NETS = {net.name: net for net in (LENET5, MNIST_CONVNET, CIFAR_CNN, RESNET20, VGG_SMALL)}


# ---- convkit -----------------------------------------------------------------------------------


def build_convkit(net: Net) -> Any:
    """Build a convkit model, not yet compiled, that ends in a softmax as Keras users write it."""
    import convkit

    inputs = convkit.Input(net.input_shape)
    outputs = _convkit_chain(inputs, net.layers)
    return convkit.Model(inputs, convkit.layers.Activation("softmax")(outputs))


def _convkit_chain(x: Any, chain: tuple[Any, ...]) -> Any:
    from convkit import layers

    for layer in chain:
        match layer:
            case Conv():
                x = layers.Conv2D(
                    layer.filters,
                    layer.kernel,
                    strides=layer.stride,
                    padding=layer.padding,
                    use_bias=layer.bias,
                )(x)
            case BatchNorm():
                x = layers.BatchNormalization()(x)
            case Act():
                x = layers.Activation(layer.name)(x)
            case MaxPool():
                x = layers.MaxPooling2D(layer.size)(x)
            case GlobalAvgPool():
                x = layers.GlobalAveragePooling2D()(x)
            case Flatten():
                x = layers.Flatten()(x)
            case Dropout():
                x = layers.Dropout(layer.rate)(x)
            case Dense():
                x = layers.Dense(layer.units)(x)
            case Residual():
                sides = [_convkit_chain(x, layer.body), _convkit_chain(x, layer.shortcut)]
                x = layers.Activation("relu")(layers.Add()(sides))
            case _:
                raise TypeError(f"build_convkit: no layer for {layer!r}")
    return x


# ---- PyTorch -----------------------------------------------------------------------------------


def build_torch(net: Net) -> Any:
    """Build a torch.nn.Module that ends in logits, as PyTorch users write it."""
    return _torch_chain(net.layers, net.input_shape)[0]


def _torch_chain(chain: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    """Return the modules of a chain, and its output shape (channels last, without the batch)."""
    from torch import nn

    activations = {"relu": lambda: nn.ReLU(inplace=True), "silu": nn.SiLU}
    modules: list[Any] = []
    for layer in chain:
        match layer:
            case Conv():
                # At stride 2 Keras pads the bottom and the right only: same size, same work.
                pad = (layer.kernel - 1) // 2 if layer.padding == "same" else 0
                modules.append(
                    nn.Conv2d(
                        shape[-1],
                        layer.filters,
                        layer.kernel,
                        stride=layer.stride,
                        padding=pad,
                        bias=layer.bias,
                    )
                )
                h, w = ((n + 2 * pad - layer.kernel) // layer.stride + 1 for n in shape[:2])
                shape = (h, w, layer.filters)
            case BatchNorm():
                modules.append(nn.BatchNorm2d(shape[-1]))
            case Act():
                modules.append(activations[layer.name]())
            case MaxPool():
                modules.append(nn.MaxPool2d(layer.size))
                shape = (shape[0] // layer.size, shape[1] // layer.size, shape[2])
            case GlobalAvgPool():
                modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
                shape = (shape[-1],)
            case Flatten():
                modules.append(nn.Flatten())
                shape = (prod(shape),)
            case Dropout():
                modules.append(nn.Dropout(layer.rate))
            case Dense():
                modules.append(nn.Linear(shape[0], layer.units))
                shape = (layer.units,)
            case Residual():
                body, body_shape = _torch_chain(layer.body, shape)
                shortcut, _ = _torch_chain(layer.shortcut, shape)
                modules.append(_torch_residual(body, shortcut))
                shape = body_shape
            case _:
                raise TypeError(f"build_torch: no module for {layer!r}")
    return nn.Sequential(*modules), shape


def _torch_residual(body: Any, shortcut: Any) -> Any:
    import torch

    class ResidualModule(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body
            self.shortcut = shortcut

        def forward(self, x: Any) -> Any:
            return torch.relu_(self.body(x) + self.shortcut(x))

    return ResidualModule()


# ---- both --------------------------------------------------------------------------------------


def count_numbers(model: Any) -> int:
    """Count the floats of a model of either library: weights and batch-norm statistics."""
    if hasattr(model, "get_weights"):
        return sum(weight.size for weight in model.get_weights())
    return sum(v.numel() for v in model.state_dict().values() if v.is_floating_point())
