"""mnist_convnet: the network of Keras's first convolution example."""

from __future__ import annotations

from typing import Any

from convkit.layers import Conv2D, Dropout, Flatten, MaxPooling2D
from convkit.zoo._recipe import Recipe, chain, probabilities


class MnistConvnet(Recipe):
    """Two convolutions with pools, dropout."""

    epochs, batch_size, peak = 3, 128, 0.004

    def network(self, x: Any, classes: int) -> Any:
        """Return the class probabilities of images."""
        x = chain(
            x,
            Conv2D(32, 3, activation="relu"),
            MaxPooling2D(),
            Conv2D(64, 3, activation="relu"),
            MaxPooling2D(),
            Flatten(),
            Dropout(0.5),
        )
        return probabilities(x, classes)
