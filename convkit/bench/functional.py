"""Nets and operations as functions of arrays, for libraries that want them so: TensorFlow and JAX.

A library gives its primitives (`Primitives`); the layers of a net are walked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from convkit.bench import nets
from convkit.bench.tasks import Array, NotOffered, OpData


class Primitives(Protocol):
    """What the layers are made of, NHWC and HWIO."""

    def conv(self, x: Any, w: Any, stride: int, padding: str) -> Any:
        """Convolve; padding is "same" or "valid"."""

    def activation(self, x: Any, name: str) -> Any:
        """Apply relu, silu or gelu."""

    def max_pool(self, x: Any, size: int) -> Any:
        """Take the maximum of windows next to each other."""

    def batch_norm(self, x: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
        """Normalize by given statistics."""

    def batch_norm_training(self, x: Any, gamma: Any, beta: Any) -> tuple[Any, Any, Any]:
        """Normalize by the batch's statistics; return y, mean and variance."""

    def mean_of_pixels(self, x: Any) -> Any:
        """Average over height and width."""

    def reshape(self, x: Any, columns: int) -> Any:
        """Give x the shape (batch, columns)."""

    def dropout(self, x: Any, rate: float) -> Any:
        """Drop and scale."""

    def matmul(self, x: Any, w: Any) -> Any:
        """Multiply matrices."""


def operation(library: Primitives, data: OpData) -> tuple[Callable[..., Any], list[Array]]:
    """Return a single operation and its arguments. Raises NotOffered for what is no function."""
    if data.name == "max_pool":
        return lambda x: library.max_pool(x, 2), [data.x]
    if data.name == "batch_norm_relu":

        def batch_norm_relu(x: Any, gamma: Any, beta: Any) -> Any:
            return library.activation(library.batch_norm_training(x, gamma, beta)[0], "relu")

        return batch_norm_relu, [data.x, data.gamma, data.beta]
    if data.name == "add_relu":
        return lambda a, b: library.activation(a + b, "relu"), [data.x, data.other]
    if data.name == "dense":
        return lambda x, w, b: library.matmul(x, w) + b, [data.x, data.w, data.b]
    raise NotOffered(f"{data.name} is no function of arrays")


@dataclass
class Numbers:
    """The arrays of a net in the order of its layers: those trained, and those not."""

    trained: list[Array]
    kept: list[Array]

    @property
    def count(self) -> int:
        """Count all numbers."""
        return sum(array.size for array in (*self.trained, *self.kept))


def initial(net: nets.Net) -> Numbers:
    """Return initial weights and statistics of a net."""
    numbers = Numbers([], [])
    _initial(net.layers, net.input_shape, numbers, np.random.default_rng(0))
    return numbers


def _initial(
    layers: nets.Layers, shape: tuple[int, ...], numbers: Numbers, rng: np.random.Generator
) -> None:
    for layer, before, after in nets.walk(layers, shape):
        match layer:
            case nets.Conv() | nets.Dense():
                if isinstance(layer, nets.Conv):
                    sizes: tuple[int, ...] = (layer.kernel, layer.kernel, before[-1], after[-1])
                else:
                    sizes = (before[0], after[0])
                frozen = isinstance(layer, nets.Conv) and layer.frozen
                place = numbers.kept if frozen else numbers.trained
                scale = np.float32((2 / prod(sizes[:-1])) ** 0.5)
                place.append(rng.standard_normal(sizes, np.float32) * scale)
                if layer.bias:
                    place.append(np.zeros(after[-1], np.float32))
            case nets.BatchNorm():
                ones, zeros = np.ones(before[-1], np.float32), np.zeros(before[-1], np.float32)
                numbers.trained += [ones, zeros] if layer.scale else [zeros]
                numbers.kept += [zeros, ones]
            case nets.Residual():
                _initial(layer.body, before, numbers, rng)
                _initial(layer.shortcut, before, numbers, rng)


# Of the moving statistics, as Keras has it.
BATCH_NORM_MOMENTUM = 0.99


def forward(
    net: nets.Net, library: Primitives, trained: Any, kept: Any, x: Any, training: bool
) -> tuple[Any, list[Any]]:
    """Return a net's logits, and what `kept` becomes in training."""
    places = iter(trained), iter(kept)
    after: list[Any] = []
    x = _forward(net.layers, net.input_shape, library, *places, x, training, after)
    return x, after


def _forward(
    layers: nets.Layers,
    shape: tuple[int, ...],
    library: Primitives,
    trained: Iterator[Any],
    kept: Iterator[Any],
    x: Any,
    training: bool,
    after: list[Any],
) -> Any:
    for layer, before, _ in nets.walk(layers, shape):
        match layer:
            case nets.Conv():
                weights = kept if layer.frozen else trained
                used = [next(weights) for _ in range(1 + layer.bias)]
                x = library.conv(x, used[0], layer.stride, layer.padding)
                x = x + used[1] if layer.bias else x
                after += used if layer.frozen else []
            case nets.Dense():
                x = library.matmul(x, next(trained))
                x = x + next(trained) if layer.bias else x
            case nets.BatchNorm():
                gamma = next(trained) if layer.scale else np.ones(before[-1], np.float32)
                beta, mean, variance = next(trained), next(kept), next(kept)
                if training:
                    x, *found = library.batch_norm_training(x, gamma, beta)
                    after += [
                        BATCH_NORM_MOMENTUM * old + (1 - BATCH_NORM_MOMENTUM) * new
                        for old, new in zip((mean, variance), found, strict=True)
                    ]
                else:
                    x = library.batch_norm(x, gamma, beta, mean, variance)
            case nets.Act():
                x = library.activation(x, layer.name)
            case nets.MaxPool():
                x = library.max_pool(x, layer.size)
            case nets.GlobalAvgPool():
                x = library.mean_of_pixels(x)
            case nets.Flatten():
                x = library.reshape(x, prod(before))
            case nets.Dropout():
                x = library.dropout(x, layer.rate) if training else x
            case nets.Residual():
                rest = library, trained, kept, x, training, after
                body = _forward(layer.body, before, *rest)
                x = library.activation(body + _forward(layer.shortcut, before, *rest), "relu")
            case _:
                raise TypeError(f"forward: no function for {layer!r}")
    return x
