"""lenet5: the network of LeCun et al. (1998), with swish and max-pooling."""

from __future__ import annotations

from typing import Any

from convkit.layers import Conv2D, Dense, Flatten, MaxPooling2D
from convkit.zoo._recipe import Recipe, chain, probabilities


class LeNet5(Recipe):
    """Two convolutions with pools, three dense layers."""

    epochs, batch_size, peak = 3, 64, 0.006

    def network(self, x: Any, classes: int) -> Any:
        """Return the class probabilities of images."""
        x = chain(
            x,
            Conv2D(6, 5, padding="same", activation="swish"),
            MaxPooling2D(),
            Conv2D(16, 5, activation="swish"),
            MaxPooling2D(),
            Flatten(),
            Dense(120, activation="swish"),
            Dense(84, activation="swish"),
        )
        return probabilities(x, classes)
