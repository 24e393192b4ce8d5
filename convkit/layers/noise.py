"""Layers that disturb their input in training by normally distributed numbers.

These are a function of (seed, layer, step, element), as the masks of Dropout are.
"""

from __future__ import annotations

import math
from typing import Any

from convkit import _check, ops
from convkit.graph import Tensor
from convkit.layers.base import Layer, check_seed, random_source
from convkit.layers.core import Dropout


class GaussianNoise(Layer):
    """In training, add normally distributed numbers of mean 0 and standard deviation stddev.

    Input shape:  (batch, ...). Output shape: the same.
    """

    def __init__(self, stddev: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.stddev = _check.at_least_zero("GaussianNoise", "stddev", stddev)
        self.seed = check_seed("GaussianNoise", seed)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the sum in training, else nothing."""
        if not training or self.stddev == 0:
            return x
        return x + ops.random_normal(x, 0.0, self.stddev, **random_source(x, self.seed))


class GaussianDropout(Dropout):
    """In training, multiply by normally distributed numbers of mean 1, variance rate / (1 - rate).

    The factors of Dropout have the same mean and variance. Source: Srivastava et al., 2014.

    Input shape:  (batch, ...). Output shape: the same.
    """

    _unsaved = ("noise_shape",)  # of Dropout, not its own

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(rate, None, seed, **options)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the product in training, else nothing."""
        if not training or self.rate == 0:
            return x
        stddev = math.sqrt(self.rate / (1 - self.rate))
        return x * ops.random_normal(x, 1.0, stddev, **random_source(x, self.seed))
