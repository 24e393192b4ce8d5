"""digits_cnn: for the 8 x 8 digits that come with convkit. 98 % in a second."""

from __future__ import annotations

from typing import Any

from convkit.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from convkit.zoo._recipe import Recipe, chain, probabilities


class DigitsCnn(Recipe):
    """Two convolutions, a pool, two dense layers."""

    epochs, batch_size, peak = 30, 64, 0.004

    def network(self, x: Any, classes: int) -> Any:
        """Return the class probabilities of images."""
        x = chain(
            x,
            Conv2D(32, 3, padding="same", activation="relu"),
            Conv2D(32, 3, padding="same", activation="relu"),
            MaxPooling2D(),
            Dropout(0.25),
            Flatten(),
            Dense(64, activation="relu"),
            Dropout(0.25),
        )
        return probabilities(x, classes)
