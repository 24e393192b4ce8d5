"""airbench94: K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024).

arXiv:2404.00498. 8 epochs instead of 9.9; the last batch of an epoch is kept though it is smaller,
and losses are means over the batch where the paper has sums (its learning rate is 1024 times
smaller therefore). Weight decay is decoupled, which comes to the same.
"""

from __future__ import annotations

from typing import Any, ClassVar

from convkit import callbacks, initializers, optimizers, schedules, tta
from convkit.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Layer,
    MaxPooling2D,
    PatchWhitening,
    RandomCrop,
    RandomFlip,
    Rescaling,
)
from convkit.model import Model
from convkit.regularizers import L2
from convkit.zoo._recipe import Recipe, chain

MOMENTUM = 0.85
# The paper's numbers are free of what momentum adds up to: 1 + 1 / (1 - momentum) steps in one.
PEAK = 11.5 / (1 + 1 / (1 - MOMENTUM))
DECAY = 0.0153 / 11.5  # times w, added to the gradient
NORM_BIAS_RATE = 64  # times the learning rate of the others, with a decay that is as much smaller


class AirBench94(Recipe):
    """A whitening layer, six convolutions that begin as the identity, and a dense layer."""

    epochs, batch_size, peak = 8, 1024, PEAK
    label_smoothing = 0.2
    normalized = True
    widths: ClassVar[tuple[int, ...]] = (64, 256, 256)
    whitening_epochs: ClassVar[int] = 3  # in which the whitening layer's bias is trained
    whitened_images: ClassVar[int] = 5000

    def augmentation(self, height: int, width: int) -> list[Layer]:
        """Mirror every image in every other epoch, and move it by up to 2 pixels."""
        return [
            RandomFlip("horizontal", alternating=True),
            RandomCrop(height, width, padding=2, fill_mode="mirror"),
        ]

    def network(self, x: Any, classes: int) -> Any:
        """Return the class probabilities of images."""
        whiten = PatchWhitening(
            2, epsilon=5e-4, activation="gelu", bias_regularizer=L2(DECAY / 2), name="whiten"
        )
        x = whiten(x)
        for width in self.widths:
            x = chain(x, _conv(width), MaxPooling2D(), _norm(), Activation("gelu"))
            x = chain(x, _conv(width), _norm(), Activation("gelu"))
        dense = Dense(classes, use_bias=False, kernel_initializer=_fan_in())
        x = chain(x, MaxPooling2D(3), Flatten(), dense, Rescaling(1 / 9))
        return Activation("softmax")(x)

    def adapt(self, model: Model, x: Any) -> None:
        """Normalize by all images, and whiten by the patches of the first ones."""
        super().adapt(model, x)
        whiten: Any = model.get_layer("whiten")
        before = Model(model.input, whiten.input)
        whiten.adapt(before.predict(x[: self.whitened_images], verbose=0))

    def optimizer(self, steps: int) -> optimizers.Optimizer:
        """Return the optimizer of a training of so many steps."""
        sgd = optimizers.SGD(
            schedules.Triangular(self.peak, steps, start=0.2, end=0.07, peak_at=0.23),
            momentum=MOMENTUM,
            nesterov=True,
            weight_decay=DECAY / (1 - MOMENTUM),
            learning_rate_multipliers={"beta": NORM_BIAS_RATE},
        )
        sgd.exclude_from_weight_decay(var_names=["beta", "bias"])
        slow_step = schedules.PolynomialRamp(1.0, 1 - 0.95**5, steps, power=3)
        return optimizers.Lookahead(sgd, 5, slow_step)

    def callbacks(self) -> list[Any]:
        """Freeze the whitening layer."""
        return [callbacks.Freeze("whiten", self.whitening_epochs)]

    def views(self) -> list[Any]:
        """Return six views: images and two copies moved by a pixel, all also mirrored."""
        return tta.standard_views(flip=True, shift=1)


def _fan_in() -> initializers.Initializer:
    return initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def _conv(filters: int) -> Layer:
    """Return a convolution whose first filters copy the channels; those beyond are random."""
    start = initializers.Dirac(rest=_fan_in())
    return Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=start)


def _norm() -> Layer:
    return BatchNormalization(
        momentum=0.6,
        epsilon=1e-12,
        scale=False,
        beta_regularizer=L2(DECAY / NORM_BIAS_RATE / 2),
    )
