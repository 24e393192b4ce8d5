"""Draw initial weights: Keras's names, formulas and defaults; every draw is from a generator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check, _lookup, runtime
from convkit._config import Configurable

Array = NDArray[np.float64]


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return (fan_in, fan_out): of a matrix (in, out), or a filter bank (KH, KW, in, out)."""
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


class Initializer(Configurable):
    """Call it with a shape, and perhaps a NumPy generator, to get a float64 array.

    With a seed, every call gives the same numbers; without one they come from the generator, by
    default convkit's own, which `set_seed` sets. One of your own defines `draw(shape, generator)`.
    """

    seed: int | None = None

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """Draw an array."""
        raise TypeError(f"{type(self).__name__} does not say how to draw: define draw")

    def __call__(self, shape: Sequence[int], generator: np.random.Generator | None = None) -> Array:
        """Draw an array of a shape."""
        if self.seed is not None:
            generator = np.random.default_rng(self.seed)
        return self.draw(tuple(shape), generator or runtime.random_generator())


class Constant(Initializer):
    """Every element the same value."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """Fill an array."""
        return np.full(shape, self.value, np.float64)


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

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """Draw an array."""
        return generator.uniform(self.minval, self.maxval, shape)


class RandomNormal(Initializer):
    """Normal with a mean and a standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """Draw an array."""
        return generator.normal(self.mean, self.stddev, shape)


class TruncatedNormal(RandomNormal):
    """Normal, drawn again where it is more than two standard deviations away."""

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """Draw an array."""
        values = generator.standard_normal(shape)
        far = np.abs(values) > 2
        while far.any():
            values[far] = generator.standard_normal(int(far.sum()))
            far = np.abs(values) > 2
        return self.mean + self.stddev * values


class VarianceScaling(Initializer):
    """Variance scale / fan. Sources: Glorot and Bengio 2010, He et al. 2015, LeCun et al. 1998.

    mode is "fan_in", "fan_out" or "fan_avg"; distribution "truncated_normal", "untruncated_normal"
    or "uniform".
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        kind = type(self).__name__
        self.scale = _check.number(kind, "scale", scale)
        if self.scale <= 0:
            raise ValueError(f"{kind}: scale must be positive, got scale={scale!r}")
        self.mode = _check.one_of(kind, "mode", mode, ("fan_in", "fan_out", "fan_avg"))
        known = ("truncated_normal", "untruncated_normal", "uniform")
        self.distribution = _check.one_of(kind, "distribution", distribution, known)
        self.seed = seed

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """Draw an array."""
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "truncated_normal":
            # The standard deviation of a normal cut at two of its own is 0.8796 times smaller.
            return TruncatedNormal(0.0, math.sqrt(variance) / 0.87962566103423978).draw(
                shape, generator
            )
        if self.distribution == "untruncated_normal":
            return generator.normal(0.0, math.sqrt(variance), shape)
        limit = math.sqrt(3 * variance)
        return generator.uniform(-limit, limit, shape)


class GlorotUniform(VarianceScaling):
    """Uniform with variance 2 / (fan_in + fan_out): the default of kernels."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Truncated normal with variance 2 / (fan_in + fan_out)."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Uniform with variance 2 / fan_in."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


class HeNormal(VarianceScaling):
    """Truncated normal with variance 2 / fan_in."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Uniform with variance 1 / fan_in."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Truncated normal with variance 1 / fan_in."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


class Orthogonal(Initializer):
    """Orthonormal columns (or rows, whichever are fewer) times gain, of (..., K) as a matrix.

    Source: Saxe et al., 2013.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain, self.seed = _check.number("Orthogonal", "gain", gain), seed

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """Draw an array."""
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: shape must have at least 2 axes, got shape={shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        values = generator.standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(values)
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the draw uniform
        result: Array = self.gain * (q if rows >= columns else q.T).reshape(shape)
        return result


class Identity(Initializer):
    """gain times the identity matrix, for dense kernels."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = _check.number("Identity", "gain", gain)

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """Make the matrix."""
        if len(shape) != 2:
            raise ValueError(
                f"Identity: shape must be (in, out), got shape={shape}; Dirac does it for filters"
            )
        return self.gain * np.eye(*shape)


class Dirac(Initializer):
    """Filters (KH, KW, C, K) that pass their channels through: gain in the middle where c = k.

    Filters beyond the channels, k >= C, are drawn by the initializer `rest`.
    """

    def __init__(self, gain: float = 1.0, rest: Any = "zeros") -> None:
        self.gain = _check.number("Dirac", "gain", gain)
        self.rest = get(rest)

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """Make the filters."""
        if len(shape) != 4:
            raise ValueError(f"Dirac: shape must be (KH, KW, C, K), got shape={shape}")
        result = self.rest(shape, generator)
        channels = min(shape[2:])
        result[..., :channels] = 0
        result[shape[0] // 2, shape[1] // 2, :channels, :channels] = self.gain * np.eye(channels)
        return result


# Keras also has them under the names that strings have.
constant, identity, ones, orthogonal, zeros = Constant, Identity, Ones, Orthogonal, Zeros
glorot_normal, glorot_uniform = GlorotNormal, GlorotUniform
he_normal, he_uniform = HeNormal, HeUniform
lecun_normal, lecun_uniform = LecunNormal, LecunUniform
random_normal, random_uniform = RandomNormal, RandomUniform
truncated_normal, variance_scaling = TruncatedNormal, VarianceScaling

_KINDS: tuple[type[Initializer], ...] = (
    *(Constant, Dirac, GlorotNormal, GlorotUniform, HeNormal, HeUniform, Identity),
    *(LecunNormal, LecunUniform, Ones, Orthogonal, RandomNormal, RandomUniform),
    *(TruncatedNormal, VarianceScaling, Zeros),
)
NAMES: dict[str, type[Initializer]] = {_check.snake_case(cls.__name__): cls for cls in _KINDS}
NAMES |= {"uniform": RandomUniform, "normal": RandomNormal}


def get(identifier: Any) -> Initializer:
    """Return an initializer from a name, a class name, a class, a config or an instance."""
    return _lookup.find("initializers.get", "initializer", identifier, Initializer, NAMES)


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, [*NAMES, *(kind.__name__ for kind in _KINDS)])
