"""Named models with the recipe that trains each: what `convkit train --model` knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from convkit import _check, optimizers, schedules
from convkit.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPool2D, Rescaling
from convkit.model import Sequential


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: its layers, epochs, batch size, and the peak learning rate."""

    layers: Callable[[int], list[Any]]
    epochs: int
    batch_size: int
    peak: float

    def optimizer(self, steps: int) -> optimizers.Optimizer:
        """Adam with a one-cycle learning rate over all steps."""
        return optimizers.Adam(schedules.OneCycle(self.peak, steps))


def _digits_cnn(classes: int) -> list[Any]:
    return [
        Conv2D(32, 3, padding="same", activation="relu"),
        Conv2D(32, 3, padding="same", activation="relu"),
        MaxPool2D(),
        Dropout(0.25),
        Flatten(),
        Dense(64, activation="relu"),
        Dropout(0.25),
        Dense(classes, activation="softmax"),
    ]


def _lenet5(classes: int) -> list[Any]:
    """LeCun et al., 1998, with swish and max-pooling."""
    return [
        Conv2D(6, 5, padding="same", activation="swish"),
        MaxPool2D(),
        Conv2D(16, 5, activation="swish"),
        MaxPool2D(),
        Flatten(),
        Dense(120, activation="swish"),
        Dense(84, activation="swish"),
        Dense(classes, activation="softmax"),
    ]


def _mnist_convnet(classes: int) -> list[Any]:
    """The network of Keras's first convolution example."""
    return [
        Conv2D(32, 3, activation="relu"),
        MaxPool2D(),
        Conv2D(64, 3, activation="relu"),
        MaxPool2D(),
        Flatten(),
        Dropout(0.5),
        Dense(classes, activation="softmax"),
    ]


def _cifar_cnn(classes: int) -> list[Any]:
    """The network of TensorFlow's CIFAR-10 tutorial."""
    return [
        Conv2D(32, 3, activation="relu"),
        MaxPool2D(),
        Conv2D(64, 3, activation="relu"),
        MaxPool2D(),
        Conv2D(64, 3, activation="relu"),
        Flatten(),
        Dense(64, activation="relu"),
        Dense(classes, activation="softmax"),
    ]


RECIPES: dict[str, Recipe] = {
    "digits_cnn": Recipe(_digits_cnn, epochs=30, batch_size=64, peak=0.004),
    "lenet5": Recipe(_lenet5, epochs=3, batch_size=64, peak=0.006),
    "mnist_convnet": Recipe(_mnist_convnet, epochs=3, batch_size=128, peak=0.004),
    "cifar_cnn": Recipe(_cifar_cnn, epochs=10, batch_size=128, peak=0.003),
}

DEFAULTS = {
    "digits": "digits_cnn",
    "mnist": "lenet5",
    "fashion_mnist": "mnist_convnet",
    "cifar10": "cifar_cnn",
    "cifar100": "cifar_cnn",
}


def recipe(name: str) -> Recipe:
    """Return the recipe of a named model; a wrong name suggests the nearest."""
    return RECIPES[_check.one_of("train", "model", name, RECIPES)]


def build(name: str, image_shape: Sequence[int], classes: int, scale: float) -> Sequential:
    """Build a named model for images whose values times `scale` lie in 0..1."""
    return Sequential([Input(image_shape), Rescaling(scale), *recipe(name).layers(classes)])
