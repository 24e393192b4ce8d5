"""resnet9: D. Page, "How to train your ResNet" (2018), which led DAWNBench's CIFAR-10.

94 % in 24 epochs on the original images.
"""

from __future__ import annotations

from typing import Any, ClassVar

from convkit import optimizers, schedules
from convkit.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    Cutout,
    Dense,
    GlobalMaxPooling2D,
    Layer,
    MaxPooling2D,
    RandomCrop,
    RandomFlip,
    Rescaling,
)
from convkit.zoo._recipe import SgdRecipe, chain


class ResNet9(SgdRecipe):
    """Eight convolutions, two of them pairs with a way around, and a dense layer."""

    epochs, batch_size, peak = 24, 512, 0.4
    peak_at: ClassVar[float] = 5  # epochs

    def augmentation(self, height: int, width: int) -> list[Layer]:
        """Move images by up to 4 pixels, mirror them, and erase 8 x 8 pixels."""
        crop = RandomCrop(height, width, padding=4, fill_mode="mirror")
        return [crop, RandomFlip("horizontal"), Cutout(8, fill_value=127.5)]

    def network(self, x: Any, classes: int) -> Any:
        """Return the class probabilities of images."""
        x = chain(x, *_conv(64))
        for filters, residual in ((128, True), (256, False), (512, True)):
            x = chain(x, *_conv(filters), MaxPooling2D())
            if residual:
                x = Add()([x, chain(x, *_conv(filters), *_conv(filters))])
        x = chain(x, GlobalMaxPooling2D(), Dense(classes, use_bias=False), Rescaling(0.125))
        return Activation("softmax")(x)

    def optimizer(self, steps: int) -> optimizers.Optimizer:
        """Return the optimizer of a training of so many steps: one triangle."""
        sgd = super().optimizer(steps)
        peak_at = self.peak_at / self.epochs
        sgd.learning_rate = schedules.Triangular(self.peak, steps, 0.0, 0.0, peak_at)
        return sgd


def _conv(filters: int) -> tuple[Layer, ...]:
    conv = Conv2D(*(filters, 3), padding="same", use_bias=False, kernel_initializer="he_normal")
    return conv, BatchNormalization(momentum=0.9), Activation("relu")
