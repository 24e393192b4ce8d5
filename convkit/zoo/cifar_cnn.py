"""cifar_cnn: the network of TensorFlow's CIFAR-10 tutorial."""

from __future__ import annotations

from typing import Any

from convkit.layers import Conv2D, Dense, Flatten, Layer, MaxPooling2D, RandomFlip
from convkit.zoo._recipe import Recipe, chain, probabilities


class CifarCnn(Recipe):
    """Three convolutions, two pools, two dense layers."""

    epochs, batch_size, peak = 10, 128, 0.003

    def augmentation(self, height: int, width: int) -> list[Layer]:
        """Mirror images."""
        return [RandomFlip("horizontal")]

    def network(self, x: Any, classes: int) -> Any:
        """Return the class probabilities of images."""
        x = chain(
            x,
            Conv2D(32, 3, activation="relu"),
            MaxPooling2D(),
            Conv2D(64, 3, activation="relu"),
            MaxPooling2D(),
            Conv2D(64, 3, activation="relu"),
            Flatten(),
            Dense(64, activation="relu"),
        )
        return probabilities(x, classes)
