"""Named models with the recipe that trains each: what `convkit train --model` knows.

A recipe is one file: its layers, what it does to the images, optimizer, schedule and source.

    recipe = zoo.recipe("resnet20")
    model = recipe.build((32, 32, 3), classes=10)
    recipe.adapt(model, x)
    recipe.compile(model, steps=recipe.epochs * ceil(len(x) / recipe.batch_size))
    model.fit(x, y, recipe.batch_size, recipe.epochs, callbacks=recipe.callbacks())
"""

from __future__ import annotations

import importlib

from convkit import _check
from convkit.zoo._recipe import Recipe as Recipe

__all__ = ["DEFAULTS", "RECIPES", "Recipe", "recipe"]

# The name of each model, which is that of its file, and the class in it.
RECIPES = {
    "airbench94": "AirBench94",
    "cifar_cnn": "CifarCnn",
    "digits_cnn": "DigitsCnn",
    "lenet5": "LeNet5",
    "mnist_convnet": "MnistConvnet",
    "mnist_fast": "MnistFast",
    "mobilenet_tiny": "MobileNetTiny",
    "resnet20": "ResNet20",
    "resnet9": "ResNet9",
    "vgg_small": "VggSmall",
}

# The model that `convkit train` takes for a dataset.
DEFAULTS = {
    "digits": "digits_cnn",
    "mnist": "lenet5",
    "fashion_mnist": "mnist_convnet",
    "cifar10": "cifar_cnn",
    "cifar100": "cifar_cnn",
}


def recipe(name: str) -> Recipe:
    """Return the recipe of a named model; a wrong name suggests the nearest."""
    name = _check.one_of("zoo.recipe", "model", name, RECIPES)
    made: Recipe = getattr(importlib.import_module(f"convkit.zoo.{name}"), RECIPES[name])()
    return made
