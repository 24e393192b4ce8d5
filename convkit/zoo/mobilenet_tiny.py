"""mobilenet_tiny: depthwise separable convolutions as in Howard et al., "MobileNets" (2017)."""

from __future__ import annotations

from typing import Any

from convkit.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    Layer,
    RandomCrop,
    RandomFlip,
)
from convkit.zoo._recipe import SgdRecipe, chain, probabilities


class MobileNetTiny(SgdRecipe):
    """A convolution, six depthwise ones with pointwise ones after them, and a dense layer."""

    epochs, batch_size, peak = 20, 128, 0.1

    def augmentation(self, height: int, width: int) -> list[Layer]:
        """Mirror images, and move them by up to 4 pixels."""
        return [RandomFlip("horizontal"), RandomCrop(height, width, padding=4)]

    def network(self, x: Any, classes: int) -> Any:
        """Return the class probabilities of images."""
        x = chain(x, _conv(32, 3), *_after())
        for filters, strides in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (256, 1)):
            depthwise = DepthwiseConv2D(
                *(3, strides, "same"), use_bias=False, depthwise_initializer="he_normal"
            )
            x = chain(x, depthwise, *_after(), _conv(filters, 1), *_after())
        return probabilities(GlobalAveragePooling2D()(x), classes)


def _conv(filters: int, kernel: int) -> Layer:
    return Conv2D(
        *(filters, kernel), padding="same", use_bias=False, kernel_initializer="he_normal"
    )


def _after() -> tuple[Layer, Layer]:
    return BatchNormalization(momentum=0.9), Activation("relu")
