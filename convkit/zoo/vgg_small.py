"""vgg_small: six convolutions as in Simonyan and Zisserman (2014), with batch normalization."""

from __future__ import annotations

from typing import Any

from convkit.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Flatten,
    Layer,
    MaxPooling2D,
    RandomCrop,
    RandomFlip,
)
from convkit.zoo._recipe import SgdRecipe, chain, probabilities


class VggSmall(SgdRecipe):
    """Two convolutions each of 64, 128 and 256 channels, a pool after every two."""

    epochs, batch_size, peak = 15, 128, 0.05

    def augmentation(self, height: int, width: int) -> list[Layer]:
        """Mirror images, and move them by up to 4 pixels."""
        return [RandomFlip("horizontal"), RandomCrop(height, width, padding=4)]

    def network(self, x: Any, classes: int) -> Any:
        """Return the class probabilities of images."""
        for filters in (64, 128, 256):
            for _ in range(2):
                conv = Conv2D(
                    *(filters, 3), padding="same", use_bias=False, kernel_initializer="he_normal"
                )
                x = chain(x, conv, BatchNormalization(momentum=0.9), Activation("relu"))
            x = MaxPooling2D()(x)
        return probabilities(Flatten()(x), classes)
