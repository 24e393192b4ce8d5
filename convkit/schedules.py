"""Learning rates as functions of the step. Call a schedule with a step to get a float."""

from __future__ import annotations

import math
from collections.abc import Sequence

from convkit._config import Configurable

__all__ = [
    "CosineDecay",
    "ExponentialDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
]


class LearningRateSchedule(Configurable):
    """schedule(step) -> learning rate; step counts from 0."""

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        raise TypeError(f"{type(self).__name__} must define __call__(step)")


class ExponentialDecay(LearningRateSchedule):
    """initial * rate^(step / decay_steps), in whole powers with staircase."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
    ) -> None:
        self.initial_learning_rate, self.decay_steps = initial_learning_rate, decay_steps
        self.decay_rate, self.staircase = decay_rate, staircase

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        power = step / self.decay_steps
        if self.staircase:
            power = math.floor(power)
        return self.initial_learning_rate * self.decay_rate**power


class CosineDecay(LearningRateSchedule):
    """Half a cosine from initial to alpha * initial. Source: Loshchilov and Hutter, 2016."""

    def __init__(self, initial_learning_rate: float, decay_steps: int, alpha: float = 0.0) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps, self.alpha = decay_steps, alpha

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        share = min(step, self.decay_steps) / self.decay_steps
        cosine = 0.5 * (1 + math.cos(math.pi * share))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[i] up to and including boundaries[i], the last value after them."""

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                f"PiecewiseConstantDecay: values must be one more than boundaries, got"
                f" {len(values)} and {len(boundaries)}"
            )
        self.boundaries, self.values = list(boundaries), list(values)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class OneCycle(LearningRateSchedule):
    """Rise on a line to `peak`, then fall on half a cosine to almost nothing.

    Source: Smith and Topin, 2018.
    """

    def __init__(
        self, peak: float, total_steps: int, warmup: float = 0.25, start: float = 0.1
    ) -> None:
        self.peak, self.total_steps = peak, max(1, total_steps)
        self.warmup, self.start = warmup, start
        self._rise = max(1.0, warmup * self.total_steps)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        if step < self._rise:
            return self.peak * (self.start + (1 - self.start) * step / self._rise)
        share = min(1.0, (step - self._rise) / max(1.0, self.total_steps - self._rise))
        return self.peak * max(1e-4, 0.5 * (1 + math.cos(math.pi * share)))
