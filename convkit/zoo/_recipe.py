"""What every recipe says, and what it says unless its file says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from convkit import losses, optimizers, schedules
from convkit.layers import Dense, Input, Layer, Normalization, Rescaling
from convkit.model import Model


class Recipe:
    """A named model, and how it is trained.

    Attributes: epochs, batch_size, label_smoothing, peak (the highest learning rate), `normalized`
    (whether images are shifted and scaled by the training images' mean and variance, or only scaled
    to 0..1), and `views` for test-time augmentation.
    """

    epochs: ClassVar[int]
    batch_size: ClassVar[int]
    peak: ClassVar[float]
    label_smoothing: ClassVar[float] = 0.0
    normalized: ClassVar[bool] = False

    def network(self, x: Any, classes: int) -> Any:
        """Return the class probabilities of normalized images x, as a symbolic tensor."""
        raise NotImplementedError(f"{type(self).__name__} must define network")

    def augmentation(self, height: int, width: int) -> list[Layer]:
        """Return what changes the training images of a height and width, if they are in colour."""
        return []

    def optimizer(self, steps: int) -> optimizers.Optimizer:
        """Return the optimizer of a training of so many steps: Adam with one cycle."""
        return optimizers.Adam(schedules.OneCycle(self.peak, steps))

    def callbacks(self) -> list[Any]:
        """Return what runs beside the training."""
        return []

    def views(self) -> list[Any]:
        """Return the views of test images whose predictions are averaged, none by default."""
        return []

    # ---- use -----------------------------------------------------------------------------------

    def build(self, image_shape: Sequence[int], classes: int, scale: float = 1 / 255) -> Model:
        """Build the model for images whose values times `scale` lie in 0..1.

        Raises ValueError for images that are too small for it.
        """
        inputs = Input(image_shape)
        first: Layer = Normalization(name="normalize") if self.normalized else Rescaling(scale)
        changes = self.augmentation(*image_shape[:2]) if image_shape[-1] == 3 else []
        x = chain(inputs, *changes, first)
        return Model(inputs, self.network(x, classes), name=self.name)

    def adapt(self, model: Model, x: Any) -> None:
        """Let layers that are computed from the data see the training images."""
        if self.normalized:
            normalize: Any = model.get_layer("normalize")
            normalize.adapt(x)

    def compile(self, model: Model, steps: int) -> None:
        """Compile the model for a training of so many steps, with class numbers as labels."""
        loss = losses.SparseCategoricalCrossentropy(label_smoothing=self.label_smoothing)
        model.compile(self.optimizer(steps), loss, ["accuracy"])

    @property
    def name(self) -> str:
        """The name of the model: that of the file."""
        return type(self).__module__.rpartition(".")[2]


class SgdRecipe(Recipe):
    """Recipes of colour images: SGD with Nesterov momentum, a warm-up and half a cosine.

    Weight decay is of the kernels only. It is decoupled: decay / (1 - momentum) is what adding
    decay * w to the gradient comes to.
    """

    momentum: ClassVar[float] = 0.9
    decay: ClassVar[float] = 5e-4
    warmup: ClassVar[float] = 2  # epochs
    normalized = True

    def optimizer(self, steps: int) -> optimizers.Optimizer:
        """Return the optimizer of a training of so many steps."""
        warm = round(steps * self.warmup / self.epochs)
        sgd = optimizers.SGD(
            schedules.CosineDecay(
                0.0, max(1, steps - warm), warmup_target=self.peak, warmup_steps=warm
            ),
            momentum=self.momentum,
            nesterov=True,
            weight_decay=self.decay / (1 - self.momentum),
        )
        sgd.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
        return sgd


def chain(x: Any, *layers: Any) -> Any:
    """Call layers one after the other."""
    for layer in layers:
        x = layer(x)
    return x


def probabilities(x: Any, classes: int) -> Any:
    """Return the probabilities of classes, by a dense layer."""
    return Dense(classes, activation="softmax")(x)
