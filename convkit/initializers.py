"""Draw initial weights: Keras's names, formulas and defaults; every draw is from a generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check
from convkit._config import Configurable

Array = NDArray[np.float64]


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return (fan_in, fan_out): of a matrix (in, out), or a filter bank (KH, KW, in, out)."""
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


class Initializer(Configurable):
    """Call it with a shape and a NumPy generator to get a float64 array."""

    def __call__(self, shape: Sequence[int], generator: np.random.Generator) -> Array:
        """Draw an array."""
        raise TypeError(f"{type(self).__name__} does not say how to draw: define __call__")


class Constant(Initializer):
    """Every element the same value."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], generator: np.random.Generator) -> Array:
        """Fill an array."""
        return np.full(tuple(shape), self.value, np.float64)


class Zeros(Constant):
    """All zeros."""

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """All ones."""

    def __init__(self) -> None:
        super().__init__(1.0)


class RandomUniform(Initializer):
    """Uniform in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05) -> None:
        self.minval, self.maxval = minval, maxval

    def __call__(self, shape: Sequence[int], generator: np.random.Generator) -> Array:
        """Draw an array."""
        return generator.uniform(self.minval, self.maxval, tuple(shape))


class RandomNormal(Initializer):
    """Normal with a mean and a standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05) -> None:
        self.mean, self.stddev = mean, stddev

    def __call__(self, shape: Sequence[int], generator: np.random.Generator) -> Array:
        """Draw an array."""
        return generator.normal(self.mean, self.stddev, tuple(shape))


class TruncatedNormal(RandomNormal):
    """Normal, drawn again where it is more than two standard deviations away."""

    def __call__(self, shape: Sequence[int], generator: np.random.Generator) -> Array:
        """Draw an array."""
        values = generator.standard_normal(tuple(shape))
        far = np.abs(values) > 2
        while far.any():
            values[far] = generator.standard_normal(int(far.sum()))
            far = np.abs(values) > 2
        return self.mean + self.stddev * values


class VarianceScaling(Initializer):
    """Variance scale / fan. Sources: Glorot and Bengio 2010, He et al. 2015, LeCun et al. 1998."""

    scale, mode, normal = 1.0, "average", False

    def __call__(self, shape: Sequence[int], generator: np.random.Generator) -> Array:
        """Draw an array."""
        fan_in, fan_out = fans(shape)
        fan = fan_in if self.mode == "in" else (fan_in + fan_out) / 2
        variance = self.scale / max(1.0, fan)
        if self.normal:
            # The standard deviation of a normal cut at two of its own is 0.8796 times smaller.
            return TruncatedNormal(0.0, math.sqrt(variance) / 0.87962566103423978)(shape, generator)
        limit = math.sqrt(3 * variance)
        return generator.uniform(-limit, limit, tuple(shape))


class GlorotUniform(VarianceScaling):
    """Uniform with variance 2 / (fan_in + fan_out): the default of kernels."""


class GlorotNormal(VarianceScaling):
    """Truncated normal with variance 2 / (fan_in + fan_out)."""

    normal = True


class HeUniform(VarianceScaling):
    """Uniform with variance 2 / fan_in."""

    scale, mode = 2.0, "in"


class HeNormal(HeUniform):
    """Truncated normal with variance 2 / fan_in."""

    normal = True


class LecunUniform(VarianceScaling):
    """Uniform with variance 1 / fan_in."""

    mode = "in"


class LecunNormal(LecunUniform):
    """Truncated normal with variance 1 / fan_in."""

    normal = True


NAMES: dict[str, type[Initializer]] = {
    "constant": Constant,
    "glorot_normal": GlorotNormal,
    "glorot_uniform": GlorotUniform,
    "he_normal": HeNormal,
    "he_uniform": HeUniform,
    "lecun_normal": LecunNormal,
    "lecun_uniform": LecunUniform,
    "ones": Ones,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "truncated_normal": TruncatedNormal,
    "zeros": Zeros,
}


def get(value: Any) -> Initializer:
    """Return an initializer from a name, a class name or an instance."""
    if isinstance(value, Initializer):
        return value
    by_class = {cls.__name__: cls for cls in NAMES.values()}
    if isinstance(value, str) and value in by_class:
        return by_class[value]()
    return NAMES[_check.one_of("initializers.get", "initializer", value, NAMES)]()
