"""resnet20: He et al., "Deep residual learning for image recognition" (2015), section 4.2, n = 3.

Projections where the shape changes (their option B), and 30 epochs of half a cosine instead of
their 164.
"""

from __future__ import annotations

from typing import Any

from convkit.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    GlobalAveragePooling2D,
    Layer,
    RandomCrop,
    RandomFlip,
)
from convkit.zoo._recipe import SgdRecipe, chain, probabilities


class ResNet20(SgdRecipe):
    """19 convolutions in nine residual blocks of 16, 32 and 64 channels, and a dense layer."""

    epochs, batch_size, peak = 30, 128, 0.1

    def augmentation(self, height: int, width: int) -> list[Layer]:
        """Mirror images, and move them by up to 4 pixels."""
        return [RandomFlip("horizontal"), RandomCrop(height, width, padding=4)]

    def network(self, x: Any, classes: int) -> Any:
        """Return the class probabilities of images."""
        x = chain(x, *_conv_norm(16), Activation("relu"))
        for filters in (16, 32, 64):
            for _ in range(3):
                x = _block(x, filters)
        return probabilities(GlobalAveragePooling2D()(x), classes)


def _conv_norm(filters: int, kernel: int = 3, strides: int = 1) -> tuple[Layer, Layer]:
    conv = Conv2D(
        *(filters, kernel, strides, "same"), use_bias=False, kernel_initializer="he_normal"
    )
    return conv, BatchNormalization(momentum=0.9, epsilon=1e-5)


def _block(x: Any, filters: int) -> Any:
    """Return relu(body(x) + shortcut(x)); where the channels change, the size is halved."""
    changes = x.shape[-1] != filters
    strides = 2 if changes else 1
    body = chain(x, *_conv_norm(filters, 3, strides), Activation("relu"), *_conv_norm(filters))
    shortcut = chain(x, *_conv_norm(filters, 1, strides)) if changes else x
    return Activation("relu")(Add()([body, shortcut]))
